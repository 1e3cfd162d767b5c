/* Requests in, replies out, and what an Idempotency-Key promises: the same reply for the same request, for
 * 24 hours, across restarts.
 *
 * A key lives in memory from its request until the ledger has it; the journal's record holds it too, so
 * after a crash the few groups above `keys_stored` are read once and their replies derived again. */
#include "claims.h"
#include "records.h"
#include "replays.h"
#include "requests.h"
#include "sequence.h"
#include "state.h"

#include "sluice/journal.h"
#include "sluice/message.h"

enum { FLUSH_KEYS = 4096, BUCKETS_FIRST = 1024, STORE_LAG = 64 << 20 };

/* --- packed replies --- */

static void pack(sl_buffer *out, const sl_intake_reply *reply) {
    sl_buffer_u32(out, reply->accepted);
    sl_buffer_u32(out, reply->rejected);
    sl_buffer_u32(out, reply->error_count);
    for (uint32_t i = 0; i < reply->error_count; i++) {
        const sl_intake_error *e = &reply->errors[i];
        sl_buffer_u32(out, e->index);
        sl_buffer_u32(out, e->at);
        const char *texts[] = {e->code, e->message, e->path};
        for (int k = 0; k < 3; k++)
            sl_buffer_append(out, texts[k], strlen(texts[k]) + 1);
    }
}

static uint32_t u32_at(const uint8_t *bytes) {
    uint32_t v;
    memcpy(&v, bytes, 4);
    return v;
}

static sl_intake_reply reply_of(uint32_t accepted, uint32_t rejected, const sl_intake_error *errors,
                                uint32_t count) {
    return (sl_intake_reply){.status = accepted == 0 && rejected != 0 ? 400 : 200,
                             .accepted = accepted,
                             .rejected = rejected,
                             .errors = errors,
                             .error_count = count};
}

static sl_intake_reply unpack(const key_entry *k, sl_intake_error errors[SL_INTAKE_ERRORS_MAX]) {
    const sl_buffer *in = &k->result;
    if (in->length < sizeof k->counts)
        return reply_of(u32_at(k->counts), u32_at(k->counts + 4), NULL, 0);
    const uint8_t *at = in->bytes, *end = in->bytes + in->length;
    uint32_t accepted = u32_at(at), rejected = u32_at(at + 4), count = u32_at(at + 8), n = 0;
    at += 12;
    for (; n < count && n < SL_INTAKE_ERRORS_MAX && end - at >= 8; n++) {
        errors[n] = (sl_intake_error){.index = u32_at(at), .at = u32_at(at + 4)};
        at += 8;
        const char **texts[] = {&errors[n].code, &errors[n].message, &errors[n].path};
        for (int i = 0; i < 3; i++) {
            const uint8_t *zero = memchr(at, 0, (size_t)(end - at));
            if (zero == NULL)
                return reply_of(accepted, rejected, errors, n);
            *texts[i] = (const char *)at;
            at = zero + 1;
        }
    }
    return reply_of(accepted, rejected, errors, n);
}

/* --- the key table --- */

static key_entry **bucket_of(sl_engine *e, sl_hash128 key) {
    return &e->key_buckets[key.low & (e->key_bucket_count - 1)];
}

static key_entry *key_find(sl_engine *e, sl_hash128 key) {
    if (e->key_bucket_count == 0)
        return NULL;
    key_entry *k = *bucket_of(e, key);
    while (k != NULL && (k->key.low != key.low || k->key.high != key.high))
        k = k->next;
    return k;
}

static bool buckets_grow(sl_engine *e) {
    if (e->key_count < e->key_bucket_count)
        return true;
    uint32_t count = e->key_bucket_count ? 2 * e->key_bucket_count : BUCKETS_FIRST;
    key_entry **old = e->key_buckets, **buckets = sl_calloc(count, sizeof(key_entry *));
    if (buckets == NULL)
        return e->key_bucket_count != 0;
    uint32_t old_count = e->key_bucket_count;
    e->key_buckets = buckets;
    e->key_bucket_count = count;
    for (uint32_t i = 0; i < old_count; i++)
        for (key_entry *k = old[i]; k != NULL;) {
            key_entry *next = k->next, **at = bucket_of(e, k->key);
            k->next = *at;
            *at = k;
            k = next;
        }
    sl_free(old);
    return true;
}

static key_entry *key_add(sl_engine *e, sl_hash128 key, sl_hash128 body, int64_t arrival) {
    if (!buckets_grow(e))
        return NULL;
    key_entry *k = sl_calloc(1, sizeof *k);
    if (k == NULL)
        return NULL;
    k->head.kind = MESSAGE_KEY;
    k->key = key;
    k->body = body;
    k->arrival_us = arrival;
    key_entry **at = bucket_of(e, key);
    k->next = *at;
    *at = k;
    e->key_count++;
    return k;
}

static void key_release_request(key_entry *k) {
    sl_free(k->stream);
    sl_free(k->source);
    sl_free(k->text);
    sl_free(k->held);
    k->stream = k->source = k->text = NULL;
    k->held = NULL;
}

static void key_free(key_entry *k) {
    key_release_request(k);
    while (k->waiters != NULL) {
        waiter *next = k->waiters->next;
        sl_free(k->waiters);
        k->waiters = next;
    }
    sl_buffer_fini(&k->result);
    sl_free(k);
}

static void key_remove(sl_engine *e, key_entry *k) {
    key_entry **at = bucket_of(e, k->key);
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    e->key_count--;
    key_free(k);
}

/* What a key stands for: a request's body, its stream, and how it is read. */
static sl_hash128 body_hash(const void *name, size_t name_length, sl_format format, const void *body, size_t length) {
    sl_hash128 hash = sl_hash128_of(body, length);
    hash.low ^= sl_hash64(name, name_length, 1);
    if (format.kind != SL_FORMAT_JSON)
        hash.high ^= sl_hash64(&format, sizeof format, 2);
    return hash;
}

static bool same_body(sl_hash128 a, sl_hash128 b) {
    return a.low == b.low && a.high == b.high;
}

static bool key_wait(key_entry *k, const sl_intake_request *r, sl_hash128 body) {
    waiter *w = sl_malloc(sizeof *w);
    if (w == NULL)
        return false;
    *w = (waiter){.next = k->waiters, .done = r->done, .token = r->token, .body = body};
    k->waiters = w;
    return true;
}

static void key_answer(key_entry *k, const sl_intake_reply *reply) {
    while (k->waiters != NULL) {
        waiter *w = k->waiters;
        k->waiters = w->next;
        w->done(w->token, reply);
        sl_free(w);
    }
}

/* --- requests --- */

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
    task *t = e->outstanding_bytes > e->config->memory / 4 ? NULL : task_get(e);
    if (t == NULL)
        return SL_EFULL;
    sl_status status = intake_add(e, t, r, NULL);
    if (status == SL_OK)
        status = group_dry_run(e, t);
    if (status != SL_OK)
        task_free(e, t);
    return status;
}

static sl_status gather(sl_engine *e, const sl_intake_request *r, key_entry *key) {
    if (e->outstanding_bytes > e->config->memory / 4)
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

/* The answer comes at the next poll: a caller isn't ready for it inside submit(). */
static sl_status answer_later(sl_engine *e, key_entry *k, const sl_intake_request *r, sl_hash128 body) {
    if (!key_wait(k, r, body))
        return SL_ENOMEM;
    e->keys_repeated = true;
    e->options.host.wake_loop(e->options.host.context);
    return SL_OK;
}

static sl_status hold(key_entry *k, const sl_intake_request *r) {
    k->stream = sl_strndup(r->stream, r->stream_length);
    k->source = sl_strdup(r->source);
    k->text = sl_strndup(r->key, r->key_length);
    k->text_length = r->key_length;
    k->held = sl_malloc(r->length + SL_PADDING);
    if (k->stream == NULL || k->source == NULL || k->text == NULL || k->held == NULL)
        return SL_ENOMEM;
    memcpy(k->held, r->body, r->length);
    k->held_length = r->length;
    k->format = r->format;
    k->came_us = r->arrival_us;
    return SL_OK;
}

static void refuse_later(sl_engine *e, waiter *w) {
    w->next = NULL;
    *e->refused_last = w;
    e->refused_last = &w->next;
    e->options.host.wake_loop(e->options.host.context);
}

/* The key's body is known now: who brought another one is refused. */
static void refuse_others(sl_engine *e, key_entry *k) {
    for (waiter **at = &k->waiters; *at != NULL;) {
        waiter *w = *at;
        if (same_body(w->body, k->body)) {
            at = &w->next;
        } else {
            *at = w->next;
            refuse_later(e, w);
        }
    }
}

static sl_status refuse_mismatch(sl_engine *e, const sl_intake_request *r) {
    waiter *w = sl_malloc(sizeof *w);
    if (w == NULL)
        return SL_ENOMEM;
    *w = (waiter){.done = r->done, .token = r->token};
    refuse_later(e, w);
    return SL_OK;
}

static sl_status submit_keyed(sl_engine *e, const sl_intake_request *r) {
    sl_hash128 key = sl_hash128_of(r->key, r->key_length);
    sl_hash128 body = body_hash(r->stream, r->stream_length, r->format, r->body, r->length);
    key_entry *k = key_find(e, key);
    if (k != NULL) {
        /* While the key is looked up nobody knows whose body is the first one. */
        if (k->state != KEY_LOOKUP && !same_body(k->body, body))
            return refuse_mismatch(e, r);
        return answer_later(e, k, r, body);
    }
    k = key_add(e, key, body, engine_wall(e));
    if (k == NULL)
        return SL_ENOMEM;
    sl_status status = key_wait(k, r, body) ? SL_OK : SL_ENOMEM;
    if (status == SL_OK && e->keys_in_ledger) {
        k->state = KEY_LOOKUP;
        status = hold(k, r);
        if (status == SL_OK) {
            engine_send(e, &e->storage.in, &e->storage.actor, k);
            return SL_OK;
        }
    }
    if (status == SL_OK) {
        k->state = KEY_PENDING;
        status = gather(e, r, k);
    }
    if (status != SL_OK)
        key_remove(e, k);
    return status;
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
    return r->key_length != 0 ? submit_keyed(e, &known) : gather(e, &known, NULL);
}

/* --- replies --- */

static uint32_t collect_errors(const task *t, uint32_t record, sl_intake_error *errors,
                               sl_buffer *texts) {
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

static void finish_key(sl_engine *e, key_entry *k, const sl_intake_reply *reply, bool durable) {
    if (durable) {
        pack(&k->result, reply);
        if (k->result.failed)
            sl_buffer_clear(&k->result);
        memcpy(k->counts, &reply->accepted, 4);
        memcpy(k->counts + 4, &reply->rejected, 4);
        k->state = KEY_DONE;
        e->keys_unstored++;
        key_answer(k, reply);
    } else {
        key_answer(k, reply);
        key_remove(e, k);
    }
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
            uint32_t count = record->rejected != 0 ? collect_errors(t, i, errors, &texts) : 0;
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
            finish_key(e, r->key, &reply, t->status == SL_OK);
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

/* --- the ledger's part --- */

void keys_found(sl_engine *e, key_entry *k) {
    if (k->found == SL_OK) {
        k->state = KEY_DONE;
        k->stored = true;
        k->body = k->stored_body;
        refuse_others(e, k);
        sl_intake_error errors[SL_INTAKE_ERRORS_MAX];
        sl_intake_reply reply = unpack(k, errors);
        key_answer(k, &reply);
        key_remove(e, k); /* The ledger has it. */
        return;
    }
    sl_intake_request r = {.stream = k->stream,
                           .stream_length = strlen(k->stream),
                           .source = k->source,
                           .format = k->format,
                           .arrival_us = k->came_us,
                           .key = k->text,
                           .key_length = k->text_length,
                           .body = k->held,
                           .length = k->held_length};
    sl_status status = k->found == SL_ENOTFOUND ? gather(e, &r, k) : k->found;
    if (status == SL_OK) {
        k->state = KEY_PENDING;
        key_release_request(k);
        refuse_others(e, k);
        return;
    }
    sl_intake_reply reply = {.status = status == SL_EFULL ? 429 : 503,
                             .retry_after_s = 1,
                             .message = "try again"};
    key_answer(k, &reply);
    key_remove(e, k);
}

bool keys_scanned(sl_engine *e, task *t) {
    sl_intake_error errors[SL_INTAKE_ERRORS_MAX];
    sl_buffer texts = SL_BUFFER_EMPTY;
    bool all = true;
    for (uint32_t i = 0; i < t->group->count; i++) {
        const sl_journal_record *r = &t->group->records[i];
        if (r->key_length == 0 || r->damaged)
            continue;
        const uint8_t *bytes = t->group->bytes;
        sl_hash128 key = sl_hash128_of(bytes + r->key, r->key_length);
        sl_hash128 body = body_hash(bytes + r->stream, r->stream_length, r->format, bytes + r->body, r->length);
        if (key_find(e, key) != NULL)
            continue;
        key_entry *k = key_add(e, key, body, r->arrival_us);
        if (k == NULL) { /* A key that isn't known would let its repeat in a second time. */
            all = false;
            break;
        }
        sl_buffer_clear(&texts);
        uint32_t count = collect_errors(t, i, errors, &texts);
        sl_intake_reply reply =
            reply_of(t->records[i].accepted, t->records[i].rejected, errors, count);
        finish_key(e, k, &reply, true);
    }
    sl_buffer_fini(&texts);
    return all;
}

/* Everything below is answered, so its keys are known. */
static uint64_t answered_below(const sl_engine *e) {
    uint64_t position = e->journal_next;
    for (const task *t = e->live_first; t != NULL; t = t->next)
        if (t->written && t->status == SL_OK && !t->answered && t->begin < position)
            position = t->begin;
    return position;
}

void keys_batch_free(keys_batch *b) {
    sl_free(b->keys);
    sl_buffer_fini(&b->origins);
    sl_free(b);
}

static void store_keys(sl_engine *e, int64_t wall) {
    keys_batch *b = sl_calloc(1, sizeof *b);
    uint32_t most = e->keys_unstored;
    if (b == NULL || (b->keys = sl_calloc(most + 1, sizeof(key_entry *))) == NULL) {
        sl_free(b);
        return;
    }
    b->head.kind = MESSAGE_KEYS;
    for (uint32_t i = 0; i < e->key_bucket_count && b->count < most; i++)
        for (key_entry *k = e->key_buckets[i]; k != NULL && b->count < most; k = k->next)
            if (k->state == KEY_DONE && !k->stored && !k->storing) {
                k->storing = true;
                b->keys[b->count++] = k;
            }
    e->keys_unstored -= b->count;
    b->position = answered_below(e);
    origins_write(e, &b->origins);
    b->expire_before = wall - KEY_LIFE_US;
    e->keys_busy = true;
    engine_send(e, &e->storage.in, &e->storage.actor, b);
}

void keys_saved(sl_engine *e, keys_batch *b) {
    e->keys_busy = false;
    e->keys_failed = b->status != SL_OK;
    if (b->status == SL_OK) {
        e->keys_stored = b->position;
        e->keys_in_ledger = e->keys_in_ledger || b->count != 0;
    } else {
        e->keys_unstored += b->count;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        b->keys[i]->storing = false;
        b->keys[i]->stored = b->status == SL_OK;
        if (b->keys[i]->stored && b->keys[i]->waiters == NULL)
            key_remove(e, b->keys[i]);
    }
    keys_batch_free(b);
}

static bool answer_repeats(sl_engine *e) {
    bool any = false;
    while (e->refused_first != NULL) {
        waiter *w = e->refused_first;
        e->refused_first = w->next;
        if (e->refused_first == NULL)
            e->refused_last = &e->refused_first;
        sl_intake_reply reply = {.status = 422, .message = "this Idempotency-Key came before with another body"};
        w->done(w->token, &reply);
        sl_free(w);
        any = true;
    }
    for (uint32_t i = 0; i < e->key_bucket_count && e->keys_repeated; i++)
        for (key_entry *k = e->key_buckets[i]; k != NULL; k = k->next)
            if (k->state == KEY_DONE && k->waiters != NULL) {
                sl_intake_error errors[SL_INTAKE_ERRORS_MAX];
                sl_intake_reply reply = unpack(k, errors);
                key_answer(k, &reply);
                any = true;
            }
    e->keys_repeated = false;
    return any;
}

bool keys_poll(sl_engine *e, int64_t now) {
    bool any = answer_repeats(e);
    if (e->scanning_keys) {
        if (e->scan_from != UINT64_MAX || e->reading || e->outstanding_bytes != 0)
            return any;
        e->scanning_keys = false;
        e->read_next = UINT64_MAX;
        sl_message(SL_LEVEL_INFO, "engine", "ready", "backlog_bytes=%llu",
                   (unsigned long long)(e->journal_next - e->position));
        return true;
    }
    /* The journal is kept from `keys_stored` on: a small one can't wait long. */
    uint64_t lag = e->config->journal.quota / 16 < STORE_LAG ? e->config->journal.quota / 16 : STORE_LAG;
    /* As much would be read before the next start is ready. */
    bool far = e->journal_next - e->keys_stored > lag && answered_below(e) - e->keys_stored > lag;
    bool due = e->keys_unstored >= FLUSH_KEYS || (far && !e->keys_failed) ||
               (now - e->keys_at_us >= SL_SECOND_US &&
                (e->keys_unstored != 0 || far ||
                 (e->keys_in_ledger && now - e->expired_at_us > 10 * SL_MINUTE_US)));
    if (!due || e->keys_busy)
        return any;
    e->keys_at_us = e->expired_at_us = now;
    store_keys(e, engine_wall(e));
    return true;
}

bool keys_waiting(const sl_engine *e) {
    if (e->refused_first != NULL)
        return true;
    for (uint32_t i = 0; i < e->key_bucket_count; i++)
        for (const key_entry *k = e->key_buckets[i]; k != NULL; k = k->next)
            if (k->waiters != NULL)
                return true;
    return false;
}

void keys_refuse(sl_engine *e) {
    (void)answer_repeats(e);
    const sl_intake_reply reply = {.status = 503, .retry_after_s = 1, .message = "try again"};
    for (uint32_t i = 0; i < e->key_bucket_count; i++)
        for (key_entry *k = e->key_buckets[i]; k != NULL; k = k->next)
            key_answer(k, &reply);
}

void keys_destroy(sl_engine *e) {
    for (uint32_t i = 0; i < e->key_bucket_count; i++)
        while (e->key_buckets[i] != NULL) {
            key_entry *next = e->key_buckets[i]->next;
            key_free(e->key_buckets[i]);
            e->key_buckets[i] = next;
        }
    sl_free(e->key_buckets);
    while (e->refused_first != NULL) {
        waiter *next = e->refused_first->next;
        sl_free(e->refused_first);
        e->refused_first = next;
    }
}
