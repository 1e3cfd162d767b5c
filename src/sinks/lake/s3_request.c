/* One thing asked of S3, sent as often as it takes.
 *
 *   start → ready → (credentials) → sent ─► done
 *             ▲                       │
 *             └──── paused ◄──────────┘   5xx, throttling, lost
 *
 * Pace: additive increase, multiplicative decrease. Every success adds 1/pace, so that a
 * full window of them adds one; a SlowDown takes a third away, but one storm of them,
 * replies to what was sent before we slowed, counts once. A paused request holds no
 * place.
 */
#include "s3_private.h"

#include <inttypes.h>
#include <stdio.h>

static const int64_t SLOWED_APART_US = SL_SECOND_US;
/* S3 takes 15 minutes. */
static const int64_t SKEW_US_MAX = 14 * SL_MINUTE_US;

static int64_t now_us(const sl_object_store *store) {
    return store->options.clock.monotonic_us(store->options.clock.context);
}

static void count(sl_metric *metric, int64_t n) {
    if (metric != NULL)
        sl_metric_add(metric, n);
}

/* SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", OOPSLA
 * 2014). */
static uint64_t next_random(sl_object_store *store) {
    uint64_t z = store->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- Queues ---- */

static void push_ready(sl_object_store *store, s3_request *request) {
    request->state = S3_READY;
    request->next = NULL;
    *store->ready_end = request;
    store->ready_end = &request->next;
}

static s3_request *pop_ready(sl_object_store *store) {
    s3_request *request = store->ready;
    store->ready = request->next;
    if (store->ready == NULL)
        store->ready_end = &store->ready;
    request->state = S3_IDLE;
    return request;
}

static void push_paused(sl_object_store *store, s3_request *request, int64_t pause_us) {
    request->state = S3_PAUSED;
    request->due_us = now_us(store) + pause_us;
    s3_request **at = &store->paused;
    while (*at != NULL && (*at)->due_us <= request->due_us)
        at = &(*at)->next;
    request->next = *at;
    *at = request;
}

static void take_out(s3_request **at, const s3_request *request) {
    while (*at != NULL && *at != request)
        at = &(*at)->next;
    if (*at != NULL)
        *at = request->next;
}

/* Ready requests are always sent in a later turn, so that nobody is called back from
 * inside what he called. */
static void set_timer(sl_object_store *store) {
    if (store->ready != NULL && store->sent < (unsigned)store->pace)
        sl_timer_start(store->timer, 0);
    else if (store->paused != NULL) {
        int64_t rest = store->paused->due_us - now_us(store);
        sl_timer_start(store->timer, rest > 0 ? (uint64_t)(rest + 999) / 1000 : 0);
    } else
        sl_timer_stop(store->timer);
}

/* ---- Ends ---- */

static const char *code_text(const s3_reply *reply, char out[80]) {
    if (reply->code == 0)
        return "";
    (void)snprintf(out, 80, "%u%s%s", reply->code, reply->fault->code[0] != 0 ? " " : "",
                   reply->fault->code);
    return out;
}

/* "PUT s3://bucket/key: 403 AccessDenied: the role needs …; 'Access Denied' (request
 * 4442, 3 tries)" */
static void tell(s3_request *request, const s3_reply *reply, sl_http_failure failure,
                 sl_error *error) {
    sl_object_store *store = request->store;
    char code[80];
    sl_buffer *note = &store->note;
    sl_buffer_clear(note);
    size_t key_length = strlen(request->key);
    sl_buffer_printf(note, "%s s3://%s/%.160s%s: %s", request->method, request->bucket,
                     request->key, key_length > 160 ? "..." : "", code_text(reply, code));
    if (reply->code == 0)
        sl_buffer_printf(note, "%.200s", error->text);
    size_t before = note->length;
    sl_buffer_text(note, ": ");
    size_t advice = note->length;
    sl_s3_advice(note, reply->code, reply->fault, failure, request->action,
                 request->bucket, request->key);
    if (note->length == advice)
        note->length = before;
    if (reply->fault->message[0] != 0)
        sl_buffer_printf(note, "; '%s'", reply->fault->message);
    if (reply->fault->request_id[0] != 0)
        sl_buffer_printf(note, " (request %s, %u %s)", reply->fault->request_id,
                         request->tries, request->tries == 1 ? "try" : "tries");
    else
        sl_buffer_printf(note, " (%u %s)", request->tries,
                         request->tries == 1 ? "try" : "tries");
    (void)sl_error_set(error, reply->status, "%s", sl_buffer_cstr(note));
}

static void finish(s3_request *request, const s3_reply *reply) {
    request->state = S3_IDLE;
    if (reply->status != SL_OK)
        count(request->store->metrics.failures, 1);
    request->done(request->context, reply); /* It may be freed now. */
}

/* Ends without a reply. */
static void fail(s3_request *request, sl_status status, sl_error *error) {
    static const sl_s3_fault none;
    const s3_reply reply = {.status = status, .fault = &none, .error = error};
    char text[sizeof error->text];
    memcpy(text, error->text, sizeof text);
    (void)s3_wrong(error, status, request->method, request->bucket, request->key, text);
    finish(request, &reply);
}

/* "Full jitter": anything up to the limit, so that those who failed together don't come
 * back together. Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture
 * Blog, 2015. */
static void pause_request(s3_request *request) {
    sl_object_store *store = request->store;
    uint64_t limit_us = (uint64_t)store->options.backoff_ms * 1000;
    uint64_t limit_us_max = (uint64_t)store->options.backoff_ms_max * 1000;
    for (unsigned i = 1; i < request->tries && limit_us < limit_us_max; i++)
        limit_us *= 2;
    limit_us = limit_us < limit_us_max ? limit_us : limit_us_max;
    count(store->metrics.retries, 1);
    push_paused(store, request, (int64_t)(next_random(store) % (limit_us + 1)));
}

/* ---- Replies ---- */

static void set_pace(sl_object_store *store, double pace) {
    double max = store->options.requests_max;
    store->pace = pace < 1 ? 1 : pace > max ? max : pace;
    if (store->metrics.pace != NULL)
        sl_metric_set(store->metrics.pace, (int64_t)store->pace);
}

static void slow_down(sl_object_store *store) {
    int64_t now = now_us(store);
    count(store->metrics.throttled, 1);
    if (store->slowed_us != SL_NO_TIME && now - store->slowed_us < SLOWED_APART_US)
        return;
    store->slowed_us = now;
    set_pace(store, store->pace * 2 / 3);
}

/* @return SL_OK, or SL_ENOMEM: then nobody knows what the reply says. */
static sl_status read_fault(const s3_request *request, const sl_http_outcome *outcome,
                            sl_s3_fault *fault) {
    *fault = (sl_s3_fault){0};
    /* Also of a 200: CompleteMultipartUpload says that before it knows. But objects may
     * look as they like. */
    bool content = strcmp(request->method, "GET") == 0 && request->key[0] != 0 &&
                   outcome->code < 300;
    if (outcome->status != SL_OK || content)
        return SL_OK;
    sl_status status = sl_s3_fault_parse((const char *)outcome->body->bytes,
                                         outcome->body->length, fault);
    if (fault->request_id[0] == 0)
        (void)snprintf(fault->request_id, sizeof fault->request_id, "%s",
                       sl_http_outcome_field(outcome, "x-amz-request-id"));
    if (fault->region[0] == 0)
        (void)snprintf(fault->region, sizeof fault->region, "%s",
                       sl_http_outcome_field(outcome, "x-amz-bucket-region"));
    return status == SL_ENOMEM ? status : SL_OK;
}

/* HEAD's refusals have no body to say what is wrong. An expired session is 400, a clock
 * too far off 403 with a Date. */
static sl_s3_next guess(const s3_request *request, const sl_http_outcome *outcome,
                        sl_s3_next next) {
    const sl_object_store *store = request->store;
    int64_t theirs;
    if (next != SL_S3_FAIL || strcmp(request->method, "HEAD") != 0)
        return next;
    if (outcome->code == 400)
        return SL_S3_CREDENTIALS;
    if (outcome->code == 403 &&
        sl_s3_date_parse(sl_http_outcome_field(outcome, "date"), &theirs)) {
        int64_t ours = store->options.clock.wall_us(store->options.clock.context) +
                       store->clock_offset_us;
        if (ours - theirs > SKEW_US_MAX || theirs - ours > SKEW_US_MAX)
            return SL_S3_CLOCK;
    }
    return next;
}

/* May there be another outcome with other credentials or another time? Once each. */
static bool mended(s3_request *request, sl_s3_next next, const sl_http_outcome *outcome) {
    sl_object_store *store = request->store;
    if (next == SL_S3_CREDENTIALS && !request->refreshed) {
        request->refreshed = true;
        sl_aws_credentials_expired(store->options.credentials, request->access_key_id);
        return true;
    }
    int64_t theirs;
    if (next == SL_S3_CLOCK && !request->clock_set &&
        sl_s3_date_parse(sl_http_outcome_field(outcome, "date"), &theirs)) {
        request->clock_set = true;
        store->clock_offset_us =
            theirs - store->options.clock.wall_us(store->options.clock.context);
        return true;
    }
    return false;
}

static void on_reply(void *context, const sl_http_outcome *outcome) {
    s3_request *request = context;
    sl_object_store *store = request->store;
    store->sent--;
    request->call = NULL;
    request->state = S3_IDLE;
    sl_s3_fault fault;
    sl_status read = read_fault(request, outcome, &fault);
    s3_reply reply = {.code = outcome->failure == SL_HTTP_FAILED_NOT ? outcome->code : 0,
                      .fault = &fault,
                      .outcome = outcome};
    count(store->metrics.requests, 1);
    count(store->metrics.sent, (int64_t)outcome->sent_bytes);
    sl_s3_next next =
        sl_s3_judge(reply.code, fault.code, outcome->failure, &reply.status);
    if (read != SL_OK) {
        reply.status = read;
        next = SL_S3_FAIL;
    }
    next = guess(request, outcome, next);
    if (next == SL_S3_SLOWER)
        slow_down(store);
    if (next == SL_S3_DONE)
        set_pace(store, store->pace + 1 / store->pace);
    reply.lost = request->look && (outcome->failure == SL_HTTP_FAILED_TIMEOUT ||
                                   outcome->failure == SL_HTTP_FAILED_LOST);
    bool again = (next == SL_S3_AGAIN || next == SL_S3_SLOWER) && !reply.lost &&
                 request->tries < store->options.tries_max;
    if (again)
        pause_request(request);
    else if (mended(request, next, outcome))
        push_ready(store, request);
    else {
        sl_error error = {0};
        if (reply.status != SL_OK) {
            if (outcome->error != NULL)
                error = *outcome->error;
            tell(request, &reply, outcome->failure, &error);
            reply.error = &error;
        }
        finish(request, &reply);
    }
    set_timer(store);
}

/* ---- Sending ---- */

static void host_of(sl_object_store *store, const s3_request *request, bool *path_style) {
    sl_buffer *host = &store->host;
    sl_buffer_clear(host);
    /* A certificate for *.host has no room for a bucket's dots. */
    *path_style = store->options.path_style ||
                  (strchr(request->bucket, '.') != NULL && s3_store_secure(store));
    if (!*path_style)
        sl_buffer_printf(host, "%s.", request->bucket);
    if (store->authority != NULL)
        sl_buffer_text(host, store->authority);
    else
        sl_buffer_printf(host, "s3.%s.amazonaws.com%s", store->region,
                         strncmp(store->region, "cn-", 3) == 0 ? ".cn" : "");
}

static sl_status find_region(sl_object_store *store, const sl_aws_identity *identity,
                             sl_error *error) {
    const char *region = store->options.region != NULL ? store->options.region
                         : identity->region != NULL    ? identity->region
                         : store->authority != NULL    ? "us-east-1"
                                                       : NULL;
    if (region == NULL || strlen(region) >= sizeof store->region)
        return sl_error_set(error, SL_EDENIED,
                            "no region is known: set s3.region or AWS_REGION");
    if (strcmp(region, store->region) != 0) {
        sl_aws_signer_fini(&store->signer); /* Its key belongs to the region. */
        (void)snprintf(store->region, sizeof store->region, "%s", region);
        store->signer =
            (sl_aws_signer){.service = "s3", .region = store->region, .flags = SL_AWS_S3};
    }
    return SL_OK;
}

static sl_status sign(s3_request *request, const sl_aws_identity *identity,
                      sl_error *error) {
    sl_object_store *store = request->store;
    sl_status status = find_region(store, identity, error);
    if (status != SL_OK)
        return status;
    bool path_style;
    host_of(store, request, &path_style);
    sl_buffer *path = &store->path;
    sl_buffer_clear(path);
    if (path_style)
        sl_buffer_printf(path, "/%s", request->bucket);
    if (request->key[0] != 0 || !path_style)
        sl_buffer_printf(path, "/%s", request->key);
    const char *host = sl_buffer_cstr(&store->host);
    const sl_aws_request what = {
        .method = request->method,
        .host = host,
        .path = sl_buffer_cstr(path),
        .query = request->query,
        .query_count = request->query_count,
        .fields = request->fields,
        .field_count = request->field_count,
        .payload_hash = request->payload_hash,
        .time_us = store->options.clock.wall_us(store->options.clock.context) +
                   store->clock_offset_us,
    };
    if (store->host.failed || path->failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    status =
        sl_aws_sign(&store->signer, &identity->keys, &what, &store->signature, error);
    if (status != SL_OK)
        return status;
    sl_buffer_clear(&store->url);
    sl_buffer_printf(&store->url, "%s://%s", store->scheme, host);
    sl_buffer_text(&store->url, store->signature.target);
    (void)snprintf(request->access_key_id, sizeof request->access_key_id, "%s",
                   identity->keys.access_key_id);
    return SL_OK;
}

static sl_status send_signed(s3_request *request, sl_error *error) {
    sl_object_store *store = request->store;
    sl_http_field fields[S3_FIELDS_MAX + 4];
    size_t count_fields = request->field_count;
    memcpy(fields, request->fields, count_fields * sizeof *fields);
    for (size_t i = 0; i < store->signature.field_count; i++)
        fields[count_fields++] = store->signature.fields[i];
    const sl_http_call_options call = {
        .method = request->method,
        .url = sl_buffer_cstr(&store->url),
        .fields = fields,
        .field_count = count_fields,
        .body = request->body,
        .read = request->read,
        .body_length = request->body_length,
        .reply_bytes_max = request->reply_bytes_max,
        .stall_timeout_ms = store->options.stall_timeout_ms *
                            (request->patience > 0 ? request->patience : 1),
        .context = request->read_context,
    };
    if (store->url.failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    return sl_http_client_start(store->options.http, &call, on_reply, request,
                                &request->call, error);
}

static void send_request(s3_request *request, const sl_aws_identity *identity) {
    sl_object_store *store = request->store;
    sl_error error = {0};
    sl_status status = sign(request, identity, &error);
    if (status == SL_OK) {
        request->tries++;
        status = send_signed(request, &error);
    }
    if (status != SL_OK) {
        fail(request, status, &error);
        return;
    }
    request->state = S3_SENT;
    store->sent++;
}

static void on_identity(void *context, sl_status status, const sl_aws_identity *identity,
                        const sl_error *error) {
    s3_request *request = context;
    sl_object_store *store = request->store;
    request->state = S3_IDLE;
    (void)identity; /* The rest of those who wait may be many: each is sent when its turn
                       comes. */
    if (status == SL_OK)
        push_ready(store, request);
    else {
        sl_error copy = {0};
        (void)sl_error_set(&copy, status, "credentials: %.300s",
                           error != NULL ? error->text : "");
        fail(request, status, &copy);
    }
    set_timer(store);
}

static void on_timer(void *context) {
    sl_object_store *store = context;
    int64_t now = now_us(store);
    while (store->paused != NULL && store->paused->due_us <= now) {
        s3_request *due = store->paused;
        store->paused = due->next;
        push_ready(store, due);
    }
    while (store->ready != NULL && store->sent < (unsigned)store->pace) {
        s3_request *request = pop_ready(store);
        const sl_aws_identity *identity =
            sl_aws_credentials_peek(store->options.credentials);
        if (identity != NULL)
            send_request(request, identity);
        else {
            request->state = S3_WAITING;
            request->wait = (sl_aws_wait){.done = on_identity, .context = request};
            sl_aws_credentials_get(store->options.credentials, &request->wait);
        }
    }
    set_timer(store);
}

void s3_request_start(sl_object_store *store, s3_request *request) {
    request->store = store;
    request->tries = 0;
    request->refreshed = request->clock_set = false;
    push_ready(store, request);
    set_timer(store);
}

void s3_request_cancel(s3_request *request) {
    sl_object_store *store = request->store;
    switch (request->state) {
    case S3_IDLE:
        return;
    case S3_READY:
        take_out(&store->ready, request);
        store->ready_end = &store->ready;
        while (*store->ready_end != NULL)
            store->ready_end = &(*store->ready_end)->next;
        break;
    case S3_PAUSED:
        take_out(&store->paused, request);
        break;
    case S3_WAITING:
        sl_aws_credentials_cancel(store->options.credentials, &request->wait);
        break;
    case S3_SENT:
        sl_http_call_cancel(request->call);
        request->call = NULL;
        store->sent--;
        break;
    }
    request->state = S3_IDLE;
    set_timer(store);
}

static void add(sl_http_field *fields, size_t *count_fields, size_t max, const char *name,
                const char *value) {
    if (*count_fields < max)
        fields[(*count_fields)++] = (sl_http_field){name, value};
}

void s3_request_field(s3_request *request, const char *name, const char *value) {
    add(request->fields, &request->field_count, S3_FIELDS_MAX, name, value);
}

void s3_request_query(s3_request *request, const char *name, const char *value) {
    add(request->query, &request->query_count, S3_QUERY_MAX, name, value);
}

/* ---- The store ---- */

bool s3_store_secure(const sl_object_store *store) {
    return strcmp(store->scheme, "https") == 0;
}

static const char *text_of(sl_object_store *store, const char *text, bool *failed) {
    if (text == NULL || text[0] == 0)
        return NULL;
    const char *copy = sl_arena_strndup(&store->texts, text, strlen(text));
    *failed |= copy == NULL;
    return copy;
}

/* "https://host:port" and nothing behind it but a slash. */
static sl_status take_endpoint(sl_object_store *store, const char *endpoint,
                               sl_error *error) {
    store->scheme = "https";
    if (endpoint == NULL)
        return SL_OK;
    const char *rest = endpoint;
    if (strncmp(endpoint, "https://", 8) == 0)
        rest += 8;
    else if (strncmp(endpoint, "http://", 7) == 0) {
        rest += 7;
        store->scheme = "http";
    } else
        return sl_error_set(error, SL_EINVAL,
                            "s3.endpoint %s: no http:// or https:// URL", endpoint);
    size_t n = strcspn(rest, "/");
    if (n == 0 || strspn(rest + n, "/") != strlen(rest + n) ||
        strcspn(rest, "?#@ \t\r\n") < n)
        return sl_error_set(error, SL_EINVAL,
                            "s3.endpoint %s: want a scheme and a host alone", endpoint);
    /* The port that the scheme has anyway is no part of the Host header, and so of no
     * signature. */
    const char *usual = s3_store_secure(store) ? ":443" : ":80";
    size_t u = strlen(usual);
    if (n > u && memcmp(rest + n - u, usual, u) == 0)
        n -= u;
    store->authority = sl_arena_strndup(&store->texts, rest, n);
    return store->authority != NULL
               ? SL_OK
               : sl_error_set(error, SL_ENOMEM, "object store: out of memory");
}

static sl_status take_tags(sl_object_store *store, const sl_object_store_options *options,
                           sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    if (options->tag_count > 10)
        return sl_error_set(error, SL_EINVAL, "s3.tags: %zu; objects take 10",
                            options->tag_count);
    for (size_t i = 0; i < options->tag_count; i++) {
        const sl_http_field *tag = &options->tags[i];
        if (i > 0)
            sl_buffer_byte(&text, '&');
        sl_aws_encode(&text, tag->name, strlen(tag->name), false);
        sl_buffer_byte(&text, '=');
        sl_aws_encode(&text, tag->value, strlen(tag->value), false);
    }
    bool failed = text.failed;
    if (options->tag_count > 0) {
        store->tags = sl_arena_strndup(&store->texts, sl_buffer_cstr(&text), text.length);
        failed |= text.failed || store->tags == NULL;
    }
    sl_buffer_fini(&text);
    return failed ? sl_error_set(error, SL_ENOMEM, "object store: out of memory") : SL_OK;
}

static void fill_in(sl_object_store_options *o) {
    static const sl_object_store_options defaults = {
        .requests_max = 16,
        .tries_max = 6,
        .backoff_ms = 200,
        .backoff_ms_max = 10000,
        .stall_timeout_ms = 30000,
        .single_bytes_max = UINT64_C(16) << 20,
        .part_bytes = UINT64_C(8) << 20,
        .parts_max = 4,
    };
#define DEFAULT(name) o->name = o->name != 0 ? o->name : defaults.name
    DEFAULT(requests_max);
    DEFAULT(tries_max);
    DEFAULT(backoff_ms);
    DEFAULT(backoff_ms_max);
    DEFAULT(stall_timeout_ms);
    DEFAULT(single_bytes_max);
    DEFAULT(part_bytes);
    DEFAULT(parts_max);
#undef DEFAULT
}

static void register_metrics(sl_object_store *store, sl_metrics *m) {
    if (m == NULL)
        return;
    store->metrics = (s3_metrics){
        .requests = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_s3_requests_total",
                                   "Requests to S3 that were sent.", ""),
        .failures = sl_metrics_get(
            m, SL_METRIC_COUNTER, "sluice_s3_failures_total",
            "What was asked of S3 and refused, or given up after all tries.", ""),
        .retries = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_s3_retries_total",
                                  "Requests to S3 that were sent again.", ""),
        .throttled = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_s3_throttled_total",
                                    "Replies of S3 that asked for fewer requests.", ""),
        .sent = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_s3_sent_bytes_total",
                               "Bytes sent to S3 in bodies, repeats included.", ""),
        .pace = sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_s3_requests_at_once",
                               "Requests to S3 that may be on their way at once.", ""),
    };
}

sl_status sl_object_store_create(const sl_object_store_options *options,
                                 sl_object_store **out, sl_error *error) {
    *out = NULL;
    sl_object_store *store = sl_calloc(1, sizeof *store);
    if (store == NULL)
        return sl_error_set(error, SL_ENOMEM, "object store: out of memory");
    sl_arena_init(&store->texts, 1024);
    store->options = *options;
    fill_in(&store->options);
    store->ready_end = &store->ready;
    store->operations_end = &store->operations;
    store->slowed_us = SL_NO_TIME;
    store->random =
        (uint64_t)options->clock.monotonic_us(options->clock.context) ^ (uintptr_t)store;
    bool failed = false;
    store->options.endpoint = NULL;
    store->options.region = text_of(store, options->region, &failed);
    store->options.kms_key_id = text_of(store, options->kms_key_id, &failed);
    store->options.storage_class = text_of(store, options->storage_class, &failed);
    store->options.tags = NULL;
    store->timer = sl_timer_create(options->loop, on_timer, store);
    store->sha = sl_aws_hash_create();
    failed |= store->timer == NULL || store->sha == NULL;
    const char *endpoint =
        options->endpoint != NULL && options->endpoint[0] != 0 ? options->endpoint : NULL;
    sl_status status = failed
                           ? sl_error_set(error, SL_ENOMEM, "object store: out of memory")
                           : take_endpoint(store, endpoint, error);
    if (status == SL_OK)
        status = take_tags(store, options, error);
    if (status != SL_OK) {
        sl_object_store_destroy(store);
        return status;
    }
    register_metrics(store, options->metrics);
    set_pace(store, store->options.requests_max);
    *out = store;
    return SL_OK;
}

void sl_object_store_destroy(sl_object_store *store) {
    if (store == NULL)
        return;
    while (store->operations != NULL) /* Oldest first: one that began others ends them. */
        sl_object_operation_cancel(store->operations);
    sl_timer_destroy(store->timer);
    sl_aws_signer_fini(&store->signer);
    sl_aws_signed_fini(&store->signature);
    sl_buffer_fini(&store->host);
    sl_buffer_fini(&store->url);
    sl_buffer_fini(&store->path);
    sl_buffer_fini(&store->note);
    sl_aws_hash_destroy(store->sha);
    sl_arena_fini(&store->texts);
    sl_free(store);
}

unsigned sl_object_store_pace(const sl_object_store *store) {
    return (unsigned)store->pace;
}

void s3_operation_enter(sl_object_store *store, sl_object_operation *operation,
                        void (*destroy)(sl_object_operation *operation)) {
    operation->store = store;
    operation->destroy = destroy;
    operation->next = NULL;
    operation->link = store->operations_end;
    *store->operations_end = operation;
    store->operations_end = &operation->next;
}

void s3_operation_leave(sl_object_operation *operation) {
    *operation->link = operation->next;
    if (operation->next != NULL)
        operation->next->link = operation->link;
    else
        operation->store->operations_end = operation->link;
}

void sl_object_operation_cancel(sl_object_operation *operation) {
    s3_operation_leave(operation);
    operation->destroy(operation);
}
