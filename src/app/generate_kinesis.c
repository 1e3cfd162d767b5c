/* What `sluice generate` sends to the Kinesis API: PutRecords with one record for each event, signed where there are keys.
 *
 * Format   {"StreamName":S,"Records":[{"Data":Base64,"PartitionKey":"123"},…]}, at most 500 records. The key is the event's number.
 * Reply    {"FailedRecordCount":n,"Records":[…]} in the same order; a record that has an ErrorCode was not taken, and is what is sent
 *          again, alone.
 * Source   Amazon Kinesis Data Streams API Reference, "PutRecords". */
#include "generate_private.h"

#include "sluice/time.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>


bool sl_kinesis_wrap(sl_kinesis_body *body, const char *stream, const uint8_t *lines, size_t length, uint64_t first) {
    sl_buffer *out = &body->text;
    const uint8_t *end = lines + length;
    sl_buffer_clear(out);
    body->count = 0;
    sl_buffer_printf(out, "{\"StreamName\":\"%s\",\"Records\":[", stream);
    while (lines < end && body->count < SL_KINESIS_RECORDS_MAX) {
        const uint8_t *stop = memchr(lines, '\n', (size_t)(end - lines));
        size_t bytes = stop != NULL ? (size_t)(stop - lines) : (size_t)(end - lines);
        if (body->count > 0)
            sl_buffer_byte(out, ',');
        body->starts[body->count] = out->length;
        sl_buffer_text(out, "{\"Data\":\"");
        sl_buffer_base64(out, lines, bytes);
        sl_buffer_printf(out, "\",\"PartitionKey\":\"%llu\"}", (unsigned long long)(first + body->count++));
        lines += bytes + (stop != NULL);
    }
    sl_buffer_text(out, "]}");
    return !out->failed;
}

static bool failed(const json_t *record) {
    const json_t *code = json_object_get(record, "ErrorCode");
    return code != NULL && !json_is_null(code);
}

/* Leave the records that the reply says were not taken. */
static bool leave_failed(sl_kinesis_body *body, const json_t *records) {
    uint32_t kept = 0;
    size_t to = body->starts[0], last = body->text.length - 2;
    if (json_array_size(records) != body->count)
        return false;
    for (uint32_t i = 0; i < body->count; i++) {
        size_t from = body->starts[i], end = i + 1 < body->count ? body->starts[i + 1] - 1 : last;
        if (!failed(json_array_get(records, i)))
            continue;
        if (kept > 0)
            body->text.bytes[to++] = ',';
        memmove(body->text.bytes + to, body->text.bytes + from, end - from);
        body->starts[kept++] = to;
        to += end - from;
    }
    body->count = kept;
    body->text.length = to;
    sl_buffer_text(&body->text, "]}");
    return true;
}

bool sl_kinesis_failed(sl_kinesis_body *body, const sl_buffer *reply) {
    json_t *root = reply->failed ? NULL : json_loadb((const char *)reply->bytes, reply->length, 0, NULL);
    bool good = json_is_integer(json_object_get(root, "FailedRecordCount"));
    /* The usual reply has none, and its records aren't looked at. */
    if (good && json_integer_value(json_object_get(root, "FailedRecordCount")) == 0)
        body->count = 0;
    else
        good = good && leave_failed(body, json_object_get(root, "Records"));
    json_decref(root);
    return good;
}

bool sl_kinesis_none_failed(const sl_buffer *reply) {
    static const char none[] = "\"FailedRecordCount\":0";
    size_t n = sizeof none - 1;
    if (reply->failed || reply->length <= n)
        return false;
    /* It stands first or last; at the end it has a brace behind it. */
    const char *text = (const char *)reply->bytes;
    return (memcmp(text + 1, none, n) == 0 && (text[n + 1] == ',' || text[n + 1] == '}')) ||
           (text[reply->length - 1] == '}' && memcmp(text + reply->length - 1 - n, none, n) == 0);
}

bool sl_kinesis_may_retry(int status, const char *body) {
    static const char *const words[] = {"ProvisionedThroughputExceeded", "Throttl", "LimitExceeded", "KMSThrottling"};
    for (size_t i = 0; i < sizeof words / sizeof *words && status == 400; i++)
        if (strstr(body, words[i]) != NULL)
            return true;
    return status >= 500;
}

void sl_kinesis_signer_init(sl_kinesis_signer *s, const sl_url *url) {
    const char *region = getenv("AWS_REGION"), *other = getenv("AWS_DEFAULT_REGION"), *token = getenv("AWS_SESSION_TOKEN");
    bool ipv6 = strchr(url->host, ':') != NULL;
    *s = (sl_kinesis_signer){.keys = {.access_key_id = getenv("AWS_ACCESS_KEY_ID"),
                                      .secret_access_key = getenv("AWS_SECRET_ACCESS_KEY"),
                                      .session_token = token != NULL && *token != 0 ? token : NULL,
                                      .expires_us = INT64_MAX},
                             .signer = {.service = "kinesis", .flags = SL_AWS_SERVICE}};
    s->signer.region = region != NULL && *region != 0 ? region : other != NULL && *other != 0 ? other : "us-east-1";
    s->signs = s->keys.access_key_id != NULL && *s->keys.access_key_id != 0 && s->keys.secret_access_key != NULL;
    (void)snprintf(s->host, sizeof s->host, "%s%s%s%s%s", ipv6 ? "[" : "", url->host, ipv6 ? "]" : "",
                   strcmp(url->port, "80") == 0 ? "" : ":", strcmp(url->port, "80") == 0 ? "" : url->port);
}

void sl_kinesis_signer_fini(sl_kinesis_signer *s) {
    sl_aws_signer_fini(&s->signer);
    sl_aws_signed_fini(&s->outcome);
}

sl_status sl_kinesis_head(sl_kinesis_signer *s, const void *body, size_t length, char *out, size_t room, sl_error *error) {
    const sl_http_field fields[] = {{"content-type", "application/x-amz-json-1.1"}, {"x-amz-target", "Kinesis_20131202.PutRecords"}};
    size_t n = (size_t)snprintf(out, room,
                                "POST / HTTP/1.1\r\nHost: %s\r\nUser-Agent: sluice-generate\r\nContent-Length: %zu\r\n", s->host, length);
    for (size_t i = 0; i < 2 && n < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%s: %s\r\n", fields[i].name, fields[i].value);
    char hash[SL_AWS_HASH_TEXT];
    sl_aws_request request = {
        .method = "POST", .host = s->host, .path = "/", .fields = fields, .field_count = 2, .payload_hash = hash, .time_us = sl_wall_us()};
    sl_status status = SL_OK;
    if (s->signs) {
        sl_aws_hash_text(body, length, hash);
        status = sl_aws_sign(&s->signer, &s->keys, &request, &s->outcome, error);
    }
    for (size_t i = 0; s->signs && status == SL_OK && i < s->outcome.field_count && n < room; i++)
        n += (size_t)snprintf(out + n, room - n, "%s: %s\r\n", s->outcome.fields[i].name, s->outcome.fields[i].value);
    if (status == SL_OK && n < room)
        n += (size_t)snprintf(out + n, room - n, "\r\n");
    return status == SL_OK && n >= room ? sl_error_set(error, SL_ELIMIT, "AWS_SESSION_TOKEN is too long") : status;
}
