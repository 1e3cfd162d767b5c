/* The object store against an S3 in the same process that does wrong on order
 * (s3_test_help.h). */
#include "s3_world_test_help.h"

#include "sluice/io_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

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
    };
    return cmocka_run_group_tests(tests, make_content, free_content);
}
