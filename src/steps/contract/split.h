/** @file split.h
 * A contract as checks on columns, in three values: an event surely fulfils it, surely
 * doesn't, or the columns can't tell.
 *
 * The value is a byte per row, ordered so that "all of" is the minimum and "any of" the
 * maximum.
 */
#pragma once

#include "check.h"

enum { SURELY_NOT = 0, UNKNOWN = 1, SURELY = 2 };

typedef enum column_kind {
    COLUMN_CONSTANT, /**< `constant` for each row. */
    COLUMN_ALL,
    COLUMN_ANY,
    COLUMN_ONE,
    COLUMN_NOT,
    COLUMN_IF,      /**< three parts; the last two may be constants. */
    COLUMN_GUARD,   /**< Where the field is there: its one part; elsewhere SURELY, or
                       UNKNOWN when a null may stand there. */
    COLUMN_PRESENT, /**< Is the member there? */
    COLUMN_REST,    /**< `constant` where there are no unnamed members, else UNKNOWN. */
    COLUMN_RANGE,
    COLUMN_MULTIPLE,
    COLUMN_NUMBERS,
    COLUMN_DOUBLES,
    COLUMN_DOUBLE_MULTIPLE,
    COLUMN_DOUBLE_VALUES,
    COLUMN_TRUTH,
    COLUMN_LENGTH,
    COLUMN_TEXTS,
    COLUMN_PATTERN,
    COLUMN_FORMAT,
    COLUMN_JSON_TYPE,
    COLUMN_JSON
} column_kind;

typedef struct text_entry {
    uint64_t head; /**< The first eight bytes, zeros behind. */
    const uint8_t *text;
    uint32_t length;
    bool used;
} text_entry;

/** One end of a range of doubles: beyond it, below it, or too near to tell. */
typedef struct double_limit {
    double below, above;
    uint8_t positive, negative; /**< Values between: by their sign. */
    uint8_t equal; /**< What the limit itself gives, where the text can't be another. */
} double_limit;

typedef struct column_check column_check;
struct column_check {
    uint8_t kind;
    uint8_t constant;
    bool null_good; /**< GUARD: null would be good, or can't be there. */
    uint32_t field;
    const char *keyword;
    const column_check **parts;
    uint32_t count;
    union {
        struct {
            int64_t low, high;
        } range;
        int64_t divisor;
        struct {
            const int64_t *values;
            uint32_t count;
        } numbers;
        struct {
            double_limit low,
                high; /**< low.below is -inf, high.above is inf where there is none. */
        } doubles;
        struct {
            uint64_t divisor;
            double scale; /**< A power of ten: values × scale are multiples of divisor. */
        } multiple;
        struct {
            const double *values;
            uint32_t count;
        } double_values;
        uint8_t truth[2]; /**< What false and true give. */
        struct {
            uint64_t least, most;
        } length;
        struct {
            const text_entry *slots;
            uint32_t shift;
        } texts;
        const regex *pattern;
        const format *format;
        uint8_t types[8]; /**< By json_kind: what a value that begins so gives. */
        const plan_schema *schema;
    } as;
};

struct sl_contract_split {
    _Atomic uint32_t references;
    sl_contract *contract;
    sl_schema *schema;
    const column_check *root;
    unsigned registers; /**< How many rows of bytes an evaluation needs. */
    sl_arena arena;
};

/** The bytes of rows [from, to), for tests as well. */
SL_CHECKED sl_status sl_split_evaluate(sl_contract_checker *c, const sl_batch *batch,
                                       uint32_t from, uint32_t to, const uint8_t **out);
static inline uint64_t text_slot(uint64_t head, uint32_t length, uint32_t shift) {
    return ((head ^ length) * UINT64_C(0x9E3779B97F4A7C15)) >> shift;
}
