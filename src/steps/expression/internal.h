/** @file internal.h
 * Stages of an expression, each a file: text → tokens (lexer.c, literal.c) → tree
 * (parser.c) → typed tree (checker.c, calls.c) → program of column steps (compiler.c,
 * kernels) → cells (expression.c).
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
#define TEXT_BYTES_MAX                                                                   \
    ((uint64_t)16 << 20) /**< Of a text that a step makes; beyond it the row fails. */
#define DURATION_LIMIT                                                                   \
    (INT64_MAX / 1000) /**< Microseconds: CEL's durations are 64 bits of nanoseconds. */
#define ARGUMENTS_MAX 4u

// ---- Types
// -----------------------------------------------------------------------------------

/** What a value can be on its way; a result is one of sl_type's. */
typedef enum type {
    TYPE_NULL, /**< Of `null`, and of an empty list's elements. */
    TYPE_BOOL,
    TYPE_INT,
    TYPE_UINT,
    TYPE_DOUBLE,
    TYPE_DECIMAL,
    TYPE_DATE,
    TYPE_TIMESTAMP,
    TYPE_DURATION, /**< Microseconds. */
    TYPE_STRING,
    TYPE_BYTES,
    TYPE_LIST,
    TYPE_MAP
} type;

const char *type_name(type t); /**< "int64", "string", "a list", … */
bool is_text(type t);          /**< STRING or BYTES. */

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
    uint32_t copies; /**< Nodes that macros made. */
    token next;      /**< The token that the parser looks at. */
    uint32_t at;     /**< Where the lexer goes on. */
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
    NODE_EXTREME,   /**< math.greatest and math.least of left and its `next`. */
    NODE_INDEX,     /**< left[right]; the checker leaves only lists on the left. */
    NODE_FIND,      /**< Place of left among the keys right (a list), or an error. */
    NODE_LIST,      /**< Elements by left, then `next`. */
    NODE_MAP        /**< Keys by left, values by right, each then `next`. */
} node_kind;

typedef struct text {
    const uint8_t *bytes;
    uint32_t length;
} text;

/** Cells of one list, of its vector's element type. */
typedef struct list {
    const void *cells;
    uint32_t count;
} list;

/** A literal's exact value, digits × 10^-scale, if it has at most 18 digits. */
typedef struct exact {
    bool fits;
    int64_t digits;
    uint8_t scale;
} exact;

typedef struct function function;
typedef struct vector vector;
typedef struct zone zone;
typedef struct pattern pattern;

typedef struct node node;
struct node {
    node_kind kind;
    operation op;
    bool method;  /**< NODE_CALL: x.f(y). */
    bool negated; /**< NODE_HAS: true where it is not there (`x == null`). */
    uint32_t at;  /**< Its place: an operator's own, else its first byte. */
    uint32_t depth;
    bool outer;    /**< NODE_CONDITION: nothing but conditions around it, so null may be
                      its answer. */
    type type;     /**< Of a constant at once; of others by the checker. */
    type element;  /**< LIST. */
    uint8_t scale; /**< DECIMAL, and a list's decimals. */
    const char *path;
    uint32_t path_length;
    sl_type column_type;      /**< NODE_NAME. */
    uint32_t column;          /**< Field index, or sl_expression_name.column. */
    uint32_t input;           /**< Names: index into them. */
    const function *function; /**< NODE_CALL. */
    vector *made;             /**< The compiler's answer, so that none is made twice. */
    union {
        int64_t i64; /**< Also BOOL. */
        uint64_t u64;
        double f64;
        text text;
    } value;
    exact exact; /**< INT and DOUBLE literals. */
    node *left, *right, *third, *next;
};

SL_CHECKED sl_status parse(compiler *c, node **out);
/** Literals of the current token, in literal.c. */
SL_CHECKED sl_status read_number(compiler *c, bool negative, node *out);
SL_CHECKED sl_status read_string(compiler *c, node *out);

// ---- Checking
// --------------------------------------------------------------------------------

/** Gives every node its type. */
SL_CHECKED sl_status check(compiler *c, node *root);
SL_CHECKED sl_status check_node(compiler *c, node *n);
SL_CHECKED sl_status check_call(compiler *c, node *n);
SL_CHECKED sl_status check_macro(compiler *c, node *n);
SL_CHECKED sl_status check_format(compiler *c, node *n);
bool is_macro(const char *name);
/** Anything but null and a map. */
SL_CHECKED sl_status want_value(const compiler *c, const node *n);
/** Finds a name's type. */
SL_CHECKED sl_status check_there(const compiler *c, node *n);
bool resolve(const compiler *c, node *n);
/** An index on an object becomes a name; others stay as they are. */
SL_CHECKED sl_status check_object(compiler *c, node *n);
/** The type that holds numbers of both (or equal types). @return false: there is none. */
bool unify(type a, type b, type *out);
/** One type for all from `first` on. */
SL_CHECKED sl_status unify_all(const compiler *c, node *first, node *into);
void make_presence(node *n, node *name, bool negated);
const char *describe(const node *n);
uint32_t count_nodes(const node *first);
bool is_number(type t);
bool is_literal(const node *n, type t);
node *new_node(compiler *c, node_kind kind, uint32_t at);
SL_CHECKED sl_status set_path(compiler *c, node *n, const char *before,
                              const token *name);
const char *operation_text(operation op);

// ---- Program
// ---------------------------------------------------------------------------------

/** A column of up to CHUNK_ROWS cells. `valid` 0 is an error or a missing value. */
struct vector {
    type type, element;
    uint8_t scale;
    bool constant; /**< All CHUNK_ROWS cells are filled and alike. */
    uint8_t *valid;
    union {
        int64_t *i64;
        uint64_t *u64;
        double *f64;
        uint8_t *truth;
        text *text;
        list *list;
        void *any;
    } values;
    // What explain() tells of a row that is not valid.
    uint32_t at;
    const char *reason; /**< Of its step; NULL: errors come from operands only. */
    const char *path;   /**< Of an input. */
    const vector *from[ARGUMENTS_MAX];
    const vector *const *many;
    uint32_t many_count;
    bool chooses; /**< from[0] says which of the others counts. */
};

/** Constants of `in`, and keys of a map. */
typedef struct set {
    uint32_t count;
    int64_t *i64; /**< Sorted; uint64 as the bits they have. */
    double *f64;
    text *text;      /**< Sorted by length, then bytes. */
    uint32_t *place; /**< Of a map's key among its values; else NULL. */
} set;

typedef struct step step;
/** @return false when out of memory. */
typedef bool kernel(const step *step, uint32_t rows);
struct step {
    kernel *run;
    vector *out;
    const vector *in[ARGUMENTS_MAX];
    const vector *const *many; /**< Elements of a list. */
    uint32_t many_count;
    uint8_t accept;         /**< Comparisons: which orders are true, bits ORDER_*. */
    int64_t unit_a, unit_b; /**< Decimals: powers of ten that bring both sides to one
                               scale. Of a call, unit_a is the function's parameter. */
    const set *set;
    const zone *zone; /**< NULL is UTC. */
    pattern *pattern;
    sl_arena *made; /**< For texts and lists that a step makes; reset at each run. */
};

enum { ORDER_LESS = 1, ORDER_EQUAL = 2, ORDER_GREATER = 4, ORDER_NONE = 8 };

enum {
    GLOBAL = 1,  /**< f(x, y) */
    METHOD = 2,  /**< x.f(y) */
    AT_ONCE = 4, /**< A constant that fails is refused when compiled. */
};

/**
 * One way to call a function; a name may have several rows. The signature has a letter
 * for each argument, the receiver first, then ':' and the result:
 *   b bool, i int, u uint, d double, m decimal, a date, t timestamp, p duration (period),
 *   s string, y bytes, S list of strings, L any list;
 *   z a time zone and r a regular expression, both constant strings.
 */
struct function {
    const char *name;
    unsigned styles;
    const char *signature;
    kernel *run;
    int64_t parameter;
    const char *reason; /**< Why a row fails; NULL: it never does. */
};

/** All rows; `count` of them. */
const function *all_functions(size_t *count);
const function *find_function(const char *name, const char *signature); /**< Is there. */
type type_of_letter(char letter);

/** What a run puts into a vector before the steps. */
typedef struct input {
    vector *vector;
    uint8_t *
        own_valid; /**< The vector's own memory; a batch's columns may stand in for it. */
    void *own_values;
    uint32_t column, input;
    sl_type column_type; /**< As compiled. */
    bool presence;       /**< has(): truth is whether it is there. */
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
    vector *absent;    /**< Rows whose answer is null on purpose; or NULL. */
    pattern *patterns; /**< To be freed with the program. */
} program;

SL_CHECKED sl_status compile(compiler *c, node *root, program *out, sl_arena *made);
/** Where the error of a row that isn't valid comes from. */
const vector *origin_of_error(const vector *v, uint32_t row);
size_t cell_bytes(type t);

// ---- Regular expressions (pattern.c) and time zones (zone.c)
// ---------------------------------

/** Compiles RE2's syntax. The pattern is put in front of `*all`. */
SL_CHECKED sl_status pattern_create(const compiler *c, uint32_t at, text source,
                                    pattern **all);
void pattern_destroy_all(pattern *all);
typedef enum matched {
    MATCHED_NO,
    MATCHED_YES,
    MATCHED_FAILED,
    MATCHED_NO_MEMORY
} matched;
matched pattern_match(pattern *p, text subject);

/** "UTC" (*out is NULL), "+02:00", "Europe/Oslo"; lives in the compiler's memory. */
SL_CHECKED sl_status zone_find(const compiler *c, uint32_t at, text name,
                               const zone **out);
/** Microseconds east of UTC at that instant. */
int64_t zone_offset_us(const zone *z, int64_t us);

// ---- Kernels
// ---------------------------------------------------------------------------------

kernel run_or, run_and, run_not, run_or_strict;
kernel run_condition_i64, run_condition_f64, run_condition_truth, run_condition_text,
    run_condition_list;
kernel run_compare_i64, run_compare_u64, run_compare_f64, run_compare_truth,
    run_compare_text, run_equal_text, run_compare_scaled, run_compare_i64_f64,
    run_compare_u64_f64, run_compare_i64_u64;
kernel run_in_i64, run_in_f64, run_in_text;
kernel run_add_i64, run_subtract_i64, run_multiply_i64, run_divide_i64, run_modulo_i64,
    run_negate_i64;
kernel run_add_u64, run_subtract_u64, run_multiply_u64, run_divide_u64, run_modulo_u64;
kernel run_add_f64, run_subtract_f64, run_multiply_f64, run_divide_f64, run_divide_real,
    run_negate_f64;
kernel run_add_scaled, run_subtract_scaled, run_multiply_scaled, run_modulo_scaled;
kernel run_i64_to_f64, run_u64_to_f64, run_scaled_to_f64, run_rescale;
/** Sums and differences of times; unit_a and unit_b are the bounds of the result. */
kernel run_add_bounded, run_subtract_bounded;
kernel run_extreme_i64, run_extreme_u64, run_extreme_f64;

kernel run_concatenate, run_size, run_size_bytes, run_starts_with, run_ends_with,
    run_contains, run_matches;
kernel run_char_at, run_index_of, run_last_index_of, run_lower_ascii, run_upper_ascii,
    run_replace, run_split, run_substring, run_trim, run_reverse, run_quote,
    run_base64_encode, run_base64_decode;

kernel run_format_double, run_format_int, run_format_uint, run_format_bool,
    run_format_bytes;
kernel run_same_i64, run_same_f64, run_same_truth, run_same_text;
kernel run_text_to_bool, run_text_to_int, run_text_to_uint, run_text_to_double,
    run_text_to_timestamp, run_text_to_duration, run_bytes_to_text;
kernel run_f64_to_i64, run_f64_to_u64, run_i64_to_u64, run_scaled_to_i64, run_per_second,
    run_seconds_to_timestamp, run_date_to_timestamp, run_microseconds_to_f64;
kernel run_bool_to_text, run_int_to_text, run_uint_to_text, run_double_to_text,
    run_decimal_to_text, run_timestamp_to_text, run_date_to_text, run_duration_to_text;
kernel run_round_f64, run_round_scaled, run_abs_i64, run_abs_f64, run_sign_i64,
    run_sign_u64, run_sign_f64, run_sign_scaled, run_class_f64, run_bits, run_bit_not,
    run_shift, run_square_root;

/** The function's parameter of run_timestamp_part and its fellows. */
enum time_part {
    PART_YEAR,
    PART_MONTH,
    PART_DAY_OF_YEAR,
    PART_DAY_OF_MONTH,
    PART_DATE,
    PART_DAY_OF_WEEK,
    PART_HOURS,
    PART_MINUTES,
    PART_SECONDS,
    PART_MILLISECONDS
};
kernel run_timestamp_part, run_date_part, run_duration_part;

kernel run_make_list, run_list_index, run_list_size, run_list_join, run_list_concatenate,
    run_list_equal, run_list_holds, run_list_extreme, run_find_i64, run_find_text;

int64_t power_of_ten(unsigned exponent); /**< 0 to 18. */
