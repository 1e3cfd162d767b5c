/* The text of /config: YAML that gives the same configuration when it is loaded again
 * (secrets apart), with every default filled in. */
#include "loader.h"

#include "sluice/aws_intake.h"

#include <stdio.h>

/** A text that needs no quotes, means itself, and isn't empty. */
static bool is_bare(const char *text) {
    static const char *const words[] = {"null", "Null",  "NULL",  "true", "True",
                                        "TRUE", "false", "False", "FALSE"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(text, words[i]))
            return false;
    return *text &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789_./-") == strlen(text) &&
           !(*text >= '0' && *text <= '9') && *text != '-' &&
           strspn(text, ".") != strlen(text);
}

static void show_text(const char *text, sl_buffer *out) {
    if (is_bare(text)) {
        sl_buffer_text(out, text);
        return;
    }
    const sl_node node = {.kind = SL_NODE_SCALAR, .text = text};
    sl_yaml_json(&node, true, out);
}

static void show_list(const sl_parameter *p, const char *base, sl_buffer *out) {
    const char *const *list;
    uint32_t count;
    memcpy(&list, base + p->offset, sizeof list);
    memcpy(&count, base + p->count_offset, sizeof count);
    sl_buffer_text(out, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            sl_buffer_text(out, ", ");
        show_text(p->type == SL_PARAMETER_SECRETS ? "***" : list[i], out);
    }
    sl_buffer_text(out, "]");
}

static void show_aws_keys(const sl_parameter *p, const char *base, sl_buffer *out) {
    const sl_aws_intake_key *keys;
    uint32_t count;
    memcpy(&keys, base + p->offset, sizeof keys);
    memcpy(&count, base + p->count_offset, sizeof count);
    sl_buffer_text(out, "[");
    for (uint32_t i = 0; i < count; i++) {
        sl_buffer_text(out, i ? ", {access_key_id: " : "{access_key_id: ");
        show_text(keys[i].access_key_id, out);
        sl_buffer_text(out, ", secret_access_key: \"***\"}");
    }
    sl_buffer_text(out, "]");
}

/** Properties of librdkafka hold passwords, keys and tokens, too. */
static bool is_secret(const char *name) {
    static const char *const parts[] = {"password", "secret", ".pem", "oauthbearer.config", "token", "credential"};
    bool secret = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !secret; i++)
        secret = strstr(name, parts[i]) != NULL;
    return secret;
}

/** As a map: names may hold '='. */
static void show_pairs(const sl_parameter *p, const char *base, sl_buffer *out) {
    const sl_config_tag *tags;
    uint32_t count;
    memcpy(&tags, base + p->offset, sizeof tags);
    memcpy(&count, base + p->count_offset, sizeof count);
    sl_buffer_text(out, "{");
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            sl_buffer_text(out, ", ");
        sl_buffer_json_string(out, tags[i].name, strlen(tags[i].name));
        sl_buffer_text(out, ": ");
        show_text(p->type == SL_PARAMETER_PROPERTIES && is_secret(tags[i].name) ? "***" : tags[i].value, out);
    }
    sl_buffer_text(out, "}");
}

static void show_url(const char *url, sl_buffer *out) {
    sl_buffer shown = SL_BUFFER_EMPTY;
    sl_url_redact(url, &shown);
    show_text(sl_buffer_cstr(&shown), out);
    out->failed |= shown.failed;
    sl_buffer_fini(&shown);
}

static void show_choice(const sl_parameter *p, const char *at, sl_buffer *out) {
    char word[32];
    int index = 0;
    bool second = false;
    if (p->type == SL_PARAMETER_SWITCH) {
        memcpy(&second, at, sizeof second);
        index = second;
    } else {
        memcpy(&index, at, sizeof index);
    }
    if (sl_choice_word(p->choices, (unsigned)index, word))
        sl_buffer_text(out, word);
}

static void show_flags(const sl_parameter *p, const char *at, sl_buffer *out) {
    char word[32];
    const char *comma = "";
    sl_buffer_text(out, "[");
    for (unsigned i = 0; sl_choice_word(p->choices, i, word); i++) {
        bool yes;
        memcpy(&yes, at + i * sizeof yes, sizeof yes);
        if (yes) {
            sl_buffer_printf(out, "%s%s", comma, word);
            comma = ", ";
        }
    }
    sl_buffer_text(out, "]");
}

static void show_number(const sl_parameter *p, const char *at, sl_buffer *out) {
    char text[32];
    uint32_t count;
    uint64_t size;
    int64_t us;
    if (p->type == SL_PARAMETER_COUNT) {
        memcpy(&count, at, sizeof count);
        snprintf(text, sizeof text, "%u", count);
    } else if (p->type == SL_PARAMETER_SIZE) {
        memcpy(&size, at, sizeof size);
        sl_size_format(size, text);
    } else {
        memcpy(&us, at, sizeof us);
        sl_duration_format(us, text);
    }
    sl_buffer_text(out, text);
}

/** Is there anything to show? Texts may be absent, lists and flags empty. */
static bool has_value(const sl_parameter *p, const char *base) {
    const char *text;
    uint32_t count;
    switch (p->type) {
    case SL_PARAMETER_TEXT:
    case SL_PARAMETER_PATH:
    case SL_PARAMETER_TARGET:
    case SL_PARAMETER_S3:
    case SL_PARAMETER_URL:
    case SL_PARAMETER_SECRET:
    case SL_PARAMETER_ADDRESS:
        if (!strcmp(p->path, "warehouse.url"))
            return false;
        memcpy(&text, base + p->offset, sizeof text);
        return text != NULL;
    case SL_PARAMETER_LIST:
    case SL_PARAMETER_SECRETS:
        memcpy(&count, base + p->count_offset, sizeof count);
        return count && strcmp(p->path, "http.auth.token");
    case SL_PARAMETER_TAGS:
    case SL_PARAMETER_AWS_KEYS:
    case SL_PARAMETER_PROPERTIES:
        memcpy(&count, base + p->count_offset, sizeof count);
        return count;
    case SL_PARAMETER_FLAGS:
        return base[p->offset] || base[p->offset + 1];
    case SL_PARAMETER_AUTH:
        return base[p->offset] != 0;
    case SL_PARAMETER_SECRETS_FILE:
    case SL_PARAMETER_SECRET_FILE:
    case SL_PARAMETER_SCHEMA:
    case SL_PARAMETER_MEASURES:
    case SL_PARAMETER_STEPS:
    case SL_PARAMETER_TESTS:
    case SL_PARAMETER_VARIABLES:
        return false;
    case SL_PARAMETER_COUNT:
    case SL_PARAMETER_SIZE:
    case SL_PARAMETER_DURATION:
    case SL_PARAMETER_CHOICE:
    case SL_PARAMETER_SWITCH:
        break;
    case SL_PARAMETER_BOOL: /* Where it is false, or certificates are named, that says nothing. */
        return (strcmp(p->path, "sources.NAME.kafka.tls") && strcmp(p->path, "kafka.tls")) || base[p->offset];
    }
    return true;
}

static void show_value(const sl_parameter *p, const char *base, sl_buffer *out) {
    const char *at = base + p->offset, *text;
    switch (p->type) {
    case SL_PARAMETER_COUNT:
    case SL_PARAMETER_SIZE:
    case SL_PARAMETER_DURATION:
        show_number(p, at, out);
        break;
    case SL_PARAMETER_CHOICE:
    case SL_PARAMETER_SWITCH:
        show_choice(p, at, out);
        break;
    case SL_PARAMETER_BOOL:
        sl_buffer_text(out, *at ? "true" : "false");
        break;
    case SL_PARAMETER_FLAGS:
        show_flags(p, at, out);
        break;
    case SL_PARAMETER_AWS_KEYS:
        show_aws_keys(p, base, out);
        break;
    case SL_PARAMETER_TAGS:
    case SL_PARAMETER_PROPERTIES:
        show_pairs(p, base, out);
        break;
    case SL_PARAMETER_SECRET:
        show_text("***", out);
        break;
    case SL_PARAMETER_URL:
        memcpy(&text, at, sizeof text);
        show_url(text, out);
        break;
    case SL_PARAMETER_LIST:
    case SL_PARAMETER_SECRETS:
        show_list(p, base, out);
        break;
    case SL_PARAMETER_TEXT:
    case SL_PARAMETER_PATH:
    case SL_PARAMETER_TARGET:
    case SL_PARAMETER_S3:
    case SL_PARAMETER_ADDRESS:
        memcpy(&text, at, sizeof text);
        show_text(text, out);
        break;
    case SL_PARAMETER_AUTH:
        sl_buffer_text(out, "none");
        break;
    case SL_PARAMETER_SECRETS_FILE:
    case SL_PARAMETER_SECRET_FILE:
    case SL_PARAMETER_SCHEMA:
    case SL_PARAMETER_MEASURES:
    case SL_PARAMETER_STEPS:
    case SL_PARAMETER_TESTS:
    case SL_PARAMETER_VARIABLES:
        break;
    }
    sl_buffer_text(out, "\n");
}

static void indent(uint32_t depth, sl_buffer *out) {
    for (uint32_t i = 0; i < depth; i++)
        sl_buffer_text(out, "  ");
}

/** One scope of the table as nested maps. @param skip Keys of the paths that are written
 * already. @param lake, table Whether those sections are there. */
static void show_scope(sl_parameter_scope scope, const void *base, uint32_t skip,
                       bool lake, bool table, sl_buffer *out) {
    char section[128] = "";
    for (size_t i = 0; i < sl_parameter_count; i++) {
        const sl_parameter *p = &sl_parameters[i];
        if (p->scope != scope || !has_value(p, base))
            continue;
        const char *path = p->path;
        for (uint32_t k = 0; k < skip; k++)
            path = strchr(path, '.') + 1;
        const bool stream = scope == SL_SCOPE_STREAM;
        if (stream && !strncmp(path, "topic.", 6) && !((const sl_config_stream *)base)->topic.to)
            continue;
        if (scope == SL_SCOPE_WINDOW && !strncmp(path, "topic.", 6) && !((const sl_config_window *)base)->topic.to)
            continue;
        if (stream && !strncmp(path, "dead_letters.", 13) && !((const sl_config_stream *)base)->dead_letters.to)
            continue;
        if ((!lake && !strncmp(path, "lake.", 5)) ||
            (!table && !strncmp(path, "warehouse.", 10)))
            continue;
        /* The sections that this path opens and the last one didn't. */
        uint32_t depth = skip;
        const char *at = path;
        for (const char *dot = strchr(at, '.'); dot; dot = strchr(at, '.')) {
            size_t length = (size_t)(dot - path) + 1;
            if (strncmp(section, path, length)) {
                indent(depth, out);
                sl_buffer_printf(out, "%.*s:\n", (int)(dot - at), at);
            }
            depth++;
            at = dot + 1;
        }
        snprintf(section, sizeof section, "%.*s", (int)(at - path), path);
        indent(depth, out);
        sl_buffer_printf(out, "%s: ", at);
        show_value(p, base, out);
    }
}

static void show_schema(sl_loader *l, const sl_node *node, sl_buffer *out) {
    if (!node || sl_yaml_is_empty(node))
        return;
    sl_buffer_text(out, "    schema: ");
    if (node->kind == SL_NODE_MAP || node->text[strspn(node->text, " \t\r\n")] == '{') {
        sl_yaml_json(node, true, out);
    } else {
        show_text(sl_loader_path(l, node), out);
    }
    sl_buffer_text(out, "\n");
}

static void show_item(const sl_step_item *item, sl_buffer *out) {
    sl_buffer_json_string(out, item->name, strlen(item->name)); /* A key: its `$` stays single. */
    sl_buffer_text(out, ": ");
    show_text(item->text, out);
}

static void show_data(const sl_step_definition *d, sl_buffer *out) {
    const char *from = d->kind == SL_STEP_GEOIP ? "ip" : d->kind == SL_STEP_LOOKUP ? "on" : "from";
    const char *source = d->kind == SL_STEP_GEOIP ? "database" : d->kind == SL_STEP_LOOKUP ? "table" : "regexes";
    sl_buffer_printf(out, "{ %s: ", from);
    show_text(d->from, out);
    if (d->source != NULL) {
        sl_buffer_printf(out, ", %s: ", source);
        show_text(d->source, out);
    }
    sl_buffer_text(out, ", into: ");
    show_text(d->into, out);
    if (d->refresh_us != 0) {
        char text[32];
        sl_duration_format(d->refresh_us, text);
        sl_buffer_printf(out, ", refresh: %s", text);
    }
    sl_buffer_text(out, " }\n");
}

static void show_steps(const sl_config_stream *s, sl_buffer *out) {
    if (s->step_count != 0)
        sl_buffer_text(out, "    steps:\n");
    for (uint32_t i = 0; i < s->step_count; i++) {
        const sl_step_definition *d = &s->steps[i];
        sl_buffer_printf(out, "      - %s: ", sl_step_name(d->kind));
        if (d->from != NULL) {
            show_data(d, out);
            continue;
        }
        bool map = d->items[0].text != NULL && d->kind != SL_STEP_WHERE;
        if (d->kind == SL_STEP_HASH)
            sl_buffer_text(out, "{ salt: \"***\", fields: ");
        sl_buffer_text(out, d->kind == SL_STEP_WHERE ? "" : map ? "{ " : "[");
        for (uint32_t k = 0; k < d->count; k++) {
            sl_buffer_text(out, k != 0 ? ", " : "");
            if (map)
                show_item(&d->items[k], out);
            else
                show_text(d->kind == SL_STEP_WHERE ? d->items[k].text : d->items[k].name, out);
        }
        sl_buffer_text(out, d->kind == SL_STEP_WHERE ? "" : map ? " }" : "]");
        sl_buffer_text(out, d->kind == SL_STEP_HASH ? " }\n" : "\n");
    }
}

static void show_key(const char *name, sl_buffer *out) {
    /* A key is not expanded, so its `$` stays single. */
    sl_buffer_text(out, "  ");
    if (is_bare(name))
        sl_buffer_text(out, name);
    else
        sl_buffer_json_string(out, name, strlen(name));
    sl_buffer_text(out, ":\n");
}

void sl_loader_show(sl_loader *l, sl_buffer *out) {
    const sl_config *c = l->config;
    show_scope(SL_SCOPE_ROOT, c, 0, true, true, out);
    const sl_node *node = sl_yaml_child(l->tree.root, "streams");
    node = c->stream_count && node ? node->first : NULL;
    if (node)
        sl_buffer_text(out, "streams:\n");
    for (uint32_t i = 0; node && i < c->stream_count; i++, node = node->next) {
        show_key(c->streams[i].name, out);
        show_schema(l, sl_yaml_child(node, "schema"), out);
        show_scope(SL_SCOPE_STREAM, &c->streams[i], 2, c->streams[i].has_lake,
                   c->streams[i].warehouse.name, out);
        show_steps(&c->streams[i], out);
    }
    if (c->file_count + c->kafka_count)
        sl_buffer_text(out, "sources:\n");
    for (uint32_t i = 0; i < c->file_count; i++) {
        show_key(c->files[i].name, out);
        show_scope(SL_SCOPE_FILE, &c->files[i], 2, true, true, out);
    }
    for (uint32_t i = 0; i < c->kafka_count; i++) {
        show_key(c->kafkas[i].name, out);
        show_scope(SL_SCOPE_KAFKA, &c->kafkas[i], 2, true, true, out);
    }
    if (c->lookup_count)
        sl_buffer_text(out, "lookups:\n");
    for (uint32_t i = 0; i < c->lookup_count; i++) {
        show_key(c->lookups[i].name, out);
        show_scope(SL_SCOPE_LOOKUP, &c->lookups[i], 2, true, true, out);
    }
    if (c->window_count)
        sl_buffer_text(out, "windows:\n");
    for (uint32_t i = 0; i < c->window_count; i++) {
        const sl_window_definition *d = &c->windows[i].definition;
        show_key(d->name, out);
        show_scope(SL_SCOPE_WINDOW, &c->windows[i], 2, true, true, out);
        sl_buffer_text(out, "    measures:\n");
        for (uint32_t k = 0; k < d->measure_count; k++) {
            sl_buffer_printf(out, "      %s: ", d->measures[k].name);
            show_text(d->measures[k].text, out);
            sl_buffer_text(out, "\n");
        }
    }
}
