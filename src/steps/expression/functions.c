// The functions there are. A row here and a kernel make a new one; docs/expressions.md
// tells users of it.

#include "internal.h"

#define BOTH (GLOBAL | METHOD)
#define CONVERSION (GLOBAL | AT_ONCE)
#define PARTS(name, part)                                                                \
    {name, METHOD, "t:i", run_timestamp_part, part, NULL},                               \
        {name, METHOD, "tz:i", run_timestamp_part, part, NULL}, {                        \
        name, METHOD, "a:i", run_date_part, part, NULL                                   \
    }
#define HOURS(name, part)                                                                \
    {name, METHOD, "t:i", run_timestamp_part, part, NULL},                               \
        {name, METHOD, "tz:i", run_timestamp_part, part, NULL}, {                        \
        name, METHOD, "p:i", run_duration_part, part, NULL                               \
    }
#define BITS(name, kind)                                                                 \
    {name, GLOBAL, "ii:i", run_bits, kind, NULL}, {                                      \
        name, GLOBAL, "uu:u", run_bits, kind, NULL                                       \
    }

static const char no_number[] = "the text is no number",
                  beyond[] = "the number is beyond 64 bits",
                  outside[] = "the position is outside of the text",
                  too_long[] = "the text would be longer than 16 MiB",
                  too_many[] = "the text would fall into more than a million pieces",
                  overflow[] = "the result is beyond 64 bits",
                  shifted[] = "the shift is negative",
                  no_time[] =
                      "the text is no RFC 3339 date-time, such as 2026-01-01T00:00:00Z",
                  no_period[] = "the text is no duration within 292 years, such as 1h30m",
                  no_year[] = "the time is outside of the years 1 to 9999";

static const function functions[] = {
    // Texts.
    {"size", BOTH, "s:i", run_size, 0, NULL},
    {"size", BOTH, "y:i", run_size_bytes, 0, NULL},
    {"size", BOTH, "L:i", run_list_size, 0, NULL},
    {"startsWith", METHOD, "ss:b", run_starts_with, 0, NULL},
    {"endsWith", METHOD, "ss:b", run_ends_with, 0, NULL},
    {"contains", METHOD, "ss:b", run_contains, 0, NULL},
    {"matches", BOTH, "sr:b", run_matches, 0, "the match takes more steps than allowed"},
    {"charAt", METHOD, "si:s", run_char_at, 0, outside},
    {"indexOf", METHOD, "ss:i", run_index_of, 0, NULL},
    {"indexOf", METHOD, "ssi:i", run_index_of, 0, outside},
    {"lastIndexOf", METHOD, "ss:i", run_last_index_of, 0, NULL},
    {"lastIndexOf", METHOD, "ssi:i", run_last_index_of, 0, outside},
    {"lowerAscii", METHOD, "s:s", run_lower_ascii, 0, NULL},
    {"upperAscii", METHOD, "s:s", run_upper_ascii, 0, NULL},
    {"replace", METHOD, "sss:s", run_replace, 0, too_long},
    {"replace", METHOD, "sssi:s", run_replace, 0, too_long},
    {"split", METHOD, "ss:S", run_split, 0, too_many},
    {"split", METHOD, "ssi:S", run_split, 0, too_many},
    {"substring", METHOD, "si:s", run_substring, 0, outside},
    {"substring", METHOD, "sii:s", run_substring, 0, outside},
    {"trim", METHOD, "s:s", run_trim, 0, NULL},
    {"reverse", METHOD, "s:s", run_reverse, 0, NULL},
    {"join", METHOD, "S:s", run_list_join, 0, too_long},
    {"join", METHOD, "Ss:s", run_list_join, 0, too_long},
    {"strings.quote", GLOBAL, "s:s", run_quote, 0, too_long},
    {"base64.encode", GLOBAL, "y:s", run_base64_encode, 0, too_long},
    {"base64.decode", GLOBAL, "s:y", run_base64_decode, 0, "the text is no base64"},
    // Conversions.
    {"bool", GLOBAL, "b:b", run_same_truth, 0, NULL},
    {"bool", CONVERSION, "s:b", run_text_to_bool, 0,
     "the text is neither true nor false"},
    {"bytes", GLOBAL, "y:y", run_same_text, 0, NULL},
    {"bytes", GLOBAL, "s:y", run_same_text, 0, NULL},
    {"double", GLOBAL, "d:d", run_same_f64, 0, NULL},
    {"double", GLOBAL, "i:d", run_i64_to_f64, 0, NULL},
    {"double", GLOBAL, "u:d", run_u64_to_f64, 0, NULL},
    {"double", GLOBAL, "m:d", run_scaled_to_f64, 0, NULL},
    {"double", CONVERSION, "s:d", run_text_to_double, 0, no_number},
    {"double", GLOBAL, "p:d", run_microseconds_to_f64, 0, NULL},
    {"duration", GLOBAL, "p:p", run_same_i64, 0, NULL},
    {"duration", CONVERSION, "s:p", run_text_to_duration, 0, no_period},
    {"int", GLOBAL, "i:i", run_same_i64, 0, NULL},
    {"int", GLOBAL, "u:i", run_i64_to_u64, 0, beyond},
    {"int", GLOBAL, "d:i", run_f64_to_i64, 0, beyond},
    {"int", GLOBAL, "m:i", run_scaled_to_i64, 0, NULL},
    {"int", CONVERSION, "s:i", run_text_to_int, 0, no_number},
    {"int", GLOBAL, "t:i", run_per_second, 0, NULL},
    {"int", GLOBAL, "p:i", run_duration_part, PART_SECONDS, NULL},
    {"string", GLOBAL, "s:s", run_same_text, 0, NULL},
    {"string", GLOBAL, "b:s", run_bool_to_text, 0, NULL},
    {"string", GLOBAL, "i:s", run_int_to_text, 0, NULL},
    {"string", GLOBAL, "u:s", run_uint_to_text, 0, NULL},
    {"string", GLOBAL, "d:s", run_double_to_text, 0, NULL},
    {"string", GLOBAL, "m:s", run_decimal_to_text, 0, NULL},
    {"string", GLOBAL, "a:s", run_date_to_text, 0, NULL},
    {"string", GLOBAL, "t:s", run_timestamp_to_text, 0, NULL},
    {"string", GLOBAL, "p:s", run_duration_to_text, 0, NULL},
    {"string", GLOBAL, "y:s", run_bytes_to_text, 0, "the bytes are no UTF-8"},
    {"timestamp", GLOBAL, "t:t", run_same_i64, 0, NULL},
    {"timestamp", CONVERSION, "s:t", run_text_to_timestamp, 0, no_time},
    {"timestamp", GLOBAL, "i:t", run_seconds_to_timestamp, 0, no_year},
    {"timestamp", GLOBAL, "a:t", run_date_to_timestamp, 0, no_year},
    {"uint", GLOBAL, "u:u", run_same_i64, 0, NULL},
    {"uint", GLOBAL, "i:u", run_i64_to_u64, 0, "the number is negative"},
    {"uint", GLOBAL, "d:u", run_f64_to_u64, 0, beyond},
    {"uint", CONVERSION, "s:u", run_text_to_uint, 0, no_number},
    // Times.
    PARTS("getFullYear", PART_YEAR),
    PARTS("getMonth", PART_MONTH),
    PARTS("getDayOfYear", PART_DAY_OF_YEAR),
    PARTS("getDayOfMonth", PART_DAY_OF_MONTH),
    PARTS("getDate", PART_DATE),
    PARTS("getDayOfWeek", PART_DAY_OF_WEEK),
    HOURS("getHours", PART_HOURS),
    HOURS("getMinutes", PART_MINUTES),
    HOURS("getSeconds", PART_SECONDS),
    HOURS("getMilliseconds", PART_MILLISECONDS),
    // Numbers.
    {"math.ceil", GLOBAL, "d:d", run_round_f64, 'c', NULL},
    {"math.ceil", GLOBAL, "m:m", run_round_scaled, 'c', overflow},
    {"math.floor", GLOBAL, "d:d", run_round_f64, 'f', NULL},
    {"math.floor", GLOBAL, "m:m", run_round_scaled, 'f', overflow},
    {"math.round", GLOBAL, "d:d", run_round_f64, 'r', NULL},
    {"math.round", GLOBAL, "m:m", run_round_scaled, 'r', overflow},
    {"math.trunc", GLOBAL, "d:d", run_round_f64, 't', NULL},
    {"math.trunc", GLOBAL, "m:m", run_round_scaled, 't', overflow},
    {"math.abs", GLOBAL, "i:i", run_abs_i64, 0, overflow},
    {"math.abs", GLOBAL, "u:u", run_same_i64, 0, NULL},
    {"math.abs", GLOBAL, "d:d", run_abs_f64, 0, NULL},
    {"math.abs", GLOBAL, "m:m", run_abs_i64, 0, overflow},
    {"math.sign", GLOBAL, "i:i", run_sign_i64, 0, NULL},
    {"math.sign", GLOBAL, "u:u", run_sign_u64, 0, NULL},
    {"math.sign", GLOBAL, "d:d", run_sign_f64, 0, NULL},
    {"math.sign", GLOBAL, "m:m", run_sign_scaled, 0, overflow},
    {"math.isNaN", GLOBAL, "d:b", run_class_f64, 'n', NULL},
    {"math.isInf", GLOBAL, "d:b", run_class_f64, 'i', NULL},
    {"math.isFinite", GLOBAL, "d:b", run_class_f64, 'f', NULL},
    {"math.sqrt", GLOBAL, "d:d", run_square_root, 'd', NULL},
    {"math.sqrt", GLOBAL, "i:d", run_square_root, 'i', NULL},
    {"math.sqrt", GLOBAL, "u:d", run_square_root, 'u', NULL},
    {"math.sqrt", GLOBAL, "m:d", run_square_root, 'm', NULL},
    BITS("math.bitAnd", '&'),
    BITS("math.bitOr", '|'),
    BITS("math.bitXor", '^'),
    {"math.bitNot", GLOBAL, "i:i", run_bit_not, 0, NULL},
    {"math.bitNot", GLOBAL, "u:u", run_bit_not, 0, NULL},
    {"math.bitShiftLeft", GLOBAL, "ii:i", run_shift, '<', shifted},
    {"math.bitShiftLeft", GLOBAL, "ui:u", run_shift, '<', shifted},
    {"math.bitShiftRight", GLOBAL, "ii:i", run_shift, '>', shifted},
    {"math.bitShiftRight", GLOBAL, "ui:u", run_shift, '>', shifted},
};

const function *all_functions(size_t *count) {
    *count = sizeof functions / sizeof *functions;
    return functions;
}

const function *find_function(const char *name, const char *signature) {
    const function *f = functions;
    while (strcmp(f->name, name) != 0 || strcmp(f->signature, signature) != 0)
        f++;
    return f;
}

static bool same_but_case(const char *a, const char *b) {
    for (; *a != 0 && *b != 0; a++, b++)
        if (((*a ^ *b) & ~32) != 0)
            return false;
    return *a == *b;
}

const char *nearest_function(const char *word) {
    static const char *const others[] = {"has",    "math.greatest", "math.least",
                                         "format", "exists",        "all"};
    const char *name = NULL;
    uint32_t best = 3;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        uint32_t distance = edit_distance(functions[i].name, word, best);
        if (same_but_case(functions[i].name, word))
            return functions[i].name;
        if (distance < best) {
            best = distance;
            name = functions[i].name;
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof *others && name == NULL; i++)
        if (edit_distance(others[i], word, 1) <= 1)
            name = others[i];
    return name;
}
