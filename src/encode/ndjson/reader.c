/* Files of the raw zone, read: the frame is decompressed as records are asked for, its marks say where each ends. */
#include "marks.h"

#include <string.h>
#include <zstd.h>

enum { RECORD_MAX = 1 << 30 };

struct sl_ndjson_reader {
    ZSTD_DCtx *zstd;
    ZSTD_inBuffer in;             /* The frame. */
    const uint8_t *mark, *marks_end;
    sl_ndjson_mark last;
    bool any;
    sl_buffer plain;
};

static uint32_t u32_at(const uint8_t *at) {
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static sl_status no_marks(sl_error *error) {
    return sl_error_set(error, SL_EUNSUPPORTED, "the file doesn't say when its records came: an older sluice wrote it");
}

sl_status sl_ndjson_open(const uint8_t *bytes, size_t length, sl_ndjson_reader **out, sl_error *error) {
    const size_t magic = sizeof SL_NDJSON_MAGIC - 1;
    *out = NULL;
    const size_t frame = ZSTD_findFrameCompressedSize(bytes, length);
    if (ZSTD_isError(frame))
        return sl_error_set(error, SL_ECORRUPT, "no whole zstd frame: %s", ZSTD_getErrorName(frame));
    const size_t rest = length - frame;
    if (rest == 0)
        return no_marks(error);
    if (rest < 8 || u32_at(bytes + frame) != SL_NDJSON_SKIPPABLE || u32_at(bytes + frame + 4) != rest - 8 ||
        (rest != 8 && (rest < 8 + magic || memcmp(bytes + frame + 8, SL_NDJSON_MAGIC, magic) != 0)))
        return sl_error_set(error, SL_ECORRUPT, "what lies behind the zstd frame isn't ours");
    sl_ndjson_reader *r = sl_calloc(1, sizeof *r);
    if (r == NULL || (r->zstd = ZSTD_createDCtx()) == NULL) {
        sl_free(r);
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    }
    r->in = (ZSTD_inBuffer){bytes, frame, 0};
    r->marks_end = bytes + length;
    r->mark = rest == 8 ? r->marks_end : bytes + frame + 8 + magic;
    *out = r;
    return SL_OK;
}

void sl_ndjson_close(sl_ndjson_reader *r) {
    if (r == NULL)
        return;
    (void)ZSTD_freeDCtx(r->zstd);
    sl_buffer_fini(&r->plain);
    sl_free(r);
}

static bool varint(sl_ndjson_reader *r, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; r->mark < r->marks_end && shift < 64; shift += 7) {
        uint8_t byte = *r->mark++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool next_mark(sl_ndjson_reader *r, uint64_t *length, bool *ours) {
    uint64_t size, step;
    if (!varint(r, &size) || !varint(r, &step) || r->mark == r->marks_end)
        return false;
    *length = size >> 1;
    *ours = (size & 1) != 0;
    step = step >> 1 ^ (0 - (step & 1));
    r->last.arrival_us = (int64_t)((uint64_t)r->last.arrival_us + step);
    const size_t source = *r->mark++;
    if (source == 0)
        return r->any;
    if (source - 1 + 4 > (size_t)(r->marks_end - r->mark))
        return false;
    r->last.source = (const char *)r->mark;
    r->last.source_length = source - 1;
    r->mark += source - 1;
    r->last.named = r->mark[0] != 0;
    r->last.format = (sl_format){r->mark[1], r->mark[2], r->mark[3]};
    r->mark += 4;
    r->any = true;
    return true;
}

static sl_status inflate(sl_ndjson_reader *r, size_t size, sl_error *error) {
    if (!sl_buffer_reserve(&r->plain, size + SL_PADDING))
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    ZSTD_outBuffer out = {r->plain.bytes, size, 0};
    while (out.pos < size) {
        const size_t before = out.pos, taken = r->in.pos;
        const size_t left = ZSTD_decompressStream(r->zstd, &out, &r->in);
        if (ZSTD_isError(left))
            return sl_error_set(error, SL_ECORRUPT, "its records can't be decompressed: %s", ZSTD_getErrorName(left));
        if (out.pos == before && r->in.pos == taken)
            return sl_error_set(error, SL_ECORRUPT, "it holds less than its marks say");
    }
    return SL_OK;
}

sl_status sl_ndjson_next(sl_ndjson_reader *r, const uint8_t **record, size_t *length, sl_ndjson_mark *mark, sl_error *error) {
    uint64_t size;
    bool ours;
    sl_buffer_clear(&r->plain);
    if (r->mark == r->marks_end)
        return SL_ENOTFOUND;
    if (!next_mark(r, &size, &ours))
        return sl_error_set(error, SL_ECORRUPT, "its marks are damaged");
    if (size > RECORD_MAX)
        return sl_error_set(error, SL_ELIMIT, "a record of %llu bytes", (unsigned long long)size);
    sl_status status = inflate(r, (size_t)size + ours, error);
    *record = r->plain.bytes;
    *length = (size_t)size;
    *mark = r->last;
    return status;
}
