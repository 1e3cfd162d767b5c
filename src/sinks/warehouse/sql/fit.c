/* Values that the live table can't take as they are. Everything else passes untouched. */
#include "private.h"

enum { REDSHIFT_TEXT_BYTES = 65535 };

static size_t characters(const uint8_t *text, size_t length) {
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += (text[i] & 0xc0) != 0x80;
    return count;
}

/* Bytes of the first `count` characters. */
static size_t bytes_of(const uint8_t *text, size_t length, size_t count) {
    size_t i = 0;
    for (; i < length; i++)
        if ((text[i] & 0xc0) != 0x80 && count-- == 0)
            break;
    return i;
}

/* The limit in bytes or characters; 0: none. */
static size_t text_limit(sl_dialect dialect, const sl_live_column *live) {
    if (live != NULL && live->length > 0)
        return (size_t)live->length;
    return dialect == SL_DIALECT_REDSHIFT ? REDSHIFT_TEXT_BYTES : 0;
}

static bool too_long(sl_dialect dialect, const sl_value *v, size_t limit) {
    if (limit == 0 || v->as.text.length <= limit)
        return false;
    return dialect != SL_DIALECT_POSTGRES ||
           characters(v->as.text.bytes, v->as.text.length) > limit;
}

/* Takes `text`, and frees it. */
static sl_status replace(sl_value *value, sl_buffer *text, sl_arena *scratch,
                         bool *changed) {
    uint8_t *copy = text->failed ? NULL : sl_arena_get(scratch, text->length + 1);
    if (copy != NULL) {
        memcpy(copy, text->bytes, text->length);
        value->as.text.bytes = copy;
        value->as.text.length = text->length;
        *changed = true;
    }
    sl_buffer_fini(text);
    return copy == NULL ? SL_ENOMEM : SL_OK;
}

static sl_status without_nul(sl_value *value, sl_arena *scratch, bool *changed) {
    sl_buffer text = SL_BUFFER_EMPTY;
    for (size_t i = 0; i < value->as.text.length; i++) {
        if (value->as.text.bytes[i] == 0)
            sl_buffer_text(&text, "\xef\xbf\xbd");
        else
            sl_buffer_byte(&text, value->as.text.bytes[i]);
    }
    return replace(value, &text, scratch, changed);
}

static sl_status fit_string(sl_dialect dialect, const sl_live_column *live,
                            sl_fit_policy policy, sl_value *value, sl_arena *scratch,
                            bool *changed) {
    if (value->as.text.length != 0 &&
        memchr(value->as.text.bytes, 0, value->as.text.length) != NULL) {
        sl_status status = without_nul(value, scratch, changed);
        if (status != SL_OK)
            return status;
    }
    size_t limit = text_limit(dialect, live);
    if (!too_long(dialect, value, limit))
        return SL_OK;
    if (policy == SL_FIT_DEAD_LETTER)
        return SL_ELIMIT;
    value->as.text.length =
        dialect == SL_DIALECT_POSTGRES
            ? bytes_of(value->as.text.bytes, value->as.text.length, limit)
            : sl_utf8_within(value->as.text.bytes, value->as.text.length, limit);
    *changed = true;
    return SL_OK;
}

static sl_status fit_json(sl_dialect dialect, const sl_live_column *live,
                          sl_fit_policy policy, sl_value *value, sl_arena *scratch,
                          bool *changed) {
    size_t limit = text_limit(dialect, live);
    bool text = live != NULL && strcmp(live->type, "jsonb") != 0 &&
                strcmp(live->type, "super") != 0;
    const uint8_t *bytes = value->as.text.bytes;
    size_t length = value->as.text.length;
    sl_buffer wrapped = SL_BUFFER_EMPTY;
    if (!text && !sl_json_storable(bytes, length)) {
        sl_json_wrap(&wrapped, bytes, length, 0);
        sl_status status = replace(value, &wrapped, scratch, changed);
        if (status != SL_OK)
            return status;
    }
    if (!too_long(dialect, value, limit))
        return SL_OK;
    if (policy == SL_FIT_DEAD_LETTER)
        return SL_ELIMIT;
    sl_json_wrap(&wrapped, bytes, length, limit);
    return replace(value, &wrapped, scratch, changed);
}

sl_status sl_warehouse_fit(sl_dialect dialect, const sl_live_column *live,
                           sl_fit_policy policy, sl_value *value, sl_arena *scratch,
                           bool *changed) {
    *changed = false;
    if (value->null)
        return SL_OK;
    if (value->type == SL_TYPE_STRING)
        return fit_string(dialect, live, policy, value, scratch, changed);
    if (value->type == SL_TYPE_JSON)
        return fit_json(dialect, live, policy, value, scratch, changed);
    return SL_OK;
}
