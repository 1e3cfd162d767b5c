/* Panes of windows, and the deltas of those that were emitted: by a cut, early when they don't fit, or for another shape. */
#include "window_rows.h"
#include "worker_tables.h"

#include "sluice/window.h"

static sl_status keep_delta(void *context, const sl_window_row *row) {
    worker_table *wt = context;
    delta_put(&wt->deltas, row);
    wt->delta_count++;
    return wt->deltas.failed ? SL_ENOMEM : SL_OK;
}

/* Panes that follow an older shape are emitted; their deltas merge with what comes. */
static sl_status window_turn(worker_table *wt, shape *s) {
    sl_status status = SL_OK;
    if (wt->window != NULL) {
        status = sl_window_cut(wt->window, keep_delta, wt);
        if (status != SL_OK)
            return status;
        sl_window_destroy(wt->window);
        wt->window = NULL;
    }
    shape_unref(wt->shape);
    wt->shape = shape_ref(s);
    return status;
}

sl_status window_add(worker *w, worker_table *wt, part *p, bool *full) {
    shape *s = p->shape;
    sl_status status = SL_OK;
    if (wt->shape != s)
        status = window_turn(wt, s);
    if (status == SL_OK && wt->window == NULL)
        status = sl_window_create(s->plans[wt->of->slot], w->engine->budget, &wt->window);
    uint64_t late = 0, before = wt->window != NULL ? sl_window_rows(wt->window) : 0, emitted = 0;
    uint32_t row = 0;
    while (status == SL_OK && row < p->view->rows) {
        uint32_t at = row;
        status = sl_window_add(wt->window, p->view, &row, p->watermark_us, &late);
        if (status == SL_EFULL) {
            /* The panes don't fit any more: emit them early, and ask for a cut. */
            *full = true;
            emitted += sl_window_rows(wt->window) - before;
            before = 0;
            status = sl_window_cut(wt->window, keep_delta, wt);
            if (status == SL_OK && row == at && emitted == 0)
                status = SL_ENOMEM; /* Not even one group fits. */
        }
    }
    if (status == SL_OK && wt->window != NULL)
        wt->counts.rows += emitted + sl_window_rows(wt->window) - before;
    if (late != 0 && wt->of->kind == SL_TABLE_WINDOW) /* The same window's rows in a topic don't count them again. */
        sl_metric_add(s->of->late, (int64_t)late);
    return status;
}

sl_status window_seal(worker_table *wt) {
    return wt->window != NULL ? sl_window_cut(wt->window, keep_delta, wt) : SL_OK;
}

void window_drop(worker_table *wt) {
    if (wt->window != NULL)
        sl_window_forget(wt->window);
    sl_buffer_fini(&wt->deltas);
    wt->delta_count = 0;
}

void window_fini(worker_table *wt) {
    sl_window_destroy(wt->window);
}

void window_peek(const worker_table *wt, sl_buffer *out) {
    sl_buffer_append(out, wt->deltas.bytes, wt->deltas.length);
    worker_table view = {.deltas = *out};
    if (wt->window != NULL && sl_window_peek(wt->window, keep_delta, &view) != SL_OK)
        view.deltas.failed = true;
    *out = view.deltas;
}
