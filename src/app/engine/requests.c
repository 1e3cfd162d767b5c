/* Requests in, replies out. */
#include "claims.h"
#include "records.h"
#include "replays.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"

#include "sluice/journal.h"

/* --- in --- */

bool intake_crowded(const sl_engine *e) {
    return e->outstanding_bytes > e->config->memory / 4;
}

/* The log says of each record what it is, so that it is read the same whatever the configuration will say. */
static sl_format format_of(sl_engine *e, const sl_intake_request *r) {
    static const sl_format usual = {SL_FORMAT_CSV, SL_HEADER_PRESENT, ','};
    const bool messages = r->format.kind == SL_FORMAT_MESSAGES;
    if (r->format.kind != SL_FORMAT_CSV && r->format.kind != SL_FORMAT_ANY && !messages)
        return (sl_format){.kind = r->format.kind};
    const sl_config_stream *c = stream_asked(e, r->stream, r->stream_length, r->source);
    sl_format format = r->format;
    if (format.kind == SL_FORMAT_ANY || messages)
        format.kind = c != NULL ? (uint8_t)c->format : SL_FORMAT_JSON;
    if (format.kind != SL_FORMAT_CSV)
        return (sl_format){.kind = messages ? SL_FORMAT_MESSAGES : SL_FORMAT_JSON};
    const sl_format *assumed = c != NULL ? &c->csv.assumed : &usual;
    if (format.header == SL_HEADER_ANY)
        format.header = assumed->header;
    if (format.delimiter == 0)
        format.delimiter = assumed->delimiter;
    if (messages)
        format.kind = SL_FORMAT_MESSAGES;
    return format;
}

sl_status intake_add(sl_engine *e, task *t, const sl_intake_request *r, key_entry *key) {
    const sl_journal_input input = {.stream = r->stream,
                                    .stream_length = (uint32_t)r->stream_length,
                                    .source = r->source,
                                    .source_length = (uint32_t)strlen(r->source),
                                    .key = r->key,
                                    .key_length = (uint32_t)r->key_length,
                                    .body = r->body,
                                    .length = (uint32_t)r->length,
                                    .arrival_us = r->arrival_us != 0 ? r->arrival_us : engine_wall(e),
                                    .format = r->format};
    uint32_t at = t->group->count;
    if (at >= t->request_capacity) {
        uint32_t capacity = t->request_capacity ? 2 * t->request_capacity : 64;
        request *requests = sl_realloc(t->requests, capacity * sizeof *requests);
        if (requests == NULL)
            return SL_ENOMEM;
        t->requests = requests;
        t->request_capacity = capacity;
    }
    /* A group larger than a segment would get one of its own, and a quota of two segments no longer hold another. */
    bool large = at != 0 && t->group->length + r->length > e->config->journal.segment_size / 4 * 3;
    sl_status status = large ? SL_EFULL : sl_group_add(t->group, &input);
    if (status == SL_OK)
        t->requests[at] = (request){r->done, r->token, key};
    return status;
}

static sl_status judge_only(sl_engine *e, const sl_intake_request *r) {
    task *t = intake_crowded(e) ? NULL : task_get(e);
    if (t == NULL)
        return SL_EFULL;
    sl_status status = intake_add(e, t, r, NULL);
    if (status == SL_OK)
        status = group_dry_run(e, t);
    if (status != SL_OK)
        task_free(e, t);
    return status;
}

sl_status intake_gather(sl_engine *e, const sl_intake_request *r, key_entry *key) {
    if (intake_crowded(e))
        return SL_EFULL;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (e->gathering == NULL && (e->gathering = task_get(e)) == NULL)
            return SL_EFULL;
        sl_status status = intake_add(e, e->gathering, r, key);
        if (status == SL_OK && r->format.kind == SL_FORMAT_REPLAY)
            group_seal(e); /* The last of its group: what is judged in the order of the log comes in that order. */
        if (status == SL_OK)
            return SL_OK;
        if (status == SL_EFULL && group_kick(e))
            continue;
        if (e->gathering->group->count == 0) { /* A stop would wait for it. */
            task_free(e, e->gathering);
            e->gathering = NULL;
        }
        return status;
    }
    return SL_EFULL;
}

static sl_status judge_for_other(sl_engine *e, const sl_intake_request *r) {
    if (r->length > e->config->http.max_body && !items_are_messages(r->format))
        return SL_ELIMIT;
    if (r->format.kind == SL_FORMAT_REPLAY || r->format.kind == SL_FORMAT_ADDRESSED || (items_carried(r->format) && !items_valid(e, r->format, r->body, r->length)))
        return SL_EINVAL;
    sl_intake_request known = *r;
    known.key_length = 0;
    known.format = format_of(e, r);
    return judged_submit(e, &known);
}

sl_status intake_submit(sl_intake *intake, const sl_intake_request *r) {
    sl_engine *e = (sl_engine *)(void *)((char *)intake - offsetof(sl_engine, intake));
    if (e->stopping || !sl_engine_ready(e))
        return SL_ENOMEM;
    if (r->length > e->config->http.max_body && !items_are_messages(r->format))
        return SL_ELIMIT;
    if (r->judge_only)
        return judge_for_other(e, r);
    if (e->journal_full && engine_now(e) - e->journal_full_at_us < SL_SECOND_US)
        return SL_ENOSPC;
    if (sl_journal_room(e->journal) < r->length + e->outstanding_bytes + (1 << 20))
        return SL_ENOSPC;
    if (items_carried(r->format) && !items_valid(e, r->format, r->body, r->length))
        return SL_EINVAL;
    if (items_are_messages(r->format) && !origins_expect(e, r->body, r->length))
        return SL_ENOMEM;
    sl_intake_request known = *r;
    known.format = format_of(e, r);
    if (r->dry_run)
        return judge_only(e, &known);
    return r->key_length != 0 ? keys_submit(e, &known) : intake_gather(e, &known, NULL);
}

/* --- out --- */

sl_intake_reply reply_of(uint32_t accepted, uint32_t rejected, const sl_intake_error *errors,
                                uint32_t count) {
    return (sl_intake_reply){.status = accepted == 0 && rejected != 0 ? 400 : 200,
                             .accepted = accepted,
                             .rejected = rejected,
                             .errors = errors,
                             .error_count = count};
}

uint32_t reply_errors(const task *t, uint32_t record, sl_intake_error errors[SL_INTAKE_ERRORS_MAX], sl_buffer *texts) {
    uint32_t count = 0;
    size_t offsets[SL_INTAKE_ERRORS_MAX][2];
    for (uint32_t i = 0; i < t->part_count; i++) {
        const sl_batch *b = t->parts[i].batch;
        for (uint32_t k = 0; k < b->reject_count; k++) {
            const sl_reject *r = &b->rejects[k];
            const uint32_t carrier = t->records[r->record].carrier;
            if ((carrier != 0 ? carrier - 1 : r->record) != record || r->code == SL_CODE_REQUIRE)
                continue; /* What steps refuse was taken. */
            const uint32_t index = carrier != 0 ? items_index(t, r->record) : r->index;
            /* The first by index: the contract's refusals come behind the decoder's, and events may go to several streams. */
            if (count == SL_INTAKE_ERRORS_MAX && errors[count - 1].index < index)
                continue;
            uint32_t at = count == SL_INTAKE_ERRORS_MAX ? count - 1 : count++;
            for (; at != 0 && errors[at - 1].index > index; at--) {
                errors[at] = errors[at - 1];
                memcpy(offsets[at], offsets[at - 1], sizeof *offsets);
            }
            const sl_span spans[] = {r->message, r->path};
            for (int n = 0; n < 2; n++) {
                offsets[at][n] = texts->length;
                sl_buffer_append(texts, sl_batch_text(b, spans[n]), spans[n].length);
                sl_buffer_byte(texts, 0);
            }
            errors[at] = (sl_intake_error){.index = index, .code = sl_code_name(r->code), .at = r->at};
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        errors[i].message = texts->failed ? "" : (const char *)texts->bytes + offsets[i][0];
        errors[i].path = texts->failed ? "" : (const char *)texts->bytes + offsets[i][1];
    }
    return count;
}

static void count_reply(sl_engine *e, const sl_record *record) {
    sl_metric_add(e->metric_accepted, record->accepted);
    sl_metric_add(e->metric_rejected, record->rejected);
    sl_metric_add(e->metric_requests, 1);
    if (record->stream != ROUTED && record->format.kind != SL_FORMAT_ADDRESSED)
        sl_metric_add(e->streams[record->stream]->bytes, record->length);
}

void reply_task(sl_engine *e, task *t) {
    sl_intake_error errors[SL_INTAKE_ERRORS_MAX];
    sl_buffer texts = SL_BUFFER_EMPTY;
    for (uint32_t i = 0; i < t->group->count; i++) {
        request *r = &t->requests[i];
        sl_replay_outcome outcome = {0};
        const judged_view view = judged_view_of(t, i);
        sl_intake_reply reply;
        if (t->status == SL_OK) {
            const sl_record *record = &t->records[i];
            sl_buffer_clear(&texts);
            uint32_t count = record->rejected != 0 ? reply_errors(t, i, errors, &texts) : 0;
            reply = reply_of(record->accepted, record->rejected, errors, count);
            reply.position = t->group->next;
            if (record->format.kind == SL_FORMAT_REPLAY) {
                replays_outcome(e, t, i, &outcome);
                reply.replay = &outcome;
            }
            if (t->judged)
                reply.judged = &view.judged;
            if (!t->dry_run)
                count_reply(e, record);
        } else {
            reply = (sl_intake_reply){.status = 503,
                                      .retry_after_s = 5,
                                      .message = t->status == SL_ENOSPC ? "the journal has no space left"
                                                 : t->dry_run           ? "it could not be judged"
                                                                        : "the journal could not be written"};
        }
        if (r->key != NULL)
            keys_answer(e, r->key, &reply, t->status == SL_OK);
        else
            r->done(r->token, &reply);
    }
    if (t->status == SL_OK && !t->dry_run)
        items_count_bytes(e, t);
    for (uint32_t i = 0; i < t->part_count && t->status == SL_OK && !t->dry_run; i++)
        if (t->parts[i].routed_bytes != 0)
            sl_metric_add(t->parts[i].shape->of->bytes, (int64_t)t->parts[i].routed_bytes);
    sl_buffer_fini(&texts);
}
