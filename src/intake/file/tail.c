// Looks at the files four times a second, reads what is new, and writes down what it hands out before it does.
//
// A file that is truncated leaves a ghost: who it was and how far it was read. A copy of its old self that turns up
// (logrotate's copytruncate) takes over from there. Where the copy is seen first, it waits, as it equals a file that is
// being read; when that one is truncated or gone the copy goes on in its place.

#include "private.h"

#include "sluice/csv.h"
#include "sluice/io_files.h"
#include "sluice/message.h"
#include "sluice/time.h"

#include <inttypes.h>
#include <stdio.h>

#define LOOK_US (SL_SECOND_US / 4)
#define AWAY_US (5 * SL_SECOND_US)    /**< A writer may still have a file that was renamed. */
#define COPY_US (60 * SL_SECOND_US)   /**< So long a copy may stand beside the file before that is truncated. */
#define GHOST_US (300 * SL_SECOND_US) /**< A copy turns up before that, or never. */
#define ALIKE_MIN 16u                 /**< Files with less in common aren't copies. */
#define PIECE 65536u
#define HEADER_MAX 65536u
#define TOLD_MAX 64u
#define CHUNK_MIN 256u /**< Whatever the header takes. */

struct sl_tail {
    sl_tail_options options;
    sl_files *files;
    tail_state state;
    sl_buffer text; /**< Of a state file. */
    sl_buffer body; /**< Being read. */
    uint8_t *piece; /**< 2 × PIECE */
    char *told[TOLD_MAX];
    uint32_t told_count, turn;
    bool fresh;     /**< There was no state. */
    bool again;     /**< What the state holds may not have been taken. */
    bool looked, told_many;
    int64_t looked_us;
    sl_csv csv;
    char key[160];
};

/* --- state files --- */

static sl_status slot_path(const sl_tail *t, uint64_t number, sl_buffer *out, sl_error *error) {
    sl_buffer_clear(out);
    sl_buffer_printf(out, "%s.%u", t->options.state, (unsigned)(number & 1));
    (void)sl_buffer_cstr(out);
    return out->failed ? sl_error_set(error, SL_ENOMEM, "out of memory") : SL_OK;
}

static sl_status write_slot(sl_tail *t, int file, bool fresh, const char *path, sl_error *error) {
    sl_status status = t->files->write(t->files, file, t->text.bytes, t->text.length, 0, error);
    if (status == SL_OK)
        status = t->files->sync(t->files, file, error);
    if (status != SL_OK || !fresh)
        return status;
    const char *slash = strrchr(path, '/');
    char *directory = slash != NULL ? sl_strndup(path, (size_t)(slash - path)) : sl_strdup(".");
    status = directory != NULL ? t->files->sync_directory(t->files, directory, error) : SL_ENOMEM;
    sl_free(directory);
    return status;
}

/** The older of the two files gets the state; after a failure the newer one is still there. */
static sl_status save(sl_tail *t, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY;
    t->state.number++;
    sl_tail_encode(&t->state, &t->text);
    sl_status status = t->text.failed ? SL_ENOMEM : slot_path(t, t->state.number, &path, error);
    int file = -1;
    if (status == SL_OK)
        status = t->files->open(t->files, (const char *)path.bytes, SL_FILE_WRITE | SL_FILE_CREATE, &file, error);
    if (status == SL_OK) {
        status = write_slot(t, file, t->state.number <= 2, (const char *)path.bytes, error);
        t->files->close(t->files, file);
    }
    if (status != SL_OK)
        t->state.number--; /* The same file again: the other one is good. */
    sl_buffer_fini(&path);
    return status;
}

/** @return SL_ENOTFOUND: it isn't there. */
static sl_status load_slot(sl_tail *t, uint64_t slot, tail_state *out, sl_error *error) {
    sl_buffer path = SL_BUFFER_EMPTY;
    char *bytes = NULL;
    size_t length = 0;
    sl_status status = slot_path(t, slot, &path, error);
    if (status == SL_OK)
        status = sl_files_read_all(t->files, (const char *)path.bytes, UINT64_C(1) << 30, &bytes, &length, error);
    if (status == SL_OK)
        status = sl_tail_decode(out, (const uint8_t *)bytes, length);
    if (status == SL_ECORRUPT)
        (void)sl_error_set(error, status, "%s is damaged", (const char *)path.bytes);
    sl_free(bytes);
    sl_buffer_fini(&path);
    return status;
}

static sl_status load(sl_tail *t, sl_error *error) {
    tail_state slots[2] = {{0}, {0}};
    sl_status status[2];
    sl_status result = SL_OK;
    for (uint64_t i = 0; i < 2; i++) {
        status[i] = load_slot(t, i, &slots[i], error);
        if (status[i] != SL_OK && status[i] != SL_ENOTFOUND && status[i] != SL_ECORRUPT)
            result = status[i];
    }
    int best = status[1] == SL_OK && (status[0] != SL_OK || slots[1].number > slots[0].number);
    if (result == SL_OK && status[best] == SL_OK) {
        t->state = slots[best];
        slots[best] = (tail_state){0};
    } else if (result == SL_OK && status[0] == SL_ENOTFOUND && status[1] == SL_ENOTFOUND) {
        t->fresh = true;
        t->state.next_serial = 1;
    } else if (result == SL_OK) {
        result = SL_ECORRUPT;
    }
    sl_tail_state_fini(&slots[0]);
    sl_tail_state_fini(&slots[1]);
    return result;
}

sl_status sl_tail_open(const sl_tail_options *options, sl_tail **out, sl_error *error) {
    *out = NULL;
    sl_tail *t = sl_calloc(1, sizeof *t);
    if (t == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    t->options = *options;
    t->files = options->files;
    sl_csv_init(&t->csv);
    t->csv.delimiter = (char)options->format.delimiter;
    t->csv.row_bytes_max = UINT32_MAX;
    t->csv.cells_max = UINT32_MAX;
    t->piece = sl_malloc((size_t)2 * PIECE);
    sl_status status = t->piece != NULL ? load(t, error) : sl_error_set(error, SL_ENOMEM, "out of memory");
    t->again = t->state.body.length != 0;
    if (status == SL_OK)
        *out = t;
    else
        sl_tail_close(t);
    return status;
}

static void close_file(sl_tail *t, tail_file *f) {
    if (f->file >= 0)
        t->files->close(t->files, f->file);
    f->file = -1;
}

void sl_tail_close(sl_tail *t) {
    if (t == NULL)
        return;
    sl_error error;
    if (t->looked && !t->again && t->state.body.length == 0 && save(t, &error) != SL_OK)
        sl_message(SL_LEVEL_WARN, "file", "the last place isn't written down; the last chunk comes again, and counts once",
                   "source=%s error=\"%s\"", t->options.name, error.text);
    for (uint32_t i = 0; i < t->state.count; i++)
        close_file(t, &t->state.files[i]);
    for (uint32_t i = 0; i < t->told_count; i++)
        sl_free(t->told[i]);
    sl_csv_fini(&t->csv);
    sl_tail_state_fini(&t->state);
    sl_buffer_fini(&t->text);
    sl_buffer_fini(&t->body);
    sl_free(t->piece);
    sl_free(t);
}

/* --- who is who --- */

static void tell_once(sl_tail *t, const char *path, const char *words) {
    for (uint32_t i = 0; i < t->told_count; i++)
        if (strcmp(t->told[i], path) == 0)
            return;
    if (t->told_count == TOLD_MAX || (t->told[t->told_count] = sl_strdup(path)) == NULL)
        return;
    t->told_count++;
    sl_message(SL_LEVEL_WARN, "file", "passed over", "source=%s path=%s reason=\"%s\"", t->options.name, path, words);
}

/** @return Bytes read into the tail's piece, at most `length` ≤ PIECE; 0 after an error, too. */
static size_t read_at(sl_tail *t, int file, uint64_t at, size_t length, uint8_t *to) {
    size_t got = 0;
    sl_status status = t->files->read(t->files, file, to, length, at, &got, NULL);
    return status == SL_OK ? got : 0;
}

/** Has an open file, at this moment, the beginning of `who`? */
static bool begins_as(sl_tail *t, int file, const tail_file *who) {
    if (who->beginning == 0)
        return true;
    if (read_at(t, file, 0, who->beginning, t->piece) != who->beginning)
        return false;
    sl_hash128 hash = sl_hash128_of(t->piece, who->beginning);
    return hash.low == who->hash.low && hash.high == who->hash.high;
}

static bool is_same(sl_tail *t, const tail_file *f) { return begins_as(t, f->file, f); }

/** More of its beginning is there. */
static void learn(sl_tail *t, tail_file *f) {
    if (f->beginning == BEGINNING_MAX || f->size <= f->beginning)
        return;
    f->beginning = (uint32_t)read_at(t, f->file, 0, BEGINNING_MAX, t->piece);
    f->hash = sl_hash128_of(t->piece, f->beginning);
}

/** Do two files begin with the same `length` bytes? */
static bool alike(sl_tail *t, int a, int b, uint64_t length) {
    for (uint64_t at = 0; at < length; at += PIECE) {
        size_t some = length - at < PIECE ? (size_t)(length - at) : PIECE;
        if (read_at(t, a, at, some, t->piece) != some || read_at(t, b, at, some, t->piece + PIECE) != some ||
            memcmp(t->piece, t->piece + PIECE, some) != 0)
            return false;
    }
    return true;
}

static void drop(sl_tail *t, uint32_t i) {
    close_file(t, &t->state.files[i]);
    sl_free(t->state.files[i].path);
    t->state.files[i] = t->state.files[--t->state.count];
}

/** The file of this serial isn't what it was: a copy of it that waits goes on in its place. @return whether there is one. */
static bool wake_copy(sl_tail *t, uint64_t serial, uint64_t offset) {
    for (uint32_t i = 0; i < t->state.count; i++) {
        tail_file *f = &t->state.files[i];
        if (f->copy_of != serial)
            continue;
        f->serial = serial;
        f->copy_of = 0;
        f->offset = offset;
        return true;
    }
    return false;
}

static void truncated(sl_tail *t, uint32_t i, int64_t now_us) {
    tail_file *f = &t->state.files[i];
    tail_file ghost = {.serial = f->serial, .offset = f->offset, .beginning = f->beginning, .hash = f->hash,
                       .ghost = true, .file = -1, .away_us = now_us};
    const uint64_t serial = f->serial, offset = f->offset;
    sl_message(SL_LEVEL_INFO, "file", "truncated: read from its beginning", "source=%s path=%s read=%" PRIu64,
               t->options.name, f->path != NULL ? f->path : "", offset);
    f->serial = t->state.next_serial++;
    f->offset = f->header_length = 0;
    f->beginning = 0;
    f->waiting_us = 0;
    learn(t, f);
    if (!wake_copy(t, serial, offset) && ghost.beginning >= ALIKE_MIN)
        (void)sl_tail_add(&t->state, &ghost); /* Without memory a copy is read from its beginning. */
}

static void check(sl_tail *t, uint32_t i, const sl_file_identity *now, int64_t now_us) {
    tail_file *f = &t->state.files[i];
    bool changed = f->size != now->size || f->changed_ns != now->changed_ns;
    f->size = now->size;
    f->changed_ns = now->changed_ns;
    if (!changed || f->file < 0)
        return;
    if (f->copy_of == 0 && (f->size < f->beginning || !is_same(t, f))) {
        truncated(t, i, now_us);
    } else if (f->copy_of == 0 && f->size < f->offset) {
        sl_message(SL_LEVEL_WARN, "file", "shorter than it was read: goes on at its end",
                   "source=%s path=%s bytes=%" PRIu64 " read=%" PRIu64, t->options.name,
                   f->path != NULL ? f->path : "", f->size, f->offset);
        f->offset = f->size;
    }
    learn(t, &t->state.files[i]);
}

/** Behind the last line end of what is there; the end, where there is none near. */
static uint64_t last_line(sl_tail *t, const tail_file *f) {
    uint64_t from = f->size > PIECE ? f->size - PIECE : 0;
    size_t got = read_at(t, f->file, from, PIECE, t->piece);
    while (got != 0 && t->piece[got - 1] != '\n')
        got--;
    return got != 0 ? from + got : from == 0 ? 0 : f->size;
}

/** Are they, as far as both are there, the same bytes? A copy may still be written. */
static bool is_copy(sl_tail *t, const tail_file *f, const tail_file *of) {
    uint64_t both = f->size < of->size ? f->size : of->size;
    return both >= ALIKE_MIN && f->inode != of->inode && is_same(t, of) && alike(t, f->file, of->file, both);
}

/** A file of which nothing is read yet may be a copy of one that is known. */
static void compare(sl_tail *t, tail_file *f, int64_t now_us) {
    for (uint32_t i = 0; i < t->state.count; i++) {
        tail_file *other = &t->state.files[i];
        sl_file_identity id;
        if (!other->ghost && other->file >= 0 && other->copy_of == 0 && other->serial != f->serial && !is_same(t, other) &&
            sl_file_look_open(other->file, &id, NULL) == SL_OK)
            check(t, i, &id, now_us); /* Truncated since the last look: its ghost stands at the end now. */
        other = &t->state.files[i];
        if (other->ghost && other->beginning >= ALIKE_MIN && f->size >= other->offset && begins_as(t, f->file, other)) {
            f->serial = other->serial;
            f->offset = other->offset;
            drop(t, i);
            return;
        }
        if (!other->ghost && other->file >= 0 && other->copy_of == 0 && other->offset != 0 && is_copy(t, f, other)) {
            f->copy_of = other->serial;
            f->waiting_us = now_us;
            return;
        }
    }
}

/** A copy that turns out to be none, or that stays beside the other one, is a file of its own. */
static void doubt(sl_tail *t, tail_file *f, int64_t now_us) {
    const tail_file *of = NULL;
    for (uint32_t i = 0; i < t->state.count; i++)
        if (t->state.files[i].serial == f->copy_of && t->state.files[i].copy_of == 0)
            of = &t->state.files[i];
    if (f->waiting_us == 0)
        f->waiting_us = now_us;
    if (of != NULL && now_us - f->waiting_us < COPY_US && (of->file < 0 || !is_same(t, of) || is_copy(t, f, of)))
        return;
    f->copy_of = 0;
    f->waiting_us = 0;
    f->own = true;
}

static bool open_file(sl_tail *t, tail_file *f, const char *path) {
    sl_file_identity id;
    sl_error error;
    sl_status status = t->files->open(t->files, path, SL_FILE_READ, &f->file, &error);
    if (status == SL_OK && sl_file_look_open(f->file, &id, &error) == SL_OK && id.device == f->device &&
        id.inode == f->inode)
        return true;
    if (status == SL_OK)
        close_file(t, f); /* Another one has its name already. */
    else if (status != SL_ENOTFOUND)
        tell_once(t, path, error.text);
    f->file = -1;
    return false;
}

static void discover(sl_tail *t, const char *path, const sl_file_identity *id, int64_t now_us) {
    tail_file f = {.device = id->device, .inode = id->inode, .file = -1, .seen = true, .size = id->size, .changed_ns = id->changed_ns};
    if (t->state.count >= SL_TAIL_FILES_MAX) {
        if (!t->told_many)
            sl_message(SL_LEVEL_WARN, "file", "more files than are read", "source=%s files=%u path=%s", t->options.name,
                       SL_TAIL_FILES_MAX, path);
        t->told_many = true;
        return;
    }
    if (!open_file(t, &f, path))
        return;
    f.path = sl_strdup(path);
    learn(t, &f);
    if (t->fresh && t->options.from_end && !t->looked)
        f.offset = last_line(t, &f);
    else
        compare(t, &f, now_us);
    if (f.serial == 0)
        f.serial = t->state.next_serial++;
    if (f.path == NULL || !sl_tail_add(&t->state, &f)) {
        close_file(t, &f);
        sl_free(f.path);
    }
}

static bool is_compressed(const char *path) {
    static const char *const ends[] = {".gz", ".zst", ".bz2", ".xz", ".lz4"};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (length > strlen(ends[i]) && strcmp(path + length - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

typedef struct look {
    sl_tail *tail;
    int64_t now_us;
} look;

static sl_status look_at(void *context, const char *path) {
    look *l = context;
    sl_tail *t = l->tail;
    sl_file_identity id;
    sl_error error;
    if (is_compressed(path))
        return SL_OK;
    sl_status status = sl_file_look(path, &id, &error);
    if (status != SL_OK || !id.regular) {
        if (status != SL_ENOTFOUND)
            tell_once(t, path, status != SL_OK ? error.text : id.directory ? "a directory" : "no regular file");
        return SL_OK;
    }
    for (uint32_t i = 0; i < t->state.count; i++) {
        tail_file *f = &t->state.files[i];
        if (f->ghost || f->device != id.device || f->inode != id.inode)
            continue;
        f->seen = true;
        f->away = false;
        if (f->path == NULL || strcmp(f->path, path) != 0) {
            sl_free(f->path);
            f->path = sl_strdup(path);
        }
        if (f->file >= 0 || open_file(t, f, path))
            check(t, i, &id, l->now_us);
        f = &t->state.files[i];
        if (f->copy_of != 0 && f->file >= 0)
            doubt(t, f, l->now_us);
        return SL_OK;
    }
    discover(t, path, &id, l->now_us);
    return SL_OK;
}

/** Files without a name that matches are read to their end; then they, and what else is over, are forgotten. */
static void forget(sl_tail *t, int64_t now_us) {
    for (uint32_t i = t->state.count; i-- > 0;) {
        tail_file *f = &t->state.files[i];
        if (f->seen)
            continue;
        if (!f->away && !f->ghost) {
            f->away = true;
            f->away_us = now_us;
        }
        if (f->ghost && f->away_us == 0)
            f->away_us = now_us; /* Of an earlier process. */
        sl_file_identity id;
        if (f->file >= 0 && sl_file_look_open(f->file, &id, NULL) == SL_OK)
            check(t, i, &id, now_us);
        f = &t->state.files[i];
        bool over = f->ghost             ? now_us - f->away_us > GHOST_US
                    : f->copy_of != 0    ? true
                    : f->file < 0        ? now_us - f->away_us > AWAY_US
                                         : f->offset >= f->size && now_us - f->away_us > AWAY_US;
        if (!over)
            continue;
        if (!f->ghost && f->file < 0 && f->copy_of == 0 && t->state.serial != f->serial)
            sl_message(SL_LEVEL_INFO, "file", "no longer there since the last start", "source=%s inode=%" PRIu64 " read=%" PRIu64,
                       t->options.name, f->inode, f->offset);
        const uint64_t serial = f->serial, offset = f->offset;
        bool copied = f->copy_of == 0 && !f->ghost;
        drop(t, i);
        if (copied)
            (void)wake_copy(t, serial, offset);
    }
}

static void look_round(sl_tail *t, int64_t now_us) {
    look l = {t, now_us};
    sl_error error;
    for (uint32_t i = 0; i < t->state.count; i++)
        t->state.files[i].seen = false;
    if (sl_files_glob(t->options.pattern, look_at, &l, &error) != SL_OK)
        tell_once(t, t->options.pattern, error.text);
    else
        forget(t, now_us);
    if (!t->looked && t->fresh && t->options.from_end && save(t, &error) != SL_OK)
        tell_once(t, t->options.state, error.text); /* The next start would begin at another end. */
    t->looked = true;
    t->looked_us = now_us;
}

/* --- what is new --- */

/** Bytes of whole lines. */
static size_t whole_lines(const uint8_t *bytes, size_t length) {
    while (length != 0 && bytes[length - 1] != '\n')
        length--;
    return length;
}

/** The same of CSV, where a line end may stand in quotes. */
static size_t whole_rows(sl_tail *t, const uint8_t *bytes, size_t length) {
    size_t at = 0, used;
    t->csv.begun = true;
    for (;;) {
        sl_status status = sl_csv_row(&t->csv, bytes + at, length - at, false, &used, NULL);
        if (status == SL_EAGAIN || status == SL_ENOTFOUND || status == SL_ENOMEM || used == 0)
            return at;
        at += used;
        if (at == 0 || bytes[at - 1] != '\n')
            return whole_lines(bytes, at - used); /* A broken row whose line hasn't ended. */
    }
}

/** The line of names, once it is whole. @return false: it isn't. */
static bool read_header(sl_tail *t, tail_file *f, bool last) {
    uint8_t *bytes = t->piece;
    size_t got = read_at(t, f->file, 0, HEADER_MAX, bytes), used = 0;
    t->csv.begun = false;
    sl_status status = sl_csv_row(&t->csv, bytes, got, last || got == HEADER_MAX, &used, NULL);
    const uint8_t *cr = got != 0 ? memchr(bytes, '\r', got - 1) : NULL;
    if (status == SL_EAGAIN && cr != NULL && cr[1] != '\n') /* It may wait for ever. */
        tell_once(t, f->path, "the line of names has a CR within and no end yet: lines end in LF or CRLF");
    if (status == SL_EAGAIN || status == SL_ENOTFOUND || status == SL_ENOMEM || used == 0)
        return false;
    f->header_length = used;
    sl_buffer_append(&t->body, bytes, used);
    if (bytes[used - 1] != '\n')
        sl_buffer_byte(&t->body, '\n');
    return !t->body.failed;
}

/** May a line without its end be taken as it is? */
static bool is_over(sl_tail *t, tail_file *f, int64_t now_us) {
    if (f->waiting_us == 0 || f->waiting_size != f->size) {
        f->waiting_us = now_us;
        f->waiting_size = f->size;
    }
    return (f->away && now_us - f->away_us > AWAY_US) ||
           (t->options.partial_us != 0 && now_us - f->waiting_us >= t->options.partial_us);
}

/** @return Bytes of the file's next chunk, which lie behind the header in t->body; 0: none. */
static size_t read_chunk(sl_tail *t, tail_file *f, int64_t now_us) {
    const bool csv = t->options.format.kind == SL_FORMAT_CSV;
    sl_buffer_clear(&t->body);
    if (csv && t->options.format.header == SL_HEADER_PRESENT) {
        if (!read_header(t, f, is_over(t, f, now_us)))
            return 0;
        if (f->offset < f->header_length)
            f->offset = f->header_length;
    }
    const size_t header = t->body.length;
    size_t limit = t->options.chunk_bytes > header + CHUNK_MIN ? t->options.chunk_bytes - header : CHUNK_MIN;
    uint64_t available = f->size > f->offset ? f->size - f->offset : 0;
    size_t wanted = available < limit ? (size_t)available : limit;
    if (wanted == 0 || !sl_buffer_reserve(&t->body, wanted))
        return 0;
    uint8_t *bytes = t->body.bytes + header;
    size_t got = read_at(t, f->file, f->offset, wanted, bytes);
    if (got != wanted || !is_same(t, f))
        return 0; /* It was truncated just now: the next look finds out. */
    size_t whole = csv ? whole_rows(t, bytes, got) : whole_lines(bytes, got);
    if (whole == 0 && got == limit)
        whole = whole_lines(bytes, got) != 0 ? whole_lines(bytes, got) : got;
    if (whole == 0 && is_over(t, f, now_us))
        whole = got;
    if (whole != 0)
        f->waiting_us = 0;
    t->body.length = header + whole;
    return whole;
}

static uint32_t count_lines(const uint8_t *bytes, size_t length) {
    uint32_t lines = 0;
    for (const uint8_t *p = bytes, *end = bytes + length; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
        lines++;
    return lines;
}

static void hand_out(sl_tail *t, uint32_t lines, sl_tail_chunk *chunk) {
    const tail_state *s = &t->state;
    (void)snprintf(t->key, sizeof t->key, "file/%.64s/%" PRIu64 "/%" PRIu64, t->options.name, s->serial, s->from);
    *chunk = (sl_tail_chunk){.body = s->body.bytes,
                             .length = (uint32_t)s->body.length,
                             .key = t->key,
                             .bytes = (uint32_t)(s->to - s->from),
                             .lines = lines};
}

/** Write it down, then hand it out. */
static sl_status offer(sl_tail *t, const tail_file *f, size_t bytes, sl_tail_chunk *chunk, sl_error *error) {
    tail_state *s = &t->state;
    sl_buffer spare = s->body;
    s->body = t->body;
    s->serial = f->serial;
    s->from = f->offset;
    s->to = f->offset + bytes;
    t->body = spare;
    sl_status status = save(t, error);
    if (status != SL_OK) {
        sl_buffer_clear(&s->body);
        return status;
    }
    hand_out(t, count_lines(s->body.bytes + (s->body.length - bytes), bytes), chunk);
    return SL_OK;
}

/** Of a file that isn't read yet: since it was found it may have become a copy, or what it is a copy of been truncated.
 * @return false: it has, or the list is another one. */
static bool is_own(sl_tail *t, uint32_t i, int64_t now_us) {
    tail_file own = t->state.files[i];
    const uint64_t serial = own.serial;
    const uint32_t count = t->state.count;
    compare(t, &own, now_us);
    for (uint32_t k = 0; k < t->state.count; k++) {
        tail_file *f = &t->state.files[k];
        if (f->ghost || f->serial != serial || f->inode != own.inode)
            continue;
        f->serial = own.serial;
        f->offset = own.offset;
        f->copy_of = own.copy_of;
        f->waiting_us = own.waiting_us;
        return own.serial == serial && own.copy_of == 0 && t->state.count == count;
    }
    return false;
}

sl_status sl_tail_next(sl_tail *t, int64_t now_us, sl_tail_chunk *chunk, sl_error *error) {
    if (t->again) {
        t->again = false;
        hand_out(t, count_lines(t->state.body.bytes, t->state.body.length), chunk);
        return SL_OK;
    }
    if (!t->looked || now_us - t->looked_us >= LOOK_US)
        look_round(t, now_us);
    for (uint32_t i = 0; i < t->state.count; i++) {
        tail_file *f = &t->state.files[(t->turn + i) % t->state.count];
        if (f->file < 0 || f->ghost || f->copy_of != 0 || f->offset >= f->size)
            continue;
        if (f->offset == 0 && !f->own && t->state.count > 1 && !is_own(t, (t->turn + i) % t->state.count, now_us))
            return SL_EAGAIN;
        f = &t->state.files[(t->turn + i) % t->state.count];
        size_t bytes = read_chunk(t, f, now_us);
        if (bytes == 0)
            continue;
        t->turn = (t->turn + i) % t->state.count; /* The same file as long as it has more, up to the next look. */
        return offer(t, f, bytes, chunk, error);
    }
    t->turn++;
    return SL_EAGAIN;
}

void sl_tail_taken(sl_tail *t) {
    tail_state *s = &t->state;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->files[i].serial == s->serial && s->files[i].copy_of == 0 && s->files[i].offset < s->to)
            s->files[i].offset = s->to;
    sl_buffer_clear(&s->body);
    t->fresh = false;
}

uint64_t sl_tail_lag(const sl_tail *t) {
    uint64_t lag = 0;
    for (uint32_t i = 0; i < t->state.count; i++) {
        const tail_file *f = &t->state.files[i];
        if (!f->ghost && f->copy_of == 0 && f->file >= 0 && f->size > f->offset)
            lag += f->size - f->offset;
    }
    return lag;
}

uint32_t sl_tail_count(const sl_tail *t) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->state.count; i++)
        count += t->state.files[i].file >= 0;
    return count;
}
