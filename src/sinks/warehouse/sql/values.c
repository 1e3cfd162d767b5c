/* Rows and windows as values in the table's order, and back. */
#include "private.h"

#include "sluice/hash.h"
#include "sluice/time.h"

#include <math.h>
#include <stdlib.h>

enum { KEY_BYTES_MAX = 500, START_BYTES = 8, HASHED = 0xff };

/* --- hashes --- */

static uint64_t cell_hash(const sl_warehouse_column *column, const sl_value *v) {
    uint64_t seed = column->seed + (uint64_t)column->type;
    if (v->null)
        return 0;
    switch (column->type) {
    case SL_TYPE_JSON:
    case SL_TYPE_GROUP:
        return sl_hash64("j", 1, seed);
    case SL_TYPE_DOUBLE: {
        double d = isnan(v->as.f64) ? (double)NAN : v->as.f64 + 0.0; /* -0.0 is 0.0. */
        uint64_t bits;
        memcpy(&bits, &d, sizeof bits);
        if (isnan(d))
            bits = UINT64_C(0x7ff8000000000000);
        return sl_hash64(&bits, sizeof bits, seed);
    }
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
        return sl_hash64(&v->as.i64, sizeof v->as.i64, seed);
    case SL_TYPE_STRING:
    case SL_TYPE_BYTES:
        break;
    }
    return sl_hash64(v->as.text.bytes, v->as.text.length, seed);
}

uint64_t sl_warehouse_row_hash(const sl_warehouse_table *table, const sl_value *values) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        sl_column_role role = table->columns[i].role;
        if (role != SL_COLUMN_HASH && role != SL_COLUMN_PARTITION &&
            role != SL_COLUMN_KEY)
            sum += cell_hash(&table->columns[i], &values[i]);
    }
    return sum;
}

static sl_value integer(int64_t number) {
    return (sl_value){.type = SL_TYPE_INT64, .as.i64 = number};
}

static void set_hash(const sl_warehouse_table *table, sl_value *values) {
    for (uint32_t i = 0; i < table->count; i++)
        if (table->columns[i].role == SL_COLUMN_HASH)
            values[i] = integer((int64_t)sl_warehouse_row_hash(table, values));
}

void sl_warehouse_row(const sl_warehouse_table *table, const sl_value *row,
                      int64_t partition, sl_value *out) {
    for (uint32_t i = 0; i < table->count; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        if (c->role == SL_COLUMN_FIELD)
            out[i] = row[c->index];
        else if (c->role == SL_COLUMN_POSITION)
            out[i] = row[0];
        else
            out[i] = integer(partition);
    }
    set_hash(table, out);
}

/* --- windows --- */

void sl_warehouse_key(int64_t start_us, const uint8_t *key, size_t key_length,
                      sl_buffer *out) {
    for (int shift = 56; shift >= 0;
         shift -= 8) /* Big-endian and unsigned: sorts by time. */
        sl_buffer_byte(out, (uint8_t)(((uint64_t)start_us ^ UINT64_C(1) << 63) >> shift));
    if (key_length + START_BYTES < KEY_BYTES_MAX) {
        sl_buffer_append(out, key, key_length);
        return;
    }
    /* No value's bytes begin with 0xff, so this can't be another group's key. */
    sl_hash128 hash = sl_hash128_of(key, key_length);
    sl_buffer_byte(out, HASHED);
    sl_buffer_u64(out, hash.low);
    sl_buffer_u64(out, hash.high);
}

static void hex(const uint8_t *bytes, size_t length, sl_buffer *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        sl_buffer_byte(out, (uint8_t)digits[bytes[i] >> 4]);
        sl_buffer_byte(out, (uint8_t)digits[bytes[i] & 15]);
    }
}

/* `_key` as its column has it: bytes, or hex digits where texts are what joins. */
static void key_cell(const sl_warehouse_column *column, int64_t start_us,
                     const uint8_t *key, size_t key_length, sl_buffer *out) {
    if (column->type == SL_TYPE_BYTES) {
        sl_warehouse_key(start_us, key, key_length, out);
        return;
    }
    sl_buffer raw = SL_BUFFER_EMPTY;
    sl_warehouse_key(start_us, key, key_length, &raw);
    hex(raw.bytes, raw.length, out);
    out->failed = out->failed || raw.failed;
    sl_buffer_fini(&raw);
}

static sl_status group_values(const sl_warehouse_table *table, const uint8_t *key,
                              size_t length, sl_value *out) {
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->columns[i].role != SL_COLUMN_GROUP)
            continue;
        size_t used = sl_value_decode(key, length, &out[i]);
        if (used == 0)
            return SL_ECORRUPT;
        if (out[i].type != table->columns[i].type)
            return SL_ECORRUPT;
        key += used;
        length -= used;
    }
    return length == 0 ? SL_OK : SL_ECORRUPT;
}

/* A number with more digits than the column has, shows as null: "overflowed", like one
 * beyond int64. */
static void within_digits(const sl_warehouse_column *column, sl_value *v) {
    const int64_t limit = INT64_C(1000000000000000000);
    if (column->type == SL_TYPE_DECIMAL && column->precision <= 18 && !v->null &&
        (v->as.i64 >= limit || v->as.i64 <= -limit))
        v->null = true;
}

sl_status sl_warehouse_window_values(const sl_warehouse_table *table,
                                     const sl_window_plan *plan, int64_t start_us,
                                     const uint8_t *key, size_t key_length,
                                     const uint8_t *state, size_t state_length,
                                     sl_buffer *scratch, sl_value *out) {
    uint32_t measures;
    (void)sl_window_plan_measures(plan, &measures);
    sl_buffer_clear(scratch);
    sl_status status = group_values(table, key, key_length, out);
    sl_value *numbers = sl_calloc(measures + 1, sizeof *numbers);
    if (numbers == NULL)
        return SL_ENOMEM;
    if (status == SL_OK)
        status = sl_window_state_numbers(plan, state, state_length, numbers);
    for (uint32_t i = 0; i < table->count && status == SL_OK; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        size_t from = scratch->length;
        if (c->role == SL_COLUMN_START) {
            out[i] = (sl_value){.type = SL_TYPE_TIMESTAMP, .as.i64 = start_us};
        } else if (c->role == SL_COLUMN_MEASURE) {
            out[i] = numbers[c->index];
            within_digits(c, &out[i]);
        } else if (c->role == SL_COLUMN_ROWS) {
            out[i] = integer((int64_t)sl_window_state_rows(plan, state, state_length));
        } else if (c->role == SL_COLUMN_STATE || c->role == SL_COLUMN_KEY) {
            if (c->role == SL_COLUMN_STATE)
                status =
                    sl_window_state_partial(plan, state, state_length, c->index, scratch);
            else
                key_cell(c, start_us, key, key_length, scratch);
            out[i] =
                (sl_value){.type = c->type, .as.text.length = scratch->length - from};
        }
    }
    if (status == SL_OK && scratch->failed)
        status = SL_ENOMEM;
    /* The scratch doesn't move any more. */
    size_t at = 0;
    for (uint32_t i = 0; i < table->count && status == SL_OK; i++) {
        sl_column_role role = table->columns[i].role;
        if (role == SL_COLUMN_STATE || role == SL_COLUMN_KEY) {
            out[i].as.text.bytes = scratch->bytes + at;
            at += out[i].as.text.length;
        }
    }
    if (status == SL_OK)
        set_hash(table, out);
    sl_free(numbers);
    return status;
}

sl_status sl_warehouse_window_state(const sl_warehouse_table *table,
                                    const sl_window_plan *plan, const sl_value *values,
                                    sl_buffer *state) {
    uint32_t measures;
    uint64_t rows = 0;
    (void)sl_window_plan_measures(plan, &measures);
    sl_value *numbers = sl_calloc(2 * ((size_t)measures + 1), sizeof *numbers);
    if (numbers == NULL)
        return SL_ENOMEM;
    sl_value *partials = numbers + measures + 1;
    for (uint32_t i = 0; i < measures; i++)
        partials[i] = (sl_value){.type = SL_TYPE_BYTES, .null = true};
    for (uint32_t i = 0; i < table->count; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        if (c->role == SL_COLUMN_MEASURE)
            numbers[c->index] = values[i];
        else if (c->role == SL_COLUMN_STATE)
            partials[c->index] = values[i];
        else if (c->role == SL_COLUMN_ROWS)
            rows = (uint64_t)values[i].as.i64;
    }
    sl_status status = sl_window_state_build(plan, rows, numbers, partials, state);
    sl_free(numbers);
    return status == SL_OK && state->failed ? SL_ENOMEM : status;
}

/* --- cells in text form --- */

static bool whole_text(const char *text, size_t length, char *copy, size_t size) {
    if (length == 0 || length >= size || memchr(text, 0, length) != NULL)
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    return true;
}

static bool integer_cell(const char *text, int64_t *out) {
    char *end;
    *out = strtoll(text, &end, 10);
    return end != text && *end == 0;
}

/* "-12.5" with the column's scale: -1250 for 2. Digits beyond the scale must be zeros. */
static bool decimal_cell(const char *text, uint8_t scale, int64_t *out) {
    bool negative = *text == '-', point = false, any = false;
    uint64_t sum = 0;
    unsigned behind = 0;
    for (text += *text == '-' || *text == '+'; *text != 0; text++) {
        if (*text == '.' && !point) {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9' || (point && behind >= scale && *text != '0'))
            return false;
        any = true;
        if (point && behind >= scale)
            continue;
        behind += point;
        if (sum > (UINT64_C(1) << 63) / 10)
            return false;
        sum = sum * 10 + (unsigned)(*text - '0');
    }
    for (; behind < scale; behind++) {
        if (sum > (UINT64_C(1) << 63) / 10)
            return false;
        sum *= 10;
    }
    if (sum > (uint64_t)INT64_MAX)
        return false;
    *out = negative ? -(int64_t)sum : (int64_t)sum;
    return any;
}

/* "2026-01-01 00:00:00.5+00", or without an offset: both are UTC, as the session's time
 * zone is. */
static bool time_cell(const char *text, size_t length, int64_t *out) {
    char full[48];
    if (length + 2 > sizeof full)
        return false;
    memcpy(full, text, length);
    if (length > 3 && strcmp(text + length - 3, "+00") == 0)
        length -= 3;
    else if (length > 6 && strcmp(text + length - 6, "+00:00") == 0)
        length -= 6;
    full[length++] = 'Z';
    return sl_time_parse(full, length, out);
}

static int nibble(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool bytes_cell(const char *text, size_t length, sl_arena *scratch,
                       sl_value *out) {
    if (length >= 2 && text[0] == '\\' && text[1] == 'x') {
        text += 2;
        length -= 2;
    }
    uint8_t *bytes = length % 2 != 0 ? NULL : sl_arena_get(scratch, length / 2 + 1);
    if (bytes == NULL)
        return false;
    for (size_t i = 0; i < length; i += 2) {
        int high = nibble(text[i]), low = nibble(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    out->as.text.bytes = bytes;
    out->as.text.length = length / 2;
    return true;
}

static bool double_cell(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == 0;
}

bool sl_warehouse_cell(const sl_warehouse_column *column, const char *text, size_t length,
                       sl_arena *scratch, sl_value *out) {
    char copy[64];
    int32_t days;
    *out = (sl_value){.type = column->type, .scale = column->scale, .null = text == NULL};
    if (text == NULL)
        return true;
    switch (column->type) {
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_GROUP:
        out->as.text.bytes = (const uint8_t *)text;
        out->as.text.length = length;
        return true;
    case SL_TYPE_BYTES:
        return bytes_cell(text, length, scratch, out);
    case SL_TYPE_BOOL:
        out->as.i64 = length != 0 && (*text == 't' || *text == '1');
        return length != 0;
    case SL_TYPE_INT64:
        return whole_text(text, length, copy, sizeof copy) &&
               integer_cell(copy, &out->as.i64);
    case SL_TYPE_DOUBLE:
        return whole_text(text, length, copy, sizeof copy) &&
               double_cell(copy, &out->as.f64);
    case SL_TYPE_DECIMAL:
        return whole_text(text, length, copy, sizeof copy) &&
               decimal_cell(copy, column->scale, &out->as.i64);
    case SL_TYPE_DATE:
        if (!sl_date_parse(text, length, &days))
            return false;
        out->as.i64 = days;
        return true;
    case SL_TYPE_TIMESTAMP:
        return whole_text(text, length, copy, sizeof copy) &&
               time_cell(copy, length, &out->as.i64);
    }
    return false;
}
