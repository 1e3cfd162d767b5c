/* Signs one request for sigv4_test.py: JSON on stdin, JSON on stdout. */
#include "sluice/aws.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *text(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

static sl_http_field *pairs(const json_t *object, const char *name, size_t *count) {
    const json_t *array = json_object_get(object, name);
    *count = json_array_size(array);
    sl_http_field *out = sl_calloc(*count + 1, sizeof *out);
    if (out == NULL)
        exit(1);
    for (size_t i = 0; i < *count; i++) {
        const json_t *pair = json_array_get(array, i);
        out[i] = (sl_http_field){json_string_value(json_array_get(pair, 0)), json_string_value(json_array_get(pair, 1))};
    }
    return out;
}

int main(void) {
    json_t *in = json_loadf(stdin, 0, NULL);
    if (in == NULL)
        return 2;
    sl_error error = {0};
    sl_aws_signer signer = {.service = text(in, "service"), .region = text(in, "region"),
                            .flags = (unsigned)json_integer_value(json_object_get(in, "flags"))};
    sl_aws_keys keys = {text(in, "key"), text(in, "secret"), text(in, "token"), INT64_MAX};
    sl_aws_request request = {.method = text(in, "method"), .host = text(in, "host"), .path = text(in, "path"),
                              .payload_hash = text(in, "payload_hash")};
    const char *time = text(in, "time");
    sl_http_field *query = pairs(in, "query", &request.query_count);
    sl_http_field *fields = pairs(in, "fields", &request.field_count);
    request.query = query;
    request.fields = fields;
    sl_aws_signed out = {0};
    if (!sl_time_parse(time, strlen(time), &request.time_us) ||
        sl_aws_sign(&signer, &keys, &request, &out, &error) != SL_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    json_t *added = json_object();
    for (size_t i = 0; i < out.field_count; i++)
        (void)json_object_set_new(added, out.fields[i].name, json_string(out.fields[i].value));
    json_t *reply = json_pack("{s:s, s:o, s:s%}", "target", out.target, "fields", added, "canonical",
                              (const char *)out.canonical.bytes, out.canonical.length);
    (void)json_dumpf(reply, stdout, 0);
    json_decref(reply);
    json_decref(in);
    sl_free(query);
    sl_free(fields);
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
    return 0;
}
