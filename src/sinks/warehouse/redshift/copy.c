/* COPY into the session's temporary table, and why it was refused. */
#include "job.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdlib.h>

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
                   "table=%s code=%s reason=\"%s\" column=\"%s\" file=%s",
                   j->delivery->table, cells[0], cells[1], cells[2], cells[3]);
        if (r == 0) {
            sl_error whole = j->error;
            (void)sl_error_set(&j->error, j->failed, "%.250s; column \"%.60s\": %.180s",
                               whole.text, cells[2], cells[1]);
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

static void rolled_back_copy(void *context, sl_status status,
                             const sl_postgres_result *result, const sl_error *error) {
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
        job_fail(j,
                 denied                ? SL_EDENIED
                 : status == SL_EAGAIN ? status
                                       : SL_EIO,
                 &own, !denied);
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
    const char *text =
        sl_postgres_rows(result) == 0 ? NULL : sl_postgres_cell(result, 0, 0, &length);
    uint64_t rows = text == NULL ? 0 : strtoull(text, NULL, 10);
    if (rows != j->stage.rows) {
        sl_error error;
        (void)sl_error_set(&error, SL_EIO, "COPY loaded %" PRIu64 " rows of %" PRIu64,
                           rows, j->stage.rows);
        job_fail_here(j, SL_EIO, &error, true);
        return;
    }
    j->loaded = true;
    j->loaded_epoch = j->session->epoch;
    job_transaction(j);
}

static void copied(void *context, sl_status status, const sl_postgres_result *result,
                   const sl_error *error) {
    job *j = context;
    (void)result;
    if (status != SL_OK) {
        copy_refused(j, status, error);
        return;
    }
    job_query_text(j, "SELECT pg_last_copy_count()", counted);
}

static void send_copy(job *j, const sl_aws_keys *keys) {
    sl_buffer_clear(&j->text);
    statement_copy(j->of->bucket, sl_buffer_cstr(&j->manifest_key),
                   j->of->options.iam_role, keys, &j->text);
    const char *text = sl_buffer_cstr(&j->text);
    if (j->text.failed) {
        sl_error error;
        (void)sl_error_set(&error, SL_ENOMEM, "out of memory");
        job_fail_here(j, SL_ENOMEM, &error, false);
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
    job_fail_here(j, status, &own, false);
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

void job_copy(job *j) {
    if (j->loaded && j->loaded_epoch == j->session->epoch)
        job_transaction(j);
    else
        job_query_text(j, "DROP TABLE IF EXISTS \"" STAGE_TABLE "\"", stage_dropped);
}
