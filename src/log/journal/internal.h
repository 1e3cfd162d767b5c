/** @file internal.h
 * The journal's state, shared by open.c, write.c, read.c and journal.c.
 */
#pragma once

#include "format.h"

#include <pthread.h>

#define SEGMENT_BYTES ((uint64_t)64 << 20)
#define SEGMENT_BYTES_MIN (16u * SL_BLOCK)
#define PIECE_BYTES ((size_t)1 << 20) /* Read and pre-written at a time. */
#define SPARES_MAX 4u
#define PATH_BYTES 4096u
#define DIGITS 20

/** A segment of the log, or, once retired, a file to be recycled or removed. */
typedef struct segment {
    struct segment *next; /**< In the retired list. */
    uint64_t base, data_bytes, generation, first_number;
    uint64_t begin;      /**< Where the groups before it end: nothing lies between there and base. */
    uint64_t end;        /**< Behind the last durable group. */
    uint64_t file_bytes; /**< Counted against the quota. */
    unsigned pins;       /**< Readers inside. */
    bool failed;         /**< A write or sync failed: never synced or recycled again. */
    bool haunted;        /**< And the group that failed, at `end`, isn't written over yet. */
    bool durable;        /**< Its header is on the disk. */
    bool unreadable;     /**< At start its header was damaged, or never got to the disk. */
    bool spare_name;     /**< The file is spare-BASE.journal. */
} segment;

/** Bytes of one segment, read ahead. */
typedef struct window {
    uint8_t *bytes; /**< PIECE_BYTES, aligned. */
    uint64_t offset;
    size_t length;
    size_t piece; /**< How much to read when a block isn't there. */
} window;

struct sl_journal {
    sl_files *files;
    char *directory;
    uint64_t quota_bytes, segment_bytes;
    bool sync;
    uint8_t identity[16];
    char identity_text[33];

    pthread_mutex_t *mutex; /**< Guards from here to `sync_failures`. */
    segment **segments;     /**< Ascending by base, never empty once open. */
    size_t count, capacity;
    segment *retired; /**< Oldest first. */
    uint64_t end, bytes, sync_failures;
    uint64_t unvoided; /**< Haunted segments. */
    unsigned spare_count;
    bool active_open;

    /* The journal thread's alone. */
    uint64_t spares[SPARES_MAX];
    uint64_t next_spare, next_base, next_number;
    uint64_t random[2], drawn;
    bool names_unsynced; /**< A removal of a file isn't known to be durable. */
    segment *active; /**< Last of `segments`; NULL: the next write opens one. */
    int active_file;
    int making_file; /**< A spare being written; -1: none. */
    uint64_t making, made_bytes;
    uint8_t *zeros; /**< PIECE_BYTES, aligned. */
    uint8_t *block; /**< SL_BLOCK, aligned, for headers. */

    /* The reader's alone. */
    window ahead;
    int reading_file; /**< -1: none. */
    uint64_t reading_base, reading_generation;
    size_t last_length;
};

void sl_journal_path(const sl_journal *journal, bool spare, uint64_t number, char *path);
uint64_t sl_journal_draw(sl_journal *journal);

/** open.c */
SL_CHECKED sl_status sl_journal_recover(sl_journal *journal, uint64_t at_least,
                                        sl_journal_recovery *recovery, sl_error *error);

/** write.c: open the next segment, with room for a group of `need` bytes, and write its header. */
SL_CHECKED sl_status sl_journal_activate(sl_journal *journal, uint64_t need, sl_error *error);
/** Add to the list. @return SL_OK, SL_ENOMEM. */
SL_CHECKED sl_status sl_journal_append(sl_journal *journal, segment *s);
/** Write over what failed and couldn't be written over when it did. */
void sl_journal_void(sl_journal *journal);
/** Put into the list of files to recycle or remove; the mutex is held, or nobody else is there yet. */
void sl_journal_retire(sl_journal *journal, segment *s);

/** read.c */
/**
 * Find the first group header at or after *at and below `limit`.
 * @param generation Of the segment; NULL: any.
 * @return SL_OK, SL_ENOTFOUND, SL_EIO.
 */
SL_CHECKED sl_status sl_journal_find_group(sl_files *files, int file, uint64_t base,
                                           const uint64_t *generation, window *w, uint64_t *at,
                                           uint64_t limit, group_header *header,
                                           sl_error *error);
/** Bring the whole group into memory. The window may hold its beginning. */
SL_CHECKED sl_status sl_journal_load_group(sl_files *files, int file, uint64_t base,
                                           const window *w, const group_header *header,
                                           sl_group *group, uint64_t *damaged, sl_error *error);
