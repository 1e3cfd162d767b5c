/* The ledger: what it says before anything is staged, and again under its lock (I4). */
#include "job.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdlib.h>

void job_move(const job *j, sl_warehouse_move *move) {
    const sl_delivery *d = j->delivery;
    *move = (sl_warehouse_move){.table = d->table,
                                .partition = d->partition,
                                .from = d->entry->from,
                                .to = d->entry->to,
                                .first = d->first,
                                .hash = d->hash,
                                .rows = j->rows,
                                .ranges = d->entry->ranges,
                                .last_id = j->parts.last_id};
}

/* All its rows into the stamp, ours compared (I4), then those of partitions that others
 * bring, too. @return as sl_warehouse_ledger_check() and sl_warehouse_parts_check(). */
static sl_status read_ledger(job *j, const sl_postgres_result *result, sl_error *error) {
    const bool parts = j->delivery->entry->ranges != NULL;
    sl_status status = SL_OK;
    sl_buffer_clear(&j->stamp);
    sl_warehouse_parts_fini(&j->parts);
    j->partition = 0;
    const char *position = NULL, *hash = NULL;
    for (uint32_t r = 0; status == SL_OK && r < sl_postgres_rows(result); r++) {
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
        if (parts)
            status = sl_warehouse_parts_add(&j->parts, j->delivery->table, cells, error);
    }
    if (status == SL_OK && j->stamp.failed)
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    sl_warehouse_move move;
    job_move(j, &move);
    if (status == SL_OK)
        status = sl_warehouse_ledger_check(&move, position, hash, error);
    return status == SL_OK ? sl_warehouse_parts_check(&move, &j->parts, j->delivery->found, error)
                           : status;
}

/* Loaded already: by us, before a crash or a lost reply. */
static void done_already(job *j) {
    sl_message(SL_LEVEL_INFO, "redshift", "was loaded before",
               "table=%s sequence=%" PRIu64, j->delivery->table,
               j->delivery->entry->sequence);
    target_finish(j, SL_OK, NULL);
}
static void rolled_back_done(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = false;
    done_already(j);
}

/* @return true: go on. */
bool job_check_ledger(job *j, const sl_postgres_result *result) {
    sl_error error;
    sl_status status = read_ledger(j, result, &error);
    if (status == SL_OK)
        return true;
    if (status != SL_EEXIST)
        job_fail(j, status, &error, false);
    else if (j->in_transaction)
        job_query_text(j, "ROLLBACK", rolled_back_done);
    else
        done_already(j);
    return false;
}

bool job_same_stamp(const job *j) {
    return j->stamp.length == j->read_stamp.length &&
           (j->stamp.length == 0 ||
            memcmp(j->stamp.bytes, j->read_stamp.bytes, j->stamp.length) == 0);
}

static bool has_rows(const job *j) { return j->delivery->entry->file_count != 0; }

/* Rows of windows are as good as the ledger that was read with them; event rows always
 * are. */
static void looked(job *j, const sl_postgres_result *result) {
    if (!job_check_ledger(j, result))
        return;
    job_sweep(j);
    for (uint32_t i = 0; i < j->table.count; i++)
        j->live[i] = sl_live_find(&j->known->live, j->table.columns[i].name);
    if (!has_rows(j) || (j->staged && (!j->table.window || job_same_stamp(j)))) {
        job_go_on(j);
        return;
    }
    sl_buffer_clear(&j->read_stamp);
    sl_buffer_append(&j->read_stamp, j->stamp.bytes, j->stamp.length);
    if (j->read_stamp.failed) {
        sl_error error;
        (void)sl_error_set(&error, SL_ENOMEM, "out of memory");
        job_fail_here(j, SL_ENOMEM, &error, false);
        return;
    }
    encode_begin(j);
}

static void ledger_read(void *context, sl_status status, const sl_postgres_result *result,
                        const sl_error *error) {
    const job *j = context;
    sl_error own = {0};
    if (error != NULL)
        own = *error;
    if (status == SL_ENOTFOUND && !j->rules.create)
        (void)sl_error_context(
            &own, "`create` is off, and `sluice ddl redshift` prints what is needed");
    job_answered(context, status, result, &own);
}

void job_ask_ledger(job *j, job_step *then) {
    sl_buffer_clear(&j->text);
    sl_warehouse_ledger_all(&j->table, &j->text);
    job_query_to(j, "read the ledger", ledger_read, then);
}

static void look_locked(job *j, const sl_postgres_result *result) {
    (void)result;
    job_ask_ledger(j, looked);
}
void job_lock_ledger(job *j, job_step *then) {
    sl_buffer_clear(&j->text);
    sl_warehouse_ledger_lock(&j->table, &j->text);
    job_query(j, "lock the ledger", then);
}
static void look_begun(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = true;
    if (j->locked)
        job_lock_ledger(j, look_locked);
    else
        job_ask_ledger(j, looked);
}

void job_look(job *j) {
    if (j->locked || j->table.window)
        job_query_text(j, "BEGIN", look_begun); /* One snapshot of ledger and rows. */
    else
        job_ask_ledger(j, looked);
}
