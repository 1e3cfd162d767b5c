/* Files, and which source is whose. */
#include "private.h"

#include "sluice/loop.h"
#include "sluice/message.h"
#include "sluice/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum { PIECE = 1 << 20, TICK_MS = 100, QUIET_TRIES = 20 };
#define QUIET_US SL_SECOND_US /* A file that was changed more lately may be half written. */
#define S3 "s3://"

const char *sl_data_place(const sl_config_lookup *lookup) {
    return lookup->csv      ? lookup->csv
           : lookup->ndjson ? lookup->ndjson
           : lookup->sqlite ? lookup->sqlite
                            : "postgres";
}

/* --- building --- */

sl_status sl_data_begin(const sl_data_request *r, sl_lookup_format format, const sl_lookup_column *columns,
                        uint32_t count, sl_lookup_loader **out, sl_error *error) {
    sl_lookup_definition d = {.name = r->lookup->name,
                              .format = format,
                              .key = r->lookup->key,
                              .columns = columns,
                              .column_count = count,
                              .all = true,
                              .budget = r->budget,
                              .stop = r->stop};
    if (r->before != NULL) {
        d.columns = sl_lookup_columns(r->before, &d.column_count);
        d.all = false;
        d.present = true;
    }
    return sl_lookup_begin(&d, out, error);
}

sl_status sl_data_finish(sl_lookup_loader *loader, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    sl_status status = sl_lookup_finish(loader, out, error);
    if (status == SL_OK && left_out != NULL)
        sl_lookup_left_out(loader, left_out);
    return status;
}

/* In quotes, as it is written. @param path A dot stands between schema and table. */
static void put_name(const char *name, bool path, sl_buffer *out) {
    sl_buffer_text(out, "\"");
    for (const char *c = name; *c != 0; c++)
        sl_buffer_text(out, *c == '"'           ? "\"\""
                            : *c == '.' && path ? "\".\""
                                                : (const char[]){*c, 0});
    sl_buffer_text(out, "\"");
}

void sl_data_select(const sl_config_lookup *lookup, sl_buffer *out) {
    sl_buffer_text(out, "SELECT * FROM ");
    if (lookup->query != NULL) { /* It may end in a comment, or a semicolon. */
        size_t length = strlen(lookup->query);
        while (length != 0 && strchr("; \t\r\n", lookup->query[length - 1]) != NULL)
            length--;
        sl_buffer_printf(out, "(%.*s\n)", (int)length, lookup->query);
    } else {
        put_name(lookup->table_name, true, out);
    }
    sl_buffer_text(out, " AS looked_up ORDER BY ");
    put_name(lookup->key, false, out);
}

/* --- files --- */

static sl_status failed(int number, sl_error *error) {
    char words[128];
    (void)strerror_r(number, words, sizeof words);
    return sl_error_set(error,
                        number == ENOENT || number == ENOTDIR ? SL_ENOTFOUND
                        : number == EACCES                    ? SL_EDENIED
                                                              : SL_EIO,
                        "%s", words);
}

sl_status sl_data_look(const char *path, sl_data_seen *seen, int64_t *quiet_us, sl_error *error) {
    struct stat s;
    struct timespec now;
    if (stat(path, &s) != 0)
        return failed(errno, error);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *quiet_us = (int64_t)(now.tv_sec - s.st_mtim.tv_sec) * SL_SECOND_US + (now.tv_nsec - s.st_mtim.tv_nsec) / 1000;
    (void)snprintf(seen->text, sizeof seen->text, "%ju:%ju %jd bytes %jd.%09ld", (uintmax_t)s.st_dev,
                   (uintmax_t)s.st_ino, (intmax_t)s.st_size, (intmax_t)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    return SL_OK;
}

static sl_status read_whole(const char *path, uint64_t most, sl_budget *budget, sl_buffer *out, sl_error *error) {
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return failed(errno, error);
    sl_status status = SL_OK;
    uint64_t taken = 0;
    for (size_t some = 1; some != 0 && status == SL_OK;) {
        errno = 0;
        if (sl_budget_take(budget, PIECE) != SL_OK) {
            status = sl_error_set(error, SL_EFULL, "doesn't fit in what `memory` leaves");
            break;
        }
        taken += PIECE;
        some = sl_buffer_reserve(out, PIECE) ? fread(out->bytes + out->length, 1, PIECE, f) : 0;
        out->length += some;
        if (out->failed)
            status = sl_error_set(error, SL_ENOMEM, "out of memory");
        else if (out->length > most)
            status = sl_error_set(error, SL_ELIMIT, "larger than %" PRIu64 " MiB", most >> 20);
        else if (some == 0 && ferror(f))
            status = failed(errno != 0 ? errno : EIO, error);
    }
    (void)fclose(f);
    sl_budget_give(budget, taken); /* Whoever gets the bytes counts them. */
    return status;
}

static bool stopped(const _Atomic bool *stop) {
    return stop != NULL && atomic_load_explicit(stop, memory_order_relaxed); /* Nothing but the wish is passed on. */
}

static void pause_for(int64_t us, const _Atomic bool *stop) {
    for (const struct timespec piece = {.tv_nsec = TICK_MS * 1000000L}; us > 0 && !stopped(stop); us -= TICK_MS * 1000)
        (void)nanosleep(&piece, NULL);
}

/* Until nobody has written it for a while. */
static sl_status wait_quiet(const char *path, sl_data_seen *seen, const _Atomic bool *stop, sl_error *error) {
    int64_t quiet_us;
    for (unsigned tries = 0; tries < QUIET_TRIES; tries++) {
        sl_status status = sl_data_look(path, seen, &quiet_us, error);
        if (status != SL_OK || quiet_us < 0 || quiet_us >= QUIET_US) /* Below 0: somebody's clock. */
            return status;
        if (stopped(stop))
            break;
        pause_for(QUIET_US - quiet_us, stop);
    }
    return sl_error_set(error, SL_EAGAIN, "it is being written all the time; write it beside, and rename it");
}

/* @param[out] out Nothing when `seen` says that the file is as it was. @param patient It is read again: wait for who writes it. */
static sl_status read_file(const char *path, sl_data_seen *seen, bool patient, const _Atomic bool *stop, uint64_t most,
                           sl_budget *budget, sl_buffer *out, bool *same, sl_error *error) {
    sl_data_seen before, after;
    int64_t quiet_us;
    sl_status status = sl_data_look(path, &before, &quiet_us, error);
    *same = status == SL_OK && seen != NULL && strcmp(before.text, seen->text) == 0;
    if (status != SL_OK || *same)
        return status;
    if (patient)
        status = wait_quiet(path, &before, stop, error);
    if (status == SL_OK)
        status = read_whole(path, most, budget, out, error);
    if (status == SL_OK)
        status = sl_data_look(path, &after, &quiet_us, error);
    if (status == SL_OK && strcmp(before.text, after.text) != 0)
        status = sl_error_set(error, SL_EAGAIN, "it changed while it was read");
    if (status == SL_OK && seen != NULL)
        *seen = before;
    return status;
}

static sl_status lookup_file(const sl_data_request *r, const char *path, sl_lookup **out, sl_buffer *left_out,
                             sl_error *error) {
    sl_buffer content = SL_BUFFER_EMPTY;
    sl_lookup_loader *loader = NULL;
    sl_data_seen seen = r->seen != NULL ? *r->seen : (sl_data_seen){{0}};
    bool same = false;
    sl_status status =
        read_file(path, &seen, r->before != NULL, r->stop, UINT64_C(1) << 30, r->budget, &content, &same, error);
    if (status == SL_OK && !same)
        status = sl_data_begin(r, r->lookup->csv != NULL ? SL_LOOKUP_CSV : SL_LOOKUP_NDJSON, NULL, 0, &loader, error);
    if (loader != NULL)
        status = sl_lookup_feed_all(loader, &content, error);
    if (loader != NULL && status == SL_OK)
        status = sl_data_finish(loader, out, left_out, error);
    if (status == SL_OK && r->seen != NULL)
        *r->seen = seen;
    sl_lookup_loader_destroy(loader);
    sl_buffer_fini(&content);
    return status;
}

sl_status sl_data_lookup(const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    *out = NULL;
    const sl_config_lookup *l = r->lookup;
    const char *content = l->csv != NULL ? l->csv : l->ndjson;
    bool object = content != NULL && strncmp(content, S3, strlen(S3)) == 0;
    sl_status status = object              ? sl_data_object(r, out, left_out, error)
                       : content != NULL   ? lookup_file(r, content, out, left_out, error)
                       : l->sqlite != NULL ? sl_data_sqlite(r, out, left_out, error)
                                           : sl_data_postgres(r, out, left_out, error);
    return status == SL_OK ? status : sl_error_context(error, "%.300s", sl_data_place(l));
}

sl_status sl_data_for_configuration(void *context, const sl_config *config, const sl_config_lookup *lookup,
                                    sl_lookup **out, sl_error *error) {
    const sl_data_reading *how = context;
    const sl_data_request request = {.config = config, .lookup = lookup, .budget = how->budget, .stop = how->stop};
    int64_t left = how->patience_us;
    for (int64_t pause = SL_SECOND_US / 2;; pause *= 2) {
        sl_status status = sl_data_lookup(&request, out, NULL, error);
        if ((status != SL_EIO && status != SL_EAGAIN) || left <= 0 || stopped(how->stop))
            return status;
        sl_message(SL_LEVEL_WARN, "lookup", "can't be read yet, tried again", "lookup=%s error=\"%s\"", lookup->name,
                   error->text);
        pause = pause < left ? pause : left;
        pause_for(pause, how->stop);
        left -= pause;
    }
}

sl_status sl_data_geoip(const char *path, sl_data_seen *seen, sl_budget *budget, const _Atomic bool *stop, sl_geoip **out,
                        sl_error *error) {
    *out = NULL;
    sl_buffer file = SL_BUFFER_EMPTY;
    bool same = false;
    sl_data_seen now = *seen;
    sl_status status = read_file(path, &now, true, stop, SL_GEOIP_FILE_BYTES_MAX, budget, &file, &same, error);
    if (status == SL_OK && !same) {
        sl_geoip *database = NULL;
        status = sl_geoip_load(file.bytes, file.length, NULL, &database, error);
        if (status == SL_OK)
            file = SL_BUFFER_EMPTY; /* The database's now. */
        if (status == SL_OK && sl_geoip_charge(database, budget) != SL_OK) {
            sl_geoip_unref(database);
            database = NULL;
            status = sl_error_set(error, SL_EFULL, "doesn't fit in what `memory` leaves");
        }
        *out = database;
    }
    if (status == SL_OK)
        *seen = now;
    sl_buffer_fini(&file);
    return status == SL_OK ? status : sl_error_context(error, "%.300s", path);
}

/* --- waiting --- */

static void on_turn(void *context) {
    sl_data_wait *w = context;
    if (w->done || stopped(w->stop))
        sl_loop_stop(w->loop);
}

sl_status sl_data_wait_open(sl_data_wait *w, const _Atomic bool *stop, sl_error *error) {
    *w = (sl_data_wait){.stop = stop};
    const sl_loop_callbacks callbacks = {.turn = on_turn, .tick = on_turn, .context = w, .tick_ms = TICK_MS};
    return sl_loop_create(&callbacks, &w->loop, error);
}

void sl_data_wait_done(sl_data_wait *w, sl_status status, const sl_error *error) {
    w->done = true;
    w->status = status;
    if (status != SL_OK)
        w->error = *error;
}

sl_status sl_data_wait_for(sl_data_wait *w, sl_error *error) {
    if (!w->done)
        sl_loop_run(w->loop);
    if (!w->done)
        return sl_error_set(error, SL_EAGAIN, "stopped");
    w->done = false;
    if (w->status != SL_OK)
        *error = w->error;
    return w->status;
}

void sl_data_wait_close(sl_data_wait *w) {
    sl_loop_destroy(w->loop);
}

/* --- the budget --- */

static sl_status fits(sl_status status, const char *kind, const char *name, size_t bytes, sl_error *error) {
    return status == SL_OK ? SL_OK
                           : sl_error_set(error, SL_EFULL, "%s %.200s: its %zu MiB don't fit in `memory` beside what else is there: raise it",
                                          kind, name, (bytes >> 20) + 1);
}

sl_status sl_data_charge(const sl_config *c, sl_budget *budget, sl_error *error) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < c->lookup_count && status == SL_OK; i++)
        status = fits(sl_lookup_charge(c->lookups[i].table, budget), "lookup", c->lookups[i].name,
                      sl_lookup_facts_of(c->lookups[i].table).memory, error);
    for (uint32_t i = 0; i < c->stream_count; i++)
        for (uint32_t k = 0; k < c->streams[i].step_count && status == SL_OK; k++) {
            const sl_step_definition *d = &c->streams[i].steps[k];
            if (d->database != NULL)
                status = fits(sl_geoip_charge(d->database, budget), "geoip: database", d->source,
                              sl_geoip_memory(d->database), error);
            if (d->rules != NULL && status == SL_OK)
                status = fits(sl_user_agent_rules_charge(d->rules, budget), "user_agent: regexes", "",
                              sl_user_agent_rules_memory(d->rules), error);
        }
    return status;
}
