#include "loader.h"

#include <errno.h>
#include <stdio.h>

char *sl_loader_keep(sl_loader *l, const char *text, size_t length) {
    static char nothing[1];
    char *copy = sl_arena_strndup(l->arena, text, length);
    if (copy)
        return copy;
    l->problems.out_of_memory = true;
    return nothing;
}

char *sl_loader_printf(sl_loader *l, const char *format, ...) {
    char text[4200];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return sl_loader_keep(l, text, strlen(text));
}

char *sl_loader_join(sl_loader *l, const char *directory, const char *name) {
    size_t length = strlen(directory);
    while (length && directory[length - 1] == '/')
        length--;
    return sl_loader_printf(l, "%.*s/%s", (int)length, directory, name);
}

void *sl_loader_get(sl_loader *l, size_t count, size_t size) {
    void *block = sl_arena_get(l->arena, (count ? count : 1) * size);
    if (block)
        memset(block, 0, (count ? count : 1) * size);
    else
        l->problems.out_of_memory = true;
    return block;
}

static const sl_node *descend(const sl_loader *l, const char *path, bool *whole) {
    const sl_node *node = l->tree.root;
    *whole = true;
    while (*path) {
        char key[128];
        size_t length = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)length, path);
        const sl_node *child = sl_yaml_child(node, key);
        if (!child) {
            *whole = false;
            break;
        }
        node = child;
        path += length + (path[length] == '.');
    }
    return node;
}

const sl_node *sl_loader_at(const sl_loader *l, const char *path, const char *other) {
    bool whole, other_whole = false;
    const sl_node *node = descend(l, path, &whole);
    const sl_node *second = other ? descend(l, other, &other_whole) : NULL;
    return !whole && other_whole ? second : node;
}

static sl_status status_of(int number) {
    return number == ENOENT || number == ENOTDIR ? SL_ENOTFOUND
           : number == EACCES || number == EPERM ? SL_EDENIED
                                                 : SL_EIO;
}

/** A whole text file, at most SL_CONFIG_FILE_BYTES of it, without a NUL. */
static sl_status read_text(sl_tree *tree, const char *path, const char **out,
                           size_t *length, sl_error *error) {
    FILE *file = fopen(path, "rb");
    if (!file)
        return sl_error_set(error, status_of(errno), "%s", strerror(errno));
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    while (!status && sl_buffer_reserve(&text, 65536)) {
        errno = 0;
        size_t got = fread(text.bytes + text.length, 1, 65536, file);
        text.length += got;
        if (!got && ferror(file))
            status = sl_error_set(error, status_of(errno), "%s", strerror(errno));
        else if (text.length > SL_CONFIG_FILE_BYTES)
            status = sl_error_set(error, SL_ELIMIT, "larger than 1 MiB");
        if (!got)
            break;
    }
    fclose(file);
    if (!status && !text.failed)
        *out = sl_arena_strndup(&tree->arena, text.length ? (const char *)text.bytes : "",
                                text.length);
    *length = text.length;
    if (!status && (text.failed || !*out))
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    sl_buffer_fini(&text);
    return status;
}

const char *sl_loader_read(sl_loader *l, const sl_node *node, const char *what,
                           const char *path, size_t *length) {
    const char *text = NULL;
    sl_error error = {0};
    sl_status status = read_text(&l->tree, path, &text, length, &error);
    if (!status)
        return text;
    sl_problem_add(&l->problems, node, false, status, "%s: cannot read '%.200s': %s",
                   what, path, error.text);
    return NULL;
}

/** Where the text comes from: what the caller gives, else the file, else
 * SLUICE_CONFIG_YAML. */
static sl_status find_text(sl_loader *l, const char **text, size_t *length,
                           sl_error *error) {
    const sl_config_source *source = l->source;
    const char *variable = sl_environment_get(&l->environment, "SLUICE_CONFIG_YAML", 18);
    bool given = variable && *variable;
    l->tree.file = source->path ? source->path : "configuration";
    *text = source->text ? source->text : "";
    if (!source->text && !source->path && given) {
        l->tree.file = "SLUICE_CONFIG_YAML";
        *text = variable;
    }
    *length = strlen(*text);
    if (given && *text != variable && l->warn)
        l->warn(l->context,
                "SLUICE_CONFIG_YAML is not used: a configuration file is given");
    if (source->text || !source->path)
        return SL_OK;
    sl_status status = read_text(&l->tree, source->path, text, length, error);
    return status ? sl_error_context(error, "%s", source->path) : SL_OK;
}

static void find_directory(sl_loader *l) {
    const char *path = l->source->path ? l->source->path : "";
    const char *slash = strrchr(path, '/');
    l->directory = sl_loader_keep(l, path, slash ? (size_t)(slash - path) + 1 : 0);
}

static bool stop(const sl_loader *l) {
    return l->problems.count || l->problems.out_of_memory;
}

static void finish(sl_loader *l) {
    sl_config *c = l->config;
    if (!l->source->fixed_only)
        sl_loader_lookups(l);
    if (stop(l)) /* Steps ask what isn't there. */
        return;
    const sl_node *node = sl_yaml_child(l->tree.root, "streams");
    node = node ? node->first : NULL;
    for (uint32_t i = 0; node && i < c->stream_count && !l->problems.out_of_memory; i++) {
        sl_loader_finish_stream(l, &c->streams[i], node);
        node = node->next;
    }
    c->embedded = !c->stream_count;
    if (!stop(l) && !l->source->fixed_only)
        sl_loader_check_sources(l);
    if (!l->source->fixed_only)
        sl_loader_check_use(l);
    if (stop(l) || l->source->fixed_only) /* A window's message would only repeat its stream's. */
        return;
    node = sl_yaml_child(l->tree.root, "windows");
    node = node ? node->first : NULL;
    for (uint32_t i = 0; node && i < c->window_count && !l->problems.out_of_memory; i++) {
        sl_loader_finish_window(l, &c->windows[i], node);
        node = node->next;
    }
    if (!stop(l))
        sl_loader_check_tables(l);
    sl_loader_tests(l);
}

static void write_text(sl_loader *l) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_loader_show(l, &text);
    const char *shown = sl_buffer_cstr(&text);
    if (text.failed)
        l->problems.out_of_memory = true;
    else
        l->config->text = sl_loader_keep(l, shown, text.length);
    sl_buffer_fini(&text);
}

static sl_status run(sl_loader *l, sl_error *error) {
    const char *text = NULL;
    size_t length = 0;
    size_t variables = 0;
    while (l->environment.variables && l->environment.variables[variables])
        variables++;
    l->environment.used = sl_loader_get(l, variables + 1, sizeof(bool));
    if (!l->environment.used)
        return sl_error_set(error, SL_ENOMEM, "configuration: out of memory");
    sl_status status = find_text(l, &text, &length, error);
    if (!status)
        status = sl_yaml_parse(&l->tree, text, length, error);
    if (status)
        return status;
    find_directory(l);
    sl_loader_environment(l);
    sl_loader_prepare_tests(l);
    if (!l->problems.out_of_memory)
        sl_expand_tree(&l->tree, &l->environment, l->tree.root, &l->problems);
    if (!stop(l)) {
        sl_loader_warn_unknown(l);
        sl_loader_walk(l);
    }
    if (!stop(l)) { /* Every value is one: now whether they fit together. */
        sl_loader_check_root(l);
        finish(l);
    }
    if (!stop(l) && !l->source->fixed_only)
        write_text(l);
    return sl_problems_report(&l->problems, error);
}

sl_status sl_config_load(const sl_config_source *source, sl_config_warn_fn *warn,
                         void *context, sl_config **out, sl_error *error) {
    *out = NULL;
    sl_config_box *box = sl_calloc(1, sizeof *box);
    if (!box)
        return sl_error_set(error, SL_ENOMEM, "configuration: out of memory");
    sl_arena_init(&box->arena, SL_TREE_BLOCK_BYTES);
    sl_loader l = {.source = source,
                   .warn = warn,
                   .context = context,
                   .config = &box->config,
                   .arena = &box->arena,
                   .environment = {source->environment, NULL}};
    sl_yaml_init(&l.tree, "configuration");
    l.problems.tree = &l.tree;
    sl_status status = run(&l, error);
    sl_yaml_fini(&l.tree);
    if (status)
        sl_config_destroy(&box->config);
    else
        *out = &box->config;
    return status;
}

static void forget_data(const sl_step_definition *step) {
    sl_user_agent_rules_unref(step->rules);
    sl_geoip_unref(step->database);
}

void sl_config_destroy(sl_config *config) {
    if (!config)
        return;
    sl_config_box *box = (sl_config_box *)config; /* Its first member. */
    for (uint32_t i = 0; config->lookups && i < config->lookup_count; i++)
        sl_lookup_unref(config->lookups[i].table);
    for (uint32_t i = 0; config->streams && i < config->stream_count; i++) {
        sl_config_stream *stream = &config->streams[i];
        for (uint32_t k = 0; k < stream->step_count; k++)
            forget_data(&stream->steps[k]);
        sl_steps_unref(config->streams[i].plan);
        sl_schema_unref(config->streams[i].schema);
        sl_contract_unref(config->streams[i].contract);
    }
    sl_arena_fini(&box->arena);
    sl_free(box);
}
