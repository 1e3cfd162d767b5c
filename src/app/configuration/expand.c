#include "expand.h"

#include <stdio.h>

const char *sl_environment_get(const sl_environment *environment, const char *name,
                               size_t length) {
    for (size_t i = 0; environment->variables && environment->variables[i]; i++) {
        const char *variable = environment->variables[i];
        if (strncmp(variable, name, length) || variable[length] != '=')
            continue;
        if (environment->used)
            environment->used[i] = true;
        return variable + length + 1;
    }
    return NULL;
}

typedef struct expansion {
    const sl_environment *environment;
    sl_buffer out;
    const char *wrong; /* The first mistake, for the message. */
    char text[300];
} expansion;

static bool is_name(char c, bool first) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static bool fail(expansion *e, const char *format, ...) SL_PRINTF(2, 3);
static bool fail(expansion *e, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(e->text, sizeof e->text, format, list);
    va_end(list);
    e->wrong = e->text;
    return false;
}

/** The '}' that closes what begins at `text`, inner `${…}` stepped over; NULL: none. */
static const char *closing(const char *text, const char *end) {
    unsigned open = 0;
    for (; text < end; text++) {
        if (text[0] == '$' && end - text > 1 && text[1] == '{') {
            open++;
            text++;
        } else if (*text == '}' && !open--) {
            return text;
        }
    }
    return NULL;
}

static bool expand(expansion *e, const char *text, const char *end, unsigned depth);

/** `text` stands behind "${". @return what follows the '}', or NULL. */
static const char *variable(expansion *e, const char *text, const char *end,
                            unsigned depth) {
    const char *close = closing(text, end);
    size_t length = 0;
    while (text + length < end && is_name(text[length], !length))
        length++;
    if (!close) {
        fail(e, "'${' without '}' (write '$$' for a dollar sign)");
        return NULL;
    }
    int name_length = (int)(length < 100 ? length : 100);
    const char *form = text + length;
    bool fallback = form[0] == ':' && form[1] == '-',
         demand = form[0] == ':' && form[1] == '?';
    if (!length || !(form == close || fallback || demand)) {
        fail(e, "'${%.*s}': expected ${NAME}, ${NAME:-default} or ${NAME:?message}",
             (int)(close - text < 60 ? close - text : 60), text);
        return NULL;
    }
    const char *value = sl_environment_get(e->environment, text, length);
    if (value && (*value || form == close)) {
        sl_buffer_text(&e->out, value);
    } else if (fallback) {
        if (!expand(e, form + 2, close, depth + 1))
            return NULL;
    } else if (demand && close > form + 2) {
        fail(e, "%.*s: %.*s", name_length, text,
             (int)(close - form - 2 < 150 ? close - form - 2 : 150), form + 2);
        return NULL;
    } else {
        fail(e,
             "the environment variable %.*s is not set (${%.*s:-} makes it empty, "
             "${%.*s:-x} gives it a default)",
             name_length, text, name_length, text, name_length, text);
        return NULL;
    }
    return close + 1;
}

static bool expand(expansion *e, const char *text, const char *end, unsigned depth) {
    if (depth > SL_EXPAND_DEPTH)
        return fail(e, "defaults within defaults: more than %u levels", SL_EXPAND_DEPTH);
    while (text && text < end) {
        if (e->out.length > SL_EXPAND_BYTES)
            return fail(e, "more than %u bytes after expansion", SL_EXPAND_BYTES);
        if (text[0] == '$' && end - text > 1 && text[1] == '$') {
            sl_buffer_byte(&e->out, '$');
            text += 2;
        } else if (text[0] == '$' && end - text > 1 && text[1] == '{') {
            text = variable(e, text + 2, end, depth);
        } else {
            sl_buffer_byte(&e->out, (uint8_t)*text++);
        }
    }
    return text != NULL;
}

static void expand_scalar(sl_tree *tree, const sl_environment *environment, sl_node *node,
                          sl_problems *problems) {
    if (node->literal || !strchr(node->text, '$'))
        return;
    expansion e = {.environment = environment};
    if (!expand(&e, node->text, node->text + strlen(node->text), 0)) {
        sl_problem_add(problems, node, false, SL_EINVAL, "%s", e.wrong);
    } else {
        const char *text = sl_buffer_cstr(&e.out);
        node->text =
            e.out.failed ? NULL : sl_arena_strndup(&tree->arena, text, e.out.length);
        if (!node->text) {
            node->text = "";
            problems->out_of_memory = true;
        }
    }
    sl_buffer_fini(&e.out);
}

void sl_expand_tree(sl_tree *tree, const sl_environment *environment, sl_node *node,
                    sl_problems *problems) {
    if (node->kind == SL_NODE_SCALAR)
        expand_scalar(tree, environment, node, problems);
    for (sl_node *child = node->first; child; child = child->next)
        sl_expand_tree(tree, environment, child, problems);
}
