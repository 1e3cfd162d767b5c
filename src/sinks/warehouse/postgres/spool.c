#include "spool.h"

enum { PIECE = 256 * 1024 };

void sl_spool_begin(sl_spool *s, sl_files *files, const sl_delivery *delivery) {
    *s = (sl_spool){.files = files, .delivery = delivery, .file = -1};
}

static void close_file(sl_spool *s) {
    if (s->open)
        sl_rows_fini(&s->reader);
    s->open = false;
    if (s->file >= 0)
        s->files->close(s->files, s->file);
    s->file = -1;
    s->at = 0;
    sl_buffer_clear(&s->bytes);
}

void sl_spool_fini(sl_spool *s) {
    close_file(s);
    sl_buffer_fini(&s->bytes);
    sl_hasher_destroy(s->hasher);
    s->hasher = NULL;
}

static sl_status damaged(const sl_spool *s, sl_error *error) {
    return sl_error_set(error, SL_ECORRUPT, "%s: the spooled rows are damaged",
                        s->delivery->entry->files[s->index].spool);
}

static sl_status open_file(sl_spool *s, sl_error *error) {
    const sl_entry_file *f = &s->delivery->entry->files[s->index];
    sl_buffer path = SL_BUFFER_EMPTY;
    if (s->hasher == NULL && (s->hasher = sl_hasher_create()) == NULL)
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", f->spool);
    sl_hasher_reset(s->hasher);
    sl_buffer_printf(&path, "%s/%s", s->delivery->spool, f->spool);
    const char *text = sl_buffer_cstr(&path);
    sl_status status =
        path.failed ? sl_error_set(error, SL_ENOMEM, "%s: out of memory", f->spool)
                    : s->files->open(s->files, text, SL_FILE_READ, &s->file, error);
    sl_buffer_fini(&path);
    if (status == SL_OK)
        return SL_OK;
    s->file = -1;
    return status == SL_ENOTFOUND
               ? sl_error_set(error, SL_EIO, "%s is missing from the spool", f->spool)
               : status;
}

/* Drop what is taken, read another piece behind the rest. @return SL_ENOTFOUND at the end
 * of the file. */
static sl_status more(sl_spool *s, sl_error *error) {
    size_t taken = s->open ? s->reader.at : 0, got = 0;
    if (taken != 0) {
        memmove(s->bytes.bytes, s->bytes.bytes + taken, s->bytes.length - taken);
        s->bytes.length -= taken;
        s->reader.at = 0;
    }
    if (!sl_buffer_reserve(&s->bytes, PIECE))
        return sl_error_set(error, SL_ENOMEM, "spool: out of memory");
    uint8_t *end = s->bytes.bytes + s->bytes.length;
    sl_status status = s->files->read(s->files, s->file, end, PIECE, s->at, &got, error);
    if (status != SL_OK)
        return status;
    sl_hasher_add(s->hasher, end, got);
    s->at += got;
    s->bytes.length += got;
    s->reader.bytes = s->bytes.bytes;
    s->reader.length = s->bytes.length;
    return got == 0 ? SL_ENOTFOUND : SL_OK;
}

/* The head may be longer than a piece. */
static sl_status read_head(sl_spool *s, sl_error *error) {
    for (;;) {
        sl_status status = more(s, error);
        if (status != SL_OK)
            return status == SL_ENOTFOUND ? damaged(s, error) : status;
        status = sl_rows_open(s->bytes.bytes, s->bytes.length, &s->reader);
        s->open = status == SL_OK;
        if (status != SL_ECORRUPT)
            return status;
    }
}

/* Is there a whole row at the reader's place? */
static bool whole_row(const sl_rows_reader *r) {
    size_t left = r->length - r->at;
    if (left < 4)
        return false;
    const uint8_t *at = r->bytes + r->at;
    uint32_t length = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                      (uint32_t)at[3] << 24;
    return left - 4 >= length;
}

/* @return SL_ENOTFOUND: read to its end, and it is what was committed. */
static sl_status end_file(sl_spool *s, sl_error *error) {
    const sl_entry_file *f = &s->delivery->entry->files[s->index];
    sl_hash128 hash = sl_hasher_sum(s->hasher);
    if (s->reader.at != s->reader.length || s->at != f->bytes ||
        hash.low != f->hash.low || hash.high != f->hash.high)
        return damaged(s, error);
    return SL_ENOTFOUND;
}

static sl_status next_of_file(sl_spool *s, sl_error *error) {
    while (!whole_row(&s->reader)) {
        sl_status status = more(s, error);
        if (status == SL_ENOTFOUND)
            return end_file(s, error);
        if (status != SL_OK)
            return status;
    }
    sl_status status = sl_rows_next(&s->reader);
    return status == SL_OK ? SL_OK : damaged(s, error);
}

sl_status sl_spool_next(sl_spool *s, bool *opened, sl_error *error) {
    sl_status status = SL_OK;
    if (opened != NULL)
        *opened = false;
    while (status == SL_OK && s->index < s->delivery->entry->file_count) {
        if (!s->open) {
            if ((status = open_file(s, error)) == SL_OK)
                status = read_head(s, error);
            if (opened != NULL)
                *opened = true;
            if (status != SL_OK)
                break;
        }
        status = next_of_file(s, error);
        if (status == SL_OK)
            return SL_OK;
        if (status == SL_ENOTFOUND) {
            close_file(s);
            s->index++;
            status = SL_OK;
        }
    }
    return status == SL_OK ? SL_ENOTFOUND : status;
}

sl_status sl_spool_head(sl_spool *s, uint32_t index, sl_error *error) {
    close_file(s);
    s->index = index;
    sl_status status = open_file(s, error);
    return status == SL_OK ? read_head(s, error) : status;
}
