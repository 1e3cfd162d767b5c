/* Tables of databases, and what queries give.
 *
 * Types    SQLite has them by value: whole numbers, others, text; blobs count as null. PostgreSQL says them by column; what a table can't
 *          hold (json, arrays, uuid …) is the text that PostgreSQL makes of it; infinity and NaN are null.
 * Order    Rows come in the order of their key, so that equal content is an equal version.
 * Snapshot PostgreSQL: one cursor in a transaction that may only read. SQLite: one SELECT.
 */
#include "private.h"

#include "sluice/loop.h"
#include "sluice/postgres.h"
#include "sluice/sql.h"
#include "sluice/time.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define FETCH "FETCH 2000 FROM looked_up"
enum { STOP_ROWS = 1024, DIGITS_MAX = 18 };

static sl_status memory_full(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

/* --- SQLite --- */

static sl_value cell_of(sl_sql_statement *s, int column) {
    size_t length;
    switch (sl_sql_type(s, column)) {
    case SL_SQL_INT:
        return (sl_value){.type = SL_TYPE_INT64, .as.i64 = sl_sql_int(s, column)};
    case SL_SQL_DOUBLE:
        return (sl_value){.type = SL_TYPE_DOUBLE,
                          .null = !isfinite(sl_sql_double(s, column)),
                          .as.f64 = sl_sql_double(s, column)};
    case SL_SQL_TEXT: {
        const char *text = sl_sql_text(s, column, &length);
        return (sl_value){.type = SL_TYPE_STRING, .as.text = {(const uint8_t *)text, length}};
    }
    case SL_SQL_NULL:
    case SL_SQL_BLOB:
        break;
    }
    return (sl_value){.type = SL_TYPE_STRING, .null = true};
}

static sl_status names_of(sl_sql_statement *s, sl_lookup_loader *loader, uint32_t *count, sl_error *error) {
    const char *names[SL_LOOKUP_COLUMNS_MAX];
    int columns = sl_sql_columns(s);
    if (columns < 0 || columns > (int)SL_LOOKUP_COLUMNS_MAX)
        return sl_error_set(error, SL_ELIMIT, "more than %u columns", SL_LOOKUP_COLUMNS_MAX);
    *count = (uint32_t)columns;
    for (int i = 0; i < columns; i++)
        names[i] = sl_sql_column(s, i);
    return sl_lookup_names(loader, names, *count, error);
}

static sl_status sqlite_rows(const sl_data_request *r, sl_sql_statement *s, sl_lookup_loader *loader,
                             sl_error *error) {
    sl_value values[SL_LOOKUP_COLUMNS_MAX];
    uint32_t count = 0;
    sl_status status = names_of(s, loader, &count, error);
    for (uint64_t row = 0; status == SL_OK && (status = sl_sql_step(s, error)) == SL_OK; row++) {
        for (uint32_t i = 0; i < count; i++)
            values[i] = cell_of(s, (int)i);
        status = sl_lookup_row(loader, values, error);
        /* Relaxed: nothing but the wish itself is passed on. */
        if (status == SL_OK && r->stop != NULL && row % STOP_ROWS == 0 &&
            atomic_load_explicit(r->stop, memory_order_relaxed))
            status = sl_error_set(error, SL_EAGAIN, "stopped");
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

/* With a write-ahead log, what is new is in a file beside it. */
static sl_status look(const char *path, sl_data_seen *seen, sl_error *error) {
    sl_data_seen log = {{0}};
    sl_buffer name = SL_BUFFER_EMPTY;
    int64_t quiet;
    sl_error none;
    sl_buffer_printf(&name, "%s-wal", path);
    const char *beside = sl_buffer_cstr(&name);
    sl_status status = name.failed ? memory_full(error) : sl_data_look(path, seen, &quiet, error);
    if (status == SL_OK && sl_data_look(beside, &log, &quiet, &none) == SL_OK) {
        size_t length = strlen(seen->text);
        (void)snprintf(seen->text + length, sizeof seen->text - length, " %.100s", log.text);
    }
    sl_buffer_fini(&name);
    return status;
}

static sl_status sqlite_load(const sl_data_request *r, sl_sql *sql, const char *text, sl_lookup **out,
                             sl_buffer *left_out, sl_error *error) {
    sl_sql_statement *s;
    sl_lookup_loader *loader = NULL;
    sl_status status = sl_sql_prepare(sql, text, &s, error);
    if (status == SL_OK)
        status = sl_data_begin(r, SL_LOOKUP_ROWS, NULL, 0, &loader, error);
    if (status == SL_OK)
        status = sqlite_rows(r, s, loader, error);
    if (status == SL_OK)
        status = sl_data_finish(loader, out, left_out, error);
    sl_lookup_loader_destroy(loader);
    return status;
}

sl_status sl_data_sqlite(const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    const char *path = r->lookup->sqlite;
    const sl_sql_options options = {.read_only = true};
    sl_data_seen seen;
    sl_sql *sql = NULL;
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_data_select(r->lookup, &text);
    const char *select = sl_buffer_cstr(&text);
    sl_status status = text.failed ? memory_full(error) : look(path, &seen, error); /* As it was before reading. */
    bool same = status == SL_OK && r->seen != NULL && strcmp(seen.text, r->seen->text) == 0;
    if (status == SL_OK && !same)
        status = sl_sql_open(path, &options, &sql, error);
    if (sql != NULL)
        status = sqlite_load(r, sql, select, out, left_out, error);
    if (status == SL_OK && r->seen != NULL)
        *r->seen = seen;
    sl_sql_close(sql);
    sl_buffer_fini(&text);
    return status;
}

/* --- PostgreSQL --- */

/* PostgreSQL 15, src/include/catalog/pg_type.dat. */
enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_DATE = 1082,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
};

static sl_type type_of(uint32_t oid) {
    switch (oid) {
    case OID_BOOL:
        return SL_TYPE_BOOL;
    case OID_INT8:
    case OID_INT2:
    case OID_INT4:
    case OID_OID:
        return SL_TYPE_INT64;
    case OID_FLOAT4:
    case OID_FLOAT8:
        return SL_TYPE_DOUBLE;
    case OID_DATE:
        return SL_TYPE_DATE;
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        return SL_TYPE_TIMESTAMP;
    case OID_NUMERIC:
        return SL_TYPE_DECIMAL;
    default:
        return SL_TYPE_STRING;
    }
}

/** "-12.50" @return false: more digits than a decimal has. */
static bool decimal_of(const char *text, sl_value *value) {
    bool minus = *text == '-', point = false;
    unsigned digits = 0;
    int64_t number = 0;
    for (text += minus; *text != 0; text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (*text < '0' || *text > '9') { /* NaN, Infinity */
            value->null = true;
            return true;
        }
        digits += digits != 0 || *text != '0' || point;
        if (digits > DIGITS_MAX)
            return false;
        number = number * 10 + (*text - '0');
        value->scale = (uint8_t)(value->scale + point);
    }
    value->as.i64 = minus ? -number : number;
    return true;
}

/** "2026-01-01 12:00:00.5+00": RFC 3339 has minutes in the offset, too. */
static bool time_of(const char *text, size_t length, bool zoned, int64_t *us) {
    char whole[64];
    int wrote = snprintf(whole, sizeof whole, "%.*s%s", (int)length, text, zoned ? ":00" : "Z");
    return wrote > 0 && (size_t)wrote < sizeof whole && sl_time_parse(whole, (size_t)wrote, us);
}

/** @return false: more digits than a decimal has. */
static bool value_of(uint32_t oid, const char *text, size_t length, sl_value *value) {
    *value = (sl_value){.type = type_of(oid), .null = text == NULL};
    int32_t days = 0;
    if (text == NULL)
        return true;
    switch (oid) {
    case OID_BOOL:
        value->as.i64 = *text == 't';
        return true;
    case OID_INT8:
    case OID_INT2:
    case OID_INT4:
    case OID_OID:
        value->as.i64 = strtoll(text, NULL, 10);
        return true;
    case OID_FLOAT4:
    case OID_FLOAT8:
        value->as.f64 = strtod(text, NULL);
        value->null = !isfinite(value->as.f64);
        return true;
    case OID_DATE:
        value->null = !sl_date_parse(text, length, &days);
        value->as.i64 = days;
        return true;
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        value->null = !time_of(text, length, oid == OID_TIMESTAMPTZ, &value->as.i64);
        return true;
    case OID_NUMERIC:
        return decimal_of(text, value);
    default:
        value->as.text.bytes = (const uint8_t *)text;
        value->as.text.length = length;
        return true;
    }
}

typedef struct server {
    sl_data_wait wait;
    sl_postgres *connection;
    const sl_data_request *request;
    sl_lookup_loader *loader;
    uint64_t row;
    uint32_t fetched; /* Rows of the last result. */
} server;

static void on_done(void *context, sl_status status, const sl_postgres_result *result, const sl_error *error) {
    (void)result;
    sl_data_wait_done(&((server *)context)->wait, status, error);
}

/* A decimal's places are read off the values. */
static sl_status begin(server *s, const sl_postgres_result *result, sl_error *error) {
    const char *names[SL_LOOKUP_COLUMNS_MAX];
    sl_lookup_column columns[SL_LOOKUP_COLUMNS_MAX];
    uint32_t count = sl_postgres_columns(result), typed = 0;
    if (count > SL_LOOKUP_COLUMNS_MAX)
        return sl_error_set(error, SL_ELIMIT, "more than %u columns", SL_LOOKUP_COLUMNS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        names[i] = sl_postgres_column(result, i);
        sl_type type = type_of(sl_postgres_column_type(result, i));
        if (type != SL_TYPE_DECIMAL)
            columns[typed++] = (sl_lookup_column){.name = names[i], .typed = true, .type = type};
    }
    sl_status status = sl_data_begin(s->request, SL_LOOKUP_ROWS, columns, typed, &s->loader, error);
    return status == SL_OK ? sl_lookup_names(s->loader, names, count, error) : status;
}

static sl_status add_rows(server *s, const sl_postgres_result *result, sl_error *error) {
    sl_value values[SL_LOOKUP_COLUMNS_MAX];
    uint32_t columns = sl_postgres_columns(result);
    sl_status status = SL_OK;
    for (uint32_t row = 0; row < s->fetched && status == SL_OK; row++) {
        s->row++;
        for (uint32_t i = 0; i < columns; i++) {
            size_t length;
            const char *text = sl_postgres_cell(result, row, i, &length);
            if (!value_of(sl_postgres_column_type(result, i), text, length, &values[i]))
                return sl_error_set(error, SL_ELIMIT,
                                    "row %llu, column \"%s\": more than %d digits; `query` may cast it to text or"
                                    " double precision",
                                    (unsigned long long)s->row, sl_postgres_column(result, i), DIGITS_MAX);
        }
        status = sl_lookup_row(s->loader, values, error);
    }
    return status;
}

static void on_rows(void *context, sl_status status, const sl_postgres_result *result, const sl_error *error) {
    server *s = context;
    sl_error own;
    if (status == SL_OK) {
        s->fetched = sl_postgres_rows(result);
        status = s->loader == NULL ? begin(s, result, &own) : SL_OK;
        if (status == SL_OK)
            status = add_rows(s, result, &own);
        error = &own;
    }
    sl_data_wait_done(&s->wait, status, error);
}

static sl_status ask(server *s, const char *text, sl_postgres_done_fn *done, sl_error *error) {
    sl_postgres_query(s->connection, text, done, s);
    return sl_data_wait_for(&s->wait, error);
}

static sl_status read_rows(server *s, const char *declare, sl_error *error) {
    sl_postgres_connect(s->connection, NULL, NULL, on_done, s);
    sl_status status = sl_data_wait_for(&s->wait, error);
    if (status == SL_OK)
        status = ask(s, "BEGIN READ ONLY", on_done, error);
    if (status == SL_OK)
        status = ask(s, declare, on_done, error);
    do
        status = status == SL_OK ? ask(s, FETCH, on_rows, error) : status;
    while (status == SL_OK && s->fetched != 0);
    return status;
}

static sl_status load(server *s, const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    const sl_postgres_options options = {
        .url = r->lookup->postgres,
        .password = r->lookup->password,
        .ca_file = r->lookup->ca_file,
        .setup = "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET extra_float_digits = 1"};
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "DECLARE looked_up NO SCROLL CURSOR FOR ");
    sl_data_select(r->lookup, &text);
    const char *declare = sl_buffer_cstr(&text);
    sl_status status = text.failed ? memory_full(error)
                                   : sl_postgres_create(s->wait.loop, &options, &s->connection, error);
    if (status == SL_OK)
        status = read_rows(s, declare, error);
    if (status == SL_OK)
        status = sl_data_finish(s->loader, out, left_out, error);
    sl_buffer_fini(&text);
    return status;
}

sl_status sl_data_postgres(const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    server s = {.request = r};
    sl_status status = sl_data_wait_open(&s.wait, r->stop, error);
    if (status != SL_OK)
        return status;
    status = load(&s, r, out, left_out, error);
    sl_lookup_loader_destroy(s.loader);
    sl_postgres_destroy(s.connection);
    sl_data_wait_close(&s.wait);
    return status;
}
