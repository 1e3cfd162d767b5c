/* Names, literals and types, as each server wants them.
 *
 * PostgreSQL  Names up to 63 bytes, quoted ones keep their case.
 * standard_conforming_strings is set on by our session. Redshift    Names up to 127
 * bytes, folded to lower case even when quoted; a backslash escapes in '…' and E'…' is
 * unknown (its base is PostgreSQL 8.0), so doubling both is right there. Athena Names up
 * to 255 bytes, lower case; quoted by backticks in DDL. */
#include "private.h"

#include "sluice/hash.h"

#include <inttypes.h>

static size_t name_bytes_max(sl_dialect dialect) {
    switch (dialect) {
    case SL_DIALECT_POSTGRES:
        return 63;
    case SL_DIALECT_REDSHIFT:
        return 127;
    case SL_DIALECT_ATHENA:
        break;
    }
    return 255;
}

size_t sl_utf8_within(const uint8_t *text, size_t length, size_t limit) {
    if (length <= limit)
        return length;
    while (limit > 0 && (text[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}

void sl_dialect_name(sl_dialect dialect, const char *name, sl_buffer *out) {
    enum { MARK = 9 }; /* '_' and 8 digits. */
    size_t length = strlen(name), max = name_bytes_max(dialect);
    size_t keep = length <= max
                      ? length
                      : sl_utf8_within((const uint8_t *)name, length, max - MARK);
    for (size_t i = 0; i < keep; i++) {
        char c = name[i];
        if (dialect != SL_DIALECT_POSTGRES && c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        sl_buffer_byte(out, (uint8_t)c);
    }
    if (keep < length)
        sl_buffer_printf(out, "_%08" PRIx32, (uint32_t)sl_hash64(name, length, 0));
}

void sl_dialect_quote(sl_dialect dialect, const char *name, sl_buffer *out) {
    const uint8_t quote = dialect == SL_DIALECT_ATHENA ? '`' : '"';
    sl_buffer_byte(out, quote);
    for (; *name != 0; name++) {
        if ((uint8_t)*name == quote)
            sl_buffer_byte(out, quote);
        sl_buffer_byte(out, (uint8_t)*name);
    }
    sl_buffer_byte(out, quote);
}

void sl_dialect_literal(sl_dialect dialect, const char *text, size_t length,
                        sl_buffer *out) {
    sl_buffer_byte(out, '\'');
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\'' || (text[i] == '\\' && dialect == SL_DIALECT_REDSHIFT))
            sl_buffer_byte(out, (uint8_t)text[i]);
        sl_buffer_byte(out, (uint8_t)text[i]);
    }
    sl_buffer_byte(out, '\'');
}

static void postgres_type(const sl_warehouse_column *column, sl_buffer *out) {
    static const char *const names[] = {
        [SL_TYPE_GROUP] = "JSONB",
        [SL_TYPE_BOOL] = "BOOLEAN",
        [SL_TYPE_INT64] = "BIGINT",
        [SL_TYPE_DOUBLE] = "DOUBLE PRECISION",
        [SL_TYPE_DECIMAL] = "NUMERIC",
        [SL_TYPE_DATE] = "DATE",
        [SL_TYPE_TIMESTAMP] = "TIMESTAMPTZ",
        [SL_TYPE_STRING] = "TEXT",
        [SL_TYPE_JSON] = "JSONB",
        [SL_TYPE_BYTES] = "BYTEA",
    };
    sl_buffer_text(out, names[column->type]);
    if (column->type == SL_TYPE_DECIMAL)
        sl_buffer_printf(out, "(%u,%u)", column->precision, column->scale);
}

/* Texts get the most that VARCHAR and VARBYTE are loaded with; `_key` has at most 1,016
 * digits, a partition's name is short. TIMESTAMP, not TIMESTAMPTZ: Parquet's microseconds
 * load into nothing else. */
static void redshift_type(const sl_warehouse_column *column, sl_buffer *out) {
    static const char *const names[] = {
        [SL_TYPE_GROUP] = "SUPER",         [SL_TYPE_BOOL] = "BOOLEAN",
        [SL_TYPE_INT64] = "BIGINT",        [SL_TYPE_DOUBLE] = "DOUBLE PRECISION",
        [SL_TYPE_DECIMAL] = "DECIMAL",     [SL_TYPE_DATE] = "DATE",
        [SL_TYPE_TIMESTAMP] = "TIMESTAMP", [SL_TYPE_STRING] = "VARCHAR(65535)",
        [SL_TYPE_JSON] = "SUPER",          [SL_TYPE_BYTES] = "VARBYTE(65535)",
    };
    sl_buffer_text(out,
                   column->role == SL_COLUMN_KEY ? "VARCHAR(1024)" : names[column->type]);
    if (column->type == SL_TYPE_DECIMAL)
        sl_buffer_printf(out, "(%u,%u)", column->precision, column->scale);
}

static void athena_type(const sl_warehouse_column *column, sl_buffer *out) {
    static const char *const names[] = {
        [SL_TYPE_GROUP] = "struct",        [SL_TYPE_BOOL] = "boolean",
        [SL_TYPE_INT64] = "bigint",        [SL_TYPE_DOUBLE] = "double",
        [SL_TYPE_DECIMAL] = "decimal",     [SL_TYPE_DATE] = "date",
        [SL_TYPE_TIMESTAMP] = "timestamp", [SL_TYPE_STRING] = "string",
        [SL_TYPE_JSON] = "string",         [SL_TYPE_BYTES] = "binary",
    };
    sl_buffer_text(out, names[column->type]);
    if (column->type == SL_TYPE_DECIMAL)
        sl_buffer_printf(out, "(%u,%u)", column->precision, column->scale);
}

void sl_warehouse_type(sl_dialect dialect, const sl_warehouse_column *column,
                       sl_buffer *out) {
    switch (dialect) {
    case SL_DIALECT_POSTGRES:
        postgres_type(column, out);
        break;
    case SL_DIALECT_REDSHIFT:
        redshift_type(column, out);
        break;
    case SL_DIALECT_ATHENA:
        athena_type(column, out);
        break;
    }
}
