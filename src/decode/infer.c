// Inference: what the schema lacks becomes proposals, each once per batch, in order of
// first sight. An event that is refused takes its proposals back; as they were the last
// to enter the hash table, they are taken out of it in reverse without leaving gaps.

#include "number.h"

#include "sluice/hash.h"

#define NAME_MAX_BYTES 255u /**< Longer keys never become columns. */
#define LEVELS 8u           /**< Objects are groups down to here. */

/** Keys below the known group, each with its NUL. */
typedef struct key_path {
    char keys[(LEVELS + 1) * (NAME_MAX_BYTES + 1)];
    uint32_t length, count;
} key_path;

sl_type sl_infer_type(const char *key, size_t key_length, const uint8_t *p,
                      const uint8_t *end) {
    json_number n;
    const uint8_t *at;
    int64_t integer;
    double real;
    switch (*p) {
    case '{':
        return SL_TYPE_GROUP;
    case '[':
        return SL_TYPE_JSON;
    case 't':
    case 'f':
        return SL_TYPE_BOOL;
    case 'n':
        return INFER_NOTHING;
    case '"':
        return key != NULL && sl_schema_time_name(key, key_length) &&
                       sl_time_parse((const char *)p + 1, (size_t)(end - p) - 2, &integer)
                   ? SL_TYPE_TIMESTAMP
                   : SL_TYPE_STRING;
    default:
        break;
    }
    // An integer beyond int64 keeps all its digits as text; as a double it would lose
    // some.
    if (sl_number_scan(p, end, &n, &at) == NULL)
        return SL_TYPE_STRING;
    if (n.plain)
        return sl_number_int64(&n, &integer) == SL_CODE_NONE ? SL_TYPE_INT64
                                                             : SL_TYPE_STRING;
    return number_double(&n, &real) ? SL_TYPE_DOUBLE : SL_TYPE_STRING;
}

static uint32_t hash_proposal(const sl_proposal *p) {
    return (uint32_t)sl_hash64(p->keys, p->keys_length,
                               p->parent * 16 + (uint64_t)p->type);
}

static bool same_proposal(const sl_proposal *a, const sl_proposal *b) {
    return a->parent == b->parent && a->type == b->type && a->key_count == b->key_count &&
           a->keys_length == b->keys_length &&
           memcmp(a->keys, b->keys, a->keys_length) == 0;
}

/** @return The slot that holds the proposal, or the free one where it belongs. */
static uint32_t find_slot(const sl_decoder *decoder, const sl_proposal *p) {
    const sl_batch *batch = decoder->batch;
    uint32_t slot = hash_proposal(p) % INFER_SLOTS;
    for (; decoder->proposal_slots[slot] != 0; slot = (slot + 1) % INFER_SLOTS) {
        uint32_t number = decoder->proposal_slots[slot] - 1u;
        if (number < batch->proposal_count && same_proposal(p, &batch->proposals[number]))
            break;
    }
    return slot;
}

void sl_infer_begin(sl_decoder *decoder) {
    const sl_batch *batch = decoder->batch;
    if (batch->proposal_count == decoder->proposals_known && batch->proposal_count == 0)
        return;
    memset(decoder->proposal_slots, 0, INFER_SLOTS * sizeof *decoder->proposal_slots);
    for (uint32_t i = 0; i < batch->proposal_count && i < INFER_PROPOSALS_MAX; i++)
        decoder->proposal_slots[find_slot(decoder, &batch->proposals[i])] =
            (uint16_t)(i + 1);
    decoder->proposals_known = batch->proposal_count;
}

void sl_infer_rollback(sl_decoder *decoder, uint32_t count) {
    sl_batch *batch = decoder->batch;
    while (batch->proposal_count > count) {
        decoder->proposal_slots[find_slot(
            decoder, &batch->proposals[batch->proposal_count - 1])] = 0;
        batch->proposal_count--;
    }
    decoder->proposals_known = count;
}

static bool make_room(sl_batch *batch) {
    if (batch->proposal_count < batch->proposal_capacity)
        return true;
    uint32_t capacity = batch->proposal_capacity == 0 ? 64 : batch->proposal_capacity * 2;
    sl_proposal *proposals = sl_realloc(batch->proposals, capacity * sizeof *proposals);
    if (proposals == NULL)
        return false;
    batch->proposals = proposals;
    batch->proposal_capacity = capacity;
    return true;
}

static void propose(sl_decoder *decoder, uint32_t parent, const key_path *path,
                    sl_type type) {
    sl_batch *batch = decoder->batch;
    sl_proposal p = {.parent = parent,
                     .keys = path->keys,
                     .key_count = path->count,
                     .keys_length = path->length,
                     .type = type};
    if (batch->proposal_count >= INFER_PROPOSALS_MAX)
        return; // More than a schema can grow by; they come again once it has.
    uint32_t slot = find_slot(decoder, &p);
    if (decoder->proposal_slots[slot] != 0)
        return;
    char *keys = make_room(batch) ? sl_arena_get(&batch->names, path->length + 1u) : NULL;
    if (keys == NULL) {
        decoder->no_memory = true;
        return;
    }
    memcpy(keys, path->keys, path->length);
    keys[path->length] = 0;
    p.keys = keys;
    batch->proposals[batch->proposal_count++] = p;
    decoder->proposal_slots[slot] = (uint16_t)batch->proposal_count;
    decoder->proposals_known = batch->proposal_count;
}

void sl_infer_wider(sl_decoder *decoder, uint32_t field, sl_type seen) {
    const sl_field *f = &decoder->schema->fields[field];
    key_path at = {.count = 1};
    if (f->name_length >= sizeof at.keys)
        return;
    memcpy(at.keys, f->name, f->name_length);
    at.keys[f->name_length] = 0;
    at.length = f->name_length + 1;
    propose(decoder, f->parent, &at, seen);
}

/** Put an unescaped key behind the path. @return false: it can't become a column. */
static bool push(key_path *path, const uint8_t *key, size_t length) {
    if (path->count > LEVELS || length > 6 * NAME_MAX_BYTES)
        return false;
    uint8_t name[6 * NAME_MAX_BYTES];
    length = sl_text_unescape(key, key + length, name);
    if (length == 0 || length > NAME_MAX_BYTES || memchr(name, 0, length) != NULL)
        return false;
    memcpy(path->keys + path->length, name, length);
    path->keys[path->length + length] = 0;
    path->length += (uint32_t)length + 1;
    path->count++;
    return true;
}

static const uint8_t *gap(const uint8_t *p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t' || *p == ',' || *p == ':')
        p++;
    return p;
}

static void walk(sl_decoder *decoder, uint32_t parent, key_path *path, const uint8_t *key,
                 const uint8_t *key_end, const uint8_t *p, unsigned depth) {
    uint32_t length = path->length;
    if (!push(path, key, (size_t)(key_end - key)))
        return;
    const uint8_t *end = decoder->kernel->skip(decoder, p, depth);
    sl_type type = sl_infer_type(path->keys + length, path->length - length - 1, p, end);
    if (type == SL_TYPE_GROUP && depth > LEVELS)
        type = SL_TYPE_JSON;
    if (type == SL_TYPE_GROUP) {
        for (p = gap(p + 1); *p != '}'; p = gap(p)) {
            const uint8_t *behind = decoder->kernel->skip(decoder, p, depth);
            const uint8_t *value = gap(behind);
            walk(decoder, parent, path, p + 1, behind - 1, value, depth + 1);
            p = decoder->kernel->skip(decoder, value, depth + 1);
        }
    } else if (type != INFER_NOTHING) {
        propose(decoder, parent, path, type);
    }
    path->length = length;
    path->count--;
}

void sl_infer_member(sl_decoder *decoder, const plan_group *group, const uint8_t *key,
                     size_t key_length, const uint8_t *p, unsigned depth) {
    if (decoder->schema->count >= SL_FIELDS_MAX)
        return;
    key_path at = {.length = 0, .count = 0};
    walk(decoder, group->field, &at, key + 1, key + key_length - 1, p, depth);
}
