/** @file chunk.h
 * One column of one row group while it is written: the page being filled, the pages that are done, the
 * dictionary, the statistics.
 *
 * Modes    TRIAL       the first page: values are numbered by a dictionary; when the page is full it is
 *                      known whether that pays.
 *          DICTIONARY  indices, at the width that the dictionary has reached when the page is full.
 *          PLAIN       values as they are; also where a dictionary outgrew its limit within the chunk.
 *          DELTA       integers, `lake` only; a page that would not shrink is PLAIN.
 *          What a chunk found out is its lesson; the next row group's chunk begins with it.
 * Levels   No repetition, so a level is the number of nullable fields on the path that are there. They are
 *          only stored while a page has different ones.
 */
#pragma once

#include "codec.h"
#include "dictionary.h"
#include "statistics.h"

#include "sluice/parquet.h"

#define SL_PARQUET_STEP_ROWS 256u
#define SL_PARQUET_PAGE_ROWS_MAX 65536u

typedef enum sl_parquet_kind { KIND_BOOL, KIND_NUMBER, KIND_REAL, KIND_TEXT } sl_parquet_kind;

/** What doesn't change: a column of the schema. */
typedef struct sl_parquet_leaf {
    uint32_t field;
    sl_type type;
    sl_parquet_kind kind;
    sl_parquet_physical physical;
    uint8_t width;     /**< Bytes of a plain value; 0 for KIND_TEXT and KIND_BOOL. */
    uint8_t level_max; /**< Nullable fields on the path, itself included. */
    bool nullable;
    uint32_t *chain; /**< [level_max] those fields, outermost first. */
} sl_parquet_leaf;

typedef enum sl_parquet_mode { MODE_TRIAL, MODE_DICTIONARY, MODE_PLAIN, MODE_DELTA } sl_parquet_mode;

enum { HABIT_INDICES, HABIT_PLAIN, HABIT_DELTA, HABIT_COUNT };

typedef struct sl_parquet_lesson {
    uint8_t mode; /**< sl_parquet_mode to begin with. */
    sl_parquet_habit habits[HABIT_COUNT];
} sl_parquet_lesson;

/** A finished page: header and body. */
typedef struct sl_parquet_page {
    struct sl_parquet_page *next;
    size_t length;
    uint8_t bytes[];
} sl_parquet_page;

/** What all columns of a writer share. */
typedef struct sl_parquet_settings {
    bool lake;
    int codec;               /**< CODEC_… */
    uint32_t page_bytes;
    uint32_t dictionary_bytes; /**< Limit of a dictionary page. */
    uint64_t rows_expected;  /**< Of a row group, for judging dictionaries. */
} sl_parquet_settings;

typedef struct sl_parquet_chunk {
    sl_parquet_mode mode;
    sl_parquet_habit habits[HABIT_COUNT];
    sl_parquet_dictionary dictionary;
    uint32_t seen; /**< Dictionary values that statistics and the last page know. */
    size_t seen_bytes;
    /* The page being filled. */
    uint32_t page_rows, page_values;
    uint64_t page_plain; /**< Bytes of its values if they were PLAIN. */
    bool levels_mixed;
    uint8_t level;            /**< Of all rows, unless levels_mixed. */
    sl_parquet_block levels;  /**< uint8_t */
    sl_parquet_block codes;   /**< uint32_t: TRIAL, DICTIONARY */
    sl_parquet_block numbers; /**< int64_t: KIND_NUMBER, KIND_REAL in PLAIN, DELTA */
    sl_parquet_block text;    /**< PLAIN bytes: KIND_TEXT; a byte a value: KIND_BOOL */
    size_t text_length;
    uint32_t text_first;  /**< Length of the page's first text. */
    uint32_t text_uneven; /**< Not 0: not all are that long. */
    /* The chunk. */
    uint64_t rows, nulls;
    bool always; /**< Every row so far had a value. */
    sl_parquet_statistics statistics;
    sl_parquet_page *first, *last, *dictionary_page;
    uint64_t packed_bytes, plain_bytes; /**< Of the pages, headers included. */
    uint32_t pages_plain, pages_indices, pages_delta;
} sl_parquet_chunk;

void sl_parquet_chunk_init(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                           const sl_parquet_lesson *lesson);
void sl_parquet_chunk_fini(sl_parquet_chunk *chunk, sl_parquet_store *store);
/** Append rows[first..first + count), or those rows themselves when `rows` is NULL. */
SL_CHECKED sl_status sl_parquet_chunk_append(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                             const sl_parquet_settings *settings,
                                             sl_parquet_store *store, const sl_batch *batch,
                                             const uint32_t *rows, uint32_t first, uint32_t count);
/** Append `count` rows without a value, at one level. */
SL_CHECKED sl_status sl_parquet_chunk_nulls(sl_parquet_chunk *chunk, sl_parquet_store *store,
                                            const uint8_t *levels, uint8_t level, uint64_t count);
/** Finish the page being filled. @param last The chunk ends here. */
SL_CHECKED sl_status sl_parquet_chunk_flush(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                            const sl_parquet_settings *settings,
                                            sl_parquet_store *store, bool last);
/**
 * Make dictionary_page, when there is a dictionary; a long one in slices.
 * @return SL_EAGAIN: call again; SL_OK, SL_ENOMEM, SL_EFULL.
 */
SL_CHECKED sl_status sl_parquet_chunk_dictionary(sl_parquet_chunk *chunk,
                                                 const sl_parquet_leaf *leaf,
                                                 const sl_parquet_settings *settings,
                                                 sl_parquet_store *store,
                                                 sl_parquet_slices *slices);
sl_parquet_lesson sl_parquet_chunk_lesson(const sl_parquet_chunk *chunk);
/** Bytes of the chunk if it ended now, about. */
uint64_t sl_parquet_chunk_estimate(const sl_parquet_chunk *chunk,
                                   const sl_parquet_settings *settings);

/** page.c: encode, compress and append the page being filled; the mode is decided. */
SL_CHECKED sl_status sl_parquet_page_write(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                           const sl_parquet_settings *settings,
                                           sl_parquet_store *store);
/** judge.c: is the dictionary worth it? Sets the mode, and takes the page's values out of it if not. */
SL_CHECKED sl_status sl_parquet_judge(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                      const sl_parquet_settings *settings, sl_parquet_store *store,
                                      bool last);
