/* What makes claims durable with a cut, and how a store comes back. Numbers are little-endian.
 *
 *   tail     The file of a run that isn't a file of keys yet: each cut appends the claims that are new. Each append begins on a
 *            block of 4 KiB of its own, so none that a record counts on is ever written again.
 *   append   segments, each padded with zeros to 4 KiB:
 *            "SLTG", u32 CRC-32C of all that follows, u64 number of the file, u32 first claim, u32 count,
 *            u64 position and i64 time of the run's base, 8 bytes 0, claims of 24 bytes as in key_file.c
 *   record   what the ledger keeps: "SLDEDUP1", u64 next number, u32 files of keys, u32 tails,
 *            per file u64 number, u64 bytes, u64 valid below, i64 begin of its slice, u32 CRC of its footer, u32 slice,
 *            per tail u64 number, u64 bytes, u64 valid below, u32 claims, u32 0; u32 CRC-32C of all
 *
 * Bytes beyond a tail's recorded length are of cuts that were not committed, and so are files that the record doesn't
 * name: their claims are made again, as the cursors stayed where they were. */
#include "private.h"

#include <inttypes.h>

enum {
    BLOCK = 4096,
    SEGMENT_CLAIMS = 16384,
    SEGMENT_MAGIC = 0x47544c53,
    ABANDONED_MAX = 8,
    TAIL_BYTES_MAX = 16 << 20, /* Twice what a full run takes in one piece. */
};

typedef struct segment {
    uint32_t magic, crc;
    uint64_t number;
    uint32_t first, count;
    uint64_t base_position;
    int64_t base_time_us;
    uint64_t reserved;
} segment;
static_assert(sizeof(segment) == 48, "a format");

typedef struct record_head {
    uint8_t magic[8];
    uint64_t next_number;
    uint32_t files, tails;
} record_head;
typedef struct record_file {
    uint64_t number, bytes, valid_below;
    int64_t begin_time;
    uint32_t crc, slice;
} record_file;
typedef struct record_tail {
    uint64_t number, bytes, valid_below;
    uint32_t claims, reserved;
} record_tail;
static_assert(sizeof(record_head) == 24 && sizeof(record_file) == 40 && sizeof(record_tail) == 32,
              "a format");

static const uint8_t record_magic[8] = {'S', 'L', 'D', 'E', 'D', 'U', 'P', '1'};

typedef struct cut_run {
    run *run;
    uint32_t count;
    uint64_t valid_below;
} cut_run;

struct sl_dedupe_cut {
    sl_dedupe *store; /* Files, directory, numbers alone. */
    uint64_t sequence;
    cut_run *runs;
    uint32_t run_count;
    record_file *files;
    uint32_t file_count;
    uint64_t abandoned[ABANDONED_MAX]; /* Tails that couldn't be synced. */
    uint32_t abandoned_count;
};

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "duplicates: out of memory");
}

static uint32_t segment_crc(const segment *head, const void *claims) {
    uint32_t crc = sl_crc32c(0, (const uint8_t *)head + offsetof(segment, number),
                             sizeof *head - offsetof(segment, number));
    return sl_crc32c(crc, claims, head->count * sizeof(claim));
}

static size_t padded(size_t bytes) { return (bytes + BLOCK - 1) / BLOCK * BLOCK; }

/* --- cutting --- */

static void cut_free(sl_dedupe_cut *c) {
    sl_free(c->runs);
    sl_free(c->files);
    sl_free(c);
}

static void note_run(sl_dedupe_cut *c, run *r) {
    if (r == NULL || r->count == 0)
        return;
    r->references++;
    c->runs[c->run_count++] = (cut_run){r, r->count, r->valid_below};
}

static void note_files(sl_dedupe_cut *c, const slice *of, uint32_t number) {
    for (uint32_t i = 0; i < of->file_count; i++) {
        const key_file *f = of->files[i];
        c->files[c->file_count++] = (record_file){.number = f->number,
                                                  .bytes = f->bytes,
                                                  .valid_below = f->valid_below,
                                                  .begin_time = of->begin_time,
                                                  .crc = f->crc,
                                                  .slice = number};
    }
}

sl_dedupe_cut *sl_dedupe_cut_begin(sl_dedupe *s) {
    uint32_t runs = s->waiting_count + 1, files = 1, number = 0;
    for (const slice *i = s->slices; i != NULL; i = i->next)
        files += i->file_count;
    sl_dedupe_cut *c = sl_calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->runs = sl_calloc(runs, sizeof *c->runs);
    c->files = sl_calloc(files, sizeof *c->files);
    if (c->runs == NULL || c->files == NULL) {
        cut_free(c);
        return NULL;
    }
    c->store = s;
    c->sequence = ++s->cut_begun;
    for (const slice *i = s->slices; i != NULL; i = i->next)
        note_files(c, i, number++);
    for (run *r = s->waiting; r != NULL; r = r->next)
        note_run(c, r);
    note_run(c, s->active);
    s->cuts_out++;
    return c;
}

/* --- writing --- */

static sl_status open_tail(sl_dedupe *s, run *r, sl_error *error) {
    uint64_t number = atomic_fetch_add_explicit(&s->next_number, 1, memory_order_relaxed);
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_status status = store_path(s, number, true, &path);
    if (status != SL_OK)
        (void)no_memory(error);
    else
        status = s->files->open(s->files, (const char *)path.bytes,
                                SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_TRUNCATE, &r->tail_file, error);
    sl_buffer_fini(&path);
    if (status != SL_OK)
        return status;
    r->tail_number = number;
    r->tail_bytes = 0;
    r->tail_claims = 0;
    r->tail_named = false;
    return SL_OK;
}

/* What was written of it is unknown, and a second sync would tell nothing: another file takes the run. */
static void abandon_tail(sl_dedupe_cut *c, run *r) {
    sl_files *files = c->store->files;
    files->close(files, r->tail_file);
    r->tail_file = -1;
    if (c->abandoned_count < ABANDONED_MAX) /* Else it stays until the store is opened next. */
        c->abandoned[c->abandoned_count++] = r->tail_number;
    r->tail_number = 0;
}

static bool build_segment(const run *r, uint32_t first, uint32_t count, sl_buffer *out) {
    segment head = {.magic = SEGMENT_MAGIC,
                    .number = r->tail_number,
                    .first = first,
                    .count = count,
                    .base_position = r->base.position,
                    .base_time_us = r->base.time_us};
    size_t length = padded(sizeof head + count * sizeof(claim));
    sl_buffer_clear(out);
    if (!sl_buffer_reserve(out, length))
        return false;
    claim *claims = (claim *)(void *)(out->bytes + sizeof head);
    for (uint32_t i = 0; i < count; i++)
        claims[i] = *run_claim(r, first + i);
    head.crc = segment_crc(&head, claims);
    memcpy(out->bytes, &head, sizeof head);
    size_t used = sizeof head + count * sizeof(claim);
    memset(out->bytes + used, 0, length - used);
    out->length = length;
    return true;
}

static sl_status write_tail(sl_dedupe_cut *c, run *r, uint32_t count, sl_buffer *buffer, sl_error *error) {
    sl_dedupe *s = c->store;
    sl_status status = r->tail_number == 0 ? open_tail(s, r, error) : SL_OK;
    if (status != SL_OK || r->tail_claims >= count)
        return status;
    uint64_t bytes = r->tail_bytes;
    for (uint32_t at = r->tail_claims; at < count;) {
        uint32_t n = count - at < SEGMENT_CLAIMS ? count - at : SEGMENT_CLAIMS;
        if (!build_segment(r, at, n, buffer))
            return no_memory(error);
        status = s->files->write(s->files, r->tail_file, buffer->bytes, buffer->length, bytes, error);
        if (status != SL_OK)
            return status;
        at += n;
        bytes += buffer->length;
    }
    status = s->files->sync(s->files, r->tail_file, error);
    if (status != SL_OK) {
        abandon_tail(c, r);
        return status;
    }
    r->tail_bytes = bytes;
    r->tail_claims = count;
    return SL_OK;
}

static sl_status write_tails(sl_dedupe_cut *c, sl_error *error) {
    sl_dedupe *s = c->store;
    sl_buffer buffer = SL_BUFFER_EMPTY;
    sl_status status = SL_OK;
    bool named = true;
    for (uint32_t i = 0; i < c->run_count && status == SL_OK; i++) {
        status = write_tail(c, c->runs[i].run, c->runs[i].count, &buffer, error);
        named = named && c->runs[i].run->tail_named;
    }
    sl_buffer_fini(&buffer);
    if (status != SL_OK || named)
        return status;
    status = s->files->sync_directory(s->files, s->directory, error);
    for (uint32_t i = 0; i < c->run_count && status == SL_OK; i++)
        c->runs[i].run->tail_named = true;
    return status;
}

sl_status sl_dedupe_cut_write(sl_dedupe_cut *c, sl_buffer *record, sl_error *error) {
    sl_status status = write_tails(c, error);
    if (status != SL_OK)
        return status;
    size_t begin = record->length;
    record_head head = {.next_number = atomic_load_explicit(&c->store->next_number, memory_order_relaxed),
                        .files = c->file_count,
                        .tails = c->run_count};
    memcpy(head.magic, record_magic, sizeof record_magic);
    sl_buffer_append(record, &head, sizeof head);
    sl_buffer_append(record, c->files, c->file_count * sizeof *c->files);
    for (uint32_t i = 0; i < c->run_count; i++) {
        const run *r = c->runs[i].run;
        record_tail tail = {.number = r->tail_number,
                            .bytes = r->tail_bytes,
                            .valid_below = c->runs[i].valid_below,
                            .claims = r->tail_claims};
        sl_buffer_append(record, &tail, sizeof tail);
    }
    if (!record->failed)
        sl_buffer_u32(record, sl_crc32c(0, record->bytes + begin, record->length - begin));
    return record->failed ? no_memory(error) : SL_OK;
}

void sl_dedupe_cut_end(sl_dedupe *s, sl_dedupe_cut *c, bool committed) {
    if (committed)
        s->cut_committed = c->sequence;
    for (uint32_t i = 0; i < c->abandoned_count; i++)
        store_condemn(s, c->abandoned[i], true);
    for (uint32_t i = 0; i < c->run_count; i++)
        run_unref(s, c->runs[i].run);
    s->cuts_out--;
    cut_free(c);
    /* A few claims in each of very many cuts: a file of keys takes less room. */
    if (s->cuts_out == 0 && s->active != NULL && s->active->tail_bytes > TAIL_BYTES_MAX)
        (void)store_rotate(s);
}

/* --- coming back --- */

static uint64_t lower(uint64_t a, uint64_t b) { return a < b ? a : b; }

static sl_status take_segment(run *r, const uint8_t *bytes, size_t length, size_t *used) {
    segment head;
    if (length < sizeof head)
        return SL_ECORRUPT;
    memcpy(&head, bytes, sizeof head);
    if (head.magic != SEGMENT_MAGIC || head.number != r->tail_number || head.first != r->count ||
        head.count == 0 || head.count > SEGMENT_CLAIMS || head.count > r->limit - r->count ||
        padded(sizeof head + head.count * sizeof(claim)) > length ||
        head.crc != segment_crc(&head, bytes + sizeof head))
        return SL_ECORRUPT;
    claim_base base = {head.base_position, head.base_time_us};
    for (uint32_t i = 0; i < head.count; i++) {
        claim c;
        memcpy(&c, bytes + sizeof head + i * sizeof c, sizeof c);
        uint64_t position = claim_position(&c, &base);
        int64_t time = claim_time(&c, &base);
        if (!run_fits(r, position, time))
            return SL_ECORRUPT;
        if (run_add(r, c.high, c.low, position, time) != SL_OK)
            return SL_ENOMEM;
    }
    *used = padded(sizeof head + head.count * sizeof(claim));
    return SL_OK;
}

static sl_status read_tail(sl_dedupe *s, const char *path, run *r, sl_buffer *bytes, sl_error *error) {
    int file;
    size_t got = 0;
    uint64_t size = 0;
    sl_status status = s->files->open(s->files, path, SL_FILE_READ, &file, error);
    if (status == SL_ENOTFOUND)
        return sl_error_set(error, SL_ECORRUPT, "tail %" PRIu64 " is missing", r->tail_number);
    if (status != SL_OK)
        return status;
    status = s->files->size(s->files, file, &size, error);
    sl_buffer_clear(bytes);
    if (status == SL_OK && size >= r->tail_bytes && !sl_buffer_reserve(bytes, r->tail_bytes))
        status = no_memory(error);
    if (status == SL_OK && size >= r->tail_bytes)
        status = s->files->read(s->files, file, bytes->bytes, r->tail_bytes, 0, &got, error);
    s->files->close(s->files, file);
    if (status == SL_OK && got != r->tail_bytes)
        status = sl_error_set(error, SL_ECORRUPT, "tail %" PRIu64 " is cut off", r->tail_number);
    return status;
}

static sl_status load_tail(sl_dedupe *s, const record_tail *t, run *r, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY, bytes = SL_BUFFER_EMPTY;
    sl_status status = store_path(s, t->number, true, &path);
    if (status == SL_OK)
        status = read_tail(s, (const char *)path.bytes, r, &bytes, error);
    else
        (void)no_memory(error);
    for (size_t at = 0, used = 0; status == SL_OK && at < t->bytes; at += used) {
        status = take_segment(r, bytes.bytes + at, t->bytes - at, &used);
        if (status == SL_ENOMEM)
            (void)no_memory(error);
        else if (status != SL_OK)
            (void)sl_error_set(error, status, "tail %" PRIu64 " is damaged at byte %zu", t->number, at);
    }
    if (status == SL_OK && r->count != t->claims)
        status = sl_error_set(error, SL_ECORRUPT, "tail %" PRIu64 " has other claims than recorded",
                              t->number);
    sl_buffer_fini(&path);
    sl_buffer_fini(&bytes);
    return status;
}

static sl_status recover_tail(sl_dedupe *s, const record_tail *t, uint64_t resume, sl_error *error) {
    if (t->claims == 0 || t->claims > RUN_CLAIMS_MAX || t->bytes > (uint64_t)t->claims * BLOCK ||
        t->bytes < t->claims * sizeof(claim))
        return sl_error_set(error, SL_ECORRUPT, "the ledger's record is damaged");
    run *r = run_create(&s->memory, t->claims, t->claims);
    if (r == NULL)
        return no_memory(error);
    r->forced = true;
    r->tail_number = t->number;
    r->tail_bytes = t->bytes;
    r->tail_named = true;
    sl_status status = load_tail(s, t, r, error);
    if (status != SL_OK) {
        run_destroy(r);
        return status;
    }
    r->tail_claims = t->claims;
    r->valid_below = lower(t->valid_below, resume);
    r->begin_watermark = r->extent.time_max;
    s->active = r;
    (void)store_rotate(s);
    return SL_OK;
}

static sl_status recover_file(sl_dedupe *s, const record_file *f, slice *to, uint64_t resume, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY;
    key_file *opened = NULL;
    sl_status status = store_path(s, f->number, false, &path);
    if (status == SL_OK)
        status = key_file_open(s->files, (const char *)path.bytes, f->number, f->bytes, f->crc, &s->memory,
                               &opened, error);
    else
        (void)no_memory(error);
    sl_buffer_fini(&path);
    if (status != SL_OK)
        return status;
    opened->valid_below = lower(f->valid_below, resume);
    if (!slice_append(to, opened)) {
        key_file_close(s->files, opened);
        return no_memory(error);
    }
    to->begin_time = f->begin_time;
    return SL_OK;
}

static sl_status recover_files(sl_dedupe *s, const uint8_t *entries, uint32_t count, uint64_t resume,
                               sl_error *error) {
    slice **last = &s->slices, *now = NULL;
    uint32_t number = 0;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < count && status == SL_OK; i++) {
        record_file f;
        memcpy(&f, entries + i * sizeof f, sizeof f);
        if (now == NULL || f.slice != number) {
            number = f.slice;
            now = slice_create();
            if (now == NULL)
                return no_memory(error);
            now->closed = true; /* Its common filter is gone; a merge gives it another one. */
            *last = now;
            last = &now->next;
        }
        status = recover_file(s, &f, now, resume, error);
    }
    for (slice *i = s->slices; i != NULL && status == SL_OK; i = i->next) {
        status = store_want_filter(s, i, error);
        i->retry_tick = 0;
    }
    return status;
}

/* --- what no record names --- */

typedef struct sweep {
    const sl_dedupe *store;
    sl_buffer orphans; /* u64 number << 1 | tail */
    uint64_t highest;
} sweep;

static bool named(const sl_dedupe *s, uint64_t number, bool tail) {
    for (const run *r = s->waiting; r != NULL && tail; r = r->next)
        if (r->tail_number == number)
            return true;
    for (const slice *i = s->slices; i != NULL && !tail; i = i->next)
        for (uint32_t k = 0; k < i->file_count; k++)
            if (i->files[k]->number == number)
                return true;
    return false;
}

static bool number_of(const char *name, uint64_t *number, bool *tail) {
    if (strspn(name, "0123456789abcdef") != 16)
        return false;
    *number = strtoull(name, NULL, 16);
    *tail = strcmp(name + 16, ".tail") == 0;
    return *tail || strcmp(name + 16, ".keys") == 0;
}

static sl_status look_at(void *context, const sl_file_entry *entry) {
    sweep *w = context;
    uint64_t number;
    bool tail;
    if (entry->directory || !number_of(entry->name, &number, &tail))
        return SL_OK;
    w->highest = number > w->highest ? number : w->highest;
    if (!named(w->store, number, tail))
        sl_buffer_u64(&w->orphans, number << 1 | tail);
    return w->orphans.failed ? SL_ENOMEM : SL_OK;
}

static sl_status remove_orphans(sl_dedupe *s, sl_error *error) {
    sweep w = {.store = s};
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_status status = s->files->list(s->files, s->directory, look_at, &w, error);
    if (status == SL_ENOMEM)
        (void)no_memory(error);
    for (size_t at = 0; at < w.orphans.length && status == SL_OK; at += sizeof(uint64_t)) {
        uint64_t orphan;
        memcpy(&orphan, w.orphans.bytes + at, sizeof orphan);
        if (store_path(s, orphan >> 1, orphan & 1, &path) == SL_OK)
            (void)s->files->unlink(s->files, (const char *)path.bytes, NULL);
    }
    if (w.highest >= atomic_load_explicit(&s->next_number, memory_order_relaxed))
        atomic_store_explicit(&s->next_number, w.highest + 1, memory_order_relaxed);
    sl_buffer_fini(&path);
    sl_buffer_fini(&w.orphans);
    return status;
}

sl_status store_recover(sl_dedupe *s, const void *record, size_t length, uint64_t resume, sl_error *error) {
    const uint8_t *bytes = record;
    record_head head = {0};
    sl_status status = SL_OK;
    if (length != 0) {
        uint32_t crc;
        if (length < sizeof head + sizeof crc)
            return sl_error_set(error, SL_ECORRUPT, "the ledger's record is damaged");
        memcpy(&head, bytes, sizeof head);
        memcpy(&crc, bytes + length - sizeof crc, sizeof crc);
        if (memcmp(head.magic, record_magic, sizeof record_magic) != 0 ||
            crc != sl_crc32c(0, bytes, length - sizeof crc) ||
            length != sizeof head + head.files * sizeof(record_file) +
                          head.tails * sizeof(record_tail) + sizeof crc)
            return sl_error_set(error, SL_ECORRUPT, "the ledger's record is damaged");
        atomic_store_explicit(&s->next_number, head.next_number, memory_order_relaxed);
        status = recover_files(s, bytes + sizeof head, head.files, resume, error);
    }
    for (uint32_t i = 0; i < head.tails && status == SL_OK; i++) {
        record_tail tail;
        memcpy(&tail, bytes + sizeof head + head.files * sizeof(record_file) + i * sizeof tail,
               sizeof tail);
        status = recover_tail(s, &tail, resume, error);
    }
    return status == SL_OK ? remove_orphans(s, error) : status;
}
