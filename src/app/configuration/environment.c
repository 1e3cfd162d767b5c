/* The environment goes over the tree before anything is read from it, so that a value
 * means the same wherever it comes from, and a mistake in it is reported under the
 * variable's name. */
#include "loader.h"

/** Put `node` at a dotted path below `map`, making sections (and replacing what is
 * none). */
static void put_below(sl_loader *l, sl_node *map, const char *path, sl_node *node) {
    while (node) {
        size_t length = strcspn(path, ".");
        char *key = sl_arena_strndup(&l->tree.arena, path, length);
        if (!key)
            break;
        if (!path[length]) {
            sl_yaml_put(map, key, node);
            return;
        }
        sl_node *child = sl_yaml_child(map, key);
        if (!child || child->kind != SL_NODE_MAP) {
            child = sl_yaml_node(&l->tree, SL_NODE_MAP, node->origin);
            if (!child)
                break;
            sl_yaml_put(map, key, child);
        }
        map = child;
        path += length + 1;
    }
    l->problems.out_of_memory = true;
}

static void put_at(sl_loader *l, const char *path, sl_node *node) {
    put_below(l, l->tree.root, path, node);
}

/** "a, b" as a list. */
static sl_node *split(sl_loader *l, const char *text, const char *origin) {
    sl_node *list = sl_yaml_node(&l->tree, SL_NODE_LIST, origin);
    for (; list && *text;) {
        size_t all = strcspn(text, ","), begin = strspn(text, " "), end = all;
        while (end > begin && text[end - 1] == ' ')
            end--;
        begin = begin < end ? begin : end;
        char *part = sl_arena_strndup(&l->tree.arena, text + begin, end - begin);
        sl_node *node = part ? sl_yaml_scalar(&l->tree, part, origin) : NULL;
        if (!node)
            return NULL;
        sl_yaml_put(list, NULL, node);
        text += all + (text[all] == ',');
    }
    return list;
}

/** @return the value of a variable, NULL when it isn't set or empty. */
static const char *value_of(sl_loader *l, const char *name) {
    const char *value = sl_environment_get(&l->environment, name, strlen(name));
    return value && *value ? value : NULL;
}

/** @param path Of the parameter, below `map`. */
static void put_variable(sl_loader *l, sl_node *map, const char *path, const sl_parameter *p, const char *name) {
    const char *value = value_of(l, name);
    if (!value)
        return;
    const char *origin = sl_arena_strndup(&l->tree.arena, name, strlen(name));
    bool list = p->type == SL_PARAMETER_LIST || p->type == SL_PARAMETER_SECRETS ||
                p->type == SL_PARAMETER_TAGS || p->type == SL_PARAMETER_AWS_KEYS || p->type == SL_PARAMETER_PROPERTIES;
    sl_node *node = !origin ? NULL
                    : list  ? split(l, value, origin)
                            : sl_yaml_scalar(&l->tree, value, origin);
    put_below(l, map, path, node);
}

static void put_root(sl_loader *l, const sl_parameter *p, const char *name) {
    put_variable(l, l->tree.root, p->path, p, name);
}

static const sl_parameter *parameter_at(const char *path) {
    size_t i = 0;
    while (strcmp(sl_parameters[i].path, path))
        i++;
    return &sl_parameters[i];
}

/** `SLUICE_HTTP_AUTH=none` and a token say opposite things; neither wins silently. */
static void check_auth(sl_loader *l) {
    static const char *const others[] = {"SLUICE_HTTP_AUTH_TOKENS",
                                         "SLUICE_HTTP_AUTH_TOKEN",
                                         "SLUICE_HTTP_AUTH_TOKENS_FILE",
                                         "SLUICE_HTTP_AUTH_TOKEN_FILE",
                                         "SLUICE_HTTP_AUTH_AWS_KEYS",
                                         "SLUICE_TOKEN",
                                         "SLUICE_TOKEN_FILE"};
    if (!value_of(l, "SLUICE_HTTP_AUTH"))
        return;
    const sl_node at = {.origin = "SLUICE_HTTP_AUTH"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (value_of(l, others[i]))
            sl_problem_add(&l->problems, &at, false, SL_EINVAL,
                           "contradicts %s: unset one of them", others[i]);
}

/** The one stream of a container: defaults that a file would have to spell out. */
static void make_stream(sl_loader *l, sl_node *schema) {
    sl_tree *t = &l->tree;
    const char *origin = schema->origin;
    l->container = true;
    put_at(l, "streams.events.schema", schema);
    put_at(l, "streams.events.lake", sl_yaml_node(t, SL_NODE_MAP, origin));
    if (value_of(l, "SLUICE_WAREHOUSE_URL") ||
        value_of(l, "SLUICE_WAREHOUSE_POSTGRES_URL") ||
        value_of(l, "SLUICE_WAREHOUSE_REDSHIFT_URL"))
        put_at(l, "streams.events.warehouse", sl_yaml_node(t, SL_NODE_MAP, origin));
    const sl_node *windows = sl_yaml_child(t->root, "windows");
    if (windows && !sl_yaml_is_empty(windows))
        return;
    put_at(l, "windows.events_per_minute.of", sl_yaml_scalar(t, "events", origin));
    put_at(l, "windows.events_per_minute.every", sl_yaml_scalar(t, "1m", origin));
    put_at(l, "windows.events_per_minute.measures.events",
           sl_yaml_scalar(t, "count()", origin));
}

static void put_schema(sl_loader *l) {
    const char *value = value_of(l, "SLUICE_SCHEMA");
    if (!value)
        return;
    sl_node *schema = sl_yaml_scalar(&l->tree, value, "SLUICE_SCHEMA");
    if (!schema) {
        l->problems.out_of_memory = true;
        return;
    }
    const sl_node *streams = sl_yaml_child(l->tree.root, "streams");
    if (!streams || sl_yaml_is_empty(streams) || !streams->count) {
        make_stream(l, schema);
    } else if (streams->kind == SL_NODE_MAP && streams->count == 1) {
        sl_node *stream = streams->first;
        if (stream->kind == SL_NODE_SCALAR && sl_yaml_is_empty(stream)) {
            stream->kind = SL_NODE_MAP; /* `clicks:` alone. */
            stream->text = NULL;
        }
        if (stream->kind == SL_NODE_MAP)
            sl_yaml_put(stream, "schema", schema);
    } else {
        sl_problem_add(
            &l->problems, schema, false, SL_EINVAL,
            "the configuration has %u streams: name the schema in each of them",
            streams->count);
    }
}

/* ---- Kafka ---- */

static const char kafka_prefix[] = "sources.NAME.kafka.";

/** What the section `kafka` has, too. */
static bool is_connection(const sl_parameter *p) {
    static const char *const parts[] = {"brokers", "sasl", "tls", "properties"};
    const char *key = p->path + strlen(kafka_prefix);
    bool found = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !found; i++)
        found = strcspn(key, ".") == strlen(parts[i]) && !strncmp(key, parts[i], strlen(parts[i]));
    return found;
}

/** @return The name of a variable that is set and can only mean a source, in the tree's arena; NULL: none is. */
static const char *any_kafka(sl_loader *l) {
    char name[128];
    for (size_t i = 0; i < sl_parameter_count; i++) {
        if (sl_parameters[i].scope != SL_SCOPE_KAFKA || is_connection(&sl_parameters[i]))
            continue;
        sl_parameter_variable(sl_parameters[i].path, name);
        if (value_of(l, name)) {
            const char *kept = sl_arena_strndup(&l->tree.arena, name, strlen(name));
            l->problems.out_of_memory |= kept == NULL;
            return kept;
        }
    }
    return NULL;
}

static sl_node *next_kafka(sl_node *source) {
    while (source && !sl_loader_is_kafka(source))
        source = source->next;
    return source;
}

static sl_node *first_kafka(sl_loader *l) {
    const sl_node *sources = sl_yaml_child(l->tree.root, "sources");
    return sources && sources->kind == SL_NODE_MAP ? next_kafka(sources->first) : NULL;
}

/** The section of the one Kafka source; where there is none and a variable asks for one, that of the source `kafka`. @param origin That
 * variable, or NULL. @return NULL: none, or not one, or after a problem. */
static sl_node *kafka_section(sl_loader *l, const char *origin) {
    sl_node *found = NULL;
    uint32_t count = 0;
    for (sl_node *source = first_kafka(l); source; source = next_kafka(source->next), count++)
        found = sl_yaml_child(source, "kafka");
    if (count > 1) {
        const sl_node at = {.origin = origin};
        if (origin)
            sl_problem_add(&l->problems, &at, false, SL_EINVAL,
                           "the configuration has %u Kafka sources: say it in each of them, for instance by ${VAR}", count);
        return NULL;
    }
    if (found && found->kind == SL_NODE_SCALAR && sl_yaml_is_empty(found)) {
        found->kind = SL_NODE_MAP; /* `kafka:` alone. */
        found->text = NULL;
    }
    if (!found && origin) {
        found = sl_yaml_node(&l->tree, SL_NODE_MAP, origin);
        put_at(l, "sources.kafka.kafka", found);
    }
    return found && found->kind == SL_NODE_MAP ? found : NULL; /* What is no map is refused later. */
}

/** A password alone is that of the source's user. */
static void leave_login(sl_loader *l, const sl_node *source) {
    sl_node *section = sl_yaml_child(l->tree.root, "kafka");
    const sl_node *login = sl_yaml_child(section, "sasl");
    if (login && login->origin && !sl_yaml_child(login, "user") && sl_yaml_child(sl_yaml_child(source, "sasl"), "user"))
        sl_yaml_drop(section, "sasl");
}

/** Variables of the connection are the section's already; the one source that there is gets all. */
static void put_kafka(sl_loader *l) {
    sl_node *section = kafka_section(l, any_kafka(l));
    bool own = section && sl_yaml_child(section, "brokers");
    char name[128];
    for (size_t i = 0; section && i < sl_parameter_count; i++) {
        const sl_parameter *p = &sl_parameters[i];
        if (p->scope != SL_SCOPE_KAFKA)
            continue;
        sl_parameter_variable(p->path, name);
        put_variable(l, section, p->path + strlen(kafka_prefix), p, name);
    }
    leave_login(l, section);
    for (sl_node *source = first_kafka(l); source; source = next_kafka(source->next)) {
        sl_node *kafka = sl_yaml_child(source, "kafka");
        if (!sl_yaml_child(kafka, "brokers") || (kafka == section && !own))
            sl_loader_inherit_kafka(l, kafka);
    }
}

static void refuse_later(sl_loader *l, const char *name, const char *what) {
    const sl_node at = {.origin = name};
    sl_problem_add(&l->problems, &at, false, SL_EUNSUPPORTED,
                   "this build doesn't have %s yet", what);
}

static void check_later(sl_loader *l) {
    for (size_t i = 0; l->environment.variables && l->environment.variables[i]; i++) {
        const char *variable = l->environment.variables[i];
        const char *equals = strchr(variable, '=');
        if (strncmp(variable, "SLUICE_", 7) || !equals || !equals[1])
            continue;
        for (size_t k = 0; k < sl_later_count; k++) {
            char prefix[128];
            sl_parameter_variable(sl_later_keys[k].path, prefix);
            size_t length = strlen(prefix);
            if (!sl_later_keys[k].environment || strncmp(variable, prefix, length) ||
                (variable[length] != '=' && variable[length] != '_'))
                continue;
            l->environment.used[i] = true;
            char name[128];
            size_t all = (size_t)(equals - variable);
            memcpy(name, variable, all < 127 ? all : 127);
            name[all < 127 ? all : 127] = 0;
            refuse_later(l, name, sl_later_keys[k].what);
        }
    }
}

void sl_loader_environment(sl_loader *l) {
    char name[128];
    if (!value_of(l, "SLUICE_LAKE_TO"))
        put_root(l, parameter_at("lake.to"), "SLUICE_LAKE");
    for (size_t i = 0; i < sl_parameter_count; i++) {
        if (sl_parameters[i].scope != SL_SCOPE_ROOT || !sl_parameter_has_variable(&sl_parameters[i]))
            continue;
        sl_parameter_variable(sl_parameters[i].path, name);
        put_root(l, &sl_parameters[i], name);
    }
    if (!value_of(l, "SLUICE_HTTP_AUTH_TOKEN"))
        put_root(l, parameter_at("http.auth.token"), "SLUICE_TOKEN");
    if (!value_of(l, "SLUICE_HTTP_AUTH_TOKEN_FILE"))
        put_root(l, parameter_at("http.auth.token_file"), "SLUICE_TOKEN_FILE");
    check_auth(l);
    put_schema(l);
    put_kafka(l);
    check_later(l);
}

/* ---- unknown ones ---- */

/** Not a word of the daemon: the project's tests' own, and what Kubernetes injects for a
 * service named sluice. */
static bool is_foreign(const char *name) {
    return !strcmp(name, "SLUICE_SHARED_DATA") || !strcmp(name, "SLUICE_LONG") ||
           !strncmp(name, "SLUICE_TEST_", 12) || !strncmp(name, "SLUICE_SERVICE_", 15) || !strcmp(name, "SLUICE_PORT") ||
           !strncmp(name, "SLUICE_PORT_", 12);
}

static bool is_variable(const char *name) {
    char known[128];
    for (size_t i = 0; i < sl_variable_count; i++)
        if (!strcmp(name, sl_variables[i].name))
            return true;
    for (size_t i = 0; i < sl_parameter_count; i++) {
        sl_parameter_variable(sl_parameters[i].path, known);
        if (sl_parameter_has_variable(&sl_parameters[i]) && !strcmp(name, known))
            return true;
    }
    return false;
}

static void warn_one(sl_loader *l, const char *name) {
    enum { MOST = 160 };
    char names[MOST][128];
    const char *list[MOST];
    size_t count = 0;
    for (size_t i = 0; i < sl_variable_count && count < MOST; i++)
        list[count++] = sl_variables[i].name;
    for (size_t i = 0; i < sl_parameter_count && count < MOST; i++)
        if (sl_parameter_has_variable(&sl_parameters[i])) {
            sl_parameter_variable(sl_parameters[i].path, names[count]);
            list[count] = names[count];
            count++;
        }
    /* The common beginning says nothing about nearness. */
    const char *tails[MOST];
    for (size_t i = 0; i < count; i++)
        tails[i] = list[i] + 7;
    const char *near = sl_config_nearest(name + 7, tails, count);
    sl_error text;
    sl_error_set(&text, SL_OK, "unknown environment variable %s%s%s%s", name,
                 near ? " (did you mean SLUICE_" : "", near ? near : "",
                 near ? "?)" : "");
    l->warn(l->context, text.text);
}

void sl_loader_warn_unknown(sl_loader *l) {
    for (size_t i = 0; l->warn && l->environment.variables && l->environment.variables[i];
         i++) {
        const char *variable = l->environment.variables[i];
        size_t length = strcspn(variable, "=");
        char name[128];
        if (strncmp(variable, "SLUICE_", 7) || l->environment.used[i] ||
            length >= sizeof name)
            continue;
        memcpy(name, variable, length);
        name[length] = 0;
        if (!is_foreign(name) && !is_variable(name))
            warn_one(l, name);
    }
}
