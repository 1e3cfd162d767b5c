/* A stream's steps: a list of maps with one key each. */
#include "loader.h"

enum { ITEMS_MAX = 1000 };

/** How the items of a step are written. */
typedef enum form { FORM_MAP, FORM_NAMES, FORM_TEXT, FORM_HASH, FORM_DATA } form;
static const form forms[SL_STEP_KINDS] = {
    [SL_STEP_REQUIRE] = FORM_MAP, [SL_STEP_WHERE] = FORM_TEXT,  [SL_STEP_SET] = FORM_MAP,
    [SL_STEP_DEFAULT] = FORM_MAP, [SL_STEP_CAST] = FORM_MAP,    [SL_STEP_RENAME] = FORM_MAP,
    [SL_STEP_DROP] = FORM_NAMES,  [SL_STEP_TRIM] = FORM_NAMES,  [SL_STEP_LOWER] = FORM_NAMES,
    [SL_STEP_REDACT] = FORM_NAMES, [SL_STEP_HASH] = FORM_HASH,
    [SL_STEP_USER_AGENT] = FORM_DATA, [SL_STEP_GEOIP] = FORM_DATA, [SL_STEP_LOOKUP] = FORM_DATA,
};
static const char *const examples[] = {
    [FORM_MAP] = "a map such as { name: 'text' }",
    [FORM_NAMES] = "a field, or a list of fields",
    [FORM_TEXT] = "a condition such as 'amount > 0'",
    [FORM_HASH] = "a map such as { fields: [email], salt: \"${SALT}\" }",
    [FORM_DATA] = "a map",
};

static void wrong(sl_loader *l, const sl_config_stream *s, const sl_node *at, sl_step_kind kind) {
    sl_problem_add(&l->problems, at, false, SL_EINVAL, "stream %s: %s: expected %s", s->name, sl_step_name(kind),
                   examples[forms[kind]]);
}

static bool is_text(const sl_node *node) { return node->kind == SL_NODE_SCALAR && !sl_yaml_is_empty(node); }

static char *keep(sl_loader *l, const char *text) { return sl_loader_keep(l, text, strlen(text)); }

static sl_step_item *items(sl_loader *l, const sl_config_stream *s, const sl_node *node, sl_step_definition *d,
                           uint32_t count) {
    if (count <= ITEMS_MAX)
        return d->items = sl_loader_get(l, count, sizeof *d->items);
    sl_problem_add(&l->problems, node, false, SL_ELIMIT, "stream %s: %s: more than %d", s->name,
                   sl_step_name(d->kind), ITEMS_MAX);
    return NULL;
}

static void read_map(sl_loader *l, const sl_config_stream *s, const sl_node *node, sl_step_definition *d) {
    if (node->kind != SL_NODE_MAP || node->count == 0) {
        wrong(l, s, node, d->kind);
        return;
    }
    if (items(l, s, node, d, node->count) == NULL)
        return;
    for (const sl_node *n = node->first; n; n = n->next) {
        if (is_text(n))
            d->items[d->count++] = (sl_step_item){keep(l, n->key), keep(l, n->text), n->key_line};
        else
            wrong(l, s, n, d->kind);
    }
}

static void read_names(sl_loader *l, const sl_config_stream *s, const sl_node *node, sl_step_definition *d) {
    bool one = node->kind == SL_NODE_SCALAR;
    if (node->kind == SL_NODE_MAP || (one ? sl_yaml_is_empty(node) : node->count == 0)) {
        wrong(l, s, node, d->kind);
        return;
    }
    if (items(l, s, node, d, one ? 1 : node->count) == NULL)
        return;
    for (const sl_node *n = one ? node : node->first; n; n = one ? NULL : n->next) {
        if (is_text(n))
            d->items[d->count++] = (sl_step_item){keep(l, n->text), NULL, n->line};
        else
            wrong(l, s, n, d->kind);
    }
}

static void read_text(sl_loader *l, const sl_config_stream *s, const sl_node *node, sl_step_definition *d) {
    if (!is_text(node))
        wrong(l, s, node, d->kind);
    else if (items(l, s, node, d, 1) != NULL)
        d->items[d->count++] = (sl_step_item){keep(l, ""), keep(l, node->text), node->line};
}

static void read_hash(sl_loader *l, const sl_config_stream *s, const sl_node *node, sl_step_definition *d) {
    const sl_node *fields = sl_yaml_child(node, "fields"), *salt = sl_yaml_child(node, "salt"),
                  *file = sl_yaml_child(node, "salt_file");
    if (node->kind != SL_NODE_MAP || !fields || node->count != 2 || !(salt || file) || !is_text(salt ? salt : file)) {
        wrong(l, s, node, d->kind);
        return;
    }
    read_names(l, s, fields, d);
    size_t length = 0;
    const char *text = salt ? salt->text : sl_loader_read(l, file, "salt_file", file->text, &length);
    if (text == NULL)
        return;
    length = strcspn(text, "\r\n");
    if (length < 16)
        sl_problem_add(&l->problems, salt ? salt : file, false, SL_EINVAL,
                       "stream %s: hash: the salt has %zu characters; whoever guesses it can undo the hashes of "
                       "known values: take at least 16",
                       s->name, length);
    d->salt = sl_loader_keep(l, text, length);
}

/** Where the field, the data and the result are named. */
static const struct keys {
    const char *from, *data, *into;
} keys[] = {[SL_STEP_USER_AGENT] = {"from", "regexes", "into"},
            [SL_STEP_GEOIP] = {"ip", "database", "into"},
            [SL_STEP_LOOKUP] = {"on", "table", "into"}};

static void read_data(sl_loader *l, const sl_config_stream *s, const sl_node *node, sl_step_definition *d) {
    const struct keys *k = &keys[d->kind];
    const sl_node *from = sl_yaml_child(node, k->from), *data = sl_yaml_child(node, k->data),
                  *into = sl_yaml_child(node, k->into),
                  *refresh = d->kind == SL_STEP_GEOIP ? sl_yaml_child(node, "refresh") : NULL;
    bool needs = d->kind != SL_STEP_USER_AGENT;
    uint32_t known = (from ? 1u : 0) + (data ? 1u : 0) + (into ? 1u : 0) + (refresh ? 1u : 0);
    if (node->kind != SL_NODE_MAP || !from || !into || (needs && !data) || node->count != known || !is_text(from) ||
        !is_text(into) || (data && !is_text(data))) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "stream %s: %s: expected { %s: FIELD, %s: %s, into: NAME }",
                       s->name, sl_step_name(d->kind), k->from, k->data, d->kind == SL_STEP_LOOKUP ? "NAME" : "FILE");
        return;
    }
    d->from = keep(l, from->text);
    d->into = keep(l, into->text);
    if (refresh && (!is_text(refresh) || !sl_duration_parse(refresh->text, strlen(refresh->text), &d->refresh_us) ||
                    d->refresh_us < SL_SECOND_US)) {
        sl_problem_add(&l->problems, refresh, false, SL_EINVAL,
                       "stream %s: geoip: refresh: expected how often the file is looked at, such as 1h, at least 1s", s->name);
        return;
    }
    if (data)
        d->source = keep(l, d->kind == SL_STEP_LOOKUP ? data->text : sl_loader_path(l, data));
    if (d->kind == SL_STEP_LOOKUP)
        d->table = sl_loader_lookup(l, data);
    else if (d->kind == SL_STEP_GEOIP)
        d->database = sl_loader_geoip(l, data);
    else
        d->rules = sl_loader_user_agent(l, data, node);
}

static bool find_kind(const char *name, sl_step_kind *kind) {
    for (uint32_t i = 0; i < SL_STEP_KINDS; i++)
        if (!strcmp(sl_step_name((sl_step_kind)i), name)) {
            *kind = (sl_step_kind)i;
            return true;
        }
    return false;
}

static void unknown(sl_loader *l, const sl_config_stream *s, const sl_node *node) {
    const char *names[SL_STEP_KINDS];
    for (uint32_t i = 0; i < SL_STEP_KINDS; i++)
        names[i] = sl_step_name((sl_step_kind)i);
    const char *near = sl_config_nearest(node->key, names, SL_STEP_KINDS);
    sl_problem_add(&l->problems, node, true, SL_EINVAL, "stream %s: no step is called '%.100s'%s%s%s", s->name, node->key,
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static void read_step(sl_loader *l, sl_config_stream *s, const sl_node *node) {
    if (node->kind != SL_NODE_MAP || node->count != 1) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "stream %s: steps: expected a map with one key, such as - set: { total: 'price * 2' }", s->name);
        return;
    }
    const sl_node *body = node->first;
    sl_step_definition *d = &s->steps[s->step_count];
    if (!find_kind(body->key, &d->kind)) {
        unknown(l, s, body);
        return;
    }
    d->line = body->key_line;
    s->step_count++;
    switch (forms[d->kind]) {
    case FORM_MAP:
        read_map(l, s, body, d);
        break;
    case FORM_NAMES:
        read_names(l, s, body, d);
        break;
    case FORM_TEXT:
        read_text(l, s, body, d);
        break;
    case FORM_HASH:
        read_hash(l, s, body, d);
        break;
    case FORM_DATA:
        read_data(l, s, body, d);
        break;
    }
}

/** Where the `wrong` of sl_steps_create() stands. */
static const sl_node *place(const sl_config_stream *s, const sl_node *steps, uint32_t at) {
    const sl_node *node = steps->first;
    for (uint32_t i = at >> 16; i != 0 && node->next; i--)
        node = node->next;
    uint32_t step = at >> 16;
    if (step >= s->step_count)
        return steps;
    const sl_node *body = node->first;
    if (forms[s->steps[step].kind] == FORM_DATA)
        return body;
    if (forms[s->steps[step].kind] == FORM_HASH)
        body = sl_yaml_child(body, "fields");
    if (body->kind == SL_NODE_SCALAR)
        return body;
    node = body->first;
    for (uint32_t i = at & 0xffff; i != 0 && node->next; i--)
        node = node->next;
    return node;
}

bool sl_loader_lacks_data(const sl_config_stream *s) {
    for (uint32_t i = 0; i < s->step_count; i++)
        if (s->steps[i].kind == SL_STEP_LOOKUP && !s->steps[i].table)
            return true;
    return false;
}

void sl_loader_steps(sl_loader *l, sl_config_stream *s, const sl_node *section) {
    const sl_node *steps = sl_yaml_child(section, "steps");
    if (!steps || sl_yaml_is_empty(steps) || (steps->kind != SL_NODE_SCALAR && steps->count == 0))
        return;
    uint32_t before = l->problems.count;
    if (steps->kind != SL_NODE_LIST || steps->count > SL_STEPS_MAX) {
        sl_problem_add(&l->problems, steps, false, SL_EINVAL, "stream %s: steps: expected a list of at most %u steps",
                       s->name, SL_STEPS_MAX);
        return;
    }
    s->steps = sl_loader_get(l, steps->count, sizeof *s->steps);
    for (const sl_node *n = steps->first; n && s->steps; n = n->next)
        read_step(l, s, n);
    if (!s->schema && !sl_yaml_child(section, "schema"))
        sl_problem_add(&l->problems, steps, false, SL_EINVAL,
                       "stream %s: steps need a schema: the types of an inferred one aren't known beforehand" PARTIAL, s->name);
    if (!s->schema || l->problems.count != before || l->problems.out_of_memory || sl_loader_lacks_data(s))
        return;
    sl_error error = {0};
    uint32_t at = 0;
    sl_status status = sl_steps_create(s->steps, s->step_count, s->schema, s->event_time, &s->plan, &at, &error);
    if (status == SL_ENOMEM)
        l->problems.out_of_memory = true;
    else if (status != SL_OK)
        sl_problem_add(&l->problems, place(s, steps, at), false, status, "stream %s: %s: %s", s->name,
                       at >> 16 < s->step_count ? sl_step_name(s->steps[at >> 16].kind) : "steps", error.text);
}
