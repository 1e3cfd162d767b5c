// What a column's values could be, and a cell as what its column is.

#include "internal.h"

#include "sluice/time.h"

#include <math.h>
#include <stdlib.h>

#define NUMBER_BYTES_MAX 128u

// ---- Numbers as text
// ----------------------------------------------------------------------------------

/** Parts of a number as JSON writes it (RFC 8259 section 6). */
typedef struct shape {
    bool number;
    bool integer; /**< No point, no exponent. */
    bool exponent;
    uint32_t fraction; /**< Digits behind the point. */
} shape;

static uint32_t digits(const uint8_t *p, uint32_t length) {
    uint32_t i = 0;
    while (i < length && p[i] >= '0' && p[i] <= '9')
        i++;
    return i;
}

/** @param padded Zeros may stand before other digits: what is declared a number isn't a
 * code. */
static shape shape_of(const uint8_t *p, uint32_t length, bool padded) {
    shape s = {.integer = true};
    uint32_t i = length != 0 && p[0] == '-';
    uint32_t whole = digits(p + i, length - i);
    if (whole == 0 || (!padded && whole > 1 && p[i] == '0'))
        return s;
    i += whole;
    if (i < length && p[i] == '.') {
        s.fraction = digits(p + i + 1, length - i - 1);
        if (s.fraction == 0)
            return s;
        s.integer = false;
        i += 1 + s.fraction;
    }
    if (i < length && (p[i] == 'e' || p[i] == 'E')) {
        s.exponent = true;
        s.integer = false;
        i++;
        i += i < length && (p[i] == '+' || p[i] == '-');
        uint32_t power = digits(p + i, length - i);
        if (power == 0)
            return s;
        i += power;
    }
    s.number = i == length;
    return s;
}

static bool to_int(const uint8_t *p, uint32_t length, bool padded, int64_t *out) {
    shape s = shape_of(p, length, padded);
    if (!s.number || !s.integer || length > NUMBER_BYTES_MAX)
        return false;
    bool negative = p[0] == '-';
    uint64_t number = 0, limit = (uint64_t)INT64_MAX + negative;
    for (uint32_t i = negative; i < length; i++) {
        uint64_t digit = (uint64_t)(p[i] - '0');
        if (number > (limit - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

static bool to_double(const uint8_t *p, uint32_t length, bool padded, double *out) {
    char text[NUMBER_BYTES_MAX + 1];
    if (length > NUMBER_BYTES_MAX || !shape_of(p, length, padded).number)
        return false;
    memcpy(text, p, length);
    text[length] = 0;
    *out = strtod(text, NULL);
    return isfinite(*out);
}

// Exact, or not at all: digits beyond the scale must be 0.
static bool to_decimal(const uint8_t *p, uint32_t length, unsigned precision,
                       unsigned scale, int64_t *out) {
    shape s = shape_of(p, length, true);
    if (!s.number || s.exponent)
        return false;
    uint64_t number = 0, limit = 1;
    for (unsigned i = 0; i < precision; i++)
        limit *= 10;
    unsigned behind = 0;
    bool point = false;
    for (uint32_t i = p[0] == '-'; i < length; i++) {
        if (p[i] == '.') {
            point = true;
            continue;
        }
        if (point && behind == scale) {
            if (p[i] != '0')
                return false;
            continue;
        }
        number = number * 10 + (uint64_t)(p[i] - '0');
        behind += point;
        if (number >= limit)
            return false;
    }
    for (; behind < scale; behind++)
        if ((number *= 10) >= limit)
            return false;
    *out = p[0] == '-' ? -(int64_t)number : (int64_t)number;
    return true;
}

static bool equal(const cell *c, const char *word) {
    return c->length == strlen(word) && memcmp(c->bytes, word, c->length) == 0;
}

static bool to_truth(const cell *c, int64_t *out) {
    *out = equal(c, "true");
    return *out != 0 || equal(c, "false");
}

static bool to_date(const cell *c, int64_t *out) {
    int32_t days;
    if (!sl_date_parse((const char *)c->bytes, c->length, &days))
        return false;
    *out = days;
    return true;
}

// ---- Reading the type off the values
// ------------------------------------------------------------------------

static void see_number(content_column *column, const cell *c, bool any) {
    int64_t number;
    double real;
    column->ints =
        column->ints && to_int(c->bytes, c->length, false, &number) && !equal(c, "-0");
    shape s = shape_of(c->bytes, c->length, false);
    // A whole number beyond int64 would lose digits as a double.
    column->doubles = column->doubles && to_double(c->bytes, c->length, false, &real) &&
                      (!s.integer || to_int(c->bytes, c->length, false, &number));
    if (s.fraction > column->scale)
        column->scale = s.fraction > UINT8_MAX ? UINT8_MAX : (uint8_t)s.fraction;
    if (!any)
        column->truths = column->times = column->dates = false;
}

void sl_lookup_see(content_column *column, const cell *c) {
    int64_t ignored;
    if (c->kind == CELL_NULL || (c->length == 0 && c->kind == CELL_ANY))
        return;
    column->seen = true;
    bool any = c->kind == CELL_ANY, text = c->kind == CELL_TEXT;
    if (any || c->kind == CELL_NUMBER || c->kind == CELL_DECIMAL)
        see_number(column, c, any);
    else
        column->ints = column->doubles = false;
    if (any)
        column->truths = column->truths && to_truth(c, &ignored);
    else if (c->kind != CELL_TRUTH)
        column->truths = false;
    if (any || text)
        column->times =
            column->times && sl_time_parse((const char *)c->bytes, c->length, &ignored);
    else if (c->kind != CELL_TIME)
        column->times = false;
    if (any || text)
        column->dates = column->dates && to_date(c, &ignored);
    else if (c->kind != CELL_DATE)
        column->dates = false;
    column->decimals = column->decimals || c->kind == CELL_DECIMAL;
}

sl_type sl_lookup_type_of(const content_column *column) {
    if (!column->seen)
        return SL_TYPE_STRING;
    if (column->decimals && column->doubles && column->scale <= DECIMAL_DIGITS_MAX)
        return SL_TYPE_DECIMAL;
    if (column->ints)
        return SL_TYPE_INT64;
    if (column->doubles)
        return SL_TYPE_DOUBLE;
    if (column->truths)
        return SL_TYPE_BOOL;
    if (column->times)
        return SL_TYPE_TIMESTAMP;
    return column->dates ? SL_TYPE_DATE : SL_TYPE_STRING;
}

// ---- Converting
// ---------------------------------------------------------------------------------------

static const char *convert_number(const cell *c, const sl_lookup_column *column,
                                  typed *out) {
    if (column->type == SL_TYPE_INT64)
        return to_int(c->bytes, c->length, true, &out->i64) ? NULL : "an int (64 bits)";
    if (column->type == SL_TYPE_DOUBLE)
        return to_double(c->bytes, c->length, true, &out->f64) ? NULL : "a number";
    return to_decimal(c->bytes, c->length, column->precision, column->scale, &out->i64)
               ? NULL
               : "a decimal that fits its digits exactly";
}

const char *sl_lookup_convert(const cell *c, const sl_lookup_column *column, typed *out) {
    *out = (typed){.null = c->kind == CELL_NULL};
    if (out->null)
        return NULL;
    if (column->type == SL_TYPE_STRING) {
        out->bytes = c->bytes;
        out->length = c->length;
        return NULL;
    }
    if (c->length == 0 && c->kind == CELL_ANY) {
        out->null = true; // "" in a column of numbers.
        return NULL;
    }
    switch (column->type) {
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
    case SL_TYPE_DECIMAL:
        return convert_number(c, column, out);
    case SL_TYPE_BOOL:
        // As databases write them: SQLite 1 and 0, PostgreSQL's COPY t and f.
        out->i64 = equal(c, "true") || equal(c, "1") || equal(c, "t");
        return out->i64 || equal(c, "false") || equal(c, "0") || equal(c, "f")
                   ? NULL
                   : "true or false";
    case SL_TYPE_TIMESTAMP:
        return sl_time_parse((const char *)c->bytes, c->length, &out->i64)
                   ? NULL
                   : "a timestamp as RFC 3339 has it";
    case SL_TYPE_DATE:
        return to_date(c, &out->i64) ? NULL : "a date, YYYY-MM-DD";
    case SL_TYPE_STRING:
    case SL_TYPE_GROUP:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        break;
    }
    return "another type";
}

// ---- Keys
// ---------------------------------------------------------------------------------------------

static uint32_t int_text(int64_t number, char *room) {
    char turned[24];
    uint32_t count = 0, at = 0;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        turned[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        room[at++] = '-';
    while (count > 0)
        room[at++] = turned[--count];
    return at;
}

// "1.50" and "1.5" are one number, so they are one key.
static uint32_t decimal_text(int64_t number, unsigned scale, char *room) {
    while (scale > 0 && number % 10 == 0) {
        number /= 10;
        scale--;
    }
    char text[24];
    uint32_t length = int_text(number, text), sign = number < 0, at = 0;
    if (scale == 0) {
        memcpy(room, text, length);
        return length;
    }
    if (sign)
        room[at++] = '-';
    uint32_t whole = length - sign > scale ? length - sign - scale : 0;
    if (whole == 0)
        room[at++] = '0';
    memcpy(room + at, text + sign, whole);
    at += whole;
    room[at++] = '.';
    for (uint32_t i = length - sign; i < scale; i++)
        room[at++] = '0';
    memcpy(room + at, text + sign + whole, length - sign - whole);
    return at + length - sign - whole;
}

uint32_t sl_lookup_key_text(sl_type type, uint8_t scale, const typed *value, char *room,
                            const uint8_t **text) {
    *text = (const uint8_t *)room;
    switch (type) {
    case SL_TYPE_STRING:
        *text = value->bytes;
        return value->length;
    case SL_TYPE_INT64:
        return int_text(value->i64, room);
    case SL_TYPE_BOOL:
        memcpy(room, value->i64 ? "true" : "false", 5);
        return value->i64 ? 4 : 5;
    case SL_TYPE_DECIMAL:
        return decimal_text(value->i64, scale, room);
    case SL_TYPE_TIMESTAMP:
        return (uint32_t)sl_time_format(value->i64, room);
    case SL_TYPE_DATE:
        return (uint32_t)sl_date_format((int32_t)value->i64, room);
    case SL_TYPE_DOUBLE:
    case SL_TYPE_GROUP:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        break;
    }
    return UINT32_MAX;
}
