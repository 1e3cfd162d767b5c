// What `format` takes, and what it refuses.

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "contract_test_help.h"

static void formats_follow_their_grammars(void **state) {
    (void)state;
    static const struct {
        const char *format, *text;
        bool good;
    } cases[] = {
        {"date-time", "1963-06-19T08:30:06.283185Z", true},
        {"date-time", "1998-12-31T15:59:60.123-08:00", true},
        {"date-time", "1998-12-31T23:58:60Z", false},
        {"date-time", "1963-06-19 08:30:06Z", false},
        {"date-time", "1990-02-31T15:59:59.123-08:00", false},
        {"date-time", "1963-06-19t08:30:06z", true},
        {"date-time", "1963-06-19T08:30:06", false},
        {"time",
         "08:30:06.12345678901234567890123456789012345678901234567890123456789+01:00",
         true},
        {"time",
         "08:30:06.1234567890123456789012345678901234567890123456789012x456789+01:00",
         false},
        {"time", "08:30:06", false},
        {"duration", "P3D", true},
        {"duration", "P3DT", false},
        {"duration", "PT1S", true},
        {"duration", "PW", false},
        {"email", "joe.bloggs@example.com", true},
        {"email", "te~st@example.com", true},
        {"email", "\\\"joe bloggs\\\"@example.com", true},
        {"email", "\\\"joe\\\"bloggs\\\"@example.com", false},
        {"email", "joe.bloggs@[127.0.0.1]", true},
        {"email", "joe.bloggs@[IPv6:::1]", true},
        {"email", "joe.bloggs@[127.0.0.300]", false},
        {"email", ".test@example.com", false},
        {"email", "te..st@example.com", false},
        {"email", "test.@example.com", false},
        {"email", "joe@invalid=domain.com", false},
        {"email", "2962", false},
        {"email", "@x.y", false},
        {"email", "a@", false},
        {"hostname", "www.example.com", true},
        {"hostname", "xn--4gbwdl.xn--wgbh1c", true},
        {"hostname", "-a.example", false},
        {"hostname", "a-.example", false},
        {"hostname", "not_a_host", false},
        {"hostname", "a.", false},
        {"hostname", ".a", false},
        {"hostname", "", false},
        {"hostname", "ab--cd", false},
        {"hostname", "xn--X", false},
        {"hostname", "1host", true},
        {"hostname",
         "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcd.com", false},
        {"ipv4", "192.168.0.1", true},
        {"ipv4", "127.0.0.0.1", false},
        {"ipv4", "256.256.256.256", false},
        {"ipv4", "087.10.0.1", false},
        {"ipv4", "0x7f000001", false},
        {"ipv6", "::1", true},
        {"ipv6", "::", true},
        {"ipv6", "1::", true},
        {"ipv6", "1:2:3:4:5:6:7:8", true},
        {"ipv6", "1:2:3:4:5:6:7::", true},
        {"ipv6", "1:2:3:4:5:6:7:8::", false},
        {"ipv6", "1:2:3:4:5:6:7", false},
        {"ipv6", "::ffff:192.168.0.1", true},
        {"ipv6", "1:2:3:4:5:6:192.168.0.1", true},
        {"ipv6", "1:2:3:4:5:6:7:192.168.0.1", false},
        {"ipv6", "1::2::3", false},
        {"ipv6", ":1::2", false},
        {"ipv6", "1:", false},
        {"ipv6", "12345::", false},
        {"ipv6", "fe80::a%eth1", false},
        {"ipv6", "::192.168.0.1:1", false},
        {"uri", "http://foo.bar/?baz=qux#quux", true},
        {"uri", "urn:oasis:names:specification:docbook:dtd:xml:4.1.2", true},
        {"uri", "http://[::1]:80/%41", true},
        {"uri", "http://[v7.a:b]/", true},
        {"uri", "http://[::1/", false},
        {"uri", "//foo.bar/", false},
        {"uri", "/abc", false},
        {"uri", "http:// shouldfail.com", false},
        {"uri", "http://a/%4", false},
        {"uri", "bar,baz:foo", false},
        {"uri", "http://foo.bar/\xc3\xa4", false},
        {"iri", "http://foo.bar/\xc3\xa4", true},
        {"uuid", "2EB8AA08-aa98-11ea-b4aa-73b441d16380", true},
        {"uuid", "2eb8aa08aa9811eab4aa73b441d16380", false},
        {"json-pointer", "/foo/bar~0/baz~1/%a", true},
        {"json-pointer", "/foo/bar~", false},
        {"relative-json-pointer", "0#", true},
        {"relative-json-pointer", "01/a", false},
        {"regex", "^a(b|c)+$", true},
        {"regex", "^(a", false},
        {"regex", "\\\\Z", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char schema[64], text[256];
        snprintf(schema, sizeof schema, "{\"format\":\"%s\"}", cases[i].format);
        snprintf(text, sizeof text, "\"%s\"", cases[i].text);
        if (cases[i].good)
            good(schema, text);
        else
            bad(schema, text);
    }
    good("{\"format\":\"ipv4\"}", "7");
}

static void international_names_follow_idna(void **state) {
    (void)state;
    // A label and its form in ASCII are good or bad together.
    static const struct {
        const char *label, *ascii;
        bool good;
    } cases[] = {
        {"\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4", "xn--3e0bk47br7k", true},
        {"fa\xc3\x9f", "xn--fa-hia", true},
        {"fa\xc3\x9f", "XN--FA-HIA", true},
        {"l\xc2\xb7l", "xn--ll-0ea", true},
        {"a\xc2\xb7l", "xn--al-0ea", false},
        {"\xce\xb1\xcd\xb5\xce\xb2", "xn--wva3je", true},
        {"\xd7\x90\xd7\xb3", "xn--4db4e", true},
        {"\xd7\xb3\xd7\x90", "xn--4db3e", false},
        {"\xe3\x82\xab\xe3\x83\xbb\xe3\x82\xab", "xn--lcka3v", true},
        {"def\xe3\x83\xbb"
         "abc",
         "xn--defabc-k64e", false},
        {"\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\xb7", "xn--11b2ezcw70k", true},
        {"\xe0\xa4\x95\xe2\x80\x8d\xe0\xa4\xb7", "xn--11b2er09f", false},
        {"\xd8\xa8\xd9\x8a\xe2\x80\x8c\xd8\xa8\xd9\x8a", "xn--ngba5hb2804a", true},
        {"\xd9\x80", "xn--chb", false},
        {"\xef\xb9\x97", "xn--xb7c", false},
        {"\xc3\x84", "xn--7ba", false},
        {"\xe3\x80\xae\xed\x95\x9c", "xn--07j5780c", false},
        {"\xd9\xa0\xdb\xb0", "xn--8hb53b", false},
        // RFC 5893: a digit before, a Latin letter beside a Hebrew one; both digits.
        {"0\xd8\xa7", "xn--0-zmc", false},
        {"a\xd7\x90", "xn--a-0hc", false},
        {"\xd7\x90"
         "0",
         "xn--0-zhc", true},
        {"\xd7\x90"
         "0\xd9\xa0",
         "xn--0-zhc74b", false},
        {"\xd7\x90-\xd7\x91", "xn----zhce", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char host[128], international[128];
        snprintf(host, sizeof host, "\"www.%s\"", cases[i].ascii);
        snprintf(international, sizeof international, "\"www.%s\"", cases[i].label);
        void (*judge)(const char *, const char *) = cases[i].good ? good : bad;
        judge("{\"format\":\"hostname\"}", host);
        judge("{\"format\":\"idn-hostname\"}", host);
        judge("{\"format\":\"idn-hostname\"}", international);
        bad("{\"format\":\"hostname\"}", international);
    }
    // One name, one rule: beside a label from right to left none begins with a digit.
    bad("{\"format\":\"idn-hostname\"}", "\"0a.\xd7\x90\"");
    bad("{\"format\":\"hostname\"}", "\"0a.xn--4db\"");
    bad("{\"format\":\"email\"}", "\"joe@xn--4db.1.org\"");
    good("{\"format\":\"idn-hostname\"}", "\"a0.\xd7\x90\"");
    good("{\"format\":\"idn-hostname\"}", "\"0a.\xc3\xa4\"");
    // 63 bytes in ASCII, and one more.
    char text[128] = "\"\xc3\xa4";
    for (int i = 0; i < 55; i++)
        strcat(text, "a");
    strcat(text, "\"");
    good("{\"format\":\"idn-hostname\"}", text);
    for (int i = 0; i < 4; i++)
        memcpy(text + strlen(text) - 1, "a\"", 3);
    bad("{\"format\":\"idn-hostname\"}", text);
    bad("{\"format\":\"hostname\"}", "\"xn--aaa-\"");
    bad("{\"format\":\"hostname\"}", "\"xn--99999999\"");
    good("{\"format\":\"idn-email\"}", "\"\xc3\xa4@\xc3\xa4.de\"");
    bad("{\"format\":\"email\"}", "\"\xc3\xa4@a.de\"");
}

static void a_space_may_stand_for_the_t_where_the_decoder_takes_it(void **state) {
    (void)state;
    sl_contract_options options = {.spaced_times = true};
    const char *schema = "{\"format\":\"date-time\"}";
    assert_string_equal(verdict_with(schema, "\"1963-06-19 08:30:06Z\"", &options), "");
    bad(schema, "\"1963-06-19 08:30:06Z\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_follow_their_grammars),
        cmocka_unit_test(international_names_follow_idna),
        cmocka_unit_test(a_space_may_stand_for_the_t_where_the_decoder_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
