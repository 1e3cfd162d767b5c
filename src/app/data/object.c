/* A table that is an object in S3. One GET gives one version of the object, whatever is put meanwhile. */
#include "private.h"

#include "sluice/io_files.h"
#include "sluice/loop.h"
#include "sluice/object_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define BYTES_MAX (UINT64_C(1) << 30)

typedef struct object {
    sl_data_wait wait;
    sl_http_client *http;
    sl_aws_credentials *credentials;
    sl_object_store *store;
    sl_object_operation *operation; /* On its way. */
    sl_data_seen seen;
    uint64_t bytes;
    sl_buffer content;
} object;

static sl_status open_store(object *o, const sl_config *c, sl_error *error) {
    const sl_http_client_options http = {.ca_file = c->s3.ca_file};
    const sl_aws_credentials_options keys = {.region = c->s3.region};
    struct uv_loop_s *loop = sl_loop_uv(o->wait.loop);
    sl_status status = sl_http_client_create(loop, &http, &o->http, error);
    if (status == SL_OK)
        status = sl_aws_credentials_create(loop, o->http, &keys, &o->credentials, error);
    const sl_object_store_options store = {.loop = loop,
                                           .http = o->http,
                                           .credentials = o->credentials,
                                           .files = sl_files_system(),
                                           .clock = sl_clock_system(),
                                           .endpoint = c->s3.endpoint,
                                           .region = c->s3.region,
                                           .path_style = c->s3.path_style};
    return status == SL_OK ? sl_object_store_create(&store, &o->store, error) : status;
}

static void on_head(void *context, sl_status status, const sl_object_info *info, const sl_error *error) {
    object *o = context;
    o->operation = NULL;
    if (status == SL_OK) {
        o->bytes = info->bytes;
        (void)snprintf(o->seen.text, sizeof o->seen.text, "%.200s %" PRIu64 " bytes", info->etag, info->bytes);
    }
    sl_data_wait_done(&o->wait, status, error);
}

static void on_get(void *context, sl_status status, sl_buffer *bytes, const sl_error *error) {
    object *o = context;
    o->operation = NULL;
    if (status == SL_OK) {
        o->content = *bytes;
        *bytes = SL_BUFFER_EMPTY;
    }
    sl_data_wait_done(&o->wait, status, error);
}

/* One byte more than there should be: an object that was put meanwhile and is longer shows. */
static sl_status get(object *o, const sl_data_request *r, const char *bucket, const char *key, sl_error *error) {
    if (o->bytes > BYTES_MAX - 1)
        return sl_error_set(error, SL_ELIMIT, "larger than %" PRIu64 " MiB", BYTES_MAX >> 20);
    if (o->bytes == 0)
        return SL_OK;
    if (sl_budget_take(r->budget, o->bytes) != SL_OK)
        return sl_error_set(error, SL_EFULL, "%" PRIu64 " bytes don't fit in what `memory` leaves", o->bytes);
    sl_status status =
        sl_object_store_get(o->store, bucket, key, 0, o->bytes + 1, on_get, o, &o->operation, error);
    if (status == SL_OK)
        status = sl_data_wait_for(&o->wait, error);
    sl_budget_give(r->budget, o->bytes); /* The loader counts it from here. */
    if (status == SL_OK && o->content.length != o->bytes)
        status = sl_error_set(error, SL_EAGAIN, "it changed while it was read");
    return status;
}

static sl_status build(object *o, const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    sl_lookup_loader *loader = NULL;
    sl_status status =
        sl_data_begin(r, r->lookup->csv != NULL ? SL_LOOKUP_CSV : SL_LOOKUP_NDJSON, NULL, 0, &loader, error);
    if (status == SL_OK)
        status = sl_lookup_feed_all(loader, &o->content, error);
    if (status == SL_OK)
        status = sl_data_finish(loader, out, left_out, error);
    sl_lookup_loader_destroy(loader);
    return status;
}

static sl_status load(object *o, const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    char bucket[64];
    const char *key;
    size_t length;
    sl_status status = sl_object_url_parse(sl_data_place(r->lookup), bucket, &key, &length, error);
    if (status == SL_OK)
        status = open_store(o, r->config, error);
    if (status == SL_OK)
        status = sl_object_store_head(o->store, bucket, key, on_head, o, &o->operation, error);
    if (status == SL_OK)
        status = sl_data_wait_for(&o->wait, error);
    if (status != SL_OK || (r->seen != NULL && strcmp(r->seen->text, o->seen.text) == 0))
        return status;
    status = get(o, r, bucket, key, error);
    if (status == SL_OK)
        status = build(o, r, out, left_out, error);
    if (status == SL_OK && r->seen != NULL)
        *r->seen = o->seen;
    return status;
}

sl_status sl_data_object(const sl_data_request *r, sl_lookup **out, sl_buffer *left_out, sl_error *error) {
    object o = {0};
    sl_status status = sl_data_wait_open(&o.wait, r->stop, error);
    if (status != SL_OK)
        return status;
    status = load(&o, r, out, left_out, error);
    if (o.operation != NULL)
        sl_object_operation_cancel(o.operation);
    sl_object_store_destroy(o.store);
    sl_aws_credentials_destroy(o.credentials);
    sl_http_client_destroy(o.http);
    sl_data_wait_close(&o.wait);
    sl_buffer_fini(&o.content);
    return status;
}
