// The plan: for each object of the schema its keys as they stand in the text, a hash
// table of them for when the prediction fails, and the required ones as masks over
// `seen`.

#include "decoder.h"

#define FIELDS_LIMIT 60000u // entry.group has 16 bits.
#define KEY_NONE ENTRY_TEXT // A length that makes an entry match nothing.

static uint32_t hash_key(const uint8_t *key, size_t length) {
    uint32_t hash = 2166136261u; // FNV-1a: the table holds the schema's keys only.
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ key[i]) * 16777619u;
    return hash ^ hash >> 15;
}

/** May the key stand in JSON as it is? */
static bool is_plain(const uint8_t *key, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (key[i] < 0x20 || key[i] == '"' || key[i] == '\\')
            return false;
    return true;
}

static void entry_init(plan_entry *e, plan_entry *never, const uint8_t *key,
                       size_t length) {
    memset(e, 0, sizeof *e);
    e->field = SL_NO_FIELD;
    e->kind = KIND_UNKNOWN;
    e->text[0] = 0xFF; // No key begins so.
    e->mask = 1;
    e->length = ENTRY_NEVER;
    e->next[0] = e->next[1] = never;
    if (length + 3 > ENTRY_TEXT || !is_plain(key, length))
        return;
    e->length = (int32_t)length + 3;
    e->mask = e->length == ENTRY_TEXT ? UINT32_MAX : (UINT32_C(1) << e->length) - 1;
    e->text[0] = '"';
    if (length != 0)
        memcpy(e->text + 1, key, length);
    e->text[length + 1] = '"';
    e->text[length + 2] = ':';
}

static bool is_member(const sl_field *field) {
    return field->origin == SL_ORIGIN_EVENT && field->type != SL_TYPE_BYTES;
}

static void add_word(field_word *words, uint32_t *count, uint32_t field) {
    uint32_t word = field >> 6;
    uint64_t bit = UINT64_C(1) << (field & 63);
    for (uint32_t i = 0; i < *count; i++) {
        if (words[i].word == word) {
            words[i].mask |= bit;
            return;
        }
    }
    words[(*count)++] = (field_word){.word = word, .mask = bit};
}

static void add_entry(sl_decoder *decoder, plan_group *g, uint32_t field) {
    const sl_field *f = &decoder->schema->fields[field];
    plan_entry *e = &g->entries[g->entry_count++];
    const uint8_t *key = (const uint8_t *)f->name;
    entry_init(e, decoder->never, key, f->name_length);
    e->field = field;
    e->kind = (uint8_t)f->type;
    e->group = f->type == SL_TYPE_GROUP ? (uint16_t)decoder->group_of[field] : 0;
    e->flags = f->nullable ? ENTRY_NULLABLE : 0;
    uint32_t slot = hash_key(key, f->name_length) & g->slot_mask;
    while (g->slots[slot] != 0)
        slot = (slot + 1) & g->slot_mask;
    g->slots[slot] = g->entry_count;
    add_word(g->members, &g->member_count, field);
    if (f->required)
        add_word(g->required, &g->required_count, field);
}

/** Slots of a hash table for `count` keys: at most half full. */
static uint32_t slots_for(uint32_t count) {
    uint32_t slots = 4;
    while (slots < count * 2)
        slots *= 2;
    return slots;
}

static uint32_t children(const sl_schema *schema, uint32_t field) {
    uint32_t count = 0;
    for (uint32_t c = schema->fields[field].first_child; c != SL_NO_FIELD;
         c = schema->fields[c].next_sibling)
        count += is_member(&schema->fields[c]);
    return count;
}

/** Where the next group's share of the plan's arrays begins. */
typedef struct cursor {
    plan_entry *entries;
    uint32_t *slots;
    field_word *words;
} cursor;

static void make_group(sl_decoder *decoder, plan_group *g, uint32_t field, cursor *at) {
    const sl_schema *schema = decoder->schema;
    uint32_t count = children(schema, field);
    entry_init(&g->head, decoder->never, NULL, KEY_NONE);
    g->field = field;
    g->unknown = schema->closed && field == 0                      ? UNKNOWN_REFUSE
                 : schema->rest != SL_NO_FIELD || schema->inferred ? UNKNOWN_KEEP
                                                                   : UNKNOWN_SKIP;
    g->slots = at->slots;
    g->slot_mask = slots_for(count) - 1;
    g->required = at->words;
    g->members = at->words + count;
    g->entries = at->entries;
    for (uint32_t c = schema->fields[field].first_child; c != SL_NO_FIELD;
         c = schema->fields[c].next_sibling)
        if (is_member(&schema->fields[c]))
            add_entry(decoder, g, c);
    g->unknowns = g->unknown == UNKNOWN_REFUSE ? NULL : g->entries + count;
    for (uint32_t i = 0; g->unknowns != NULL && i < UNKNOWN_ENTRIES; i++)
        entry_init(&g->unknowns[i], decoder->never, NULL, KEY_NONE);
    at->entries += count + UNKNOWN_ENTRIES;
    at->slots += g->slot_mask + 1;
    at->words += 2 * (size_t)count;
}

static bool allocate(sl_decoder *decoder, size_t entries, size_t slots) {
    uint32_t fields = decoder->schema->count;
    decoder->seen_words = (fields + 63) / 64;
    decoder->groups = sl_calloc(decoder->group_count, sizeof *decoder->groups);
    decoder->never = sl_aligned_alloc(64, entries * sizeof *decoder->never);
    decoder->slots = sl_calloc(slots, sizeof *decoder->slots);
    decoder->words = sl_calloc(2 * entries, sizeof *decoder->words);
    decoder->seen = sl_calloc(decoder->seen_words, sizeof *decoder->seen);
    decoder->cleared = sl_calloc(fields, sizeof *decoder->cleared);
    return decoder->groups != NULL && decoder->never != NULL && decoder->slots != NULL &&
           decoder->words != NULL && decoder->seen != NULL && decoder->cleared != NULL;
}

sl_status sl_plan_make(sl_decoder *decoder, const sl_schema *schema) {
    decoder->schema = schema;
    if (schema->count > FIELDS_LIMIT)
        return SL_ELIMIT;
    decoder->group_of = sl_calloc(schema->count, sizeof *decoder->group_of);
    if (decoder->group_of == NULL)
        return SL_ENOMEM;
    size_t entries = 2, slots = 0;
    for (uint32_t f = 0; f < schema->count; f++) {
        if (schema->fields[f].type != SL_TYPE_GROUP)
            continue;
        uint32_t count = children(schema, f);
        decoder->group_of[f] = decoder->group_count++;
        entries += count + UNKNOWN_ENTRIES;
        slots += slots_for(count);
    }
    if (!allocate(decoder, entries, slots))
        return SL_ENOMEM;
    decoder->stranger = decoder->never + 1;
    entry_init(decoder->never, decoder->never, NULL, KEY_NONE);
    entry_init(decoder->stranger, decoder->never, NULL, KEY_NONE);
    cursor at = {
        .entries = decoder->never + 2, .slots = decoder->slots, .words = decoder->words};
    for (uint32_t f = 0; f < schema->count; f++)
        if (schema->fields[f].type == SL_TYPE_GROUP)
            make_group(decoder, &decoder->groups[decoder->group_of[f]], f, &at);
    return SL_OK;
}

void sl_plan_free(sl_decoder *decoder) {
    sl_free(decoder->group_of);
    sl_free(decoder->groups);
    sl_free(decoder->never);
    sl_free(decoder->slots);
    sl_free(decoder->words);
    sl_free(decoder->seen);
    sl_free(decoder->cleared);
}

plan_entry *sl_plan_find(sl_decoder *decoder, plan_group *group, const uint8_t *key,
                         size_t length) {
    uint32_t hash = hash_key(key, length);
    for (uint32_t slot = hash & group->slot_mask; group->slots[slot] != 0;
         slot = (slot + 1) & group->slot_mask) {
        plan_entry *e = &group->entries[group->slots[slot] - 1];
        const sl_field *f = &decoder->schema->fields[e->field];
        if (f->name_length == length && memcmp(f->name, key, length) == 0)
            return e;
    }
    if (group->unknowns == NULL)
        return decoder->stranger;
    plan_entry *e = &group->unknowns[hash % UNKNOWN_ENTRIES];
    if (e->length == (int32_t)length + 3 && memcmp(e->text + 1, key, length) == 0)
        return e;
    entry_init(e, decoder->never, key, length);
    return e->length == ENTRY_NEVER ? decoder->stranger : e;
}
