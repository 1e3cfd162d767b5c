/* What an Idempotency-Key promises: the same reply for the same request, for 24 hours, across restarts.
 *
 * A key lives in memory from its request until the ledger has it; the journal's record holds it too, so
 * after a crash the few groups above `keys_stored` are read once and their replies derived again. */
#include "claims.h"
#include "requests.h"
#include "state.h"

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

/* --- requests with a key --- */

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

sl_status keys_submit(sl_engine *e, const sl_intake_request *r) {
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
        status = intake_gather(e, r, k);
    }
    if (status != SL_OK)
        key_remove(e, k);
    return status;
}

void keys_answer(sl_engine *e, key_entry *k, const sl_intake_reply *reply, bool durable) {
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
    sl_status status = k->found == SL_ENOTFOUND ? intake_gather(e, &r, k) : k->found;
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
        uint32_t count = reply_errors(t, i, errors, &texts);
        sl_intake_reply reply =
            reply_of(t->records[i].accepted, t->records[i].rejected, errors, count);
        keys_answer(e, k, &reply, true);
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
        sl_intake_reply reply = {.status = 422, .message = "this Idempotency-Key came before with another body, stream or format"};
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
