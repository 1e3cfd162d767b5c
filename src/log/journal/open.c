/** @file open.c
 * What the journal finds at start: which files are its segments, where the log ends.
 *
 * Cost  One block per segment, and the whole last segment; a segment whose header can't be read is
 *       searched too.
 */
#include "internal.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Everything that lies in the directory under our names, ascending by base. */
typedef struct finding {
    sl_journal *journal;
    struct found {
        segment *s;
        uint64_t previous, previous_end;
        bool header;
    } *items;
    size_t count, capacity;
} finding;

/** "PREFIX" + DIGITS digits + ".journal". */
static bool parse_name(const char *name, const char *prefix, uint64_t *number) {
    size_t skip = strlen(prefix);
    if (strncmp(name, prefix, skip) != 0 || strlen(name + skip) != DIGITS + strlen(".journal") ||
        strcmp(name + skip + DIGITS, ".journal") != 0)
        return false;
    *number = 0;
    for (size_t i = 0; i < DIGITS; i++) {
        char c = name[skip + i];
        if (c < '0' || c > '9' || *number > OFFSET_MAX)
            return false;
        *number = *number * 10 + (uint64_t)(c - '0');
    }
    return *number <= OFFSET_MAX;
}

static sl_status add_found(finding *f, segment *s) {
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? f->capacity * 2 : 64;
        struct found *grown = sl_realloc(f->items, capacity * sizeof *grown);
        if (!grown)
            return SL_ENOMEM;
        f->items = grown;
        f->capacity = capacity;
    }
    f->items[f->count++] = (struct found){.s = s, .previous = NO_SEGMENT};
    return SL_OK;
}

static sl_status find_file(void *context, const sl_file_entry *entry) {
    finding *f = context;
    sl_journal *journal = f->journal;
    uint64_t number;
    bool spare = parse_name(entry->name, "spare-", &number);
    if (entry->directory || (!spare && (!parse_name(entry->name, "", &number) ||
                                        number % SL_BLOCK != 0)))
        return SL_OK; /* Not ours. */
    journal->bytes += entry->size;
    if (spare && number >= journal->next_spare)
        journal->next_spare = number + 1;
    if (spare && entry->size == journal->segment_bytes && journal->spare_count < SPARES_MAX) {
        journal->spares[journal->spare_count++] = number;
        return SL_OK;
    }
    segment *s = sl_calloc(1, sizeof *s);
    if (!s)
        return SL_ENOMEM;
    *s = (segment){.base = number, .file_bytes = entry->size, .spare_name = spare};
    if (spare) {
        sl_journal_retire(journal, s);
        return SL_OK;
    }
    if (entry->size > SL_BLOCK)
        s->data_bytes = (entry->size - SL_BLOCK) & ~(uint64_t)(SL_BLOCK - 1);
    sl_status status = add_found(f, s);
    if (status)
        sl_free(s);
    return status;
}

static int by_base(const void *a, const void *b) {
    const struct found *x = a, *y = b;
    return x->s->base < y->s->base ? -1 : x->s->base > y->s->base;
}

static sl_status open_segment(sl_journal *journal, const segment *s, int *file,
                              sl_error *error) {
    char path[PATH_BYTES];
    sl_journal_path(journal, false, s->base, path);
    return journal->files->open(journal->files, path,
                                SL_FILE_READ | SL_FILE_WRITE | SL_FILE_DIRECT, file, error);
}

/** A header that can't be read is made up from the first group, whose place proves it belongs here. */
static sl_status discover(sl_journal *journal, int file, struct found *item, sl_error *error) {
    segment *s = item->s;
    group_header group;
    uint64_t at = s->base;
    journal->ahead.length = 0;
    journal->ahead.piece = PIECE_BYTES;
    sl_status status = sl_journal_find_group(journal->files, file, s->base, NULL,
                                             &journal->ahead, &at, s->base + s->data_bytes,
                                             &group, error);
    if (status == SL_OK) {
        s->generation = group.generation;
        s->first_number = group.number;
    }
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status read_header(sl_journal *journal, struct found *item, bool *identified,
                             sl_error *error) {
    segment *s = item->s;
    int file;
    sl_status status = open_segment(journal, s, &file, error);
    if (status)
        return status;
    size_t got = 0;
    segment_header header;
    status = journal->files->read(journal->files, file, journal->block, SL_BLOCK, 0, &got, error);
    if (status == SL_OK && got == SL_BLOCK && sl_journal_decode_segment(journal->block, &header) &&
        header.base == s->base) {
        if (*identified && memcmp(journal->identity, header.identity, 16) != 0)
            status = sl_error_set(error, SL_ECORRUPT, "segment %llu is of another journal",
                                  (unsigned long long)s->base);
        memcpy(journal->identity, header.identity, 16);
        *identified = item->header = true;
        s->data_bytes = header.data_bytes;
        s->generation = header.generation;
        s->first_number = header.first_number;
        item->previous = header.previous;
        item->previous_end = header.previous_end;
    } else if (status == SL_OK) {
        status = discover(journal, file, item, error);
    }
    journal->files->close(journal->files, file);
    s->unreadable = !item->header;
    s->durable = item->header;
    s->begin = item->header ? item->previous_end : s->base;
    s->end = s->base + s->data_bytes;
    return status;
}

/**
 * Walk back from the last segment along `previous`. What the chain doesn't name never held an
 * acknowledged group: its opening was cut off, or given up. @return SL_ECORRUPT: a hole.
 */
static sl_status link_chain(sl_journal *journal, finding *f, sl_error *error) {
    struct found *next = NULL;
    size_t members = f->count;
    for (size_t i = f->count; i-- > 0;) {
        struct found *item = &f->items[i];
        bool readable = item->header || item->s->generation;
        bool member = next && next->header ? item->s->base == next->previous : readable;
        if (!member && readable && next && next->header &&
            (next->previous == NO_SEGMENT || item->s->base < next->previous))
            return sl_error_set(error, SL_ECORRUPT,
                                "journal segments are missing between %llu and %llu",
                                (unsigned long long)item->s->base,
                                (unsigned long long)next->s->base);
        if (!member)
            continue;
        if (next && next->header)
            item->s->end = next->previous_end > item->s->base ? next->previous_end : item->s->base;
        /* Members gather at the end, in order; the others change places with them. */
        struct found moved = *item;
        *item = f->items[--members];
        f->items[members] = moved;
        next = &f->items[members];
    }
    for (size_t i = members; i < f->count; i++) {
        segment *s = f->items[i].s;
        if (sl_journal_append(journal, s))
            return sl_error_set(error, SL_ENOMEM, "no memory for %zu segments", f->count);
        f->items[i].s = NULL;
    }
    return SL_OK;
}

/** Where the last segment's groups end. */
typedef struct ending {
    uint64_t end, number;
    uint64_t torn_bytes; /**< Of a group that is there in part; 0: none. */
} ending;

static sl_status scan_groups(sl_journal *journal, int file, const segment *s,
                             uint64_t void_number, sl_group *group, ending *e,
                             sl_error *error) {
    uint64_t at = s->base, limit = s->base + s->data_bytes;
    *e = (ending){.end = s->base, .number = s->first_number};
    journal->ahead.length = 0;
    journal->ahead.piece = PIECE_BYTES;
    for (;;) {
        group_header header;
        sl_status status =
            sl_journal_find_group(journal->files, file, s->base, &s->generation,
                                  &journal->ahead, &at, limit, &header, error);
        if (status)
            return status == SL_ENOTFOUND ? SL_OK : status;
        if (header.number >= void_number)
            return SL_OK; /* A later segment took the number again: this one failed. */
        if (header.number < e->number) {
            at += SL_BLOCK; /* Left over from a place that was written again. */
            continue;
        }
        /* One group is in flight at a time: this one began after all before it were durable, so
         * damage before it is to be quarantined, not cut. */
        uint64_t damaged;
        status = sl_journal_load_group(journal->files, file, s->base, &journal->ahead, &header,
                                       group, &damaged, error);
        if (status)
            return status;
        if (damaged)
            *e = (ending){.end = at, .number = header.number, .torn_bytes = header.length};
        else
            *e = (ending){.end = at + header.length, .number = header.number + 1};
        at += header.length;
    }
}

static sl_status scan_segment(sl_journal *journal, const segment *s, uint64_t void_number,
                              bool sync, ending *e, sl_error *error) {
    sl_group *group = sl_group_create(PIECE_BYTES, NULL);
    if (!group)
        return sl_error_set(error, SL_ENOMEM, "no memory to scan segment %llu",
                            (unsigned long long)s->base);
    int file;
    sl_status status = open_segment(journal, s, &file, error);
    if (status == SL_OK) {
        status = scan_groups(journal, file, s, void_number, group, e, error);
        if (status == SL_OK && sync)
            status = journal->files->sync(journal->files, file, error);
        journal->files->close(journal->files, file);
    }
    sl_group_destroy(group);
    return status;
}

/**
 * A segment's end stands in the header of the next one. Where that can't be read, look for it;
 * what such a segment's own header would say of the groups before follows from its neighbours.
 */
static sl_status settle_ends(sl_journal *journal, sl_error *error) {
    uint64_t void_number = UINT64_MAX;
    for (size_t i = journal->count; i-- > 0;) {
        segment *s = journal->segments[i];
        const segment *next = i + 1 < journal->count ? journal->segments[i + 1] : NULL;
        if (next && next->unreadable) {
            ending e;
            sl_status status = scan_segment(journal, s, void_number, false, &e, error);
            if (status)
                return status;
            s->end = e.end + e.torn_bytes; /* A later group proves that this one was whole. */
        }
        if (next && s->unreadable && s->end == s->base && next->begin < s->base)
            s->begin = next->begin; /* It never held a group. */
        if (s->first_number)
            void_number = s->first_number;
    }
    for (size_t i = 1; i < journal->count; i++) {
        const segment *previous = journal->segments[i - 1];
        if (journal->segments[i]->unreadable)
            journal->segments[i]->begin =
                previous->end > previous->base ? previous->end : previous->begin;
    }
    return SL_OK;
}

static sl_status scan_last(sl_journal *journal, segment *s, sl_journal_recovery *recovery,
                           sl_error *error) {
    ending e;
    /* What is accepted here may have been written and not synced by the last process. */
    sl_status status = scan_segment(journal, s, UINT64_MAX, journal->sync, &e, error);
    if (status)
        return status;
    s->end = journal->end = e.end;
    journal->next_number = e.number;
    recovery->groups_cut = e.torn_bytes ? 1 : 0;
    recovery->bytes_cut = e.torn_bytes;
    return SL_OK;
}

/** A journal without segments gets its identity and the first one, durably. */
static sl_status create_first(sl_journal *journal, sl_error *error) {
    uint64_t words[2] = {sl_journal_draw(journal), sl_journal_draw(journal)};
    memcpy(journal->identity, words, sizeof words);
    journal->next_number = 1;
    sl_status status = sl_journal_activate(journal, 0, error);
    if (status)
        return status;
    status = journal->files->sync(journal->files, journal->active_file, error);
    journal->active->durable = status == SL_OK;
    return status;
}

/** Read all headers, choose the members of the log, retire the rest. */
static sl_status choose_segments(sl_journal *journal, finding *f, sl_error *error) {
    bool identified = false;
    sl_status status = SL_OK;
    if (f->count)
        qsort(f->items, f->count, sizeof *f->items, by_base);
    for (size_t i = 0; i < f->count && status == SL_OK; i++) {
        status = read_header(journal, &f->items[i], &identified, error);
        /* Behind it even if it is empty: no name is ever used twice. */
        uint64_t behind = f->items[i].s->base + f->items[i].s->data_bytes + SL_BLOCK;
        if (behind > journal->next_base)
            journal->next_base = behind;
    }
    if (status == SL_OK)
        status = link_chain(journal, f, error);
    for (size_t i = 0; i < f->count; i++) {
        if (f->items[i].s && status == SL_OK)
            sl_journal_retire(journal, f->items[i].s);
        else
            sl_free(f->items[i].s);
    }
    return status;
}

sl_status sl_journal_recover(sl_journal *journal, uint64_t at_least,
                             sl_journal_recovery *recovery, sl_error *error) {
    finding f = {.journal = journal};
    sl_files *files = journal->files;
    sl_status status = files->make_directories(files, journal->directory, error);
    if (status == SL_OK)
        status = files->list(files, journal->directory, find_file, &f, error);
    if (status == SL_OK)
        status = choose_segments(journal, &f, error);
    else
        for (size_t i = 0; i < f.count; i++)
            sl_free(f.items[i].s);
    sl_free(f.items);
    if (status)
        return status;
    recovery->segments = journal->count;
    status = settle_ends(journal, error);
    if (status == SL_OK && journal->count)
        status = scan_last(journal, journal->segments[journal->count - 1], recovery, error);
    if (status)
        return status;
    uint64_t floor = block_up(at_least);
    if (floor > journal->end)
        journal->end = floor;
    if (floor > journal->next_base)
        journal->next_base = floor;
    if (journal->count == 0)
        return create_first(journal, error);
    if (recovery->bytes_cut)
        sl_message(SL_LEVEL_WARN, "journal", "torn group cut", "offset=%llu bytes=%llu",
                   (unsigned long long)journal->end, (unsigned long long)recovery->bytes_cut);
    /* A process that was killed may have left a name that is not durable yet. */
    return files->sync_directory(files, journal->directory, error);
}
