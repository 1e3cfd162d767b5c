/* Entries to objects: the files of one entry go out several at a time; the entry is
 * delivered when all are there. */
#include "s3_private.h"

#include "sluice/target.h"

#include <assert.h>

/* Deliveries that memory didn't even suffice to note down, each from another table. */
enum { STARVED_MAX = 256 };

typedef struct lake lake;

typedef struct upload {
    struct delivery *delivery;
    sl_object_operation *operation; /* NULL: idle. */
    const sl_entry_file *file;
} upload;

typedef struct delivery {
    struct delivery *next, **link;
    lake *lake;
    const sl_delivery *what;
    sl_target_done_fn *done;
    void *context;
    char bucket[64];
    const char *prefix;
    size_t prefix_length;
    uint32_t next_file, on_way;
    bool told;        /* Waits for the timer to tell. */
    sl_status status; /* The first failure's. */
    sl_error error;
    upload uploads[]; /* files_max of them. */
} delivery;

typedef struct starved {
    sl_target_done_fn *done;
    void *context;
} starved;

struct lake {
    sl_target target;
    sl_object_store *store;
    unsigned files_max;
    sl_timer *timer;
    delivery *deliveries;
    starved starved[STARVED_MAX];
    unsigned starved_count;
};

static void free_delivery(delivery *d) {
    *d->link = d->next;
    if (d->next != NULL)
        d->next->link = d->link;
    sl_free(d);
}

static void send_files(delivery *d);

/* Told from the timer: never from inside deliver(), and never while uploads are begun. */
static void tell_if_done(delivery *d) {
    bool all = d->next_file == d->what->entry->file_count || d->status != SL_OK;
    if (all && d->on_way == 0) {
        d->told = true;
        sl_timer_start(d->lake->timer, 0);
    }
}

static void on_timer(void *context) {
    lake *l = context;
    while (l->starved_count > 0) {
        sl_error error = {0};
        starved who = l->starved[--l->starved_count];
        who.done(who.context, sl_error_set(&error, SL_ENOMEM, "delivery: out of memory"),
                 &error);
    }
    for (delivery *d = l->deliveries; d != NULL;) {
        if (!d->told) {
            d = d->next;
            continue;
        }
        sl_status status = d->status;
        sl_error error = d->error;
        sl_target_done_fn *done = d->done;
        void *for_whom = d->context;
        free_delivery(d);
        done(for_whom, status, &error);
        d = l->deliveries; /* Others may have come or ended. */
    }
}

static void failed(delivery *d, sl_status status, const sl_error *error) {
    if (d->status != SL_OK)
        return;
    d->status = status;
    d->error = *error;
    d->error.status = status;
}

static void on_put(void *context, sl_status status, const sl_error *error) {
    upload *u = context;
    delivery *d = u->delivery;
    u->operation = NULL;
    d->on_way--;
    if (status != SL_OK)
        failed(d, status, error);
    send_files(d);
}

/* The spool's file is gone. It may have been delivered before the ledger was set back. */
static void on_head(void *context, sl_status status, const sl_object_info *info,
                    const sl_error *error) {
    upload *u = context;
    delivery *d = u->delivery;
    sl_error gone = {0};
    u->operation = NULL;
    d->on_way--;
    if (status == SL_ENOTFOUND ||
        (status == SL_OK && (info->bytes != u->file->bytes || !info->has_hash ||
                             info->hash.low != u->file->hash.low ||
                             info->hash.high != u->file->hash.high))) {
        (void)sl_error_set(
            &gone, SL_ENOTFOUND,
            "s3://%s: %.150s isn't there, and %.150s is no longer in %.100s", d->bucket,
            u->file->key, u->file->spool, d->what->spool);
        failed(d, SL_ENOTFOUND, &gone);
    } else if (status != SL_OK)
        failed(d, status, error);
    send_files(d);
}

static sl_status begin(delivery *d, upload *u, sl_error *error) {
    sl_buffer key = SL_BUFFER_EMPTY, path = SL_BUFFER_EMPTY;
    sl_buffer_append(&key, d->prefix, d->prefix_length);
    if (d->prefix_length > 0)
        sl_buffer_byte(&key, '/');
    sl_buffer_text(&key, u->file->key);
    sl_buffer_printf(&path, "%s/%s", d->what->spool, u->file->spool);
    const sl_object_put put = {.bucket = d->bucket,
                               .key = sl_buffer_cstr(&key),
                               .path = sl_buffer_cstr(&path),
                               .length = u->file->bytes,
                               .hash = &u->file->hash,
                               .content_type = "application/vnd.apache.parquet"};
    sl_object_store *store = d->lake->store;
    sl_status status =
        key.failed || path.failed
            ? sl_error_set(error, SL_ENOMEM, "s3://%s: out of memory", d->bucket)
            : sl_object_store_put(store, &put, on_put, u, &u->operation, error);
    if (status == SL_ENOTFOUND)
        status = sl_object_store_head(store, put.bucket, put.key, on_head, u,
                                      &u->operation, error);
    sl_buffer_fini(&key);
    sl_buffer_fini(&path);
    return status;
}

static void send_files(delivery *d) {
    const sl_entry *entry = d->what->entry;
    for (unsigned i = 0; i < d->lake->files_max; i++) {
        upload *u = &d->uploads[i];
        /* After a failure those on their way end, and no more begin: what they bring is
         * kept. */
        if (u->operation != NULL || d->next_file == entry->file_count ||
            d->status != SL_OK)
            continue;
        sl_error error = {0};
        u->delivery = d;
        u->file = &entry->files[d->next_file++];
        sl_status status = begin(d, u, &error);
        if (status == SL_OK)
            d->on_way++;
        else
            failed(d, status, &error);
    }
    tell_if_done(d);
}

static void deliver(sl_target *target, const sl_delivery *what, sl_target_done_fn *done,
                    void *context) {
    lake *l = (lake *)target;
    delivery *d = sl_calloc(1, sizeof *d + l->files_max * sizeof *d->uploads);
    if (d == NULL) {
        assert(l->starved_count < STARVED_MAX);
        l->starved[l->starved_count++] = (starved){done, context};
        sl_timer_start(l->timer, 0);
        return;
    }
    d->lake = l;
    d->what = what;
    d->done = done;
    d->context = context;
    d->next = l->deliveries;
    d->link = &l->deliveries;
    if (d->next != NULL)
        d->next->link = &d->next;
    l->deliveries = d;
    d->status = sl_object_url_parse(what->target, d->bucket, &d->prefix,
                                    &d->prefix_length, &d->error);
    send_files(d);
}

static void destroy(sl_target *target) {
    lake *l = (lake *)target;
    while (l->deliveries != NULL) {
        delivery *d = l->deliveries;
        for (unsigned i = 0; i < l->files_max; i++)
            if (d->uploads[i].operation != NULL)
                sl_object_operation_cancel(d->uploads[i].operation);
        free_delivery(d);
    }
    sl_timer_destroy(l->timer);
    sl_free(l);
}

sl_status sl_s3_lake_create(const sl_s3_lake_options *options, sl_target **out,
                            sl_error *error) {
    *out = NULL;
    lake *l = sl_calloc(1, sizeof *l);
    if (l == NULL)
        return sl_error_set(error, SL_ENOMEM, "S3 lake: out of memory");
    l->target = (sl_target){.deliver = deliver, .destroy = destroy};
    l->store = options->store;
    l->files_max = options->files_max > 0 ? options->files_max : 4;
    l->timer = sl_timer_create(options->store->options.loop, on_timer, l);
    if (l->timer == NULL) {
        sl_free(l);
        return sl_error_set(error, SL_ENOMEM, "S3 lake: out of memory");
    }
    *out = &l->target;
    return SL_OK;
}
