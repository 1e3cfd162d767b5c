// The writer: row groups of column chunks, written when they are full.
//
// Two row groups may live at once. `open` takes rows; when it is full it becomes `closing`, whose chunks
// are finished and given to the sink bit by bit: one step per call of sl_parquet_write(), each about a
// millisecond, and the same steps by sl_parquet_finish(). So no call pays for a whole row group.

#include "footer.h"
#include "hints.h"

#include <assert.h>

#define ROW_GROUP_BYTES (64u << 20)
#define PAGE_BYTES (256u << 10)
#define PAGE_BYTES_MIN 1024u
#define PAGE_BYTES_MAX (16u << 20)
#define DICTIONARY_BYTES_LAKE (8u << 20)
#define DICTIONARY_BYTES_COMPATIBLE (1u << 20)
#define ROWS_EXPECTED 400000u
#define ROW_BYTES_GUESS 40u
#define EMIT_BYTES (1u << 20)
#define LESSON_ROWS_MIN 4096u

typedef enum stage { STAGE_FLUSH, STAGE_DICTIONARY, STAGE_EMIT } stage;

struct sl_parquet_writer {
    sl_schema *schema;
    sl_parquet_leaves leaves;
    sl_parquet_settings settings;
    sl_parquet_store store;
    sl_parquet_hints *hints;
    uint64_t row_group_bytes;
    sl_parquet_sink_fn *sink;
    void *context;
    sl_hasher *hasher;
    sl_status status; /**< Sticky. */
    bool finished;
    uint64_t offset; /**< Bytes given to the sink. */
    uint64_t rows_out;
    uint64_t open_rows;
    sl_parquet_chunk *open; /**< [leaves.count] */
    /* The row group being written, when `closing` is not NULL. */
    sl_parquet_chunk *closing;
    uint64_t closing_rows, group_offset, group_plain, column_offset;
    uint32_t closing_leaf;
    stage stage;
    sl_parquet_page *next_page;
    sl_parquet_slices slices;
    /* Row groups' structs for the footer. */
    sl_buffer groups;
    sl_thrift_writer group;
    uint32_t group_count;
};

static size_t chunks_bytes(const sl_parquet_writer *w) {
    return w->leaves.count * sizeof(sl_parquet_chunk) + 1;
}

static void drop_chunks(sl_parquet_writer *w, sl_parquet_chunk *chunks) {
    for (uint32_t i = 0; chunks && i < w->leaves.count; i++)
        sl_parquet_chunk_fini(&chunks[i], &w->store);
    sl_parquet_give(&w->store, chunks, chunks_bytes(w));
}

static sl_status new_chunks(sl_parquet_writer *w, sl_parquet_chunk **out) {
    void *memory;
    sl_status status = sl_parquet_take_zeroed(&w->store, chunks_bytes(w), &memory);
    *out = memory;
    return status;
}

static int codec_of(const sl_parquet_options *options) {
    switch (options->codec) {
    case SL_PARQUET_NONE:
        return CODEC_UNCOMPRESSED;
    case SL_PARQUET_SNAPPY:
        return CODEC_SNAPPY;
    case SL_PARQUET_ZSTD:
        return CODEC_ZSTD;
    case SL_PARQUET_DEFAULT:
        break;
    }
    return options->profile == SL_PARQUET_LAKE ? CODEC_ZSTD : CODEC_SNAPPY;
}

static void settle(sl_parquet_writer *w, const sl_parquet_options *options) {
    bool lake = options->profile == SL_PARQUET_LAKE;
    uint32_t page = options->page_bytes ? options->page_bytes : PAGE_BYTES;
    page = page < PAGE_BYTES_MIN ? PAGE_BYTES_MIN : page > PAGE_BYTES_MAX ? PAGE_BYTES_MAX : page;
    w->row_group_bytes = options->row_group_bytes ? options->row_group_bytes : ROW_GROUP_BYTES;
    uint64_t rows = sl_parquet_hints_begin(w->hints);
    if (!rows)
        rows = w->row_group_bytes / ROW_BYTES_GUESS < ROWS_EXPECTED
                   ? w->row_group_bytes / ROW_BYTES_GUESS
                   : ROWS_EXPECTED;
    w->settings = (sl_parquet_settings){
        .lake = lake,
        .codec = codec_of(options),
        .page_bytes = page,
        // A long dictionary page is compressed in slices, which snappy can't.
        .dictionary_bytes = lake && codec_of(options) != CODEC_SNAPPY ? DICTIONARY_BYTES_LAKE
                                                                       : DICTIONARY_BYTES_COMPATIBLE,
        .rows_expected = rows};
}

sl_status sl_parquet_create(const sl_schema *schema, const sl_parquet_options *options,
                            sl_parquet_sink_fn *sink, void *context, sl_parquet_writer **out) {
    *out = NULL;
    sl_parquet_store store = {.budget = options->budget};
    void *memory;
    sl_status status = sl_parquet_take_zeroed(&store, sizeof(sl_parquet_writer), &memory);
    if (status)
        return status;
    sl_parquet_writer *w = memory;
    w->store = store;
    w->sink = sink;
    w->context = context;
    w->hints = options->hints;
    w->schema = sl_schema_ref(schema);
    settle(w, options);
    w->hasher = sl_hasher_create();
    status = w->hasher ? SL_OK : SL_ENOMEM;
    if (!status)
        status = sl_parquet_leaves_init(&w->leaves, schema, w->settings.lake, &w->store);
    if (!status)
        status = new_chunks(w, &w->open);
    if (status) {
        sl_parquet_destroy(w);
        return status;
    }
    for (uint32_t i = 0; i < w->leaves.count; i++)
        sl_parquet_chunk_init(
            &w->open[i], &w->leaves.items[i],
            sl_parquet_hints_get(w->hints, w->leaves.items[i].field, w->leaves.items[i].type));
    *out = w;
    return SL_OK;
}

void sl_parquet_destroy(sl_parquet_writer *w) {
    if (!w)
        return;
    drop_chunks(w, w->open);
    drop_chunks(w, w->closing);
    sl_parquet_slices_fini(&w->slices, &w->store);
    sl_parquet_leaves_fini(&w->leaves, &w->store);
    sl_buffer_fini(&w->groups);
    sl_hasher_destroy(w->hasher);
    sl_schema_unref(w->schema);
    sl_parquet_store store = w->store;
    sl_parquet_give(&store, w, sizeof *w);
}

static sl_status emit(sl_parquet_writer *w, const void *bytes, size_t length) {
    sl_status status = SL_OK;
    if (w->offset == 0 && length)
        status = w->sink(w->context, SL_PARQUET_MAGIC, 4);
    if (status)
        return status;
    if (w->offset == 0 && length) {
        sl_hasher_add(w->hasher, SL_PARQUET_MAGIC, 4);
        w->offset = 4;
    }
    sl_hasher_add(w->hasher, bytes, length);
    status = w->sink(w->context, bytes, length);
    if (!status)
        w->offset += length;
    return status;
}

/** `open` becomes `closing`, and new chunks begin with what the old ones learnt. */
static sl_status begin_closing(sl_parquet_writer *w) {
    assert(!w->closing);
    sl_parquet_chunk *fresh;
    sl_status status = new_chunks(w, &fresh);
    if (status)
        return status;
    for (uint32_t i = 0; i < w->leaves.count; i++) {
        sl_parquet_lesson lesson = sl_parquet_chunk_lesson(&w->open[i]);
        sl_parquet_chunk_init(&fresh[i], &w->leaves.items[i], &lesson);
        if (fresh[i].mode == MODE_DICTIONARY)
            sl_parquet_dictionary_inherit(&fresh[i].dictionary, &w->open[i].dictionary);
    }
    w->closing = w->open;
    w->closing_rows = w->open_rows;
    w->open = fresh;
    w->open_rows = 0;
    w->closing_leaf = 0;
    w->stage = STAGE_FLUSH;
    w->group_plain = 0;
    w->group_offset = w->offset ? w->offset : 4;
    w->group = sl_thrift_begin(&w->groups);
    sl_thrift_list(&w->group, 1, THRIFT_STRUCT, w->leaves.count);
    return SL_OK;
}

static sl_status end_group(sl_parquet_writer *w) {
    sl_thrift_i64(&w->group, 2, (int64_t)w->group_plain);
    sl_thrift_i64(&w->group, 3, (int64_t)w->closing_rows);
    sl_thrift_i64(&w->group, 5, (int64_t)w->group_offset);
    sl_thrift_i64(&w->group, 6, (int64_t)((w->offset ? w->offset : 4) - w->group_offset));
    if (w->group_count <= INT16_MAX)
        sl_thrift_i16(&w->group, 7, (int16_t)w->group_count);
    sl_thrift_end(&w->group);
    w->group_count++;
    w->rows_out += w->closing_rows;
    if (w->closing_rows >= LESSON_ROWS_MIN)
        sl_parquet_hints_rows(w->hints, w->closing_rows);
    drop_chunks(w, w->closing);
    w->closing = NULL;
    return w->groups.failed ? SL_ENOMEM : SL_OK;
}

static void end_column(sl_parquet_writer *w, sl_parquet_chunk *chunk, const sl_parquet_leaf *leaf) {
    sl_parquet_put_column(&w->group, w->schema, leaf, chunk, w->settings.codec, w->column_offset);
    w->group_plain += chunk->plain_bytes;
    if (chunk->rows >= LESSON_ROWS_MIN && chunk->nulls < chunk->rows)
        sl_parquet_hints_put(w->hints, leaf->field, leaf->type, sl_parquet_chunk_lesson(chunk));
    sl_parquet_chunk_fini(chunk, &w->store);
    w->closing_leaf++;
    w->stage = STAGE_FLUSH;
}

static sl_status emit_pages(sl_parquet_writer *w, sl_parquet_chunk *chunk,
                            const sl_parquet_leaf *leaf) {
    for (size_t given = 0; w->next_page && given < EMIT_BYTES;) {
        sl_parquet_page *page = w->next_page;
        sl_status status = emit(w, page->bytes, page->length);
        if (status)
            return status;
        given += page->length;
        w->next_page = page == chunk->dictionary_page ? chunk->first : page->next;
        if (page != chunk->dictionary_page) { // What is out needs no memory.
            chunk->first = page->next;
            sl_parquet_give(&w->store, page, sizeof *page + page->length);
        }
    }
    if (!w->next_page)
        end_column(w, chunk, leaf);
    return SL_OK;
}

/** Finish the page of a column, or make its dictionary page, or give a MiB of it to the sink. */
static sl_status close_some(sl_parquet_writer *w) {
    if (w->closing_leaf == w->leaves.count)
        return end_group(w);
    sl_parquet_chunk *chunk = &w->closing[w->closing_leaf];
    const sl_parquet_leaf *leaf = &w->leaves.items[w->closing_leaf];
    sl_status status = SL_OK;
    switch (w->stage) {
    case STAGE_FLUSH:
        status = sl_parquet_chunk_flush(chunk, leaf, &w->settings, &w->store, true);
        w->stage = STAGE_DICTIONARY;
        return status;
    case STAGE_DICTIONARY:
        status = sl_parquet_chunk_dictionary(chunk, leaf, &w->settings, &w->store, &w->slices);
        if (status)
            return status == SL_EAGAIN ? SL_OK : status;
        w->stage = STAGE_EMIT;
        w->next_page = chunk->dictionary_page ? chunk->dictionary_page : chunk->first;
        w->column_offset = w->offset ? w->offset : 4;
        return SL_OK;
    case STAGE_EMIT:
        break;
    }
    return emit_pages(w, chunk, leaf);
}

static uint64_t open_bytes(const sl_parquet_writer *w) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < w->leaves.count; i++)
        bytes += sl_parquet_chunk_estimate(&w->open[i], &w->settings);
    return bytes;
}

/** Some rows through all columns, then the next: their texts stay in the second-level cache meanwhile. */
static sl_status append(sl_parquet_writer *w, const sl_batch *batch, const uint32_t *rows,
                        uint32_t count) {
    enum { SOME_ROWS = 2 * SL_PARQUET_STEP_ROWS };
    sl_status status = SL_OK;
    for (uint32_t at = 0; at < count && !status; at += SOME_ROWS) {
        uint32_t some = count - at < SOME_ROWS ? count - at : SOME_ROWS;
        for (uint32_t i = 0; i < w->leaves.count && !status; i++)
            status = sl_parquet_chunk_append(&w->open[i], &w->leaves.items[i], &w->settings,
                                             &w->store, batch, rows, at, some);
    }
    if (!status)
        w->open_rows += count;
    return status;
}

sl_status sl_parquet_write(sl_parquet_writer *w, const sl_batch *batch, const uint32_t *rows,
                           uint32_t count) {
    assert(!w->finished && batch->schema->count <= w->schema->count);
    if (!w->status && w->closing)
        w->status = close_some(w);
    if (!w->status)
        w->status = append(w, batch, rows, count);
    if (!w->status && open_bytes(w) >= w->row_group_bytes) {
        while (!w->status && w->closing) // The one before must be out.
            w->status = close_some(w);
        if (!w->status)
            w->status = begin_closing(w);
    }
    return w->status;
}

uint64_t sl_parquet_rows(const sl_parquet_writer *w) {
    return w->rows_out + (w->closing ? w->closing_rows : 0) + w->open_rows;
}

uint64_t sl_parquet_bytes(const sl_parquet_writer *w) {
    uint64_t bytes = w->offset + open_bytes(w) + w->groups.length + 256 + w->leaves.count * 160u;
    for (uint32_t i = w->closing_leaf; w->closing && i < w->leaves.count; i++)
        bytes += sl_parquet_chunk_estimate(&w->closing[i], &w->settings);
    return bytes;
}

size_t sl_parquet_memory(const sl_parquet_writer *w) { return w->store.held + w->groups.capacity; }

const sl_schema *sl_parquet_schema(const sl_parquet_writer *w) { return w->schema; }

static sl_status write_footer(sl_parquet_writer *w, const sl_parquet_pair *metadata, size_t count) {
    sl_buffer footer = SL_BUFFER_EMPTY;
    sl_parquet_put_footer(&footer, w->schema, &w->leaves, w->settings.lake, &w->groups, w->group_count,
                          w->rows_out, metadata, count);
    sl_status status = footer.failed ? SL_ENOMEM : emit(w, footer.bytes, footer.length);
    sl_buffer_fini(&footer);
    return status;
}

sl_status sl_parquet_finish(sl_parquet_writer *w, const sl_parquet_pair *metadata, size_t count,
                            sl_parquet_result *result) {
    if (w->finished)
        return SL_EINVAL;
    if (w->status)
        return w->status;
    bool footer = !w->closing && !w->open_rows;
    if (footer)
        w->status = write_footer(w, metadata, count);
    else
        w->status = w->closing ? close_some(w) : begin_closing(w);
    if (w->status || !footer)
        return w->status ? w->status : SL_EAGAIN;
    w->finished = true;
    *result = (sl_parquet_result){w->rows_out, w->offset, sl_hasher_sum(w->hasher)};
    return SL_OK;
}

static const sl_parquet_chunk *chunk_of(const sl_parquet_writer *w, uint32_t field) {
    for (uint32_t i = 0; i < w->leaves.count; i++)
        if (w->leaves.items[i].field == field)
            return &w->open[i];
    return NULL;
}

/** What the rows so far mean for a new column. */
typedef struct past {
    uint8_t level;                 /**< Of all of them, unless: */
    const sl_parquet_chunk *donor; /**< has their levels, all in its page; to be cut at `level`. */
} past;

/**
 * Rows that are there already lack the new column, but may have the groups above it: another column
 * below the innermost of these knows. @return SL_EFULL when none remembers.
 */
static sl_status find_past(const sl_parquet_writer *w, const sl_parquet_leaf *leaf, past *out) {
    uint8_t known = 0;
    while (known < leaf->level_max && leaf->chain[known] < w->schema->count)
        known++;
    *out = (past){.level = known};
    if (!known || !w->open_rows)
        return SL_OK;
    for (uint32_t i = 0; i < w->leaves.count; i++) {
        const sl_parquet_leaf *other = &w->leaves.items[i];
        const sl_parquet_chunk *chunk = &w->open[i];
        if (other->level_max < known || other->chain[known - 1] != leaf->chain[known - 1])
            continue;
        if (chunk->always)
            return SL_OK;
        if (chunk->page_rows == w->open_rows) {
            out->donor = chunk;
            return SL_OK;
        }
    }
    return SL_EFULL;
}

static sl_status fill_past(sl_parquet_writer *w, sl_parquet_chunk *chunk, const past *before) {
    const sl_parquet_chunk *donor = before->donor;
    if (!donor)
        return sl_parquet_chunk_nulls(chunk, &w->store, NULL, before->level, w->open_rows);
    if (!donor->levels_mixed) {
        uint8_t level = donor->level < before->level ? donor->level : before->level;
        return sl_parquet_chunk_nulls(chunk, &w->store, NULL, level, w->open_rows);
    }
    void *memory;
    sl_status status = sl_parquet_take(&w->store, donor->page_rows, &memory);
    if (status)
        return status;
    uint8_t *levels = memory;
    const uint8_t *theirs = donor->levels.data;
    for (uint32_t i = 0; i < donor->page_rows; i++)
        levels[i] = theirs[i] < before->level ? theirs[i] : before->level;
    status = sl_parquet_chunk_nulls(chunk, &w->store, levels, 0, donor->page_rows);
    sl_parquet_give(&w->store, levels, donor->page_rows);
    return status;
}

/** Chunks for the new leaves: old ones are moved, new ones get the rows so far as nulls. */
static sl_status fill_chunks(sl_parquet_writer *w, const sl_parquet_leaves *leaves,
                             sl_parquet_chunk *chunks) {
    for (uint32_t i = 0; i < leaves->count; i++) {
        const sl_parquet_leaf *leaf = &leaves->items[i];
        const sl_parquet_chunk *old = chunk_of(w, leaf->field);
        past before;
        sl_status status = find_past(w, leaf, &before);
        if (old || status)
            continue; // Checked before; old ones follow.
        sl_parquet_chunk_init(&chunks[i], leaf,
                              sl_parquet_hints_get(w->hints, leaf->field, leaf->type));
        status = fill_past(w, &chunks[i], &before);
        if (status)
            return status;
    }
    for (uint32_t i = 0; i < leaves->count; i++) {
        const sl_parquet_chunk *old = chunk_of(w, leaves->items[i].field);
        if (old)
            chunks[i] = *old;
    }
    return SL_OK;
}

sl_status sl_parquet_extend(sl_parquet_writer *w, const sl_schema *schema) {
    assert(!w->finished && schema->count >= w->schema->count);
    if (w->status)
        return w->status;
    if (w->closing || w->group_count)
        return SL_EFULL;
    sl_parquet_leaves leaves;
    void *memory = NULL;
    sl_status status = sl_parquet_leaves_init(&leaves, schema, w->settings.lake, &w->store);
    for (uint32_t i = 0; i < leaves.count && !status; i++) {
        past before;
        if (!chunk_of(w, leaves.items[i].field))
            status = find_past(w, &leaves.items[i], &before);
    }
    size_t bytes = leaves.count * sizeof(sl_parquet_chunk) + 1;
    if (!status)
        status = sl_parquet_take_zeroed(&w->store, bytes, &memory);
    sl_parquet_chunk *chunks = memory;
    if (!status)
        status = fill_chunks(w, &leaves, chunks);
    if (status) { // Nothing was moved yet.
        for (uint32_t i = 0; chunks && i < leaves.count; i++)
            sl_parquet_chunk_fini(&chunks[i], &w->store);
        sl_parquet_give(&w->store, memory, bytes);
        sl_parquet_leaves_fini(&leaves, &w->store);
        return status;
    }
    sl_parquet_give(&w->store, w->open, chunks_bytes(w)); // Their contents have moved.
    sl_parquet_leaves_fini(&w->leaves, &w->store);
    w->open = chunks;
    w->leaves = leaves;
    sl_schema_unref(w->schema);
    w->schema = sl_schema_ref(schema);
    return SL_OK;
}
