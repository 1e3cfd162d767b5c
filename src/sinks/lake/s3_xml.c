#include "s3_xml.h"

enum { DEPTH_MAX = 16 };

typedef struct slice {
    const char *at;
    size_t length;
} slice;

typedef struct scanner {
    const char *start, *at, *end;
    slice open[DEPTH_MAX]; /* Whole names, prefix included: an end tag must repeat it. */
    bool parents[DEPTH_MAX]; /* Has an element within. */
    unsigned depth;
    bool done; /* The root has ended. */
    sl_buffer text;
    sl_s3_element_fn *each;
    void *context;
    sl_error *error;
} scanner;

static sl_status broken(scanner *s, const char *what) {
    return sl_error_set(s->error, SL_ESYNTAX, "XML, byte %zu: %s",
                        (size_t)(s->at - s->start), what);
}

static bool white(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static void skip_white(scanner *s) {
    while (s->at < s->end && white(*s->at))
        s->at++;
}

static bool starts(const scanner *s, const char *text) {
    size_t n = strlen(text);
    return (size_t)(s->end - s->at) >= n && memcmp(s->at, text, n) == 0;
}

/* Moves behind the next `text`. */
static bool skip_past(scanner *s, const char *text) {
    size_t n = strlen(text);
    for (; (size_t)(s->end - s->at) >= n; s->at++)
        if (memcmp(s->at, text, n) == 0) {
            s->at += n;
            return true;
        }
    return false;
}

/* Productions 4 and 4a, with every byte of UTF-8 beyond ASCII allowed. */
static bool name_byte(char c, bool first) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                  c == ':' || ((unsigned char)c & 0x80) != 0;
    return letter || (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

static bool take_name(scanner *s, slice *out) {
    out->at = s->at;
    while (s->at < s->end && name_byte(*s->at, s->at == out->at))
        s->at++;
    out->length = (size_t)(s->at - out->at);
    return out->length > 0;
}

static slice local(slice name) {
    for (size_t i = name.length; i > 0; i--)
        if (name.at[i - 1] == ':')
            return (slice){name.at + i, name.length - i};
    return name;
}

static void put_utf8(sl_buffer *out, uint32_t c) {
    if (c < 0x80) {
        sl_buffer_byte(out, (uint8_t)c);
        return;
    }
    if (c < 0x800)
        sl_buffer_byte(out, (uint8_t)(0xc0 | c >> 6));
    else {
        if (c < 0x10000)
            sl_buffer_byte(out, (uint8_t)(0xe0 | c >> 12));
        else {
            sl_buffer_byte(out, (uint8_t)(0xf0 | c >> 18));
            sl_buffer_byte(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        }
        sl_buffer_byte(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    sl_buffer_byte(out, (uint8_t)(0x80 | (c & 0x3f)));
}

/* 0 to 15, or 16 when it is no hexadecimal digit. */
static unsigned digit(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

/* `&#10;` or `&#xA;`, at the first character behind the '#'. Control characters are no
 * XML 1.0 characters (production 2), yet S3 has keys that hold them and writes them so.
 * Only 0 would end our text early. */
static bool take_reference(scanner *s, uint32_t *out) {
    unsigned base = 10;
    if (s->at < s->end && *s->at == 'x') {
        base = 16;
        s->at++;
    }
    uint32_t value = 0;
    const char *first = s->at;
    for (; s->at < s->end && *s->at != ';'; s->at++) {
        unsigned d = digit(*s->at);
        if (d >= base)
            return false;
        value = value * base + d;
        if (value > 0x10ffff)
            return false;
    }
    *out = value;
    return s->at < s->end && s->at++ > first && value != 0 &&
           (value < 0xd800 || value > 0xdfff);
}

static sl_status take_entity(scanner *s) {
    static const struct {
        const char *text;
        uint8_t c;
    } entities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (starts(s, entities[i].text)) {
            sl_buffer_byte(&s->text, entities[i].c);
            s->at += strlen(entities[i].text);
            return SL_OK;
        }
    uint32_t c;
    if (!starts(s, "&#"))
        return broken(s, "unknown entity");
    s->at += 2;
    if (!take_reference(s, &c))
        return broken(s, "bad character reference");
    put_utf8(&s->text, c);
    return SL_OK;
}

/* Up to the next '<'. */
static sl_status take_text(scanner *s) {
    while (s->at < s->end && *s->at != '<') {
        if (s->depth == 0 && !white(*s->at))
            return broken(s, "text outside of the document");
        if (*s->at == 0)
            return broken(s, "a zero byte");
        if (*s->at == '&') {
            sl_status status = take_entity(s);
            if (status != SL_OK)
                return status;
        } else
            sl_buffer_byte(&s->text, (uint8_t)*s->at++);
    }
    return SL_OK;
}

static sl_status ended(scanner *s) {
    slice name = local(s->open[s->depth - 1]);
    slice parent = s->depth > 1 ? local(s->open[s->depth - 2]) : (slice){"", 0};
    bool leaf = !s->parents[s->depth - 1];
    if (!leaf)
        sl_buffer_clear(&s->text);
    const char *text = sl_buffer_cstr(&s->text);
    if (s->text.failed)
        return sl_error_set(s->error, SL_ENOMEM, "XML: out of memory");
    const sl_s3_element element = {.depth = s->depth,
                                   .name = name.at,
                                   .name_length = name.length,
                                   .parent = parent.at,
                                   .parent_length = parent.length,
                                   .leaf = leaf,
                                   .text = text,
                                   .text_length = s->text.length};
    sl_status status = s->each(s->context, &element);
    sl_buffer_clear(&s->text);
    s->depth--;
    s->done = s->depth == 0;
    return status;
}

/* Attributes (production 41) are checked, and ignored: S3 names its namespace in one. */
static sl_status take_attributes(scanner *s) {
    for (;;) {
        const char *before = s->at;
        skip_white(s);
        if (s->at == s->end || *s->at == '>' || *s->at == '/')
            return SL_OK;
        slice name;
        if (s->at == before || !take_name(s, &name))
            return broken(s, "bad tag");
        skip_white(s);
        if (s->at == s->end || *s->at++ != '=')
            return broken(s, "an attribute without a value");
        skip_white(s);
        if (s->at == s->end || (*s->at != '"' && *s->at != '\''))
            return broken(s, "an attribute without quotes");
        char quote = *s->at++;
        while (s->at < s->end && *s->at != quote && *s->at != '<')
            s->at++;
        if (s->at == s->end || *s->at++ != quote)
            return broken(s, "an attribute without an end");
    }
}

static sl_status take_start(scanner *s) {
    slice name;
    s->at++;
    if (!take_name(s, &name) || local(name).length == 0)
        return broken(s, "bad tag");
    if (s->done)
        return broken(s, "a second document");
    if (s->depth == DEPTH_MAX)
        return sl_error_set(s->error, SL_ELIMIT, "XML: more than %d elements deep",
                            DEPTH_MAX);
    if (s->depth > 0)
        s->parents[s->depth - 1] = true;
    s->open[s->depth] = name;
    s->parents[s->depth++] = false;
    sl_buffer_clear(&s->text);
    sl_status status = take_attributes(s);
    if (status != SL_OK)
        return status;
    bool empty = starts(s, "/");
    s->at += empty;
    if (!starts(s, ">"))
        return broken(s, "bad tag");
    s->at++;
    return empty ? ended(s) : SL_OK;
}

static sl_status take_end(scanner *s) {
    slice name;
    s->at += 2;
    if (s->depth == 0 || !take_name(s, &name) ||
        name.length != s->open[s->depth - 1].length ||
        memcmp(name.at, s->open[s->depth - 1].at, name.length) != 0)
        return broken(s, "an end tag without its start");
    skip_white(s);
    if (!starts(s, ">"))
        return broken(s, "bad end tag");
    s->at++;
    return ended(s);
}

static sl_status take_markup(scanner *s) {
    if (starts(s, "</"))
        return take_end(s);
    if (starts(s, "<!--")) {
        s->at += 4;
        return skip_past(s, "-->") ? SL_OK : broken(s, "a comment without an end");
    }
    return take_start(s);
}

static sl_status scan(scanner *s) {
    skip_white(s);
    if (starts(s, "<?xml ") && !skip_past(s, "?>"))
        return broken(s, "a declaration without an end");
    while (s->at < s->end) {
        sl_status status = take_text(s);
        if (status == SL_OK && s->at < s->end)
            status = take_markup(s);
        if (status != SL_OK)
            return status;
    }
    return s->done ? SL_OK : broken(s, "cut off");
}

sl_status sl_s3_xml_scan(const char *xml, size_t length, sl_s3_element_fn *each,
                         void *context, sl_error *error) {
    static const char nothing[] = "";
    scanner s = {.each = each, .context = context, .error = error};
    s.start = s.at = xml != NULL ? xml : nothing;
    s.end = s.at + length;
    sl_status status = scan(&s);
    if (status == SL_OK && s.text.failed)
        status = sl_error_set(error, SL_ENOMEM, "XML: out of memory");
    sl_buffer_fini(&s.text);
    return status;
}

static bool same(const char *text, size_t length, const char *name) {
    return strlen(name) == length && memcmp(text, name, length) == 0;
}

bool sl_s3_element_is(const sl_s3_element *element, const char *name) {
    return same(element->name, element->name_length, name);
}

bool sl_s3_element_within(const sl_s3_element *element, const char *parent) {
    return same(element->parent, element->parent_length, parent);
}
