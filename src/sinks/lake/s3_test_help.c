#include "s3_test_help.h"

#include "s3_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

typedef struct fake_connection {
    uv_tcp_t tcp;
    uv_timer_t timer;
    fake *fake;
    struct fake_connection *next, **link;
    sl_buffer in;
    sl_buffer reply; /* Waits for the timer. */
    int closing;     /* Handles still to close. */
    bool counted;
} fake_connection;

typedef struct request {
    char method[8], target[480], path[400], query[400];
    const char *head;
    size_t head_length;
    const uint8_t *body;
    size_t length;
} request;

typedef struct write_request {
    uv_write_t write;
    uint8_t bytes[];
} write_request;

static void uncount(fake_connection *c) {
    if (c->counted)
        c->fake->at_once--;
    c->counted = false;
}

static void on_closed(uv_handle_t *handle) {
    fake_connection *c = handle->data;
    if (--c->closing > 0)
        return;
    sl_buffer_fini(&c->in);
    sl_buffer_fini(&c->reply);
    free(c);
}

static void drop(fake_connection *c) {
    if (c->closing > 0)
        return;
    uncount(c);
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    c->closing = 2;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void on_written(uv_write_t *write, int status) {
    (void)status;
    free(write);
}

static void send_reply(fake_connection *c) {
    if (c->reply.failed) { /* Tests that let allocations fail hit us, too. */
        drop(c);
        return;
    }
    write_request *w = malloc(sizeof *w + c->reply.length);
    memcpy(w->bytes, c->reply.bytes, c->reply.length);
    uv_buf_t buffer = uv_buf_init((char *)w->bytes, (unsigned)c->reply.length);
    sl_buffer_clear(&c->reply);
    uncount(c);
    if (uv_write(&w->write, (uv_stream_t *)&c->tcp, &buffer, 1, on_written) != 0)
        free(w);
}

static void on_timer(uv_timer_t *timer) { send_reply(timer->data); }

/* Value of a header or of a query's part, "" when absent. */
static void field(const request *r, const char *name, char *out, size_t room) {
    size_t n = strlen(name);
    out[0] = 0;
    for (const char *line = r->head; line < r->head + r->head_length;) {
        const char *end = strstr(line, "\r\n");
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            const char *value = line + n + 1;
            value += strspn(value, " ");
            (void)snprintf(out, room, "%.*s", (int)(end - value), value);
            return;
        }
        line = end + 2;
    }
}

static void parameter(const request *r, const char *name, char *out, size_t room) {
    size_t n = strlen(name);
    out[0] = 0;
    for (const char *at = r->query; *at != 0; at += strcspn(at, "&"), at += *at == '&')
        if (strncmp(at, name, n) == 0 && at[n] == '=')
            (void)snprintf(out, room, "%.*s", (int)strcspn(at + n + 1, "&"), at + n + 1);
}

static bool has(const request *r, const char *name) {
    const char *at = strstr(r->query, name);
    return at != NULL && (at == r->query || at[-1] == '&');
}

static void answer(sl_buffer *out, unsigned status, const char *headers, const void *body,
                   size_t length, size_t said_length) {
    sl_buffer_printf(
        out, "HTTP/1.1 %u X\r\nx-amz-request-id: R1\r\n%sContent-Length: %zu\r\n\r\n",
        status, headers, said_length);
    sl_buffer_append(out, body, length);
}

static void answer_fault(sl_buffer *out, const request *r, unsigned status,
                         const char *code, const char *headers) {
    char body[400];
    int n = snprintf(body, sizeof body,
                     "<?xml version=\"1.0\" "
                     "encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>It says "
                     "%s</Message><RequestId>R1</RequestId></Error>",
                     code, code);
    bool head = strcmp(r->method, "HEAD") == 0;
    answer(out, status, headers, body, head || code[0] == 0 ? 0 : (size_t)n,
           head || code[0] == 0 ? 0 : (size_t)n);
}

fake_object *fake_find(fake *f, const char *path) {
    for (size_t i = 0; i < f->object_count; i++)
        if (strcmp(f->objects[i].path, path) == 0)
            return &f->objects[i];
    return NULL;
}

void fake_add(fake *f, const char *path, const void *bytes, size_t length,
              const char *hash) {
    fake_object *o = fake_find(f, path);
    if (o == NULL && f->object_count == FAKE_OBJECTS)
        abort();
    if (o == NULL)
        o = &f->objects[f->object_count++];
    free(o->bytes);
    (void)snprintf(o->path, sizeof o->path, "%s", path);
    (void)snprintf(o->hash, sizeof o->hash, "%s", hash);
    o->bytes = malloc(length + 1);
    memcpy(o->bytes, bytes, length);
    o->length = length;
    (void)snprintf(o->etag, sizeof o->etag, "\"%08x\"", sl_crc32c(0, bytes, length));
    s3_crc_text(sl_crc32c(0, bytes, length), o->crc);
}

void fake_add_upload(fake *f, const char *path, const char *id) {
    if (f->upload_count == FAKE_UPLOADS)
        abort();
    fake_upload *u = &f->uploads[f->upload_count++];
    *u = (fake_upload){0};
    (void)snprintf(u->path, sizeof u->path, "%s", path);
    (void)snprintf(u->id, sizeof u->id, "%s", id);
}

static fake_upload *find_upload(fake *f, const request *r) {
    char id[64];
    parameter(r, "uploadId", id, sizeof id);
    for (size_t i = 0; i < f->upload_count; i++)
        if (strcmp(f->uploads[i].id, id) == 0 && strcmp(f->uploads[i].path, r->path) == 0)
            return &f->uploads[i];
    return NULL;
}

static void end_upload(fake *f, fake_upload *u) {
    for (size_t i = 0; i < sizeof u->parts / sizeof *u->parts; i++)
        free(u->parts[i].bytes);
    *u = f->uploads[--f->upload_count];
}

static bool taken(fake *f, const request *r, sl_buffer *out) {
    char condition[8];
    field(r, "if-none-match", condition, sizeof condition);
    if (strcmp(condition, "*") != 0 || fake_find(f, r->path) == NULL)
        return false;
    answer_fault(out, r, 412, "PreconditionFailed", "");
    return true;
}

static void put_part(fake *f, const request *r, const char *crc, sl_buffer *out) {
    char number[8], headers[200];
    parameter(r, "partNumber", number, sizeof number);
    fake_upload *u = find_upload(f, r);
    int n = atoi(number);
    if (u == NULL || n < 1 || n > 64) {
        answer_fault(out, r, 404, "NoSuchUpload", "");
        return;
    }
    fake_part *p = &u->parts[n - 1];
    free(p->bytes);
    p->bytes = malloc(r->length + 1);
    memcpy(p->bytes, r->body, r->length);
    p->length = r->length;
    (void)snprintf(p->crc, sizeof p->crc, "%s", crc);
    (void)snprintf(headers, sizeof headers,
                   "ETag: \"p%d\"\r\nx-amz-checksum-crc32c: %s\r\n", n, crc);
    answer(out, 200, headers, "", 0, 0);
}

static void do_put(fake *f, const request *r, sl_buffer *out) {
    char crc[16], sha[80], hash[40], ours[S3_CRC_TEXT], headers[200],
        sum[SL_AWS_HASH_TEXT];
    field(r, "x-amz-checksum-crc32c", crc, sizeof crc);
    field(r, "x-amz-content-sha256", sha, sizeof sha);
    s3_crc_text(sl_crc32c(0, r->body, r->length), ours);
    sl_aws_hash_text(r->body, r->length, sum);
    if ((crc[0] != 0 && strcmp(crc, ours) != 0) || strcmp(sha, sum) != 0) {
        answer_fault(out, r, 400, "BadDigest", "");
        return;
    }
    if (has(r, "uploadId")) {
        put_part(f, r, crc, out);
        return;
    }
    if (taken(f, r, out))
        return;
    field(r, "x-amz-meta-sluice-hash", hash, sizeof hash);
    fake_add(f, r->path, r->body, r->length, hash);
    (void)snprintf(headers, sizeof headers,
                   "ETag: \"e\"\r\nx-amz-checksum-crc32c: %s\r\n", crc);
    answer(out, 200, headers, "", 0, 0);
}

static void do_complete(fake *f, const request *r, sl_buffer *out) {
    fake_upload *u = find_upload(f, r);
    if (u == NULL) {
        answer_fault(out, r, 404, "NoSuchUpload", "");
        return;
    }
    if (taken(f, r, out))
        return;
    sl_buffer whole = SL_BUFFER_EMPTY;
    const char *body = (const char *)r->body;
    for (int i = 0; i < 64 && u->parts[i].bytes != NULL; i++) {
        char want[200];
        (void)snprintf(want, sizeof want,
                       "<Part><ChecksumCRC32C>%s</ChecksumCRC32C><ETag>&quot;p%d&quot;</"
                       "ETag><PartNumber>%d<",
                       u->parts[i].crc, i + 1, i + 1);
        if (strstr(body, want) == NULL) {
            answer_fault(out, r, 400, "InvalidPart", "");
            sl_buffer_fini(&whole);
            return;
        }
        sl_buffer_append(&whole, u->parts[i].bytes, u->parts[i].length);
    }
    if (whole.failed) {
        answer_fault(out, r, 500, "InternalError", "");
        sl_buffer_fini(&whole);
        return;
    }
    fake_add(f, r->path, whole.bytes, whole.length, u->hash);
    (void)snprintf(fake_find(f, r->path)->crc, 16, "AAAAAA==-2");
    sl_buffer_fini(&whole);
    end_upload(f, u);
    static const char done[] =
        "\n \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ETag>&quot;x-2&quot;</ETag>"
        "</CompleteMultipartUploadResult>";
    answer(out, 200, "", done, sizeof done - 1, sizeof done - 1);
}

static void do_create(fake *f, const request *r, sl_buffer *out) {
    char id[40], body[300];
    (void)snprintf(id, sizeof id, "u%u", ++f->next_upload);
    fake_add_upload(f, r->path, id);
    field(r, "x-amz-meta-sluice-hash", f->uploads[f->upload_count - 1].hash, 33);
    int n = snprintf(body, sizeof body,
                     "<InitiateMultipartUploadResult><UploadId>%s</UploadId></"
                     "InitiateMultipartUploadResult>",
                     id);
    answer(out, 200, "", body, (size_t)n, (size_t)n);
}

static void decode(char *text) {
    char *to = text;
    for (const char *at = text; *at != 0; to++) {
        char hex[3] = {0};
        if (*at == '%') {
            memcpy(hex, at + 1, 2);
            *to = (char)strtoul(hex, NULL, 16);
            at += 3;
        } else
            *to = *at++;
    }
    *to = 0;
}

typedef struct item {
    char key[400], id[40];
    size_t bytes;
} item;

/* Order of lists: by key, uploads of one key by their ids. */
static int order(const item *a, const item *b) {
    int by_key = strcmp(a->key, b->key);
    return by_key != 0 ? by_key : strcmp(a->id, b->id);
}

/* The first behind `at` that has the prefix. @return false: none. */
static bool next_item(const fake *f, bool uploads, const char *prefix, item *at) {
    item best = {0};
    for (size_t i = 0; i < (uploads ? f->upload_count : f->object_count); i++) {
        item x = {.bytes = uploads ? 0 : f->objects[i].length};
        const char *path = uploads ? f->uploads[i].path : f->objects[i].path;
        (void)snprintf(x.key, sizeof x.key, "%s", strchr(path + 1, '/') + 1);
        (void)snprintf(x.id, sizeof x.id, "%s", uploads ? f->uploads[i].id : "");
        decode(x.key);
        if (strncmp(x.key, prefix, strlen(prefix)) == 0 && order(&x, at) > 0 &&
            (best.key[0] == 0 || order(&x, &best) < 0))
            best = x;
    }
    if (best.key[0] != 0)
        *at = best;
    return best.key[0] != 0;
}

/* Pages of list_page items. Keys are listed unescaped: the tests' need none. */
static void do_list(fake *f, const request *r, bool uploads, sl_buffer *out) {
    char prefix[400];
    item at = {0};
    parameter(r, uploads ? "key-marker" : "continuation-token", at.key, sizeof at.key);
    parameter(r, "upload-id-marker", at.id, sizeof at.id);
    parameter(r, "prefix", prefix, sizeof prefix);
    decode(at.key);
    decode(prefix);
    size_t given = 0;
    sl_buffer b = SL_BUFFER_EMPTY;
    sl_buffer_text(&b, uploads ? "<ListMultipartUploadsResult>" : "<ListBucketResult>");
    for (; given < f->list_page && next_item(f, uploads, prefix, &at); given++)
        if (uploads)
            sl_buffer_printf(&b, "<Upload><Key>%s</Key><UploadId>%s</UploadId></Upload>",
                             at.key, at.id);
        else
            sl_buffer_printf(&b,
                             "<Contents><Key>%s</Key><Size>%zu</"
                             "Size><ETag>&quot;e&quot;</ETag></Contents>",
                             at.key, at.bytes);
    item last = at;
    bool more = given == f->list_page && next_item(f, uploads, prefix, &at);
    sl_buffer_printf(&b, "<IsTruncated>%s</IsTruncated>", more ? "true" : "false");
    if (more && uploads)
        sl_buffer_printf(&b,
                         "<NextKeyMarker>%s</NextKeyMarker><NextUploadIdMarker>%s</"
                         "NextUploadIdMarker>",
                         last.key, last.id);
    else if (more)
        sl_buffer_printf(&b, "<NextContinuationToken>%s</NextContinuationToken>",
                         last.key);
    sl_buffer_text(&b, uploads ? "</ListMultipartUploadsResult>" : "</ListBucketResult>");
    answer(out, 200, "", b.bytes, b.length, b.length);
    sl_buffer_fini(&b);
}

static void do_get(fake *f, const request *r, sl_buffer *out) {
    bool head = strcmp(r->method, "HEAD") == 0;
    if (strchr(r->path + 1, '/') == NULL) {
        do_list(f, r, has(r, "uploads="), out);
        return;
    }
    const fake_object *o = fake_find(f, r->path);
    if (o == NULL) {
        answer_fault(out, r, 404, "NoSuchKey", "");
        return;
    }
    char headers[400], range[64];
    uint64_t from = 0, to = o->length == 0 ? 0 : o->length - 1;
    field(r, "range", range, sizeof range);
    bool partial = sscanf(range, "bytes=%" SCNu64 "-%" SCNu64, &from, &to) == 2;
    if (partial && from >= o->length) {
        answer_fault(out, r, 416, "InvalidRange", "");
        return;
    }
    to = to < o->length ? to : o->length - 1;
    size_t length = o->length == 0 ? 0 : (size_t)(to - from + 1);
    (void)snprintf(headers, sizeof headers,
                   "ETag: %s\r\n%s%s%sx-amz-checksum-crc32c: %s\r\n", o->etag,
                   o->hash[0] != 0 ? "x-amz-meta-sluice-hash: " : "", o->hash,
                   o->hash[0] != 0 ? "\r\n" : "", o->crc);
    answer(out, partial ? 206 : 200, headers, o->bytes + from, head ? 0 : length, length);
}

static void do_delete(fake *f, const request *r, sl_buffer *out) {
    if (has(r, "uploadId")) {
        fake_upload *u = find_upload(f, r);
        if (u == NULL) {
            answer_fault(out, r, 404, "NoSuchUpload", "");
            return;
        }
        end_upload(f, u);
    } else {
        fake_object *o = fake_find(f, r->path);
        if (o != NULL) {
            free(o->bytes);
            *o = f->objects[--f->object_count];
            f->objects[f->object_count] = (fake_object){0};
        }
    }
    sl_buffer_text(out, "HTTP/1.1 204 X\r\n\r\n");
}

static bool refused(fake *f, const request *r, sl_buffer *out) {
    char authorization[400], date[32], headers[80];
    field(r, "authorization", authorization, sizeof authorization);
    field(r, "x-amz-date", date, sizeof date);
    if (strncmp(authorization, "AWS4-HMAC-SHA256 Credential=", 28) != 0) {
        answer_fault(out, r, 403, "AccessDenied", "");
        return true;
    }
    if (f->expired_key != NULL &&
        strncmp(authorization + 28, f->expired_key, strlen(f->expired_key)) == 0) {
        answer_fault(out, r, 400, "ExpiredToken", "");
        return true;
    }
    if (f->now_us == 0)
        return false;
    int year, month, day, hour;
    int64_t theirs = 0;
    if (sscanf(date, "%4d%2d%2dT%2d", &year, &month, &day, &hour) == 4)
        theirs = sl_date_days(year, (unsigned)month, (unsigned)day) * SL_DAY_US +
                 hour * SL_HOUR_US;
    int64_t apart = f->now_us - theirs;
    if (apart >= 0 && apart < SL_HOUR_US)
        return false;
    (void)snprintf(headers, sizeof headers, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    answer_fault(out, r, 403, "RequestTimeTooSkewed", headers);
    return true;
}

static void act(fake *f, const request *r, sl_buffer *out) {
    if (refused(f, r, out))
        return;
    if (strcmp(r->method, "PUT") == 0)
        do_put(f, r, out);
    else if (strcmp(r->method, "POST") == 0 && has(r, "uploads="))
        do_create(f, r, out);
    else if (strcmp(r->method, "POST") == 0)
        do_complete(f, r, out);
    else if (strcmp(r->method, "DELETE") == 0)
        do_delete(f, r, out);
    else
        do_get(f, r, out);
}

static fake_fault *fault_of(fake *f, const request *r) {
    for (size_t i = 0; i < f->fault_count; i++) {
        fake_fault *x = &f->faults[i];
        if (x->times == 0 || (x->method != NULL && strcmp(x->method, r->method) != 0) ||
            (x->match != NULL && strstr(r->target, x->match) == NULL))
            continue;
        if (x->skip > 0) {
            x->skip--;
            continue;
        }
        return x;
    }
    return NULL;
}

static void reply_later(fake_connection *c, unsigned ms) {
    (void)uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void act_wrong(fake_connection *c, const request *r, const fake_fault *x) {
    static const char error[] =
        "<Error><Code>InternalError</Code><Message>m</Message></Error>";
    sl_buffer *out = &c->reply;
    if (x->action != FAKE_STATUS && x->action != FAKE_ERROR_IN_200)
        act(c->fake, r, out);
    switch (x->action) {
    case FAKE_STATUS:
        answer_fault(out, r, x->status, x->code, x->more != NULL ? x->more : "");
        break;
    case FAKE_REFUSE:
    case FAKE_CUT:
    case FAKE_LOSE:
        drop(c);
        return;
    case FAKE_SILENT:
        return;
    case FAKE_WRONG_CRC:
        sl_buffer_clear(out);
        answer(out, 200, "ETag: \"p1\"\r\nx-amz-checksum-crc32c: AAAAAA==\r\n", "", 0, 0);
        break;
    case FAKE_ERROR_IN_200:
    case FAKE_DO_ERROR_IN_200:
        sl_buffer_clear(out);
        answer(out, 200, "", error, sizeof error - 1, sizeof error - 1);
        break;
    case FAKE_GARBAGE:
        sl_buffer_clear(out);
        answer(out, 200, "", "<Comp", 5, 5);
        break;
    case FAKE_DELAY:
        reply_later(c, x->status);
        return;
    }
    send_reply(c);
}

static bool parse(const sl_buffer *in, request *r, size_t *head_length, size_t *length) {
    const char *text = (const char *)in->bytes;
    const char *end = in->length == 0 ? NULL : strstr(text, "\r\n\r\n");
    if (end == NULL)
        return false;
    *head_length = (size_t)(end - text) + 4;
    r->head = text;
    r->head_length = *head_length - 2;
    char number[24];
    if (sscanf(text, "%7s %479s", r->method, r->target) != 2)
        abort();
    size_t path = strcspn(r->target, "?");
    (void)snprintf(r->path, sizeof r->path, "%.*s", (int)path, r->target);
    (void)snprintf(r->query, sizeof r->query, "%s",
                   r->target[path] != 0 ? r->target + path + 1 : "");
    field(r, "content-length", number, sizeof number);
    *length = (size_t)strtoull(number, NULL, 10);
    return true;
}

static void note(fake_connection *c, const request *r) {
    fake *f = c->fake;
    if (f->log_count < FAKE_LOG)
        (void)snprintf(f->log[f->log_count++], sizeof f->log[0], "%.7s %.470s", r->method,
                       r->target);
    if (strcmp(r->method, "PUT") == 0 || strcmp(r->method, "POST") == 0)
        (void)snprintf(f->last_head, sizeof f->last_head, "%.*s", (int)r->head_length,
                       r->head);
}

/* @return false: not all there, or the connection is gone. */
static bool serve(fake_connection *c) {
    request r = {0};
    size_t head_length, length;
    (void)sl_buffer_cstr(&c->in);
    if (c->in.failed) {
        drop(c);
        return false;
    }
    if (!parse(&c->in, &r, &head_length, &length))
        return false;
    fake *f = c->fake;
    if (!c->counted) {
        c->counted = true;
        f->at_once++;
        f->at_once_max = f->at_once > f->at_once_max ? f->at_once : f->at_once_max;
    }
    bool all = c->in.length >= head_length + length;
    fake_fault *x = NULL;
    for (size_t i = 0; i < f->fault_count && !all;
         i++) /* Those that don't wait for the body. */
        if (f->faults[i].times > 0 && f->faults[i].skip == 0 &&
            (f->faults[i].action == FAKE_CUT || f->faults[i].action == FAKE_REFUSE))
            x = fault_of(f, &r);
    bool early = x != NULL &&
                 (x->action == FAKE_REFUSE ||
                  (x->action == FAKE_CUT && c->in.length >= head_length + length / 2));
    if (!all && !early)
        return false;
    x = fault_of(f, &r);
    note(c, &r);
    r.body = c->in.bytes + head_length;
    r.length = all ? length : 0;
    if (x != NULL && (x->action == FAKE_CUT || x->action == FAKE_REFUSE)) {
        x->times--;
        drop(c);
        return false;
    }
    if (x != NULL) {
        x->times--;
        act_wrong(c, &r, x);
    } else {
        act(f, &r, &c->reply);
        send_reply(c);
    }
    if (c->closing > 0)
        return false;
    c->in.length -= head_length + length;
    memmove(c->in.bytes, c->in.bytes + head_length + length, c->in.length);
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer) {
    fake_connection *c = stream->data;
    if (got > 0)
        sl_buffer_append(&c->in, buffer->base, (size_t)got);
    free(buffer->base);
    if (got < 0 || c->in.failed)
        drop(c);
    else
        while (serve(c))
            continue;
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *out) {
    (void)handle;
    *out = uv_buf_init(malloc(wanted), (unsigned)wanted);
}

static void on_connection(uv_stream_t *listener, int status) {
    fake *f = listener->data;
    fake_connection *c = calloc(1, sizeof *c);
    if (status != 0 || c == NULL)
        abort();
    c->fake = f;
    (void)uv_tcp_init(f->loop, &c->tcp);
    (void)uv_timer_init(f->loop, &c->timer);
    c->tcp.data = c->timer.data = c;
    c->next = f->connections;
    c->link = &f->connections;
    if (c->next != NULL)
        c->next->link = &c->next;
    f->connections = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read) != 0)
        abort();
}

void fake_start(fake *f, uv_loop_t *loop) {
    *f = (fake){.loop = loop, .list_page = 1000};
    struct sockaddr_in address;
    struct sockaddr_storage bound;
    int length = sizeof bound;
    if (uv_ip4_addr("127.0.0.1", 0, &address) != 0 ||
        uv_tcp_init(loop, &f->listener) != 0 ||
        uv_tcp_bind(&f->listener, (const struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&f->listener, 64, on_connection) != 0 ||
        uv_tcp_getsockname(&f->listener, (struct sockaddr *)&bound, &length) != 0)
        abort();
    f->listener.data = f;
    memcpy(&address, &bound, sizeof address);
    f->port = ntohs(address.sin_port);
}

void fake_stop(fake *f) {
    uv_close((uv_handle_t *)&f->listener, NULL);
    while (f->connections != NULL)
        drop(f->connections);
    for (size_t i = 0; i < f->object_count; i++)
        free(f->objects[i].bytes);
    while (f->upload_count > 0)
        end_upload(f, &f->uploads[0]);
}

void fake_fail(fake *f, fake_fault fault) {
    if (f->fault_count == FAKE_FAULTS)
        abort();
    fault.times = fault.times != 0 ? fault.times : 1;
    f->faults[f->fault_count++] = fault;
}

size_t fake_count(const fake *f, const char *method, const char *match) {
    size_t n = 0;
    for (size_t i = 0; i < f->log_count; i++)
        n += strncmp(f->log[i], method, strlen(method)) == 0 &&
             strstr(f->log[i], match) != NULL;
    return n;
}
