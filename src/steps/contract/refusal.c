// The sentence that says why: place, value, rule. "data.amount: -3 is less than the
// minimum 0"

#include "check.h"

#define SHOWN_VALUE 40u
#define SHOWN_LIST 160u
#define SHOWN_PATH 200u

/** Bytes of `text` that fit into `room` without cutting a character. */
static uint32_t cut(const uint8_t *text, uint32_t length, uint32_t room) {
    if (length <= room)
        return length;
    while (room > 0 && (text[room] & 0xC0) == 0x80)
        room--;
    return room;
}

/** A piece of JSON text, on one line. */
static void put_text(sl_buffer *out, const uint8_t *text, uint32_t length,
                     uint32_t room) {
    uint32_t shown = cut(text, length, room);
    for (uint32_t i = 0; i < shown; i++)
        sl_buffer_byte(out, text[i] < 0x20 ? ' ' : text[i]);
    if (shown < length)
        sl_buffer_text(out, "...");
}

static void put_value(sl_buffer *out, const tree *t, uint32_t at, uint32_t room) {
    put_text(out, t->text + t->nodes[at].begin, t->nodes[at].length, room);
}

static void put_rule(sl_contract_checker *c, plan_place place, uint32_t room) {
    put_value(&c->texts, &c->contract->documents[place.document].tree, place.node, room);
}

static void put_name(sl_buffer *out, const plan_name *name) {
    sl_buffer_json_string(out, (const char *)name->text,
                          cut(name->text, name->length, SL_CONTRACT_VALUE_MAX));
}

/** The place for people: data.items[2].price */
static void put_path(sl_contract_checker *c, uint32_t at) {
    const tree_node *nodes = c->tree.nodes;
    const size_t begin = c->texts.length;
    for (uint32_t here = 0; here != at;) {
        uint32_t child = here + 1, item = 0;
        for (; nodes[child].after <= at; child = nodes[child].after)
            item++;
        if (nodes[child].key == NULL) {
            sl_buffer_printf(&c->texts, "[%u]", item);
        } else {
            if (c->texts.length != begin)
                sl_buffer_byte(&c->texts, '.');
            put_text(&c->texts, nodes[child].key, nodes[child].key_length, SHOWN_PATH);
        }
        here = child;
    }
    if (c->texts.length == begin)
        sl_buffer_text(&c->texts, "event");
    sl_buffer_text(&c->texts, ": ");
}

static const char *kind_name(const tree_node *n) {
    static const char *const names[] = {"null",     "a boolean", "a boolean", "a number",
                                        "a string", "an array",  "an object"};
    return names[n->kind];
}

static const char *article(const char *type) {
    return strchr("aio", *type) ? "an " : "a ";
}

static void say_type(sl_contract_checker *c, const plan_op *op, const tree_node *n) {
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    unsigned types = op->as.types;
    const char *before = "";
    if (types & TYPE_NUMBER)
        types &= ~(unsigned)TYPE_INTEGER;
    sl_buffer_printf(&c->texts, "is %s, not ", kind_name(n));
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(types >> i & 1))
            continue;
        sl_buffer_printf(&c->texts, "%s%s%s", before, i == 0 ? "" : article(names[i]),
                         names[i]);
        before = " or ";
    }
}

static void say_number(sl_contract_checker *c, const plan_op *op) {
    static const char *const texts[] = {[OP_MINIMUM] = "is less than the minimum ",
                                        [OP_MAXIMUM] = "is greater than the maximum ",
                                        [OP_EXCLUSIVE_MINIMUM] = "is not greater than ",
                                        [OP_EXCLUSIVE_MAXIMUM] = "is not less than ",
                                        [OP_MULTIPLE_OF] = "is not a multiple of "};
    sl_buffer_text(&c->texts, texts[op->kind]);
    put_rule(c, op->place, SHOWN_VALUE);
}

static void say_size(sl_contract_checker *c, const plan_op *op, const tree_node *n) {
    const char *what = op->applies == TYPE_STRING  ? "character"
                       : op->applies == TYPE_ARRAY ? "item"
                                                   : "member";
    uint64_t count = op->applies == TYPE_STRING
                         ? sl_text_points(n->as.string.bytes, n->as.string.length)
                         : n->count;
    bool fewer = op->kind == OP_MIN_LENGTH || op->kind == OP_MIN_ITEMS ||
                 op->kind == OP_MIN_PROPERTIES;
    sl_buffer_printf(&c->texts, "has %llu %s%s, %s than ", (unsigned long long)count,
                     what, count == 1 ? "" : "s", fewer ? "fewer" : "more");
    put_rule(c, op->place, SHOWN_VALUE);
}

static void say_missing(sl_contract_checker *c, const check_failure *f) {
    if (f->name == NULL) {
        sl_buffer_text(&c->texts, "member ");
        put_name(&c->texts, f->because);
        sl_buffer_text(&c->texts, " is not allowed");
        return;
    }
    sl_buffer_text(&c->texts, "member ");
    put_name(&c->texts, f->name);
    sl_buffer_text(&c->texts, " is missing");
    if (f->because != NULL) {
        sl_buffer_text(&c->texts, " beside ");
        put_name(&c->texts, f->because);
    }
}

static void say_contains(sl_contract_checker *c, const check_failure *f) {
    bool fewer = f->count < f->op->as.contains.least;
    sl_buffer_printf(&c->texts, "%llu item%s match `contains`, %s than ",
                     (unsigned long long)f->count, f->count == 1 ? "" : "s",
                     fewer ? "fewer" : "more");
    sl_buffer_printf(
        &c->texts, "%llu",
        (unsigned long long)(fewer ? f->op->as.contains.least : f->op->as.contains.most));
}

static void say_false(sl_contract_checker *c, const check_failure *f) {
    const char *what = c->tree.nodes[f->node].key != NULL ? "this member"
                       : f->node == 0                     ? "this value"
                                                          : "this item";
    sl_buffer_text(&c->texts, what);
    if (f->op != NULL && (f->op->kind == OP_UNEVALUATED_PROPERTIES ||
                          f->op->kind == OP_UNEVALUATED_ITEMS ||
                          strcmp(f->keyword, "additionalProperties") == 0))
        sl_buffer_text(&c->texts, " is not one that the schema names");
    else
        sl_buffer_text(&c->texts, " is not allowed");
}

/** Keywords that say something of the value: it is shown first. */
static void say_value(sl_contract_checker *c, const check_failure *f) {
    const plan_op *op = f->op;
    const tree_node *n = &c->tree.nodes[f->node];
    put_value(&c->texts, &c->tree, f->node, SHOWN_VALUE);
    sl_buffer_byte(&c->texts, ' ');
    switch ((int)op->kind) {
    case OP_TYPE:
        say_type(c, op, n);
        break;
    case OP_CONST:
        sl_buffer_text(&c->texts, "is not ");
        put_rule(c, op->place, SHOWN_LIST);
        break;
    case OP_ENUM:
        sl_buffer_text(&c->texts, "is none of ");
        put_rule(c, op->place, SHOWN_LIST);
        break;
    case OP_DECIMAL:
        sl_buffer_printf(
            &c->texts, "does not fit a decimal of %u digits, %u of them behind the point",
            op->as.decimal.precision, op->as.decimal.scale);
        break;
    case OP_PATTERN:
        sl_buffer_text(&c->texts, "does not match ");
        put_rule(c, op->place, SHOWN_LIST);
        break;
    case OP_FORMAT:
        sl_buffer_printf(&c->texts, "is not a valid %s", op->as.format->name);
        break;
    case OP_ANY_OF:
        sl_buffer_printf(&c->texts, "fits none of the %u schemas of anyOf",
                         op->as.list.count);
        break;
    case OP_ONE_OF:
        if (f->count == 0)
            sl_buffer_printf(&c->texts, "fits none of the %u schemas of oneOf",
                             op->as.list.count);
        else
            sl_buffer_printf(&c->texts, "fits both schema %llu and schema %llu of oneOf",
                             (unsigned long long)f->count, (unsigned long long)f->other);
        break;
    case OP_NOT:
        sl_buffer_text(&c->texts, "fits the schema that `not` forbids");
        break;
    case OP_IF:
        sl_buffer_printf(&c->texts, "is refused by `%s`", f->keyword);
        break;
    default:
        say_number(c, op);
        break;
    }
}

static void say(sl_contract_checker *c) {
    const check_failure *f = &c->failure;
    if (f->reason == REASON_SCHEMA_FALSE) {
        say_false(c, f);
        return;
    }
    if (f->reason != REASON_KEYWORD) {
        sl_buffer_text(&c->texts, f->reason == REASON_TOO_MANY_STEPS
                                      ? "takes too many steps to check"
                                  : f->reason == REASON_TOO_DEEP
                                      ? "schemas refer to each other too deep"
                                      : "a pattern takes too many steps to match");
        return;
    }
    switch ((int)f->op->kind) {
    case OP_MIN_LENGTH:
    case OP_MAX_LENGTH:
    case OP_MIN_ITEMS:
    case OP_MAX_ITEMS:
    case OP_MIN_PROPERTIES:
    case OP_MAX_PROPERTIES:
        say_size(c, f->op, &c->tree.nodes[f->node]);
        break;
    case OP_REQUIRED:
    case OP_DEPENDENT_REQUIRED:
    case OP_DEPENDENT_SCHEMAS:
        say_missing(c, f);
        break;
    case OP_UNIQUE_ITEMS:
        sl_buffer_printf(&c->texts, "items %llu and %llu are equal",
                         (unsigned long long)f->count, (unsigned long long)f->other);
        break;
    case OP_CONTAINS:
        say_contains(c, f);
        break;
    case OP_PROPERTY_NAMES:
        sl_buffer_text(&c->texts, "the name ");
        put_name(&c->texts, &(plan_name){.text = f->key, .length = f->key_length});
        sl_buffer_text(&c->texts, " is not one that propertyNames allows");
        break;
    default:
        say_value(c, f);
        break;
    }
}

static const char *as_offset(size_t offset) {
    return (const char *)(uintptr_t)offset; // Until sl_refusal_place().
}

static uint32_t since(const sl_contract_checker *c, size_t begin) {
    return (uint32_t)(c->texts.length - begin);
}

static void write_syntax(sl_contract_checker *c, sl_contract_refusal *out) {
    out->keyword = c->tree.limit ? "limit" : "syntax";
    out->at = c->tree.fault_at;
    size_t begin = c->texts.length;
    out->message = as_offset(begin);
    sl_buffer_printf(&c->texts, "event: %s at byte %u", c->tree.fault, c->tree.fault_at);
    out->message_length = since(c, begin);
    sl_buffer_byte(&c->texts, 0);
    out->pointer = out->rule = out->value = as_offset(c->texts.length - 1);
}

void sl_refusal_write(sl_contract_checker *c, sl_contract_refusal *out) {
    const check_failure *f = &c->failure;
    *out = (sl_contract_refusal){.keyword = f->keyword};
    if (f->node == TREE_NONE) {
        write_syntax(c, out);
        return;
    }
    size_t begin = c->texts.length;
    out->pointer = as_offset(begin);
    sl_tree_pointer(&c->tree, f->node, &c->texts);
    out->pointer_length = since(c, begin);
    sl_buffer_byte(&c->texts, 0);
    out->rule = as_offset(begin = c->texts.length);
    if (f->place.document != 0)
        sl_buffer_printf(&c->texts, "%s#", c->contract->documents[f->place.document].uri);
    sl_tree_pointer(&c->contract->documents[f->place.document].tree, f->place.node,
                    &c->texts);
    out->rule_length = since(c, begin);
    sl_buffer_byte(&c->texts, 0);
    const tree_node *n = &c->tree.nodes[f->node];
    out->at = n->begin;
    out->value = as_offset(begin = c->texts.length);
    out->value_length = cut(c->tree.text + n->begin, n->length, SL_CONTRACT_VALUE_MAX);
    sl_buffer_append(&c->texts, c->tree.text + n->begin, out->value_length);
    sl_buffer_byte(&c->texts, 0);
    out->message = as_offset(begin = c->texts.length);
    put_path(c, f->node);
    say(c);
    out->message_length = since(c, begin);
    sl_buffer_byte(&c->texts, 0);
}

void sl_refusal_place(sl_contract_checker *c, sl_contract_refusal *refusal) {
    const char *texts = (const char *)c->texts.bytes;
    refusal->pointer = texts + (uintptr_t)refusal->pointer;
    refusal->rule = texts + (uintptr_t)refusal->rule;
    refusal->value = texts + (uintptr_t)refusal->value;
    refusal->message = texts + (uintptr_t)refusal->message;
}
