#include "loader.h"

#include <stdio.h>

enum { MEASURES_MAX = 200 };

static const sl_config_stream *find_stream(sl_loader *l, const sl_config_window *window,
                                           const sl_node *node) {
    const sl_config *c = l->config;
    const char **names = sl_loader_get(l, c->stream_count, sizeof *names);
    for (uint32_t i = 0; names && i < c->stream_count; i++) {
        names[i] = c->streams[i].name;
        if (!strcmp(names[i], window->of))
            return &c->streams[i];
    }
    if (!names)
        return NULL;
    const char *near = sl_config_nearest(window->of, names, c->stream_count);
    sl_problem_add(&l->problems, sl_yaml_child(node, "of"), false, SL_ENOTFOUND,
                   "window %s: of: no stream '%.100s'%s%s%s", window->definition.name,
                   window->of,
                   near              ? " (did you mean '"
                   : c->stream_count ? ""
                                     : " (no stream is configured)",
                   near ? near : "", near ? "'?)" : "");
    return NULL;
}

static void read_measures(sl_loader *l, sl_config_window *window, const sl_node *node) {
    const char *name = window->definition.name;
    const sl_node *measures = sl_yaml_child(node, "measures");
    if (!measures || measures->kind != SL_NODE_MAP || !measures->count) {
        sl_problem_add(&l->problems, measures ? measures : node, !measures, SL_EINVAL,
                       "window %s: needs measures, such as { events: count() }", name);
        return;
    }
    if (measures->count > MEASURES_MAX) {
        sl_problem_add(&l->problems, measures, false, SL_ELIMIT,
                       "window %s: more than %d measures", name, MEASURES_MAX);
        return;
    }
    sl_measure_definition *list = sl_loader_get(l, measures->count, sizeof *list);
    uint32_t count = 0;
    for (const sl_node *m = measures->first; list && m; m = m->next) {
        if (!sl_name_is_identifier(m->key))
            sl_problem_add(
                &l->problems, m, true, SL_EINVAL,
                "window %s: measure '%.100s': a name is letters, digits and '_'", name,
                m->key);
        else if (m->kind != SL_NODE_SCALAR || sl_yaml_is_empty(m))
            sl_problem_add(&l->problems, m, false, SL_EINVAL,
                           "window %s: measure %s: expected a text such as sum(amount)",
                           name, m->key);
        else
            list[count++] =
                (sl_measure_definition){sl_loader_keep(l, m->key, strlen(m->key)),
                                        sl_loader_keep(l, m->text, strlen(m->text))};
    }
    window->definition.measures = list;
    window->definition.measure_count = count;
}

/** Where daylight saving time moves windows of this width, a constant offset can't align
 * them. */
static void align(sl_loader *l, sl_config_window *window, const sl_node *node) {
    int64_t standard = 0, summer = 0, width = window->definition.width_us;
    if (sl_timezone_read(SL_ZONES, l->config->timezone, &standard, &summer))
        return; /* Reported with the time zone. */
    window->definition.offset_us = standard - sl_time_floor(standard, width);
    if (window->definition.offset_us == summer - sl_time_floor(summer, width))
        return;
    char text[32];
    sl_duration_format(width, text);
    sl_problem_add(
        &l->problems, sl_yaml_child(node, "every"), false, SL_EUNSUPPORTED,
        "window %s: every: this build can't align windows of %s in %s, which has "
        "daylight saving time; use timezone: UTC or windows that divide an hour",
        window->definition.name, text, l->config->timezone);
}

/** "window w: measure m: …" points at m; the event time is checked already, so what else
 * can be wrong is a field of `by`. */
static const sl_node *place_of(const sl_node *node, const char *text) {
    const sl_node *measures = sl_yaml_child(node, "measures");
    const char *measure = strstr(text, "measure ");
    if (measure) {
        measure += 8;
        size_t length = strcspn(measure, ": ");
        for (const sl_node *m = measures->first; m; m = m->next)
            if (strlen(m->key) == length && !memcmp(m->key, measure, length))
                return m;
    }
    const sl_node *by = sl_yaml_child(node, "by");
    return by ? by : measures;
}

static void compile(sl_loader *l, const sl_config_window *window,
                    const sl_config_stream *stream, const sl_node *node) {
    sl_schema *empty = NULL;
    if (!stream->schema) {
        empty = sl_schema_create(stream->name);
        if (!empty) {
            l->problems.out_of_memory = true;
            return;
        }
        empty->inferred = true;
    }
    sl_error error = {0};
    sl_window_plan *plan = NULL;
    sl_status status = sl_window_plan_create(
        &window->definition, empty ? empty : sl_config_output(stream), &plan, &error);
    if (status)
        sl_problem_add(&l->problems, place_of(node, error.text), false, status, "%s",
                       error.text);
    sl_window_plan_destroy(plan);
    sl_schema_unref(empty);
}

void sl_loader_finish_window(sl_loader *l, sl_config_window *window,
                             const sl_node *node) {
    sl_window_definition *d = &window->definition;
    uint32_t before = l->problems.count;
    if (!sl_name_is_identifier(d->name)) {
        sl_problem_add(
            &l->problems, node, true, SL_EINVAL,
            "window '%.100s': a name is letters, digits and '_', begins with a letter "
            "or '_', and has at most 63 characters",
            d->name);
        return;
    }
    if (!window->of)
        sl_problem_add(&l->problems, node, true, SL_EINVAL,
                       "window %s: needs `of`, the name of a stream", d->name);
    if (!d->width_us)
        sl_problem_add(&l->problems, node, true, SL_EINVAL,
                       "window %s: needs `every`, such as 1m", d->name);
    if (window->warehouse.strings == SL_STRINGS_DEAD_LETTER)
        sl_problem_add(
            &l->problems, sl_yaml_child(sl_yaml_child(node, "warehouse"), "strings"),
            false, SL_EINVAL,
            "window %s: strings: a window's row is no event that could become a dead "
            "letter; its texts are cut (truncate)",
            d->name);
    read_measures(l, window, node);
    if (!window->warehouse.name)
        window->warehouse.name = sl_loader_keep(l, d->name, strlen(d->name));
    const sl_config_stream *stream = window->of ? find_stream(l, window, node) : NULL;
    if (!stream || l->problems.count != before || l->problems.out_of_memory || sl_loader_lacks_data(stream))
        return;
    d->event_time = stream->event_time;
    align(l, window, node);
    sl_loader_check_final(l, window, stream, node);
    sl_loader_check_window_columns(l, window, node);
    if (l->problems.count == before) /* Else it would say the same again. */
        compile(l, window, stream, node);
}
