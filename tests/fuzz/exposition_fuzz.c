// links: sluice_watch
/* The reader of /metrics, and with it the page of sluice top: any bytes. The first says how wide the page is; a line "=====" parts
 * the metrics from the state. */
#include "../../src/app/watch/exposition.h"
#include "../../src/app/watch/figures.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *context, const exposition_series *s) {
    size_t *seen = context;
    if (s->name[0] == 0 || strlen(s->name) >= EXPOSITION_TEXT || s->label_count > EXPOSITION_LABELS)
        abort();
    for (size_t i = 0; i < s->label_count; i++)
        if (s->labels[i].name[0] == 0 || strlen(exposition_label(s, s->labels[i].name)) >= EXPOSITION_TEXT)
            abort();
    ++*seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t length = size - 1, seen = 0, lines = 1, metrics = length;
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    size_t bad = exposition_read(text, length, check, &seen);
    if (bad + seen > lines)
        abort();
    for (size_t i = 0; i + 7 <= length; i++)
        if (memcmp(text + i, "\n=====\n", 7) == 0)
            metrics = i;
    const char *state = metrics < length ? text + metrics + 7 : "{}";
    size_t state_length = metrics < length ? length - metrics - 7 : 2;
    figures f;
    sl_error error;
    if (figures_read(text, metrics, state, state_length, 1, &f, &error) != SL_OK)
        return 0;
    sl_buffer page = SL_BUFFER_EMPTY;
    const view v = {.address = "a", .before = &f, .now = &f, .columns = data[0], .lines = data[0] % 40u, .order = data[0] % VIEW_ORDERS};
    view_print(&v, &page);
    for (size_t i = 0; i < page.length; i++)
        if (page.bytes[i] < 32 && page.bytes[i] != '\n')
            abort();
    sl_buffer_fini(&page);
    figures_fini(&f);
    return 0;
}
