// What a measure's text means: "count()", "sum(amount * 2.0)", "quantile(latency_ms,
// 0.99)", "buys / events".
//
// A text that is one call of an aggregate is that aggregate; its argument is a field's
// path or an expression over the stream's fields. Everything else is an expression over
// the other measures.

#include "measure.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct aggregate {
    const char *name;
    sl_measure_kind kind;
} aggregate;

static const aggregate functions[] = {
    {"count", SL_MEASURE_COUNT},       {"sum", SL_MEASURE_SUM},
    {"min", SL_MEASURE_MIN},           {"max", SL_MEASURE_MAX},
    {"avg", SL_MEASURE_AVG},           {"unique", SL_MEASURE_UNIQUE},
    {"quantile", SL_MEASURE_QUANTILE},
};
#define FUNCTION_COUNT (sizeof functions / sizeof *functions)

// Functions of the Common Expression Language: a call of one is a derived measure.
static const char *const expression_functions[] = {
    "has",  "size",  "int",  "uint",     "double",    "string",
    "bool", "bytes", "type", "duration", "timestamp",
};

static sl_status fault(const char *text, size_t column, sl_status status,
                       const char *message, sl_error *error) {
    return sl_error_set(error, status, "column %zu: %s\n  %s\n  %*s", column + 1, message,
                        text, (int)column + 1, "^");
}

size_t sl_window_distance(const char *a, size_t a_length, const char *b,
                          size_t b_length) {
    size_t row[SL_NEAREST_LENGTH + 1];
    if (a_length > SL_NEAREST_LENGTH || b_length > SL_NEAREST_LENGTH)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t above = row[j];
            size_t best = corner + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            corner = above;
            row[j] = best;
        }
    }
    return row[b_length];
}

const char *sl_window_nearest_field(const sl_schema *schema, const char *path,
                                    size_t length) {
    const char *nearest = NULL;
    size_t least = length / 3 + 2;
    for (uint32_t i = 1; i < schema->count; i++) {
        const char *candidate = schema->fields[i].path;
        size_t distance = sl_window_distance(path, length, candidate, strlen(candidate));
        if (schema->fields[i].type != SL_TYPE_GROUP && distance < least) {
            least = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

static const char *nearest_function(const char *name, size_t length) {
    const char *nearest = NULL;
    size_t least = length / 3 + 2;
    for (size_t i = 0; i < FUNCTION_COUNT; i++) {
        size_t distance = sl_window_distance(name, length, functions[i].name,
                                             strlen(functions[i].name));
        if (distance < least) {
            least = distance;
            nearest = functions[i].name;
        }
    }
    return nearest;
}

static bool equals(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static const aggregate *find_function(const char *name, size_t length) {
    for (size_t i = 0; i < FUNCTION_COUNT; i++)
        if (equals(name, length, functions[i].name))
            return &functions[i];
    return NULL;
}

static bool is_expression_function(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof expression_functions / sizeof *expression_functions;
         i++)
        if (equals(name, length, expression_functions[i]))
            return true;
    return false;
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Behind the string literal that begins at `at`.
static size_t skip_literal(const char *text, size_t at) {
    char quote = text[at++];
    while (text[at] != '\0' && text[at] != quote)
        at += text[at] == '\\' && text[at + 1] != '\0' ? 2 : 1;
    return text[at] == '\0' ? at : at + 1;
}

typedef struct place {
    size_t name, name_length; // Place of the function's name.
    size_t begin, end;        // Between the parentheses.
    size_t comma; // The last comma that is not inside anything; `end` when there is none.
    bool whole;   // Nothing but spaces stands behind it.
} place;

// Read "name(...)" at `at`. false: there is none; `closed` tells whether the parenthesis
// closes.
static bool read_call(const char *text, size_t at, place *out, bool *closed) {
    size_t name = at;
    while (is_word(text[at]))
        at++;
    out->name = name;
    out->name_length = at - name;
    *closed = true;
    while (is_space(text[at]))
        at++;
    if (out->name_length == 0 || isdigit((unsigned char)text[name]) || text[at] != '(')
        return false;
    out->begin = ++at;
    out->comma = SIZE_MAX;
    for (size_t depth = 1;;) {
        char c = text[at];
        if (c == '\0') {
            *closed = false;
            return true;
        }
        if (c == '"' || c == '\'') {
            at = skip_literal(text, at);
            continue;
        }
        depth += c == '(' || c == '[' || c == '{';
        depth -= c == ')' || c == ']' || c == '}';
        if (depth == 0)
            break;
        if (c == ',' && depth == 1)
            out->comma = at;
        at++;
    }
    out->end = at++;
    if (out->comma == SIZE_MAX)
        out->comma = out->end;
    while (is_space(text[at]))
        at++;
    out->whole = text[at] == '\0';
    return true;
}

// An aggregate within a larger expression has no name that its partial could be stored
// under.
static sl_status refuse_inner_aggregates(const char *text, sl_error *error) {
    for (size_t at = 0; text[at] != '\0';) {
        if (text[at] == '"' || text[at] == '\'') {
            at = skip_literal(text, at);
            continue;
        }
        bool begins = is_word(text[at]) &&
                      (at == 0 || (!is_word(text[at - 1]) && text[at - 1] != '.'));
        place inner;
        bool closed;
        if (begins && read_call(text, at, &inner, &closed) &&
            find_function(text + at, inner.name_length) != NULL)
            return fault(
                text, at, SL_ESYNTAX,
                "an aggregate can't stand inside an expression: give it a name as a "
                "measure of its own, then use that name",
                error);
        at++;
    }
    return SL_OK;
}

static void trim(const char *text, size_t *begin, size_t *end) {
    while (*begin < *end && is_space(text[*begin]))
        (*begin)++;
    while (*end > *begin && is_space(text[*end - 1]))
        (*end)--;
}

// Could it be the name of a field that an inferred schema gets later?
static bool is_path(const char *text, size_t begin, size_t end) {
    if (isdigit((unsigned char)text[begin]))
        return false;
    for (size_t i = begin; i < end; i++)
        if (!is_word(text[i]) && text[i] != '.' && text[i] != '@')
            return false;
    return end > begin;
}

static sl_status finish_argument(const char *text, size_t begin, sl_measure_text *out,
                                 sl_error *error);

// The argument text[begin, end) is a field, else an expression, else (inferred) a field
// to come.
static sl_status read_argument(const char *text, size_t begin, size_t end,
                               const sl_schema *schema, sl_measure_text *out,
                               sl_error *error) {
    char *copy = sl_strndup(text, end);
    if (copy == NULL)
        return sl_error_set(error, SL_ENOMEM, "no memory");
    sl_status status = SL_OK;
    out->field = sl_schema_find(schema, copy + begin);
    if (out->field != SL_NO_FIELD) {
        const sl_field *field = &schema->fields[out->field];
        out->argument = field->type;
        out->scale = field->scale;
    } else if (schema->inferred && is_path(text, begin, end)) {
        out->missing = true;
    } else {
        // Spaces in place of what stands before keep the columns of its errors right.
        memset(copy, ' ', begin);
        sl_expression *expression = NULL;
        status = sl_expression_compile(copy, schema, &expression, error);
        if (status == SL_ENOTFOUND && schema->inferred) {
            out->missing = true;
            status = SL_OK;
        } else if (status == SL_OK) {
            out->argument = sl_expression_type(expression);
            out->scale = sl_expression_scale(expression);
            out->expression = copy;
            copy = NULL;
            sl_expression_destroy(expression);
        }
    }
    sl_free(copy);
    return status == SL_OK ? finish_argument(text, begin, out, error) : status;
}

static const char *const wants[] = {
    [SL_MEASURE_COUNT] = "count takes a condition",
    [SL_MEASURE_SUM] = "sum takes a number",
    [SL_MEASURE_MIN] = "min takes a number, a time or a string",
    [SL_MEASURE_MAX] = "max takes a number, a time or a string",
    [SL_MEASURE_AVG] = "avg takes a number",
    [SL_MEASURE_UNIQUE] = "unique takes a value",
    [SL_MEASURE_QUANTILE] = "quantile takes a number",
};

static bool accepts(sl_measure_kind kind, sl_type type) {
    bool number =
        type == SL_TYPE_INT64 || type == SL_TYPE_DOUBLE || type == SL_TYPE_DECIMAL;
    switch (kind) {
    case SL_MEASURE_COUNT:
        return type == SL_TYPE_BOOL;
    case SL_MEASURE_SUM:
    case SL_MEASURE_AVG:
    case SL_MEASURE_QUANTILE:
        return number;
    case SL_MEASURE_MIN:
    case SL_MEASURE_MAX:
        return number || type == SL_TYPE_TIMESTAMP || type == SL_TYPE_DATE ||
               type == SL_TYPE_STRING;
    case SL_MEASURE_UNIQUE:
        return type != SL_TYPE_GROUP;
    case SL_MEASURE_DERIVED:
        break;
    }
    return false;
}

static sl_status finish_argument(const char *text, size_t begin, sl_measure_text *out,
                                 sl_error *error) {
    if (out->missing) {
        out->field = SL_NO_FIELD;
        out->argument = out->kind == SL_MEASURE_COUNT ? SL_TYPE_BOOL : SL_TYPE_DOUBLE;
        return SL_OK;
    }
    if (accepts(out->kind, out->argument))
        return SL_OK;
    char message[128];
    snprintf(message, sizeof message, "%s, and this is %s %s", wants[out->kind],
             out->argument == SL_TYPE_INT64 ? "an" : "a", sl_type_name(out->argument));
    return fault(text, begin, SL_ETYPE, message, error);
}

static sl_status read_quantile(const char *text, const place *call, sl_measure_text *out,
                               sl_error *error) {
    size_t begin = call->comma + 1, end = call->end;
    if (call->comma == call->end)
        return fault(text, call->end, SL_ESYNTAX,
                     "quantile takes two arguments, such as quantile(latency_ms, 0.99)",
                     error);
    trim(text, &begin, &end);
    char *stop = NULL;
    double q = begin < end && (isdigit((unsigned char)text[begin]) || text[begin] == '.')
                   ? strtod(text + begin, &stop)
                   : -1;
    if (stop != text + end || !(q >= 0 && q <= 1))
        return fault(text, begin, SL_ESYNTAX, "a quantile is a number from 0 to 1",
                     error);
    out->quantile = q;
    return SL_OK;
}

static sl_status unknown_function(const char *text, const place *call, sl_error *error) {
    const char *nearest = nearest_function(text + call->name, call->name_length);
    char message[160];
    int length = call->name_length > 40 ? 40 : (int)call->name_length;
    if (nearest != NULL)
        snprintf(message, sizeof message, "unknown function '%.*s'; did you mean '%s'?",
                 length, text + call->name, nearest);
    else
        snprintf(message, sizeof message,
                 "unknown function '%.*s'; there are count, sum, min, max, avg, unique, "
                 "quantile",
                 length, text + call->name);
    return fault(text, call->name, SL_ENOTFOUND, message, error);
}

static sl_status read_aggregate(const char *text, const place *call,
                                const sl_schema *schema, sl_measure_text *out,
                                sl_error *error) {
    size_t begin = call->begin, end = call->end;
    if (out->kind == SL_MEASURE_QUANTILE) {
        sl_status status = read_quantile(text, call, out, error);
        if (status != SL_OK)
            return status;
        end = call->comma;
    } else if (call->comma != call->end) {
        return fault(text, call->comma, SL_ESYNTAX, "one argument is enough", error);
    }
    trim(text, &begin, &end);
    if (begin < end)
        return read_argument(text, begin, end, schema, out, error);
    if (out->kind != SL_MEASURE_COUNT)
        return fault(text, call->begin, SL_ESYNTAX, wants[out->kind], error);
    out->argument = SL_TYPE_INT64;
    return SL_OK;
}

sl_status sl_measure_text_read(const char *text, const sl_schema *schema,
                               sl_measure_text *out, sl_error *error) {
    *out = (sl_measure_text){.kind = SL_MEASURE_DERIVED, .field = SL_NO_FIELD};
    size_t at = 0;
    while (is_space(text[at]))
        at++;
    if (text[at] == '\0')
        return fault(text, 0, SL_ESYNTAX, "a measure needs a text, such as count()",
                     error);
    place call;
    bool closed;
    if (!read_call(text, at, &call, &closed))
        return refuse_inner_aggregates(text, error);
    const aggregate *function = find_function(text + call.name, call.name_length);
    bool known =
        function != NULL || is_expression_function(text + call.name, call.name_length);
    if (!known)
        return unknown_function(text, &call, error);
    if (!closed)
        return fault(text, call.begin - 1, SL_ESYNTAX, "this parenthesis is not closed",
                     error);
    if (function == NULL || !call.whole)
        return refuse_inner_aggregates(text, error);
    out->kind = function->kind;
    return read_aggregate(text, &call, schema, out, error);
}
