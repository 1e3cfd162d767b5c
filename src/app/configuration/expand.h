/** @file expand.h
 * `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` in the scalars of a tree.
 *
 * Order    After parsing, so a value can't change the shape of the file. What a variable
 * holds is not expanded again; a default may hold further `${…}`, SL_EXPAND_DEPTH levels
 * deep.
 */
#pragma once

#include "tree.h"

#define SL_EXPAND_DEPTH 8u
#define SL_EXPAND_BYTES (1u << 20)

typedef struct sl_environment {
    const char *const *variables; /**< "NAME=value", NULL-terminated; may be NULL. */
    bool *used;                   /**< Per variable; may be NULL. */
} sl_environment;

/** @return The value, or NULL when it isn't set. Marks the variable as used. */
const char *sl_environment_get(const sl_environment *environment, const char *name,
                               size_t length);
/** Expand all scalars below `node`; what is wrong goes to `problems`. */
void sl_expand_tree(sl_tree *tree, const sl_environment *environment, sl_node *node,
                    sl_problems *problems);
