// A record's body to events, events to rows or rejects.
//
//   body   = '[' event *( ',' event ) ']' rest | rest      told apart by the first byte
//   rest   = *( event )                                    white space between, or none
//
// What follows an array's end is read like NDJSON. A broken event of an array takes the
// rest of the record with it: without its end nothing behind it can be trusted. Between
// the events of NDJSON stands a newline, which JSON allows in no string: the next event
// begins behind the next one.

#include "decoder.h"

#include <assert.h>
#include <stdio.h>

#define REJECTS_MAX 4096u
#define ARENA_FULL                                                                       \
    ((size_t)8 << 20) /**< A batch with a larger arena takes no further event. */
#define PATH_MAX_BYTES 512u

static_assert(sizeof(plan_entry) == 64, "an entry is a cache line");

static const kernel *best_kernel(sl_simd simd) {
    if (simd == SL_SIMD_SCALAR)
        return &sl_kernel_scalar;
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                __builtin_cpu_supports("bmi2");
    if (simd == SL_SIMD_SSE2 || (simd == SL_SIMD_AUTO && !avx2))
        return &sl_kernel_sse2;
    return avx2 ? &sl_kernel_avx2 : NULL;
#else
    return simd == SL_SIMD_AUTO ? &sl_kernel_scalar : NULL;
#endif
}

sl_status sl_decoder_create(const sl_schema *schema, const sl_decoder_options *options,
                            sl_decoder **out) {
    *out = NULL;
    const kernel *best = best_kernel(options->simd);
    if (best == NULL)
        return SL_EUNSUPPORTED;
    sl_decoder *decoder = sl_calloc(1, sizeof *decoder);
    if (decoder == NULL)
        return SL_ENOMEM;
    decoder->kernel = best;
    decoder->event_bytes_max = options->event_bytes_max;
    decoder->inferred = schema->inferred;
    decoder->frozen = schema->frozen;
    decoder->lenient = options->lenient;
    // Any true date will do; zeros would be taken for one.
    memcpy(&decoder->date_text, "1970-01-", 8);
    memcpy(&decoder->date_tail, "01", 2);
    sl_status status = sl_plan_make(decoder, schema);
    if (status == SL_OK && schema->inferred) {
        decoder->proposal_slots = sl_calloc(INFER_SLOTS, sizeof *decoder->proposal_slots);
        if (decoder->proposal_slots == NULL)
            status = SL_ENOMEM;
    }
    if (status != SL_OK) {
        sl_decoder_destroy(decoder);
        return status;
    }
    decoder->reference = sl_schema_ref(schema);
    *out = decoder;
    return SL_OK;
}

void sl_decoder_destroy(sl_decoder *decoder) {
    if (decoder == NULL)
        return;
    sl_decode_csv_forget(decoder);
    sl_plan_free(decoder);
    sl_free(decoder->rest);
    sl_free(decoder->rest_slots);
    sl_free(decoder->proposal_slots);
    sl_schema_unref(decoder->reference);
    sl_free(decoder);
}

// --- rejects

/** A JSON pointer (RFC 6901) that grows from its end to its front. */
typedef struct pointer {
    char bytes[PATH_MAX_BYTES];
    size_t at;
} pointer;

/** Put "/key" in front; keys that don't fit are cut, deepest last. */
static void pointer_push(pointer *p, const uint8_t *key, size_t length) {
    for (size_t i = length; i-- > 0 && p->at > 3;) {
        char c = (char)key[i];
        if (c == '~' || c == '/') {
            p->bytes[--p->at] = c == '~' ? '0' : '1';
            c = '~';
        }
        p->bytes[--p->at] = c;
    }
    if (p->at > 0)
        p->bytes[--p->at] = '/';
}

static sl_span failure_path(sl_decoder *decoder) {
    const failure *f = &decoder->failure;
    const sl_field *fields = decoder->schema->fields;
    pointer path = {.at = PATH_MAX_BYTES};
    uint32_t field = f->field;
    if (f->key != NULL) {
        uint8_t name[PATH_MAX_BYTES];
        size_t length = f->key_length - 2;
        // A key too long for the path is left out; the reject's position still shows it.
        if (length <= sizeof name)
            pointer_push(&path, name,
                         sl_text_unescape(f->key + 1, f->key + 1 + length, name));
        field = f->group->field;
    }
    for (; field != SL_NO_FIELD && field != 0; field = fields[field].parent)
        pointer_push(&path, (const uint8_t *)fields[field].name,
                     fields[field].name_length);
    return sl_batch_keep_text(decoder->batch, path.bytes + path.at,
                              PATH_MAX_BYTES - path.at);
}

static const char *value_name(const uint8_t *p, const uint8_t *end) {
    if (p >= end)
        return "nothing";
    switch (*p) {
    case '"':
        return "a string";
    case '{':
        return "an object";
    case '[':
        return "an array";
    case 't':
    case 'f':
        return "a boolean";
    case 'n':
        return "null";
    default:
        return "a number";
    }
}

static sl_span failure_message(sl_decoder *decoder, const char *place) {
    const failure *f = &decoder->failure;
    const sl_field *field =
        f->field == SL_NO_FIELD ? NULL : &decoder->schema->fields[f->field];
    const char *type = field == NULL                  ? "object"
                       : field->type == SL_TYPE_GROUP ? "object"
                                                      : sl_type_name(field->type);
    const char *found = value_name(f->at, decoder->end);
    char all[256], *text = all;
    int before = snprintf(all, sizeof all, "%s", place), length;
    before = before < 0 ? 0 : before >= (int)sizeof all ? (int)sizeof all - 1 : before;
    const size_t room = sizeof all - (size_t)before;
    text += before;
    switch (f->text != NULL ? SL_CODE_NONE : (int)f->code) {
    case SL_CODE_TOO_LARGE:
        length =
            snprintf(text, room, "larger than %u bytes", decoder->event_bytes_max);
        break;
    case SL_CODE_TOO_DEEP:
        length =
            snprintf(text, room, "nested deeper than %u levels", SL_DEPTH_MAX);
        break;
    case SL_CODE_TYPE:
    case SL_CODE_NOT_AN_OBJECT:
        length = snprintf(text, room, "expected %s, found %s", type, found);
        break;
    case SL_CODE_RANGE:
        length = snprintf(text, room, "number does not fit %s", type);
        break;
    case SL_CODE_FORMAT:
        length = snprintf(text, room, "not a valid %s", type);
        break;
    case SL_CODE_REQUIRED:
        length = snprintf(text, room, "required member is missing");
        break;
    case SL_CODE_NULL:
        length = snprintf(text, room, "null is not allowed");
        break;
    case SL_CODE_ADDITIONAL:
        length = snprintf(text, room, "member is not in the schema");
        break;
    default:
        length = snprintf(text, room, "%s", f->text == NULL ? "broken" : f->text);
        break;
    }
    size_t written = length < 0 ? 0 : (size_t)length < room ? (size_t)length : room - 1;
    return sl_batch_keep_text(decoder->batch, all, (size_t)before + written);
}

mark sl_decode_mark(const sl_decoder *decoder) {
    const sl_batch *batch = decoder->batch;
    return (mark){.arena = batch->arena.length,
                  .proposals = batch->proposal_count,
                  .drift = batch->drift};
}

bool sl_decode_undo(sl_decoder *decoder, const mark *before) {
    sl_batch *batch = decoder->batch;
    bool failed = batch->arena.failed || decoder->no_memory;
    for (uint32_t f = 1; f < decoder->schema->count; f++)
        decoder->columns[f].valid[decoder->row] = 0;
    batch->arena.length = before->arena;
    batch->drift = before->drift;
    if (decoder->inferred)
        sl_infer_rollback(decoder, before->proposals);
    return !failed;
}

/* Mistakes come in crowds: what was said of the last one is said of this one without a text of its own. */
static sl_span said_once(sl_batch *batch, sl_span text) {
    const sl_reject *last = batch->reject_count != 0 ? &batch->rejects[batch->reject_count - 1] : NULL;
    if (last == NULL || batch->arena.failed || last->message.length != text.length ||
        memcmp(sl_batch_text(batch, last->message), sl_batch_text(batch, text), text.length) != 0)
        return text;
    batch->arena.length -= text.length;
    return last->message;
}

sl_status sl_decode_reject(sl_decoder *decoder, sl_decode_input *input, const uint8_t *begin,
                           const uint8_t *end, uint32_t at, const char *place) {
    sl_reject r = {.record = input->record,
                   .index = input->index,
                   .begin = (uint32_t)(begin - decoder->batch->raw),
                   .length = (uint32_t)(end - begin),
                   .at = at,
                   .code = decoder->failure.code};
    r.path = failure_path(decoder);
    r.message = said_once(decoder->batch, failure_message(decoder, place));
    if (decoder->batch->arena.failed || !sl_batch_reject(decoder->batch, &r))
        return SL_ENOMEM;
    input->rejected++;
    input->index++;
    return SL_OK;
}

static sl_status reject(sl_decoder *decoder, sl_decode_input *input, const uint8_t *begin,
                        const uint8_t *end) {
    const uint8_t *at = decoder->failure.at;
    return sl_decode_reject(decoder, input, begin, end,
                            (uint32_t)((at > end ? end : at) - begin), "");
}

// --- one event

static bool is_broken(sl_code code) {
    return code == SL_CODE_SYNTAX || code == SL_CODE_TOO_DEEP;
}

static const uint8_t *skip_spaces(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/**
 * The end of an event whose syntax is broken at `at`: the newline before the first line
 * that can begin another event (it begins with '{'), or else the first newline from `at`
 * on.
 */
static const uint8_t *broken_end(const uint8_t *begin, const uint8_t *at,
                                 const uint8_t *end) {
    const uint8_t *p = begin;
    for (;;) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (p == NULL)
            return end;
        if (p >= at || (p + 1 < end && p[1] == '{'))
            return p;
        p++;
    }
}

/** In an array an object that is only too deep has an end: count brackets outside
 * strings. */
static const uint8_t *deep_end(const uint8_t *p, const uint8_t *end) {
    size_t depth = 0;
    for (bool string = false; p < end; p++) {
        if (string) {
            if (*p == '\\')
                p++;
            else if (*p == '"')
                string = false;
        } else if (*p == '"') {
            string = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if ((*p == '}' || *p == ']') && --depth == 0) {
            return p + 1;
        }
    }
    return NULL;
}

static sl_status refuse(sl_decoder *decoder, sl_decode_input *input, const uint8_t *begin,
                        const uint8_t **next) {
    const uint8_t *end = decoder->end;
    failure first = decoder->failure;
    if (!is_broken(first.code)) {
        // The members behind the failure weren't looked at: is the whole event JSON at
        // all?
        end = decoder->kernel->skip(decoder, begin, 0);
        if (end != NULL) {
            decoder->failure = first;
            *next = end;
            return reject(decoder, input, begin, end);
        }
    }
    const bool array = input->array;
    end = array && decoder->failure.code == SL_CODE_TOO_DEEP
              ? deep_end(begin, decoder->end)
              : NULL;
    if (end == NULL && array) {
        input->array = false;
        end = decoder->end;
    } else if (end == NULL) {
        end = broken_end(begin, decoder->failure.at, decoder->end);
    }
    *next = end;
    while (!array && end > begin && end[-1] == '\r')
        end--;
    return reject(decoder, input, begin, end);
}

void sl_decode_accept(sl_decoder *decoder, sl_decode_input *input, const uint8_t *begin,
                      const uint8_t *end) {
    sl_batch *batch = decoder->batch;
    uint32_t row = decoder->row;
    batch->row_record[row] = input->record;
    batch->row_begin[row] = (uint32_t)(begin - batch->raw);
    batch->row_length[row] = (uint32_t)(end - begin);
    sl_batch_set_index(batch, row, input->index);
    batch->verdict[row] = SL_VERDICT_KEEP;
    batch->rows = row + 1;
    input->accepted++;
    input->index++;
}

/** A value at `begin`, where an event should be. @return its end, NULL: see failure. */
static const uint8_t *read_value(sl_decoder *decoder, const uint8_t *begin) {
    const uint8_t *end;
    if (LIKELY(*begin == '{')) {
        end = decoder->kernel->event(decoder, begin);
    } else {
        end = decoder->kernel->skip(decoder, begin, 0);
        if (end == NULL)
            return NULL;
        bool apart = end == decoder->end || memchr(" \t\r\n,]", *end, 6) != NULL;
        if (apart || *begin == '[')
            return sl_decode_fail(decoder, SL_CODE_NOT_AN_OBJECT, begin, NULL);
        return sl_decode_fail(decoder, SL_CODE_SYNTAX, end, "no space between values");
    }
    if (end == NULL)
        return NULL;
    if (UNLIKELY(decoder->event_bytes_max != 0 &&
                 (size_t)(end - begin) > decoder->event_bytes_max))
        return sl_decode_fail(decoder, SL_CODE_TOO_LARGE, begin, NULL);
    return end;
}

void sl_decode_begin(sl_decoder *decoder) {
    decoder->row = decoder->batch->rows;
    decoder->seen[0] = 0;
    if (UNLIKELY(decoder->seen_words > 1))
        memset(decoder->seen, 0, decoder->seen_words * sizeof *decoder->seen);
    if (UNLIKELY(decoder->rest_used))
        sl_rest_forget(decoder);
}

static sl_status one_event(sl_decoder *decoder, sl_decode_input *input,
                           const uint8_t **p) {
    sl_batch *batch = decoder->batch;
    const uint8_t *begin = *p;
    mark before = sl_decode_mark(decoder);
    sl_decode_begin(decoder);
    const uint8_t *end = read_value(decoder, begin);
    /* Not by a look, which refuses nothing for what its values are: the event's own stream does. */
    if (UNLIKELY(batch->records[input->record].format.kind == SL_FORMAT_CLOUDEVENTS) && end != NULL && !decoder->lenient &&
        !sl_decode_cloudevent(decoder, begin)) {
        *p = end;
        return sl_decode_undo(decoder, &before) ? reject(decoder, input, begin, end) : SL_ENOMEM;
    }
    if (LIKELY(end != NULL)) {
        if (UNLIKELY(decoder->rest_count != 0))
            sl_rest_write(decoder);
        sl_decode_accept(decoder, input, begin, end);
        *p = end;
        return batch->arena.failed || decoder->no_memory ? SL_ENOMEM : SL_OK;
    }
    return sl_decode_undo(decoder, &before) ? refuse(decoder, input, begin, p) : SL_ENOMEM;
}

// --- the record

static sl_status broken_array(sl_decoder *decoder, sl_decode_input *input,
                              const uint8_t **p, const char *text) {
    sl_decode_fail(decoder, SL_CODE_SYNTAX, *p, text);
    const uint8_t *begin = *p;
    *p = decoder->end;
    input->array = false;
    return reject(decoder, input, begin, decoder->end);
}

/** Behind an array's event: a comma or the end. */
static sl_status after_event(sl_decoder *decoder, sl_decode_input *input,
                             const uint8_t **p) {
    const uint8_t *at = skip_spaces(*p, decoder->end);
    *p = at;
    if (at < decoder->end && *at == ',') {
        *p = at + 1;
        return SL_OK;
    }
    if (at < decoder->end && *at == ']') {
        *p = at + 1;
        input->array = false;
        return SL_OK;
    }
    return broken_array(decoder, input, p, "no ',' or ']'");
}

bool sl_decode_is_full(const sl_batch *batch) {
    return batch->rows == batch->capacity || batch->reject_count >= REJECTS_MAX ||
           batch->arena.length > ARENA_FULL;
}

static sl_status start(sl_decoder *decoder, sl_decode_input *input, const uint8_t **p) {
    input->started = true;
    *p = skip_spaces(*p, decoder->end);
    if (*p == decoder->end) {
        sl_decode_fail(decoder, SL_CODE_SYNTAX, *p, "empty body");
        return reject(decoder, input, decoder->end, decoder->end);
    }
    if (**p != '[')
        return SL_OK;
    const uint8_t *first = skip_spaces(*p + 1, decoder->end);
    input->array = first == decoder->end || *first != ']';
    *p = input->array ? first : first + 1;
    return SL_OK;
}

static sl_status events(sl_decoder *decoder, sl_decode_input *input, const uint8_t **p) {
    sl_status status = SL_OK;
    if (!input->started) {
        if (sl_decode_is_full(decoder->batch))
            return SL_EFULL;
        status = start(decoder, input, p);
    }
    while (status == SL_OK) {
        *p = skip_spaces(*p, decoder->end);
        if (*p == decoder->end && !input->array)
            return SL_OK;
        if (sl_decode_is_full(decoder->batch))
            return SL_EFULL;
        if (*p == decoder->end)
            return broken_array(decoder, input, p, "array is not closed");
        status = one_event(decoder, input, p);
        if (status == SL_OK && input->array)
            status = after_event(decoder, input, p);
    }
    return status;
}

static void begin(sl_decoder *decoder, sl_batch *batch, const uint8_t *end) {
    assert(batch->schema == decoder->schema);
    decoder->batch = batch;
    decoder->raw = batch->raw;
    decoder->base = 0;
    decoder->columns = batch->columns;
    decoder->end = end;
    decoder->no_memory = false;
    if (decoder->inferred)
        sl_infer_begin(decoder);
}

sl_status sl_decode(sl_decoder *decoder, sl_batch *batch, sl_decode_input *input) {
    const sl_record *record = &batch->records[input->record];
    assert(input->at <= record->length);
    const uint8_t *body = batch->raw + record->body;
    const uint8_t *p = body + input->at;
    begin(decoder, batch, body + record->length);
    if (!sl_format_is_json(record->format))
        return sl_decode_csv(decoder, input);
    sl_status status = events(decoder, input, &p);
    input->at = (uint32_t)(p - body);
    return status;
}

sl_status sl_decode_event(sl_decoder *decoder, sl_batch *batch, const sl_decode_place *place,
                          bool *kept) {
    if (sl_decode_is_full(batch))
        return SL_EFULL;
    const uint8_t *p = batch->raw + place->begin;
    begin(decoder, batch, p + place->length);
    // As in an array, where a refused event never ends at a newline within it.
    sl_decode_input input = {
        .record = place->record, .index = place->index, .array = true, .started = true, .names = place->names};
    sl_status status = sl_format_is_json(batch->records[place->record].format)
                           ? one_event(decoder, &input, &p)
                           : sl_decode_csv_row(decoder, &input, p, place->length);
    *kept = input.accepted != 0;
    return status;
}

// The portable kernel reads nothing behind the end when it only skips, so no padding is
// needed.
bool sl_json_valid(const uint8_t *bytes, size_t length, size_t *error_at) {
    sl_decoder decoder = {
        .kernel = &sl_kernel_scalar, .raw = bytes, .end = bytes + length};
    const uint8_t *p = skip_spaces(bytes, decoder.end);
    const uint8_t *end = sl_kernel_scalar.skip(&decoder, p, 0);
    const uint8_t *at = end == NULL ? decoder.failure.at : skip_spaces(end, decoder.end);
    if (end != NULL && at == decoder.end)
        return true;
    if (error_at != NULL)
        *error_at = (size_t)(at - bytes);
    return false;
}
