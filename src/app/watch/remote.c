#include "private.h"

#include "sluice/config.h"

#include <jansson.h>
#include <stdio.h>

extern char **environ;

static void no_warning(void *context, const char *message) {
    (void)context;
    (void)message; /* The daemon has said it. */
}

int watch_address(const char *url, const char *config, sl_buffer *base, sl_buffer *cert) {
    if (url != NULL) {
        bool whole = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
        sl_buffer_printf(base, "%s%s", whole ? "" : "http://", url);
        while (base->length != 0 && base->bytes[base->length - 1] == '/')
            base->length--;
        return 0;
    }
    const sl_config_source source = {.path = config, .environment = (const char *const *)environ, .fixed_only = true};
    sl_config *c = NULL;
    sl_error error = {0};
    if (sl_config_load(&source, no_warning, NULL, &c, &error) != SL_OK) {
        (void)fprintf(stderr, "sluice: %s\n(--url http://HOST:PORT says where the daemon is, without a configuration)\n", error.text);
        return EXIT_CONFIGURATION;
    }
    const char *own = sl_config_admin_url(c, base);
    sl_buffer_text(cert, own != NULL ? own : "");
    sl_config_destroy(c);
    return 0;
}

void watch_refusal(const char *text, size_t length, sl_buffer *out) {
    json_t *reply = json_loadb(text, length, 0, NULL);
    const char *message = json_string_value(json_object_get(json_object_get(reply, "error"), "message"));
    if (message != NULL)
        sl_buffer_text(out, message);
    else
        for (size_t i = 0; i < length && text[i] != '\n' && i < 200; i++)
            sl_buffer_byte(out, (uint8_t)text[i]);
    json_decref(reply);
}

void watch_escape(const char *text, sl_buffer *out) {
    for (; *text != 0; text++) {
        bool plain = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     strchr("-._~", *text) != NULL;
        if (plain)
            sl_buffer_byte(out, (uint8_t)*text);
        else
            sl_buffer_printf(out, "%%%02X", (unsigned)(uint8_t)*text);
    }
}

static void new_line(sl_buffer *out, unsigned depth) {
    sl_buffer_byte(out, '\n');
    for (unsigned i = 0; i < depth; i++)
        sl_buffer_text(out, "  ");
}

void watch_indent(const char *json, size_t length, sl_buffer *out) {
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        char c = json[i], next = i + 1 < length ? json[i + 1] : 0;
        bool opens = !quoted && (c == '{' || c == '['), closes = !quoted && (c == '}' || c == ']');
        if (closes && depth != 0 && i != 0 && json[i - 1] != '{' && json[i - 1] != '[')
            new_line(out, depth - 1);
        sl_buffer_byte(out, (uint8_t)c);
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\' && next != 0)
            sl_buffer_byte(out, (uint8_t)json[++i]);
        if (closes && depth != 0)
            depth--;
        if (opens)
            depth++;
        if ((opens && next != '}' && next != ']') || (!quoted && c == ','))
            new_line(out, depth);
        if (!quoted && c == ':')
            sl_buffer_byte(out, ' ');
    }
}
