// Types, from the leaves up. Four rules go beyond CEL:
//
//  - Literals adapt: beside a DECIMAL a number literal is that exact decimal, beside a
//    UINT a whole literal is unsigned, beside a DATE a string literal is a date.
//  - Numbers mix: with a DOUBLE all is DOUBLE; INT beside DECIMAL counts as scale 0.
//  - `== null` and `!= null` ask whether the member is there: absent and null are one.
//  - null may be an answer of the outermost `?:`: the result's cell is then empty.

#include "internal.h"

#include "sluice/time.h"

const char *operation_text(operation op) {
    static const char *const texts[] = {
        [OP_OR] = "||",        [OP_AND] = "&&",           [OP_EQUAL] = "==",
        [OP_NOT_EQUAL] = "!=", [OP_LESS] = "<",           [OP_LESS_EQUAL] = "<=",
        [OP_GREATER] = ">",    [OP_GREATER_EQUAL] = ">=", [OP_IN] = "in",
        [OP_ADD] = "+",        [OP_SUBTRACT] = "-",       [OP_MULTIPLY] = "*",
        [OP_DIVIDE] = "/",     [OP_MODULO] = "%",         [OP_NOT] = "!",
        [OP_NEGATE] = "-"};
    return texts[op];
}

const char *type_name(type t) {
    static const char *const names[] = {
        [TYPE_NULL] = "null",         [TYPE_BOOL] = "bool",
        [TYPE_INT] = "int64",         [TYPE_UINT] = "uint64",
        [TYPE_DOUBLE] = "double",     [TYPE_DECIMAL] = "decimal",
        [TYPE_DATE] = "date",         [TYPE_TIMESTAMP] = "timestamp",
        [TYPE_DURATION] = "duration", [TYPE_STRING] = "string",
        [TYPE_BYTES] = "bytes",       [TYPE_LIST] = "a list",
        [TYPE_MAP] = "a map"};
    return names[t];
}

bool is_text(type t) { return t == TYPE_STRING || t == TYPE_BYTES; }

bool is_number(type t) {
    return t == TYPE_INT || t == TYPE_UINT || t == TYPE_DOUBLE || t == TYPE_DECIMAL;
}

bool is_literal(const node *n, type t) {
    return n->kind == NODE_CONSTANT && n->type == t;
}

const char *describe(const node *n) {
    return n->kind == NODE_NULL ? "null" : type_name(n->type);
}

uint32_t count_nodes(const node *first) {
    uint32_t count = 0;
    for (; first != NULL; first = first->next)
        count++;
    return count;
}

// ---- Names
// -----------------------------------------------------------------------------------

// Of what a column can hold; the rest is refused by check_name, has() aside.
static type type_of_column(sl_type t) {
    switch (t) {
    case SL_TYPE_BOOL:
        return TYPE_BOOL;
    case SL_TYPE_INT64:
        return TYPE_INT;
    case SL_TYPE_DOUBLE:
        return TYPE_DOUBLE;
    case SL_TYPE_DECIMAL:
        return TYPE_DECIMAL;
    case SL_TYPE_DATE:
        return TYPE_DATE;
    case SL_TYPE_TIMESTAMP:
        return TYPE_TIMESTAMP;
    case SL_TYPE_STRING:
        return TYPE_STRING;
    case SL_TYPE_GROUP:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        break;
    }
    return TYPE_NULL;
}

bool resolve(const compiler *c, node *n) {
    if (c->schema != NULL) {
        n->column = sl_schema_find(c->schema, n->path);
        if (n->column == SL_NO_FIELD || n->column == 0)
            return false;
        n->column_type = c->schema->fields[n->column].type;
        n->scale = c->schema->fields[n->column].scale;
        return true;
    }
    for (size_t i = 0; i < c->name_count; i++) {
        if (strcmp(c->names[i].path, n->path) == 0) {
            n->column = c->names[i].column;
            n->input = (uint32_t)i;
            n->column_type = c->names[i].type;
            n->scale = c->names[i].scale;
            return true;
        }
    }
    return false;
}

sl_status check_there(const compiler *c, node *n) {
    if (resolve(c, n)) {
        n->type = type_of_column(n->column_type);
        if (n->type != TYPE_DECIMAL)
            n->scale = 0;
        return SL_OK;
    }
    const char *near = nearest_name(c, n->path);
    if (near != NULL)
        return fault(c, SL_ENOTFOUND, n->at, "there is no `%.60s`; did you mean `%.80s`?",
                     n->path, near);
    return fault(c, SL_ENOTFOUND, n->at, "there is no `%.100s`", n->path);
}

static sl_status check_name(const compiler *c, node *n) {
    sl_status status = check_there(c, n);
    if (status != SL_OK || n->type != TYPE_NULL)
        return status;
    if (n->column_type == SL_TYPE_GROUP)
        return fault(c, SL_ETYPE, n->at, "`%.80s` is an object; name one of its members",
                     n->path);
    return fault(c, SL_EUNSUPPORTED, n->at, "`%.80s` is %s", n->path,
                 n->column_type == SL_TYPE_JSON
                     ? "JSON text; has() asks for it, string() gives the text"
                     : "bytes; only has() is supported on it");
}

void make_presence(node *n, node *name, bool negated) {
    n->kind = NODE_HAS;
    n->left = name;
    n->right = NULL;
    n->negated = negated;
    n->type = TYPE_BOOL;
}

static sl_status check_map(compiler *c, node *n);

// ---- Literals adapt
// --------------------------------------------------------------------------

static sl_status to_decimal(const compiler *c, node *n) {
    if (!n->exact.fits)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "beside a decimal a number has at most 18 digits");
    n->type = TYPE_DECIMAL;
    n->value.i64 = n->exact.digits;
    n->scale = n->exact.scale;
    return SL_OK;
}

static sl_status to_date(const compiler *c, node *n) {
    int32_t days = 0;
    if (!sl_date_parse((const char *)n->value.text.bytes, n->value.text.length, &days))
        return fault(c, SL_ETYPE, n->at,
                     "is compared with a date and is none (YYYY-MM-DD)");
    n->type = TYPE_DATE;
    n->value.i64 = days;
    return SL_OK;
}

static sl_status adapt(const compiler *c, node *literal, type other) {
    if (literal->kind != NODE_CONSTANT)
        return SL_OK;
    bool number = literal->type == TYPE_INT || literal->type == TYPE_DOUBLE;
    if (number && other == TYPE_DECIMAL)
        return to_decimal(c, literal);
    if (literal->type == TYPE_INT && other == TYPE_UINT && literal->value.i64 >= 0)
        literal->type = TYPE_UINT; // The same bits.
    if (literal->type == TYPE_STRING && other == TYPE_DATE)
        return to_date(c, literal);
    return SL_OK;
}

static sl_status adapt_both(const compiler *c, node *n) {
    sl_status status = adapt(c, n->left, n->right->type);
    return status == SL_OK ? adapt(c, n->right, n->left->type) : status;
}

bool unify(type a, type b, type *out) {
    *out = a;
    if (a == b)
        return true;
    if (!is_number(a) || !is_number(b))
        return false;
    if (a == TYPE_DOUBLE || b == TYPE_DOUBLE)
        *out = TYPE_DOUBLE;
    else if (a == TYPE_UINT || b == TYPE_UINT)
        return false;
    else
        *out = TYPE_DECIMAL;
    return true;
}

sl_status unify_all(const compiler *c, node *first, node *into) {
    type common = first == NULL ? TYPE_NULL : first->type;
    uint8_t scale = 0;
    for (int pass = 0; pass < 2; pass++) { // Literals adapt to what comes later, too.
        for (node *n = first; n != NULL; n = n->next) {
            sl_status status = adapt(c, n, common);
            if (status != SL_OK)
                return status;
            if (n->type == TYPE_LIST)
                return fault(c, SL_EUNSUPPORTED, n->at,
                             "lists of lists are not supported");
            if (!unify(common, n->type, &common) &&
                !(common == TYPE_INT && n->type == TYPE_UINT && pass == 0))
                return fault(c, SL_ETYPE, n->at,
                             "values side by side have one type; this is %s, and there "
                             "is %s before it",
                             describe(n), type_name(common));
            if (common == TYPE_INT && n->type == TYPE_UINT)
                common = TYPE_UINT; // Literals before it may still adapt.
            scale = n->scale > scale ? n->scale : scale;
        }
    }
    into->element = common;
    into->scale = common == TYPE_DECIMAL ? scale : 0;
    return SL_OK;
}

// ---- Operators
// -------------------------------------------------------------------------------

static sl_status mismatch(const compiler *c, const node *n) {
    const char *hint = "";
    type a = n->left->type, b = n->right->type;
    bool time = a == TYPE_TIMESTAMP || b == TYPE_TIMESTAMP;
    bool period = a == TYPE_DURATION || b == TYPE_DURATION;
    bool words = a == TYPE_STRING || b == TYPE_STRING;
    if (time && words)
        hint = "; write timestamp(\"2026-01-01T00:00:00Z\")";
    else if (period && (words || a == TYPE_INT || b == TYPE_INT))
        hint = "; write duration(\"90s\")";
    else if ((a == TYPE_INT && b == TYPE_UINT) || (a == TYPE_UINT && b == TYPE_INT))
        hint = "; convert one by int() or uint()";
    else if (words && n->op == OP_ADD)
        hint = "; string() makes a text of it";
    return fault(c, SL_ETYPE, n->at, "`%s` does not go between %s and %s%s",
                 operation_text(n->op), describe(n->left), describe(n->right), hint);
}

sl_status want_value(const compiler *c, const node *n) {
    if (n->kind == NODE_NULL)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "null is only compared, or an answer of the outermost `?:`");
    if (n->kind == NODE_MAP)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "a map stands before [key], after `in` or in size()");
    return SL_OK;
}

static sl_status want_bool(const compiler *c, const node *n, const char *where) {
    sl_status status = want_value(c, n);
    if (status == SL_OK && n->type != TYPE_BOOL)
        status = fault(c, SL_ETYPE, n->at, "%s takes a bool, and this is %s", where,
                       describe(n));
    return status;
}

static sl_status check_operands(compiler *c, node *n) {
    sl_status status = check_node(c, n->left);
    if (status == SL_OK && n->right != NULL)
        status = check_node(c, n->right);
    return status;
}

static sl_status check_logic(compiler *c, node *n) {
    const char *where = n->op == OP_OR ? "||" : n->op == OP_AND ? "&&" : "!";
    sl_status status = check_operands(c, n);
    if (status == SL_OK)
        status = want_bool(c, n->left, where);
    if (status == SL_OK && n->right != NULL)
        status = want_bool(c, n->right, where);
    n->type = TYPE_BOOL;
    return status;
}

static sl_status check_null(compiler *c, node *n) {
    node *other = n->left->kind == NODE_NULL ? n->right : n->left;
    if (other->kind == NODE_NULL || other->kind == NODE_CONSTANT) {
        n->value.i64 = (other->kind == NODE_NULL) == (n->op == OP_EQUAL);
        n->kind = NODE_CONSTANT;
        n->type = TYPE_BOOL;
        n->left = n->right = NULL;
        return SL_OK;
    }
    if (other->kind != NODE_NAME)
        return fault(c, SL_EUNSUPPORTED, n->at, "only a name is compared with null");
    make_presence(n, other, n->op == OP_EQUAL);
    return check_there(c, other);
}

static sl_status check_pair(compiler *c, node *n) {
    sl_status status = check_operands(c, n);
    if (status == SL_OK)
        status = want_value(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->right);
    return status == SL_OK ? adapt_both(c, n) : status;
}

// Numbers of all kinds lie on one line; only decimals beside uint64 have no kernel.
static bool comparable(type a, type b) {
    if (a == b)
        return true;
    bool unsigned_decimal =
        (a == TYPE_UINT && b == TYPE_DECIMAL) || (a == TYPE_DECIMAL && b == TYPE_UINT);
    return is_number(a) && is_number(b) && !unsigned_decimal;
}

static sl_status check_comparison(compiler *c, node *n) {
    bool equality = n->op == OP_EQUAL || n->op == OP_NOT_EQUAL;
    bool null = n->left->kind == NODE_NULL || n->right->kind == NODE_NULL;
    if (null && equality)
        return check_null(c, n);
    sl_status status = check_pair(c, n);
    if (status != SL_OK)
        return status;
    n->type = TYPE_BOOL;
    if (!comparable(n->left->type, n->right->type))
        return mismatch(c, n);
    if (n->left->type != TYPE_LIST)
        return SL_OK;
    type a = n->left->element, b = n->right->element;
    if (!equality || (a != b && a != TYPE_NULL && b != TYPE_NULL) ||
        n->left->scale != n->right->scale)
        return fault(c, SL_ETYPE, n->at, "`%s` does not go between lists of %s and of %s",
                     operation_text(n->op), type_name(a), type_name(b));
    return SL_OK;
}

static sl_status check_elements(compiler *c, const node *sought, node *first) {
    for (node *e = first; e != NULL; e = e->next) {
        sl_status status = check_node(c, e);
        if (status == SL_OK)
            status = want_value(c, e);
        if (status == SL_OK)
            status = adapt(c, e, sought->type);
        if (status == SL_OK && !comparable(sought->type, e->type))
            status = fault(c, SL_ETYPE, e->at, "this is %s, and what is looked for is %s",
                           describe(e), describe(sought));
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

// `in` a list as it is written compares with each element as == would; `in` a map looks
// through its keys; `in` a list that a function made wants its very type.
static sl_status check_in(compiler *c, node *n) {
    sl_status status = check_node(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->left);
    n->type = TYPE_BOOL;
    if (status != SL_OK)
        return status;
    if (n->right->kind == NODE_MAP) {
        status = check_map(c, n->right);
        if (status != SL_OK)
            return status;
        n->right->kind = NODE_LIST; // Of its keys.
        n->right->right = NULL;
    }
    if (n->right->kind == NODE_LIST) {
        n->right->type = TYPE_LIST;
        return check_elements(c, n->left, n->right->left);
    }
    status = check_node(c, n->right);
    if (status == SL_OK && n->right->type != TYPE_LIST)
        status = fault(c, SL_ETYPE, n->right->at,
                       "`in` takes a list or a map, and this is %s", describe(n->right));
    if (status == SL_OK && n->right->element != TYPE_NULL &&
        (n->right->element != n->left->type || n->right->scale != n->left->scale))
        status = fault(c, SL_ETYPE, n->at, "what is looked for is %s in a list of %s",
                       describe(n->left), type_name(n->right->element));
    return status;
}

static sl_status check_decimal(const compiler *c, node *n) {
    uint8_t a = n->left->scale, b = n->right->scale;
    n->type = TYPE_DECIMAL;
    n->scale = a > b ? a : b;
    if (n->op == OP_DIVIDE) {
        n->type = TYPE_DOUBLE;
        n->scale = 0;
    } else if (n->op == OP_MULTIPLY) {
        if (a + b > (int)DECIMAL_DIGITS_MAX)
            return fault(c, SL_ETYPE, n->at,
                         "the product would have more than 18 decimals");
        n->scale = (uint8_t)(a + b);
    }
    return SL_OK;
}

// timestamp ± duration, timestamp - timestamp, duration ± duration.
static bool times_give(operation op, type a, type b, type *out) {
    if (op != OP_ADD && op != OP_SUBTRACT)
        return false;
    *out = TYPE_DURATION;
    if (a == TYPE_DURATION && b == TYPE_DURATION)
        return true;
    if (a == TYPE_TIMESTAMP && b == TYPE_TIMESTAMP)
        return op == OP_SUBTRACT;
    *out = TYPE_TIMESTAMP;
    return (a == TYPE_TIMESTAMP && b == TYPE_DURATION) ||
           (a == TYPE_DURATION && b == TYPE_TIMESTAMP && op == OP_ADD);
}

static sl_status check_numbers(compiler *c, node *n) {
    type a = n->left->type, b = n->right->type;
    if (!unify(a, b, &n->type))
        return mismatch(c, n);
    if (n->type == TYPE_DOUBLE)
        return n->op == OP_MODULO ? mismatch(c, n) : SL_OK;
    if (n->type == TYPE_DECIMAL)
        return check_decimal(c, n);
    if (n->op == OP_DIVIDE && c->real_division)
        n->type = TYPE_DOUBLE;
    return SL_OK;
}

static sl_status check_arithmetic(compiler *c, node *n) {
    sl_status status = check_pair(c, n);
    if (status != SL_OK)
        return status;
    type a = n->left->type, b = n->right->type;
    n->type = a;
    if (a == b && n->op == OP_ADD && is_text(a))
        return SL_OK;
    if (a == b && n->op == OP_ADD && a == TYPE_LIST) {
        type x = n->left->element, y = n->right->element;
        n->element = x == TYPE_NULL ? y : x;
        n->scale = x == TYPE_NULL ? n->right->scale : n->left->scale;
        bool fit = x == TYPE_NULL || y == TYPE_NULL ||
                   (x == y && n->left->scale == n->right->scale);
        return fit ? SL_OK : mismatch(c, n);
    }
    if (times_give(n->op, a, b, &n->type))
        return SL_OK;
    return is_number(a) && is_number(b) ? check_numbers(c, n) : mismatch(c, n);
}

static sl_status check_negate(compiler *c, node *n) {
    sl_status status = check_node(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->left);
    if (status == SL_OK && (!is_number(n->left->type) || n->left->type == TYPE_UINT))
        status = fault(c, SL_ETYPE, n->at, "`-` takes a signed number, and this is %s",
                       describe(n->left));
    n->type = n->left->type;
    n->scale = n->left->scale;
    return status;
}

static sl_status check_operation(compiler *c, node *n) {
    switch (n->op) {
    case OP_OR:
    case OP_AND:
    case OP_NOT:
        return check_logic(c, n);
    case OP_EQUAL:
    case OP_NOT_EQUAL:
    case OP_LESS:
    case OP_LESS_EQUAL:
    case OP_GREATER:
    case OP_GREATER_EQUAL:
        return check_comparison(c, n);
    case OP_IN:
        return check_in(c, n);
    case OP_ADD:
    case OP_SUBTRACT:
    case OP_MULTIPLY:
    case OP_DIVIDE:
    case OP_MODULO:
        return check_arithmetic(c, n);
    case OP_NEGATE:
        break;
    }
    return check_negate(c, n);
}

// ---- Conditions, lists, maps, indices
// ------------------------------------------------------------

static sl_status check_answer(compiler *c, const node *condition, node *answer) {
    if (answer->kind == NODE_NULL && condition->outer)
        return SL_OK;
    sl_status status = check_node(c, answer);
    return status == SL_OK ? want_value(c, answer) : status;
}

// The answer beside null gives the type.
static sl_status check_null_answer(const compiler *c, node *n, node *null,
                                   const node *other) {
    if (other->kind == NODE_NULL)
        return fault(c, SL_ETYPE, n->at, "both answers are null");
    null->type = n->type = other->type;
    null->scale = n->scale = other->scale;
    n->element = other->element;
    return SL_OK;
}

static sl_status check_condition(compiler *c, node *n) {
    sl_status status = check_node(c, n->left);
    if (status == SL_OK)
        status = want_bool(c, n->left, "`?`");
    if (status == SL_OK)
        status = check_answer(c, n, n->right);
    if (status == SL_OK)
        status = check_answer(c, n, n->third);
    if (status != SL_OK)
        return status;
    if (n->right->kind == NODE_NULL)
        return check_null_answer(c, n, n->right, n->third);
    if (n->third->kind == NODE_NULL)
        return check_null_answer(c, n, n->third, n->right);
    status = adapt(c, n->right, n->third->type);
    if (status == SL_OK)
        status = adapt(c, n->third, n->right->type);
    if (status != SL_OK)
        return status;
    uint8_t a = n->right->scale, b = n->third->scale;
    n->element = n->right->element == TYPE_NULL ? n->third->element : n->right->element;
    bool lists = n->right->type == TYPE_LIST && n->third->element != n->element &&
                 n->third->element != TYPE_NULL;
    if (!unify(n->right->type, n->third->type, &n->type) || lists ||
        (n->type == TYPE_LIST && a != b))
        return fault(c, SL_ETYPE, n->at, "one answer is %s, the other %s",
                     describe(n->right), describe(n->third));
    n->scale = n->type == TYPE_DOUBLE ? 0 : a > b ? a : b;
    return SL_OK;
}

static sl_status check_each(compiler *c, node *first) {
    for (node *e = first; e != NULL; e = e->next) {
        sl_status status = check_node(c, e);
        if (status == SL_OK)
            status = want_value(c, e);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

static sl_status check_list(compiler *c, node *n) {
    sl_status status = check_each(c, n->left);
    n->type = TYPE_LIST;
    return status == SL_OK ? unify_all(c, n->left, n) : status;
}

static bool is_key(type t) {
    return t == TYPE_STRING || t == TYPE_INT || t == TYPE_UINT || t == TYPE_BOOL;
}

static bool same_constant(const node *a, const node *b) {
    if (a->type != b->type)
        return false;
    if (a->type != TYPE_STRING)
        return a->value.i64 == b->value.i64;
    text x = a->value.text, y = b->value.text;
    return x.length == y.length && memcmp(x.bytes, y.bytes, x.length) == 0;
}

static sl_status check_map(compiler *c, node *n) {
    sl_status status = check_each(c, n->left);
    for (const node *key = n->left; status == SL_OK && key != NULL; key = key->next) {
        if (key->kind != NODE_CONSTANT || !is_key(key->type))
            status =
                fault(c, key->kind == NODE_CONSTANT ? SL_ETYPE : SL_EUNSUPPORTED, key->at,
                      "a map's keys are constants: strings, whole numbers, bools");
        else if (key->type != n->left->type)
            status = fault(c, SL_ETYPE, key->at, "this key is %s, the first is %s",
                           describe(key), describe(n->left));
        for (const node *k = n->left; status == SL_OK && k != key; k = k->next)
            if (same_constant(k, key))
                status = fault(c, SL_ETYPE, key->at, "this key stands there twice");
    }
    n->type = TYPE_MAP;
    return status == SL_OK ? check_each(c, n->right) : status;
}

// {k: v, …}[key] with a constant key is that value; else it is [v, …][place of key].
static sl_status check_map_index(compiler *c, node *n) {
    node *map = n->left, *key = n->right, *value = map->right;
    sl_status status = check_map(c, map);
    if (status == SL_OK)
        status = check_node(c, key);
    if (status == SL_OK)
        status = want_value(c, key);
    if (status == SL_OK && map->left != NULL)
        status = adapt(c, key, map->left->type);
    if (status != SL_OK)
        return status;
    if (map->left == NULL || key->type != map->left->type)
        return fault(c, SL_ETYPE, key->at, "this is %s, and the map's keys are %s",
                     describe(key),
                     map->left == NULL ? "not there" : describe(map->left));
    for (const node *k = map->left; key->kind == NODE_CONSTANT && k != NULL;
         k = k->next, value = value->next) {
        if (same_constant(k, key)) {
            node *next = n->next;
            *n = *value;
            n->next = next;
            return SL_OK;
        }
    }
    node *values = new_node(c, NODE_LIST, map->at), *find = new_node(c, NODE_FIND, n->at);
    node *keys = new_node(c, NODE_LIST, map->at);
    if (values == NULL || find == NULL || keys == NULL)
        return out_of_memory(c);
    values->left = map->right;
    values->type = keys->type = TYPE_LIST;
    keys->left = map->left;
    keys->element = map->left->type;
    find->left = key;
    find->right = keys;
    find->type = TYPE_INT;
    n->left = values;
    n->right = find;
    status = unify_all(c, values->left, values);
    n->type = values->element;
    n->scale = values->scale;
    return status;
}

// geo['city'] is geo.city, also where the key is no identifier.
static sl_status check_member(compiler *c, node *n) {
    node *object = n->left;
    if (!is_literal(n->right, TYPE_STRING))
        return fault(c, SL_ETYPE, n->right->at,
                     "an object's member is named by a constant string");
    size_t front = object->path_length + 1u, length = n->right->value.text.length;
    if (front + length > PATH_MAX_BYTES)
        return fault(c, SL_ELIMIT, n->right->at, "the name is too long");
    char *path = sl_arena_get(c->memory, front + length + 1);
    if (path == NULL)
        return out_of_memory(c);
    memcpy(path, object->path, front - 1);
    path[front - 1] = '.';
    memcpy(path + front, n->right->value.text.bytes, length);
    path[front + length] = 0;
    n->kind = NODE_NAME;
    n->path = path;
    n->path_length = (uint32_t)(front + length);
    n->at = object->at;
    n->left = n->right = NULL;
    return check_there(c, n);
}

// Objects whose member is asked for become names first, innermost first.
sl_status check_object(compiler *c, node *n) {
    node *object = n->left;
    if (object->kind == NODE_INDEX && object->left->kind != NODE_MAP) {
        sl_status status = check_object(c, object);
        if (status != SL_OK || object->kind != NODE_NAME)
            return status;
    }
    if (object->kind != NODE_NAME)
        return SL_OK;
    if (c->schema == NULL && is_literal(n->right, TYPE_STRING) && !resolve(c, object))
        return check_member(c, n); // Plain names have paths, and no objects.
    sl_status status = check_there(c, object);
    return status == SL_OK && object->column_type == SL_TYPE_GROUP ? check_member(c, n)
                                                                   : status;
}

static sl_status check_index(compiler *c, node *n) {
    if (n->left->kind == NODE_MAP)
        return check_map_index(c, n);
    sl_status status = check_object(c, n);
    if (status != SL_OK)
        return status;
    if (n->kind == NODE_NAME)
        return check_name(c, n);
    status = check_node(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->left);
    if (status == SL_OK && n->left->type != TYPE_LIST)
        status = fault(c, SL_ETYPE, n->at, "[ ] takes a list or a map, and this is %s",
                       describe(n->left));
    if (status == SL_OK)
        status = check_node(c, n->right);
    if (status == SL_OK)
        status = want_value(c, n->right);
    // Beyond int64 the bits of an unsigned place are negative: not there either.
    if (status == SL_OK && n->right->type != TYPE_INT && n->right->type != TYPE_UINT)
        status = fault(c, SL_ETYPE, n->right->at,
                       "a place in a list is int64, and this is %s", describe(n->right));
    n->type = n->left->element;
    n->scale = n->left->scale;
    if (status == SL_OK && n->type == TYPE_NULL)
        status = fault(c, SL_ETYPE, n->at, "the list is empty");
    return status;
}

sl_status check_node(compiler *c, node *n) {
    switch (n->kind) {
    case NODE_NAME:
        return check_name(c, n);
    case NODE_OPERATION:
        return check_operation(c, n);
    case NODE_CONDITION:
        return check_condition(c, n);
    case NODE_CALL:
        return check_call(c, n);
    case NODE_LIST:
        return check_list(c, n);
    case NODE_MAP:
        return check_map(c, n);
    case NODE_INDEX:
        return check_index(c, n);
    case NODE_CONSTANT:
    case NODE_NULL:
    case NODE_HAS:
    case NODE_FIND:
    case NODE_EXTREME:
        break;
    }
    return SL_OK;
}

// ---- The whole
// -------------------------------------------------------------------------------

static void mark_outer(node *n) {
    for (; n->kind == NODE_CONDITION; n = n->third) {
        n->outer = true;
        mark_outer(n->right);
    }
}

static sl_status no_column(const compiler *c, const node *n, const char *instead) {
    return fault(c, SL_ETYPE, n->at, "the result is %s, which no column holds; %s",
                 describe(n), instead);
}

sl_status check(compiler *c, node *root) {
    mark_outer(root);
    sl_status status = check_node(c, root);
    if (status == SL_OK)
        status = want_value(c, root);
    if (status != SL_OK)
        return status;
    switch (root->type) {
    case TYPE_DURATION:
        return no_column(c, root,
                         "double() gives its seconds, string() its text such as 90s");
    case TYPE_BYTES:
        return no_column(c, root, "string() or base64.encode() makes a text of it");
    case TYPE_LIST:
    case TYPE_MAP:
    case TYPE_NULL:
        return no_column(c, root, "take one element by [ ], or join() its texts");
    case TYPE_BOOL:
    case TYPE_INT:
    case TYPE_UINT:
    case TYPE_DOUBLE:
    case TYPE_DECIMAL:
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_STRING:
        break;
    }
    return SL_OK;
}
