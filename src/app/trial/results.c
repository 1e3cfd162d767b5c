/* What came out, as values that can be compared with what is expected. */
#include "private.h"

#include "sluice/time.h"

#include <stdlib.h>

bool trial_results_init(trial_results *r, const sl_config *config) {
    *r = (trial_results){0};
    sl_arena_init(&r->arena, 16384);
    r->counts = sl_calloc(config->stream_count + 1, sizeof *r->counts);
    for (uint32_t i = 0; r->counts != NULL && i < config->stream_count; i++)
        r->counts[r->stream_count++].stream = config->streams[i].name;
    return r->counts != NULL;
}

void trial_results_fini(trial_results *r) {
    sl_arena_fini(&r->arena);
    sl_free(r->rows);
    sl_free(r->counts);
}

trial_row *trial_results_add(trial_results *r, sl_trial_subject subject, const char *name) {
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity != 0 ? 2 * r->capacity : 32;
        trial_row *rows = sl_realloc(r->rows, capacity * sizeof *rows);
        if (rows == NULL)
            return NULL;
        r->rows = rows;
        r->capacity = capacity;
    }
    char *copy = sl_arena_strndup(&r->arena, name, strlen(name));
    if (copy == NULL)
        return NULL;
    r->rows[r->count] = (trial_row){.subject = subject, .name = copy};
    return &r->rows[r->count++];
}

/* --- order --- */

static int compare_numbers(const char *a, const char *b) {
    double x = strtod(a, NULL), y = strtod(b, NULL);
    return x < y ? -1 : x > y;
}

/* Null before all else. */
static int compare_keys(const sl_trial_value *a, const sl_trial_value *b) {
    if (a->kind != b->kind || a->text == NULL || b->text == NULL)
        return (a->kind > b->kind) - (a->kind < b->kind);
    return a->kind == SL_TRIAL_NUMBER ? compare_numbers(a->text, b->text) : strcmp(a->text, b->text);
}

static int compare_rows(const void *left, const void *right) {
    const trial_row *a = left, *b = right;
    if (a->subject != b->subject)
        return a->subject < b->subject ? -1 : 1;
    int order = strcmp(a->name, b->name);
    if (order == 0 && a->subject == SL_TRIAL_PATHS)
        return strcmp(a->value->text, b->value->text);
    const sl_trial_value *x = a->value->first, *y = b->value->first;
    for (uint32_t i = 0; order == 0 && i < a->keys && i < b->keys; i++, x = x->next, y = y->next)
        order = compare_keys(x, y);
    return order != 0 ? order : (a->position > b->position) - (a->position < b->position);
}

void trial_results_sort(trial_results *r) {
    uint32_t kept = 0;
    if (r->count != 0)
        qsort(r->rows, r->count, sizeof *r->rows, compare_rows);
    for (uint32_t i = 0; i < r->count; i++)
        if (r->rows[i].subject != SL_TRIAL_PATHS || kept == 0 || compare_rows(&r->rows[kept - 1], &r->rows[i]) != 0)
            r->rows[kept++] = r->rows[i];
    r->count = kept;
}

/* --- cells --- */

static sl_trial_value *text_of(sl_arena *arena, const sl_value *cell) {
    char text[40];
    size_t length;
    if (cell->type == SL_TYPE_DATE)
        length = sl_date_format((int32_t)cell->as.i64, text);
    else
        length = sl_time_format(cell->as.i64, text);
    return sl_trial_value_new(arena, SL_TRIAL_TEXT, text, length);
}

static sl_trial_value *scalar_of(sl_arena *arena, const sl_value *cell) {
    sl_buffer json = SL_BUFFER_EMPTY;
    sl_value_json(cell, &json);
    const char *text = sl_buffer_cstr(&json);
    bool number = *text == '-' || (*text >= '0' && *text <= '9');
    sl_trial_kind kind = cell->type == SL_TYPE_BOOL ? SL_TRIAL_BOOL : number ? SL_TRIAL_NUMBER : SL_TRIAL_NULL;
    sl_trial_value *value = json.failed ? NULL : sl_trial_value_new(arena, kind, text, json.length);
    sl_buffer_fini(&json);
    return value;
}

static sl_trial_value *value_of(sl_arena *arena, const sl_value *cell) {
    if (cell->null || cell->type == SL_TYPE_GROUP)
        return sl_trial_value_new(arena, SL_TRIAL_NULL, NULL, 0);
    if (cell->type == SL_TYPE_DATE || cell->type == SL_TYPE_TIMESTAMP)
        return text_of(arena, cell);
    if (cell->type != SL_TYPE_STRING && cell->type != SL_TYPE_BYTES && cell->type != SL_TYPE_JSON)
        return scalar_of(arena, cell);
    const char *text = cell->as.text.length != 0 ? (const char *)cell->as.text.bytes : "";
    sl_trial_value *parsed =
        cell->type == SL_TYPE_JSON ? sl_trial_value_parse(arena, text, cell->as.text.length) : NULL;
    return parsed != NULL ? parsed : sl_trial_value_new(arena, SL_TRIAL_TEXT, text, cell->as.text.length);
}

static sl_trial_value *group(sl_arena *arena, sl_trial_value *row, const char *name, size_t length) {
    for (sl_trial_value *child = row->first; child != NULL; child = child->next)
        if (strlen(child->key) == length && memcmp(child->key, name, length) == 0)
            return child->kind == SL_TRIAL_MAP ? child : NULL;
    sl_trial_value *child = sl_trial_value_new(arena, SL_TRIAL_MAP, NULL, 0);
    char *key = sl_arena_strndup(arena, name, length);
    if (child == NULL || key == NULL)
        return NULL;
    sl_trial_value_put(row, key, child);
    return child;
}

bool trial_put(sl_arena *arena, sl_trial_value *row, const char *path, const sl_value *cell) {
    sl_trial_value *value = value_of(arena, cell), *parent = row;
    if (value == NULL)
        return false;
    if (value->kind == SL_TRIAL_NULL && strchr(path, '.') != NULL)
        return true; /* Members of a group that isn't there. */
    for (const char *dot; parent != NULL && (dot = strchr(path, '.')) != NULL; path = dot + 1)
        parent = group(arena, parent, path, (size_t)(dot - path));
    char *key = sl_arena_strndup(arena, path, strlen(path));
    if (parent == NULL || key == NULL)
        return false;
    sl_trial_value_put(parent, key, value);
    return true;
}
