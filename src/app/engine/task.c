/* Tasks: taken, given back, kept in lists. */
#include "data.h"
#include "state.h"
#include "worker.h"

#include "sluice/journal.h"

enum { SPARE_EVERY_S = 30 };

void task_use(task *t, shape *s) {
    for (uint32_t i = 0; i < t->use_count; i++)
        if (t->uses[i] == s)
            return;
    t->uses[t->use_count++] = shape_ref(s);
}

task *task_get(sl_engine *e) {
    task *t = e->free_tasks;
    if (t != NULL) {
        e->free_tasks = t->next;
        t->next = NULL;
        e->free_count--;
        e->free_least = e->free_count < e->free_least ? e->free_count : e->free_least;
        return t;
    }
    if (e->task_count == e->tasks_max)
        return NULL;
    t = sl_calloc(1, sizeof *t);
    if (t == NULL || (t->group = sl_group_create(GROUP_BYTES, e->budget)) == NULL) {
        sl_free(t);
        return NULL;
    }
    t->head.kind = MESSAGE_TASK;
    e->task_count++;
    return t;
}

static void task_destroy(sl_engine *e, task *t) {
    data_release(t);
    for (uint32_t i = 0; i < t->use_count; i++)
        shape_unref(t->uses[i]);
    sl_group_destroy(t->group);
    sl_free(t->records);
    sl_free(t->requests);
    sl_free(t->shapes);
    sl_free(t->parts);
    sl_free(t->passes);
    sl_free(t);
    e->task_count--;
}

void task_free(sl_engine *e, task *t) {
    e->letting_go = false;
    if (t->group->capacity > 2 * (size_t)GROUP_BYTES) { /* It grew for one large record. */
        task_destroy(e, t);
        return;
    }
    for (uint32_t i = 0; i < t->use_count; i++)
        shape_unref(t->uses[i]);
    data_release(t);
    sl_group *group = t->group;
    sl_group_reset(group);
    *t = (task){.head = {.kind = MESSAGE_TASK},
                .next = e->free_tasks,
                .group = group,
                .records = t->records,
                .record_capacity = t->record_capacity,
                .requests = t->requests,
                .request_capacity = t->request_capacity,
                .shapes = t->shapes,
                .parts = t->parts,
                .part_capacity = t->part_capacity,
                .passes = t->passes,
                .pass_capacity = t->pass_capacity};
    e->free_tasks = t;
    e->free_count++;
}

/* What a burst took isn't kept for ever: it would stand beside what others take later. A few stay, so that requests come
 * through, and workers seal, while open files have the budget. */
void tasks_spare(sl_engine *e, int64_t now_us) {
    if (now_us - e->spared_at_us < SPARE_EVERY_S * SL_SECOND_US)
        return;
    e->spared_at_us = now_us;
    for (; e->free_least != 0 && e->task_count > TASKS_SPARE; e->free_least--) {
        task *t = e->free_tasks;
        e->free_tasks = t->next;
        e->free_count--;
        task_destroy(e, t);
    }
    e->free_least = e->free_count;
}

void task_release(sl_engine *e, task *t) {
    t->stage = TASK_RELEASE;
    if (t->part_count == 0) {
        e->outstanding_bytes -= t->bytes;
        task_free(e, t);
        return;
    }
    worker *w = &e->workers[t->worker];
    engine_send(e, &w->pipeline, &w->actor, t);
}

bool task_grow(task *t, uint32_t count) {
    if (count <= t->record_capacity)
        return true;
    uint32_t capacity = count < 64 ? 64 : 2 * count;
    sl_record *records = sl_realloc(t->records, capacity * sizeof *records);
    if (records != NULL)
        t->records = records;
    shape **shapes = sl_realloc(t->shapes, capacity * sizeof *shapes);
    if (shapes != NULL)
        t->shapes = shapes;
    if (records == NULL || shapes == NULL)
        return false;
    t->record_capacity = capacity;
    return true;
}

void task_append(task ***last, task *t) {
    t->next = NULL;
    **last = t;
    *last = &t->next;
}

void task_unlink(task **first, task ***last, task *t) {
    task **at = first;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (*last == &t->next)
        *last = at;
    t->next = NULL;
}

void tasks_destroy(sl_engine *e, task *t) {
    while (t != NULL) {
        task *next = t->next;
        for (uint32_t i = 0; i < t->part_count; i++) {
            sl_batch_destroy(t->parts[i].batch);
            sl_free(t->parts[i].ids);
            sl_free(t->parts[i].id_texts);
        }
        task_destroy(e, t);
        t = next;
    }
}
