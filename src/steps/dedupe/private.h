/* What the files of this folder share. README.md explains runs, slices and how they become files. */
#pragma once

#include "sluice/dedupe.h"
#include "sluice/memory.h"
#include "sluice/time.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "claims lie in files as in memory");

enum {
    RUN_CLAIMS_MAX = 1 << 18,
    CHUNK_BITS = 12, /* 4,096 claims, fewer in a run of fewer. */
    CHUNKS_MAX = RUN_CLAIMS_MAX >> CHUNK_BITS,
    RUNS_WAITING_MAX = 2,
    SLICE_CLAIMS = 64 * RUN_CLAIMS_MAX,
    SLICES_IN_HORIZON = 6,
    FILTER_BITS = 13,      /* Per claim: one of 350 foreign keys passes. */
    FILTER_BITS_SMALL = 8, /* Of files that are to be merged: one of 30 does. */
    PARTITION_BITS = 10,   /* Files are written and merged in 1,024 parts of the hash. */
    PARTITIONS = 1 << PARTITION_BITS,
    BUCKET_CLAIMS = 64, /* A bucket, what a look-up reads, has half as many or as many. */
    GROUP = 64,         /* Events whose cache misses go side by side. */
};
#define DELTA_MAX ((UINT64_C(1) << 48) - 1)

/* "This key was kept at this position, at this time": position and time are distances from the base of run or file. */
typedef struct claim {
    uint64_t high; /* Of the key's hash. */
    uint32_t low;
    uint32_t position_low, time_low;
    uint16_t position_high, time_high;
} claim;
static_assert(sizeof(claim) == 24, "a format");

typedef struct claim_base {
    uint64_t position;
    int64_t time_us;
} claim_base;

static inline uint64_t claim_position(const claim *c, const claim_base *b) {
    return b->position + (c->position_low | (uint64_t)c->position_high << 32);
}
/* Unsigned, as the base may lie beyond what int64_t can say. */
static inline int64_t claim_time(const claim *c, const claim_base *b) {
    return (int64_t)((uint64_t)b->time_us + (c->time_low | (uint64_t)c->time_high << 32));
}
static inline bool base_fits(const claim_base *b, uint64_t position, int64_t time_us) {
    return position >= b->position && position - b->position <= DELTA_MAX &&
           (uint64_t)time_us - (uint64_t)b->time_us <= DELTA_MAX;
}
static inline void claim_place(claim *c, const claim_base *b, uint64_t position, int64_t time_us) {
    uint64_t p = position - b->position, t = (uint64_t)time_us - (uint64_t)b->time_us;
    c->position_low = (uint32_t)p;
    c->position_high = (uint16_t)(p >> 32);
    c->time_low = (uint32_t)t;
    c->time_high = (uint16_t)(t >> 32);
}

/* What lies in a run, file or slice, by extremes. */
typedef struct extent {
    uint64_t claims;
    uint64_t position_min, position_max;
    int64_t time_min, time_max;
} extent;
#define EXTENT_EMPTY ((extent){.position_min = UINT64_MAX, .time_min = INT64_MAX, .time_max = INT64_MIN})
static inline void extent_add(extent *e, uint64_t position, int64_t time_us) {
    e->claims++;
    e->position_min = position < e->position_min ? position : e->position_min;
    e->position_max = position > e->position_max ? position : e->position_max;
    e->time_min = time_us < e->time_min ? time_us : e->time_min;
    e->time_max = time_us > e->time_max ? time_us : e->time_max;
}
void extent_join(extent *e, const extent *more);
bool extent_fits(const extent *e); /* Can one base hold it? */

/* One event on its way to a verdict. */
typedef struct question {
    uint64_t high;
    uint32_t low;
    bool late, duplicate, self;
    uint64_t position;
    int64_t floor; /* Claims below this time don't count. */
} question;

/* A claim of the same key: does it decide? */
static inline void question_meet(question *q, const claim *c, const claim_base *b, uint64_t valid_below) {
    uint64_t position = claim_position(c, b);
    if (position >= valid_below)
        return;
    if (position == q->position)
        q->self = true;
    else if (position < q->position && claim_time(c, b) >= q->floor)
        q->duplicate = true;
}

/* --- memory --- */

typedef struct memory {
    sl_budget own;
    sl_budget *shared;
} memory;
bool memory_take(memory *m, uint64_t bytes);
void memory_force(memory *m, uint64_t bytes);
void memory_give(memory *m, uint64_t bytes);
bool memory_over(const memory *m);

/* --- filter.c: a blocked Bloom filter --- */

typedef struct filter {
    uint64_t *words; /* [8 * blocks], on cache lines; NULL: none, every key passes. */
    uint32_t blocks;
} filter;

uint32_t filter_blocks(uint64_t claims, uint32_t bits_per_claim);
static inline uint64_t filter_bytes(uint32_t blocks) { return (uint64_t)blocks * 64; }
bool filter_init(filter *f, uint32_t blocks); /* Zeroes; memory isn't counted here. */
void filter_fini(filter *f);
/* Blocks are chosen by the hash's highest bits, so claims in the order of a file go through them one after the other. */
static inline uint64_t *filter_block(const filter *f, uint64_t high) {
    return f->words + ((high >> 32) * f->blocks >> 32) * 8;
}
static inline void filter_touch(const filter *f, uint64_t high) { sl_touch(filter_block(f, high)); }
static inline uint64_t filter_bits(uint64_t high, uint32_t low) {
    return (uint64_t)low << 32 | (uint32_t)high;
}
static inline void filter_mask(uint64_t mask[8], uint64_t high, uint32_t low) {
    uint64_t bits = filter_bits(high, low);
    for (unsigned k = 0; k < 8; k++)
        mask[k] = UINT64_C(1) << (bits >> 6 * k & 63);
}
static inline void filter_add(filter *f, uint64_t high, uint32_t low) {
    uint64_t *block = filter_block(f, high), bits = filter_bits(high, low);
    block[0] |= UINT64_C(1) << (bits & 63);
    block[1] |= UINT64_C(1) << (bits >> 6 & 63);
    block[2] |= UINT64_C(1) << (bits >> 12 & 63);
    block[3] |= UINT64_C(1) << (bits >> 18 & 63);
    block[4] |= UINT64_C(1) << (bits >> 24 & 63);
    block[5] |= UINT64_C(1) << (bits >> 30 & 63);
    block[6] |= UINT64_C(1) << (bits >> 36 & 63);
    block[7] |= UINT64_C(1) << (bits >> 42 & 63);
}
void filter_add_all(filter *f, const claim *claims, uint32_t count);
bool filter_has(const filter *f, uint64_t high, uint32_t low);
/* Which of `count` questions pass a filter that has words, whose blocks are on their way into the cache? Those of the one that is
 * asked next are sent for meanwhile. @return how many; their numbers in `hits`. */
uint32_t filter_sift(const filter *f, const filter *next, const question *questions, uint64_t (*masks)[8],
                     uint32_t count, uint32_t *hits);

/* --- run.c: claims in memory, in the order they were made --- */

typedef struct run {
    struct run *next; /* The next younger one. */
    uint32_t references;
    bool busy; /* Being written by work. */
    claim_base base;
    extent extent;
    int64_t begin_watermark;
    uint64_t valid_below;
    uint32_t count, limit, expected, chunk_bits;
    uint32_t room; /* So many claims fit without more memory. */
    claim *chunks[CHUNKS_MAX];
    uint32_t *slots; /* The index. */
    uint32_t slot_mask;
    bool forced; /* What is there already is taken whatever the memory's limit is. */
    memory *memory;
    /* The one who writes cuts: the file that holds the run until it is a file of keys. */
    uint64_t tail_number; /* 0: none. */
    bool tail_named;      /* Its directory is synced. */
    uint64_t tail_bytes;
    uint32_t tail_claims;
    int tail_file;
} run;

/* @param expected  Claims that will probably come. */
run *run_create(memory *m, uint32_t limit, uint32_t expected);
void run_destroy(run *r);
static inline const claim *run_claim(const run *r, uint32_t i) {
    return &r->chunks[i >> r->chunk_bits][i & ((1u << r->chunk_bits) - 1)];
}
static inline bool run_fits(const run *r, uint64_t position, int64_t time_us) {
    return r->count == 0 || base_fits(&r->base, position, time_us);
}
/* @return SL_OK, SL_EFULL (memory). Its limit mustn't be reached and it must fit. */
sl_status run_add(run *r, uint64_t high, uint32_t low, uint64_t position, int64_t time_us);
/* A slot is 13 bits of the hash and the claim's number + 1; 0 is free. They lie in lines of the cache, sixteen in each, which are filled
 * from the front: at half load a key's own line is hardly ever full, so there is nothing to guess. */
enum { NUMBER_BITS = 19, LINE_SLOTS = 16 };
#define NUMBER_MASK ((UINT32_C(1) << NUMBER_BITS) - 1)
static inline uint32_t run_tag(uint64_t high) { return (uint32_t)(high >> 20) & ~NUMBER_MASK; }
static inline uint32_t run_line(const run *r, uint64_t high) { return (uint32_t)high & r->slot_mask & ~(LINE_SLOTS - 1u); }
static inline void run_touch(const run *r, uint64_t high) { sl_touch(&r->slots[run_line(r, high)]); }
/* Sixteen bits each: which slots of the line are free, which have the tag, be it that of a free one? */
typedef struct line_bits {
    uint32_t free, same;
} line_bits;
#if defined(__SSE2__)
static inline uint32_t bits_of_sixteen(__m128i a, __m128i b, __m128i c, __m128i d) {
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
}
static inline line_bits line_look(const uint32_t line[LINE_SLOTS], uint32_t tag) {
    const __m128i *at = (const __m128i *)(const void *)line;
    const __m128i none = _mm_setzero_si128(), tags = _mm_set1_epi32((int)~NUMBER_MASK), wanted = _mm_set1_epi32((int)tag);
    const __m128i a = at[0], b = at[1], c = at[2], d = at[3];
    return (line_bits){bits_of_sixteen(_mm_cmpeq_epi32(a, none), _mm_cmpeq_epi32(b, none), _mm_cmpeq_epi32(c, none),
                                       _mm_cmpeq_epi32(d, none)),
                       bits_of_sixteen(_mm_cmpeq_epi32(_mm_and_si128(a, tags), wanted),
                                       _mm_cmpeq_epi32(_mm_and_si128(b, tags), wanted),
                                       _mm_cmpeq_epi32(_mm_and_si128(c, tags), wanted),
                                       _mm_cmpeq_epi32(_mm_and_si128(d, tags), wanted))};
}
#else
static inline line_bits line_look(const uint32_t line[LINE_SLOTS], uint32_t tag) {
    line_bits bits = {0, 0};
    for (uint32_t i = 0; i < LINE_SLOTS; i++) {
        bits.free |= (uint32_t)(line[i] == 0) << i;
        bits.same |= (uint32_t)((line[i] & ~NUMBER_MASK) == tag) << i;
    }
    return bits;
}
#endif
void run_meet(const run *r, uint32_t slot, question *q); /* The tag is the same: is the key? */
/* The run must have slots. @return the free one where a claim of the key would be entered. */
static inline uint32_t run_search(const run *r, question *q) {
    uint32_t tag = run_tag(q->high), at = run_line(r, q->high);
    for (;; at = (at + LINE_SLOTS) & r->slot_mask) {
        line_bits bits = line_look(r->slots + at, tag);
        for (uint32_t same = bits.same & ~bits.free; same != 0; same &= same - 1)
            run_meet(r, r->slots[at + (uint32_t)__builtin_ctz(same)], q);
        if (bits.free != 0)
            return at + (uint32_t)__builtin_ctz(bits.free);
    }
}
/* Where `room` allows one more: a claim whose key belongs at the free slot `at`. Its run's extent is the caller's to see to. */
static inline void run_put(run *r, uint32_t at, uint64_t high, uint32_t low, uint64_t position, int64_t time_us) {
    claim *c = &r->chunks[r->count >> r->chunk_bits][r->count & ((1u << r->chunk_bits) - 1)];
    c->high = high;
    c->low = low;
    claim_place(c, &r->base, position, time_us);
    r->slots[at] = run_tag(high) | ++r->count;
}

/* --- key_file.c --- */

typedef struct key_file {
    uint64_t number, bytes;
    uint32_t crc; /* Of the footer, which has those of all else but the buckets. */
    int handle;
    claim_base base;
    extent extent;
    uint64_t valid_below;
    uint32_t bits; /* 2^bits buckets */
    uint32_t *ends;
    filter filter;
    uint32_t filter_blocks; /* In the file. */
    uint64_t filter_offset;
    uint32_t filter_crc;
    memory *memory;
} key_file;

typedef struct key_writer {
    sl_files *files;
    const char *path; /* Borrowed. */
    key_file *file;
    uint32_t bucket; /* Next to write. */
    uint64_t offset, unsynced;
    sl_buffer out;
} key_writer;

/* @param claims  At most so many will come. `expected` decides what fits into 48 bits.
 * On success the writer holds an open file. */
sl_status key_writer_open(key_writer *w, sl_files *files, const char *path, uint64_t number,
                          const extent *expected, uint32_t bits_per_claim, memory *m, sl_error *error);
/* All claims of the next partition, placed by the file's base. Order doesn't matter. */
sl_status key_writer_add(key_writer *w, const claim *claims, uint32_t count, sl_error *error);
/* Index, filter, footer; synced. @return SL_OK: `*out` is the open file. In any case the writer is empty. */
sl_status key_writer_close(key_writer *w, key_file **out, sl_error *error);
void key_writer_abandon(key_writer *w); /* Closes and unlinks. An empty one is allowed. */

sl_status key_file_open(sl_files *files, const char *path, uint64_t number, uint64_t bytes,
                        uint32_t crc, memory *m, key_file **out, sl_error *error);
void key_file_close(sl_files *files, key_file *f);
/* Read the filter into memory that is counted already. */
sl_status key_file_load_filter(sl_files *files, key_file *f, sl_error *error);
/* @param scratch Grows. */
sl_status key_file_search(sl_files *files, const key_file *f, question *q, sl_buffer *scratch,
                          sl_error *error);
/* The claims of a partition, checked, with the file's base. */
sl_status key_file_partition(sl_files *files, const key_file *f, uint32_t partition, sl_buffer *scratch,
                             sl_error *error);
/* How many claims key_file_partition() left in `scratch`, bucket by bucket: call `each`. */
typedef bool claims_fn(void *context, const claim *claims, uint32_t count);
sl_status key_file_each(const key_file *f, uint32_t partition, const sl_buffer *scratch, claims_fn *each,
                        void *context, sl_error *error);

/* --- the store --- */

/* Files whose keys share one filter, until they are merged into one file. */
typedef struct slice {
    struct slice *next; /* The next younger one. */
    key_file **files;
    uint32_t file_count, file_capacity;
    extent extent;
    uint64_t limit;     /* Claims that the filter is made for. */
    int64_t begin_time; /* Highest time of the first file. */
    filter filter;      /* Of all files; without words when there is but one. */
    bool closed, busy;
    uint64_t used_tick, retry_tick;
} slice;

/* A file that no later record will name. It can go when a record without it is committed. */
typedef struct condemned {
    uint64_t number;
    bool tail;
    uint64_t sequence; /* Of the last cut that may name it. */
} condemned;

struct sl_dedupe {
    sl_files *files;
    char *directory;
    int64_t horizon_us, span_us;
    uint32_t run_claims, slice_claims;
    memory memory;
    _Atomic uint64_t next_number;
    int64_t floor, watermark_us; /* Of release; the highest seen. */
    run *active, *waiting; /* `waiting`: oldest first. */
    uint32_t last_count;   /* Of the run before the active one. */
    uint32_t waiting_count;
    slice *slices; /* Oldest first. */
    bool quiet;    /* Nothing has changed since there was nothing to merge. */
    sl_dedupe_work *out, *paused;
    uint64_t cut_begun, cut_committed;
    uint32_t cuts_out;
    condemned *condemned;
    uint32_t condemned_count, condemned_capacity;
    uint64_t tick;
    uint64_t reads, reads_in_vain;
    sl_buffer scratch;
    question questions[GROUP];
    _Alignas(64) uint64_t masks[GROUP][8];
};

sl_status store_path(const sl_dedupe *s, uint64_t number, bool tail, sl_buffer *out);
void store_condemn(sl_dedupe *s, uint64_t number, bool tail);
bool store_rotate(sl_dedupe *s); /* The active run waits to be written from now on. */
/* Takes memory, if need be from filters that were not used just now; from any when it `must`. */
bool store_make_room(sl_dedupe *s, uint64_t bytes, bool must);
void store_settle(sl_dedupe *s); /* What release() and a full memory ask for, as far as nobody is busy with it. */
void run_unref(sl_dedupe *s, run *r);
slice *slice_create(void);
bool slice_append(slice *s, key_file *f);
void slice_destroy(sl_dedupe *s, slice *of, bool condemn);
sl_status store_want_filter(sl_dedupe *s, slice *of, sl_error *error);
uint64_t store_claims(const sl_dedupe *s);
void work_abandon(sl_dedupe *s, sl_dedupe_work *w);
void work_rewound(sl_dedupe_work *w, uint64_t position); /* NULL is allowed. */
sl_status store_recover(sl_dedupe *s, const void *record, size_t length, uint64_t resume, sl_error *error);
