/* The way of one load: a step sends one statement; its answer decides the next step.
 *
 *   connect ► live ─► (alter ► live) ─► peek ─► stage ─► copy ─► begin ► lock ► check ─►
 * (enter ► check) │                                     │ done already rows:    ├► insert
 * ─► (dead table ► dead) ─┐ windows: └► (read ► write ► upsert) …  ─────┴► move ► commit
 *
 * Whatever fails ends in fail(): roll back where a transaction is open, then pause and
 * begin anew, or report. Beginning anew is right after any failure, also after a COMMIT
 * without an answer: CHECK waits for the lock, which the old transaction holds until it
 * is either done or gone, and then finds the ledger where it put it. */
#include "loader.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { ATTEMPTS_MAX = 5, PAUSE_MS = 100 };

static void on_answer(void *context, sl_status status, const sl_postgres_result *result,
                      const sl_error *error);

/* --- ends --- */

static void clear(sl_pg_loader *l) {
    sl_spool_fini(&l->spool);
    sl_warehouse_table_fini(&l->shape);
    sl_live_table_fini(&l->live);
    sl_free(l->live_of);
    sl_free(l->as_text);
    sl_free(l->values);
    sl_free(l->row);
    sl_free(l->spread);
    sl_free(l->deltas);
    l->live_of = NULL;
    l->as_text = NULL;
    l->values = l->row = NULL;
    l->spread = NULL;
    l->deltas = NULL;
    sl_buffer *const buffers[] = {&l->text, &l->out,   &l->dead,
                                  &l->key,  &l->state, &l->merged};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        sl_buffer_fini(buffers[i]);
    sl_warehouse_parts_fini(&l->parts);
    sl_arena_fini(&l->arena);
    sl_arena_init(&l->arena, 64 * 1024);
}

void sl_pg_forget(sl_pg_loader *l) {
    sl_postgres_destroy(l->db);
    clear(l);
    sl_arena_fini(&l->arena);
}

/* What the engine makes of a status: everything that somebody can mend at the server is
 * repeated. */
static sl_status reported(sl_status status) {
    return status == SL_ETYPE || status == SL_ELIMIT || status == SL_ENOTFOUND ||
                   status == SL_EEXIST || status == SL_ESYNTAX
               ? SL_EIO
               : status;
}

/* The last thing that is done with the loader: what waits may begin, and the engine may
 * do anything. */
static void report(sl_pg_loader *l) {
    sl_target_done_fn *done = l->done;
    void *context = l->context;
    sl_error error = l->error;
    sl_status status = reported(l->outcome);
    error.status = status;
    if (status == SL_OK)
        sl_pg_count_cut(l->target, l->cut_texts);
    l->delivery = NULL;
    clear(l);
    sl_pg_idle(l->target, l);
    done(context, status, &error);
}

static bool retried(sl_status status) {
    return status == SL_EAGAIN || status == SL_EIO || status == SL_EFULL ||
           status == SL_EEXIST || status == SL_ENOTFOUND || status == SL_ETYPE;
}

/* Half of the time is by chance, so that two daemons that met don't meet again. */
static uint32_t pause_ms(const sl_pg_loader *l) {
    struct timespec now = {0};
    (void)timespec_get(&now, TIME_UTC);
    uint32_t full = (uint32_t)PAUSE_MS << l->attempt;
    uint64_t chance = sl_hash64(&now, sizeof now, (uint64_t)(uintptr_t)l);
    return full / 2 + (uint32_t)(chance % (full / 2 + 1));
}

static void pause_then(sl_pg_loader *l) {
    l->step = STEP_PAUSE;
    sl_postgres_pause(l->db, l->ending ? 0 : pause_ms(l), on_answer, l);
}

/* @param again Whether it makes sense to try the whole load again. */
static void fail(sl_pg_loader *l, sl_status status, bool again) {
    l->outcome = status;
    l->ending = !again || ++l->attempt >= ATTEMPTS_MAX;
    if (strncmp(l->error.text, l->delivery->table, strlen(l->delivery->table)) != 0)
        (void)sl_error_context(&l->error, "%s", l->delivery->table);
    if (!l->ending) {
        sl_message(SL_LEVEL_WARN, "postgres", "load is tried again",
                   "table=%s try=%u reason=\"%s\"", l->delivery->table, l->attempt + 1,
                   l->error.text);
        sl_pg_count_retry(l->target);
    }
    if (l->in_transaction && sl_postgres_connected(l->db)) {
        l->step = STEP_ROLLBACK;
        sl_postgres_query(l->db, "ROLLBACK", on_answer, l);
    } else {
        pause_then(l);
    }
}

static void fail_here(sl_pg_loader *l, sl_status status) { fail(l, status, false); }

static void succeed(sl_pg_loader *l) {
    l->outcome = SL_OK;
    l->ending = true;
    if (l->in_transaction) {
        l->step = STEP_ROLLBACK;
        sl_postgres_query(l->db, "ROLLBACK", on_answer, l);
    } else {
        report(l);
    }
}

/* --- statements --- */

static void send(sl_pg_loader *l, sl_pg_step step) {
    l->step = step;
    const char *text = sl_buffer_cstr(&l->text);
    if (l->text.failed)
        fail(l, sl_error_set(&l->error, SL_ENOMEM, "out of memory"), false);
    else
        sl_postgres_query(l->db, text, on_answer, l);
}

static sl_buffer *statement(sl_pg_loader *l) {
    sl_buffer_clear(&l->text);
    return &l->text;
}

static void send_copy(sl_pg_loader *l, sl_pg_step step, sl_postgres_source_fn *source) {
    l->step = step;
    l->out_ended = false;
    const char *text = sl_buffer_cstr(&l->text);
    if (l->text.failed)
        fail(l, sl_error_set(&l->error, SL_ENOMEM, "out of memory"), false);
    else
        sl_postgres_copy(l->db, text, source, on_answer, l);
}

static sl_warehouse_move move_of(const sl_pg_loader *l) {
    const sl_delivery *d = l->delivery;
    return (sl_warehouse_move){.table = d->target,
                               .partition = d->partition,
                               .from = d->entry->from,
                               .to = d->entry->to,
                               .first = d->first,
                               .hash = d->hash,
                               .rows = l->rows,
                               .ranges = d->entry->ranges,
                               .last_id = l->parts.last_id};
}

static void do_connect(sl_pg_loader *l) {
    l->step = STEP_CONNECT;
    l->in_transaction = false;
    l->looks = 0;
    l->error = (sl_error){0};
    if (sl_postgres_connected(l->db)) {
        sl_warehouse_live(&l->shape, statement(l));
        send(l, STEP_LIVE);
    } else {
        l->stage_shape = 0;
        sl_postgres_connect(l->db, NULL, NULL, on_answer, l);
    }
}

static uint64_t hash_text(const char *text) { return sl_hash64(text, strlen(text), 1); }

static bool staged_column(const sl_warehouse_column *c) {
    return c->role != SL_COLUMN_PARTITION;
}

/* Quoted names of the columns that are staged, after a comma where something stands
 * before them. */
static void staged_columns(const sl_pg_loader *l, const char *first, sl_buffer *out) {
    for (uint32_t i = 0; i < l->shape.count; i++) {
        if (!staged_column(&l->shape.columns[i]))
            continue;
        sl_buffer_text(out, first);
        sl_dialect_quote(SL_DIALECT_POSTGRES, l->shape.columns[i].name, out);
        first = ",";
    }
}

static void stage_definition(const sl_pg_loader *l, sl_buffer *out) {
    const char *comma = "";
    sl_buffer_text(out, "CREATE TEMP TABLE \"sluice_stage\" (");
    for (uint32_t i = 0; i < l->shape.count; i++) {
        const sl_warehouse_column *c = &l->shape.columns[i];
        if (!staged_column(c))
            continue;
        sl_buffer_text(out, comma);
        sl_dialect_quote(SL_DIALECT_POSTGRES, c->name, out);
        sl_buffer_byte(out, ' ');
        if (l->as_text[i])
            sl_buffer_text(out,
                           strcmp(l->live_of[i]->type, "json") == 0 ? "JSON" : "TEXT");
        else
            sl_warehouse_type(SL_DIALECT_POSTGRES, c, out);
        comma = ",";
    }
    sl_buffer_byte(out, ')');
    if (l->shape.window)
        sl_buffer_text(out, " ON COMMIT DELETE ROWS");
}

static void do_begin(sl_pg_loader *l) {
    l->in_transaction = true;
    sl_buffer_text(statement(l), "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
    send(l, STEP_BEGIN);
}

static void do_copy(sl_pg_loader *l) {
    if (l->shape.window) {
        do_begin(l);
        return;
    }
    sl_spool_fini(&l->spool);
    sl_spool_begin(&l->spool, sl_pg_options(l->target)->files, l->delivery);
    l->rows = l->staged = l->dead_rows = 0;
    sl_buffer_clear(&l->dead);
    sl_buffer_text(statement(l), "TRUNCATE " SL_STAGE "; COPY " SL_STAGE " (");
    staged_columns(l, "", &l->text);
    sl_buffer_text(&l->text, ") FROM STDIN (FORMAT binary)");
    send_copy(l, STEP_COPY, sl_pg_rows_source);
}

static void do_stage(sl_pg_loader *l) {
    stage_definition(l, statement(l));
    uint64_t shape = l->text.failed ? 0 : sl_hash64(l->text.bytes, l->text.length, 1);
    if (shape == l->stage_shape && shape != 0) {
        do_copy(l);
        return;
    }
    l->stage_shape = 0;
    sl_buffer_text(statement(l), "DROP TABLE IF EXISTS " SL_STAGE "; ");
    stage_definition(l, &l->text);
    send(l, STEP_STAGE);
}

static const sl_warehouse_column *id_column(const sl_warehouse_table *table) {
    for (uint32_t i = 0; i < table->count; i++)
        if (table->columns[i].unique)
            return &table->columns[i];
    return NULL;
}

static void set_list(const sl_warehouse_table *table, const char *key, sl_buffer *out) {
    const char *comma = "";
    sl_buffer_text(out, " ON CONFLICT (");
    sl_dialect_quote(SL_DIALECT_POSTGRES, key, out);
    sl_buffer_text(out, ") DO UPDATE SET ");
    for (uint32_t i = 0; i < table->count; i++) {
        if (strcmp(table->columns[i].name, key) == 0)
            continue;
        sl_buffer_text(out, comma);
        sl_dialect_quote(SL_DIALECT_POSTGRES, table->columns[i].name, out);
        sl_buffer_text(out, " = EXCLUDED.");
        sl_dialect_quote(SL_DIALECT_POSTGRES, table->columns[i].name, out);
        comma = ",";
    }
}

/* Append; or by id: of a load's rows with one id the last, and those without an id all.
 */
static void do_insert(sl_pg_loader *l) {
    const sl_warehouse_column *id = id_column(&l->shape);
    sl_buffer *out = statement(l);
    sl_buffer_printf(out, "INSERT INTO %s (\"_partition\"", l->shape.full);
    staged_columns(l, ",", out);
    sl_buffer_text(out, ") SELECT ");
    if (id != NULL) {
        sl_buffer_text(out, "DISTINCT ON (");
        sl_dialect_quote(SL_DIALECT_POSTGRES, id->name, out);
        sl_buffer_text(out, ", CASE WHEN ");
        sl_dialect_quote(SL_DIALECT_POSTGRES, id->name, out);
        sl_buffer_text(out, " IS NULL THEN \"_position\" END) ");
    }
    sl_buffer_printf(out, "%" PRId64, l->id);
    staged_columns(l, ",", out);
    sl_buffer_text(out, " FROM " SL_STAGE);
    if (id != NULL) {
        sl_buffer_text(out, " ORDER BY ");
        sl_dialect_quote(SL_DIALECT_POSTGRES, id->name, out);
        sl_buffer_text(out, ", CASE WHEN ");
        sl_dialect_quote(SL_DIALECT_POSTGRES, id->name, out);
        sl_buffer_text(out, " IS NULL THEN \"_position\" END, \"_position\" DESC");
        set_list(&l->shape, id->name, out);
    }
    send(l, STEP_INSERT);
}

static void do_move(sl_pg_loader *l) {
    sl_warehouse_move move = move_of(l);
    sl_warehouse_ledger_move(&l->shape, &move, statement(l));
    send(l, STEP_MOVE);
}

static void do_dead_table(sl_pg_loader *l) {
    sl_buffer_text(statement(l), "CREATE TABLE IF NOT EXISTS ");
    sl_warehouse_dead_table(&l->shape, l->delivery->target, &l->text);
    sl_buffer_text(&l->text,
                   " (\"partition\" TEXT NOT NULL, \"position\" BIGINT NOT NULL,"
                   " \"column\" TEXT NOT NULL, \"row\" TEXT NOT NULL,"
                   " PRIMARY KEY (\"partition\",\"position\"))");
    send(l, STEP_DEAD_TABLE);
}

static void do_dead(sl_pg_loader *l) {
    sl_buffer_text(statement(l), "COPY ");
    sl_warehouse_dead_table(&l->shape, l->delivery->target, &l->text);
    sl_buffer_text(&l->text, " (\"partition\",\"position\",\"column\",\"row\")"
                             " FROM STDIN (FORMAT binary)");
    send_copy(l, STEP_DEAD, sl_pg_dead_source);
}

static void do_read(sl_pg_loader *l) {
    sl_status status = sl_pg_chunk(l, &l->error);
    if (status == SL_ENOTFOUND) {
        do_move(l);
        return;
    }
    sl_buffer_clear(&l->out);
    sl_pgbinary_keys_begin(&l->out);
    for (uint32_t i = 0; i < l->delta_count && status == SL_OK; i++)
        sl_pgbinary_keys_add(&l->out, l->deltas[i].key, l->deltas[i].key_length);
    sl_pgbinary_keys_end(&l->out, l->delta_count);
    sl_buffer_text(statement(l), "SELECT ");
    sl_pg_merge_columns(&l->shape, &l->text);
    sl_buffer_printf(&l->text, " FROM %s WHERE \"_key\" = ANY($1)", l->shape.full);
    const char *text = sl_buffer_cstr(&l->text);
    if (status == SL_OK && (l->out.failed || l->text.failed))
        status = sl_error_set(&l->error, SL_ENOMEM, "out of memory");
    if (status != SL_OK) {
        fail_here(l, status);
        return;
    }
    l->step = STEP_READ;
    const sl_postgres_parameter keys = {SL_PG_BYTEA_ARRAY, l->out.bytes, l->out.length};
    sl_postgres_execute(l->db, text, &keys, 1, on_answer, l);
}

static void do_write(sl_pg_loader *l) {
    statement(l);
    if (l->chunk_again)
        sl_buffer_text(&l->text, "TRUNCATE " SL_STAGE "; ");
    l->chunk_again = true;
    sl_buffer_text(&l->text, "COPY " SL_STAGE " (");
    staged_columns(l, "", &l->text);
    sl_buffer_text(&l->text, ") FROM STDIN (FORMAT binary)");
    send_copy(l, STEP_WRITE, sl_pg_chunk_source);
}

static void do_upsert(sl_pg_loader *l) {
    sl_buffer *out = statement(l);
    sl_buffer_printf(out, "INSERT INTO %s (", l->shape.full);
    staged_columns(l, "", out);
    sl_buffer_text(out, ") SELECT ");
    staged_columns(l, "", out);
    sl_buffer_text(out, " FROM " SL_STAGE);
    set_list(&l->shape, "_key", out);
    send(l, STEP_UPSERT);
}

static void do_check(sl_pg_loader *l, sl_pg_step step) {
    if (l->delivery->entry->ranges != NULL)
        sl_warehouse_ledger_all(&l->shape, statement(l));
    else
        sl_warehouse_ledger_read(&l->shape, l->delivery->partition, statement(l));
    send(l, step);
}

/* --- answers --- */

static sl_status read_live(sl_pg_loader *l, const sl_postgres_result *result) {
    sl_live_table_fini(&l->live);
    if (sl_postgres_columns(result) != 6)
        return sl_error_set(&l->error, SL_EIO, "the catalog's answer isn't understood");
    for (uint32_t row = 0; row < sl_postgres_rows(result); row++) {
        const char *cells[6];
        for (uint32_t i = 0; i < 6; i++)
            cells[i] = sl_postgres_cell(result, row, i, NULL);
        if (sl_live_table_add(&l->live, cells) != SL_OK)
            return sl_error_set(&l->error, SL_ENOMEM, "out of memory");
    }
    return SL_OK;
}

/* DDL that is needed, in l->text. @return SL_ENOTFOUND: none is. */
static sl_status missing(sl_pg_loader *l) {
    sl_buffer *out = statement(l);
    uint64_t name = hash_text(l->delivery->target);
    bool any = false;
    if (l->live.count == 0)
        any = true, sl_warehouse_create(&l->shape, out);
    for (uint32_t i = 0; i < l->shape.count && l->live.count != 0; i++) {
        if (sl_live_find(&l->live, l->shape.columns[i].name) != NULL)
            continue;
        sl_buffer_text(out, any ? "; " : "");
        sl_warehouse_add_column(&l->shape, &l->shape.columns[i], out);
        any = true;
    }
    if (l->live.count == 0 && !l->rules.create)
        return sl_error_set(
            &l->error, SL_EIO,
            "there is no table %s, and `create` is off; `sluice ddl postgres` says"
            " what it should be",
            l->shape.full);
    if (any && !l->rules.create)
        return sl_error_set(&l->error, SL_EIO, "columns lack, and `create` is off: %s",
                            sl_buffer_cstr(out));
    if (any && l->looks > 1)
        return sl_error_set(
            &l->error, SL_EIO,
            "%s was made, but isn't there: is it hidden by the search_path?",
            l->shape.full);
    if (l->rules.create && l->ensured != name) {
        sl_buffer_text(out, any ? "; " : "");
        sl_warehouse_ledger_create(&l->shape, out);
        l->ensured = name;
        any = true;
    }
    return any ? SL_OK : SL_ENOTFOUND;
}

static void on_live(sl_pg_loader *l, const sl_postgres_result *result) {
    sl_status status = read_live(l, result);
    l->looks++;
    if (status == SL_OK) {
        status = missing(l);
        if (status == SL_OK) {
            send(l, STEP_ALTER);
            return;
        }
    }
    if (status == SL_ENOTFOUND)
        status = sl_live_check(&l->live, &l->shape, &l->error);
    if (status != SL_OK) {
        fail_here(l, status);
        return;
    }
    for (uint32_t i = 0; i < l->shape.count; i++) {
        l->live_of[i] = sl_live_find(&l->live, l->shape.columns[i].name);
        l->as_text[i] = l->shape.columns[i].type == SL_TYPE_JSON &&
                        l->live_of[i] != NULL &&
                        strcmp(l->live_of[i]->type, "jsonb") != 0;
    }
    do_check(l, STEP_PEEK);
}

/* One row, or none: ours. */
static sl_status own_row_says(sl_pg_loader *l, const sl_postgres_result *result,
                              sl_error *error) {
    const char *position = NULL, *hash = NULL;
    l->id = 0;
    if (sl_postgres_rows(result) != 0) {
        l->id = strtoll(sl_postgres_cell(result, 0, 0, NULL), NULL, 10);
        position = sl_postgres_cell(result, 0, 1, NULL);
        hash = sl_postgres_cell(result, 0, 2, NULL);
    }
    sl_warehouse_move move = move_of(l);
    return sl_warehouse_ledger_check(&move, position, hash, error);
}

/* Of an entry that brings parts of partitions that others bring, too: ours first. */
static sl_status all_rows_say(sl_pg_loader *l, const sl_postgres_result *result,
                              sl_error *error) {
    const sl_delivery *d = l->delivery;
    const char *position = NULL, *hash = NULL;
    sl_status status = SL_OK;
    sl_warehouse_parts_fini(&l->parts);
    l->id = 0;
    for (uint32_t row = 0; status == SL_OK && row < sl_postgres_rows(result); row++) {
        const char *cells[3];
        for (uint32_t i = 0; i < 3; i++)
            cells[i] = sl_postgres_cell(result, row, i, NULL);
        status = sl_warehouse_parts_add(&l->parts, d->target, cells, error);
        if (status == SL_OK && strcmp(cells[1], d->partition) == 0) {
            l->id = strtoll(cells[0], NULL, 10);
            position = cells[2];
            hash = sl_postgres_cell(result, row, 3, NULL);
        }
    }
    sl_warehouse_move move = move_of(l);
    if (status == SL_OK)
        status = sl_warehouse_ledger_check(&move, position, hash, error);
    return status == SL_OK ? sl_warehouse_parts_check(&move, &l->parts, d->found, error)
                           : status;
}

static sl_status ledger_says(sl_pg_loader *l, const sl_postgres_result *result,
                             sl_error *error) {
    return l->delivery->entry->ranges != NULL ? all_rows_say(l, result, error)
                                              : own_row_says(l, result, error);
}

/* Before anything is staged: spares what would be for nothing. */
static void on_peek(sl_pg_loader *l, const sl_postgres_result *result) {
    sl_error error = {0};
    sl_status status = ledger_says(l, result, &error);
    if (status == SL_EEXIST) {
        succeed(l);
    } else if (status == SL_EMOVED) {
        l->error = error;
        fail_here(l, status);
    } else {
        do_stage(l);
    }
}

static void on_check(sl_pg_loader *l, const sl_postgres_result *result) {
    sl_status status = ledger_says(l, result, &l->error);
    if (status == SL_EEXIST) {
        succeed(l);
    } else if (status != SL_OK) {
        fail_here(l, status);
    } else if (l->id == 0) {
        sl_warehouse_move move = move_of(l);
        sl_warehouse_ledger_insert(&l->shape, &move, statement(l));
        send(l, STEP_ENTER);
    } else if (l->shape.window) {
        sl_spool_fini(&l->spool);
        sl_spool_begin(&l->spool, sl_pg_options(l->target)->files, l->delivery);
        l->rows = 0;
        l->chunk_again = false;
        do_read(l);
    } else {
        do_insert(l);
    }
}

/* "INSERT 0 17", "UPDATE 1", "COPY 17": the number at the end. */
static bool tag_counts(const sl_postgres_result *result, uint64_t count) {
    const char *tag = sl_postgres_tag(result), *last = strrchr(tag, ' ');
    return last != NULL && strtoull(last + 1, NULL, 10) == count;
}

static void wrong_count(sl_pg_loader *l, const sl_postgres_result *result,
                        uint64_t count) {
    fail(l,
         sl_error_set(&l->error, SL_EAGAIN,
                      "the server answered %s, %" PRIu64 " rows were meant",
                      sl_postgres_tag(result), count),
         true);
}

static void next_step(sl_pg_loader *l, const sl_postgres_result *result) {
    sl_status status;
    switch (l->step) {
    case STEP_CONNECT:
    case STEP_ALTER:
        sl_warehouse_live(&l->shape, statement(l));
        send(l, STEP_LIVE);
        return;
    case STEP_LIVE:
        on_live(l, result);
        return;
    case STEP_PEEK:
        on_peek(l, result);
        return;
    case STEP_STAGE:
        stage_definition(l, statement(l));
        l->stage_shape = sl_hash64(l->text.bytes, l->text.length, 1);
        do_copy(l);
        return;
    case STEP_COPY:
        if (tag_counts(result, l->staged))
            do_begin(l);
        else
            wrong_count(l, result, l->staged);
        return;
    case STEP_BEGIN:
        sl_warehouse_ledger_lock(&l->shape, statement(l));
        send(l, STEP_LOCK);
        return;
    case STEP_LOCK:
    case STEP_ENTER:
        do_check(l, STEP_CHECK);
        return;
    case STEP_CHECK:
        on_check(l, result);
        return;
    case STEP_INSERT:
        if (l->rules.id == NULL && !tag_counts(result, l->staged))
            wrong_count(l, result, l->staged);
        else if (l->dead_rows != 0)
            do_dead_table(l);
        else
            do_move(l);
        return;
    case STEP_DEAD_TABLE:
        do_dead(l);
        return;
    case STEP_DEAD:
        do_move(l);
        return;
    case STEP_READ:
        status = sl_pg_merge(l, result, &l->error);
        if (status == SL_OK)
            do_write(l);
        else
            fail_here(l, status);
        return;
    case STEP_WRITE:
        do_upsert(l);
        return;
    case STEP_UPSERT:
        if (tag_counts(result, l->delta_count))
            do_read(l);
        else
            wrong_count(l, result, l->delta_count);
        return;
    case STEP_MOVE:
        if (!tag_counts(result, 1)) {
            wrong_count(l, result, 1);
            return;
        }
        l->step = STEP_COMMIT;
        sl_postgres_commit(l->db, on_answer, l);
        return;
    case STEP_COMMIT:
        l->in_transaction = false;
        succeed(l);
        return;
    case STEP_ROLLBACK:
    case STEP_PAUSE:
        return;
    }
}

/* A server that isn't there is the engine's to wait for. 57014: our own timeout; again at
 * once would take as long. 42P10: no unique constraint to upsert by. */
static void on_failure(sl_pg_loader *l, sl_status status, const sl_error *error) {
    const char *state = sl_postgres_sqlstate(l->db);
    l->error = *error;
    if (strcmp(state, "42P10") == 0) {
        (void)sl_error_context(&l->error, "%s needs a UNIQUE constraint to be updated by",
                               l->shape.full);
        status = SL_EIO;
        fail_here(l, status);
        return;
    }
    /* The table may have been dropped or changed: look at all of it again. */
    l->ensured = 0;
    bool again =
        retried(status) && strcmp(state, "57014") != 0 && l->step != STEP_CONNECT;
    fail(l, status, again);
}

static void on_answer(void *context, sl_status status, const sl_postgres_result *result,
                      const sl_error *error) {
    sl_pg_loader *l = context;
    if (l->step == STEP_ROLLBACK) {
        l->in_transaction = false;
        if (l->ending && l->outcome == SL_OK)
            report(l);
        else
            pause_then(l);
    } else if (l->step == STEP_PAUSE) {
        if (l->ending)
            report(l);
        else
            do_connect(l);
    } else if (status == SL_OK) {
        next_step(l, result);
    } else {
        on_failure(l, status, error);
    }
}

/* --- the beginning --- */

static sl_status prepare(sl_pg_loader *l) {
    const sl_delivery *d = l->delivery;
    const sl_postgres_target_options *o = sl_pg_options(l->target);
    sl_spool_begin(&l->spool, o->files, d);
    l->rules = (sl_warehouse_rules){.create = o->create, .policy = o->policy};
    if (o->rules_of != NULL)
        o->rules_of(o->context, d, &l->rules);
    if (d->plan != NULL)
        l->rules.id = NULL;
    sl_status status = d->plan != NULL
                           ? sl_warehouse_table_of_window(SL_DIALECT_POSTGRES, d->target,
                                                          d->plan, &l->shape, &l->error)
                           : sl_pg_rows_shape(l, &l->error);
    if (status != SL_OK)
        return status;
    l->live_of = sl_calloc(l->shape.count, sizeof *l->live_of);
    l->as_text = sl_calloc(l->shape.count, sizeof *l->as_text);
    l->values = sl_calloc(l->shape.count, sizeof *l->values);
    l->row = sl_calloc(l->row_columns + 1, sizeof *l->row);
    l->spread = sl_calloc(l->row_columns + 1, sizeof *l->spread);
    l->deltas = d->plan == NULL ? NULL : sl_calloc(SL_PG_DELTAS_MAX, sizeof *l->deltas);
    if (l->live_of == NULL || l->as_text == NULL || l->values == NULL || l->row == NULL ||
        l->spread == NULL || (d->plan != NULL && l->deltas == NULL))
        return sl_error_set(&l->error, SL_ENOMEM, "out of memory");
    return SL_OK;
}

void sl_pg_load(sl_pg_loader *l, const sl_delivery *delivery, sl_target_done_fn *done,
                void *context) {
    l->delivery = delivery;
    l->done = done;
    l->context = context;
    l->affinity = hash_text(delivery->target);
    l->attempt = 0;
    l->in_transaction = l->ending = false;
    l->error = (sl_error){0};
    l->rows = l->staged = l->dead_rows = l->cut_texts = 0;
    l->row_columns = 0;
    sl_status status = prepare(l);
    if (status == SL_OK)
        do_connect(l);
    else
        fail_here(l, status); /* Reported from the pause, never from here. */
}
