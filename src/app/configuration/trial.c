/* The configuration as one of its tests runs it: its own rows of lookup tables, variables of `test_environment`, and nothing of
 * where data goes. */
#include "loader.h"

static void make_literal(sl_node *node) {
    if (!node)
        return;
    node->literal = true;
    for (sl_node *n = node->first; n; n = n->next)
        make_literal(n);
}

static void check_variables(sl_loader *l, const sl_node *node) {
    if (!node || sl_yaml_is_empty(node))
        return;
    if (node->kind != SL_NODE_MAP)
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "test_environment: expected a map such as { SALT: \"…\" }");
    for (const sl_node *n = node->kind == SL_NODE_MAP ? node->first : NULL; n; n = n->next)
        if (n->kind != SL_NODE_SCALAR)
            sl_problem_add(&l->problems, n, false, SL_EINVAL, "test_environment: %.100s: expected a text", n->key);
}

/** Before those of the process: the first one with a name is taken. */
static void add_variables(sl_loader *l, const sl_node *node) {
    const char *const *old = l->environment.variables;
    size_t count = 0, at = 0;
    while (old && old[count])
        count++;
    const char **all = sl_loader_get(l, count + node->count + 1, sizeof *all);
    bool *used = sl_loader_get(l, count + node->count + 1, sizeof *used);
    if (!all || !used)
        return;
    for (const sl_node *n = node->first; n; n = n->next) {
        if (n->kind != SL_NODE_SCALAR)
            continue;
        used[at] = true;
        all[at++] = sl_loader_printf(l, "%s=%s", n->key, n->text);
    }
    for (size_t i = 0; i < count; i++) {
        used[at] = l->environment.used[i];
        all[at++] = old[i];
    }
    l->environment.variables = all;
    l->environment.used = used;
}

/** Which kind of warehouse it is decides about names and types; which one, doesn't. */
static void replace_warehouse(sl_loader *l) {
    sl_tree *t = &l->tree;
    const sl_node *old = sl_yaml_child(t->root, "warehouse"), *url = sl_yaml_child(old, "url");
    const char *text = url && url->kind == SL_NODE_SCALAR ? url->text : "";
    bool redshift = sl_yaml_child(old, "redshift") || !strncmp(text, "redshift:", 9),
         postgres = sl_yaml_child(old, "postgres") || !strncmp(text, "postgres", 8);
    sl_yaml_drop(t->root, "warehouse");
    if (!redshift && !postgres)
        return;
    sl_node *section = sl_yaml_node(t, SL_NODE_MAP, "sluice test"), *server = sl_yaml_node(t, SL_NODE_MAP, "sluice test"),
            *place = sl_yaml_scalar(t, redshift ? "redshift://test:test@localhost/test" : "postgres://test@localhost/test",
                                    "sluice test"),
            *stage = sl_yaml_scalar(t, "s3://sluice-test/stage", "sluice test");
    if (!section || !server || !place || !stage) {
        l->problems.out_of_memory = true;
        return;
    }
    sl_yaml_put(server, "url", place);
    if (redshift)
        sl_yaml_put(server, "stage", stage);
    sl_yaml_put(section, redshift ? "redshift" : "postgres", server);
    sl_yaml_put(t->root, "warehouse", section);
}

/** The node of the test that is loaded for. */
static const sl_node *current_test(const sl_loader *l) {
    const sl_node *tests = sl_yaml_child(l->tree.root, "tests");
    const sl_node *n = l->source->trial && tests && tests->kind == SL_NODE_LIST ? tests->first : NULL;
    for (uint32_t i = 1; n && i < l->source->trial; i++)
        n = n->next;
    return n;
}

/** Where tables are that the test brings along; their key stays. */
static void forget_tables(sl_loader *l) {
    const sl_node *own = sl_yaml_child(current_test(l), "lookups");
    sl_node *lookups = sl_yaml_child(l->tree.root, "lookups");
    for (sl_node *n = lookups && lookups->kind == SL_NODE_MAP ? lookups->first : NULL; n; n = n->next) {
        if (!sl_yaml_child(own, n->key) || n->kind != SL_NODE_MAP)
            continue;
        for (const sl_node *next, *entry = n->first; entry; entry = next) {
            next = entry->next;
            if (strcmp(entry->key, "key"))
                sl_yaml_drop(n, entry->key);
        }
    }
}

/** A test brings the messages along: of a source only what they are given is left. */
static void forget_kafka(sl_loader *l, sl_node *kafka) {
    static const char *const login[] = {"sasl", "tls", "properties", "start", "group"};
    sl_node *brokers = sl_yaml_scalar(&l->tree, "nowhere", "sluice test"), *topics = sl_yaml_scalar(&l->tree, "nowhere", "sluice test");
    if (!kafka || kafka->kind != SL_NODE_MAP)
        return;
    for (size_t i = 0; i < sizeof login / sizeof *login; i++)
        sl_yaml_drop(kafka, login[i]);
    l->problems.out_of_memory |= !brokers || !topics;
    if (brokers && sl_yaml_child(kafka, "brokers"))
        sl_yaml_put(kafka, "brokers", brokers);
    if (topics && sl_yaml_child(kafka, "topics"))
        sl_yaml_put(kafka, "topics", topics);
}

/** A test brings the lines of files along. */
static void forget_sources(sl_loader *l) {
    sl_yaml_drop(l->tree.root, "kafka");
    sl_node *sources = sl_yaml_child(l->tree.root, "sources");
    for (sl_node *n = sources && sources->kind == SL_NODE_MAP ? sources->first : NULL; n; n = n->next) {
        forget_kafka(l, sl_yaml_child(n, "kafka"));
        sl_node *file = sl_yaml_child(n, "file"), *path = sl_yaml_scalar(&l->tree, "/nowhere", "sluice test");
        if (!path)
            l->problems.out_of_memory = true;
        else if (sl_yaml_child(file, "path"))
            sl_yaml_put(file, "path", path);
    }
}

static void forget_places(sl_loader *l) {
    static const char *const sections[] = {"data_dir", "admin", "journal", "spool", "s3", "log", "alerts"},
                             *const doors[] = {"listen", "auth", "tls"};
    sl_node *root = l->tree.root, *http = sl_yaml_child(root, "http"), *streams = sl_yaml_child(root, "streams"),
            *windows = sl_yaml_child(root, "windows"), *lake = sl_yaml_child(root, "lake");
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        sl_yaml_drop(root, sections[i]);
    for (size_t i = 0; http && i < sizeof doors / sizeof *doors; i++)
        sl_yaml_drop(http, doors[i]);
    if (lake)
        sl_yaml_drop(lake, "to");
    for (sl_node *n = streams && streams->kind == SL_NODE_MAP ? streams->first : NULL; n; n = n->next) {
        if (sl_yaml_child(n, "lake"))
            sl_yaml_drop(sl_yaml_child(n, "lake"), "to");
        sl_yaml_drop(n, "topic");
        sl_yaml_drop(n, "dead_letters");
    }
    for (sl_node *n = windows && windows->kind == SL_NODE_MAP ? windows->first : NULL; n; n = n->next)
        sl_yaml_drop(n, "topic");
    replace_warehouse(l);
    forget_tables(l);
    forget_sources(l);
}

void sl_loader_prepare_tests(sl_loader *l) {
    sl_node *variables = sl_yaml_child(l->tree.root, "test_environment");
    make_literal(sl_yaml_child(l->tree.root, "tests"));
    make_literal(variables);
    check_variables(l, variables);
    if (!l->source->trial)
        return;
    if (variables && variables->kind == SL_NODE_MAP)
        add_variables(l, variables);
    forget_places(l);
}

bool sl_loader_test_lookup(sl_loader *l, sl_config_lookup *lookup) {
    const sl_node *rows = sl_yaml_child(sl_yaml_child(current_test(l), "lookups"), lookup->name);
    if (!rows || rows->kind != SL_NODE_LIST || !lookup->key)
        return false;
    sl_buffer text = SL_BUFFER_EMPTY;
    for (const sl_node *row = rows->first; row; row = row->next) {
        sl_yaml_json(row, false, &text);
        sl_buffer_byte(&text, '\n');
    }
    const sl_lookup_definition d = {.name = lookup->name, .format = SL_LOOKUP_NDJSON, .key = lookup->key, .all = true};
    sl_lookup_loader *loader = NULL;
    sl_error error = {0};
    sl_status status = text.failed ? SL_ENOMEM : sl_lookup_begin(&d, &loader, &error);
    if (status == SL_OK)
        status = sl_lookup_feed(loader, text.bytes, text.length, &error);
    if (status == SL_OK)
        status = sl_lookup_finish(loader, &lookup->table, &error);
    sl_lookup_loader_destroy(loader);
    sl_buffer_fini(&text);
    if (status == SL_ENOMEM)
        l->problems.out_of_memory = true;
    else if (status != SL_OK)
        sl_problem_add(&l->problems, rows, true, SL_EINVAL, "tests: lookup %.100s: %s", lookup->name, error.text);
    return true;
}
