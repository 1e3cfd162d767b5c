// regexes.yaml: three lists of mappings from names to strings. What isn't known is passed
// over, because the file belongs to others and may grow.
//
//   user_agent_parsers:
//     - regex: '(Minefield)/(\d+)'
//       family_replacement: 'Firefox ($1)'
//   os_parsers: …      regex, os_replacement, os_v1_replacement to os_v4_replacement
//   device_parsers: …  regex, regex_flag ('i'), device_, brand_ and model_replacement

#include "internal.h"

#include <yaml.h>

#define DEPTH_MAX 64u

const list_shape sl_user_agent_lists[LISTS] = {
    [LIST_BROWSER] = {.key = "user_agent_parsers",
                      .parts = 4,
                      .part = {{SL_UA_BROWSER_FAMILY, 1, "family_replacement"},
                               {SL_UA_BROWSER_MAJOR, 2, "v1_replacement"},
                               {SL_UA_BROWSER_MINOR, 3, "v2_replacement"},
                               {SL_UA_BROWSER_PATCH, 4, "v3_replacement"}}},
    [LIST_OS] = {.key = "os_parsers",
                 .parts = 5,
                 .trimmed = true,
                 .part = {{SL_UA_OS_FAMILY, 1, "os_replacement"},
                          {SL_UA_OS_MAJOR, 2, "os_v1_replacement"},
                          {SL_UA_OS_MINOR, 3, "os_v2_replacement"},
                          {SL_UA_OS_PATCH, 4, "os_v3_replacement"},
                          {SL_UA_OS_PATCH_MINOR, 5, "os_v4_replacement"}}},
    [LIST_DEVICE] = {.key = "device_parsers",
                     .parts = 3,
                     .trimmed = true,
                     .part = {{SL_UA_DEVICE_FAMILY, 1, "device_replacement"},
                              {SL_UA_DEVICE_BRAND, 0, "brand_replacement"},
                              {SL_UA_DEVICE_MODEL, 1, "model_replacement"}}},
};

typedef struct reader {
    yaml_parser_t parser;
    yaml_event_t event; // The one looked at; deleted when the next is read.
    bool held;
    sl_arena *arena;
    rule_list *lists;
    sl_error *error;
} reader;

static uint32_t line_of(const reader *r) {
    return (uint32_t)r->event.start_mark.line + 1;
}

static sl_status fail(reader *r, sl_status status, const char *words) {
    return sl_error_set(r->error, status, "line %u: %s", line_of(r), words);
}

static sl_status next(reader *r) {
    if (r->held)
        yaml_event_delete(&r->event);
    r->held = false;
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        if (r->parser.error == YAML_MEMORY_ERROR)
            return sl_error_set(r->error, SL_ENOMEM, "out of memory");
        return sl_error_set(r->error, SL_ESYNTAX, "line %zu: %s",
                            r->parser.problem_mark.line + 1,
                            r->parser.problem != NULL ? r->parser.problem : "not YAML");
    }
    r->held = true;
    if (r->event.type == YAML_ALIAS_EVENT)
        return fail(r, SL_ESYNTAX, "aliases are not expected here");
    return SL_OK;
}

// Pass over the value that begins with the event looked at.
static sl_status skip(reader *r) {
    uint32_t depth = 0;
    for (;;) {
        yaml_event_type_t type = r->event.type;
        if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT)
            depth++;
        else if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth == 0)
            return SL_OK;
        if (depth > DEPTH_MAX)
            return fail(r, SL_ESYNTAX, "nested too deeply");
        sl_status status = next(r);
        if (status != SL_OK)
            return status;
    }
}

static bool is(const reader *r, const char *key) {
    return r->event.type == YAML_SCALAR_EVENT &&
           r->event.data.scalar.length == strlen(key) &&
           memcmp(r->event.data.scalar.value, key, strlen(key)) == 0;
}

static sl_status text(reader *r, const char **out, uint32_t *length, uint32_t limit) {
    if (r->event.type != YAML_SCALAR_EVENT)
        return fail(r, SL_ESYNTAX, "a string is expected here");
    if (r->event.data.scalar.length > limit)
        return fail(r, SL_ELIMIT, "the string is too long");
    *length = (uint32_t)r->event.data.scalar.length;
    *out = sl_arena_strndup(r->arena, (const char *)r->event.data.scalar.value, *length);
    return *out != NULL ? SL_OK : sl_error_set(r->error, SL_ENOMEM, "out of memory");
}

static bool names_groups(const template *t) {
    for (uint32_t i = 0; i + 1 < t->length; i++)
        if (t->text[i] == '$' && t->text[i + 1] >= '1' && t->text[i + 1] <= '9')
            return true;
    return false;
}

// One member of a rule; the event looked at is its key, and afterwards its value.
static sl_status member(reader *r, const list_shape *shape, rule *made) {
    bool regex = is(r, "regex"), flag = is(r, "regex_flag");
    uint32_t part = 0;
    while (part < shape->parts && !is(r, shape->part[part].key))
        part++;
    sl_status status = next(r);
    if (status != SL_OK)
        return status;
    if (regex) {
        made->line = line_of(r);
        return text(r, &made->regex, &made->regex_length, UINT16_MAX);
    }
    if (flag) {
        if (!is(r, "i"))
            return fail(r, SL_EINVAL, "the only regex_flag known is 'i'");
        made->caseless = true;
        return SL_OK;
    }
    if (part == shape->parts)
        return skip(r);
    template *t = &made->templates[part];
    status = text(r, &t->text, &t->length, TEMPLATE_BYTES_MAX);
    if (status == SL_OK)
        t->groups = names_groups(t);
    return status;
}

static rule *add(rule_list *list) {
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 256 : list->capacity * 2;
        rule *rules = sl_realloc(list->rules, capacity * sizeof *rules);
        if (rules == NULL)
            return NULL;
        list->rules = rules;
        list->capacity = capacity;
    }
    rule *made = &list->rules[list->count++];
    *made = (rule){0};
    return made;
}

static sl_status one_rule(reader *r, const list_shape *shape, rule_list *list) {
    if (r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, SL_ESYNTAX, "a rule is expected here");
    rule *made = add(list);
    if (made == NULL)
        return sl_error_set(r->error, SL_ENOMEM, "out of memory");
    made->line = line_of(r);
    for (;;) {
        sl_status status = next(r);
        if (status != SL_OK)
            return status;
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        if ((status = member(r, shape, made)) != SL_OK)
            return status;
    }
    return made->regex != NULL ? SL_OK
                               : fail(r, SL_EINVAL, "a rule without regex ends here");
}

static sl_status one_list(reader *r, const list_shape *shape, rule_list *list) {
    sl_status status = next(r);
    if (status == SL_OK && r->event.type != YAML_SEQUENCE_START_EVENT)
        return fail(r, SL_ESYNTAX, "a list of rules is expected here");
    while (status == SL_OK && (status = next(r)) == SL_OK) {
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return SL_OK;
        status = one_rule(r, shape, list);
    }
    return status;
}

static sl_status root_member(reader *r) {
    for (uint32_t i = 0; i < LISTS; i++)
        if (is(r, sl_user_agent_lists[i].key))
            return one_list(r, &sl_user_agent_lists[i], &r->lists[i]);
    // A key may be any value; then comes another value.
    sl_status status = skip(r);
    if (status == SL_OK)
        status = next(r);
    return status == SL_OK ? skip(r) : status;
}

static sl_status root(reader *r) {
    sl_status status = SL_OK;
    for (unsigned i = 0; i < 3 && status == SL_OK; i++) // Stream, document, its value.
        status = next(r);
    if (status == SL_OK && r->event.type != YAML_MAPPING_START_EVENT)
        return fail(r, SL_ESYNTAX,
                    "a mapping with user_agent_parsers, os_parsers and device_parsers is "
                    "expected here");
    while (status == SL_OK && (status = next(r)) == SL_OK) {
        if (r->event.type == YAML_MAPPING_END_EVENT)
            break;
        status = root_member(r);
    }
    for (uint32_t i = 0; i < LISTS && status == SL_OK; i++)
        if (r->lists[i].count == 0)
            status = sl_error_set(r->error, SL_EINVAL, "%s is missing or empty",
                                  sl_user_agent_lists[i].key);
    return status;
}

sl_status sl_user_agent_read(const char *yaml, size_t length, rule_list lists[LISTS],
                             sl_arena *arena, sl_error *error) {
    reader r = {.arena = arena, .lists = lists, .error = error};
    if (!yaml_parser_initialize(&r.parser))
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)yaml, length);
    sl_status status = root(&r);
    if (r.held)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return status;
}
