/* The steps of one delivery, in their order, and what follows when one fails. See job.h.
 */
#include "job.h"

#include "sluice/message.h"

#include <inttypes.h>

enum { PAUSE_MS = 100, PAUSE_MS_MAX = 5000 };

/* --- queries and failures --- */

void job_answered(void *context, sl_status status, const sl_postgres_result *result,
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

void job_query_to(job *j, const char *what, sl_postgres_done_fn *answered, job_step *then) {
    sl_error error;
    j->what = what;
    j->then = then;
    const char *text = sl_buffer_cstr(&j->text);
    if (j->text.failed) {
        (void)sl_error_set(&error, SL_ENOMEM, "out of memory");
        job_fail(j, SL_ENOMEM, &error, false);
        return;
    }
    sl_postgres_query(j->session->connection, text, answered, j);
}

void job_query(job *j, const char *what, job_step *then) {
    job_query_to(j, what, job_answered, then);
}

void job_query_text(job *j, const char *text, job_step *then) {
    sl_buffer_clear(&j->text);
    sl_buffer_text(&j->text, text);
    job_query(j, text, then);
}

void job_fail_here(job *j, sl_status status, sl_error *error, bool passes) {
    (void)sl_error_context(error, "%s", j->delivery->target);
    job_fail(j, status, error, passes);
}

uint64_t job_pause_ms(unsigned tries, uint64_t chance) {
    uint64_t most = tries < 16 ? (uint64_t)PAUSE_MS << tries : PAUSE_MS_MAX;
    most = most > PAUSE_MS_MAX ? PAUSE_MS_MAX : most;
    return 1 + chance % most;
}

static void again_later(job *j) {
    const struct {
        int64_t now;
        const job *j;
    } seed = {j->of->options.clock.monotonic_us(j->of->options.clock.context), j};
    sl_timer_start(j->timer, job_pause_ms(j->tries, sl_hash64(&seed, sizeof seed, 0)));
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
    case SL_EMOVED:
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

static void after_rollback(void *context, sl_status status,
                           const sl_postgres_result *result, const sl_error *error) {
    job *j = context;
    (void)result;
    (void)error;
    if (status != SL_OK)
        j->session->epoch++; /* Whatever that connection had is not relied on. */
    if (j->tries == UINT32_MAX)
        give_up(j);
    else
        again_later(j);
}

void job_fail(job *j, sl_status status, const sl_error *error, bool passes) {
    j->error = *error;
    j->error.status = j->failed = status;
    job_cancel_uploads(j);
    sl_timer_stop(j->timer);
    j->encoding = false;
    /* 57014: our own patience has ended. Again at once would take as long. */
    if (passes && j->tries < TRIES &&
        strcmp(sl_postgres_sqlstate(j->session->connection), "57014") != 0) {
        j->tries++;
        sl_metric_add(j->of->retries, 1);
        sl_message(SL_LEVEL_WARN, "redshift", "trying again",
                   "table=%s try=%u error=\"%s\"", j->delivery->table, j->tries,
                   error->text);
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
        again_later(j);
}

/* --- start, connect --- */

static void connected(void *context, sl_status status, const sl_postgres_result *result,
                      const sl_error *error) {
    job *j = context;
    (void)result;
    if (status != SL_OK) {
        sl_error own = *error;
        job_fail_here(j, status, &own, status == SL_EIO || status == SL_EAGAIN);
        return;
    }
    j->session->epoch++;
    job_table(j);
}

static void logged_in(void *context, sl_status status, const char *user,
                      const char *password, const sl_error *error) {
    job *j = context;
    j->login = NULL;
    if (status != SL_OK) {
        sl_error own = *error;
        job_fail_here(j, status, &own, false);
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
    sl_status status =
        sl_redshift_login_start(iam, t->options.http, t->options.credentials,
                                t->options.clock, logged_in, j, &j->login, &error);
    if (status != SL_OK)
        job_fail_here(j, status, &error, false);
}

void job_start(job *j) {
    if (!sl_postgres_connected(j->session->connection))
        connect_server(j);
    else
        job_table(j);
}

/* --- the way on --- */

/* Somebody may have widened a column since we looked. */
void job_encoded(job *j) {
    bool tight = j->cut_texts != 0 || j->dead_rows != 0;
    if (tight && !j->fresh && !j->locked) {
        job_table_again(j);
        return;
    }
    j->known->tight = tight;
    if (j->cut_texts != 0) {
        sl_metric_add(j->of->cut_texts, (int64_t)j->cut_texts);
        sl_message(SL_LEVEL_WARN, "redshift", "values were cut to fit",
                   "table=%s values=%" PRIu64, j->delivery->table, j->cut_texts);
    }
    if (j->dead_rows != 0)
        sl_message(SL_LEVEL_WARN, "redshift", "rows don't fit, they go to the table for such rows",
                   "table=%s rows=%" PRIu64, j->delivery->table, j->dead_rows);
    job_go_on(j);
}

static void dead_table_made(job *j, const sl_postgres_result *result) {
    (void)result;
    j->dead_table = true;
    job_go_on(j);
}

static void ended_reading(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = false;
    job_go_on(j);
}

/* Everything is staged locally, or there is nothing to stage. */
void job_go_on(job *j) {
    if (j->in_transaction && !j->locked)
        job_query_text(j, "ROLLBACK", ended_reading); /* It only read. */
    else if (j->dead_rows != 0 && !j->dead_table && j->rules.create)
        job_dead_table(j, dead_table_made);
    else if (j->stage.count == 0)
        job_transaction(j);
    else if (!j->uploaded)
        job_upload(j);
    else
        job_copy(j);
}
