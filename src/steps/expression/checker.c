// Types, from the leaves up. Three rules go beyond CEL:
//
//  - Literals adapt: beside a DECIMAL a number literal is that exact decimal, beside a
//  DATE a
//    string literal is a date.
//  - Numbers mix: with a DOUBLE all is DOUBLE; INT64 beside DECIMAL counts as scale 0.
//  - `== null` and `!= null` ask whether the member is there: absent and null are one.

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

static sl_status check_node(compiler *c, node *n);

static bool is_number(sl_type type) {
    return type == SL_TYPE_INT64 || type == SL_TYPE_DOUBLE || type == SL_TYPE_DECIMAL;
}

// "int64", or "null" and "a list" for what has no type.
static const char *describe(const node *n) {
    if (n->kind == NODE_NULL)
        return "null";
    return n->kind == NODE_LIST ? "a list" : sl_type_name(n->type);
}

// ---- Names
// -----------------------------------------------------------------------------------

static bool resolve(const compiler *c, node *n) {
    if (c->schema != NULL) {
        n->column = sl_schema_find(c->schema, n->path);
        if (n->column == SL_NO_FIELD || n->column == 0)
            return false;
        n->type = c->schema->fields[n->column].type;
        n->scale = c->schema->fields[n->column].scale;
        return true;
    }
    for (size_t i = 0; i < c->name_count; i++) {
        if (strcmp(c->names[i].path, n->path) == 0) {
            n->column = c->names[i].column;
            n->input = (uint32_t)i;
            n->type = c->names[i].type;
            n->scale = c->names[i].scale;
            return true;
        }
    }
    return false;
}

static sl_status check_there(const compiler *c, node *n) {
    if (resolve(c, n)) {
        if (n->type != SL_TYPE_DECIMAL)
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
    if (status != SL_OK)
        return status;
    switch (n->type) {
    case SL_TYPE_GROUP:
        return fault(c, SL_ETYPE, n->at, "`%.80s` is an object; name one of its members",
                     n->path);
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "`%.80s` is %s; only has() is supported on it", n->path,
                     n->type == SL_TYPE_JSON ? "JSON text" : "bytes");
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
    case SL_TYPE_STRING:
        break;
    }
    return SL_OK;
}

static void make_presence(node *n, node *name, bool negated) {
    n->kind = NODE_HAS;
    n->left = name;
    n->right = NULL;
    n->negated = negated;
    n->type = SL_TYPE_BOOL;
}

// ---- Literals adapt
// --------------------------------------------------------------------------

static sl_status to_decimal(const compiler *c, node *n) {
    if (!n->exact.fits)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "beside a decimal a number has at most 18 digits");
    n->type = SL_TYPE_DECIMAL;
    n->value.i64 = n->exact.digits;
    n->scale = n->exact.scale;
    return SL_OK;
}

static sl_status to_date(const compiler *c, node *n) {
    int32_t days = 0;
    if (!sl_date_parse((const char *)n->value.text.bytes, n->value.text.length, &days))
        return fault(c, SL_ETYPE, n->at,
                     "is compared with a date and is none (YYYY-MM-DD)");
    n->type = SL_TYPE_DATE;
    n->value.i64 = days;
    return SL_OK;
}

static sl_status adapt(const compiler *c, node *literal, const node *other) {
    if (literal->kind != NODE_CONSTANT)
        return SL_OK;
    bool number = literal->type == SL_TYPE_INT64 || literal->type == SL_TYPE_DOUBLE;
    if (number && other->type == SL_TYPE_DECIMAL)
        return to_decimal(c, literal);
    if (literal->type == SL_TYPE_STRING && other->type == SL_TYPE_DATE)
        return to_date(c, literal);
    return SL_OK;
}

static sl_status adapt_both(const compiler *c, node *n) {
    sl_status status = adapt(c, n->left, n->right);
    return status == SL_OK ? adapt(c, n->right, n->left) : status;
}

// ---- Operators
// -------------------------------------------------------------------------------

static sl_status mismatch(const compiler *c, const node *n) {
    const char *hint = "";
    bool time = n->left->type == SL_TYPE_TIMESTAMP || n->right->type == SL_TYPE_TIMESTAMP;
    bool words = n->left->type == SL_TYPE_STRING || n->right->type == SL_TYPE_STRING;
    if (time && words)
        hint = "; write timestamp(\"2026-01-01T00:00:00Z\")";
    return fault(c, SL_ETYPE, n->at, "`%s` does not go between %s and %s%s",
                 operation_text(n->op), describe(n->left), describe(n->right), hint);
}

static sl_status want_value(const compiler *c, const node *n) {
    if (n->kind == NODE_LIST)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "a list stands only on the right of `in`");
    if (n->kind == NODE_NULL)
        return fault(c, SL_EUNSUPPORTED, n->at, "null is only compared, by == and !=");
    return SL_OK;
}

static sl_status want_bool(const compiler *c, const node *n, const char *where) {
    sl_status status = want_value(c, n);
    if (status == SL_OK && n->type != SL_TYPE_BOOL)
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
    n->type = SL_TYPE_BOOL;
    return status;
}

static sl_status check_null(compiler *c, node *n) {
    node *other = n->left->kind == NODE_NULL ? n->right : n->left;
    if (other->kind != NODE_NAME)
        return fault(c, SL_EUNSUPPORTED, n->at, "only a name is compared with null");
    make_presence(n, other, n->op == OP_EQUAL);
    return check_there(c, other);
}

static sl_status check_comparison(compiler *c, node *n) {
    bool null = n->left->kind == NODE_NULL || n->right->kind == NODE_NULL;
    if (null && (n->op == OP_EQUAL || n->op == OP_NOT_EQUAL))
        return check_null(c, n);
    sl_status status = check_operands(c, n);
    if (status == SL_OK)
        status = want_value(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->right);
    if (status == SL_OK)
        status = adapt_both(c, n);
    if (status != SL_OK)
        return status;
    n->type = SL_TYPE_BOOL;
    bool numbers = is_number(n->left->type) && is_number(n->right->type);
    return numbers || n->left->type == n->right->type ? SL_OK : mismatch(c, n);
}

static bool fits_in(const node *left, const node *element) {
    if (is_number(left->type))
        return is_number(element->type);
    return left->type == element->type;
}

static sl_status check_in(compiler *c, node *n) {
    sl_status status = check_node(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->left);
    if (status != SL_OK)
        return status;
    if (n->right->kind != NODE_LIST)
        return fault(c, SL_EUNSUPPORTED, n->right->at, "`in` takes a list of constants");
    if (n->left->type == SL_TYPE_BOOL)
        return fault(c, SL_ETYPE, n->at, "`in` does not take a bool");
    for (node *e = n->right->left; e != NULL; e = e->next) {
        status = check_node(c, e);
        if (status == SL_OK && e->kind != NODE_CONSTANT)
            status = fault(c, SL_EUNSUPPORTED, e->at, "`in` takes a list of constants");
        if (status == SL_OK)
            status = adapt(c, e, n->left);
        if (status == SL_OK && !fits_in(n->left, e))
            status = fault(c, SL_ETYPE, e->at, "this is %s, and what is looked for is %s",
                           describe(e), describe(n->left));
        if (status != SL_OK)
            return status;
    }
    n->type = SL_TYPE_BOOL;
    return SL_OK;
}

static sl_status check_decimal(const compiler *c, node *n) {
    uint8_t a = n->left->scale, b = n->right->scale;
    n->type = SL_TYPE_DECIMAL;
    n->scale = a > b ? a : b;
    if (n->op == OP_DIVIDE) {
        n->type = SL_TYPE_DOUBLE;
        n->scale = 0;
    } else if (n->op == OP_MULTIPLY) {
        if (a + b > (int)DECIMAL_DIGITS_MAX)
            return fault(c, SL_ETYPE, n->at,
                         "the product would have more than 18 decimals");
        n->scale = (uint8_t)(a + b);
    }
    return SL_OK;
}

static sl_status check_arithmetic(compiler *c, node *n) {
    sl_status status = check_operands(c, n);
    if (status == SL_OK)
        status = want_value(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->right);
    if (status == SL_OK)
        status = adapt_both(c, n);
    if (status != SL_OK)
        return status;
    sl_type a = n->left->type, b = n->right->type;
    n->type = a;
    if (a == SL_TYPE_STRING && b == SL_TYPE_STRING && n->op == OP_ADD)
        return SL_OK;
    if (!is_number(a) || !is_number(b))
        return mismatch(c, n);
    if (a == SL_TYPE_DOUBLE || b == SL_TYPE_DOUBLE) {
        n->type = SL_TYPE_DOUBLE;
        if (n->op == OP_MODULO)
            return mismatch(c, n);
    } else if (a == SL_TYPE_DECIMAL || b == SL_TYPE_DECIMAL) {
        return check_decimal(c, n);
    } else if (n->op == OP_DIVIDE && c->real_division) {
        n->type = SL_TYPE_DOUBLE;
    }
    return SL_OK;
}

static sl_status check_negate(compiler *c, node *n) {
    sl_status status = check_node(c, n->left);
    if (status == SL_OK)
        status = want_value(c, n->left);
    if (status == SL_OK && !is_number(n->left->type))
        status = fault(c, SL_ETYPE, n->at, "`-` takes a number, and this is %s",
                       describe(n->left));
    n->type = n->left->type;
    n->scale = n->left->scale;
    return status;
}

// ---- Conditions and calls
// --------------------------------------------------------------------

static sl_status check_condition(compiler *c, node *n) {
    sl_status status = check_node(c, n->left);
    if (status == SL_OK)
        status = want_bool(c, n->left, "`?`");
    if (status == SL_OK)
        status = check_node(c, n->right);
    if (status == SL_OK)
        status = check_node(c, n->third);
    if (status == SL_OK)
        status = want_value(c, n->right);
    if (status == SL_OK)
        status = want_value(c, n->third);
    if (status == SL_OK)
        status = adapt(c, n->right, n->third);
    if (status == SL_OK)
        status = adapt(c, n->third, n->right);
    if (status != SL_OK)
        return status;
    sl_type a = n->right->type, b = n->third->type;
    n->type = a;
    n->scale = n->right->scale > n->third->scale ? n->right->scale : n->third->scale;
    if (a == b)
        return SL_OK;
    if (!is_number(a) || !is_number(b))
        return fault(c, SL_ETYPE, n->at, "one answer is %s, the other %s",
                     describe(n->right), describe(n->third));
    n->type =
        a == SL_TYPE_DOUBLE || b == SL_TYPE_DOUBLE ? SL_TYPE_DOUBLE : SL_TYPE_DECIMAL;
    if (n->type == SL_TYPE_DOUBLE)
        n->scale = 0;
    return SL_OK;
}

static uint32_t count_arguments(const node *n) {
    uint32_t count = 0;
    for (const node *a = n->left; a != NULL; a = a->next)
        count++;
    return count;
}

static sl_status check_has(compiler *c, node *n) {
    if (n->method || count_arguments(n) != 1 || n->left->kind != NODE_NAME)
        return fault(c, SL_ETYPE, n->at, "has() takes one name");
    make_presence(n, n->left, false);
    return check_there(c, n->left);
}

// timestamp("…") of a literal is a constant.
static sl_status check_timestamp(compiler *c, node *n) {
    node *argument = n->left;
    if (count_arguments(n) != 1 || n->method || argument->kind != NODE_CONSTANT ||
        argument->type != SL_TYPE_STRING)
        return fault(c, SL_EUNSUPPORTED, n->at,
                     "timestamp() is supported on a string literal");
    int64_t us = 0;
    if (!sl_time_parse((const char *)argument->value.text.bytes,
                       argument->value.text.length, &us))
        return fault(c, SL_ETYPE, argument->at, "is no RFC 3339 date-time, such as %s",
                     "\"2026-01-01T00:00:00Z\"");
    n->kind = NODE_CONSTANT;
    n->left = NULL;
    n->type = SL_TYPE_TIMESTAMP;
    n->value.i64 = us;
    return SL_OK;
}

static sl_status no_function(const compiler *c, const node *n) {
    if (is_standard_function(n->path))
        return fault(c, SL_EUNSUPPORTED, n->at, "the function `%s` is not supported",
                     n->path);
    const char *near = nearest_function(n->path);
    if (near != NULL)
        return fault(c, SL_ENOTFOUND, n->at,
                     "there is no function `%.60s`; did you mean `%s`?", n->path, near);
    return fault(c, SL_ENOTFOUND, n->at, "there is no function `%.100s`", n->path);
}

static sl_status check_signature(compiler *c, node *n, const function *f) {
    if (n->method ? !f->method : !f->global)
        return fault(c, SL_ETYPE, n->at,
                     f->method ? "it is written x.%s(...)" : "it is written %s(...)",
                     f->name);
    uint32_t count = count_arguments(n), position = 0;
    if (count != f->count)
        return fault(c, SL_ETYPE, n->at, "`%s` takes %u value%s, and here are %u",
                     f->name, f->count, f->count == 1 ? "" : "s", count);
    for (node *a = n->left; a != NULL; a = a->next, position++) {
        sl_status status = check_node(c, a);
        if (status == SL_OK)
            status = want_value(c, a);
        if (status == SL_OK && a->type != f->arguments[position])
            status = fault(c, SL_ETYPE, a->at, "`%s` takes a %s here, and this is %s",
                           f->name, sl_type_name(f->arguments[position]), describe(a));
        if (status != SL_OK)
            return status;
    }
    n->function = f;
    n->type = f->result;
    return SL_OK;
}

static sl_status check_call(compiler *c, node *n) {
    if (strcmp(n->path, "has") == 0)
        return check_has(c, n);
    if (strcmp(n->path, "timestamp") == 0)
        return check_timestamp(c, n);
    const function *f = find_function(n->path);
    return f == NULL ? no_function(c, n) : check_signature(c, n, f);
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

static sl_status check_node(compiler *c, node *n) {
    switch (n->kind) {
    case NODE_NAME:
        return check_name(c, n);
    case NODE_OPERATION:
        return check_operation(c, n);
    case NODE_CONDITION:
        return check_condition(c, n);
    case NODE_CALL:
        return check_call(c, n);
    case NODE_CONSTANT:
    case NODE_NULL:
    case NODE_LIST:
    case NODE_HAS:
        break;
    }
    return SL_OK;
}

sl_status check(compiler *c, node *root) {
    sl_status status = check_node(c, root);
    return status == SL_OK ? want_value(c, root) : status;
}
