/* One partition: messages are gathered in a chunk while the log takes the last one; what the log has waits to be delivered, and is then
 * committed for the group. */
#include "private.h"

#include "sluice/hash.h"
#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>

/* --- messages --- */

uint64_t message_check(const sl_kafka_message *m) {
    uint64_t hash = sl_hash64(m->key, m->key_length, (uint64_t)m->time_us);
    return sl_hash64(m->value, m->value_length, hash);
}

static void put_member(sl_buffer *out, const char *name, const uint8_t *text, size_t length) {
    sl_buffer_printf(out, ",\"%s\":", name);
    if (text != NULL)
        sl_buffer_json_string(out, (const char *)text, length);
    else
        sl_buffer_text(out, "null");
}

static void put_headers(sl_buffer *out, const sl_kafka_message *m) {
    const char *name;
    const uint8_t *value;
    size_t length;
    sl_buffer_text(out, ",\"headers\":{");
    for (size_t i = 0; sl_kafka_header(m, i, &name, &value, &length); i++) {
        if (i != 0)
            sl_buffer_byte(out, ',');
        sl_buffer_json_string(out, name, strlen(name));
        sl_buffer_byte(out, ':');
        if (value != NULL)
            sl_buffer_json_string(out, (const char *)value, length);
        else
            sl_buffer_text(out, "null");
    }
    sl_buffer_byte(out, '}');
}

static bool space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool message_with_metadata(const partition *p, const sl_kafka_message *m, sl_buffer *out) {
    const uint8_t *at = m->value;
    size_t begin = 0, end = m->value_length;
    while (begin < end && space(at[begin]))
        begin++;
    while (end > begin && space(at[end - 1]))
        end--;
    if (end < begin + 2 || at[begin] != '{' || at[end - 1] != '}') {
        sl_buffer_append(out, m->value, m->value_length);
        return !out->failed;
    }
    size_t inner = end - 1;
    while (inner > begin + 1 && space(at[inner - 1]))
        inner--;
    char time[32] = "";
    size_t length = m->time_kind != SL_KAFKA_NO_TIME ? sl_time_format(m->time_us, time) : 0;
    sl_buffer_append(out, at + begin, inner - begin);
    if (inner != begin + 1)
        sl_buffer_byte(out, ',');
    sl_buffer_json_string(out, p->of->member, strlen(p->of->member));
    sl_buffer_text(out, ":{\"topic\":");
    sl_buffer_json_string(out, p->topic, strlen(p->topic));
    sl_buffer_printf(out, ",\"partition\":%" PRId32 ",\"offset\":%" PRId64, p->number, m->offset);
    put_member(out, "timestamp", length != 0 ? (const uint8_t *)time : NULL, length);
    put_member(out, "key", m->key, m->key_length);
    put_headers(out, m);
    sl_buffer_text(out, "}}");
    return !out->failed;
}

static void count_memory(partition *p) {
    size_t now = p->filling.capacity + p->flying.capacity;
    if (now > p->counted)
        sl_budget_force(p->of->of->host.budget, now - p->counted);
    else
        sl_budget_give(p->of->of->host.budget, p->counted - now);
    p->counted = now;
}

static bool add_value(partition *p, const sl_kafka_message *m) {
    sl_message_item item = {.bytes = m->value,
                            .length = m->value_length,
                            .place = (uint32_t)(m->offset - p->filling_from),
                            .arrival_us = m->time_kind != SL_KAFKA_NO_TIME ? m->time_us : 0};
    if (p->of->member == NULL && !p->of->addressed)
        return sl_messages_add(&p->filling, &item);
    sl_buffer *text = &p->of->scratch;
    sl_buffer_clear(text);
    if (p->of->addressed) {
        address_of(m, text);
        sl_buffer_append(text, m->value, m->value_length);
    } else {
        (void)message_with_metadata(p, m, text);
    }
    item.bytes = text->bytes;
    item.length = (uint32_t)text->length;
    const bool good = !text->failed && sl_messages_add(&p->filling, &item);
    if (text->failed || text->capacity > CHUNK_LEAST)
        sl_buffer_fini(text);
    return good;
}

static bool add(partition *p, const sl_kafka_message *m) {
    const size_t before = p->filling.length;
    if (before == 0) {
        const sl_messages_origin origin = {.partition = p->identity,
                                           .length = (uint32_t)strlen(p->identity),
                                           .from = (uint64_t)m->offset,
                                           .history = m->offset < p->history_to};
        sl_messages_begin(&p->filling, &origin);
        p->filling_from = m->offset;
    }
    bool good = m->value == NULL ? !p->filling.failed : add_value(p, m);
    if (!good) { /* As if it hadn't come. */
        p->filling.failed = false;
        p->filling.length = before;
        return false;
    }
    p->filling_to = p->at = m->offset + 1;
    p->filling_time_us = m->time_kind != SL_KAFKA_NO_TIME ? m->time_us : 0;
    p->filling_figures.messages++;
    p->filling_figures.bytes += m->value_length;
    p->filling_figures.tombstones += m->value == NULL;
    return true;
}

/* The first one is the last that the log has, unless that is no longer there. @return false: it is another one. */
static bool verify(partition *p, const sl_kafka_message *m) {
    p->unverified = false;
    if (m->offset >= p->at) {
        sl_message(SL_LEVEL_DEBUG, "kafka", "the last message isn't there to be compared", "source=%s topic=%s partition=%" PRId32,
                   p->of->name, p->topic, p->number);
        return true;
    }
    if (m->offset != p->at - 1 || message_check(m) == p->check)
        return true;
    partition_stand(p, "its last message isn't the one that was taken: the topic was deleted and made anew. Read it under another "
                       "group, which begins it again, or give the new topic another name");
    return false;
}

/* To the chunk that is being made. */
static bool belongs(const partition *p, const sl_kafka_message *m) {
    return p->filling.length == 0 || (m->offset - p->filling_from <= UINT32_MAX &&
                                      (m->offset < p->history_to) == (p->filling_from < p->history_to));
}

uint32_t partition_take(partition *p, const sl_kafka_message *messages, uint32_t count) {
    uint64_t most = p->of->of->memory / 64 / (p->of->partition_count + 1);
    most = most < CHUNK_LEAST ? CHUNK_LEAST : most > CHUNK_MOST ? CHUNK_MOST : most;
    const sl_kafka_message *last = NULL;
    uint32_t i = 0;
    for (; i < count; i++) {
        const sl_kafka_message *m = &messages[i];
        if (p->stage != PARTITION_READS || p->gone || (p->unverified && !verify(p, m)))
            return count; /* It stands, or is another's. */
        if (m->offset < p->at)
            continue;
        if (p->filling.length + m->value_length > most && p->filling.length != 0 && p->asked)
            break;
        if (p->filling.length > most || !belongs(p, m) || !add(p, m))
            break;
        last = m;
    }
    if (last != NULL)
        p->filling_check = p->check = message_check(last);
    count_memory(p);
    return i;
}

void partition_stand(partition *p, const char *why) {
    if (p->stage != PARTITION_STANDS)
        sl_metric_add(p->of->stopped, 1);
    p->stage = PARTITION_STANDS;
    sl_status paused = sl_kafka_consumer_pause(p->of->consumer, p->topic, p->number, true);
    (void)paused; /* One that isn't started brings nothing anyway. */
    sl_message(SL_LEVEL_ERROR, "kafka", "a partition stands still", "source=%s topic=%s partition=%" PRId32 " reason=\"%s\"", p->of->name,
               p->topic, p->number, why);
}

/* --- records --- */

void partition_mark(partition *p, uint64_t position, int64_t to, int64_t time_us) {
    if (p->mark_count == MARKS_MAX) /* Then a part isn't told apart any more, which only makes the commit later. */
        p->mark_count--;
    p->marks[p->mark_count++] = (mark){position, to, time_us};
}

static void taken(partition *p, uint64_t position) {
    partition_mark(p, position, p->flying_to, p->flying_time_us);
    sl_metric_add(p->of->messages, p->flying_figures.messages);
    sl_metric_add(p->of->bytes, p->flying_figures.bytes);
    sl_metric_add(p->of->tombstones, p->flying_figures.tombstones);
    p->asked = false;
    sl_buffer_clear(&p->flying);
    p->of->told = false;
    p->of->room = true;
    p->of->of->host.wake_loop(p->of->of->host.context);
}

static void answered(void *token, const sl_intake_reply *reply) {
    partition *p = token;
    p->asked = false;
    if (reply->status == 200 || reply->status == 400) { /* What was refused is a dead letter. */
        taken(p, reply->position);
        return;
    }
    p->retry_us = intake_now(p->of) + SL_SECOND_US / 2; /* Sooner than others are told to: it costs nobody a request. */
    sl_metric_add(p->of->retries, 1);
}

/* An engine that went left without an answer what the next one may have in its log. */
static bool has_it(const partition *p) {
    uint64_t next, check;
    return sl_engine_origin(p->of->engine, p->identity, &next, &check) && next == (uint64_t)p->flying_to;
}

static void submit(partition *p) {
    source *s = p->of;
    sl_intake *intake = sl_engine_intake(s->engine);
    const sl_intake_request request = {.stream = s->stream,
                                       .stream_length = strlen(s->stream),
                                       .source = s->name,
                                       .format = {.kind = s->addressed ? SL_FORMAT_ADDRESSED : SL_FORMAT_MESSAGES},
                                       .body = p->flying.bytes,
                                       .length = p->flying.length,
                                       .done = answered,
                                       .token = p};
    if (has_it(p)) {
        taken(p, sl_engine_taken(s->engine));
        return;
    }
    p->asked = true;
    sl_status status = intake->submit(intake, &request);
    if (status == SL_OK)
        return;
    p->asked = false;
    p->retry_us = intake_now(s) + SL_SECOND_US / 10;
    sl_metric_add(s->retries, 1);
    if (!s->told && status != SL_EFULL)
        sl_message(SL_LEVEL_WARN, "kafka", "the engine takes nothing at present: tried again", "source=%s reason=%s", s->name,
                   sl_status_name(status));
    s->told = s->told || status != SL_EFULL;
}

static void fly(partition *p) {
    sl_buffer empty = p->flying;
    sl_messages_end(&p->filling, (uint64_t)p->filling_to, p->filling_check);
    p->flying = p->filling;
    p->flying_to = p->filling_to;
    p->flying_time_us = p->filling_time_us;
    p->filling = empty;
    p->flying_figures = p->filling_figures;
    p->filling_figures = (figures){0};
    p->retry_us = 0;
}

static void note_delivered(partition *p) {
    const uint64_t position = sl_engine_delivered(p->of->engine);
    uint32_t n = 0;
    for (; n < p->mark_count && p->marks[n].position <= position; n++) {
        p->delivered = p->marks[n].to;
        p->delivered_time_us = p->marks[n].time_us;
    }
    p->mark_count -= n;
    memmove(p->marks, p->marks + n, p->mark_count * sizeof *p->marks);
}

void partition_turn(partition *p) {
    if (p->of->engine == NULL)
        return;
    if (p->mark_count != 0)
        note_delivered(p);
    if (p->asked || p->of->closing)
        return;
    if (p->lost)
        sl_buffer_clear(&p->flying); /* What isn't in the log is another's. */
    if (p->flying.length == 0 && p->filling.length != 0 && !p->gone)
        fly(p);
    if (p->flying.length != 0 && intake_now(p->of) >= p->retry_us)
        submit(p);
    count_memory(p);
}

void partition_free(partition *p) {
    sl_budget_give(p->of->of->host.budget, p->counted);
    sl_metric_set(p->lag, 0);
    if (p->stage == PARTITION_STANDS)
        sl_metric_add(p->of->stopped, -1);
    sl_buffer_fini(&p->filling);
    sl_buffer_fini(&p->flying);
    sl_free(p->topic);
    sl_free(p->identity);
    sl_free(p);
}
