/* Sources and their groups: assignments, where partitions begin, commits, leaving. */
#include "private.h"

#include "sluice/hash.h"
#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>

enum { OWN_PROPERTIES = 2, MEMORY_LEAST = 4 << 20, MEMORY_MOST = 64 << 20 };
#define EVERY_US SL_SECOND_US          /* Commits, lag, and questions that failed. */
#define QUESTION_MS 3000               /* A stop may have to wait for two. */
#define NUDGE_US 5000                  /* Between nudges while nothing comes; twice as long each time, up to EVERY_US. */
#define LEAVE_US (3 * SL_SECOND_US)     /* For the last commit at a stop. */
#define GIVE_UP_US (4 * SL_MINUTE_US)  /* Of a revocation: within max.poll.interval.ms. */
#define SESSION_MS "120000" /* How long a daemon may be away, restarting, before others take its partitions. */

int64_t intake_now(const source *s) { return s->of->host.clock->monotonic_us(s->of->host.clock->context); }

static void wake(const source *s) { s->of->host.wake_loop(s->of->host.context); }

/* --- partitions --- */

static partition *find(const source *s, const char *topic, int32_t number) {
    for (partition *p = s->partitions; p != NULL; p = p->next)
        if (!p->lost && p->number == number && strcmp(p->topic, topic) == 0)
            return p;
    return NULL;
}

static partition *partition_add(source *s, const sl_kafka_place *place) {
    const char *cluster = sl_kafka_consumer_cluster(s->consumer);
    partition *p = sl_calloc(1, sizeof *p);
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, "kafka:%s/%s/%" PRId32 "@%s", cluster != NULL ? cluster : "", place->topic, place->partition, s->group);
    char label[512];
    (void)snprintf(label, sizeof label, "source=\"%s\",topic=\"%s\",partition=\"%" PRId32 "\"", s->name, place->topic, place->partition);
    if (p == NULL || text.failed || (p->topic = sl_strdup(place->topic)) == NULL ||
        (p->identity = sl_strdup(sl_buffer_cstr(&text))) == NULL) {
        if (p != NULL)
            sl_free(p->topic);
        sl_free(p);
        sl_buffer_fini(&text);
        return NULL;
    }
    sl_buffer_fini(&text);
    p->of = s;
    p->number = place->partition;
    p->next = s->partitions;
    p->at = p->delivered = p->committed = -1;
    p->lag = sl_metrics_get(s->of->host.metrics, SL_METRIC_GAUGE, "sluice_kafka_partition_lag",
                            "Messages that a partition has and that aren't taken yet.", label);
    s->partitions = p;
    s->partition_count++;
    sl_metric_add(s->assigned, 1);
    return p;
}

/* The group has them again when it is asked again: a rebalance without an owner would never end. */
static void on_assigned(void *context, const sl_kafka_place *places, uint32_t count) {
    source *s = context;
    sl_metric_add(s->rebalances, 1);
    for (uint32_t i = 0; i < count; i++)
        if (partition_add(s, &places[i]) == NULL)
            sl_message(SL_LEVEL_ERROR, "kafka", "out of memory: a partition isn't read until the next rebalance",
                       "source=%s topic=%s partition=%" PRId32, s->name, places[i].topic, places[i].partition);
    sl_message(SL_LEVEL_INFO, "kafka", "partitions came", "source=%s count=%u", s->name, count);
    wake(s);
}

/* What was never given to the engine is read by whoever is next. */
static void let_go(partition *p) {
    p->gone = true;
    sl_buffer_clear(&p->filling);
    p->filling_figures = (figures){0};
}

static void on_revoked(void *context, const sl_kafka_place *places, uint32_t count) {
    source *s = context;
    sl_metric_add(s->rebalances, 1);
    for (uint32_t i = 0; i < count; i++) {
        partition *p = find(s, places[i].topic, places[i].partition);
        if (p != NULL)
            let_go(p);
    }
    if (s->closing) {
        sl_kafka_consumer_release(s->consumer);
        return;
    }
    s->revoking = true;
    s->revoked_at_us = intake_now(s);
    sl_message(SL_LEVEL_INFO, "kafka", "partitions go", "source=%s count=%u", s->name, count);
    wake(s);
}

static void on_lost(void *context, const sl_kafka_place *places, uint32_t count) {
    source *s = context;
    sl_metric_add(s->rebalances, 1);
    for (uint32_t i = 0; i < count; i++) {
        partition *p = find(s, places[i].topic, places[i].partition);
        if (p == NULL)
            continue;
        let_go(p);
        p->lost = true;
        if (p->mark_count != 0 || p->flying.length != 0)
            sl_message(SL_LEVEL_ERROR, "kafka", "a partition was lost before all of it was delivered: its next reader may bring events again",
                       "source=%s topic=%s partition=%" PRId32 " delivered=%" PRId64, s->name, p->topic, p->number, p->delivered);
    }
    wake(s);
}

static uint32_t on_messages(void *context, void *tag, const sl_kafka_message *messages, uint32_t count) {
    source *s = context;
    uint32_t got = partition_take(tag, messages, count);
    s->fed = true;
    for (uint32_t i = 0; i < got; i++)
        s->fed_bytes += messages[i].value_length;
    s->held = got < count;
    s->room = false;
    wake(s);
    return got;
}

static void on_error(void *context, const sl_kafka_place *place, const sl_error *error, bool fatal) {
    source *s = context;
    partition *p = place != NULL && place->partition >= 0 ? find(s, place->topic, place->partition) : NULL;
    sl_metric_add(s->errors, 1);
    if (p != NULL && error->status == SL_ENOTFOUND) {
        partition_stand(p, error->text);
        return;
    }
    sl_message(fatal ? SL_LEVEL_ERROR : SL_LEVEL_WARN, "kafka", fatal ? "nothing is read until the next start" : "trouble",
               "source=%s error=\"%s\"", s->name, error->text);
    s->dead = s->dead || fatal;
}

/* --- where a partition begins --- */

static void on_marks(void *context, sl_status status, const sl_kafka_marks *marks, uint32_t count, const sl_error *error) {
    source *s = context;
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        partition *p = find(s, marks[i].topic, marks[i].partition);
        if (p == NULL || p->stage != PARTITION_ASKING)
            continue;
        p->low = marks[i].low;
        p->high = marks[i].high;
        p->has_marks = true;
    }
    if (status != SL_OK)
        sl_message(SL_LEVEL_WARN, "kafka", "it isn't known what partitions hold: asked again", "source=%s error=\"%s\"", s->name, error->text);
    s->asking--;
    wake(s);
}

static void on_committed(void *context, sl_status status, const sl_kafka_offset *offsets, uint32_t count, const sl_error *error) {
    source *s = context;
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        partition *p = find(s, offsets[i].topic, offsets[i].partition);
        if (p == NULL || p->stage != PARTITION_ASKING)
            continue;
        p->group_offset = offsets[i].offset;
        history_note_group(p, offsets[i].metadata);
        p->has_committed = true;
    }
    if (status != SL_OK)
        sl_message(SL_LEVEL_WARN, "kafka", "it isn't known what the group has committed: asked again", "source=%s error=\"%s\"", s->name,
                   error->text);
    s->asking--;
    wake(s);
}

static void ask(source *s) {
    uint32_t count = 0;
    if (s->asking != 0 || intake_now(s) < s->ask_at_us)
        return;
    sl_kafka_place *places = sl_calloc(s->partition_count + 1, sizeof *places);
    for (partition *p = s->partitions; p != NULL && places != NULL; p = p->next) {
        if (p->gone || p->stage > PARTITION_ASKING || (p->has_marks && p->has_committed))
            continue;
        p->stage = PARTITION_ASKING;
        p->has_marks = p->has_committed = false;
        places[count++] = (sl_kafka_place){p->topic, p->number};
    }
    if (count != 0) {
        s->ask_at_us = intake_now(s) + EVERY_US;
        s->asking = count + 1;
        for (uint32_t i = 0; i < count; i++) /* One by one: a partition without a leader holds up nobody else. */
            sl_kafka_consumer_marks(s->consumer, &places[i], 1, on_marks, s);
        sl_kafka_consumer_committed(s->consumer, places, count, on_committed, s);
    }
    sl_free(places);
}

/* The log's own word counts, but for what another reader of the group has brought since. @return -1: it stands. */
static int64_t beginning(partition *p) {
    uint64_t next = 0;
    const bool known = sl_engine_origin(p->of->engine, p->identity, &next, &p->check);
    p->at = known ? (int64_t)next : p->group_offset;
    if (p->at < 0)
        p->at = p->of->latest ? p->high : p->low;
    if (p->group_offset > p->at) {
        p->at = p->group_offset;
        sl_message(SL_LEVEL_WARN, "kafka", "another reader of the group, or a person, went on",
                   "source=%s topic=%s partition=%" PRId32 " from=%" PRIu64 " to=%" PRId64, p->of->name, p->topic, p->number, next, p->at);
    } else if (known) {
        p->unverified = p->at > p->low;
        partition_mark(p, sl_engine_taken(p->of->engine), p->at, p->group_time_us);
    }
    history_begin(p);
    char why[512] = "";
    if (p->at > p->high)
        (void)snprintf(why, sizeof why,
                       "its log ends at offset %" PRId64 ", and %" PRId64 " is the next one to be read: the topic was deleted and made anew. "
                       "Read it under another group, which begins it again, or give the new topic another name",
                       p->high, p->at);
    else if (p->at < p->low)
        (void)snprintf(why, sizeof why,
                       "its log begins at offset %" PRId64 ", and %" PRId64 " is the next one to be read: what lies between was deleted before it "
                       "was read. To go on without it set the group's offset behind it (kafka-consumer-groups.sh --reset-offsets) while "
                       "this daemon is stopped",
                       p->low, p->at);
    if (why[0] != 0)
        partition_stand(p, why);
    return p->stage == PARTITION_STANDS ? -1 : p->at - p->unverified;
}

static void begin(partition *p) {
    source *s = p->of;
    sl_error error = {0};
    p->stage = PARTITION_READS;
    const int64_t from = beginning(p);
    if (from < 0)
        return;
    sl_status status = sl_kafka_consumer_start(s->consumer, p->topic, p->number, from, p, &error);
    if (status == SL_OK) {
        sl_message(SL_LEVEL_INFO, "kafka", "a partition is read", "source=%s topic=%s partition=%" PRId32 " from=%" PRId64, s->name, p->topic,
                   p->number, p->at);
    } else if (status == SL_ENOTFOUND) {
        p->gone = p->lost = true;
    } else {
        p->stage = PARTITION_ASKING;
        p->has_marks = false;
    }
}

/* --- offsets --- */

static void on_commit(void *context, sl_status status, const sl_kafka_offset *offsets, uint32_t count, const sl_error *error) {
    source *s = context;
    s->committing = false;
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        partition *p = find(s, offsets[i].topic, offsets[i].partition);
        if (p != NULL)
            p->committed = offsets[i].offset;
    }
    if (status != SL_OK)
        sl_message(status == SL_ECONFLICT ? SL_LEVEL_DEBUG : SL_LEVEL_WARN, "kafka", "offsets aren't committed yet", "source=%s error=\"%s\"",
                   s->name, error->text);
    wake(s);
}

static bool to_commit(const partition *p) { return !p->lost && p->delivered > p->committed; }

static const char *metadata_of(partition *p) {
    (void)snprintf(p->metadata, sizeof p->metadata, "%s %" PRId64, p->of->of->identity, p->delivered_time_us);
    return p->metadata;
}

/* @return whether something was, or is, to be committed. */
static bool commit(source *s) {
    uint32_t count = 0;
    if (s->committing)
        return true;
    sl_kafka_offset *offsets = sl_calloc(s->partition_count + 1, sizeof *offsets);
    for (partition *p = s->partitions; p != NULL && offsets != NULL; p = p->next)
        if (to_commit(p))
            offsets[count++] = (sl_kafka_offset){p->topic, p->number, p->delivered, metadata_of(p)};
    if (count != 0) {
        s->committing = true;
        sl_kafka_consumer_commit(s->consumer, offsets, count, on_commit, s);
    }
    sl_free(offsets);
    return count != 0;
}

static void on_end(void *context, sl_status status, const sl_kafka_marks *marks, uint32_t count, const sl_error *error) {
    source *s = context;
    char why[512];
    (void)error;
    s->comparing = false;
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        partition *p = find(s, marks[i].topic, marks[i].partition);
        if (p == NULL || p->gone || p->stage != PARTITION_READS || p->elsewhere <= marks[i].high)
            continue;
        (void)snprintf(why, sizeof why,
                       "a warehouse table has it up to offset %" PRId64 ", and its log ends at %" PRId64 ": the topic was deleted and made anew. "
                       "What was read of it is in the lake, not in that table. Read it under another group, which begins it again",
                       p->elsewhere, marks[i].high);
        partition_stand(p, why);
    }
}

/* A warehouse that has more than there is has it of another topic under the same name. What fetches have told may be old: the broker is asked. */
static void compare_end(source *s, partition *p, int64_t lag) {
    p->elsewhere = s->engine != NULL ? (int64_t)sl_engine_elsewhere(s->engine, p->identity) : 0;
    if (p->stage != PARTITION_READS || p->gone || s->comparing || lag < 0 || p->elsewhere <= p->at + lag)
        return;
    s->comparing = true;
    sl_kafka_consumer_marks(s->consumer, &(sl_kafka_place){p->topic, p->number}, 1, on_end, s);
}

static void measure(source *s) {
    int64_t sum = 0;
    for (partition *p = s->partitions; p != NULL; p = p->next) {
        compare_end(s, p, sl_kafka_consumer_lag(s->consumer, p->topic, p->number));
        int64_t lag = p->stage == PARTITION_READS && !p->gone ? sl_kafka_consumer_lag(s->consumer, p->topic, p->number) : 0;
        sl_metric_set(p->lag, lag > 0 ? lag : 0);
        sum += lag > 0 ? lag : 0;
    }
    sl_metric_set(s->lag, sum);
}

static void on_nudged(void *context, sl_status status, const sl_kafka_marks *marks, uint32_t count, const sl_error *error) {
    (void)status;
    (void)marks;
    (void)count;
    (void)error;
    ((source *)context)->nudging = false;
}

/* Once librdkafka's queue was full, the thread of a broker sleeps for up to a second, however soon the queue is empty again
 * (before 2.2 no property says otherwise). Any answer of that broker wakes it, so it is asked something: when half of a
 * queue was taken, and when nothing comes although there is something. */
static void nudge(source *s) {
    const bool starved = !s->fed && !s->held && intake_now(s) - s->nudged_at_us >= s->nudge_every_us;
    if (s->fed)
        s->nudge_every_us = NUDGE_US;
    s->fed = false;
    if (s->nudging || (!starved && s->fed_bytes < s->memory / 4))
        return;
    uint32_t count = 0;
    s->fed_bytes = 0;
    sl_kafka_place *places = sl_calloc(s->partition_count + 1, sizeof *places);
    for (partition *p = s->partitions; p != NULL && places != NULL; p = p->next)
        if (p->stage == PARTITION_READS && !p->gone && sl_kafka_consumer_lag(s->consumer, p->topic, p->number) > 0)
            places[count++] = (sl_kafka_place){p->topic, p->number};
    if (count != 0) {
        s->nudging = true;
        s->nudged_at_us = intake_now(s);
        if (starved) /* The rest may be markers of transactions, which never come. */
            s->nudge_every_us = s->nudge_every_us < EVERY_US / 2 ? 2 * s->nudge_every_us : EVERY_US;
        sl_kafka_consumer_marks(s->consumer, places, count, on_nudged, s);
    }
    sl_free(places);
}

/* --- giving up --- */

static void forget_gone(source *s) {
    for (partition **at = &s->partitions; *at != NULL;) {
        partition *p = *at;
        if (!p->gone || p->flying.length != 0 || (!p->lost && s->revoking)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        s->partition_count--;
        sl_metric_add(s->assigned, -1);
        partition_free(p);
    }
}

static void flushed(void *context, sl_status status, const char *message) {
    source *s = context;
    s->flushing = false;
    if (status != SL_OK) {
        s->flush_at_us = intake_now(s) + EVERY_US;
        sl_message(SL_LEVEL_WARN, "kafka", "partitions that go wait for their delivery", "source=%s reason=\"%s\"", s->name, message);
    }
    wake(s);
}

/* All of it is delivered, then committed, then given up. */
static void revoke(source *s) {
    bool open = false, undelivered = false;
    for (const partition *p = s->partitions; p != NULL; p = p->next) {
        const bool ours = p->gone && !p->lost;
        open = open || (ours && to_commit(p));
        undelivered = undelivered || (ours && (p->flying.length != 0 || p->mark_count != 0));
    }
    const bool late = intake_now(s) - s->revoked_at_us > GIVE_UP_US;
    if (undelivered && !late) {
        if (!s->flushing && intake_now(s) >= s->flush_at_us) {
            s->flushing = true;
            s->of->host.flush(s->of->host.context, flushed, s);
        }
        return;
    }
    if (open && !late) {
        (void)commit(s);
        return;
    }
    if (open || undelivered)
        sl_message(SL_LEVEL_ERROR, "kafka", "partitions go before all of them was delivered: their next reader may bring events again",
                   "source=%s", s->name);
    s->revoking = false;
    sl_kafka_consumer_release(s->consumer);
}

/* What was held up goes on when a chunk was taken, or when there is none that will be. */
static void go_on(source *s) {
    bool waits = false;
    for (const partition *p = s->partitions; p != NULL; p = p->next)
        waits = waits || p->flying.length != 0;
    if (!s->held || (waits && !s->room))
        return;
    s->held = s->room = false;
    sl_kafka_consumer_continue(s->consumer);
}

/* It was lost and came back while the engine has a chunk of it: where the log goes on isn't known before that is answered. */
static bool waits_for_another(const partition *p) {
    for (const partition *q = p->of->partitions; q != NULL; q = q->next)
        if (q != p && q->number == p->number && q->flying.length != 0 && strcmp(q->topic, p->topic) == 0)
            return true;
    return false;
}

static void on_start(void *context, sl_status status, const sl_kafka_offset *offsets, uint32_t count, const sl_error *error) {
    source *s = context;
    s->asking--;
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        partition *p = find(s, offsets[i].topic, offsets[i].partition);
        if (p == NULL || !p->starting)
            continue;
        p->starting = false;
        p->group_offset = p->committed = offsets[i].offset;
        p->history = HISTORY_KNOWN; /* There is none: nobody has read it. */
        p->history_from = p->group_offset;
    }
    if (status != SL_OK) {
        for (partition *p = s->partitions; p != NULL; p = p->next) {
            p->has_committed = p->has_committed && !p->starting;
            p->starting = false;
        }
        sl_message(SL_LEVEL_WARN, "kafka", "where partitions begin can't be committed yet", "source=%s error=\"%s\"", s->name, error->text);
    }
    wake(s);
}

/* Who reads a partition first says where, so that whoever is next begins there, too, and leaves no gap. @return false: not yet. */
static bool start_committed(partition *p) {
    source *s = p->of;
    uint64_t next, check;
    if (p->group_offset >= 0 || sl_engine_origin(s->engine, p->identity, &next, &check))
        return true;
    if (!p->starting && s->asking == 0) {
        p->starting = true;
        s->asking++;
        sl_kafka_consumer_commit(s->consumer, &(sl_kafka_offset){p->topic, p->number, s->latest ? p->high : p->low, s->of->identity}, 1,
                                 on_start, s);
    }
    return false;
}

static void source_turn(source *s, sl_engine *engine) {
    s->engine = engine;
    if (s->dead || s->closing)
        return;
    for (partition *p = s->partitions; p != NULL && engine != NULL; p = p->next) {
        if (p->stage == PARTITION_ASKING && p->has_marks && p->has_committed && !p->gone && !waits_for_another(p) && start_committed(p) && history_ready(p))
            begin(p);
        partition_turn(p);
    }
    if (engine != NULL) {
        ask(s);
        nudge(s);
    }
    if (s->revoking)
        revoke(s);
    forget_gone(s);
    go_on(s);
    if (intake_now(s) >= s->every_at_us) {
        s->every_at_us = intake_now(s) + EVERY_US;
        (void)commit(s);
        measure(s);
    }
    s->engine = NULL; /* Only a turn knows whether it is there. */
}

void sl_kafka_intake_turn(sl_kafka_intake *k, sl_engine *engine) {
    for (uint32_t i = 0; k != NULL && i < k->count; i++)
        source_turn(&k->sources[i], engine);
}

/* --- leaving --- */

static void on_closed(void *context) {
    source *s = context;
    s->consumer = NULL;
    wake(s);
}

void sl_kafka_intake_stop(sl_kafka_intake *k, sl_engine *engine) {
    for (uint32_t i = 0; k != NULL && i < k->count; i++) {
        source *s = &k->sources[i];
        if (!s->closing && s->consumer != NULL)
            sl_kafka_consumer_hold(s->consumer);
        s->closing = true;
        if (engine == NULL || s->leaving || s->consumer == NULL)
            continue;
        s->engine = engine;
        for (partition *p = s->partitions; p != NULL; p = p->next)
            partition_turn(p);
        s->leave_by_us = s->leave_by_us != 0 ? s->leave_by_us : intake_now(s) + LEAVE_US;
        if (intake_now(s) < s->leave_by_us && commit(s))
            continue; /* Once more when it is answered. */
        s->leaving = true;
        sl_kafka_consumer_close(s->consumer, on_closed, s);
    }
}

bool sl_kafka_intake_stopped(const sl_kafka_intake *k) {
    for (uint32_t i = 0; k != NULL && i < k->count; i++)
        if (k->sources[i].consumer != NULL)
            return false;
    return true;
}

void sl_kafka_intake_destroy(sl_kafka_intake *k) {
    for (uint32_t i = 0; k != NULL && i < k->count; i++) {
        source *s = &k->sources[i];
        while (s->partitions != NULL) {
            partition *p = s->partitions;
            s->partitions = p->next;
            partition_free(p);
        }
        sl_budget_give(k->host.budget, s->memory);
        sl_free(s->name);
        sl_free(s->group);
        sl_free(s->stream);
        sl_free(s->member);
        sl_buffer_fini(&s->scratch);
    }
    if (k != NULL) {
        sl_free(k->sources);
        sl_free(k->identity);
    }
    sl_free(k);
}

/* --- create --- */

static void metrics(source *s) {
    char label[128];
    (void)snprintf(label, sizeof label, "source=\"%.100s\"", s->name);
    sl_metrics *m = s->of->host.metrics;
    s->messages = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_kafka_messages_total", "Messages that the log has.", label);
    s->bytes = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_kafka_bytes_total", "Bytes of their values.", label);
    s->tombstones = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_kafka_tombstones_total", "Messages without a value, which are passed over.", label);
    s->retries = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_kafka_retries_total", "Chunks that had to wait, as the engine took nothing.", label);
    s->rebalances = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_kafka_rebalances_total", "Partitions came, went or were lost.", label);
    s->errors = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_kafka_errors_total", "What librdkafka complained of.", label);
    s->lag = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_kafka_lag", "Messages that the partitions have and that aren't taken yet.", label);
    s->assigned = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_kafka_partitions", "Partitions that are read here.", label);
    s->stopped = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_kafka_partitions_stopped", "Of these, those that stand still by an alarm.", label);
}

void sl_kafka_intake_use(sl_kafka_intake *k, const sl_config *c) {
    for (uint32_t i = 0; k != NULL && i < k->count; i++) {
        history_horizon(&k->sources[i], c);
        if (k->sources[i].addressed)
            continue;
        char *stream = sl_strdup(sl_config_taker_name(c, k->sources[i].name));
        if (stream == NULL)
            continue; /* The old name, until the next reload. */
        sl_free(k->sources[i].stream);
        k->sources[i].stream = stream;
    }
}

/* A member that is told by its id keeps its partitions while it restarts. */
static sl_status join(source *s, const sl_config_kafka *from, sl_error *error) {
    const sl_kafka_host *host = &s->of->host;
    char instance[128];
    (void)snprintf(instance, sizeof instance, "sluice-%016" PRIx64 "-%.64s", sl_hash64(s->of->identity, strlen(s->of->identity), 0), s->name);
    sl_kafka_options options = from->options;
    sl_kafka_property *properties = sl_calloc(options.property_count + OWN_PROPERTIES, sizeof *properties);
    if (properties == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    properties[0] = (sl_kafka_property){"group.instance.id", instance};
    properties[1] = (sl_kafka_property){"session.timeout.ms", SESSION_MS};
    for (uint32_t i = 0; i < options.property_count; i++)
        properties[i + OWN_PROPERTIES] = options.properties[i];
    options.properties = properties;
    options.property_count += OWN_PROPERTIES;
    options.memory_bytes = s->memory;
    options.timeout_ms = QUESTION_MS;
    const sl_kafka_consumer_callbacks callbacks = {.assigned = on_assigned,
                                                   .revoked = on_revoked,
                                                   .lost = on_lost,
                                                   .messages = on_messages,
                                                   .error = on_error,
                                                   .context = s};
    sl_status status = sl_kafka_consumer_create(host->loop, &options, &callbacks, &s->consumer, error);
    sl_free(properties);
    sl_error warning = {0};
    if (status == SL_OK && sl_kafka_warning(&options, &warning))
        sl_message(SL_LEVEL_WARN, "kafka", "this may not work", "source=%s warning=\"%s\"", s->name, warning.text);
    return status == SL_OK ? SL_OK : sl_error_context(error, "source %s", from->name);
}

static const sl_config_kafka *log_of(const sl_config *c) { return c->ingest.read ? c->ingest.kafka : NULL; }

/* The configured ones, and the log that is a topic. */
static uint32_t sources_of(const sl_config *c) { return c->kafka_count + (log_of(c) != NULL); }

static sl_status start_one(source *s, const sl_config *c, uint32_t index, sl_error *error) {
    const uint64_t share = c->memory / 8 / sources_of(c);
    s->addressed = index >= c->kafka_count;
    const sl_config_kafka *from = s->addressed ? c->ingest.kafka : &c->kafkas[index];
    s->name = sl_strdup(from->name);
    s->group = sl_strdup(from->options.group);
    s->stream = sl_strdup(s->addressed ? "" : sl_config_taker_name(c, from->name));
    s->member = from->metadata != NULL ? sl_strdup(from->metadata) : NULL;
    s->latest = from->latest;
    history_horizon(s, c);
    if (s->name == NULL || s->group == NULL || s->stream == NULL || (from->metadata != NULL && s->member == NULL))
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    s->memory = share < MEMORY_LEAST ? MEMORY_LEAST : share > MEMORY_MOST ? MEMORY_MOST : share;
    sl_budget_force(s->of->host.budget, s->memory);
    metrics(s);
    return join(s, from, error);
}

sl_status sl_kafka_intake_create(const sl_config *c, const sl_kafka_host *host, sl_kafka_intake **out, sl_error *error) {
    *out = NULL;
    if (sources_of(c) == 0)
        return SL_OK;
    sl_kafka_intake *k = sl_calloc(1, sizeof *k);
    if (k == NULL || (k->sources = sl_calloc(sources_of(c), sizeof *k->sources)) == NULL ||
        (k->identity = sl_strdup(host->identity)) == NULL) {
        sl_kafka_intake_destroy(k);
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    }
    k->host = *host;
    k->memory = c->memory;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < sources_of(c) && status == SL_OK; i++) {
        k->sources[i].of = k;
        k->count++;
        status = start_one(&k->sources[i], c, i, error);
    }
    *out = k; /* What has joined must leave: stop, then destroy. */
    return status;
}
