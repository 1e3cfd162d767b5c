/* A stream's parts, put together: its schema with the columns that are added, its event
 * time, its lake and its table. */
#include "loader.h"

#include <stdio.h>

enum { NAME_LONGEST = 63, STREAM_LONGEST = 128 };

static bool is_letter(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool sl_name_is_identifier(const char *name) {
    size_t length = strlen(name);
    if (!length || length > NAME_LONGEST || !is_letter(*name))
        return false;
    for (; *name; name++)
        if (!is_letter(*name) && !is_digit(*name))
            return false;
    return true;
}

/** Streams answer to Kinesis names too (its API reference, CreateStream:
 * [a-zA-Z0-9_.-]{1,128}), and are directories. */
static bool is_stream_name(const char *name) {
    size_t length = strlen(name);
    if (!length || length > STREAM_LONGEST || !(is_letter(*name) || is_digit(*name)))
        return false;
    for (; *name; name++)
        if (!is_letter(*name) && !is_digit(*name) && *name != '-' && *name != '.')
            return false;
    return true;
}

char *sl_loader_identifier(sl_loader *l, const char *name) {
    char *text = sl_loader_keep(l, name, strlen(name));
    for (char *c = text; *c; c++)
        if (!is_letter(*c) && !is_digit(*c))
            *c = '_';
    return text;
}

/* ---- schema ---- */

static bool add_column(sl_loader *l, sl_config_stream *stream, const sl_node *at,
                       const char *name, sl_type type, sl_origin origin) {
    sl_schema *schema = stream->schema;
    if (sl_schema_child(schema, 0, name, strlen(name)) != SL_NO_FIELD) {
        sl_problem_add(
            &l->problems, at, false, SL_EINVAL,
            "stream %s: the schema has a member '%s' already; `add` can't add it",
            stream->name, name);
        return false;
    }
    uint32_t index = sl_schema_add(schema, 0, name, strlen(name), type);
    if (index == SL_NO_FIELD) {
        l->problems.out_of_memory = true;
        return false;
    }
    schema->fields[index].origin = origin;
    schema->fields[index].nullable = origin == SL_ORIGIN_REST;
    if (origin == SL_ORIGIN_REST)
        schema->rest = index;
    return true;
}

/** The JSON text of a schema, wherever it is. @return NULL after a problem. */
static const char *schema_text(sl_loader *l, const sl_config_stream *stream,
                               const sl_node *node, size_t *length) {
    if (node->kind == SL_NODE_LIST) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "stream %s: schema: expected a path or a map, not a list",
                       stream->name);
        return NULL;
    }
    if (node->kind == SL_NODE_SCALAR &&
        node->text[strspn(node->text, " \t\r\n")] == '{') {
        *length = strlen(node->text);
        return node->text;
    }
    if (node->kind == SL_NODE_SCALAR) {
        return sl_loader_read(l, node, "schema", sl_loader_path(l, node), length);
    }
    sl_buffer json = SL_BUFFER_EMPTY;
    sl_yaml_json(node, false, &json);
    const char *text = sl_buffer_cstr(&json);
    char *kept = json.failed ? NULL : sl_arena_strndup(&l->tree.arena, text, json.length);
    *length = json.length;
    if (!kept)
        l->problems.out_of_memory = true;
    sl_buffer_fini(&json);
    return kept;
}

/** "stream clicks: schema schemas/clicks.json: " or without the path. */
static void schema_problem(sl_loader *l, const sl_config_stream *stream,
                           const sl_node *node, sl_status status, const char *text) {
    bool path =
        node->kind == SL_NODE_SCALAR && node->text[strspn(node->text, " \t\r\n")] != '{';
    sl_problem_add(&l->problems, node, false, status, "stream %s: schema%s%.100s: %s",
                   stream->name, path ? " " : "", path ? node->text : "", text);
}

static void read_schema(sl_loader *l, sl_config_stream *stream, const sl_node *section) {
    const sl_node *node = sl_yaml_child(section, "schema");
    const sl_node *add = sl_yaml_child(section, "add");
    if (!node || sl_yaml_is_empty(node))
        return;
    size_t length = 0;
    const char *text = schema_text(l, stream, node, &length);
    if (!text)
        return;
    sl_error error = {0};
    const sl_contract_options options = {.spaced_times = true};
    sl_status status = sl_contract_compile(text, length, &options, &stream->contract, &error);
    if (!status)
        status = sl_contract_columns(stream->contract, stream->name, false, &stream->schema, &error);
    if (status) {
        schema_problem(l, stream, node, status, error.text);
        return;
    }
    /* The fixed order: the event's own, what is added, `_rest`. */
    bool good = true;
    if (stream->processed_at)
        good = add_column(l, stream, add, "processed_at", SL_TYPE_TIMESTAMP,
                          SL_ORIGIN_PROCESSED_AT);
    if (good && stream->source)
        good = add_column(l, stream, add, "source", SL_TYPE_STRING, SL_ORIGIN_SOURCE);
    if (good && !stream->schema->closed)
        (void)add_column(l, stream, node, "_rest", SL_TYPE_JSON, SL_ORIGIN_REST);
}

/* ---- fields ---- */

static void unknown_field(sl_loader *l, const sl_config_stream *stream, const sl_node *at,
                          const char *what, const char *path) {
    const sl_schema *schema = sl_config_output(stream);
    const char **paths = sl_loader_get(l, schema->count, sizeof *paths);
    if (!paths)
        return;
    for (uint32_t i = 1; i < schema->count; i++)
        paths[i - 1] = schema->fields[i].path;
    const char *near = sl_config_nearest(path, paths, schema->count - 1);
    sl_problem_add(&l->problems, at, false, SL_ENOTFOUND,
                   "%s: the schema of stream %s has no field '%.100s'%s%s%s", what,
                   stream->name, path, near ? " (did you mean '" : "", near ? near : "",
                   near ? "'?)" : "");
}

static void check_key(sl_loader *l, const sl_config_stream *stream, const sl_node *section) {
    const char *key = stream->topic.key;
    const sl_schema *schema = sl_config_output(stream);
    uint32_t field = key && schema ? sl_schema_find(schema, key) : 0;
    const sl_node *at = sl_yaml_child(sl_yaml_child(section, "topic"), "key");
    if (field == SL_NO_FIELD)
        unknown_field(l, stream, at, "topic.key", key);
    else if (field && schema->fields[field].type == SL_TYPE_GROUP)
        sl_problem_add(&l->problems, at, false, SL_EINVAL, "topic.key: '%.100s' of stream %s is an object", key, stream->name);
}

static void find_event_time(sl_loader *l, sl_config_stream *stream) {
    const sl_schema *schema = stream->schema;
    for (uint32_t i = schema->fields[0].first_child; i != SL_NO_FIELD;
         i = schema->fields[i].next_sibling) {
        const sl_field *f = &schema->fields[i];
        if (f->type == SL_TYPE_TIMESTAMP && f->origin == SL_ORIGIN_EVENT &&
            sl_schema_time_name(f->name, f->name_length)) {
            stream->event_time = sl_loader_keep(l, f->path, strlen(f->path));
            return;
        }
    }
}

static void check_event_time(sl_loader *l, sl_config_stream *stream,
                             const sl_node *section) {
    const sl_node *at = sl_yaml_child(section, "event_time");
    if (!stream->event_time && l->container && stream->schema)
        find_event_time(l, stream);
    if (!stream->event_time && stream->late_limit_us)
        sl_problem_add(
            &l->problems, sl_yaml_child(section, "late_limit"), false, SL_EINVAL,
            "stream %s: late_limit needs event_time: by arrival nothing is late",
            stream->name);
    if (!stream->event_time || !stream->schema)
        return; /* Inferred: the field may come. */
    uint32_t field = sl_schema_find(stream->schema, stream->event_time);
    if (field == SL_NO_FIELD)
        unknown_field(l, stream, at, "event_time", stream->event_time);
    else if (stream->schema->fields[field].type != SL_TYPE_TIMESTAMP)
        sl_problem_add(
            &l->problems, at, false, SL_ETYPE,
            "event_time: '%.100s' is of type %s; expected a string with format "
            "date-time",
            stream->event_time, sl_type_name(stream->schema->fields[field].type));
}

/** A single value, which a directory's name or a row's key can be. */
static bool is_single(sl_type type) {
    return type != SL_TYPE_GROUP && type != SL_TYPE_JSON && type != SL_TYPE_BYTES;
}

/** "user.id": what can only be meant as one. */
static bool is_path(const char *text) {
    for (; *text; text++)
        if (!is_letter(*text) && !is_digit(*text) && *text != '.')
            return false;
    return true;
}

static void check_id_expression(sl_loader *l, const sl_config_stream *stream, const sl_node *at) {
    sl_expression *id;
    sl_error error = {0};
    sl_status status = sl_expression_compile(stream->id, sl_config_output(stream), &id, &error);
    if (status != SL_OK) {
        sl_problem_add(&l->problems, at, false, status, "stream %s: id: %s", stream->name, error.text);
        return;
    }
    size_t fields;
    (void)sl_expression_fields(id, &fields);
    if (fields == 0)
        sl_problem_add(&l->problems, at, false, SL_EINVAL, "stream %s: id: the same for every event", stream->name);
    if (stream->warehouse.name)
        sl_problem_add(&l->problems, at, false, SL_EINVAL,
                       "stream %s: id: rows of table '%s' can't be told apart by an expression: make a field of it by a step "
                       "(set: { event_key: … }), and name that",
                       stream->name, stream->warehouse.name);
    sl_expression_destroy(id);
}

static void check_id(sl_loader *l, sl_config_stream *stream, const sl_node *section) {
    const sl_node *at = sl_yaml_child(section, "id");
    const char *path = stream->id;
    if (!path)
        return;
    const sl_schema *schema = sl_config_output(stream);
    uint32_t field = schema ? sl_schema_find(schema, path) : SL_NO_FIELD;
    if (field != SL_NO_FIELD || is_path(path))
        stream->warehouse.id = stream->id;
    if (!schema && !is_path(path) && !sl_yaml_child(section, "schema"))
        sl_problem_add(&l->problems, at, false, SL_EINVAL,
                       "stream %s: id: an expression needs a schema: the types of an inferred one aren't known beforehand" PARTIAL,
                       stream->name);
    if (!schema)
        return; /* Inferred: the field may come. */
    if (!stream->warehouse.id)
        check_id_expression(l, stream, at);
    else if (field == SL_NO_FIELD)
        unknown_field(l, stream, at, "id", path);
    else if (!is_single(schema->fields[field].type))
        sl_problem_add(&l->problems, at, false, SL_ETYPE,
                       "id: '%.100s' is of type %s; expected a single value", path,
                       sl_type_name(schema->fields[field].type));
}

/* Asked before the stream's contract and steps: of the event's own members, and of what `add` adds. */
static void check_when(sl_loader *l, const sl_config_stream *stream, const sl_node *section) {
    const sl_node *at = sl_yaml_child(section, "when");
    if (!stream->when)
        return;
    if (!stream->schema) {
        if (!sl_yaml_child(section, "schema"))
            sl_problem_add(&l->problems, at, false, SL_EINVAL,
                           "stream %s: `when` needs a schema: the types of an inferred one aren't known beforehand" PARTIAL,
                           stream->name);
        return;
    }
    sl_expression *when;
    sl_error error = {0};
    sl_status status = sl_expression_compile(stream->when, stream->schema, &when, &error);
    if (status != SL_OK) {
        sl_problem_add(&l->problems, at, false, status, "stream %s: when: %s", stream->name, error.text);
        return;
    }
    size_t count;
    const uint32_t *fields = sl_expression_fields(when, &count);
    for (size_t i = 0; i < count; i++)
        if (fields[i] == stream->schema->rest)
            sl_problem_add(&l->problems, at, false, SL_EINVAL,
                           "stream %s: when: _rest isn't there yet when it is asked: name the member in the schema", stream->name);
    if (sl_expression_type(when) != SL_TYPE_BOOL)
        sl_problem_add(&l->problems, at, false, SL_ETYPE, "stream %s: when: expected a condition, this is of type %s",
                       stream->name, sl_type_name(sl_expression_type(when)));
    sl_expression_destroy(when);
}

static void check_dedupe(sl_loader *l, const sl_config_stream *stream, const sl_node *section) {
    if (!stream->dedupe_us)
        return;
    const sl_node *at = sl_yaml_child(section, "dedupe");
    if (!stream->id)
        sl_problem_add(&l->problems, at, true, SL_EINVAL,
                       "stream %s: dedupe needs `id`, which tells events apart: a field or an expression", stream->name);
    else if (!stream->schema && !sl_yaml_child(section, "schema"))
        sl_problem_add(&l->problems, at, true, SL_EINVAL,
                       "stream %s: dedupe needs a schema: in an inferred one the type of `id` may change" PARTIAL, stream->name);
}

static void check_partitions(sl_loader *l, const sl_config_stream *stream,
                             const sl_node *section) {
    const sl_node *at = sl_yaml_child(sl_yaml_child(section, "lake"), "partition_by");
    if (!at)
        at = sl_loader_at(l, "lake.partition_by", NULL);
    const sl_schema *schema = sl_config_output(stream);
    for (uint32_t i = 0; schema && i < stream->lake.partition_count; i++) {
        const char *path = stream->lake.partition_by[i];
        if (!strcmp(path, "date") || !strcmp(path, "hour"))
            continue;
        uint32_t field = sl_schema_find(schema, path);
        if (field == SL_NO_FIELD) {
            unknown_field(l, stream, at, "partition_by", path);
            continue;
        }
        sl_type type = schema->fields[field].type;
        if (!is_single(type))
            sl_problem_add(
                &l->problems, at, false, SL_ETYPE,
                "partition_by: '%.100s' is of type %s; a directory needs a single value",
                path, sl_type_name(type));
    }
}

static void check_sources(sl_loader *l, const sl_config_stream *stream,
                          const sl_node *section) {
    const sl_config *c = l->config;
    const uint32_t count = 1 + c->file_count + c->kafka_count;
    const char **known = sl_loader_get(l, count, sizeof *known);
    char all[256] = "http";
    for (uint32_t i = 1; known && i < count; i++) {
        known[i] = i <= c->file_count ? c->files[i - 1].name : c->kafkas[i - 1 - c->file_count].name;
        size_t used = strlen(all);
        (void)snprintf(all + used, sizeof all - used, ", %s", known[i]);
    }
    if (known)
        known[0] = "http";
    for (uint32_t i = 0; known && i < stream->from_count; i++) {
        bool found = false;
        for (uint32_t k = 0; k < count; k++)
            found |= !strcmp(stream->from[i], known[k]);
        if (found)
            continue;
        const char *near = sl_config_nearest(stream->from[i], known, count);
        sl_problem_add(&l->problems, sl_yaml_child(section, "from"), false, SL_ENOTFOUND,
                       "from: no source '%.100s'%s%s%s", stream->from[i],
                       near ? " (did you mean '" : " (there are: ", near ? near : all,
                       near ? "'?)" : ")");
    }
}

/** A source's name stands in keys, labels and a file's name. */
static bool is_source_name(const char *name) {
    size_t length = strlen(name);
    return length && length <= 64 && strcmp(name, "http") && strcmp(name, "firehose") && strcmp(name, "replay") && strcmp(name, "file") && *name != '.' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == length;
}

void sl_loader_check_sources(sl_loader *l) {
    const sl_config *c = l->config;
    const sl_node *node = sl_yaml_child(l->tree.root, "sources");
    uint32_t files = 0, kafkas = 0;
    for (node = node && c->file_count + c->kafka_count ? node->first : NULL; node; node = node->next) {
        bool kafka = sl_loader_is_kafka(node);
        const char *name = node->key;
        if (!is_source_name(name))
            sl_problem_add(&l->problems, node, true, SL_EINVAL,
                           "source '%.140s': a name is up to 64 letters, digits, '_', '-' and '.', and not http, firehose, file or replay", name);
        else if (!kafka && !c->files[files].path)
            sl_problem_add(&l->problems, node, true, SL_EINVAL,
                           "source %s: needs file: { path: … } or kafka: { brokers: …, topics: … }", name);
        else if (c->stream_count && !sl_config_taker(c, name))
            sl_problem_add(&l->problems, node, true, SL_EINVAL, "source %s: no stream takes its %s: one needs from: [%s]", name,
                           kafka ? "messages" : "lines", name);
        if (kafka)
            sl_loader_check_kafka(l, &c->kafkas[kafkas++], node);
        else
            files++;
    }
}

/** Is one within the other, as "a.b" is in "a"? */
static bool is_within(const char *name, const char *object) {
    size_t length = strlen(object);
    return !strncmp(name, object, length) && name[length] == '.';
}

static void check_csv(sl_loader *l, sl_config_stream *stream, const sl_node *section) {
    const sl_node *csv = sl_yaml_child(section, "csv");
    const char *text = stream->csv.delimiter;
    bool tab = !strcmp(text, "tab");
    if (!sl_yaml_child(csv, "header"))
        stream->csv.header = !stream->csv.column_count;
    else if (!stream->csv.header && !stream->csv.column_count)
        sl_problem_add(&l->problems, sl_yaml_child(csv, "header"), false, SL_EINVAL,
                       "stream %s: csv.header: false needs csv.columns, the names of the values", stream->name);
    if (!tab && (strlen(text) != 1 || (signed char)*text <= 0 || strchr("\"\r\n.", *text)))
        sl_problem_add(&l->problems, sl_yaml_child(csv, "delimiter"), false, SL_EINVAL,
                       "stream %s: csv.delimiter: '%.20s': expected one ASCII character that is no quote, dot or line end, or "
                       "the word tab",
                       stream->name, text);
    for (uint32_t i = 0; i < stream->csv.column_count; i++)
        for (uint32_t k = 0; k < stream->csv.column_count; k++)
            if (is_within(stream->csv.columns[i], stream->csv.columns[k]))
                sl_problem_add(&l->problems, sl_yaml_child(csv, "columns"), false, SL_EINVAL,
                               "stream %s: csv.columns: '%.100s' can't be in '%.100s', which is a column itself", stream->name,
                               stream->csv.columns[i], stream->csv.columns[k]);
    stream->csv.names = (sl_decode_names){stream->csv.columns, stream->csv.column_count};
    stream->csv.assumed = (sl_format){.kind = SL_FORMAT_CSV,
                                      .header = stream->csv.header ? SL_HEADER_PRESENT : SL_HEADER_ABSENT,
                                      .delimiter = tab ? '\t' : (uint8_t)*text};
}

void sl_loader_finish_stream(sl_loader *l, sl_config_stream *stream,
                             const sl_node *node) {
    if (!is_stream_name(stream->name)) {
        sl_problem_add(
            &l->problems, node, true, SL_EINVAL,
            "stream '%.140s': a name is letters, digits, '_', '-' and '.', begins with "
            "a letter, a digit or '_', and has at most %d characters",
            stream->name, STREAM_LONGEST);
        return;
    }
    const sl_node *lake = sl_yaml_child(node, "lake"),
                  *warehouse = sl_yaml_child(node, "warehouse"), *topic = sl_yaml_child(node, "topic");
    stream->has_lake = lake || (!warehouse && !topic);
    if (stream->raw && !stream->has_lake)
        sl_problem_add(&l->problems, sl_yaml_child(node, "raw"), false, SL_EINVAL,
                       "stream %s: raw needs a lake, whose neighbour it is: add `lake: {}`",
                       stream->name);
    if (stream->has_lake && !stream->lake.to)
        stream->lake.to = sl_loader_join(l, l->config->lake.to, stream->name);
    if (warehouse && !stream->warehouse.name)
        stream->warehouse.name = sl_loader_identifier(l, stream->name);
    if (l->source->fixed_only)
        return;
    check_sources(l, stream, node);
    sl_loader_check_topics(l, stream, node);
    check_csv(l, stream, node);
    read_schema(l, stream, node);
    if (stream->schema || !sl_yaml_child(node, "schema")) {
        check_event_time(l, stream, node);
        sl_loader_steps(l, stream, node);
        check_when(l, stream, node);
        if (sl_loader_lacks_data(stream))
            return;
        check_id(l, stream, node);
        check_dedupe(l, stream, node);
        check_partitions(l, stream, node);
        check_key(l, stream, node);
        sl_loader_check_stream_columns(l, stream, node);
    }
}

/* ---- targets ---- */

/** As a file system compares directories, as far as their names tell. */
static bool same_directory(const char *a, const char *b) {
    size_t m = strlen(a), n = strlen(b);
    while (m > 1 && a[m - 1] == '/')
        m--;
    while (n > 1 && b[n - 1] == '/')
        n--;
    return m == n && !memcmp(a, b, m);
}

/** "table", or "schema.table" where there are schemas. */
static bool is_table(sl_loader *l, const char *table) {
    const char *dot = strchr(table, '.');
    if (!dot || l->config->warehouse.store == SL_STORE_SQLITE)
        return sl_name_is_identifier(table);
    return sl_name_is_identifier(dot + 1) &&
           sl_name_is_identifier(sl_loader_keep(l, table, (size_t)(dot - table)));
}

/** Whoever has `create: false` in mind wants it kept. */
static void warn_sqlite(sl_loader *l, const char *what, const char *name,
                        const sl_config_table *table) {
    sl_error text;
    if (l->config->warehouse.store != SL_STORE_SQLITE || table->create || !l->warn)
        return;
    sl_error_set(
        &text, SL_OK,
        "%s %s: warehouse.create: false has no effect: tables in SQLite are made "
        "by sluice",
        what, name);
    l->warn(l->context, text.text);
}

static void check_table(sl_loader *l, const sl_node *section, const char *what,
                        const char *name, const sl_config_table *config) {
    const sl_node *at = sl_yaml_child(sl_yaml_child(section, "warehouse"), "table");
    const char *table = config->name, *dot = strchr(table, '.');
    const char *local = dot ? dot + 1 : table;
    if (!at)
        at = section;
    warn_sqlite(l, what, name, config);
    if (!is_table(l, table))
        sl_problem_add(
            &l->problems, at, at == section, SL_EINVAL,
            "%s %s: table '%.100s': a name is letters, digits and '_', begins with a "
            "letter or '_', and has at most %d characters%s",
            what, name, table, NAME_LONGEST,
            l->config->warehouse.store == SL_STORE_SQLITE
                ? ""
                : "; one '.' may stand behind that of a schema");
    else if (!strncmp(local, "sluice_", 7) || !strncmp(local, "sqlite_", 7))
        sl_problem_add(
            &l->problems, at, at == section, SL_EINVAL,
            "%s %s: table '%s': names that begin with 'sluice_' and 'sqlite_' are taken",
            what, name, table);
}

typedef struct target {
    const sl_node *node;
    const char *what, *name;
    const sl_config_table *table;
    const char *lake; /**< NULL: none. */
} target;

/** `public` is where a table without a schema is, unless a search_path says otherwise. */
static const char *without_public(const char *table) {
    return !strncmp(table, "public.", 7) ? table + 7 : table;
}

static void compare(sl_loader *l, const target *a, const target *b) {
    const char *one = a->table->name, *other = b->table->name;
    if (one && other && sl_name_is_same(l, without_public(one), without_public(other)))
        sl_problem_add(&l->problems, b->node, true, SL_EEXIST,
                       "%s %s: table '%s' is that of %s %s already", b->what, b->name,
                       other, a->what, a->name);
    if (a->lake && b->lake && same_directory(a->lake, b->lake))
        sl_problem_add(&l->problems, b->node, true, SL_EEXIST,
                       "%s %s: %s'%.150s' is that of %s %s already", b->what, b->name,
                       strncmp(b->lake, "s3://", 5) ? "the directory " : "", b->lake,
                       a->what, a->name);
}

/** Whether all that could come to `b` goes to `a`, which is asked before it. */
static bool leaves_nothing(const sl_config_stream *a, const sl_config_stream *b) {
    bool all = !a->when && (!a->from_count || b->from_count);
    for (uint32_t i = 0; i < b->from_count && all; i++)
        all = sl_config_takes(a, b->from[i]);
    return all;
}

static void warn_unasked(sl_loader *l) {
    const sl_config *c = l->config;
    for (uint32_t i = 0; i < c->stream_count && l->warn; i++) {
        uint32_t k = 0;
        while (k < i && !leaves_nothing(&c->streams[k], &c->streams[i]))
            k++;
        if (k == i || !c->streams[i].when)
            continue;
        sl_error text;
        sl_error_set(&text, SL_OK, "stream %s: its `when` is never asked: stream %s stands before it and takes every event",
                     c->streams[i].name, c->streams[k].name);
        l->warn(l->context, text.text);
    }
}

void sl_loader_check_tables(sl_loader *l) {
    warn_unasked(l);
    const sl_config *c = l->config;
    uint32_t count = 0;
    target *all = sl_loader_get(l, c->stream_count + c->window_count, sizeof *all);
    const sl_node *node = sl_yaml_child(l->tree.root, "streams");
    node = c->stream_count && node ? node->first : NULL;
    for (uint32_t i = 0; all && node && i < c->stream_count; i++, node = node->next) {
        const sl_config_stream *s = &c->streams[i];
        all[count++] = (target){node, "stream", s->name, &s->warehouse,
                                s->has_lake ? s->lake.to : NULL};
    }
    node = sl_yaml_child(l->tree.root, "windows");
    node = c->window_count && node ? node->first : NULL;
    for (uint32_t i = 0; all && node && i < c->window_count; i++, node = node->next)
        all[count++] = (target){node, "window", c->windows[i].definition.name,
                                &c->windows[i].warehouse, NULL};
    for (uint32_t i = 0; all && i < count; i++) {
        if (all[i].table->name)
            check_table(l, all[i].node, all[i].what, all[i].name, all[i].table);
        for (uint32_t k = 0; k < i; k++)
            compare(l, &all[k], &all[i]);
    }
    sl_loader_check_stage(l);
}
