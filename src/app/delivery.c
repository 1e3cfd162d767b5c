#include "delivery.h"

#include "redshift_iam.h"

#include "sluice/config.h"
#include "sluice/io_files.h"
#include "sluice/loop.h"
#include "sluice/object_store.h"
#include "sluice/postgres_target.h"
#include "sluice/redshift.h"
#include "sluice/topic.h"

#include <pthread.h>
#include <signal.h>

enum { TICK_MS = 100 }; /* A wake that was missed is made up for after this. */

struct sl_delivery_thread {
    sl_target target; /* First: the engine's pointer is ours. */
    const sl_config *config;
    sl_clock clock;
    sl_metrics *metrics;
    sl_loop *loop;
    sl_http_client *http;
    sl_aws_credentials *credentials;
    sl_object_store *store;
    sl_target *lake, *warehouse, *topics;
    sl_actor *actor;
    pthread_t thread;
    bool running;
    _Atomic bool stop;
};

/* --- what runs on the thread --- */

static void on_turn(void *context) {
    sl_delivery_thread *d = context;
    if (d->topics != NULL)
        sl_topic_target_poll(d->topics);
    while (d->actor != NULL && d->actor->run(d->actor->context))
        ;
    if (atomic_load(&d->stop))
        sl_loop_stop(d->loop);
}

static void *thread_main(void *context) {
    sl_loop_run(((sl_delivery_thread *)context)->loop);
    return NULL;
}

/* --- making the clients --- */

static bool has_bucket(const char *to) {
    return to != NULL && strncmp(to, "s3://", 5) == 0;
}

static bool needs_lake(const sl_config *c) {
    bool any = has_bucket(c->lake.to);
    for (uint32_t i = 0; i < c->stream_count && !any; i++)
        any = c->streams[i].has_lake && has_bucket(c->streams[i].lake.to);
    return any;
}

static sl_status make_store(sl_delivery_thread *d, sl_error *error) {
    const sl_config *c = d->config;
    const sl_http_client_options http = {.ca_file = c->s3.ca_file};
    const sl_aws_credentials_options keys = {.region = c->s3.region};
    sl_status status = d->http != NULL ? SL_OK : sl_http_client_create(sl_loop_uv(d->loop), &http, &d->http, error);
    if (status == SL_OK && d->credentials == NULL)
        status = sl_aws_credentials_create(sl_loop_uv(d->loop), d->http, &keys, &d->credentials, error);
    sl_http_field *tags = sl_calloc(c->s3.tag_count + 1, sizeof *tags);
    if (status == SL_OK && tags == NULL)
        status = sl_error_set(error, SL_ENOMEM, "delivery: out of memory");
    for (uint32_t i = 0; status == SL_OK && i < c->s3.tag_count; i++)
        tags[i] = (sl_http_field){c->s3.tags[i].name, c->s3.tags[i].value};
    const sl_object_store_options store = {.loop = sl_loop_uv(d->loop),
                                           .http = d->http,
                                           .credentials = d->credentials,
                                           .files = sl_files_system(),
                                           .clock = d->clock,
                                           .metrics = d->metrics,
                                           .endpoint = c->s3.endpoint,
                                           .region = c->s3.region,
                                           .path_style = c->s3.path_style,
                                           .sse = (sl_object_sse)c->s3.sse,
                                           .kms_key_id = c->s3.kms_key_id,
                                           .storage_class = c->s3.storage_class,
                                           .tags = tags,
                                           .tag_count = c->s3.tag_count};
    if (status == SL_OK)
        status = sl_object_store_create(&store, &d->store, error);
    sl_free(tags);
    return status;
}

static sl_status make_lake(sl_delivery_thread *d, sl_error *error) {
    sl_status status = d->store != NULL ? SL_OK : make_store(d, error);
    const sl_s3_lake_options options = {.store = d->store};
    return status == SL_OK ? sl_s3_lake_create(&options, &d->lake, error) : status;
}

/* --- topics --- */

enum { TOPIC_SHARE = 64, TOPIC_LEAST = 4 << 20, TOPIC_MOST = 32 << 20, TOPIC_ANSWER_MS = 5000 };

static void wake_topics(void *context) {
    sl_loop_wake(((sl_delivery_thread *)context)->loop);
}

/* A table that isn't configured any more may have entries, as long as there are brokers. */
static bool needs_topics(const sl_config *c) {
    return c->kafka.options.brokers != NULL;
}

static sl_status make_topics(sl_delivery_thread *d, sl_error *error) {
    const uint64_t share = d->config->memory / TOPIC_SHARE;
    sl_topic_options options = {
        .kafka = d->config->kafka.options, .files = sl_files_system(), .wake = wake_topics, .context = d};
    options.kafka.memory_bytes = share < TOPIC_LEAST ? TOPIC_LEAST : share > TOPIC_MOST ? TOPIC_MOST : share;
    options.kafka.timeout_ms = TOPIC_ANSWER_MS;
    return sl_topic_target_create(&options, &d->topics, error);
}

/* Markers that nobody moves for days would be forgotten by the brokers. */
static sl_status keep_topics(sl_delivery_thread *d, const char *partition, sl_error *error) {
    sl_buffer table = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < 2 * d->config->stream_count && status == SL_OK; i++) {
        const sl_config_stream *s = &d->config->streams[i / 2];
        const char *to = i % 2 == 0 ? s->topic.to : s->dead_letters.to;
        if (to == NULL)
            continue;
        sl_buffer_clear(&table);
        sl_buffer_printf(&table, "%s/%s/%s", s->name, i % 2 == 0 ? "topic" : "dead_letters", to);
        const char *name = sl_buffer_cstr(&table);
        status = table.failed ? sl_error_set(error, SL_ENOMEM, "delivery: out of memory")
                              : sl_topic_target_keep(d->topics, partition, name, to, error);
    }
    for (uint32_t i = 0; i < d->config->window_count && status == SL_OK; i++) {
        const sl_config_window *w = &d->config->windows[i];
        if (w->topic.to == NULL)
            continue;
        sl_buffer_clear(&table);
        sl_buffer_printf(&table, "%s/final/%s/%s", w->of, w->definition.name, w->topic.to);
        const char *name = sl_buffer_cstr(&table);
        status = table.failed ? sl_error_set(error, SL_ENOMEM, "delivery: out of memory")
                              : sl_topic_target_keep(d->topics, partition, name, w->topic.to, error);
    }
    sl_buffer_fini(&table);
    return status;
}

static void to_topic(sl_delivery_thread *d, const sl_delivery *delivery, sl_target_done_fn *done, void *context) {
    sl_error error;
    if (d->topics != NULL) {
        d->topics->deliver(d->topics, delivery, done, context);
        return;
    }
    (void)sl_error_set(&error, SL_EIO, "topic %s: the configuration has no brokers any more: kafka: { brokers: … }", delivery->target);
    done(context, SL_EIO, &error);
}

/* No lake is in S3 any more, but a table that was taken out of the configuration may have entries for it. */
static void deliver(sl_target *target, const sl_delivery *delivery, sl_target_done_fn *done, void *context) {
    sl_delivery_thread *d = (sl_delivery_thread *)(void *)target;
    bool rows = delivery->kind == SL_TABLE_WINDOW || delivery->kind == SL_TABLE_ROWS;
    sl_error error;
    if (sl_table_is_topic(delivery->kind)) {
        to_topic(d, delivery, done, context);
        return;
    }
    sl_status status = rows || d->lake != NULL ? SL_OK : make_lake(d, &error);
    if (status != SL_OK) {
        done(context, SL_EIO, &error);
        return;
    }
    sl_target *to = rows ? d->warehouse : d->lake;
    to->deliver(to, delivery, done, context);
}

static sl_fit_policy policy_of(const sl_config_table *settings) {
    return settings->strings == SL_STRINGS_TRUNCATE ? SL_FIT_TRUNCATE : SL_FIT_DEAD_LETTER;
}

static void table_rules(void *context, const sl_delivery *delivery, sl_warehouse_rules *rules) {
    (void)context;
    const sl_config_table *settings = delivery->settings;
    if (settings == NULL)
        return;
    rules->create = settings->create;
    rules->id = delivery->kind == SL_TABLE_ROWS ? settings->id : NULL;
    rules->policy = policy_of(settings);
}

static sl_status make_warehouse(sl_delivery_thread *d, sl_error *error) {
    const sl_config *c = d->config;
    if (c->warehouse.store == SL_STORE_POSTGRES) {
        const sl_postgres_target_options options = {.loop = d->loop,
                                                    .files = sl_files_system(),
                                                    .metrics = d->metrics,
                                                    .server = {.url = c->warehouse.postgres.url,
                                                               .password = c->warehouse.postgres.password,
                                                               .ca_file = c->warehouse.postgres.ca_file},
                                                    .create = true,
                                                    .rules_of = table_rules};
        return sl_postgres_target_create(&options, &d->warehouse, error);
    }
    sl_buffer user = SL_BUFFER_EMPTY;
    const sl_redshift_options options = {.loop = d->loop,
                                         .http = d->http,
                                         .credentials = d->credentials,
                                         .store = d->store,
                                         .files = sl_files_system(),
                                         .clock = d->clock,
                                         .metrics = d->metrics,
                                         .server = {.url = c->warehouse.redshift.url,
                                                    .password = c->warehouse.redshift.password,
                                                    .ca_file = c->warehouse.redshift.ca_file},
                                         .iam = sl_redshift_iam_of(c, &user),
                                         .iam_role = c->warehouse.redshift.iam_role,
                                         .stage = c->warehouse.redshift.stage,
                                         .create = true,
                                         .rules_of = table_rules};
    sl_status status = user.failed ? sl_error_set(error, SL_ENOMEM, "delivery: out of memory")
                                   : sl_redshift_create(&options, &d->warehouse, error);
    sl_buffer_fini(&user);
    return status;
}

sl_status sl_delivery_create(const sl_config *config, sl_metrics *metrics, sl_clock clock,
                             sl_delivery_thread **out, sl_error *error) {
    *out = NULL;
    bool lake = needs_lake(config), warehouse = config->warehouse.store != SL_STORE_SQLITE, topics = needs_topics(config);
    if (!lake && !warehouse && !topics)
        return SL_OK;
    sl_delivery_thread *d = sl_calloc(1, sizeof *d);
    if (d == NULL)
        return sl_error_set(error, SL_ENOMEM, "delivery: out of memory");
    d->target = (sl_target){.deliver = deliver}; /* sl_delivery_destroy() ends it. */
    d->config = config;
    d->clock = clock;
    d->metrics = metrics;
    const sl_loop_callbacks callbacks = {.turn = on_turn, .tick = on_turn, .context = d, .tick_ms = TICK_MS};
    sl_status status = sl_loop_create(&callbacks, &d->loop, error);
    if (status == SL_OK && (lake || config->warehouse.store == SL_STORE_REDSHIFT))
        status = make_store(d, error);
    if (status == SL_OK && lake)
        status = make_lake(d, error);
    if (status == SL_OK && warehouse)
        status = make_warehouse(d, error);
    if (status == SL_OK && topics)
        status = make_topics(d, error);
    if (status != SL_OK) {
        sl_delivery_destroy(d);
        return status;
    }
    *out = d;
    return SL_OK;
}

sl_target *sl_delivery_target(sl_delivery_thread *d) {
    return d != NULL ? &d->target : NULL;
}

sl_status sl_delivery_start(sl_delivery_thread *d, sl_actor *actor, const char *partition, sl_error *error) {
    d->actor = actor;
    sigset_t all, old; /* Signals belong to the daemon's loop. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    sl_status status = d->topics != NULL ? keep_topics(d, partition, error) : SL_OK;
    d->running = status == SL_OK && pthread_create(&d->thread, NULL, thread_main, d) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (status == SL_OK && !d->running)
        status = sl_error_set(error, SL_EIO, "delivery: the system gives no more threads");
    return status;
}

void sl_delivery_wake(sl_delivery_thread *d) {
    sl_loop_wake(d->loop);
}

void sl_delivery_stop(sl_delivery_thread *d) {
    if (d == NULL || !d->running)
        return;
    atomic_store(&d->stop, true);
    if (d->topics != NULL)
        sl_topic_target_stop(d->topics);
    sl_loop_wake(d->loop);
    (void)pthread_join(d->thread, NULL);
    d->running = false;
}

void sl_delivery_destroy(sl_delivery_thread *d) {
    if (d == NULL)
        return;
    sl_delivery_stop(d);
    d->actor = NULL; /* The loop takes a few more turns. */
    if (d->lake != NULL)
        d->lake->destroy(d->lake);
    if (d->warehouse != NULL)
        d->warehouse->destroy(d->warehouse);
    if (d->topics != NULL)
        d->topics->destroy(d->topics);
    sl_object_store_destroy(d->store);
    sl_aws_credentials_destroy(d->credentials);
    sl_http_client_destroy(d->http);
    sl_loop_destroy(d->loop);
    sl_free(d);
}
