#include "sluice/buffer.h"
#include "sluice/hash.h"
#include "sluice/message.h"
#include "sluice/metrics.h"
#include "sluice/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static void every_status_has_name_and_text(void **state) {
    (void)state;
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        assert_string_not_equal(sl_status_name((sl_status)i), "unknown");
        assert_string_not_equal(sl_status_text((sl_status)i), "unknown status");
    }
    assert_string_equal(sl_status_name((sl_status)99), "unknown");
}

static void error_contexts_stand_in_front(void **state) {
    (void)state;
    sl_error e;
    assert_int_equal(sl_error_set(&e, SL_EIO, "status %d", 503), SL_EIO);
    assert_int_equal(sl_error_context(&e, "part %d", 3), SL_EIO);
    assert_string_equal(e.text, "part 3: status 503");
    for (int i = 0; i < 200; i++)
        sl_error_context(&e, "deeper and deeper");
    assert_int_equal(strlen(e.text) < sizeof e.text, 1);
    assert_int_equal(sl_error_set(NULL, SL_EFULL, "x"), SL_EFULL);
}

static void budget_refuses_beyond_its_limit(void **state) {
    (void)state;
    sl_budget b;
    sl_budget_init(&b, 100);
    assert_int_equal(sl_budget_take(&b, 60), SL_OK);
    assert_int_equal(sl_budget_take(&b, 41), SL_EFULL);
    assert_int_equal(sl_budget_take(&b, 40), SL_OK);
    assert_int_equal(sl_budget_take(&b, UINT64_MAX), SL_EFULL);
    sl_budget_give(&b, 100);
    assert_int_equal(sl_budget_used(&b), 0);
    assert_int_equal(atomic_load(&b.peak), 100);
}

static void arena_blocks_are_reused_after_reset(void **state) {
    (void)state;
    sl_arena a;
    sl_arena_init(&a, 256);
    char *first = sl_arena_strndup(&a, "hello", 5);
    assert_string_equal(first, "hello");
    for (int i = 0; i < 50; i++)
        assert_non_null(sl_arena_get(&a, 100));
    sl_arena_reset(&a);
    assert_ptr_equal(sl_arena_get(&a, 6), first);
    assert_int_equal(a.total_bytes, 256);
    sl_memory_fail_at(1);
    assert_null(sl_arena_get(&a, 4096));
    sl_memory_fail_at(0);
    sl_arena_fini(&a);
    assert_int_equal(a.total_bytes, 0);
}

static void buffer_failure_sticks(void **state) {
    (void)state;
    sl_buffer b = SL_BUFFER_EMPTY;
    sl_buffer_text(&b, "abc");
    sl_memory_fail_at(1);
    for (int i = 0; i < 100; i++)
        sl_buffer_byte(&b, 'x');
    sl_memory_fail_at(0);
    assert_true(b.failed);
    size_t length = b.length;
    sl_buffer_text(&b, "more");
    assert_int_equal(b.length, length);
    sl_buffer_clear(&b);
    sl_buffer_printf(&b, "%s", "again");
    assert_string_equal(sl_buffer_cstr(&b), "again");
    sl_buffer_fini(&b);
}

static void base64_is_padded(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd\xfb", "//79+w=="}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_buffer b = SL_BUFFER_EMPTY;
        sl_buffer_base64(&b, cases[i].bytes, strlen(cases[i].bytes));
        assert_string_equal(sl_buffer_cstr(&b), cases[i].text);
        sl_buffer_fini(&b);
    }
}

static void json_strings_are_escaped_and_valid(void **state) {
    (void)state;
    sl_buffer b = SL_BUFFER_EMPTY;
    sl_buffer_json_string(&b, "a\"\\\n\x01\xc3\xa9\xff\xed\xa0\x80", 10);
    assert_string_equal(sl_buffer_cstr(&b), "\"a\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd"
                                            "\xef\xbf\xbd\"");
    sl_buffer_fini(&b);
}

static void dates_agree_with_the_calendar(void **state) {
    (void)state;
    assert_int_equal(sl_date_days(1970, 1, 1), 0);
    assert_int_equal(sl_date_days(2000, 3, 1), 11017);
    for (int32_t d = -800000; d < 2000000; d += 7) {
        int y;
        unsigned m, day;
        sl_date_civil(d, &y, &m, &day);
        assert_int_equal(sl_date_days(y, m, day), d);
    }
    int32_t days;
    assert_true(sl_date_parse("2024-02-29", 10, &days));
    assert_false(sl_date_parse("2023-02-29", 10, &days));
    assert_false(sl_date_parse("0000-01-01", 10, &days));
    assert_false(sl_date_parse("2024-1-01x", 10, &days));
}

static void times_of_rfc_3339_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1985-04-12T23:20:50.52Z", 482196050520000},
        {"1996-12-19T16:39:57-08:00", 851042397000000},
        {"1990-12-31T23:59:60Z", 662688000000000},
        {"1990-12-31T15:59:60-08:00", 662688000000000},
        {"1937-01-01T12:00:27.87+00:20", -1041337172130000},
        {"2024-03-20t10:00:00.1234567z", 1710928800123456},
        {"1969-12-31 23:59:59.999999Z", -1},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t us = 1;
        assert_true(sl_time_parse(good[i].text, strlen(good[i].text), &us));
        assert_int_equal(us, good[i].us);
    }
    static const char *const bad[] = {
        "",
        "2024-03-20T10:00:00",
        "2024-03-20T10:00:00.Z",
        "2024-03-20T24:00:00Z",
        "2024-03-20T10:60:00Z",
        "2024-03-20T10:00:60Z",
        "2024-03-20T10:00:00+0100",
        "2024-03-20T10:00:00+24:00",
        "2024-13-20T10:00:00Z",
        "2024-03-20T10:00:00Zx",
        "2024-03-20X10:00:00Z",
        "+024-03-20T10:00:00Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t us;
        assert_false(sl_time_parse(bad[i], strlen(bad[i]), &us));
    }
}

static void formatted_times_read_back(void **state) {
    (void)state;
    char text[40];
    for (int64_t us = -3 * SL_DAY_US; us < 3 * SL_DAY_US; us += 77777777) {
        int64_t back;
        size_t n = sl_time_format(us, text);
        assert_true(sl_time_parse(text, n, &back));
        assert_int_equal(back, us);
    }
    assert_int_equal(sl_time_format(0, text), 20);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    assert_int_equal(sl_time_floor(-1, SL_MINUTE_US), -SL_MINUTE_US);
}

static void durations_need_a_unit(void **state) {
    (void)state;
    int64_t us;
    assert_true(sl_duration_parse("250ms", 5, &us) && us == 250000);
    assert_true(sl_duration_parse("7d", 2, &us) && us == 7 * SL_DAY_US);
    assert_true(sl_duration_parse("0s", 2, &us) && us == 0);
    assert_false(sl_duration_parse("10", 2, &us));
    assert_false(sl_duration_parse("ms", 2, &us));
    assert_false(sl_duration_parse("1x", 2, &us));
    assert_false(sl_duration_parse("99999999999999999h", 18, &us));
}

static void crc32c_answers_rfc_3720(void **state) {
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, 32);
    assert_int_equal(sl_crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    assert_int_equal(sl_crc32c(0, bytes, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(sl_crc32c(0, bytes, 32), 0x46dd794eu);
    assert_int_equal(sl_crc32c(0, "123456789", 9), 0xe3069283u);
}

static void hardware_crc_equals_the_portable_one(void **state) {
    (void)state;
    static uint8_t bytes[10000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i >> 3);
    for (size_t n = 0; n < sizeof bytes; n += n < 64 ? 1 : 97)
        for (size_t at = 0; at < 3; at++) {
            uint32_t want = sl_crc32c_portable(7, bytes + at, n - (n > at ? at : n));
            size_t length = n - (n > at ? at : n);
            assert_int_equal(sl_crc32c(7, bytes + at, length), want);
            size_t half = length / 3;
            assert_int_equal(
                sl_crc32c(sl_crc32c(7, bytes + at, half), bytes + at + half, length - half), want);
            assert_int_equal(sl_crc32c_join(sl_crc32c(7, bytes + at, half), sl_crc32c(0, bytes + at + half, length - half),
                                            length - half),
                             want);
        }
}

static void hash_in_pieces_equals_hash_of_the_whole(void **state) {
    (void)state;
    static const char text[] = "the quick brown fox jumps over the lazy dog";
    sl_hasher *h = sl_hasher_create();
    assert_non_null(h);
    sl_hasher_add(h, text, 10);
    sl_hasher_add(h, text + 10, sizeof text - 10);
    sl_hash128 a = sl_hasher_sum(h), b = sl_hash128_of(text, sizeof text), c;
    assert_true(a.low == b.low && a.high == b.high);
    char hex[33];
    sl_hash128_text(a, hex);
    assert_true(sl_hash128_parse(hex, &c));
    assert_true(a.low == c.low && a.high == c.high);
    assert_false(sl_hash128_parse("x", &c));
    sl_hasher_destroy(h);
}

static void metrics_print_in_prometheus_form(void **state) {
    (void)state;
    sl_metrics *m = sl_metrics_create();
    assert_non_null(m);
    sl_metric *a = sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_x_total", "Xs.", "k=\"1\"");
    assert_ptr_equal(sl_metrics_get(m, SL_METRIC_COUNTER, "sluice_x_total", "Xs.", "k=\"1\""), a);
    sl_metric_add(a, 41);
    sl_metric_add(a, 1);
    sl_metric_set(sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_lag_seconds", "Lag.", ""), 1500000);
    sl_buffer b = SL_BUFFER_EMPTY;
    sl_metrics_print(m, &b);
    assert_string_equal(sl_buffer_cstr(&b), "# HELP sluice_x_total Xs.\n"
                                            "# TYPE sluice_x_total counter\n"
                                            "sluice_x_total{k=\"1\"} 42\n"
                                            "# HELP sluice_lag_seconds Lag.\n"
                                            "# TYPE sluice_lag_seconds gauge\n"
                                            "sluice_lag_seconds 1.500000\n");
    sl_buffer_fini(&b);
    for (uint64_t n = 1; n < 4; n++) {
        sl_memory_fail_at(n);
        assert_non_null(sl_metrics_get(m, SL_METRIC_GAUGE, "sluice_other", "O.", "n=\"x\""));
    }
    sl_memory_fail_at(0);
    sl_metrics_destroy(m);
}

/** What a message of these pairs writes to stderr, as text or JSON. */
static void message_is(bool json, const char *pairs, const char *expected) {
    int ends[2], kept = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    sl_message_configure(SL_LEVEL_INFO, json, false);
    sl_message(SL_LEVEL_INFO, "a", "e", "%s", pairs);
    sl_message_configure(SL_LEVEL_INFO, false, false);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    char line[512];
    ssize_t length = read(ends[0], line, sizeof line - 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(kept);
    assert_true(length > 0);
    line[length] = 0;
    const char *behind = strstr(line, json ? "\"event\":\"e\"" : "event=\"e\"");
    assert_non_null(behind);
    assert_string_equal(behind + (json ? 11 : 9), expected);
}

static void quotes_within_a_message_do_not_end_it(void **state) {
    (void)state;
    message_is(false, "table=t error=\"no \"a\" in \"b\"\" tries=3", " table=t error=\"no \\\"a\\\" in \\\"b\\\"\" tries=3\n");
    message_is(true, "table=t error=\"no \"a\" in \"b\"\" tries=3", ",\"table\":\"t\",\"error\":\"no \\\"a\\\" in \\\"b\\\"\",\"tries\":\"3\"}\n");
    message_is(false, "error=\"cut of", " error=\"cut of\"\n");
    message_is(true, "error=\"\"", ",\"error\":\"\"}\n");
    message_is(false, "", "\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_within_a_message_do_not_end_it),
        cmocka_unit_test(every_status_has_name_and_text),
        cmocka_unit_test(error_contexts_stand_in_front),
        cmocka_unit_test(budget_refuses_beyond_its_limit),
        cmocka_unit_test(arena_blocks_are_reused_after_reset),
        cmocka_unit_test(buffer_failure_sticks),
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test(json_strings_are_escaped_and_valid),
        cmocka_unit_test(dates_agree_with_the_calendar),
        cmocka_unit_test(times_of_rfc_3339_are_read),
        cmocka_unit_test(formatted_times_read_back),
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(crc32c_answers_rfc_3720),
        cmocka_unit_test(hardware_crc_equals_the_portable_one),
        cmocka_unit_test(hash_in_pieces_equals_hash_of_the_whole),
        cmocka_unit_test(metrics_print_in_prometheus_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
