// `_rest`: the members that no column takes, as one JSON object with the event's nesting.
//
// Members are noted as they come, in order. Objects are closed before others are opened,
// and a key that comes again voids what it brought before; so the members of one object
// that are still good lie together, and one pass writes them.

#include "decoder.h"

#include "sluice/hash.h"

#define COMPARED_MAX                                                                     \
    8u /**< Up to so many members are compared with each other without a table. */

void sl_rest_add(sl_decoder *decoder, const rest_member *member) {
    if (decoder->schema->rest == SL_NO_FIELD)
        return;
    if (decoder->rest_count == decoder->rest_capacity) {
        uint32_t capacity = decoder->rest_capacity == 0 ? 16 : decoder->rest_capacity * 2;
        rest_member *rest = sl_realloc(decoder->rest, capacity * sizeof *rest);
        if (rest == NULL) {
            decoder->no_memory = true;
            return;
        }
        decoder->rest = rest;
        decoder->rest_capacity = capacity;
    }
    rest_member *added = &decoder->rest[decoder->rest_count++];
    *added = *member;
    decoder->rest_used = true;
    if (member->key == NULL)
        return;
    const uint8_t *text = member->key + 1;
    size_t length = member->key_length - 2;
    if (length != 0 && memchr(text, '\\', length) != NULL)
        added->name = sl_text_keep(decoder, text, text + length);
    else
        added->name = (sl_span){.offset = span_offset(decoder, text),
                                .length = (uint32_t)length};
}

void sl_rest_forget(sl_decoder *decoder) {
    decoder->rest_count = 0;
    decoder->rest_used = false;
    memset(decoder->cleared, 0, decoder->schema->count * sizeof *decoder->cleared);
}

/** Was an object around it, or its own field, begun anew later? */
static bool is_void(const sl_decoder *decoder, uint32_t number) {
    const rest_member *m = &decoder->rest[number];
    if (m->field != SL_NO_FIELD && decoder->cleared[m->field] > number)
        return true;
    for (uint32_t f = decoder->groups[m->group].field; f != 0;
         f = decoder->schema->fields[f].parent)
        if (decoder->cleared[f] > number)
            return true;
    return false;
}

static bool same_key(const sl_decoder *decoder, const rest_member *a,
                     const rest_member *b) {
    return a->group == b->group && a->name.length == b->name.length &&
           memcmp(sl_batch_text(decoder->batch, a->name),
                  sl_batch_text(decoder->batch, b->name), a->name.length) == 0;
}

/** An empty table, at most half full later. @return its mask; 0 when out of memory. */
static uint32_t make_slots(sl_decoder *decoder) {
    uint32_t slots = 64;
    while (slots < decoder->rest_count * 2)
        slots *= 2;
    if (slots > decoder->rest_slot_count) {
        sl_free(decoder->rest_slots);
        decoder->rest_slot_count = 0;
        decoder->rest_slots = sl_malloc(slots * sizeof *decoder->rest_slots);
        if (decoder->rest_slots == NULL)
            return 0;
        decoder->rest_slot_count = slots;
    }
    memset(decoder->rest_slots, 0, slots * sizeof *decoder->rest_slots);
    return slots - 1;
}

/** Has a later member the same key? If not, remember this one. */
static bool is_repeated(sl_decoder *decoder, uint32_t number, uint32_t mask) {
    const rest_member *m = &decoder->rest[number];
    // The seed makes no difference to any answer; it keeps collisions from being made at
    // will.
    uint64_t seed = (uint64_t)(uintptr_t)decoder ^ m->group;
    uint64_t hash =
        sl_hash64(sl_batch_text(decoder->batch, m->name), m->name.length, seed);
    uint32_t slot = (uint32_t)hash & mask;
    for (; decoder->rest_slots[slot] != 0; slot = (slot + 1) & mask)
        if (same_key(decoder, m, &decoder->rest[decoder->rest_slots[slot] - 1]))
            return true;
    decoder->rest_slots[slot] = number + 1;
    return false;
}

/** RFC 8259 section 4 leaves repeated keys open; the contract says the last wins. */
static void drop_repeated(sl_decoder *decoder) {
    uint32_t count = decoder->rest_count;
    if (count <= COMPARED_MAX) {
        for (uint32_t i = 0; i + 1 < count; i++)
            for (uint32_t k = i + 1; decoder->rest[i].key != NULL && k < count; k++)
                if (decoder->rest[k].key != NULL &&
                    same_key(decoder, &decoder->rest[i], &decoder->rest[k]))
                    decoder->rest[i].dead = true;
        return;
    }
    uint32_t mask = make_slots(decoder);
    if (mask == 0) {
        decoder->no_memory = true;
        return;
    }
    for (uint32_t i = count; i-- > 0;)
        if (decoder->rest[i].key != NULL && is_repeated(decoder, i, mask))
            decoder->rest[i].dead = true;
}

/** The objects that are open while writing. */
typedef struct nesting {
    uint32_t fields[SL_DEPTH_MAX];
    uint32_t depth;
} nesting;

static void write_comma(sl_buffer *out) {
    if (out->length != 0 && out->bytes[out->length - 1] != '{')
        sl_buffer_byte(out, ',');
}

/** Close and open objects until those around `field` (a group) are open. */
static void write_nesting(sl_decoder *decoder, sl_buffer *out, nesting *open,
                          uint32_t field) {
    const sl_field *fields = decoder->schema->fields;
    uint32_t chain[SL_DEPTH_MAX], depth = 0, same = 0;
    for (uint32_t f = field; f != 0 && depth < SL_DEPTH_MAX; f = fields[f].parent)
        chain[depth++] = f;
    while (same < open->depth && same < depth &&
           open->fields[same] == chain[depth - 1 - same])
        same++;
    for (; open->depth > same; open->depth--)
        sl_buffer_byte(out, '}');
    for (; open->depth < depth; open->depth++) {
        uint32_t f = chain[depth - 1 - open->depth];
        open->fields[open->depth] = f;
        write_comma(out);
        sl_buffer_json_string(out, fields[f].name, fields[f].name_length);
        sl_buffer_append(out, ":{", 2);
    }
}

static void write_member(sl_decoder *decoder, sl_buffer *out, const rest_member *m) {
    write_comma(out);
    if (m->key != NULL) {
        sl_buffer_append(out, m->key, m->key_length);
    } else {
        const sl_field *f = &decoder->schema->fields[m->field];
        sl_buffer_json_string(out, f->name, f->name_length);
    }
    sl_buffer_byte(out, ':');
    sl_buffer_append(out, m->value, m->value_length);
}

void sl_rest_write(sl_decoder *decoder) {
    if (decoder->rest_count == 0 || decoder->batch->arena.failed)
        return;
    drop_repeated(decoder);
    sl_buffer *out = &decoder->batch->arena;
    size_t begin = out->length;
    nesting open = {.depth = 0};
    bool any = false;
    for (uint32_t i = 0; i < decoder->rest_count; i++) {
        const rest_member *m = &decoder->rest[i];
        if (m->dead || is_void(decoder, i))
            continue;
        if (!any)
            sl_buffer_byte(out, '{');
        any = true;
        write_nesting(decoder, out, &open, decoder->groups[m->group].field);
        write_member(decoder, out, m);
    }
    if (!any)
        return;
    write_nesting(decoder, out, &open, 0);
    sl_buffer_byte(out, '}');
    if (out->length >= SL_SPAN_ARENA)
        out->failed = true;
    const sl_column *column = &decoder->columns[decoder->schema->rest];
    column->values.span[decoder->row] =
        (sl_span){.offset = (uint32_t)begin | SL_SPAN_ARENA,
                  .length = (uint32_t)(out->length - begin)};
    column->valid[decoder->row] = 1;
}
