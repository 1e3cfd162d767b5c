/* The object store and the lake against an S3 in the same process that does wrong on
 * order (s3_test_help.h). */
#include "s3_private.h"
#include "s3_test_help.h"

#include "sluice/io_files.h"
#include "sluice/target.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- Credentials that the tests decide on, in place of the real ones ---- */

struct sl_aws_credentials {
    uv_timer_t timer;
    sl_aws_wait *waiting;
    char key[32];
    unsigned generation, fetched;
    bool valid, refuse;
    sl_aws_identity identity;
};

static struct sl_aws_credentials credentials;

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

static int64_t wall_us(void *context) {
    (void)context;
    return (int64_t)time(NULL) * SL_SECOND_US;
}

static int64_t monotonic_us(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000;
}

/* ---- One test's world ---- */

enum { MIB = 1 << 20 };

typedef struct world {
    uv_loop_t *loop;
    fake *fake;
    sl_http_client *http;
    sl_object_store *store;
    sl_metrics *metrics;
    char endpoint[64], root[64];
    bool done;
    sl_status status;
    sl_error error;
    sl_buffer text;
    unsigned calls;
} world;

static fake server;
static uint8_t *content; /* 5 MiB of noise. */
enum { CONTENT_BYTES = 5 * MIB };

static void open_world_with(world *w, sl_object_store_options options) {
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

static void open_world(world *w) { open_world_with(w, (sl_object_store_options){0}); }

static void close_world(world *w) {
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

static void on_done(void *context, sl_status status, const sl_error *error) {
    world *w = context;
    w->done = true;
    w->calls++;
    w->status = status;
    w->error = *error;
}

static sl_status run(world *w) {
    assert_false(w->done); /* Never from inside what began. */
    assert_true(sl_waiting_loop_run(w->loop, &w->done));
    w->done = false;
    return w->status;
}

static sl_status put_bytes(world *w, const char *key, const void *bytes, size_t length) {
    const sl_object_put put = {
        .bucket = "bucket", .key = key, .bytes = bytes, .length = length};
    assert_int_equal(sl_object_store_put(w->store, &put, on_done, w, NULL, &w->error),
                     SL_OK);
    return run(w);
}

static const char *hash_text(const void *bytes, size_t length) {
    static char text[33];
    sl_hash128_text(sl_hash128_of(bytes, length), text);
    return text;
}

static void assert_object(world *w, const char *path, const void *bytes, size_t length) {
    const fake_object *o = fake_find(w->fake, path);
    assert_non_null(o);
    assert_int_equal(o->length, length);
    assert_memory_equal(o->bytes, bytes, length);
    assert_string_equal(o->hash, hash_text(bytes, length));
    assert_int_equal(w->fake->upload_count, 0);
}

/* Puts 100 bytes and 2.5 MiB, each under the fault, and finds each there once. */
static void both_arrive(fake_fault small, fake_fault large) {
    world w;
    open_world(&w);
    fake_fail(w.fake, small);
    assert_int_equal(put_bytes(&w, "small", content, 100), SL_OK);
    assert_object(&w, "/bucket/small", content, 100);
    assert_int_equal(w.fake->faults[0].times, 0);
    fake_fail(w.fake, large);
    assert_int_equal(put_bytes(&w, "large", content, 5 * MIB / 2), SL_OK);
    assert_object(&w, "/bucket/large", content, 5 * MIB / 2);
    assert_int_equal(w.fake->faults[1].times, 0);
    assert_int_equal(w.fake->object_count, 2);
    close_world(&w);
}

/* ---- Putting ---- */

static void small_objects_go_in_one_request(void **state) {
    (void)state;
    world w;
    static const sl_http_field tags[] = {{"team", "a b"}, {"cost&centre", "1"}};
    open_world_with(&w, (sl_object_store_options){.sse = SL_OBJECT_SSE_KMS,
                                                  .kms_key_id = "alias/k",
                                                  .storage_class = "STANDARD_IA",
                                                  .tags = tags,
                                                  .tag_count = 2});
    assert_int_equal(put_bytes(&w, "day=1/a b+c=d/\xc3\xa9~.parquet", "content", 7),
                     SL_OK);
    assert_object(&w, "/bucket/day%3D1/a%20b%2Bc%3Dd/%C3%A9~.parquet", "content", 7);
    assert_int_equal(w.fake->log_count, 1);
    const char *head = w.fake->last_head;
    assert_non_null(strstr(head, "if-none-match: *\r\n"));
    assert_non_null(strstr(head, "x-amz-server-side-encryption: aws:kms\r\n"));
    assert_non_null(
        strstr(head, "x-amz-server-side-encryption-aws-kms-key-id: alias/k\r\n"));
    assert_non_null(strstr(head, "x-amz-storage-class: STANDARD_IA\r\n"));
    assert_non_null(strstr(head, "x-amz-tagging: team=a%20b&cost%26centre=1\r\n"));
    assert_int_equal(put_bytes(&w, "empty", "", 0), SL_OK);
    assert_object(&w, "/bucket/empty", "", 0);
    close_world(&w);
}

static void large_objects_go_in_parts_side_by_side(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_fail(w.fake,
              (fake_fault){"PUT", "partNumber", 0, 99, FAKE_DELAY, 20, NULL, NULL});
    assert_int_equal(put_bytes(&w, "large", content, CONTENT_BYTES - 1), SL_OK);
    assert_object(&w, "/bucket/large", content, CONTENT_BYTES - 1);
    assert_int_equal(fake_count(w.fake, "PUT", "partNumber="), 5);
    assert_int_equal(w.fake->at_once_max, 4);
    assert_non_null(strstr(w.fake->last_head, "if-none-match: *\r\n"));
    close_world(&w);
}

static void ten_thousand_parts_always_suffice(void **state) {
    (void)state;
    /* The limit of parts is asked for by the size alone: 5 TiB in parts of 8 MiB would be
     * 655,360. */
    world w;
    open_world(&w);
    sl_files files = *sl_files_system();
    const sl_object_put put = {.bucket = "bucket",
                               .key = "k",
                               .bytes = content,
                               .length = (UINT64_C(5) << 40) + 1};
    (void)files;
    assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                     SL_EINVAL);
    close_world(&w);
}

static void same_object_that_is_there_is_a_success(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_add(w.fake, "/bucket/small", content, 100, hash_text(content, 100));
    assert_int_equal(put_bytes(&w, "small", content, 100), SL_OK);
    assert_int_equal(fake_count(w.fake, "HEAD", "small"), 1);
    fake_add(w.fake, "/bucket/large", content, 2 * MIB, hash_text(content, 2 * MIB));
    assert_int_equal(put_bytes(&w, "large", content, 2 * MIB), SL_OK);
    assert_int_equal(fake_count(w.fake, "POST", "large"), 0);
    close_world(&w);
}

static void other_object_that_is_there_is_a_conflict(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_add(w.fake, "/bucket/hash", content, 100, hash_text(content, 99));
    assert_int_equal(put_bytes(&w, "hash", content, 100), SL_ECONFLICT);
    assert_non_null(strstr(w.error.text, "s3://bucket/hash"));
    assert_non_null(strstr(w.error.text, "other content"));
    fake_add(w.fake, "/bucket/length", content, 99, hash_text(content, 100));
    assert_int_equal(put_bytes(&w, "length", content, 100), SL_ECONFLICT);
    fake_add(w.fake, "/bucket/foreign", content, 100, "");
    assert_int_equal(put_bytes(&w, "foreign", content, 100), SL_ECONFLICT);
    assert_non_null(strstr(w.error.text, "none of ours"));
    /* Metadata may be copied to other bytes: the server's checksum tells. */
    fake_add(w.fake, "/bucket/crc", content + 1, 100, hash_text(content, 100));
    assert_int_equal(put_bytes(&w, "crc", content, 100), SL_ECONFLICT);
    fake_add(w.fake, "/bucket/large", content + 1, 2 * MIB,
             hash_text(content + 1, 2 * MIB));
    assert_int_equal(put_bytes(&w, "large", content, 2 * MIB), SL_ECONFLICT);
    assert_int_equal(w.fake->upload_count, 0);
    close_world(&w);
}

/* Another daemon, or an earlier try of ours, was quicker: it appears between our looks.
 */
static void object_that_appears_while_parts_are_sent_is_compared(void **state) {
    (void)state;
    for (int same = 0; same < 2; same++) {
        world w;
        open_world(&w);
        const sl_object_put put = {
            .bucket = "bucket", .key = "large", .bytes = content, .length = 2 * MIB};
        fake_fail(w.fake,
                  (fake_fault){"PUT", "partNumber=2", 0, 1, FAKE_DELAY, 50, NULL, NULL});
        assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                         SL_OK);
        while (fake_count(w.fake, "PUT", "partNumber=2") == 0)
            (void)uv_run(w.loop, UV_RUN_ONCE);
        fake_add(w.fake, "/bucket/large", content + !same, 2 * MIB,
                 hash_text(content + !same, 2 * MIB));
        assert_int_equal(run(&w), same ? SL_OK : SL_ECONFLICT);
        assert_int_equal(w.fake->upload_count, 0);
        close_world(&w);
    }
}

static void lost_reply_of_a_put_is_looked_up(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_fail(w.fake, (fake_fault){"PUT", NULL, 0, 1, FAKE_LOSE, 0, NULL, NULL});
    assert_int_equal(put_bytes(&w, "k", content, 1000), SL_OK);
    assert_object(&w, "/bucket/k", content, 1000);
    /* libcurl may repeat on a kept connection; this one was fresh. */
    assert_int_equal(fake_count(w.fake, "PUT", "/k"), 1);
    assert_int_equal(fake_count(w.fake, "HEAD", "/k"), 1);
    /* The same, but others' bytes lie there meanwhile. */
    fake_add(w.fake, "/bucket/l", content, 10, hash_text(content, 10));
    fake_fail(w.fake, (fake_fault){"PUT", "/l", 0, 1, FAKE_LOSE, 0, NULL, NULL});
    assert_int_equal(put_bytes(&w, "l", content, 1000), SL_ECONFLICT);
    close_world(&w);
}

static void lost_request_is_sent_again(void **state) {
    (void)state;
    both_arrive((fake_fault){"PUT", "small", 0, 2, FAKE_REFUSE, 0, NULL, NULL},
                (fake_fault){"POST", "uploads=", 0, 2, FAKE_REFUSE, 0, NULL, NULL});
}

static void lost_reply_of_complete_is_looked_up(void **state) {
    (void)state;
    both_arrive((fake_fault){"PUT", "small", 0, 1, FAKE_LOSE, 0, NULL, NULL},
                (fake_fault){"POST", "uploadId", 0, 1, FAKE_LOSE, 0, NULL, NULL});
    both_arrive((fake_fault){"PUT", "small", 0, 1, FAKE_LOSE, 0, NULL, NULL},
                (fake_fault){"POST", "uploadId", 0, 1, FAKE_GARBAGE, 0, NULL, NULL});
    both_arrive((fake_fault){"PUT", "small", 0, 1, FAKE_LOSE, 0, NULL, NULL},
                (fake_fault){"POST", "uploadId", 0, 1, FAKE_REFUSE, 0, NULL, NULL});
}

static void lost_reply_of_create_leaves_no_upload(void **state) {
    (void)state;
    both_arrive((fake_fault){"PUT", "small", 0, 1, FAKE_CUT, 0, NULL, NULL},
                (fake_fault){"POST", "uploads=", 0, 2, FAKE_LOSE, 0, NULL, NULL});
}

static void silent_server_counts_as_a_lost_reply(void **state) {
    (void)state;
    world w;
    open_world_with(&w, (sl_object_store_options){.stall_timeout_ms = 1000});
    fake_fail(w.fake,
              (fake_fault){"PUT", "partNumber=1", 0, 1, FAKE_SILENT, 0, NULL, NULL});
    fake_fail(w.fake, (fake_fault){"PUT", "small", 0, 1, FAKE_SILENT, 0, NULL, NULL});
    const sl_object_put both[] = {
        {.bucket = "bucket", .key = "large", .bytes = content, .length = 2 * MIB},
        {.bucket = "bucket", .key = "small", .bytes = content, .length = 10},
    };
    for (int i = 0; i < 2; i++) /* At once, since each takes seconds. */
        assert_int_equal(
            sl_object_store_put(w.store, &both[i], on_done, &w, NULL, &w.error), SL_OK);
    while (w.calls < 2)
        assert_int_equal(run(&w), SL_OK);
    assert_object(&w, "/bucket/large", content, 2 * MIB);
    assert_object(&w, "/bucket/small", content, 10);
    assert_int_equal(fake_count(w.fake, "PUT", "small"), 1);
    close_world(&w);
}

static void error_within_200_is_an_error(void **state) {
    (void)state;
    both_arrive((fake_fault){"PUT", "small", 0, 1, FAKE_ERROR_IN_200, 0, NULL, NULL},
                (fake_fault){"POST", "uploadId", 0, 1, FAKE_ERROR_IN_200, 0, NULL, NULL});
    both_arrive(
        (fake_fault){"PUT", "small", 0, 1, FAKE_DO_ERROR_IN_200, 0, NULL, NULL},
        (fake_fault){"POST", "uploadId", 0, 1, FAKE_DO_ERROR_IN_200, 0, NULL, NULL});
    world w;
    open_world(&w);
    fake_fail(w.fake,
              (fake_fault){"POST", "uploadId", 0, 99, FAKE_ERROR_IN_200, 0, NULL, NULL});
    assert_int_equal(put_bytes(&w, "k", content, 2 * MIB), SL_EIO);
    assert_non_null(strstr(w.error.text, "200 InternalError"));
    assert_int_equal(w.fake->object_count, 0);
    assert_int_equal(w.fake->upload_count, 0);
    close_world(&w);
}

static void connection_reset_in_the_middle_of_a_part_is_mended(void **state) {
    (void)state;
    both_arrive((fake_fault){"PUT", "small", 0, 2, FAKE_CUT, 0, NULL, NULL},
                (fake_fault){"PUT", "partNumber=2", 0, 3, FAKE_CUT, 0, NULL, NULL});
}

static void storm_of_503_slows_down_and_passes(void **state) {
    (void)state;
    world w;
    open_world(&w);
    assert_int_equal(sl_object_store_pace(w.store), 16);
    fake_fail(w.fake,
              (fake_fault){"PUT", NULL, 0, 4, FAKE_STATUS, 503, "SlowDown", NULL});
    assert_int_equal(put_bytes(&w, "large", content, 3 * MIB), SL_OK);
    assert_object(&w, "/bucket/large", content, 3 * MIB);
    /* A storm counts once. */
    assert_in_range(sl_object_store_pace(w.store), 10, 12);
    /* Enough successes bring it back, one for each window full of them. */
    for (int i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i % 50);
        assert_int_equal(put_bytes(&w, key, content, 10), SL_OK);
    }
    assert_true(sl_object_store_pace(w.store) > 13);
    sl_buffer_clear(&w.text);
    sl_metrics_print(w.metrics, &w.text);
    assert_non_null(strstr(sl_buffer_cstr(&w.text), "sluice_s3_throttled_total 4"));
    close_world(&w);
}

static void endless_503_ends_as_a_status_that_is_retried(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_fail(w.fake,
              (fake_fault){NULL, NULL, 0, 1000, FAKE_STATUS, 503, "SlowDown", NULL});
    assert_int_equal(put_bytes(&w, "k", content, 10), SL_EIO);
    assert_int_equal(w.fake->log_count, 6);
    assert_non_null(strstr(w.error.text, "PUT s3://bucket/k: 503 SlowDown"));
    assert_non_null(strstr(w.error.text, "request R1, 6 tries"));
    assert_int_equal(put_bytes(&w, "k", content, 2 * MIB), SL_EIO);
    assert_int_equal(sl_status_follow_up(w.status), SL_FOLLOW_RETRY);
    close_world(&w);
}

static void pace_limits_the_requests_at_once(void **state) {
    (void)state;
    world w;
    open_world_with(&w, (sl_object_store_options){.requests_max = 3});
    fake_fail(w.fake, (fake_fault){"PUT", NULL, 0, 99, FAKE_DELAY, 5, NULL, NULL});
    char key[16];
    for (int i = 0; i < 12; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        const sl_object_put put = {
            .bucket = "bucket", .key = key, .bytes = content, .length = 10};
        assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                         SL_OK);
    }
    while (w.calls < 12) {
        assert_int_equal(run(&w), SL_OK);
    }
    assert_int_equal(w.fake->at_once_max, 3);
    assert_int_equal(w.fake->object_count, 12);
    close_world(&w);
}

static void expired_credentials_are_refreshed_once(void **state) {
    (void)state;
    world w;
    open_world(&w);
    assert_int_equal(put_bytes(&w, "a", content, 10), SL_OK);
    w.fake->expired_key = "KEY0/";
    assert_int_equal(put_bytes(&w, "b", content, 10), SL_OK);
    assert_int_equal(credentials.fetched, 2);
    assert_int_equal(fake_count(w.fake, "PUT", "/bucket/b"), 2);
    w.fake->expired_key = "KEY1/";
    assert_int_equal(put_bytes(&w, "large", content, 3 * MIB), SL_OK);
    assert_object(&w, "/bucket/large", content, 3 * MIB);
    /* Fresh ones that have expired too: told, with what mends it. */
    w.fake->expired_key = "KEY";
    assert_int_equal(put_bytes(&w, "c", content, 10), SL_EDENIED);
    assert_non_null(strstr(w.error.text, "400 ExpiredToken"));
    assert_non_null(strstr(w.error.text, "renew"));
    assert_int_equal(sl_status_follow_up(w.status), SL_FOLLOW_RETRY);
    close_world(&w);
}

static void missing_credentials_are_told(void **state) {
    (void)state;
    world w;
    open_world(&w);
    credentials.refuse = true;
    assert_int_equal(put_bytes(&w, "a", content, 10), SL_EDENIED);
    assert_non_null(strstr(w.error.text, "credentials: there are none"));
    assert_int_equal(w.fake->log_count, 0);
    close_world(&w);
}

static void wrong_clock_is_corrected_by_the_servers(void **state) {
    (void)state;
    world w;
    open_world(&w);
    w.fake->now_us = sl_date_days(1994, 11, 6) * SL_DAY_US + 8 * SL_HOUR_US;
    assert_int_equal(put_bytes(&w, "a", content, 10), SL_OK);
    assert_int_equal(fake_count(w.fake, "PUT", "/bucket/a"), 2);
    assert_int_equal(put_bytes(&w, "b", content, 10), SL_OK);
    assert_int_equal(fake_count(w.fake, "PUT", "/bucket/b"), 1);
    /* Corrected once, not for ever. */
    w.fake->now_us += SL_DAY_US;
    assert_int_equal(put_bytes(&w, "c", content, 10), SL_EDENIED);
    assert_non_null(strstr(w.error.text, "NTP"));
    assert_int_equal(fake_count(w.fake, "PUT", "/bucket/c"), 2);
    close_world(&w);
}

static void wrong_clock_shows_in_a_look_too(void **state) {
    (void)state;
    world w;
    open_world(&w);
    w.fake->now_us = sl_date_days(1994, 11, 6) * SL_DAY_US + 8 * SL_HOUR_US;
    fake_add(w.fake, "/bucket/large", content, 2 * MIB, hash_text(content, 2 * MIB));
    fake_fail(w.fake, (fake_fault){"GET", "uploads", 0, 1, FAKE_STATUS, 403,
                                   "AccessDenied", NULL});
    assert_int_equal(put_bytes(&w, "large", content, 2 * MIB), SL_OK);
    assert_int_equal(fake_count(w.fake, "HEAD", "large"), 2);
    close_world(&w);
}

static void wrong_checksum_of_a_part_is_sent_again(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_fail(w.fake,
              (fake_fault){"PUT", "partNumber=1", 0, 2, FAKE_WRONG_CRC, 0, NULL, NULL});
    assert_int_equal(put_bytes(&w, "large", content, 2 * MIB), SL_OK);
    assert_object(&w, "/bucket/large", content, 2 * MIB);
    fake_fail(w.fake,
              (fake_fault){"PUT", "partNumber=2", 0, 99, FAKE_WRONG_CRC, 0, NULL, NULL});
    assert_int_equal(put_bytes(&w, "never", content, 2 * MIB), SL_EIO);
    assert_non_null(strstr(w.error.text, "another checksum"));
    assert_int_equal(w.fake->upload_count, 0);
    close_world(&w);
}

static void wrong_checksum_of_an_object_is_looked_at(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_fail(w.fake, (fake_fault){"PUT", "right", 0, 1, FAKE_WRONG_CRC, 0, NULL, NULL});
    assert_int_equal(put_bytes(&w, "right", content, 10), SL_OK);
    /* It was indeed stored otherwise. */
    fake_fail(w.fake, (fake_fault){"PUT", "wrong", 0, 1, FAKE_WRONG_CRC, 0, NULL, NULL});
    const sl_object_put put = {
        .bucket = "bucket", .key = "wrong", .bytes = content, .length = 10};
    assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                     SL_OK);
    while (fake_find(w.fake, "/bucket/wrong") == NULL)
        (void)uv_run(w.loop, UV_RUN_ONCE);
    (void)snprintf(fake_find(w.fake, "/bucket/wrong")->crc, 16, "BBBBBB==");
    assert_int_equal(run(&w), SL_ECONFLICT);
    close_world(&w);
}

static void redirect_names_the_region(void **state) {
    (void)state;
    world w;
    open_world(&w);
    static const char region[] =
        "x-amz-bucket-region: eu-west-1\r\nLocation: http://127.0.0.1:1/\r\n";
    fake_fail(w.fake, (fake_fault){"PUT", "a", 0, 1, FAKE_STATUS, 301,
                                   "PermanentRedirect", region});
    assert_int_equal(put_bytes(&w, "a", content, 10), SL_EIO);
    assert_non_null(strstr(
        w.error.text, "301 PermanentRedirect: bucket bucket is in region eu-west-1: set "
                      "s3.region"));
    fake_fail(w.fake, (fake_fault){"PUT", "b", 0, 1, FAKE_STATUS, 307,
                                   "TemporaryRedirect", region});
    assert_int_equal(put_bytes(&w, "b", content, 10), SL_EIO);
    assert_non_null(strstr(w.error.text, "eu-west-1"));
    fake_fail(w.fake, (fake_fault){"HEAD", "c", 0, 1, FAKE_STATUS, 301, "", region});
    fake_add(w.fake, "/bucket/c", content, 10, "");
    assert_int_equal(put_bytes(&w, "c", content, 10), SL_EIO);
    assert_non_null(strstr(w.error.text, "eu-west-1"));
    assert_int_equal(sl_status_follow_up(w.status), SL_FOLLOW_RETRY);
    close_world(&w);
}

static void refusals_say_what_mends_them(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_fail(w.fake,
              (fake_fault){"PUT", "a", 0, 1, FAKE_STATUS, 403, "AccessDenied", NULL});
    assert_int_equal(put_bytes(&w, "a", content, 10), SL_EDENIED);
    assert_string_equal(
        w.error.text,
        "PUT s3://bucket/a: 403 AccessDenied: the role needs s3:PutObject on "
        "arn:aws:s3:::bucket/a; 'It says AccessDenied' (request R1, 1 try)");
    fake_fail(w.fake,
              (fake_fault){"PUT", "b", 0, 1, FAKE_STATUS, 404, "NoSuchBucket", NULL});
    assert_int_equal(put_bytes(&w, "b", content, 10), SL_EIO);
    assert_non_null(strstr(w.error.text, "create the bucket"));
    fake_fail(w.fake, (fake_fault){"PUT", "c", 0, 1, FAKE_STATUS, 404, "", NULL});
    assert_int_equal(put_bytes(&w, "c", content, 10), SL_EIO);
    fake_fail(w.fake, (fake_fault){"PUT", "d", 0, 1, FAKE_STATUS, 400,
                                   "KMS.NotFoundException", NULL});
    assert_int_equal(put_bytes(&w, "d", content, 10), SL_EIO);
    assert_non_null(strstr(w.error.text, "s3.kms_key_id"));
    fake_fail(w.fake,
              (fake_fault){"PUT", "e", 0, 1, FAKE_STATUS, 501, "NotImplemented", NULL});
    assert_int_equal(put_bytes(&w, "e", content, 10), SL_EIO);
    /* In parts, what was begun is taken back. */
    fake_fail(w.fake, (fake_fault){"PUT", "partNumber=2", 0, 1, FAKE_STATUS, 403,
                                   "AccessDenied", NULL});
    assert_int_equal(put_bytes(&w, "large", content, 4 * MIB), SL_EDENIED);
    assert_int_equal(w.fake->upload_count, 0);
    close_world(&w);
}

static void dead_ends_of_the_network_are_retried_and_told(void **state) {
    (void)state;
    world w;
    open_world_with(
        &w, (sl_object_store_options){.endpoint = "http://127.0.0.1:1", .tries_max = 3});
    assert_int_equal(put_bytes(&w, "a", content, 10), SL_EIO);
    assert_non_null(strstr(w.error.text, "PUT s3://bucket/a: "));
    assert_non_null(strstr(w.error.text, "127.0.0.1:1"));
    assert_non_null(strstr(w.error.text, "3 tries"));
    close_world(&w);
    open_world_with(&w, (sl_object_store_options){.endpoint = "http://nowhere.invalid",
                                                  .tries_max = 2});
    assert_int_equal(put_bytes(&w, "a", content, 10), SL_EIO);
    assert_non_null(strstr(w.error.text, "s3.endpoint"));
    close_world(&w);
}

static void abandoned_uploads_under_the_key_are_aborted_others_stay(void **state) {
    (void)state;
    world w;
    open_world(&w);
    w.fake->list_page = 2;
    for (int i = 0; i < 5; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "old%d", i);
        fake_add_upload(w.fake, i == 3 ? "/bucket/large-other" : "/bucket/large", id);
    }
    assert_int_equal(put_bytes(&w, "large", content, 2 * MIB), SL_OK);
    assert_int_equal(w.fake->upload_count, 1);
    assert_string_equal(w.fake->uploads[0].id, "old3");
    close_world(&w);
}

static void uploads_that_may_not_be_listed_stop_nothing(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_fail(w.fake, (fake_fault){"GET", "uploads", 0, 1, FAKE_STATUS, 403,
                                   "AccessDenied", NULL});
    /* Without s3:ListBucket a look at what isn't there is 403, too. */
    fake_fail(w.fake, (fake_fault){"HEAD", "large", 0, 1, FAKE_STATUS, 403, "", NULL});
    assert_int_equal(put_bytes(&w, "large", content, 2 * MIB), SL_OK);
    assert_object(&w, "/bucket/large", content, 2 * MIB);
    close_world(&w);
}

static void upload_that_others_aborted_begins_anew(void **state) {
    (void)state;
    both_arrive((fake_fault){"PUT", "small", 0, 1, FAKE_CUT, 0, NULL, NULL},
                (fake_fault){"PUT", "partNumber=2", 0, 1, FAKE_STATUS, 404,
                             "NoSuchUpload", NULL});
    both_arrive(
        (fake_fault){"PUT", "small", 0, 1, FAKE_CUT, 0, NULL, NULL},
        (fake_fault){"POST", "uploadId", 0, 1, FAKE_STATUS, 404, "NoSuchUpload", NULL});
}

static void altered_content_never_arrives(void **state) {
    (void)state;
    world w;
    open_world(&w);
    const sl_hash128 other = {1, 2};
    sl_object_put put = {
        .bucket = "bucket", .key = "k", .bytes = content, .length = 10, .hash = &other};
    assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                     SL_ECORRUPT);
    put.length = 2 * MIB;
    assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                     SL_OK);
    assert_int_equal(run(&w), SL_ECORRUPT);
    assert_int_equal(w.fake->object_count, 0);
    assert_int_equal(w.fake->upload_count, 0);
    put.bytes = NULL;
    put.path = "/nowhere/file";
    assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                     SL_ENOTFOUND);
    close_world(&w);
}

static void replacing_overwrites(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_add(w.fake, "/bucket/k", "old", 3, "");
    const sl_object_put put = {.bucket = "bucket",
                               .key = "k",
                               .bytes = content,
                               .length = 3 * MIB,
                               .replace = true};
    assert_int_equal(sl_object_store_put(w.store, &put, on_done, &w, NULL, &w.error),
                     SL_OK);
    assert_int_equal(run(&w), SL_OK);
    assert_object(&w, "/bucket/k", content, 3 * MIB);
    close_world(&w);
}

static void given_up_operations_call_nobody(void **state) {
    (void)state;
    for (unsigned turns = 0; turns < 40; turns++) {
        world w;
        open_world(&w);
        sl_object_operation *small, *large;
        sl_object_put put = {
            .bucket = "bucket", .key = "k", .bytes = content, .length = 10};
        assert_int_equal(
            sl_object_store_put(w.store, &put, on_done, &w, &small, &w.error), SL_OK);
        put.key = "l";
        put.length = 3 * MIB;
        assert_int_equal(
            sl_object_store_put(w.store, &put, on_done, &w, &large, &w.error), SL_OK);
        for (unsigned i = 0; i < turns && !w.done; i++)
            (void)uv_run(w.loop, UV_RUN_NOWAIT);
        unsigned before = w.calls;
        if (before == 0 && turns % 2 == 0) {
            sl_object_operation_cancel(small);
            sl_object_operation_cancel(large);
            const sl_object_put next = {
                .bucket = "bucket", .key = "m", .bytes = content, .length = 5};
            assert_int_equal(
                sl_object_store_put(w.store, &next, on_done, &w, NULL, &w.error), SL_OK);
            assert_int_equal(run(&w), SL_OK);
            assert_int_equal(w.calls, 1);
        }
        close_world(&w); /* Ends what is left. */
    }
}

/* ---- Looking, reading, listing, deleting ---- */

static void on_head(void *context, sl_status status, const sl_object_info *info,
                    const sl_error *error) {
    world *w = context;
    if (status == SL_OK) {
        assert_true(info->has_hash);
        sl_buffer_printf(&w->text, "%s %d", info->key, (int)info->bytes);
    }
    on_done(w, status, error);
}

static void head_tells_length_and_hash(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_add(w.fake, "/bucket/a%20b", content, 77, hash_text(content, 77));
    assert_int_equal(
        sl_object_store_head(w.store, "bucket", "a b", on_head, &w, NULL, &w.error),
        SL_OK);
    assert_int_equal(run(&w), SL_OK);
    assert_string_equal(sl_buffer_cstr(&w.text), "a b 77");
    assert_int_equal(
        sl_object_store_head(w.store, "bucket", "none", on_head, &w, NULL, &w.error),
        SL_OK);
    assert_int_equal(run(&w), SL_ENOTFOUND);
    assert_int_equal(
        sl_object_store_head(w.store, "Bucket", "k", on_head, &w, NULL, &w.error),
        SL_EINVAL);
    assert_int_equal(
        sl_object_store_head(w.store, "bucket", "", on_head, &w, NULL, &w.error),
        SL_EINVAL);
    close_world(&w);
}

static void on_get(void *context, sl_status status, sl_buffer *bytes,
                   const sl_error *error) {
    world *w = context;
    sl_buffer_clear(&w->text);
    if (status == SL_OK)
        sl_buffer_append(&w->text, bytes->bytes, bytes->length);
    on_done(w, status, error);
}

static sl_status get(world *w, const char *key, uint64_t offset, uint64_t length) {
    assert_int_equal(sl_object_store_get(w->store, "bucket", key, offset, length, on_get,
                                         w, NULL, &w->error),
                     SL_OK);
    return run(w);
}

static void ranges_are_read(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_add(w.fake, "/bucket/k", content, 1000, "");
    assert_int_equal(get(&w, "k", 0, UINT64_MAX), SL_OK);
    assert_int_equal(w.text.length, 1000);
    assert_memory_equal(w.text.bytes, content, 1000);
    assert_int_equal(get(&w, "k", 100, 50), SL_OK);
    assert_int_equal(w.text.length, 50);
    assert_memory_equal(w.text.bytes, content + 100, 50);
    assert_int_equal(get(&w, "k", 990, 50), SL_OK);
    assert_int_equal(w.text.length, 10);
    assert_int_equal(get(&w, "k", 1000, 50), SL_OK);
    assert_int_equal(w.text.length, 0);
    assert_int_equal(get(&w, "none", 0, 1), SL_ENOTFOUND);
    assert_int_equal(
        sl_object_store_get(w.store, "bucket", "k", 0, 0, on_get, &w, NULL, NULL),
        SL_EINVAL);
    /* An object may look like an error and is none. */
    static const char error[] = "<Error><Code>InternalError</Code></Error>";
    fake_add(w.fake, "/bucket/e", error, sizeof error - 1, "");
    assert_int_equal(get(&w, "e", 0, UINT64_MAX), SL_OK);
    assert_int_equal(w.text.length, sizeof error - 1);
    close_world(&w);
}

static bool note_key(void *context, const sl_object_info *info) {
    world *w = context;
    sl_buffer_printf(&w->text, "%s:%d ", info->key, (int)info->bytes);
    return w->text.length < 60;
}

static void lists_go_on_over_pages(void **state) {
    (void)state;
    world w;
    open_world(&w);
    w.fake->list_page = 3;
    for (int i = 0; i < 7; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "/bucket/a/%d", i);
        fake_add(w.fake, path, content, (size_t)i, "");
    }
    fake_add(w.fake, "/bucket/b", content, 1, "");
    assert_int_equal(
        sl_object_store_list(w.store, "bucket", "a", note_key, on_done, &w, NULL, NULL),
        SL_OK);
    assert_int_equal(run(&w), SL_OK);
    assert_string_equal(sl_buffer_cstr(&w.text),
                        "a/0:0 a/1:1 a/2:2 a/3:3 a/4:4 a/5:5 a/6:6 ");
    /* Enough: no further page is asked for. */
    w.fake->log_count = 0;
    w.fake->list_page = 1;
    sl_buffer_text(&w.text, "so that it is full after the next two ");
    assert_int_equal(
        sl_object_store_list(w.store, "bucket", "a", note_key, on_done, &w, NULL, NULL),
        SL_OK);
    assert_int_equal(run(&w), SL_OK);
    assert_int_equal(w.fake->log_count, 1);
    fake_fail(w.fake,
              (fake_fault){"GET", "list-type", 0, 1, FAKE_GARBAGE, 0, NULL, NULL});
    assert_int_equal(
        sl_object_store_list(w.store, "bucket", "", note_key, on_done, &w, NULL, NULL),
        SL_OK);
    assert_int_equal(run(&w), SL_EIO);
    fake_fail(w.fake, (fake_fault){"GET", "list-type", 0, 1, FAKE_STATUS, 403,
                                   "AccessDenied", NULL});
    assert_int_equal(
        sl_object_store_list(w.store, "bucket", "", note_key, on_done, &w, NULL, NULL),
        SL_OK);
    assert_int_equal(run(&w), SL_EDENIED);
    assert_non_null(strstr(w.error.text, "s3:ListBucket on arn:aws:s3:::bucket;"));
    close_world(&w);
}

static void deleting_what_is_not_there_succeeds(void **state) {
    (void)state;
    world w;
    open_world(&w);
    fake_add(w.fake, "/bucket/k", content, 1, "");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            sl_object_store_delete(w.store, "bucket", "k", on_done, &w, NULL, NULL),
            SL_OK);
        assert_int_equal(run(&w), SL_OK);
        assert_int_equal(w.fake->object_count, 0);
    }
    close_world(&w);
}

static void endpoints_and_urls_are_checked(void **state) {
    (void)state;
    static const char *const wrong[] = {"minio:9000",    "ftp://h",    "http://",
                                        "http://h/path", "http://u@h", "http://h?x"};
    sl_object_store *store;
    sl_error error;
    uv_loop_t *loop = sl_waiting_loop_create();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const sl_object_store_options options = {
            .loop = loop, .endpoint = wrong[i], .clock = {wall_us, monotonic_us, NULL}};
        assert_int_equal(sl_object_store_create(&options, &store, &error), SL_EINVAL);
        assert_null(store);
    }
    sl_waiting_loop_destroy(loop);
    char bucket[64];
    const char *prefix;
    size_t length;
    assert_int_equal(
        sl_object_url_parse("s3://shop/curated/clicks//", bucket, &prefix, &length, NULL),
        SL_OK);
    assert_string_equal(bucket, "shop");
    assert_int_equal(length, 14);
    assert_memory_equal(prefix, "curated/clicks", 14);
    assert_int_equal(sl_object_url_parse("s3://shop", bucket, &prefix, &length, NULL),
                     SL_OK);
    assert_int_equal(length, 0);
    static const char *const no[] = {"s3:/shop",  "/shop",       "s3://",
                                     "s3://ab",   "s3://Shop/x", "s3://-shop/x",
                                     "s3://a_b/x"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_int_equal(sl_object_url_parse(no[i], bucket, &prefix, &length, &error),
                         SL_EINVAL);
}

/* ---- The lake ---- */

typedef struct lake_world {
    world w;
    sl_target *target;
    sl_entry entry;
    sl_entry_file files[8];
    sl_delivery delivery;
    char names[8][20], keys[8][40];
} lake_world;

static void write_spool(lake_world *l, int i, size_t length) {
    char path[100];
    (void)snprintf(path, sizeof path, "%s/%s", l->w.root, l->names[i]);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(content + i, 1, length, f), length);
    assert_int_equal(fclose(f), 0);
    l->files[i].bytes = length;
    l->files[i].hash = sl_hash128_of(content + i, length);
}

static void open_lake(lake_world *l) {
    memset(l, 0, sizeof *l);
    open_world(&l->w);
    const sl_s3_lake_options options = {.store = l->w.store};
    sl_error error;
    assert_int_equal(sl_s3_lake_create(&options, &l->target, &error), SL_OK);
    for (int i = 0; i < 8; i++) {
        (void)snprintf(l->names[i], sizeof l->names[i], "spooled%d", i);
        (void)snprintf(l->keys[i], sizeof l->keys[i], "type=a b/%d.parquet", i);
        l->files[i] = (sl_entry_file){.spool = l->names[i], .key = l->keys[i]};
        write_spool(l, i, i == 5 ? MIB + 1 : 1000 + (size_t)i);
    }
    l->entry = (sl_entry){.id = 1, .files = l->files, .file_count = 8};
    l->delivery = (sl_delivery){.table = "clicks/lake",
                                .target = "s3://bucket/lake/",
                                .spool = l->w.root,
                                .entry = &l->entry};
}

static sl_status deliver(lake_world *l) {
    l->target->deliver(l->target, &l->delivery, on_done, &l->w);
    return run(&l->w);
}

static void close_lake(lake_world *l) {
    l->target->destroy(l->target);
    close_world(&l->w);
}

static void assert_delivered(lake_world *l) {
    for (int i = 0; i < 8; i++) {
        char path[100];
        (void)snprintf(path, sizeof path, "/bucket/lake/type%%3Da%%20b/%d.parquet", i);
        assert_object(&l->w, path, content + i, (size_t)l->files[i].bytes);
    }
    assert_int_equal(l->w.fake->object_count, 8);
}

static void entry_is_delivered_file_by_file_and_any_number_of_times(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    l.entry.file_count = 0;
    assert_int_equal(deliver(&l), SL_OK);
    close_lake(&l);
}

static void entry_fails_as_a_whole_and_is_finished_by_the_next_attempt(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    fake_fail(l.w.fake, (fake_fault){"PUT", "2.parquet", 0, 1, FAKE_STATUS, 403,
                                     "AccessDenied", NULL});
    assert_int_equal(deliver(&l), SL_EDENIED);
    assert_non_null(strstr(l.w.error.text, "s3:PutObject"));
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    close_lake(&l);
}

static void missing_bucket_stalls_and_drops_nothing(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    fake_fail(l.w.fake,
              (fake_fault){"PUT", NULL, 0, 4, FAKE_STATUS, 404, "NoSuchBucket", NULL});
    sl_status status = deliver(&l);
    assert_int_equal(sl_status_follow_up(status), SL_FOLLOW_RETRY);
    assert_int_equal(deliver(&l), SL_OK);
    assert_delivered(&l);
    close_lake(&l);
}

static void other_content_under_a_key_stops_the_table(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    fake_add(l.w.fake, "/bucket/lake/type%3Da%20b/3.parquet", "x", 1, "");
    sl_status status = deliver(&l);
    assert_int_equal(status, SL_ECONFLICT);
    assert_int_equal(sl_status_follow_up(status), SL_FOLLOW_STOP);
    close_lake(&l);
}

static void spool_that_is_gone_after_a_delivery_is_looked_up(void **state) {
    (void)state;
    lake_world l;
    open_lake(&l);
    assert_int_equal(deliver(&l), SL_OK);
    char path[100];
    (void)snprintf(path, sizeof path, "%s/spooled4", l.w.root);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(deliver(&l), SL_OK);
    fake_object *o = fake_find(l.w.fake, "/bucket/lake/type%3Da%20b/4.parquet");
    o->hash[0] ^= 1;
    assert_int_equal(deliver(&l), SL_ENOTFOUND);
    assert_non_null(strstr(l.w.error.text, "spooled4"));
    close_lake(&l);
}

static void lake_can_be_destroyed_at_any_time(void **state) {
    (void)state;
    for (int turns = 0; turns < 30; turns++) {
        lake_world l;
        open_lake(&l);
        l.target->deliver(l.target, &l.delivery, on_done, &l.w);
        for (int i = 0; i < turns; i++)
            (void)uv_run(l.w.loop, UV_RUN_NOWAIT);
        close_lake(&l);
    }
}

/* Every allocation of ours fails once: each time a status, nothing lost, and the next
 * attempt delivers. libcurl's own are no part of it. */
static void failing_allocations_are_statuses(void **state) {
    (void)state;
    uint64_t n = 1, calls = 0;
    for (bool more = true; more; n++) {
        lake_world l;
        open_lake(&l);
        l.entry.file_count = 6;
        sl_memory_fail_at(n);
        l.target->deliver(l.target, &l.delivery, on_done, &l.w);
        sl_status status = run(&l.w);
        calls = sl_memory_calls();
        sl_memory_fail_at(0);
        more = calls >= n;
        assert_true(status == SL_OK || sl_status_follow_up(status) == SL_FOLLOW_RETRY);
        assert_int_equal(deliver(&l), SL_OK);
        assert_int_equal(l.w.fake->object_count, 6);
        assert_int_equal(l.w.fake->upload_count, 0);
        close_lake(&l);
    }
    assert_true(n > 50);
}

static int make_content(void **state) {
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

static int free_content(void **state) {
    (void)state;
    free(content);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_objects_go_in_one_request),
        cmocka_unit_test(large_objects_go_in_parts_side_by_side),
        cmocka_unit_test(ten_thousand_parts_always_suffice),
        cmocka_unit_test(same_object_that_is_there_is_a_success),
        cmocka_unit_test(other_object_that_is_there_is_a_conflict),
        cmocka_unit_test(object_that_appears_while_parts_are_sent_is_compared),
        cmocka_unit_test(lost_reply_of_a_put_is_looked_up),
        cmocka_unit_test(lost_request_is_sent_again),
        cmocka_unit_test(lost_reply_of_complete_is_looked_up),
        cmocka_unit_test(lost_reply_of_create_leaves_no_upload),
        cmocka_unit_test(silent_server_counts_as_a_lost_reply),
        cmocka_unit_test(error_within_200_is_an_error),
        cmocka_unit_test(connection_reset_in_the_middle_of_a_part_is_mended),
        cmocka_unit_test(storm_of_503_slows_down_and_passes),
        cmocka_unit_test(endless_503_ends_as_a_status_that_is_retried),
        cmocka_unit_test(pace_limits_the_requests_at_once),
        cmocka_unit_test(expired_credentials_are_refreshed_once),
        cmocka_unit_test(missing_credentials_are_told),
        cmocka_unit_test(wrong_clock_is_corrected_by_the_servers),
        cmocka_unit_test(wrong_clock_shows_in_a_look_too),
        cmocka_unit_test(wrong_checksum_of_a_part_is_sent_again),
        cmocka_unit_test(wrong_checksum_of_an_object_is_looked_at),
        cmocka_unit_test(redirect_names_the_region),
        cmocka_unit_test(refusals_say_what_mends_them),
        cmocka_unit_test(dead_ends_of_the_network_are_retried_and_told),
        cmocka_unit_test(abandoned_uploads_under_the_key_are_aborted_others_stay),
        cmocka_unit_test(uploads_that_may_not_be_listed_stop_nothing),
        cmocka_unit_test(upload_that_others_aborted_begins_anew),
        cmocka_unit_test(altered_content_never_arrives),
        cmocka_unit_test(replacing_overwrites),
        cmocka_unit_test(given_up_operations_call_nobody),
        cmocka_unit_test(head_tells_length_and_hash),
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(lists_go_on_over_pages),
        cmocka_unit_test(deleting_what_is_not_there_succeeds),
        cmocka_unit_test(endpoints_and_urls_are_checked),
        cmocka_unit_test(entry_is_delivered_file_by_file_and_any_number_of_times),
        cmocka_unit_test(entry_fails_as_a_whole_and_is_finished_by_the_next_attempt),
        cmocka_unit_test(missing_bucket_stalls_and_drops_nothing),
        cmocka_unit_test(other_content_under_a_key_stops_the_table),
        cmocka_unit_test(spool_that_is_gone_after_a_delivery_is_looked_up),
        cmocka_unit_test(lake_can_be_destroyed_at_any_time),
        cmocka_unit_test(failing_allocations_are_statuses),
    };
    return cmocka_run_group_tests(tests, make_content, free_content);
}
