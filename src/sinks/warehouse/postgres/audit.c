/* What is stored, row by row, against the hash that each row carries. Reads by a cursor,
 * in one snapshot. Redshift has cursors and such transactions, too ("DECLARE", "Isolation
 * levels" of its guide). */
#include "loader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROWS_A_FETCH = 1000, /* A Redshift of one node gives no more at once. */
    STATEMENT_MS = 300000
};

typedef struct audit {
    sl_postgres *db;
    sl_dialect dialect;
    const char *table;
    sl_warehouse_table
        shape; /* Names; and, where nobody said more, columns of the live table. */
    const sl_warehouse_table *columns; /* Which columns are ours. */
    sl_live_table live;
    const char *partition;
    bool window;
    uint64_t from, to;
    int64_t id;
    uint64_t others; /* Events that other partitions brought. */
    sl_warehouse_parts parts;
    uint64_t fetched;
    sl_value *values;
    sl_arena arena;
    sl_buffer text;
    sl_warehouse_fact *fact;
    sl_status status; /* Of what the callbacks made of the answers. */
} audit;

static sl_status run(audit *a, sl_postgres_done_fn *each, sl_error *error) {
    const char *text = sl_buffer_cstr(&a->text);
    if (a->text.failed)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", a->table);
    sl_status status = sl_postgres_query_wait(a->db, text, each, a, error);
    sl_buffer_clear(&a->text);
    if (status == SL_OK && a->status != SL_OK)
        status = sl_error_set(error, a->status,
                              "%s: the server's answer isn't understood", a->table);
    return status;
}

/* --- the live table as columns of ours --- */

static bool type_of(const char *name, sl_type *type) {
    static const struct {
        const char *name;
        sl_type type;
    } table[] = {
        {"boolean", SL_TYPE_BOOL},
        {"bigint", SL_TYPE_INT64},
        {"double precision", SL_TYPE_DOUBLE},
        {"numeric", SL_TYPE_DECIMAL},
        {"date", SL_TYPE_DATE},
        {"timestamp with time zone", SL_TYPE_TIMESTAMP},
        {"timestamp without time zone", SL_TYPE_TIMESTAMP},
        {"text", SL_TYPE_STRING},
        {"character varying", SL_TYPE_STRING},
        {"jsonb", SL_TYPE_JSON},
        {"json", SL_TYPE_JSON},
        {"super", SL_TYPE_JSON},
        {"bytea", SL_TYPE_BYTES},
        {"binary varying", SL_TYPE_BYTES},
        {"varbyte", SL_TYPE_BYTES},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(name, table[i].name) == 0) {
            *type = table[i].type;
            return true;
        }
    return false;
}

static sl_column_role role_of(const char *name) {
    return strcmp(name, "_partition") == 0  ? SL_COLUMN_PARTITION
           : strcmp(name, "_position") == 0 ? SL_COLUMN_POSITION
           : strcmp(name, "_hash") == 0     ? SL_COLUMN_HASH
           : strcmp(name, "_key") == 0      ? SL_COLUMN_KEY
           : strcmp(name, "_rows") == 0     ? SL_COLUMN_ROWS
                                            : SL_COLUMN_FIELD;
}

static sl_status columns_of_live(audit *a, sl_error *error) {
    sl_warehouse_table *t = &a->shape;
    for (uint32_t i = 0; i < t->count; i++) {
        sl_free(t->columns[i].name);
        sl_free(t->columns[i].source);
    }
    t->count = 0;
    sl_free(t->columns);
    t->columns = sl_calloc(a->live.count + 1, sizeof *t->columns);
    for (uint32_t i = 0; i < a->live.count && t->columns != NULL; i++) {
        const sl_live_column *have = &a->live.columns[i];
        sl_type type;
        if (!type_of(have->type, &type))
            continue;
        sl_warehouse_column *c = &t->columns[t->count];
        *c = (sl_warehouse_column){.name = sl_strdup(have->name),
                                   .type = type,
                                   .scale = (uint8_t)have->scale,
                                   .role = role_of(have->name),
                                   .seed = sl_hash64(have->name, strlen(have->name), 0)};
        if (c->name == NULL)
            return sl_error_set(error, SL_ENOMEM, "%s: out of memory", a->table);
        t->count++;
    }
    return t->columns != NULL
               ? SL_OK
               : sl_error_set(error, SL_ENOMEM, "%s: out of memory", a->table);
}

static void on_live(void *context, sl_status status, const sl_postgres_result *result,
                    const sl_error *error) {
    audit *a = context;
    (void)error;
    for (uint32_t row = 0; status == SL_OK && row < sl_postgres_rows(result); row++) {
        const char *cells[6];
        for (uint32_t i = 0; i < 6; i++)
            cells[i] = sl_postgres_cell(result, row, i, NULL);
        if (sl_live_table_add(&a->live, cells) != SL_OK)
            a->status = SL_ENOMEM;
    }
}

/* Ours, what others brought, and partitions that several bring. */
static void on_ledger(void *context, sl_status status, const sl_postgres_result *result,
                      const sl_error *error) {
    audit *a = context;
    sl_error own;
    (void)error;
    for (uint32_t row = 0; status == SL_OK && row < sl_postgres_rows(result); row++) {
        const char *cells[5];
        for (uint32_t i = 0; i < 5; i++)
            cells[i] = sl_postgres_cell(result, row, i, NULL);
        const uint64_t rows = cells[4] == NULL ? 0 : strtoull(cells[4], NULL, 10);
        status = sl_warehouse_parts_add(&a->parts, a->table, cells, &own);
        if (status != SL_OK) {
            a->status = status;
        } else if (strcmp(cells[1], a->partition) == 0) {
            a->id = strtoll(cells[0], NULL, 10);
            a->fact->found = true;
            a->fact->position = strtoull(cells[2], NULL, 10);
            a->fact->loaded = rows;
        } else {
            a->others += rows;
        }
    }
}

/* --- rows --- */

static bool hashed(sl_column_role role) {
    return role != SL_COLUMN_HASH && role != SL_COLUMN_PARTITION && role != SL_COLUMN_KEY;
}

static bool audited(const audit *a, const sl_warehouse_column *c) {
    return hashed(c->role) && sl_live_find(&a->live, c->name) != NULL;
}

/* Cells: _hash, _rows or 1, what people know the row by, then the columns that are
 * hashed. */
static void check_row(audit *a, const sl_postgres_result *result, uint32_t row) {
    uint32_t cell = 3;
    size_t length;
    bool readable = true;
    sl_arena_reset(&a->arena);
    for (uint32_t i = 0; i < a->columns->count; i++) {
        const sl_warehouse_column *c = &a->columns->columns[i];
        a->values[i] = (sl_value){.type = c->type, .null = true};
        if (!audited(a, c))
            continue;
        const char *text = sl_postgres_cell(result, row, cell++, &length);
        readable =
            sl_warehouse_cell(c, text, length, &a->arena, &a->values[i]) && readable;
    }
    const char *hash = sl_postgres_cell(result, row, 0, NULL);
    const char *rows = sl_postgres_cell(result, row, 1, NULL);
    const char *label = sl_postgres_cell(result, row, 2, NULL);
    uint64_t sum = sl_warehouse_row_hash(a->columns, a->values);
    a->fact->rows += rows == NULL ? 0 : strtoull(rows, NULL, 10);
    a->fact->row_hash += sum;
    if ((!readable || hash == NULL || (uint64_t)strtoll(hash, NULL, 10) != sum) &&
        a->fact->altered++ == 0)
        (void)snprintf(a->fact->first_altered, sizeof a->fact->first_altered, "%s=%s",
                       a->window ? "window_start" : "_position",
                       label == NULL ? "null" : label);
}

static void on_rows(void *context, sl_status status, const sl_postgres_result *result,
                    const sl_error *error) {
    audit *a = context;
    (void)error;
    a->fetched = status == SL_OK ? sl_postgres_rows(result) : 0;
    for (uint32_t row = 0; row < a->fetched; row++)
        check_row(a, result, row);
}

static void range(audit *a, const char *position) {
    sl_buffer_printf(&a->text, " AND \"%s\" >= %" PRIu64 " AND \"%s\" < %" PRIu64,
                     position, a->from, position, a->to);
}

static sl_status read_rows(audit *a, sl_error *error) {
    sl_buffer_text(&a->text,
                   "DECLARE sluice_audit CURSOR FOR SELECT \"_hash\",");
    sl_buffer_text(&a->text,
                   a->window ? "\"_rows\",\"window_start\"" : "1,\"_position\"");
    for (uint32_t i = 0; i < a->columns->count; i++) {
        if (!audited(a, &a->columns->columns[i]))
            continue;
        sl_buffer_byte(&a->text, ',');
        sl_dialect_quote(a->dialect, a->columns->columns[i].name, &a->text);
    }
    sl_buffer_printf(&a->text, " FROM %s", a->shape.full);
    if (!a->window) {
        sl_buffer_printf(&a->text, " WHERE \"_partition\" = %" PRId64, a->id);
        range(a, "_position");
    }
    sl_status status = run(a, NULL, error);
    do {
        sl_buffer_printf(&a->text, "FETCH FORWARD %d FROM sluice_audit", ROWS_A_FETCH);
        if (status == SL_OK)
            status = run(a, on_rows, error);
    } while (status == SL_OK && a->fetched != 0);
    return status;
}

static void on_dead(void *context, sl_status status, const sl_postgres_result *result,
                    const sl_error *error) {
    audit *a = context;
    (void)error;
    if (status == SL_OK && sl_postgres_rows(result) == 1)
        a->fact->rows += strtoull(sl_postgres_cell(result, 0, 0, NULL), NULL, 10);
}

/* Is there such a table? Redshift has no to_regclass: it is asked for the rows at once. */
static sl_status find_dead(audit *a, const sl_buffer *name, bool *there, sl_error *error) {
    *there = true;
    if (a->dialect != SL_DIALECT_POSTGRES)
        return SL_OK;
    sl_buffer_text(
        &a->text,
        "SELECT count(*) FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass(");
    sl_dialect_literal(a->dialect, (const char *)name->bytes, name->length, &a->text);
    sl_buffer_byte(&a->text, ')');
    uint64_t before = a->fact->rows;
    sl_status status = run(a, on_dead, error);
    *there = a->fact->rows != before;
    a->fact->rows = before;
    return status;
}

/* Rows that didn't fit were loaded as well, beside the table; in Redshift in several
 * pieces. The transaction's last statement: where there is no such table, it has failed. */
static sl_status read_dead(audit *a, sl_error *error) {
    sl_buffer name = SL_BUFFER_EMPTY;
    sl_warehouse_dead_table(&a->shape, a->table, &name);
    bool there;
    sl_status status = find_dead(a, &name, &there, error);
    if (status == SL_OK && there) {
        sl_buffer_printf(&a->text,
                         "SELECT count(DISTINCT \"position\") FROM %s WHERE \"partition\" = ",
                         sl_buffer_cstr(&name));
        sl_dialect_literal(a->dialect, a->partition, strlen(a->partition), &a->text);
        range(a, "position");
        status = run(a, on_dead, error);
    }
    sl_buffer_fini(&name);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status read_all(audit *a, sl_error *error) {
    sl_buffer_text(&a->text, a->dialect == SL_DIALECT_POSTGRES
                                 ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                                 : "BEGIN READ ONLY");
    sl_status status = run(a, NULL, error);
    if (status == SL_OK) {
        sl_warehouse_live(&a->shape, &a->text);
        status = run(a, on_live, error);
    }
    if (status != SL_OK || a->live.count == 0)
        return status;
    sl_warehouse_ledger_all(&a->shape, &a->text);
    status = run(a, on_ledger, error);
    if (status == SL_ENOTFOUND) /* There is no ledger. */
        return SL_OK;
    if (status != SL_OK || !a->fact->found)
        return status;
    if (a->columns == NULL) {
        status = columns_of_live(a, error);
        a->columns = &a->shape;
    }
    a->values = sl_calloc(a->columns->count + 1, sizeof *a->values);
    if (status == SL_OK && a->values == NULL)
        status = sl_error_set(error, SL_ENOMEM, "%s: out of memory", a->table);
    if (status == SL_OK)
        status = read_rows(a, error);
    if (status != SL_OK)
        return status;
    if (!a->window)
        return read_dead(a, error);
    /* A window's rows count events of all daemons that load into the table. */
    a->fact->rows = a->fact->rows > a->others ? a->fact->rows - a->others : 0;
    return SL_OK;
}

static void setup_of(sl_dialect dialect, sl_buffer *out) {
    if (dialect == SL_DIALECT_POSTGRES)
        sl_pg_setup(out, STATEMENT_MS);
    else
        sl_buffer_text(out, "SET client_encoding TO 'UTF8';SET datestyle TO 'ISO';"
                            "SET timezone TO 'UTC';SET extra_float_digits TO 2");
}

sl_status sl_postgres_audit(const sl_postgres_options *server, sl_dialect dialect,
                            const char *table, const sl_warehouse_table *shape,
                            const char *partition, bool window, uint64_t from,
                            uint64_t to, sl_warehouse_fact *out, sl_error *error) {
    static const sl_rows_column position = {.name = "_position", .type = SL_TYPE_INT64};
    audit a = {.dialect = dialect,
               .table = table,
               .columns = shape,
               .partition = partition,
               .window = window,
               .from = from,
               .to = to,
               .fact = out};
    *out = (sl_warehouse_fact){.parts = SL_BUFFER_EMPTY};
    sl_arena_init(&a.arena, 64 * 1024);
    sl_postgres_options options = *server;
    sl_buffer setup = SL_BUFFER_EMPTY;
    setup_of(dialect, &setup);
    options.setup = sl_buffer_cstr(&setup);
    sl_status status = sl_warehouse_table_of_rows(dialect, table, &position, 1, NULL,
                                                  &a.shape, error);
    if (status == SL_OK)
        status = setup.failed ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", table)
                              : sl_postgres_create(NULL, &options, &a.db, error);
    sl_buffer_fini(&setup);
    if (status == SL_OK)
        status = sl_postgres_connect_wait(a.db, error);
    if (status == SL_OK)
        status = read_all(&a, error);
    out->parts = a.parts.lines;
    sl_postgres_destroy(a.db);
    sl_warehouse_table_fini(&a.shape);
    sl_live_table_fini(&a.live);
    sl_free(a.values);
    sl_arena_fini(&a.arena);
    sl_buffer_fini(&a.text);
    return status;
}
