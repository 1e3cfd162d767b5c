// sluice tap and sluice top: the reader of /metrics, rates, the page, URLs and indented JSON.

#include "exposition.h"
#include "figures.h"
#include "private.h"

#include "sluice/config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* --- /metrics --- */

static void write_down(void *context, const exposition_series *s) {
    sl_buffer *out = context;
    sl_buffer_printf(out, "%s", s->name);
    for (size_t i = 0; i < s->label_count; i++)
        sl_buffer_printf(out, "[%s=%s]", s->labels[i].name, s->labels[i].value);
    sl_buffer_printf(out, " %g\n", s->value);
}

static void reads(const char *text, const char *want, size_t bad) {
    sl_buffer out = SL_BUFFER_EMPTY;
    assert_int_equal(exposition_read(text, strlen(text), write_down, &out), bad);
    assert_string_equal(sl_buffer_cstr(&out), want);
    sl_buffer_fini(&out);
}

static void series_are_read_as_any_server_writes_them(void **state) {
    (void)state;
    reads("", "", 0);
    reads("# HELP a b\n# TYPE a counter\n#\n\n  \na 1\nb_total 2.5", "a 1\nb_total 2.5\n", 0);
    reads("a{} 1\r\na{x=\"\"} -1e3 1395066363000\n\t a:b { x = \"1\" , y=\"2\", } +Inf\t\n",
          "a 1\na[x=] -1000\na:b[x=1][y=2] inf\n", 0);
    reads("a{p=\"C:\\\\d\\n\\\"q\\\"}{,=\"} NaN\n", "a[p=C:\\d\n\"q\"}{,=] nan\n", 0);
}

static void lines_that_are_none_are_counted_and_passed_over(void **state) {
    (void)state;
    reads("a\n{x=\"1\"} 1\n1a 1\na{x=1} 1\na{x=\"1} 1\na{x=\"1\" y=\"2\"} 1\na{x=\"\\t\"} 1\na b\na 1 2 3\na{,} 1\ngood 1\n", "good 1\n", 10);
}

static void what_is_too_long_isnt_understood(void **state) {
    (void)state;
    sl_buffer text = SL_BUFFER_EMPTY;
    for (int extra = 0; extra < 2; extra++) {
        sl_buffer_clear(&text);
        for (int i = 0; i < EXPOSITION_TEXT - 1 + extra; i++)
            sl_buffer_byte(&text, 'n');
        sl_buffer_text(&text, " 1\n");
        sl_buffer out = SL_BUFFER_EMPTY;
        assert_int_equal(exposition_read((const char *)text.bytes, text.length, write_down, &out), (size_t)extra);
        sl_buffer_fini(&out);
        sl_buffer_clear(&text);
        sl_buffer_text(&text, "a{");
        for (int i = 0; i < EXPOSITION_LABELS + extra; i++)
            sl_buffer_printf(&text, "l%d=\"x\",", i);
        sl_buffer_text(&text, "} 1\n");
        assert_int_equal(exposition_read((const char *)text.bytes, text.length, write_down, &out), (size_t)extra);
        sl_buffer_fini(&out);
    }
    sl_buffer_fini(&text);
}

/* --- rates --- */

static void rates_come_from_two_counters_and_the_time_between(void **state) {
    (void)state;
    assert_true(figures_rate(10, 30, 2) == 10);
    assert_true(figures_rate(10, 10, 2) == 0);
    assert_true(isnan(figures_rate(30, 10, 2))); /* It fell: another process. */
    assert_true(isnan(figures_rate(NAN, 10, 2)));
    assert_true(isnan(figures_rate(10, NAN, 2)));
    assert_true(isnan(figures_rate(10, 30, 0)));
}

static void numbers_fit_their_columns(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *number, *bytes;
    } cases[] = {{0, "0", "0 B"},           {7, "7", "7 B"},           {0.25, "0.2", "0 B"},
                 {99.4, "99.4", "99 B"},    {999, "999", "999 B"},     {999.6, "1.0k", "1000 B"},
                 {1023.4, "1.0k", "1023 B"}, {1024, "1.0k", "1.0 KiB"}, {123456, "123k", "121 KiB"},
                 {999999, "1.0M", "977 KiB"}, {5e9, "5.0G", "4.7 GiB"}, {1e18, "1000P", "888 PiB"},
                 {NAN, "-", "-"},           {INFINITY, "-", "-"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char number[16], bytes[16];
        view_number(cases[i].value, number);
        view_bytes(cases[i].value, bytes);
        assert_string_equal(number, cases[i].number);
        assert_string_equal(bytes, cases[i].bytes);
    }
}

/* --- a page --- */

static const char metrics_format[] =
    "sluice_requests_total %d\nsluice_accepted_events_total %d\nsluice_rejected_events_total %d\n"
    "sluice_cpu_seconds_total %d.5\nsluice_workers 2\nsluice_memory_used_bytes 1048576\nsluice_memory_limit_bytes 2097152\n"
    "sluice_buffer_byte_size{buffer=\"journal\"} 2048\nsluice_buffer_byte_size{buffer=\"spool\"} 0\n"
    "sluice_oldest_uncommitted_seconds 1.5\nsluice_oldest_uncommitted_seconds{table=\"clicks/lake\"} 1.5\n"
    "sluice_http_replies_total{status=\"2xx\"} %d\nsluice_http_replies_total{status=\"4xx\"} 0\nsluice_http_replies_total{status=\"5xx\"} 0\n"
    "sluice_received_events_total{stream=\"clicks\"} %d\nsluice_received_bytes_total{stream=\"clicks\"} %d\n"
    "sluice_refused_events_total{stream=\"clicks\"} %d\nsluice_late_events_total{stream=\"clicks\"} 0\n"
    "sluice_received_events_total{stream=\"apples\"} 5\n"
    "sluice_received_events_total{stream=\"_unrouted\"} 0\nsluice_table_stalled{table=\"_unrouted/dead_letters\"} 0\n"
    "sluice_sent_events_total{table=\"clicks/lake\"} %d\nsluice_sent_bytes_total{table=\"clicks/lake\"} 0\n"
    "sluice_table_stalled{table=\"clicks/lake\"} %d\n";
static const char state_text[] =
    "{\"journal\":{\"begin\":0,\"end\":5000},\"position\":5000,\"ready\":true,\"streams\":[{\"name\":\"clicks\",\"watermark\":"
    "\"2026-01-01T00:00:00Z\",\"tables\":[{\"name\":\"clicks/lake\",\"cursor\":904,\"undelivered\":3,\"stalled\":false}]}]}";

static figures moment(int n, double at_s, bool stalled) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_printf(&text, metrics_format, n, 10 * n, n / 10, n / 100, n, 11 * n, 1024 * n, n / 10, 7 * n, stalled);
    figures f;
    sl_error error;
    assert_int_equal(figures_read((const char *)text.bytes, text.length, state_text, strlen(state_text), at_s, &f, &error), SL_OK);
    sl_buffer_fini(&text);
    return f;
}

static void shows(const view *v, const char *want) {
    sl_buffer out = SL_BUFFER_EMPTY;
    view_print(v, &out);
    assert_string_equal(sl_buffer_cstr(&out), want);
    sl_buffer_fini(&out);
}

static void page_shows_what_changed_between_two_moments(void **state) {
    (void)state;
    figures before = moment(100, 10, false), now = moment(300, 12, true);
    view v = {.address = "http://h:1", .before = &before, .now = &now, .columns = 100};
    static const char want[] =
        "sluice http://h:1\n"
        "in          100 requests/s    1.0k events/s      10 refused/s\n"
        "replies     100 2xx/s       0 4xx/s       0 5xx/s\n"
        "cpu        1.00 cores, 2 workers   memory 1.0 MiB of 2.0 MiB\n"
        "disk     journal 2.0 KiB, spool 0 B   not yet in the pipeline 0 B   oldest undelivered 1.5 s\n"
        "\n"
"STREAM                        EVENTS/S      BYTES/S   DEAD/S   LATE/S   DUPL/S  WATERMARK\n"
        "apples                               0            -        -        -        -  \n"
        "clicks                            1.1k      100 KiB       10        0        -  2026-01-01T00:00:00Z\n"
        "\n"
        "TABLE                           ROWS/S      BYTES/S      BACKLOG  ENTRIES   OLDEST  STATE\n"
        "clicks/lake                        700          0 B      4.0 KiB        3    1.5 s  stalled\n";
    shows(&v, want);
    v.lines = 3; /* A low window shows the top of it. */
    sl_buffer out = SL_BUFFER_EMPTY;
    view_print(&v, &out);
    assert_memory_equal(sl_buffer_cstr(&out), want, out.length);
    unsigned lines = 0;
    for (size_t i = 0; i < out.length; i++)
        lines += out.bytes[i] == '\n';
    assert_int_equal(lines, 3);
    sl_buffer_fini(&out);
    figures_fini(&before);
    figures_fini(&now);
}

static const char *line_of(sl_buffer *page, const char *start) {
    const char *at = strstr(sl_buffer_cstr(page), start);
    assert_non_null(at);
    return at;
}

static void page_says_what_is_wrong(void **state) {
    (void)state;
    figures before = moment(300, 10, false), now = moment(100, 12, false);
    assert_true(figures_restarted(&before, &now));
    assert_false(figures_restarted(&now, &before));
    view v = {.address = "a", .before = &before, .now = &now, .columns = 120, .restarted = true};
    sl_buffer out = SL_BUFFER_EMPTY;
    view_print(&v, &out);
    (void)line_of(&out, "sluice a  restarted\nin            - requests/s");
    sl_buffer_clear(&out);
    v.trouble = "connect to a: refused\033[2J";
    view_print(&v, &out);
    (void)line_of(&out, "sluice a  away: connect to a: refused?[2J (tried again)\nin   "); /* The last figures stay. */
    sl_buffer_clear(&out);
    v.now = v.before = NULL;
    view_print(&v, &out);
    assert_string_equal(sl_buffer_cstr(&out), "sluice a  away: connect to a: refused?[2J (tried again)\n");
    sl_buffer_fini(&out);
    figures_fini(&before);
    figures_fini(&now);
}

static void rows_are_sorted_as_asked(void **state) {
    (void)state;
    figures before = moment(100, 10, false), now = moment(300, 12, false);
    view v = {.address = "a", .before = &before, .now = &now, .columns = 120, .order = VIEW_BY_RATE};
    sl_buffer out = SL_BUFFER_EMPTY;
    view_print(&v, &out);
    assert_true(line_of(&out, "\nclicks ") < line_of(&out, "\napples "));
    sl_buffer_fini(&out);
    figures_fini(&before);
    figures_fini(&now);
}

static void what_no_daemon_says_is_refused(void **state) {
    (void)state;
    static const char metrics[] = "sluice_accepted_events_total 1\n";
    figures f;
    sl_error error;
    assert_int_equal(figures_read("x 1\n", 4, "{}", 2, 1, &f, &error), SL_ESYNTAX);
    assert_int_equal(figures_read(metrics, sizeof metrics - 1, "<html>", 6, 1, &f, &error), SL_ESYNTAX);
    assert_int_equal(figures_read(metrics, sizeof metrics - 1, "{\"streams\":[1,{\"name\":2}]}", 26, 1, &f, &error), SL_OK);
    assert_int_equal(f.stream_count, 0);
    figures_fini(&f);
    for (uint64_t n = 1;; n++) {
        sl_memory_fail_at(n);
        sl_status status = figures_read(metrics, sizeof metrics - 1, state_text, strlen(state_text), 1, &f, &error);
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_int_equal(status, all ? SL_OK : SL_ENOMEM);
        figures_fini(&f);
        if (all)
            break;
    }
}

/* --- URLs, refusals, JSON on several lines --- */

static void the_admin_port_is_asked_where_it_listens(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"127.0.0.1:8080", "http://127.0.0.1:8080"},
                                           {"0.0.0.0:8081", "http://127.0.0.1:8081"},
                                           {"[::]:1", "http://[::1]:1"},
                                           {"[::1]:1", "http://[::1]:1"},
                                           {"db:9", "http://db:9"}};
    sl_buffer out = SL_BUFFER_EMPTY, cert = SL_BUFFER_EMPTY;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sl_buffer_clear(&out);
        char listen[32], other[] = "other:1", own[] = "own.pem";
        (void)snprintf(listen, sizeof listen, "%s", cases[i][0]);
        sl_config config = {.admin.listen = listen, .http = {.listen = other, .tls_cert = own}};
        assert_null(sl_config_admin_url(&config, &out));
        assert_string_equal(sl_buffer_cstr(&out), cases[i][1]);
        sl_buffer_clear(&out);
        config.http.listen = listen; /* One port, with its TLS. */
        assert_ptr_equal(sl_config_admin_url(&config, &out), own);
        assert_memory_equal(sl_buffer_cstr(&out), "https://", 8);
        assert_string_equal(sl_buffer_cstr(&out) + 8, cases[i][1] + 7);
    }
    sl_buffer_clear(&out);
    assert_int_equal(watch_address("h:1//", NULL, &out, &cert), 0);
    assert_string_equal(sl_buffer_cstr(&out), "http://h:1");
    assert_int_equal(cert.length, 0);
    sl_buffer_clear(&out);
    watch_escape("a b&c='\xc3\xbc'~", &out);
    assert_string_equal(sl_buffer_cstr(&out), "a%20b%26c%3D%27%C3%BC%27~");
    sl_buffer_fini(&out);
    sl_buffer_fini(&cert);
}

static void refusals_say_their_message(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    static const char json[] = "{\"error\":{\"code\":\"tap\",\"message\":\"no\\n ^\"}}";
    watch_refusal(json, sizeof json - 1, &out);
    watch_refusal("<html>\n<body>", 13, &out);
    assert_string_equal(sl_buffer_cstr(&out), "no\n ^<html>");
    sl_buffer_fini(&out);
}

static void json_is_indented_and_keeps_its_bytes(void **state) {
    (void)state;
    sl_buffer out = SL_BUFFER_EMPTY;
    static const char json[] = "{\"a\":{},\"b\":[1,{\"c\":\"{\\\",:[\"}],\"d\":1.10}";
    watch_indent(json, sizeof json - 1, &out);
    assert_string_equal(sl_buffer_cstr(&out), "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": \"{\\\",:[\"\n    }\n  ],\n  \"d\": 1.10\n}");
    sl_buffer_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_are_read_as_any_server_writes_them),
        cmocka_unit_test(lines_that_are_none_are_counted_and_passed_over),
        cmocka_unit_test(what_is_too_long_isnt_understood),
        cmocka_unit_test(rates_come_from_two_counters_and_the_time_between),
        cmocka_unit_test(numbers_fit_their_columns),
        cmocka_unit_test(page_shows_what_changed_between_two_moments),
        cmocka_unit_test(page_says_what_is_wrong),
        cmocka_unit_test(rows_are_sorted_as_asked),
        cmocka_unit_test(what_no_daemon_says_is_refused),
        cmocka_unit_test(the_admin_port_is_asked_where_it_listens),
        cmocka_unit_test(refusals_say_their_message),
        cmocka_unit_test(json_is_indented_and_keeps_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
