/* Tables whose target is a topic: each has a thread that waits for brokers, so that one of them holds up nobody else. */
#include "sluice/topic.h"

#include "sluice/memory.h"
#include "sluice/message.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { REFRESH_S = 3600 };

typedef struct topic_target topic_target;

/* One table. Under the target's lock, but for what is said to be its thread's. */
typedef struct lane {
    struct lane *next;
    topic_target *target;
    char *table, *topic, *group;
    pthread_t thread;
    pthread_cond_t woken;
    bool refresh;         /* The marker is to be committed anew, soon. */
    const sl_delivery *delivery; /* NULL: nothing to do. */
    sl_target_done_fn *done;
    void *context;
    bool finished;        /* To be reported. */
    sl_status status;
    sl_error error;
    void *writer;         /* Its thread's. */
} lane;

struct topic_target {
    sl_target target; /* First: the caller's pointer is ours. */
    sl_topic_options options;
    sl_topic_port port;
    pthread_mutex_t lock;
    lane *lanes;
    _Atomic bool stop;
};

/* --- on a lane's thread --- */

static sl_status deliver_one(lane *l, const sl_delivery *d, sl_error *error) {
    const sl_topic_load load = {.group = l->group,
                                .topic = l->topic,
                                .entry = d->entry,
                                .first = d->first,
                                .hash = d->hash,
                                .files = l->target->options.files,
                                .spool = d->spool,
                                .stop = &l->target->stop};
    return sl_topic_apply(&l->target->port, &l->writer, &load, error);
}

static void keep_alive(lane *l) {
    sl_error error = {0};
    if (sl_topic_refresh(&l->target->port, &l->writer, l->group, l->topic, &error) != SL_OK)
        sl_message(SL_LEVEL_WARN, "topic", "the marker can't be kept alive now", "table=%s error=\"%s\"", l->table, error.text);
}

/* With the lock. */
static void await(lane *l) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += REFRESH_S;
    while (!atomic_load(&l->target->stop) && !l->refresh && (l->delivery == NULL || l->finished))
        if (pthread_cond_timedwait(&l->woken, &l->target->lock, &until) != 0)
            l->refresh = true;
}

static void *lane_main(void *context) {
    lane *l = context;
    topic_target *t = l->target;
    (void)pthread_mutex_lock(&t->lock);
    for (;;) {
        await(l);
        if (atomic_load(&t->stop))
            break;
        const sl_delivery *d = l->finished ? NULL : l->delivery;
        l->refresh = false;
        (void)pthread_mutex_unlock(&t->lock);
        sl_error error = {0};
        sl_status status = SL_OK;
        if (d != NULL)
            status = deliver_one(l, d, &error);
        else
            keep_alive(l);
        (void)pthread_mutex_lock(&t->lock);
        if (d != NULL) {
            l->status = status;
            l->error = error;
            l->finished = true;
            t->options.wake(t->options.context);
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (l->writer != NULL)
        t->port.close(t->port.context, l->writer);
    return NULL;
}

/* --- lanes --- */

static void lane_free(lane *l) {
    (void)pthread_cond_destroy(&l->woken);
    sl_free(l->table);
    sl_free(l->topic);
    sl_free(l->group);
    sl_free(l);
}

static bool init_condition(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    const bool good = pthread_cond_init(condition, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return good;
}

static sl_status lane_create(topic_target *t, const char *partition, const char *table, const char *topic, lane **out, sl_error *error) {
    lane *l = sl_calloc(1, sizeof *l);
    if (l == NULL || !init_condition(&l->woken)) {
        sl_free(l);
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", table);
    }
    sl_buffer group = SL_BUFFER_EMPTY;
    sl_topic_group(partition, table, &group);
    l->target = t;
    l->table = sl_strdup(table);
    l->topic = sl_strdup(topic);
    l->group = sl_strdup(sl_buffer_cstr(&group));
    const bool failed = group.failed || l->table == NULL || l->topic == NULL || l->group == NULL;
    sl_buffer_fini(&group);
    sl_status status = failed ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", table) : SL_OK;
    if (status == SL_OK && pthread_create(&l->thread, NULL, lane_main, l) != 0)
        status = sl_error_set(error, SL_EIO, "%s: the system gives no more threads", table);
    if (status != SL_OK) {
        lane_free(l);
        return status;
    }
    l->next = t->lanes;
    t->lanes = l;
    *out = l;
    return SL_OK;
}

/* With the lock. */
static sl_status lane_of(topic_target *t, const char *partition, const char *table, const char *topic, lane **out, sl_error *error) {
    lane *l = t->lanes;
    while (l != NULL && strcmp(l->table, table) != 0)
        l = l->next;
    *out = l;
    return l != NULL ? SL_OK : lane_create(t, partition, table, topic, out, error);
}

/* --- the target --- */

static void deliver(sl_target *target, const sl_delivery *d, sl_target_done_fn *done, void *context) {
    topic_target *t = (topic_target *)(void *)target;
    sl_error error = {0};
    lane *l;
    (void)pthread_mutex_lock(&t->lock);
    sl_status status = lane_of(t, d->partition, d->table, d->target, &l, &error);
    if (status == SL_OK) {
        l->delivery = d;
        l->done = done;
        l->context = context;
        l->finished = false;
        (void)pthread_cond_signal(&l->woken);
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (status != SL_OK) /* There is nobody to say it later. */
        done(context, status, &error);
}

void sl_topic_target_poll(sl_target *target) {
    topic_target *t = (topic_target *)(void *)target;
    (void)pthread_mutex_lock(&t->lock);
    for (lane *l = t->lanes; l != NULL; l = l->next) {
        if (!l->finished || l->delivery == NULL)
            continue;
        l->delivery = NULL;
        (void)pthread_mutex_unlock(&t->lock); /* Lanes are added in front, and go with the target. */
        l->done(l->context, l->status, &l->error);
        (void)pthread_mutex_lock(&t->lock);
    }
    (void)pthread_mutex_unlock(&t->lock);
}

sl_status sl_topic_target_keep(sl_target *target, const char *partition, const char *table, const char *topic, sl_error *error) {
    topic_target *t = (topic_target *)(void *)target;
    lane *l;
    (void)pthread_mutex_lock(&t->lock);
    sl_status status = lane_of(t, partition, table, topic, &l, error);
    if (status == SL_OK) {
        l->refresh = true;
        (void)pthread_cond_signal(&l->woken);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return status;
}

void sl_topic_target_stop(sl_target *target) {
    topic_target *t = (topic_target *)(void *)target;
    (void)pthread_mutex_lock(&t->lock);
    atomic_store(&t->stop, true);
    for (lane *l = t->lanes; l != NULL; l = l->next)
        (void)pthread_cond_signal(&l->woken);
    (void)pthread_mutex_unlock(&t->lock);
}

static void destroy(sl_target *target) {
    topic_target *t = (topic_target *)(void *)target;
    sl_topic_target_stop(target);
    while (t->lanes != NULL) {
        lane *l = t->lanes;
        t->lanes = l->next;
        (void)pthread_join(l->thread, NULL);
        lane_free(l);
    }
    (void)pthread_mutex_destroy(&t->lock);
    sl_free(t);
}

sl_status sl_topic_target_create(const sl_topic_options *options, sl_target **out, sl_error *error) {
    topic_target *t = sl_calloc(1, sizeof *t);
    *out = NULL;
    if (t == NULL || pthread_mutex_init(&t->lock, NULL) != 0) {
        sl_free(t);
        return sl_error_set(error, SL_ENOMEM, "topics: out of memory");
    }
    t->target = (sl_target){.deliver = deliver, .destroy = destroy};
    t->options = *options;
    t->port = options->port != NULL ? *options->port : sl_topic_kafka_port(&t->options.kafka);
    *out = &t->target;
    return SL_OK;
}
