/* Expectations against what came out, and the difference as people read it: rows are aligned so that as many as can be
 * match, then so that those that differ have as much as can be in common. */
#include "private.h"

#include "sluice/batch.h"

#include <inttypes.h>
#include <stdio.h>

#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

enum {
    SHOWN_MAX = 20,     /* Differences of one expectation. */
    ALIGNED_MAX = 1000, /* Rows; more are compared one by one. */
    MATCH = 1 << 20,    /* Worth more than any number of rows that differ. */
};

typedef struct judgement {
    const sl_trial_expectation *expectation;
    const trial_row *rows; /* Of the subject. */
    uint32_t count;
    trial_report *report;
    uint32_t differences;
} judgement;

/* --- lines --- */

static const char *subject_text(const sl_trial_expectation *e) {
    switch (e->subject) {
    case SL_TRIAL_LATE:
        return "late: ";
    case SL_TRIAL_PATHS:
        return "paths: ";
    case SL_TRIAL_DUPLICATES:
        return "duplicates: ";
    case SL_TRIAL_FILTERED:
        return "filtered: ";
    case SL_TRIAL_DEAD_LETTERS:
        return "dead_letters";
    case SL_TRIAL_ROWS:
    case SL_TRIAL_WINDOW:
        break;
    }
    return "";
}

/* "      sluice.yaml:52: clicks: " */
static void place(judgement *j, uint32_t line) {
    sl_buffer_printf(&j->report->out, "      %s:%u: %s%s: ", j->report->path, line, subject_text(j->expectation),
                     j->expectation->name);
}

static void line(trial_report *r, char sign, const char *key, int width, const sl_trial_value *value) {
    if (r->colours && sign != ' ')
        sl_buffer_text(&r->out, sign == '-' ? RED : GREEN);
    sl_buffer_printf(&r->out, "        %c ", sign);
    if (key != NULL)
        sl_buffer_printf(&r->out, "%-*s ", width, key);
    if (value != NULL)
        trial_json(value, &r->out);
    else
        sl_buffer_text(&r->out, "null");
    if (r->colours && sign != ' ')
        sl_buffer_text(&r->out, PLAIN);
    sl_buffer_byte(&r->out, '\n');
}

/* --- a row --- */

/* Of a message, a part is enough. */
static bool cell_matches(const judgement *j, const sl_trial_value *expected, const sl_trial_value *actual) {
    if (j->expectation->subject == SL_TRIAL_DEAD_LETTERS && strcmp(expected->key, "message") == 0 &&
        expected->kind == SL_TRIAL_TEXT && actual != NULL && actual->kind == SL_TRIAL_TEXT)
        return strstr(actual->text, expected->text) != NULL;
    return trial_matches(expected, actual);
}

/* With or without the '/' at the end. */
static bool same_path(const char *a, const char *b) {
    size_t m = strlen(a), n = strlen(b);
    m -= m != 0 && a[m - 1] == '/';
    n -= n != 0 && b[n - 1] == '/';
    return m == n && memcmp(a, b, m) == 0;
}

static bool row_matches(const judgement *j, const sl_trial_value *expected, const sl_trial_value *actual) {
    if (j->expectation->subject == SL_TRIAL_PATHS)
        return same_path(expected->text, actual->text);
    for (const sl_trial_value *e = expected->first; e != NULL; e = e->next)
        if (!cell_matches(j, e, trial_member(actual, e->key)))
            return false;
    return true;
}

/* --- differences --- */

static bool differ(judgement *j) {
    if (++j->differences == SHOWN_MAX + 1)
        sl_buffer_text(&j->report->out, "      and more\n");
    return j->differences <= SHOWN_MAX;
}

static const char *unit(const judgement *j) {
    return j->expectation->subject == SL_TRIAL_PATHS ? "path" : "row";
}

static void show_pair(judgement *j, const sl_trial_value *expected, uint32_t at) {
    const sl_trial_value *actual = j->rows[at].value;
    if (!differ(j))
        return;
    place(j, expected->line);
    sl_buffer_printf(&j->report->out, "%s %u differs (- expected, + came)\n", unit(j), at + 1);
    if (expected->kind != SL_TRIAL_MAP) {
        line(j->report, '-', NULL, 0, expected);
        line(j->report, '+', NULL, 0, actual);
        return;
    }
    int width = 0;
    for (const sl_trial_value *e = expected->first; e != NULL; e = e->next)
        width = (int)strlen(e->key) > width ? (int)strlen(e->key) : width;
    for (const sl_trial_value *e = expected->first; e != NULL; e = e->next) {
        const sl_trial_value *a = trial_member(actual, e->key);
        bool same = cell_matches(j, e, a);
        line(j->report, same ? ' ' : '-', e->key, width, same ? a : e);
        if (!same)
            line(j->report, '+', e->key, width, a);
    }
}

static void show_missing(judgement *j, const sl_trial_value *expected) {
    if (!differ(j))
        return;
    place(j, expected->line);
    sl_buffer_printf(&j->report->out, "a %s is missing\n", unit(j));
    line(j->report, '-', NULL, 0, expected);
}

static void show_unexpected(judgement *j, uint32_t at) {
    if (!differ(j))
        return;
    place(j, j->expectation->line);
    sl_buffer_printf(&j->report->out, "%s %u wasn't expected\n", unit(j), at + 1);
    line(j->report, '+', NULL, 0, j->rows[at].value);
}

/* --- alignment --- */

typedef struct grid {
    uint32_t *best; /* [(m + 1) × (n + 1)]: worth of the rows from there on. */
    const sl_trial_value **expected;
    uint32_t m, n;
} grid;

static uint32_t *cell(const grid *g, uint32_t i, uint32_t k) {
    return &g->best[(size_t)i * (g->n + 1) + k];
}

/* Of two rows side by side: more than of both apart. */
static uint32_t worth(const judgement *j, const sl_trial_value *expected, const sl_trial_value *actual) {
    uint32_t same = 0;
    if (row_matches(j, expected, actual))
        return MATCH;
    for (const sl_trial_value *e = expected->first; e != NULL; e = e->next)
        same += cell_matches(j, e, trial_member(actual, e->key));
    return 1 + 2 * same;
}

static void fill_grid(const judgement *j, const grid *g) {
    for (uint32_t i = g->m; i-- > 0;)
        for (uint32_t k = g->n; k-- > 0;) {
            uint32_t down = *cell(g, i + 1, k), right = *cell(g, i, k + 1);
            uint32_t side_by_side = *cell(g, i + 1, k + 1) + worth(j, g->expected[i], j->rows[k].value);
            uint32_t apart = down > right ? down : right;
            *cell(g, i, k) = side_by_side >= apart ? side_by_side : apart;
        }
}

static void walk_grid(judgement *j, const grid *g) {
    uint32_t i = 0, k = 0;
    while (i < g->m || k < g->n) {
        uint32_t w = i < g->m && k < g->n ? worth(j, g->expected[i], j->rows[k].value) : 0;
        if (w != 0 && *cell(g, i + 1, k + 1) + w == *cell(g, i, k)) {
            if (w != MATCH)
                show_pair(j, g->expected[i], k);
            i++, k++;
        } else if (k == g->n || (i < g->m && *cell(g, i + 1, k) == *cell(g, i, k))) {
            show_missing(j, g->expected[i++]);
        } else {
            show_unexpected(j, k++);
        }
    }
}

static void walk_rows(judgement *j, const grid *g) {
    for (uint32_t i = 0; i < g->m || i < g->n; i++) {
        if (i >= g->n)
            show_missing(j, g->expected[i]);
        else if (i >= g->m)
            show_unexpected(j, i);
        else if (!row_matches(j, g->expected[i], j->rows[i].value))
            show_pair(j, g->expected[i], i);
    }
}

static void compare_all(judgement *j, const sl_trial_value *rows) {
    grid g = {.m = rows->count, .n = j->count};
    const bool small = g.m < ALIGNED_MAX && g.n < ALIGNED_MAX;
    g.expected = sl_calloc(g.m + 1, sizeof *g.expected);
    g.best = sl_calloc(small ? (size_t)(g.m + 1) * (g.n + 1) : 1, sizeof *g.best);
    uint32_t i = 0;
    for (const sl_trial_value *e = rows->first; e != NULL && g.expected != NULL; e = e->next)
        g.expected[i++] = e;
    if (g.expected == NULL || g.best == NULL) {
        j->report->out.failed = true;
    } else if (small) {
        fill_grid(j, &g);
        walk_grid(j, &g);
    } else {
        walk_rows(j, &g);
    }
    sl_free(g.expected);
    sl_free(g.best);
}

/* The row that is left and has most in common; `count` when none has anything. */
static uint32_t nearest(const judgement *j, const sl_trial_value *expected, const bool *taken) {
    uint32_t best = 1, found = j->count;
    for (uint32_t i = 0; i < j->count; i++) {
        uint32_t w = taken[i] ? 0 : worth(j, expected, j->rows[i].value);
        if (w > best) {
            best = w;
            found = i;
        }
    }
    return found;
}

/* Each expected row takes one that is left: first those that match, then the others are compared with what is nearest. */
static void compare_some(judgement *j, const sl_trial_value *rows) {
    bool *taken = sl_calloc(j->count + 1, sizeof *taken), *found = sl_calloc(rows->count + 1, sizeof *found);
    uint32_t i = 0;
    for (const sl_trial_value *e = rows->first; e != NULL && taken != NULL && found != NULL; e = e->next, i++)
        for (uint32_t at = 0; at < j->count && !found[i]; at++)
            if (!taken[at] && row_matches(j, e, j->rows[at].value))
                taken[at] = found[i] = true;
    i = 0;
    for (const sl_trial_value *e = rows->first; e != NULL && taken != NULL && found != NULL; e = e->next, i++) {
        uint32_t near = found[i] ? j->count : nearest(j, e, taken);
        if (near < j->count)
            show_pair(j, e, near);
        else if (!found[i])
            show_missing(j, e);
    }
    if (taken == NULL || found == NULL)
        j->report->out.failed = true;
    sl_free(taken);
    sl_free(found);
}

/* --- expectations --- */

static uint64_t number_of(const trial_results *r, const sl_trial_expectation *e, uint32_t rows) {
    if (e->subject != SL_TRIAL_DUPLICATES && e->subject != SL_TRIAL_FILTERED)
        return rows;
    for (uint32_t i = 0; i < r->stream_count; i++)
        if (strcmp(r->counts[i].stream, e->name) == 0)
            return e->subject == SL_TRIAL_DUPLICATES ? r->counts[i].duplicates : r->counts[i].filtered;
    return 0;
}

static const trial_row *rows_of(const trial_results *r, sl_trial_subject subject, const char *name, uint32_t *count) {
    uint32_t from = 0;
    while (from < r->count && (r->rows[from].subject != subject || strcmp(r->rows[from].name, name) != 0))
        from++;
    uint32_t to = from;
    while (to < r->count && r->rows[to].subject == subject && strcmp(r->rows[to].name, name) == 0)
        to++;
    *count = to - from;
    return r->rows + from;
}

static bool judge(const sl_trial_expectation *e, const trial_results *results, trial_report *report) {
    judgement j = {.expectation = e, .report = report};
    j.rows = rows_of(results, e->subject, e->name, &j.count);
    if (e->rows != NULL && e->contains)
        compare_some(&j, e->rows);
    else if (e->rows != NULL)
        compare_all(&j, e->rows);
    uint64_t number = number_of(results, e, j.count);
    if (!e->counted || number == e->count)
        return j.differences == 0;
    place(&j, e->line);
    sl_buffer_printf(&report->out, "%" PRIu64 " expected, %" PRIu64 " came\n", e->count, number);
    return false;
}

/* Refusals that the test says nothing of aren't what it meant. */
static bool judge_letters(const sl_trial *trial, const trial_results *results, trial_report *report) {
    for (uint32_t i = 0; i < trial->expectation_count; i++)
        if (trial->expectations[i].subject == SL_TRIAL_DEAD_LETTERS)
            return true;
    const sl_trial_expectation none = {.subject = SL_TRIAL_DEAD_LETTERS, .name = "", .line = trial->line};
    judgement j = {.expectation = &none, .report = report};
    j.rows = rows_of(results, SL_TRIAL_DEAD_LETTERS, "", &j.count);
    for (uint32_t i = 0; i < j.count; i++)
        show_unexpected(&j, i);
    return j.count == 0;
}

uint32_t trial_judge(const sl_trial *trial, const trial_results *results, trial_report *report) {
    uint32_t failed = judge_letters(trial, results, report) ? 0 : 1;
    for (uint32_t i = 0; i < trial->expectation_count; i++)
        failed += judge(&trial->expectations[i], results, report) ? 0 : 1;
    return failed;
}

void trial_show(const trial_results *r, trial_report *report) {
    for (uint32_t i = 0; i < r->count; i++) {
        const trial_row *row = &r->rows[i];
        const sl_trial_expectation of = {.subject = row->subject};
        if (i == 0 || row->subject != r->rows[i - 1].subject || strcmp(row->name, r->rows[i - 1].name) != 0)
            sl_buffer_printf(&report->out, "      %s%s\n", subject_text(&of), row->name);
        line(report, ' ', NULL, 0, row->value);
    }
    for (uint32_t i = 0; i < r->stream_count; i++)
        if (r->counts[i].duplicates != 0 || r->counts[i].filtered != 0)
            sl_buffer_printf(&report->out, "      %s: %" PRIu64 " duplicates, %" PRIu64 " filtered\n", r->counts[i].stream,
                             r->counts[i].duplicates, r->counts[i].filtered);
}
