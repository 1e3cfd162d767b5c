/* Binary forms of PostgreSQL's types (its manual, COPY "Binary Format"; the types' send
 * and receive functions). All numbers are big-endian.
 *
 *   file     "PGCOPY\n\377\r\n\0" | i32 flags 0 | i32 length of extension 0 | rows | i16
 * -1 row      i16 number of fields | fields field    i32 length, -1: null | bytes
 *
 *   boolean u8 | bigint i64 | double precision its bits | date i32 days since 2000-01-01
 * | timestamp (both) i64 microseconds since then | text, bytea as they are | jsonb u8 1,
 * text numeric  u16 groups | i16 weight of the first | u16 sign (0, 0x4000) | u16 digits
 * shown behind the point | u16 groups of four decimal digits each; value = sum of
 * group[i] * 10000^(weight - i) array    i32 dimensions 1 | i32 nulls 0 | i32 type's oid
 * | i32 items | i32 first index 1 | fields */
#include "binary.h"

#include "sluice/time.h"

enum { DAYS_TO_2000 = 10957, BYTEA = 17, GROUPS_MAX = 12 };
static const int64_t us_to_2000 = DAYS_TO_2000 * SL_DAY_US;

static void put16(sl_buffer *out, uint16_t v) {
    sl_buffer_byte(out, (uint8_t)(v >> 8));
    sl_buffer_byte(out, (uint8_t)v);
}

static void put32(sl_buffer *out, uint32_t v) {
    put16(out, (uint16_t)(v >> 16));
    put16(out, (uint16_t)v);
}

static void put64(sl_buffer *out, uint64_t v) {
    put32(out, (uint32_t)(v >> 32));
    put32(out, (uint32_t)v);
}

void sl_pgbinary_begin(sl_buffer *out) {
    sl_buffer_append(out, "PGCOPY\n\377\r\n", 11);
    put64(out, 0);
}

void sl_pgbinary_row(sl_buffer *out, uint16_t columns) { put16(out, columns); }

void sl_pgbinary_end(sl_buffer *out) { put16(out, UINT16_MAX); }

/* The groups are aligned at the point, so the number is scaled to a multiple of four
 * digits behind it first. */
static void put_numeric(sl_buffer *out, int64_t number, uint8_t scale) {
    uint16_t groups[GROUPS_MAX];
    bool negative = number < 0;
    uint64_t rest = negative ? 0 - (uint64_t)number : (uint64_t)number;
    unsigned behind = (scale + 3u) / 4, count = 0, zeros = 0;
    unsigned short_by = behind * 4 - scale; /* 0 to 3 zeros are to be appended. */
    static const unsigned powers[] = {1, 10, 100, 1000};
    /* Lowest group first; the first one takes fewer digits of the number. */
    groups[count++] = (uint16_t)(rest % (10000 / powers[short_by]) * powers[short_by]);
    rest /= 10000 / powers[short_by];
    for (; rest != 0; rest /= 10000)
        groups[count++] = (uint16_t)(rest % 10000);
    while (count > 0 && groups[count - 1] == 0)
        count--;
    while (zeros < count && groups[zeros] == 0)
        zeros++;
    put32(out, 8 + 2 * (count - zeros));
    put16(out, (uint16_t)(count - zeros));
    put16(out,
          (uint16_t)(count - 1 - behind)); /* Two's complement where it is negative. */
    put16(out, negative && count != 0 ? 0x4000 : 0);
    put16(out, scale);
    for (unsigned i = count; i > zeros; i--)
        put16(out, groups[i - 1]);
}

void sl_pgbinary_value(sl_buffer *out, const sl_value *v) {
    uint64_t bits;
    if (v->null || v->type == SL_TYPE_GROUP) {
        put32(out, UINT32_MAX);
        return;
    }
    switch (v->type) {
    case SL_TYPE_BOOL:
        put32(out, 1);
        sl_buffer_byte(out, v->as.i64 != 0);
        break;
    case SL_TYPE_INT64:
        put32(out, 8);
        put64(out, (uint64_t)v->as.i64);
        break;
    case SL_TYPE_DOUBLE:
        memcpy(&bits, &v->as.f64, sizeof bits);
        put32(out, 8);
        put64(out, bits);
        break;
    case SL_TYPE_DECIMAL:
        put_numeric(out, v->as.i64, v->scale);
        break;
    case SL_TYPE_DATE:
        put32(out, 4);
        put32(out, (uint32_t)(v->as.i64 - DAYS_TO_2000));
        break;
    case SL_TYPE_TIMESTAMP: /* Wraps where PostgreSQL has no time either, and it says so.
                             */
        put32(out, 8);
        put64(out, (uint64_t)v->as.i64 - (uint64_t)us_to_2000);
        break;
    case SL_TYPE_JSON:
        put32(out, (uint32_t)v->as.text.length + 1);
        sl_buffer_byte(out, 1);
        sl_buffer_append(out, v->as.text.bytes, v->as.text.length);
        break;
    case SL_TYPE_STRING:
    case SL_TYPE_BYTES:
        put32(out, (uint32_t)v->as.text.length);
        sl_buffer_append(out, v->as.text.bytes, v->as.text.length);
        break;
    case SL_TYPE_GROUP:
        break;
    }
}

enum { ITEMS_AT = 12 };

void sl_pgbinary_keys_begin(sl_buffer *out) {
    put32(out, 1);
    put32(out, 0);
    put32(out, BYTEA);
    put32(out, 0); /* Set at the end. */
    put32(out, 1);
}

void sl_pgbinary_keys_add(sl_buffer *out, const uint8_t *bytes, size_t length) {
    put32(out, (uint32_t)length);
    sl_buffer_append(out, bytes, length);
}

void sl_pgbinary_keys_end(sl_buffer *out, uint32_t count) {
    if (out->failed)
        return;
    for (unsigned i = 0; i < 4; i++)
        out->bytes[ITEMS_AT + i] = (uint8_t)(count >> (24 - 8 * i));
}

/* --- reading --- */

static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint64_t get64(const uint8_t *at) {
    return (uint64_t)get32(at) << 32 | get32(at + 4);
}

__extension__ typedef __int128 wide;

/* group * 10^exponent; false where digits would be lost, or int64 has no room. */
static bool scaled(unsigned group, int exponent, wide *out) {
    *out = group;
    if (group > 9999 || (group != 0 && (exponent <= -4 || exponent > 18)))
        return false;
    for (; group != 0 && exponent > 0; exponent--)
        *out *= 10;
    for (; group != 0 && exponent < 0; exponent++, *out /= 10)
        if (*out % 10 != 0)
            return false;
    return true;
}

/* The number times 10^scale; false where that is no int64: NaN, infinity, too many
 * digits. */
static bool read_numeric(const uint8_t *at, size_t length, uint8_t scale, int64_t *out) {
    if (length < 8)
        return false;
    int count = get16(at), weight = (int16_t)get16(at + 2), sign = get16(at + 4);
    if ((sign != 0 && sign != 0x4000) || length != 8 + 2 * (size_t)count)
        return false;
    wide sum = 0, term;
    for (int i = 0; i < count; i++) {
        if (!scaled(get16(at + 8 + 2 * i), 4 * (weight - i) + scale, &term))
            return false;
        sum += term;
        if (sum > INT64_MAX)
            return false;
    }
    *out = sign != 0 ? -(int64_t)sum : (int64_t)sum;
    return true;
}

static bool read_fixed(const sl_warehouse_column *column, const uint8_t *at,
                       size_t length, sl_value *out) {
    uint64_t bits;
    switch (column->type) {
    case SL_TYPE_BOOL:
        out->as.i64 = length == 1 && *at != 0;
        return length == 1;
    case SL_TYPE_INT64:
        out->as.i64 = length == 8 ? (int64_t)get64(at) : 0;
        return length == 8;
    case SL_TYPE_DOUBLE:
        bits = length == 8 ? get64(at) : 0;
        memcpy(&out->as.f64, &bits, sizeof bits);
        return length == 8;
    case SL_TYPE_DATE:
        out->as.i64 = length == 4 ? (int64_t)(int32_t)get32(at) + DAYS_TO_2000 : 0;
        return length == 4;
    case SL_TYPE_TIMESTAMP:
        out->as.i64 = length == 8 ? (int64_t)(get64(at) + (uint64_t)us_to_2000) : 0;
        return length == 8;
    case SL_TYPE_DECIMAL:
        return read_numeric(at, length, column->scale, &out->as.i64);
    case SL_TYPE_STRING:
    case SL_TYPE_BYTES:
    case SL_TYPE_JSON:
    case SL_TYPE_GROUP:
        break;
    }
    return false;
}

bool sl_pgbinary_read(const sl_warehouse_column *column, const char *bytes, size_t length,
                      sl_value *out) {
    *out =
        (sl_value){.type = column->type, .scale = column->scale, .null = bytes == NULL};
    if (bytes == NULL)
        return true;
    const uint8_t *at = (const uint8_t *)bytes;
    if (column->type == SL_TYPE_STRING || column->type == SL_TYPE_BYTES) {
        out->as.text.bytes = at;
        out->as.text.length = length;
        return true;
    }
    if (column->type == SL_TYPE_JSON) {
        out->as.text.bytes = at + 1;
        out->as.text.length = length - 1;
        return length > 0 && *at == 1;
    }
    return read_fixed(column, at, length, out);
}
