/* A partition that comes from another reader: duplicates of what that one brought are to be found here, too. So what lies before the group's
 * offset, as far back as dedupe looks, is read and goes into the log as history: nothing comes of it, but its ids are known. */
#include "private.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdlib.h>

/* Requests are sent again soon, under their keys; a day of them would be read with each partition that moves. */
#define KEYS_US SL_HOUR_US

void history_horizon(source *s, const sl_config *config) {
    s->horizon_us = s->addressed ? KEYS_US : 0;
    for (uint32_t i = 0; i < config->stream_count; i++) {
        const sl_config_stream *stream = &config->streams[i];
        if ((s->addressed || sl_config_takes(stream, s->name)) && stream->dedupe_us > s->horizon_us)
            s->horizon_us = stream->dedupe_us;
    }
}

/* "journal:UUID TIME" where a daemon committed; a tool commits nothing. */
void history_note_group(partition *p, const char *metadata) {
    const char *time = metadata != NULL ? strchr(metadata, ' ') : NULL;
    p->group_time_us = time != NULL ? strtoll(time + 1, NULL, 10) : 0;
}

/* @param[out] next Where the log stands; 0: it knows nothing of it. */
static bool wanted(const partition *p, uint64_t *next) {
    uint64_t check;
    (void)sl_engine_origin(p->of->engine, p->identity, next, &check);
    return p->of->horizon_us != 0 && p->group_offset > p->low && (int64_t)*next < p->group_offset;
}

static void on_found(void *context, sl_status status, const sl_kafka_marks *marks, uint32_t count, const sl_error *error) {
    source *s = context;
    s->asking--;
    for (uint32_t i = 0; i < count && status == SL_OK; i++)
        for (partition *p = s->partitions; p != NULL; p = p->next)
            if (!p->lost && p->history == HISTORY_ASKED && p->number == marks[i].partition && strcmp(p->topic, marks[i].topic) == 0) {
                p->history = HISTORY_KNOWN;
                p->history_from = marks[i].at;
            }
    if (status != SL_OK) {
        for (partition *p = s->partitions; p != NULL; p = p->next)
            p->history = p->history == HISTORY_ASKED ? HISTORY_NONE : p->history;
        s->ask_at_us = intake_now(s) + SL_SECOND_US;
        sl_message(SL_LEVEL_WARN, "kafka", "it isn't known where what dedupe has to know begins: asked again", "source=%s error=\"%s\"", s->name,
                   error->text);
    }
    s->of->host.wake_loop(s->of->host.context);
}

bool history_ready(partition *p) {
    source *s = p->of;
    uint64_t next;
    if (p->history == HISTORY_KNOWN || !wanted(p, &next))
        return true;
    if (p->history == HISTORY_ASKED || intake_now(s) < s->ask_at_us)
        return false;
    const int64_t last = p->group_time_us != 0 ? p->group_time_us : s->of->host.clock->wall_us(s->of->host.clock->context);
    p->history = HISTORY_ASKED;
    s->asking++;
    sl_kafka_consumer_marks_at(s->consumer, &(sl_kafka_place){p->topic, p->number}, 1, last - s->horizon_us, on_found, s);
    return false;
}

void history_begin(partition *p) {
    uint64_t next;
    if (p->history != HISTORY_KNOWN || !wanted(p, &next) || p->at != p->group_offset)
        return;
    int64_t from = p->history_from > (int64_t)next ? p->history_from : (int64_t)next;
    from = from > p->low ? from : p->low;
    if (from >= p->group_offset)
        return;
    p->history_to = p->committed = p->group_offset;
    p->at = from;
    sl_message(SL_LEVEL_INFO, "kafka", "what another reader has brought is read again, for dedupe",
               "source=%s topic=%s partition=%" PRId32 " from=%" PRId64 " to=%" PRId64, p->of->name, p->topic, p->number, from, p->history_to);
}
