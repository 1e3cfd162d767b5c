/** @file user_agent.h
 * User agent strings to browser, operating system and device, by the ua-parser core rules (regexes.yaml).
 *
 * Rules    Three lists of regular expressions; in each the first that matches answers. No match is the family "Other",
 *          as the specification says; such a row counts as a miss when all three lists say so. An absent or empty
 *          string is null throughout.
 * Limits   Of a string the first SL_USER_AGENT_BYTES_MAX bytes count (whole characters). A match that goes beyond
 *          PCRE2's limits counts as no match, and in `limited`.
 * Text     UTF-8, as decoders guarantee; a string that isn't is "Other". \d, \w and \b know ASCII.
 * Cost     A string seen lately: about 50 ns. Others: a few microseconds. Loading: about 0.1 s.
 * Memory   Rules: a few MiB, shared. A step: its cache, allocated once.
 * Threads  Rules are immutable, their reference count is atomic. A step belongs to one worker.
 * Source   github.com/ua-parser/uap-core, docs/specification.md; Debian package uap-core.
 */
#pragma once

#include "sluice/hash.h"
#include "sluice/enrich.h"

#define SL_USER_AGENT_BYTES_MAX 2048u
#define SL_USER_AGENT_CACHE_BYTES (4u << 20) /**< Default of a step: some 16,000 strings. */
#define SL_USER_AGENT_RULES_PATH "/usr/share/uap-core/regexes.yaml" /**< Where Debian has them. */

typedef enum sl_user_agent_part {
    SL_UA_BROWSER_FAMILY, SL_UA_BROWSER_MAJOR, SL_UA_BROWSER_MINOR, SL_UA_BROWSER_PATCH,
    SL_UA_OS_FAMILY, SL_UA_OS_MAJOR, SL_UA_OS_MINOR, SL_UA_OS_PATCH,
    SL_UA_DEVICE_FAMILY, SL_UA_DEVICE_BRAND, SL_UA_DEVICE_MODEL,
    SL_UA_OS_PATCH_MINOR, /**< The rules know it; no column by default. */
    SL_UA_PARTS
} sl_user_agent_part;
#define SL_UA_COLUMNS SL_UA_OS_PATCH_MINOR /**< Parts that sl_user_agent_declare() makes columns of. */
const char *sl_user_agent_part_path(sl_user_agent_part part); /**< "browser.family", … below `into`. */

typedef struct sl_user_agent_rules sl_user_agent_rules;
typedef struct sl_user_agent_step sl_user_agent_step;

/**
 * @param yaml regexes.yaml, borrowed for the call.
 * @return SL_ESYNTAX (with line), SL_EINVAL (a list is missing, or an expression doesn't compile: with line), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_user_agent_rules_load(const char *yaml, size_t length, sl_user_agent_rules **out,
                                              sl_error *error);
sl_user_agent_rules *sl_user_agent_rules_ref(const sl_user_agent_rules *rules);
void sl_user_agent_rules_unref(sl_user_agent_rules *rules); /**< NULL is allowed. */
sl_hash128 sl_user_agent_rules_version(const sl_user_agent_rules *rules); /**< Hash of the file. */

/** Declare the columns below `into` ("device", "client.device"); fields[SL_UA_OS_PATCH_MINOR] is SL_NO_FIELD. */
SL_CHECKED sl_status sl_user_agent_declare(sl_schema *schema, const char *into, uint32_t fields[SL_UA_PARTS],
                                           sl_error *error);
/**
 * @param rules Referenced. @param from Field of the string. @param fields Where each part goes, STRING columns; SL_NO_FIELD: nowhere.
 * @param cache_bytes 0: no cache. @return SL_OK, SL_ENOMEM.
 */
SL_CHECKED sl_status sl_user_agent_step_create(const sl_user_agent_rules *rules, uint32_t from,
                                               const uint32_t fields[SL_UA_PARTS], size_t cache_bytes,
                                               sl_user_agent_step **out);
void sl_user_agent_step_destroy(sl_user_agent_step *step); /**< NULL is allowed. */
/** From the next batch on, these rules. @return SL_OK, SL_ENOMEM and the old ones stay. */
SL_CHECKED sl_status sl_user_agent_step_use(sl_user_agent_step *step, const sl_user_agent_rules *rules);
/**
 * Fill the columns of all kept rows. A `from` that the batch's schema lacks, or has with another type, is absent.
 * @return SL_OK; SL_ENOMEM: the batch's arena is full, decode it again.
 */
SL_CHECKED sl_status sl_user_agent_step_run(sl_user_agent_step *step, sl_batch *batch, sl_enrich_counts *counts);

typedef struct sl_user_agent_figures {
    uint64_t cache_hits, cache_misses;
    uint64_t matches; /**< Expressions that were run for the misses. */
    uint64_t limited; /**< Of them given up by PCRE2's limits. */
} sl_user_agent_figures;
sl_user_agent_figures sl_user_agent_step_figures(const sl_user_agent_step *step);
size_t sl_user_agent_step_memory(const sl_user_agent_step *step); /**< Without the shared rules. */
size_t sl_user_agent_rules_memory(const sl_user_agent_rules *rules);
/** Count its memory, before they are shared (once: they stay where they are counted). The last reference gives it back. @return SL_OK, SL_EFULL. */
SL_CHECKED sl_status sl_user_agent_rules_charge(sl_user_agent_rules *rules, sl_budget *budget);

/** One part of an answer; NULL bytes: null. */
typedef struct sl_user_agent_text {
    const char *bytes;
    uint32_t length;
} sl_user_agent_text;
/**
 * One string, for tests and tools. @param filtered false: try each expression in turn, as the specification is written.
 * @return whether any list matched; the texts are the step's until its next call.
 */
bool sl_user_agent_parse(sl_user_agent_step *step, const char *text, size_t length, bool filtered,
                         sl_user_agent_text out[SL_UA_PARTS]);
