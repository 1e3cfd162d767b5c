// Columns of a batch. An address is parsed and looked up in the tree each time, which is
// quick; what its record says is decoded once and kept, because many addresses share a
// record. The texts of a record are copied to a batch's arena once.

#include "internal.h"

#include <stdio.h>

#define LOT 64u
#define TEXTS_ROOM 1024u      /**< For all texts of a record. */
#define ADDRESS_BYTES_MAX 64u /**< Longer texts are none. */

/** A place of the cache: a record of the database, decoded. */
typedef struct place {
    uint32_t record; /**< Offset in the data + 1; 0: nothing. */
    uint32_t stamp;  /**< Of the run that copied its texts to a batch, */
    uint32_t
        offset; /**< and where to: one behind the other, in the order of the parts. */
    sl_geoip_answer answer;
} place;

struct sl_geoip_step {
    sl_geoip *database;
    place *places; /**< A power of two of them; a record has one place where it may be. */
    uint32_t place_count;
    uint32_t from;
    uint32_t fields[SL_GEOIP_PARTS];
    uint32_t stamp; /**< Of this run. */
    sl_geoip_figures figures;
};

sl_status sl_geoip_declare(sl_schema *schema, const char *into, uint32_t parts,
                           uint32_t fields[SL_GEOIP_PARTS], sl_error *error) {
    for (unsigned i = 0; i < SL_GEOIP_PARTS; i++) {
        fields[i] = SL_NO_FIELD;
        if ((parts >> i & 1) == 0)
            continue;
        char path[512];
        int length = snprintf(path, sizeof path, "%s.%s", into,
                              sl_geoip_part_name((sl_geoip_part)i));
        if (length < 0 || (size_t)length >= sizeof path)
            return sl_error_set(error, SL_ELIMIT, "into: the name is too long");
        sl_status status = sl_enrich_declare(
            schema, path, sl_geoip_part_type((sl_geoip_part)i), &fields[i], error);
        if (status != SL_OK)
            return status;
    }
    return SL_OK;
}

sl_status sl_geoip_step_create(const sl_geoip *database, uint32_t from,
                               const uint32_t fields[SL_GEOIP_PARTS], size_t cache_bytes,
                               sl_geoip_step **out) {
    *out = NULL;
    sl_geoip_step *step = sl_calloc(1, sizeof *step);
    if (step == NULL)
        return SL_ENOMEM;
    step->database = sl_geoip_ref(database);
    step->from = from;
    memcpy(step->fields, fields, sizeof step->fields);
    step->place_count = 1;
    while (step->place_count < UINT32_C(1) << 24 &&
           step->place_count * 2 * sizeof(place) <= cache_bytes)
        step->place_count *= 2;
    step->places = sl_calloc(step->place_count, sizeof *step->places);
    if (step->places == NULL) {
        sl_geoip_step_destroy(step);
        return SL_ENOMEM;
    }
    *out = step;
    return SL_OK;
}

void sl_geoip_step_destroy(sl_geoip_step *step) {
    if (step == NULL)
        return;
    sl_free(step->places);
    sl_geoip_unref(step->database);
    sl_free(step);
}

static void forget(sl_geoip_step *step) {
    memset(step->places, 0, step->place_count * sizeof *step->places);
}

void sl_geoip_step_use(sl_geoip_step *step, const sl_geoip *database) {
    sl_geoip *old = step->database;
    step->database = sl_geoip_ref(database);
    forget(step); // Its texts are the old one's.
    sl_geoip_unref(old);
}

sl_geoip_figures sl_geoip_step_figures(const sl_geoip_step *step) {
    return step->figures;
}

// ---- A batch
// ----------------------------------------------------------------------------------------------

typedef struct run {
    sl_geoip_step *step;
    sl_batch *batch;
    sl_column *targets[SL_GEOIP_PARTS]; /**< NULL: this batch has none. */
    uint32_t groups[SL_ENRICH_GROUPS_MAX];
    size_t group_count;
    sl_enrich_counts counts;
    walk lot[LOT];
    size_t lot_count;
} run;

static void aim(run *r) {
    const sl_schema *schema = r->batch->schema;
    for (unsigned i = 0; i < SL_GEOIP_PARTS; i++) {
        uint32_t field = r->step->fields[i];
        if (field < schema->count &&
            schema->fields[field].type == sl_geoip_part_type((sl_geoip_part)i))
            r->targets[i] = &r->batch->columns[field];
    }
    r->group_count = sl_enrich_groups(schema, r->step->fields, SL_GEOIP_PARTS, r->groups);
}

static void fill(run *r, uint32_t row, const place *p) {
    uint32_t offset = p->offset;
    for (unsigned i = 0; i < SL_GEOIP_PARTS; i++) {
        if ((p->answer.present >> i & 1) == 0)
            continue;
        uint32_t begin = offset;
        offset += p->answer.text[i].length;
        if (r->targets[i] == NULL)
            continue;
        r->targets[i]->valid[row] = 1;
        if (i == SL_GEOIP_LATITUDE)
            r->targets[i]->values.f64[row] = p->answer.latitude;
        else if (i == SL_GEOIP_LONGITUDE)
            r->targets[i]->values.f64[row] = p->answer.longitude;
        else if (i == SL_GEOIP_ASN)
            r->targets[i]->values.i64[row] = p->answer.asn;
        else
            r->targets[i]->values.span[row] = (sl_span){begin, p->answer.text[i].length};
    }
    for (size_t i = 0; i < r->group_count; i++)
        r->batch->columns[r->groups[i]].valid[row] = 1;
}

static bool copy_texts(run *r, place *p) {
    uint8_t texts[TEXTS_ROOM];
    size_t length = 0;
    sl_batch *batch = r->batch;
    for (unsigned i = 0; i < SL_GEOIP_PARTS; i++) {
        uint32_t more = p->answer.text[i].length;
        if (more > sizeof texts - length) { // Names are short; these texts aren't names.
            p->answer.present &= ~(UINT32_C(1) << i);
            continue;
        }
        if (more != 0)
            memcpy(texts + length, p->answer.text[i].bytes, more);
        length += more;
    }
    p->offset = sl_batch_keep_text(batch, texts, length).offset;
    p->stamp = batch->arena.failed ? 0 : r->step->stamp;
    return !batch->arena.failed;
}

static size_t place_number(const sl_geoip_step *step, uint32_t record) {
    // Fibonacci hashing: offsets of records are no random numbers.
    return (record * UINT32_C(0x9E3779B1)) >> 8 & (step->place_count - 1);
}

static place *place_of(sl_geoip_step *step, uint32_t record) {
    place *p = &step->places[place_number(step, record)];
    if (p->record == record + 1) {
        step->figures.cache_hits++;
        return p;
    }
    step->figures.cache_misses++;
    *p = (place){.record = record + 1};
    sl_geoip_record(&step->database->data, record, step->database->language, &p->answer);
    return p;
}

static bool one_lot(run *r) {
    sl_geoip_step *step = r->step;
    sl_geoip_locate_all(step->database, r->lot, r->lot_count);
    for (size_t i = 0; i < r->lot_count; i++)
        if (r->lot[i].found)
            __builtin_prefetch(&step->places[place_number(step, r->lot[i].record)]);
    for (size_t i = 0; i < r->lot_count; i++) {
        if (!r->lot[i].found) {
            r->counts.misses++;
            continue;
        }
        place *p = place_of(step, r->lot[i].record);
        if (p->stamp != step->stamp && !copy_texts(r, p))
            return false;
        r->counts.hits++;
        fill(r, r->lot[i].row, p);
    }
    r->lot_count = 0;
    return true;
}

static bool one_row(run *r, uint32_t row, const uint8_t *text, uint32_t length) {
    walk *w = &r->lot[r->lot_count];
    w->row = row;
    if (length > ADDRESS_BYTES_MAX ||
        !sl_geoip_address((const char *)text, length, w->address, &w->bits)) {
        r->step->figures.unreadable++;
        r->counts.misses++;
        return true;
    }
    return ++r->lot_count < LOT || one_lot(r);
}

static void next_stamp(sl_geoip_step *step) {
    if (++step->stamp == 0) {
        forget(step);
        step->stamp = 1;
    }
}

sl_status sl_geoip_step_run(sl_geoip_step *step, sl_batch *batch,
                            sl_enrich_counts *counts) {
    run r = {.step = step, .batch = batch};
    aim(&r);
    next_stamp(step);
    const sl_schema *schema = batch->schema;
    bool there = step->from < schema->count &&
                 schema->fields[step->from].type == SL_TYPE_STRING,
         good = true;
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
    if (!good || !one_lot(&r))
        return SL_ENOMEM;
    counts->rows += r.counts.rows;
    counts->hits += r.counts.hits;
    counts->misses += r.counts.misses;
    counts->absent += r.counts.absent;
    return SL_OK;
}
