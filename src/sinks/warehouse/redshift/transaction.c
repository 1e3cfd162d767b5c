/* From the temporary table into the table, together with the ledger. */
#include "job.h"

static void committed(void *context, sl_status status, const sl_postgres_result *result,
                      const sl_error *error) {
    job *j = context;
    (void)result;
    j->in_transaction = false;
    if (status == SL_OK) {
        target_finish(j, SL_OK, NULL);
        return;
    }
    /* ROLLBACK instead: nothing was loaded, and a temporary table made under the lock is gone, too. A lost reply: the
     * ledger will tell. */
    j->loaded = j->loaded && !j->locked;
    sl_error own = *error;
    status = status == SL_ECONFLICT ? SL_EAGAIN : status;
    job_fail_here(j, status, &own, status == SL_EAGAIN || status == SL_EIO);
}

static void moved(job *j, const sl_postgres_result *result) {
    if (strcmp(sl_postgres_tag(result), "UPDATE 1") != 0) {
        sl_error error;
        (void)sl_error_set(&error, SL_ECONFLICT, "moving the ledger's row said %s",
                           sl_postgres_tag(result));
        job_fail_here(j, SL_ECONFLICT, &error, false);
        return;
    }
    j->what = "COMMIT";
    sl_postgres_commit(j->session->connection, committed, j);
}

static void move_ledger(job *j, const sl_postgres_result *result) {
    (void)result;
    sl_warehouse_move move;
    job_move(j, &move);
    sl_buffer_clear(&j->text);
    sl_warehouse_ledger_move(&j->table, &move, &j->text);
    job_query(j, "move the ledger", moved);
}

static void rows_inserted(job *j, const sl_postgres_result *result) {
    if (j->dead_rows != 0)
        dead_send(j, move_ledger);
    else
        move_ledger(j, result);
}

static void insert_rows(job *j, const sl_postgres_result *result) {
    (void)result;
    sl_buffer_clear(&j->text);
    statement_insert(&j->table, &j->known->live, j->partition, &j->text);
    job_query(j, "insert", rows_inserted);
}

static void merge(job *j) {
    sl_buffer_clear(&j->text);
    if (j->stage.count == 0)
        rows_inserted(j, NULL);
    else if (statement_delete(&j->table, &j->text))
        job_query(j, "delete", insert_rows);
    else
        insert_rows(j, NULL);
}

static void new_partition(job *j, const sl_postgres_result *result) {
    if (job_check_ledger(j, result))
        merge(j);
}
static void partition_inserted(job *j, const sl_postgres_result *result) {
    (void)result;
    job_ask_ledger(j, new_partition);
}

static void fenced(job *j) {
    if (j->partition != 0) {
        merge(j);
        return;
    }
    sl_warehouse_move move;
    job_move(j, &move);
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
    job_look(j);
}

static void checked(job *j, const sl_postgres_result *result) {
    if (!job_check_ledger(j, result))
        return;
    if (j->table.window && j->stage.count != 0 && !job_same_stamp(j))
        job_query_text(j, "ROLLBACK", overtaken);
    else
        fenced(j);
}
static void fence_locked(job *j, const sl_postgres_result *result) {
    (void)result;
    job_ask_ledger(j, checked);
}
static void fence_begun(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = true;
    job_lock_ledger(j, fence_locked);
}

void job_transaction(job *j) {
    if (j->locked)
        fenced(j); /* We have been inside since job_look(). */
    else
        job_query_text(j, "BEGIN", fence_begun);
}
