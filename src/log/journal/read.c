/** @file read.c
 * Groups by offset, past damage. Reads stay below the synced end, where bytes never change.
 */
#include "internal.h"

#include <string.h>

#define COPY_MAX ((size_t)256 << 10) /* Larger groups are read straight into their own memory. */

/** @return the block at `at`, NULL after a failure (*status). Beyond the file's end are zeros. */
static const uint8_t *window_block(sl_files *files, int file, uint64_t base, window *w,
                                   uint64_t at, uint64_t limit, sl_status *status,
                                   sl_error *error) {
    if (at >= w->offset && at - w->offset + SL_BLOCK <= w->length)
        return w->bytes + (at - w->offset);
    size_t length = limit - at < w->piece ? (size_t)(limit - at) : w->piece, got = 0;
    w->length = 0;
    *status = files->read(files, file, w->bytes, length, SL_BLOCK + (at - base), &got, error);
    if (*status)
        return NULL;
    memset(w->bytes + got, 0, length - got);
    w->offset = at;
    w->length = length;
    return w->bytes;
}

sl_status sl_journal_find_group(sl_files *files, int file, uint64_t base,
                                const uint64_t *generation, window *w, uint64_t *at,
                                uint64_t limit, group_header *header, sl_error *error) {
    for (; *at < limit; *at += SL_BLOCK) {
        sl_status status = SL_OK;
        const uint8_t *block = window_block(files, file, base, w, *at, limit, &status, error);
        if (!block)
            return status;
        if (sl_journal_decode_group(block, *at, header) && header->length <= limit - *at &&
            (!generation || header->generation == *generation))
            return SL_OK;
        w->piece = PIECE_BYTES; /* Whoever steps over damage reads on. */
    }
    return SL_ENOTFOUND;
}

sl_status sl_journal_load_group(sl_files *files, int file, uint64_t base, const window *w,
                                const group_header *header, sl_group *group, uint64_t *damaged,
                                sl_error *error) {
    sl_group_reset(group);
    if (sl_journal_group_reserve(group, header->length))
        return sl_error_set(error, SL_ENOMEM, "no memory for a group of %u bytes",
                            header->length);
    uint64_t skip = header->offset - w->offset;
    size_t there = header->offset >= w->offset && skip < w->length ? w->length - (size_t)skip : 0;
    if (there > header->length)
        there = header->length;
    if (there)
        memcpy(group->bytes, w->bytes + skip, there);
    size_t missing = header->length - there, got = 0;
    if (missing) {
        sl_status status =
            files->read(files, file, group->bytes + there, missing,
                        SL_BLOCK + (header->offset + there - base), &got, error);
        if (status)
            return status;
        memset(group->bytes + there + got, 0, missing - got);
    }
    if (sl_journal_parse_group(group, header, damaged))
        return sl_error_set(error, SL_ENOMEM, "no memory for %u records", header->count);
    return SL_OK;
}

/** Let the reader's handle and window belong to `s`. */
static sl_status enter_segment(sl_journal *journal, const segment *s, sl_error *error) {
    if (!journal->ahead.bytes) {
        journal->ahead.bytes = sl_aligned_alloc(SL_BLOCK, PIECE_BYTES);
        if (!journal->ahead.bytes)
            return sl_error_set(error, SL_ENOMEM, "no memory to read ahead");
    }
    if (journal->reading_file >= 0 && journal->reading_base == s->base &&
        journal->reading_generation == s->generation)
        return SL_OK;
    if (journal->reading_file >= 0)
        journal->files->close(journal->files, journal->reading_file);
    journal->reading_file = -1;
    journal->ahead.length = 0;
    char path[PATH_BYTES];
    sl_journal_path(journal, false, s->base, path);
    sl_status status = journal->files->open(journal->files, path, SL_FILE_READ | SL_FILE_DIRECT,
                                            &journal->reading_file, error);
    if (status) {
        journal->reading_file = -1;
        return status == SL_ENOTFOUND ? SL_EIO : status;
    }
    journal->reading_base = s->base;
    journal->reading_generation = s->generation;
    return SL_OK;
}

/** The first group of `s` at or after *offset. @return SL_ENOTFOUND: none, *offset is its end. */
static sl_status read_segment(sl_journal *journal, const segment *s, uint64_t *offset,
                              sl_group *group, uint64_t *quarantined, sl_error *error) {
    sl_status status = enter_segment(journal, s, error);
    if (status)
        return status;
    uint64_t at = *offset > s->base ? *offset : s->base, start = at, damaged = 0;
    group_header header;
    journal->ahead.piece = journal->last_length > COPY_MAX ? SL_BLOCK : PIECE_BYTES;
    status = sl_journal_find_group(journal->files, journal->reading_file, s->base,
                                   &s->generation, &journal->ahead, &at, s->end, &header, error);
    if (status == SL_OK)
        status = sl_journal_load_group(journal->files, journal->reading_file, s->base,
                                       &journal->ahead, &header, group, &damaged, error);
    if (status && status != SL_ENOTFOUND)
        return status;
    *quarantined += at - start + damaged;
    *offset = at;
    if (status == SL_OK)
        journal->last_length = header.length;
    return status;
}

/** Index of the first segment that ends behind `offset`; count: none. */
static size_t segment_of(const sl_journal *journal, uint64_t offset) {
    size_t low = 0, high = journal->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (journal->segments[middle]->end > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

sl_status sl_journal_read(sl_journal *journal, uint64_t offset, sl_group *group,
                          uint64_t *quarantined, sl_error *error) {
    sl_group_reset(group);
    offset = offset > OFFSET_MAX ? OFFSET_MAX : block_up(offset);
    for (;;) {
        pthread_mutex_lock(journal->mutex);
        uint64_t begin = journal->segments[0]->begin;
        size_t index = segment_of(journal, offset);
        if (offset < begin || index == journal->count) {
            pthread_mutex_unlock(journal->mutex);
            if (offset >= begin)
                return SL_ENOTFOUND;
            return sl_error_set(error, SL_ECORRUPT,
                                "journal offset %llu is below %llu, the first that is kept",
                                (unsigned long long)offset, (unsigned long long)begin);
        }
        segment *s = journal->segments[index], copy = *s;
        s->pins++; /* Trimmed or not, the file keeps its name and content until we are out. */
        pthread_mutex_unlock(journal->mutex);
        sl_status status =
            read_segment(journal, &copy, &offset, group, quarantined, error);
        pthread_mutex_lock(journal->mutex);
        s->pins--;
        pthread_mutex_unlock(journal->mutex);
        if (status != SL_ENOTFOUND) {
            if (status)
                (void)sl_error_context(error, "read the journal at %llu",
                                       (unsigned long long)offset);
            return status;
        }
    }
}
