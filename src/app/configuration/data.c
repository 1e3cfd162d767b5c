/* What steps ask: lookup tables, address databases, rules of user agents. Read whole, at the start and with each reload. */
#include "loader.h"

#include <errno.h>
#include <stdio.h>

enum { PIECE = 1 << 20 };

/** @return bytes from sl_malloc(), or NULL after a problem at `node`. */
static uint8_t *read_file(sl_loader *l, const sl_node *node, const char *what, const char *path, uint64_t most,
                          size_t *length) {
    FILE *f = fopen(path, "rb");
    sl_buffer bytes = SL_BUFFER_EMPTY;
    int failed = f == NULL ? errno : 0;
    while (f != NULL && !bytes.failed && bytes.length <= most) {
        size_t some = sl_buffer_reserve(&bytes, PIECE) ? fread(bytes.bytes + bytes.length, 1, PIECE, f) : 0;
        bytes.length += some;
        if (some == 0)
            break;
    }
    if (f != NULL && ferror(f))
        failed = errno != 0 ? errno : EIO;
    if (f != NULL)
        (void)fclose(f);
    if (failed != 0)
        sl_problem_add(&l->problems, node, false, failed == ENOENT ? SL_ENOTFOUND : SL_EIO, "%s %.200s: %s", what, path,
                       strerror(failed));
    else if (bytes.length > most)
        sl_problem_add(&l->problems, node, false, SL_ELIMIT, "%s %.200s: larger than %llu MiB", what, path,
                       (unsigned long long)(most >> 20));
    else if (bytes.failed)
        l->problems.out_of_memory = true;
    if (failed != 0 || bytes.failed || bytes.length > most) {
        sl_buffer_fini(&bytes);
        return NULL;
    }
    *length = bytes.length;
    return bytes.bytes;
}

const char *sl_loader_path(sl_loader *l, const sl_node *node) {
    const char *path = node->text;
    return node->origin || *path == '/' || !strncmp(path, "s3://", 5) ? path : sl_loader_printf(l, "%s%s", l->directory, path);
}

static void problem(sl_loader *l, const sl_node *node, const char *what, const char *path, sl_status status,
                    const sl_error *error) {
    if (status == SL_ENOMEM)
        l->problems.out_of_memory = true;
    else if (status != SL_OK)
        sl_problem_add(&l->problems, node, false, status, "%s %.200s: %s", what, path, error->text);
}

static sl_status build(const sl_lookup_definition *d, const uint8_t *bytes, size_t length, sl_lookup **out,
                       sl_error *error) {
    sl_lookup_loader *loader;
    sl_status status = sl_lookup_begin(d, &loader, error);
    if (status != SL_OK)
        return status;
    status = sl_lookup_feed(loader, bytes, length, error);
    if (status == SL_OK)
        status = sl_lookup_finish(loader, out, error);
    sl_lookup_loader_destroy(loader);
    return status;
}

/* ---- lookups ---- */

/** Where the content is: one of four keys. @return NULL after a problem. */
static const sl_node *find_source(sl_loader *l, const sl_config_lookup *lookup, const sl_node *section) {
    static const char *const names[] = {"csv", "ndjson", "sqlite", "postgres"};
    const sl_node *found = NULL;
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const sl_node *node = sl_yaml_child(section, names[i]);
        if (sl_yaml_is_empty(node))
            continue;
        found = node;
        count++;
    }
    if (count == 1 && lookup->key)
        return found;
    sl_problem_add(&l->problems, section, true, SL_EINVAL,
                   "lookup %s: needs `key`, and one of `csv`, `ndjson`, `sqlite` and `postgres`", lookup->name);
    return NULL;
}

/** What belongs to databases alone, or to one of them. */
static bool check_database(sl_loader *l, const sl_config_lookup *lookup, const sl_node *section, const sl_node *source) {
    static const char *const login[] = {"password", "password_file", "ca_file"};
    bool server = !strcmp(source->key, "postgres"), database = server || lookup->sqlite;
    bool table = lookup->table_name != NULL, query = lookup->query != NULL;
    bool good = database ? table != query : !table && !query;
    if (!good)
        sl_problem_add(&l->problems, section, true, SL_EINVAL,
                       database ? "lookup %s: needs one of `table` and `query`"
                                : "lookup %s: `table` and `query` are for `sqlite` and `postgres`",
                       lookup->name);
    for (size_t i = 0; i < sizeof login / sizeof *login && !server; i++) {
        const sl_node *node = sl_yaml_child(section, login[i]);
        if (sl_yaml_is_empty(node))
            continue;
        good = false;
        sl_problem_add(&l->problems, node, true, SL_EINVAL, "lookup %s: `%s` is for `postgres`", lookup->name, login[i]);
    }
    return good;
}

/** Paths as they stand in the file are relative to it. */
static bool settle_paths(sl_loader *l, sl_config_lookup *lookup, const sl_node *node) {
    char **path = lookup->csv ? &lookup->csv : lookup->ndjson ? &lookup->ndjson : lookup->sqlite ? &lookup->sqlite : NULL;
    if (!path)
        return sl_loader_lookup_server(l, lookup, node);
    const char *text = sl_loader_path(l, node);
    bool object = !strncmp(text, "s3://", 5);
    if (object && lookup->sqlite) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "lookup %s: `sqlite` is a file on this machine", lookup->name);
        return false;
    }
    const char *key = object ? strchr(text + 5, '/') : NULL;
    if (object && (!key || !key[1])) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "lookup %s: expected s3://BUCKET/KEY", lookup->name);
        return false;
    }
    *path = sl_loader_keep(l, text, strlen(text));
    return true;
}

static void read_lookup_file(sl_loader *l, sl_config_lookup *lookup, const sl_node *node) {
    const char *path = lookup->csv ? lookup->csv : lookup->ndjson;
    if (!path || !strncmp(path, "s3://", 5)) {
        sl_problem_add(&l->problems, node, false, SL_EUNSUPPORTED, l->source->trial ? "lookup %s: a test asks nothing outside: give its rows with the test, lookups: { %s: [ … ] }"
                                        : "lookup %s: here tables are read from files alone",
                       lookup->name, lookup->name);
        return;
    }
    size_t length = 0;
    uint8_t *bytes = read_file(l, node, "lookup", path, UINT64_C(1) << 30, &length);
    if (!bytes)
        return;
    const sl_lookup_definition d = {.name = lookup->name,
                                    .format = lookup->csv ? SL_LOOKUP_CSV : SL_LOOKUP_NDJSON,
                                    .key = lookup->key,
                                    .all = true};
    sl_error error = {0};
    problem(l, node, "lookup", path, build(&d, bytes, length, &lookup->table, &error), &error);
    sl_free(bytes);
}

static void load_lookup(sl_loader *l, sl_config_lookup *lookup, const sl_node *section) {
    if (sl_loader_test_lookup(l, lookup))
        return;
    if (lookup->refresh_us != 0 && lookup->refresh_us < SL_SECOND_US) {
        sl_problem_add(&l->problems, sl_yaml_child(section, "refresh"), false, SL_EINVAL,
                       "lookup %s: `refresh` is 1s or more", lookup->name);
        return;
    }
    const sl_node *node = find_source(l, lookup, section);
    if (!node || !check_database(l, lookup, section, node) ||
        !settle_paths(l, lookup, node))
        return;
    if (!l->source->lookup) {
        read_lookup_file(l, lookup, node);
        return;
    }
    sl_error error = {0};
    sl_status status = l->source->lookup(l->source->lookup_context, l->config, lookup, &lookup->table, &error);
    if (status == SL_ENOMEM)
        l->problems.out_of_memory = true;
    else if (status != SL_OK)
        sl_problem_add(&l->problems, node, false, status, "lookup %s: %s", lookup->name, error.text);
}

void sl_loader_lookups(sl_loader *l) {
    const sl_node *node = sl_yaml_child(l->tree.root, "lookups");
    node = node && l->config->lookup_count ? node->first : NULL;
    for (uint32_t i = 0; node && i < l->config->lookup_count; i++, node = node->next)
        load_lookup(l, &l->config->lookups[i], node);
}

const sl_lookup *sl_loader_lookup(sl_loader *l, const sl_node *node) {
    const sl_config *c = l->config;
    const char **names = sl_loader_get(l, c->lookup_count + 1, sizeof *names);
    for (uint32_t i = 0; names && i < c->lookup_count; i++) {
        names[i] = c->lookups[i].name;
        if (!strcmp(names[i], node->text))
            return c->lookups[i].table; /* NULL: there was a problem with it. */
    }
    const char *near = names ? sl_config_nearest(node->text, names, c->lookup_count) : NULL;
    sl_problem_add(&l->problems, node, false, SL_ENOTFOUND, "lookup: no table '%.100s'%s%s%s", node->text,
                   near                ? " (did you mean '"
                   : c->lookup_count ? ""
                                       : " (`lookups` is where tables are named)",
                   near ? near : "", near ? "'?)" : "");
    return NULL;
}

/** With its data: of a step that was read before. */
static const sl_step_definition *find_data(const sl_config *c, sl_step_kind kind, const char *path) {
    for (uint32_t i = 0; c && i < c->stream_count; i++)
        for (uint32_t k = 0; k < c->streams[i].step_count; k++) {
            const sl_step_definition *d = &c->streams[i].steps[k];
            if (d->kind == kind && (d->rules || d->database) &&
                !strcmp(d->source ? d->source : SL_USER_AGENT_RULES_PATH, path))
                return d;
        }
    return NULL;
}

/* Also of this configuration: one file is in memory once. */
const sl_step_definition *sl_loader_before(const sl_loader *l, sl_step_kind kind, const char *path) {
    const sl_step_definition *d = find_data(l->source->before, kind, path);
    return d ? d : find_data(l->config, kind, path);
}

sl_geoip *sl_loader_geoip(sl_loader *l, const sl_node *node) {
    const char *path = sl_loader_path(l, node);
    const sl_step_definition *before = sl_loader_before(l, SL_STEP_GEOIP, path);
    if (before)
        return sl_geoip_ref(before->database);
    size_t length = 0;
    uint8_t *bytes = read_file(l, node, "geoip: database", path, SL_GEOIP_FILE_BYTES_MAX, &length);
    if (!bytes)
        return NULL;
    sl_geoip *database = NULL;
    sl_error error = {0};
    sl_status status = sl_geoip_load(bytes, length, NULL, &database, &error);
    if (status != SL_OK)
        sl_free(bytes);
    problem(l, node, "geoip: database", path, status, &error);
    return database;
}

sl_user_agent_rules *sl_loader_user_agent(sl_loader *l, const sl_node *node, const sl_node *step) {
    const char *path = node ? sl_loader_path(l, node) : SL_USER_AGENT_RULES_PATH;
    const sl_step_definition *before = sl_loader_before(l, SL_STEP_USER_AGENT, path);
    if (before)
        return sl_user_agent_rules_ref(before->rules);
    size_t length = 0;
    uint8_t *bytes = read_file(l, node ? node : step, "user_agent: regexes", path, UINT64_C(16) << 20, &length);
    if (!bytes)
        return NULL;
    sl_user_agent_rules *rules = NULL;
    sl_error error = {0};
    problem(l, node ? node : step, "user_agent: regexes", path,
            sl_user_agent_rules_load((const char *)bytes, length, &rules, &error), &error);
    sl_free(bytes);
    return rules;
}
