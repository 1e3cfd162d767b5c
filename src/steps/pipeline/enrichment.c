#include "private.h"

#include <assert.h>

struct enrichment {
    sl_user_agent_step *user_agent;
    sl_geoip_step *geoip;
    sl_lookup_step *lookup;
};

sl_status enrichment_declare(sl_steps *plan, const sl_step_definition *d, const uint32_t **fields, uint32_t *count,
                             sl_error *error) {
    *count = d->kind == SL_STEP_GEOIP ? (uint32_t)SL_GEOIP_PARTS : (uint32_t)SL_UA_PARTS;
    if (d->kind == SL_STEP_LOOKUP)
        (void)sl_lookup_columns(d->table, count);
    uint32_t *list = sl_arena_get(&plan->arena, *count * sizeof *list);
    if (list == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < *count; i++)
        list[i] = SL_NO_FIELD;
    *fields = list;
    if (d->kind == SL_STEP_LOOKUP)
        return sl_lookup_declare(plan->schema, d->into, d->table, list, error);
    if (d->kind == SL_STEP_GEOIP && sl_geoip_parts(d->database) == 0)
        return sl_error_set(error, SL_EINVAL, "a database of type %.60s tells neither country, city nor ASN: the step would make no field",
                            sl_geoip_type(d->database));
    if (d->kind == SL_STEP_GEOIP)
        return sl_geoip_declare(plan->schema, d->into, sl_geoip_parts(d->database), list, error);
    return sl_user_agent_declare(plan->schema, d->into, list, error);
}

enrichment *enrichment_create(const sl_step_definition *d, const operation *o) {
    enrichment *e = sl_calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    sl_status status =
        d->kind == SL_STEP_LOOKUP  ? sl_lookup_step_create(d->table, o->source, o->fields, &e->lookup)
        : d->kind == SL_STEP_GEOIP ? sl_geoip_step_create(d->database, o->source, o->fields, SL_GEOIP_CACHE_BYTES, &e->geoip)
                                   : sl_user_agent_step_create(d->rules, o->source, o->fields,
                                                               SL_USER_AGENT_CACHE_BYTES, &e->user_agent);
    if (status == SL_OK)
        return e;
    sl_free(e);
    return NULL;
}

void enrichment_use(enrichment *e, const sl_step_definition *d, const sl_step_data *data) {
    if (e->geoip != NULL && data->of_database == d->database)
        sl_geoip_step_use(e->geoip, data->database);
    if (e->lookup == NULL || data->of_table != d->table)
        return;
    sl_status status = sl_lookup_step_use(e->lookup, data->table);
    assert(status == SL_OK); /* It was loaded with the columns of the first. */
    (void)status;
}

void enrichment_destroy(enrichment *e) {
    if (e == NULL)
        return;
    sl_user_agent_step_destroy(e->user_agent);
    sl_geoip_step_destroy(e->geoip);
    sl_lookup_step_destroy(e->lookup);
    sl_free(e);
}

sl_status enrichment_run(enrichment *e, sl_batch *batch, sl_step_count *count) {
    sl_enrich_counts seen = {0};
    sl_status status = e->lookup != NULL  ? sl_lookup_step_run(e->lookup, batch, &seen)
                       : e->geoip != NULL ? sl_geoip_step_run(e->geoip, batch, &seen)
                                          : sl_user_agent_step_run(e->user_agent, batch, &seen);
    count->changed += seen.hits;
    count->missed += seen.misses;
    return status;
}
