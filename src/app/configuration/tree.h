/** @file tree.h
 * A YAML document as a small tree whose every node knows where it was written, and the
 * list of problems that point into it.
 *
 * Memory   Nodes and texts live in the tree's arena.
 * Limits   SL_TREE_NODES nodes, SL_TREE_COPIES of them copied by aliases, SL_TREE_DEPTH
 * levels, SL_TREE_ENTRIES entries in one map. Threads  Its owner. Source   YAML 1.2.2;
 * libyaml reads 1.1, of which the core schema's types alone are used here.
 */
#pragma once

#include "sluice/buffer.h"

#include <stdarg.h>

#define SL_TREE_NODES 50000u
#define SL_TREE_COPIES 10000u
#define SL_TREE_DEPTH 64u
#define SL_TREE_ENTRIES 2000u
#define SL_PROBLEMS_MAX 10u
#ifndef SL_TREE_BLOCK_BYTES /* A test makes it 1, so that every piece is an allocation   \
                               of its own. */
#define SL_TREE_BLOCK_BYTES 16384
#endif

typedef enum sl_node_kind { SL_NODE_SCALAR, SL_NODE_MAP, SL_NODE_LIST } sl_node_kind;

typedef struct sl_node sl_node;
struct sl_node {
    sl_node_kind kind;
    bool plain;            /**< A scalar without quotes: may be null, true or a number. */
    bool literal;          /**< From the environment: `$` means nothing in it. */
    bool copied;           /**< Of another node, which is said what is wrong with it. */
    uint32_t line, column; /**< From 1. */
    const char *origin; /**< The environment variable it came from, or NULL: the file. */
    const char *text;   /**< Scalars; 0-terminated, without a 0 inside. */
    const char *key;    /**< Children of maps. */
    uint32_t key_hash, key_line, key_column;
    uint32_t count; /**< Children. */
    sl_node *first, *last, *next;
};

typedef struct sl_tree {
    sl_arena arena;
    const char *file; /**< Borrowed; what messages call the text. */
    sl_node *root;    /**< A map; empty for an empty document. */
    uint32_t nodes, copies;
} sl_tree;

void sl_yaml_init(sl_tree *tree, const char *file);
void sl_yaml_fini(sl_tree *tree);
/**
 * Read one document into `tree->root`.
 * @return SL_OK; SL_ESYNTAX, SL_ELIMIT, SL_ENOMEM with "FILE:LINE:COLUMN: …" in `error`.
 */
SL_CHECKED sl_status sl_yaml_parse(sl_tree *tree, const char *text, size_t length,
                                   sl_error *error);
/** A new node in the arena, marked as coming from `origin`; NULL when out of memory. */
sl_node *sl_yaml_node(sl_tree *tree, sl_node_kind kind, const char *origin);
sl_node *sl_yaml_scalar(sl_tree *tree, const char *text, const char *origin);
/** A copy for another place, without its key. Problems that point at it are their original's alone. NULL when out of memory, or of SL_TREE_COPIES. */
sl_node *sl_yaml_copy(sl_tree *tree, const sl_node *node);
/** Put `child` last into a list, or into a map under `key`, in the place of what was
 * there. */
void sl_yaml_put(sl_node *parent, const char *key, sl_node *child);
sl_node *sl_yaml_child(const sl_node *map,
                       const char *key); /**< NULL when there is none. */
/** Take the entry out of the map; nothing happens when there is none. */
void sl_yaml_drop(sl_node *map, const char *key);
/** What a scalar without quotes means in JSON: "null", "true", "1.5"; NULL: a text. */
const char *sl_yaml_plain(const sl_node *scalar);
/** Plain "", "~", "null" and quoted "": nothing was said. */
bool sl_yaml_is_empty(const sl_node *node);
/** The node as JSON on one line. @param doubled Write `$` of scalars as `$$`, to be read
 * again. */
void sl_yaml_json(const sl_node *node, bool doubled, sl_buffer *out);

/** What is wrong, with places: sorted by place, the first one leads. */
typedef struct sl_problem {
    uint32_t line, column;
    sl_status status;
    const char *text;
} sl_problem;

typedef struct sl_problems {
    sl_tree *tree;
    sl_problem list[SL_PROBLEMS_MAX];
    uint32_t count, left_out;
    bool out_of_memory;
} sl_problems;

/** @param at The place; NULL: the file as a whole. @param key Point at the key rather
 * than the value. */
void sl_problem_add(sl_problems *problems, const sl_node *at, bool key, sl_status status,
                    const char *format, ...) SL_PRINTF(5, 6);
/** All problems as lines into `error`. @return SL_OK when there is none. */
sl_status sl_problems_report(sl_problems *problems, sl_error *error);
