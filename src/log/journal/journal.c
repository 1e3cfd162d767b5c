/** @file journal.c
 * Opening, closing, trimming, and the journal's figures. README.md explains the whole.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void sl_journal_path(const sl_journal *journal, bool spare, uint64_t number, char *path) {
    (void)snprintf(path, PATH_BYTES, "%s/%s%020" PRIu64 ".journal", journal->directory,
                   spare ? "spare-" : "", number);
}

uint64_t sl_journal_draw(sl_journal *journal) {
    uint64_t words[3] = {journal->random[0], journal->random[1], ++journal->drawn};
    uint64_t value = sl_hash64(words, sizeof words, 0);
    return value ? value : 1; /* 0 stands for "unknown". */
}

/** Generations and identities must not repeat, also not after a restore from a copy. */
static sl_status seed_random(sl_journal *journal, sl_error *error) {
    sl_files *files = journal->files;
    int file;
    size_t got = 0;
    sl_status status = files->open(files, "/dev/urandom", SL_FILE_READ, &file, error);
    if (status)
        return status == SL_ENOTFOUND ? SL_EIO : status;
    status = files->read(files, file, journal->random, sizeof journal->random, 0, &got, error);
    files->close(files, file);
    if (status == SL_OK && got != sizeof journal->random)
        status = sl_error_set(error, SL_EIO, "/dev/urandom is short");
    return status;
}

/** Sizes that fit each other: at least two segments in the quota, so that one can be trimmed. */
static sl_status set_sizes(sl_journal *journal, const sl_journal_options *options,
                           sl_error *error) {
    uint64_t segment_bytes = options->segment_bytes & ~(uint64_t)(SL_BLOCK - 1);
    if (options->segment_bytes == 0) {
        segment_bytes = (options->quota_bytes / 8) & ~(uint64_t)(PIECE_BYTES - 1);
        if (segment_bytes > SEGMENT_BYTES)
            segment_bytes = SEGMENT_BYTES;
        if (segment_bytes < PIECE_BYTES)
            segment_bytes = PIECE_BYTES;
    }
    if (segment_bytes < SEGMENT_BYTES_MIN || segment_bytes > OFFSET_MAX ||
        options->quota_bytes / 2 < segment_bytes)
        return sl_error_set(error, SL_EINVAL,
                            "a journal quota of %llu bytes doesn't hold two segments of %llu",
                            (unsigned long long)options->quota_bytes,
                            (unsigned long long)segment_bytes);
    journal->quota_bytes = options->quota_bytes;
    journal->segment_bytes = segment_bytes;
    journal->sync = options->sync;
    return SL_OK;
}

static sl_status allocate(sl_journal *journal, const char *directory) {
    if (strlen(directory) + 64 > PATH_BYTES)
        return SL_EINVAL;
    journal->directory = sl_strdup(directory);
    journal->block = sl_aligned_alloc(SL_BLOCK, SL_BLOCK);
    journal->zeros = sl_aligned_alloc(SL_BLOCK, PIECE_BYTES);
    journal->ahead.bytes = sl_aligned_alloc(SL_BLOCK, PIECE_BYTES);
    pthread_mutex_t *mutex = sl_malloc(sizeof *mutex);
    if (mutex && pthread_mutex_init(mutex, NULL)) {
        sl_free(mutex);
        mutex = NULL;
    }
    journal->mutex = mutex;
    if (!journal->directory || !journal->block || !journal->zeros || !journal->ahead.bytes ||
        !mutex)
        return SL_ENOMEM;
    memset(journal->zeros, 0, PIECE_BYTES);
    return SL_OK;
}

sl_status sl_journal_open(sl_files *files, const char *directory,
                          const sl_journal_options *options, uint64_t at_least,
                          sl_journal **out, sl_journal_recovery *recovery, sl_error *error) {
    *out = NULL;
    *recovery = (sl_journal_recovery){0};
    sl_journal *journal = sl_calloc(1, sizeof *journal);
    if (!journal)
        return sl_error_set(error, SL_ENOMEM, "open the journal: no memory");
    journal->files = files;
    journal->making_file = journal->reading_file = -1;
    sl_status status = at_least > OFFSET_MAX ? SL_EINVAL : allocate(journal, directory);
    if (status)
        (void)sl_error_set(error, status, "%s",
                           status == SL_ENOMEM ? "no memory" : "path or offset too large");
    if (status == SL_OK)
        status = set_sizes(journal, options, error);
    if (status == SL_OK)
        status = seed_random(journal, error);
    if (status == SL_OK)
        status = sl_journal_recover(journal, at_least, recovery, error);
    if (status) {
        (void)sl_error_context(error, "open journal %s", directory);
        sl_journal_close(journal);
        return status;
    }
    for (size_t i = 0; i < sizeof journal->identity; i++)
        (void)snprintf(journal->identity_text + 2 * i, 3, "%02x", journal->identity[i]);
    *out = journal;
    return SL_OK;
}

void sl_journal_close(sl_journal *journal) {
    if (!journal)
        return;
    sl_files *files = journal->files;
    sl_journal_void(journal);
    if (journal->active)
        files->close(files, journal->active_file);
    if (journal->making_file >= 0)
        files->close(files, journal->making_file);
    if (journal->reading_file >= 0)
        files->close(files, journal->reading_file);
    for (size_t i = 0; i < journal->count; i++)
        sl_free(journal->segments[i]);
    while (journal->retired) {
        segment *s = journal->retired;
        journal->retired = s->next;
        sl_free(s);
    }
    if (journal->mutex)
        pthread_mutex_destroy(journal->mutex);
    sl_free(journal->mutex);
    sl_free(journal->segments);
    sl_free(journal->ahead.bytes);
    sl_free(journal->zeros);
    sl_free(journal->block);
    sl_free(journal->directory);
    sl_free(journal);
}

const char *sl_journal_identity(const sl_journal *journal) { return journal->identity_text; }

void sl_journal_trim(sl_journal *journal, uint64_t offset) {
    pthread_mutex_lock(journal->mutex);
    /* The last durable one stays: it keeps identity, numbers and offsets, and may be being
     * written. */
    size_t gone = 0, last = journal->count;
    while (last > 0 && !journal->segments[last - 1]->durable)
        last--;
    while (gone + 1 < last && journal->segments[gone]->end <= offset)
        gone++;
    /* Nor may the first be one whose header doesn't tell where the groups before it ended. */
    while (gone > 0 && journal->segments[gone]->unreadable)
        gone--;
    for (size_t i = 0; i < gone; i++)
        sl_journal_retire(journal, journal->segments[i]);
    memmove(journal->segments, journal->segments + gone,
            (journal->count - gone) * sizeof(segment *));
    journal->count -= gone;
    pthread_mutex_unlock(journal->mutex);
}

/** A figure that other threads change. */
static uint64_t look(const sl_journal *journal, const uint64_t *figure) {
    pthread_mutex_lock(journal->mutex);
    uint64_t value = *figure;
    pthread_mutex_unlock(journal->mutex);
    return value;
}

uint64_t sl_journal_begin(const sl_journal *journal) {
    pthread_mutex_lock(journal->mutex);
    uint64_t begin = journal->segments[0]->begin;
    pthread_mutex_unlock(journal->mutex);
    return begin;
}

uint64_t sl_journal_end(const sl_journal *journal) { return look(journal, &journal->end); }
uint64_t sl_journal_bytes(const sl_journal *journal) { return look(journal, &journal->bytes); }
uint64_t sl_journal_sync_failures(const sl_journal *journal) {
    return look(journal, &journal->sync_failures);
}

uint64_t sl_journal_unvoided(const sl_journal *journal) {
    return look(journal, &journal->unvoided);
}

uint64_t sl_journal_room(const sl_journal *journal) {
    uint64_t data = journal->segment_bytes - SL_BLOCK, files = 0, room = 0;
    pthread_mutex_lock(journal->mutex);
    if (journal->active_open) {
        const segment *s = journal->segments[journal->count - 1];
        room = s->base + s->data_bytes - s->end;
    }
    uint64_t free_bytes = journal->bytes < journal->quota_bytes
                              ? journal->quota_bytes - journal->bytes
                              : 0;
    for (const segment *s = journal->retired; s; s = s->next)
        if (s->pins == 0)
            free_bytes += s->file_bytes;
    files = journal->spare_count + free_bytes / journal->segment_bytes;
    pthread_mutex_unlock(journal->mutex);
    return room + files * data;
}
