#include "reload.h"

#include <string.h>

static bool same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* --- what is said of one stream or window --- */

typedef struct section {
    const char *text;
    size_t length;
} section;

/* The lines below "  NAME:" below "LIST:" in a configuration as it is shown: two more spaces for each level. */
static section find_section(const char *text, const char *list, const char *name) {
    section s = {NULL, 0};
    bool within = false;
    for (const char *line = text, *next; line != NULL && *line != 0; line = next) {
        const char *end = strchr(line, '\n');
        next = end != NULL ? end + 1 : NULL;
        const size_t length = end != NULL ? (size_t)(end - line) : strlen(line), spaces = strspn(line, " ");
        if (spaces < 4 && s.text != NULL) {
            s.length = (size_t)(line - s.text);
            return s;
        }
        if (spaces == 0)
            within = length == strlen(list) + 1 && strncmp(line, list, length - 1) == 0;
        else if (within && spaces == 2 && length == strlen(name) + 3 &&
                 strncmp(line + 2, name, strlen(name)) == 0)
            s.text = next;
    }
    if (s.text != NULL)
        s.length = strlen(s.text);
    return s;
}

static bool same_section(const sl_config *a, const sl_config *b, const char *list, const char *name) {
    const section x = find_section(a->text, list, name), y = find_section(b->text, list, name);
    return x.text != NULL && y.text != NULL && x.length == y.length &&
           memcmp(x.text, y.text, x.length) == 0;
}

/* A member of a group doesn't change its clothes. Secrets aren't in the text: another password takes a restart that a person thinks of. */
static bool same_kafka(const sl_config *a, const sl_config *b) {
    bool same = a->kafka_count == b->kafka_count;
    for (uint32_t i = 0; i < a->kafka_count && same; i++)
        same = same_section(a, b, "sources", a->kafkas[i].name);
    return same;
}

static bool same_ingest(const sl_config *a, const sl_config *b) {
    return same_text(a->ingest.log, b->ingest.log) && same_text(a->ingest.group, b->ingest.group) && a->ingest.read == b->ingest.read;
}

bool sl_reload_needs_restart(const sl_config *old, const sl_config *next, sl_buffer *out) {
    const struct {
        const char *key;
        bool same;
    } fixed[] = {
        {"data_dir", same_text(old->data_dir, next->data_dir)},
        {"memory", old->memory == next->memory},
        {"http.listen", same_text(old->http.listen, next->http.listen)},
        {"http.tls.cert", same_text(old->http.tls_cert, next->http.tls_cert)},
        {"http.tls.key", same_text(old->http.tls_key, next->http.tls_key)},
        {"http.max_body", old->http.max_body == next->http.max_body},
        {"http.max_connections", old->http.max_connections == next->http.max_connections},
        {"http.header_timeout", old->http.header_timeout_us == next->http.header_timeout_us},
        {"http.idle_timeout", old->http.idle_timeout_us == next->http.idle_timeout_us},
        {"admin.listen", same_text(old->admin.listen, next->admin.listen)},
        {"sources.NAME.kafka", same_kafka(old, next)},
        {"ingest", same_ingest(old, next)},
    };
    bool any = false;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (!fixed[i].same) {
            sl_buffer_printf(out, "%s%s", any ? ", " : "", fixed[i].key);
            any = true;
        }
    if (any)
        sl_buffer_text(out, ": another value takes a restart");
    return any;
}

static const sl_config_stream *find_stream(const sl_config *c, const char *name) {
    for (uint32_t i = 0; i < c->stream_count; i++)
        if (strcmp(c->streams[i].name, name) == 0)
            return &c->streams[i];
    return NULL;
}

/* The text shows a schema's file, not what it says. */
static bool same_schema(const sl_schema *a, const sl_schema *b) {
    if (a == NULL || b == NULL)
        return a == b;
    sl_buffer x = SL_BUFFER_EMPTY, y = SL_BUFFER_EMPTY;
    sl_schema_store(a, &x);
    sl_schema_store(b, &y);
    bool same = !x.failed && !y.failed && x.length == y.length && memcmp(x.bytes, y.bytes, x.length) == 0;
    sl_buffer_fini(&x);
    sl_buffer_fini(&y);
    return same;
}

/* What no stream takes depends on which there are. */
static bool same_streams(const sl_config *a, const sl_config *b) {
    bool same = a->embedded == b->embedded && a->stream_count == b->stream_count;
    for (uint32_t i = 0; i < a->stream_count && same; i++)
        same = strcmp(a->streams[i].name, b->streams[i].name) == 0;
    return same;
}

bool sl_reload_keeps(const sl_config *old, const sl_config *next, const char *stream, const char *table,
                     bool window) {
    if (old->http.max_event != next->http.max_event || !same_text(old->timezone, next->timezone))
        return false;
    if (strcmp(stream, "_unrouted") == 0)
        return same_streams(old, next);
    if (old->embedded && next->embedded)
        return true;
    const sl_config_stream *a = find_stream(old, stream), *b = find_stream(next, stream);
    return a != NULL && b != NULL && same_section(old, next, "streams", stream) &&
           same_schema(a->schema, b->schema) && (!window || same_section(old, next, "windows", table));
}
