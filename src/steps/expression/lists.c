// Steps on lists. A cell is a count and a place: of constants, of one batch's pieces, or
// of cells gathered in the step's memory.

#include "kernels.h"

#include <assert.h>

size_t cell_bytes(type t) {
    if (is_text(t))
        return sizeof(text);
    if (t == TYPE_LIST)
        return sizeof(list);
    return t == TYPE_BOOL ? 1 : sizeof(int64_t);
}

static_assert(sizeof(double) == sizeof(int64_t), "numbers share their cells' size");

// [a, b, …]: each row's cells side by side.
bool run_make_list(const step *s, uint32_t rows) {
    size_t cell = cell_bytes(s->out->element);
    memset(s->out->valid, 1, rows);
    for (uint32_t k = 0; k < s->many_count; k++)
        for (uint32_t i = 0; i < rows; i++)
            s->out->valid[i] &= s->many[k]->valid[i];
    uint8_t *cells = sl_arena_get(s->made, rows * s->many_count * cell + 1);
    if (cells == NULL)
        return false;
    for (uint32_t k = 0; k < s->many_count; k++) {
        const uint8_t *from = s->many[k]->values.any;
        for (uint32_t i = 0; i < rows; i++)
            memcpy(cells + (i * (size_t)s->many_count + k) * cell, from + i * cell, cell);
    }
    for (uint32_t i = 0; i < rows; i++)
        s->out->values.list[i] =
            (list){.cells = cells + i * s->many_count * cell, .count = s->many_count};
    return true;
}

bool run_list_index(const step *s, uint32_t rows) {
    size_t cell = cell_bytes(s->out->type);
    valid_of_both(s, rows);
    EACH_VALID(s, rows, i) {
        list l = s->in[0]->values.list[i];
        int64_t at = s->in[1]->values.i64[i];
        bool there = at >= 0 && at < l.count;
        if (there)
            memcpy((uint8_t *)s->out->values.any + i * cell,
                   (const uint8_t *)l.cells + (size_t)at * cell, cell);
        fail_if(s, i, !there);
    }
    return true;
}

bool run_list_size(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) s->out->values.i64[i] = s->in[0]->values.list[i].count;
    return true;
}

bool run_list_concatenate(const step *s, uint32_t rows) {
    size_t cell = cell_bytes(s->out->element);
    valid_of_both(s, rows);
    EACH_VALID(s, rows, i) {
        list a = s->in[0]->values.list[i], b = s->in[1]->values.list[i];
        size_t count = (size_t)a.count + b.count;
        bool fits = count * cell <= TEXT_BYTES_MAX;
        fail_if(s, i, !fits);
        if (!fits)
            continue;
        uint8_t *cells = sl_arena_get(s->made, count * cell + 1);
        if (cells == NULL)
            return false;
        memcpy(cells, a.cells, a.count * cell);
        memcpy(cells + a.count * cell, b.cells, b.count * cell);
        s->out->values.list[i] = (list){.cells = cells, .count = (uint32_t)count};
    }
    return true;
}

// As == of two cells of this type.
static bool equal_cells(type t, const void *a, const void *b) {
    if (is_text(t)) {
        text x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return equal_texts(x, y);
    }
    if (t == TYPE_DOUBLE) {
        double x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x <= y && x >= y;
    }
    return memcmp(a, b, cell_bytes(t)) == 0;
}

static bool equal_lists(type t, list a, list b) {
    size_t cell = cell_bytes(t);
    bool equal = a.count == b.count;
    for (uint32_t k = 0; equal && k < a.count; k++)
        equal = equal_cells(t, (const uint8_t *)a.cells + k * cell,
                            (const uint8_t *)b.cells + k * cell);
    return equal;
}

bool run_list_equal(const step *s, uint32_t rows) {
    type a = s->in[0]->element, b = s->in[1]->element;
    bool wanted = s->accept == ORDER_EQUAL;
    valid_of_both(s, rows);
    EACH_VALID(s, rows, i)
    s->out->values.truth[i] =
        equal_lists(a == TYPE_NULL ? b : a, s->in[0]->values.list[i],
                    s->in[1]->values.list[i]) == wanted;
    return true;
}

bool run_list_holds(const step *s, uint32_t rows) {
    type t = s->in[0]->type;
    size_t cell = cell_bytes(t);
    valid_of_both(s, rows);
    EACH_VALID(s, rows, i) {
        const uint8_t *value = (const uint8_t *)s->in[0]->values.any + i * cell;
        list l = s->in[1]->values.list[i];
        bool found = false;
        for (uint32_t k = 0; k < l.count && !found; k++)
            found = equal_cells(t, value, (const uint8_t *)l.cells + k * cell);
        s->out->values.truth[i] = found;
    }
    return true;
}

bool run_list_join(const step *s, uint32_t rows) {
    valid_of_all(s, rows);
    EACH_VALID(s, rows, i) {
        list l = s->in[0]->values.list[i];
        text between = s->in[1] == NULL ? NO_TEXT : s->in[1]->values.text[i];
        const text *pieces = l.cells;
        uint64_t length = l.count > 1 ? (l.count - 1) * (uint64_t)between.length : 0;
        for (uint32_t k = 0; k < l.count; k++)
            length += pieces[k].length;
        fail_if(s, i, length > TEXT_BYTES_MAX);
        if (length > TEXT_BYTES_MAX)
            continue;
        uint8_t *bytes = sl_arena_get(s->made, length + 1), *out = bytes;
        if (bytes == NULL)
            return false;
        for (uint32_t k = 0; k < l.count; k++) {
            if (k > 0) {
                memcpy(out, between.bytes, between.length);
                out += between.length;
            }
            memcpy(out, pieces[k].bytes, pieces[k].length);
            out += pieces[k].length;
        }
        s->out->values.text[i] = text_of(bytes, length);
    }
    return true;
}

static bool beats(type t, bool greatest, const int64_t *a, const int64_t *b) {
    if (t == TYPE_DOUBLE) {
        double x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return greatest ? x > y : x < y;
    }
    if (t == TYPE_UINT)
        return greatest ? (uint64_t)*a > (uint64_t)*b : (uint64_t)*a < (uint64_t)*b;
    return greatest ? *a > *b : *a < *b;
}

// Of no number there is no greatest: an error.
bool run_list_extreme(const step *s, uint32_t rows) {
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        list l = s->in[0]->values.list[i];
        const int64_t *cells = l.cells;
        uint32_t best = 0;
        for (uint32_t k = 1; k < l.count; k++)
            if (beats(s->out->type, s->accept == ORDER_GREATER, &cells[k], &cells[best]))
                best = k;
        if (l.count != 0)
            s->out->values.i64[i] = cells[best];
        fail_if(s, i, l.count == 0);
    }
    return true;
}

// ---- Keys of a map
// ---------------------------------------------------------------------------

bool run_find_i64(const step *s, uint32_t rows) {
    const set *keys = s->set;
    bool truth = s->in[0]->type == TYPE_BOOL;
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        int64_t key = truth ? s->in[0]->values.truth[i] & 1 : s->in[0]->values.i64[i];
        uint32_t low = 0, high = keys->count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (keys->i64[middle] < key)
                low = middle + 1;
            else
                high = middle;
        }
        bool there = low < keys->count && keys->i64[low] == key;
        s->out->values.i64[i] = there ? keys->place[low] : 0;
        fail_if(s, i, !there);
    }
    return true;
}

static int compare_keys(text a, text b) {
    if (a.length != b.length)
        return a.length < b.length ? -1 : 1;
    return memcmp(a.bytes, b.bytes, a.length);
}

bool run_find_text(const step *s, uint32_t rows) {
    const set *keys = s->set;
    valid_of_one(s, rows);
    EACH_VALID(s, rows, i) {
        uint32_t low = 0, high = keys->count;
        int difference = 1;
        while (low < high && difference != 0) {
            uint32_t middle = low + (high - low) / 2;
            difference = compare_keys(keys->text[middle], s->in[0]->values.text[i]);
            if (difference == 0)
                s->out->values.i64[i] = keys->place[middle];
            else if (difference < 0)
                low = middle + 1;
            else
                high = middle;
        }
        fail_if(s, i, difference != 0);
    }
    return true;
}
