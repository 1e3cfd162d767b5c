/** @file tree.h
 * One JSON text as a flat tree: nodes in the order of the text, each with the index
 * behind its last descendant. A node's first child is the next node, its next sibling the
 * one at `after`.
 *
 * Strings that hold no escape stand where they are in the text; the others are unescaped
 * into one block that is as large as the text, so pointers into it stay. Of equal keys in
 * one object the last one counts: the earlier ones are `dead` and not in `count`.
 *
 * Memory   Blocks grow and are kept: in steady state a parse allocates nothing.
 * Source   RFC 8259 (JSON), RFC 3629 (UTF-8).
 */
#pragma once

#include "sluice/buffer.h"
#include "sluice/power.h"
#include "sluice/utf8.h"

#define TREE_NONE UINT32_MAX

typedef enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} json_kind;

/** A number, exactly: 0.LEAD × 10^top, where LEAD are the digits from the first that
 * isn't 0. */
typedef struct json_decimal {
    uint64_t lead; /**< The first 19 significant digits, filled up with zeros; 0: the
                      number is 0. */
    int64_t
        top; /**< Power of ten above the first digit: 10^(top-1) ≤ |value| < 10^top. */
    int64_t lowest; /**< Power of the last digit that isn't 0; below 0: no integer. */
    bool negative;  /**< Never for 0. */
    bool many; /**< There are more than 19 digits: the others are read from `text`. */
    const uint8_t *text; /**< The number as it stands, sign included. */
    uint32_t length;
} json_decimal;

typedef struct tree_node {
    uint8_t kind;           /**< json_kind */
    bool dead;              /**< A later member has the same key. */
    uint32_t after;         /**< Index behind this value. */
    uint32_t count;         /**< Members or items that count. */
    uint32_t begin, length; /**< The value in the text, with quotes or brackets. */
    uint32_t key_length;
    const uint8_t *key; /**< Unescaped; NULL for an item and the root. */
    uint64_t key_hash;
    uint32_t slots,
        slot_mask; /**< A large object's hash table in tree->slots; mask 0: none. */
    union {
        struct {
            const uint8_t *bytes; /**< Unescaped. */
            uint32_t length;
        } string;
        json_decimal number;
    } as;
} tree_node;

typedef struct tree {
    const uint8_t *text;
    uint32_t length;
    tree_node *nodes;
    uint32_t count, capacity;
    uint8_t *unescaped;
    size_t unescaped_length, unescaped_capacity;
    uint32_t *slots; /**< Hash tables of large objects: node indices, 0 for none. */
    uint32_t slot_count, slot_capacity;
    const char *fault; /**< Why it is no JSON text. */
    uint32_t fault_at;
    bool limit; /**< It may be JSON, but is too deep or too large. */
} tree;

#define TREE_NODES_MAX (UINT32_C(1) << 20) /**< Values in a text. */

/**
 * @param text Borrowed as long as the tree is used; SL_PADDING readable bytes behind it.
 * @return SL_OK, SL_ESYNTAX (fault, fault_at), SL_ELIMIT (deeper than depth_max, or over
 * 1 GiB), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_tree_parse(tree *t, const uint8_t *text, size_t length,
                                   unsigned depth_max);
void sl_tree_fini(tree *t);
uint64_t sl_tree_hash(const void *bytes, size_t length); /**< Of a key. */
/** The member that counts, or TREE_NONE. `at` is an object. */
uint32_t sl_tree_member(const tree *t, uint32_t at, const void *key, size_t length,
                        uint64_t hash);
/** As above, by C string. */
uint32_t sl_tree_get(const tree *t, uint32_t at, const char *key);
/** RFC 6901 pointer of `at`. */
void sl_tree_pointer(const tree *t, uint32_t at, sl_buffer *out);
/** Equal by JSON Schema's rule (validation, 4.2.2 of core): 1.0 is 1, members in any
 * order. */
bool sl_tree_equal(const tree *a, uint32_t x, const tree *b, uint32_t y);
/** Equal values have equal hashes. */
uint64_t sl_tree_value_hash(const tree *t, uint32_t at);
/** Add a node that is a string, for a key's own check. @return its index, TREE_NONE: out
 * of memory. */
uint32_t sl_tree_push_string(tree *t, const uint8_t *bytes, uint32_t length);

/** Code points of checked UTF-8. */
size_t sl_text_points(const uint8_t *bytes, size_t length);
/** Read a code point of checked UTF-8. @return Bytes. */
size_t sl_text_decode(const uint8_t *p, uint32_t *out);

// --- decimal.c
/** Read a number (RFC 8259 section 6). @return behind it, NULL: it is none. */
const uint8_t *sl_decimal_read(const uint8_t *p, const uint8_t *end, json_decimal *out);
/** < 0, 0, > 0, exactly. */
int sl_decimal_compare(const json_decimal *a, const json_decimal *b);
/** Is x / m an integer? `m` is above 0 and not `many`. */
bool sl_decimal_multiple(const json_decimal *x, const json_decimal *m);
/** Its digits as an integer, without the zeros at the end; only when not `many`. ×
 * 10^lowest is the value. */
uint64_t sl_decimal_digits(const json_decimal *x);
static inline bool decimal_integral(const json_decimal *x) { return x->lowest >= 0; }
