/* The whole chain against a double of instance metadata, container endpoint and STS on the same loop, which checks
 * what it is sent as the real ones do, signatures included. */
#include "sluice/aws.h"
#include "sluice/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define PATIENCE_TURNS 200000u
#define START (INT64_C(1440938160) * SL_SECOND_US) /* 2015-08-30T12:36:00Z */
#define HOUR (60 * SL_MINUTE_US)

enum { VARIABLES_MAX = 12 };

typedef struct fixture {
    uv_loop_t loop;
    sl_http_client *client;
    sl_http_server *server;
    sl_aws_credentials *credentials;
    sl_aws_credentials_options options;
    const char *names[VARIABLES_MAX], *values[VARIABLES_MAX];
    size_t count;
    char home[40], url[64], container[80], token_file[64];
    int64_t now, life_us;
    /* The double: */
    unsigned tokens, keys, sts, regions, given; /* Calls so far; the number in the last keys. */
    int refuse;                                /* Answer that code to all, so often until now: */
    unsigned refused;
    bool silent, garbage, same;                /* No answer; answers of nonsense; the same keys again and again. */
    sl_http_exchange *unanswered;
    const char *role_seen;
    char sts_body[512];
} fixture;

typedef struct result {
    unsigned told;
    sl_status status;
    char id[40], token[40], region[40], source[160], error[512];
    int64_t expires_us;
    sl_aws_credentials *destroy;
} result;

/* ---- The double ---- */

static void reply(const sl_http_request *request, int code, const char *text) {
    sl_http_reply(request->exchange, code, "text/plain", "", text, strlen(text));
}

static void document(fixture *f, char *out, size_t size, bool xml) {
    char expires[40];
    (void)sl_time_format(f->now + f->life_us, expires);
    f->given += !f->same;
    (void)snprintf(out, size,
                   xml ? "<R><X><Credentials><AccessKeyId>ASIA%u</AccessKeyId><SecretAccessKey>secret%u</SecretAccessKey>"
                         "<SessionToken>token%u</SessionToken><Expiration>%s</Expiration></Credentials></X></R>"
                       : "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA%u\",\"SecretAccessKey\":\"secret%u\",\"Token\":\"token%u\","
                         "\"Expiration\":\"%s\"}",
                   f->given, f->given, f->given, expires);
}

static void metadata(fixture *f, const sl_http_request *request) {
    char text[512];
    const char *token = sl_http_header(request->exchange, "x-aws-ec2-metadata-token");
    if (strcmp(request->path, "/latest/api/token") == 0) {
        bool ok = strcmp(request->method, "PUT") == 0 &&
                  strcmp(sl_http_header(request->exchange, "x-aws-ec2-metadata-token-ttl-seconds"), "21600") == 0;
        f->tokens++;
        reply(request, ok ? 200 : 400, "session==");
    } else if (strcmp(token, "session==") != 0) {
        reply(request, 401, "");
    } else if (strcmp(request->path, "/latest/meta-data/placement/region") == 0) {
        f->regions++;
        reply(request, 200, "ap-south-1");
    } else if (strcmp(request->path, "/latest/meta-data/iam/security-credentials/") == 0) {
        reply(request, f->role_seen != NULL ? 200 : 404, f->role_seen != NULL ? f->role_seen : "");
    } else if (strcmp(request->path, "/latest/meta-data/iam/security-credentials/the-role") == 0) {
        f->keys++;
        document(f, text, sizeof text, false);
        reply(request, 200, text);
    } else {
        reply(request, 404, "");
    }
}

static void container(fixture *f, const sl_http_request *request) {
    char text[512];
    f->keys++;
    if (strcmp(sl_http_header(request->exchange, "authorization"), "Bearer of file") != 0) {
        reply(request, 401, "");
        return;
    }
    document(f, text, sizeof text, false);
    reply(request, 200, text);
}

/** Signed by the keys given out last, or by the static ones, for exactly this request? */
static bool signature_holds(const fixture *f, const sl_http_request *request) {
    char secret[32], id[32], token[32], hash[SL_AWS_HASH_TEXT];
    const char *sent_token = sl_http_header(request->exchange, "x-amz-security-token");
    const char *authorization = sl_http_header(request->exchange, "authorization");
    (void)snprintf(id, sizeof id, "ASIA%u", f->given);
    (void)snprintf(secret, sizeof secret, "secret%u", f->given);
    (void)snprintf(token, sizeof token, "token%u", f->given);
    sl_aws_keys keys = {"STATIC", "static", NULL, INT64_MAX};
    if (sent_token[0] != 0)
        keys = (sl_aws_keys){id, secret, token, INT64_MAX};
    sl_http_field type = {"content-type", "application/x-www-form-urlencoded; charset=utf-8"};
    sl_aws_hash_text(request->body, request->length, hash);
    sl_aws_request signing = {.method = "POST", .host = sl_http_header(request->exchange, "host"), .path = "/",
                              .fields = &type, .field_count = 1, .payload_hash = hash, .time_us = f->now};
    sl_aws_signer signer = {.service = "sts", .region = "eu-west-1", .flags = SL_AWS_SERVICE};
    sl_aws_signed out = {0};
    bool holds = sl_aws_sign(&signer, &keys, &signing, &out, NULL) == SL_OK && strcmp(out.fields[1].value, authorization) == 0 &&
                 (keys.session_token == NULL || strcmp(sent_token, keys.session_token) == 0) &&
                 strcmp(sl_http_header(request->exchange, "content-type"), type.value) == 0;
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
    return holds;
}

static void security_token_service(fixture *f, const sl_http_request *request) {
    static const char web[] = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fweb&"
                              "RoleSessionName=sluice&WebIdentityToken=";
    char text[512];
    f->sts++;
    (void)snprintf(f->sts_body, sizeof f->sts_body, "%.*s", (int)request->length, (const char *)request->body);
    bool ok = strncmp(f->sts_body, web, sizeof web - 1) == 0
                  ? strcmp(f->sts_body + sizeof web - 1, "jwt-1.a%2Bb") == 0 ||
                        strcmp(f->sts_body + sizeof web - 1, "jwt-2") == 0
                  : signature_holds(f, request);
    document(f, text, sizeof text, true);
    reply(request, ok ? 200 : 403,
          ok ? text : "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>");
}

static void handle(void *context, const sl_http_request *request) {
    fixture *f = context;
    if (f->silent)
        f->unanswered = request->exchange;
    else if (f->refuse != 0 && ++f->refused > 0)
        reply(request, f->refuse, "");
    else if (f->garbage)
        reply(request, 200, "\x01<html>{");
    else if (strcmp(request->path, "/container") == 0)
        container(f, request);
    else if (strcmp(request->path, "/") == 0)
        security_token_service(f, request);
    else
        metadata(f, request);
}

/* ---- Around it ---- */

static const char *variable(void *context, const char *name) {
    const fixture *f = context;
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->names[i], name) == 0)
            return f->values[i];
    return NULL;
}

static int64_t now(void *context) {
    return ((const fixture *)context)->now;
}

static void set(fixture *f, const char *name, const char *value) {
    assert_true(f->count < VARIABLES_MAX);
    f->names[f->count] = name;
    f->values[f->count++] = value;
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void start(fixture *f) {
    sl_error error = {0};
    memset(f, 0, sizeof *f);
    f->now = START;
    f->life_us = HOUR;
    f->role_seen = "the-role\n";
    assert_int_equal(uv_loop_init(&f->loop), 0);
    sl_http_server_options server = {.listen = "127.0.0.1:0", .http = {.body_bytes_max = 4096, .handler = handle, .context = f}};
    assert_int_equal(sl_http_server_create(&f->loop, &server, &f->server, &error), SL_OK);
    assert_int_equal(sl_http_client_create(&f->loop, &(sl_http_client_options){0}, &f->client, &error), SL_OK);
    unsigned port = sl_http_server_port(f->server);
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u", port);
    (void)snprintf(f->container, sizeof f->container, "http://127.0.0.1:%u/container", port);
    (void)snprintf(f->home, sizeof f->home, "/tmp/aws_home_XXXXXX");
    assert_non_null(mkdtemp(f->home));
    (void)snprintf(f->token_file, sizeof f->token_file, "%s/token", f->home);
    set(f, "HOME", f->home);
    set(f, "AWS_EC2_METADATA_SERVICE_ENDPOINT", f->url);
    set(f, "AWS_ENDPOINT_URL_STS", f->url);
    f->options = (sl_aws_credentials_options){.variable = variable, .now_us = now, .context = f};
}

static void open_credentials(fixture *f) {
    sl_error error = {0};
    assert_int_equal(sl_aws_credentials_create(&f->loop, f->client, &f->options, &f->credentials, &error), SL_OK);
}

static void on_closed(void *context) {
    (void)context;
}

static void stop(fixture *f) {
    sl_aws_credentials_destroy(f->credentials);
    if (f->unanswered != NULL)
        sl_http_reply(f->unanswered, 503, "text/plain", "", "", 0);
    sl_http_client_destroy(f->client);
    sl_http_server_close(f->server, on_closed, NULL);
    sl_http_server_close(f->server, on_closed, NULL);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    (void)unlink(f->token_file);
    (void)rmdir(f->home);
}

static void pump(fixture *f) {
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    struct timespec pause = {0, 100000};
    (void)nanosleep(&pause, NULL);
}

static void told(void *context, sl_status status, const sl_aws_identity *identity, const sl_error *error) {
    result *r = context;
    r->told++;
    r->status = status;
    assert_int_equal(identity != NULL, status == SL_OK);
    (void)snprintf(r->error, sizeof r->error, "%s", error->text);
    if (identity != NULL) {
        (void)snprintf(r->id, sizeof r->id, "%s", identity->keys.access_key_id);
        (void)snprintf(r->token, sizeof r->token, "%s", identity->keys.session_token != NULL ? identity->keys.session_token : "");
        (void)snprintf(r->region, sizeof r->region, "%s", identity->region != NULL ? identity->region : "");
        (void)snprintf(r->source, sizeof r->source, "%s", identity->source);
        r->expires_us = identity->keys.expires_us;
    }
    sl_aws_credentials_destroy(r->destroy);
}

static void await(fixture *f, const result *r) {
    for (unsigned i = 0; r->told == 0; i++) {
        assert_true(i < PATIENCE_TURNS);
        pump(f);
    }
}

static result get(fixture *f) {
    result r = {0};
    sl_aws_wait wait = {.done = told, .context = &r};
    sl_aws_credentials_get(f->credentials, &wait);
    assert_int_equal(r.told, 0);
    assert_true(wait.waiting);
    await(f, &r);
    assert_false(wait.waiting);
    return r;
}

static void set_keys(fixture *f) {
    set(f, "AWS_ACCESS_KEY_ID", "STATIC");
    set(f, "AWS_SECRET_ACCESS_KEY", "static");
    set(f, "AWS_REGION", "eu-west-1");
}

/* ---- Each place ---- */

static void environment_is_asked_without_network(void **state) {
    (void)state;
    fixture f;
    start(&f);
    set_keys(&f);
    open_credentials(&f);
    assert_null(sl_aws_credentials_peek(f.credentials));
    result r = get(&f);
    assert_int_equal(r.status, SL_OK);
    assert_string_equal(r.id, "STATIC");
    assert_string_equal(r.region, "eu-west-1");
    assert_string_equal(r.source, "environment");
    assert_true(r.expires_us == INT64_MAX);
    const sl_aws_identity *identity = sl_aws_credentials_peek(f.credentials);
    assert_non_null(identity);
    assert_string_equal(identity->keys.secret_access_key, "static");
    stop(&f);
}

static void instance_gives_keys_and_region(void **state) {
    (void)state;
    fixture f;
    start(&f);
    open_credentials(&f);
    result r = get(&f);
    if (r.status != SL_OK)
        fail_msg("%s", r.error);
    assert_string_equal(r.id, "ASIA1");
    assert_string_equal(r.token, "token1");
    assert_string_equal(r.region, "ap-south-1");
    assert_string_equal(r.source, "instance metadata, role the-role");
    assert_true(r.expires_us == START + HOUR);
    assert_int_equal(f.tokens, 1);
    assert_int_equal(f.regions, 1);
    r = get(&f); /* Kept. */
    assert_string_equal(r.id, "ASIA1");
    assert_int_equal(f.tokens, 1);
    stop(&f);
}

static void instance_without_a_role_says_so(void **state) {
    (void)state;
    fixture f;
    start(&f);
    f.role_seen = NULL;
    open_credentials(&f);
    result r = get(&f);
    assert_int_equal(r.status, SL_EDENIED);
    assert_string_equal(r.error, "AWS credentials: none in the environment, in a profile or from a container: instance metadata: no role is attached to this instance");
    stop(&f);
}

static void container_gets_the_token_of_its_file_each_time(void **state) {
    (void)state;
    fixture f;
    start(&f);
    set(&f, "AWS_CONTAINER_CREDENTIALS_FULL_URI", f.container);
    set(&f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f.token_file);
    set(&f, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this");
    set(&f, "AWS_DEFAULT_REGION", "us-east-2");
    open_credentials(&f);
    result r = get(&f);
    assert_int_equal(r.status, SL_EDENIED);
    assert_non_null(strstr(r.error, f.token_file));
    write_text(f.token_file, "Bearer of old file\n");
    r = get(&f);
    assert_string_equal(r.error, "AWS credentials: container: answered 401 to the question for keys");
    write_text(f.token_file, "Bearer of file\n");
    r = get(&f);
    assert_int_equal(r.status, SL_OK);
    assert_string_equal(r.source, "container");
    assert_string_equal(r.region, "us-east-2");
    stop(&f);
}

static void web_identity_token_is_read_anew_each_time(void **state) {
    (void)state;
    fixture f;
    start(&f);
    write_text(f.token_file, "jwt-1.a+b\n");
    set(&f, "AWS_WEB_IDENTITY_TOKEN_FILE", f.token_file);
    set(&f, "AWS_ROLE_ARN", "arn:aws:iam::1:role/web");
    open_credentials(&f);
    result r = get(&f);
    if (r.status != SL_OK)
        fail_msg("%s", r.error);
    assert_string_equal(r.id, "ASIA1");
    assert_string_equal(r.source, "web identity, role arn:aws:iam::1:role/web");
    write_text(f.token_file, "jwt-2");
    sl_aws_credentials_expired(f.credentials, "ASIA1");
    assert_null(sl_aws_credentials_peek(f.credentials));
    r = get(&f);
    assert_string_equal(r.id, "ASIA2");
    write_text(f.token_file, "stale");
    sl_aws_credentials_expired(f.credentials, "ASIA1"); /* Long gone. */
    assert_non_null(sl_aws_credentials_peek(f.credentials));
    sl_aws_credentials_expired(f.credentials, "ASIA2");
    r = get(&f);
    assert_int_equal(r.status, SL_EDENIED);
    assert_string_equal(r.error, "AWS credentials: web identity: role arn:aws:iam::1:role/web: STS answered 403 AccessDenied: no");
    stop(&f);
}

static void roles_are_assumed_with_signed_requests_one_after_the_other(void **state) {
    (void)state;
    fixture f;
    start(&f);
    set_keys(&f);
    write_text(f.token_file, "[profile a]\nrole_arn = arn:a\nsource_profile = b\nexternal_id = x y\n"
                             "[profile b]\nrole_arn = arn:b\ncredential_source = Environment\nduration_seconds = 901\n");
    set(&f, "AWS_CONFIG_FILE", f.token_file);
    f.options.profile = "a";
    f.options.role_arn = "arn:last";
    f.options.role_session_name = "me";
    open_credentials(&f);
    result r = get(&f);
    if (r.status != SL_OK)
        fail_msg("%s", r.error);
    assert_int_equal(f.sts, 3);
    assert_string_equal(r.id, "ASIA3");
    assert_string_equal(r.source, "environment, role arn:last");
    assert_string_equal(f.sts_body, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Alast&RoleSessionName=me");
    stop(&f);
}

/* ---- Time ---- */

static void keys_are_fetched_anew_before_they_end(void **state) {
    (void)state;
    fixture f;
    start(&f);
    f.life_us = SL_SECOND_US; /* Of the fixture's clock, which stands still; the timers are real. */
    f.options.region = "r";
    open_credentials(&f);
    result r = {0};
    sl_aws_wait wait = {.done = told, .context = &r};
    sl_aws_credentials_get(f.credentials, &wait);
    await(&f, &r);
    assert_int_equal(r.status, SL_EDENIED); /* One second is less than the margin. */
    f.life_us = 3 * SL_SECOND_US;
    r = get(&f);
    assert_int_equal(r.status, SL_OK);
    assert_string_equal(r.region, "r");
    assert_int_equal(f.regions, 0);
    unsigned before = f.keys;
    for (unsigned i = 0; f.keys < before + 2; i++) { /* Nobody asks. */
        assert_true(i < PATIENCE_TURNS);
        assert_non_null(sl_aws_credentials_peek(f.credentials));
        pump(&f);
    }
    stop(&f);
}

static void failed_refresh_leaves_the_old_keys_until_they_end(void **state) {
    (void)state;
    fixture f;
    start(&f);
    f.life_us = 3 * SL_SECOND_US;
    open_credentials(&f);
    result r = get(&f);
    assert_string_equal(r.id, "ASIA1");
    f.refuse = 500;
    for (unsigned i = 0; f.refused < 2; i++) { /* It is tried again. */
        assert_true(i < PATIENCE_TURNS);
        assert_non_null(sl_aws_credentials_peek(f.credentials));
        pump(&f);
    }
    f.now += 2 * SL_SECOND_US; /* Less than the margin is left. */
    assert_null(sl_aws_credentials_peek(f.credentials));
    r = get(&f);
    assert_int_equal(r.status, SL_EIO);
    f.refuse = 0;
    f.now += HOUR;
    r = get(&f);
    assert_string_equal(r.id, "ASIA2");
    stop(&f);
}

static void expired_keys_that_come_again_are_not_asked_for_at_once(void **state) {
    (void)state;
    fixture f;
    start(&f);
    f.same = true;
    open_credentials(&f);
    result r = get(&f);
    assert_string_equal(r.id, "ASIA0");
    sl_aws_credentials_expired(f.credentials, r.id);
    r = get(&f);
    assert_string_equal(r.id, "ASIA0");
    assert_int_equal(f.keys, 2);
    sl_aws_credentials_expired(f.credentials, r.id);
    uint64_t begin = uv_hrtime();
    r = get(&f);
    assert_int_equal(f.keys, 3);
    assert_true(uv_hrtime() - begin > 500000000u);
    stop(&f);
}

/* ---- Those who wait ---- */

static void all_who_wait_share_one_fetch_and_may_leave(void **state) {
    (void)state;
    fixture f;
    result r[4] = {{0}};
    sl_aws_wait waits[4];
    start(&f);
    open_credentials(&f);
    for (int i = 0; i < 4; i++) {
        waits[i] = (sl_aws_wait){.done = told, .context = &r[i]};
        sl_aws_credentials_get(f.credentials, &waits[i]);
    }
    sl_aws_credentials_cancel(f.credentials, &waits[1]);
    sl_aws_credentials_cancel(f.credentials, &waits[1]);
    await(&f, &r[3]);
    assert_int_equal(r[0].told + r[2].told + r[3].told, 3);
    assert_int_equal(r[1].told, 0);
    assert_int_equal(f.keys, 1);
    stop(&f);
}

static void destroy_in_the_middle_tells_nobody(void **state) {
    (void)state;
    fixture f;
    result r[2] = {{0}};
    sl_aws_wait waits[2] = {{.done = told, .context = &r[0]}, {.done = told, .context = &r[1]}};
    start(&f);
    f.silent = true;
    open_credentials(&f);
    sl_aws_credentials_get(f.credentials, &waits[0]);
    for (int i = 0; i < 200; i++)
        pump(&f);
    sl_aws_credentials_destroy(f.credentials);
    f.silent = false;
    open_credentials(&f);
    r[0].destroy = f.credentials; /* From inside done. */
    sl_aws_credentials_get(f.credentials, &waits[0]);
    sl_aws_credentials_get(f.credentials, &waits[1]);
    await(&f, &r[0]);
    f.credentials = NULL;
    for (int i = 0; i < 200; i++)
        pump(&f);
    assert_int_equal(r[0].told, 1);
    assert_int_equal(r[1].told, 0);
    assert_false(waits[1].waiting);
    stop(&f);
}

static void answers_of_nonsense_and_refusals_are_failures(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture f;
        start(&f);
        f.garbage = i == 0;
        f.refuse = i == 0 ? 0 : i == 1 ? 403 : 503;
        open_credentials(&f);
        result r = get(&f);
        assert_int_equal(r.status, i == 1 ? SL_EDENIED : SL_EIO);
        stop(&f);
        start(&f);
        f.garbage = i == 0;
        f.refuse = i == 0 ? 0 : i == 1 ? 400 : 500;
        set_keys(&f);
        f.options.role_arn = "arn:r";
        open_credentials(&f);
        r = get(&f);
        assert_int_equal(r.status, i == 1 ? SL_EDENIED : SL_EIO);
        assert_non_null(strstr(r.error, "environment: role arn:r"));
        stop(&f);
    }
}

static void nothing_anywhere_names_all_places(void **state) {
    (void)state;
    fixture f;
    start(&f);
    set(&f, "AWS_EC2_METADATA_SERVICE_ENDPOINT", f.url);
    f.names[1] = "unused"; /* The first of the two. */
    f.values[f.count - 1] = "http://127.0.0.1:1";
    open_credentials(&f);
    result r = get(&f);
    assert_int_equal(r.status, SL_EIO);
    assert_string_equal(r.error, "AWS credentials: none in the environment, in a profile or from a container: instance metadata: "
                                 "connect to 127.0.0.1:1: Connection refused");
    stop(&f);
}

static void every_failed_allocation_is_told_and_passes(void **state) {
    (void)state;
    unsigned failed = 0;
    for (uint64_t n = 1;; n++) {
        fixture f;
        sl_error error = {0};
        result r = {0};
        sl_aws_wait wait = {.done = told, .context = &r};
        start(&f);
        set_keys(&f);
        f.options.role_arn = "arn:r";
        f.options.external_id = "x";
        sl_memory_fail_at(n);
        sl_status status = sl_aws_credentials_create(&f.loop, f.client, &f.options, &f.credentials, &error);
        if (status == SL_OK) {
            sl_aws_credentials_get(f.credentials, &wait);
            await(&f, &r);
            status = r.status;
        }
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        if (f.credentials != NULL && status != SL_OK)
            assert_true(r.error[0] != 0);
        assert_true(!all || status == SL_OK);
        failed += status != SL_OK;
        stop(&f);
        if (all)
            break;
    }
    assert_true(failed > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment_is_asked_without_network),
        cmocka_unit_test(instance_gives_keys_and_region),
        cmocka_unit_test(instance_without_a_role_says_so),
        cmocka_unit_test(container_gets_the_token_of_its_file_each_time),
        cmocka_unit_test(web_identity_token_is_read_anew_each_time),
        cmocka_unit_test(roles_are_assumed_with_signed_requests_one_after_the_other),
        cmocka_unit_test(keys_are_fetched_anew_before_they_end),
        cmocka_unit_test(failed_refresh_leaves_the_old_keys_until_they_end),
        cmocka_unit_test(expired_keys_that_come_again_are_not_asked_for_at_once),
        cmocka_unit_test(all_who_wait_share_one_fetch_and_may_leave),
        cmocka_unit_test(destroy_in_the_middle_tells_nobody),
        cmocka_unit_test(answers_of_nonsense_and_refusals_are_failures),
        cmocka_unit_test(nothing_anywhere_names_all_places),
        cmocka_unit_test(every_failed_allocation_is_told_and_passes),
    };
    (void)unsetenv("http_proxy"); /* STS is asked through it otherwise. */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
