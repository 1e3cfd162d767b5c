// Columns of a batch: each string is asked of the cache first, and its answer is copied
// to the batch's arena once.

#include "internal.h"

#include "sluice/text_cache.h"
#include "sluice/utf8.h"

#include <stdio.h>

static const char *const paths[SL_UA_PARTS] = {
    [SL_UA_BROWSER_FAMILY] = "browser.family",
    [SL_UA_BROWSER_MAJOR] = "browser.major",
    [SL_UA_BROWSER_MINOR] = "browser.minor",
    [SL_UA_BROWSER_PATCH] = "browser.patch",
    [SL_UA_OS_FAMILY] = "os.family",
    [SL_UA_OS_MAJOR] = "os.major",
    [SL_UA_OS_MINOR] = "os.minor",
    [SL_UA_OS_PATCH] = "os.patch",
    [SL_UA_DEVICE_FAMILY] = "device.family",
    [SL_UA_DEVICE_BRAND] = "device.brand",
    [SL_UA_DEVICE_MODEL] = "device.model",
    [SL_UA_OS_PATCH_MINOR] = "os.patch_minor",
};

const char *sl_user_agent_part_path(sl_user_agent_part part) { return paths[part]; }

struct sl_user_agent_step {
    sl_user_agent_rules *rules;
    matcher matcher;
    sl_text_cache *cache; /**< NULL: none. */
    uint32_t from;
    uint32_t fields[SL_UA_PARTS];
    uint32_t stamp; /**< Of this run: answers with it are in the batch's arena already. */
    uint64_t cache_hits, cache_misses;
    uint64_t matches_before, limited_before; /**< By matchers that are gone. */
};

sl_status sl_user_agent_declare(sl_schema *schema, const char *into,
                                uint32_t fields[SL_UA_PARTS], sl_error *error) {
    fields[SL_UA_OS_PATCH_MINOR] = SL_NO_FIELD;
    for (unsigned i = 0; i < SL_UA_COLUMNS; i++) {
        char path[512];
        int length = snprintf(path, sizeof path, "%s.%s", into, paths[i]);
        if (length < 0 || (size_t)length >= sizeof path)
            return sl_error_set(error, SL_ELIMIT, "into: the name is too long");
        sl_status status =
            sl_enrich_declare(schema, path, SL_TYPE_STRING, &fields[i], error);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

sl_status sl_user_agent_step_create(const sl_user_agent_rules *rules, uint32_t from,
                                    const uint32_t fields[SL_UA_PARTS],
                                    size_t cache_bytes, sl_user_agent_step **out) {
    *out = NULL;
    sl_user_agent_step *step = sl_calloc(1, sizeof *step);
    if (step == NULL)
        return SL_ENOMEM;
    step->rules = sl_user_agent_rules_ref(rules);
    step->from = from;
    memcpy(step->fields, fields, sizeof step->fields);
    if (cache_bytes != 0)
        step->cache = sl_text_cache_create(cache_bytes);
    if ((cache_bytes != 0 && step->cache == NULL) ||
        !sl_user_agent_matcher_init(&step->matcher, rules)) {
        sl_user_agent_step_destroy(step);
        return SL_ENOMEM;
    }
    *out = step;
    return SL_OK;
}

void sl_user_agent_step_destroy(sl_user_agent_step *step) {
    if (step == NULL)
        return;
    sl_user_agent_matcher_fini(&step->matcher);
    sl_text_cache_destroy(step->cache);
    sl_user_agent_rules_unref(step->rules);
    sl_free(step);
}

sl_status sl_user_agent_step_use(sl_user_agent_step *step,
                                 const sl_user_agent_rules *rules) {
    matcher fresh;
    if (!sl_user_agent_matcher_init(&fresh, rules))
        return SL_ENOMEM;
    sl_user_agent_rules *old = step->rules;
    step->matches_before += step->matcher.matches;
    step->limited_before += step->matcher.limited;
    step->rules = sl_user_agent_rules_ref(rules);
    sl_user_agent_matcher_fini(&step->matcher);
    step->matcher = fresh;
    // The match context points to the stack, not to the matcher, so it may move.
    if (step->cache != NULL)
        sl_text_cache_clear(step->cache);
    sl_user_agent_rules_unref(old);
    return SL_OK;
}

// ---- A batch
// ----------------------------------------------------------------------------------------------

/** The columns that this batch has room for. */
typedef struct target {
    unsigned part;
    uint8_t *valid;
    sl_span *span;
} target;
typedef struct run {
    sl_user_agent_step *step;
    sl_batch *batch;
    target targets[SL_UA_PARTS];
    unsigned count;
    uint32_t groups[SL_ENRICH_GROUPS_MAX];
    size_t group_count;
    sl_enrich_counts counts;
} run;

static bool text_field(const sl_schema *schema, uint32_t field) {
    return field < schema->count && schema->fields[field].type == SL_TYPE_STRING;
}

static void aim(run *r) {
    const sl_schema *schema = r->batch->schema;
    for (unsigned i = 0; i < SL_UA_PARTS; i++) {
        uint32_t field = r->step->fields[i];
        if (!text_field(schema, field))
            continue;
        sl_column *column = &r->batch->columns[field];
        r->targets[r->count++] = (target){i, column->valid, column->values.span};
    }
    r->group_count = sl_enrich_groups(schema, r->step->fields, SL_UA_PARTS, r->groups);
}

// Texts of an answer lie one behind the other from `offset`.
static void fill(run *r, uint32_t row, const answer_head *head, uint32_t offset) {
    uint32_t begin[SL_UA_PARTS];
    for (unsigned i = 0; i < SL_UA_PARTS; i++) {
        begin[i] = offset;
        offset += head->length[i] == UINT32_MAX ? 0 : head->length[i];
    }
    for (unsigned i = 0; i < r->count; i++) {
        const target *t = &r->targets[i];
        uint32_t length = head->length[t->part];
        if (length == UINT32_MAX)
            continue;
        t->valid[row] = 1;
        t->span[row] = (sl_span){begin[t->part], length};
    }
    for (size_t i = 0; i < r->group_count; i++)
        r->batch->columns[r->groups[i]].valid[row] = 1;
    r->counts.hits += head->known;
    r->counts.misses += !head->known;
}

static bool copy_and_fill(run *r, uint32_t row, const uint8_t *answer, size_t length,
                          uint32_t *offset) {
    answer_head head;
    memcpy(&head, answer, sizeof head);
    sl_span span =
        sl_batch_keep_text(r->batch, answer + sizeof head, length - sizeof head);
    if (r->batch->arena.failed)
        return false;
    *offset = span.offset;
    fill(r, row, &head, span.offset);
    return true;
}

static bool unseen(run *r, uint32_t row, uint64_t hash, const uint8_t *text,
                   uint32_t length) {
    sl_user_agent_step *step = r->step;
    step->cache_misses++;
    if (!sl_user_agent_match(&step->matcher, step->rules, (const char *)text, length,
                             true))
        return false;
    const sl_buffer *made = &step->matcher.texts;
    uint32_t offset;
    if (!copy_and_fill(r, row, made->bytes, made->length, &offset))
        return false;
    sl_text_answer *kept = step->cache == NULL
                               ? NULL
                               : sl_text_cache_put(step->cache, hash, text, length,
                                                   made->bytes, (uint32_t)made->length);
    if (kept != NULL) {
        kept->stamp = step->stamp;
        kept->note = offset;
    }
    return true;
}

static bool one_row(run *r, uint32_t row, const uint8_t *text, uint32_t length) {
    sl_user_agent_step *step = r->step;
    length = (uint32_t)sl_utf8_cut(text, length, SL_USER_AGENT_BYTES_MAX);
    uint64_t hash = sl_hash64(text, length, 0);
    sl_text_answer *known =
        step->cache == NULL ? NULL : sl_text_cache_get(step->cache, hash, text, length);
    if (known == NULL)
        return unseen(r, row, hash, text, length);
    step->cache_hits++;
    if (known->stamp == step->stamp) {
        answer_head head;
        memcpy(&head, known->bytes, sizeof head);
        fill(r, row, &head, known->note);
        return true;
    }
    known->stamp = step->stamp;
    if (copy_and_fill(r, row, known->bytes, known->length, &known->note))
        return true;
    known->stamp = 0;
    return false;
}

static void next_stamp(sl_user_agent_step *step) {
    if (++step->stamp == 0) {
        if (step->cache != NULL)
            sl_text_cache_clear(step->cache);
        step->stamp = 1;
    }
}

sl_status sl_user_agent_step_run(sl_user_agent_step *step, sl_batch *batch,
                                 sl_enrich_counts *counts) {
    run r = {.step = step, .batch = batch};
    aim(&r);
    next_stamp(step);
    bool there = text_field(batch->schema, step->from), good = true;
    const sl_column *column = there ? &batch->columns[step->from] : NULL;
    for (uint32_t row = 0; row < batch->rows && good; row++) {
        if (batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        r.counts.rows++;
        if (column == NULL || !sl_batch_present(batch, step->from, row) ||
            column->values.span[row].length == 0)
            r.counts.absent++;
        else
            good = one_row(&r, row, sl_batch_text(batch, column->values.span[row]),
                           column->values.span[row].length);
    }
    if (!good)
        return SL_ENOMEM;
    counts->rows += r.counts.rows;
    counts->hits += r.counts.hits;
    counts->misses += r.counts.misses;
    counts->absent += r.counts.absent;
    return SL_OK;
}

// ---- Tests and tools
// --------------------------------------------------------------------------------------

sl_user_agent_figures sl_user_agent_step_figures(const sl_user_agent_step *step) {
    return (sl_user_agent_figures){
        .cache_hits = step->cache_hits,
        .cache_misses = step->cache_misses,
        .matches = step->matches_before + step->matcher.matches,
        .limited = step->limited_before + step->matcher.limited};
}

size_t sl_user_agent_step_memory(const sl_user_agent_step *step) {
    const filter *f = &step->rules->filter;
    return sizeof *step + (step->cache != NULL ? sl_text_cache_memory(step->cache) : 0) +
           step->matcher.texts.capacity +
           (f->words + f->atoms / 64 + 2) * sizeof(uint64_t);
}

bool sl_user_agent_parse(sl_user_agent_step *step, const char *text, size_t length,
                         bool filtered, sl_user_agent_text out[SL_UA_PARTS]) {
    memset(out, 0, SL_UA_PARTS * sizeof *out);
    length = sl_utf8_cut(text, length, SL_USER_AGENT_BYTES_MAX);
    if (!sl_user_agent_match(&step->matcher, step->rules, text, length, filtered))
        return false;
    answer_head head;
    memcpy(&head, step->matcher.texts.bytes, sizeof head);
    const char *at = (const char *)step->matcher.texts.bytes + sizeof head;
    for (unsigned i = 0; i < SL_UA_PARTS; i++) {
        if (head.length[i] == UINT32_MAX)
            continue;
        out[i] = (sl_user_agent_text){at, head.length[i]};
        at += head.length[i];
    }
    return head.known != 0;
}
