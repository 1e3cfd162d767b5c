/* Assignments.
 *
 * With the cooperative protocol an assignment is answered at once with nothing, so that librdkafka goes on and the group
 * is stable; each partition is then added with its offset when the owner has said where it begins, which may take a warehouse's
 * answer. With the eager protocol librdkafka wants one list, so it is answered when the last start is known. */
#include "consumer_private.h"

#include "sluice/memory.h"

#include <string.h>

static bool cooperative(const sl_kafka_consumer *c) {
    const char *protocol = rd_kafka_rebalance_protocol(c->client);
    return protocol != NULL && strcmp(protocol, "COOPERATIVE") == 0;
}

/* --- the parts --- */

static void free_part(part *p) {
    if (p != NULL)
        sl_free(p->topic);
    sl_free(p);
}

void sl_kafka_parts_fini(sl_kafka_consumer *c) {
    for (uint32_t i = 0; i < c->part_count; i++)
        free_part(c->parts[i]);
    sl_free(c->parts);
    c->parts = NULL;
    c->part_count = c->part_room = 0;
    c->last = NULL;
}

static void remove_part(sl_kafka_consumer *c, part *gone) {
    uint32_t at = 0;
    while (c->parts[at] != gone)
        at++;
    c->part_count--;
    memmove(c->parts + at, c->parts + at + 1, (c->part_count - at) * sizeof *c->parts);
    if (c->last == gone)
        c->last = NULL;
    free_part(gone);
}

static bool add_part(sl_kafka_consumer *c, const char *topic, int32_t partition) {
    if (c->part_count == c->part_room) {
        uint32_t room = c->part_room == 0 ? 16 : c->part_room * 2;
        part **more = sl_realloc(c->parts, room * sizeof *more);
        if (more == NULL)
            return false;
        c->parts = more;
        c->part_room = room;
    }
    part *p = sl_calloc(1, sizeof *p);
    if (p == NULL || (p->topic = sl_strdup(topic)) == NULL) {
        free_part(p);
        return false;
    }
    p->partition = partition;
    uint32_t at = c->part_count++;
    for (; at > 0; at--) {
        int order = strcmp(c->parts[at - 1]->topic, topic);
        if (order < 0 || (order == 0 && c->parts[at - 1]->partition < partition))
            break;
        c->parts[at] = c->parts[at - 1];
    }
    c->parts[at] = p;
    return true;
}

/* --- librdkafka's assignment --- */

static void change(sl_kafka_consumer *c, rd_kafka_error_t *failure) {
    if (failure == NULL)
        return;
    sl_kafka_consumer_tell(c, NULL, rd_kafka_error_code(failure), rd_kafka_error_string(failure));
    rd_kafka_error_destroy(failure);
}

/* Before it is assigned, so that not one message takes the other way. */
static void forward(sl_kafka_consumer *c, const part *p) {
    rd_kafka_queue_t *queue = rd_kafka_queue_get_partition(c->client, p->topic, p->partition);
    if (queue == NULL)
        return;
    rd_kafka_queue_forward(queue, c->data);
    rd_kafka_queue_destroy(queue);
}

static rd_kafka_topic_partition_list_t *begin(sl_kafka_consumer *c) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->part_count);
    for (uint32_t i = 0; i < c->part_count; i++) {
        part *p = c->parts[i];
        if (p->state != PART_STARTING)
            continue;
        rd_kafka_topic_partition_t *at = rd_kafka_topic_partition_list_add(list, p->topic, p->partition);
        at->offset = p->offset == SL_KAFKA_EARLIEST ? RD_KAFKA_OFFSET_BEGINNING
                     : p->offset == SL_KAFKA_LATEST ? RD_KAFKA_OFFSET_END
                                                    : p->offset;
        forward(c, p);
        p->state = PART_RUNS;
        p->assigned = true;
        p->stale = c->number;
    }
    return list;
}

static bool any_waits(const sl_kafka_consumer *c) {
    for (uint32_t i = 0; i < c->part_count; i++)
        if (c->parts[i]->state == PART_WAITS)
            return true;
    return false;
}

static void start_parts(sl_kafka_consumer *c) {
    bool incremental = cooperative(c);
    if (!incremental && any_waits(c))
        return;
    c->starting = false;
    rd_kafka_topic_partition_list_t *list = begin(c);
    if (incremental)
        change(c, rd_kafka_incremental_assign(c->client, list));
    else {
        rd_kafka_resp_err_t code = rd_kafka_assign(c->client, list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            sl_kafka_consumer_tell(c, NULL, code, NULL);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* Those in state REVOKED are given up. */
static void give_up(sl_kafka_consumer *c) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->part_count);
    for (uint32_t i = c->part_count; i-- > 0;) {
        part *p = c->parts[i];
        if (p->state != PART_REVOKED)
            continue;
        if (p->assigned)
            (void)rd_kafka_topic_partition_list_add(list, p->topic, p->partition);
        remove_part(c, p);
    }
    if (cooperative(c) && !c->ending)
        change(c, rd_kafka_incremental_unassign(c->client, list));
    else
        (void)rd_kafka_assign(c->client, NULL); /* When closing, any means is "all". */
    rd_kafka_topic_partition_list_destroy(list);
}

void sl_kafka_group_turn(sl_kafka_consumer *c) {
    if (c->releasing) {
        c->releasing = c->revoking = false;
        give_up(c);
    }
    if (c->starting && !c->ending)
        start_parts(c);
}

/* --- events --- */

static sl_kafka_place *places_of(const rd_kafka_topic_partition_list_t *list) {
    sl_kafka_place *places = sl_calloc((size_t)list->cnt + 1, sizeof *places);
    for (int i = 0; i < list->cnt && places != NULL; i++)
        places[i] = (sl_kafka_place){list->elems[i].topic, list->elems[i].partition};
    return places;
}

static void on_assign(sl_kafka_consumer *c, const rd_kafka_topic_partition_list_t *list, const sl_kafka_place *places) {
    if (c->cluster == NULL)
        c->cluster = rd_kafka_clusterid(c->client, 0);
    for (int i = 0; i < list->cnt; i++)
        if (sl_kafka_part(c, places[i].topic, places[i].partition) == NULL && !add_part(c, places[i].topic, places[i].partition))
            sl_kafka_consumer_tell(c, &places[i], RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, "out of memory: the partition isn't read");
    /* The empty list: "seen". */
    if (cooperative(c) || list->cnt == 0)
        start_parts(c);
    if (list->cnt > 0)
        c->callbacks.assigned(c->callbacks.context, places, (uint32_t)list->cnt);
}

static void on_revoke(sl_kafka_consumer *c, const rd_kafka_topic_partition_list_t *list, const sl_kafka_place *places) {
    for (int i = 0; i < list->cnt; i++) {
        part *p = sl_kafka_part(c, places[i].topic, places[i].partition);
        if (p == NULL)
            continue;
        p->state = PART_REVOKED;
        p->stale = c->number;
    }
    if (list->cnt == 0 || rd_kafka_assignment_lost(c->client)) {
        if (list->cnt > 0)
            c->callbacks.lost(c->callbacks.context, places, (uint32_t)list->cnt);
        c->revoking = c->releasing = false;
        give_up(c);
        return;
    }
    c->revoking = true;
    c->callbacks.revoked(c->callbacks.context, places, (uint32_t)list->cnt);
}

void sl_kafka_rebalance(sl_kafka_consumer *c, rd_kafka_event_t *event) {
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    sl_kafka_place *places = places_of(list);
    if (places == NULL) { /* Without memory for a list of names: the group is to take them from us. */
        (void)rd_kafka_assign(c->client, NULL);
        sl_kafka_consumer_tell(c, NULL, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, "out of memory: an assignment is given back");
        return;
    }
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        on_assign(c, list, places);
    else
        on_revoke(c, list, places);
    sl_free(places);
}

/* --- what the owner says --- */

sl_status sl_kafka_consumer_start(sl_kafka_consumer *c, const char *topic, int32_t partition, int64_t offset, void *tag,
                                  sl_error *error) {
    part *p = sl_kafka_part(c, topic, partition);
    if (p == NULL || p->state != PART_WAITS)
        return sl_error_set(error, SL_ENOTFOUND, "Kafka: %s [%d] doesn't wait for a start", topic, (int)partition);
    p->state = PART_STARTING;
    p->offset = offset;
    p->tag = tag;
    c->starting = true;
    sl_kafka_wake_again(c->wake);
    return SL_OK;
}

void sl_kafka_consumer_release(sl_kafka_consumer *c) {
    if (!c->revoking)
        return;
    c->releasing = true;
    sl_kafka_wake_again(c->wake);
}
