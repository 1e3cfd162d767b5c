/* What a test gives and expects, as a tree of its own that outlives the document. */
#include "loader.h"

sl_trial_value *sl_trial_value_new(sl_arena *arena, sl_trial_kind kind, const char *text, size_t length) {
    sl_trial_value *value = sl_arena_get(arena, sizeof *value);
    if (!value)
        return NULL;
    *value = (sl_trial_value){.kind = kind};
    return !text || (value->text = sl_arena_strndup(arena, text, length)) ? value : NULL;
}

void sl_trial_value_put(sl_trial_value *parent, const char *key, sl_trial_value *child) {
    child->key = key;
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

const sl_trial_value *sl_trial_value_child(const sl_trial_value *map, const char *key) {
    const sl_trial_value *child = map && map->kind == SL_TRIAL_MAP ? map->first : NULL;
    while (child && strcmp(child->key, key))
        child = child->next;
    return child;
}

static sl_trial_value *scalar(sl_arena *arena, const sl_node *node) {
    const char *plain = sl_yaml_plain(node), *text = plain ? plain : node->text;
    sl_trial_kind kind = !plain                    ? SL_TRIAL_TEXT
                         : !strcmp(plain, "null")  ? SL_TRIAL_NULL
                         : !strcmp(plain, "true") || !strcmp(plain, "false") ? SL_TRIAL_BOOL
                                                                             : SL_TRIAL_NUMBER;
    return sl_trial_value_new(arena, kind, text, strlen(text));
}

sl_trial_value *sl_loader_trial_value(sl_arena *arena, const sl_node *node) {
    sl_trial_value *value = node->kind == SL_NODE_SCALAR
                                ? scalar(arena, node)
                                : sl_trial_value_new(arena, node->kind == SL_NODE_MAP ? SL_TRIAL_MAP : SL_TRIAL_LIST, NULL, 0);
    if (!value)
        return NULL;
    value->line = node->line;
    value->column = node->column;
    for (const sl_node *n = node->first; n; n = n->next) {
        sl_trial_value *child = sl_loader_trial_value(arena, n);
        char *key = child && n->key ? sl_arena_strndup(arena, n->key, strlen(n->key)) : NULL;
        if (!child || (n->key && !key))
            return NULL;
        sl_trial_value_put(value, key, child);
    }
    return value;
}

sl_trial_value *sl_trial_value_parse(sl_arena *arena, const char *json, size_t length) {
    /* A document of the configuration is a map. */
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_text(&text, "{\"v\": ");
    sl_buffer_append(&text, json, length);
    sl_buffer_byte(&text, '}');
    sl_tree tree;
    sl_error error;
    sl_yaml_init(&tree, "json");
    sl_status status = text.failed ? SL_ENOMEM : sl_yaml_parse(&tree, (const char *)text.bytes, text.length, &error);
    const sl_node *node = status ? NULL : sl_yaml_child(tree.root, "v");
    sl_trial_value *value = node ? sl_loader_trial_value(arena, node) : NULL;
    sl_yaml_fini(&tree);
    sl_buffer_fini(&text);
    return value;
}
