#include "sluice/message.h"

#include "sluice/buffer.h"
#include "sluice/time.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static _Atomic int level_max = SL_LEVEL_INFO;
static _Atomic bool as_json, with_prefix;

void sl_message_configure(sl_level level, bool json, bool journald_prefix) {
    atomic_store(&level_max, (int)level);
    atomic_store(&as_json, json);
    atomic_store(&with_prefix, journald_prefix);
}

static const char *const names[] = {"error", "warn", "info", "debug"};
/* sd-daemon(3): "<N>" in front of a line is its syslog priority. */
static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};

typedef struct pair {
    const char *key, *value;
    size_t key_length, value_length;
    bool quoted;
} pair;

/* Texts of others stand between quotes and may hold some: the one that ends a value is followed by a key, or by nothing. */
static const char *closing_quote(const char *text) {
    for (const char *quote = strchr(text, '"'); quote != NULL; quote = strchr(quote + 1, '"')) {
        if (quote[1] == 0)
            return quote;
        size_t key = quote[1] == ' ' ? strspn(quote + 2, "abcdefghijklmnopqrstuvwxyz_") : 0;
        if (key != 0 && quote[2 + key] == '=')
            return quote;
    }
    return text + strlen(text); /* Cut off. */
}

/* The next of key=value, separated by spaces; a value in quotes keeps its spaces. @return what follows, or NULL at the end. */
static const char *next_pair(const char *text, pair *out) {
    text += strspn(text, " ");
    const char *equals = strchr(text, '=');
    if (equals == NULL)
        return NULL;
    out->key = text;
    out->key_length = (size_t)(equals - text);
    out->quoted = equals[1] == '"';
    out->value = equals + 1 + out->quoted;
    const char *end = out->quoted ? closing_quote(out->value) : out->value + strcspn(out->value, " ");
    out->value_length = (size_t)(end - out->value);
    return end + (out->quoted && *end != 0);
}

static void json_members(sl_buffer *out, const char *text) {
    for (pair p; (text = next_pair(text, &p)) != NULL;) {
        sl_buffer_byte(out, ',');
        sl_buffer_json_string(out, p.key, p.key_length);
        sl_buffer_byte(out, ':');
        sl_buffer_json_string(out, p.value, p.value_length);
    }
}

static void text_pairs(sl_buffer *out, const char *text) {
    for (pair p; (text = next_pair(text, &p)) != NULL;) {
        sl_buffer_printf(out, " %.*s=%s", (int)p.key_length, p.key, p.quoted ? "\"" : "");
        for (size_t i = 0; i < p.value_length; i++) {
            if (p.quoted && (p.value[i] == '"' || p.value[i] == '\\'))
                sl_buffer_byte(out, '\\');
            sl_buffer_byte(out, (uint8_t)p.value[i]);
        }
        if (p.quoted)
            sl_buffer_byte(out, '"');
    }
}

void sl_message(sl_level level, const char *area, const char *event, const char *format, ...) {
    if ((int)level > atomic_load(&level_max))
        return;
    char pairs[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(pairs, sizeof pairs, format, arguments);
    va_end(arguments);
    for (char *c = pairs; *c != 0; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    char when[40];
    (void)sl_time_format(sl_wall_us(), when);
    sl_buffer line = SL_BUFFER_EMPTY;
    if (atomic_load(&with_prefix))
        sl_buffer_text(&line, priorities[level]);
    if (atomic_load(&as_json)) {
        sl_buffer_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"area\":\"%s\",\"event\":", when,
                         names[level], area);
        sl_buffer_json_string(&line, event, strlen(event));
        json_members(&line, pairs);
        sl_buffer_text(&line, "}\n");
    } else {
        if (!atomic_load(&with_prefix))
            sl_buffer_printf(&line, "time=%s ", when);
        sl_buffer_printf(&line, "level=%s area=%s event=\"%s\"", names[level], area, event);
        text_pairs(&line, pairs);
        sl_buffer_byte(&line, '\n');
    }
    /* Nobody can be told when stderr itself fails. */
    if (!line.failed && write(STDERR_FILENO, line.bytes, line.length) < 0) {
    }
    sl_buffer_fini(&line);
}
