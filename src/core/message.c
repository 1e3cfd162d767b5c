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

/* The pairs of `text`, key=value separated by spaces, as JSON members. A value in quotes keeps its spaces. */
static void members(sl_buffer *out, const char *text) {
    while (*text != 0) {
        while (*text == ' ')
            text++;
        const char *equals = strchr(text, '=');
        if (equals == NULL)
            return;
        sl_buffer_byte(out, ',');
        sl_buffer_json_string(out, text, (size_t)(equals - text));
        sl_buffer_byte(out, ':');
        const char *value = equals + 1, *end;
        if (*value == '"' && (end = strchr(value + 1, '"')) != NULL) {
            sl_buffer_json_string(out, value + 1, (size_t)(end - value - 1));
            text = end + 1;
        } else {
            end = value + strcspn(value, " ");
            sl_buffer_json_string(out, value, (size_t)(end - value));
            text = end;
        }
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
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    char when[40];
    (void)sl_time_format((int64_t)now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000, when);
    sl_buffer line = SL_BUFFER_EMPTY;
    if (atomic_load(&with_prefix))
        sl_buffer_text(&line, priorities[level]);
    if (atomic_load(&as_json)) {
        sl_buffer_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"area\":\"%s\",\"event\":", when,
                         names[level], area);
        sl_buffer_json_string(&line, event, strlen(event));
        members(&line, pairs);
        sl_buffer_text(&line, "}\n");
    } else {
        if (!atomic_load(&with_prefix))
            sl_buffer_printf(&line, "time=%s ", when);
        sl_buffer_printf(&line, "level=%s area=%s event=\"%s\"%s%s\n", names[level], area, event,
                         pairs[0] != 0 ? " " : "", pairs);
    }
    /* Nobody can be told when stderr itself fails. */
    if (!line.failed && write(STDERR_FILENO, line.bytes, line.length) < 0) {
    }
    sl_buffer_fini(&line);
}
