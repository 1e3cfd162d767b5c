#include "loader.h"

#include <stdio.h>

typedef struct walk {
    sl_loader *loader;
    const char *keys[SL_TREE_DEPTH + 2];
    uint32_t depth;
    void *bases[SL_SCOPES]; /* By scope: what the offsets of the table are of. */
} walk;

/** The table's word for the path that the walk stands on. */
static const sl_parameter *parameter_here(const walk *w, bool *section) {
    const sl_parameter *found = NULL;
    for (size_t i = 0; i < sl_parameter_count; i++) {
        sl_path_match match = sl_path_compare(sl_parameters[i].path, w->keys, w->depth);
        if (match == SL_PATH_EXACT)
            found = &sl_parameters[i];
        *section |= match == SL_PATH_SECTION;
    }
    return found;
}

static const sl_later *later_here(const walk *w, bool *section) {
    const sl_later *found = NULL;
    for (size_t i = 0; i < sl_later_count; i++) {
        sl_path_match match = sl_path_compare(sl_later_keys[i].path, w->keys, w->depth);
        if (match == SL_PATH_EXACT)
            found = &sl_later_keys[i];
        *section |= match == SL_PATH_SECTION;
    }
    return found;
}

typedef struct names {
    char text[64][32];
    const char *list[64];
    size_t count, own; /* The first `own` are this build's. */
} names;

static void add_name(names *n, const char *pattern, const char *const *keys,
                     uint32_t depth) {
    if (sl_path_compare(pattern, keys, depth) != SL_PATH_SECTION || n->count == 64)
        return;
    for (uint32_t i = 0; i < depth; i++)
        pattern += strcspn(pattern, ".") + 1;
    char *text = n->text[n->count];
    snprintf(text, sizeof n->text[0], "%.*s", (int)strcspn(pattern, "."), pattern);
    if (!strcmp(text, "NAME"))
        return;
    for (size_t i = 0; i < n->count; i++)
        if (!strcmp(n->list[i], text))
            return;
    n->list[n->count++] = text;
}

/** The keys that may stand at `depth`. */
static void names_at(const walk *w, uint32_t depth, names *n) {
    n->count = 0;
    for (size_t i = 0; i < sl_parameter_count; i++)
        add_name(n, sl_parameters[i].path, w->keys, depth);
    n->own = n->count;
    for (size_t i = 0; i < sl_later_count; i++)
        add_name(n, sl_later_keys[i].path, w->keys, depth);
}

static void list_names(const names *n, char *out, size_t size) {
    size_t used = 0;
    *out = 0;
    for (size_t i = 0; i < n->own && used < size; i++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", n->list[i]);
}

static void unknown_key(const walk *w, const sl_node *node) {
    names n;
    names_at(w, w->depth - 1, &n);
    const char *near = sl_config_nearest(node->key, n.list, n.count);
    char known[256];
    list_names(&n, known, sizeof known);
    if (near)
        sl_problem_add(&w->loader->problems, node, true, SL_EINVAL,
                       "unknown key '%.100s' (did you mean '%s'?)", node->key, near);
    else
        sl_problem_add(&w->loader->problems, node, true, SL_EINVAL,
                       "unknown key '%.100s' (known here: %s)", node->key, known);
}

static void path_text(const walk *w, char *out, size_t size) {
    size_t used = 0;
    *out = 0;
    for (uint32_t i = 0; i < w->depth && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%.60s", i ? "." : "",
                                 w->keys[i]);
}

static void visit_children(walk *w, const sl_node *node);

/** `steps:` and `steps: []` ask for nothing. */
static bool asks_nothing(const sl_node *node) {
    return sl_yaml_is_empty(node) || (node->kind != SL_NODE_SCALAR && !node->count);
}

static void visit(walk *w, const sl_node *node) {
    bool section = false;
    const sl_parameter *parameter = parameter_here(w, &section);
    const sl_later *later = later_here(w, &section);
    char path[160];
    path_text(w, path, sizeof path);
    if (section && node->kind == SL_NODE_MAP) {
        visit_children(w, node);
    } else if (parameter) {
        sl_loader_value(w->loader, parameter, node, w->bases[parameter->scope]);
    } else if (later) {
        if (!asks_nothing(node))
            sl_problem_add(&w->loader->problems, node, true, SL_EUNSUPPORTED,
                           "%s: this build doesn't have %s yet", path, later->what);
    } else if (section) {
        if (sl_yaml_is_empty(node))
            return;
        names n;
        char known[256];
        names_at(w, w->depth, &n);
        list_names(&n, known, sizeof known);
        sl_problem_add(&w->loader->problems, node, false, SL_EINVAL,
                       "%s: expected a map%s%s%s", path,
                       *known ? " with keys such as " : " of names", known, "");
    } else {
        unknown_key(w, node);
    }
}

static void visit_children(walk *w, const sl_node *node) {
    for (const sl_node *child = node->first; child; child = child->next) {
        w->keys[w->depth++] = child->key;
        visit(w, child);
        w->depth--;
    }
}

static void walk_streams(walk *w, const sl_node *streams) {
    sl_loader *l = w->loader;
    sl_config *c = l->config;
    c->streams = sl_loader_get(l, streams->count, sizeof *c->streams);
    w->keys[0] = "streams";
    for (const sl_node *node = streams->first; node && c->streams; node = node->next) {
        sl_config_stream *stream = &c->streams[c->stream_count++];
        stream->name = sl_loader_keep(l, node->key, strlen(node->key));
        stream->line = node->key_line;
        stream->lake = c->lake;
        stream->lake.to = NULL;
        sl_loader_defaults(l, SL_SCOPE_STREAM, stream);
        w->bases[SL_SCOPE_STREAM] = stream;
        w->keys[1] = node->key;
        w->depth = 2;
        visit(w, node);
    }
}

static void walk_windows(walk *w, const sl_node *windows) {
    sl_loader *l = w->loader;
    sl_config *c = l->config;
    c->windows = sl_loader_get(l, windows->count, sizeof *c->windows);
    w->keys[0] = "windows";
    for (const sl_node *node = windows->first; node && c->windows; node = node->next) {
        sl_config_window *window = &c->windows[c->window_count++];
        window->definition.name = sl_loader_keep(l, node->key, strlen(node->key));
        window->line = node->key_line;
        sl_loader_defaults(l, SL_SCOPE_WINDOW, window);
        w->bases[SL_SCOPE_WINDOW] = window;
        w->keys[1] = node->key;
        w->depth = 2;
        visit(w, node);
    }
}

static void walk_lookups(walk *w, const sl_node *lookups) {
    sl_loader *l = w->loader;
    sl_config *c = l->config;
    c->lookups = sl_loader_get(l, lookups->count, sizeof *c->lookups);
    w->keys[0] = "lookups";
    for (const sl_node *node = lookups->first; node && c->lookups; node = node->next) {
        sl_config_lookup *lookup = &c->lookups[c->lookup_count++];
        lookup->name = sl_loader_keep(l, node->key, strlen(node->key));
        lookup->line = node->key_line;
        sl_loader_defaults(l, SL_SCOPE_LOOKUP, lookup);
        w->bases[SL_SCOPE_LOOKUP] = lookup;
        w->keys[1] = node->key;
        w->depth = 2;
        visit(w, node);
    }
}

static void begin_file(walk *w, const sl_node *node) {
    sl_config_file *file = &w->loader->config->files[w->loader->config->file_count++];
    sl_loader_defaults(w->loader, SL_SCOPE_FILE, file);
    file->name = sl_loader_keep(w->loader, node->key, strlen(node->key));
    file->line = node->key_line;
    w->bases[SL_SCOPE_FILE] = file;
}

static void begin_kafka(walk *w, const sl_node *node) {
    sl_config_kafka *kafka = &w->loader->config->kafkas[w->loader->config->kafka_count++];
    sl_loader_defaults(w->loader, SL_SCOPE_KAFKA, kafka);
    kafka->name = sl_loader_keep(w->loader, node->key, strlen(node->key));
    kafka->line = node->key_line;
    w->bases[SL_SCOPE_KAFKA] = kafka;
}

static void walk_sources(walk *w, const sl_node *sources) {
    sl_loader *l = w->loader;
    sl_config *c = l->config;
    c->files = sl_loader_get(l, sources->count, sizeof *c->files);
    c->kafkas = sl_loader_get(l, sources->count, sizeof *c->kafkas);
    w->keys[0] = "sources";
    for (const sl_node *node = sources->first; node && c->files && c->kafkas; node = node->next) {
        const sl_node *file = sl_yaml_child(node, "file");
        bool kafka = sl_loader_is_kafka(node);
        if (kafka && file) {
            sl_problem_add(&l->problems, file, true, SL_EINVAL, "source %.100s: is `kafka` already: a source is one of them", node->key);
            continue;
        }
        if (kafka)
            begin_kafka(w, node);
        else
            begin_file(w, node);
        w->keys[1] = node->key;
        w->depth = 2;
        visit(w, node);
    }
}

void sl_loader_walk(sl_loader *l) {
    walk w = {.loader = l, .bases = {l->config}};
    const sl_node *streams = NULL, *windows = NULL, *lookups = NULL, *sources = NULL;
    sl_loader_defaults(l, SL_SCOPE_ROOT, l->config);
    /* The fixed sections first: streams begin with the root's lake. */
    for (const sl_node *node = l->tree.root->first; node; node = node->next) {
        if (!strcmp(node->key, "streams") && node->kind == SL_NODE_MAP) {
            streams = node;
        } else if (!strcmp(node->key, "windows") && node->kind == SL_NODE_MAP) {
            windows = node;
        } else if (!strcmp(node->key, "lookups") && node->kind == SL_NODE_MAP) {
            lookups = node;
        } else if (!strcmp(node->key, "sources") && node->kind == SL_NODE_MAP) {
            sources = node;
        } else {
            w.keys[0] = node->key;
            w.depth = 1;
            visit(&w, node);
        }
    }
    if (streams)
        walk_streams(&w, streams);
    if (windows)
        walk_windows(&w, windows);
    if (lookups)
        walk_lookups(&w, lookups);
    if (sources)
        walk_sources(&w, sources);
}
