#include "values.h"

#include "format.h"

#include "sluice/memory.h"

#include <snappy-c.h>
#include <string.h>
#include <zstd.h>

enum { PAGE_BYTES_MAX = 1 << 30, DELTA_MINIBLOCKS_MAX = 256, PLAIN_DICTIONARY = 2 };

static sl_status damaged(sl_error *error, const char *what) {
    return sl_error_set(error, SL_ECORRUPT, "a page is damaged: %s", what);
}

/* --- integer encodings --- */

typedef struct bytes {
    const uint8_t *at, *end;
    bool failed;
} bytes;

static uint64_t varint(bytes *b) {
    uint64_t value = 0;
    for (unsigned shift = 0; b->at < b->end && shift < 64; shift += 7) {
        uint8_t byte = *b->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    b->failed = true;
    return 0;
}

static int64_t zigzag(bytes *b) {
    uint64_t value = varint(b);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

/* `count` values of `width` bits, from the lowest bit on. */
static uint64_t packed(const uint8_t *from, size_t index, unsigned width) {
    uint64_t value = 0;
    size_t bit = index * width;
    for (unsigned got = 0; got < width;) {
        unsigned offset = (unsigned)(bit & 7), take = 8 - offset < width - got ? 8 - offset : width - got;
        value |= (uint64_t)((unsigned)from[bit >> 3] >> offset & ((1u << take) - 1)) << got;
        got += take;
        bit += take;
    }
    return value;
}

/* Encodings.md, "Run Length Encoding / Bit-Packing Hybrid". */
static bool hybrid(bytes *b, unsigned width, uint32_t *out, size_t count) {
    for (size_t n = 0; n < count && !b->failed;) {
        uint64_t head = varint(b);
        uint64_t some = (head & 1) != 0 ? (head >> 1) * 8 : head >> 1;
        uint64_t size = (head & 1) != 0 ? (head >> 1) * width : (width + 7) / 8;
        if (b->failed || some == 0 || head >> 1 > UINT32_MAX || size > (uint64_t)(b->end - b->at))
            return false;
        size_t take = some < count - n ? (size_t)some : count - n;
        uint32_t run = (head & 1) == 0 && size != 0 ? (uint32_t)packed(b->at, 0, (unsigned)size * 8) : 0;
        for (size_t i = 0; i < take; i++)
            out[n + i] = (head & 1) != 0 ? (uint32_t)packed(b->at, i, width) : run;
        n += take;
        b->at += size;
    }
    return !b->failed;
}

/* Encodings.md, "Delta Encoding". */
static bool delta(bytes *b, bool narrow, int64_t *out, size_t count) {
    uint64_t block = varint(b), miniblocks = varint(b), total = varint(b);
    uint64_t last = (uint64_t)zigzag(b);
    if (b->failed || miniblocks == 0 || miniblocks > DELTA_MINIBLOCKS_MAX || block % miniblocks != 0 ||
        block / miniblocks % 32 != 0 || block == 0 || block > 1 << 20 || total != count)
        return false;
    size_t n = 0, per = (size_t)(block / miniblocks);
    if (count != 0)
        out[n++] = (int64_t)last;
    while (n < count) {
        uint64_t least = (uint64_t)zigzag(b);
        const uint8_t *widths = b->at;
        if (b->failed || miniblocks > (uint64_t)(b->end - b->at))
            return false;
        b->at += miniblocks;
        for (size_t m = 0; m < miniblocks && n < count; m++) {
            unsigned width = widths[m];
            size_t size = per / 8 * width;
            if (width > 64 || size > (size_t)(b->end - b->at))
                return false;
            for (size_t i = 0; i < per && n < count; i++) {
                last += least + (width != 0 ? packed(b->at, i, width) : 0);
                if (narrow)
                    last = (uint64_t)(int64_t)(int32_t)(uint32_t)last;
                out[n++] = (int64_t)last;
            }
            b->at += size;
        }
    }
    return true;
}

/* --- pages --- */

typedef struct head {
    int64_t type, plain, packed, values, encoding;
} head;

static void read_inner(sl_thrift_reader *r, uint8_t type, head *out) {
    int16_t id = 0;
    if (type != THRIFT_STRUCT)
        r->failed = true;
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        if (id == 1)
            out->values = sl_thrift_integer(r, type);
        else if (id == 2)
            out->encoding = sl_thrift_integer(r, type);
        else
            sl_thrift_skip(r, type, false);
    }
}

static bool read_head(sl_parquet_values *v, head *out) {
    *out = (head){0};
    sl_thrift_reader r = {.at = v->at, .end = v->end};
    int16_t id = 0;
    uint8_t type;
    while ((type = sl_thrift_field(&r, &id)) != THRIFT_STOP) {
        if (id == 1)
            out->type = sl_thrift_integer(&r, type);
        else if (id == 2)
            out->plain = sl_thrift_integer(&r, type);
        else if (id == 3)
            out->packed = sl_thrift_integer(&r, type);
        else if (id == 5 || id == 7)
            read_inner(&r, type, out);
        else
            sl_thrift_skip(&r, type, false);
    }
    v->at = r.at;
    return !r.failed && out->plain >= 0 && out->plain <= PAGE_BYTES_MAX && out->packed >= 0 &&
           out->packed <= v->end - v->at && out->values >= 0 && out->values <= PAGE_BYTES_MAX;
}

static sl_status unpack(sl_parquet_values *v, const head *h, uint8_t *out, sl_error *error) {
    const size_t from = (size_t)h->packed, to = (size_t)h->plain;
    size_t got = to;
    bool good = false;
    if (v->codec == CODEC_UNCOMPRESSED) {
        good = from == to;
        if (good && to != 0)
            memcpy(out, v->at, to);
    } else if (v->codec == CODEC_ZSTD) {
        got = ZSTD_decompress(out, to, v->at, from);
        good = !ZSTD_isError(got) && got == to;
    } else if (v->codec == CODEC_SNAPPY) {
        good = snappy_uncompress((const char *)v->at, from, (char *)out, &got) == SNAPPY_OK && got == to;
    } else {
        return sl_error_set(error, SL_EUNSUPPORTED, "the compression codec %lld isn't read", (long long)v->codec);
    }
    v->at += from;
    return good ? SL_OK : damaged(error, "it can't be decompressed");
}

static uint64_t little(const uint8_t *at, size_t length) {
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static int64_t big(const uint8_t *at, size_t length) {
    uint64_t value = length != 0 && (at[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < length; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

/* The next PLAIN value at *at. */
static bool plain_value(const sl_parquet_kind *kind, const uint8_t **at, const uint8_t *end, sl_value *out) {
    size_t room = (size_t)(end - *at), size;
    *out = (sl_value){.type = kind->type, .scale = kind->scale};
    switch (kind->physical) {
    case PHYSICAL_INT32:
        size = 4;
        if (room >= size)
            out->as.i64 = (int32_t)(uint32_t)little(*at, size);
        break;
    case PHYSICAL_INT64:
    case PHYSICAL_DOUBLE:
        size = 8;
        if (room >= size)
            memcpy(&out->as, *at, size);
        break;
    case PHYSICAL_BYTE_ARRAY:
        size = 4;
        if (room >= size) {
            out->as.text.bytes = *at + 4;
            out->as.text.length = (size_t)little(*at, 4);
            size += out->as.text.length;
        }
        break;
    default: /* FIXED */
        size = (size_t)kind->length;
        if (room >= size)
            out->as.i64 = big(*at, size);
    }
    if (room < size)
        return false;
    *at += size;
    return true;
}

static sl_status read_dictionary(sl_parquet_values *v, const head *h, sl_error *error) {
    sl_free(v->dictionary);
    sl_free(v->entries);
    v->entry_count = 0;
    v->dictionary = sl_malloc((size_t)h->plain + 1);
    v->entries = (uint64_t)h->values <= (uint64_t)h->plain + 1 ? sl_calloc((size_t)h->values + 1, sizeof *v->entries) : NULL;
    if (v->dictionary == NULL || v->entries == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    sl_status status = unpack(v, h, v->dictionary, error);
    const uint8_t *at = v->dictionary, *end = at + h->plain;
    for (int64_t i = 0; i < h->values && status == SL_OK; i++)
        if (plain_value(&v->kind, &at, end, &v->entries[i]))
            v->entry_count++;
        else
            status = damaged(error, "the dictionary ends early");
    return status;
}

static bool make_room(sl_parquet_values *v, const head *h) {
    if ((size_t)h->plain > v->page_bytes || v->page == NULL) {
        sl_free(v->page);
        v->page = sl_malloc((size_t)h->plain + 1);
        v->page_bytes = v->page != NULL ? (size_t)h->plain : 0;
    }
    if ((size_t)h->values > v->capacity || v->definitions == NULL) {
        size_t count = (size_t)h->values + 1;
        sl_free(v->definitions);
        sl_free(v->numbers);
        sl_free(v->indices);
        v->definitions = sl_malloc(count * sizeof *v->definitions);
        v->numbers = sl_malloc(count * sizeof *v->numbers);
        v->indices = sl_malloc(count * sizeof *v->indices);
        v->capacity = v->definitions != NULL && v->numbers != NULL && v->indices != NULL ? count - 1 : 0;
    }
    return v->page != NULL && v->definitions != NULL && v->numbers != NULL && v->indices != NULL;
}

/* README, "Data Pages": definition levels behind their length, then the values that are there. */
static bool read_levels(sl_parquet_values *v, bytes *b) {
    v->present = (size_t)v->left;
    if (v->kind.levels == 0)
        return true;
    if (b->end - b->at < 4)
        return false;
    uint64_t size = little(b->at, 4);
    b->at += 4;
    if (size > (uint64_t)(b->end - b->at))
        return false;
    bytes levels = {b->at, b->at + size, false};
    unsigned width = 32u - (unsigned)__builtin_clz(v->kind.levels);
    if (!hybrid(&levels, width, v->definitions, (size_t)v->left))
        return false;
    b->at += size;
    for (size_t i = 0; i < v->left; i++)
        v->present -= v->definitions[i] != v->kind.levels;
    return true;
}

static sl_status read_values(sl_parquet_values *v, bytes *b, sl_error *error) {
    bool good = true;
    if (v->encoding == ENCODING_PLAIN) {
        v->plain = b->at;
        v->plain_end = b->end;
        if (v->kind.physical == PHYSICAL_BOOLEAN)
            good = (v->present + 7) / 8 <= (size_t)(b->end - b->at);
    } else if (v->encoding == ENCODING_RLE_DICTIONARY || v->encoding == PLAIN_DICTIONARY) {
        unsigned width = b->at < b->end ? *b->at++ : 0;
        good = width <= 32 && (v->present == 0 || hybrid(b, width, v->indices, v->present));
        for (size_t i = 0; i < v->present && good; i++)
            good = v->indices[i] < v->entry_count;
    } else if (v->encoding == ENCODING_DELTA_BINARY_PACKED &&
               (v->kind.physical == PHYSICAL_INT32 || v->kind.physical == PHYSICAL_INT64)) {
        good = v->present == 0 || delta(b, v->kind.physical == PHYSICAL_INT32, v->numbers, v->present);
    } else {
        return sl_error_set(error, SL_EUNSUPPORTED, "the encoding %lld isn't read", (long long)v->encoding);
    }
    return good ? SL_OK : damaged(error, "its values end early");
}

static sl_status read_page(sl_parquet_values *v, sl_error *error) {
    head h;
    if (v->at >= v->end || !read_head(v, &h))
        return damaged(error, "no page where one should be");
    if (h.type == PAGE_DICTIONARY)
        return read_dictionary(v, &h, error);
    if (h.type != PAGE_DATA)
        return sl_error_set(error, SL_EUNSUPPORTED, "only data pages of version 1 are read");
    /* A run says with a few bytes how often a value comes. */
    if (!make_room(v, &h))
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    sl_status status = unpack(v, &h, v->page, error);
    bytes b = {v->page, v->page + h.plain, false};
    v->left = (uint64_t)h.values;
    v->encoding = h.encoding;
    v->value = v->level = 0;
    if (status == SL_OK && !read_levels(v, &b))
        status = damaged(error, "its definition levels");
    return status == SL_OK ? read_values(v, &b, error) : status;
}

/* --- values --- */

sl_status sl_parquet_values_begin(sl_parquet_values *v, const sl_parquet_kind *kind, const uint8_t *file,
                                  size_t length, const sl_parquet_column *column, sl_error *error) {
    int64_t from = column->has_dictionary && column->dictionary_offset < column->data_offset ? column->dictionary_offset
                                                                                            : column->data_offset;
    if (from < 0 || column->packed_bytes < 0 || (uint64_t)from > length ||
        (uint64_t)column->packed_bytes > length - (uint64_t)from)
        return sl_error_set(error, SL_ECORRUPT, "a column chunk lies outside the file");
    if (column->type != kind->physical)
        return sl_error_set(error, SL_ECORRUPT, "a column chunk has another type than the schema says");
    v->kind = *kind;
    v->codec = column->codec;
    v->at = file + from;
    v->end = v->at + column->packed_bytes;
    v->left = 0;
    v->entry_count = 0;
    return SL_OK;
}

static bool value_of(sl_parquet_values *v, sl_value *out) {
    const size_t i = v->value++;
    if (v->encoding == ENCODING_RLE_DICTIONARY || v->encoding == PLAIN_DICTIONARY) {
        *out = v->entries[v->indices[i]];
        return true;
    }
    if (v->encoding == ENCODING_DELTA_BINARY_PACKED) {
        *out = (sl_value){.type = v->kind.type, .scale = v->kind.scale, .as.i64 = v->numbers[i]};
        return true;
    }
    if (v->kind.physical == PHYSICAL_BOOLEAN) {
        *out = (sl_value){.type = v->kind.type, .as.i64 = v->plain[i / 8] >> (i % 8) & 1};
        return true;
    }
    return plain_value(&v->kind, &v->plain, v->plain_end, out);
}

sl_status sl_parquet_values_next(sl_parquet_values *v, sl_value *out, sl_error *error) {
    while (v->left == 0) {
        sl_status status = read_page(v, error);
        if (status != SL_OK)
            return status;
    }
    v->left--;
    if (v->kind.levels != 0 && v->definitions[v->level++] != v->kind.levels) {
        *out = (sl_value){.type = v->kind.type, .null = true, .scale = v->kind.scale};
        return SL_OK;
    }
    return value_of(v, out) ? SL_OK : damaged(error, "a value ends early");
}

void sl_parquet_values_fini(sl_parquet_values *v) {
    sl_free(v->dictionary);
    sl_free(v->entries);
    sl_free(v->page);
    sl_free(v->definitions);
    sl_free(v->numbers);
    sl_free(v->indices);
    *v = (sl_parquet_values){0};
}
