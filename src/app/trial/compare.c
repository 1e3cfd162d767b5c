/* Expected and actual: what is named is compared, what isn't named is anything. */
#include "private.h"

#include "sluice/time.h"

#include <stdlib.h>

/* --- numbers --- */

/** A number as written: its digits without zeros around them, and where the point is. */
typedef struct digits {
    bool negative;
    long point; /* 0.DIGITS × 10^point */
    char kept[64];
    size_t count;
} digits;

static bool read_digits(const char *text, digits *out) {
    *out = (digits){.negative = *text == '-'};
    text += *text == '-';
    bool fraction = false;
    for (; (*text >= '0' && *text <= '9') || *text == '.'; text++) {
        if (*text == '.') {
            fraction = true;
            continue;
        }
        if (out->count == 0 && *text == '0') {
            out->point -= fraction;
            continue;
        }
        if (out->count == sizeof out->kept)
            return false;
        out->kept[out->count++] = *text;
        out->point += !fraction;
    }
    if (*text == 'e' || *text == 'E')
        out->point += strtol(text + 1, NULL, 10);
    while (out->count != 0 && out->kept[out->count - 1] == '0')
        out->count--;
    if (out->count == 0)
        *out = (digits){0};
    return true;
}

static bool same_number(const char *a, const char *b) {
    digits x, y;
    if (!read_digits(a, &x) || !read_digits(b, &y))
        return strcmp(a, b) == 0;
    return x.negative == y.negative && x.point == y.point && x.count == y.count &&
           memcmp(x.kept, y.kept, x.count) == 0;
}

/* --- texts --- */

static bool same_text(const char *a, const char *b) {
    int64_t x, y;
    if (strcmp(a, b) == 0)
        return true;
    return sl_time_parse(a, strlen(a), &x) && sl_time_parse(b, strlen(b), &y) && x == y;
}

/* --- members --- */

static const sl_trial_value *with_underscores(const sl_trial_value *map, const char *name) {
    for (const sl_trial_value *m = map->first; m != NULL; m = m->next) {
        size_t i = 0;
        while (name[i] != 0 && (m->key[i] == name[i] || (name[i] == '.' && m->key[i] == '_')))
            i++;
        if (name[i] == 0 && m->key[i] == 0)
            return m;
    }
    return NULL;
}

const sl_trial_value *trial_member(const sl_trial_value *map, const char *name) {
    if (map == NULL || map->kind != SL_TRIAL_MAP)
        return NULL;
    const sl_trial_value *found = sl_trial_value_child(map, name);
    for (const char *dot = strchr(name, '.'); dot != NULL && found == NULL; dot = strchr(dot + 1, '.'))
        for (const sl_trial_value *m = map->first; m != NULL && found == NULL; m = m->next)
            if (strlen(m->key) == (size_t)(dot - name) && memcmp(m->key, name, (size_t)(dot - name)) == 0)
                found = trial_member(m, dot + 1);
    return found != NULL ? found : with_underscores(map, name);
}

/* --- values --- */

static bool matches_list(const sl_trial_value *expected, const sl_trial_value *actual) {
    const sl_trial_value *a = actual->first;
    if (expected->count != actual->count)
        return false;
    for (const sl_trial_value *e = expected->first; e != NULL; e = e->next, a = a->next)
        if (!trial_matches(e, a))
            return false;
    return true;
}

static bool matches_map(const sl_trial_value *expected, const sl_trial_value *actual) {
    for (const sl_trial_value *e = expected->first; e != NULL; e = e->next)
        if (!trial_matches(e, trial_member(actual, e->key)))
            return false;
    return true;
}

/* Lists and free-form objects are stored as JSON text. */
static bool matches_json(const sl_trial_value *expected, const char *text) {
    sl_arena arena;
    sl_arena_init(&arena, 4096);
    const sl_trial_value *parsed = sl_trial_value_parse(&arena, text, strlen(text));
    bool same = parsed != NULL && parsed->kind == expected->kind && trial_matches(expected, parsed);
    sl_arena_fini(&arena);
    return same;
}

bool trial_matches(const sl_trial_value *expected, const sl_trial_value *actual) {
    if (expected->kind == SL_TRIAL_NULL || actual == NULL || actual->kind == SL_TRIAL_NULL)
        return expected->kind == SL_TRIAL_NULL && (actual == NULL || actual->kind == SL_TRIAL_NULL);
    bool whole = expected->kind == SL_TRIAL_MAP || expected->kind == SL_TRIAL_LIST;
    if (whole && actual->kind == SL_TRIAL_TEXT)
        return matches_json(expected, actual->text);
    if (expected->kind != actual->kind)
        return false;
    switch (expected->kind) {
    case SL_TRIAL_NUMBER:
        return same_number(expected->text, actual->text);
    case SL_TRIAL_TEXT:
        return same_text(expected->text, actual->text);
    case SL_TRIAL_LIST:
        return matches_list(expected, actual);
    case SL_TRIAL_MAP:
        return matches_map(expected, actual);
    case SL_TRIAL_BOOL:
        return strcmp(expected->text, actual->text) == 0;
    case SL_TRIAL_NULL:
        break;
    }
    return true;
}

/* --- as text --- */

static void json_children(const sl_trial_value *value, bool map, sl_buffer *out) {
    const char *comma = " ";
    for (const sl_trial_value *m = value->first; m != NULL; m = m->next) {
        if (map && m->kind == SL_TRIAL_NULL)
            continue;
        sl_buffer_text(out, comma);
        if (map)
            sl_buffer_printf(out, "%s: ", m->key);
        trial_json(m, out);
        comma = ", ";
    }
}

void trial_json(const sl_trial_value *value, sl_buffer *out) {
    bool map = value->kind == SL_TRIAL_MAP;
    if (value->kind == SL_TRIAL_NULL) {
        sl_buffer_text(out, "null");
    } else if (value->kind == SL_TRIAL_TEXT) {
        sl_buffer_json_string(out, value->text, strlen(value->text));
    } else if (map || value->kind == SL_TRIAL_LIST) {
        sl_buffer_text(out, map ? "{" : "[");
        json_children(value, map, out);
        sl_buffer_text(out, map ? " }" : " ]");
    } else {
        sl_buffer_text(out, value->text);
    }
}
