// Recursive descent over CEL's grammar (cel-spec, doc/langdef.md, "Syntax"), loosest
// first:
//
//   Expr           = Or [ "?" Or ":" Expr ]
//   Or             = And { "||" And }
//   And            = Relation { "&&" Relation }
//   Relation       = Addition { ("<" | "<=" | ">=" | ">" | "==" | "!=" | "in") Addition }
//   Addition       = Multiplication { ("+" | "-") Multiplication }
//   Multiplication = Unary { ("*" | "/" | "%") Unary }
//   Unary          = { "!" | "-" } Member
//   Member         = Primary { "." NAME [ "(" [ Exprs ] ")" ] | "[" Expr "]" }
//   Primary        = NAME [ "(" [ Exprs ] ")" ] | "(" Expr ")" | "[" [ Exprs ] "]" |
//                    "{" [ Expr ":" Expr { "," Expr ":" Expr } ] "}" | literal
//
// A chain of names joined by dots is one path. Messages are recognised and refused.

#include "internal.h"

static sl_status parse_expression(compiler *c, node **out);

static bool accept(compiler *c, token_kind kind, sl_status *status) {
    *status = SL_OK;
    if (c->next.kind != kind)
        return false;
    *status = next_token(c);
    return true;
}

static const char *token_text(token_kind kind) {
    static const char *const texts[] = {
        [TOKEN_CLOSE] = "`)`",     [TOKEN_CLOSE_LIST] = "`]`",
        [TOKEN_CLOSE_MAP] = "`}`", [TOKEN_COLON] = "`:`",
        [TOKEN_NAME] = "a name",   [TOKEN_END] = "an operator or the end",
    };
    return texts[kind];
}

static sl_status unexpected(const compiler *c, const char *wanted) {
    if (c->next.kind == TOKEN_END)
        return fault(c, SL_ESYNTAX, c->next.at, "expected %s, but the text ends here",
                     wanted);
    int length = c->next.length > 40 ? 40 : (int)c->next.length;
    return fault(c, SL_ESYNTAX, c->next.at, "expected %s, found `%.*s`", wanted, length,
                 c->text + c->next.at);
}

static sl_status expect(compiler *c, token_kind kind) {
    return c->next.kind == kind ? next_token(c) : unexpected(c, token_text(kind));
}

node *new_node(compiler *c, node_kind kind, uint32_t at) {
    node *made = sl_arena_get(c->memory, sizeof *made);
    if (made != NULL) {
        memset(made, 0, sizeof *made);
        made->kind = kind;
        made->at = at;
        made->depth = 1;
    }
    return made;
}

static sl_status set_depth(const compiler *c, node *parent) {
    const node *below[] = {parent->left, parent->right, parent->third};
    for (size_t i = 0; i < 3; i++)
        for (const node *n = below[i]; n != NULL; n = n->next)
            if (n->depth >= parent->depth)
                parent->depth = n->depth + 1;
    return parent->depth <= DEPTH_MAX
               ? SL_OK
               : fault(c, SL_ELIMIT, parent->at, "the expression is nested too deep");
}

static sl_status new_operation(compiler *c, operation op, uint32_t at, node *left,
                               node *right, node **out) {
    node *made = new_node(c, NODE_OPERATION, at);
    if (made == NULL)
        return out_of_memory(c);
    made->op = op;
    made->left = left;
    made->right = right;
    *out = made;
    return set_depth(c, made);
}

static sl_status enter(compiler *c) {
    return ++c->nesting <= NESTING_MAX
               ? SL_OK
               : fault(c, SL_ELIMIT, c->next.at, "the expression is nested too deep");
}

// Expressions up to `close`, linked by `next`. A list may end with a comma.
static sl_status parse_arguments(compiler *c, token_kind close, node **first) {
    node **link = first;
    sl_status status = next_token(c);
    while (status == SL_OK && c->next.kind != close) {
        status = parse_expression(c, link);
        if (status != SL_OK)
            return status;
        link = &(*link)->next;
        if (c->next.kind != TOKEN_COMMA)
            break;
        status = next_token(c);
        if (status == SL_OK && close == TOKEN_CLOSE && c->next.kind == close)
            return unexpected(c, "an argument");
    }
    return status == SL_OK ? expect(c, close) : status;
}

sl_status set_path(compiler *c, node *n, const char *before, const token *name) {
    const char *word = c->text + name->at;
    uint32_t length = name->length;
    if (*word == '`') {
        word++;
        length -= 2;
    }
    size_t front = before == NULL ? 0 : strlen(before) + 1;
    if (front + length > PATH_MAX_BYTES)
        return fault(c, SL_ELIMIT, name->at, "the name is too long");
    char *path = sl_arena_get(c->memory, front + length + 1);
    if (path == NULL)
        return out_of_memory(c);
    if (before != NULL) {
        memcpy(path, before, front - 1);
        path[front - 1] = '.';
    }
    memcpy(path + front, word, length);
    path[front + length] = 0;
    n->path = path;
    n->path_length = (uint32_t)(front + length);
    return SL_OK;
}

static sl_status parse_name(compiler *c, node **out) {
    token name = c->next;
    sl_status status = next_token(c);
    if (status != SL_OK)
        return status;
    node *made = new_node(c, c->next.kind == TOKEN_OPEN ? NODE_CALL : NODE_NAME, name.at);
    if (made == NULL)
        return out_of_memory(c);
    *out = made;
    status = set_path(c, made, NULL, &name);
    if (status != SL_OK || made->kind == NODE_NAME)
        return status;
    status = parse_arguments(c, TOKEN_CLOSE, &made->left);
    return status == SL_OK ? set_depth(c, made) : status;
}

static sl_status parse_literal(compiler *c, bool negative, node **out) {
    node *made =
        new_node(c, c->next.kind == TOKEN_NULL ? NODE_NULL : NODE_CONSTANT, c->next.at);
    if (made == NULL)
        return out_of_memory(c);
    *out = made;
    sl_status status = SL_OK;
    if (c->next.kind == TOKEN_INT || c->next.kind == TOKEN_FLOAT ||
        c->next.kind == TOKEN_UINT) {
        status = read_number(c, negative, made);
    } else if (c->next.kind == TOKEN_STRING || c->next.kind == TOKEN_BYTES) {
        status = read_string(c, made);
    } else if (c->next.kind != TOKEN_NULL) {
        made->type = TYPE_BOOL;
        made->value.i64 = c->next.kind == TOKEN_TRUE;
    }
    return status == SL_OK ? next_token(c) : status;
}

static sl_status parse_parenthesis(compiler *c, node **out) {
    sl_status status = next_token(c);
    if (status == SL_OK)
        status = parse_expression(c, out);
    return status == SL_OK ? expect(c, TOKEN_CLOSE) : status;
}

static sl_status parse_list(compiler *c, node **out) {
    node *made = new_node(c, NODE_LIST, c->next.at);
    if (made == NULL)
        return out_of_memory(c);
    *out = made;
    sl_status status = parse_arguments(c, TOKEN_CLOSE_LIST, &made->left);
    return status == SL_OK ? set_depth(c, made) : status;
}

// {key: value, …}, perhaps with a comma at the end.
static sl_status parse_map(compiler *c, node **out) {
    node *made = new_node(c, NODE_MAP, c->next.at);
    if (made == NULL)
        return out_of_memory(c);
    *out = made;
    node **key = &made->left, **value = &made->right;
    sl_status status = next_token(c);
    while (status == SL_OK && c->next.kind != TOKEN_CLOSE_MAP) {
        status = parse_expression(c, key);
        if (status == SL_OK)
            status = expect(c, TOKEN_COLON);
        if (status == SL_OK)
            status = parse_expression(c, value);
        if (status != SL_OK)
            return status;
        key = &(*key)->next;
        value = &(*value)->next;
        if (c->next.kind != TOKEN_COMMA)
            break;
        status = next_token(c);
    }
    if (status == SL_OK)
        status = expect(c, TOKEN_CLOSE_MAP);
    made->type = TYPE_MAP;
    return status == SL_OK ? set_depth(c, made) : status;
}

static sl_status parse_primary(compiler *c, node **out) {
    switch ((int)c->next.kind) {
    case TOKEN_NAME:
        return parse_name(c, out);
    case TOKEN_INT:
    case TOKEN_UINT:
    case TOKEN_FLOAT:
    case TOKEN_STRING:
    case TOKEN_BYTES:
    case TOKEN_TRUE:
    case TOKEN_FALSE:
    case TOKEN_NULL:
        return parse_literal(c, false, out);
    case TOKEN_OPEN:
        return parse_parenthesis(c, out);
    case TOKEN_OPEN_LIST:
        return parse_list(c, out);
    case TOKEN_OPEN_MAP:
        return parse_map(c, out);
    default:
        return unexpected(c, "a value");
    }
}

// target.name(arguments): the target becomes the first argument.
static sl_status parse_method(compiler *c, node *target, const token *name, node **out) {
    node *made = new_node(c, NODE_CALL, name->at);
    if (made == NULL)
        return out_of_memory(c);
    sl_status status = set_path(c, made, NULL, name);
    if (status == SL_OK)
        status = parse_arguments(c, TOKEN_CLOSE, &target->next);
    made->method = true;
    made->left = target;
    *out = made;
    return status == SL_OK ? set_depth(c, made) : status;
}

static sl_status new_index(compiler *c, node *container, node *place, uint32_t at,
                           node **out) {
    node *made = new_node(c, NODE_INDEX, at);
    if (made == NULL)
        return out_of_memory(c);
    made->left = container;
    made->right = place;
    *out = made;
    return set_depth(c, made);
}

static sl_status parse_index(compiler *c, node **out) {
    uint32_t at = c->next.at;
    node *place = NULL;
    sl_status status = next_token(c);
    if (status == SL_OK)
        status = parse_expression(c, &place);
    if (status == SL_OK)
        status = expect(c, TOKEN_CLOSE_LIST);
    return status == SL_OK ? new_index(c, *out, place, at, out) : status;
}

// {'a': 1}.a is {'a': 1}['a'], and so is a member of what an index found.
static sl_status parse_selection(compiler *c, const token *name, node **out) {
    node *word = new_node(c, NODE_CONSTANT, name->at);
    if (word == NULL)
        return out_of_memory(c);
    sl_status status = set_path(c, word, NULL, name);
    word->type = TYPE_STRING;
    word->value.text = (text){(const uint8_t *)word->path, word->path_length};
    return status == SL_OK ? new_index(c, *out, word, name->at, out) : status;
}

static sl_status parse_member(compiler *c, node **out) {
    sl_status status = parse_primary(c, out);
    while (status == SL_OK) {
        if (c->next.kind == TOKEN_OPEN_LIST) {
            status = parse_index(c, out);
            continue;
        }
        if (c->next.kind == TOKEN_OPEN_MAP)
            return fault(c, SL_EUNSUPPORTED, c->next.at, "messages are not supported");
        if (!accept(c, TOKEN_DOT, &status) || status != SL_OK)
            return status;
        token name = c->next;
        status = expect(c, TOKEN_NAME);
        if (status != SL_OK)
            return status;
        if (c->next.kind == TOKEN_OPEN)
            status = parse_method(c, *out, &name, out);
        else if ((*out)->kind == NODE_NAME)
            status = set_path(c, *out, (*out)->path, &name);
        else if ((*out)->kind == NODE_MAP || (*out)->kind == NODE_INDEX)
            status = parse_selection(c, &name, out);
        else
            return fault(c, SL_ETYPE, name.at, "this value has no members");
    }
    return status;
}

// A minus right before a number belongs to it, so that the least int64 can be written.
static sl_status parse_minus(compiler *c, uint32_t at, node **out);

static sl_status parse_unary(compiler *c, node **out) {
    uint32_t at = c->next.at;
    bool minus = c->next.kind == TOKEN_MINUS;
    if (!minus && c->next.kind != TOKEN_NOT)
        return parse_member(c, out);
    sl_status status = enter(c);
    if (status == SL_OK)
        status = next_token(c);
    if (status == SL_OK && minus) {
        status = parse_minus(c, at, out);
    } else if (status == SL_OK) {
        node *operand = NULL;
        status = parse_unary(c, &operand);
        if (status == SL_OK)
            status = new_operation(c, OP_NOT, at, operand, NULL, out);
    }
    c->nesting--;
    return status;
}

static sl_status parse_minus(compiler *c, uint32_t at, node **out) {
    if (c->next.kind == TOKEN_INT || c->next.kind == TOKEN_FLOAT)
        return parse_literal(c, true, out);
    node *operand = NULL;
    sl_status status = parse_unary(c, &operand);
    return status == SL_OK ? new_operation(c, OP_NEGATE, at, operand, NULL, out) : status;
}

// Levels of binary operators, loosest first; all are left-associative.
#define LEVELS 5u
#define TIGHTEST (LEVELS - 1)

static bool binary_at(token_kind kind, unsigned level, operation *op) {
    static const struct {
        token_kind kind;
        unsigned level;
        operation op;
    } table[] = {
        {TOKEN_OR, 0, OP_OR},           {TOKEN_AND, 1, OP_AND},
        {TOKEN_EQUAL, 2, OP_EQUAL},     {TOKEN_NOT_EQUAL, 2, OP_NOT_EQUAL},
        {TOKEN_LESS, 2, OP_LESS},       {TOKEN_LESS_EQUAL, 2, OP_LESS_EQUAL},
        {TOKEN_GREATER, 2, OP_GREATER}, {TOKEN_GREATER_EQUAL, 2, OP_GREATER_EQUAL},
        {TOKEN_IN, 2, OP_IN},           {TOKEN_PLUS, 3, OP_ADD},
        {TOKEN_MINUS, 3, OP_SUBTRACT},  {TOKEN_STAR, 4, OP_MULTIPLY},
        {TOKEN_SLASH, 4, OP_DIVIDE},    {TOKEN_PERCENT, 4, OP_MODULO}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].kind == kind && table[i].level == level) {
            *op = table[i].op;
            return true;
        }
    }
    return false;
}

static sl_status parse_binary(compiler *c, unsigned level, node **out) {
    sl_status status =
        level == TIGHTEST ? parse_unary(c, out) : parse_binary(c, level + 1, out);
    operation op;
    while (status == SL_OK && binary_at(c->next.kind, level, &op)) {
        uint32_t at = c->next.at;
        node *right = NULL;
        status = next_token(c);
        if (status == SL_OK)
            status = level == TIGHTEST ? parse_unary(c, &right)
                                       : parse_binary(c, level + 1, &right);
        if (status == SL_OK)
            status = new_operation(c, op, at, *out, right, out);
    }
    return status;
}

static sl_status parse_condition(compiler *c, node *test, node **out) {
    node *made = new_node(c, NODE_CONDITION, c->next.at);
    if (made == NULL)
        return out_of_memory(c);
    made->left = test;
    sl_status status = next_token(c);
    if (status == SL_OK)
        status = parse_binary(c, 0, &made->right);
    if (status == SL_OK)
        status = expect(c, TOKEN_COLON);
    if (status == SL_OK)
        status = parse_expression(c, &made->third);
    *out = made;
    return status == SL_OK ? set_depth(c, made) : status;
}

static sl_status parse_expression(compiler *c, node **out) {
    sl_status status = enter(c);
    if (status == SL_OK)
        status = parse_binary(c, 0, out);
    if (status == SL_OK && c->next.kind == TOKEN_QUESTION)
        status = parse_condition(c, *out, out);
    c->nesting--;
    return status;
}

sl_status parse(compiler *c, node **out) {
    *out = NULL;
    sl_status status = next_token(c);
    if (status == SL_OK && c->next.kind == TOKEN_END)
        return fault(c, SL_ESYNTAX, 0, "the expression is empty");
    if (status == SL_OK)
        status = parse_expression(c, out);
    return status == SL_OK && c->next.kind != TOKEN_END
               ? unexpected(c, token_text(TOKEN_END))
               : status;
}
