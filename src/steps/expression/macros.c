// Macros of lists, and format(). Both are unrolled into plain nodes when checked, so no
// other stage knows of them:
//
//   [a, b].exists(v, f(v))         f(a) || f(b), and all() with &&
//   [a, b].exists_one(v, f(v))     (f(a) ? 1 : 0) + (f(b) ? 1 : 0) == 1
//   [a, b].map(v, f(v))            [f(a), f(b)]
//   [a, b].filter(v, f(v))         (f(a) ? [a] : []) + (f(b) ? [b] : [])
//   [a, b].map(v, f(v), g(v))      (f(a) ? [g(a)] : []) + (f(b) ? [g(b)] : [])
//   'x %s: %.2f'.format([a, b])    ['x ', string(a), ': ', b with two decimals].join()
//
// A list that a function made has as many elements as the row says: it can't be unrolled.

#include "internal.h"

#define COPIES_MAX 20000u /**< Nodes that macros make in one expression. */
#define PRECISION_MAX 100

// ---- Copies of a body, the variable replaced
// --------------------------------------------------

typedef struct copier {
    compiler *c;
    const node *variable;
    const node *element;
    sl_status status;
} copier;

static node *copy(copier *k, const node *n, bool replace);

static node *copy_chain(copier *k, const node *first, bool replace) {
    node *made = NULL, **link = &made;
    for (; first != NULL && k->status == SL_OK; first = first->next) {
        *link = copy(k, first, replace);
        if (*link != NULL)
            link = &(*link)->next;
    }
    return made;
}

static bool binds_the_same(const copier *k, const node *n) {
    return n->kind == NODE_CALL && n->method && is_macro(n->path) && n->left != NULL &&
           n->left->next != NULL && n->left->next->kind == NODE_NAME &&
           strcmp(n->left->next->path, k->variable->path) == 0;
}

static node *copy(copier *k, const node *n, bool replace) {
    if (n == NULL || k->status != SL_OK)
        return NULL;
    if (replace && n->kind == NODE_NAME && strcmp(n->path, k->variable->path) == 0)
        return copy(k, k->element, false);
    if (++k->c->copies > COPIES_MAX) {
        k->status = fault(k->c, SL_ELIMIT, n->at, "the macros would unroll too far");
        return NULL;
    }
    node *made = new_node(k->c, n->kind, n->at);
    if (made == NULL) {
        k->status = out_of_memory(k->c);
        return NULL;
    }
    *made = *n;
    made->next = NULL;
    made->left = copy_chain(k, n->left, replace);
    if (binds_the_same(k, n) && made->left != NULL) { // Only its target is ours.
        made->left->next = copy_chain(k, n->left->next, false);
    }
    made->right = copy_chain(k, n->right, replace);
    made->third = copy_chain(k, n->third, replace);
    return made;
}

static node *new_constant(compiler *c, type t, int64_t value, uint32_t at) {
    node *made = new_node(c, NODE_CONSTANT, at);
    if (made != NULL) {
        made->type = t;
        made->value.i64 = value;
        made->exact = (exact){.fits = true, .digits = value};
    }
    return made;
}

static node *join_two(compiler *c, operation op, node *a, node *b, uint32_t at) {
    node *made = new_node(c, NODE_OPERATION, at);
    if (made != NULL) {
        made->op = op;
        made->left = a;
        made->right = b;
    }
    return made;
}

// The chain as a balanced tree: && and || with errors may be grouped at will, too.
static node *join_all(compiler *c, operation op, node **parts, uint32_t count,
                      uint32_t at) {
    if (count == 1)
        return parts[0];
    node *a = join_all(c, op, parts, count / 2, at);
    node *b = join_all(c, op, parts + count / 2, count - count / 2, at);
    return a == NULL || b == NULL ? NULL : join_two(c, op, a, b, at);
}

// ---- all, exists, exists_one, map
// -----------------------------------------------------------------

bool is_macro(const char *name) {
    static const char *const macros[] = {"all",       "exists", "exists_one",
                                         "existsOne", "map",    "filter"};
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (strcmp(macros[i], name) == 0)
            return true;
    return false;
}

typedef enum macro { ALL, EXISTS, EXISTS_ONE, MAP, FILTER } macro;

static macro macro_of(const node *n) {
    if (strcmp(n->path, "all") == 0)
        return ALL;
    if (strcmp(n->path, "exists") == 0)
        return EXISTS;
    if (strcmp(n->path, "filter") == 0 || count_nodes(n->left) == 4)
        return FILTER;
    return strcmp(n->path, "map") == 0 ? MAP : EXISTS_ONE;
}

static sl_status check_shape(const compiler *c, const node *n) {
    const node *target = n->left, *variable = target->next;
    uint32_t count = count_nodes(n->left);
    if (count != 3 && !(count == 4 && strcmp(n->path, "map") == 0))
        return fault(c, SL_ETYPE, n->at, "the macro `%s` takes a name and an expression",
                     n->path);
    if (variable->kind != NODE_NAME || strchr(variable->path, '.') != NULL)
        return fault(c, SL_ETYPE, variable->at, "the macro `%s` takes a plain name here",
                     n->path);
    if (target->kind != NODE_LIST && target->kind != NODE_MAP)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "the macro `%s` is supported on a list as it is written, [a, b]; "
                     "other lists have `in`, [ ], size() and join()",
                     n->path);
    return SL_OK;
}

static node *condition(compiler *c, node *test, node *yes, node *no) {
    node *made = test == NULL || yes == NULL || no == NULL
                     ? NULL
                     : new_node(c, NODE_CONDITION, test->at);
    if (made != NULL) {
        made->left = test;
        made->right = yes;
        made->third = no;
    }
    return made;
}

static node *list_of(compiler *c, node *element, uint32_t at) {
    node *made = new_node(c, NODE_LIST, at);
    if (made != NULL)
        made->left = element;
    return made;
}

// What one element (or key) becomes.
static node *unroll_one(copier *k, const node *n, macro kind) {
    compiler *c = k->c;
    const node *body = n->left->next->next;
    node *part = copy(k, body, true);
    if (part == NULL)
        return NULL;
    if (kind == EXISTS_ONE)
        return condition(c, part, new_constant(c, TYPE_INT, 1, part->at),
                         new_constant(c, TYPE_INT, 0, part->at));
    if (kind != FILTER)
        return part;
    node *kept =
        body->next == NULL ? copy(k, k->element, false) : copy(k, body->next, true);
    if (kept == NULL)
        return NULL;
    return condition(c, part, list_of(c, kept, kept->at), list_of(c, NULL, kept->at));
}

static sl_status unroll(compiler *c, const node *n, macro kind, node **parts) {
    copier k = {.c = c, .variable = n->left->next, .status = SL_OK};
    for (const node *e = n->left->left; e != NULL; e = e->next) {
        k.element = e;
        *parts = unroll_one(&k, n, kind);
        if (*parts++ == NULL)
            return k.status != SL_OK ? k.status : out_of_memory(c);
    }
    return SL_OK;
}

static node *assemble(compiler *c, const node *n, macro kind, node **parts,
                      uint32_t count) {
    if (kind == ALL || kind == EXISTS)
        return count == 0
                   ? new_constant(c, TYPE_BOOL, kind == ALL, n->at)
                   : join_all(c, kind == ALL ? OP_AND : OP_OR, parts, count, n->at);
    if (kind == MAP || count == 0) {
        for (uint32_t i = 0; i + 1 < count; i++)
            parts[i]->next = parts[i + 1];
        if (kind != EXISTS_ONE)
            return list_of(c, count == 0 ? NULL : parts[0], n->at);
        return new_constant(c, TYPE_BOOL, 0, n->at);
    }
    node *sum = join_all(c, OP_ADD, parts, count, n->at);
    if (kind == FILTER || sum == NULL)
        return sum;
    node *one = new_constant(c, TYPE_INT, 1, n->at);
    return one == NULL ? NULL : join_two(c, OP_EQUAL, sum, one, n->at);
}

sl_status check_macro(compiler *c, node *n) {
    sl_status status = check_shape(c, n);
    if (status != SL_OK)
        return status;
    macro kind = macro_of(n);
    uint32_t count = count_nodes(n->left->left);
    node **parts = sl_arena_get(c->memory, count * sizeof(node *) + 1);
    if (parts == NULL)
        return out_of_memory(c);
    status = unroll(c, n, kind, parts);
    if (status != SL_OK)
        return status;
    node *made = assemble(c, n, kind, parts, count), *next = n->next;
    if (made == NULL)
        return out_of_memory(c);
    *n = *made;
    n->next = next;
    return check_node(c, n);
}

// ---- format
// ----------------------------------------------------------------------------------

// What a clause does with a type; the parameter of %f and %e holds the precision, too.
static const function clauses[] = {
    {"%f", GLOBAL, "d:s", run_format_double, 'f', NULL},
    {"%e", GLOBAL, "d:s", run_format_double, 'e', NULL},
    {"%b", GLOBAL, "i:s", run_format_int, 2, NULL},
    {"%b", GLOBAL, "u:s", run_format_uint, 2, NULL},
    {"%b", GLOBAL, "b:s", run_format_bool, 2, NULL},
    {"%o", GLOBAL, "i:s", run_format_int, 8, NULL},
    {"%o", GLOBAL, "u:s", run_format_uint, 8, NULL},
    {"%x", GLOBAL, "i:s", run_format_int, 16, NULL},
    {"%x", GLOBAL, "u:s", run_format_uint, 16, NULL},
    {"%x", GLOBAL, "s:s", run_format_bytes, 16, NULL},
    {"%x", GLOBAL, "y:s", run_format_bytes, 16, NULL},
    {"%X", GLOBAL, "i:s", run_format_int, -16, NULL},
    {"%X", GLOBAL, "u:s", run_format_uint, -16, NULL},
    {"%X", GLOBAL, "s:s", run_format_bytes, -16, NULL},
    {"%X", GLOBAL, "y:s", run_format_bytes, -16, NULL},
};

typedef struct formatter {
    compiler *c;
    const node *source; // The constant that holds the clauses.
    text t;
    uint32_t at;
    node *value;  // Next of the values.
    node **link;  // Where the next piece goes.
    uint8_t *out; // Literal bytes between clauses, room for all of them.
    uint32_t length;
} formatter;

static sl_status refuse(const formatter *f, const char *what) {
    return fault(f->c, SL_ETYPE, f->source->at, "format(): %s", what);
}

static sl_status put_piece(formatter *f, node *piece) {
    if (piece == NULL)
        return out_of_memory(f->c);
    *f->link = piece;
    f->link = &piece->next;
    return SL_OK;
}

static sl_status put_literal(formatter *f) {
    if (f->length == 0)
        return SL_OK;
    node *piece = new_node(f->c, NODE_CONSTANT, f->source->at);
    if (piece != NULL) {
        piece->type = TYPE_STRING;
        piece->value.text = (text){.bytes = f->out, .length = f->length};
    }
    f->out += f->length;
    f->length = 0;
    return put_piece(f, piece);
}

static const function *clause_for(const char *name, const node *value) {
    size_t count = 0;
    const function *rows = clauses;
    if (name[1] == 's' || name[1] == 'd') {
        rows = all_functions(&count);
        name = "string";
    } else {
        count = sizeof clauses / sizeof *clauses;
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0 && rows[i].signature[1] == ':' &&
            type_of_letter(rows[i].signature[0]) == value->type)
            return &rows[i];
    return NULL;
}

static node *new_call(compiler *c, const function *f, node *argument) {
    node *made = new_node(c, NODE_CALL, argument->at);
    if (made == NULL)
        return NULL;
    made->path = f->name;
    made->function = f;
    made->left = argument;
    made->type = TYPE_STRING;
    return made;
}

// Whole numbers and decimals are doubles for %f and %e.
static node *as_number(compiler *c, node *value) {
    size_t count = 0;
    const function *rows = all_functions(&count);
    if (!is_number(value->type) || value->type == TYPE_DOUBLE)
        return value;
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, "double") == 0 &&
            type_of_letter(rows[i].signature[0]) == value->type) {
            node *call = new_call(c, &rows[i], value);
            if (call != NULL)
                call->type = TYPE_DOUBLE;
            return call;
        }
    return value;
}

static sl_status wrong_value(const formatter *f, const char *name, const node *value) {
    static const struct {
        char clause;
        const char *takes;
    } all[] = {{'s', "strings, numbers, bools, times, durations and bytes"},
               {'d', "whole numbers"},
               {'f', "numbers"},
               {'e', "numbers"},
               {'b', "whole numbers and bools"},
               {'o', "whole numbers"},
               {'x', "whole numbers, strings and bytes"},
               {'X', "whole numbers, strings and bytes"}};
    const char *takes = NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].clause == name[1])
            takes = all[i].takes;
    if (takes == NULL)
        return fault(f->c, SL_ETYPE, f->source->at,
                     "format(): there is no clause `%s`; there are %%s %%d %%f %%e %%b "
                     "%%o %%x %%X",
                     name);
    return fault(f->c, SL_ETYPE, value->at, "`%s` takes %s, and this is %s", name, takes,
                 describe(value));
}

static sl_status put_value(formatter *f, char letter, int precision) {
    char name[] = {'%', letter, 0};
    node *value = f->value;
    if (value == NULL)
        return refuse(f, "there are more clauses than values");
    f->value = value->next;
    value->next = NULL;
    if (value->kind == NODE_NULL && letter == 's') {
        node *word = new_node(f->c, NODE_CONSTANT, value->at);
        if (word != NULL) {
            word->type = TYPE_STRING;
            word->value.text = (text){.bytes = (const uint8_t *)"null", .length = 4};
        }
        return put_piece(f, word);
    }
    if (letter == 'f' || letter == 'e')
        value = as_number(f->c, value);
    if (value == NULL)
        return out_of_memory(f->c);
    bool whole = value->type == TYPE_INT || value->type == TYPE_UINT;
    const function *row = letter == 'd' && !whole ? NULL : clause_for(name, value);
    if (row == NULL)
        return wrong_value(f, name, value);
    function *clause = sl_arena_get(f->c->memory, sizeof *clause);
    if (clause == NULL)
        return out_of_memory(f->c);
    *clause = *row;
    if (letter == 'f' || letter == 'e')
        clause->parameter |= (int64_t)precision << 8;
    return put_piece(f, new_call(f->c, clause, value));
}

// %[.digits]letter
static sl_status read_clause(formatter *f) {
    int precision = 6;
    if (f->at < f->t.length && f->t.bytes[f->at] == '.') {
        precision = 0;
        uint32_t begin = ++f->at;
        for (;
             f->at < f->t.length && f->t.bytes[f->at] >= '0' && f->t.bytes[f->at] <= '9';
             f->at++)
            if (precision <= PRECISION_MAX)
                precision = precision * 10 + (f->t.bytes[f->at] - '0');
        if (f->at == begin || precision > PRECISION_MAX)
            return refuse(f, "a precision has digits, up to 100");
    }
    if (f->at == f->t.length)
        return refuse(f, "a % stands at the end; %% is one of its own");
    sl_status status = put_literal(f);
    return status == SL_OK ? put_value(f, (char)f->t.bytes[f->at++], precision) : status;
}

static sl_status read_clauses(formatter *f) {
    while (f->at < f->t.length) {
        uint8_t byte = f->t.bytes[f->at++];
        bool percent = byte == '%' && f->at < f->t.length && f->t.bytes[f->at] == '%';
        f->at += percent;
        if (byte != '%' || percent) {
            f->out[f->length++] = byte;
            continue;
        }
        sl_status status = read_clause(f);
        if (status != SL_OK)
            return status;
    }
    return f->value == NULL ? put_literal(f)
                            : refuse(f, "there are more values than clauses");
}

static sl_status check_values(compiler *c, node *first) {
    for (node *e = first; e != NULL; e = e->next) {
        sl_status status = check_node(c, e);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

sl_status check_format(compiler *c, node *n) {
    node *source = n->left;
    node *values = source == NULL ? NULL : source->next;
    if (!n->method || values == NULL || values->next != NULL)
        return fault(c, SL_ETYPE, n->at, "it is written 'text'.format([values])");
    if (!is_literal(source, TYPE_STRING) || values->kind != NODE_LIST)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "format() is supported on a constant text with a list as it is "
                     "written, [a, b]");
    sl_status status = check_values(c, values->left);
    if (status != SL_OK)
        return status;
    node *pieces = new_node(c, NODE_LIST, n->at);
    formatter f = {.c = c, .source = source, .t = source->value.text};
    f.out = sl_arena_get(c->memory, f.t.length + 1u);
    if (pieces == NULL || f.out == NULL)
        return out_of_memory(c);
    f.value = values->left;
    f.link = &pieces->left;
    status = read_clauses(&f);
    if (status != SL_OK)
        return status;
    pieces->type = TYPE_LIST;
    pieces->element = TYPE_STRING;
    n->left = pieces;
    n->type = TYPE_STRING;
    n->function = find_function("join", "S:s");
    return SL_OK;
}
