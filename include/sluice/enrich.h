/** @file enrich.h
 * What the steps lookup, geoip and user_agent share: declaring the columns, and counting rows.
 *
 * A step is made per worker from data that is immutable and shared by reference count (rules, a database, a table).
 * It reads one or more columns of a batch, looks at rows with verdict SL_VERDICT_KEEP alone, and writes columns of
 * origin SL_ORIGIN_STEP. A row without an answer keeps nulls there; no step of this kind changes a verdict.
 *
 * Refresh  The owner of a step gives it newer data between two batches; what the old data needs stays until its last
 *          reference goes. Which data a batch saw is therefore decided by position, never by a clock (I2).
 * Threads  Declaring: before the schema is shared. A step: its worker.
 */
#pragma once

#include "sluice/batch.h"

/** rows = hits + misses + absent. Steps add to these; nobody resets them. */
typedef struct sl_enrich_counts {
    uint64_t rows;   /**< Kept rows that the step saw. */
    uint64_t hits;   /**< Rows that got an answer. */
    uint64_t misses; /**< Rows with a value that nothing is known about. */
    uint64_t absent; /**< Rows whose input is null or not there. */
} sl_enrich_counts;

#define SL_ENRICH_GROUPS_MAX 32u /**< Enclosing objects of one step's columns. */

/**
 * While a schema is built: the column at `path`, with the objects around it. Objects and columns that a step declared
 * before are used again, so two steps may fill different columns of one object, or the same column (the later wins).
 * @param path Dotted. An object of the event itself may enclose it, a column of the event's may not be it.
 * @return SL_EEXIST (the event has such a member, or it has another type), SL_EINVAL (a part of the path is no object, or
 *         is empty), SL_ELIMIT (SL_FIELDS_MAX, depth), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_enrich_declare(sl_schema *schema, const char *path, sl_type type, uint32_t *field,
                                     sl_error *error);
/**
 * Objects that enclose the fields, each once, without the root: their `valid` is to be set in rows that get a value.
 * Fields may be SL_NO_FIELD. @return how many, at most SL_ENRICH_GROUPS_MAX.
 */
size_t sl_enrich_groups(const sl_schema *schema, const uint32_t *fields, size_t count,
                      uint32_t groups[SL_ENRICH_GROUPS_MAX]);
