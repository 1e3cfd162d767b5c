/* The proof of the raw zone: each record that was taken lies in it once, with the bytes that were sent; no other does. */
#include "sim.h"

#include "sluice/ndjson.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

typedef struct raw_zone {
    sim *sim;
    sl_files *files;
    uint32_t stream;
    const char *directory;
    uint32_t *found;    /* by request */
    uint8_t **covered;  /* by request of messages, which may go on in another file: which of its bytes were found */
    uint64_t bad_bytes; /* of broken lines that no good one stands before: they look all alike */
} raw_zone;

/* Record by record it holds the same. */
static void check_marks(sim *s, const char *path, const uint8_t *bytes, size_t length, const sl_buffer *plain) {
    sl_ndjson_reader *reader;
    sl_error error = {0};
    const uint8_t *record;
    size_t size, at = 0;
    sl_ndjson_mark mark;
    sl_status status = sl_ndjson_open(bytes, length, &reader, &error);
    while (status == SL_OK && (status = sl_ndjson_next(reader, &record, &size, &mark, &error)) == SL_OK) {
        if (size > plain->length - at || memcmp(record, plain->bytes + at, size) != 0 || mark.source_length == 0 ||
            mark.arrival_us <= 0)
            sim_fail(s, "%s: a record isn't what its mark says", path);
        at += size;
        at += size == 0 || record[size - 1] != '\n';
    }
    if (status != SL_ENOTFOUND || at != plain->length)
        sim_fail(s, "%s: its marks end at %zu of %zu: %s", path, at, plain->length, error.text);
    sl_ndjson_close(reader);
}

static void unpack(sim *s, sl_files *files, const char *path, sl_buffer *out) {
    char *bytes;
    size_t length;
    sl_error error = {0};
    if (sl_files_read_all(files, path, UINT32_MAX, &bytes, &length, &error) != SL_OK)
        sim_fail(s, "%s: %s", path, error.text);
    ZSTD_DCtx *reader = ZSTD_createDCtx();
    ZSTD_inBuffer in = {bytes, length, 0};
    size_t left = 1;
    while (left != 0 || in.pos != length) { /* Behind the frame of records stands one that readers skip. */
        if (!sl_buffer_reserve(out, 1 << 16))
            abort();
        ZSTD_outBuffer to = {out->bytes, out->capacity, out->length};
        size_t at = in.pos;
        left = ZSTD_decompressStream(reader, &to, &in);
        if (ZSTD_isError(left) || (left != 0 && in.pos == at && to.pos == out->length))
            sim_fail(s, "%s isn't a whole zstd frame", path);
        out->length = to.pos;
    }
    ZSTD_freeDCtx(reader);
    check_marks(s, path, (const uint8_t *)bytes, length, out);
    sl_free(bytes);
}

/* Whether the stream took an event of the request, a refused one perhaps. */
static bool took(const sim *s, const sim_request *r, uint32_t stream) {
    if (r->stream == stream)
        return !s->shared || r->good != 0 || r->bad > r->strays;
    return stream == 1 && r->strays != 0;
}

/* Good events say which request they are of. */
static bool is_good(const char *line, unsigned *request) {
    unsigned id;
    int kind = 0;
    return sscanf(line, "{\"id\":%u,\"req\":%u,\"kind%n", &id, request, &kind) == 2 && kind != 0;
}

/* A request of messages lies in one piece, or in several files: this is one from the line on that stands here. */
static size_t piece_length(raw_zone *z, const char *path, uint32_t number, const char *text, size_t length) {
    const sim_request *r = &z->sim->requests[number];
    const size_t line = strcspn(text, "\n");
    const char *at = r->lines;
    while (at != NULL && (strcspn(at, "\n") != line || memcmp(at, text, line) != 0))
        at = (at = strchr(at, '\n')) != NULL ? at + 1 : NULL;
    if (at == NULL)
        sim_fail(z->sim, "%s: request %u has no such line: %.200s", path, number, text);
    const size_t from = (size_t)(at - r->lines), left = r->length - from, piece = left < length ? left : length;
    if (memcmp(at, text, piece) != 0 || (piece < left && at[piece - 1] != '\n'))
        sim_fail(z->sim, "%s: request %u isn't there as it was sent", path, number);
    if (z->covered[number] == NULL && (z->covered[number] = calloc(r->length, 1)) == NULL)
        abort();
    for (size_t i = from; i < from + piece; i++)
        if (z->covered[number][i]++ != 0)
            sim_fail(z->sim, "%s: request %u is there twice", path, number);
    z->found[number] = 1;
    return piece;
}

/* Broken lines at the begin of a file can't be told from those of other requests. */
static uint64_t uncovered(const raw_zone *z, uint32_t number) {
    const sim_request *r = &z->sim->requests[number];
    uint64_t bytes = 0;
    for (size_t at = 0, line; at < r->length && z->covered[number] != NULL; at += line) {
        line = strcspn(r->lines + at, "\n") + 1;
        if (z->covered[number][at] != 0)
            continue;
        unsigned of;
        if (is_good(r->lines + at, &of))
            sim_fail(z->sim, "request %u is there but for its line %.200s", number, r->lines + at);
        bytes += line;
    }
    return bytes;
}

/* A body that has good events begins with one. */
static size_t record_length(raw_zone *z, const char *path, const char *text, size_t length) {
    sim *s = z->sim;
    unsigned number;
    if (!is_good(text, &number)) {
        const char *end = memchr(text, '\n', length);
        if (end == NULL)
            sim_fail(s, "%s ends within a line", path);
        z->bad_bytes += (size_t)(end + 1 - text);
        return (size_t)(end + 1 - text);
    }
    if (number >= s->request_count || !took(s, &s->requests[number], z->stream))
        sim_fail(s, "%s holds a record of request %u", path, number);
    const sim_request *r = &s->requests[number];
    if (r->format.kind == SL_FORMAT_MESSAGES)
        return piece_length(z, path, number, text, length);
    if (r->length > length || memcmp(text, r->lines, r->length) != 0)
        sim_fail(s, "%s: request %u isn't there as it was sent", path, number);
    z->found[number]++;
    return r->length;
}

static sl_status zone_entry(void *context, const sl_file_entry *entry) {
    raw_zone *z = context;
    sim *s = z->sim;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", z->directory, entry->name);
    if (entry->directory) {
        const char *above = z->directory;
        z->directory = path;
        sl_status status = z->files->list(z->files, path, zone_entry, z, NULL);
        z->directory = above;
        return status;
    }
    if (strstr(path, "/date=202") == NULL || strstr(path, "/hour=") == NULL || strstr(path, ".ndjson.zst") == NULL)
        sim_fail(s, "%s lies in the raw zone", path);
    sl_buffer text = SL_BUFFER_EMPTY;
    unpack(s, z->files, path, &text);
    size_t length = text.length;
    (void)sl_buffer_cstr(&text);
    sim_trace(s, "%s: %zu bytes of records", path, length);
    for (size_t at = 0; at < length;)
        at += record_length(z, path, (const char *)text.bytes + at, length - at);
    sl_buffer_fini(&text);
    return SL_OK;
}

static void check_records(raw_zone *z) {
    sim *s = z->sim;
    uint64_t least = 0, most = 0;
    for (uint32_t i = 0; i < s->request_count; i++) {
        const sim_request *r = &s->requests[i];
        if (!took(s, r, z->stream))
            continue;
        if (r->good == 0) {
            least += r->in && !s->quarantine ? r->length : 0;
            most += r->in || r->maybe ? r->length : 0;
            continue;
        }
        least += uncovered(z, i);
        most += uncovered(z, i);
        bool must = r->in && !s->quarantine, may = r->in || (r->maybe && (s->late || s->quarantine));
        if (z->found[i] > 1 || (must && z->found[i] == 0) || (!may && z->found[i] != 0))
            sim_fail(s, "request %u is in the raw zone %u times, it was %s", i, z->found[i],
                     r->in ? "taken" : "not taken");
    }
    if (z->bad_bytes < least || z->bad_bytes > most)
        sim_fail(s, "the raw zone of %s has %llu bytes of broken records, not %llu to %llu",
                 s->streams[z->stream].name, (unsigned long long)z->bad_bytes, (unsigned long long)least,
                 (unsigned long long)most);
}

void prove_raw(sim *s) {
    for (uint32_t i = 0; i < STREAMS; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, s->far_lake ? "/bucket/lake/_raw/%s" : SIM_DATA "/raw/%s",
                       s->streams[i].name);
        raw_zone z = {.sim = s,
                      .files = s->far_lake ? target_files(s->target) : s->files,
                      .stream = i,
                      .directory = path};
        z.found = calloc(s->request_count + 1, sizeof *z.found);
        z.covered = calloc(s->request_count + 1, sizeof *z.covered);
        if (z.found == NULL || z.covered == NULL)
            abort();
        sl_status status = z.files->list(z.files, path, zone_entry, &z, NULL);
        if (status != SL_OK && status != SL_ENOTFOUND)
            sim_fail(s, "%s can't be listed", path);
        if (s->raw && s->streams[i].routed)
            check_records(&z);
        else if (status == SL_OK)
            sim_fail(s, "%s is there, and nobody asked for it", path);
        for (uint32_t k = 0; k < s->request_count; k++)
            free(z.covered[k]);
        free(z.covered);
        free(z.found);
    }
}
