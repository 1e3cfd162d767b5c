/* Requests for somebody else's log: a worker decodes and judges them as it would any, for the reply, and tells them event by event. They
 * are in no group of the journal, and nothing follows from them here: what they hold comes back from that log. */
#include "records.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"

#include "sluice/journal.h"

/* --- in --- */

static void unlist(sl_engine *e, const task *t) {
    task **at = &e->judged_first;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    e->judged_count--;
}

static bool has_some(const sl_engine *e) { return e->judging != NULL && e->judging->group->count != 0; }

static void send(sl_engine *e) {
    task *t = e->judging;
    e->judging = NULL;
    t->judged = t->live = true; /* Live: with the newest data. */
    t->next = e->judged_first;
    e->judged_first = t;
    e->judged_count++;
    if (group_dry_run(e, t) == SL_OK)
        return;
    unlist(e, t);
    t->status = SL_ENOMEM;
    reply_task(e, t);
    task_free(e, t);
}

sl_status judged_submit(sl_engine *e, const sl_intake_request *r) {
    if (intake_crowded(e))
        return SL_EFULL;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (e->judging == NULL && (e->judging = task_get(e)) == NULL)
            return SL_EFULL;
        sl_status status = intake_add(e, e->judging, r, NULL);
        if (status != SL_EFULL || !has_some(e))
            return status;
        send(e);
    }
    return SL_EFULL;
}

/* While every worker has some a reply couldn't leave sooner. */
bool judged_kick(sl_engine *e) {
    if (!has_some(e) || (e->judged_count >= e->worker_count && e->judging->group->length < GROUP_BYTES / 2 && !e->stopping))
        return false;
    send(e);
    return true;
}

void judged_done(sl_engine *e, task *t) {
    unlist(e, t);
    t->next = NULL;
}

void judged_refuse(sl_engine *e) {
    for (; e->judged_first != NULL; unlist(e, e->judged_first)) {
        e->judged_first->status = SL_EAGAIN;
        reply_task(e, e->judged_first);
    }
    if (!has_some(e))
        return;
    e->judging->dry_run = true;
    e->judging->status = SL_EAGAIN;
    reply_task(e, e->judging);
    sl_group_reset(e->judging->group);
}

/* --- event by event --- */

/* The request's record, or the messages that it carries: [*from, *to). */
static void records_of(const task *t, uint32_t record, uint32_t *from, uint32_t *to) {
    *from = record;
    *to = record + 1;
    if (!items_carried(t->records[record].format))
        return;
    for (int end = 0; end < 2; end++) { /* Items lie in the order of their carriers. */
        uint32_t low = t->group->count, high = t->record_count;
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            if (t->records[middle].carrier < record + 1 + (uint32_t)end)
                low = middle + 1;
            else
                high = middle;
        }
        *(end == 0 ? from : to) = low;
    }
}

static sl_intake_piece piece_of(const task *t, uint32_t record, uint32_t first) {
    const sl_record *r = &t->records[record];
    return (sl_intake_piece){.bytes = t->group->bytes + r->body,
                             .length = r->length,
                             .format = r->format,
                             .message = r->carrier != 0 ? record - first : 0,
                             .arrival_us = r->arrival_us};
}

static bool is_array(const task *t, const sl_record *r) {
    const uint8_t *at = t->group->bytes + r->body, *end = at + r->length;
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at < end && *at == '[';
}

static uint32_t first_row(const sl_batch *b, uint32_t record) {
    uint32_t low = 0, high = b->rows;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (b->row_record[middle] < record)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool each_row(const task *t, const part *p, uint32_t from, uint32_t to, sl_intake_piece_fn *take, void *context) {
    const sl_batch *b = p->batch;
    for (uint32_t row = first_row(b, from); row < b->rows && b->row_record[row] < to; row++) {
        sl_intake_piece piece = piece_of(t, b->row_record[row], from);
        if (!sl_format_is_json(piece.format))
            continue;
        piece.bytes = b->raw + b->row_begin[row];
        piece.length = b->row_length[row];
        piece.index = sl_batch_index(b, row);
        if (p->id_texts != NULL && p->id_texts[row].length != 0) {
            piece.id = sl_batch_text(b, p->id_texts[row]);
            piece.id_length = p->id_texts[row].length;
        }
        if (!take(context, &piece))
            return false;
    }
    return true;
}

/* What has no row. */
static bool each_reject(const task *t, const part *p, uint32_t from, uint32_t to, sl_intake_piece_fn *take, void *context) {
    for (uint32_t i = 0; i < p->decoded_rejects; i++) {
        const sl_reject *r = &p->batch->rejects[i];
        if (r->record < from || r->record >= to)
            continue;
        sl_intake_piece piece = piece_of(t, r->record, from);
        if (!sl_format_is_json(piece.format))
            continue;
        const sl_record *record = &t->records[r->record];
        piece.bytes = p->batch->raw + r->begin;
        piece.length = r->length;
        piece.index = r->index;
        piece.rest = r->begin + r->length == record->body + record->length && is_array(t, record);
        if (!take(context, &piece))
            return false;
    }
    return true;
}

static bool each(const sl_intake_judged *judged, sl_intake_piece_fn *take, void *context) {
    const judged_view *view = (const judged_view *)(const void *)judged;
    const task *t = view->task;
    uint32_t from, to;
    records_of(t, view->record, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        const sl_intake_piece whole = piece_of(t, i, from);
        if (!sl_format_is_json(whole.format) && !take(context, &whole))
            return false;
    }
    for (uint32_t i = 0; i < t->part_count; i++)
        if (!each_row(t, &t->parts[i], from, to, take, context) || !each_reject(t, &t->parts[i], from, to, take, context))
            return false;
    return true;
}

judged_view judged_view_of(const task *t, uint32_t record) { return (judged_view){{each}, t, record}; }
