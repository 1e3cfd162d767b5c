#include "sluice/metrics.h"

typedef struct series {
    struct series *next;
    sl_metric metric;
    char *labels;
} series;

typedef struct family {
    struct family *next;
    char *name;
    const char *help;
    sl_metric_kind kind;
    series *first, **last;
} family;

struct sl_metrics {
    family *first, **last;
    sl_metric dummy;
};

sl_metrics *sl_metrics_create(void) {
    sl_metrics *metrics = sl_calloc(1, sizeof *metrics);
    if (metrics != NULL)
        metrics->last = &metrics->first;
    return metrics;
}

void sl_metrics_destroy(sl_metrics *metrics) {
    if (metrics == NULL)
        return;
    for (family *f = metrics->first; f != NULL;) {
        for (series *s = f->first; s != NULL;) {
            series *next = s->next;
            sl_free(s->labels);
            sl_free(s);
            s = next;
        }
        family *next = f->next;
        sl_free(f->name);
        sl_free(f);
        f = next;
    }
    sl_free(metrics);
}

static family *family_of(sl_metrics *metrics, sl_metric_kind kind, const char *name,
                         const char *help) {
    for (family *f = metrics->first; f != NULL; f = f->next)
        if (strcmp(f->name, name) == 0)
            return f;
    family *f = sl_calloc(1, sizeof *f);
    if (f == NULL || (f->name = sl_strdup(name)) == NULL) {
        sl_free(f);
        return NULL;
    }
    f->help = help;
    f->kind = kind;
    f->last = &f->first;
    *metrics->last = f;
    metrics->last = &f->next;
    return f;
}

sl_metric *sl_metrics_get(sl_metrics *metrics, sl_metric_kind kind, const char *name,
                          const char *help, const char *labels) {
    family *f = family_of(metrics, kind, name, help);
    if (f == NULL)
        return &metrics->dummy;
    for (series *s = f->first; s != NULL; s = s->next)
        if (strcmp(s->labels, labels) == 0)
            return &s->metric;
    series *s = sl_calloc(1, sizeof *s);
    if (s == NULL || (s->labels = sl_strdup(labels)) == NULL) {
        sl_free(s);
        return &metrics->dummy;
    }
    *f->last = s;
    f->last = &s->next;
    return &s->metric;
}

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

void sl_metrics_print(sl_metrics *metrics, sl_buffer *out) {
    for (family *f = metrics->first; f != NULL; f = f->next) {
        sl_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
                         f->kind == SL_METRIC_COUNTER ? "counter" : "gauge");
        bool seconds = ends_with(f->name, "_seconds") || ends_with(f->name, "_seconds_total");
        for (series *s = f->first; s != NULL; s = s->next) {
            int64_t value = sl_metric_read(&s->metric);
            sl_buffer_printf(out, "%s%s%s%s ", f->name, s->labels[0] != 0 ? "{" : "", s->labels,
                             s->labels[0] != 0 ? "}" : "");
            if (seconds)
                sl_buffer_printf(out, "%.6f\n", (double)value / 1e6);
            else
                sl_buffer_printf(out, "%lld\n", (long long)value);
        }
    }
}
