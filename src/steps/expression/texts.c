// Steps on texts. Positions count code points, as CEL says; bytes are searched, since in
// UTF-8 no character begins inside another. What is part of a text points into it;
// only what is new is built, in the step's memory.

#include "kernels.h"

#include "sluice/utf8.h"

#include <stdlib.h>

#define PIECES_MAX (TEXT_BYTES_MAX / sizeof(text))

// ---- Joining
// ---------------------------------------------------------------------------------

bool run_concatenate(const step *s, uint32_t rows) {
    valid_of_both(s, rows);
    EACH_VALID(s, rows, i) {
        text a = s->in[0]->values.text[i], b = s->in[1]->values.text[i];
        uint64_t length = (uint64_t)a.length + b.length;
        fail_if(s, i, length > TEXT_BYTES_MAX);
        if (length > TEXT_BYTES_MAX)
            continue;
        uint8_t *bytes = sl_arena_get(s->made, length + 1);
        if (bytes == NULL)
            return false;
        memcpy(bytes, a.bytes, a.length);
        memcpy(bytes + a.length, b.bytes, b.length);
        s->out->values.text[i] = text_of(bytes, length);
    }
    return true;
}

// ---- Asking
// ----------------------------------------------------------------------------------

bool run_size(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i)
    s->out->values.i64[i] = characters(s->in[0]->values.text[i]);
    return true;
}

bool run_size_bytes(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) s->out->values.i64[i] = s->in[0]->values.text[i].length;
    return true;
}

static bool starts_with(text a, text b) {
    return a.length >= b.length && memcmp(a.bytes, b.bytes, b.length) == 0;
}

static bool ends_with(text a, text b) {
    return a.length >= b.length &&
           memcmp(a.bytes + (a.length - b.length), b.bytes, b.length) == 0;
}

static bool contains(text a, text b) { return find_text(a, b, 0) != UINT32_MAX; }

#define TEXT_TEST(name)                                                                  \
    bool run_##name(const step *s, uint32_t rows) {                                      \
        const text *a = s->in[0]->values.text, *b = s->in[1]->values.text;               \
        valid_of_both(s, rows);                                                          \
        for (uint32_t i = 0; i < rows; i++)                                              \
            s->out->values.truth[i] = s->out->valid[i] && name(a[i], b[i]);              \
        return true;                                                                     \
    }
TEXT_TEST(starts_with)
TEXT_TEST(ends_with)
TEXT_TEST(contains)

bool run_matches(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        matched answer = pattern_match(s->pattern, s->in[0]->values.text[i]);
        if (answer == MATCHED_NO_MEMORY)
            return false;
        s->out->values.truth[i] = answer == MATCHED_YES;
        fail_if(s, i, answer == MATCHED_FAILED);
    }
    return true;
}

// ---- Positions
// -------------------------------------------------------------------------------

// Byte of the character at `position`, which may be the end. @return false: outside.
static bool byte_of(text t, int64_t position, uint32_t *at) {
    if (position < 0 || position > (int64_t)t.length)
        return false;
    uint32_t byte = 0;
    for (; position > 0 && byte < t.length; position--)
        do
            byte++;
        while (byte < t.length && continues_character(t.bytes[byte]));
    *at = byte;
    return position == 0;
}

bool run_char_at(const step *s, uint32_t rows) {
    valid_of_both(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint32_t at = 0, end;
        bool there = byte_of(t, s->in[1]->values.i64[i], &at);
        for (end = at; end < t.length; end++)
            if (end > at && !continues_character(t.bytes[end]))
                break;
        s->out->values.text[i] = text_of(t.bytes + at, end - at);
        fail_if(s, i, !there);
    }
    return true;
}

static int64_t index_from(text t, text part, int64_t offset, bool last) {
    uint32_t at = 0;
    if (part.length == 0)
        return offset;
    if (!byte_of(t, offset, &at) || at == t.length)
        return -1;
    at = last ? find_last_text(t, part, at) : find_text(t, part, at);
    return at == UINT32_MAX ? -1 : characters(text_of(t.bytes, at));
}

// An offset outside of the text is an error, one at its end is none.
static bool run_index(const step *s, uint32_t rows, bool last) {
    valid_of_all(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i], part = s->in[1]->values.text[i];
        int64_t offset = 0;
        uint32_t at = 0;
        if (s->in[2] != NULL)
            offset = s->in[2]->values.i64[i];
        else if (last)
            offset = characters(t) - (part.length != 0);
        bool outside = s->in[2] != NULL && !byte_of(t, offset, &at);
        s->out->values.i64[i] = outside ? -1 : index_from(t, part, offset, last);
        fail_if(s, i, outside);
    }
    return true;
}

bool run_index_of(const step *s, uint32_t rows) { return run_index(s, rows, false); }

bool run_last_index_of(const step *s, uint32_t rows) { return run_index(s, rows, true); }

bool run_substring(const step *s, uint32_t rows) {
    valid_of_all(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint32_t begin = 0, end = t.length;
        bool there = byte_of(t, s->in[1]->values.i64[i], &begin);
        if (there && s->in[2] != NULL)
            there = byte_of(t, s->in[2]->values.i64[i], &end) && begin <= end;
        if (there)
            s->out->values.text[i] = text_of(t.bytes + begin, end - begin);
        fail_if(s, i, !there);
    }
    return true;
}

// ---- Changing
// --------------------------------------------------------------------------------

// Bytes from..to become those 32 away; a text without any stays where it is.
static bool change_case(const step *s, uint32_t rows, uint8_t from, uint8_t to) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint32_t first = 0;
        while (first < t.length && (t.bytes[first] < from || t.bytes[first] > to))
            first++;
        s->out->values.text[i] = t;
        if (first == t.length)
            continue;
        uint8_t *bytes = sl_arena_get(s->made, t.length);
        if (bytes == NULL)
            return false;
        for (uint32_t k = 0; k < t.length; k++) {
            uint8_t byte = t.bytes[k];
            bytes[k] = (uint8_t)(byte ^ (byte >= from && byte <= to ? 32 : 0));
        }
        s->out->values.text[i] = text_of(bytes, t.length);
    }
    return true;
}

bool run_lower_ascii(const step *s, uint32_t rows) {
    return change_case(s, rows, 'A', 'Z');
}

bool run_upper_ascii(const step *s, uint32_t rows) {
    return change_case(s, rows, 'a', 'z');
}

bool run_trim(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        size_t begin, length = sl_utf8_trim(t.bytes, t.length, &begin);
        s->out->values.text[i] = text_of(t.bytes + begin, (uint32_t)length);
    }
    return true;
}

bool run_reverse(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint8_t *bytes = sl_arena_get(s->made, t.length + 1u);
        if (bytes == NULL)
            return false;
        uint32_t to = t.length;
        for (uint32_t from = 0; from < t.length;) {
            uint32_t next = from + 1;
            while (next < t.length && continues_character(t.bytes[next]))
                next++;
            to -= next - from;
            memcpy(bytes + to, t.bytes + from, next - from);
            from = next;
        }
        s->out->values.text[i] = text_of(bytes, t.length);
    }
    return true;
}

// Next place to replace at or after `from`: of an empty part every character's begin and
// the end is one.
static uint32_t next_place(text t, text part, uint32_t from, bool first) {
    if (part.length != 0)
        return find_text(t, part, from);
    if (first)
        return 0;
    if (from >= t.length)
        return UINT32_MAX;
    do
        from++;
    while (from < t.length && continues_character(t.bytes[from]));
    return from;
}

static uint64_t count_places(text t, text part, uint64_t limit) {
    uint64_t count = 0;
    uint32_t at = 0;
    while (count < limit) {
        at = next_place(t, part, at, count == 0);
        if (at == UINT32_MAX)
            break;
        at += part.length;
        count++;
    }
    return count;
}

static void replace(text t, text part, text by, uint64_t count, uint8_t *out) {
    uint32_t done = 0, at = 0;
    for (uint64_t k = 0; k < count; k++) {
        at = next_place(t, part, at, k == 0);
        memcpy(out, t.bytes + done, at - done);
        out += at - done;
        memcpy(out, by.bytes, by.length);
        out += by.length;
        at += part.length;
        done = at;
    }
    memcpy(out, t.bytes + done, t.length - done);
}

static uint64_t limit_of(const vector *limits, uint32_t row) {
    if (limits == NULL || limits->values.i64[row] < 0)
        return UINT64_MAX;
    return (uint64_t)limits->values.i64[row];
}

bool run_replace(const step *s, uint32_t rows) {
    valid_of_all(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i], part = s->in[1]->values.text[i],
             by = s->in[2]->values.text[i];
        uint64_t count = count_places(t, part, limit_of(s->in[3], i));
        s->out->values.text[i] = t;
        if (count == 0)
            continue;
        uint64_t length = t.length + count * by.length - count * part.length;
        fail_if(s, i, length > TEXT_BYTES_MAX);
        if (length > TEXT_BYTES_MAX)
            continue;
        uint8_t *bytes = sl_arena_get(s->made, length + 1);
        if (bytes == NULL)
            return false;
        replace(t, part, by, count, bytes);
        s->out->values.text[i] = text_of(bytes, length);
    }
    return true;
}

// ---- Splitting
// -------------------------------------------------------------------------------

// By "" a text falls into its characters. The last piece is what is left.
static uint32_t cut(text t, text by, uint64_t limit, text *out) {
    uint32_t count = 0, begin = 0;
    while (count + 1 < limit) {
        uint32_t end = find_text(t, by, begin);
        if (by.length == 0) {
            end = begin < t.length ? begin + 1 : UINT32_MAX;
            while (end < t.length && continues_character(t.bytes[end]))
                end++;
            if (end >= t.length)
                break;
        }
        if (end == UINT32_MAX)
            break;
        if (out != NULL)
            out[count] = text_of(t.bytes + begin, end - begin);
        count++;
        begin = end + by.length;
    }
    if (limit == 0 || (by.length == 0 && t.length == 0))
        return 0;
    if (out != NULL)
        out[count] = text_of(t.bytes + begin, t.length - begin);
    return count + 1;
}

bool run_split(const step *s, uint32_t rows) {
    valid_of_all(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i], by = s->in[1]->values.text[i];
        uint64_t limit = limit_of(s->in[2], i);
        uint32_t count = cut(t, by, limit, NULL);
        fail_if(s, i, count > PIECES_MAX);
        if (count > PIECES_MAX)
            continue;
        text *pieces = sl_arena_get(s->made, count * sizeof *pieces + 1);
        if (pieces == NULL)
            return false;
        cut(t, by, limit, pieces);
        s->out->values.list[i] = (list){.cells = pieces, .count = count};
    }
    return true;
}

// ---- Writing in other alphabets
// --------------------------------------------------------------

static char escape_of(uint8_t byte) {
    static const char bytes[] = "\a\b\f\n\r\t\v\\\"", letters[] = "abfnrtv\\\"";
    const char *at = byte == 0 ? NULL : strchr(bytes, byte);
    return at == NULL ? 0 : letters[at - bytes];
}

bool run_quote(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint64_t length = t.length + 2u;
        for (uint32_t k = 0; k < t.length; k++)
            length += escape_of(t.bytes[k]) != 0;
        fail_if(s, i, length > TEXT_BYTES_MAX);
        uint8_t *bytes = sl_arena_get(s->made, length);
        if (bytes == NULL)
            return false;
        uint8_t *out = bytes;
        *out++ = '"';
        for (uint32_t k = 0; k < t.length; k++) {
            char escape = escape_of(t.bytes[k]);
            if (escape != 0)
                *out++ = '\\';
            *out++ = escape != 0 ? (uint8_t)escape : t.bytes[k];
        }
        *out = '"';
        s->out->values.text[i] = text_of(bytes, length);
    }
    return true;
}

// RFC 4648, section 4.
static const char base64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool run_base64_encode(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint64_t length = ((uint64_t)t.length + 2) / 3 * 4;
        fail_if(s, i, length > TEXT_BYTES_MAX);
        uint8_t *bytes = sl_arena_get(s->made, length + 1), *out = bytes;
        if (bytes == NULL)
            return false;
        for (uint32_t k = 0; k < t.length; k += 3) {
            uint32_t left = t.length - k;
            uint32_t group = (uint32_t)t.bytes[k] << 16 |
                             (left > 1 ? (uint32_t)t.bytes[k + 1] << 8 : 0) |
                             (left > 2 ? t.bytes[k + 2] : 0u);
            *out++ = (uint8_t)base64[group >> 18];
            *out++ = (uint8_t)base64[group >> 12 & 63];
            *out++ = left > 1 ? (uint8_t)base64[group >> 6 & 63] : '=';
            *out++ = left > 2 ? (uint8_t)base64[group & 63] : '=';
        }
        s->out->values.text[i] = text_of(bytes, length);
    }
    return true;
}

// The padding may be missing; stray bits behind the last byte may not be set.
static bool decode_base64(text t, uint8_t *out, uint32_t *length) {
    uint32_t end = t.length, bits = 0, held = 0, wrote = 0;
    for (int k = 0; k < 2 && end > 0 && t.length % 4 == 0 && t.bytes[end - 1] == '='; k++)
        end--;
    if (end % 4 == 1)
        return false;
    for (uint32_t k = 0; k < end; k++) {
        const char *at = t.bytes[k] == 0 ? NULL : strchr(base64, t.bytes[k]);
        if (at == NULL)
            return false;
        held = (held << 6 | (uint32_t)(at - base64)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[wrote++] = (uint8_t)(held >> bits);
        }
    }
    *length = wrote;
    return (held & ((1u << bits) - 1)) == 0;
}

bool run_base64_decode(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        text t = s->in[0]->values.text[i];
        uint8_t *bytes = sl_arena_get(s->made, (size_t)t.length / 4 * 3 + 4);
        if (bytes == NULL)
            return false;
        uint32_t length = 0;
        fail_if(s, i, !decode_base64(t, bytes, &length));
        s->out->values.text[i] = text_of(bytes, length);
    }
    return true;
}
