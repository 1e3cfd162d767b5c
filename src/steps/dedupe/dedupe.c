/* The store: judging, and what memory holds of it. Files come and go in work.c, cuts and recovery are in cut.c. */
#include "private.h"

#include <inttypes.h>

enum { RETRY_TICKS = 4096, RECENT_TICKS = 64 };
#define MEMORY_DEFAULT (UINT64_C(256) << 20)

/* --- slices --- */

slice *slice_create(void) {
    slice *s = sl_calloc(1, sizeof *s);
    if (s != NULL)
        s->extent = EXTENT_EMPTY;
    return s;
}

bool slice_append(slice *s, key_file *f) {
    if (s->file_count == s->file_capacity) {
        uint32_t capacity = s->file_capacity != 0 ? 2 * s->file_capacity : 4;
        key_file **files = sl_realloc(s->files, capacity * sizeof *files);
        if (files == NULL)
            return false;
        s->files = files;
        s->file_capacity = capacity;
    }
    s->files[s->file_count++] = f;
    extent_join(&s->extent, &f->extent);
    return true;
}

static void drop_filter(sl_dedupe *s, filter *f) {
    if (f->words != NULL)
        memory_give(&s->memory, filter_bytes(f->blocks));
    filter_fini(f);
}

void slice_destroy(sl_dedupe *s, slice *of, bool condemn) {
    for (uint32_t i = 0; i < of->file_count; i++) {
        if (condemn)
            store_condemn(s, of->files[i]->number, false);
        key_file_close(s->files, of->files[i]);
    }
    drop_filter(s, &of->filter);
    sl_free(of->files);
    sl_free(of);
}

/* The filter that all its keys pass; NULL when that has to be asked of each file. */
static filter *slice_filter(slice *s) {
    if (s->filter.words != NULL)
        return &s->filter;
    return s->file_count == 1 && s->files[0]->filter.words != NULL ? &s->files[0]->filter : NULL;
}

/* --- memory --- */

/* Let the filter go that was used least recently, unless that was just now. @return false: there is none. */
static bool drop_oldest(sl_dedupe *s, uint64_t used_before) {
    slice *oldest = NULL;
    for (slice *i = s->slices; i != NULL; i = i->next)
        if (!i->busy && slice_filter(i) != NULL && i->used_tick < used_before &&
            (oldest == NULL || i->used_tick < oldest->used_tick))
            oldest = i;
    filter *f = oldest != NULL ? slice_filter(oldest) : NULL;
    if (f == NULL)
        return false;
    drop_filter(s, f);
    oldest->retry_tick = s->tick + RETRY_TICKS;
    return true;
}

bool store_make_room(sl_dedupe *s, uint64_t bytes, bool must) {
    uint64_t recent = must ? UINT64_MAX : s->tick > RECENT_TICKS ? s->tick - RECENT_TICKS : 0;
    while (!memory_take(&s->memory, bytes))
        if (!drop_oldest(s, recent))
            return false;
    return true;
}

/* --- life --- */

sl_status store_path(const sl_dedupe *s, uint64_t number, bool tail, sl_buffer *out) {
    sl_buffer_clear(out);
    sl_buffer_printf(out, "%s/%016" PRIx64 ".%s", s->directory, number, tail ? "tail" : "keys");
    (void)sl_buffer_cstr(out);
    return out->failed ? SL_ENOMEM : SL_OK;
}

static void free_store(sl_dedupe *s) {
    work_abandon(s, s->paused);
    for (slice *i = s->slices, *next; i != NULL; i = next) {
        next = i->next;
        slice_destroy(s, i, false);
    }
    for (run *r = s->waiting, *next; r != NULL; r = next) {
        next = r->next;
        run_unref(s, r);
    }
    if (s->active != NULL)
        run_unref(s, s->active);
    sl_buffer_fini(&s->scratch);
    sl_free(s->condemned);
    sl_free(s->directory);
    sl_free(s);
}

static uint32_t within(uint32_t wanted, uint32_t maximum) {
    return wanted == 0 || wanted > maximum ? maximum : wanted;
}

sl_status sl_dedupe_open(const sl_dedupe_options *options, const void *record, size_t length,
                         uint64_t resume, sl_dedupe **out, sl_error *error) {
    *out = NULL;
    if (options->horizon_us <= 0)
        return sl_error_set(error, SL_EINVAL, "duplicates: a horizon above 0 is needed");
    sl_dedupe *s = sl_aligned_alloc(_Alignof(sl_dedupe), sizeof *s);
    if (s == NULL)
        return sl_error_set(error, SL_ENOMEM, "duplicates: out of memory");
    memset(s, 0, sizeof *s);
    s->files = options->files;
    s->directory = sl_strdup(options->directory);
    s->horizon_us = options->horizon_us;
    s->span_us = options->horizon_us / SLICES_IN_HORIZON;
    s->span_us = s->span_us > SL_MINUTE_US ? s->span_us : SL_MINUTE_US;
    s->run_claims = within(options->run_claims, RUN_CLAIMS_MAX);
    s->slice_claims = options->slice_claims != 0 ? options->slice_claims : SLICE_CLAIMS;
    sl_budget_init(&s->memory.own, options->memory_bytes != 0 ? options->memory_bytes : MEMORY_DEFAULT);
    s->memory.shared = options->budget;
    s->floor = INT64_MIN;
    s->watermark_us = SL_NO_TIME;
    s->tick = 1;
    atomic_init(&s->next_number, 1);
    sl_status status = s->directory == NULL ? sl_error_set(error, SL_ENOMEM, "duplicates: out of memory")
                                            : s->files->make_directories(s->files, s->directory, error);
    if (status == SL_OK)
        status = store_recover(s, record, length, resume, error);
    if (status != SL_OK) {
        (void)sl_error_context(error, "duplicates in %s", options->directory);
        free_store(s);
        return status;
    }
    *out = s;
    return SL_OK;
}

void sl_dedupe_close(sl_dedupe *s) {
    if (s == NULL)
        return;
    assert(s->out == NULL && s->cuts_out == 0);
    free_store(s);
}

/* Nothing can be done without memory here: such a file stays until the store is opened next. */
void store_condemn(sl_dedupe *s, uint64_t number, bool tail) {
    if (s->condemned_count == s->condemned_capacity) {
        uint32_t capacity = s->condemned_capacity != 0 ? 2 * s->condemned_capacity : 16;
        condemned *more = sl_realloc(s->condemned, capacity * sizeof *more);
        if (more == NULL)
            return;
        s->condemned = more;
        s->condemned_capacity = capacity;
    }
    s->condemned[s->condemned_count++] = (condemned){number, tail, s->cut_begun};
}

void run_unref(sl_dedupe *s, run *r) {
    if (--r->references != 0)
        return;
    if (r->tail_file >= 0)
        s->files->close(s->files, r->tail_file);
    if (r->tail_number != 0)
        store_condemn(s, r->tail_number, true);
    run_destroy(r);
}

bool store_rotate(sl_dedupe *s) {
    run *r = s->active;
    if (r == NULL || r->count == 0)
        return false;
    run **at = &s->waiting;
    while (*at != NULL)
        at = &(*at)->next;
    *at = r;
    s->active = NULL;
    s->last_count = r->count;
    s->waiting_count++;
    return true;
}

uint64_t store_claims(const sl_dedupe *s) {
    uint64_t claims = s->active != NULL ? s->active->count : 0;
    for (const run *r = s->waiting; r != NULL; r = r->next)
        claims += r->count;
    for (const slice *i = s->slices; i != NULL; i = i->next)
        claims += i->extent.claims;
    return claims;
}

/* --- judging --- */

static int64_t floor_of(const sl_dedupe *s, int64_t watermark_us) {
    if (watermark_us == SL_NO_TIME || watermark_us < INT64_MIN + s->horizon_us)
        return INT64_MIN;
    return watermark_us - s->horizon_us;
}

/* What a group of events has in common: only slices that reach into it matter. */
typedef struct scope {
    int64_t floor;
    uint64_t position;
} scope;

static scope ask(sl_dedupe *s, const sl_dedupe_event *events, uint32_t count) {
    scope all = {INT64_MAX, 0};
    int64_t watermark = s->watermark_us;
    for (uint32_t i = 0; i < count; i++) {
        const sl_dedupe_event *e = &events[i];
        question *q = &s->questions[i];
        *q = (question){.high = e->key.high,
                        .low = (uint32_t)e->key.low,
                        .position = e->position,
                        .floor = floor_of(s, e->watermark_us)};
        q->late = e->time_us < q->floor;
        all.floor = q->floor < all.floor ? q->floor : all.floor;
        all.position = q->position > all.position ? q->position : all.position;
        watermark = e->watermark_us > watermark ? e->watermark_us : watermark;
    }
    s->watermark_us = watermark;
    return all;
}

static bool reaches(const slice *of, const scope *all) {
    return of->extent.time_max >= all->floor && of->extent.position_min <= all->position;
}

static slice *next_reached(slice *from, const scope *all) {
    while (from != NULL && !reaches(from, all))
        from = from->next;
    return from;
}

/* All that will be looked at at random is sent for before any of it is looked at. @return the first slice that matters. */
static slice *send_for(sl_dedupe *s, const scope *all, uint32_t count) {
    slice *first = next_reached(s->slices, all);
    const filter *f = first != NULL ? slice_filter(first) : NULL;
    for (uint32_t i = 0; f != NULL && i < count; i++)
        filter_touch(f, s->questions[i].high);
    for (const run *r = s->waiting; r != NULL; r = r->next)
        for (uint32_t i = 0; i < count; i++)
            run_touch(r, s->questions[i].high);
    const run *r = s->active != NULL && s->active->slots != NULL ? s->active : NULL;
    for (uint32_t i = 0; r != NULL && i < count; i++)
        run_touch(r, s->questions[i].high);
    for (uint32_t i = 0; first != NULL && i < count; i++)
        filter_mask(s->masks[i], s->questions[i].high, s->questions[i].low);
    return first;
}

/* The youngest file first: most repetitions come soon. */
static sl_status search_files(sl_dedupe *s, slice *in, question *q, sl_error *error) {
    enum { AHEAD = 12 };
    for (uint32_t i = in->file_count; i-- != 0 && !q->duplicate;) {
        const key_file *f = in->files[i];
        if (i >= AHEAD && in->files[i - AHEAD]->filter.words != NULL)
            __builtin_prefetch(filter_block(&in->files[i - AHEAD]->filter, q->high));
        if (!filter_has(&f->filter, q->high, q->low))
            continue;
        bool self = q->self;
        q->self = false;
        sl_status status = key_file_search(s->files, f, q, &s->scratch, error);
        if (status != SL_OK)
            return status;
        s->reads++;
        s->reads_in_vain += !q->self && !q->duplicate;
        q->self = q->self || self;
    }
    return SL_OK;
}

/* A filter that was let go, or couldn't be had when the store was opened, and is needed now. */
sl_status store_want_filter(sl_dedupe *s, slice *of, sl_error *error) {
    sl_status status = SL_OK;
    if (slice_filter(of) != NULL || s->tick < of->retry_tick)
        return SL_OK;
    of->retry_tick = s->tick + RETRY_TICKS;
    for (uint32_t i = 0; i < of->file_count && status == SL_OK; i++) {
        key_file *f = of->files[i];
        if (f->filter.words != NULL || !store_make_room(s, filter_bytes(f->filter_blocks), false))
            continue;
        status = key_file_load_filter(s->files, f, error);
        if (status != SL_OK)
            memory_give(&s->memory, filter_bytes(f->filter_blocks));
    }
    return status == SL_ENOMEM ? SL_OK : status;
}

static sl_status search_slice(sl_dedupe *s, slice *in, const filter *next, uint32_t count, sl_error *error) {
    uint32_t hits[GROUP];
    in->used_tick = s->tick;
    sl_status status = store_want_filter(s, in, error);
    const filter *f = slice_filter(in);
    uint32_t found = f != NULL ? filter_sift(f, next, s->questions, s->masks, count, hits) : count;
    for (uint32_t k = 0; k < count && f == NULL; k++)
        hits[k] = k;
    for (uint32_t k = 0; k < found && status == SL_OK; k++) {
        question *q = &s->questions[hits[k]];
        if (!q->late && !q->duplicate)
            status = search_files(s, in, q, error);
    }
    return status;
}

static sl_status search_slices(sl_dedupe *s, slice *first, const scope *all, uint32_t count, sl_error *error) {
    sl_status status = SL_OK;
    for (slice *i = first, *next; i != NULL && status == SL_OK; i = next) {
        next = next_reached(i->next, all);
        status = search_slice(s, i, next != NULL ? slice_filter(next) : NULL, count, error);
    }
    return status;
}

/* The run is full or too wide for the event, or it has lasted so long that it would hold its oldest claims too long. */
static inline bool run_ends(const sl_dedupe *s, const run *r, const sl_dedupe_event *e) {
    if (r->count == r->limit || !run_fits(r, e->position, e->time_us))
        return true;
    return r->begin_watermark != SL_NO_TIME && e->watermark_us > r->begin_watermark &&
           (uint64_t)e->watermark_us - (uint64_t)r->begin_watermark >= (uint64_t)s->span_us;
}

/* New claims go before filters. When there is no memory and nothing waits whose writing would make room, a first chunk is
 * taken all the same: the store goes on, if only slowly. */
static sl_status add_claim(sl_dedupe *s, run *r, const sl_dedupe_event *e) {
    uint32_t low = (uint32_t)e->key.low;
    sl_status status = run_add(r, e->key.high, low, e->position, e->time_us);
    uint64_t room = (sizeof(claim) << CHUNK_BITS) + 2 * sizeof *r->slots * ((uint64_t)r->slot_mask + 1);
    if (status == SL_EFULL && store_make_room(s, room, true)) {
        memory_give(&s->memory, room);
        status = run_add(r, e->key.high, low, e->position, e->time_us);
    }
    if (status == SL_EFULL && r->count == 0 && s->waiting == NULL) {
        r->expected = 0;
        r->forced = true;
        status = run_add(r, e->key.high, low, e->position, e->time_us);
        r->forced = false;
    }
    return status;
}

static sl_status keep(sl_dedupe *s, const sl_dedupe_event *e) {
    if (s->active != NULL && s->active->count != 0 && run_ends(s, s->active, e)) {
        if (s->waiting_count >= RUNS_WAITING_MAX)
            return SL_EFULL;
        (void)store_rotate(s);
    }
    if (s->active == NULL && (s->active = run_create(&s->memory, s->run_claims, s->last_count)) == NULL)
        return SL_ENOMEM;
    run *r = s->active;
    sl_status status = add_claim(s, r, e);
    if (status == SL_EFULL)
        (void)store_rotate(s); /* So that writing it makes room. */
    else if (r->begin_watermark == SL_NO_TIME)
        r->begin_watermark = e->watermark_us;
    return status;
}

/* Does the active run take the claim as it is? Nearly always. */
static bool keeps_simply(const run *r, const sl_dedupe *s, const sl_dedupe_event *e) {
    return r != NULL && r->count != 0 && r->count < r->room && r->begin_watermark != SL_NO_TIME && !run_ends(s, r, e);
}

/* In the order of the log: what one event of the group claims, the next may bring again. The active run may wait to be written
 * in the end, but nobody takes it away meanwhile. */
static sl_status settle(sl_dedupe *s, const sl_dedupe_event *events, uint32_t count, uint8_t *verdict,
                        uint32_t *settled) {
    run *asked = s->active;
    extent added = EXTENT_EMPTY;
    sl_status status = SL_OK;
    uint32_t i = 0;
    /* Once another run is active, what the events asked doesn't hold for the one that waits: a new group. */
    for (; i < count && s->active == asked; i++) {
        const sl_dedupe_event *e = &events[i];
        question *q = &s->questions[i];
        uint32_t at = 0;
        if (asked != NULL && asked->slots != NULL && !q->late && !q->duplicate)
            at = run_search(asked, q);
        bool claims = !q->late && !q->duplicate && !q->self;
        if (claims && keeps_simply(asked, s, e)) {
            run_put(asked, at, q->high, q->low, e->position, e->time_us);
            extent_add(&added, e->position, e->time_us);
        } else if (claims && (status = keep(s, e)) != SL_OK) {
            break;
        }
        verdict[e->row] = q->late ? SL_VERDICT_LATE : q->duplicate ? SL_VERDICT_DUPLICATE : SL_VERDICT_KEEP;
    }
    *settled = i;
    if (asked != NULL)
        extent_join(&asked->extent, &added);
    return status;
}

static sl_status judge_group(sl_dedupe *s, const sl_dedupe_event *events, uint32_t count, uint8_t *verdict,
                             uint32_t *settled, sl_error *error) {
    s->tick++;
    scope all = ask(s, events, count);
    slice *first = send_for(s, &all, count);
    for (const run *r = s->waiting; r != NULL; r = r->next)
        for (uint32_t i = 0; i < count; i++)
            if (!s->questions[i].duplicate)
                (void)run_search(r, &s->questions[i]);
    sl_status status = search_slices(s, first, &all, count, error);
    if (status == SL_OK)
        status = settle(s, events, count, verdict, settled);
    if (status == SL_EFULL)
        return sl_error_set(error, status, "duplicates: claims wait to be written");
    return status == SL_ENOMEM ? sl_error_set(error, status, "duplicates: out of memory") : status;
}

sl_status sl_dedupe_judge(sl_dedupe *s, const sl_dedupe_event *events, uint32_t count, uint8_t *verdict,
                          uint32_t *done, sl_error *error) {
    sl_status status = SL_OK;
    *done = 0;
    while (*done < count && status == SL_OK) {
        uint32_t group = count - *done < GROUP ? count - *done : GROUP, settled = 0;
        status = judge_group(s, events + *done, group, verdict, &settled, error);
        *done += settled;
    }
    return status;
}

/* --- letting go --- */

static void drop_expired(sl_dedupe *s) {
    for (slice **at = &s->slices; *at != NULL;) {
        slice *i = *at;
        if (i->busy || i->extent.time_max >= s->floor) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        slice_destroy(s, i, true);
        s->quiet = false;
    }
    for (run **at = &s->waiting; *at != NULL;) {
        run *r = *at;
        if (r->busy || r->extent.time_max >= s->floor) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        s->waiting_count--;
        run_unref(s, r);
    }
    if (s->active != NULL && s->active->count != 0 && s->active->extent.time_max < s->floor) {
        run_unref(s, s->active);
        s->active = NULL;
    }
}

void store_settle(sl_dedupe *s) {
    drop_expired(s);
    while (memory_over(&s->memory) && drop_oldest(s, UINT64_MAX))
        ;
}

void sl_dedupe_release(sl_dedupe *s, int64_t watermark_us) {
    int64_t floor = floor_of(s, watermark_us);
    if (floor > s->floor)
        s->floor = floor;
    store_settle(s);
}

static uint64_t lower(uint64_t a, uint64_t b) { return a < b ? a : b; }

void sl_dedupe_rewind(sl_dedupe *s, uint64_t position) {
    (void)store_rotate(s); /* New claims at those positions count. */
    for (run *r = s->waiting; r != NULL; r = r->next)
        r->valid_below = lower(r->valid_below, position);
    for (slice *i = s->slices; i != NULL; i = i->next)
        for (uint32_t k = 0; k < i->file_count; k++)
            i->files[k]->valid_below = lower(i->files[k]->valid_below, position);
    work_rewound(s->out, position);
    work_rewound(s->paused, position);
}

void sl_dedupe_stats_get(const sl_dedupe *s, sl_dedupe_stats *out) {
    *out = (sl_dedupe_stats){.claims = store_claims(s),
                             .memory_bytes = sl_budget_used(&s->memory.own),
                             .memory_peak_bytes = atomic_load(&s->memory.own.peak),
                             .reads = s->reads,
                             .reads_in_vain = s->reads_in_vain};
    for (slice *i = s->slices; i != NULL; i = i->next) {
        out->slices++;
        out->slices_without_filter += slice_filter(i) == NULL;
        out->files += i->file_count;
        for (uint32_t k = 0; k < i->file_count; k++)
            out->disk_bytes += i->files[k]->bytes;
    }
}
