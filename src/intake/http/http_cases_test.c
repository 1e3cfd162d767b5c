/* llhttp's own request cases: whatever it calls an error must be refused here too,
 * however the bytes are cut. */
#include "http_peer.h"

#include <jansson.h>
#include <stdlib.h>

static char *cases_path(void) {
    static char path[1024];
    const char *base = getenv("SLUICE_SHARED_DATA");
    (void)snprintf(path, sizeof path, "%s/http/llhttp_request_cases.jsonl",
                   base != NULL ? base : SLUICE_SHARED_DATA_DEFAULT);
    return path;
}

static size_t from_base64(const char *text, uint8_t *out) {
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned count = 0;
    size_t length = 0;
    for (; *text != 0 && *text != '='; text++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *text) - digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[length++] = (uint8_t)(bits >> count);
        }
    }
    return length;
}

static peer talk(const uint8_t *bytes, size_t length, size_t step) {
    peer p = {0};
    assert_true(peer_open(&p));
    for (size_t at = 0; at < length; at += step)
        peer_feed(&p, bytes + at, step < length - at ? step : length - at);
    sl_http_connection_finish(p.connection);
    return p;
}

/* Codes that are no errors of the request: llhttp pauses for an upgrade, and data after a
 * close. */
#define CODE_CLOSED 5
#define CODE_PAUSED_UPGRADE 22

static void check_case(const json_t *one, bool *is_error) {
    static uint8_t bytes[65536];
    size_t length =
        from_base64(json_string_value(json_object_get(one, "input_b64")), bytes);
    const char *id = json_string_value(json_object_get(one, "id"));
    bool strict = json_is_true(json_object_get(one, "strict_mode_case"));
    json_int_t code = json_integer_value(json_object_get(one, "llhttp_error_code"));
    json_int_t complete = json_integer_value(json_object_get(one, "messages_complete"));
    /* The file's last line end is not in the bytes. */
    memcpy(bytes + length, "\r\n", 2);
    length += 2;
    peer whole = talk(bytes, length, length);
    *is_error = strict && code != 0;
    bool refused = strstr(peer_output(&whole), "HTTP/1.1 4") != NULL ||
                   strstr(peer_output(&whole), "HTTP/1.1 5") != NULL ||
                   (whole.output.length > 12 && whole.output.bytes[12] == 7); /* HTTP/2's GOAWAY. */
    if (strict && whole.handled > complete)
        fail_msg("%s: %u requests taken, llhttp has %lld", id, whole.handled,
                 (long long)complete);
    if (*is_error && code != CODE_CLOSED && code != CODE_PAUSED_UPGRADE && !refused)
        fail_msg("%s is not refused: %s", id, peer_output(&whole));
    if (!sl_http_connection_wants_close(whole.connection))
        fail_msg("%s: the connection stays open", id);
    for (size_t step = 1; step < 20; step += 3) {
        peer cut = talk(bytes, length, step);
        assert_string_equal(peer_output(&cut), peer_output(&whole));
        assert_string_equal(sl_buffer_cstr(&cut.log), sl_buffer_cstr(&whole.log));
        peer_close(&cut);
    }
    peer_close(&whole);
}

static void what_llhttp_refuses_is_refused(void **state) {
    (void)state;
    FILE *file = fopen(cases_path(), "r");
    if (file == NULL) {
        print_message("skipped: no %s (set SLUICE_SHARED_DATA)\n", cases_path());
        skip();
    }
    static char line[1 << 20];
    unsigned cases = 0, errors = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *one = json_loads(line, 0, NULL);
        bool is_error;
        assert_non_null(one);
        check_case(one, &is_error);
        cases++;
        errors += is_error;
        json_decref(one);
    }
    (void)fclose(file);
    assert_int_equal(cases, 166);
    print_message("%u cases, %u strict errors\n", cases, errors);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_llhttp_refuses_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
