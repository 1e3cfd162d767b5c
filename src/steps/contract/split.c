// Which columns answer for a contract.
//
// What the decoder has enforced is true before anything is looked at: the type of a
// column's values, members that must be there, formats that have become a date or a time,
// and a closed schema's members. It is taken from the columns themselves, not from the
// text of the schema that they came from, so a contract and columns of different origin
// are checked in full.
//
// Two things a column can't tell. A member that is null looks like one that is absent:
// where that would make a difference the row's text is searched for `null`, and only if
// it is there the tree decides. And a double is the nearest one to what was written: at a
// limit itself the tree decides.

#include "split.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

__extension__ typedef __int128 int128;

#define SPLIT_DEPTH_MAX 60u
#define CHECKS_MAX 20000u /**< Schemas that refer to each other can fan out. */

typedef struct splitter {
    sl_contract_split *split;
    sl_contract_checker *checker; /**< Asks what null and names of columns do. */
    const sl_schema *schema;
    unsigned depth;
    uint32_t checks;
    column_check
        *spare; /**< A constant, for when there are too many checks or no memory. */
    bool failed;
} splitter;

static const column_check constants[] = {
    {.kind = COLUMN_CONSTANT, .constant = SURELY_NOT},
    {.kind = COLUMN_CONSTANT, .constant = UNKNOWN},
    {.kind = COLUMN_CONSTANT, .constant = SURELY}};

static const column_check *value_check(splitter *s, const plan_schema *schema,
                                       uint32_t field);

static const column_check *always(unsigned value) { return &constants[value]; }

static bool is_constant(const column_check *k, unsigned value) {
    return k->kind == COLUMN_CONSTANT && k->constant == value;
}

static void *get(splitter *s, size_t size) {
    void *block = sl_arena_get(&s->split->arena, size == 0 ? 1 : size);
    if (block == NULL)
        s->failed = true;
    else
        memset(block, 0, size);
    return block;
}

static column_check *make(splitter *s, column_kind kind, uint32_t field,
                          const char *keyword) {
    column_check *k = ++s->checks > CHECKS_MAX ? NULL : get(s, sizeof *k);
    if (k == NULL)
        return s->spare;
    k->kind = (uint8_t)kind;
    k->field = field;
    k->keyword = keyword;
    return k;
}

// ---- Putting checks together

typedef struct check_list {
    const column_check **items;
    uint32_t count, capacity;
} check_list;

static void add(splitter *s, check_list *l, const column_check *k) {
    if (sl_plan_grow((void **)&l->items, l->count, &l->capacity, sizeof *l->items))
        l->items[l->count++] = k;
    else
        s->failed = true;
}

static const column_check *join(splitter *s, column_kind kind, const char *keyword,
                                check_list *l) {
    const column_check **parts = get(s, l->count * sizeof *parts);
    column_check *k = make(s, kind, 0, keyword);
    if (parts != NULL && l->count != 0)
        memcpy(parts, l->items, l->count * sizeof *parts);
    if (parts != NULL && k->kind == kind) {
        k->parts = parts;
        k->count = l->count;
    }
    sl_free(l->items);
    *l = (check_list){0};
    return k;
}

/** All of them: what is always true is left out, what is always false is the whole. */
static const column_check *all_of(splitter *s, check_list *l) {
    uint32_t kept = 0;
    const column_check *whole = NULL;
    for (uint32_t i = 0; i < l->count; i++) {
        if (is_constant(l->items[i], SURELY_NOT))
            whole = l->items[i];
        if (!is_constant(l->items[i], SURELY))
            l->items[kept++] = l->items[i];
    }
    l->count = kept;
    if (whole == NULL && kept == 0)
        whole = always(SURELY);
    else if (whole == NULL && kept == 1)
        whole = l->items[0];
    if (whole == NULL)
        return join(s, COLUMN_ALL, NULL, l);
    sl_free(l->items);
    *l = (check_list){0};
    return whole;
}

static const column_check *combine(splitter *s, column_kind kind, const char *keyword,
                                   const column_check *a, const column_check *b,
                                   const column_check *c) {
    check_list l = {0};
    add(s, &l, a);
    if (b != NULL)
        add(s, &l, b);
    if (c != NULL)
        add(s, &l, c);
    return join(s, kind, keyword, &l);
}

static const column_check *negate(splitter *s, const column_check *k,
                                  const char *keyword) {
    if (k->kind == COLUMN_CONSTANT)
        return always(SURELY - (unsigned)k->constant);
    return combine(s, COLUMN_NOT, keyword, k, NULL, NULL);
}

/** Either of the two. */
static const column_check *either(splitter *s, const column_check *a,
                                  const column_check *b, const char *keyword) {
    if (is_constant(a, SURELY) || is_constant(b, SURELY))
        return always(SURELY);
    if (is_constant(a, SURELY_NOT))
        return b;
    return is_constant(b, SURELY_NOT) ? a : combine(s, COLUMN_ANY, keyword, a, b, NULL);
}

// ---- Numbers

/** floor or ceil of x × 10^scale; far out where it is beyond every int64. */
static int128 scaled(const json_decimal *x, unsigned scale, bool up) {
    if (x->lead == 0)
        return 0;
    int64_t top = x->top + (int64_t)scale;
    bool fraction = x->lowest + (int64_t)scale < 0;
    int128 size = top > 19   ? (int128)1 << 100
                  : top <= 0 ? 0
                             : (int128)(x->lead / sl_power_of_ten[19 - top]);
    if (x->negative)
        return -(fraction && !up ? size + 1 : size);
    return fraction && up ? size + 1 : size;
}

/** The rules for numbers of one schema on a column of scaled integers. */
static const column_check *range_check(splitter *s, const plan_op *op, uint32_t field,
                                       unsigned scale) {
    int128 low = INT64_MIN, high = INT64_MAX;
    const json_decimal *x = op->as.number;
    switch (op->kind) {
    case OP_MINIMUM:
        low = scaled(x, scale, true);
        break;
    case OP_EXCLUSIVE_MINIMUM:
        low = scaled(x, scale, false) + 1;
        break;
    case OP_MAXIMUM:
        high = scaled(x, scale, false);
        break;
    default:
        high = scaled(x, scale, true) - 1;
        break;
    }
    if (low > INT64_MAX || high < INT64_MIN)
        return always(SURELY_NOT);
    if (low <= INT64_MIN && high >= INT64_MAX)
        return always(SURELY);
    column_check *k = make(s, COLUMN_RANGE, field, op->keyword);
    k->as.range.low = low < INT64_MIN ? INT64_MIN : (int64_t)low;
    k->as.range.high = high > INT64_MAX ? INT64_MAX : (int64_t)high;
    return k;
}

/** v × 10^-scale is a multiple of M × 10^b when v is one of M × 10^(b+scale). */
static const column_check *multiple_check(splitter *s, const plan_op *op, uint32_t field,
                                          unsigned scale) {
    uint64_t divisor = sl_decimal_digits(op->as.number);
    int64_t shift = op->as.number->lowest + (int64_t)scale;
    for (; shift > 0; shift--)
        if (__builtin_mul_overflow(divisor, 10, &divisor))
            return always(UNKNOWN);
    for (int64_t twos = shift; twos < 0 && divisor % 2 == 0; twos++)
        divisor /= 2;
    for (int64_t fives = shift; fives < 0 && divisor % 5 == 0; fives++)
        divisor /= 5;
    if (divisor > INT64_MAX)
        return always(UNKNOWN);
    if (divisor == 1)
        return always(SURELY);
    column_check *k = make(s, COLUMN_MULTIPLE, field, op->keyword);
    k->as.divisor = (int64_t)divisor;
    return k;
}

static double nearest_double(const json_decimal *x) {
    char text[64];
    int64_t exponent = x->top - 19;
    exponent = exponent > 9999 ? 9999 : exponent < -9999 ? -9999 : exponent;
    // Without a point no locale has a say.
    snprintf(text, sizeof text, "%s%llue%d", x->negative ? "-" : "",
             (unsigned long long)x->lead, (int)exponent);
    return strtod(text, NULL);
}

/**
 * Up to 15 digits, far from where doubles grow scarce: no other such decimal has the same
 * nearest double (DBL_DIG).
 */
static bool is_short(const json_decimal *x) {
    return x->lead == 0 || (x->top - x->lowest <= 15 && x->top > -290 && x->top < 300);
}

/** As multiple_check(), for what was written in at most 15 digits. */
static const column_check *double_multiple_check(splitter *s, const plan_op *op,
                                                 uint32_t field) {
    uint64_t divisor = sl_decimal_digits(op->as.number);
    int64_t shift = op->as.number->lowest;
    double scale = 1;
    for (; shift > 0 && divisor < UINT64_C(1000000000000000); shift--)
        divisor *= 10;
    if (shift < -22 || divisor >= UINT64_C(1000000000000000))
        return always(UNKNOWN);
    for (; shift < 0; shift++)
        scale *= 10; // Exact up to 10^22.
    column_check *k = make(s, COLUMN_DOUBLE_MULTIPLE, field, op->keyword);
    k->as.multiple.divisor = divisor;
    k->as.multiple.scale = scale;
    return k;
}

static const column_check *doubles_check(splitter *s, const plan_op *op, uint32_t field) {
    const json_decimal *x = op->as.number;
    double limit = nearest_double(x);
    double_limit end = {.below = limit,
                        .above = limit,
                        .positive = UNKNOWN,
                        .negative = UNKNOWN,
                        .equal = UNKNOWN};
    if (is_short(x))
        end.equal =
            op->kind == OP_MINIMUM || op->kind == OP_MAXIMUM ? SURELY : SURELY_NOT;
    if (x->many || limit > 1.7976931348623157e308 || limit < -1.7976931348623157e308) {
        // The first 19 digits may round to the neighbour.
        end.below = nextafter(limit, -HUGE_VAL);
        end.above = nextafter(limit, HUGE_VAL);
    } else if (x->lead == 0) {
        // 0.0 was written as 0 or as something tiny of the same sign.
        end.positive = op->kind == OP_MINIMUM             ? SURELY
                       : op->kind == OP_EXCLUSIVE_MAXIMUM ? SURELY_NOT
                                                          : UNKNOWN;
        end.negative = op->kind == OP_MAXIMUM             ? SURELY
                       : op->kind == OP_EXCLUSIVE_MINIMUM ? SURELY_NOT
                                                          : UNKNOWN;
    }
    column_check *k = make(s, COLUMN_DOUBLES, field, op->keyword);
    if (k->kind != COLUMN_DOUBLES)
        return k;
    k->as.doubles.low = (double_limit){.below = -HUGE_VAL, .above = -HUGE_VAL};
    k->as.doubles.high = (double_limit){.below = HUGE_VAL, .above = HUGE_VAL};
    if (op->kind == OP_MINIMUM || op->kind == OP_EXCLUSIVE_MINIMUM)
        k->as.doubles.low = end;
    else
        k->as.doubles.high = end;
    return k;
}

static const column_check *number_check(splitter *s, const plan_schema *schema,
                                        const plan_op *op, uint32_t field) {
    const sl_field *f = &s->schema->fields[field];
    bool multiple = op->kind == OP_MULTIPLE_OF;
    if (f->type == SL_TYPE_INT64)
        return multiple ? multiple_check(s, op, field, 0) : range_check(s, op, field, 0);
    if (f->type == SL_TYPE_DOUBLE)
        return multiple ? double_multiple_check(s, op, field)
                        : doubles_check(s, op, field);
    if (f->type != SL_TYPE_DECIMAL)
        return always(SURELY);
    // Without x-decimal a string is no number to these rules, and the column may hold
    // one.
    if (!schema->decimal)
        return always(UNKNOWN);
    return multiple ? multiple_check(s, op, field, f->scale)
                    : range_check(s, op, field, f->scale);
}

// ---- Types and values

static const column_check *json_type_check(splitter *s, const plan_op *op,
                                           uint32_t field) {
    static const uint8_t types[] = {
        [JSON_NULL] = TYPE_NULL,     [JSON_FALSE] = TYPE_BOOLEAN,
        [JSON_TRUE] = TYPE_BOOLEAN,  [JSON_NUMBER] = TYPE_NUMBER,
        [JSON_STRING] = TYPE_STRING, [JSON_ARRAY] = TYPE_ARRAY,
        [JSON_OBJECT] = TYPE_OBJECT};
    column_check *k = make(s, COLUMN_JSON_TYPE, field, op->keyword);
    if (k->kind != COLUMN_JSON_TYPE)
        return k;
    for (unsigned i = 0; i < sizeof types; i++)
        k->as.types[i] = op->as.types & types[i] ? SURELY : SURELY_NOT;
    if (!(op->as.types & TYPE_NUMBER) && (op->as.types & TYPE_INTEGER))
        k->as.types[JSON_NUMBER] = UNKNOWN;
    return k;
}

static const column_check *decimal_type(splitter *s, const plan_schema *schema,
                                        const plan_op *op, uint32_t field) {
    unsigned types = op->as.types, both = TYPE_NUMBER | TYPE_STRING;
    if (!schema->decimal)
        return always((types & both) == both ? SURELY : UNKNOWN);
    if (types & both)
        return always(SURELY);
    if (!(types & TYPE_INTEGER))
        return always(SURELY_NOT);
    column_check *k = make(s, COLUMN_MULTIPLE, field, op->keyword);
    int64_t divisor = 1;
    for (unsigned i = 0; i < s->schema->fields[field].scale; i++)
        divisor *= 10;
    k->as.divisor = divisor;
    return k;
}

static const column_check *type_check(splitter *s, const plan_schema *schema,
                                      const plan_op *op, uint32_t field) {
    unsigned types = op->as.types, have = 0;
    switch (field == 0 ? SL_TYPE_GROUP : s->schema->fields[field].type) {
    case SL_TYPE_GROUP:
        have = TYPE_OBJECT;
        break;
    case SL_TYPE_BOOL:
        have = TYPE_BOOLEAN;
        break;
    case SL_TYPE_INT64:
        have = TYPE_INTEGER;
        break;
    case SL_TYPE_DOUBLE:
        if (!(types & TYPE_NUMBER) && (types & TYPE_INTEGER))
            return always(UNKNOWN);
        have = TYPE_NUMBER;
        break;
    case SL_TYPE_DECIMAL:
        return decimal_type(s, schema, op, field);
    case SL_TYPE_DATE:
    case SL_TYPE_TIMESTAMP:
    case SL_TYPE_STRING:
        have = TYPE_STRING;
        break;
    case SL_TYPE_JSON:
        return json_type_check(s, op, field);
    case SL_TYPE_BYTES:
        return always(UNKNOWN);
    }
    return always(types & have ? SURELY : SURELY_NOT);
}

static int compare_numbers(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static const tree_node *value_at(const splitter *s, const plan_op *op, uint32_t i) {
    return plan_node(s->split->contract, op->as.values.values[i]);
}

static const column_check *numbers_check(splitter *s, const plan_op *op, uint32_t field) {
    int64_t *values = get(s, op->as.values.count * sizeof *values);
    uint32_t count = 0;
    for (uint32_t i = 0; values != NULL && i < op->as.values.count; i++) {
        const tree_node *n = value_at(s, op, i);
        if (n->kind != JSON_NUMBER || !decimal_integral(&n->as.number))
            continue;
        int128 value = scaled(&n->as.number, 0, false);
        if (value >= INT64_MIN && value <= INT64_MAX)
            values[count++] = (int64_t)value;
    }
    if (count == 0)
        return always(SURELY_NOT);
    qsort(values, count, sizeof *values, compare_numbers);
    column_check *k = make(s, COLUMN_NUMBERS, field, op->keyword);
    k->as.numbers.values = values;
    k->as.numbers.count = count;
    return k;
}

static const column_check *double_values_check(splitter *s, const plan_op *op,
                                               uint32_t field) {
    double *values = get(s, op->as.values.count * sizeof *values);
    uint32_t count = 0;
    for (uint32_t i = 0; values != NULL && i < op->as.values.count; i++) {
        const tree_node *n = value_at(s, op, i);
        if (n->kind != JSON_NUMBER)
            continue;
        if (!is_short(&n->as.number))
            return always(UNKNOWN);
        values[count++] = nearest_double(&n->as.number);
    }
    if (count == 0)
        return always(SURELY_NOT);
    column_check *k = make(s, COLUMN_DOUBLE_VALUES, field, op->keyword);
    k->as.double_values.values = values;
    k->as.double_values.count = count;
    return k;
}

static const column_check *texts_check(splitter *s, const plan_op *op, uint32_t field) {
    uint32_t bits = 3;
    while ((UINT32_C(1) << bits) < op->as.values.count * 2)
        bits++;
    text_entry *slots = get(s, (UINT32_C(1) << bits) * sizeof *slots);
    uint32_t shift = 64 - bits;
    for (uint32_t i = 0; slots != NULL && i < op->as.values.count; i++) {
        const tree_node *n = value_at(s, op, i);
        if (n->kind != JSON_STRING)
            continue;
        text_entry e = {
            .text = n->as.string.bytes, .length = n->as.string.length, .used = true};
        memcpy(&e.head, e.text, e.length < 8 ? e.length : 8);
        uint64_t slot = text_slot(e.head, e.length, shift);
        while (slots[slot].used)
            slot = (slot + 1) & ((UINT64_C(1) << bits) - 1);
        slots[slot] = e;
    }
    column_check *k = make(s, COLUMN_TEXTS, field, op->keyword);
    k->as.texts.slots = slots;
    k->as.texts.shift = shift;
    return k;
}

static const column_check *values_check(splitter *s, const plan_op *op, uint32_t field) {
    sl_type type = field == 0 ? SL_TYPE_GROUP : s->schema->fields[field].type;
    if (type == SL_TYPE_INT64)
        return numbers_check(s, op, field);
    if (type == SL_TYPE_DOUBLE)
        return double_values_check(s, op, field);
    if (type == SL_TYPE_STRING)
        return texts_check(s, op, field);
    if (type != SL_TYPE_BOOL)
        return always(UNKNOWN);
    column_check *k = make(s, COLUMN_TRUTH, field, op->keyword);
    for (uint32_t i = 0; k->kind == COLUMN_TRUTH && i < op->as.values.count; i++) {
        unsigned kind = value_at(s, op, i)->kind;
        if (kind == JSON_TRUE || kind == JSON_FALSE)
            k->as.truth[kind == JSON_TRUE] = SURELY;
    }
    return k;
}

static const column_check *text_check(splitter *s, const plan_op *op, uint32_t field) {
    switch (s->schema->fields[field].type) {
    case SL_TYPE_STRING:
        break;
    case SL_TYPE_TIMESTAMP:
        return always(op->kind == OP_FORMAT && op->as.format == &sl_format_spaced_time
                          ? SURELY
                          : UNKNOWN);
    case SL_TYPE_DATE:
        return always(op->kind == OP_FORMAT && strcmp(op->as.format->name, "date") == 0
                          ? SURELY
                          : UNKNOWN);
    case SL_TYPE_DECIMAL:
    case SL_TYPE_BYTES:
    case SL_TYPE_JSON:
        return always(UNKNOWN);
    case SL_TYPE_GROUP:
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
        return always(SURELY);
    }
    column_check *k = make(s,
                           op->kind == OP_PATTERN  ? COLUMN_PATTERN
                           : op->kind == OP_FORMAT ? COLUMN_FORMAT
                                                   : COLUMN_LENGTH,
                           field, op->keyword);
    if (k->kind == COLUMN_CONSTANT)
        return k;
    if (op->kind == OP_PATTERN) {
        k->as.pattern = op->as.pattern;
    } else if (op->kind == OP_FORMAT) {
        k->as.format = op->as.format;
    } else {
        k->as.length.least = op->kind == OP_MIN_LENGTH ? op->as.size : 0;
        k->as.length.most = op->kind == OP_MAX_LENGTH ? op->as.size : UINT64_MAX;
    }
    return k;
}

// ---- Objects

static bool is_anything(const plan_schema *schema) {
    return !schema->refuses && schema->count == 0;
}

static bool null_is_good(splitter *s, const plan_schema *schema) {
    static const uint8_t text[4 + SL_PADDING] = "null";
    if (s->split->contract->dynamic)
        return false;
    sl_status status = sl_check_text(s->checker, schema, text, 4);
    s->failed = s->failed || status == SL_ENOMEM;
    return status == SL_OK;
}

/** What a schema says of a member that is a column. */
static const column_check *guard(splitter *s, const plan_schema *schema, uint32_t field) {
    if (is_anything(schema))
        return always(SURELY);
    const column_check *part = value_check(s, schema, field);
    bool null_good = !s->schema->fields[field].nullable || null_is_good(s, schema);
    if (null_good && is_constant(part, SURELY))
        return part;
    column_check *k = make(s, COLUMN_GUARD, field, NULL);
    const column_check **parts = get(s, sizeof *parts);
    if (k->kind != COLUMN_GUARD || parts == NULL)
        return k;
    parts[0] = part;
    k->parts = parts;
    k->count = 1;
    k->null_good = null_good;
    return k;
}

/**
 * `value` where no member of the group is there that isn't a column. Decoders of a closed
 * schema refuse such a member at the root; below it they drop it.
 */
static const column_check *without_rest(splitter *s, unsigned value, uint32_t group) {
    if (s->schema->closed && group == 0)
        return always(value);
    if (s->schema->rest == SL_NO_FIELD)
        return always(UNKNOWN);
    column_check *k = make(s, COLUMN_REST, s->schema->rest, NULL);
    if (k->kind == COLUMN_REST)
        k->constant = (uint8_t)value;
    return k;
}

static bool is_member(const sl_field *f) {
    return f->origin == SL_ORIGIN_EVENT && f->type != SL_TYPE_BYTES;
}

static const column_check *present(splitter *s, const plan_name *name, uint32_t group) {
    uint32_t field =
        sl_schema_child(s->schema, group, (const char *)name->text, name->length);
    if (field == SL_NO_FIELD || !is_member(&s->schema->fields[field]))
        return without_rest(s, SURELY_NOT, group);
    if (s->schema->fields[field].required)
        return always(SURELY);
    return make(s, COLUMN_PRESENT, field, "required");
}

static const column_check *all_present(splitter *s, const plan_name *names,
                                       uint32_t count, uint32_t group) {
    check_list l = {0};
    for (uint32_t i = 0; i < count; i++)
        add(s, &l, present(s, &names[i], group));
    return all_of(s, &l);
}

/** Does the name match? Without a way to tell: neither. */
static unsigned name_matches(splitter *s, const plan_pattern *p, const sl_field *f) {
    switch (sl_regex_match(p->pattern, s->checker->matcher, (const uint8_t *)f->name,
                           f->name_length)) {
    case REGEX_YES:
        return SURELY;
    case REGEX_NO:
        return SURELY_NOT;
    case REGEX_LIMIT:
    case REGEX_NO_MEMORY:
        break;
    }
    return UNKNOWN;
}

static void member_checks(splitter *s, const plan_members *m, uint32_t field,
                          check_list *l) {
    const sl_field *f = &s->schema->fields[field];
    const plan_schema *schema =
        sl_plan_property(m, (const uint8_t *)f->name, f->name_length,
                         sl_tree_hash(f->name, f->name_length));
    bool named = schema != NULL;
    if (named)
        add(s, l, guard(s, schema, field));
    for (uint32_t i = 0; i < m->pattern_count; i++) {
        unsigned answer = name_matches(s, &m->patterns[i], f);
        named = named || answer != SURELY_NOT;
        if (answer == SURELY)
            add(s, l, guard(s, m->patterns[i].schema, field));
        else if (answer == UNKNOWN)
            add(s, l, always(UNKNOWN));
    }
    if (!named && m->additional != NULL)
        add(s, l, guard(s, m->additional, field));
}

static const column_check *members_check(splitter *s, const plan_op *op, uint32_t group) {
    const plan_members *m = op->as.members;
    check_list l = {0};
    bool others = m->additional != NULL && !is_anything(m->additional);
    for (uint32_t f = s->schema->fields[group].first_child; f != SL_NO_FIELD;
         f = s->schema->fields[f].next_sibling)
        if (is_member(&s->schema->fields[f]))
            member_checks(s, m, f, &l);
    for (uint32_t i = 0; i < m->property_count; i++) {
        const plan_property *p = &m->properties[i];
        uint32_t f =
            sl_schema_child(s->schema, group, (const char *)p->name.text, p->name.length);
        if (f == SL_NO_FIELD || !is_member(&s->schema->fields[f]))
            others = others || !is_anything(p->schema);
    }
    for (uint32_t i = 0; i < m->pattern_count; i++)
        others = others || !is_anything(m->patterns[i].schema);
    if (others)
        add(s, &l, without_rest(s, SURELY, group));
    return all_of(s, &l);
}

static const column_check *names_check(splitter *s, const plan_op *op, uint32_t group) {
    check_list l = {0};
    for (uint32_t f = s->schema->fields[group].first_child; f != SL_NO_FIELD;
         f = s->schema->fields[f].next_sibling) {
        const sl_field *field = &s->schema->fields[f];
        if (!is_member(field))
            continue;
        tree *t = &s->checker->tree;
        t->count = 0;
        uint32_t at =
            sl_tree_push_string(t, (const uint8_t *)field->name, field->name_length);
        s->failed = s->failed || at == TREE_NONE;
        if (at != TREE_NONE && !sl_check_value(s->checker, op->as.schema, at))
            add(s, &l, negate(s, make(s, COLUMN_PRESENT, f, NULL), "propertyNames"));
    }
    add(s, &l, without_rest(s, SURELY, group));
    return s->split->contract->dynamic ? (sl_free(l.items), always(UNKNOWN))
                                       : all_of(s, &l);
}

static const column_check *dependencies_check(splitter *s, const plan_op *op,
                                              uint32_t group) {
    check_list l = {0};
    for (uint32_t i = 0; i < op->as.dependencies.count; i++) {
        const plan_dependency *d = &op->as.dependencies.list[i];
        const column_check *then =
            d->schema != NULL ? value_check(s, d->schema, group)
                              : all_present(s, d->required, d->required_count, group);
        const column_check *absent = negate(s, present(s, &d->name, group), NULL);
        add(s, &l, either(s, absent, then, op->keyword));
    }
    return all_of(s, &l);
}

static const column_check *object_check(splitter *s, const plan_op *op, uint32_t group) {
    switch ((int)op->kind) {
    case OP_REQUIRED:
        return all_present(s, op->as.names.names, op->as.names.count, group);
    case OP_MEMBERS:
        return members_check(s, op, group);
    case OP_PROPERTY_NAMES:
        return names_check(s, op, group);
    case OP_DEPENDENT_REQUIRED:
    case OP_DEPENDENT_SCHEMAS:
        return dependencies_check(s, op, group);
    default:
        return always(UNKNOWN);
    }
}

// ---- Schemas

static const column_check *list_check(splitter *s, const plan_op *op, uint32_t field) {
    check_list l = {0};
    for (uint32_t i = 0; i < op->as.list.count; i++)
        add(s, &l, value_check(s, op->as.list.schemas[i], field));
    if (op->kind == OP_ALL_OF)
        return all_of(s, &l);
    return join(s, op->kind == OP_ANY_OF ? COLUMN_ANY : COLUMN_ONE, op->keyword, &l);
}

static const column_check *condition_check(splitter *s, const plan_op *op,
                                           uint32_t field) {
    const plan_schema *yes = op->as.condition.yes, *no = op->as.condition.no;
    if (yes == NULL && no == NULL)
        return always(SURELY);
    const column_check *test = value_check(s, op->as.condition.test, field);
    const column_check *then = yes == NULL ? always(SURELY) : value_check(s, yes, field);
    const column_check *other = no == NULL ? always(SURELY) : value_check(s, no, field);
    return combine(s, COLUMN_IF, op->keyword, test, then, other);
}

static const column_check *op_check(splitter *s, const plan_schema *schema,
                                    const plan_op *op, uint32_t field) {
    const sl_field *f = &s->schema->fields[field];
    const bool group = field == 0 || f->type == SL_TYPE_GROUP;
    switch ((plan_kind)op->kind) {
    case OP_TYPE:
        return type_check(s, schema, op, field);
    case OP_DECIMAL:
        return always(f->type == SL_TYPE_DECIMAL &&
                              f->precision == op->as.decimal.precision &&
                              f->scale == op->as.decimal.scale
                          ? SURELY
                          : UNKNOWN);
    case OP_CONST:
    case OP_ENUM:
        return values_check(s, op, field);
    case OP_MINIMUM:
    case OP_MAXIMUM:
    case OP_EXCLUSIVE_MINIMUM:
    case OP_EXCLUSIVE_MAXIMUM:
    case OP_MULTIPLE_OF:
        return group ? always(SURELY) : number_check(s, schema, op, field);
    case OP_MIN_LENGTH:
    case OP_MAX_LENGTH:
    case OP_PATTERN:
    case OP_FORMAT:
        return group ? always(SURELY) : text_check(s, op, field);
    case OP_MIN_ITEMS:
    case OP_MAX_ITEMS:
    case OP_UNIQUE_ITEMS:
    case OP_ITEMS:
    case OP_CONTAINS:
    case OP_UNEVALUATED_ITEMS:
        return always(SURELY); // No column but JSON text holds an array.
    case OP_MIN_PROPERTIES:
    case OP_MAX_PROPERTIES:
    case OP_REQUIRED:
    case OP_DEPENDENT_REQUIRED:
    case OP_PROPERTY_NAMES:
    case OP_MEMBERS:
    case OP_DEPENDENT_SCHEMAS:
    case OP_UNEVALUATED_PROPERTIES:
        return group ? object_check(s, op, field) : always(SURELY);
    case OP_REF:
        return value_check(s, op->as.ref.target, field);
    case OP_DYNAMIC_REF:
        return op->as.ref.name == TREE_NONE ? value_check(s, op->as.ref.target, field)
                                            : always(UNKNOWN);
    case OP_ALL_OF:
    case OP_ANY_OF:
    case OP_ONE_OF:
        return list_check(s, op, field);
    case OP_NOT:
        return negate(s, value_check(s, op->as.schema, field), op->keyword);
    case OP_IF:
        return condition_check(s, op, field);
    case OP_COUNT:
        break;
    }
    return always(UNKNOWN);
}

/** JSON text: its first byte, or a small tree of it alone. */
static const column_check *json_check(splitter *s, const plan_schema *schema,
                                      uint32_t field) {
    if (schema->count == 1 && schema->ops[0].kind == OP_TYPE && !schema->decimal)
        return json_type_check(s, &schema->ops[0], field);
    if (s->split->contract->dynamic)
        return always(UNKNOWN); // Where evaluation came from would be lost.
    column_check *k = make(s, COLUMN_JSON, field, NULL);
    if (k->kind == COLUMN_JSON)
        k->as.schema = schema;
    return k;
}

/** A schema on the value of a field that is there. */
static const column_check *value_check(splitter *s, const plan_schema *schema,
                                       uint32_t field) {
    if (schema->refuses)
        return always(SURELY_NOT);
    if (schema->count == 0)
        return always(SURELY);
    if (s->depth > SPLIT_DEPTH_MAX || s->checks > CHECKS_MAX || s->failed)
        return always(UNKNOWN);
    if (field != 0 && s->schema->fields[field].type == SL_TYPE_JSON)
        return json_check(s, schema, field);
    // x-decimal on another column than its own: the values there may be of either form.
    if (schema->decimal &&
        (field == 0 || s->schema->fields[field].type != SL_TYPE_DECIMAL))
        return always(UNKNOWN);
    check_list l = {0};
    s->depth++;
    for (uint32_t i = 0; i < schema->count; i++)
        add(s, &l, op_check(s, schema, &schema->ops[i], field));
    s->depth--;
    return all_of(s, &l);
}

static unsigned registers_of(const column_check *k) {
    unsigned most = k->kind == COLUMN_ONE ? 3 : 1;
    for (uint32_t i = 0; i < k->count; i++) {
        unsigned more = registers_of(k->parts[i]) + (i == 0 ? 0 : 2);
        most = more > most ? more : most;
    }
    return most;
}

static void destroy(sl_contract_split *split) {
    sl_contract_unref(split->contract);
    sl_schema_unref(split->schema);
    sl_arena_fini(&split->arena);
    sl_free(split);
}

sl_status sl_contract_split_create(const sl_contract *contract, const sl_schema *schema,
                                   sl_contract_split **out) {
    *out = NULL;
    sl_contract_split *split = sl_calloc(1, sizeof *split);
    if (split == NULL)
        return SL_ENOMEM;
    atomic_init(&split->references, 1);
    split->contract = sl_contract_ref(contract);
    split->schema = sl_schema_ref(schema);
    sl_arena_init(&split->arena, 4096);
    splitter s = {.split = split, .schema = schema};
    sl_status status = sl_contract_checker_create(contract, NULL, &s.checker);
    s.spare = get(&s, sizeof *s.spare);
    if (s.spare == NULL)
        status = SL_ENOMEM;
    if (status == SL_OK) {
        *s.spare = (column_check){.kind = COLUMN_CONSTANT, .constant = UNKNOWN};
        // Inferred columns take more than one type: their values say nothing of what was
        // written.
        split->root = schema->inferred && !is_anything(contract->root)
                          ? always(UNKNOWN)
                          : value_check(&s, contract->root, 0);
        split->registers = registers_of(split->root);
        status = s.failed ? SL_ENOMEM : SL_OK;
    }
    sl_contract_checker_destroy(s.checker);
    if (status == SL_OK)
        *out = split;
    else
        destroy(split);
    return status;
}

sl_contract_split *sl_contract_split_ref(const sl_contract_split *split) {
    sl_contract_split *s = (sl_contract_split *)(uintptr_t)split;
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void sl_contract_split_unref(const sl_contract_split *split) {
    sl_contract_split *s = (sl_contract_split *)(uintptr_t)split;
    // Release pairs with acquire in whoever comes last.
    if (s != NULL &&
        atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) == 1)
        destroy(s);
}

bool sl_contract_split_needs_tree(const sl_contract_split *split) {
    const column_check *root = split->root;
    if (root->kind == COLUMN_CONSTANT)
        return root->constant != SURELY;
    for (uint32_t i = 0; root->kind == COLUMN_ALL && i < root->count; i++)
        if (root->parts[i]->kind == COLUMN_CONSTANT)
            return true;
    return false;
}

bool sl_contract_split_is_empty(const sl_contract_split *split) {
    return is_constant(split->root, SURELY);
}

// ---- For people

static void describe(const sl_contract_split *split, const column_check *k,
                     sl_buffer *out);

static void describe_parts(const sl_contract_split *split, const column_check *k,
                           sl_buffer *out) {
    for (uint32_t i = 0; i < k->count; i++) {
        sl_buffer_text(out, i == 0 ? "(" : ", ");
        describe(split, k->parts[i], out);
    }
    sl_buffer_text(out, ")");
}

static void describe(const sl_contract_split *split, const column_check *k,
                     sl_buffer *out) {
    static const char *const words[] = {"never", "tree", "always"};
    const char *path = split->schema->fields[k->field].path;
    switch ((column_kind)k->kind) {
    case COLUMN_CONSTANT:
        sl_buffer_text(out, words[k->constant]);
        break;
    case COLUMN_ALL:
    case COLUMN_ANY:
    case COLUMN_ONE:
    case COLUMN_NOT:
    case COLUMN_IF:
        sl_buffer_text(out, k->kind == COLUMN_ALL ? "all"
                            : k->keyword == NULL  ? "not"
                                                  : k->keyword);
        describe_parts(split, k, out);
        break;
    case COLUMN_GUARD:
        sl_buffer_printf(out, "%s%s: ", path, k->null_good ? "" : " (not null)");
        describe(split, k->parts[0], out);
        break;
    case COLUMN_PRESENT:
        sl_buffer_printf(out, "%s is there", path);
        break;
    case COLUMN_REST:
        sl_buffer_printf(out, "%s where there is no %s", words[k->constant], path);
        break;
    case COLUMN_JSON:
        sl_buffer_text(out, "tree of the column");
        break;
    case COLUMN_RANGE:
    case COLUMN_MULTIPLE:
    case COLUMN_NUMBERS:
    case COLUMN_DOUBLES:
    case COLUMN_DOUBLE_MULTIPLE:
    case COLUMN_DOUBLE_VALUES:
    case COLUMN_TRUTH:
    case COLUMN_LENGTH:
    case COLUMN_TEXTS:
    case COLUMN_PATTERN:
    case COLUMN_FORMAT:
    case COLUMN_JSON_TYPE:
        sl_buffer_text(out, k->keyword);
        break;
    }
}

void sl_contract_split_describe(const sl_contract_split *split, sl_buffer *out) {
    const column_check *root = split->root;
    for (uint32_t i = 0; i < (root->kind == COLUMN_ALL ? root->count : 1); i++) {
        describe(split, root->kind == COLUMN_ALL ? root->parts[i] : root, out);
        sl_buffer_byte(out, '\n');
    }
}
