/* The target: its sessions, the deliveries that wait for one, and what is left to be deleted. */
#include "job.h"

#include "sluice/message.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum { SESSIONS = 2 };

/* What every connection is told. 17 digits are what a double needs; a backslash escapes here whatever is said. */
static const char setup[] = "SET client_encoding TO 'UTF8';SET datestyle TO 'ISO';"
                            "SET timezone TO 'UTC';SET extra_float_digits TO 2;"
                            "SET query_group TO 'sluice'";

/* --- deletions --- */

removal *target_removal(target *t) {
    removal *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->of = t;
    r->next = t->removals;
    if (r->next != NULL)
        r->next->previous = r;
    t->removals = r;
    return r;
}

void target_removed(removal *r) {
    if (r->previous != NULL)
        r->previous->next = r->next;
    else
        r->of->removals = r->next;
    if (r->next != NULL)
        r->next->previous = r->previous;
    sl_buffer_fini(&r->found);
    sl_free(r);
}

static void deleted(void *context, sl_status status, const sl_error *error) {
    removal *r = context;
    if (status != SL_OK)
        sl_message(SL_LEVEL_WARN, "redshift", "a staged object stays until the next start",
                   "error=\"%s\"", error->text);
    target_removed(r);
}

void target_remove(target *t, const char *key) {
    sl_error error;
    removal *r = target_removal(t);
    if (r != NULL && sl_object_store_delete(t->options.store, t->bucket, key, deleted, r,
                                            &r->operation, &error) != SL_OK)
        target_removed(r);
}

/* --- jobs and sessions --- */

static void job_destroy(job *j) {
    for (uint32_t i = 0; i < j->stage.count; i++)
        if (j->stage.list[i].operation != NULL)
            sl_object_operation_cancel(j->stage.list[i].operation);
    if (j->manifest_put != NULL)
        sl_object_operation_cancel(j->manifest_put);
    if (j->of->options.credentials != NULL)
        sl_aws_credentials_cancel(j->of->options.credentials, &j->keys);
    sl_redshift_login_cancel(j->login);
    sl_timer_destroy(j->timer);
    row_source_fini(&j->source);
    stage_fini(&j->stage);
    if (j->table_made)
        sl_warehouse_table_fini(&j->table);
    sl_buffer *buffers[] = {&j->text,   &j->stamp,   &j->read_stamp, &j->state,       &j->merged,
                            &j->scratch, &j->key_begin, &j->manifest,   &j->manifest_key, &j->dead};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        sl_buffer_fini(buffers[i]);
    sl_warehouse_parts_fini(&j->parts);
    sl_arena_fini(&j->arena);
    sl_free(j->live);
    sl_free(j->values);
    sl_free(j->row);
    sl_free(j->deltas);
    sl_free(j);
}

static void turn(void *context) {
    job *j = context;
    if (j->encoding)
        encode_turn(j);
    else
        job_start(j);
}

static session *session_create(target *t) {
    sl_error error;
    session *s = sl_calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->of = t;
    sl_postgres_options options = t->options.server;
    options.setup = setup;
    if (sl_postgres_create(t->options.loop, &options, &s->connection, &error) != SL_OK) {
        sl_free(s);
        return NULL;
    }
    s->next = t->sessions;
    t->sessions = s;
    t->session_count++;
    return s;
}

static void pump(target *t) {
    for (job *j = t->jobs; j != NULL; j = j->next) {
        if (j->session != NULL)
            continue;
        session *s = t->sessions;
        while (s != NULL && s->job != NULL)
            s = s->next;
        if (s == NULL && t->session_count < t->options.sessions_max)
            s = session_create(t);
        if (s == NULL)
            return; /* When one is free; and out of memory there is another before. */
        s->job = j;
        j->session = s;
        sl_timer_start(j->timer, 0);
    }
}

static void unlink_job(target *t, job *j) {
    for (job **at = &t->jobs; *at != NULL; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            return;
        }
}

void target_finish(job *j, sl_status status, const sl_error *error) {
    target *t = j->of;
    encode_forget(j);
    unlink_job(t, j);
    j->session->job = NULL;
    sl_target_done_fn *done = j->done;
    void *context = j->context;
    sl_error own = {0};
    if (error != NULL)
        own = *error;
    job_destroy(j);
    pump(t);
    done(context, status, &own);
}

static void tell_refusals(void *context) {
    target *t = context;
    sl_error error;
    (void)sl_error_set(&error, SL_ENOMEM, "redshift: out of memory");
    uint32_t count = t->refused_count;
    t->refused_count = 0;
    refusal told[REFUSALS];
    memcpy(told, t->refused, count * sizeof *told);
    for (uint32_t i = 0; i < count; i++)
        told[i].done(told[i].context, SL_ENOMEM, &error);
}

static void deliver(sl_target *base, const sl_delivery *delivery, sl_target_done_fn *done,
                    void *context) {
    target *t = (target *)base;
    job *j = sl_calloc(1, sizeof *j);
    if (j != NULL) {
        j->of = t;
        j->delivery = delivery;
        j->done = done;
        j->context = context;
        sl_arena_init(&j->arena, 64 << 10);
        j->timer = sl_timer_create(sl_loop_uv(t->options.loop), turn, j);
        if (j->timer == NULL) {
            sl_free(j);
            j = NULL;
        }
    }
    /* At least one session, so that the queue moves. */
    if (j != NULL && t->sessions == NULL && session_create(t) == NULL) {
        job_destroy(j);
        j = NULL;
    }
    if (j == NULL) {
        assert(t->refused_count < REFUSALS);
        t->refused[t->refused_count++] = (refusal){done, context};
        sl_timer_start(t->timer, 0);
        return;
    }
    job **at = &t->jobs;
    while (*at != NULL)
        at = &(*at)->next;
    *at = j;
    pump(t);
}

static void destroy(sl_target *base) {
    target *t = (target *)base;
    if (t == NULL)
        return;
    while (t->sessions != NULL) { /* First: none calls back any more. */
        session *s = t->sessions;
        t->sessions = s->next;
        sl_postgres_destroy(s->connection);
        sl_free(s);
    }
    while (t->jobs != NULL) {
        job *j = t->jobs;
        t->jobs = j->next;
        job_destroy(j);
    }
    while (t->removals != NULL) {
        if (t->removals->operation != NULL)
            sl_object_operation_cancel(t->removals->operation);
        target_removed(t->removals);
    }
    while (t->tables != NULL) {
        known *k = t->tables;
        t->tables = k->next;
        sl_live_table_fini(&k->live);
        sl_free(k->name);
        sl_free(k);
    }
    sl_timer_destroy(t->timer);
    sl_buffer_fini(&t->texts);
    sl_free(t);
}

/* --- create --- */

/* All texts of the options into one buffer; then the pointers are moved there. */
static bool own_texts(target *t) {
    sl_redshift_options *o = &t->options;
    const char **texts[] = {&o->server.url,      &o->server.user,   &o->server.password,
                            &o->server.password_file, &o->server.ca_file, &o->iam.cluster,
                            &o->iam.workgroup,   &o->iam.database,  &o->iam.user,
                            &o->iam.region,      &o->iam.endpoint,  &o->iam_role,
                            &o->stage};
    enum { COUNT = sizeof texts / sizeof *texts };
    size_t at[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        at[i] = t->texts.length;
        if (*texts[i] != NULL)
            sl_buffer_append(&t->texts, *texts[i], strlen(*texts[i]) + 1);
    }
    for (size_t i = 0; i < COUNT && !t->texts.failed; i++)
        if (*texts[i] != NULL)
            *texts[i] = (const char *)t->texts.bytes + at[i];
    return !t->texts.failed;
}

static sl_status check(target *t, sl_error *error) {
    const sl_redshift_options *o = &t->options;
    sl_status status =
        sl_object_url_parse(o->stage, t->bucket, &t->prefix, &t->prefix_length, error);
    if (status != SL_OK)
        return sl_error_context(error, "stage");
    if (o->iam_role == NULL && o->credentials == NULL)
        return sl_error_set(error, SL_EINVAL, "COPY needs iam_role, or credentials");
    if (o->iam.cluster != NULL && o->iam.workgroup != NULL)
        return sl_error_set(error, SL_EINVAL, "either a cluster or a serverless workgroup");
    if (o->iam.cluster != NULL && o->iam.user == NULL)
        return sl_error_set(error, SL_EINVAL, "credentials of a cluster need a database user");
    sl_postgres *probe; /* Can the URL be read? */
    status = sl_postgres_create(o->loop, &o->server, &probe, error);
    if (status == SL_OK)
        sl_postgres_destroy(probe);
    return status;
}

static void register_metrics(target *t) {
    static sl_metric unused[3];
    sl_metrics *m = t->options.metrics;
    if (m == NULL) {
        t->retries = &unused[0];
        t->cut_texts = &unused[1];
        t->staged_bytes = &unused[2];
        return;
    }
    t->retries = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_warehouse_retries_total",
                                "Loads begun again after a conflict or a lost connection.",
                                "warehouse=\"redshift\"");
    t->cut_texts = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_warehouse_cut_values_total",
                                  "Values cut to what their column takes.", "warehouse=\"redshift\"");
    t->staged_bytes = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_warehouse_staged_bytes_total",
                                     "Bytes staged in S3 for COPY.", "warehouse=\"redshift\"");
}

sl_status sl_redshift_create(const sl_redshift_options *options, sl_target **out, sl_error *error) {
    *out = NULL;
    target *t = sl_calloc(1, sizeof *t);
    if (t == NULL)
        return sl_error_set(error, SL_ENOMEM, "redshift: out of memory");
    t->base = (sl_target){.deliver = deliver, .destroy = destroy};
    t->options = *options;
    if (t->options.sessions_max == 0)
        t->options.sessions_max = SESSIONS;
    t->timer = sl_timer_create(sl_loop_uv(options->loop), tell_refusals, t);
    sl_status status = t->timer == NULL || !own_texts(t)
                           ? sl_error_set(error, SL_ENOMEM, "out of memory")
                           : check(t, error);
    if (status != SL_OK) {
        (void)sl_error_context(error, "redshift");
        destroy(&t->base);
        return status;
    }
    const int64_t seed[2] = {options->clock.wall_us(options->clock.context), (int64_t)(intptr_t)t};
    (void)snprintf(t->run, sizeof t->run, "%016" PRIx64, sl_hash64(seed, sizeof seed, 0));
    register_metrics(t);
    *out = &t->base;
    return SL_OK;
}
