/* Which data the steps asked, and from where in the log on: the ledger keeps it, so that what a replay gives can be explained. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Under "lookup:users": "POSITION VERSION" for each change, one after the other. */
static sl_status note(sl_engine *e, const char *kind, const char *name, sl_hash128 version, sl_error *error) {
    char text[33];
    sl_hash128_text(version, text);
    sl_buffer key = SL_BUFFER_EMPTY, known = SL_BUFFER_EMPTY;
    sl_buffer_printf(&key, "%s:%s", kind, name);
    const char *fact = sl_buffer_cstr(&key);
    sl_status status = key.failed ? sl_error_set(error, SL_ENOMEM, "engine: out of memory")
                                  : sl_ledger_get(e->storage.ledger, fact, &known, error);
    bool same = known.length >= 32 && memcmp(known.bytes + known.length - 32, text, 32) == 0;
    if (status == SL_OK && !same) {
        sl_buffer_printf(&known, "%s%" PRIu64 " %s", known.length == 0 ? "" : ", ", e->position, text);
        const char *value = sl_buffer_cstr(&known);
        status = known.failed ? sl_error_set(error, SL_ENOMEM, "engine: out of memory")
                              : sl_ledger_set(e->storage.ledger, fact, value, error);
        sl_message(SL_LEVEL_INFO, "steps", "other data from here on", "%s=\"%s\" version=%s position=%" PRIu64, kind, name,
                   text, e->position);
    }
    sl_buffer_fini(&key);
    sl_buffer_fini(&known);
    return status;
}

static sl_status note_step(sl_engine *e, const sl_step_definition *d, sl_error *error) {
    if (d->database != NULL)
        return note(e, "geoip", d->source, sl_geoip_version(d->database), error);
    if (d->rules != NULL)
        return note(e, "user_agent", d->source != NULL ? d->source : SL_USER_AGENT_RULES_PATH,
                    sl_user_agent_rules_version(d->rules), error);
    return SL_OK;
}

sl_status versions_note(sl_engine *e, sl_error *error) {
    const sl_config *c = e->config;
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < c->lookup_count && status == SL_OK; i++)
        status = note(e, "lookup", c->lookups[i].name, sl_lookup_facts_of(c->lookups[i].table).version, error);
    for (uint32_t i = 0; i < c->stream_count && status == SL_OK; i++)
        for (uint32_t k = 0; k < c->streams[i].step_count && status == SL_OK; k++)
            status = note_step(e, &c->streams[i].steps[k], error);
    return status;
}
