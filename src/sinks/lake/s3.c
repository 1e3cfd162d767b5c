/* Operations of one request, or of one after another: look, read, list, delete, abort. */
#include "s3_private.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    KEY_BYTES_MAX = 1024,
    LIST_BYTES_MAX = 16 << 20, /* 1,000 keys of 1,024 bytes, each byte escaped, fit. */
};
static const uint64_t WHOLE_BYTES_MAX = UINT64_C(64) << 20;
static const uint64_t RANGE_BYTES_MAX = UINT64_C(1) << 30;

typedef struct operation {
    sl_object_operation base;
    s3_request request;
    void *context;
    sl_object_head_fn *head_done;
    sl_object_get_fn *get_done;
    sl_object_done_fn *simple_done;
    sl_object_list_fn *each;
    char range[64];
    uint64_t offset, length; /* Of a get. */
    sl_s3_page page;
    sl_buffer token,
        upload;        /* Where the page asked for begins: the request points here. */
    sl_buffer found;   /* Upload ids, each with its 0. */
    size_t found_next; /* The next to abort. */
    const char *bucket, *key;
    char texts[]; /* bucket, 0, key, 0 */
} operation;

sl_status s3_wrong(sl_error *error, sl_status status, const char *method,
                   const char *bucket, const char *key, const char *what) {
    return sl_error_set(error, status, "%s s3://%s/%.160s%s: %.240s", method, bucket, key,
                        strlen(key) > 160 ? "..." : "", what);
}

void s3_crc_text(uint32_t crc, char out[S3_CRC_TEXT]) {
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = (uint64_t)crc << 4; /* 36 bits are six digits. */
    for (int i = 5; i >= 0; i--, bits >>= 6)
        out[i] = digits[bits & 63];
    memcpy(out + 6, "==", 3);
}

static bool bucket_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool s3_bucket_ok(const char *bucket, size_t length) {
    if (length < 3 || length > 63 || !bucket_byte(bucket[0]) ||
        !bucket_byte(bucket[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!bucket_byte(bucket[i]) && bucket[i] != '-' && bucket[i] != '.')
            return false;
    return true;
}

sl_status sl_object_url_parse(const char *url, char bucket[64], const char **prefix,
                              size_t *prefix_length, sl_error *error) {
    if (strncmp(url, "s3://", 5) != 0)
        return sl_error_set(error, SL_EINVAL, "%.200s: want s3://BUCKET/PREFIX", url);
    const char *name = url + 5;
    size_t n = strcspn(name, "/");
    if (!s3_bucket_ok(name, n))
        return sl_error_set(
            error, SL_EINVAL,
            "%.200s: a bucket's name has 3 to 63 characters of a-z, 0-9, '-' and '.'",
            url);
    memcpy(bucket, name, n);
    bucket[n] = 0;
    const char *rest = name + n;
    rest += *rest == '/';
    size_t length = strlen(rest);
    while (length > 0 && rest[length - 1] == '/')
        length--;
    *prefix = rest;
    *prefix_length = length;
    return SL_OK;
}

static void destroy(sl_object_operation *base) {
    operation *op = (operation *)base;
    s3_request_cancel(&op->request);
    sl_s3_page_fini(&op->page);
    sl_buffer_fini(&op->token);
    sl_buffer_fini(&op->upload);
    sl_buffer_fini(&op->found);
    sl_free(op);
}

static sl_status create(sl_object_store *store, const char *bucket, const char *key,
                        bool of_bucket, void *context, operation **out, sl_error *error) {
    size_t b = strlen(bucket), k = strlen(key);
    *out = NULL;
    if (!s3_bucket_ok(bucket, b))
        return sl_error_set(error, SL_EINVAL, "s3://%.100s: no bucket's name", bucket);
    if (k > KEY_BYTES_MAX || (k == 0 && !of_bucket))
        return sl_error_set(error, SL_EINVAL, "s3://%s/%.100s: a key has 1 to %d bytes",
                            bucket, key, KEY_BYTES_MAX);
    operation *op = sl_calloc(1, sizeof *op + b + k + 2);
    if (op == NULL)
        return sl_error_set(error, SL_ENOMEM, "s3://%s/%.160s: out of memory", bucket,
                            key);
    memcpy(op->texts, bucket, b + 1);
    memcpy(op->texts + b + 1, key, k + 1);
    op->bucket = op->texts;
    op->key = op->texts + b + 1;
    op->context = context;
    s3_operation_enter(store, &op->base, destroy);
    *out = op;
    return SL_OK;
}

static void begin(operation *op, const char *method, const char *action, const char *key,
                  s3_reply_fn *done) {
    op->request = (s3_request){.method = method,
                               .action = action,
                               .bucket = op->bucket,
                               .key = key,
                               .done = done,
                               .context = op};
}

static void started(operation *op, sl_object_operation **out) {
    s3_request_start(op->base.store, &op->request);
    if (out != NULL)
        *out = &op->base;
}

static void simple_end(operation *op, sl_status status, const sl_error *error) {
    static const sl_error none;
    sl_object_done_fn *done = op->simple_done;
    void *context = op->context;
    s3_operation_leave(&op->base);
    destroy(&op->base);
    done(context, status, status == SL_OK ? &none : error);
}

/* ---- Head ---- */

void s3_info_read(const sl_http_outcome *outcome, const char *key, sl_object_info *out) {
    *out = (sl_object_info){
        .key = key,
        .etag = sl_http_outcome_field(outcome, "etag"),
        .sse = sl_http_outcome_field(outcome, "x-amz-server-side-encryption"),
        .storage_class = sl_http_outcome_field(outcome, "x-amz-storage-class"),
        .region = sl_http_outcome_field(outcome, "x-amz-bucket-region")};
    const char *length = sl_http_outcome_field(outcome, "content-length");
    for (; *length >= '0' && *length <= '9'; length++)
        out->bytes = out->bytes * 10 + (uint64_t)(*length - '0');
    out->has_hash = sl_hash128_parse(
        sl_http_outcome_field(outcome, "x-amz-meta-sluice-hash"), &out->hash);
}

static void on_head(void *context, const s3_reply *reply) {
    static const sl_error none;
    operation *op = context;
    sl_object_head_fn *done = op->head_done;
    sl_object_info info;
    if (reply->status == SL_OK)
        s3_info_read(reply->outcome, op->key, &info);
    s3_operation_leave(&op->base);
    done(op->context, reply->status, reply->status == SL_OK ? &info : NULL,
         reply->status == SL_OK ? &none : reply->error);
    destroy(&op->base);
}

sl_status sl_object_store_head(sl_object_store *store, const char *bucket,
                               const char *key, sl_object_head_fn *done, void *context,
                               sl_object_operation **out, sl_error *error) {
    operation *op;
    sl_status status = create(store, bucket, key, false, context, &op, error);
    if (status != SL_OK)
        return status;
    op->head_done = done;
    begin(op, "HEAD", "s3:GetObject", op->key, on_head);
    started(op, out);
    return SL_OK;
}

/* ---- Get ---- */

/* Servers that don't know ranges send all of it. */
static void cut(const operation *op, sl_buffer *bytes) {
    size_t from = op->offset < bytes->length ? (size_t)op->offset : bytes->length;
    size_t rest = bytes->length - from;
    size_t length = op->length < rest ? (size_t)op->length : rest;
    if (length > 0)
        memmove(bytes->bytes, bytes->bytes + from, length);
    bytes->length = length;
}

static void on_get(void *context, const s3_reply *reply) {
    static const sl_error none;
    operation *op = context;
    sl_status status = reply->status;
    sl_buffer empty = SL_BUFFER_EMPTY;
    sl_buffer *bytes = &empty;
    if (reply->code == 416) /* Nothing from there on. */
        status = SL_OK;
    else if (status == SL_OK) {
        bytes = reply->outcome->body;
        if (reply->code != 206 && op->range[0] != 0)
            cut(op, bytes);
    }
    s3_operation_leave(&op->base);
    op->get_done(op->context, status, status == SL_OK ? bytes : NULL,
                 status == SL_OK ? &none : reply->error);
    sl_buffer_fini(&empty);
    destroy(&op->base);
}

sl_status sl_object_store_get(sl_object_store *store, const char *bucket, const char *key,
                              uint64_t offset, uint64_t length, sl_object_get_fn *done,
                              void *context, sl_object_operation **out, sl_error *error) {
    bool whole = offset == 0 && length == UINT64_MAX;
    if (!whole && (length == 0 || length > RANGE_BYTES_MAX || offset > INT64_MAX))
        return sl_error_set(error, SL_EINVAL, "s3://%.63s/%.160s: no such range", bucket,
                            key);
    operation *op;
    sl_status status = create(store, bucket, key, false, context, &op, error);
    if (status != SL_OK)
        return status;
    op->get_done = done;
    op->offset = offset;
    op->length = length;
    begin(op, "GET", "s3:GetObject", op->key, on_get);
    op->request.reply_bytes_max = (size_t)(whole ? WHOLE_BYTES_MAX : length);
    if (!whole) {
        (void)snprintf(op->range, sizeof op->range, "bytes=%" PRIu64 "-%" PRIu64, offset,
                       offset + length - 1);
        s3_request_field(&op->request, "range", op->range);
        /* An error's text must fit as well. */
        if (op->request.reply_bytes_max < S3_CHUNK)
            op->request.reply_bytes_max = S3_CHUNK;
    }
    started(op, out);
    return SL_OK;
}

/* ---- List ---- */

static bool list_item(void *context, const sl_s3_item *item) {
    operation *op = context;
    const sl_object_info info = {.key = item->key,
                                 .bytes = item->bytes,
                                 .etag = item->etag,
                                 .sse = "",
                                 .storage_class = "",
                                 .region = ""};
    return op->each(op->context, &info);
}

/* The parser overwrites what the request of the page after this one must hold. */
static bool move_page(operation *op) {
    sl_buffer_clear(&op->token);
    sl_buffer_clear(&op->upload);
    sl_buffer_append(&op->token, op->page.token.bytes, op->page.token.length);
    sl_buffer_append(&op->upload, op->page.upload.bytes, op->page.upload.length);
    (void)sl_buffer_cstr(&op->token);
    (void)sl_buffer_cstr(&op->upload);
    return !op->token.failed && !op->upload.failed;
}

static sl_status read_page(operation *op, const s3_reply *reply, sl_s3_item_fn *each,
                           sl_error *error) {
    sl_status status =
        sl_s3_list_parse((const char *)reply->outcome->body->bytes,
                         reply->outcome->body->length, each, op, &op->page, error);
    if (status == SL_OK && op->page.more && !move_page(op))
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    if (status == SL_OK)
        return SL_OK;
    /* What can't be read may have been cut or altered on the way: it passes. */
    char text[sizeof error->text];
    memcpy(text, error->text, sizeof text);
    return s3_wrong(error, status == SL_ENOMEM ? SL_ENOMEM : SL_EIO, "LIST", op->bucket,
                    op->key, text);
}

static void ask_list(operation *op);

static void on_list(void *context, const s3_reply *reply) {
    operation *op = context;
    if (reply->status != SL_OK) {
        simple_end(op, reply->status, reply->error);
        return;
    }
    sl_error error = {0};
    sl_status status = read_page(op, reply, list_item, &error);
    if (status != SL_OK || !op->page.more || op->page.enough)
        simple_end(op, status, &error);
    else
        ask_list(op);
}

static void ask_list(operation *op) {
    begin(op, "GET", "s3:ListBucket", "", on_list);
    op->request.reply_bytes_max = LIST_BYTES_MAX;
    s3_request_query(&op->request, "list-type", "2");
    s3_request_query(&op->request, "prefix", op->key);
    if (op->token.length > 0)
        s3_request_query(&op->request, "continuation-token",
                         (const char *)op->token.bytes);
    s3_request_start(op->base.store, &op->request);
}

sl_status sl_object_store_list(sl_object_store *store, const char *bucket,
                               const char *prefix, sl_object_list_fn *each,
                               sl_object_done_fn *done, void *context,
                               sl_object_operation **out, sl_error *error) {
    operation *op;
    sl_status status = create(store, bucket, prefix, true, context, &op, error);
    if (status != SL_OK)
        return status;
    op->each = each;
    op->simple_done = done;
    ask_list(op);
    if (out != NULL)
        *out = &op->base;
    return SL_OK;
}

/* ---- Delete ---- */

static void on_delete(void *context, const s3_reply *reply) {
    operation *op = context;
    /* Not there: as wanted. */
    simple_end(op, reply->status == SL_ENOTFOUND ? SL_OK : reply->status, reply->error);
}

sl_status sl_object_store_delete(sl_object_store *store, const char *bucket,
                                 const char *key, sl_object_done_fn *done, void *context,
                                 sl_object_operation **out, sl_error *error) {
    operation *op;
    sl_status status = create(store, bucket, key, false, context, &op, error);
    if (status != SL_OK)
        return status;
    op->simple_done = done;
    begin(op, "DELETE", "s3:DeleteObject", op->key, on_delete);
    started(op, out);
    return SL_OK;
}

/* ---- Abandoned uploads ---- */

static bool upload_item(void *context, const sl_s3_item *item) {
    operation *op = context;
    /* The list is by prefix; only this very key is ours. */
    if (strcmp(item->key, op->key) == 0)
        sl_buffer_append(&op->found, item->upload_id, strlen(item->upload_id) + 1);
    return true;
}

static void ask_uploads(operation *op);
static void abort_next(operation *op);

static void on_abort(void *context, const s3_reply *reply) {
    operation *op = context;
    if (reply->status != SL_OK && reply->status != SL_ENOTFOUND)
        simple_end(op, reply->status, reply->error);
    else
        abort_next(op);
}

static void abort_next(operation *op) {
    if (op->found_next < op->found.length) {
        const char *id = (const char *)op->found.bytes + op->found_next;
        op->found_next += strlen(id) + 1;
        begin(op, "DELETE", "s3:AbortMultipartUpload", op->key, on_abort);
        s3_request_query(&op->request, "uploadId", id);
        s3_request_start(op->base.store, &op->request);
    } else if (op->page.more)
        ask_uploads(op);
    else
        simple_end(op, SL_OK, NULL);
}

static void on_uploads(void *context, const s3_reply *reply) {
    operation *op = context;
    if (reply->status == SL_ENOTFOUND &&
        strcmp(reply->fault->code, "NoSuchUpload") == 0) {
        simple_end(op, SL_OK, NULL); /* So some stores call an empty list. */
        return;
    }
    if (reply->status != SL_OK) {
        simple_end(op, reply->status, reply->error);
        return;
    }
    sl_error error = {0};
    sl_buffer_clear(&op->found);
    op->found_next = 0;
    sl_status status = read_page(op, reply, upload_item, &error);
    if (status == SL_OK && op->found.failed)
        status =
            s3_wrong(&error, SL_ENOMEM, "LIST", op->bucket, op->key, "out of memory");
    if (status != SL_OK)
        simple_end(op, status, &error);
    else
        abort_next(op);
}

static void ask_uploads(operation *op) {
    begin(op, "GET", "s3:ListBucketMultipartUploads", "", on_uploads);
    op->request.reply_bytes_max = LIST_BYTES_MAX;
    s3_request_query(&op->request, "uploads", "");
    s3_request_query(&op->request, "prefix", op->key);
    if (op->token.length > 0)
        s3_request_query(&op->request, "key-marker", (const char *)op->token.bytes);
    if (op->upload.length > 0)
        s3_request_query(&op->request, "upload-id-marker",
                         (const char *)op->upload.bytes);
    s3_request_start(op->base.store, &op->request);
}

sl_status sl_object_store_abort_uploads(sl_object_store *store, const char *bucket,
                                        const char *key, sl_object_done_fn *done,
                                        void *context, sl_object_operation **out,
                                        sl_error *error) {
    operation *op;
    sl_status status = create(store, bucket, key, false, context, &op, error);
    if (status != SL_OK)
        return status;
    op->simple_done = done;
    ask_uploads(op);
    if (out != NULL)
        *out = &op->base;
    return SL_OK;
}
