/* Prints where this process's AWS credentials come from, and asks STS with a signed request who they are:
 *
 *     aws_identity [--times N] [--expire]
 *
 * One line of JSON per time: source, region, access_key_id, seconds left, and the status and ARN that GetCallerIdentity
 * gave. With --expire the keys are declared expired before each further time. */
#include "sluice/aws.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

typedef struct job {
    uv_loop_t loop;
    sl_http_client *client;
    sl_aws_credentials *credentials;
    sl_aws_wait wait;
    sl_aws_signer signer;
    sl_aws_signed out;
    int times, code;
    bool expire;
    char line[512], id[200], region[64];
} job;

static int64_t now_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * SL_SECOND_US;
}

static void finish(job *j, int code) {
    j->code = code;
    sl_aws_credentials_destroy(j->credentials);
    sl_http_client_destroy(j->client);
}

static void answered(void *context, const sl_http_outcome *outcome) {
    job *j = context;
    if (outcome->status != SL_OK) {
        (void)fprintf(stderr, "%s\n", outcome->error->text);
        finish(j, 1);
        return;
    }
    const char *body = sl_buffer_cstr(outcome->body), *arn = strstr(body, "<Arn>");
    json_t *line = json_loads(j->line, 0, NULL);
    (void)json_object_set_new(line, "code", json_integer(outcome->code));
    (void)json_object_set_new(line, "arn", arn != NULL ? json_stringn(arn + 5, strcspn(arn + 5, "<")) : json_null());
    (void)json_dumpf(line, stdout, 0);
    (void)fputs("\n", stdout);
    (void)fflush(stdout);
    json_decref(line);
    if (--j->times == 0) {
        finish(j, outcome->code == 200 ? 0 : 1);
        return;
    }
    if (j->expire)
        sl_aws_credentials_expired(j->credentials, j->id);
    sl_aws_credentials_get(j->credentials, &j->wait);
}

static void given(void *context, sl_status status, const sl_aws_identity *identity, const sl_error *error) {
    static const char form[] = "Action=GetCallerIdentity&Version=2011-06-15";
    job *j = context;
    char hash[SL_AWS_HASH_TEXT], url[512];
    const char *endpoint = getenv("AWS_ENDPOINT_URL_STS");
    sl_error problem = {0};
    if (status != SL_OK || endpoint == NULL) {
        (void)fprintf(stderr, "%s\n", status != SL_OK ? error->text : "AWS_ENDPOINT_URL_STS isn't set");
        finish(j, 1);
        return;
    }
    json_t *line = json_pack("{s:s, s:s?, s:s, s:I}", "source", identity->source, "region", identity->region, "access_key_id",
                             identity->keys.access_key_id, "left_s",
                             identity->keys.expires_us == INT64_MAX ? (json_int_t)-1
                                                                    : (json_int_t)((identity->keys.expires_us - now_us()) / SL_SECOND_US));
    char *text = json_dumps(line, 0);
    (void)snprintf(j->line, sizeof j->line, "%s", text);
    free(text);
    json_decref(line);
    (void)snprintf(j->id, sizeof j->id, "%s", identity->keys.access_key_id);
    (void)snprintf(j->region, sizeof j->region, "%s", identity->region != NULL ? identity->region : "us-east-1");
    (void)snprintf(url, sizeof url, "%s/", endpoint);
    sl_aws_hash_text(form, sizeof form - 1, hash);
    sl_http_field fields[8] = {{"Content-Type", "application/x-www-form-urlencoded"}};
    sl_aws_request request = {.method = "POST", .host = strstr(endpoint, "://") + 3, .path = "/", .fields = fields,
                              .field_count = 1, .payload_hash = hash, .time_us = now_us()};
    j->signer.service = "sts";
    j->signer.region = j->region;
    j->signer.flags = SL_AWS_SERVICE;
    if (sl_aws_sign(&j->signer, &identity->keys, &request, &j->out, &problem) == SL_OK) {
        size_t count = 1;
        fields[count++] = (sl_http_field){"Host", request.host};
        for (size_t i = 0; i < j->out.field_count; i++)
            fields[count++] = j->out.fields[i];
        sl_http_call_options call = {.method = "POST", .url = url, .fields = fields, .field_count = count, .body = form,
                                     .body_length = sizeof form - 1};
        if (sl_http_client_start(j->client, &call, answered, j, NULL, &problem) == SL_OK)
            return;
    }
    (void)fprintf(stderr, "%s\n", problem.text);
    finish(j, 1);
}

int main(int count, char **arguments) {
    job j = {.times = 1};
    sl_error error = {0};
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--times") == 0 && i + 1 < count)
            j.times = atoi(arguments[++i]);
        else if (strcmp(arguments[i], "--expire") == 0)
            j.expire = true;
        else
            return 64;
    }
    j.wait = (sl_aws_wait){.done = given, .context = &j};
    if (uv_loop_init(&j.loop) != 0 ||
        sl_http_client_create(&j.loop, &(sl_http_client_options){0}, &j.client, &error) != SL_OK ||
        sl_aws_credentials_create(&j.loop, j.client, &(sl_aws_credentials_options){0}, &j.credentials, &error) != SL_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    sl_aws_credentials_get(j.credentials, &j.wait);
    (void)uv_run(&j.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&j.loop);
    sl_aws_signed_fini(&j.out);
    sl_aws_signer_fini(&j.signer);
    return j.code;
}
