// Columns of a batch, in lots, so that memory works on many rows at once: a table of
// 100,000 users doesn't fit into the nearer caches.

#include "internal.h"

#include <stdio.h>

#define LOT 128u
#define NOTES 1024u /**< Texts of this batch that are remembered; a power of two. */
#define ROOM 48u    /**< For a key that isn't a string. */

/** A text of the table that is in the batch's arena already. */
typedef struct note {
    uint32_t text, stamp, offset, length;
} note;

struct sl_lookup_step {
    sl_lookup *table;
    uint32_t on;
    uint32_t *fields;
    uint32_t stamp; /**< Of this run. */
    note notes[NOTES];
};

/** A column that this batch has room for. */
typedef struct target {
    uint32_t column; /**< Of the table. */
    sl_type type;
    uint32_t offset; /**< In a row. */
    sl_column *to;
} target;

/** A row of the batch, and its key. */
typedef struct probe {
    uint32_t row, length;
    const uint8_t *key;
    uint64_t hash, found;
    char room[ROOM];
} probe;

typedef struct run {
    sl_lookup_step *step;
    const sl_lookup *table;
    sl_batch *batch;
    target targets[SL_LOOKUP_COLUMNS_MAX];
    uint32_t count;
    uint32_t groups[SL_ENRICH_GROUPS_MAX];
    size_t group_count;
    sl_enrich_counts counts;
    probe lot[LOT];
    uint32_t lot_count;
} run;

sl_status sl_lookup_declare(sl_schema *schema, const char *into, const sl_lookup *table,
                            uint32_t *fields, sl_error *error) {
    fields[0] = SL_NO_FIELD;
    for (uint32_t i = 1; i < table->column_count; i++) {
        const sl_lookup_column *column = &table->columns[i];
        char path[1024];
        int length = snprintf(path, sizeof path, "%s.%s", into, column->name);
        if (length < 0 || (size_t)length >= sizeof path)
            return sl_error_set(error, SL_ELIMIT, "into: the name is too long");
        sl_status status =
            sl_enrich_declare(schema, path, column->type, &fields[i], error);
        if (status != SL_OK)
            return status;
        schema->fields[fields[i]].precision = column->precision;
        schema->fields[fields[i]].scale = column->scale;
    }
    return SL_OK;
}

sl_status sl_lookup_step_create(const sl_lookup *table, uint32_t on,
                                const uint32_t *fields, sl_lookup_step **out) {
    *out = NULL;
    sl_lookup_step *step = sl_calloc(1, sizeof *step);
    if (step == NULL)
        return SL_ENOMEM;
    step->fields = sl_calloc(table->column_count, sizeof *step->fields);
    if (step->fields == NULL) {
        sl_free(step);
        return SL_ENOMEM;
    }
    memcpy(step->fields, fields, table->column_count * sizeof *fields);
    step->table = sl_lookup_ref(table);
    step->on = on;
    *out = step;
    return SL_OK;
}

void sl_lookup_step_destroy(sl_lookup_step *step) {
    if (step == NULL)
        return;
    sl_lookup_unref(step->table);
    sl_free(step->fields);
    sl_free(step);
}

sl_status sl_lookup_step_use(sl_lookup_step *step, const sl_lookup *table) {
    const sl_lookup *old = step->table;
    bool same = old->column_count == table->column_count;
    for (uint32_t i = 0; i < table->column_count && same; i++) {
        const sl_lookup_column *a = &old->columns[i], *b = &table->columns[i];
        same =
            strcmp(a->name, b->name) == 0 && a->type == b->type && a->scale == b->scale;
    }
    if (!same)
        return SL_EINVAL;
    sl_lookup *mine = sl_lookup_ref(table);
    sl_lookup_unref(step->table);
    step->table = mine;
    memset(step->notes, 0, sizeof step->notes);
    return SL_OK;
}

// ---- Before the rows
// -----------------------------------------------------------------------------------

static void aim(run *r) {
    const sl_schema *schema = r->batch->schema;
    for (uint32_t i = 1; i < r->table->column_count; i++) {
        uint32_t field = r->step->fields[i];
        const sl_lookup_column *column = &r->table->columns[i];
        if (field >= schema->count || schema->fields[field].type != column->type ||
            (column->type == SL_TYPE_DECIMAL &&
             schema->fields[field].scale != column->scale))
            continue;
        r->targets[r->count++] =
            (target){i, column->type, r->table->offsets[i], &r->batch->columns[field]};
    }
    r->group_count =
        sl_enrich_groups(schema, r->step->fields, r->table->column_count, r->groups);
}

/** The event's key as text. @return false: it has none. */
static bool key_of(const run *r, uint32_t row, probe *p) {
    const sl_batch *batch = r->batch;
    const sl_field *field = &batch->schema->fields[r->step->on];
    const sl_column *column = &batch->columns[r->step->on];
    if (!sl_batch_present(batch, r->step->on, row))
        return false;
    if (field->type == SL_TYPE_STRING) {
        p->key = sl_batch_text(batch, column->values.span[row]);
        p->length = column->values.span[row].length;
        return p->length != 0;
    }
    const typed value = {.i64 = field->type == SL_TYPE_BOOL ? column->values.truth[row]
                                                            : column->values.i64[row]};
    p->length = sl_lookup_key_text(field->type, field->scale, &value, p->room, &p->key);
    return true;
}

static bool can_be_key(const run *r) {
    if (r->step->on >= r->batch->schema->count)
        return false;
    sl_type type = r->batch->schema->fields[r->step->on].type;
    return type == SL_TYPE_STRING || type == SL_TYPE_INT64 || type == SL_TYPE_BOOL ||
           type == SL_TYPE_DECIMAL || type == SL_TYPE_TIMESTAMP || type == SL_TYPE_DATE;
}

// ---- Rows
// ----------------------------------------------------------------------------------------------

static bool copy_text(run *r, uint32_t text, sl_span *out) {
    note *n = &r->step->notes[text * UINT32_C(0x9E3779B1) >> 22 & (NOTES - 1)];
    if (n->stamp != r->step->stamp || n->text != text) {
        uint32_t length;
        const uint8_t *bytes = lookup_text(r->table->texts, text, &length);
        sl_span span = sl_batch_keep_text(r->batch, bytes, length);
        if (r->batch->arena.failed)
            return false;
        *n = (note){text, r->step->stamp, span.offset, length};
    }
    *out = (sl_span){n->offset, n->length};
    return true;
}

static bool copy_value(run *r, const target *t, const uint8_t *from, uint32_t row) {
    switch (t->type) {
    case SL_TYPE_STRING: {
        uint32_t text;
        memcpy(&text, from, sizeof text);
        return copy_text(r, text, &t->to->values.span[row]);
    }
    case SL_TYPE_BOOL:
        t->to->values.truth[row] = *from;
        return true;
    case SL_TYPE_DATE: {
        int32_t days;
        memcpy(&days, from, sizeof days);
        t->to->values.i64[row] = days;
        return true;
    }
    case SL_TYPE_INT64:
    case SL_TYPE_DECIMAL:
    case SL_TYPE_TIMESTAMP:
        memcpy(&t->to->values.i64[row], from, 8);
        return true;
    case SL_TYPE_DOUBLE:
        memcpy(&t->to->values.f64[row], from, 8);
        return true;
    case SL_TYPE_GROUP:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        break;
    }
    return true;
}

static bool fill(run *r, const probe *p) {
    const uint8_t *from = lookup_row(r->table, p->found), *bits = from + r->table->bits;
    for (uint32_t i = 0; i < r->count; i++) {
        const target *t = &r->targets[i];
        if ((bits[t->column / 8] >> (t->column % 8) & 1) == 0)
            continue;
        if (!copy_value(r, t, from + t->offset, p->row))
            return false;
        t->to->valid[p->row] = 1;
    }
    for (size_t i = 0; i < r->group_count; i++)
        r->batch->columns[r->groups[i]].valid[p->row] = 1;
    return true;
}

// Three steps that each ask memory for what the next one needs: the index, the row, the
// key's text.
static void ask_memory(run *r) {
    const sl_lookup *t = r->table;
    for (uint32_t i = 0; i < r->lot_count; i++) {
        probe *p = &r->lot[i];
        p->hash = sl_hash64(p->key, p->length, 0);
        __builtin_prefetch(&t->index[p->hash & t->index_mask]);
    }
    for (uint32_t i = 0; i < r->lot_count; i++) {
        probe *p = &r->lot[i];
        uint64_t slot = p->hash & t->index_mask;
        while (t->index[slot].row != 0 && t->index[slot].tag != (uint32_t)(p->hash >> 32))
            slot = (slot + 1) & t->index_mask;
        p->found = t->index[slot].row;
        if (p->found != 0)
            __builtin_prefetch(lookup_row(t, p->found - 1));
    }
    for (uint32_t i = 0; i < r->lot_count; i++) {
        uint32_t offset;
        if (r->lot[i].found == 0)
            continue;
        memcpy(&offset, lookup_row(t, r->lot[i].found - 1) + t->offsets[0],
               sizeof offset);
        __builtin_prefetch(t->texts + offset);
    }
}

static bool one_lot(run *r) {
    ask_memory(r);
    for (uint32_t i = 0; i < r->lot_count; i++) {
        probe *p = &r->lot[i];
        if (p->found != 0) // Else no row has even this hash.
            p->found = sl_lookup_row_of(r->table, p->hash, p->key, p->length);
        else
            p->found = UINT64_MAX;
        if (p->found == UINT64_MAX) {
            r->counts.misses++;
            continue;
        }
        r->counts.hits++;
        if (!fill(r, p))
            return false;
    }
    r->lot_count = 0;
    return true;
}

static bool all_rows(run *r) {
    bool keyed = can_be_key(r);
    for (uint32_t row = 0; row < r->batch->rows; row++) {
        if (r->batch->verdict[row] != SL_VERDICT_KEEP)
            continue;
        r->counts.rows++;
        probe *p = &r->lot[r->lot_count];
        if (!keyed || !key_of(r, row, p)) {
            r->counts.absent++;
            continue;
        }
        p->row = row;
        if (++r->lot_count == LOT && !one_lot(r))
            return false;
    }
    return one_lot(r);
}

sl_status sl_lookup_step_run(sl_lookup_step *step, sl_batch *batch,
                             sl_enrich_counts *counts) {
    run r;
    r.step = step;
    r.table = step->table;
    r.batch = batch;
    r.count = r.lot_count = 0;
    r.counts = (sl_enrich_counts){0};
    aim(&r);
    if (++step->stamp == 0) {
        memset(step->notes, 0, sizeof step->notes);
        step->stamp = 1;
    }
    if (!all_rows(&r))
        return SL_ENOMEM;
    counts->rows += r.counts.rows;
    counts->hits += r.counts.hits;
    counts->misses += r.counts.misses;
    counts->absent += r.counts.absent;
    return SL_OK;
}
