#include "chunk.h"
#include "encoding.h"

#include <assert.h>

/** Rows of a step: which have a value, and each one's level. */
typedef struct step {
    uint32_t rows, values;
    bool full; /**< Every row has a value. */
    uint32_t index[SL_PARQUET_STEP_ROWS];
    uint8_t level[SL_PARQUET_STEP_ROWS];
} step;

/** Validity of a field that an older version of the schema doesn't have. */
static const uint8_t absent[SL_BATCH_ROWS_MAX];

void sl_parquet_chunk_init(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                           const sl_parquet_lesson *lesson) {
    *chunk = (sl_parquet_chunk){.mode = MODE_TRIAL, .always = true};
    if (lesson) {
        chunk->mode = (sl_parquet_mode)lesson->mode;
        memcpy(chunk->habits, lesson->habits, sizeof chunk->habits);
    }
    if (leaf->kind == KIND_BOOL)
        chunk->mode = MODE_PLAIN;
}

static void drop_pages(sl_parquet_store *store, sl_parquet_page *page) {
    while (page) {
        sl_parquet_page *next = page->next;
        sl_parquet_give(store, page, sizeof *page + page->length);
        page = next;
    }
}

void sl_parquet_chunk_fini(sl_parquet_chunk *chunk, sl_parquet_store *store) {
    drop_pages(store, chunk->first);
    drop_pages(store, chunk->dictionary_page);
    sl_parquet_dictionary_fini(&chunk->dictionary, store);
    sl_parquet_release(store, &chunk->levels);
    sl_parquet_release(store, &chunk->codes);
    sl_parquet_release(store, &chunk->numbers);
    sl_parquet_release(store, &chunk->text);
    *chunk = (sl_parquet_chunk){0};
}

sl_parquet_lesson sl_parquet_chunk_lesson(const sl_parquet_chunk *chunk) {
    // A dictionary that was left for its size serves the next chunk as long again.
    bool outgrew = chunk->pages_indices && chunk->mode != MODE_DICTIONARY && !chunk->dictionary.spoilt;
    sl_parquet_lesson lesson = {.mode = (uint8_t)(outgrew ? MODE_DICTIONARY : chunk->mode)};
    memcpy(lesson.habits, chunk->habits, sizeof lesson.habits);
    return lesson;
}

uint64_t sl_parquet_chunk_estimate(const sl_parquet_chunk *chunk,
                                   const sl_parquet_settings *settings) {
    uint64_t bytes = chunk->packed_bytes;
    uint64_t raw = chunk->dictionary.length;
    if (chunk->mode == MODE_DICTIONARY || chunk->mode == MODE_TRIAL)
        bytes += (uint64_t)chunk->page_values * sl_parquet_width(chunk->dictionary.count) / 8;
    else
        raw += chunk->page_plain;
    return bytes + (settings->codec == CODEC_UNCOMPRESSED ? raw : raw / 2);
}

static const uint8_t *valid_of(const sl_batch *batch, uint32_t field) {
    return field < batch->schema->count ? batch->columns[field].valid : absent;
}

static bool all_valid(const uint8_t *valid, const uint32_t *rows, uint32_t first, uint32_t count) {
    if (!rows)
        return !memchr(valid + first, 0, count);
    unsigned all = 1;
    for (uint32_t i = 0; i < count; i++)
        all &= valid[rows[i]];
    return all;
}

static void select_some(const sl_parquet_leaf *leaf, const sl_batch *batch, step *s) {
    s->values = 0;
    memset(s->level, 0, s->rows);
    for (uint32_t i = 0; i < s->rows; i++) {
        uint32_t row = s->index[i];
        uint8_t level = 0;
        while (level < leaf->level_max && valid_of(batch, leaf->chain[level])[row])
            level++;
        s->level[i] = level;
        s->index[s->values] = row; // Never ahead of i.
        s->values += level == leaf->level_max;
    }
}

/** Fill `s` with `count` rows from rows[first], or from row `first`. */
static void select_rows(const sl_parquet_leaf *leaf, const sl_batch *batch, const uint32_t *rows,
                        uint32_t first, uint32_t count, step *s) {
    s->rows = s->values = count;
    s->full = true;
    for (unsigned k = 0; k < leaf->level_max && s->full; k++)
        s->full = all_valid(valid_of(batch, leaf->chain[k]), rows ? rows + first : NULL, first, count);
    if (rows)
        memcpy(s->index, rows + first, count * sizeof *rows);
    else
        for (uint32_t i = 0; i < count; i++)
            s->index[i] = first + i;
    if (!s->full)
        select_some(leaf, batch, s);
}

/** Take the levels of `count` rows: an array, or one for all when `levels` is NULL. */
static sl_status add_levels(sl_parquet_chunk *chunk, sl_parquet_store *store, const uint8_t *levels,
                            uint8_t level, uint32_t count) {
    bool same = true;
    if (levels) {
        level = levels[0];
        same = !memcmp(levels, levels + 1, count - 1); // Each equals the next.
    }
    if (!chunk->page_rows)
        chunk->level = level;
    if (same && !chunk->levels_mixed && chunk->level == level) {
        chunk->page_rows += count;
        return SL_OK;
    }
    sl_status status = sl_parquet_grow(store, &chunk->levels, (size_t)chunk->page_rows + count);
    if (status)
        return status;
    uint8_t *at = chunk->levels.data;
    if (!chunk->levels_mixed)
        memset(at, chunk->level, chunk->page_rows);
    chunk->levels_mixed = true;
    if (levels)
        memcpy(at + chunk->page_rows, levels, count);
    else
        memset(at + chunk->page_rows, level, count);
    chunk->page_rows += count;
    return SL_OK;
}

/** Statistics of the dictionary's new values: each distinct value is looked at once. */
static void see_new(sl_parquet_chunk *chunk, sl_parquet_kind kind) {
    const uint8_t *values = chunk->dictionary.values.data;
    size_t at = chunk->seen_bytes;
    if (kind == KIND_TEXT) {
        while (at < chunk->dictionary.length) {
            uint32_t length;
            memcpy(&length, values + at, 4);
            sl_parquet_see_text(&chunk->statistics, values + at + 4, length);
            at += 4u + length;
        }
    } else if (at < chunk->dictionary.length) {
        const int64_t *numbers = (const int64_t *)chunk->dictionary.values.data + at / 8;
        size_t count = (chunk->dictionary.length - at) / 8;
        if (kind == KIND_REAL)
            sl_parquet_see_real(&chunk->statistics, numbers, count);
        else
            sl_parquet_see_number(&chunk->statistics, numbers, count);
    }
    chunk->seen_bytes = chunk->dictionary.length;
}

static sl_status room_for_codes(sl_parquet_chunk *chunk, sl_parquet_store *store, uint32_t count,
                                uint32_t **out) {
    size_t have = chunk->page_values;
    sl_status status = sl_parquet_grow(store, &chunk->codes, (have + count) * sizeof **out);
    if (!status)
        *out = (uint32_t *)chunk->codes.data + have;
    return status;
}

/** Copy 0 to 64 bytes by stores of fixed size that overlap; longer ones by memcpy. */
static inline void copy_text(uint8_t *to, const uint8_t *from, size_t length) {
    if (length > 64 || length < 4) {
        if (length > 64)
            memcpy(to, from, length);
        else
            for (size_t i = 0; i < length; i++)
                to[i] = from[i];
    } else if (length >= 32) {
        memcpy(to, from, 32);
        memcpy(to + length - 32, from + length - 32, 32);
    } else if (length >= 16) {
        memcpy(to, from, 16);
        memcpy(to + length - 16, from + length - 16, 16);
    } else if (length >= 8) {
        memcpy(to, from, 8);
        memcpy(to + length - 8, from + length - 8, 8);
    } else {
        memcpy(to, from, 4);
        memcpy(to + length - 4, from + length - 4, 4);
    }
}

static sl_status add_plain_texts(sl_parquet_chunk *chunk, sl_parquet_store *store,
                                 const sl_parquet_piece *pieces, uint32_t count, size_t bytes) {
    sl_status status = sl_parquet_grow(store, &chunk->text, chunk->text_length + bytes);
    if (status || !count)
        return status;
    uint8_t *at = (uint8_t *)chunk->text.data + chunk->text_length;
    if (!chunk->page_values)
        chunk->text_first = pieces[0].length;
    uint32_t uneven = chunk->text_uneven;
    for (uint32_t i = 0; i < count; i++) {
        sl_parquet_piece piece = pieces[i];
        memcpy(at, &piece.length, 4);
        copy_text(at + 4, piece.bytes, piece.length);
        sl_parquet_see_text(&chunk->statistics, piece.bytes, piece.length);
        uneven |= piece.length ^ chunk->text_first;
        at += 4u + piece.length;
    }
    chunk->text_uneven = uneven;
    chunk->text_length += bytes;
    return SL_OK;
}

/** @return the plain bytes of the step's texts. */
static size_t gather_texts(const sl_parquet_leaf *leaf, const sl_batch *batch, const step *s,
                           sl_parquet_piece *pieces) {
    const sl_column *column = &batch->columns[leaf->field];
    size_t bytes = 0;
    for (uint32_t i = 0; i < s->values; i++) {
        uint32_t row = s->index[i];
        sl_span span = column->values.span[row];
        // A required field without a value (its undefined span may point anywhere) is written as "".
        if (!leaf->nullable && !column->valid[row])
            span = (sl_span){0, 0};
        pieces[i] = (sl_parquet_piece){sl_batch_text(batch, span), span.length};
        bytes += 4u + (size_t)span.length;
    }
    for (uint32_t i = 0; i < s->values; i++) { // A batch is larger than the second-level cache.
        if (pieces[i].length == 0)
            continue;
        sl_touch(pieces[i].bytes);
        sl_touch(pieces[i].bytes + pieces[i].length - 1);
    }
    return bytes;
}

static sl_status add_texts(sl_parquet_chunk *chunk, sl_parquet_store *store,
                           const sl_parquet_piece *pieces, uint32_t count, size_t bytes) {
    sl_status status;
    if (chunk->mode == MODE_PLAIN) {
        status = add_plain_texts(chunk, store, pieces, count, bytes);
    } else {
        uint32_t *codes;
        status = room_for_codes(chunk, store, count, &codes);
        if (!status)
            status = sl_parquet_dictionary_texts(&chunk->dictionary, store, pieces, count, codes);
        if (!status)
            see_new(chunk, KIND_TEXT);
    }
    chunk->page_plain += bytes;
    return status;
}

static void gather_numbers(const sl_parquet_leaf *leaf, const sl_batch *batch, const step *s,
                           int64_t *out) {
    const sl_column *column = &batch->columns[leaf->field];
    if (leaf->kind == KIND_REAL)
        for (uint32_t i = 0; i < s->values; i++)
            memcpy(&out[i], &column->values.f64[s->index[i]], sizeof *out);
    else
        for (uint32_t i = 0; i < s->values; i++)
            out[i] = column->values.i64[s->index[i]];
    if (!leaf->nullable)
        for (uint32_t i = 0; i < s->values; i++)
            out[i] = column->valid[s->index[i]] ? out[i] : 0;
}

static sl_status add_numbers(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                             sl_parquet_store *store, const sl_batch *batch, const step *s) {
    int64_t numbers[SL_PARQUET_STEP_ROWS], *at = numbers;
    sl_status status;
    bool coded = chunk->mode == MODE_TRIAL || chunk->mode == MODE_DICTIONARY;
    if (!coded) {
        size_t have = chunk->page_values;
        status = sl_parquet_grow(store, &chunk->numbers, (have + s->values) * sizeof *at);
        if (status)
            return status;
        at = (int64_t *)chunk->numbers.data + have;
    }
    gather_numbers(leaf, batch, s, at);
    chunk->page_plain += (uint64_t)s->values * leaf->width;
    if (coded) {
        uint32_t *codes;
        status = room_for_codes(chunk, store, s->values, &codes);
        if (!status)
            status = sl_parquet_dictionary_numbers(&chunk->dictionary, store, at, s->values, codes);
        if (!status)
            see_new(chunk, leaf->kind);
        return status;
    }
    if (leaf->kind == KIND_REAL)
        sl_parquet_see_real(&chunk->statistics, at, s->values);
    else
        sl_parquet_see_number(&chunk->statistics, at, s->values);
    return SL_OK;
}

static sl_status add_truths(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                            sl_parquet_store *store, const sl_batch *batch, const step *s) {
    sl_status status = sl_parquet_grow(store, &chunk->text, chunk->text_length + s->values);
    if (status)
        return status;
    const sl_column *column = &batch->columns[leaf->field];
    uint8_t *at = (uint8_t *)chunk->text.data + chunk->text_length;
    unsigned count = 0;
    for (uint32_t i = 0; i < s->values; i++) {
        uint32_t row = s->index[i];
        at[i] = column->values.truth[row] && (leaf->nullable || column->valid[row]);
        count += at[i];
    }
    int64_t seen[2] = {count == s->values, count > 0}; // Least and greatest.
    if (s->values)
        sl_parquet_see_number(&chunk->statistics, seen, 2);
    chunk->text_length += s->values;
    chunk->page_plain += s->values / 8;
    return SL_OK;
}

/** Append up to `count` rows. @param[out] done How many. */
static sl_status append_step(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                             const sl_parquet_settings *settings, sl_parquet_store *store,
                             const sl_batch *batch, const uint32_t *rows, uint32_t first,
                             uint32_t count, uint32_t *done) {
    step s;
    sl_parquet_piece pieces[SL_PARQUET_STEP_ROWS];
    size_t bytes = 0;
    for (;; count /= 2) { // Long texts: fewer rows, so that pages stay near their size.
        select_rows(leaf, batch, rows, first, count, &s);
        if (leaf->kind == KIND_TEXT && s.values)
            bytes = gather_texts(leaf, batch, &s, pieces);
        if (bytes <= settings->page_bytes || count == 1)
            break;
    }
    if (bytes > INT32_MAX / 2)
        return SL_ELIMIT;
    sl_status status = SL_OK;
    if (s.values && leaf->kind == KIND_TEXT)
        status = add_texts(chunk, store, pieces, s.values, bytes);
    else if (s.values && leaf->kind == KIND_BOOL)
        status = add_truths(chunk, leaf, store, batch, &s);
    else if (s.values)
        status = add_numbers(chunk, leaf, store, batch, &s);
    if (!status)
        status = add_levels(chunk, store, s.full ? NULL : s.level, leaf->level_max, count);
    if (status)
        return status;
    chunk->page_values += s.values;
    chunk->rows += count;
    chunk->nulls += count - s.values;
    chunk->always &= s.full;
    *done = count;
    return SL_OK;
}

sl_status sl_parquet_chunk_append(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                  const sl_parquet_settings *settings, sl_parquet_store *store,
                                  const sl_batch *batch, const uint32_t *rows, uint32_t first,
                                  uint32_t count) {
    assert(leaf->nullable || leaf->field < batch->schema->count);
    uint32_t done = 0;
    for (uint32_t at = 0; at < count; at += done) {
        uint32_t some = count - at < SL_PARQUET_STEP_ROWS ? count - at : SL_PARQUET_STEP_ROWS;
        sl_status status =
            append_step(chunk, leaf, settings, store, batch, rows, first + at, some, &done);
        bool full = chunk->page_plain >= settings->page_bytes ||
                    chunk->page_rows + SL_PARQUET_STEP_ROWS > SL_PARQUET_PAGE_ROWS_MAX;
        if (!status && full)
            status = sl_parquet_chunk_flush(chunk, leaf, settings, store, false);
        if (status)
            return status;
    }
    return SL_OK;
}

sl_status sl_parquet_chunk_nulls(sl_parquet_chunk *chunk, sl_parquet_store *store,
                                 const uint8_t *levels, uint8_t level, uint64_t count) {
    if (!count)
        return SL_OK;
    if (count > UINT32_MAX / 2)
        return SL_EFULL;
    sl_status status = add_levels(chunk, store, levels, level, (uint32_t)count);
    if (status)
        return status;
    chunk->rows += count;
    chunk->nulls += count;
    chunk->always = false;
    return SL_OK;
}

/** Did the dictionary stop paying with the page that was just written? */
static bool outgrown(const sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                     const sl_parquet_settings *settings, uint32_t values) {
    size_t bytes = leaf->kind == KIND_TEXT ? chunk->dictionary.length
                                           : (size_t)chunk->dictionary.count * leaf->width;
    uint32_t fresh = chunk->dictionary.count - chunk->seen;
    return chunk->dictionary.spoilt || bytes > settings->dictionary_bytes ||
           (chunk->pages_indices > 4 && values >= 1024 && fresh > values - values / 50);
}

sl_status sl_parquet_chunk_flush(sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf,
                                 const sl_parquet_settings *settings, sl_parquet_store *store,
                                 bool last) {
    if (!chunk->page_rows)
        return SL_OK;
    sl_status status = SL_OK;
    if (chunk->mode == MODE_TRIAL && chunk->page_values)
        status = sl_parquet_judge(chunk, leaf, settings, store, last);
    uint32_t values = chunk->page_values;
    if (!status)
        status = sl_parquet_page_write(chunk, leaf, settings, store);
    if (status)
        return status;
    if (chunk->mode == MODE_DICTIONARY) {
        if (outgrown(chunk, leaf, settings, values)) {
            chunk->mode = leaf->kind == KIND_NUMBER && settings->lake ? MODE_DELTA : MODE_PLAIN;
            sl_parquet_dictionary_close(&chunk->dictionary, store);
            sl_parquet_release(store, &chunk->codes);
        }
        chunk->seen = chunk->dictionary.count;
    }
    return SL_OK;
}
