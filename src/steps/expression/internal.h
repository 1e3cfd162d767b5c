/** @file internal.h
 * Stages of an expression, each a file: text → tokens (lexer.c) → tree (parser.c) → typed
 * tree (checker.c) → program of column steps (compiler.c, kernels.c) → cells
 * (expression.c).
 *
 * To widen the language: a function is a row in functions.c with its kernel; an operator
 * on new types is a case in checker.c and a kernel in compiler.c's choice.
 */
#pragma once

#include "sluice/expression.h"

#define EXPRESSION_BYTES_MAX 65536u
#define NESTING_MAX                                                                      \
    100u /**< Of parentheses, signs and conditions, which recurse in the parser. */
#define DEPTH_MAX 1000u /**< Of the tree; a chain of && is as deep as it is long. */
#define VECTORS_MAX                                                                      \
    2000u /**< Scratch columns of one expression; each has 4 to 9 KiB.                   \
           */
#define PATH_MAX_BYTES 4096u
#define CHUNK_ROWS                                                                       \
    512u /**< Rows a step works on at once: scratch columns stay in the cache. */
#define DECIMAL_DIGITS_MAX 18u
#define DECIMAL_LIMIT                                                                    \
    INT64_C(1000000000000000000) /**< 10^18: every decimal is nearer to 0. */

// ---- Tokens
// ----------------------------------------------------------------------------------

typedef enum token_kind {
    TOKEN_END,
    TOKEN_NAME, /**< Also `quoted in backticks`. */
    TOKEN_INT,
    TOKEN_UINT,
    TOKEN_FLOAT,
    TOKEN_STRING,
    TOKEN_BYTES,
    TOKEN_TRUE,
    TOKEN_FALSE,
    TOKEN_NULL,
    TOKEN_IN,
    TOKEN_OR,
    TOKEN_AND,
    TOKEN_EQUAL,
    TOKEN_NOT_EQUAL,
    TOKEN_LESS,
    TOKEN_LESS_EQUAL,
    TOKEN_GREATER,
    TOKEN_GREATER_EQUAL,
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_PERCENT,
    TOKEN_NOT,
    TOKEN_QUESTION,
    TOKEN_COLON,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_OPEN_LIST,
    TOKEN_CLOSE_LIST,
    TOKEN_OPEN_MAP,
    TOKEN_CLOSE_MAP
} token_kind;

typedef struct token {
    token_kind kind;
    uint32_t at, length; /**< In the text. */
} token;

/** What all stages share while compiling. */
typedef struct compiler {
    const char *text;
    uint32_t length;
    sl_arena *memory; /**< Lives as long as the expression. */
    sl_error *error;
    const sl_schema *schema; /**< Or NULL, and then names. */
    const sl_expression_name *names;
    size_t name_count;
    bool real_division;
    uint32_t nesting;
    token next;  /**< The token that the parser looks at. */
    uint32_t at; /**< Where the lexer goes on. */
} compiler;

/** Sets the error's text with place and caret line. @return `status`. */
sl_status fault(const compiler *c, sl_status status, uint32_t at, const char *format, ...)
    SL_PRINTF(4, 5);
sl_status out_of_memory(const compiler *c);
/** Of all names in reach the one nearest to `word`, or NULL when none is near. */
const char *nearest_name(const compiler *c, const char *word);
const char *nearest_function(const char *word);
/** How many edits (insert, remove, replace, swap neighbours) lie between; at most `limit`
 * + 1. */
uint32_t edit_distance(const char *a, const char *b, uint32_t limit);

/** Reads the next token into c->next. */
SL_CHECKED sl_status next_token(compiler *c);

// ---- Tree
// ------------------------------------------------------------------------------------

typedef enum operation {
    OP_OR,
    OP_AND,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_IN,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_MODULO,
    OP_NOT,
    OP_NEGATE
} operation;

typedef enum node_kind {
    NODE_CONSTANT,
    NODE_NULL,
    NODE_NAME,      /**< path; the checker sets column and input. */
    NODE_HAS,       /**< left is the name. */
    NODE_OPERATION, /**< left, and right where the operation has two. */
    NODE_CONDITION, /**< left ? right : third. */
    NODE_CALL,      /**< path is the function's name; arguments by left, then `next`. */
    NODE_LIST       /**< Elements by left, then `next`. */
} node_kind;

typedef struct text {
    const uint8_t *bytes;
    uint32_t length;
} text;

/** A literal's exact value, digits × 10^-scale, if it has at most 18 digits. */
typedef struct exact {
    bool fits;
    int64_t digits;
    uint8_t scale;
} exact;

typedef struct function function;

typedef struct node node;
struct node {
    node_kind kind;
    operation op;
    bool method;  /**< NODE_CALL: x.f(y). */
    bool negated; /**< NODE_HAS: true where it is not there (`x == null`). */
    uint32_t at;  /**< Its place: an operator's own, else its first byte. */
    uint32_t depth;
    sl_type type;  /**< Of a constant at once; of others by the checker. */
    uint8_t scale; /**< DECIMAL. */
    const char *path;
    uint32_t path_length;
    uint32_t column;          /**< Field index, or sl_expression_name.column. */
    uint32_t input;           /**< Names: index into them. */
    const function *function; /**< NODE_CALL. */
    union {
        int64_t i64; /**< Also BOOL. */
        double f64;
        text text;
    } value;
    exact exact; /**< INT64 and DOUBLE literals. */
    node *left, *right, *third, *next;
};

SL_CHECKED sl_status parse(compiler *c, node **out);
/** Literals of the current token, in literal.c. */
SL_CHECKED sl_status read_number(compiler *c, bool negative, node *out);
SL_CHECKED sl_status read_string(compiler *c, node *out);

/** Gives every node its type. */
SL_CHECKED sl_status check(compiler *c, node *root);
const char *operation_text(operation op);

// ---- Program
// ---------------------------------------------------------------------------------

/** A column of up to CHUNK_ROWS cells. `valid` 0 is an error or a missing value. */
typedef struct vector {
    sl_type type;
    uint8_t scale;
    uint8_t *valid;
    union {
        int64_t *i64;
        double *f64;
        uint8_t *truth;
        text *text;
        void *any;
    } values;
} vector;

/** Constants of `in`. */
typedef struct set {
    uint32_t count;
    int64_t *i64; /**< Sorted. */
    double *f64;
    text *text; /**< Sorted by length, then bytes. */
} set;

typedef struct step step;
/** @return false when out of memory. */
typedef bool kernel(const step *step, uint32_t rows);
struct step {
    kernel *run;
    vector *out;
    const vector *in[3];
    uint8_t accept; /**< Comparisons: which orders are true, bits ORDER_*. */
    int64_t unit_a,
        unit_b; /**< Decimals: powers of ten that bring both sides to one scale. */
    const set *set;
    sl_arena *made; /**< For texts that a step makes; reset at each run. */
};

enum { ORDER_LESS = 1, ORDER_EQUAL = 2, ORDER_GREATER = 4, ORDER_NONE = 8 };

struct function {
    const char *name;
    bool global, method; /**< f(x, y), x.f(y). */
    uint8_t count;       /**< Arguments, the receiver included. */
    sl_type result;
    sl_type arguments[3];
    kernel *run;
};

/** @return NULL when there is none. */
const function *find_function(const char *name);
/** A function of the language's standard that isn't built? */
bool is_standard_function(const char *name);

/** What a run puts into a vector before the steps. */
typedef struct input {
    vector *vector;
    uint8_t *
        own_valid; /**< The vector's own memory; a batch's columns may stand in for it. */
    void *own_values;
    uint32_t column, input;
    bool presence; /**< has(): truth is whether it is there. */
    bool negated;
} input;

typedef struct program {
    step *steps;
    uint32_t step_count, step_capacity;
    input *inputs;
    uint32_t input_count, input_capacity;
    uint32_t *fields;
    size_t field_count;
    vector *result;
} program;

SL_CHECKED sl_status compile(compiler *c, const node *root, program *out, sl_arena *made);

kernel run_or, run_and, run_not;
kernel run_condition_i64, run_condition_f64, run_condition_truth, run_condition_text;
kernel run_compare_i64, run_compare_f64, run_compare_truth, run_compare_text,
    run_equal_text, run_compare_scaled, run_compare_i64_f64;
kernel run_in_i64, run_in_f64, run_in_text;
kernel run_add_i64, run_subtract_i64, run_multiply_i64, run_divide_i64, run_modulo_i64,
    run_negate_i64;
kernel run_add_f64, run_subtract_f64, run_multiply_f64, run_divide_f64, run_divide_real,
    run_negate_f64;
kernel run_add_scaled, run_subtract_scaled, run_multiply_scaled, run_modulo_scaled;
kernel run_i64_to_f64, run_scaled_to_f64, run_rescale;
kernel run_concatenate, run_size, run_starts_with, run_ends_with, run_contains;

int64_t power_of_ten(unsigned exponent); /**< 0 to 18. */
