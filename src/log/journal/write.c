/** @file write.c
 * The journal thread's side: place, write and sync a group; open, seal, recycle and prepare
 * segments.
 */
#include "internal.h"

#include "sluice/message.h"

#include <assert.h>
#include <string.h>

static void lock(const sl_journal *journal) { pthread_mutex_lock(journal->mutex); }
static void unlock(const sl_journal *journal) { pthread_mutex_unlock(journal->mutex); }

static void add_bytes(sl_journal *journal, uint64_t bytes) {
    lock(journal);
    journal->bytes += bytes;
    unlock(journal);
}

static void take_bytes(sl_journal *journal, uint64_t bytes) {
    lock(journal);
    journal->bytes -= bytes;
    unlock(journal);
}

static bool quota_allows(const sl_journal *journal, uint64_t bytes) {
    lock(journal);
    bool yes = journal->bytes + bytes <= journal->quota_bytes;
    unlock(journal);
    return yes;
}

void sl_journal_retire(sl_journal *journal, segment *s) {
    segment **last = &journal->retired;
    while (*last)
        last = &(*last)->next;
    s->next = NULL;
    *last = s;
}

/* ---- groups that failed ---- */

/** Zeros over the header of the group that failed at the end of `s`: nobody was told about that block. */
static sl_status void_group(sl_journal *journal, int file, const segment *s) {
    return journal->files->write(journal->files, file, journal->zeros, SL_BLOCK,
                                 SL_BLOCK + (s->end - s->base), NULL);
}

static void set_haunted(sl_journal *journal, segment *s, bool haunted) {
    lock(journal);
    if (haunted && !s->haunted)
        journal->unvoided++;
    if (!haunted && s->haunted)
        journal->unvoided--;
    s->haunted = haunted;
    unlock(journal);
}

/** A segment that still holds a group that failed and that no later one has voided. */
static segment *find_haunted(sl_journal *journal) {
    segment *found = NULL;
    lock(journal);
    for (size_t i = 0; i < journal->count && !found; i++)
        found = journal->segments[i]->haunted ? journal->segments[i] : NULL;
    for (segment *s = journal->retired; s && !found; s = s->next)
        found = s->haunted ? s : NULL;
    unlock(journal);
    return found;
}

/** What couldn't be written over when it failed. Never synced: a later segment's header makes it durable. */
void sl_journal_void(sl_journal *journal) {
    segment *s;
    while (journal->unvoided && (s = find_haunted(journal)) != NULL) {
        char path[PATH_BYTES];
        int file;
        sl_journal_path(journal, false, s->base, path);
        if (journal->files->open(journal->files, path, SL_FILE_WRITE | SL_FILE_DIRECT, &file, NULL))
            return;
        sl_status status = void_group(journal, file, s);
        journal->files->close(journal->files, file);
        if (status)
            return;
        set_haunted(journal, s, false);
    }
}

/** A later group is durable: the header of its segment voids all that failed before. */
static void forget_haunted(sl_journal *journal) {
    segment *s;
    while (journal->unvoided && (s = find_haunted(journal)) != NULL)
        set_haunted(journal, s, false);
}

/* ---- spares ---- */

static void push_spare(sl_journal *journal, uint64_t number) {
    journal->spares[journal->spare_count] = number;
    lock(journal);
    journal->spare_count++;
    unlock(journal);
}

static uint64_t pop_spare(sl_journal *journal) {
    lock(journal);
    journal->spare_count--;
    unlock(journal);
    return journal->spares[journal->spare_count];
}

/** Rename to a spare, or unlink. @return the file operation's status. */
static sl_status dispose_file(sl_journal *journal, const segment *s, bool recycle,
                              sl_error *error) {
    char path[PATH_BYTES], spare[PATH_BYTES];
    sl_journal_path(journal, s->spare_name, s->base, path);
    sl_files *files = journal->files;
    sl_status status;
    if (recycle) {
        sl_journal_path(journal, true, journal->next_spare, spare);
        status = files->rename(files, path, spare, error);
    } else {
        status = files->unlink(files, path, error);
    }
    if (status && status != SL_ENOTFOUND)
        return status;
    if (status == SL_ENOTFOUND || !recycle)
        take_bytes(journal, s->file_bytes);
    else
        push_spare(journal, journal->next_spare++);
    journal->names_unsynced = true;
    return SL_OK;
}

/**
 * Recycle or remove the oldest retired file. Each removal is synced before the next: a crash must
 * not bring back an old segment and lose a younger one, which would look like a hole.
 * @return SL_OK: one less; SL_ENOTFOUND: there is none, or a reader is in it; or an error.
 */
static sl_status dispose(sl_journal *journal, sl_error *error) {
    sl_files *files = journal->files;
    lock(journal);
    segment *s = journal->retired;
    bool busy = !s || s->pins > 0;
    unlock(journal);
    if (busy)
        return SL_ENOTFOUND;
    sl_status status = SL_OK;
    if (journal->names_unsynced)
        status = files->sync_directory(files, journal->directory, error);
    bool recycle = !s->failed && s->file_bytes == journal->segment_bytes &&
                   journal->spare_count < SPARES_MAX;
    if (status == SL_OK) {
        journal->names_unsynced = false;
        status = dispose_file(journal, s, recycle, error);
    }
    if (status)
        return status; /* It stays the oldest, for the next call. */
    lock(journal);
    journal->retired = s->next; /* Only this thread takes from the list. */
    journal->unvoided -= s->haunted; /* The file is gone. */
    unlock(journal);
    sl_free(s);
    status = files->sync_directory(files, journal->directory, error);
    journal->names_unsynced = status != SL_OK;
    return status;
}

/** Begin or go on with writing a spare, PIECE_BYTES per call. */
static sl_status make_spare(sl_journal *journal, sl_error *error) {
    sl_files *files = journal->files;
    char path[PATH_BYTES];
    sl_status status = SL_OK;
    if (journal->making_file < 0) {
        uint64_t space = 0;
        if (!quota_allows(journal, journal->segment_bytes) ||
            files->free_space(files, journal->directory, &space, NULL) ||
            space < 2 * journal->segment_bytes)
            return SL_OK; /* Nobody needs it yet; write() reports a full disk when it is one. */
        journal->making = journal->next_spare++;
        sl_journal_path(journal, true, journal->making, path);
        status = files->open(files, path,
                             SL_FILE_READ | SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_EXCLUSIVE |
                                 SL_FILE_DIRECT,
                             &journal->making_file, error);
        if (status) {
            journal->making_file = -1;
            return status;
        }
        add_bytes(journal, journal->segment_bytes);
        journal->made_bytes = 0;
    }
    uint64_t left = journal->segment_bytes - journal->made_bytes;
    size_t piece = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    status = files->write(files, journal->making_file, journal->zeros, piece,
                          journal->made_bytes, error);
    journal->made_bytes += piece;
    if (status == SL_OK && journal->made_bytes < journal->segment_bytes)
        return SL_EAGAIN;
    if (status == SL_OK)
        status = files->sync(files, journal->making_file, error);
    files->close(files, journal->making_file);
    journal->making_file = -1;
    if (status == SL_OK) {
        push_spare(journal, journal->making);
        return SL_OK;
    }
    sl_journal_path(journal, true, journal->making, path);
    if (files->unlink(files, path, NULL) == SL_OK)
        take_bytes(journal, journal->segment_bytes);
    return status;
}

sl_status sl_journal_prepare(sl_journal *journal, sl_error *error) {
    sl_journal_void(journal);
    sl_status status = dispose(journal, error);
    if (status == SL_OK)
        return SL_EAGAIN;
    if (status != SL_ENOTFOUND)
        return sl_error_context(error, "recycle a journal segment"), status;
    if (journal->spare_count > 0)
        return SL_OK;
    status = make_spare(journal, error);
    if (status && status != SL_EAGAIN)
        (void)sl_error_context(error, "prepare a journal segment");
    return status;
}

/* ---- segments ---- */

/** A new file, with its blocks reserved where the file system can do that. */
static sl_status create_file(sl_journal *journal, const char *path, uint64_t bytes, int *file,
                             sl_error *error) {
    sl_files *files = journal->files;
    while (!quota_allows(journal, bytes)) {
        sl_status status = dispose(journal, error);
        if (status == SL_ENOTFOUND)
            return sl_error_set(error, SL_ENOSPC, "journal quota of %llu bytes is reached",
                                (unsigned long long)journal->quota_bytes);
        if (status)
            return status;
    }
    sl_status status = files->open(files, path,
                                   SL_FILE_READ | SL_FILE_WRITE | SL_FILE_CREATE |
                                       SL_FILE_EXCLUSIVE | SL_FILE_DIRECT,
                                   file, error);
    if (status)
        return status;
    status = files->allocate(files, *file, bytes, error);
    if (status == SL_OK || status == SL_EUNSUPPORTED) {
        add_bytes(journal, bytes);
        return SL_OK;
    }
    files->close(files, *file);
    (void)files->unlink(files, path, NULL);
    return status;
}

/** Use the spare that is still being written: what is missing of it is reserved. */
static sl_status take_unfinished(sl_journal *journal, const char *path, int *file,
                                 sl_error *error) {
    sl_files *files = journal->files;
    char spare[PATH_BYTES];
    sl_status status =
        files->allocate(files, journal->making_file, journal->segment_bytes, error);
    if (status && status != SL_EUNSUPPORTED)
        return status;
    sl_journal_path(journal, true, journal->making, spare);
    status = files->rename(files, spare, path, error);
    if (status)
        return status;
    *file = journal->making_file;
    journal->making_file = -1;
    return SL_OK;
}

static sl_status take_spare(sl_journal *journal, const char *path, int *file, sl_error *error) {
    sl_files *files = journal->files;
    char spare[PATH_BYTES];
    uint64_t number = pop_spare(journal);
    sl_journal_path(journal, true, number, spare);
    sl_status status =
        files->open(files, spare, SL_FILE_READ | SL_FILE_WRITE | SL_FILE_DIRECT, file, error);
    if (status == SL_OK) {
        status = files->rename(files, spare, path, error);
        if (status)
            files->close(files, *file);
    }
    if (status) { /* Somebody took it away, or worse: do without it. */
        sl_status gone = files->unlink(files, spare, NULL);
        if (gone == SL_OK || gone == SL_ENOTFOUND)
            take_bytes(journal, journal->segment_bytes);
    }
    return status;
}

/** A file of `bytes` under the new segment's name: a spare, a retired one, or a new one. */
static sl_status take_file(sl_journal *journal, const char *path, uint64_t bytes, int *file,
                           sl_error *error) {
    if (bytes == journal->segment_bytes) {
        while (journal->spare_count == 0 && dispose(journal, error) == SL_OK)
            ;
        if (journal->spare_count > 0)
            return take_spare(journal, path, file, error);
        if (journal->making_file >= 0)
            return take_unfinished(journal, path, file, error);
    }
    return create_file(journal, path, bytes, file, error);
}

sl_status sl_journal_append(sl_journal *journal, segment *s) {
    sl_status status = SL_OK;
    lock(journal); /* Readers walk the list and trim() shifts it. */
    if (journal->count == journal->capacity) {
        size_t capacity = journal->capacity ? journal->capacity * 2 : 16;
        segment **grown = sl_realloc(journal->segments, capacity * sizeof(segment *));
        if (grown) {
            journal->segments = grown;
            journal->capacity = capacity;
        } else {
            status = SL_ENOMEM;
        }
    }
    if (status == SL_OK)
        journal->segments[journal->count++] = s;
    unlock(journal);
    return status;
}

static sl_status write_header(sl_journal *journal, int file, const segment *s,
                              const segment *previous, sl_error *error) {
    segment_header header = {.base = s->base,
                             .data_bytes = s->data_bytes,
                             .generation = s->generation,
                             .first_number = s->first_number,
                             .previous = previous ? previous->base : NO_SEGMENT,
                             .previous_end = s->begin};
    memcpy(header.identity, journal->identity, sizeof header.identity);
    sl_journal_encode_segment(journal->block, &header);
    return journal->files->write(journal->files, file, journal->block, SL_BLOCK, 0, error);
}

static void leave_active(sl_journal *journal) {
    if (journal->active)
        journal->files->close(journal->files, journal->active_file);
    lock(journal);
    journal->active_open = false;
    unlock(journal);
    journal->active = NULL;
}

/** Give the new segment a file with a durable name and a header. */
static sl_status found_segment(sl_journal *journal, segment *s, int *file, sl_error *error) {
    lock(journal);
    const segment *previous = journal->count ? journal->segments[journal->count - 1] : NULL;
    unlock(journal); /* The last one is never retired, so it stays. */
    s->begin = journal->end; /* Of a new journal: the cursors it was opened with. */
    if (previous) /* One that stayed empty has nothing of its own to end. */
        s->begin = previous->end > previous->base ? previous->end : previous->begin;
    char path[PATH_BYTES];
    sl_journal_path(journal, false, s->base, path);
    sl_status status = take_file(journal, path, s->file_bytes, file, error);
    if (status) {
        sl_free(s);
        return status;
    }
    /* A base is used once, whatever becomes of this file. */
    journal->next_base += s->data_bytes;
    /* The name must be durable before the first acknowledgement that depends on it. */
    status = journal->files->sync_directory(journal->files, journal->directory, error);
    if (status == SL_OK)
        status = write_header(journal, *file, s, previous, error);
    if (status == SL_OK && sl_journal_append(journal, s))
        status = sl_error_set(error, SL_ENOMEM, "no memory for the list of segments");
    if (status) {
        journal->files->close(journal->files, *file);
        lock(journal);
        s->failed = true;
        sl_journal_retire(journal, s);
        unlock(journal);
    }
    return status;
}

sl_status sl_journal_activate(sl_journal *journal, uint64_t need, sl_error *error) {
    leave_active(journal);
    segment *s = sl_calloc(1, sizeof *s);
    if (!s)
        return sl_error_set(error, SL_ENOMEM, "no memory for a journal segment");
    s->file_bytes = journal->segment_bytes;
    if (need > s->file_bytes - SL_BLOCK)
        s->file_bytes = need + SL_BLOCK; /* One group larger than a segment gets its own size. */
    s->data_bytes = s->file_bytes - SL_BLOCK;
    s->base = s->end = journal->next_base;
    s->generation = sl_journal_draw(journal);
    s->first_number = journal->next_number;
    int file = -1;
    sl_status status = found_segment(journal, s, &file, error);
    if (status)
        return status;
    journal->active = s;
    journal->active_file = file;
    lock(journal);
    journal->active_open = true;
    unlock(journal);
    return SL_OK;
}

/** Nothing more goes into the active segment, and nobody syncs it again (I1). */
static void seal_failed(sl_journal *journal, const sl_error *error) {
    segment *s = journal->active;
    set_haunted(journal, s, void_group(journal, journal->active_file, s) != SL_OK);
    lock(journal);
    s->failed = true;
    journal->sync_failures++;
    journal->active_open = false;
    if (!s->durable) { /* It holds nothing; the next one follows its predecessor. */
        journal->count--;
        sl_journal_retire(journal, s);
    }
    unlock(journal);
    sl_message(SL_LEVEL_ERROR, "journal", "segment sealed after a failed write or sync",
               "base=%llu end=%llu error=\"%s\"", (unsigned long long)s->base,
               (unsigned long long)s->end, error ? error->text : "");
    leave_active(journal);
}

/**
 * After SL_ENOSPC in the middle of a group: its header, if it is on disk, must not come back to
 * life. The block was never acknowledged, so it may be written again.
 */
static void erase_group(sl_journal *journal, uint64_t offset, const sl_error *error) {
    sl_files *files = journal->files;
    if (files->write(files, journal->active_file, journal->zeros, SL_BLOCK,
                     SL_BLOCK + (offset - journal->active->base), NULL) ||
        (journal->sync && files->sync(files, journal->active_file, NULL)))
        seal_failed(journal, error);
}

/** Write and sync the group at the end of the active segment. */
static sl_status place_group(sl_journal *journal, sl_group *group, sl_error *error) {
    segment *s = journal->active;
    sl_journal_seal_group(group, s->end, journal->next_number, s->generation);
    sl_files *files = journal->files;
    sl_status status = files->write(files, journal->active_file, group->bytes, group->length,
                                    SL_BLOCK + (group->offset - s->base), error);
    if (status == SL_OK && journal->sync) {
        status = files->sync(files, journal->active_file, error);
        if (status)
            status = SL_EIO; /* Also ENOSPC at a sync leaves the pages' state unknown. */
    }
    if (status == SL_ENOSPC) {
        erase_group(journal, group->offset, error);
    } else if (status) {
        seal_failed(journal, error);
    } else {
        lock(journal); /* From here on readers see it. */
        s->end = journal->end = group->next;
        s->durable = true;
        unlock(journal);
        journal->next_number++;
        forget_haunted(journal);
    }
    return status == SL_OK || status == SL_ENOSPC ? status : SL_EIO;
}

sl_status sl_journal_write(sl_journal *journal, sl_group *group, sl_error *error) {
    assert(group->count > 0);
    sl_journal_void(journal);
    const sl_journal_record *last = &group->records[group->count - 1];
    uint64_t need = block_up((uint64_t)last->body + last->length);
    sl_status status = SL_EIO;
    for (int attempt = 0; attempt < 2 && status == SL_EIO; attempt++) {
        status = SL_OK;
        const segment *s = journal->active;
        if (!s || s->base + s->data_bytes - s->end < need)
            status = sl_journal_activate(journal, need, error);
        if (status && status != SL_ENOSPC && status != SL_ENOMEM)
            status = SL_EIO;
        if (status == SL_OK)
            status = place_group(journal, group, error);
    }
    if (status)
        (void)sl_error_context(error, "write %u records to the journal", group->count);
    return status;
}
