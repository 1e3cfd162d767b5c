/* Row files in pieces: the header of a file followed by some of its rows is a row file, too. */
#include "private.h"

enum { PIECE = 1 << 20 };

void row_source_init(row_source *source, sl_files *files, const sl_delivery *delivery) {
    *source = (row_source){.files = files, .delivery = delivery};
}

static void close_file(row_source *s) {
    if (s->reading)
        sl_rows_fini(&s->reader);
    if (s->open)
        s->files->close(s->files, s->file);
    s->reading = s->open = false;
    sl_buffer_clear(&s->bytes);
    sl_buffer_clear(&s->carry);
}

void row_source_fini(row_source *s) {
    close_file(s);
    sl_hasher_destroy(s->hasher);
    sl_buffer_fini(&s->bytes);
    sl_buffer_fini(&s->carry);
    *s = (row_source){0};
}

static const sl_entry_file *current(const row_source *s) {
    return &s->delivery->entry->files[s->next_file - 1];
}

static sl_status damaged(const row_source *s, sl_error *error) {
    return sl_error_set(error, SL_ECORRUPT, "%s: the spooled rows are damaged",
                        current(s)->spool);
}

static sl_status open_next(row_source *s, sl_error *error) {
    if (s->next_file == s->delivery->entry->file_count)
        return SL_ENOTFOUND;
    const sl_entry_file *f = &s->delivery->entry->files[s->next_file++];
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_buffer_printf(&path, "%s/%s", s->delivery->spool, f->spool);
    if (s->hasher == NULL)
        s->hasher = sl_hasher_create();
    const char *text = sl_buffer_cstr(&path);
    sl_status status = path.failed || s->hasher == NULL
                           ? sl_error_set(error, SL_ENOMEM, "out of memory")
                           : s->files->open(s->files, text, SL_FILE_READ, &s->file, error);
    sl_buffer_fini(&path);
    if (status == SL_ENOTFOUND)
        return sl_error_set(error, SL_EIO, "%s is missing from the spool", f->spool);
    if (status != SL_OK)
        return status;
    s->open = true;
    s->at = s->header = 0;
    s->file_number++;
    sl_hasher_reset(s->hasher);
    status = s->files->size(s->files, s->file, &s->size, error);
    return status == SL_OK && s->size != f->bytes ? damaged(s, error) : status;
}

/* Bytes of whole rows at the begin of `bytes`. */
static size_t whole_rows(const uint8_t *bytes, size_t length) {
    size_t at = 0;
    while (length - at >= 4) {
        size_t row = (size_t)bytes[at] | (size_t)bytes[at + 1] << 8 |
                     (size_t)bytes[at + 2] << 16 | (size_t)bytes[at + 3] << 24;
        if (length - at - 4 < row)
            break;
        at += 4 + row;
    }
    return at;
}

/* bytes: the header and what was carried, then up to PIECE more of the file. */
static sl_status read_piece(row_source *s, sl_error *error) {
    sl_buffer *b = &s->bytes;
    b->length = s->header;
    sl_buffer_append(b, s->carry.bytes, s->carry.length);
    sl_buffer_clear(&s->carry);
    size_t want = s->size - s->at < PIECE ? (size_t)(s->size - s->at) : PIECE, got = 0;
    if (!sl_buffer_reserve(b, want))
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    sl_status status =
        s->files->read(s->files, s->file, b->bytes + b->length, want, s->at, &got, error);
    if (status != SL_OK)
        return status;
    if (got != want)
        return damaged(s, error);
    sl_hasher_add(s->hasher, b->bytes + b->length, got);
    b->length += got;
    s->at += got;
    if (s->at == s->size) {
        sl_hash128 hash = sl_hasher_sum(s->hasher), wanted = current(s)->hash;
        if (hash.low != wanted.low || hash.high != wanted.high)
            return damaged(s, error);
    }
    return SL_OK;
}

/* Gives the reader the next whole rows. @return SL_ENOTFOUND: the file is at its end. */
static sl_status next_piece(row_source *s, sl_error *error) {
    if (s->reading)
        sl_rows_fini(&s->reader);
    s->reading = false;
    if (s->at == s->size && s->at != 0)
        return s->carry.length == 0 ? SL_ENOTFOUND : damaged(s, error);
    sl_status status = read_piece(s, error);
    while (status == SL_OK && s->header == 0) { /* A header may be longer than a piece. */
        status = sl_rows_open(s->bytes.bytes, s->bytes.length, &s->reader);
        if (status == SL_OK) {
            s->header = s->reader.at;
            sl_rows_fini(&s->reader);
        } else if (status == SL_ECORRUPT && s->at < s->size && s->bytes.length < 64u * PIECE) {
            sl_buffer_append(&s->carry, s->bytes.bytes, s->bytes.length);
            status = s->carry.failed ? SL_ENOMEM : read_piece(s, error);
        } else {
            return status == SL_ECORRUPT ? damaged(s, error)
                                         : sl_error_set(error, status, "out of memory");
        }
    }
    if (status != SL_OK)
        return status;
    size_t rows = whole_rows(s->bytes.bytes + s->header, s->bytes.length - s->header);
    sl_buffer_append(&s->carry, s->bytes.bytes + s->header + rows,
                     s->bytes.length - s->header - rows);
    s->bytes.length = s->header + rows;
    status = s->carry.failed
                 ? SL_ENOMEM
                 : sl_rows_open(s->bytes.bytes, s->bytes.length, &s->reader);
    if (status == SL_OK)
        s->reading = true;
    return status == SL_OK         ? SL_OK
           : status == SL_ECORRUPT ? damaged(s, error)
                                   : sl_error_set(error, status, "out of memory");
}

sl_status row_source_next(row_source *s, sl_error *error) {
    for (;;) {
        sl_status status = s->reading ? sl_rows_next(&s->reader) : SL_ENOTFOUND;
        if (status == SL_ECORRUPT)
            return damaged(s, error);
        if (status != SL_ENOTFOUND)
            return status;
        status = s->open ? next_piece(s, error) : SL_ENOTFOUND;
        if (status == SL_OK)
            continue;
        if (status != SL_ENOTFOUND)
            return status;
        close_file(s);
        status = open_next(s, error);
        if (status != SL_OK)
            return status;
    }
}
