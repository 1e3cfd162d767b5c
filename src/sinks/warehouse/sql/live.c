/* The table as the server has it, against the one that rows are brought for. */
#include "private.h"

#include <stdlib.h>

/* PostgreSQL: the catalog, by the name as statements find it (search_path). A domain's or
 * array's type has a name that nothing below accepts. */
static void live_postgres(const sl_warehouse_table *table, sl_buffer *out) {
    sl_buffer_text(
        out,
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, NULL),"
        " CASE WHEN a.atttypid IN (1042,1043) AND a.atttypmod > 4 THEN a.atttypmod - 4 "
        "END,"
        " CASE WHEN a.atttypid = 1700 AND a.atttypmod > 4"
        " THEN ((a.atttypmod - 4) >> 16) & 65535 END,"
        " CASE WHEN a.atttypid = 1700 AND a.atttypmod > 4 THEN (a.atttypmod - 4) & 65535 "
        "END,"
        " CASE WHEN a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''"
        " THEN 1 ELSE 0 END"
        " FROM pg_catalog.pg_attribute a WHERE a.attrelid = pg_catalog.to_regclass(");
    sl_dialect_literal(table->dialect, table->full, strlen(table->full), out);
    sl_buffer_text(out, ") AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum");
}

static void live_redshift(const sl_warehouse_table *table, sl_buffer *out) {
    sl_buffer_text(
        out, "SELECT column_name, data_type, character_maximum_length, numeric_precision,"
             " numeric_scale, CASE WHEN is_nullable = 'NO' AND column_default IS NULL"
             " THEN 1 ELSE 0 END FROM information_schema.columns WHERE table_name = ");
    sl_dialect_literal(table->dialect, table->name, strlen(table->name), out);
    sl_buffer_text(out, " AND table_schema = ");
    if (*table->schema != 0)
        sl_dialect_literal(table->dialect, table->schema, strlen(table->schema), out);
    else
        sl_buffer_text(out, "current_schema()");
    sl_buffer_text(out, " ORDER BY ordinal_position");
}

void sl_warehouse_live(const sl_warehouse_table *table, sl_buffer *out) {
    if (table->dialect == SL_DIALECT_POSTGRES)
        live_postgres(table, out);
    else
        live_redshift(table, out);
}

static int64_t number(const char *text) {
    return text == NULL ? 0 : strtoll(text, NULL, 10);
}

sl_status sl_live_table_add(sl_live_table *live, const char *const cells[6]) {
    if ((live->count & (live->count - 1)) == 0) { /* Full at each power of two. */
        size_t capacity = live->count == 0 ? 1 : 2 * (size_t)live->count;
        sl_live_column *columns = sl_realloc(live->columns, capacity * sizeof *columns);
        if (columns == NULL)
            return SL_ENOMEM;
        live->columns = columns;
    }
    sl_live_column column = {.name = sl_strdup(cells[0] == NULL ? "" : cells[0]),
                             .type = sl_strdup(cells[1] == NULL ? "" : cells[1]),
                             .length = number(cells[2]),
                             .precision = number(cells[3]),
                             .scale = number(cells[4]),
                             .must = number(cells[5]) != 0};
    if (column.name == NULL || column.type == NULL) {
        sl_free(column.name);
        sl_free(column.type);
        return SL_ENOMEM;
    }
    for (char *c = column.type; *c != 0; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    live->columns[live->count++] = column;
    return SL_OK;
}

void sl_live_table_fini(sl_live_table *live) {
    for (uint32_t i = 0; i < live->count; i++) {
        sl_free(live->columns[i].name);
        sl_free(live->columns[i].type);
    }
    sl_free(live->columns);
    *live = (sl_live_table){0};
}

const sl_live_column *sl_live_find(const sl_live_table *live, const char *name) {
    for (uint32_t i = 0; i < live->count; i++)
        if (strcmp(live->columns[i].name, name) == 0)
            return &live->columns[i];
    return NULL;
}

static bool one_of(const char *type, const char *const *names) {
    for (; *names != NULL; names++)
        if (strcmp(type, *names) == 0)
            return true;
    return false;
}

/* Types that hold every value of ours and read back as the same. */
static bool takes(const sl_live_column *live, const sl_warehouse_column *column,
                  sl_dialect dialect) {
    static const char *const
        booleans[] = {"boolean", NULL},
        *const integers[] = {"bigint", NULL},
        *const doubles[] = {"double precision", NULL}, *const dates[] = {"date", NULL},
        *const times[] = {"timestamp with time zone", "timestamp without time zone",
                          NULL},
        *const texts[] = {"text", "character varying", NULL},
        *const json[] = {"jsonb", "json", "super", "text", "character varying", NULL},
        *const bytes[] = {"bytea", "binary varying", "varbyte", NULL};
    const char *type = live->type;
    switch (column->type) {
    case SL_TYPE_BOOL:
        return one_of(type, booleans);
    case SL_TYPE_INT64:
        return one_of(type, integers);
    case SL_TYPE_DOUBLE:
        return one_of(type, doubles);
    case SL_TYPE_DECIMAL:
        if (strcmp(type, "numeric") != 0)
            return false;
        if (dialect == SL_DIALECT_REDSHIFT) /* Parquet's decimal must be the very same. */
            return live->precision == column->precision && live->scale == column->scale;
        return live->precision == 0 ||
               (live->scale >= column->scale &&
                live->precision - live->scale >= column->precision - column->scale);
    case SL_TYPE_DATE:
        return one_of(type, dates);
    case SL_TYPE_TIMESTAMP:
        return one_of(type, times);
    case SL_TYPE_STRING:
        return one_of(type, texts);
    case SL_TYPE_JSON:
    case SL_TYPE_GROUP:
        return one_of(type, json);
    case SL_TYPE_BYTES:
        return one_of(type, bytes);
    }
    return false;
}

static bool brought(const sl_warehouse_table *table, const char *name) {
    for (uint32_t i = 0; i < table->count; i++)
        if (strcmp(table->columns[i].name, name) == 0)
            return true;
    return false;
}

static sl_status wrong_type(const sl_live_column *live, const sl_warehouse_table *table,
                            const sl_warehouse_column *column, sl_error *error) {
    sl_buffer type = SL_BUFFER_EMPTY;
    sl_warehouse_type(table->dialect, column, &type);
    sl_status status =
        sl_error_set(error, SL_ETYPE,
                     "%s: column \"%s\" is %s in the warehouse, but %s is brought;"
                     " ALTER TABLE %s ALTER COLUMN \"%s\" TYPE %s would help",
                     table->full, live->name, live->type, sl_buffer_cstr(&type),
                     table->full, live->name, sl_buffer_cstr(&type));
    sl_buffer_fini(&type);
    return status;
}

sl_status sl_live_check(const sl_live_table *live, const sl_warehouse_table *table,
                        sl_error *error) {
    for (uint32_t i = 0; i < table->count; i++) {
        const sl_live_column *have = sl_live_find(live, table->columns[i].name);
        if (have != NULL && !takes(have, &table->columns[i], table->dialect))
            return wrong_type(have, table, &table->columns[i], error);
    }
    for (uint32_t i = 0; i < live->count; i++)
        if (live->columns[i].must && !brought(table, live->columns[i].name))
            return sl_error_set(
                error, SL_ETYPE,
                "%s: column \"%s\" is NOT NULL without a default, and no event has it",
                table->full, live->columns[i].name);
    return SL_OK;
}
