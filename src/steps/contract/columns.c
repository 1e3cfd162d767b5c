// A split's checks over the rows of a batch. Each check fills a register, a byte per row;
// loops over numbers are plain enough for the compiler to make vectors of them.

#include "split.h"

#include <assert.h>
#include <math.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define SLICE_ROWS 256u

typedef struct run {
    sl_contract_checker *checker;
    const sl_batch *batch;
    uint32_t from, rows;
    uint8_t *registers;
    // Per row: 0 not looked yet, 1 no, 2 yes.
    uint8_t *nulls; /**< Does its text hold `null`? */
    uint8_t *longs; /**< Does it hold a number that may have more than 15 digits? */
    bool no_memory;
} run;

static void evaluate(run *r, const column_check *k, unsigned level);

static uint8_t *reg(const run *r, unsigned level) {
    return r->registers + (size_t)level * r->rows;
}

static uint64_t load64(const uint8_t *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

// ---- Is there a null?

static bool is_null_at(const uint8_t *p) { return memcmp(p, "null", 4) == 0; }

static bool search_null(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    const __m128i n = _mm_set1_epi8('n'), u = _mm_set1_epi8('u');
    for (; end - p >= 20; p += 16) {
        __m128i first =
            _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), n);
        __m128i second =
            _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 1)), u);
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_and_si128(first, second));
        for (; found != 0; found &= found - 1)
            if (is_null_at(p + __builtin_ctz(found)))
                return true;
    }
#endif
    for (; end - p >= 4; p++)
        if (is_null_at(p))
            return true;
    return false;
}

static bool has_null(run *r, uint32_t i) {
    if (r->nulls[i] == 0) {
        uint32_t row = r->from + i;
        uint32_t length;
        const uint8_t *text = sl_batch_json(r->batch, row, &length);
        r->nulls[i] = search_null(text, text + length) ? 2 : 1;
    }
    return r->nulls[i] == 2;
}

// ---- Numbers

static void range(const int64_t *v, uint32_t rows, int64_t low, int64_t high,
                  uint8_t *out) {
    for (uint32_t i = 0; i < rows; i++)
        out[i] = (uint8_t)(((v[i] >= low) & (v[i] <= high)) * SURELY);
}

static void numbers(const column_check *k, const int64_t *v, const uint8_t *valid,
                    uint32_t rows, uint8_t *out) {
    const int64_t *values = k->as.numbers.values;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t low = 0, high = k->as.numbers.count;
        while (valid[i] && low < high) {
            uint32_t middle = (low + high) / 2;
            if (values[middle] < v[i])
                low = middle + 1;
            else
                high = middle;
        }
        out[i] = valid[i] && low < k->as.numbers.count && values[low] == v[i]
                     ? SURELY
                     : SURELY_NOT;
    }
}

// A double is the nearest one to what was written. Which decimal that was is certain when
// it has at most 15 digits: then no other such decimal has the same double. So the row's
// text is searched for a longer number; where there is none, doubles are as good as
// decimals.

static bool is_number_byte(uint8_t c) { return (unsigned)(c - '0') < 10 || c == '.'; }

/** A run of digits and points that may hold more than 15 digits. */
static bool search_long(const uint8_t *p, const uint8_t *end) {
    // Every such run covers one byte in sixteen: only around those is more to be seen.
    for (p += 15; p < end; p += 16) {
        if (!is_number_byte(*p))
            continue;
        const uint8_t *first = p, *behind = p + 1;
        while (p - first < 15 && is_number_byte(first[-1]))
            first--;
        while (behind < end && behind - first < 16 && is_number_byte(*behind))
            behind++;
        if (behind - first >= 16)
            return true;
    }
    return false;
}

/** A negative exponent, without which nothing but 0 is read as 0. */
static bool search_tiny(const uint8_t *p, const uint8_t *end) {
    for (p += 2; p < end; p++) {
        p = memchr(p, '-', (size_t)(end - p));
        if (p == NULL)
            return false;
        if ((p[-1] | 0x20) == 'e' && is_number_byte(p[-2]))
            return true;
    }
    return false;
}

/** Is the value the one that was written, and not just near to it? */
static bool is_exact(run *r, uint32_t i, double v) {
    const uint32_t row = r->from + i;
    uint32_t length;
    const uint8_t *text = sl_batch_json(r->batch, row, &length), *end = text + length;
    if (fabs(v) > 1e300 || (v != 0 && fabs(v) < 1e-290))
        return false;
    if (r->longs[i] == 0)
        r->longs[i] = search_long(text, end) ? 2 : 1;
    return r->longs[i] == 1 && (v != 0 || !search_tiny(text, end));
}

static unsigned near_limit(run *r, uint32_t i, const double_limit *limit, double v) {
    unsigned value = signbit(v) ? limit->negative : limit->positive;
    if (value == UNKNOWN && limit->equal != UNKNOWN && is_exact(r, i, v))
        value = limit->equal;
    return value;
}

static void doubles(run *r, const column_check *k, const sl_column *column,
                    uint8_t *out) {
    const double *v = column->values.f64 + r->from;
    const uint8_t *valid = column->valid + r->from;
    const double_limit *low = &k->as.doubles.low, *high = &k->as.doubles.high;
    const double above = low->above, below = high->below;
    unsigned others = 0;
    for (uint32_t i = 0; i < r->rows; i++) {
        uint8_t good = (uint8_t)((v[i] > above) & (v[i] < below));
        out[i] = (uint8_t)(good * SURELY);
        others |= good ^ 1u;
    }
    for (uint32_t i = 0; others && i < r->rows; i++) {
        if (out[i] == SURELY || !valid[i])
            continue;
        if (v[i] <= above && v[i] >= low->below)
            out[i] = (uint8_t)near_limit(r, i, low, v[i]);
        else if (v[i] >= below && v[i] <= high->above)
            out[i] = (uint8_t)near_limit(r, i, high, v[i]);
    }
}

/**
 * v is RN(x), x the decimal that was written. If x × scale is an integer below 10^15,
 * then rounding v × scale gives it, and dividing it again gives v. If it gives v, the
 * quotient is a decimal of at most 15 digits with the same double, so it is x.
 */
static uint8_t double_multiple(run *r, const column_check *k, uint32_t i, double v) {
    const double scale = k->as.multiple.scale, scaled = fabs(v) * scale;
    if (scaled >= 1e15 || !is_exact(r, i, v))
        return UNKNOWN;
    const double whole = nearbyint(scaled);
    if (whole / scale != fabs(v))
        return SURELY_NOT;
    return (uint64_t)whole % k->as.multiple.divisor == 0 ? SURELY : SURELY_NOT;
}

static uint8_t double_value(run *r, const column_check *k, uint32_t i, double v) {
    for (uint32_t n = 0; n < k->as.double_values.count; n++)
        if (k->as.double_values.values[n] == v)
            return is_exact(r, i, v) ? SURELY : UNKNOWN;
    return SURELY_NOT;
}

static void double_rules(run *r, const column_check *k, const sl_column *column,
                         uint8_t *out) {
    const double *v = column->values.f64 + r->from;
    const uint8_t *valid = column->valid + r->from;
    for (uint32_t i = 0; i < r->rows; i++)
        out[i] = !valid[i]                           ? SURELY
                 : k->kind == COLUMN_DOUBLE_MULTIPLE ? double_multiple(r, k, i, v[i])
                                                     : double_value(r, k, i, v[i]);
}

// ---- Text

/** The first eight bytes, zeros behind the end. */
static uint64_t head_of(const uint8_t *text, uint32_t length, bool padded) {
    if (length >= 8)
        return load64(text);
    uint64_t head = 0;
    if (padded)
        return load64(text) & ((UINT64_C(1) << (8 * length)) - 1);
    if (length != 0)
        memcpy(&head, text, length);
    return head;
}

static uint8_t find_text(const column_check *k, const uint8_t *text, uint32_t length,
                         bool padded) {
    const text_entry *slots = k->as.texts.slots;
    const uint64_t mask = UINT64_MAX >> k->as.texts.shift,
                   head = head_of(text, length, padded);
    for (uint64_t slot = text_slot(head, length, k->as.texts.shift); slots[slot].used;
         slot = (slot + 1) & mask)
        if (slots[slot].head == head && slots[slot].length == length &&
            (length <= 8 || memcmp(slots[slot].text + 8, text + 8, length - 8) == 0))
            return SURELY;
    return SURELY_NOT;
}

static bool fits_length(const column_check *k, const uint8_t *text, uint32_t length) {
    const uint64_t least = k->as.length.least, most = k->as.length.most;
    // Up to four bytes a character: mostly the bytes tell.
    if (length <= most && length / 4 >= least)
        return true;
    if (length < least)
        return false;
    size_t points = sl_text_points(text, length);
    return points >= least && points <= most;
}

static uint8_t json_value(run *r, const column_check *k, const uint8_t *text,
                          uint32_t length) {
    sl_status status = sl_check_text(r->checker, k->as.schema, text, length);
    r->no_memory = r->no_memory || status == SL_ENOMEM;
    if (status == SL_OK)
        return SURELY;
    // What is refused because of a limit alone, the whole event's tree decides.
    return r->checker->broken ? UNKNOWN : SURELY_NOT;
}

static uint8_t json_type(const column_check *k, const uint8_t *text, uint32_t length) {
    switch (length == 0 ? 0 : *text) {
    case '{':
        return k->as.types[JSON_OBJECT];
    case '[':
        return k->as.types[JSON_ARRAY];
    case '"':
        return k->as.types[JSON_STRING];
    case 't':
        return k->as.types[JSON_TRUE];
    case 'f':
        return k->as.types[JSON_FALSE];
    case 'n':
        return k->as.types[JSON_NULL];
    default:
        return k->as.types[JSON_NUMBER];
    }
}

static uint8_t pattern_value(run *r, const column_check *k, const uint8_t *text,
                             uint32_t length) {
    regex_answer answer =
        sl_regex_match(k->as.pattern, r->checker->matcher, text, length);
    return answer == REGEX_YES ? SURELY : answer == REGEX_NO ? SURELY_NOT : UNKNOWN;
}

/** One loop for each kind: `kind` is a constant where this is called. */
static inline __attribute__((always_inline)) void text_loop(run *r, const column_check *k,
                                                            const sl_column *column,
                                                            uint8_t *out,
                                                            column_kind kind) {
    const uint8_t *valid = column->valid + r->from;
    const sl_span *span = column->values.span + r->from;
    for (uint32_t i = 0; i < r->rows; i++) {
        if (!valid[i]) {
            out[i] = SURELY;
            continue;
        }
        const uint8_t *text = sl_batch_text(r->batch, span[i]);
        const uint32_t length = span[i].length;
        if (kind == COLUMN_LENGTH)
            out[i] = fits_length(k, text, length) ? SURELY : SURELY_NOT;
        else if (kind == COLUMN_TEXTS)
            out[i] = find_text(k, text, length, !(span[i].offset & SL_SPAN_ARENA));
        else if (kind == COLUMN_PATTERN)
            out[i] = pattern_value(r, k, text, length);
        else if (kind == COLUMN_FORMAT)
            out[i] = k->as.format->check(text, length, r->checker->matcher) ? SURELY
                                                                            : SURELY_NOT;
        else if (kind == COLUMN_JSON_TYPE)
            out[i] = json_type(k, text, length);
        else
            out[i] = json_value(r, k, text, length);
    }
}

// ---- What is there

static void guard(run *r, const column_check *k, unsigned level) {
    const uint8_t *valid = r->batch->columns[k->field].valid + r->from;
    uint8_t *out = reg(r, level);
    evaluate(r, k->parts[0], level);
    if (memchr(valid, 0, r->rows) == NULL)
        return;
    if (k->null_good) {
        for (uint32_t i = 0; i < r->rows; i++)
            out[i] = valid[i] ? out[i] : SURELY;
        return;
    }
    for (uint32_t i = 0; i < r->rows; i++)
        if (!valid[i])
            out[i] = has_null(r, i) ? UNKNOWN : SURELY;
}

static void presence(run *r, const column_check *k, uint8_t *out) {
    const uint8_t *valid = r->batch->columns[k->field].valid + r->from;
    const bool nullable = r->batch->schema->fields[k->field].nullable;
    for (uint32_t i = 0; i < r->rows; i++)
        out[i] = valid[i] ? SURELY : nullable && has_null(r, i) ? UNKNOWN : SURELY_NOT;
}

static void rest(run *r, const column_check *k, uint8_t *out) {
    const uint8_t *valid = r->batch->columns[k->field].valid + r->from;
    for (uint32_t i = 0; i < r->rows; i++)
        out[i] = valid[i] ? UNKNOWN : k->constant;
}

// ---- All, any, one, not, if

static void all(run *r, const column_check *k, unsigned level) {
    uint8_t *out = reg(r, level), *other = reg(r, level + 1);
    evaluate(r, k->parts[0], level);
    for (uint32_t p = 1; p < k->count; p++) {
        evaluate(r, k->parts[p], level + 1);
        for (uint32_t i = 0; i < r->rows; i++)
            out[i] = out[i] < other[i] ? out[i] : other[i];
    }
}

static void any(run *r, const column_check *k, unsigned level) {
    uint8_t *out = reg(r, level), *other = reg(r, level + 1);
    evaluate(r, k->parts[0], level);
    for (uint32_t p = 1; p < k->count; p++) {
        evaluate(r, k->parts[p], level + 1);
        for (uint32_t i = 0; i < r->rows; i++)
            out[i] = out[i] > other[i] ? out[i] : other[i];
    }
}

/** `out`: exactly one so far; `two`: at least two. */
static void one(run *r, const column_check *k, unsigned level) {
    uint8_t *out = reg(r, level), *two = reg(r, level + 1), *other = reg(r, level + 2);
    evaluate(r, k->parts[0], level);
    memset(two, SURELY_NOT, r->rows);
    for (uint32_t p = 1; p < k->count; p++) {
        evaluate(r, k->parts[p], level + 2);
        for (uint32_t i = 0; i < r->rows; i++) {
            uint8_t both = out[i] < other[i] ? out[i] : other[i];
            two[i] = two[i] > both ? two[i] : both;
            out[i] = out[i] > other[i] ? out[i] : other[i];
        }
    }
    for (uint32_t i = 0; i < r->rows; i++) {
        uint8_t single = (uint8_t)(SURELY - two[i]);
        out[i] = out[i] < single ? out[i] : single;
    }
}

static void condition(run *r, const column_check *k, unsigned level) {
    uint8_t *test = reg(r, level), *yes = reg(r, level + 1), *no = reg(r, level + 2);
    evaluate(r, k->parts[0], level);
    evaluate(r, k->parts[1], level + 1);
    evaluate(r, k->parts[2], level + 2);
    for (uint32_t i = 0; i < r->rows; i++) {
        if (test[i] == UNKNOWN)
            test[i] = yes[i] == no[i] ? yes[i] : UNKNOWN;
        else
            test[i] = test[i] == SURELY ? yes[i] : no[i];
    }
}

static void evaluate(run *r, const column_check *k, unsigned level) {
    uint8_t *out = reg(r, level);
    const sl_column *column = &r->batch->columns[k->field];
    switch ((column_kind)k->kind) {
    case COLUMN_CONSTANT:
        memset(out, k->constant, r->rows);
        break;
    case COLUMN_ALL:
        all(r, k, level);
        break;
    case COLUMN_ANY:
        any(r, k, level);
        break;
    case COLUMN_ONE:
        one(r, k, level);
        break;
    case COLUMN_NOT:
        evaluate(r, k->parts[0], level);
        for (uint32_t i = 0; i < r->rows; i++)
            out[i] = (uint8_t)(SURELY - out[i]);
        break;
    case COLUMN_IF:
        condition(r, k, level);
        break;
    case COLUMN_GUARD:
        guard(r, k, level);
        break;
    case COLUMN_PRESENT:
        presence(r, k, out);
        break;
    case COLUMN_REST:
        rest(r, k, out);
        break;
    case COLUMN_RANGE:
        range(column->values.i64 + r->from, r->rows, k->as.range.low, k->as.range.high,
              out);
        break;
    case COLUMN_MULTIPLE:
        for (uint32_t i = 0; i < r->rows; i++)
            out[i] = !column->valid[r->from + i] ||
                             column->values.i64[r->from + i] % k->as.divisor == 0
                         ? SURELY
                         : SURELY_NOT;
        break;
    case COLUMN_NUMBERS:
        numbers(k, column->values.i64 + r->from, column->valid + r->from, r->rows, out);
        break;
    case COLUMN_DOUBLES:
        doubles(r, k, column, out);
        break;
    case COLUMN_DOUBLE_MULTIPLE:
    case COLUMN_DOUBLE_VALUES:
        double_rules(r, k, column, out);
        break;
    case COLUMN_TRUTH:
        for (uint32_t i = 0; i < r->rows; i++)
            out[i] = k->as.truth[column->values.truth[r->from + i] & 1];
        break;
    case COLUMN_LENGTH:
        text_loop(r, k, column, out, COLUMN_LENGTH);
        break;
    case COLUMN_TEXTS:
        text_loop(r, k, column, out, COLUMN_TEXTS);
        break;
    case COLUMN_PATTERN:
        text_loop(r, k, column, out, COLUMN_PATTERN);
        break;
    case COLUMN_FORMAT:
        text_loop(r, k, column, out, COLUMN_FORMAT);
        break;
    case COLUMN_JSON_TYPE:
        text_loop(r, k, column, out, COLUMN_JSON_TYPE);
        break;
    case COLUMN_JSON:
        text_loop(r, k, column, out, COLUMN_JSON);
        break;
    }
}

sl_status sl_split_evaluate(sl_contract_checker *c, const sl_batch *batch, uint32_t from,
                            uint32_t to, const uint8_t **out) {
    const uint32_t rows = to - from;
    const size_t need = (size_t)rows * (c->split->registers + 2u);
    if (c->state_capacity < need) {
        sl_free(c->state);
        c->state_capacity = 0;
        c->state = sl_malloc(need);
        if (c->state == NULL)
            return SL_ENOMEM;
        c->state_capacity = need;
    }
    run r = {.checker = c,
             .batch = batch,
             .from = from,
             .rows = rows,
             .nulls = c->state,
             .longs = c->state + rows,
             .registers = c->state + 2 * (size_t)rows};
    memset(c->state, 0, 2 * (size_t)rows);
    evaluate(&r, c->split->root, 0);
    *out = r.registers;
    return r.no_memory ? SL_ENOMEM : SL_OK;
}

static bool keep_refusal(sl_contract_checker *c, uint32_t row) {
    if (!sl_plan_grow((void **)&c->refused, c->refused_count, &c->refused_capacity,
                      sizeof *c->refused))
        return false;
    c->refused[c->refused_count].row = row;
    sl_refusal_write(c, &c->refused[c->refused_count++].refusal);
    return !c->texts.failed;
}

/** Rows [from, to), few enough for their text to stay in the cache from check to check.
 */
static sl_status run_slice(sl_contract_checker *c, const sl_batch *batch, uint32_t from,
                           uint32_t to) {
    const uint8_t *answers = NULL;
    if (!sl_contract_split_needs_tree(c->split)) {
        sl_status status = sl_split_evaluate(c, batch, from, to, &answers);
        if (status != SL_OK)
            return status;
    }
    for (uint32_t row = from; row < to; row++) {
        if ((answers != NULL && answers[row - from] == SURELY) ||
            batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        c->counts.trees++;
        uint32_t length;
        const uint8_t *text = sl_batch_json(batch, row, &length);
        sl_status status = sl_check_text(c, c->contract->root, text, length);
        if (status == SL_ENOMEM || (status != SL_OK && !keep_refusal(c, row)))
            return SL_ENOMEM;
    }
    return SL_OK;
}

sl_status sl_contract_run(sl_contract_checker *c, const sl_batch *batch, uint32_t from,
                          uint32_t to, const sl_contract_refused **refused,
                          size_t *count) {
    *refused = NULL;
    *count = 0;
    c->refused_count = 0;
    sl_buffer_clear(&c->texts);
    assert(batch->schema->count == c->split->schema->count);
    if (from >= to)
        return SL_OK;
    c->counts.rows += to - from;
    if (sl_contract_split_is_empty(c->split))
        return SL_OK;
    for (uint32_t at = from; at < to; at += SLICE_ROWS) {
        sl_status status =
            run_slice(c, batch, at, to - at > SLICE_ROWS ? at + SLICE_ROWS : to);
        if (status != SL_OK)
            return status;
    }
    for (uint32_t i = 0; i < c->refused_count; i++)
        sl_refusal_place(c, &c->refused[i].refusal);
    c->counts.refused += c->refused_count;
    *refused = c->refused;
    *count = c->refused_count;
    return SL_OK;
}
