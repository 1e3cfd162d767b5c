/* Records through one zstd compressor that lives in memory of ours: its size is known before, taken from the budget once,
 * and zstd allocates nothing more. */

/* ZSTD_initStaticCStream() and the estimate of what it needs are not among zstd's stable functions. */
#define ZSTD_STATIC_LINKING_ONLY
#include "marks.h"

#include <assert.h>
#include <string.h>
#include <zstd.h>

enum {
    LEVEL = 1,
    /* Of real records 2^18 compresses within 4% of the level's own 2^19, at a fifth less memory. */
    WINDOW_LOG = 18,
};

struct sl_ndjson_writer {
    sl_ndjson_sink_fn *sink;
    void *context;
    sl_budget *budget;
    sl_hasher *hasher;
    ZSTD_CStream *stream; /* in `workspace` */
    void *workspace;
    uint8_t *out;         /* behind it */
    size_t out_size, out_length, charged;
    uint64_t records, bytes;
    sl_buffer marks;
    sl_ndjson_mark last;
    char source[255];     /* Of `last`. */
    sl_status status;     /* The sink's refusal. */
};

static size_t workspace_size(void) {
    ZSTD_compressionParameters parameters = ZSTD_getCParams(LEVEL, 0, 0);
    parameters.windowLog = WINDOW_LOG;
    size_t size = ZSTD_estimateCStreamSize_usingCParams(parameters);
    assert(!ZSTD_isError(size));
    return (size + 63) / 64 * 64;
}

/* It can only refuse values out of range, or a workspace that is too small. */
static void set(ZSTD_CStream *stream, ZSTD_cParameter parameter, int value) {
    size_t result = ZSTD_CCtx_setParameter(stream, parameter, value);
    assert(!ZSTD_isError(result));
    (void)result;
}

sl_status sl_ndjson_create(sl_budget *budget, sl_ndjson_sink_fn *sink, void *context,
                           sl_ndjson_writer **out) {
    *out = NULL;
    size_t workspace = workspace_size(), room = ZSTD_CStreamOutSize();
    size_t charged = sizeof(sl_ndjson_writer) + workspace + room;
    sl_status status = sl_budget_take(budget, charged);
    if (status != SL_OK)
        return status;
    sl_ndjson_writer *w = sl_calloc(1, sizeof *w);
    if (w == NULL) {
        sl_budget_give(budget, charged);
        return SL_ENOMEM;
    }
    *w = (sl_ndjson_writer){.sink = sink, .context = context, .budget = budget, .charged = charged};
    w->hasher = sl_hasher_create();
    w->workspace = sl_aligned_alloc(64, (workspace + room + 63) / 64 * 64);
    if (w->hasher == NULL || w->workspace == NULL) {
        sl_ndjson_destroy(w);
        return SL_ENOMEM;
    }
    w->out = (uint8_t *)w->workspace + workspace;
    w->out_size = room;
    w->stream = ZSTD_initStaticCStream(w->workspace, workspace);
    assert(w->stream != NULL);
    set(w->stream, ZSTD_c_compressionLevel, LEVEL);
    set(w->stream, ZSTD_c_windowLog, WINDOW_LOG);
    set(w->stream, ZSTD_c_checksumFlag, 1);
    *out = w;
    return SL_OK;
}

void sl_ndjson_destroy(sl_ndjson_writer *w) {
    if (w == NULL)
        return;
    if (w->hasher != NULL)
        sl_hasher_destroy(w->hasher);
    sl_buffer_fini(&w->marks);
    sl_free(w->workspace);
    sl_budget_give(w->budget, w->charged);
    sl_free(w);
}

/* --- marks --- */

static void put_varint(sl_buffer *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        sl_buffer_byte(out, (uint8_t)(value | 0x80));
    sl_buffer_byte(out, (uint8_t)value);
}

static bool same_origin(const sl_ndjson_mark *a, const sl_ndjson_mark *b) {
    return a->source_length == b->source_length && memcmp(a->source, b->source, a->source_length) == 0 &&
           a->named == b->named && a->format.kind == b->format.kind && a->format.header == b->format.header &&
           a->format.delimiter == b->format.delimiter;
}

static void put_mark(sl_ndjson_writer *w, size_t length, bool ended, const sl_ndjson_mark *mark) {
    sl_buffer *out = &w->marks;
    const size_t held = out->capacity;
    const int64_t step = (int64_t)((uint64_t)mark->arrival_us - (uint64_t)w->last.arrival_us);
    if (out->length == 0)
        sl_buffer_text(out, SL_NDJSON_MAGIC);
    put_varint(out, (uint64_t)length << 1 | !ended);
    put_varint(out, (uint64_t)step << 1 ^ (uint64_t)(step >> 63));
    if (w->records != 0 && same_origin(&w->last, mark)) {
        sl_buffer_byte(out, 0);
    } else {
        const uint8_t rest[4] = {mark->named, mark->format.kind, mark->format.header, mark->format.delimiter};
        const size_t source = mark->source_length < sizeof w->source ? mark->source_length : sizeof w->source - 1;
        sl_buffer_byte(out, (uint8_t)(source + 1));
        sl_buffer_append(out, mark->source, source);
        sl_buffer_append(out, rest, sizeof rest);
        memcpy(w->source, mark->source, source);
        w->last = *mark;
        w->last.source = w->source;
        w->last.source_length = source;
    }
    w->last.arrival_us = mark->arrival_us;
    sl_budget_force(w->budget, out->capacity - held);
    w->charged += out->capacity - held;
}

bool sl_ndjson_full(const sl_ndjson_writer *w) {
    return w->marks.length >= SL_NDJSON_MARKS_MAX;
}

/* --- the frame --- */

static void send(sl_ndjson_writer *w) {
    if (w->out_length == 0)
        return;
    w->status = w->sink(w->context, w->out, w->out_length);
    sl_hasher_add(w->hasher, w->out, w->out_length);
    w->bytes += w->out_length;
    w->out_length = 0;
}

/* @return how much zstd still has to give for `end`. */
static size_t compress(sl_ndjson_writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective end) {
    ZSTD_outBuffer out = {w->out, w->out_size, w->out_length};
    size_t left = ZSTD_compressStream2(w->stream, &out, in, end);
    assert(!ZSTD_isError(left)); /* Its memory and parameters are fixed: there is nothing it could refuse. */
    w->out_length = out.pos;
    if (out.pos == out.size || (end == ZSTD_e_end && left == 0))
        send(w);
    return left;
}

static void append(sl_ndjson_writer *w, const void *bytes, size_t length) {
    ZSTD_inBuffer in = {bytes, length, 0};
    while (w->status == SL_OK && in.pos < in.size)
        (void)compress(w, &in, ZSTD_e_continue);
}

sl_status sl_ndjson_write(sl_ndjson_writer *w, const void *record, size_t length, const sl_ndjson_mark *mark) {
    const bool ended = length != 0 && ((const uint8_t *)record)[length - 1] == '\n';
    append(w, record, length);
    if (!ended)
        append(w, "\n", 1);
    put_mark(w, length, ended, mark);
    if (w->status == SL_OK && w->marks.failed)
        w->status = SL_ENOMEM;
    w->records += w->status == SL_OK;
    return w->status;
}

uint64_t sl_ndjson_bytes(const sl_ndjson_writer *w) {
    return w->bytes;
}

/* RFC 8878, section 3.1.2. */
static void send_marks(sl_ndjson_writer *w) {
    sl_buffer head = {.bytes = w->out, .capacity = w->out_size};
    sl_buffer_u32(&head, SL_NDJSON_SKIPPABLE);
    sl_buffer_u32(&head, (uint32_t)w->marks.length);
    w->out_length = head.length;
    send(w);
    if (w->status != SL_OK || w->marks.length == 0)
        return;
    w->status = w->sink(w->context, w->marks.bytes, w->marks.length);
    sl_hasher_add(w->hasher, w->marks.bytes, w->marks.length);
    w->bytes += w->marks.length;
}

sl_status sl_ndjson_finish(sl_ndjson_writer *w, sl_ndjson_result *result) {
    ZSTD_inBuffer nothing = {NULL, 0, 0};
    while (w->status == SL_OK && compress(w, &nothing, ZSTD_e_end) != 0)
        ;
    if (w->status == SL_OK)
        send_marks(w);
    if (w->status != SL_OK)
        return w->status;
    *result = (sl_ndjson_result){.records = w->records, .bytes = w->bytes, .hash = sl_hasher_sum(w->hasher)};
    return SL_OK;
}
