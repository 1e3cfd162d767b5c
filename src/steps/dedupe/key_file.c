/* A file of keys, never changed once it is written. All numbers are little-endian.
 *
 *   header   16 bytes: "SLKEYS01", u64 number of the file
 *   buckets  2^bits of them, by the highest bits of the hash; each: u32 CRC-32C, u32 count, count claims of 24 bytes
 *   index    u32 for each bucket: claims in it and all buckets before
 *   filter   blocks of 64 bytes, see filter.c
 *   footer   128 bytes, see struct footer
 *
 *   claim    u64 + u32 of the key's hash, u32 low and u16 high half of the position, as a distance from the file's, and of
 *            the time: in the order of struct claim
 *
 * A bucket's CRC begins with the file's number and the bucket's, so a sector of another place or time is noticed. The
 * footer has the CRCs of index and filter and ends with its own, which the ledger's record has, too. A file is looked at only
 * when the record names it, with its length and that CRC; so a torn one is never taken for good.
 *
 * A look-up reads one bucket: 32 to 64 claims in files of more than 64 * 1,024, about a kilobyte. */
#include "private.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    HEADER_BYTES = 16,
    BUCKET_HEADER = 8,
    BITS_MAX = 24,
    FLUSH_BYTES = 1 << 20,
    SYNC_BYTES = 16 << 20, /* So that no sync lasts long. */
};

typedef struct header {
    uint8_t magic[8];
    uint64_t number;
} header;
static_assert(sizeof(header) == HEADER_BYTES, "a format");

typedef struct footer {
    uint8_t magic[8];
    uint64_t number;
    uint64_t claims;
    uint64_t base_position;
    int64_t base_time_us;
    uint64_t position_min, position_max;
    int64_t time_min, time_max;
    uint64_t index_offset, filter_offset;
    uint32_t bits, filter_blocks;
    uint32_t index_crc, filter_crc;
    uint8_t reserved[20]; /* 0 */
    uint32_t crc;         /* Of all before it. */
} footer;
static_assert(sizeof(footer) == 128, "a format");

static const uint8_t magic[8] = {'S', 'L', 'K', 'E', 'Y', 'S', '0', '1'};

static uint32_t footer_crc(const footer *f) { return sl_crc32c(0, f, offsetof(footer, crc)); }

static uint32_t bucket_crc(uint64_t number, uint32_t bucket, const void *claims, uint64_t count) {
    struct {
        uint64_t number, bucket;
    } place = {number, bucket};
    return sl_crc32c(sl_crc32c(0, &place, sizeof place), claims, count * sizeof(claim));
}

static sl_status damaged(const key_file *f, sl_error *error, const char *what) {
    return sl_error_set(error, SL_ECORRUPT, "file of keys %" PRIu64 ": %s", f->number, what);
}

static uint32_t bucket_begin(const key_file *f, uint32_t bucket) {
    return bucket == 0 ? 0 : f->ends[bucket - 1];
}

static uint64_t bucket_offset(const key_file *f, uint32_t bucket) {
    return HEADER_BYTES + (uint64_t)bucket * BUCKET_HEADER +
           (uint64_t)bucket_begin(f, bucket) * sizeof(claim);
}

static uint64_t index_bytes(uint32_t bits) { return sizeof(uint32_t) << bits; }

/* --- writing --- */

static key_file *file_create(uint64_t number, memory *m) {
    key_file *f = sl_calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->number = number;
    f->handle = -1;
    f->extent = EXTENT_EMPTY;
    f->valid_below = UINT64_MAX;
    f->memory = m;
    return f;
}

void key_file_close(sl_files *files, key_file *f) {
    if (f->handle >= 0)
        files->close(files, f->handle);
    if (f->ends != NULL)
        memory_give(f->memory, index_bytes(f->bits));
    if (f->filter.words != NULL)
        memory_give(f->memory, filter_bytes(f->filter.blocks));
    sl_free(f->ends);
    filter_fini(&f->filter);
    sl_free(f);
}

static bool index_create(key_file *f, uint32_t bits) {
    f->bits = bits;
    f->ends = sl_malloc(index_bytes(bits));
    if (f->ends == NULL)
        return false;
    memory_force(f->memory, index_bytes(bits));
    return true;
}

sl_status key_writer_open(key_writer *w, sl_files *files, const char *path, uint64_t number,
                          const extent *expected, uint32_t bits_per_claim, memory *m, sl_error *error) {
    *w = (key_writer){.files = files, .path = path, .file = file_create(number, m)};
    key_file *f = w->file;
    if (f == NULL)
        return sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    uint32_t bits = PARTITION_BITS;
    while (bits < BITS_MAX && expected->claims >> bits > BUCKET_CLAIMS)
        bits++;
    f->base = (claim_base){expected->position_min, expected->time_min};
    f->filter_blocks = filter_blocks(expected->claims, bits_per_claim);
    sl_status status = SL_OK;
    if (!index_create(f, bits) || !filter_init(&f->filter, f->filter_blocks))
        status = sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    else
        memory_force(m, filter_bytes(f->filter_blocks)); /* Who asked for the file looks for room afterwards. */
    header head = {.number = number};
    memcpy(head.magic, magic, sizeof magic);
    sl_buffer_append(&w->out, &head, sizeof head);
    if (status == SL_OK && w->out.failed)
        status = sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    if (status == SL_OK)
        status = files->open(files, path, SL_FILE_READ | SL_FILE_WRITE | SL_FILE_CREATE | SL_FILE_TRUNCATE,
                             &f->handle, error);
    if (status != SL_OK)
        key_writer_abandon(w);
    return status;
}

static sl_status flush(key_writer *w, size_t least, sl_error *error) {
    if (w->out.length < least || w->out.length == 0)
        return SL_OK;
    sl_status status =
        w->files->write(w->files, w->file->handle, w->out.bytes, w->out.length, w->offset, error);
    w->offset += w->out.length;
    w->unsynced += w->out.length;
    w->out.length = 0;
    if (status != SL_OK || w->unsynced < SYNC_BYTES)
        return status;
    w->unsynced = 0;
    return w->files->sync(w->files, w->file->handle, error);
}

static uint32_t sub_bucket(const key_file *f, const claim *c) {
    return (uint32_t)(c->high >> (64 - f->bits)) & ((1u << (f->bits - PARTITION_BITS)) - 1);
}

/* Buckets of the partition side by side at the end of `out`. @return where they begin. */
static uint8_t *lay_out(key_writer *w, const claim *claims, uint32_t count) {
    key_file *f = w->file;
    uint32_t subs = 1u << (f->bits - PARTITION_BITS), first = w->bucket;
    uint32_t *ends = f->ends + first;
    uint32_t before = bucket_begin(f, first);
    memset(ends, 0, subs * sizeof *ends);
    for (uint32_t i = 0; i < count; i++)
        ends[sub_bucket(f, &claims[i])]++;
    /* First the beginnings; each claim moves its bucket's on, so that in the end they are the ends. */
    for (uint32_t b = 0, sum = 0; b < subs; b++) {
        uint32_t n = ends[b];
        ends[b] = sum;
        sum += n;
    }
    uint8_t *out = w->out.bytes + w->out.length;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t b = sub_bucket(f, &claims[i]);
        memcpy(out + (size_t)(b + 1) * BUCKET_HEADER + (size_t)ends[b]++ * sizeof(claim), &claims[i],
               sizeof(claim));
    }
    for (uint32_t b = 0; b < subs; b++)
        ends[b] += before;
    return out;
}

sl_status key_writer_add(key_writer *w, const claim *claims, uint32_t count, sl_error *error) {
    key_file *f = w->file;
    uint32_t subs = 1u << (f->bits - PARTITION_BITS);
    size_t length = (size_t)subs * BUCKET_HEADER + (size_t)count * sizeof(claim);
    if (!sl_buffer_reserve(&w->out, length))
        return sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    uint8_t *at = lay_out(w, claims, count);
    for (uint32_t b = 0; b < subs; b++, w->bucket++) {
        uint32_t head[2] = {0, f->ends[w->bucket] - bucket_begin(f, w->bucket)};
        head[0] = bucket_crc(f->number, w->bucket, at + BUCKET_HEADER, head[1]);
        memcpy(at, head, sizeof head);
        at += BUCKET_HEADER + head[1] * sizeof(claim);
    }
    w->out.length += length;
    filter_add_all(&f->filter, claims, count);
    extent e = f->extent;
    for (uint32_t i = 0; i < count; i++)
        extent_add(&e, claim_position(&claims[i], &f->base), claim_time(&claims[i], &f->base));
    f->extent = e;
    return flush(w, FLUSH_BYTES, error);
}

static sl_status write_end(key_writer *w, sl_error *error) {
    key_file *f = w->file;
    uint64_t end = w->offset + w->out.length;
    footer foot = {
        .number = f->number,
        .claims = f->extent.claims,
        .base_position = f->base.position,
        .base_time_us = f->base.time_us,
        .position_min = f->extent.position_min,
        .position_max = f->extent.position_max,
        .time_min = f->extent.time_min,
        .time_max = f->extent.time_max,
        .index_offset = end,
        .filter_offset = end + index_bytes(f->bits),
        .bits = f->bits,
        .filter_blocks = f->filter_blocks,
        .index_crc = sl_crc32c(0, f->ends, index_bytes(f->bits)),
        .filter_crc = sl_crc32c(0, f->filter.words, filter_bytes(f->filter_blocks)),
    };
    memcpy(foot.magic, magic, sizeof magic);
    f->crc = foot.crc = footer_crc(&foot);
    f->filter_offset = foot.filter_offset;
    f->filter_crc = foot.filter_crc;
    sl_buffer_append(&w->out, f->ends, index_bytes(f->bits));
    sl_status status = w->out.failed ? sl_error_set(error, SL_ENOMEM, "file of keys: out of memory") : SL_OK;
    if (status == SL_OK)
        status = flush(w, 0, error);
    if (status == SL_OK)
        status = w->files->write(w->files, f->handle, f->filter.words, filter_bytes(f->filter_blocks),
                                 foot.filter_offset, error);
    f->bytes = foot.filter_offset + filter_bytes(f->filter_blocks) + sizeof foot;
    if (status == SL_OK)
        status = w->files->write(w->files, f->handle, &foot, sizeof foot, f->bytes - sizeof foot, error);
    return status == SL_OK ? w->files->sync(w->files, f->handle, error) : status;
}

sl_status key_writer_close(key_writer *w, key_file **out, sl_error *error) {
    sl_status status = write_end(w, error);
    *out = NULL;
    if (status == SL_OK) {
        *out = w->file;
        w->file = NULL;
        sl_buffer_fini(&w->out);
    } else {
        key_writer_abandon(w);
    }
    return status;
}

void key_writer_abandon(key_writer *w) {
    sl_buffer_fini(&w->out);
    if (w->file == NULL)
        return;
    bool made = w->file->handle >= 0;
    key_file_close(w->files, w->file);
    w->file = NULL;
    if (made)
        (void)w->files->unlink(w->files, w->path, NULL);
}

/* --- reading --- */

static sl_status read_exactly(sl_files *files, const key_file *f, void *bytes, size_t length,
                              uint64_t offset, sl_error *error) {
    size_t got = 0;
    sl_status status = files->read(files, f->handle, bytes, length, offset, &got, error);
    return status == SL_OK && got != length ? damaged(f, error, "ends early") : status;
}

/* What the footer says, if it can be true for a file of this length. */
static sl_status take_footer(key_file *f, const footer *foot, uint64_t length, sl_error *error) {
    if (memcmp(foot->magic, magic, sizeof magic) != 0 || foot->crc != footer_crc(foot))
        return damaged(f, error, "no valid footer");
    if (foot->bits < PARTITION_BITS || foot->bits > BITS_MAX || foot->claims > UINT32_MAX ||
        foot->index_offset != HEADER_BYTES + ((uint64_t)BUCKET_HEADER << foot->bits) +
                                  foot->claims * sizeof(claim) ||
        foot->filter_offset != foot->index_offset + index_bytes(foot->bits) || foot->filter_blocks == 0 ||
        length != foot->filter_offset + filter_bytes(foot->filter_blocks) + sizeof *foot)
        return damaged(f, error, "its parts don't fit its length");
    f->crc = foot->crc;
    f->base = (claim_base){foot->base_position, foot->base_time_us};
    f->extent = (extent){foot->claims, foot->position_min, foot->position_max, foot->time_min,
                         foot->time_max};
    f->filter_blocks = foot->filter_blocks;
    f->filter_offset = foot->filter_offset;
    f->filter_crc = foot->filter_crc;
    f->bits = foot->bits;
    return SL_OK;
}

static sl_status check_index(const key_file *f, uint32_t crc, sl_error *error) {
    if (sl_crc32c(0, f->ends, index_bytes(f->bits)) != crc)
        return damaged(f, error, "its index is damaged");
    for (uint32_t b = 0; b < 1u << f->bits; b++)
        if (f->ends[b] < bucket_begin(f, b))
            return damaged(f, error, "its index is damaged");
    return f->ends[(1u << f->bits) - 1] == f->extent.claims ? SL_OK
                                                           : damaged(f, error, "its index is damaged");
}

static sl_status read_file(sl_files *files, key_file *f, const char *path, uint32_t crc, sl_error *error) {
    footer foot;
    header head;
    uint64_t size;
    sl_status status = files->open(files, path, SL_FILE_READ, &f->handle, error);
    if (status != SL_OK)
        return status == SL_ENOTFOUND ? damaged(f, error, "is missing") : status;
    status = files->size(files, f->handle, &size, error);
    if (status == SL_OK && (size < f->bytes || f->bytes < sizeof head + sizeof foot))
        return damaged(f, error, "is cut off");
    if (status == SL_OK)
        status = read_exactly(files, f, &head, sizeof head, 0, error);
    if (status == SL_OK)
        status = read_exactly(files, f, &foot, sizeof foot, f->bytes - sizeof foot, error);
    if (status != SL_OK)
        return status;
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.number != f->number || foot.number != f->number)
        return damaged(f, error, "is another file");
    status = take_footer(f, &foot, f->bytes, error);
    if (status == SL_OK && foot.crc != crc)
        status = damaged(f, error, "is another file");
    uint32_t bits = f->bits;
    f->bits = 0;
    if (status == SL_OK && !index_create(f, bits))
        status = sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    if (status == SL_OK)
        status = read_exactly(files, f, f->ends, index_bytes(bits), foot.index_offset, error);
    return status == SL_OK ? check_index(f, foot.index_crc, error) : status;
}

sl_status key_file_open(sl_files *files, const char *path, uint64_t number, uint64_t bytes, uint32_t crc,
                        memory *m, key_file **out, sl_error *error) {
    *out = NULL;
    key_file *f = file_create(number, m);
    if (f == NULL)
        return sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    f->bytes = bytes;
    sl_status status = read_file(files, f, path, crc, error);
    if (status == SL_OK)
        *out = f;
    else
        key_file_close(files, f);
    return status;
}

sl_status key_file_load_filter(sl_files *files, key_file *f, sl_error *error) {
    filter loaded;
    if (!filter_init(&loaded, f->filter_blocks))
        return sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    sl_status status = read_exactly(files, f, loaded.words, filter_bytes(loaded.blocks), f->filter_offset,
                                    error);
    if (status == SL_OK && sl_crc32c(0, loaded.words, filter_bytes(loaded.blocks)) != f->filter_crc)
        status = damaged(f, error, "its filter is damaged");
    if (status == SL_OK)
        f->filter = loaded;
    else
        filter_fini(&loaded);
    return status;
}

/* Buckets [first, end) as they lie in the file. */
static sl_status read_buckets(sl_files *files, const key_file *f, uint32_t first, uint32_t end,
                              sl_buffer *scratch, sl_error *error) {
    size_t length = (size_t)(end - first) * BUCKET_HEADER +
                    (size_t)(f->ends[end - 1] - bucket_begin(f, first)) * sizeof(claim);
    sl_buffer_clear(scratch);
    if (!sl_buffer_reserve(scratch, length))
        return sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    scratch->length = length;
    return read_exactly(files, f, scratch->bytes, length, bucket_offset(f, first), error);
}

static sl_status check_bucket(const key_file *f, uint32_t bucket, const uint8_t *bytes, sl_error *error) {
    uint32_t head[2], count = f->ends[bucket] - bucket_begin(f, bucket);
    memcpy(head, bytes, sizeof head);
    if (head[1] == count && head[0] == bucket_crc(f->number, bucket, bytes + BUCKET_HEADER, count))
        return SL_OK;
    char text[48];
    (void)snprintf(text, sizeof text, "its bucket %" PRIu32 " is damaged", bucket);
    return damaged(f, error, text);
}

sl_status key_file_search(sl_files *files, const key_file *f, question *q, sl_buffer *scratch,
                          sl_error *error) {
    uint32_t bucket = (uint32_t)(q->high >> (64 - f->bits));
    uint32_t count = f->ends[bucket] - bucket_begin(f, bucket);
    if (count == 0)
        return SL_OK;
    sl_status status = read_buckets(files, f, bucket, bucket + 1, scratch, error);
    if (status == SL_OK)
        status = check_bucket(f, bucket, scratch->bytes, error);
    if (status != SL_OK)
        return status;
    const claim *claims = (const claim *)(const void *)(scratch->bytes + BUCKET_HEADER);
    for (uint32_t i = 0; i < count; i++)
        if (claims[i].high == q->high && claims[i].low == q->low)
            question_meet(q, &claims[i], &f->base, f->valid_below);
    return SL_OK;
}

sl_status key_file_partition(sl_files *files, const key_file *f, uint32_t partition, sl_buffer *scratch,
                             sl_error *error) {
    uint32_t shift = f->bits - PARTITION_BITS;
    return read_buckets(files, f, partition << shift, (partition + 1) << shift, scratch, error);
}

sl_status key_file_each(const key_file *f, uint32_t partition, const sl_buffer *scratch, claims_fn *each,
                        void *context, sl_error *error) {
    uint32_t shift = f->bits - PARTITION_BITS;
    const uint8_t *at = scratch->bytes;
    for (uint32_t b = partition << shift; b < (partition + 1) << shift; b++) {
        uint32_t count = f->ends[b] - bucket_begin(f, b);
        sl_status status = check_bucket(f, b, at, error);
        if (status != SL_OK)
            return status;
        if (!each(context, (const claim *)(const void *)(at + BUCKET_HEADER), count))
            return sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
        at += BUCKET_HEADER + count * sizeof(claim);
    }
    return SL_OK;
}

/* --- checking bytes as a whole --- */

static sl_status check_buckets(const key_file *f, const uint8_t *bytes, sl_error *error) {
    for (uint32_t b = 0; b < 1u << f->bits; b++) {
        const uint8_t *at = bytes + bucket_offset(f, b);
        sl_status status = check_bucket(f, b, at, error);
        if (status != SL_OK)
            return status;
        for (uint32_t i = 0, n = f->ends[b] - bucket_begin(f, b); i < n; i++) {
            claim c;
            memcpy(&c, at + BUCKET_HEADER + i * sizeof c, sizeof c);
            if (c.high >> (64 - f->bits) != b || !filter_has(&f->filter, c.high, c.low))
                return damaged(f, error, "a claim lies in another's place");
        }
    }
    return SL_OK;
}

sl_status sl_dedupe_file_check(const void *bytes, size_t length, uint64_t *claims, sl_error *error) {
    key_file f = {.bytes = length};
    footer foot;
    header head;
    if (length < sizeof head + sizeof foot)
        return damaged(&f, error, "is cut off");
    memcpy(&head, bytes, sizeof head);
    memcpy(&foot, (const uint8_t *)bytes + length - sizeof foot, sizeof foot);
    f.number = foot.number;
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.number != foot.number)
        return damaged(&f, error, "is another file");
    sl_status status = take_footer(&f, &foot, length, error);
    if (status != SL_OK)
        return status;
    f.ends = sl_malloc(index_bytes(f.bits));
    if (f.ends == NULL || !filter_init(&f.filter, f.filter_blocks)) {
        status = sl_error_set(error, SL_ENOMEM, "file of keys: out of memory");
    } else {
        memcpy(f.ends, (const uint8_t *)bytes + foot.index_offset, index_bytes(f.bits));
        memcpy(f.filter.words, (const uint8_t *)bytes + foot.filter_offset, filter_bytes(f.filter.blocks));
        status = check_index(&f, foot.index_crc, error);
        if (status == SL_OK &&
            sl_crc32c(0, f.filter.words, filter_bytes(f.filter.blocks)) != foot.filter_crc)
            status = damaged(&f, error, "its filter is damaged");
        if (status == SL_OK)
            status = check_buckets(&f, bytes, error);
    }
    *claims = f.extent.claims;
    sl_free(f.ends);
    filter_fini(&f.filter);
    return status;
}
