// links: sluice_s3
// Replies of an object store: whatever they hold, the scanner ends with a status, and its
// elements are nested and decoded to text without a zero byte; lists and faults read from
// the same bytes agree with it.

#include "../../src/sinks/lake/s3_reply.h"
#include "../../src/sinks/lake/s3_xml.h"

#include <stdlib.h>

typedef struct seen {
    unsigned last_depth, roots;
    size_t elements;
} seen;

static sl_status look(void *context, const sl_s3_element *e) {
    seen *s = context;
    if (e->depth < 1 || e->depth > 16 || e->name_length == 0 || s->roots > 0)
        abort();
    if (e->leaf ? strlen(e->text) != e->text_length : e->text_length != 0)
        abort();
    /* An element that isn't a leaf ends after one a step deeper. */
    if (!e->leaf && s->last_depth != e->depth + 1)
        abort();
    if ((e->depth == 1) != (e->parent_length == 0))
        abort();
    s->last_depth = e->depth;
    s->roots += e->depth == 1;
    s->elements++;
    return SL_OK;
}

static bool take(void *context, const sl_s3_item *item) {
    size_t *items = context;
    if (item->key[0] == 0)
        abort();
    return ++*items < 100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *xml = (const char *)data;
    seen s = {0};
    sl_error error;
    sl_status status = sl_s3_xml_scan(xml, size, look, &s, &error);
    if (status == SL_OK && s.roots != 1)
        abort();
    size_t items = 0;
    sl_s3_page page = {0};
    sl_s3_fault fault;
    sl_status list = sl_s3_list_parse(xml, size, take, &items, &page, &error);
    if (list == SL_OK &&
        (status != SL_OK || items > s.elements || (page.more && page.token.length == 0)))
        abort();
    if (sl_s3_fault_parse(xml, size, &fault) == SL_OK &&
        (status != SL_OK || list == SL_OK || fault.code[0] == 0))
        abort();
    sl_s3_page_fini(&page);
    return 0;
}
