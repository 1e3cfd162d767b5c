/* The object store for those who may wait: a loop that runs until the one thing asked for
 * is there. */
#include "s3_private.h"

#include <inttypes.h>

static const uint64_t READ_BYTES = UINT64_C(8) << 20;

struct sl_object_reader {
    struct uv_loop_s *loop;
    sl_http_client *http;
    sl_aws_credentials *credentials;
    sl_object_store *store;
    /* Of the call that runs. */
    bool done;
    sl_status status;
    sl_error *error;
    sl_object_info info;
    sl_buffer *out;
    sl_object_list_fn *each;
    void *context;
};

void sl_object_reader_destroy(sl_object_reader *reader) {
    if (reader == NULL)
        return;
    sl_object_store_destroy(reader->store);
    sl_aws_credentials_destroy(reader->credentials);
    sl_http_client_destroy(reader->http);
    sl_waiting_loop_destroy(reader->loop);
    sl_free(reader);
}

sl_status sl_object_reader_create(const sl_object_store_options *options,
                                  const char *ca_file,
                                  const sl_aws_credentials_options *credentials,
                                  sl_object_reader **out, sl_error *error) {
    *out = NULL;
    sl_object_reader *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return sl_error_set(error, SL_ENOMEM, "object reader: out of memory");
    const sl_http_client_options http = {.ca_file = ca_file};
    sl_object_store_options store = *options;
    r->loop = sl_waiting_loop_create();
    sl_status status = r->loop == NULL
                           ? sl_error_set(error, SL_ENOMEM, "object reader: no loop")
                           : sl_http_client_create(r->loop, &http, &r->http, error);
    if (status == SL_OK)
        status = sl_aws_credentials_create(r->loop, r->http, credentials, &r->credentials,
                                           error);
    store.loop = r->loop;
    store.http = r->http;
    store.credentials = r->credentials;
    if (status == SL_OK)
        status = sl_object_store_create(&store, &r->store, error);
    if (status != SL_OK)
        sl_object_reader_destroy(r);
    else
        *out = r;
    return status;
}

static void take_result(sl_object_reader *r, sl_status status, const sl_error *error) {
    r->done = true;
    r->status = status;
    if (status != SL_OK && r->error != NULL)
        *r->error = *error;
}

/* @param status Of beginning. */
static sl_status wait(sl_object_reader *r, sl_status status) {
    if (status != SL_OK)
        return status;
    if (!sl_waiting_loop_run(r->loop, &r->done))
        return sl_error_set(r->error, SL_EIO, "object reader: the loop ended");
    return r->status;
}

static void on_head(void *context, sl_status status, const sl_object_info *info,
                    const sl_error *error) {
    sl_object_reader *r = context;
    if (status == SL_OK)
        r->info = (sl_object_info){
            .bytes = info->bytes, .has_hash = info->has_hash, .hash = info->hash};
    take_result(r, status, error);
}

static void on_get(void *context, sl_status status, sl_buffer *bytes,
                   const sl_error *error) {
    sl_object_reader *r = context;
    take_result(r, status, error);
    if (status != SL_OK)
        return;
    sl_buffer_append(r->out, bytes->bytes, bytes->length);
    if (r->out->failed)
        r->status = sl_error_set(r->error, SL_ENOMEM, "object reader: out of memory");
}

static void on_list(void *context, sl_status status, const sl_error *error) {
    take_result(context, status, error);
}

sl_status sl_object_reader_get(sl_object_reader *r, const char *bucket, const char *key,
                               uint64_t offset, uint64_t length, sl_buffer *out,
                               sl_error *error) {
    r->done = false;
    r->error = error;
    r->out = out;
    return wait(r, sl_object_store_get(r->store, bucket, key, offset, length, on_get, r,
                                       NULL, error));
}

static bool each_item(void *context, const sl_object_info *info) {
    sl_object_reader *r = context;
    return r->each(r->context, info);
}

sl_status sl_object_reader_list(sl_object_reader *r, const char *bucket,
                                const char *prefix, sl_object_list_fn *each,
                                void *context, sl_error *error) {
    r->done = false;
    r->error = error;
    r->each = each;
    r->context = context;
    return wait(r, sl_object_store_list(r->store, bucket, prefix, each_item, on_list, r,
                                        NULL, error));
}

static sl_status compare_content(sl_object_reader *r, const char *bucket, const char *key,
                                 uint64_t bytes, sl_hash128 hash, sl_error *error) {
    sl_hasher *hasher = sl_hasher_create();
    sl_buffer piece = SL_BUFFER_EMPTY;
    sl_status status =
        hasher != NULL ? SL_OK : sl_error_set(error, SL_ENOMEM, "out of memory");
    uint64_t at = 0;
    while (status == SL_OK && at < bytes) {
        sl_buffer_clear(&piece);
        status = sl_object_reader_get(r, bucket, key, at, READ_BYTES, &piece, error);
        if (status != SL_OK || piece.length == 0)
            break;
        sl_hasher_add(hasher, piece.bytes, piece.length);
        at += piece.length;
    }
    if (status == SL_OK) {
        sl_hash128 sum = sl_hasher_sum(hasher);
        if (at != bytes || sum.low != hash.low || sum.high != hash.high)
            status = sl_error_set(error, SL_ECORRUPT,
                                  "s3://%s/%.200s: its content isn't what was delivered",
                                  bucket, key);
    }
    sl_buffer_fini(&piece);
    if (hasher != NULL)
        sl_hasher_destroy(hasher);
    return status;
}

sl_status sl_object_reader_verify(sl_object_reader *r, const char *bucket,
                                  const char *key, uint64_t bytes, sl_hash128 hash,
                                  bool whole, sl_error *error) {
    r->done = false;
    r->error = error;
    sl_status status =
        wait(r, sl_object_store_head(r->store, bucket, key, on_head, r, NULL, error));
    if (status != SL_OK)
        return status;
    if (r->info.bytes != bytes)
        return sl_error_set(error, SL_ECORRUPT,
                            "s3://%s/%.200s: %" PRIu64 " bytes, delivered were %" PRIu64,
                            bucket, key, r->info.bytes, bytes);
    if (r->info.has_hash &&
        (r->info.hash.low != hash.low || r->info.hash.high != hash.high))
        return sl_error_set(error, SL_ECORRUPT,
                            "s3://%s/%.200s: its hash isn't that of what was delivered",
                            bucket, key);
    /* Copies often lose their metadata: then the content itself must tell. */
    return whole || !r->info.has_hash
               ? compare_content(r, bucket, key, bytes, hash, error)
               : SL_OK;
}
