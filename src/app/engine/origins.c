/* Up to which offset the log has what partitions of other logs hold. Who reads such a partition goes on there after a start, so that each
 * message is in the log once.
 *
 * A record says itself where it comes from. What the ledger has is of the position `keys_stored` or later, and a start reads the log from
 * there on (keys.c), so what is known then is what the log's end says. */
#include "claims.h"
#include "records.h"
#include "state.h"

#include "sluice/checkpoint.h"
#include "sluice/messages.h"

#include <inttypes.h>
#include <stdlib.h>

struct origin {
    char *partition;
    uint32_t length;
    uint64_t to, check; /* 0: nothing yet. */
};

static origin *find(const sl_engine *e, const char *partition, uint32_t length) {
    for (uint32_t i = 0; i < e->origin_count; i++)
        if (e->origins[i].length == length && memcmp(e->origins[i].partition, partition, length) == 0)
            return &e->origins[i];
    return NULL;
}

static origin *find_or_add(sl_engine *e, const char *partition, uint32_t length) {
    origin *known = find(e, partition, length);
    if (known != NULL)
        return known;
    if ((e->origin_count & (e->origin_count - 1)) == 0) { /* It is full at each power of two. */
        size_t capacity = e->origin_count != 0 ? 2 * (size_t)e->origin_count : 1;
        origin *more = sl_realloc(e->origins, capacity * sizeof *more);
        if (more == NULL)
            return NULL;
        e->origins = more;
    }
    char *text = sl_strndup(partition, length);
    if (text == NULL)
        return NULL;
    e->origins[e->origin_count] = (origin){.partition = text, .length = length};
    return &e->origins[e->origin_count++];
}

bool origins_expect(sl_engine *e, const uint8_t *body, size_t length) {
    sl_messages_origin o;
    return !sl_messages_head(body, length, &o) || o.length == 0 || find_or_add(e, o.partition, o.length) != NULL;
}

bool origins_note(sl_engine *e, const sl_group *group) {
    for (uint32_t i = 0; i < group->count; i++) {
        const sl_journal_record *r = &group->records[i];
        sl_messages_origin o;
        if (r->damaged || !items_are_messages(r->format) ||
            !sl_messages_head(group->bytes + r->body, r->length, &o) || o.length == 0)
            continue;
        origin *of = find_or_add(e, o.partition, o.length);
        if (of == NULL)
            return false;
        of->to = o.to;
        of->check = o.check;
    }
    return true;
}

uint32_t origins_index(sl_engine *e, const char *partition, size_t length) {
    const origin *o = find_or_add(e, partition, (uint32_t)length);
    return o != NULL ? (uint32_t)(o - e->origins) : UINT32_MAX;
}

const char *origins_name(const sl_engine *e, uint32_t index) { return e->origins[index].partition; }

bool sl_engine_origin(const sl_engine *e, const char *partition, uint64_t *next, uint64_t *check) {
    const origin *o = find(e, partition, (uint32_t)strlen(partition));
    *next = o != NULL ? o->to : 0;
    *check = o != NULL ? o->check : 0;
    return *next != 0;
}

void origins_write(const sl_engine *e, sl_buffer *out) {
    for (uint32_t i = 0; i < e->origin_count; i++)
        if (e->origins[i].to != 0)
            sl_buffer_printf(out, "%" PRIu64 " %016" PRIx64 " %s\n", e->origins[i].to, e->origins[i].check, e->origins[i].partition);
}

sl_status origins_read(sl_engine *e, sl_error *error) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_status status = sl_ledger_get(e->storage.ledger, "origins", &text, error);
    const char *at = sl_buffer_cstr(&text);
    if (status == SL_OK && text.failed)
        status = no_memory(error);
    while (status == SL_OK && *at != 0) {
        char *end;
        uint64_t to = strtoull(at, &end, 10);
        uint64_t check = strtoull(end, &end, 16);
        const char *partition = end + (*end == ' ');
        uint32_t length = (uint32_t)strcspn(partition, "\n");
        origin *o = length != 0 ? find_or_add(e, partition, length) : NULL;
        if (length == 0 || partition[length] == 0)
            status = sl_error_set(error, SL_ECORRUPT, "ledger: where other logs stand can't be read: \"%.60s\"", at);
        else if (o == NULL)
            status = no_memory(error);
        else
            *o = (origin){o->partition, o->length, to, check};
        at = partition + length + 1;
    }
    sl_buffer_fini(&text);
    return status;
}

void origins_destroy(sl_engine *e) {
    for (uint32_t i = 0; i < e->origin_count; i++)
        sl_free(e->origins[i].partition);
    sl_free(e->origins);
}
