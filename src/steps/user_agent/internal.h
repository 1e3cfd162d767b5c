/** @file internal.h
 * What the files of this folder share.
 */
#pragma once

#include "sluice/user_agent.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { LIST_BROWSER, LIST_OS, LIST_DEVICE, LISTS };

#define TEMPLATES_MAX 5u /**< Replacements of one rule: an OS has five. */
#define TEMPLATE_BYTES_MAX 512u

/** What a part of the answer is made of: text with $1 to $9 in it, or, without one, a
 * group of the match. */
typedef struct template {
    const char *text; /**< NULL: none. */
    uint32_t length;
    bool groups; /**< It has a $1 to $9. */
}
template;

typedef struct rule {
    pcre2_code *code;
    template templates[TEMPLATES_MAX];
    const char *regex; /**< Only while loading. */
    uint32_t regex_length;
    uint32_t line;
    uint32_t groups; /**< That the expression captures. */
    bool caseless;
    bool jit;
} rule;

typedef struct rule_list {
    rule *rules;
    uint32_t count, capacity;
} rule_list;

/** Where part `template` of a list goes, and which group stands in for a replacement that
 * isn't there (0: none). */
typedef struct part_rule {
    sl_user_agent_part part;
    uint8_t group;
    const char *key; /**< "family_replacement" */
} part_rule;
typedef struct list_shape {
    const char *key; /**< "user_agent_parsers" */
    uint32_t parts;
    bool trimmed; /**< White space at a replacement's ends goes. */
    part_rule part[TEMPLATES_MAX];
} list_shape;
extern const list_shape sl_user_agent_lists[LISTS];

/** Read the file into `lists`; texts come from `arena`. */
sl_status sl_user_agent_read(const char *yaml, size_t length, rule_list lists[LISTS],
                             sl_arena *arena, sl_error *error);

// ---- literals.c

/** Texts in lower case of which every match of an expression contains one. */
typedef struct literal_set {
    const char **text;
    uint32_t *length;
    uint32_t count;
} literal_set;
/**
 * @param[out] out count 0: nothing is known, the expression has to be tried on every
 * string. Memory from `arena`.
 * @return false when out of memory.
 */
bool sl_user_agent_literals(const char *regex, uint32_t length, bool caseless,
                            sl_arena *arena, literal_set *out);

// ---- filter.c

/** Which rules may match a string: those whose literals are in it, and those that have
 * none. */
typedef struct filter {
    uint8_t class_of[256]; /**< Of a byte, in lower case; 0: in no literal. */
    uint32_t classes, states;
    uint16_t *next;   /**< [states][classes] */
    uint16_t *output; /**< [states] nearest state on the suffix path, itself included,
                         that ends a literal; 0: none. */
    uint16_t *after; /**< [states] for a state that ends a literal, the next such state on
                        its suffix path. */
    uint32_t *atom_of; /**< [states] literal that ends here. */
    uint32_t atoms;
    uint32_t *first;    /**< [atoms + 1] into `rules`. */
    uint32_t *rules;    /**< Numbers of rules, all lists in one row. */
    uint64_t *always;   /**< Bits of rules without literals. */
    uint64_t *caseless; /**< Bits of rules that ignore case. */
    uint32_t words;     /**< Of a set of rules. */
    size_t memory;
} filter;

/** @param sets One for each rule. @return false when out of memory. */
bool sl_user_agent_filter_init(filter *f, const literal_set *sets, const bool *caseless,
                               uint32_t rules);
void sl_user_agent_filter_fini(filter *f);
/** @param seen Scratch of (atoms + 63) / 64 words. @param[out] candidates `words` words.
 */
void sl_user_agent_filter_run(const filter *f, const uint8_t *text, size_t length,
                              uint64_t *seen, uint64_t *candidates);

// ---- match.c

/** What one thread needs to match. */
typedef struct matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    uint64_t *candidates, *seen; /**< One block. */
    sl_buffer texts;             /**< Of the last answer. */
    uint64_t matches, limited;
} matcher;

/** Lengths of the parts, then their texts one behind the other: what is kept of a string.
 */
typedef struct answer_head {
    uint32_t length[SL_UA_PARTS]; /**< UINT32_MAX: null. */
    uint32_t known;               /**< Whether any list matched. */
} answer_head;

bool sl_user_agent_matcher_init(matcher *m, const sl_user_agent_rules *rules);
void sl_user_agent_matcher_fini(matcher *m);
/** @param text UTF-8 or not. @return false when out of memory; else head and texts are in
 * m->texts. */
bool sl_user_agent_match(matcher *m, const sl_user_agent_rules *rules, const char *text,
                         size_t length, bool filtered);

struct sl_user_agent_rules {
    _Atomic uint32_t references;
    sl_budget *budget; /**< What they are counted in; NULL: nothing. */
    uint64_t charged;
    rule_list lists[LISTS];
    uint32_t base[LISTS + 1]; /**< Number of a list's first rule. */
    filter filter;
    pcre2_general_context *memory_context;
    pcre2_compile_context *compile_context;
    sl_arena texts;
    size_t code_bytes;
    sl_hash128 version;
};
