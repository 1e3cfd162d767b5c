#include "ini.h"

#include <string.h>

typedef struct span {
    const char *begin, *end;
} span;

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static span trim(span s) {
    while (s.begin < s.end && blank(*s.begin))
        s.begin++;
    while (s.end > s.begin && blank(s.end[-1]))
        s.end--;
    return s;
}

/** Up to a '#' or ';' that follows a blank. */
static span without_comment(span s) {
    for (const char *c = s.begin; c < s.end; c++)
        if ((*c == '#' || *c == ';') && c > s.begin && blank(c[-1])) {
            s.end = c;
            break;
        }
    return trim(s);
}

/** Blanks inside are one blank, quotes around the last word are taken off: `profile  "two"` is `profile two`. */
static char *section_name(sl_arena *arena, span s) {
    char *name = sl_arena_get(arena, (size_t)(s.end - s.begin) + 1), *to = name;
    if (name == NULL)
        return NULL;
    for (const char *c = s.begin; c < s.end; c++) {
        if (*c == '"' || *c == '\'')
            continue;
        if (blank(*c) && blank(c[1]))
            continue;
        *to++ = blank(*c) ? ' ' : *c;
    }
    *to = 0;
    return name;
}

static sl_status add(sl_aws_ini *ini, sl_arena *arena, const char *section, const char *key, const char *value) {
    sl_aws_setting *setting = sl_arena_get(arena, sizeof *setting);
    if (setting == NULL)
        return SL_ENOMEM;
    *setting = (sl_aws_setting){ini->settings, section, key, value};
    ini->settings = setting;
    return SL_OK;
}

static sl_status read_section(sl_aws_ini *ini, sl_arena *arena, span line, const char **section) {
    const char *end = memchr(line.begin, ']', (size_t)(line.end - line.begin));
    if (end == NULL)
        return SL_ESYNTAX;
    span rest = trim((span){end + 1, line.end});
    if (rest.begin < rest.end && *rest.begin != '#' && *rest.begin != ';')
        return SL_ESYNTAX;
    span name = trim((span){line.begin + 1, end});
    if (name.begin == name.end)
        return SL_ESYNTAX;
    *section = section_name(arena, name);
    if (*section == NULL)
        return SL_ENOMEM;
    return (*section)[0] == 0 ? SL_ESYNTAX : add(ini, arena, *section, "", "");
}

static sl_status read_setting(sl_aws_ini *ini, sl_arena *arena, span line, const char *section) {
    const char *equals = memchr(line.begin, '=', (size_t)(line.end - line.begin));
    if (equals == NULL || section == NULL)
        return SL_ESYNTAX;
    span key = trim((span){line.begin, equals});
    /* The blank before a comment may be the one after '='. */
    span value = trim(without_comment((span){equals, line.end}));
    value = trim((span){equals + 1, value.end > equals ? value.end : equals + 1});
    if (key.begin == key.end)
        return SL_ESYNTAX;
    char *name = sl_arena_strndup(arena, key.begin, (size_t)(key.end - key.begin));
    char *text = sl_arena_strndup(arena, value.begin, (size_t)(value.end - value.begin));
    if (name == NULL || text == NULL)
        return SL_ENOMEM;
    for (char *c = name; *c != 0; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    return add(ini, arena, section, name, text);
}

sl_status sl_aws_ini_read(sl_aws_ini *ini, sl_arena *arena, const char *text, size_t length, sl_error *error) {
    const char *section = NULL, *end = text + length;
    ptrdiff_t indent = -1; /* Of the last setting; deeper lines belong to it. */
    unsigned number = 0;
    if (length > 0 && memchr(text, 0, length) != NULL)
        return sl_error_set(error, SL_ESYNTAX, "a 0 byte: this is no text");
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    for (const char *next; text < end; text = next) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        next = stop != NULL ? stop + 1 : end;
        span line = trim((span){text, stop != NULL ? stop : end});
        number++;
        if (line.begin == line.end || *line.begin == '#' || *line.begin == ';')
            continue;
        sl_status status = SL_OK;
        if (indent >= 0 && line.begin - text > indent)
            continue;
        if (*line.begin == '[') {
            indent = -1;
            status = read_section(ini, arena, line, &section);
        } else {
            indent = line.begin - text;
            status = read_setting(ini, arena, line, section);
        }
        if (status == SL_ESYNTAX)
            return sl_error_set(error, status, "line %u is neither [section] nor key = value", number);
        if (status != SL_OK)
            return sl_error_set(error, status, "out of memory");
    }
    return SL_OK;
}

const char *sl_aws_ini_get(const sl_aws_ini *ini, const char *prefix, const char *name, const char *key) {
    size_t length = strlen(prefix);
    for (const sl_aws_setting *s = ini->settings; s != NULL; s = s->next)
        if (strcmp(s->key, key) == 0 && strncmp(s->section, prefix, length) == 0 &&
            strcmp(s->section + length, name) == 0)
            return s->value;
    return NULL;
}
