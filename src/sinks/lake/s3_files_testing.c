/* Delivers and checks single files, for tests/integration/s3_module_test.py, which has a
 * server.
 *
 *   s3_files ENDPOINT BUCKET SPOOL    credentials from where AWS's programs look
 *
 * Lines of standard input, each answered by one "STATUS TEXT"; keys are in hex, as they
 * may hold anything: deliver FILE KEY [FILE KEY ...]   one entry of these files of the
 * spool start FILE KEY                    as deliver, not waited for: no answer verify
 * FILE KEY / read FILE KEY   by metadata; by content too delete KEY, list PREFIX
 * SLUICE_S3_OPTIONS: words such as sse=AES256 class=STANDARD_IA tag=a:b part=5242880
 * stall=2000 tries=3. */
#include "s3_private.h"

#include "sluice/io_files.h"
#include "sluice/lake.h"
#include "sluice/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FILES_MAX = 64 };

typedef struct session {
    sl_arena memory; /* Of this process. */
    struct uv_loop_s *loop;
    sl_http_client *http;
    sl_aws_credentials *credentials;
    sl_object_store *store;
    sl_target *lake;
    sl_object_reader *reader;
    const char *bucket, *spool;
    bool done;
    sl_status status;
    sl_error error;
} session;

static int64_t wall_us(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000;
}

static int64_t monotonic_us(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SL_SECOND_US + now.tv_nsec / 1000;
}

static void on_done(void *context, sl_status status, const sl_error *error) {
    session *s = context;
    s->done = true;
    s->status = status;
    s->error = *error;
}

static void *get(session *s, size_t size) {
    void *memory = sl_arena_get(&s->memory, size);
    if (memory == NULL)
        abort();
    return memset(memory, 0, size);
}

static char *unhex(session *s, const char *hex) {
    size_t n = strlen(hex) / 2;
    char *text = get(s, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        text[i] = (char)strtol(digits, NULL, 16);
    }
    return text;
}

static sl_status hash_file(session *s, const char *name, sl_hash128 *hash,
                           uint64_t *bytes) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", s->spool, name);
    return sl_lake_hash(sl_files_system(), path, hash, bytes, &s->error);
}

static void deliver(session *s, char *words, bool wait) {
    sl_entry_file *files = get(s, FILES_MAX * sizeof *files);
    sl_entry *entry = get(s, sizeof *entry);
    sl_delivery *delivery = get(s, sizeof *delivery);
    char *target = get(s, 128), *save;
    *entry = (sl_entry){.files = files};
    for (char *name; (name = strtok_r(words, " ", &save)) != NULL; words = NULL) {
        sl_entry_file *f = &files[entry->file_count++];
        f->spool = sl_arena_strndup(&s->memory, name, strlen(name));
        f->key = unhex(s, strtok_r(NULL, " ", &save));
        s->status = hash_file(s, name, &f->hash, &f->bytes);
        if (s->status != SL_OK) { /* Gone: as the caller once knew it. */
            f->hash = (sl_hash128){0};
            f->bytes = 0;
        }
    }
    (void)snprintf(target, 128, "s3://%s", s->bucket);
    *delivery = (sl_delivery){
        .table = "t/lake", .target = target, .spool = s->spool, .entry = entry};
    s->done = false;
    s->lake->deliver(s->lake, delivery, on_done, s);
    if (wait)
        (void)sl_waiting_loop_run(s->loop, &s->done);
    else /* Until a signal ends us. */
        for (bool never = false; !never;)
            never = !sl_waiting_loop_run(s->loop, &never);
}

static bool print_key(void *context, const sl_object_info *info) {
    (void)context;
    for (const char *c = info->key; *c != 0; c++)
        printf("%02x", (unsigned)(unsigned char)*c);
    printf(" %llu ", (unsigned long long)info->bytes);
    return true;
}

static void check(session *s, char *words, bool whole) {
    char *save, *name = strtok_r(words, " ", &save),
                *key = unhex(s, strtok_r(NULL, " ", &save));
    sl_hash128 hash;
    uint64_t bytes;
    s->status = hash_file(s, name, &hash, &bytes);
    if (s->status == SL_OK)
        s->status = sl_object_reader_verify(s->reader, s->bucket, key, bytes, hash, whole,
                                            &s->error);
}

static void command(session *s, char *line) {
    char *space = strchr(line, ' ');
    if (space == NULL)
        return;
    *space = 0;
    s->error = (sl_error){0};
    if (strcmp(line, "deliver") == 0 || strcmp(line, "start") == 0)
        deliver(s, space + 1, line[0] == 'd');
    else if (strcmp(line, "verify") == 0 || strcmp(line, "read") == 0)
        check(s, space + 1, line[0] == 'r');
    else if (strcmp(line, "list") == 0) {
        char *prefix = unhex(s, space + 1);
        s->status = sl_object_reader_list(s->reader, s->bucket, prefix, print_key, NULL,
                                          &s->error);
    } else if (strcmp(line, "delete") == 0) {
        char *key = unhex(s, space + 1);
        s->done = false;
        s->status =
            sl_object_store_delete(s->store, s->bucket, key, on_done, s, NULL, &s->error);
        if (s->status == SL_OK)
            (void)sl_waiting_loop_run(s->loop, &s->done);
    }
    printf("%s %s\n", sl_status_name(s->status), s->status == SL_OK ? "" : s->error.text);
    (void)fflush(stdout);
}

static void take_options(session *s, sl_object_store_options *o) {
    static sl_http_field tag;
    const char *given = getenv("SLUICE_S3_OPTIONS");
    char *words = get(s, given != NULL ? strlen(given) + 1 : 1), *save;
    (void)strcpy(words, given != NULL ? given : "");
    for (char *word = strtok_r(words, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        char *value = strchr(word, '=');
        if (value == NULL)
            abort();
        *value++ = 0;
        if (strcmp(word, "sse") == 0)
            o->sse =
                strcmp(value, "AES256") == 0 ? SL_OBJECT_SSE_AES256 : SL_OBJECT_SSE_KMS;
        else if (strcmp(word, "class") == 0)
            o->storage_class = value;
        else if (strcmp(word, "part") == 0)
            o->part_bytes = strtoull(value, NULL, 10);
        else if (strcmp(word, "stall") == 0)
            o->stall_timeout_ms = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(word, "tries") == 0)
            o->tries_max = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(word, "tag") == 0) {
            tag = (sl_http_field){value, strchr(value, ':') + 1};
            *strchr(value, ':') = 0;
            o->tags = &tag;
            o->tag_count = 1;
        } else
            abort();
    }
}

int main(int count, char **arguments) {
    if (count != 4)
        return 64;
    session s = {.bucket = arguments[2], .spool = arguments[3]};
    const sl_http_client_options http = {0};
    const sl_aws_credentials_options keys = {0};
    sl_object_store_options options = {.files = sl_files_system(),
                                       .clock = {wall_us, monotonic_us, NULL},
                                       .endpoint = arguments[1],
                                       .path_style = true};
    sl_arena_init(&s.memory, 4096);
    take_options(&s, &options);

    s.loop = sl_waiting_loop_create();
    if (s.loop == NULL ||
        sl_http_client_create(s.loop, &http, &s.http, &s.error) != SL_OK ||
        sl_aws_credentials_create(s.loop, s.http, &keys, &s.credentials, &s.error) !=
            SL_OK)
        return 1;
    options.loop = s.loop;
    options.http = s.http;
    options.credentials = s.credentials;
    if (sl_object_store_create(&options, &s.store, &s.error) != SL_OK ||
        sl_s3_lake_create(&(sl_s3_lake_options){.store = s.store}, &s.lake, &s.error) !=
            SL_OK ||
        sl_object_reader_create(&options, NULL, &keys, &s.reader, &s.error) != SL_OK) {
        fprintf(stderr, "%s\n", s.error.text);
        return 1;
    }
    static char line[1 << 16];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        command(&s, line);
    }
    sl_object_reader_destroy(s.reader);
    s.lake->destroy(s.lake);
    sl_object_store_destroy(s.store);
    sl_aws_credentials_destroy(s.credentials);
    sl_http_client_destroy(s.http);
    sl_waiting_loop_destroy(s.loop);
    sl_arena_fini(&s.memory);
    return 0;
}
