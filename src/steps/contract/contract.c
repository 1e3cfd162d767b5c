// A contract: its documents, compiled, shared and freed.

#include "draft.h"

#define STEPS_DEFAULT 1000000u

static sl_status parse_document(compiler *c, uint32_t index, const char *uri,
                                const char *text, size_t length) {
    plan_document *d = &c->contract->documents[index];
    d->uri = sl_arena_strndup(&c->contract->arena, uri, strlen(uri));
    d->text = sl_calloc(1, length + SL_PADDING);
    if (d->uri == NULL || d->text == NULL)
        return sl_plan_no_memory(c);
    if (length != 0)
        memcpy(d->text, text, length);
    sl_status status = sl_tree_parse(&d->tree, d->text, length, SCHEMA_DEPTH_MAX);
    if (status == SL_ENOMEM)
        return sl_plan_no_memory(c);
    if (status != SL_OK) {
        unsigned line = 1, column = 1;
        for (uint32_t i = 0; i < d->tree.fault_at && i < length; i++, column++) {
            if (text[i] == '\n') {
                line++;
                column = 0;
            }
        }
        return sl_error_set(c->error, status, "%s%sline %u, column %u: %s", uri,
                            *uri == 0 ? "" : ": ", line, column, d->tree.fault);
    }
    // Equal keys in a schema: one of them would silently say nothing.
    for (uint32_t i = 0; i < d->tree.count; i++)
        if (d->tree.nodes[i].dead)
            return sl_plan_fail(c, SL_EINVAL, (plan_place){.document = index, .node = i},
                                "this name is there twice");
    d->resource_of = get(c, d->tree.count * sizeof *d->resource_of);
    d->schema_of = get(c, d->tree.count * sizeof *d->schema_of);
    return d->resource_of == NULL || d->schema_of == NULL ? sl_plan_no_memory(c) : SL_OK;
}

static sl_status build(compiler *c, const char *json, size_t length) {
    const sl_contract_options *o = c->options;
    sl_status status = parse_document(c, 0, "", json, length);
    for (size_t i = 0; i < o->document_count && status == SL_OK; i++)
        status = parse_document(c, (uint32_t)i + 1, o->documents[i].uri,
                                o->documents[i].text, o->documents[i].length);
    for (uint32_t i = 0; i < c->contract->document_count && status == SL_OK; i++)
        status = sl_index_document(c, i);
    if (status == SL_OK)
        status = sl_plan_compile(c);
    return status == SL_OK ? sl_plan_circles(c) : status;
}

static void destroy(sl_contract *contract) {
    if (contract == NULL)
        return;
    for (uint32_t i = 0; i < contract->pattern_count; i++)
        sl_regex_destroy(contract->patterns[i]);
    sl_free(contract->patterns);
    for (uint32_t i = 0; i < contract->resource_count; i++)
        sl_free(contract->resources[i].anchors);
    sl_free(contract->resources);
    for (uint32_t i = 0; contract->documents != NULL && i < contract->document_count;
         i++) {
        sl_tree_fini(&contract->documents[i].tree);
        sl_free(contract->documents[i].text);
    }
    sl_free(contract->documents);
    sl_arena_fini(&contract->arena);
    sl_free(contract);
}

sl_status sl_contract_compile(const char *json, size_t length,
                              const sl_contract_options *options, sl_contract **out,
                              sl_error *error) {
    static const sl_contract_options none = {0};
    compiler c = {.options = options == NULL ? &none : options, .error = error};
    sl_status status = SL_OK;
    *out = NULL;
    c.contract = sl_calloc(1, sizeof *c.contract);
    if (c.contract == NULL)
        return sl_plan_no_memory(&c);
    sl_arena_init(&c.contract->arena, 16384);
    atomic_init(&c.contract->references, 1);
    c.contract->document_count = (uint32_t)c.options->document_count + 1;
    c.contract->steps_max =
        c.options->steps_max != 0 ? c.options->steps_max : STEPS_DEFAULT;
    c.contract->documents =
        sl_calloc(c.contract->document_count, sizeof *c.contract->documents);
    status =
        c.contract->documents == NULL ? sl_plan_no_memory(&c) : build(&c, json, length);
    sl_free(c.pending);
    if (status == SL_OK)
        *out = c.contract;
    else
        destroy(c.contract);
    return status;
}

sl_contract *sl_contract_ref(const sl_contract *contract) {
    sl_contract *c = (sl_contract *)(uintptr_t)contract;
    atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    return c;
}

void sl_contract_unref(const sl_contract *contract) {
    sl_contract *c = (sl_contract *)(uintptr_t)contract;
    // Release pairs with acquire in whoever comes last: it frees what the others have
    // read.
    if (c != NULL &&
        atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) == 1)
        destroy(c);
}
