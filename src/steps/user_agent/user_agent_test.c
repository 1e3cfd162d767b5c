// Rules made for a purpose, and, where they lie beside the checkout, the published rules
// with their test cases.

#include "internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>
#include <yaml.h>
#include <zlib.h>

static const char small[] =
    "user_agent_parsers:\n"
    "  - regex: '(Minefield|Shiretoko)/(\\d+)\\.(\\d+)\\.(\\d+(?:pre)?)'\n"
    "    family_replacement: 'Firefox ($1)'\n"
    "  - regex: '(Chrome)/(\\d+)'\n"
    "    v2_replacement: '7'\n"
    "  - regex: '(x?)y(z)'\n"
    "os_parsers:\n"
    "  - regex: 'Win(95|98)'\n"
    "    os_replacement: ' Windows $1 '\n"
    "  - regex: '(Linux) (\\d+)_(\\d+)_(\\d+)_(\\d+)'\n"
    "unknown_parsers: [{a: [b, {c: d}]}]\n"
    "device_parsers:\n"
    "  - regex: '; *(PEDI)_(PLUS)_(W) Build'\n"
    "    device_replacement: 'Odys $1 $2 $3'\n"
    "    brand_replacement: 'Odys'\n"
    "    model_replacement: '$1 $2 $3$9'\n"
    "  - regex: 'k(indle)'\n"
    "    regex_flag: 'i'\n"
    "    brand_replacement: '$2'\n";

static sl_user_agent_rules *load(const char *yaml) {
    sl_user_agent_rules *rules = NULL;
    sl_error error = {0};
    if (sl_user_agent_rules_load(yaml, strlen(yaml), &rules, &error) != SL_OK)
        fail_msg("%s", error.text);
    return rules;
}

static const uint32_t nowhere[SL_UA_PARTS] = {0};

static sl_user_agent_step *parser(const sl_user_agent_rules *rules) {
    sl_user_agent_step *step = NULL;
    assert_int_equal(sl_user_agent_step_create(rules, 1, nowhere, 0, &step), SL_OK);
    return step;
}

static void expect_part(const sl_user_agent_text *parts, sl_user_agent_part part,
                        const char *expected, const char *of) {
    const sl_user_agent_text *got = &parts[part];
    bool same = expected == NULL
                    ? got->bytes == NULL
                    : got->bytes != NULL && got->length == strlen(expected) &&
                          memcmp(got->bytes, expected, got->length) == 0;
    if (!same)
        fail_msg(
            "%s: %s is \"%.*s\"%s, expected \"%s\"", of, sl_user_agent_part_path(part),
            (int)got->length, got->bytes != NULL ? got->bytes : "",
            got->bytes != NULL ? "" : " (null)", expected != NULL ? expected : "(null)");
}

static void expect(const char *text, sl_user_agent_part part, const char *expected) {
    sl_user_agent_rules *rules = load(small);
    sl_user_agent_step *step = parser(rules);
    sl_user_agent_text parts[SL_UA_PARTS];
    sl_user_agent_parse(step, text, strlen(text), true, parts);
    expect_part(parts, part, expected, text);
    sl_user_agent_parse(step, text, strlen(text), false, parts);
    expect_part(parts, part, expected, text);
    sl_user_agent_step_destroy(step);
    sl_user_agent_rules_unref(rules);
}

static void replacements_and_groups_make_the_answer(void **state) {
    (void)state;
    const char *text = "Mozilla/5.0 (Win95) Minefield/4.0.1pre";
    expect(text, SL_UA_BROWSER_FAMILY, "Firefox (Minefield)");
    expect(text, SL_UA_BROWSER_MAJOR, "4");
    expect(text, SL_UA_BROWSER_PATCH, "1pre");
    expect(text, SL_UA_OS_FAMILY, "Windows 95");
    // Without a replacement the first group is the family, the second the major version.
    expect(text, SL_UA_OS_MAJOR, NULL);
    expect(text, SL_UA_DEVICE_FAMILY, "Other");
    expect(text, SL_UA_DEVICE_BRAND, NULL);
}

static void first_group_stands_in_for_a_family_without_replacement(void **state) {
    (void)state;
    expect("Chrome/55", SL_UA_BROWSER_FAMILY, "Chrome");
    expect("Chrome/55", SL_UA_BROWSER_MAJOR, "55");
    expect("Chrome/55", SL_UA_BROWSER_MINOR, "7");
    expect("Linux 1_2_3_4", SL_UA_OS_PATCH, "3");
    expect("Linux 1_2_3_4", SL_UA_OS_PATCH_MINOR, "4");
    expect("Linux 1_2_3_4", SL_UA_DEVICE_FAMILY, "Other");
}

static void groups_without_part_are_empty_and_empty_is_null(void **state) {
    (void)state;
    const char *text = "a; PEDI_PLUS_W Build/1";
    expect(text, SL_UA_DEVICE_FAMILY, "Odys PEDI PLUS W");
    expect(text, SL_UA_DEVICE_MODEL, "PEDI PLUS W");
    expect("KINDLE", SL_UA_DEVICE_FAMILY, "INDLE");
    expect("KINDLE", SL_UA_DEVICE_BRAND, NULL);
    expect("yz", SL_UA_BROWSER_FAMILY, NULL);
    expect("yz", SL_UA_BROWSER_MAJOR, "z");
}

static void nothing_that_matches_is_other(void **state) {
    (void)state;
    sl_user_agent_rules *rules = load(small);
    sl_user_agent_step *step = parser(rules);
    sl_user_agent_text parts[SL_UA_PARTS];
    assert_false(sl_user_agent_parse(step, "curl", 4, true, parts));
    expect_part(parts, SL_UA_BROWSER_FAMILY, "Other", "curl");
    expect_part(parts, SL_UA_OS_FAMILY, "Other", "curl");
    expect_part(parts, SL_UA_DEVICE_FAMILY, "Other", "curl");
    assert_false(sl_user_agent_parse(step, "Chrome/5\xff", 9, true, parts));
    expect_part(parts, SL_UA_BROWSER_FAMILY, "Other", "not UTF-8");
    sl_user_agent_step_destroy(step);
    sl_user_agent_rules_unref(rules);
}

static void other_cases_beyond_ascii_reach_the_rules(void **state) {
    (void)state;
    expect("\xe2\x84\xaa"
           "indle",
           SL_UA_DEVICE_FAMILY, "indle"); // The Kelvin sign is a k in another case.
}

static void only_the_beginning_of_a_long_string_counts(void **state) {
    (void)state;
    char text[SL_USER_AGENT_BYTES_MAX + 32];
    memset(text, 'a', sizeof text);
    sl_user_agent_rules *rules = load(small);
    sl_user_agent_step *step = parser(rules);
    sl_user_agent_text parts[SL_UA_PARTS];
    memcpy(text + SL_USER_AGENT_BYTES_MAX - 9, "Chrome/55", 9);
    assert_true(sl_user_agent_parse(step, text, sizeof text, true, parts));
    memset(text, 'a', sizeof text);
    memcpy(text + SL_USER_AGENT_BYTES_MAX - 7, "Chrome/55", 9);
    assert_false(sl_user_agent_parse(step, text, sizeof text, true, parts));
    sl_user_agent_step_destroy(step);
    sl_user_agent_rules_unref(rules);
}

static void refuse(const char *yaml, sl_status status, const char *words) {
    sl_user_agent_rules *rules = NULL;
    sl_error error = {0};
    assert_int_equal(sl_user_agent_rules_load(yaml, strlen(yaml), &rules, &error),
                     status);
    assert_null(rules);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", error.text, words);
}

static void broken_rules_are_refused_with_their_line(void **state) {
    (void)state;
    refuse("", SL_ESYNTAX, "user_agent_parsers");
    refuse("a: [", SL_ESYNTAX, "line ");
    refuse("- x\n", SL_ESYNTAX, "a mapping");
    refuse("user_agent_parsers:\n  - regex: 'a'\n", SL_EINVAL, "os_parsers is missing");
    refuse("user_agent_parsers:\n  - regex: '(a'\nos_parsers:\n  - regex: "
           "'b'\ndevice_parsers:\n  - regex: 'c'\n",
           SL_EINVAL, "line 2: the regex is wrong at its character 3");
    refuse("user_agent_parsers:\n  - family_replacement: 'a'\n", SL_EINVAL,
           "without regex");
    refuse("user_agent_parsers: a\n", SL_ESYNTAX, "line 1: a list of rules");
    refuse("user_agent_parsers:\n  - a\n", SL_ESYNTAX, "line 2: a rule");
    refuse("user_agent_parsers:\n  - regex: [a]\n", SL_ESYNTAX, "line 2: a string");
    refuse("user_agent_parsers:\n  - regex: a\n    regex_flag: m\n", SL_EINVAL,
           "line 3: the only regex_flag");
    refuse("user_agent_parsers:\n  - &x {regex: a}\n  - *x\n", SL_ESYNTAX,
           "line 3: aliases");
}

// ---- Literals
// --------------------------------------------------------------------------------------------

static void literals(const char *regex, bool caseless, const char *expected) {
    sl_arena arena;
    sl_arena_init(&arena, 4096);
    literal_set set;
    assert_true(
        sl_user_agent_literals(regex, (uint32_t)strlen(regex), caseless, &arena, &set));
    char got[512] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < set.count; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, "%s%s", i == 0 ? "" : "|",
                               set.text[i]);
    if (strcmp(got, expected) != 0)
        fail_msg("%s: \"%s\", expected \"%s\"", regex, got, expected);
    sl_arena_fini(&arena);
}

static void literals_are_what_every_match_contains(void **state) {
    (void)state;
    literals("(Minefield|Shiretoko)/(\\d+)", false, "minefield/|shiretoko/");
    literals("; *(PEDI)_(PLUS)_(W) Build", false, "pedi_plus_w build");
    literals("[Bb]ai[Dd]u(?:spider|)", false, "baidu");
    literals("(?:abcd|efgh.*)x", false, "abcd|efgh");
    literals("abc(?:x|yz)?def", false, "abcdef|abcxdef|abcyzdef");
    literals("qqq+r", false, "qqq");
    literals("(?:zq){1,2}w", false, "zq");
    literals("^zonk$", false, "zonk");
    literals("zon(?=k)k", false, "zonk");
    literals("zonk {0,2}q", false, "zonkq|zonk q|zonk  q");
    literals("A\\.B\\/C", false, "a.b/c");
}

static void expressions_without_literals_say_so(void **state) {
    (void)state;
    static const char *const none[] = {
        ".*",      "a?",        "(?:abc|)",    "(?:abc|.*)", "[abc]x*", "\\d+\\.\\d",
        "(?i)abc", "(a)bcd\\1", "\\x41bcd",    "abc{,3}",    "a*b*",    "(?:ab)*",
        "a|bcd",   "abc(",      "[[:alpha:]]", "(?<n>abc)",  "\\Qabc"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        literals(none[i], false, "");
    literals("\xc3\xa9t\xc3\xa9", true, "");
    literals("\xc3\xa9t\xc3\xa9", false, "\xc3\xa9t\xc3\xa9");
}

// ---- Columns
// ---------------------------------------------------------------------------------------------

typedef struct bench {
    sl_user_agent_rules *rules;
    sl_schema *schema;
    sl_batch *batch;
    sl_user_agent_step *step;
    uint32_t fields[SL_UA_PARTS];
    uint8_t raw[4096];
    size_t used;
} bench;
static const sl_record record = {0};

static void set_up(bench *b, size_t cache_bytes) {
    memset(b, 0, sizeof *b);
    b->rules = load(small);
    b->schema = sl_schema_create("s");
    uint32_t from = sl_schema_add(b->schema, 0, "ua", 2, SL_TYPE_STRING);
    assert_int_equal(sl_user_agent_declare(b->schema, "device", b->fields, NULL), SL_OK);
    b->batch = sl_batch_create(NULL);
    assert_int_equal(
        sl_user_agent_step_create(b->rules, from, b->fields, cache_bytes, &b->step),
        SL_OK);
}

static void tear_down(bench *b) {
    sl_user_agent_step_destroy(b->step);
    sl_batch_destroy(b->batch);
    sl_schema_unref(b->schema);
    sl_user_agent_rules_unref(b->rules);
}

static void prepare(bench *b) {
    assert_int_equal(sl_batch_prepare(b->batch, b->schema, b->raw, &record), SL_OK);
    b->used = 0;
}

static void add_row(bench *b, const char *text, sl_verdict verdict) {
    uint32_t row = b->batch->rows++;
    b->batch->verdict[row] = (uint8_t)verdict;
    b->batch->row_record[row] = 0;
    b->batch->columns[1].valid[row] = text != NULL;
    if (text == NULL)
        return;
    memcpy(b->raw + b->used, text, strlen(text));
    b->batch->columns[1].values.span[row] =
        (sl_span){(uint32_t)b->used, (uint32_t)strlen(text)};
    b->used += strlen(text);
}

static void expect_cell(const bench *b, const char *path, uint32_t row,
                        const char *expected) {
    uint32_t field = sl_schema_find(b->schema, path);
    assert_int_not_equal(field, SL_NO_FIELD);
    if (sl_batch_present(b->batch, field, row) != (expected != NULL))
        fail_msg("%s of row %u is %s", path, row, expected != NULL ? "null" : "there");
    if (expected == NULL)
        return;
    sl_span span = b->batch->columns[field].values.span[row];
    if (span.length != strlen(expected) ||
        memcmp(sl_batch_text(b->batch, span), expected, span.length) != 0)
        fail_msg("%s of row %u is \"%.*s\", expected \"%s\"", path, row, (int)span.length,
                 (const char *)sl_batch_text(b->batch, span), expected);
}

static void fill_five(bench *b) {
    prepare(b);
    add_row(b, "Chrome/55", SL_VERDICT_KEEP);
    add_row(b, NULL, SL_VERDICT_KEEP);
    add_row(b, "curl", SL_VERDICT_KEEP);
    add_row(b, "Win98 Chrome/56", SL_VERDICT_FILTERED);
    add_row(b, "Chrome/55", SL_VERDICT_KEEP);
}

static void check_five(bench *b) {
    sl_enrich_counts counts = {0};
    assert_int_equal(sl_user_agent_step_run(b->step, b->batch, &counts), SL_OK);
    for (uint32_t row = 0; row < 5; row += 4) {
        expect_cell(b, "device.browser.family", row, "Chrome");
        expect_cell(b, "device.browser.major", row, "55");
        expect_cell(b, "device.browser.minor", row, "7");
        expect_cell(b, "device.browser.patch", row, NULL);
        expect_cell(b, "device.os.family", row, "Other");
    }
    expect_cell(b, "device.browser.family", 1, NULL);
    expect_cell(b, "device.browser.family", 2, "Other");
    expect_cell(b, "device.browser.family", 3, NULL);
    assert_int_equal(b->batch->columns[sl_schema_find(b->schema, "device")].valid[1], 0);
    assert_int_equal(counts.rows, 4);
    assert_int_equal(counts.hits, 2);
    assert_int_equal(counts.misses, 1);
    assert_int_equal(counts.absent, 1);
    assert_int_equal(b->batch->verdict[1], SL_VERDICT_KEEP);
}

static void kept_rows_get_columns_and_no_event_is_lost(void **state) {
    (void)state;
    for (int cached = 0; cached < 2; cached++) {
        bench b;
        set_up(&b, cached ? 1 : 0);
        for (int round = 0; round < 3; round++) {
            fill_five(&b);
            check_five(&b);
        }
        sl_user_agent_figures figures = sl_user_agent_step_figures(b.step);
        assert_int_equal(figures.cache_misses, cached ? 2 : 9);
        assert_int_equal(figures.cache_hits, cached ? 7 : 0);
        tear_down(&b);
    }
}

static void a_field_of_another_type_or_none_is_absent(void **state) {
    (void)state;
    bench b;
    set_up(&b, 0);
    sl_schema *older = sl_schema_create("s");
    sl_schema_add(older, 0, "ua", 2, SL_TYPE_INT64);
    assert_int_equal(sl_batch_prepare(b.batch, older, b.raw, &record), SL_OK);
    b.batch->rows = 2;
    memset(b.batch->verdict, SL_VERDICT_KEEP, 2);
    memset(b.batch->columns[1].valid, 1, 2);
    sl_enrich_counts counts = {0};
    assert_int_equal(sl_user_agent_step_run(b.step, b.batch, &counts), SL_OK);
    assert_int_equal(counts.absent, 2);
    sl_schema_unref(older);
    tear_down(&b);
}

static void newer_rules_answer_from_the_next_batch_on(void **state) {
    (void)state;
    bench b;
    set_up(&b, 1);
    fill_five(&b);
    check_five(&b);
    sl_user_agent_rules *newer =
        load("user_agent_parsers:\n  - regex: '(Chr)ome'\nos_parsers:\n  - regex: '(x)'\n"
             "device_parsers:\n  - regex: '(x)'\n");
    assert_int_equal(sl_user_agent_step_use(b.step, newer), SL_OK);
    sl_user_agent_rules_unref(newer);
    fill_five(&b);
    sl_enrich_counts counts = {0};
    assert_int_equal(sl_user_agent_step_run(b.step, b.batch, &counts), SL_OK);
    expect_cell(&b, "device.browser.family", 0, "Chr");
    expect_cell(&b, "device.browser.major", 0, NULL);
    tear_down(&b);
}

static void more_strings_than_fit_are_answered_all_the_same(void **state) {
    (void)state;
    bench b;
    set_up(&b, 1);
    for (unsigned i = 0; i < 20000; i++) {
        char text[64], major[16];
        snprintf(major, sizeof major, "%u", i * 7919 % 3001);
        snprintf(text, sizeof text, "Chrome/%s some more text", major);
        prepare(&b);
        add_row(&b, text, SL_VERDICT_KEEP);
        sl_enrich_counts counts = {0};
        assert_int_equal(sl_user_agent_step_run(b.step, b.batch, &counts), SL_OK);
        expect_cell(&b, "device.browser.major", 0, major);
    }
    assert_true(sl_user_agent_step_memory(b.step) < 100000);
    tear_down(&b);
}

static void out_of_memory_is_a_status_wherever_it_happens(void **state) {
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        sl_user_agent_rules *rules = NULL;
        sl_user_agent_step *step = NULL;
        sl_schema *schema = sl_schema_create("s");
        sl_schema_add(schema, 0, "ua", 2, SL_TYPE_STRING);
        bench b = {.schema = schema, .batch = sl_batch_create(NULL)};
        sl_enrich_counts counts = {0};
        sl_memory_fail_at(n);
        sl_status status =
            sl_user_agent_rules_load(small, sizeof small - 1, &rules, NULL);
        if (status == SL_OK)
            status = sl_user_agent_declare(schema, "device", b.fields, NULL);
        if (status == SL_OK)
            status = sl_user_agent_step_create(rules, 1, b.fields, 1, &step);
        if (status == SL_OK)
            status = sl_user_agent_step_use(step, rules);
        if (status == SL_OK)
            status = sl_batch_prepare(b.batch, schema, b.raw, &record);
        if (status == SL_OK) {
            add_row(&b, "Chrome/55", SL_VERDICT_KEEP);
            status = sl_user_agent_step_run(step, b.batch, &counts);
        }
        failed = sl_memory_calls() >= n;
        sl_memory_fail_at(0);
        // A just-in-time compiler that gets no memory is done without.
        assert_true(status == SL_OK || (failed && status == SL_ENOMEM));
        if (status == SL_OK)
            expect_cell(&b, "device.browser.family", 0, "Chrome");
        sl_user_agent_step_destroy(step);
        sl_user_agent_rules_unref(rules);
        sl_batch_destroy(b.batch);
        sl_schema_unref(schema);
    }
}

// ---- The published rules and cases
// ------------------------------------------------------------------------------

static sl_user_agent_rules *published;

static const char *data_path(const char *name) {
    static char path[4096];
    const char *root = getenv("SLUICE_SHARED_DATA");
    snprintf(path, sizeof path, "%s/useragent/%s",
             root != NULL ? root : SLUICE_DATA_DEFAULT, name);
    return path;
}

static bool load_published(void) {
    if (published != NULL)
        return true;
    FILE *file = fopen(data_path("regexes.yaml"), "rb");
    if (file == NULL) {
        print_message("skipped: no %s (set SLUICE_SHARED_DATA)\n",
                      data_path("regexes.yaml"));
        return false;
    }
    sl_buffer yaml = SL_BUFFER_EMPTY;
    char block[65536];
    for (size_t got; (got = fread(block, 1, sizeof block, file)) != 0;)
        sl_buffer_append(&yaml, block, got);
    fclose(file);
    published = load(sl_buffer_cstr(&yaml));
    sl_buffer_fini(&yaml);
    return true;
}

typedef struct expectation {
    const char *key;
    sl_user_agent_part part;
} expectation;

static unsigned check_case(sl_user_agent_step *step, const json_t *line,
                           const expectation *keys, size_t count) {
    const char *text = json_string_value(json_object_get(line, "user_agent_string"));
    sl_user_agent_text plain[SL_UA_PARTS], filtered[SL_UA_PARTS];
    char kept[SL_UA_PARTS][1024];
    sl_user_agent_parse(step, text, strlen(text), false, plain);
    for (unsigned i = 0; i < SL_UA_PARTS; i++)
        snprintf(kept[i], sizeof kept[i], "%.*s", (int)plain[i].length,
                 plain[i].bytes != NULL ? plain[i].bytes : "");
    bool was_null[SL_UA_PARTS];
    for (unsigned i = 0; i < SL_UA_PARTS; i++)
        was_null[i] = plain[i].bytes == NULL;
    sl_user_agent_parse(step, text, strlen(text), true, filtered);
    for (unsigned i = 0; i < SL_UA_PARTS; i++)
        expect_part(filtered, (sl_user_agent_part)i, was_null[i] ? NULL : kept[i], text);
    for (size_t i = 0; i < count; i++)
        expect_part(filtered, keys[i].part,
                    json_string_value(json_object_get(line, keys[i].key)), text);
    return 1;
}

static void check_file(const char *name, const expectation *keys, size_t count,
                       unsigned expected) {
    if (!load_published())
        return;
    gzFile file = gzopen(data_path(name), "rb");
    assert_non_null(file);
    sl_user_agent_step *step = parser(published);
    static char line[1 << 16];
    unsigned cases = 0;
    while (gzgets(file, line, sizeof line) != NULL) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        if (json_object_get(object, "js_ua") == NULL)
            cases += check_case(step, object, keys, count);
        json_decref(object);
    }
    gzclose(file);
    sl_user_agent_step_destroy(step);
    assert_int_equal(cases, expected);
}

static void published_browser_cases_pass(void **state) {
    (void)state;
    static const expectation keys[] = {{"family", SL_UA_BROWSER_FAMILY},
                                       {"major", SL_UA_BROWSER_MAJOR},
                                       {"minor", SL_UA_BROWSER_MINOR},
                                       {"patch", SL_UA_BROWSER_PATCH}};
    check_file("uap_ua_half_a.jsonl.gz", keys, 4, 7337);
}

static void published_os_cases_pass(void **state) {
    (void)state;
    static const expectation keys[] = {{"family", SL_UA_OS_FAMILY},
                                       {"major", SL_UA_OS_MAJOR},
                                       {"minor", SL_UA_OS_MINOR},
                                       {"patch", SL_UA_OS_PATCH},
                                       {"patch_minor", SL_UA_OS_PATCH_MINOR}};
    check_file("uap_os_half_a.jsonl.gz", keys, 5, 257);
}

static void published_device_cases_pass(void **state) {
    (void)state;
    static const expectation keys[] = {{"family", SL_UA_DEVICE_FAMILY},
                                       {"brand", SL_UA_DEVICE_BRAND},
                                       {"model", SL_UA_DEVICE_MODEL}};
    check_file("uap_device_half_a.jsonl.gz", keys, 3, 8054);
}

// ---- The cases that Debian's package brings for its own rules
// ---------------------------------------------------

#define PACKAGE "/usr/share/uap-core/"

static char *slurp_package(const char *name, size_t *length) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", PACKAGE, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("skipped: no %s (package uap-core)\n", path);
        return NULL;
    }
    sl_buffer bytes = SL_BUFFER_EMPTY;
    char block[65536];
    for (size_t got; (got = fread(block, 1, sizeof block, file)) != 0;)
        sl_buffer_append(&bytes, block, got);
    fclose(file);
    *length = bytes.length;
    return (char *)bytes.bytes;
}

typedef struct published_case {
    char key[8][32], value[8][1024];
    unsigned count;
} published_case;

static const char *member_of(const published_case *c, const char *key) {
    for (unsigned i = 0; i < c->count; i++)
        if (strcmp(c->key[i], key) == 0)
            return c->value[i][0] != 0 ? c->value[i] : NULL;
    return NULL;
}

static void check_published(sl_user_agent_step *step, const published_case *c,
                            uint32_t list) {
    static const char *const keys[LISTS][6] = {
        {"family", "major", "minor", "patch"},
        {"family", "major", "minor", "patch", "patch_minor"},
        {"family", "brand", "model"}};
    const char *text = member_of(c, "user_agent_string");
    if (member_of(c, "js_ua") != NULL)
        return;
    if (text == NULL)
        text = ""; // One case is the string of no length.
    sl_user_agent_text parts[SL_UA_PARTS];
    sl_user_agent_parse(step, text, strlen(text), true, parts);
    for (uint32_t i = 0; i < sl_user_agent_lists[list].parts; i++)
        expect_part(parts, sl_user_agent_lists[list].part[i].part,
                    member_of(c, keys[list][i]), text);
}

// test_cases: a list of mappings from words to scalars. Nulls are empty, "~" or "null".
static unsigned check_package_file(sl_user_agent_step *step, const char *name,
                                   uint32_t list) {
    size_t length = 0;
    char *yaml = slurp_package(name, &length);
    if (yaml == NULL)
        return 0;
    static published_case c;
    yaml_parser_t parser;
    yaml_event_t event;
    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, length);
    unsigned cases = 0, depth = 0;
    bool key = true, more = true;
    while (more) {
        assert_true(yaml_parser_parse(&parser, &event));
        if (event.type == YAML_MAPPING_START_EVENT && ++depth == 2) {
            c.count = 0;
            key = true;
        } else if (event.type == YAML_MAPPING_END_EVENT && depth-- == 2) {
            check_published(step, &c, list);
            cases++;
        } else if (event.type == YAML_SCALAR_EVENT && depth == 2) {
            const char *text = (const char *)event.data.scalar.value;
            bool null = event.data.scalar.plain_implicit &&
                        event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                        (strcmp(text, "null") == 0 || strcmp(text, "~") == 0);
            assert_true(c.count < 8);
            if (key)
                snprintf(c.key[c.count], sizeof c.key[0], "%s", text);
            else
                snprintf(c.value[c.count++], sizeof c.value[0], "%s", null ? "" : text);
            key = !key;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    sl_free(yaml);
    return cases;
}

static void cases_of_debians_package_pass(void **state) {
    (void)state;
    size_t length = 0;
    char *yaml = slurp_package("regexes.yaml", &length);
    if (yaml == NULL)
        return;
    sl_user_agent_rules *rules;
    assert_int_equal(sl_user_agent_rules_load(yaml, length, &rules, NULL), SL_OK);
    sl_free(yaml);
    sl_user_agent_step *step = parser(rules);
    unsigned cases = check_package_file(step, "tests/test_ua.yaml", LIST_BROWSER);
    cases += check_package_file(step, "tests/test_os.yaml", LIST_OS);
    cases += check_package_file(step, "tests/test_device.yaml", LIST_DEVICE);
    cases += check_package_file(step, "test_resources/firefox_user_agent_strings.yaml",
                                LIST_BROWSER);
    cases += check_package_file(step, "test_resources/additional_os_tests.yaml", LIST_OS);
    cases += check_package_file(step, "test_resources/opera_mini_user_agent_strings.yaml",
                                LIST_BROWSER);
    cases += check_package_file(step, "test_resources/podcasting_user_agent_strings.yaml",
                                LIST_BROWSER);
    cases +=
        check_package_file(step, "test_resources/pgts_browser_list.yaml", LIST_BROWSER);
    print_message("%u cases of Debian's uap-core\n", cases);
    assert_true(cases > 1000);
    sl_user_agent_step_destroy(step);
    sl_user_agent_rules_unref(rules);
}

static int forget_published(void **state) {
    (void)state;
    sl_user_agent_rules_unref(published);
    published = NULL;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replacements_and_groups_make_the_answer),
        cmocka_unit_test(first_group_stands_in_for_a_family_without_replacement),
        cmocka_unit_test(groups_without_part_are_empty_and_empty_is_null),
        cmocka_unit_test(nothing_that_matches_is_other),
        cmocka_unit_test(other_cases_beyond_ascii_reach_the_rules),
        cmocka_unit_test(only_the_beginning_of_a_long_string_counts),
        cmocka_unit_test(broken_rules_are_refused_with_their_line),
        cmocka_unit_test(literals_are_what_every_match_contains),
        cmocka_unit_test(expressions_without_literals_say_so),
        cmocka_unit_test(kept_rows_get_columns_and_no_event_is_lost),
        cmocka_unit_test(a_field_of_another_type_or_none_is_absent),
        cmocka_unit_test(newer_rules_answer_from_the_next_batch_on),
        cmocka_unit_test(more_strings_than_fit_are_answered_all_the_same),
        cmocka_unit_test(out_of_memory_is_a_status_wherever_it_happens),
        cmocka_unit_test(published_browser_cases_pass),
        cmocka_unit_test(published_os_cases_pass),
        cmocka_unit_test(published_device_cases_pass),
        cmocka_unit_test(cases_of_debians_package_pass),
    };
    return cmocka_run_group_tests(tests, NULL, forget_published);
}
