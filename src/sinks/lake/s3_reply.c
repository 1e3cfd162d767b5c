#include "s3_reply.h"

#include "s3_xml.h"
#include "sluice/time.h"

#include <stdio.h>

static void copy(char *to, size_t room, const sl_s3_element *e) {
    size_t n = e->text_length < room ? e->text_length : room - 1;
    memcpy(to, e->text, n);
    to[n] = 0;
    for (size_t i = 0; i < n; i++) /* It goes into one line of a log. */
        if ((unsigned char)to[i] < ' ')
            to[i] = ' ';
}

static sl_status take_fault(void *context, const sl_s3_element *e) {
    sl_s3_fault *fault = context;
    if (e->depth == 1)
        return sl_s3_element_is(e, "Error") && fault->code[0] != 0 ? SL_OK : SL_ENOTFOUND;
    if (e->depth != 2 || !e->leaf)
        return SL_OK;
    if (sl_s3_element_is(e, "Code"))
        copy(fault->code, sizeof fault->code, e);
    else if (sl_s3_element_is(e, "Message"))
        copy(fault->message, sizeof fault->message, e);
    else if (sl_s3_element_is(e, "RequestId"))
        copy(fault->request_id, sizeof fault->request_id, e);
    else if (sl_s3_element_is(e, "Region"))
        copy(fault->region, sizeof fault->region, e);
    return SL_OK;
}

sl_status sl_s3_fault_parse(const char *xml, size_t length, sl_s3_fault *out) {
    *out = (sl_s3_fault){0};
    sl_status status = sl_s3_xml_scan(xml, length, take_fault, out, NULL);
    if (status != SL_OK)
        *out = (sl_s3_fault){0};
    return status == SL_OK || status == SL_ENOMEM ? status : SL_ENOTFOUND;
}

/* Codes that mean something else than their HTTP status says. */
static const struct {
    const char *code;
    sl_s3_next next;
    sl_status status;
} codes[] = {
    {"SlowDown", SL_S3_SLOWER, SL_EIO},
    {"Throttling", SL_S3_SLOWER, SL_EIO},
    {"ThrottlingException", SL_S3_SLOWER, SL_EIO},
    {"RequestLimitExceeded", SL_S3_SLOWER, SL_EIO},
    {"TooManyRequests", SL_S3_SLOWER, SL_EIO},
    {"ServiceUnavailable", SL_S3_SLOWER, SL_EIO},
    {"InternalError", SL_S3_AGAIN, SL_EIO},
    {"RequestTimeout", SL_S3_AGAIN, SL_EIO},
    /* Altered on the way: what we sent is whole. */
    {"BadDigest", SL_S3_AGAIN, SL_EIO},
    {"XAmzContentChecksumMismatch", SL_S3_AGAIN, SL_EIO},
    {"XAmzContentSHA256Mismatch", SL_S3_AGAIN, SL_EIO},
    {"IncompleteBody", SL_S3_AGAIN, SL_EIO},
    {"OperationAborted", SL_S3_AGAIN, SL_EIO},
    {"ConditionalRequestConflict", SL_S3_AGAIN, SL_EIO},
    {"ExpiredToken", SL_S3_CREDENTIALS, SL_EDENIED},
    {"ExpiredTokenException", SL_S3_CREDENTIALS, SL_EDENIED},
    {"RequestExpired", SL_S3_CREDENTIALS, SL_EDENIED},
    {"TokenRefreshRequired", SL_S3_CREDENTIALS, SL_EDENIED},
    {"InvalidToken", SL_S3_CREDENTIALS, SL_EDENIED},
    /* Keys that were rotated away; there may be new ones. */
    {"InvalidAccessKeyId", SL_S3_CREDENTIALS, SL_EDENIED},
    {"RequestTimeTooSkewed", SL_S3_CLOCK, SL_EDENIED},
    /* Only objects and uploads may be missing; a bucket that is has yet to be made. */
    {"NoSuchBucket", SL_S3_FAIL, SL_EIO},
    {"NoSuchKey", SL_S3_FAIL, SL_ENOTFOUND},
    {"NoSuchUpload", SL_S3_FAIL, SL_ENOTFOUND},
    {"PreconditionFailed", SL_S3_FAIL, SL_EEXIST},
};

static sl_s3_next judge_failure(sl_http_failure failure, sl_status *status) {
    *status = failure == SL_HTTP_FAILED_TLS ? SL_EDENIED : SL_EIO;
    switch (failure) {
    case SL_HTTP_FAILED_LOCAL:
        *status = SL_ENOMEM;
        return SL_S3_FAIL;
    case SL_HTTP_FAILED_LIMIT:
        *status = SL_ELIMIT;
        return SL_S3_FAIL;
    case SL_HTTP_FAILED_TLS: /* A certificate gets no better in seconds. */
    case SL_HTTP_FAILED_BODY:
        return SL_S3_FAIL;
    case SL_HTTP_FAILED_NOT:
    case SL_HTTP_FAILED_RESOLVE:
    case SL_HTTP_FAILED_CONNECT:
    case SL_HTTP_FAILED_TIMEOUT:
    case SL_HTTP_FAILED_LOST:
        break;
    }
    return SL_S3_AGAIN;
}

sl_s3_next sl_s3_judge(unsigned http, const char *code, sl_http_failure failure,
                       sl_status *status) {
    if (http == 0 || failure != SL_HTTP_FAILED_NOT)
        return judge_failure(failure, status);
    *status = SL_OK;
    if (http >= 200 && http < 300 && code[0] == 0)
        return SL_S3_DONE;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, code) == 0) {
            *status = codes[i].status;
            return codes[i].next;
        }
    *status = SL_EIO;
    if (http == 503 || http == 429)
        return SL_S3_SLOWER;
    if (http == 408 || http == 500 || http == 502 || http == 504 ||
        (http >= 200 && http < 300))
        return SL_S3_AGAIN;
    if (http == 401 || http == 403)
        *status = SL_EDENIED;
    else if (http == 404 && code[0] == 0) /* Of HEAD, which has no body. */
        *status = SL_ENOTFOUND;
    else if (http == 412)
        *status = SL_EEXIST;
    return SL_S3_FAIL;
}

static void advise_denied(sl_buffer *out, const char *action, const char *bucket,
                          const char *key) {
    bool of_bucket = strncmp(action, "s3:List", 7) == 0 &&
                     strcmp(action, "s3:ListMultipartUploadParts") != 0;
    sl_buffer_printf(out, "the role needs %s on arn:aws:s3:::%s", action, bucket);
    if (!of_bucket)
        sl_buffer_printf(out, "/%.120s%s", key, strlen(key) > 120 ? "..." : "");
}

static void advise_region(sl_buffer *out, const sl_s3_fault *fault, const char *bucket) {
    if (fault->region[0] != 0)
        sl_buffer_printf(out, "bucket %s is in region %s: set s3.region to it", bucket,
                         fault->region);
    else
        sl_buffer_printf(out, "bucket %s is in another region: set s3.region to it",
                         bucket);
}

static const struct {
    const char *code, *text;
} advices[] = {
    {"InvalidAccessKeyId",
     "the store doesn't know this access key: renew the credentials"},
    {"SignatureDoesNotMatch", "the secret key is wrong, or a proxy alters requests"},
    {"RequestTimeTooSkewed", "this machine's clock is wrong: set it by NTP"},
    {"ExpiredToken",
     "the session has expired and fresh credentials have too: renew them"},
    {"InvalidToken", "the session token isn't valid: renew the credentials"},
    {"NoSuchBucket", "create the bucket, or mend its name"},
    {"InvalidBucketName", "mend the bucket's name"},
    {"InvalidStorageClass", "mend s3.storage_class"},
    {"NotImplemented",
     "this store lacks what is asked for (If-None-Match, checksums, encryption or tags)"},
    {"MethodNotAllowed",
     "this endpoint doesn't speak S3, or not for this bucket: mend s3.endpoint"},
};

void sl_s3_advice(sl_buffer *out, unsigned http, const sl_s3_fault *fault,
                  sl_http_failure failure, const char *action, const char *bucket,
                  const char *key) {
    if (http == 0) {
        if (failure == SL_HTTP_FAILED_RESOLVE)
            sl_buffer_text(out, "mend s3.endpoint, s3.region or DNS");
        else if (failure == SL_HTTP_FAILED_TLS)
            sl_buffer_text(out, "mend the certificate or s3.ca_file");
        return;
    }
    if (http == 301 || http == 307 ||
        strcmp(fault->code, "AuthorizationHeaderMalformed") == 0 ||
        strcmp(fault->code, "IllegalLocationConstraintException") == 0) {
        advise_region(out, fault, bucket);
        return;
    }
    if (strncmp(fault->code, "KMS.", 4) == 0) {
        sl_buffer_text(out, "mend s3.kms_key_id, or the role's right to use the key "
                            "(kms:GenerateDataKey, kms:Decrypt)");
        return;
    }
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
        if (strcmp(advices[i].code, fault->code) == 0) {
            sl_buffer_text(out, advices[i].text);
            return;
        }
    if (http == 403)
        advise_denied(out, action, bucket, key);
    else if (http == 401)
        sl_buffer_text(out, "renew the credentials");
}

static bool digits(const char *text, size_t count, int *out) {
    *out = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (text[i] - '0');
    }
    return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT": every field has its place. */
bool sl_s3_date_parse(const char *text, int64_t *us) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int day, year, hour, minute, second;
    if (strlen(text) != 29 || strcmp(text + 25, " GMT") != 0 ||
        !digits(text + 5, 2, &day) || !digits(text + 12, 4, &year) ||
        !digits(text + 17, 2, &hour) || !digits(text + 20, 2, &minute) ||
        !digits(text + 23, 2, &second))
        return false;
    unsigned month = 0;
    while (month < 12 && memcmp(months + (size_t)month * 3, text + 8, 3) != 0)
        month++;
    if (month == 12 || day < 1 || day > 31 || year < 1970 || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *us = sl_date_days(year, month + 1, (unsigned)day) * SL_DAY_US + hour * SL_HOUR_US +
          minute * SL_MINUTE_US + second * SL_SECOND_US;
    return true;
}

void sl_s3_page_fini(sl_s3_page *page) {
    sl_buffer_fini(&page->token);
    sl_buffer_fini(&page->upload);
    *page = (sl_s3_page){0};
}

typedef struct list {
    sl_s3_item_fn *each;
    void *context;
    sl_s3_page *page;
    sl_buffer key, etag, upload;
    uint64_t bytes;
    bool root;
} list;

static void keep(sl_buffer *to, const sl_s3_element *e) {
    sl_buffer_clear(to);
    sl_buffer_append(to, e->text, e->text_length);
}

static sl_status take_size(list *l, const sl_s3_element *e) {
    l->bytes = 0;
    if (e->text_length == 0 || e->text_length > 19)
        return SL_ESYNTAX;
    for (size_t i = 0; i < e->text_length; i++) {
        if (e->text[i] < '0' || e->text[i] > '9')
            return SL_ESYNTAX;
        l->bytes = l->bytes * 10 + (uint64_t)(e->text[i] - '0');
    }
    return SL_OK;
}

static sl_status take_field(list *l, const sl_s3_element *e) {
    if (sl_s3_element_is(e, "Key"))
        keep(&l->key, e);
    else if (sl_s3_element_is(e, "ETag"))
        keep(&l->etag, e);
    else if (sl_s3_element_is(e, "UploadId"))
        keep(&l->upload, e);
    else if (sl_s3_element_is(e, "Size"))
        return take_size(l, e);
    return SL_OK;
}

static sl_status item_ended(list *l, bool upload) {
    const sl_s3_item item = {.key = sl_buffer_cstr(&l->key),
                             .etag = sl_buffer_cstr(&l->etag),
                             .upload_id = sl_buffer_cstr(&l->upload),
                             .bytes = l->bytes};
    if (l->key.failed || l->etag.failed || l->upload.failed)
        return SL_ENOMEM;
    if (l->key.length == 0 || (upload && l->upload.length == 0))
        return SL_ESYNTAX;
    if (!l->page->enough && !l->each(l->context, &item))
        l->page->enough = true;
    sl_buffer_clear(&l->key);
    sl_buffer_clear(&l->etag);
    sl_buffer_clear(&l->upload);
    l->bytes = 0;
    return SL_OK;
}

static sl_status take_list(void *context, const sl_s3_element *e) {
    list *l = context;
    bool contents = sl_s3_element_within(e, "Contents"),
         upload = sl_s3_element_within(e, "Upload");
    if (e->depth == 3 && e->leaf && (contents || upload))
        return take_field(l, e);
    if (e->depth == 2 &&
        (sl_s3_element_is(e, "Contents") || sl_s3_element_is(e, "Upload")))
        return item_ended(l, sl_s3_element_is(e, "Upload"));
    if (e->depth == 2 && sl_s3_element_is(e, "IsTruncated"))
        l->page->more = strcmp(e->text, "true") == 0;
    else if (e->depth == 2 && (sl_s3_element_is(e, "NextContinuationToken") ||
                               sl_s3_element_is(e, "NextKeyMarker")))
        keep(&l->page->token, e);
    else if (e->depth == 2 && sl_s3_element_is(e, "NextUploadIdMarker"))
        keep(&l->page->upload, e);
    else if (e->depth == 1)
        l->root = sl_s3_element_is(e, "ListBucketResult") ||
                  sl_s3_element_is(e, "ListMultipartUploadsResult");
    return SL_OK;
}

sl_status sl_s3_list_parse(const char *xml, size_t length, sl_s3_item_fn *each,
                           void *context, sl_s3_page *page, sl_error *error) {
    list l = {.each = each, .context = context, .page = page};
    page->more = page->enough = false;
    sl_buffer_clear(&page->token);
    sl_buffer_clear(&page->upload);
    sl_error_set(error, SL_ESYNTAX, "a list without what lists have");
    sl_status status = sl_s3_xml_scan(xml, length, take_list, &l, error);
    if (status == SL_OK && (page->token.failed || page->upload.failed))
        status = SL_ENOMEM;
    if (status == SL_ENOMEM)
        sl_error_set(error, SL_ENOMEM, "list: out of memory");
    if (status == SL_OK && (!l.root || (page->more && page->token.length == 0)))
        status = SL_ESYNTAX;
    sl_buffer_fini(&l.key);
    sl_buffer_fini(&l.etag);
    sl_buffer_fini(&l.upload);
    return status;
}

typedef struct value {
    const char *root, *name;
    sl_buffer *out;
    bool found, right;
} value;

static sl_status take_value(void *context, const sl_s3_element *e) {
    value *v = context;
    if (e->depth == 2 && e->leaf && !v->found && sl_s3_element_is(e, v->name)) {
        v->found = true;
        sl_buffer_append(v->out, e->text, e->text_length);
    }
    if (e->depth == 1)
        v->right = sl_s3_element_is(e, v->root);
    return SL_OK;
}

sl_status sl_s3_value_parse(const char *xml, size_t length, const char *root,
                            const char *name, sl_buffer *out, sl_error *error) {
    value v = {.root = root, .name = name, .out = out};
    sl_status status = sl_s3_xml_scan(xml, length, take_value, &v, error);
    if (status == SL_OK && out->failed)
        status = sl_error_set(error, SL_ENOMEM, "%s: out of memory", name);
    if (status == SL_OK && !(v.found && v.right))
        status = sl_error_set(error, SL_ESYNTAX, "no %s in a %s", name, root);
    return status;
}
