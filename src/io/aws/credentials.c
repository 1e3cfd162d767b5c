/* Fetches credentials, keeps them, and fetches them anew in time.
 *
 * One fetch is on its way at a time: plan.c says where from, then one request after the other until there are keys:
 *
 *     web identity   POST STS AssumeRoleWithWebIdentity (not signed)
 *     container      GET the URL
 *     instance       PUT token, GET role name, GET its keys, GET region if none is known (IMDSv2)
 *     then each role POST STS AssumeRole, signed with the keys so far
 *
 * `deliver` is the one timer that tells who waits and that starts fetches, so nothing happens inside get(). */
#include "plan.h"
#include "replies.h"
#include "sluice/io_files.h"
#include "sluice/message.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <uv.h>

#define REFRESH_AHEAD_US (5 * SL_MINUTE_US)
#define EXPIRY_MARGIN_US SL_SECOND_US

enum {
    METADATA_CONNECT_MS = 1000,
    METADATA_TOTAL_MS = 5000,
    STS_CONNECT_MS = 5000,
    STS_TOTAL_MS = 20000,
    PAUSE_MS = 1000, /* Between a fetch that brought nothing new and the next. */
    RETRY_MS_MAX = 60000,
    TOKEN_LIFE_S = 21600,
    REPLY_BYTES_MAX = 256 << 10,
    ARENA_BLOCK_BYTES = 4096,
    FIELDS_MAX = 6,
};

typedef struct fetch {
    sl_aws_credentials *owner;
    sl_arena arena;
    sl_aws_plan plan;
    sl_aws_owned_keys keys;
    unsigned role; /* The next to assume. */
    const char *session, *role_name; /* IMDSv2. */
    sl_buffer url, body, host;
    sl_aws_signed signed_;
    sl_http_call *call;
    void (*next)(struct fetch *f, const sl_http_outcome *outcome);
} fetch;

struct sl_aws_credentials {
    uv_loop_t *loop;
    sl_http_client *client;
    sl_aws_credentials_options options;
    uv_timer_t deliver, refresh;
    unsigned handles;
    bool destroyed, rejected; /* Rejected: a service says that the keys have expired. */
    sl_aws_wait *waiting, *telling;
    fetch *fetch;
    sl_aws_owned_keys keys;
    char *region, source[SL_AWS_NAME_TEXT];
    sl_aws_identity identity;
    unsigned failures;
    uint64_t not_before_ms; /* Of the loop: no fetch before it. */
};

static void start_fetch(sl_aws_credentials *c);

/* ---- What is at hand ---- */

static int64_t now_us(const sl_aws_credentials *c) {
    if (c->options.now_us != NULL)
        return c->options.now_us(c->options.context);
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000;
}

static bool lasts(const sl_aws_credentials *c) {
    return c->keys.access_key_id != NULL &&
           (c->keys.expires_us == INT64_MAX || now_us(c) < c->keys.expires_us - EXPIRY_MARGIN_US);
}

const sl_aws_identity *sl_aws_credentials_peek(sl_aws_credentials *c) {
    return !c->rejected && lasts(c) ? &c->identity : NULL;
}

/* ---- Who waits ---- */

static void tell(sl_aws_credentials *c, sl_status status, const sl_error *error) {
    const sl_aws_identity *identity = status == SL_OK ? &c->identity : NULL;
    assert(c->telling == NULL);
    c->telling = c->waiting;
    c->waiting = NULL;
    while (!c->destroyed && c->telling != NULL) {
        sl_aws_wait *wait = c->telling;
        c->telling = wait->next;
        wait->next = NULL;
        wait->waiting = false;
        wait->done(wait->context, status, identity, error);
    }
}

static void on_deliver(uv_timer_t *timer) {
    static const sl_error none = {0};
    sl_aws_credentials *c = timer->data;
    if (c->waiting == NULL)
        return;
    if (sl_aws_credentials_peek(c) != NULL)
        tell(c, SL_OK, &none);
    else if (c->fetch == NULL)
        start_fetch(c);
}

static void schedule_delivery(sl_aws_credentials *c) {
    uint64_t now = uv_now(c->loop);
    bool pause = sl_aws_credentials_peek(c) == NULL && now < c->not_before_ms;
    (void)uv_timer_start(&c->deliver, on_deliver, pause ? c->not_before_ms - now : 0, 0);
}

void sl_aws_credentials_get(sl_aws_credentials *c, sl_aws_wait *wait) {
    assert(!c->destroyed && !wait->waiting);
    sl_aws_wait **end = &c->waiting;
    while (*end != NULL)
        end = &(*end)->next;
    *end = wait;
    wait->next = NULL;
    wait->waiting = true;
    if (c->fetch == NULL || sl_aws_credentials_peek(c) != NULL)
        schedule_delivery(c);
}

static void take_out(sl_aws_wait **list, sl_aws_wait *wait) {
    for (; *list != NULL; list = &(*list)->next)
        if (*list == wait) {
            *list = wait->next;
            break;
        }
}

void sl_aws_credentials_cancel(sl_aws_credentials *c, sl_aws_wait *wait) {
    if (!wait->waiting)
        return;
    take_out(&c->waiting, wait);
    take_out(&c->telling, wait);
    wait->waiting = false;
    wait->next = NULL;
}

void sl_aws_credentials_expired(sl_aws_credentials *c, const char *access_key_id) {
    if (c->keys.access_key_id != NULL && strcmp(c->keys.access_key_id, access_key_id) == 0)
        c->rejected = true;
}

/* ---- The end of a fetch ---- */

/** 0 to 1. */
static double chance(void) {
    uint32_t number = 0;
    (void)RAND_bytes((uint8_t *)&number, sizeof number);
    return (double)number / 4294967295.0;
}

static void on_refresh(uv_timer_t *timer) {
    sl_aws_credentials *c = timer->data;
    if (c->fetch == NULL)
        start_fetch(c);
}

static void refresh_after(sl_aws_credentials *c, int64_t us) {
    int64_t ms = us / 1000;
    (void)uv_timer_start(&c->refresh, on_refresh, ms > 0 ? (uint64_t)ms : 0, 0);
}

/** Ahead of the end, by up to a fifth more, so that many daemons don't ask at once. */
static void plan_refresh(sl_aws_credentials *c) {
    (void)uv_timer_stop(&c->refresh);
    if (c->keys.expires_us == INT64_MAX)
        return;
    int64_t left = c->keys.expires_us - now_us(c);
    int64_t ahead = left / 2 < REFRESH_AHEAD_US ? left / 2 : REFRESH_AHEAD_US;
    refresh_after(c, left - ahead - (int64_t)((double)ahead * 0.2 * chance()));
}

static void free_fetch(fetch *f) {
    if (f->call != NULL)
        sl_http_call_cancel(f->call);
    sl_aws_owned_keys_fini(&f->keys);
    sl_aws_signed_fini(&f->signed_);
    sl_buffer_fini(&f->url);
    sl_buffer_fini(&f->body);
    sl_buffer_fini(&f->host);
    sl_arena_fini(&f->arena);
    sl_free(f);
}

static bool same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void fail(fetch *f, sl_status status, sl_error *error) {
    sl_aws_credentials *c = f->owner;
    /* What the file system or a parser calls it, it is for the caller: no credentials. */
    if (status != SL_ENOMEM && status != SL_EIO)
        status = SL_EDENIED;
    error->status = status;
    (void)sl_error_context(error, "AWS credentials");
    c->fetch = NULL;
    free_fetch(f);
    c->failures += c->failures < 16;
    c->not_before_ms = uv_now(c->loop) + PAUSE_MS;
    if (lasts(c)) {
        int64_t ms = (int64_t)PAUSE_MS << c->failures;
        ms = ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX;
        refresh_after(c, (int64_t)((double)ms * (0.5 + 0.5 * chance())) * 1000);
        sl_message(SL_LEVEL_WARN, "aws", "credentials not refreshed", "error=\"%s\"", error->text);
    }
    tell(c, status, error);
}

/** The plan's texts go with the fetch, so what stays is copied. */
static sl_status keep(sl_aws_credentials *c, fetch *f, sl_error *error) {
    char *region = f->plan.region != NULL ? sl_strdup(f->plan.region) : NULL;
    if (f->plan.region != NULL && region == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    /* The same once more is no answer to "expired": don't ask for it as fast as one can. */
    if (same(c->keys.access_key_id, f->keys.access_key_id) && same(c->keys.session_token, f->keys.session_token))
        c->not_before_ms = uv_now(c->loop) + PAUSE_MS;
    sl_free(c->region);
    c->region = region;
    sl_aws_owned_keys_fini(&c->keys);
    c->keys = f->keys;
    f->keys = (sl_aws_owned_keys){0};
    const char *role = f->plan.role_count > 0 ? f->plan.roles[f->plan.role_count - 1].arn
                       : f->plan.source == SL_AWS_SOURCE_WEB_IDENTITY ? f->plan.web.arn
                                                                      : f->role_name;
    (void)snprintf(c->source, sizeof c->source, "%s%s%s", f->plan.name, role != NULL ? ", role " : "",
                   role != NULL ? role : "");
    c->identity = (sl_aws_identity){sl_aws_owned_keys_view(&c->keys), c->region, c->source};
    return SL_OK;
}

static void succeed(fetch *f) {
    static const sl_error none = {0};
    sl_aws_credentials *c = f->owner;
    sl_error error = {0};
    if (f->keys.expires_us != INT64_MAX && f->keys.expires_us - EXPIRY_MARGIN_US <= now_us(c)) {
        fail(f, sl_error_set(&error, SL_EDENIED, "%s: those given out have expired already", f->plan.name), &error);
        return;
    }
    sl_status status = keep(c, f, &error);
    if (status != SL_OK) {
        fail(f, status, &error);
        return;
    }
    c->fetch = NULL;
    free_fetch(f);
    c->rejected = false;
    c->failures = 0;
    plan_refresh(c);
    tell(c, SL_OK, &none);
}

/* ---- Requests ---- */

/** `error` and where it came from; of the last place also that the others had nothing. */
static void fail_at(fetch *f, sl_status status, sl_error *error) {
    (void)sl_error_context(error, "%s", f->plan.name);
    if (f->plan.source == SL_AWS_SOURCE_INSTANCE && f->plan.fallback && f->role_name == NULL)
        (void)sl_error_context(error, "none in the environment, in a profile or from a container");
    fail(f, status, error);
}

static void on_reply(void *context, const sl_http_outcome *outcome) {
    fetch *f = context;
    f->call = NULL;
    if (outcome->status != SL_OK) {
        sl_error error = *outcome->error;
        fail_at(f, outcome->status, &error);
        return;
    }
    f->next(f, outcome);
}

/** From f->url and f->body on to `next`. */
static void ask(fetch *f, const char *method, const sl_http_field *fields, size_t count, bool metadata,
                 void (*next)(fetch *f, const sl_http_outcome *outcome)) {
    sl_error error = {0};
    sl_http_call_options options = {
        .method = method,
        .url = sl_buffer_cstr(&f->url),
        .fields = fields,
        .field_count = count,
        .body = f->body.bytes,
        .body_length = f->body.length,
        .reply_bytes_max = REPLY_BYTES_MAX,
        .connect_timeout_ms = metadata ? METADATA_CONNECT_MS : STS_CONNECT_MS,
        .total_timeout_ms = metadata ? METADATA_TOTAL_MS : STS_TOTAL_MS,
        .direct = metadata,
    };
    f->next = next;
    sl_status status = f->url.failed || f->body.failed
                           ? sl_error_set(&error, SL_ENOMEM, "out of memory")
                           : sl_http_client_start(f->owner->client, &options, on_reply, f, &f->call, &error);
    if (status != SL_OK) {
        fail_at(f, status, &error);
    }
}

static void set_url(fetch *f, const char *base, const char *path) {
    sl_buffer_clear(&f->url);
    sl_buffer_text(&f->url, base);
    sl_buffer_text(&f->url, path);
}

static void wipe_body(const sl_http_outcome *outcome) {
    if (outcome->body->bytes != NULL)
        OPENSSL_cleanse(outcome->body->bytes, outcome->body->length);
}

/** 5xx may pass by itself; the rest is a refusal. */
static sl_status refusal(unsigned code) {
    return code >= 500 || code == 429 ? SL_EIO : SL_EDENIED;
}

/* ---- STS ---- */

static void assume_next(fetch *f);

static void form(sl_buffer *body, const char *name, const char *value) {
    sl_buffer_byte(body, '&');
    sl_buffer_text(body, name);
    sl_buffer_byte(body, '=');
    sl_aws_encode(body, value, strlen(value), false);
}

static void form_role(fetch *f, const char *action, const sl_aws_role *role) {
    sl_buffer_clear(&f->body);
    sl_buffer_printf(&f->body, "Action=%s&Version=2011-06-15", action);
    form(&f->body, "RoleArn", role->arn);
    form(&f->body, "RoleSessionName", role->session_name);
    if (role->external_id != NULL)
        form(&f->body, "ExternalId", role->external_id);
    if (role->duration_s > 0)
        sl_buffer_printf(&f->body, "&DurationSeconds=%u", role->duration_s);
}

static const char *sts_region(const fetch *f) {
    return f->plan.region != NULL ? f->plan.region : "us-east-1";
}

/** Without a region it is the one endpoint for all. Of the endpoint's URL the part before the path counts. */
static void set_sts_url(fetch *f) {
    const char *given = f->plan.sts_endpoint, *region = f->plan.region;
    sl_buffer_clear(&f->url);
    sl_buffer_clear(&f->host);
    if (given != NULL) {
        const char *host = strstr(given, "://");
        host = host != NULL ? host + 3 : given;
        size_t length = strcspn(host, "/?#");
        sl_buffer_append(&f->host, host, length);
        sl_buffer_append(&f->url, given, (size_t)(host - given) + length);
    } else {
        if (region != NULL)
            sl_buffer_printf(&f->host, "sts.%s.amazonaws.com%s", region, strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
        else
            sl_buffer_text(&f->host, "sts.amazonaws.com");
        sl_buffer_text(&f->url, "https://");
        sl_buffer_append(&f->url, f->host.bytes, f->host.length);
    }
    sl_buffer_byte(&f->url, '/');
    f->url.failed = f->url.failed || f->host.failed;
}

static void on_sts(fetch *f, const sl_http_outcome *outcome) {
    sl_error error = {0};
    const sl_aws_role *role = f->role > 0 ? &f->plan.roles[f->role - 1] : &f->plan.web;
    sl_status status;
    if (outcome->code != 200) {
        char words[320];
        sl_aws_read_sts_error(outcome->body->bytes, outcome->body->length, words, sizeof words);
        status = sl_error_set(&error, refusal(outcome->code), "STS answered %u %s", outcome->code, words);
    } else {
        sl_aws_owned_keys_fini(&f->keys);
        status = sl_aws_read_sts_keys(outcome->body->bytes, outcome->body->length, &f->keys, &error);
    }
    wipe_body(outcome);
    if (status == SL_OK) {
        assume_next(f);
        return;
    }
    (void)sl_error_context(&error, "%s: role %s", f->plan.name, role->arn);
    fail(f, status, &error);
}

#define FORM_TYPE {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}

static void assume_next(fetch *f) {
    if (f->role == f->plan.role_count) {
        succeed(f);
        return;
    }
    sl_error error = {0};
    char hash[SL_AWS_HASH_TEXT];
    sl_http_field fields[FIELDS_MAX] = {FORM_TYPE};
    sl_aws_signer signer = {.service = "sts", .region = sts_region(f), .flags = SL_AWS_SERVICE};
    sl_aws_keys keys = sl_aws_owned_keys_view(&f->keys);
    form_role(f, "AssumeRole", &f->plan.roles[f->role++]);
    set_sts_url(f);
    sl_aws_hash_text(f->body.bytes, f->body.length, hash);
    sl_aws_request request = {.method = "POST", .host = sl_buffer_cstr(&f->host), .path = "/", .fields = fields,
                              .field_count = 1, .payload_hash = hash, .time_us = now_us(f->owner)};
    sl_status status = f->url.failed || f->body.failed ? sl_error_set(&error, SL_ENOMEM, "out of memory")
                                                       : sl_aws_sign(&signer, &keys, &request, &f->signed_, &error);
    sl_aws_signer_fini(&signer);
    if (status != SL_OK) {
        fail(f, status, &error);
        return;
    }
    size_t count = 1;
    fields[count++] = (sl_http_field){"Host", request.host};
    for (size_t i = 0; i < f->signed_.field_count; i++)
        fields[count++] = f->signed_.fields[i];
    ask(f, "POST", fields, count, false, on_sts);
}

static void start_web(fetch *f, const sl_aws_surroundings *around) {
    static const sl_http_field type = FORM_TYPE;
    sl_error error = {0};
    const char *token;
    sl_status status = sl_aws_read_token(around, f->plan.token_file, &token, &error);
    if (status != SL_OK) {
        fail_at(f, status, &error);
        return;
    }
    form_role(f, "AssumeRoleWithWebIdentity", &f->plan.web);
    form(&f->body, "WebIdentityToken", token);
    set_sts_url(f);
    ask(f, "POST", &type, 1, false, on_sts);
}

/* ---- Container and instance ---- */

/** A reply's only line, for a header or a path: printable, without blanks. NULL when it is none. */
static const char *only_line(fetch *f, const sl_buffer *body) {
    size_t length = body->length;
    while (length > 0 && body->bytes[length - 1] <= 0x20)
        length--;
    for (size_t i = 0; i < length; i++)
        if (body->bytes[i] < 0x21 || body->bytes[i] > 0x7e)
            return NULL;
    return length > 0 ? sl_arena_strndup(&f->arena, (const char *)body->bytes, length) : NULL;
}

static void ask_instance(fetch *f, const char *path, const char *name,
                         void (*next)(fetch *f, const sl_http_outcome *outcome)) {
    sl_http_field field = {"X-aws-ec2-metadata-token", f->session};
    set_url(f, f->plan.url, path);
    sl_aws_encode(&f->url, name, strlen(name), true);
    ask(f, "GET", &field, 1, true, next);
}

static void on_region(fetch *f, const sl_http_outcome *outcome) {
    if (outcome->code == 200)
        f->plan.region = only_line(f, outcome->body);
    assume_next(f);
}

static void on_document(fetch *f, const sl_http_outcome *outcome) {
    sl_error error = {0};
    sl_status status =
        outcome->code == 200
            ? sl_aws_read_json_keys(outcome->body->bytes, outcome->body->length, &f->keys, &error)
            : sl_error_set(&error, refusal(outcome->code), "answered %u to the question for keys", outcome->code);
    wipe_body(outcome);
    if (status != SL_OK) {
        fail_at(f, status, &error);
    } else if (f->session != NULL && f->plan.region == NULL) {
        ask_instance(f, "/latest/meta-data/placement/region", "", on_region);
    } else {
        assume_next(f);
    }
}

static void start_container(fetch *f, const sl_aws_surroundings *around) {
    sl_error error = {0};
    sl_http_field field = {"Authorization", f->plan.authorization};
    if (f->plan.authorization_file != NULL) {
        sl_status status = sl_aws_read_token(around, f->plan.authorization_file, &field.value, &error);
        if (status != SL_OK) {
            fail_at(f, status, &error);
            return;
        }
    }
    set_url(f, f->plan.url, "");
    ask(f, "GET", &field, field.value != NULL, true, on_document);
}

static void fail_instance(fetch *f, unsigned code, const char *question) {
    sl_error error = {0};
    sl_status status = code == 200 ? SL_EIO : refusal(code);
    if (code == 404)
        (void)sl_error_set(&error, status, "no role is attached to this instance");
    else
        (void)sl_error_set(&error, status, "answered %u to the question for %s", code, question);
    fail_at(f, status, &error);
}

#define CREDENTIALS_PATH "/latest/meta-data/iam/security-credentials/"

static void on_role_name(fetch *f, const sl_http_outcome *outcome) {
    if (outcome->code == 200)
        f->role_name = only_line(f, outcome->body);
    if (f->role_name == NULL)
        fail_instance(f, outcome->code, "the role's name");
    else
        ask_instance(f, CREDENTIALS_PATH, f->role_name, on_document);
}

static void on_session(fetch *f, const sl_http_outcome *outcome) {
    if (outcome->code == 200)
        f->session = only_line(f, outcome->body);
    if (f->session == NULL)
        fail_instance(f, outcome->code == 404 ? 400 : outcome->code, "an IMDSv2 token");
    else
        ask_instance(f, CREDENTIALS_PATH, "", on_role_name);
}

static void start_instance(fetch *f) {
    char life[16];
    (void)snprintf(life, sizeof life, "%d", TOKEN_LIFE_S);
    sl_http_field field = {"X-aws-ec2-metadata-token-ttl-seconds", life};
    set_url(f, f->plan.url, "/latest/api/token");
    ask(f, "PUT", &field, 1, true, on_session);
}

/* ---- Start ---- */

static void start_keys(fetch *f) {
    sl_error error = {0};
    sl_status status = sl_aws_owned_keys_set(&f->keys, f->plan.access_key_id, f->plan.secret_access_key,
                                             f->plan.session_token, INT64_MAX, &error);
    if (status == SL_OK) {
        assume_next(f);
        return;
    }
    fail_at(f, status, &error);
}

static const char *environment(void *context, const char *name) {
    (void)context;
    return getenv(name);
}

static void start_fetch(sl_aws_credentials *c) {
    sl_error error = {0};
    fetch *f = sl_calloc(1, sizeof *f);
    if (f == NULL) {
        c->not_before_ms = uv_now(c->loop) + PAUSE_MS;
        tell(c, sl_error_set(&error, SL_ENOMEM, "AWS credentials: out of memory"), &error);
        return;
    }
    f->owner = c;
    sl_arena_init(&f->arena, ARENA_BLOCK_BYTES);
    c->fetch = f;
    sl_aws_surroundings around = {c->options.variable != NULL ? c->options.variable : environment,
                                  c->options.context, sl_files_system(), &f->arena};
    sl_status status = sl_aws_plan_make(&around, &c->options, &f->plan, &error);
    if (status != SL_OK) {
        fail(f, status, &error);
        return;
    }
    switch (f->plan.source) {
    case SL_AWS_SOURCE_KEYS:
        start_keys(f);
        break;
    case SL_AWS_SOURCE_WEB_IDENTITY:
        start_web(f, &around);
        break;
    case SL_AWS_SOURCE_CONTAINER:
        start_container(f, &around);
        break;
    case SL_AWS_SOURCE_INSTANCE:
        start_instance(f);
        break;
    }
}

/* ---- Life ---- */

/** The texts of the options, in the order of their struct. */
static const char **option_text(sl_aws_credentials_options *options, size_t i) {
    const char **texts[] = {&options->access_key_id, &options->secret_access_key, &options->session_token,
                            &options->profile,       &options->region,            &options->role_arn,
                            &options->external_id,   &options->role_session_name};
    return i < sizeof texts / sizeof texts[0] ? texts[i] : NULL;
}

static bool copy_options(sl_aws_credentials_options *to, const sl_aws_credentials_options *from) {
    sl_aws_credentials_options given = *from;
    *to = *from;
    bool ok = true;
    for (size_t i = 0; option_text(to, i) != NULL; i++) {
        const char *text = *option_text(&given, i);
        char *copy = ok && text != NULL && text[0] != 0 ? sl_strdup(text) : NULL;
        ok = ok && (copy != NULL || text == NULL || text[0] == 0);
        *option_text(to, i) = copy;
    }
    return ok;
}

static void free_credentials(sl_aws_credentials *c) {
    for (size_t i = 0; option_text(&c->options, i) != NULL; i++) {
        /* They are our own copies. */
        char *text;
        memcpy(&text, option_text(&c->options, i), sizeof text);
        if (text != NULL)
            OPENSSL_cleanse(text, strlen(text));
        sl_free(text);
    }
    sl_aws_owned_keys_fini(&c->keys);
    sl_free(c->region);
    sl_free(c);
}

sl_status sl_aws_credentials_create(struct uv_loop_s *loop, sl_http_client *client,
                                    const sl_aws_credentials_options *options, sl_aws_credentials **out,
                                    sl_error *error) {
    *out = NULL;
    sl_aws_credentials *c = sl_calloc(1, sizeof *c);
    if (c == NULL || !copy_options(&c->options, options)) {
        if (c != NULL)
            free_credentials(c);
        return sl_error_set(error, SL_ENOMEM, "AWS credentials: out of memory");
    }
    c->loop = loop;
    c->client = client;
    (void)uv_timer_init(loop, &c->deliver);
    (void)uv_timer_init(loop, &c->refresh);
    c->deliver.data = c->refresh.data = c;
    c->handles = 2;
    /* Waiting for a refresh keeps no loop alive. */
    uv_unref((uv_handle_t *)&c->refresh);
    *out = c;
    return SL_OK;
}

static void on_closed(uv_handle_t *handle) {
    sl_aws_credentials *c = handle->data;
    if (--c->handles == 0)
        free_credentials(c);
}

void sl_aws_credentials_destroy(sl_aws_credentials *c) {
    if (c == NULL)
        return;
    assert(!c->destroyed);
    c->destroyed = true;
    if (c->fetch != NULL)
        free_fetch(c->fetch);
    c->fetch = NULL;
    for (sl_aws_wait *wait; (wait = c->waiting != NULL ? c->waiting : c->telling) != NULL;)
        sl_aws_credentials_cancel(c, wait);
    uv_close((uv_handle_t *)&c->deliver, on_closed);
    uv_close((uv_handle_t *)&c->refresh, on_closed);
}
