/** @file text_cache.h
 * Answers for texts seen lately: a bounded map from text to bytes that forgets the oldest.
 *
 * What is kept stands in one ring of bytes in order of arrival; a new answer overwrites the oldest. The index has
 * buckets of four places. A text is compared whole, so equal hashes never mix answers up.
 *
 * Memory   One allocation; nothing is allocated afterwards.
 * Cost     About 20 ns for a text that is there.
 * Threads  Its owner.
 */
#pragma once

#include "sluice/memory.h"

typedef struct sl_text_cache sl_text_cache;

/** What is kept of one text. */
typedef struct sl_text_answer {
    uint32_t stamp;  /**< The user's: 0 when put; for notes such as "copied to this batch". */
    uint32_t note;   /**< The user's, 0 when put. */
    uint32_t length; /**< Of the answer. */
    uint32_t text_length;
    _Alignas(8) uint8_t bytes[]; /**< Answer, then text. */
} sl_text_answer;

/** @param bytes At most this much memory; the least is 64 KiB. @return NULL when out of memory. */
sl_text_cache *sl_text_cache_create(size_t bytes);
void sl_text_cache_destroy(sl_text_cache *cache); /**< NULL is allowed. */
/** @param hash Of the text, by sl_hash64(). @return NULL: not there. Holds until the next put. */
sl_text_answer *sl_text_cache_get(sl_text_cache *cache, uint64_t hash, const void *text, uint32_t text_length);
/**
 * Keep `answer`, of which the text isn't there yet.
 * @return it; NULL: larger than an eighth of the cache, and not kept.
 */
sl_text_answer *sl_text_cache_put(sl_text_cache *cache, uint64_t hash, const void *text, uint32_t text_length,
                                  const void *answer, uint32_t length);
void sl_text_cache_clear(sl_text_cache *cache);
size_t sl_text_cache_memory(const sl_text_cache *cache);
