// Calls: macros, math.greatest and math.least, and the functions of the table, of which a
// name may have several. The one whose signature fits the arguments exactly is taken;
// where none does, the message says what the first argument that fits nowhere could be.

#include "internal.h"

#include <stdio.h>

// ---- Macros and what else is no function
// -----------------------------------------------------

// has({'a': 1}.b) is false.
static sl_status check_has_key(compiler *c, node *n, const node *map, const node *key) {
    sl_status status = check_node(c, n->left->left);
    bool found = false;
    for (const node *k = map->left; k != NULL; k = k->next)
        found = found || (k->type == TYPE_STRING &&
                          k->value.text.length == key->value.text.length &&
                          memcmp(k->value.text.bytes, key->value.text.bytes,
                                 key->value.text.length) == 0);
    n->kind = NODE_CONSTANT;
    n->type = TYPE_BOOL;
    n->value.i64 = found;
    n->left = NULL;
    return status;
}

static sl_status check_has(compiler *c, node *n) {
    node *name = n->left;
    if (n->method || count_nodes(name) != 1)
        return fault(c, SL_ETYPE, n->at, "has() takes one name");
    if (name->kind == NODE_INDEX && name->left->kind == NODE_MAP &&
        is_literal(name->right, TYPE_STRING))
        return check_has_key(c, n, name->left, name->right);
    if (name->kind == NODE_INDEX) {
        sl_status status = check_object(c, name); // object['member']
        if (status != SL_OK)
            return status;
    }
    if (name->kind != NODE_NAME)
        return fault(c, SL_ETYPE, n->at, "has() takes one name");
    make_presence(n, name, false);
    return check_there(c, name);
}

static bool is_type_word(const char *name) {
    return strcmp(name, "type") == 0 || strcmp(name, "optional") == 0;
}

static sl_status check_dyn(compiler *c, node *n) {
    if (n->method || count_nodes(n->left) != 1)
        return fault(c, SL_ETYPE, n->at, "dyn() takes one value");
    sl_status status = check_node(c, n->left);
    node *next = n->next;
    *n = *n->left;
    n->next = next;
    return status;
}

// string(tags) of an array or a free-form object is its JSON text, as the column holds
// it.
static bool is_json_text(compiler *c, node *n) {
    node *name = n->left;
    if (n->method || strcmp(n->path, "string") != 0 || count_nodes(name) != 1 ||
        name->kind != NODE_NAME || !resolve(c, name) || name->column_type != SL_TYPE_JSON)
        return false;
    node *next = n->next;
    *n = *name;
    n->next = next;
    n->type = TYPE_STRING;
    n->scale = 0;
    return true;
}

// ---- math.greatest and math.least
// -----------------------------------------------------------------

static sl_status check_extreme(compiler *c, node *n, node *first, bool greatest) {
    uint32_t count = count_nodes(first);
    if (count == 0)
        return fault(c, SL_ETYPE, n->at, "`%s` takes at least one number", n->path);
    for (node *a = first; a != NULL; a = a->next) {
        sl_status status = check_node(c, a);
        if (status == SL_OK)
            status = want_value(c, a);
        if (status != SL_OK)
            return status;
    }
    n->kind = NODE_EXTREME;
    n->op = greatest ? OP_GREATER : OP_LESS;
    n->left = first;
    if (count == 1 && first->type == TYPE_LIST) {
        n->element = first->element;
        n->scale = first->scale;
    } else {
        sl_status status = unify_all(c, first, n);
        if (status != SL_OK)
            return status;
    }
    n->type = n->element;
    if (!is_number(n->type))
        return fault(c, SL_ETYPE, first->at, "`%s` takes numbers, and this is %s",
                     n->path,
                     n->type == TYPE_NULL ? "an empty list" : type_name(n->type));
    return SL_OK;
}

// ---- Functions
// -------------------------------------------------------------------------------

type type_of_letter(char letter) {
    switch (letter) {
    case 'b':
        return TYPE_BOOL;
    case 'i':
        return TYPE_INT;
    case 'u':
        return TYPE_UINT;
    case 'd':
        return TYPE_DOUBLE;
    case 'm':
        return TYPE_DECIMAL;
    case 'a':
        return TYPE_DATE;
    case 't':
        return TYPE_TIMESTAMP;
    case 'p':
        return TYPE_DURATION;
    case 'y':
        return TYPE_BYTES;
    case 'S':
    case 'L':
        return TYPE_LIST;
    default: // s, z, r
        return TYPE_STRING;
    }
}

static bool letter_fits(char letter, const node *n) {
    if (n->type != type_of_letter(letter))
        return false;
    return letter != 'S' || n->element == TYPE_STRING || n->element == TYPE_NULL;
}

static size_t arity(const function *f) {
    return (size_t)(strchr(f->signature, ':') - f->signature);
}

static bool named(const function *f, const char *name) {
    return strcmp(f->name, name) == 0;
}

static bool is_function(const char *name) {
    size_t count = 0;
    const function *all = all_functions(&count);
    for (size_t i = 0; i < count; i++)
        if (named(&all[i], name))
            return true;
    return strcmp(name, "math.greatest") == 0 || strcmp(name, "math.least") == 0;
}

static sl_status no_function(const compiler *c, const node *n) {
    const char *near = nearest_function(n->path);
    if (near != NULL)
        return fault(c, SL_ENOTFOUND, n->at,
                     "there is no function `%.60s`; did you mean `%s`?", n->path, near);
    return fault(c, SL_ENOTFOUND, n->at, "there is no function `%.100s`", n->path);
}

typedef struct candidates {
    const function *of[16];
    uint32_t count;
} candidates;

// Rows of this name; `styles` and `arities` gather how all of them are written.
static candidates rows_of(const char *name) {
    candidates found = {.count = 0};
    size_t count = 0;
    const function *all = all_functions(&count);
    for (size_t i = 0; i < count && found.count < 16; i++)
        if (named(&all[i], name))
            found.of[found.count++] = &all[i];
    return found;
}

static void keep_style(candidates *rows, bool method) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rows->count; i++)
        if (rows->of[i]->styles & (method ? METHOD : GLOBAL))
            rows->of[kept++] = rows->of[i];
    rows->count = kept;
}

static sl_status wrong_count(const compiler *c, const node *n, const candidates *rows,
                             uint32_t count) {
    size_t least = SIZE_MAX, most = 0;
    for (uint32_t i = 0; i < rows->count; i++) {
        size_t wanted = arity(rows->of[i]);
        least = wanted < least ? wanted : least;
        most = wanted > most ? wanted : most;
    }
    if (n->method) { // x of x.f(y) is none of those between the brackets.
        least--;
        most--;
        count--;
    }
    if (least != most)
        return fault(c, SL_ETYPE, n->at, "`%s` takes %zu to %zu values, and here are %u",
                     n->path, least, most, count);
    return fault(c, SL_ETYPE, n->at, "`%s` takes %zu value%s, and here are %u", n->path,
                 most, most == 1 ? "" : "s", count);
}

static void keep_count(candidates *rows, uint32_t count) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rows->count; i++)
        if (arity(rows->of[i]) == count)
            rows->of[kept++] = rows->of[i];
    rows->count = kept;
}

// "a string, bytes or a list", each once, in the table's order.
static void list_types(const candidates *rows, size_t position, char *out, size_t size) {
    type seen[16];
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows->count; i++) {
        type wanted = type_of_letter(rows->of[i]->signature[position]);
        uint32_t k = 0;
        while (k < count && seen[k] != wanted)
            k++;
        if (k == count)
            seen[count++] = wanted;
    }
    size_t used = 0;
    for (uint32_t k = 0; k < count && used < size; k++) {
        const char *article = seen[k] == TYPE_LIST || seen[k] == TYPE_BYTES ? ""
                              : seen[k] == TYPE_INT                         ? "an "
                                                                            : "a ";
        const char *between = k == 0 ? "" : k + 1 == count ? " or " : ", ";
        int wrote = snprintf(out + used, size - used, "%s%s%s", between, article,
                             type_name(seen[k]));
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}

// Drops the rows that don't take `argument` there; none left is the caller's mistake.
static sl_status keep_fitting(const compiler *c, const node *n, candidates *rows,
                              size_t position, const node *argument) {
    candidates before = *rows;
    rows->count = 0;
    for (uint32_t i = 0; i < before.count; i++)
        if (letter_fits(before.of[i]->signature[position], argument))
            rows->of[rows->count++] = before.of[i];
    if (rows->count != 0)
        return SL_OK;
    char types[160];
    list_types(&before, position, types, sizeof types);
    const char *of = argument->type == TYPE_LIST ? " of " : "";
    return fault(c, SL_ETYPE, argument->at, "`%s` takes %s here, and this is %s%s%s",
                 n->path, types, describe(argument), of,
                 *of == 0 ? "" : type_name(argument->element));
}

static sl_status check_function(compiler *c, node *n) {
    candidates rows = rows_of(n->path);
    keep_style(&rows, n->method);
    if (rows.count == 0) {
        bool method = rows_of(n->path).of[0]->styles & METHOD;
        return fault(c, SL_ETYPE, n->at,
                     method ? "it is written x.%s(...)" : "it is written %s(...)",
                     n->path);
    }
    uint32_t count = count_nodes(n->left);
    candidates written = rows;
    keep_count(&rows, count);
    if (rows.count == 0)
        return wrong_count(c, n, &written, count);
    size_t position = 0;
    for (node *a = n->left; a != NULL; a = a->next, position++) {
        bool map = a->kind == NODE_MAP && strcmp(n->path, "size") == 0;
        sl_status status = check_node(c, a);
        if (status == SL_OK && map) { // As many keys as the map has.
            a->kind = NODE_LIST;
            a->type = TYPE_LIST;
            a->right = NULL;
            status = unify_all(c, a->left, a);
        }
        if (status == SL_OK)
            status = want_value(c, a);
        if (status == SL_OK)
            status = keep_fitting(c, n, &rows, position, a);
        if (status != SL_OK)
            return status;
    }
    n->function = rows.of[0];
    char result = n->function->signature[position + 1];
    n->type = type_of_letter(result);
    n->element = result == 'S' ? TYPE_STRING : TYPE_NULL;
    if (n->type == TYPE_DECIMAL)
        n->scale = n->left->scale;
    return SL_OK;
}

// Those of CEL's extensions, also of the ones that aren't there: `sets.contains` isn't
// the `contains` of a text.
static bool is_namespace(const char *word) {
    static const char *const known[] = {"math", "strings", "base64",   "cel",
                                        "sets", "lists",   "optional", "regex"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], word) == 0)
            return true;
    return false;
}

// math.abs(x) was read as x.f(y) with a name on the left; it is one if we have it.
static sl_status find_namespace(compiler *c, node *n) {
    if (!n->method || n->left->kind != NODE_NAME)
        return SL_OK;
    size_t front = n->left->path_length, length = n->path_length;
    char *path = sl_arena_get(c->memory, front + length + 2);
    if (path == NULL)
        return out_of_memory(c);
    memcpy(path, n->left->path, front);
    path[front] = '.';
    memcpy(path + front + 1, n->path, length);
    path[front + length + 1] = 0;
    if (!is_function(path) && (!is_namespace(n->left->path) || resolve(c, n->left)))
        return SL_OK;
    n->path = path;
    n->path_length = (uint32_t)(front + length + 1);
    n->at = n->left->at;
    n->method = false;
    n->left = n->left->next;
    return SL_OK;
}

sl_status check_call(compiler *c, node *n) {
    sl_status status = find_namespace(c, n);
    if (status != SL_OK)
        return status;
    if (strcmp(n->path, "has") == 0)
        return check_has(c, n);
    if (strcmp(n->path, "dyn") == 0)
        return check_dyn(c, n);
    if (n->method && is_macro(n->path))
        return check_macro(c, n);
    if (strcmp(n->path, "format") == 0)
        return check_format(c, n);
    if (is_json_text(c, n))
        return SL_OK;
    if (is_type_word(n->path))
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "`%s` is not supported: types are known when compiled", n->path);
    if (strcmp(n->path, "math.greatest") == 0)
        return check_extreme(c, n, n->left, true);
    if (strcmp(n->path, "math.least") == 0)
        return check_extreme(c, n, n->left, false);
    return is_function(n->path) ? check_function(c, n) : no_function(c, n);
}
