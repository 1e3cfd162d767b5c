/* The text is read as libyaml's events. An event either opens a map or list, closes one,
 * or is a value (scalar, alias). Open containers are on a stack; inside a map, every
 * other value is a key.
 *
 * Aliases are copied, so that a later change of one place leaves the other alone. What
 * copying makes is limited ("billion laughs"), and an alias inside its own anchor is
 * refused.
 * `<<: *base` takes over the entries that the map doesn't have itself (YAML 1.1 merge).
 */
#include "tree.h"

#include <stdio.h>
#include <yaml.h>

typedef struct anchor {
    struct anchor *next;
    const char *name;
    const sl_node *node;
    bool open; /* Still being read: an alias to it would be endless. */
} anchor;

typedef struct frame {
    sl_node *node;
    anchor *anchor;
    const char *key; /* Of a map: waits for its value. */
    yaml_mark_t key_mark;
} frame;

typedef struct builder {
    sl_tree *tree;
    yaml_parser_t parser;
    frame stack[SL_TREE_DEPTH];
    uint32_t depth;
    anchor *anchors;
    bool document;
    sl_error *error;
} builder;

void sl_yaml_init(sl_tree *tree, const char *file) {
    *tree = (sl_tree){.file = file};
    sl_arena_init(&tree->arena, SL_TREE_BLOCK_BYTES);
}

void sl_yaml_fini(sl_tree *tree) {
    sl_arena_fini(&tree->arena);
    tree->root = NULL;
}

static uint32_t hash_of(const char *text) {
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

sl_node *sl_yaml_node(sl_tree *tree, sl_node_kind kind, const char *origin) {
    sl_node *node = sl_arena_get(&tree->arena, sizeof *node);
    if (node)
        *node = (sl_node){.kind = kind, .origin = origin, .literal = origin != NULL};
    return node;
}

sl_node *sl_yaml_scalar(sl_tree *tree, const char *text, const char *origin) {
    sl_node *node = sl_yaml_node(tree, SL_NODE_SCALAR, origin);
    if (!node || !(node->text = sl_arena_strndup(&tree->arena, text, strlen(text))))
        return NULL;
    return node;
}

sl_node *sl_yaml_child(const sl_node *map, const char *key) {
    if (!map || map->kind != SL_NODE_MAP)
        return NULL;
    uint32_t hash = hash_of(key);
    for (sl_node *child = map->first; child; child = child->next)
        if (child->key_hash == hash && !strcmp(child->key, key))
            return child;
    return NULL;
}

static void append(sl_node *parent, sl_node *child) {
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

/** Without its children. */
static sl_node *copy_alone(sl_tree *tree, const sl_node *from) {
    sl_node *node = sl_arena_get(&tree->arena, sizeof *node);
    if (!node)
        return NULL;
    *node = *from;
    node->first = node->last = node->next = NULL;
    node->count = 0;
    return node;
}

sl_node *sl_yaml_copy(sl_tree *tree, const sl_node *from) {
    sl_node *node = ++tree->copies > SL_TREE_COPIES ? NULL : copy_alone(tree, from);
    if (!node)
        return NULL;
    node->copied = true;
    for (const sl_node *child = from->first; child; child = child->next) {
        sl_node *copy = sl_yaml_copy(tree, child);
        if (!copy)
            return NULL;
        append(node, copy);
    }
    return node;
}

static void take_out(sl_node *parent, const sl_node *child) {
    sl_node *before = NULL;
    for (sl_node *at = parent->first; at != child; at = at->next)
        before = at;
    if (before)
        before->next = child->next;
    else
        parent->first = child->next;
    if (parent->last == child)
        parent->last = before;
    parent->count--;
}

void sl_yaml_put(sl_node *parent, const char *key, sl_node *child) {
    if (key) {
        const sl_node *old = sl_yaml_child(parent, key);
        if (old)
            take_out(parent, old);
        child->key = key;
        child->key_hash = hash_of(key);
        child->key_line = child->line;
        child->key_column = child->column;
    }
    append(parent, child);
}

void sl_yaml_drop(sl_node *map, const char *key) {
    const sl_node *child = sl_yaml_child(map, key);
    if (child)
        take_out(map, child);
}

bool sl_yaml_is_empty(const sl_node *node) {
    if (!node)
        return true;
    if (node->kind != SL_NODE_SCALAR)
        return false;
    return !*node->text ||
           (node->plain && (!strcmp(node->text, "~") || !strcmp(node->text, "null") ||
                            !strcmp(node->text, "Null") || !strcmp(node->text, "NULL")));
}

/* ---- building ---- */

static sl_status refuse(builder *b, yaml_mark_t mark, sl_status status,
                        const char *format, ...) SL_PRINTF(4, 5);
static sl_status refuse(builder *b, yaml_mark_t mark, sl_status status,
                        const char *format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return sl_error_set(b->error, status, "%s:%zu:%zu: %s", b->tree->file, mark.line + 1,
                        mark.column + 1, text);
}

static sl_status no_memory(builder *b) {
    return sl_error_set(b->error, SL_ENOMEM, "%s: out of memory", b->tree->file);
}

static sl_status count_node(builder *b, yaml_mark_t mark) {
    if (++b->tree->nodes > SL_TREE_NODES)
        return refuse(b, mark, SL_ELIMIT, "more than %u values", SL_TREE_NODES);
    return SL_OK;
}

static sl_status make_node(builder *b, sl_node_kind kind, yaml_mark_t mark,
                           sl_node **out) {
    sl_status status = count_node(b, mark);
    if (status)
        return status;
    *out = sl_yaml_node(b->tree, kind, NULL);
    if (!*out)
        return no_memory(b);
    (*out)->line = (uint32_t)mark.line + 1;
    (*out)->column = (uint32_t)mark.column + 1;
    return SL_OK;
}

static sl_status copy_node(builder *b, const sl_node *from, yaml_mark_t mark,
                           uint32_t depth, sl_node **out) {
    if (depth >= SL_TREE_DEPTH)
        return refuse(b, mark, SL_ELIMIT, "deeper than %u levels", SL_TREE_DEPTH);
    if (++b->tree->copies > SL_TREE_COPIES)
        return refuse(b, mark, SL_ELIMIT, "aliases make more than %u values",
                      SL_TREE_COPIES);
    sl_node *node = copy_alone(b->tree, from);
    if (!node)
        return no_memory(b);
    for (const sl_node *child = from->first; child; child = child->next) {
        sl_node *copy;
        sl_status status = copy_node(b, child, mark, depth + 1, &copy);
        if (status)
            return status;
        append(node, copy);
    }
    *out = node;
    return SL_OK;
}

static sl_status add_anchor(builder *b, const yaml_char_t *name, const sl_node *node,
                            bool open, anchor **out) {
    if (out)
        *out = NULL;
    if (!name)
        return SL_OK;
    anchor *a = sl_arena_get(&b->tree->arena, sizeof *a);
    if (!a)
        return no_memory(b);
    const char *text = (const char *)name;
    *a = (anchor){.next = b->anchors, .node = node, .open = open};
    if (!(a->name = sl_arena_strndup(&b->tree->arena, text, strlen(text))))
        return no_memory(b);
    b->anchors = a;
    if (out)
        *out = a;
    return SL_OK;
}

/** Put a finished value where the innermost open container wants it. */
static sl_status place(builder *b, sl_node *node, yaml_mark_t mark) {
    if (!b->depth) {
        b->tree->root = node;
        return SL_OK;
    }
    frame *top = &b->stack[b->depth - 1];
    if (top->node->kind == SL_NODE_LIST) {
        append(top->node, node);
        return SL_OK;
    }
    if (!top->key) {
        if (node->kind != SL_NODE_SCALAR)
            return refuse(b, mark, SL_ESYNTAX, "a key must be a plain word");
        const sl_node *before = sl_yaml_child(top->node, node->text);
        if (before)
            return refuse(b, mark, SL_ESYNTAX,
                          "duplicate key '%.100s' (first on line %u)", node->text,
                          before->key_line);
        top->key = node->text;
        top->key_mark = mark;
        return SL_OK;
    }
    if (top->node->count >= SL_TREE_ENTRIES)
        return refuse(b, mark, SL_ELIMIT, "more than %u entries", SL_TREE_ENTRIES);
    node->key = top->key;
    node->key_hash = hash_of(node->key);
    node->key_line = (uint32_t)top->key_mark.line + 1;
    node->key_column = (uint32_t)top->key_mark.column + 1;
    append(top->node, node);
    top->key = NULL;
    return SL_OK;
}

static bool known_tag(const yaml_char_t *tag) {
    static const char *const tags[] = {YAML_NULL_TAG, YAML_BOOL_TAG,  YAML_STR_TAG,
                                       YAML_INT_TAG,  YAML_FLOAT_TAG, YAML_TIMESTAMP_TAG,
                                       YAML_SEQ_TAG,  YAML_MAP_TAG,   "!"};
    if (!tag)
        return true;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (!strcmp((const char *)tag, tags[i]))
            return true;
    return false;
}

static sl_status on_scalar(builder *b, const yaml_event_t *event) {
    yaml_mark_t mark = event->start_mark;
    const char *text = (const char *)event->data.scalar.value;
    if (!known_tag(event->data.scalar.tag))
        return refuse(b, mark, SL_ESYNTAX, "unknown tag '%.100s'",
                      (const char *)event->data.scalar.tag);
    if (memchr(text, 0, event->data.scalar.length))
        return refuse(b, mark, SL_ESYNTAX, "a text with a NUL character");
    sl_node *node;
    sl_status status = make_node(b, SL_NODE_SCALAR, mark, &node);
    if (status)
        return status;
    /* "!!str 5" and "! 5" are texts although they have no quotes. */
    const char *tag = (const char *)event->data.scalar.tag;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                  !(tag && (!strcmp(tag, YAML_STR_TAG) || !strcmp(tag, "!")));
    node->text = sl_arena_strndup(&b->tree->arena, text, event->data.scalar.length);
    if (!node->text)
        return no_memory(b);
    status = add_anchor(b, event->data.scalar.anchor, node, false, NULL);
    return status ? status : place(b, node, mark);
}

static sl_status on_alias(builder *b, const yaml_event_t *event) {
    const char *name = (const char *)event->data.alias.anchor;
    const anchor *a = b->anchors;
    while (a && strcmp(a->name, name))
        a = a->next;
    if (!a)
        return refuse(b, event->start_mark, SL_ESYNTAX,
                      "no anchor '&%.100s' before this alias", name);
    if (a->open)
        return refuse(b, event->start_mark, SL_ESYNTAX,
                      "alias '*%.100s' inside its own anchor", name);
    sl_node *copy;
    sl_status status = copy_node(b, a->node, event->start_mark, b->depth, &copy);
    return status ? status : place(b, copy, event->start_mark);
}

static sl_status on_open(builder *b, const yaml_event_t *event, sl_node_kind kind) {
    const yaml_char_t *tag = kind == SL_NODE_MAP ? event->data.mapping_start.tag
                                                 : event->data.sequence_start.tag;
    const yaml_char_t *name = kind == SL_NODE_MAP ? event->data.mapping_start.anchor
                                                  : event->data.sequence_start.anchor;
    if (!known_tag(tag))
        return refuse(b, event->start_mark, SL_ESYNTAX, "unknown tag '%.100s'",
                      (const char *)tag);
    if (b->depth == SL_TREE_DEPTH)
        return refuse(b, event->start_mark, SL_ELIMIT, "deeper than %u levels",
                      SL_TREE_DEPTH);
    frame f = {0};
    sl_status status = make_node(b, kind, event->start_mark, &f.node);
    if (!status)
        status = add_anchor(b, name, f.node, true, &f.anchor);
    if (!status)
        b->stack[b->depth++] = f;
    return status;
}

/** Take over what `map` lacks from `base`. */
static sl_status merge_one(builder *b, sl_node *map, const sl_node *base,
                           yaml_mark_t mark) {
    if (base->kind != SL_NODE_MAP)
        return refuse(b, mark, SL_ESYNTAX, "'<<' needs a map or a list of maps");
    for (const sl_node *child = base->first; child; child = child->next) {
        if (sl_yaml_child(map, child->key))
            continue;
        if (map->count >= SL_TREE_ENTRIES)
            return refuse(b, mark, SL_ELIMIT, "more than %u entries", SL_TREE_ENTRIES);
        sl_node *copy;
        sl_status status = copy_node(b, child, mark, b->depth, &copy);
        if (status)
            return status;
        append(map, copy);
    }
    return SL_OK;
}

static sl_status merge(builder *b, sl_node *map, yaml_mark_t mark) {
    sl_node *bases = sl_yaml_child(map, "<<");
    if (!bases)
        return SL_OK;
    take_out(map, bases);
    if (bases->kind != SL_NODE_LIST)
        return merge_one(b, map, bases, mark);
    sl_status status = SL_OK;
    for (const sl_node *base = bases->first; base && !status; base = base->next)
        status = merge_one(b, map, base, mark);
    return status;
}

static sl_status on_close(builder *b, const yaml_event_t *event) {
    frame f = b->stack[--b->depth];
    if (f.anchor)
        f.anchor->open = false;
    yaml_mark_t mark = {.line = f.node->line - 1, .column = f.node->column - 1};
    sl_status status = SL_OK;
    if (f.node->kind == SL_NODE_MAP)
        status = merge(b, f.node, mark);
    (void)event;
    return status ? status : place(b, f.node, mark);
}

static sl_status on_event(builder *b, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->document)
            return refuse(b, event->start_mark, SL_ESYNTAX,
                          "a second document: a configuration is one");
        b->document = true;
        return SL_OK;
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_ALIAS_EVENT:
        return on_alias(b, event);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, event, SL_NODE_MAP);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, event, SL_NODE_LIST);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return on_close(b, event);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return SL_OK;
}

/** libyaml's reader gives an offset where its scanner gives a mark. */
static yaml_mark_t mark_of_offset(const char *text, size_t length, size_t offset) {
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < length && i < offset; i++) {
        mark.column++;
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return mark;
}

/** `{ listen: ${X} }`: the brace of the variable closes the map, and what follows is the
 * mistake. */
static bool is_bare_variable(const char *text, size_t length, const yaml_parser_t *p) {
    if (!strstr(p->context, "flow"))
        return false;
    size_t line = 0;
    for (size_t i = 0; i + 1 < length && line <= p->problem_mark.line; i++) {
        if (line == p->problem_mark.line && text[i] == '$' && text[i + 1] == '{')
            return true;
        line += text[i] == '\n';
    }
    return false;
}

/** The byte where the problem is; 0 behind the end. Columns count characters. */
static char byte_at(const char *text, size_t length, yaml_mark_t mark) {
    size_t i = 0;
    for (size_t line = 0; line < mark.line && i < length; i++)
        line += text[i] == '\n';
    for (size_t column = 0; i < length; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80 && column++ == mark.column)
            return text[i];
    return 0;
}

/** What libyaml's words mean to somebody who doesn't know its grammar. */
static const char *mend(const char *text, size_t length, const yaml_parser_t *p) {
    if (p->context && is_bare_variable(text, length, p))
        return "; inside { } and [ ] put \"${…}\" in quotes";
    if (strstr(p->problem, "cannot start any token"))
        return byte_at(text, length, p->problem_mark) == '\t' ? "; this is a tab: indent with spaces"
                                                              : "; put a value that begins so in quotes";
    if (strstr(p->problem, "mapping values are not allowed"))
        return "; put a value that holds ': ' in quotes, and ':' behind a key on the line above";
    if (strstr(p->problem, "expected key") || strstr(p->problem, "expected '-' indicator"))
        return "; what belongs together begins in the same column";
    return strstr(p->problem, "could not find expected ':'") ? "; a key has ':' and a space behind it" : "";
}

static sl_status parser_problem(builder *b, const char *text, size_t length) {
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(b);
    if (p->error == YAML_READER_ERROR)
        return refuse(b, mark_of_offset(text, length, p->problem_offset), SL_ESYNTAX,
                      "%s", p->problem ? p->problem : "unreadable");
    if (p->context)
        return refuse(b, p->problem_mark, SL_ESYNTAX, "%s (%s from line %zu)%s",
                      p->problem, p->context, p->context_mark.line + 1, mend(text, length, p));
    return refuse(b, p->problem_mark, SL_ESYNTAX, "%s%s", p->problem, mend(text, length, p));
}

static sl_status finish_root(builder *b) {
    if (!b->tree->root || sl_yaml_is_empty(b->tree->root)) {
        b->tree->root = sl_yaml_node(b->tree, SL_NODE_MAP, NULL);
        return b->tree->root ? SL_OK : no_memory(b);
    }
    const sl_node *root = b->tree->root;
    if (root->kind == SL_NODE_MAP)
        return SL_OK;
    return refuse(b, (yaml_mark_t){.line = root->line - 1, .column = root->column - 1},
                  SL_ESYNTAX,
                  "expected keys and values, such as 'data_dir: ./sluice-data'");
}

sl_status sl_yaml_parse(sl_tree *tree, const char *text, size_t length, sl_error *error) {
    builder b = {.tree = tree, .error = error};
    if (!yaml_parser_initialize(&b.parser))
        return no_memory(&b);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, length);
    sl_status status = SL_OK;
    for (bool done = false; !done && !status;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b.parser, &event)) {
            status = parser_problem(&b, text, length);
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        status = on_event(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&b.parser);
    return status ? status : finish_root(&b);
}

/* ---- as JSON ---- */

/** RFC 8259 section 6. */
static bool is_number(const char *t) {
    t += *t == '-';
    if (*t == '0')
        t++;
    else if (*t >= '1' && *t <= '9')
        t += strspn(t, "0123456789");
    else
        return false;
    if (*t == '.') {
        size_t digits = strspn(++t, "0123456789");
        if (!digits)
            return false;
        t += digits;
    }
    if (*t == 'e' || *t == 'E') {
        t++;
        t += *t == '+' || *t == '-';
        size_t digits = strspn(t, "0123456789");
        if (!digits)
            return false;
        t += digits;
    }
    return !*t;
}

/** YAML 1.2.2, section 10.3.2: what a plain scalar of the core schema means. */
static const char *plain_json(const char *text) {
    static const char *const words[][2] = {
        {"", "null"},       {"~", "null"},      {"null", "null"},  {"Null", "null"},
        {"NULL", "null"},   {"true", "true"},   {"True", "true"},  {"TRUE", "true"},
        {"false", "false"}, {"False", "false"}, {"FALSE", "false"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(text, words[i][0]))
            return words[i][1];
    return is_number(text) ? text : NULL;
}

const char *sl_yaml_plain(const sl_node *scalar) {
    return scalar->plain ? plain_json(scalar->text) : NULL;
}

static void json_scalar(const sl_node *node, bool doubled, sl_buffer *out) {
    const char *plain = sl_yaml_plain(node);
    if (plain) {
        sl_buffer_text(out, plain);
        return;
    }
    if (!doubled || !strchr(node->text, '$')) {
        sl_buffer_json_string(out, node->text, strlen(node->text));
        return;
    }
    sl_buffer twice = SL_BUFFER_EMPTY;
    for (const char *c = node->text; *c; c++) {
        sl_buffer_byte(&twice, (uint8_t)*c);
        if (*c == '$')
            sl_buffer_byte(&twice, '$');
    }
    out->failed |= twice.failed;
    if (!twice.failed)
        sl_buffer_json_string(out, (const char *)twice.bytes, twice.length);
    sl_buffer_fini(&twice);
}

void sl_yaml_json(const sl_node *node, bool doubled, sl_buffer *out) {
    if (node->kind == SL_NODE_SCALAR) {
        json_scalar(node, doubled, out);
        return;
    }
    bool map = node->kind == SL_NODE_MAP;
    sl_buffer_text(out, map ? "{" : "[");
    for (const sl_node *child = node->first; child; child = child->next) {
        if (child != node->first)
            sl_buffer_text(out, ", ");
        if (map) {
            sl_buffer_json_string(out, child->key, strlen(child->key));
            sl_buffer_text(out, ": ");
        }
        sl_yaml_json(child, doubled, out);
    }
    sl_buffer_text(out, map ? "}" : "]");
}

/* ---- problems ---- */

void sl_problem_add(sl_problems *problems, const sl_node *at, bool key, sl_status status,
                    const char *format, ...) {
    if (status == SL_ENOMEM)
        problems->out_of_memory = true;
    if (at && at->copied)
        return;
    if (problems->count == SL_PROBLEMS_MAX) {
        problems->left_out++;
        return;
    }
    char text[sizeof((sl_error *)0)->text];
    int length = 0;
    uint32_t line = 0, column = 0;
    if (at && at->origin) {
        length = snprintf(text, sizeof text, "%s: ", at->origin);
    } else if (at && at->line) {
        line = key && at->key_line ? at->key_line : at->line;
        column = key && at->key_line ? at->key_column : at->column;
        length = snprintf(text, sizeof text, "%.300s:%u:%u: ", problems->tree->file, line,
                          column);
    } else {
        length = snprintf(text, sizeof text, "%.300s: ", problems->tree->file);
    }
    va_list list;
    va_start(list, format);
    vsnprintf(text + length, sizeof text - (size_t)length, format, list);
    va_end(list);
    const char *kept = sl_arena_strndup(&problems->tree->arena, text, strlen(text));
    if (!kept) {
        problems->out_of_memory = true;
        return;
    }
    /* Kept sorted, so that the report reads like the file. */
    uint32_t i = problems->count++;
    for (; i &&
           (problems->list[i - 1].line > line || (problems->list[i - 1].line == line &&
                                                  problems->list[i - 1].column > column));
         i--)
        problems->list[i] = problems->list[i - 1];
    problems->list[i] = (sl_problem){line, column, status, kept};
}

sl_status sl_problems_report(sl_problems *problems, sl_error *error) {
    if (problems->out_of_memory)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", problems->tree->file);
    if (!problems->count)
        return SL_OK;
    char text[sizeof((sl_error *)0)->text];
    size_t used = 0;
    uint32_t shown = 0;
    /* Whole lines only, with room for the closing one; the first is always there. */
    for (; shown < problems->count; shown++) {
        const char *line = problems->list[shown].text;
        if (shown && used + strlen(line) + 32 > sizeof text)
            break;
        int wrote =
            snprintf(text + used, sizeof text - used, "%s%s", shown ? "\n" : "", line);
        used += (size_t)wrote;
        if (used >= sizeof text)
            used = sizeof text - 1;
    }
    uint32_t left = problems->count - shown + problems->left_out;
    if (left && used < sizeof text)
        snprintf(text + used, sizeof text - used, "\n(and %u more)", left);
    return sl_error_set(error, problems->list[0].status, "%s", text);
}
