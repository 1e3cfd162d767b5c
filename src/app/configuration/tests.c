/* `tests`: read with names and places, so that `sluice validate` finds what is wrong with them. */
#include "loader.h"

#include "sluice/time.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAMES_MAX = 1500 };

/* --- problems --- */

static void wrong(sl_loader *l, const sl_node *at, bool key, const char *format, ...) SL_PRINTF(4, 5);
static void wrong(sl_loader *l, const sl_node *at, bool key, const char *format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    sl_problem_add(&l->problems, at, key, SL_EINVAL, "tests: %s", text);
}

/** @return whether `name` is one of the list; else there is a problem at `at`. */
static bool known(sl_loader *l, const sl_node *at, bool key, const char *what, const char *name, const char *const *names,
                  size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    const char *near = sl_config_nearest(name, names, count);
    char all[256] = "";
    for (size_t i = 0, used = 0; !near && i < count && used < sizeof all - 40; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%.60s", i ? ", " : "", names[i]);
    wrong(l, at, key, "%s '%.100s' (%s%s%s)", what, name, near ? "did you mean '" : "there are: ", near ? near : all,
          near ? "'?" : "");
    return false;
}

static bool known_keys(sl_loader *l, const sl_node *map, const char *const *names, size_t count) {
    bool good = true;
    for (const sl_node *n = map->first; n; n = n->next)
        good = known(l, n, true, "unknown key", n->key, names, count) && good;
    return good;
}

#define KNOWN_KEYS(l, map, ...)                                                                                    \
    known_keys(l, map, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static bool is_kind(sl_loader *l, const sl_node *node, sl_node_kind kind, const char *what) {
    if (node && node->kind == kind && (kind != SL_NODE_SCALAR || !sl_yaml_is_empty(node)))
        return true;
    if (node)
        wrong(l, node, false, "expected %s", what);
    return false;
}

typedef struct names {
    const char **list;
    size_t count;
} names;

static names stream_names(sl_loader *l) {
    const sl_config *c = l->config;
    names n = {sl_loader_get(l, c->stream_count + 1, sizeof *n.list), 0};
    for (uint32_t i = 0; n.list && i < c->stream_count; i++)
        n.list[n.count++] = c->streams[i].name;
    return n;
}

static const sl_config_stream *stream_named(const sl_loader *l, const char *name) {
    for (uint32_t i = 0; i < l->config->stream_count; i++)
        if (!strcmp(l->config->streams[i].name, name))
            return &l->config->streams[i];
    return NULL;
}

static const sl_config_window *window_named(const sl_loader *l, const char *name) {
    for (uint32_t i = 0; i < l->config->window_count; i++)
        if (!strcmp(l->config->windows[i].definition.name, name))
            return &l->config->windows[i];
    return NULL;
}

static bool is_stream(sl_loader *l, const sl_node *at, bool key, const char *name) {
    names n = stream_names(l);
    if (n.list && !n.count)
        wrong(l, at, key, "no stream '%.100s': a test needs streams that are configured", name);
    return n.count && known(l, at, key, "no stream", name, n.list, n.count);
}

/* --- times --- */

static bool read_time(sl_loader *l, const sl_node *node, const char *what, int64_t *us) {
    if (node->kind == SL_NODE_SCALAR && sl_time_parse(node->text, strlen(node->text), us))
        return true;
    wrong(l, node, false, "%s: expected %sa time such as 2026-01-01T00:00:00Z", what,
          !strcmp(what, "at") ? "+5s or " : "");
    return false;
}

static void read_at(sl_loader *l, const sl_node *node, sl_trial_event *e) {
    bool after = node->kind == SL_NODE_SCALAR && *node->text == '+' &&
                 sl_duration_parse(node->text + 1, strlen(node->text + 1), &e->at_us);
    if (after)
        e->clock = SL_TRIAL_AFTER;
    else if (read_time(l, node, "at", &e->at_us))
        e->clock = SL_TRIAL_AT;
}

/* --- events --- */

static void read_body(sl_loader *l, const sl_node *event, const sl_node *raw, sl_trial_event *e) {
    if (raw && raw->kind == SL_NODE_SCALAR) {
        e->length = strlen(raw->text);
        e->body = sl_loader_keep(l, raw->text, e->length);
        return;
    }
    if (!is_kind(l, event ? event : raw, event ? SL_NODE_MAP : SL_NODE_SCALAR, event ? "the event as a map" : "a text"))
        return;
    sl_buffer json = SL_BUFFER_EMPTY;
    sl_yaml_json(event, false, &json);
    const char *text = sl_buffer_cstr(&json);
    e->body = sl_loader_keep(l, text, json.failed ? 0 : json.length);
    e->length = json.length;
    e->event = sl_loader_trial_value(l->arena, event);
    if (json.failed || !e->event)
        l->problems.out_of_memory = true;
    sl_buffer_fini(&json);
}

/** What isn't said of `raw` the stream says. */
static void read_format(sl_loader *l, const sl_node *node, bool raw, sl_trial_event *e) {
    static const char *const formats[] = {"json", "csv"};
    e->format = raw ? SL_FORMAT_ANY : SL_FORMAT_JSON;
    if (!node || !is_kind(l, node, SL_NODE_SCALAR, "json or csv"))
        return;
    if (!raw)
        wrong(l, node, false, "format: is for `raw`; an `event` is JSON");
    else if (known(l, node, false, "no format", node->text, formats, 2))
        e->format = strcmp(node->text, "csv") ? SL_FORMAT_JSON : SL_FORMAT_CSV;
}

static void read_source(sl_loader *l, const sl_node *node, sl_trial_event *e) {
    const sl_node *sources = sl_yaml_child(l->tree.root, "sources");
    const char **list = sl_loader_get(l, sources ? sources->count + 1 : 1, sizeof *list);
    size_t count = 0;
    if (list)
        list[count++] = "http";
    for (const sl_node *n = sources && sources->kind == SL_NODE_MAP ? sources->first : NULL; n && list; n = n->next)
        list[count++] = n->key;
    if (list && is_kind(l, node, SL_NODE_SCALAR, "the name of a source") &&
        known(l, node, false, "no source", node->text, list, count))
        e->source = sl_loader_keep(l, node->text, strlen(node->text));
}

static void read_event(sl_loader *l, const sl_node *node, sl_trial_event *e) {
    e->line = node->line;
    e->stream = "";
    e->source = "http";
    if (!is_kind(l, node, SL_NODE_MAP, "an event such as { stream: clicks, event: { user_id: u1 } }") ||
        !KNOWN_KEYS(l, node, "stream", "source", "event", "raw", "format", "at"))
        return;
    const sl_node *stream = sl_yaml_child(node, "stream"), *event = sl_yaml_child(node, "event"),
                  *raw = sl_yaml_child(node, "raw"), *at = sl_yaml_child(node, "at");
    if (!event == !raw)
        wrong(l, node, false, "an event needs one of `event` (a map) and `raw` (a text)");
    else
        read_body(l, event, raw, e);
    read_format(l, sl_yaml_child(node, "format"), raw != NULL, e);
    if (sl_yaml_child(node, "source"))
        read_source(l, sl_yaml_child(node, "source"), e);
    if (stream && is_kind(l, stream, SL_NODE_SCALAR, "the name of a stream") && is_stream(l, stream, false, stream->text))
        e->stream = sl_loader_keep(l, stream->text, strlen(stream->text));
    if (at)
        read_at(l, at, e);
}

static void read_events(sl_loader *l, const sl_node *node, sl_trial *t) {
    if (!node || !is_kind(l, node, SL_NODE_LIST, "a list of events"))
        return;
    t->events = sl_loader_get(l, node->count, sizeof *t->events);
    for (const sl_node *n = node->first; n && t->events; n = n->next)
        read_event(l, n, &t->events[t->event_count++]);
}

/* --- expectations --- */

static bool is_count(const sl_node *node, uint64_t *count) {
    if (node->kind != SL_NODE_SCALAR || !*node->text || strlen(node->text) > 18 ||
        strspn(node->text, "0123456789") != strlen(node->text))
        return false;
    *count = strtoull(node->text, NULL, 10);
    return true;
}

/** The names that columns of these rows have; none: they aren't known beforehand. */
static names column_names(sl_loader *l, const sl_trial_expectation *e) {
    static const char *const letter[] = {"stream", "stage", "code", "path", "message", "at", "raw", "index",
                                         "arrived", "source"};
    names n = {sl_loader_get(l, NAMES_MAX, sizeof *n.list), 0};
    if (!n.list)
        return n;
    if (e->subject == SL_TRIAL_DEAD_LETTERS) {
        for (size_t i = 0; i < sizeof letter / sizeof *letter; i++)
            n.list[n.count++] = letter[i];
    } else if (e->subject == SL_TRIAL_WINDOW) {
        const sl_config_window *window = window_named(l, e->name);
        const sl_window_definition *d = window ? &window->definition : &(sl_window_definition){0};
        n.list[n.count++] = "window_start";
        for (uint32_t i = 0; i < d->by_count; i++) {
            n.list[n.count++] = d->by[i];
            n.list[n.count++] = sl_loader_identifier(l, d->by[i]);
        }
        for (uint32_t i = 0; i < d->measure_count; i++)
            n.list[n.count++] = d->measures[i].name;
    } else {
        const sl_config_stream *stream = stream_named(l, e->name);
        const sl_schema *schema = stream ? sl_config_output(stream) : NULL;
        for (uint32_t i = 1; schema && i < schema->count && n.count < NAMES_MAX; i++)
            n.list[n.count++] = schema->fields[i].path;
    }
    return n;
}

static void check_code(sl_loader *l, const sl_node *row) {
    const sl_node *code = sl_yaml_child(row, "code");
    const char *codes[SL_CODE_COUNT];
    size_t count = 0;
    for (int i = SL_CODE_NONE + 1; i < SL_CODE_COUNT; i++)
        codes[count++] = sl_code_name((sl_code)i);
    if (code && is_kind(l, code, SL_NODE_SCALAR, "a code of dead letters such as require"))
        (void)known(l, code, false, "no code of dead letters is", code->text, codes, count);
}

static void read_list(sl_loader *l, const sl_node *node, sl_trial_expectation *e) {
    bool paths = e->subject == SL_TRIAL_PATHS;
    if (!is_kind(l, node, SL_NODE_LIST, paths ? "a list of paths" : "a list of rows"))
        return;
    names columns = paths ? (names){0} : column_names(l, e);
    for (const sl_node *row = node->first; row; row = row->next) {
        if (!is_kind(l, row, paths ? SL_NODE_SCALAR : SL_NODE_MAP,
                     paths ? "a path such as event_type=purchase/date=2026-01-01/" : "a row such as { user_id: u1 }"))
            continue;
        for (const sl_node *cell = row->first; cell && columns.count; cell = cell->next)
            (void)known(l, cell, true, "no column", cell->key, columns.list, columns.count);
        if (e->subject == SL_TRIAL_DEAD_LETTERS)
            check_code(l, row);
    }
    if (!(e->rows = sl_loader_trial_value(l->arena, node)))
        l->problems.out_of_memory = true;
}

static bool is_number_only(sl_trial_subject subject) {
    return subject == SL_TRIAL_DUPLICATES || subject == SL_TRIAL_FILTERED;
}

static void read_spec(sl_loader *l, const sl_node *node, sl_trial_expectation *e) {
    e->line = node->line;
    e->column = node->column;
    if (is_count(node, &e->count)) {
        e->counted = true;
    } else if (is_number_only(e->subject)) {
        wrong(l, node, false, "expected a number of events");
    } else if (node->kind == SL_NODE_LIST) {
        read_list(l, node, e);
    } else if (!is_kind(l, node, SL_NODE_MAP, "a list, a number, or { contains: [ … ], count: 3 }") ||
               !KNOWN_KEYS(l, node, "contains", "count")) {
        return;
    } else {
        const sl_node *contains = sl_yaml_child(node, "contains"), *count = sl_yaml_child(node, "count");
        e->contains = true;
        if (contains)
            read_list(l, contains, e);
        if (count && !(e->counted = is_count(count, &e->count)))
            wrong(l, count, false, "count: expected a number");
    }
}

static void add(sl_loader *l, sl_trial *t, sl_trial_subject subject, const char *name, const sl_node *node) {
    sl_trial_expectation *e = &t->expectations[t->expectation_count++];
    *e = (sl_trial_expectation){.subject = subject, .name = sl_loader_keep(l, name, strlen(name))};
    read_spec(l, node, e);
}

static void add_named(sl_loader *l, sl_trial *t, sl_trial_subject subject, const sl_node *node) {
    names windows = {0};
    if (subject == SL_TRIAL_WINDOW) {
        windows.list = sl_loader_get(l, l->config->window_count + 1, sizeof *windows.list);
        for (uint32_t i = 0; windows.list && i < l->config->window_count; i++)
            windows.list[windows.count++] = l->config->windows[i].definition.name;
        if (known(l, node, true, "no window", node->key, windows.list, windows.count))
            add(l, t, subject, node->key, node);
    } else if (is_stream(l, node, true, node->key)) {
        add(l, t, subject, node->key, node);
    }
}

/** A stream or a window, whichever has the name. */
static void add_either(sl_loader *l, sl_trial *t, const sl_node *node, const char *const *words, size_t count) {
    bool stream = stream_named(l, node->key) != NULL, window = window_named(l, node->key) != NULL;
    if (stream && window) {
        wrong(l, node, true, "'%.100s' is a stream and a window: write it below `streams:` or `windows:`", node->key);
    } else if (stream || window) {
        add(l, t, stream ? SL_TRIAL_ROWS : SL_TRIAL_WINDOW, node->key, node);
    } else {
        names n = stream_names(l);
        const char **all = sl_loader_get(l, n.count + l->config->window_count + count, sizeof *all);
        size_t used = 0;
        for (size_t i = 0; all && i < n.count; i++)
            all[used++] = n.list[i];
        for (uint32_t i = 0; all && i < l->config->window_count; i++)
            all[used++] = l->config->windows[i].definition.name;
        for (size_t i = 0; all && i < count; i++)
            all[used++] = words[i];
        (void)known(l, node, true, "no stream or window", node->key, all, used);
    }
}

static void read_expect(sl_loader *l, const sl_node *node, sl_trial *t) {
    static const struct {
        const char *word;
        sl_trial_subject subject;
    } sections[] = {{"streams", SL_TRIAL_ROWS},   {"windows", SL_TRIAL_WINDOW},         {"late", SL_TRIAL_LATE},
                    {"paths", SL_TRIAL_PATHS},    {"duplicates", SL_TRIAL_DUPLICATES},  {"filtered", SL_TRIAL_FILTERED},
                    {"dead_letters", SL_TRIAL_DEAD_LETTERS}};
    enum { SECTIONS = sizeof sections / sizeof *sections };
    const char *words[SECTIONS];
    for (size_t i = 0; i < SECTIONS; i++)
        words[i] = sections[i].word;
    uint32_t most = 0;
    for (const sl_node *n = node->first; n; n = n->next)
        most += 1 + n->count;
    t->expectations = sl_loader_get(l, most, sizeof *t->expectations);
    for (const sl_node *n = node->first; n && t->expectations; n = n->next) {
        size_t i = 0;
        while (i < SECTIONS && strcmp(words[i], n->key))
            i++;
        if (i == SECTIONS)
            add_either(l, t, n, words, SECTIONS);
        else if (sections[i].subject == SL_TRIAL_DEAD_LETTERS)
            add(l, t, SL_TRIAL_DEAD_LETTERS, "", n);
        else if (is_kind(l, n, SL_NODE_MAP, "a map such as { clicks: … }"))
            for (const sl_node *s = n->first; s; s = s->next)
                add_named(l, t, sections[i].subject, s);
    }
}

/* --- a test --- */

static void check_lookups(sl_loader *l, const sl_node *node) {
    if (!is_kind(l, node, SL_NODE_MAP, "tables and their rows, such as { users: [ { user_id: u1 } ] }"))
        return;
    const char **list = sl_loader_get(l, l->config->lookup_count + 1, sizeof *list);
    size_t count = 0;
    for (uint32_t i = 0; list && i < l->config->lookup_count; i++)
        list[count++] = l->config->lookups[i].name;
    for (const sl_node *n = node->first; n; n = n->next) {
        (void)known(l, n, true, "no lookup table", n->key, list, count);
        if (is_kind(l, n, SL_NODE_LIST, "a list of rows"))
            for (const sl_node *row = n->first; row; row = row->next)
                (void)is_kind(l, row, SL_NODE_MAP, "a row such as { user_id: u1, plan: free }");
    }
}

static void read_test(sl_loader *l, const sl_node *node, sl_trial *t) {
    t->line = node->line;
    t->now_us = SL_NO_TIME;
    t->name = "";
    if (!is_kind(l, node, SL_NODE_MAP, "a test such as { name: …, events: [ … ], expect: { … } }") ||
        !KNOWN_KEYS(l, node, "name", "now", "lookups", "events", "expect"))
        return;
    const sl_node *name = sl_yaml_child(node, "name"), *now = sl_yaml_child(node, "now"),
                  *lookups = sl_yaml_child(node, "lookups"), *expect = sl_yaml_child(node, "expect");
    if (!name || name->kind != SL_NODE_SCALAR || sl_yaml_is_empty(name))
        wrong(l, name ? name : node, false, "a test needs a name");
    else
        t->name = sl_loader_keep(l, name->text, strlen(name->text));
    if (now)
        (void)read_time(l, now, "now", &t->now_us);
    if (lookups) {
        t->own_lookups = true;
        check_lookups(l, lookups);
    }
    read_events(l, sl_yaml_child(node, "events"), t);
    if (!expect)
        wrong(l, node, false, "test '%.100s' expects nothing: it needs `expect`", t->name);
    else if (is_kind(l, expect, SL_NODE_MAP, "what is expected, such as { clicks: [ … ], dead_letters: [ … ] }"))
        read_expect(l, expect, t);
}

void sl_loader_tests(sl_loader *l) {
    const sl_node *tests = sl_yaml_child(l->tree.root, "tests");
    sl_config *c = l->config;
    if (sl_yaml_is_empty(tests) || !is_kind(l, tests, SL_NODE_LIST, "a list of tests"))
        return;
    c->tests = sl_loader_get(l, tests->count, sizeof *c->tests);
    for (const sl_node *n = tests->first; n && c->tests; n = n->next)
        read_test(l, n, &c->tests[c->test_count++]);
}
