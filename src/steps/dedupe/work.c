/* What is done beside judging: runs become files, files of slices become one, files that nobody needs go. Between next and done
 * the work's own fields are the worker's; runs, files and slices that it reads are marked busy and stay. */
#include "private.h"

#include <inttypes.h>

enum { SLICES_MERGED_LEAST = 4, SLICE_RUNS_LEAST = 4 };

typedef enum work_kind { WORK_SPILL, WORK_MERGE, WORK_REMOVE } work_kind;

typedef struct input {
    const key_file *file;
    uint64_t valid_below; /* As it was when the work began. */
} input;

struct sl_dedupe_work {
    sl_dedupe *store; /* Files, directory, numbers and memory alone. */
    work_kind kind;
    sl_status status; /* SL_EAGAIN until it is over. */
    run *run;
    uint64_t run_valid_below;
    slice *target;  /* Takes the run's file; NULL: a new one with this limit. */
    uint64_t limit; /* 0: for this run alone. */
    slice *first;   /* The slices to merge, one after the other. */
    uint32_t slices;
    input *inputs;
    uint32_t input_count;
    int64_t floor;
    uint64_t rewound; /* The owner's: lowest position of rewinds since the work began. */
    uint32_t bits_per_claim;
    sl_buffer path;
    key_writer writer;
    key_file *result; /* NULL: no claim was left. */
    uint32_t partition;
    claim *sorted;
    uint64_t sorted_bytes;
    uint32_t *begins;
    sl_buffer gathered, scratch;
    uint64_t *doomed;
    bool *doomed_tail;
    uint32_t doomed_count;
};

/* --- what to do --- */

static sl_dedupe_work *work_create(sl_dedupe *s, work_kind kind) {
    sl_dedupe_work *w = sl_calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->store = s;
    w->kind = kind;
    w->status = SL_EAGAIN;
    w->rewound = UINT64_MAX;
    w->floor = s->floor;
    return w;
}

static void work_free(sl_dedupe_work *w) {
    key_writer_abandon(&w->writer);
    sl_buffer_fini(&w->path);
    sl_buffer_fini(&w->gathered);
    sl_buffer_fini(&w->scratch);
    sl_free(w->inputs);
    if (w->sorted != NULL)
        memory_give(&w->store->memory, w->sorted_bytes);
    sl_free(w->sorted);
    sl_free(w->begins);
    sl_free(w->doomed);
    sl_free(w->doomed_tail);
    sl_free(w);
}

static bool span_ok(const sl_dedupe *s, int64_t begin, int64_t end) {
    return end < begin || (uint64_t)end - (uint64_t)begin < (uint64_t)s->span_us;
}

static slice *last_slice(const sl_dedupe *s) {
    slice *last = s->slices;
    while (last != NULL && last->next != NULL)
        last = last->next;
    return last;
}

/* The open slice takes the run, or it is closed and another one begins. */
static void choose_slice(sl_dedupe *s, sl_dedupe_work *w) {
    slice *open = last_slice(s);
    const extent *e = &w->run->extent;
    if (open != NULL && !open->closed) {
        extent both = open->extent;
        extent_join(&both, e);
        if (both.claims <= open->limit && extent_fits(&both) && span_ok(s, open->begin_time, e->time_max)) {
            w->target = open;
            w->bits_per_claim = FILTER_BITS_SMALL;
            return;
        }
        open->closed = true;
        s->quiet = false;
    }
    /* As many claims again as there are; few, large slices while there aren't many. */
    uint64_t live = store_claims(s), least = w->run->count == s->run_claims ? SLICE_RUNS_LEAST * (uint64_t)s->run_claims : 0;
    w->limit = live > least ? live : least;
    w->limit = w->limit < s->slice_claims ? w->limit : s->slice_claims;
    bool alone = w->limit < 2 * (uint64_t)s->run_claims || !span_ok(s, w->run->begin_watermark, e->time_max);
    w->limit = alone ? 0 : w->limit;
    w->bits_per_claim = alone ? FILTER_BITS : FILTER_BITS_SMALL;
}

static sl_dedupe_work *next_spill(sl_dedupe *s) {
    if (s->waiting == NULL || s->waiting->busy)
        return NULL;
    sl_dedupe_work *w = work_create(s, WORK_SPILL);
    if (w == NULL)
        return NULL;
    w->run = s->waiting;
    w->run->busy = true;
    w->run_valid_below = w->run->valid_below;
    choose_slice(s, w);
    if (w->target != NULL)
        w->target->busy = true;
    return w;
}

static bool may_join(const sl_dedupe *s, const slice *older, const extent *joined, int64_t time_max) {
    extent both = *joined;
    extent_join(&both, &older->extent);
    return older->closed && !older->busy && older->extent.claims <= 2 * joined->claims &&
           both.claims <= s->slice_claims && extent_fits(&both) && span_ok(s, older->begin_time, time_max);
}

/* How many slices from `first` on belong together: four or more, none of them larger than twice what is younger. So claims are
 * written again only into a file that is a good deal larger, and few times. */
static uint32_t group_length(const sl_dedupe *s, const slice *first) {
    const slice *members[64];
    uint32_t count = 0;
    for (const slice *i = first; i != NULL && i->closed && !i->busy && count < 64; i = i->next)
        members[count++] = i;
    for (uint32_t end = count; end >= SLICES_MERGED_LEAST; end--) {
        extent joined = members[end - 1]->extent;
        uint32_t k = end - 1;
        while (k > 0 && may_join(s, members[k - 1], &joined, members[end - 1]->extent.time_max))
            extent_join(&joined, &members[--k]->extent);
        if (k == 0)
            return end;
    }
    return count != 0 && first->file_count > 1 ? 1 : 0;
}

static sl_dedupe_work *next_merge(sl_dedupe *s) {
    slice *first = s->quiet ? NULL : s->slices;
    uint32_t length = 0;
    while (first != NULL && (length = group_length(s, first)) == 0)
        first = first->next;
    if (first == NULL) {
        s->quiet = true;
        return NULL;
    }
    sl_dedupe_work *w = work_create(s, WORK_MERGE);
    if (w == NULL)
        return NULL;
    slice *end = first;
    for (uint32_t i = 0; i < length; i++, end = end->next)
        w->input_count += end->file_count;
    w->inputs = sl_calloc(w->input_count, sizeof *w->inputs);
    if (w->inputs == NULL) {
        work_free(w);
        return NULL;
    }
    w->first = first;
    w->slices = length;
    w->bits_per_claim = FILTER_BITS;
    uint32_t n = 0;
    for (slice *i = first; i != end; i = i->next) {
        i->busy = true;
        for (uint32_t k = 0; k < i->file_count; k++)
            w->inputs[n++] = (input){i->files[k], i->files[k]->valid_below};
    }
    return w;
}

static sl_dedupe_work *next_remove(sl_dedupe *s) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->condemned_count; i++)
        count += s->condemned[i].sequence < s->cut_committed;
    if (count == 0)
        return NULL;
    sl_dedupe_work *w = work_create(s, WORK_REMOVE);
    if (w == NULL)
        return NULL;
    w->doomed = sl_calloc(count, sizeof *w->doomed);
    w->doomed_tail = sl_calloc(count, sizeof *w->doomed_tail);
    if (w->doomed == NULL || w->doomed_tail == NULL) {
        work_free(w);
        return NULL;
    }
    uint32_t left = 0;
    for (uint32_t i = 0; i < s->condemned_count; i++) {
        if (s->condemned[i].sequence < s->cut_committed) {
            w->doomed[w->doomed_count] = s->condemned[i].number;
            w->doomed_tail[w->doomed_count++] = s->condemned[i].tail;
        } else {
            s->condemned[left++] = s->condemned[i];
        }
    }
    s->condemned_count = left;
    return w;
}

sl_dedupe_work *sl_dedupe_work_next(sl_dedupe *s) {
    if (s->out != NULL)
        return NULL;
    sl_dedupe_work *w = next_spill(s); /* Judging waits for nothing else, so merging stops for it. */
    if (w == NULL && s->paused != NULL) {
        w = s->paused;
        s->paused = NULL;
    } else if (w == NULL) {
        w = next_merge(s);
        if (w == NULL)
            w = next_remove(s);
    }
    s->out = w;
    return w;
}

/* --- doing it --- */

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "duplicates: out of memory");
}

static sl_status open_writer(sl_dedupe_work *w, const extent *expected, sl_error *error) {
    sl_dedupe *s = w->store;
    uint64_t number = atomic_fetch_add_explicit(&s->next_number, 1, memory_order_relaxed);
    sl_status status = store_path(s, number, false, &w->path);
    if (status != SL_OK)
        return no_memory(error);
    return key_writer_open(&w->writer, s->files, (const char *)w->path.bytes, number, expected,
                           w->bits_per_claim, &s->memory, error);
}

static sl_status close_writer(sl_dedupe_work *w, sl_error *error) {
    sl_dedupe *s = w->store;
    sl_status status = key_writer_close(&w->writer, &w->result, error);
    if (status == SL_OK)
        status = s->files->sync_directory(s->files, s->directory, error);
    if (w->result != NULL && (status != SL_OK || w->result->extent.claims == 0)) {
        key_file_close(s->files, w->result);
        w->result = NULL;
        (void)s->files->unlink(s->files, (const char *)w->path.bytes, NULL);
    }
    return status;
}

static bool counts(const sl_dedupe_work *w, const claim *c, const claim_base *b, uint64_t valid_below) {
    return claim_position(c, b) < valid_below && claim_time(c, b) >= w->floor;
}

static uint32_t partition_of(const claim *c) { return (uint32_t)(c->high >> (64 - PARTITION_BITS)); }

/* How many claims of the run go to each partition, and what lies in them. */
static extent measure_run(const sl_dedupe_work *w, uint32_t *begins, bool all) {
    const run *r = w->run;
    extent left = all ? r->extent : EXTENT_EMPTY;
    for (uint32_t i = 0; i < r->count; i++) {
        const claim *c = run_claim(r, i);
        if (!all && !counts(w, c, &r->base, w->run_valid_below))
            continue;
        begins[partition_of(c) + 2]++;
        if (!all)
            extent_add(&left, claim_position(c, &r->base), claim_time(c, &r->base));
    }
    for (uint32_t p = 2; p < PARTITIONS + 2; p++)
        begins[p] += begins[p - 1];
    return left;
}

/* The run's claims in the order of partitions, by the base of the file. */
static sl_status sort_run(sl_dedupe_work *w, sl_error *error) {
    const run *r = w->run;
    bool all = w->run_valid_below > r->extent.position_max && w->floor <= r->extent.time_min;
    uint32_t *begins = w->begins = sl_calloc(PARTITIONS + 2, sizeof *begins);
    if (begins == NULL)
        return no_memory(error);
    extent left = measure_run(w, begins, all);
    if (left.claims == 0)
        return SL_OK;
    w->sorted_bytes = left.claims * sizeof *w->sorted;
    w->sorted = sl_malloc(w->sorted_bytes);
    if (w->sorted == NULL)
        return no_memory(error);
    memory_force(&w->store->memory, w->sorted_bytes);
    sl_status status = open_writer(w, &left, error);
    if (status != SL_OK)
        return status;
    claim_base from = r->base, to = w->writer.file->base;
    for (uint32_t i = 0; i < r->count; i++) { /* begins[p + 1] moves from p's beginning to its end. */
        const claim *c = run_claim(r, i);
        if (!all && !counts(w, c, &from, w->run_valid_below))
            continue;
        claim *at = &w->sorted[begins[partition_of(c) + 1]++];
        *at = *c;
        claim_place(at, &to, claim_position(c, &from), claim_time(c, &from));
    }
    return SL_EAGAIN;
}

static sl_status spill_step(sl_dedupe_work *w, sl_error *error) {
    if (w->begins == NULL)
        return sort_run(w, error);
    uint64_t before = w->writer.offset;
    while (w->partition < PARTITIONS) {
        uint32_t p = w->partition++;
        sl_status status = key_writer_add(&w->writer, w->sorted + w->begins[p],
                                          w->begins[p + 1] - w->begins[p], error);
        if (status != SL_OK)
            return status;
        if (w->writer.offset != before)
            return SL_EAGAIN;
    }
    return close_writer(w, error);
}

typedef struct gathering {
    sl_dedupe_work *work;
    const input *from;
} gathering;

static bool gather(void *context, const claim *claims, uint32_t count) {
    const gathering *g = context;
    sl_buffer *out = &g->work->gathered;
    const claim_base *from = &g->from->file->base, *to = &g->work->writer.file->base;
    if (!sl_buffer_reserve(out, count * sizeof(claim)))
        return false;
    claim *at = (claim *)(void *)(out->bytes + out->length);
    for (uint32_t i = 0; i < count; i++) {
        if (!counts(g->work, &claims[i], from, g->from->valid_below))
            continue;
        *at = claims[i];
        claim_place(at++, to, claim_position(&claims[i], from), claim_time(&claims[i], from));
    }
    out->length = (size_t)((const uint8_t *)at - out->bytes);
    return true;
}

static sl_status merge_partition(sl_dedupe_work *w, uint32_t p, sl_error *error) {
    sl_buffer_clear(&w->gathered);
    for (uint32_t i = 0; i < w->input_count; i++) {
        gathering g = {w, &w->inputs[i]};
        sl_status status = key_file_partition(w->store->files, g.from->file, p, &w->scratch, error);
        if (status == SL_OK)
            status = key_file_each(g.from->file, p, &w->scratch, gather, &g, error);
        if (status != SL_OK)
            return status;
    }
    return key_writer_add(&w->writer, (const claim *)(const void *)w->gathered.bytes,
                          (uint32_t)(w->gathered.length / sizeof(claim)), error);
}

static sl_status merge_step(sl_dedupe_work *w, sl_error *error) {
    if (w->writer.file == NULL) {
        extent expected = EXTENT_EMPTY;
        for (uint32_t i = 0; i < w->input_count; i++)
            extent_join(&expected, &w->inputs[i].file->extent);
        sl_status status = open_writer(w, &expected, error);
        return status == SL_OK ? SL_EAGAIN : status;
    }
    uint64_t before = w->writer.offset;
    while (w->partition < PARTITIONS) {
        sl_status status = merge_partition(w, w->partition++, error);
        if (status != SL_OK)
            return status;
        if (w->writer.offset != before)
            return SL_EAGAIN;
    }
    return close_writer(w, error);
}

static sl_status remove_files(sl_dedupe_work *w) {
    sl_dedupe *s = w->store;
    while (w->doomed_count != 0) {
        w->doomed_count--;
        /* One that can't be removed now is when the store is opened next. */
        if (store_path(s, w->doomed[w->doomed_count], w->doomed_tail[w->doomed_count], &w->path) == SL_OK)
            (void)s->files->unlink(s->files, (const char *)w->path.bytes, NULL);
    }
    return SL_OK;
}

sl_status sl_dedupe_work_run(sl_dedupe_work *w, sl_error *error) {
    if (w->status != SL_EAGAIN)
        return w->status;
    switch (w->kind) {
    case WORK_SPILL:
        w->status = spill_step(w, error);
        break;
    case WORK_MERGE:
        w->status = merge_step(w, error);
        break;
    case WORK_REMOVE:
        w->status = remove_files(w);
        break;
    }
    if (w->status != SL_OK && w->status != SL_EAGAIN)
        key_writer_abandon(&w->writer);
    return w->status;
}

/* --- the owner takes it --- */

/* The open slice's filter gets the keys of the new file. */
static void enter_keys(slice *to, const sl_dedupe_work *w) {
    if (to->filter.words != NULL)
        filter_add_all(&to->filter, w->sorted, w->begins[PARTITIONS]);
}

static slice *new_slice(sl_dedupe *s, const sl_dedupe_work *w) {
    slice *made = slice_create();
    if (made == NULL)
        return NULL;
    made->begin_time = w->result->extent.time_max;
    made->limit = w->limit;
    made->closed = w->limit == 0;
    made->used_tick = s->tick;
    uint32_t blocks = filter_blocks(w->limit, FILTER_BITS);
    if (!made->closed && store_make_room(s, filter_bytes(blocks), false) && !filter_init(&made->filter, blocks))
        memory_give(&s->memory, filter_bytes(blocks)); /* Without: the files' own filters are asked. */
    return made;
}

static void take_run_out(sl_dedupe *s, const run *r) {
    run **at = &s->waiting;
    while (*at != r)
        at = &(*at)->next;
    run *out = *at;
    *at = out->next;
    s->waiting_count--;
    out->busy = false;
    run_unref(s, out);
}

static bool spilled(sl_dedupe *s, sl_dedupe_work *w) {
    slice *to = w->target;
    if (w->result != NULL) {
        if (to == NULL && (to = new_slice(s, w)) == NULL)
            return false;
        if (!slice_append(to, w->result)) {
            if (w->target == NULL)
                slice_destroy(s, to, false);
            return false;
        }
        /* A rewind since the work began is in the run; what was void before isn't in the file. */
        w->result->valid_below = w->run->valid_below;
        w->result = NULL;
        enter_keys(to, w);
        if (w->target == NULL) {
            slice *last = last_slice(s);
            *(last != NULL ? &last->next : &s->slices) = to;
        }
    }
    take_run_out(s, w->run);
    return true;
}

static bool merged(sl_dedupe *s, sl_dedupe_work *w) {
    slice *made = NULL, **at = &s->slices;
    if (w->result != NULL) {
        made = slice_create();
        if (made == NULL || !slice_append(made, w->result)) {
            sl_free(made);
            return false;
        }
        made->begin_time = w->first->begin_time;
        made->closed = true;
        made->used_tick = s->tick;
        w->result->valid_below = w->rewound;
        w->result = NULL;
    }
    while (*at != w->first)
        at = &(*at)->next;
    slice *old = *at;
    for (uint32_t i = 0; i < w->slices; i++) {
        slice *next = old->next;
        slice_destroy(s, old, true);
        old = next;
    }
    if (made != NULL) {
        *at = made;
        made->next = old;
    } else {
        *at = old;
    }
    return true;
}

static void not_busy(sl_dedupe_work *w) {
    if (w->kind == WORK_SPILL) {
        w->run->busy = false;
        if (w->target != NULL)
            w->target->busy = false;
    }
    slice *i = w->first;
    for (uint32_t n = 0; n < w->slices; n++, i = i->next)
        i->busy = false;
}

/* A result that nobody took: made again another time. */
static void discard(sl_dedupe *s, sl_dedupe_work *w) {
    if (w->result == NULL)
        return;
    key_file_close(s->files, w->result);
    w->result = NULL;
    (void)s->files->unlink(s->files, (const char *)w->path.bytes, NULL);
}

void sl_dedupe_work_done(sl_dedupe *s, sl_dedupe_work *w) {
    s->out = NULL;
    if (w->status == SL_EAGAIN && w->kind == WORK_MERGE) {
        s->paused = w;
        return;
    }
    bool taken = false;
    if (w->status == SL_OK && w->kind == WORK_SPILL) {
        if (w->target != NULL)
            w->target->busy = false;
        taken = spilled(s, w);
    } else if (w->status == SL_OK && w->kind == WORK_MERGE) {
        taken = merged(s, w);
    }
    if (!taken) {
        not_busy(w);
        discard(s, w);
    }
    if (w->status == SL_EAGAIN && w->kind == WORK_REMOVE)
        (void)remove_files(w);
    work_free(w);
    s->quiet = false;
    store_settle(s);
}

void work_abandon(sl_dedupe *s, sl_dedupe_work *w) {
    if (w == NULL)
        return;
    not_busy(w);
    discard(s, w);
    work_free(w);
}

void work_rewound(sl_dedupe_work *w, uint64_t position) {
    if (w != NULL && position < w->rewound)
        w->rewound = position;
}
