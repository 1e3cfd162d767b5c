/* The steps of one delivery, in order. See job.h. */
#include "job.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdlib.h>

enum { UPLOADS = 4, DDL_TRIES = 20, PAUSE_MS = 100, PAUSE_MS_MAX = 5000 };

static void connect_server(job *j);
static void prepare(job *j);
static void read_live(job *j);
static void look(job *j);
static void go_on(job *j);
static void upload(job *j);
static void copy(job *j);
static void transaction(job *j);

/* --- queries and failures --- */

static void queried(void *context, sl_status status, const sl_postgres_result *result,
                    const sl_error *error) {
    job *j = context;
    if (status == SL_OK) {
        j->then(j, result);
        return;
    }
    sl_error own = *error;
    (void)sl_error_context(&own, "%s: %s", j->delivery->target, j->what);
    job_fail(j, status, &own, status == SL_EAGAIN || status == SL_EIO);
}

void job_query(job *j, const char *what, job_step *then) {
    sl_error error;
    j->what = what;
    j->then = then;
    const char *text = sl_buffer_cstr(&j->text);
    if (j->text.failed) {
        (void)sl_error_set(&error, SL_ENOMEM, "out of memory");
        job_fail(j, SL_ENOMEM, &error, false);
        return;
    }
    sl_postgres_query(j->session->connection, text, queried, j);
}

static void query_text(job *j, const char *text, job_step *then) {
    sl_buffer_clear(&j->text);
    sl_buffer_text(&j->text, text);
    job_query(j, text, then);
}

static void fail(job *j, sl_status status, sl_error *error, bool passes) {
    (void)sl_error_context(error, "%s", j->delivery->target);
    job_fail(j, status, error, passes);
}

static uint64_t pause_ms(const job *j) {
    int64_t now = j->of->options.clock.monotonic_us(j->of->options.clock.context);
    uint64_t most = (uint64_t)PAUSE_MS << j->tries;
    most = most > PAUSE_MS_MAX ? PAUSE_MS_MAX : most;
    const struct {
        int64_t now;
        const job *j;
    } seed = {now, j};
    return 1 + sl_hash64(&seed, sizeof seed, 0) % most;
}

/* What anybody can mend out there comes again; the rest is for people. */
static sl_status outcome(sl_status status) {
    switch (status) {
    case SL_ENOMEM:
    case SL_EFULL:
    case SL_EAGAIN:
    case SL_EIO:
    case SL_ENOSPC:
    case SL_EDENIED:
    case SL_ECONFLICT:
    case SL_ECORRUPT:
        return status;
    case SL_OK:
    case SL_EINVAL:
    case SL_ENOTFOUND:
    case SL_EEXIST:
    case SL_ESYNTAX:
    case SL_ETYPE:
    case SL_ELIMIT:
    case SL_EUNSUPPORTED:
    case SL_STATUS_COUNT:
        break;
    }
    return SL_EIO;
}

static void give_up(job *j) {
    if (j->known != NULL)
        j->known->compared = false; /* Somebody may mend it by changing the table. */
    target_finish(j, outcome(j->failed), &j->error);
}

static void after_rollback(void *context, sl_status status, const sl_postgres_result *result,
                           const sl_error *error) {
    job *j = context;
    (void)result;
    (void)error;
    if (status != SL_OK)
        j->session->epoch++; /* Whatever that connection had is not relied on. */
    if (j->tries == UINT32_MAX)
        give_up(j);
    else
        sl_timer_start(j->timer, pause_ms(j));
}

static void cancel_uploads(job *j) {
    for (uint32_t i = 0; i < j->stage.count; i++)
        if (j->stage.list[i].operation != NULL) {
            sl_object_operation_cancel(j->stage.list[i].operation);
            j->stage.list[i].operation = NULL;
        }
    if (j->manifest_put != NULL)
        sl_object_operation_cancel(j->manifest_put);
    j->manifest_put = NULL;
    j->uploads = 0;
}

void job_fail(job *j, sl_status status, const sl_error *error, bool passes) {
    j->error = *error;
    j->error.status = j->failed = status;
    cancel_uploads(j);
    sl_timer_stop(j->timer);
    j->encoding = false;
    if (passes && j->tries < TRIES) {
        j->tries++;
        sl_metric_add(j->of->retries, 1);
        sl_message(SL_LEVEL_WARN, "redshift", "trying again", "table=%s try=%u error=\"%s\"",
                   j->delivery->table, j->tries, error->text);
    } else {
        j->tries = UINT32_MAX;
    }
    if (!j->staged)
        encode_forget(j);
    bool begun = j->in_transaction;
    j->in_transaction = false;
    if (begun && sl_postgres_connected(j->session->connection)) {
        sl_postgres_query(j->session->connection, "ROLLBACK", after_rollback, j);
        if (j->locked)
            j->loaded = false; /* The temporary table went with the transaction. */
        return;
    }
    if (j->tries == UINT32_MAX)
        give_up(j);
    else
        sl_timer_start(j->timer, pause_ms(j));
}

/* --- start, connect --- */

void job_start(job *j) {
    if (!sl_postgres_connected(j->session->connection))
        connect_server(j);
    else
        prepare(j);
}

static void connected(void *context, sl_status status, const sl_postgres_result *result,
                      const sl_error *error) {
    job *j = context;
    (void)result;
    if (status != SL_OK) {
        sl_error own = *error;
        fail(j, status, &own, status == SL_EIO || status == SL_EAGAIN);
        return;
    }
    j->session->epoch++;
    prepare(j);
}

static void logged_in(void *context, sl_status status, const char *user, const char *password,
                      const sl_error *error) {
    job *j = context;
    j->login = NULL;
    if (status != SL_OK) {
        sl_error own = *error;
        fail(j, status, &own, false);
        return;
    }
    sl_postgres_connect(j->session->connection, user, password, connected, j);
}

static void connect_server(job *j) {
    const target *t = j->of;
    const sl_redshift_iam *iam = &t->options.iam;
    if (iam->cluster == NULL && iam->workgroup == NULL) {
        sl_postgres_connect(j->session->connection, NULL, NULL, connected, j);
        return;
    }
    sl_error error;
    sl_status status = sl_redshift_login_start(iam, t->options.http, t->options.credentials,
                                               t->options.clock, logged_in, j, &j->login, &error);
    if (status != SL_OK)
        fail(j, status, &error, false);
}

/* --- the table --- */

static sl_status make_table(job *j, sl_error *error) {
    const sl_delivery *d = j->delivery;
    const target *t = j->of;
    const char *id = t->options.id == NULL || d->plan != NULL
                         ? NULL
                         : t->options.id(t->options.context, d->target);
    sl_status status =
        d->plan != NULL
            ? sl_warehouse_table_of_window(SL_DIALECT_REDSHIFT, d->target, d->plan, &j->table, error)
            : sl_warehouse_table_of_schema(SL_DIALECT_REDSHIFT, d->target, d->schema, id, &j->table,
                                           error);
    if (status != SL_OK)
        return status;
    j->table_made = true;
    size_t count = (size_t)j->table.count + 1;
    j->live = sl_calloc(count, sizeof *j->live);
    j->values = sl_calloc(count, sizeof *j->values);
    j->row = sl_calloc(count, sizeof *j->row);
    j->deltas = d->plan == NULL ? NULL : sl_calloc(DELTAS, sizeof *j->deltas);
    return j->live == NULL || j->values == NULL || j->row == NULL ||
                   (d->plan != NULL && j->deltas == NULL)
               ? sl_error_set(error, SL_ENOMEM, "out of memory")
               : SL_OK;
}

static uint64_t columns_hash(const sl_warehouse_table *table) {
    uint64_t hash = table->count;
    for (uint32_t i = 0; i < table->count; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        hash = sl_hash64(c->name, strlen(c->name), hash + (uint64_t)c->type + c->precision * 7u +
                                                       c->scale * 101u);
    }
    return hash;
}

static known *find_known(job *j) {
    const char *name = j->delivery->target;
    for (known *k = j->of->tables; k != NULL; k = k->next)
        if (strcmp(k->name, name) == 0)
            return k;
    known *k = sl_calloc(1, sizeof *k);
    if (k == NULL || (k->name = sl_strdup(name)) == NULL) {
        sl_free(k);
        return NULL;
    }
    k->next = j->of->tables;
    j->of->tables = k;
    return k;
}

static void prepare(job *j) {
    sl_error error;
    sl_status status = j->table_made ? SL_OK : make_table(j, &error);
    if (status == SL_OK && (j->known = find_known(j)) == NULL)
        status = sl_error_set(&error, SL_ENOMEM, "out of memory");
    if (status != SL_OK) {
        fail(j, status, &error, false);
        return;
    }
    j->ddl_tries = 0;
    if (j->known->compared && j->known->columns == columns_hash(&j->table))
        look(j);
    else
        read_live(j);
}

static void altered(job *j, const sl_postgres_result *result) {
    (void)result;
    read_live(j);
}

/* Another daemon may have been quicker: then it is there. */
static void defined(void *context, sl_status status, const sl_postgres_result *result,
                    const sl_error *error) {
    job *j = context;
    if (status == SL_EEXIST)
        status = SL_OK;
    queried(j, status, result, error);
}

static void define(job *j, const char *what, job_step *then) {
    sl_error error;
    j->what = what;
    j->then = then;
    const char *text = sl_buffer_cstr(&j->text);
    if (j->text.failed || j->ddl_tries++ > DDL_TRIES + j->table.count) {
        (void)sl_error_set(&error, j->text.failed ? SL_ENOMEM : SL_EIO,
                           j->text.failed ? "out of memory" : "the table doesn't come to be");
        fail(j, error.status, &error, false);
        return;
    }
    sl_postgres_query(j->session->connection, text, defined, j);
}

static void compared(job *j, const sl_postgres_result *result) {
    (void)result;
    known *k = j->known;
    k->columns = columns_hash(&j->table);
    k->compared = true;
    if (j->of->options.live != NULL)
        j->of->options.live(j->of->options.context, j->delivery->target, &k->live);
    look(j);
}

/* Columns of ours that the table lacks are added; the rest must fit. */
static void compare(job *j) {
    sl_error error;
    sl_buffer_clear(&j->text);
    for (uint32_t i = 0; i < j->table.count; i++) {
        const sl_warehouse_column *c = &j->table.columns[i];
        if (sl_live_find(&j->known->live, c->name) != NULL)
            continue;
        sl_warehouse_add_column(&j->table, c, &j->text);
        if (j->of->options.create) {
            define(j, "add column", altered);
            return;
        }
        (void)sl_error_set(&error, SL_EIO, "the table lacks column \"%s\": %s", c->name,
                           sl_buffer_cstr(&j->text));
        fail(j, SL_EIO, &error, false);
        return;
    }
    sl_status status = sl_live_check(&j->known->live, &j->table, &error);
    if (status != SL_OK) {
        fail(j, status, &error, false);
        return;
    }
    if (!j->of->options.create) {
        compared(j, NULL);
        return;
    }
    sl_warehouse_ledger_create(&j->table, &j->text);
    define(j, "create the ledger", compared);
}

static void got_live(job *j, const sl_postgres_result *result) {
    sl_error error;
    sl_live_table *live = &j->known->live;
    sl_live_table_fini(live);
    uint32_t rows = sl_postgres_rows(result);
    sl_status status = SL_OK;
    for (uint32_t r = 0; r < rows && status == SL_OK; r++) {
        const char *cells[6] = {0};
        size_t length;
        for (uint32_t c = 0; c < 6 && c < sl_postgres_columns(result); c++)
            cells[c] = sl_postgres_cell(result, r, c, &length);
        status = sl_live_table_add(live, cells);
    }
    if (status != SL_OK) {
        (void)sl_error_set(&error, status, "out of memory");
        fail(j, status, &error, false);
    } else if (live->count != 0) {
        compare(j);
    } else if (j->of->options.create) {
        sl_buffer_clear(&j->text);
        sl_warehouse_create(&j->table, &j->text);
        define(j, "create table", altered);
    } else {
        (void)sl_error_set(&error, SL_EIO, "there is no such table, and `create` is off");
        fail(j, SL_EIO, &error, false);
    }
}

static void read_live(job *j) {
    j->known->compared = false;
    sl_buffer_clear(&j->text);
    sl_warehouse_live(&j->table, &j->text);
    job_query(j, "read the table's columns", got_live);
}

/* --- the ledger --- */

static void read_move(const job *j, sl_warehouse_move *move) {
    const sl_delivery *d = j->delivery;
    *move = (sl_warehouse_move){.table = d->table,
                                .partition = d->partition,
                                .from = d->entry->from,
                                .to = d->entry->to,
                                .first = d->first,
                                .hash = d->hash,
                                .rows = j->rows};
}

/* All its rows into the stamp, ours compared (I4). @return as sl_warehouse_ledger_check(). */
static sl_status read_ledger(job *j, const sl_postgres_result *result, sl_error *error) {
    sl_warehouse_move move;
    read_move(j, &move);
    sl_buffer_clear(&j->stamp);
    j->partition = 0;
    const char *position = NULL, *hash = NULL;
    for (uint32_t r = 0; r < sl_postgres_rows(result); r++) {
        const char *cells[4];
        for (uint32_t c = 0; c < 4; c++) {
            size_t length = 0;
            cells[c] = sl_postgres_cell(result, r, c, &length);
            cells[c] = cells[c] == NULL ? "" : cells[c];
            sl_buffer_append(&j->stamp, cells[c], strlen(cells[c]) + 1);
        }
        if (strcmp(cells[1], j->delivery->partition) == 0) {
            j->partition = strtoll(cells[0], NULL, 10);
            position = cells[2];
            hash = cells[3];
        }
    }
    if (j->stamp.failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    return sl_warehouse_ledger_check(&move, position, hash, error);
}

/* Loaded already: by us, before a crash or a lost reply. */
static void done_already(job *j) {
    sl_message(SL_LEVEL_INFO, "redshift", "was loaded before", "table=%s sequence=%" PRIu64,
               j->delivery->table, j->delivery->entry->sequence);
    target_finish(j, SL_OK, NULL);
}
static void rolled_back_done(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = false;
    done_already(j);
}

/* @return true: go on. */
static bool check_ledger(job *j, const sl_postgres_result *result) {
    sl_error error;
    sl_status status = read_ledger(j, result, &error);
    if (status == SL_OK)
        return true;
    if (status != SL_EEXIST)
        job_fail(j, status, &error, false);
    else if (j->in_transaction)
        query_text(j, "ROLLBACK", rolled_back_done);
    else
        done_already(j);
    return false;
}

static bool same_stamp(const job *j) {
    return j->stamp.length == j->read_stamp.length &&
           (j->stamp.length == 0 ||
            memcmp(j->stamp.bytes, j->read_stamp.bytes, j->stamp.length) == 0);
}

static bool has_rows(const job *j) { return j->delivery->entry->file_count != 0; }

static void sweep(job *j);

/* Rows of windows are as good as the ledger that was read with them; event rows always are. */
static void looked(job *j, const sl_postgres_result *result) {
    if (!check_ledger(j, result))
        return;
    sweep(j);
    for (uint32_t i = 0; i < j->table.count; i++)
        j->live[i] = sl_live_find(&j->known->live, j->table.columns[i].name);
    if (!has_rows(j) || (j->staged && (!j->table.window || same_stamp(j)))) {
        go_on(j);
        return;
    }
    sl_buffer_clear(&j->read_stamp);
    sl_buffer_append(&j->read_stamp, j->stamp.bytes, j->stamp.length);
    if (j->read_stamp.failed) {
        sl_error error;
        (void)sl_error_set(&error, SL_ENOMEM, "out of memory");
        fail(j, SL_ENOMEM, &error, false);
        return;
    }
    encode_begin(j);
}

static void ask_ledger(job *j, job_step *then) {
    sl_buffer_clear(&j->text);
    statement_ledger_all(&j->table, &j->text);
    job_query(j, "read the ledger", then);
}

static void look_locked(job *j, const sl_postgres_result *result) {
    (void)result;
    ask_ledger(j, looked);
}
static void lock_ledger(job *j, job_step *then) {
    sl_buffer_clear(&j->text);
    sl_warehouse_ledger_lock(&j->table, &j->text);
    job_query(j, "lock the ledger", then);
}
static void look_begun(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = true;
    if (j->locked)
        lock_ledger(j, look_locked);
    else
        ask_ledger(j, looked);
}

static void look(job *j) {
    if (j->locked || j->table.window)
        query_text(j, "BEGIN", look_begun); /* One snapshot of ledger and rows. */
    else
        ask_ledger(j, looked);
}

/* --- abandoned objects of earlier processes --- */

static bool sweep_one(void *context, const sl_object_info *info) {
    removal *r = context;
    if (strstr(info->key, r->of->run) == NULL)
        sl_buffer_append(&r->found, info->key, strlen(info->key) + 1);
    return true;
}
static void swept(void *context, sl_status status, const sl_error *error) {
    removal *r = context;
    target *t = r->of;
    (void)error;
    r->operation = NULL;
    for (size_t at = 0; status == SL_OK && !r->found.failed && at < r->found.length;) {
        const char *key = (const char *)r->found.bytes + at;
        target_remove(t, key);
        at += strlen(key) + 1;
    }
    target_removed(r);
}

static void sweep(job *j) {
    if (j->known->swept)
        return;
    target *t = j->of;
    removal *r = target_removal(t);
    sl_buffer prefix = SL_BUFFER_EMPTY;
    stage_prefix(t->prefix, t->prefix_length, j->delivery->target, j->delivery->partition, &prefix);
    sl_error error;
    const char *text = sl_buffer_cstr(&prefix);
    if (r != NULL) {
        if (!prefix.failed &&
            sl_object_store_list(t->options.store, t->bucket, text, sweep_one, swept, r,
                                 &r->operation, &error) == SL_OK)
            j->known->swept = true;
        else
            target_removed(r);
    }
    sl_buffer_fini(&prefix);
}

/* --- upload --- */

void job_encoded(job *j) {
    if (j->cut_texts != 0) {
        sl_metric_add(j->of->cut_texts, (int64_t)j->cut_texts);
        sl_message(SL_LEVEL_WARN, "redshift", "values were cut to fit", "table=%s values=%" PRIu64,
                   j->delivery->table, j->cut_texts);
    }
    go_on(j);
}

static void ended_reading(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = false;
    go_on(j);
}

/* Everything is staged locally, or there is nothing to stage. */
static void go_on(job *j) {
    if (j->in_transaction && !j->locked)
        query_text(j, "ROLLBACK", ended_reading); /* It only read. */
    else if (j->stage.count == 0)
        transaction(j);
    else if (!j->uploaded)
        upload(j);
    else
        copy(j);
}

static void put_manifest(job *j);

static void uploaded_file(void *context, sl_status status, const sl_error *error) {
    staged_file *f = context;
    job *j = f->owner;
    f->operation = NULL;
    j->uploads--;
    if (status != SL_OK) {
        sl_error own = *error;
        (void)sl_error_context(&own, "stage s3://%s/%s", j->of->bucket, f->key);
        fail(j, status == SL_ECONFLICT || status == SL_ECORRUPT ? SL_EIO : status, &own, false);
        return;
    }
    sl_metric_add(j->of->staged_bytes, (int64_t)f->bytes);
    stage_unlink(&j->stage, f);
    upload(j);
}

static sl_status start_upload(job *j, uint32_t index, sl_error *error) {
    staged_file *f = &j->stage.list[index];
    f->owner = j;
    if (f->key == NULL) {
        sl_buffer key = SL_BUFFER_EMPTY;
        sl_buffer_append(&key, j->folder.bytes, j->folder.length);
        sl_buffer_printf(&key, "%u.parquet", index);
        f->key = key.failed ? NULL : sl_strdup(sl_buffer_cstr(&key));
        sl_buffer_fini(&key);
        if (f->key == NULL)
            return sl_error_set(error, SL_ENOMEM, "out of memory");
    }
    const sl_object_put put = {.bucket = j->of->bucket,
                               .key = f->key,
                               .path = f->path,
                               .length = f->bytes,
                               .hash = &f->hash};
    sl_status status = sl_object_store_put(j->of->options.store, &put, uploaded_file, f,
                                           &f->operation, error);
    j->uploads += status == SL_OK;
    return status;
}

static void upload(job *j) {
    sl_error error;
    bool left = false;
    for (uint32_t i = 0; i < j->stage.count; i++) {
        const staged_file *f = &j->stage.list[i];
        if (f->path == NULL || f->operation != NULL)
            continue;
        left = true;
        if (j->uploads == UPLOADS)
            break;
        sl_status status = start_upload(j, i, &error);
        if (status != SL_OK) {
            fail(j, status, &error, false);
            return;
        }
    }
    if (!left && j->uploads == 0)
        put_manifest(j);
}

static void put_manifest_done(void *context, sl_status status, const sl_error *error) {
    job *j = context;
    j->manifest_put = NULL;
    if (status != SL_OK) {
        sl_error own = *error;
        fail(j, status == SL_ECONFLICT || status == SL_ECORRUPT ? SL_EIO : status, &own, false);
        return;
    }
    j->uploaded = true;
    copy(j);
}

static void put_manifest(job *j) {
    sl_error error;
    sl_buffer_clear(&j->manifest);
    manifest_text(j->of->bucket, j->stage.list, j->stage.count, &j->manifest);
    sl_buffer_clear(&j->manifest_key);
    sl_buffer_append(&j->manifest_key, j->folder.bytes, j->folder.length);
    sl_buffer_text(&j->manifest_key, "manifest.json");
    const char *key = sl_buffer_cstr(&j->manifest_key);
    const sl_object_put put = {.bucket = j->of->bucket,
                               .key = key,
                               .bytes = j->manifest.bytes,
                               .length = j->manifest.length,
                               .content_type = "application/json"};
    sl_status status =
        j->manifest.failed || j->manifest_key.failed
            ? sl_error_set(&error, SL_ENOMEM, "out of memory")
            : sl_object_store_put(j->of->options.store, &put, put_manifest_done, j,
                                  &j->manifest_put, &error);
    if (status != SL_OK)
        fail(j, status, &error, false);
}

/* --- COPY --- */

/* The server's reasons, line by line, into the log; the first also into the error. */
static void load_errors(void *context, sl_status status, const sl_postgres_result *result,
                        const sl_error *error) {
    job *j = context;
    (void)error;
    uint32_t rows = status == SL_OK ? sl_postgres_rows(result) : 0;
    for (uint32_t r = 0; r < rows; r++) {
        const char *cells[4];
        size_t length;
        for (uint32_t c = 0; c < 4; c++)
            if ((cells[c] = sl_postgres_cell(result, r, c, &length)) == NULL)
                cells[c] = "";
        sl_message(SL_LEVEL_ERROR, "redshift", "a load was refused",
                   "table=%s code=%s reason=\"%s\" column=\"%s\" file=%s", j->delivery->table,
                   cells[0], cells[1], cells[2], cells[3]);
        if (r == 0) {
            sl_error whole = j->error;
            (void)sl_error_set(&j->error, j->failed, "%.250s; column \"%.60s\": %.180s", whole.text,
                               cells[2], cells[1]);
        }
    }
    const char *next = rows != 0 ? NULL : statement_load_errors(j->asked++);
    if (next != NULL && sl_postgres_connected(j->session->connection)) {
        sl_postgres_query(j->session->connection, next, load_errors, j);
        return;
    }
    sl_error own = j->error;
    job_fail(j, j->failed, &own, false);
}

static void rolled_back_copy(void *context, sl_status status, const sl_postgres_result *result,
                             const sl_error *error) {
    job *j = context;
    (void)result;
    j->asked = 0;
    load_errors(j, status == SL_OK ? SL_ENOTFOUND : status, NULL, error);
}

/* Redshift's engine gives all its errors one code; their texts tell them apart. */
static void copy_refused(job *j, sl_status status, const sl_error *error) {
    bool connected = sl_postgres_connected(j->session->connection);
    bool denied = strstr(error->text, "Not authorized") != NULL ||
                  strstr(error->text, "Status 403") != NULL;
    bool passes = !connected || status == SL_EAGAIN ||
                  strstr(error->text, "S3ServiceException") != NULL;
    sl_error own = *error;
    (void)sl_error_context(&own, "%s: COPY", j->delivery->target);
    if (denied || passes) {
        job_fail(j, denied ? SL_EDENIED : status == SL_EAGAIN ? status : SL_EIO, &own, !denied);
        return;
    }
    j->error = own;
    j->failed = status;
    bool begun = j->in_transaction;
    j->in_transaction = false;
    if (begun)
        sl_postgres_query(j->session->connection, "ROLLBACK", rolled_back_copy, j);
    else
        rolled_back_copy(j, SL_OK, NULL, NULL);
}

static void counted(job *j, const sl_postgres_result *result) {
    size_t length;
    const char *text = sl_postgres_rows(result) == 0 ? NULL : sl_postgres_cell(result, 0, 0, &length);
    uint64_t rows = text == NULL ? 0 : strtoull(text, NULL, 10);
    if (rows != j->stage.rows) {
        sl_error error;
        (void)sl_error_set(&error, SL_EIO, "COPY loaded %" PRIu64 " rows of %" PRIu64, rows,
                           j->stage.rows);
        fail(j, SL_EIO, &error, true);
        return;
    }
    j->loaded = true;
    j->loaded_epoch = j->session->epoch;
    transaction(j);
}

static void copied(void *context, sl_status status, const sl_postgres_result *result,
                   const sl_error *error) {
    job *j = context;
    (void)result;
    if (status != SL_OK) {
        copy_refused(j, status, error);
        return;
    }
    query_text(j, "SELECT pg_last_copy_count()", counted);
}

static void send_copy(job *j, const sl_aws_keys *keys) {
    sl_buffer_clear(&j->text);
    statement_copy(j->of->bucket, sl_buffer_cstr(&j->manifest_key), j->of->options.iam_role, keys,
                   &j->text);
    const char *text = sl_buffer_cstr(&j->text);
    if (j->text.failed) {
        sl_error error;
        (void)sl_error_set(&error, SL_ENOMEM, "out of memory");
        fail(j, SL_ENOMEM, &error, false);
    } else {
        sl_postgres_query(j->session->connection, text, copied, j);
    }
    if (j->text.length != 0) /* It may hold secrets; the query has its copy. */
        memset(j->text.bytes, 0, j->text.length);
}

static void got_keys(void *context, sl_status status, const sl_aws_identity *identity,
                     const sl_error *error) {
    job *j = context;
    if (status == SL_OK) {
        send_copy(j, &identity->keys);
        return;
    }
    sl_error own = *error;
    fail(j, status, &own, false);
}

static void stage_created(job *j, const sl_postgres_result *result) {
    (void)result;
    if (j->of->options.iam_role != NULL) {
        send_copy(j, NULL);
        return;
    }
    j->keys = (sl_aws_wait){.done = got_keys, .context = j};
    sl_aws_credentials_get(j->of->options.credentials, &j->keys);
}

static void stage_dropped(job *j, const sl_postgres_result *result) {
    (void)result;
    sl_buffer_clear(&j->text);
    statement_stage_create(&j->table, &j->text);
    job_query(j, "create the staging table", stage_created);
}

static void copy(job *j) {
    if (j->loaded && j->loaded_epoch == j->session->epoch)
        transaction(j);
    else
        query_text(j, "DROP TABLE IF EXISTS \"" STAGE_TABLE "\"", stage_dropped);
}

/* --- the transaction --- */

static void committed(void *context, sl_status status, const sl_postgres_result *result,
                      const sl_error *error) {
    job *j = context;
    (void)result;
    j->in_transaction = false;
    if (status == SL_OK) {
        target_finish(j, SL_OK, NULL);
        return;
    }
    /* ROLLBACK instead: nothing was loaded. A lost reply: the ledger will tell. */
    sl_error own = *error;
    status = status == SL_ECONFLICT ? SL_EAGAIN : status;
    fail(j, status, &own, status == SL_EAGAIN || status == SL_EIO);
}

static void moved(job *j, const sl_postgres_result *result) {
    if (strcmp(sl_postgres_tag(result), "UPDATE 1") != 0) {
        sl_error error;
        (void)sl_error_set(&error, SL_ECONFLICT, "moving the ledger's row said %s",
                           sl_postgres_tag(result));
        fail(j, SL_ECONFLICT, &error, false);
        return;
    }
    j->what = "COMMIT";
    sl_postgres_commit(j->session->connection, committed, j);
}

static void move_ledger(job *j, const sl_postgres_result *result) {
    (void)result;
    sl_warehouse_move move;
    read_move(j, &move);
    sl_buffer_clear(&j->text);
    sl_warehouse_ledger_move(&j->table, &move, &j->text);
    job_query(j, "move the ledger", moved);
}

static void insert_rows(job *j, const sl_postgres_result *result) {
    (void)result;
    sl_buffer_clear(&j->text);
    statement_insert(&j->table, &j->known->live, j->partition, &j->text);
    job_query(j, "insert", move_ledger);
}

static void merge(job *j) {
    sl_buffer_clear(&j->text);
    if (j->stage.count == 0)
        move_ledger(j, NULL);
    else if (statement_delete(&j->table, &j->text))
        job_query(j, "delete", insert_rows);
    else
        insert_rows(j, NULL);
}

static void new_partition(job *j, const sl_postgres_result *result) {
    if (check_ledger(j, result))
        merge(j);
}
static void partition_inserted(job *j, const sl_postgres_result *result) {
    (void)result;
    ask_ledger(j, new_partition);
}

static void fenced(job *j) {
    if (j->partition != 0) {
        merge(j);
        return;
    }
    sl_warehouse_move move;
    read_move(j, &move);
    sl_buffer_clear(&j->text);
    sl_warehouse_ledger_insert(&j->table, &move, &j->text);
    job_query(j, "begin the ledger", partition_inserted);
}

/* Another daemon has loaded since we read: all again, and nobody else until then. */
static void overtaken(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = false;
    j->locked = true;
    encode_forget(j);
    look(j);
}

static void checked(job *j, const sl_postgres_result *result) {
    if (!check_ledger(j, result))
        return;
    if (j->table.window && j->stage.count != 0 && !same_stamp(j))
        query_text(j, "ROLLBACK", overtaken);
    else
        fenced(j);
}
static void fence_locked(job *j, const sl_postgres_result *result) {
    (void)result;
    ask_ledger(j, checked);
}
static void fence_begun(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = true;
    lock_ledger(j, fence_locked);
}

static void transaction(job *j) {
    if (j->locked)
        fenced(j); /* We have been inside since look(). */
    else
        query_text(j, "BEGIN", fence_begun);
}
