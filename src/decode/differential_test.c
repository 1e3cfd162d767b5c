// The decoder against other judges: jansson on random documents, strtod on numbers, the
// variants against each other on everything, and files whose names say whether they are
// JSON.
//
// SLUICE_TEST_SEED sets the seed, SLUICE_TEST_ROUNDS how many documents (default 5,000).

#include "number.h"

#include "decode_testing.h"
#include "schema_of.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

static uint64_t seed_state;

static uint32_t below(uint32_t limit) {
    // SplitMix64 (Steele, Lea, Flood 2014).
    uint64_t z = (seed_state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ z >> 31) >> 16) % limit;
}

static uint64_t random64(void) {
    return (uint64_t)below(1 << 22) << 42 ^ (uint64_t)below(1 << 21) << 21 ^
           below(1 << 21);
}

// --- documents

static void random_spaces(sl_buffer *out) {
    static const char spaces[] = " \t\r\n";
    while (below(12) == 0)
        sl_buffer_byte(out, (uint8_t)spaces[below(3) == 0 ? below(4) : 0]);
}

static void random_character(sl_buffer *out) {
    static const char *const some[] = {
        "é",    "東",  "😀",       "\\n",     "\\\"",
        "\\\\", "\\/", "\\u00e9", "\\u20ac", "\\ud83d\\ude00",
        "\\t",  "\x7f"};
    if (below(6) == 0)
        sl_buffer_text(out, some[below(sizeof some / sizeof *some)]);
    else
        sl_buffer_byte(
            out, (uint8_t)("abcdefghijklmnopqrstuvwxyz 0123456789{}[],:'"[below(44)]));
}

static void random_string(sl_buffer *out) {
    sl_buffer_byte(out, '"');
    uint32_t length = below(8) == 0 ? below(120) : below(12);
    while (length-- > 0)
        random_character(out);
    sl_buffer_byte(out, '"');
}

static void random_number(sl_buffer *out) {
    if (below(4) == 0)
        sl_buffer_byte(out, '-');
    switch (below(5)) {
    case 0:
        sl_buffer_printf(out, "%u", below(100));
        break;
    case 1:
        sl_buffer_printf(out, "%u.%0*u", below(100000), (int)below(12) + 1, below(1000));
        break;
    case 2:
        sl_buffer_printf(out, "%u%09u", 1 + below(100000000), below(1000000000));
        break;
    case 3:
        sl_buffer_printf(out, "%.17g", ldexp((double)random64(), (int)below(40) - 50));
        break;
    default:
        sl_buffer_printf(out, "%u.%ue%c%u", below(10), below(1000), "+-"[below(2)],
                         below(30));
        break;
    }
}

static const char *const known_keys[] = {"id", "n", "x", "b", "t", "d", "m", "list", "g"};

static void random_value(sl_buffer *out, unsigned depth);

/** A value that the column of the key takes, more or less. */
static void fitting_value(sl_buffer *out, uint32_t key) {
    switch (key) {
    case 0:
        random_string(out);
        break;
    case 1:
        sl_buffer_printf(out, "%d", (int)below(2000000) - 1000000);
        break;
    case 2:
        random_number(out);
        break;
    case 3:
        sl_buffer_text(out, below(2) == 0 ? "true" : "false");
        break;
    case 4:
        sl_buffer_printf(out, "\"2026-0%u-1%uT1%u:00:0%u%s\"", 1 + below(9), below(10),
                         below(10), below(10),
                         (const char *[]){"Z", ".25Z", "+01:00"}[below(3)]);
        break;
    case 5:
        sl_buffer_printf(out, "\"19%02u-0%u-0%u\"", below(100), 1 + below(9),
                         1 + below(9));
        break;
    case 6:
        sl_buffer_printf(out, below(2) == 0 ? "\"%u.%u\"" : "%u.%u", below(1000000),
                         below(1000));
        break;
    case 7:
        sl_buffer_text(out, "[ 1,\"]\", {}]");
        break;
    default:
        sl_buffer_printf(out, "{\"k\":\"%u\",\"h\":{\"k\":%u}}", below(10), below(10));
        break;
    }
}

static void random_members(sl_buffer *out, unsigned depth) {
    static const char *const inner_keys[] = {"k", "v", "h"};
    uint32_t count = below(depth < 2 ? 10 : 4);
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0)
            sl_buffer_byte(out, ',');
        random_spaces(out);
        uint32_t key = below(3) == 0 ? UINT32_MAX : below(depth == 0 ? 9 : 3);
        if (key == UINT32_MAX)
            random_string(out);
        else
            sl_buffer_printf(out, "\"%s\"",
                             depth == 0 ? known_keys[key] : inner_keys[key]);
        random_spaces(out);
        sl_buffer_byte(out, ':');
        random_spaces(out);
        if (depth == 0 && key != UINT32_MAX && below(3) != 0)
            fitting_value(out, key);
        else
            random_value(out, depth + 1);
        random_spaces(out);
    }
}

static void random_value(sl_buffer *out, unsigned depth) {
    switch (below(depth > 5 ? 6 : 8)) {
    case 0:
        sl_buffer_text(out, (const char *[]){"true", "false", "null"}[below(3)]);
        break;
    case 1:
    case 2:
        random_number(out);
        break;
    case 3:
        sl_buffer_printf(out, "\"20%02u-%02u-%02uT%02u:00:%02u%sZ\"", below(100),
                         below(14), below(32), below(25), below(61),
                         (const char *[]){"", ".5", ".123456789"}[below(3)]);
        break;
    case 4:
    case 5:
        random_string(out);
        break;
    case 6:
        sl_buffer_byte(out, '{');
        random_members(out, depth);
        sl_buffer_byte(out, '}');
        break;
    default:
        sl_buffer_byte(out, '[');
        random_spaces(out);
        for (uint32_t i = below(5); i > 0; i--) {
            random_value(out, depth + 1);
            if (i > 1)
                sl_buffer_byte(out, ',');
        }
        sl_buffer_byte(out, ']');
        break;
    }
}

static void random_document(sl_buffer *out) {
    sl_buffer_byte(out, '{');
    random_spaces(out);
    random_members(out, 0);
    sl_buffer_byte(out, '}');
}

/** Break some bytes. */
static void mutate(sl_buffer *b) {
    static const char likely[] = "\"\\{}[]:,0123456789-+.eEtfnu \n\x01\x80\xC3\xED\xF4";
    for (uint32_t n = 1 + below(3); n > 0 && b->length > 0; n--) {
        uint32_t at = below((uint32_t)b->length);
        switch (below(4)) {
        case 0:
            b->bytes[at] = (uint8_t)below(256);
            break;
        case 1:
            b->bytes[at] = (uint8_t)likely[below(sizeof likely - 1)];
            break;
        case 2:
            memmove(b->bytes + at, b->bytes + at + 1, b->length - at - 1);
            b->length--;
            break;
        default:
            b->length = at;
            break;
        }
    }
}

// --- judges

/** 1 valid, 0 not, -1 when jansson has limits of its own. */
static int oracle(const uint8_t *bytes, size_t length) {
    json_error_t error;
    json_t *json =
        json_loadb((const char *)bytes, length,
                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (json != NULL) {
        json_decref(json);
        return 1;
    }
    enum json_error_code code = json_error_code(&error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
                   code == json_error_stack_overflow
               ? -1
               : 0;
}

static sl_schema *schemas[3];

static int make_schemas(void **state) {
    (void)state;
    static const char text[] =
        "{\"type\":\"object\",\"properties\":{"
        "\"id\":{\"type\":\"string\"},\"n\":{\"type\":[\"integer\",\"null\"]},"
        "\"x\":{\"type\":[\"number\",\"null\"]},\"b\":{\"type\":\"boolean\"},"
        "\"t\":{\"type\":\"string\",\"format\":\"date-time\"},"
        "\"d\":{\"type\":\"string\",\"format\":\"date\"},"
        "\"m\":{\"type\":\"number\",\"x-decimal\":[18,4]},\"list\":{\"type\":\"array\"},"
        "\"g\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"},"
        "\"v\":{\"type\":\"integer\"},\"h\":{\"type\":\"object\",\"properties\":{"
        "\"k\":{\"type\":\"number\"}}}}}}}";
    if (schema_of(text, true, &schemas[0], NULL) != SL_OK)
        return -1;
    // The same as inferred, and an inferred one that knows nothing.
    schemas[1] = sl_schema_copy(schemas[0]);
    schemas[2] = sl_schema_create("s");
    if (schemas[1] == NULL || schemas[2] == NULL)
        return -1;
    schemas[1]->inferred = schemas[2]->inferred = true;
    schemas[2]->rest = sl_schema_add(schemas[2], 0, "_rest", 5, SL_TYPE_JSON);
    schemas[2]->fields[schemas[2]->rest].origin = SL_ORIGIN_REST;
    return 0;
}

static int free_schemas(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++)
        sl_schema_unref(schemas[i]);
    return 0;
}

static void show(const char *what, const uint8_t *body, size_t length) {
    fprintf(stderr, "%s:\n%.*s\n", what, (int)length, (const char *)body);
}

/** Every variant, with other bytes behind the body, says the same. @return events
 * accepted. */
static unsigned same_from_all(const sl_schema *schema, const uint8_t *body,
                              size_t length) {
    sl_buffer first = SL_BUFFER_EMPTY;
    static const int fills[] = {' ', '"', '}'};
    for (int simd = SL_SIMD_SCALAR; simd <= SL_SIMD_AVX2; simd++) {
        sl_decoder_options options = {.simd = (sl_simd)simd};
        uint8_t *copy = padded_copy(body, length, fills[simd - SL_SIMD_SCALAR]);
        sl_buffer out = SL_BUFFER_EMPTY;
        sl_status status = decode_dump(&out, schema, &options, copy, length, true);
        free(copy);
        if (status == SL_EUNSUPPORTED)
            continue;
        assert_int_equal(status, SL_OK);
        if (simd == SL_SIMD_SCALAR) {
            first = out;
            continue;
        }
        if (out.length != first.length ||
            memcmp(out.bytes, first.bytes, out.length) != 0) {
            show("body", body, length);
            show("scalar", first.bytes, first.length);
            show("other", out.bytes, out.length);
            fail();
        }
        sl_buffer_fini(&out);
    }
    const char *text = sl_buffer_cstr(&first), *accepted = NULL;
    for (const char *p = text; (p = strstr(p, "accepted ")) != NULL; p++)
        accepted = p + 9;
    unsigned count = accepted == NULL ? 0 : (unsigned)strtoul(accepted, NULL, 10);
    sl_buffer_fini(&first);
    return count;
}

static void check_document(const uint8_t *bytes, size_t length) {
    int verdict = oracle(bytes, length);
    bool ours = sl_json_valid(bytes, length, NULL);
    if (verdict >= 0 && ours != (verdict == 1)) {
        show(ours ? "only we accept" : "only jansson accepts", bytes, length);
        fail();
    }
    for (int i = 0; i < 3; i++) {
        unsigned accepted = same_from_all(schemas[i], bytes, length);
        // Inference refuses nothing but syntax, so whole objects must come through.
        if (i == 2 && ours && memchr("{", *bytes, 1) != NULL)
            assert_int_equal(accepted, 1);
    }
}

static unsigned rounds(unsigned usual) {
    const char *text = getenv("SLUICE_TEST_ROUNDS");
#if defined(__SANITIZE_THREAD__) // One thread: it would only add minutes.
    usual /= 20;
#endif
    return text == NULL ? usual : (unsigned)strtoul(text, NULL, 10);
}

static void random_documents_are_judged_as_by_jansson(void **state) {
    (void)state;
    unsigned valid = 0, count = rounds(5000);
    for (unsigned i = 0; i < count; i++) {
        sl_buffer b = SL_BUFFER_EMPTY;
        random_document(&b);
        if (below(2) == 0)
            mutate(&b);
        if (b.length != 0) {
            check_document(b.bytes, b.length);
            valid += sl_json_valid(b.bytes, b.length, NULL);
        }
        sl_buffer_fini(&b);
    }
    assert_true(valid > count / 3 && valid < count * 9 / 10);
}

static void random_bodies_decode_the_same_in_all_variants(void **state) {
    (void)state;
    for (unsigned i = 0; i < rounds(5000) / 10; i++) {
        sl_buffer b = SL_BUFFER_EMPTY;
        bool array = below(3) == 0;
        if (array)
            sl_buffer_byte(&b, '[');
        for (uint32_t n = below(30); n > 0; n--) {
            random_document(&b);
            sl_buffer_byte(&b, array && n > 1 ? ',' : '\n');
        }
        if (array)
            sl_buffer_byte(&b, ']');
        if (below(2) == 0)
            mutate(&b);
        for (int k = 0; k < 3; k++)
            same_from_all(schemas[k], b.bytes, b.length);
        sl_buffer_fini(&b);
    }
}

/** jansson's own reading of each member against the columns. */
static void decoded_values_equal_those_of_jansson(void **state) {
    (void)state;
    sl_decoder *decoder;
    sl_decoder_options options = {.simd = SL_SIMD_AUTO};
    assert_int_equal(sl_decoder_create(schemas[1], &options, &decoder), SL_OK);
    sl_batch *batch = sl_batch_create(NULL);
    unsigned compared = 0;
    for (unsigned i = 0; i < rounds(5000); i++) {
        sl_buffer b = SL_BUFFER_EMPTY;
        random_document(&b);
        sl_record record = {.length = (uint32_t)b.length};
        assert_true(sl_buffer_reserve(&b, SL_PADDING));
        json_t *json = json_loadb((const char *)b.bytes, b.length, JSON_ALLOW_NUL, NULL);
        sl_decode_input input = {.record = 0};
        assert_int_equal(sl_batch_prepare(batch, schemas[1], b.bytes, &record), SL_OK);
        assert_int_equal(sl_decode(decoder, batch, &input), SL_OK);
        for (uint32_t f = 1; json != NULL && batch->rows == 1 && f < batch->schema->count;
             f++) {
            const sl_field *field = &batch->schema->fields[f];
            const sl_column *column = &batch->columns[f];
            if (field->parent != 0 || field->origin != SL_ORIGIN_EVENT)
                continue;
            const json_t *member = json_object_get(json, field->name);
            if (!column->valid[0]) {
                if (field->type == SL_TYPE_STRING)
                    assert_false(json_is_string(member));
                // What a double would round is in _rest.
                if (field->type == SL_TYPE_DOUBLE && json_is_integer(member))
                    assert_true(llabs(json_integer_value(member)) > INT64_C(1) << 53);
                else if (field->type == SL_TYPE_DOUBLE)
                    assert_false(json_is_number(member));
                continue;
            }
            compared++;
            if (field->type == SL_TYPE_STRING && json_is_string(member)) {
                sl_span span = column->values.span[0];
                assert_int_equal(span.length, json_string_length(member));
                assert_memory_equal(sl_batch_text(batch, span), json_string_value(member),
                                    span.length);
            } else if (field->type == SL_TYPE_DOUBLE) {
                double value = json_number_value(member);
                assert_true(value == column->values.f64[0]);
            } else if (field->type == SL_TYPE_INT64 && json_is_integer(member)) {
                assert_true(json_integer_value(member) == column->values.i64[0]);
            } else if (field->type == SL_TYPE_BOOL) {
                assert_int_equal(json_is_true(member), column->values.truth[0]);
            } else if (field->type == SL_TYPE_GROUP) {
                assert_true(json_is_object(member));
            } else if (field->type == SL_TYPE_JSON) {
                sl_span span = column->values.span[0];
                json_t *copy =
                    json_loadb((const char *)sl_batch_text(batch, span), span.length,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
                assert_true(json_equal(copy, member));
                json_decref(copy);
            }
        }
        json_decref(json);
        sl_buffer_fini(&b);
    }
    assert_true(compared > rounds(5000));
    sl_batch_destroy(batch);
    sl_decoder_destroy(decoder);
}

/** `_rest` and columns together hold every member: nothing is lost. */
static void rest_is_valid_and_complete(void **state) {
    (void)state;
    sl_decoder *decoder;
    sl_decoder_options options = {.simd = SL_SIMD_AUTO};
    assert_int_equal(sl_decoder_create(schemas[2], &options, &decoder), SL_OK);
    sl_batch *batch = sl_batch_create(NULL);
    for (unsigned i = 0; i < rounds(5000) / 2; i++) {
        sl_buffer b = SL_BUFFER_EMPTY;
        random_document(&b);
        sl_record record = {.length = (uint32_t)b.length};
        assert_true(sl_buffer_reserve(&b, SL_PADDING));
        json_t *json = json_loadb((const char *)b.bytes, b.length, JSON_ALLOW_NUL, NULL);
        sl_decode_input input = {.record = 0};
        assert_int_equal(sl_batch_prepare(batch, schemas[2], b.bytes, &record), SL_OK);
        assert_int_equal(sl_decode(decoder, batch, &input), SL_OK);
        assert_int_equal(batch->rows, 1);
        if (json != NULL && batch->columns[1].valid[0]) {
            // An inferred schema that knows nothing: `_rest` is the whole event, without
            // repeats.
            sl_span span = batch->columns[1].values.span[0];
            json_t *rest = json_loadb((const char *)sl_batch_text(batch, span),
                                      span.length, JSON_ALLOW_NUL, NULL);
            assert_non_null(rest);
            assert_true(json_equal(rest, json));
            json_decref(rest);
        }
        json_decref(json);
        sl_buffer_fini(&b);
    }
    sl_batch_destroy(batch);
    sl_decoder_destroy(decoder);
}

// --- the end of memory

static void nothing_behind_the_padding_is_touched(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *memory =
        mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    uint8_t *limit = memory + 2 * page;
    assert_int_equal(mprotect(limit, page, PROT_NONE), 0);
    for (unsigned i = 0; i < 3000; i++) {
        sl_buffer b = SL_BUFFER_EMPTY;
        random_document(&b);
        if (below(4) != 0)
            b.length = below((uint32_t)b.length + 1);
        if (b.length > page) {
            sl_buffer_fini(&b);
            continue;
        }
        memset(memory, "x\"1{ "[below(5)], 2 * page);
        uint8_t *body = limit - SL_PADDING - b.length;
        if (b.length != 0)
            memcpy(body, b.bytes, b.length);
        for (int simd = SL_SIMD_SCALAR; simd <= SL_SIMD_AVX2; simd++) {
            sl_decoder_options options = {.simd = (sl_simd)simd};
            sl_buffer out = SL_BUFFER_EMPTY;
            sl_status status =
                decode_dump(&out, schemas[i % 3], &options, body, b.length, true);
            assert_true(status == SL_OK || status == SL_EUNSUPPORTED);
            sl_buffer_fini(&out);
        }
        // sl_json_valid() has no padding at all.
        if (b.length != 0)
            memcpy(limit - b.length, b.bytes, b.length);
        bool valid = sl_json_valid(limit - b.length, b.length, NULL);
        if (b.length != 0 && oracle(b.bytes, b.length) >= 0)
            assert_int_equal(valid, oracle(b.bytes, b.length));
        sl_buffer_fini(&b);
    }
    munmap(memory, 3 * page);
}

static void every_alignment_and_string_length_gives_the_same(void **state) {
    (void)state;
    static const char *const ends[] = {"\"}",     "\\n\"}", "é\"}", "\xC3\"}",
                                       "\x01\"}", "",       "\\"};
    for (unsigned length = 0; length < 100; length++) {
        for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
            sl_buffer b = SL_BUFFER_EMPTY;
            for (unsigned offset = length % 33; offset > 0; offset--)
                sl_buffer_byte(&b, ' ');
            sl_buffer_text(&b, "{\"id\":\"");
            for (unsigned i = 0; i < length; i++)
                sl_buffer_byte(&b, 'a');
            sl_buffer_text(&b, ends[e]);
            check_document(b.bytes, b.length);
            sl_buffer_fini(&b);
        }
    }
}

// --- numbers

static void check_number(const char *text) {
    // Quick reader (with room behind) and careful reader must agree with strtod().
    char padded[1200];
    size_t length = strlen(text);
    assert_true(length + 64 < sizeof padded);
    memset(padded, ' ', sizeof padded);
    memcpy(padded, text, length);
    double expected = strtod(text, NULL);
    json_number n;
    const uint8_t *at;
    for (int room = 0; room < 2; room++) {
        const uint8_t *begin = (const uint8_t *)padded;
        const uint8_t *end = begin + length + (room ? 64 : 0);
        const uint8_t *behind = number_scan(begin, end, &n);
        if (behind == NULL)
            behind = sl_number_scan(begin, end, &n, &at);
        if (behind != begin + length)
            fail_msg("%s: not read to its end", text);
        double value = 0;
        bool finite = number_double(&n, &value);
        if (finite != (bool)isfinite(expected) ||
            (finite && memcmp(&value, &expected, sizeof value) != 0))
            fail_msg("%s: %.17g, not %.17g", text, value, expected);
    }
}

static void doubles_are_the_nearest(void **state) {
    (void)state;
    char text[64];
    unsigned count = rounds(5000) * 200;
    for (unsigned i = 0; i < count; i++) {
        uint64_t bits = random64();
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        snprintf(text, sizeof text, "%.*g", 15 + (int)below(6), value);
        char *plus = strstr(text, "e");
        check_number(text);
        if (plus == NULL)
            continue;
        // A smaller exponent, where the 128-bit way is taken.
        snprintf(plus, sizeof text - (size_t)(plus - text), "e%d", (int)below(70) - 35);
        check_number(text);
    }
}

static void short_decimals_are_the_nearest(void **state) {
    (void)state;
    char text[64];
    for (unsigned i = 0; i < rounds(5000) * 80; i++) {
        snprintf(text, sizeof text, "%u.%0*u", below(10000000), 1 + (int)below(9),
                 below(1000000000));
        check_number(text);
        snprintf(text, sizeof text, "%u%05u.%u%09ue%d", 1 + below(1000000), below(100000),
                 below(1000000000), below(1000000000), (int)below(40) - 20);
        check_number(text);
        snprintf(text, sizeof text, "%llue%d",
                 (unsigned long long)(random64() | UINT64_C(1) << 53),
                 (int)below(60) - 30);
        check_number(text);
    }
}

static void halves_between_doubles_round_to_even(void **state) {
    (void)state;
    static const char *const cases[] = {
        "9007199254740993",
        "9007199254740993.0000000000000000000000000000000000000001",
        "9007199254740992.99999999999999999999",
        "4503599627370497.5",
        "4503599627370496.5",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "179769313486231580793728971405301e276",
        "1e23",
        "8.5e22",
        "0.1e-400",
        "1e400",
        "0e400",
        "-0",
        "-0.0",
        "0.000000000000000000000000000000000000001",
        "123456789012345678901234567890",
        "9.5367431640625e-7",
        "7205759403792793e1",
        "1.00000000000000011102230246251565404236316680908203125",
        "1.00000000000000011102230246251565404236316680908203124",
        "1.00000000000000011102230246251565404236316680908203126"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_number(cases[i]);
    char text[1100];
    // A half with a digit far behind that decides; and one that doesn't.
    for (unsigned zeros = 700; zeros < 1000; zeros += 50) {
        memset(text, '0', sizeof text);
        memcpy(text, "9007199254740993.", 17);
        text[17 + zeros] = '1';
        text[18 + zeros] = 0;
        check_number(text);
        text[17 + zeros] = 0;
        check_number(text);
    }
}

// --- files of others

static const char *shared_data(void) {
    const char *path = getenv("SLUICE_SHARED_DATA");
    return path != NULL ? path : SLUICE_SHARED_DATA_DEFAULT;
}

/** Read a file, unpacked when it ends in .gz. */
static bool read_all(const char *path, sl_buffer *out) {
    gzFile file = gzopen(path, "rb");
    if (file == NULL)
        return false;
    int got;
    do {
        assert_true(sl_buffer_reserve(out, 65536));
        got = gzread(file, out->bytes + out->length, 65536);
        out->length += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    gzclose(file);
    return got == 0;
}

typedef void file_fn(const char *name, const sl_buffer *content);

static unsigned each_file(const char *folder, file_fn *visit) {
    char path[1024];
    snprintf(path, sizeof path, "%s/json/%s", shared_data(), folder);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    unsigned count = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.' || strstr(e->d_name, "README") != NULL)
            continue;
        snprintf(path, sizeof path, "%s/json/%s/%s", shared_data(), folder, e->d_name);
        sl_buffer content = SL_BUFFER_EMPTY;
        assert_true(read_all(path, &content));
        visit(e->d_name, &content);
        sl_buffer_fini(&content);
        count++;
    }
    closedir(dir);
    return count;
}

/** What the file's name says. */
static bool named_valid(const char *name) {
    // The suite itself takes these two out: RFC 8259 allows them.
    if (strstr(name, "EXCLUDE") != NULL || strstr(name, "(bignum)") != NULL)
        return true;
    return strncmp(name, "fail", 4) != 0 && strchr(name, '(') == NULL &&
           strncmp(name, "utf16", 5) != 0 && strncmp(name, "utf32", 5) != 0 &&
           strcmp(name, "utf8bom.json") != 0;
}

static void judge_by_name(const char *name, const sl_buffer *content) {
    size_t at = 0;
    bool valid = sl_json_valid(content->bytes, content->length, &at);
    if (valid != named_valid(name))
        fail_msg("%s: %s at %zu", name, valid ? "accepted" : "refused", at);
    for (int i = 0; i < 3; i++)
        same_from_all(schemas[i], content->bytes, content->length);
}

static void files_are_judged_as_named(void **state) {
    (void)state;
    static const char *const folders[] = {"yyjson/test_checker", "yyjson/test_encoding",
                                          "yyjson/test_roundtrip", "yyjson/test_yyjson"};
    unsigned count = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        count += each_file(folders[i], judge_by_name);
    if (count == 0) {
        print_message("skipped: no test data at %s\n", shared_data());
        skip();
    }
    assert_true(count > 200);
}

static void judge_big(const char *name, const sl_buffer *content) {
    bool lines = strstr(name, "ndjson") != NULL;
    assert_int_equal(sl_json_valid(content->bytes, content->length, NULL), !lines);
    for (int i = 0; i < 3; i++)
        same_from_all(schemas[i], content->bytes, content->length);
}

static void big_documents_decode_the_same_in_all_variants(void **state) {
    (void)state;
    if (each_file("simdjson", judge_big) == 0) {
        print_message("skipped: no test data at %s\n", shared_data());
        skip();
    }
}

static unsigned numbers_checked;

static void judge_numbers(const char *name, const sl_buffer *content) {
    bool real = strncmp(name, "real", 4) == 0 || strncmp(name, "int", 3) == 0;
    const uint8_t *end = content->bytes + content->length;
    for (const uint8_t *p = content->bytes, *next; p < end; p = next + 1) {
        next = memchr(p, '\n', (size_t)(end - p));
        if (next == NULL)
            next = end;
        size_t length = (size_t)(next - p);
        while (length > 0 && (p[length - 1] == '\r' || p[length - 1] == ' '))
            length--;
        if (length == 0 || *p == '#' || length > 1000)
            continue;
        char text[1024] = {0};
        memcpy(text, p, length);
        bool valid = sl_json_valid(p, length, NULL);
        int verdict = oracle(p, length);
        if (verdict >= 0 && valid != (verdict == 1))
            fail_msg("%s: %s", name, text);
        if (strstr(name, "(fail)") != NULL && valid)
            fail_msg("%s: %s accepted", name, text);
        if (valid && real) {
            check_number(text);
            numbers_checked++;
        }
    }
}

static void numbers_of_files_are_the_nearest(void **state) {
    (void)state;
    if (each_file("yyjson/num", judge_numbers) == 0) {
        print_message("skipped: no test data at %s\n", shared_data());
        skip();
    }
    assert_true(numbers_checked > 1000);
}

int main(void) {
    const char *seed = getenv("SLUICE_TEST_SEED");
    seed_state = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    print_message("SLUICE_TEST_SEED=%llu\n", (unsigned long long)seed_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_documents_are_judged_as_by_jansson),
        cmocka_unit_test(random_bodies_decode_the_same_in_all_variants),
        cmocka_unit_test(decoded_values_equal_those_of_jansson),
        cmocka_unit_test(rest_is_valid_and_complete),
        cmocka_unit_test(nothing_behind_the_padding_is_touched),
        cmocka_unit_test(every_alignment_and_string_length_gives_the_same),
        cmocka_unit_test(doubles_are_the_nearest),
        cmocka_unit_test(short_decimals_are_the_nearest),
        cmocka_unit_test(halves_between_doubles_round_to_even),
        cmocka_unit_test(files_are_judged_as_named),
        cmocka_unit_test(big_documents_decode_the_same_in_all_variants),
        cmocka_unit_test(numbers_of_files_are_the_nearest),
    };
    return cmocka_run_group_tests(tests, make_schemas, free_schemas);
}
