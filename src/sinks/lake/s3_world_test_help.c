#include "s3_world_test_help.h"

#include "sluice/io_files.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Credentials that the tests decide on, in place of the real ones ---- */

struct sl_aws_credentials credentials;

const sl_aws_identity *sl_aws_credentials_peek(sl_aws_credentials *c) {
    return c->valid ? &c->identity : NULL;
}

static void on_fetched(uv_timer_t *timer) {
    sl_aws_credentials *c = timer->data;
    sl_error error = {0};
    c->fetched++;
    if (!c->refuse) {
        c->valid = true;
        (void)snprintf(c->key, sizeof c->key, "KEY%u", c->generation);
        c->identity = (sl_aws_identity){.keys = {c->key, "secret", "token", INT64_MAX},
                                        .region = "us-east-1",
                                        .source = "test"};
    }
    while (c->waiting != NULL) {
        sl_aws_wait *w = c->waiting;
        c->waiting = w->next;
        w->waiting = false;
        if (c->refuse)
            w->done(w->context, sl_error_set(&error, SL_EDENIED, "there are none"), NULL,
                    &error);
        else
            w->done(w->context, SL_OK, &c->identity, &error);
    }
}

void sl_aws_credentials_get(sl_aws_credentials *c, sl_aws_wait *wait) {
    wait->next = c->waiting;
    wait->waiting = true;
    c->waiting = wait;
    (void)uv_timer_start(&c->timer, on_fetched, 1, 0);
}

void sl_aws_credentials_cancel(sl_aws_credentials *c, sl_aws_wait *wait) {
    sl_aws_wait **at = &c->waiting;
    while (*at != NULL && *at != wait)
        at = &(*at)->next;
    if (*at != NULL)
        *at = wait->next;
}

void sl_aws_credentials_expired(sl_aws_credentials *c, const char *access_key_id) {
    if (c->valid && strcmp(access_key_id, c->key) == 0) {
        c->valid = false;
        c->generation++;
    }
}

/* ---- Clock ---- */

int64_t wall_us(void *context) {
    (void)context;
    return (int64_t)time(NULL) * SL_SECOND_US;
}

int64_t monotonic_us(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000;
}

/* ---- One test's world ---- */

static fake server;
uint8_t *content;

/* ---- One test's world ---- */

void open_world_with(world *w, sl_object_store_options options) {
    *w = (world){.fake = &server};
    w->loop = sl_waiting_loop_create();
    assert_non_null(w->loop);
    fake_start(w->fake, w->loop);
    credentials = (struct sl_aws_credentials){0};
    (void)uv_timer_init(w->loop, &credentials.timer);
    credentials.timer.data = &credentials;
    const sl_http_client_options http = {0};
    sl_error error = {0};
    assert_int_equal(sl_http_client_create(w->loop, &http, &w->http, &error), SL_OK);
    (void)snprintf(w->endpoint, sizeof w->endpoint, "http://127.0.0.1:%d", w->fake->port);
    w->metrics = sl_metrics_create();
    options.loop = w->loop;
    options.http = w->http;
    options.credentials = &credentials;
    options.files = sl_files_system();
    options.clock = (sl_clock){wall_us, monotonic_us, NULL};
    options.metrics = w->metrics;
    options.endpoint = options.endpoint != NULL ? options.endpoint : w->endpoint;
    options.path_style = true;
    options.backoff_ms = 2;
    options.backoff_ms_max = 10;
    options.single_bytes_max = MIB;
    options.part_bytes = MIB;
    options.stall_timeout_ms =
        options.stall_timeout_ms != 0 ? options.stall_timeout_ms : 20000;
    assert_int_equal(sl_object_store_create(&options, &w->store, &error), SL_OK);
    (void)snprintf(w->root, sizeof w->root, "/tmp/sluice-s3-XXXXXX");
    assert_non_null(mkdtemp(w->root));
}

void open_world(world *w) { open_world_with(w, (sl_object_store_options){0}); }

void close_world(world *w) {
    sl_object_store_destroy(w->store);
    sl_http_client_destroy(w->http);
    fake_stop(w->fake);
    uv_close((uv_handle_t *)&credentials.timer, NULL);
    sl_waiting_loop_destroy(w->loop);
    sl_metrics_destroy(w->metrics);
    sl_buffer_fini(&w->text);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", w->root);
    assert_int_equal(system(command), 0);
}

void on_done(void *context, sl_status status, const sl_error *error) {
    world *w = context;
    w->done = true;
    w->calls++;
    w->status = status;
    w->error = *error;
}

sl_status run(world *w) {
    assert_false(w->done); /* Never from inside what began. */
    assert_true(sl_waiting_loop_run(w->loop, &w->done));
    w->done = false;
    return w->status;
}

sl_status put_bytes(world *w, const char *key, const void *bytes, size_t length) {
    const sl_object_put put = {
        .bucket = "bucket", .key = key, .bytes = bytes, .length = length};
    assert_int_equal(sl_object_store_put(w->store, &put, on_done, w, NULL, &w->error),
                     SL_OK);
    return run(w);
}

const char *hash_text(const void *bytes, size_t length) {
    static char text[33];
    sl_hash128_text(sl_hash128_of(bytes, length), text);
    return text;
}

void assert_object(world *w, const char *path, const void *bytes, size_t length) {
    const fake_object *o = fake_find(w->fake, path);
    assert_non_null(o);
    assert_int_equal(o->length, length);
    assert_memory_equal(o->bytes, bytes, length);
    assert_string_equal(o->hash, hash_text(bytes, length));
    assert_int_equal(w->fake->upload_count, 0);
}

int make_content(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    content = malloc(CONTENT_BYTES + 16);
    uint32_t x = 1;
    for (size_t i = 0; i < CONTENT_BYTES + 16; i++) {
        x = x * 1664525 + 1013904223;
        content[i] = (uint8_t)(x >> 24);
    }
    return 0;
}

int free_content(void **state) {
    (void)state;
    free(content);
    return 0;
}
