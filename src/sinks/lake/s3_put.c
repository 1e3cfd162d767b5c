/* One object brought there, once.
 *
 *   small:  PUT ──200──► done
 *            │ 412, reply lost, wrong checksum echoed
 *            ▼
 *           LOOK (HEAD) ──same──► done
 *                       ──other─► SL_ECONFLICT
 *                       ──none──► PUT again
 *
 *   large:  CLEAN ► LOOK ──none──► CREATE ► parts ► COMPLETE ──200──► CLEAN ► done
 *
 *           COMPLETE ──lost──► LOOK ──none──► COMPLETE again
 *           COMPLETE ──412──► ABORT ► LOOK
 *           COMPLETE ──no such upload──► LOOK ──none──► CLEAN …
 *           CREATE lost, no such upload while sending parts ► CLEAN …
 *           what no request could mend ► ABORT ► that failure
 *
 *           CLEAN aborts what a crash left under the key, several parts are sent at once.
 *
 * A repeated PUT or COMPLETE is as good as a look: it says If-None-Match too. So a look
 * that isn't allowed (403 for an object that isn't there, where s3:ListBucket lacks)
 * leads on, except after a 412.
 *
 * Every byte is read twice: for the checksums that go ahead of a body, and for sending
 * it. What lies between them is the server's to notice, by the checksum.
 */
#include "s3_private.h"

#include "sluice/message.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    PARTS_LIMIT = 10000, /* Of one upload. */
    ETAG_BYTES = 100,
    ROUNDS_MAX = 5, /* Looks that found nothing, and beginnings anew. */
    ECHOES_MAX = 3, /* Times a part's checksum may come back wrong. */
};
static const uint64_t OBJECT_BYTES_MAX = UINT64_C(5) << 40;

typedef struct part {
    uint32_t crc;
    char etag[ETAG_BYTES];
} part;

/* What sends parts, one after another. */
typedef struct slot {
    struct put *put;
    s3_request request;
    uint32_t index; /* Of its part. */
    unsigned echoes;
    char number[12], crc[S3_CRC_TEXT], sha[SL_AWS_HASH_TEXT];
} slot;

typedef struct put {
    sl_object_operation base;
    sl_object_done_fn *done;
    void *context;
    const char *bucket, *key, *path, *type; /* In texts. */
    const uint8_t *bytes;                   /* NULL: of `file`. */
    int file;                               /* -1: none. */
    bool replace, multi, distrust, taken;   /* taken: a 412 said so. */
    uint64_t length, part_bytes;
    sl_hash128 hash;
    bool hash_given;
    char hash_text[33], crc[S3_CRC_TEXT], sha[SL_AWS_HASH_TEXT];
    sl_hasher *hasher;
    unsigned rounds;
    s3_request main; /* All but parts: one at a time. */
    sl_object_operation *clean;
    sl_buffer upload, body;
    slot *slots;
    part *parts;
    uint32_t part_count, next_part, parts_done;
    bool created, ending; /* An upload was begun; the last clean-up runs. */
    bool failed;          /* A failure waits for the abort. */
    sl_status status;
    sl_error error;
    void (*absent)(struct put *p); /* Where to go when a look finds nothing. */
    char texts[];
} put;

static void send_single(put *p);
static void clean(put *p);
static void create_upload(put *p);
static void complete(put *p);
static sl_status begin_clean(put *p, sl_error *error);
static void send_parts(put *p);

/* ---- Ends ---- */

static void destroy(sl_object_operation *base) {
    put *p = (put *)base;
    sl_files *files = base->store->options.files;
    if (p->clean != NULL)
        sl_object_operation_cancel(p->clean);
    s3_request_cancel(&p->main);
    for (unsigned i = 0; p->slots != NULL && i < base->store->options.parts_max; i++)
        s3_request_cancel(&p->slots[i].request);
    if (p->file >= 0)
        files->close(files, p->file);
    if (p->hasher != NULL)
        sl_hasher_destroy(p->hasher);
    sl_buffer_fini(&p->upload);
    sl_buffer_fini(&p->body);
    sl_free(p->slots);
    sl_free(p->parts);
    sl_free(p);
}

/* Only what is certain may stop a table; whatever else S3 says may be mended out there.
 */
static sl_status passes(sl_status status) {
    return status == SL_OK || status == SL_ECONFLICT || status == SL_ECORRUPT ||
                   sl_status_follow_up(status) == SL_FOLLOW_RETRY
               ? status
               : SL_EIO;
}

static void end(put *p, sl_status status, const sl_error *error) {
    sl_error copy = {0};
    status = passes(status);
    if (status != SL_OK && error != NULL)
        copy = *error;
    copy.status = status;
    sl_object_done_fn *done = p->done;
    void *context = p->context;
    s3_operation_leave(&p->base);
    destroy(&p->base);
    done(context, status, &copy);
}

/* The object is there. Of uploads there may be one more than we know of: HTTP clients
 * send a request twice when a kept connection ends under them, and so may have proxies.
 */
static void succeed(put *p) {
    sl_error error = {0};
    if (!p->created) {
        end(p, SL_OK, NULL);
        return;
    }
    p->ending = true;
    sl_status status = begin_clean(p, &error);
    if (status != SL_OK)
        end(p, status, &error);
}

static void end_wrong(put *p, sl_status status, const char *what) {
    sl_error error = {0};
    (void)s3_wrong(&error, status, "PUT", p->bucket, p->key, what);
    end(p, status, &error);
}

/* The world changed under us: begin anew, but not forever. */
static void again(put *p, void (*step)(put *p)) {
    if (++p->rounds > ROUNDS_MAX)
        end_wrong(p, SL_EIO, "its outcome was lost again and again");
    else
        step(p);
}

static void begin(put *p, const char *method, const char *action, s3_reply_fn *done) {
    p->main = (s3_request){.method = method,
                           .action = action,
                           .bucket = p->bucket,
                           .key = p->key,
                           .done = done,
                           .context = p};
}

/* ---- Content ---- */

static sl_status read_bytes(const put *p, void *to, size_t length, uint64_t offset,
                            size_t *got, sl_error *error) {
    uint64_t rest = offset < p->length ? p->length - offset : 0;
    size_t n = rest < length ? (size_t)rest : length;
    *got = n;
    if (p->bytes != NULL) {
        memcpy(to, p->bytes + offset, n);
        return SL_OK;
    }
    sl_files *files = p->base.store->options.files;
    return files->read(files, p->file, to, n, offset, got, error);
}

static size_t read_single(void *context, void *to, size_t length, uint64_t offset) {
    size_t got;
    return read_bytes(context, to, length, offset, &got, NULL) == SL_OK ? got : 0;
}

static uint64_t part_length(const put *p, uint32_t index) {
    uint64_t from = index * p->part_bytes;
    return p->length - from < p->part_bytes ? p->length - from : p->part_bytes;
}

static size_t read_part(void *context, void *to, size_t length, uint64_t offset) {
    const slot *s = context;
    uint64_t rest = part_length(s->put, s->index) - offset;
    return read_single(s->put, to, rest < length ? (size_t)rest : length,
                       s->index * s->put->part_bytes + offset);
}

/* Checksum of a range, and what signs it; the content's hash goes on, if `hasher` is
 * there. */
static sl_status digest(put *p, uint64_t offset, uint64_t length, sl_hasher *hasher,
                        uint32_t *crc, char sha[SL_AWS_HASH_TEXT], sl_error *error) {
    sl_object_store *store = p->base.store;
    bool sign = !s3_store_secure(store);
    *crc = 0;
    for (uint64_t at = 0; at < length;) {
        size_t n = length - at < S3_CHUNK ? (size_t)(length - at) : S3_CHUNK, got;
        sl_status status = read_bytes(p, store->chunk, n, offset + at, &got, error);
        if (status != SL_OK)
            return status;
        if (got == 0)
            return sl_error_set(error, SL_ECORRUPT,
                                "%.200s: shorter than the %" PRIu64 " bytes it had",
                                p->path, p->length);
        *crc = sl_crc32c(*crc, store->chunk, got);
        if (sign)
            sl_aws_hash_add(store->sha, store->chunk, got);
        if (hasher != NULL)
            sl_hasher_add(hasher, store->chunk, got);
        at += got;
    }
    if (sign)
        sl_aws_hash_take(store->sha, sha);
    else
        (void)snprintf(sha, SL_AWS_HASH_TEXT, "%s", SL_AWS_UNSIGNED_PAYLOAD);
    return SL_OK;
}

/* @return SL_ECORRUPT when what was read isn't what the caller wrote. */
static sl_status check_hash(put *p, sl_error *error) {
    sl_hash128 hash = sl_hasher_sum(p->hasher);
    if (!p->hash_given)
        p->hash = hash;
    else if (hash.low != p->hash.low || hash.high != p->hash.high)
        return sl_error_set(error, SL_ECORRUPT,
                            "%.200s: its content isn't what was written",
                            p->path[0] != 0 ? p->path : p->key);
    sl_hash128_text(p->hash, p->hash_text);
    return SL_OK;
}

/* Metadata, encryption, class and tags: of PutObject and CreateMultipartUpload alike. */
static void describe(put *p) {
    const sl_object_store_options *o = &p->base.store->options;
    s3_request_field(&p->main, "content-type", p->type);
    s3_request_field(&p->main, "x-amz-meta-sluice-hash", p->hash_text);
    if (o->storage_class != NULL)
        s3_request_field(&p->main, "x-amz-storage-class", o->storage_class);
    if (p->base.store->tags != NULL)
        s3_request_field(&p->main, "x-amz-tagging", p->base.store->tags);
    if (o->sse == SL_OBJECT_SSE_AES256)
        s3_request_field(&p->main, "x-amz-server-side-encryption", "AES256");
    else if (o->sse == SL_OBJECT_SSE_KMS) {
        s3_request_field(&p->main, "x-amz-server-side-encryption", "aws:kms");
        s3_request_field(&p->main, "x-amz-server-side-encryption-bucket-key-enabled",
                         "true");
        if (o->kms_key_id != NULL)
            s3_request_field(&p->main, "x-amz-server-side-encryption-aws-kms-key-id",
                             o->kms_key_id);
    }
}

/* ---- Looking ---- */

/* Does the server's own checksum speak against it? Of objects in parts it is a sum of
 * sums, which says nothing here. */
static bool other_checksum(const put *p, const sl_http_outcome *outcome) {
    const char *theirs = sl_http_outcome_field(outcome, "x-amz-checksum-crc32c");
    return !p->multi && strlen(theirs) == S3_CRC_TEXT - 1 && strcmp(theirs, p->crc) != 0;
}

static void compare(put *p, const sl_http_outcome *outcome) {
    sl_object_info info;
    char what[240], theirs[33] = "none of ours";
    s3_info_read(outcome, p->key, &info);
    if (info.has_hash)
        sl_hash128_text(info.hash, theirs);
    bool confirmed = sl_http_outcome_field(outcome, "x-amz-checksum-crc32c")[0] != 0;
    if (info.bytes == p->length && info.has_hash && info.hash.low == p->hash.low &&
        info.hash.high == p->hash.high && !other_checksum(p, outcome)) {
        if (!p->distrust || confirmed)
            succeed(p);
        else
            end_wrong(
                p, SL_ECORRUPT,
                "the store told another checksum than of what was sent: read the object");
        return;
    }
    (void)snprintf(what, sizeof what,
                   "it is there already with other content (%" PRIu64
                   " bytes, hash %s; ours %" PRIu64
                   ", %s): move it away, or it would be lost",
                   info.bytes, theirs, p->length, p->hash_text);
    end_wrong(p, SL_ECONFLICT, what);
}

static void on_look(void *context, const s3_reply *reply) {
    put *p = context;
    if (reply->status == SL_OK)
        compare(p, reply->outcome);
    else if (reply->status == SL_ENOTFOUND || (reply->code == 403 && !p->taken))
        again(p, p->absent);
    else
        end(p, reply->status, reply->error);
}

static void look(put *p, void (*absent)(put *p)) {
    p->absent = absent;
    begin(p, "HEAD", "s3:GetObject and s3:ListBucket", on_look);
    /* Of encrypted objects the checksum is only for those who may decrypt, which isn't
     * needed otherwise. */
    if (p->base.store->options.sse != SL_OBJECT_SSE_KMS || p->distrust)
        s3_request_field(&p->main, "x-amz-checksum-mode", "ENABLED");
    s3_request_start(p->base.store, &p->main);
}

/* ---- In one piece ---- */

static bool echoed_wrong(const s3_reply *reply, const char *crc) {
    const char *echo = sl_http_outcome_field(reply->outcome, "x-amz-checksum-crc32c");
    return echo[0] != 0 && strcmp(echo, crc) != 0;
}

static void on_single(void *context, const s3_reply *reply) {
    put *p = context;
    if (reply->status == SL_OK && !echoed_wrong(reply, p->crc))
        end(p, SL_OK, NULL);
    else if (reply->status == SL_OK) {
        p->distrust = true;
        look(p, send_single);
    } else if (reply->lost || reply->status == SL_EEXIST) {
        p->taken = reply->status == SL_EEXIST;
        look(p, send_single);
    } else
        end(p, reply->status, reply->error);
}

static void send_single(put *p) {
    p->taken = p->distrust = false;
    begin(p, "PUT", "s3:PutObject", on_single);
    describe(p);
    s3_request_field(&p->main, "x-amz-checksum-crc32c", p->crc);
    if (!p->replace)
        s3_request_field(&p->main, "if-none-match", "*");
    p->main.look = !p->replace;
    p->main.payload_hash = p->sha;
    p->main.body_length = p->length;
    if (p->length > 0) {
        p->main.read = read_single;
        p->main.read_context = p;
    }
    s3_request_start(p->base.store, &p->main);
}

/* ---- In parts ---- */

static void on_abort(void *context, const s3_reply *reply) {
    put *p = context;
    if (p->failed)
        end(p, p->status, &p->error);
    else if (reply->status != SL_OK && reply->status != SL_ENOTFOUND)
        end(p, reply->status,
            reply->error); /* Nothing may stay: the next attempt cleans first. */
    else
        look(p, clean);
}

static void abort_upload(put *p) {
    begin(p, "DELETE", "s3:AbortMultipartUpload", on_abort);
    s3_request_query(&p->main, "uploadId", sl_buffer_cstr(&p->upload));
    s3_request_start(p->base.store, &p->main);
}

static void stop_parts(put *p) {
    for (unsigned i = 0; i < p->base.store->options.parts_max; i++)
        s3_request_cancel(&p->slots[i].request);
}

/* Takes the upload back, then tells. */
static void give_up(put *p, sl_status status, const sl_error *error) {
    p->failed = true;
    p->status = status;
    p->error = *error;
    stop_parts(p);
    abort_upload(p);
}

static void put_xml_text(sl_buffer *out, const char *text) {
    for (; *text != 0; text++)
        if (*text == '"')
            sl_buffer_text(out, "&quot;");
        else if (*text == '&')
            sl_buffer_text(out, "&amp;");
        else if (*text == '<')
            sl_buffer_text(out, "&lt;");
        else
            sl_buffer_byte(out, (uint8_t)*text);
}

static void list_parts(put *p) {
    sl_buffer *b = &p->body;
    sl_buffer_clear(b);
    sl_buffer_text(
        b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < p->part_count; i++) {
        char crc[S3_CRC_TEXT];
        s3_crc_text(p->parts[i].crc, crc);
        sl_buffer_printf(b, "<Part><ChecksumCRC32C>%s</ChecksumCRC32C><ETag>", crc);
        put_xml_text(b, p->parts[i].etag);
        sl_buffer_printf(b, "</ETag><PartNumber>%u</PartNumber></Part>", i + 1);
    }
    sl_buffer_text(b, "</CompleteMultipartUpload>");
}

static void on_complete(void *context, const s3_reply *reply) {
    put *p = context;
    sl_buffer etag = SL_BUFFER_EMPTY;
    if (reply->status == SL_OK) {
        sl_status status = sl_s3_value_parse(
            (const char *)reply->outcome->body->bytes, reply->outcome->body->length,
            "CompleteMultipartUploadResult", "ETag", &etag, NULL);
        sl_buffer_fini(&etag);
        if (status == SL_OK)
            succeed(p);
        else
            look(p, complete); /* 200, and then no word that it is so. */
    } else if (reply->lost)
        look(p, complete);
    else if (reply->status == SL_EEXIST) {
        p->taken = true;
        abort_upload(p);
    } else if (reply->status == SL_ENOTFOUND)
        look(p, clean); /* Completed by a try whose reply we never saw, or aborted by
                           others. */
    else
        give_up(p, reply->status, reply->error);
}

static void complete(put *p) {
    p->taken = false;
    list_parts(p);
    sl_aws_hash_text(p->body.bytes, p->body.length, p->sha);
    begin(p, "POST", "s3:PutObject", on_complete);
    s3_request_query(&p->main, "uploadId", sl_buffer_cstr(&p->upload));
    s3_request_field(&p->main, "content-type", "application/xml");
    s3_request_field(&p->main, "if-none-match", "*");
    p->main.body = p->body.bytes;
    p->main.body_length = p->body.length;
    p->main.payload_hash = p->sha;
    p->main.patience = 4; /* It may put thousands of parts together. */
    p->main.look = true;
    if (p->body.failed) {
        sl_error error = {0};
        (void)s3_wrong(&error, SL_ENOMEM, "POST", p->bucket, p->key, "out of memory");
        give_up(p, SL_ENOMEM, &error);
        return;
    }
    s3_request_start(p->base.store, &p->main);
}

static void send_part(slot *s);

static void part_done(slot *s, const s3_reply *reply) {
    put *p = s->put;
    part *done = &p->parts[s->index];
    sl_error error = {0};
    if (echoed_wrong(reply, s->crc)) {
        if (++s->echoes < ECHOES_MAX)
            send_part(s); /* The same number again: it replaces the first. */
        else {
            (void)s3_wrong(
                &error, SL_EIO, "PUT", p->bucket, p->key,
                "the store tells another checksum than of the part that was sent");
            give_up(p, SL_EIO, &error);
        }
        return;
    }
    const char *etag = sl_http_outcome_field(reply->outcome, "etag");
    if (etag[0] == 0 || strlen(etag) >= sizeof done->etag) {
        (void)s3_wrong(&error, SL_EIO, "PUT", p->bucket, p->key,
                       "a part was answered without an ETag");
        give_up(p, SL_EIO, &error);
        return;
    }
    (void)snprintf(done->etag, sizeof done->etag, "%s", etag);
    if (++p->parts_done < p->part_count)
        send_parts(p);
    else if (check_hash(p, &error) == SL_OK)
        complete(p);
    else
        give_up(p, SL_ECORRUPT, &error);
}

static void on_part(void *context, const s3_reply *reply) {
    slot *s = context;
    put *p = s->put;
    if (reply->status == SL_OK)
        part_done(s, reply);
    else if (reply->status == SL_ENOTFOUND) { /* Somebody aborted the upload. */
        stop_parts(p);
        again(p, clean);
    } else
        give_up(p, reply->status, reply->error);
}

static void send_part(slot *s) {
    put *p = s->put;
    s->request = (s3_request){.method = "PUT",
                              .action = "s3:PutObject",
                              .bucket = p->bucket,
                              .key = p->key,
                              .read = read_part,
                              .read_context = s,
                              .body_length = part_length(p, s->index),
                              .payload_hash = s->sha,
                              .done = on_part,
                              .context = s};
    (void)snprintf(s->number, sizeof s->number, "%u", s->index + 1);
    s3_crc_text(p->parts[s->index].crc, s->crc);
    s3_request_query(&s->request, "partNumber", s->number);
    s3_request_query(&s->request, "uploadId", sl_buffer_cstr(&p->upload));
    s3_request_field(&s->request, "x-amz-checksum-crc32c", s->crc);
    s3_request_start(p->base.store, &s->request);
}

/* Parts begin in order, so that one hash goes through them all. */
static void send_parts(put *p) {
    for (unsigned i = 0;
         i < p->base.store->options.parts_max && p->next_part < p->part_count; i++) {
        slot *s = &p->slots[i];
        if (s->request.state != S3_IDLE)
            continue;
        sl_error error = {0};
        s->index = p->next_part++;
        s->echoes = 0;
        sl_status status = digest(p, s->index * p->part_bytes, part_length(p, s->index),
                                  p->hasher, &p->parts[s->index].crc, s->sha, &error);
        if (status != SL_OK) {
            give_up(p, status, &error);
            return;
        }
        send_part(s);
    }
}

static void on_create(void *context, const s3_reply *reply) {
    put *p = context;
    if (reply->lost) {
        again(p, clean); /* An upload may be there that nobody knows the name of. */
        return;
    }
    if (reply->status != SL_OK) {
        end(p, reply->status, reply->error);
        return;
    }
    sl_buffer_clear(&p->upload);
    sl_status status = sl_s3_value_parse(
        (const char *)reply->outcome->body->bytes, reply->outcome->body->length,
        "InitiateMultipartUploadResult", "UploadId", &p->upload, NULL);
    (void)sl_buffer_cstr(&p->upload);
    if (status == SL_ENOMEM || p->upload.failed)
        end_wrong(p, SL_ENOMEM, "out of memory");
    else if (status != SL_OK || p->upload.length == 0)
        again(p, clean);
    else {
        p->next_part = p->parts_done = 0;
        sl_hasher_reset(p->hasher);
        send_parts(p);
    }
}

static void create_upload(put *p) {
    p->created = true;
    begin(p, "POST", "s3:PutObject", on_create);
    s3_request_query(&p->main, "uploads", "");
    describe(p);
    s3_request_field(&p->main, "x-amz-checksum-algorithm", "CRC32C");
    p->main.look = true;
    s3_request_start(p->base.store, &p->main);
}

static void on_clean(void *context, sl_status status, const sl_error *error) {
    put *p = context;
    p->clean = NULL;
    if (status == SL_EDENIED)
        sl_message(SL_LEVEL_WARN, "s3", "abandoned uploads stay", "error=\"%s\"",
                   error->text);
    else if (status != SL_OK) {
        end(p, status, error);
        return;
    }
    if (p->ending)
        end(p, SL_OK, NULL);
    else
        look(p, create_upload);
}

static sl_status begin_clean(put *p, sl_error *error) {
    p->taken = false;
    return sl_object_store_abort_uploads(p->base.store, p->bucket, p->key, on_clean, p,
                                         &p->clean, error);
}

static void clean(put *p) {
    sl_error error = {0};
    sl_status status = begin_clean(p, &error);
    if (status != SL_OK)
        end(p, status, &error);
}

/* ---- Begin ---- */

static uint64_t choose_part_bytes(const sl_object_store_options *o, uint64_t length) {
    static const uint64_t MIB = UINT64_C(1) << 20;
    uint64_t least = (length + PARTS_LIMIT - 1) / PARTS_LIMIT;
    if (least <= o->part_bytes)
        return o->part_bytes;
    return (least + MIB - 1) / MIB * MIB;
}

static sl_status prepare_parts(put *p, sl_error *error) {
    const sl_object_store_options *o = &p->base.store->options;
    p->multi = true;
    p->part_bytes = choose_part_bytes(o, p->length);
    p->part_count = (uint32_t)((p->length + p->part_bytes - 1) / p->part_bytes);
    p->parts = sl_calloc(p->part_count, sizeof *p->parts);
    p->slots = sl_calloc(o->parts_max, sizeof *p->slots);
    if (p->parts == NULL || p->slots == NULL)
        return s3_wrong(error, SL_ENOMEM, "PUT", p->bucket, p->key, "out of memory");
    for (unsigned i = 0; i < o->parts_max; i++)
        p->slots[i].put = p;
    if (p->hash_given) {
        sl_hash128_text(p->hash, p->hash_text);
        return SL_OK;
    }
    /* The name of the content goes ahead of it. */
    for (uint64_t at = 0; at < p->length; at += S3_CHUNK) {
        uint32_t crc;
        uint64_t n = p->length - at < S3_CHUNK ? p->length - at : S3_CHUNK;
        sl_status status = digest(p, at, n, p->hasher, &crc, p->sha, error);
        if (status != SL_OK)
            return status;
    }
    sl_status status = check_hash(p, error);
    p->hash_given = true;
    return status;
}

static sl_status prepare_single(put *p, sl_error *error) {
    uint32_t crc;
    sl_status status = digest(p, 0, p->length, p->hasher, &crc, p->sha, error);
    if (status == SL_OK)
        status = check_hash(p, error);
    s3_crc_text(crc, p->crc);
    return status;
}

static sl_status open_file(put *p, sl_error *error) {
    sl_files *files = p->base.store->options.files;
    uint64_t bytes = 0;
    sl_status status = files->open(files, p->path, SL_FILE_READ, &p->file, error);
    if (status != SL_OK) {
        p->file = -1;
        return status;
    }
    status = files->size(files, p->file, &bytes, error);
    if (status == SL_OK && bytes != p->length)
        return sl_error_set(error, SL_ECORRUPT,
                            "%.200s: %" PRIu64 " bytes instead of %" PRIu64, p->path,
                            bytes, p->length);
    return status;
}

static const char *append(char **to, const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = *to;
    memcpy(copy, text, n);
    *to += n;
    return copy;
}

static sl_status make(sl_object_store *store, const sl_object_put *what, put **out,
                      sl_error *error) {
    const char *path = what->path != NULL && what->bytes == NULL ? what->path : "";
    const char *type =
        what->content_type != NULL ? what->content_type : "application/octet-stream";
    size_t key_length = strlen(what->key);
    if (!s3_bucket_ok(what->bucket, strlen(what->bucket)) || key_length == 0 ||
        key_length > 1024)
        return sl_error_set(error, SL_EINVAL, "s3://%.63s/%.160s: no name of an object",
                            what->bucket, what->key);
    put *p = sl_calloc(1, sizeof *p + strlen(what->bucket) + key_length + strlen(path) +
                              strlen(type) + 4);
    if (p == NULL)
        return s3_wrong(error, SL_ENOMEM, "PUT", what->bucket, what->key,
                        "out of memory");
    char *to = p->texts;
    p->bucket = append(&to, what->bucket);
    p->key = append(&to, what->key);
    p->path = append(&to, path);
    p->type = append(&to, type);
    p->bytes = path[0] != 0 ? NULL : what->bytes != NULL ? what->bytes : (const void *)"";
    p->file = -1;
    p->length = what->length;
    p->replace = what->replace;
    p->hash_given = what->hash != NULL;
    if (p->hash_given)
        p->hash = *what->hash;
    p->base.store = store;
    p->hasher = sl_hasher_create();
    *out = p;
    return p->hasher != NULL ? SL_OK
                             : s3_wrong(error, SL_ENOMEM, "PUT", what->bucket, what->key,
                                        "out of memory");
}

sl_status sl_object_store_put(sl_object_store *store, const sl_object_put *what,
                              sl_object_done_fn *done, void *context,
                              sl_object_operation **out, sl_error *error) {
    put *p = NULL;
    sl_status status = make(store, what, &p, error);
    bool multi = !what->replace && what->length > store->options.single_bytes_max;
    if (status == SL_OK && what->length > OBJECT_BYTES_MAX)
        status = s3_wrong(error, SL_EINVAL, "PUT", what->bucket, what->key,
                          "objects have at most 5 TiB");
    if (status == SL_OK && p->bytes == NULL)
        status = open_file(p, error);
    if (status == SL_OK)
        status = multi ? prepare_parts(p, error) : prepare_single(p, error);
    if (status != SL_OK) {
        if (p != NULL)
            destroy(&p->base);
        return status;
    }
    p->done = done;
    p->context = context;
    s3_operation_enter(store, &p->base, destroy);
    if (!multi)
        send_single(p);
    else if ((status = begin_clean(p, error)) != SL_OK) {
        sl_object_operation_cancel(&p->base);
        return status;
    }
    if (out != NULL)
        *out = &p->base;
    return SL_OK;
}
