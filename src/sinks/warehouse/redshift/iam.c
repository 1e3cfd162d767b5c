/* Temporary database users.
 *
 * Clusters    POST / at redshift.REGION.amazonaws.com, AWS's query protocol: a form with
 * Action=GetClusterCredentials and Version=2012-12-01; the reply is XML with DbUser
 * (which has "IAM:" or "IAMA:" before it: log in with exactly that) and DbPassword.
 * Serverless  POST / at redshift-serverless.REGION.amazonaws.com, JSON 1.1: X-Amz-Target
 * says RedshiftServerless.GetCredentials; the reply has dbUser and dbPassword. Both live
 * for 15 minutes here, which is for logging in; a session goes on beyond. */
#include "private.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>

#define LIFE_SECONDS "900"

struct sl_redshift_login {
    const sl_redshift_iam *iam;
    sl_http_client *http;
    sl_aws_credentials *credentials;
    sl_clock clock;
    sl_redshift_login_fn *done;
    void *context;
    sl_aws_wait wait;
    sl_http_call *call;
    sl_aws_signer signer;
    sl_aws_signed signed_request;
    sl_buffer body, url, host, region, key_id;
    bool again; /* expired keys were replaced once */
};

static void destroy(sl_redshift_login *l) {
    sl_buffer *buffers[] = {&l->body, &l->url, &l->host, &l->region, &l->key_id};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        sl_buffer_fini(buffers[i]);
    sl_aws_signed_fini(&l->signed_request);
    sl_aws_signer_fini(&l->signer);
    sl_free(l);
}

void sl_redshift_login_cancel(sl_redshift_login *l) {
    if (l == NULL)
        return;
    sl_aws_credentials_cancel(l->credentials, &l->wait);
    if (l->call != NULL)
        sl_http_call_cancel(l->call);
    destroy(l);
}

static void finish(sl_redshift_login *l, sl_status status, const char *user,
                   const char *password, const sl_error *error) {
    l->done(l->context, status, user, password, error);
    destroy(l);
}

static void fail(sl_redshift_login *l, sl_error *error) {
    (void)sl_error_context(error, "credentials for Redshift");
    finish(l, error->status, NULL, NULL, error);
}

static void pair(sl_buffer *out, const char *name, const char *value) {
    if (value == NULL)
        return;
    sl_buffer_printf(out, "&%s=", name);
    sl_aws_encode(out, value, strlen(value), false);
}

static void json_pair(sl_buffer *out, const char *name, const char *value) {
    if (value == NULL)
        return;
    sl_buffer_printf(out, ",\"%s\":", name);
    sl_buffer_json_string(out, value, strlen(value));
}

void iam_body(const sl_redshift_iam *iam, sl_buffer *out) {
    sl_buffer_clear(out);
    if (iam->workgroup != NULL) {
        sl_buffer_text(out, "{\"durationSeconds\":" LIFE_SECONDS);
        json_pair(out, "workgroupName", iam->workgroup);
        json_pair(out, "dbName", iam->database);
        sl_buffer_byte(out, '}');
        return;
    }
    sl_buffer_text(out, "Action=GetClusterCredentials&Version=2012-12-01");
    pair(out, "ClusterIdentifier", iam->cluster);
    pair(out, "DbUser", iam->user);
    pair(out, "DbName", iam->database);
    pair(out, "DurationSeconds", LIFE_SECONDS);
    if (iam->create_user)
        pair(out, "AutoCreate", "true");
}

void iam_url(const sl_redshift_iam *iam, const char *region, sl_buffer *url,
             sl_buffer *hostname) {
    sl_buffer_clear(url);
    sl_buffer_clear(hostname);
    if (iam->endpoint == NULL) {
        sl_buffer_printf(hostname, "redshift%s.%s.amazonaws.com%s",
                         iam->workgroup != NULL ? "-serverless" : "", region,
                         strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
        sl_buffer_printf(url, "https://%s/", sl_buffer_cstr(hostname));
        return;
    }
    const char *host = strstr(iam->endpoint, "://");
    host = host == NULL ? iam->endpoint : host + 3;
    size_t length = strcspn(host, "/");
    sl_buffer_append(hostname, host, length);
    (void)sl_buffer_cstr(hostname);
    sl_buffer_append(url, iam->endpoint, (size_t)(host - iam->endpoint) + length);
    sl_buffer_byte(url, '/');
}

/* "&amp;", "&#39;", "&#x27;" at `from`, to `out`. @return its length; 0: it is none of
 * these. */
static size_t reference(const char *from, const char *end, sl_buffer *out) {
    static const struct {
        const char *name, *text;
    } named[] = {
        {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}};
    size_t left = (size_t)(end - from);
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        size_t length = strlen(named[i].name);
        if (length <= left && memcmp(from, named[i].name, length) == 0) {
            sl_buffer_text(out, named[i].text);
            return length;
        }
    }
    if (left < 4 || from[1] != '#')
        return 0;
    bool hex = from[2] == 'x';
    char *stop;
    unsigned long code = strtoul(from + (hex ? 3 : 2), &stop, hex ? 16 : 10);
    if (stop >= end || *stop != ';' || code == 0 ||
        code > 127) /* Names and passwords are ASCII. */
        return 0;
    sl_buffer_byte(out, (uint8_t)code);
    return (size_t)(stop - from) + 1;
}

/* Text of the first <name>…</name>, its references resolved. `xml` ends with a 0. */
static bool element(const sl_buffer *xml, const char *name, sl_buffer *out) {
    char open[64];
    (void)snprintf(open, sizeof open, "<%s>", name);
    const char *text = (const char *)xml->bytes;
    const char *from = xml->length == 0 ? NULL : strstr(text, open);
    if (from == NULL)
        return false;
    from += strlen(open);
    const char *end = strchr(from, '<');
    if (end == NULL)
        return false;
    while (from < end) {
        size_t used = *from == '&' ? reference(from, end, out) : 0;
        if (used == 0)
            sl_buffer_byte(out, (uint8_t)*from);
        from += used != 0 ? used : 1;
    }
    return !out->failed;
}

static bool member(const sl_buffer *body, const char *name, sl_buffer *out) {
    json_t *root = json_loadb((const char *)body->bytes, body->length, 0, NULL);
    const char *text = json_string_value(json_object_get(root, name));
    if (text != NULL)
        sl_buffer_text(out, text);
    json_decref(root);
    return text != NULL && !out->failed;
}

static void ask(void *context, sl_status status, const sl_aws_identity *identity,
                const sl_error *error);

bool iam_reply(bool serverless, sl_buffer *body, sl_buffer *user, sl_buffer *password) {
    (void)sl_buffer_cstr(body);
    bool whole =
        serverless
            ? member(body, "dbUser", user) && member(body, "dbPassword", password)
            : element(body, "DbUser", user) && element(body, "DbPassword", password);
    return whole && !body->failed && user->length != 0 && password->length != 0;
}

/* In its own words: a code and a sentence. Neither form holds secrets. */
sl_status iam_refusal(bool serverless, unsigned code, sl_buffer *body, bool *expired,
                      sl_error *error) {
    sl_buffer kind = SL_BUFFER_EMPTY, text = SL_BUFFER_EMPTY;
    (void)sl_buffer_cstr(body);
    if (serverless) {
        (void)member(body, "__type", &kind);
        if (!member(body, "message", &text))
            (void)member(body, "Message", &text);
    } else {
        (void)element(body, "Code", &kind);
        (void)element(body, "Message", &text);
    }
    const char *name = sl_buffer_cstr(&kind);
    *expired = strstr(name, "Expired") != NULL;
    bool later = code >= 500 || code == 429 || strstr(name, "Throttl") != NULL;
    sl_status status = sl_error_set(
        error, later ? SL_EIO : SL_EDENIED, "status %u%s%s%s%s", code,
        *name != 0 ? " " : "", name, text.length != 0 ? ": " : "", sl_buffer_cstr(&text));
    sl_buffer_fini(&kind);
    sl_buffer_fini(&text);
    return status;
}

static void refused(sl_redshift_login *l, unsigned code, sl_buffer *body) {
    bool expired;
    sl_error error;
    (void)iam_refusal(l->iam->workgroup != NULL, code, body, &expired, &error);
    if (expired && !l->again) {
        l->again = true;
        sl_aws_credentials_expired(l->credentials, sl_buffer_cstr(&l->key_id));
        sl_aws_credentials_get(l->credentials, &l->wait);
        return;
    }
    fail(l, &error);
}

static void replied(void *context, const sl_http_outcome *outcome) {
    sl_redshift_login *l = context;
    sl_error error;
    l->call = NULL;
    if (outcome->status != SL_OK) {
        error = *outcome->error;
        fail(l, &error);
        return;
    }
    if (outcome->code != 200) {
        refused(l, outcome->code, outcome->body);
        return;
    }
    sl_buffer user = SL_BUFFER_EMPTY, password = SL_BUFFER_EMPTY;
    bool whole = iam_reply(l->iam->workgroup != NULL, outcome->body, &user, &password);
    if (whole) {
        const char *name = sl_buffer_cstr(&user), *secret = sl_buffer_cstr(&password);
        l->done(l->context, SL_OK, name, secret, NULL);
    } else {
        (void)sl_error_set(&error, SL_EIO,
                           "credentials for Redshift: a reply without them");
        l->done(l->context, SL_EIO, NULL, NULL, &error);
    }
    if (password.length != 0)
        memset(password.bytes, 0, password.length);
    sl_buffer_fini(&user);
    sl_buffer_fini(&password);
    destroy(l);
}

static sl_status send_request(sl_redshift_login *l, const sl_aws_identity *identity,
                              sl_error *error) {
    bool serverless = l->iam->workgroup != NULL;
    const char *region = l->iam->region != NULL ? l->iam->region : identity->region;
    if (region == NULL)
        return sl_error_set(error, SL_EINVAL, "no region is known");
    sl_buffer_clear(&l->region);
    sl_buffer_text(&l->region, region);
    sl_buffer_clear(&l->key_id);
    sl_buffer_text(&l->key_id, identity->keys.access_key_id);
    iam_body(l->iam, &l->body);
    iam_url(l->iam, region, &l->url, &l->host);
    char hash[SL_AWS_HASH_TEXT];
    sl_aws_hash_text(l->body.bytes, l->body.length, hash);
    l->signer =
        (sl_aws_signer){.service = serverless ? "redshift-serverless" : "redshift",
                        .region = sl_buffer_cstr(&l->region),
                        .flags = SL_AWS_SERVICE};
    sl_http_field fields[8] = {
        {"content-type", serverless ? "application/x-amz-json-1.1"
                                    : "application/x-www-form-urlencoded; charset=utf-8"},
        {"x-amz-target", "RedshiftServerless.GetCredentials"}};
    size_t count = serverless ? 2 : 1;
    const sl_aws_request request = {.method = "POST",
                                    .host = sl_buffer_cstr(&l->host),
                                    .path = "/",
                                    .fields = fields,
                                    .field_count = count,
                                    .payload_hash = hash,
                                    .time_us = l->clock.wall_us(l->clock.context)};
    if (l->body.failed || l->url.failed || l->host.failed || l->region.failed ||
        l->key_id.failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    sl_status status =
        sl_aws_sign(&l->signer, &identity->keys, &request, &l->signed_request, error);
    if (status != SL_OK)
        return status;
    for (size_t i = 0; i < l->signed_request.field_count; i++)
        fields[count++] = l->signed_request.fields[i];
    const sl_http_call_options call = {.method = "POST",
                                       .url = sl_buffer_cstr(&l->url),
                                       .fields = fields,
                                       .field_count = count,
                                       .body = l->body.bytes,
                                       .body_length = l->body.length,
                                       .total_timeout_ms = 30000};
    return sl_http_client_start(l->http, &call, replied, l, &l->call, error);
}

static void ask(void *context, sl_status status, const sl_aws_identity *identity,
                const sl_error *error) {
    sl_redshift_login *l = context;
    sl_error own;
    if (status != SL_OK) {
        own = *error;
        own.status = status;
        fail(l, &own);
        return;
    }
    status = send_request(l, identity, &own);
    if (status != SL_OK)
        fail(l, &own);
}

sl_status sl_redshift_login_start(const sl_redshift_iam *iam, sl_http_client *http,
                                  sl_aws_credentials *credentials, sl_clock clock,
                                  sl_redshift_login_fn *done, void *context,
                                  sl_redshift_login **out, sl_error *error) {
    *out = NULL;
    sl_redshift_login *l = sl_calloc(1, sizeof *l);
    if (l == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    l->iam = iam;
    l->http = http;
    l->credentials = credentials;
    l->clock = clock;
    l->done = done;
    l->context = context;
    l->wait = (sl_aws_wait){.done = ask, .context = l};
    sl_aws_credentials_get(credentials, &l->wait);
    *out = l;
    return SL_OK;
}
