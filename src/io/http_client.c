/* libcurl's multi interface on a libuv loop.
 *
 * libcurl says which sockets it waits for (on_socket: one uv_poll each, a "watch") and when it wants to be called at
 * the latest (on_deadline: one uv_timer). Both lead to curl_multi_socket_action(), and after it to settle(), the only place
 * where calls end: so `done` never runs inside libcurl, and may start, cancel and destroy as it likes. */
#include "sluice/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>
#include <uv.h>

enum {
    CALLS_MAX = 64,
    CONNECT_TIMEOUT_MS = 10000,
    STALL_TIMEOUT_MS = 60000,
    REPLY_BYTES_MAX = 1 << 20,
    REPLY_FIELDS_BYTES_MAX = 64 << 10,
    SEND_BUFFER_BYTES = 128 << 10,
    SPARE_MAX = 16,
    PLACE_BYTES = 280, /* A host name has at most 253 bytes. */
};

typedef struct watch {
    uv_poll_t poll;
    sl_http_client *client;
    struct watch *next, **link;
} watch;

struct sl_http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    watch *watches;
    sl_http_call *active;                /* Handed to libcurl. */
    sl_http_call *waiting, **waiting_end; /* In the order of start. */
    unsigned active_count, waiting_count, calls_max;
    unsigned handles; /* libuv's, still open; with the last the client is freed. */
    bool inside;      /* libcurl is running: it must not be called now. */
    bool destroyed;
    char *ca_file, *user_agent;
    bool any_name;
    CURL *spare[SPARE_MAX];
    unsigned spare_count;
};

struct sl_http_call {
    sl_http_client *client;
    sl_http_call *next, **link;
    CURL *easy;
    struct curl_slist *fields;
    sl_http_done_fn *done;
    void *context;
    sl_http_call_options options; /* Its texts are not kept, but for body and functions. */
    uint64_t offset;              /* Of the body's next byte. */
    sl_buffer reply, reply_fields;
    /* What a callback found wrong while libcurl only knows that it did: */
    sl_status status;
    sl_http_failure failure;
    sl_error error;
    bool starved, active;
    char place[PLACE_BYTES]; /* "host:port" for messages. */
    char words[CURL_ERROR_SIZE];
};

/* ---- Bodies and replies: called by libcurl ---- */

static void blame(sl_http_call *call, sl_status status, sl_http_failure failure, const char *text) {
    if (call->status != SL_OK)
        return;
    call->status = sl_error_set(&call->error, status, "%s: %s", call->place, text);
    call->failure = failure;
}

static size_t give_file(sl_http_call *call, void *bytes, size_t length) {
    ssize_t got;
    do {
        got = pread(call->options.body_file, bytes, length,
                    (off_t)(call->options.body_offset + call->offset));
    } while (got < 0 && errno == EINTR);
    if (got > 0)
        return (size_t)got;
    char text[160];
    if (got == 0)
        (void)snprintf(text, sizeof text, "the body's file ends after %llu of %llu bytes",
                       (unsigned long long)call->offset,
                       (unsigned long long)call->options.body_length);
    else
        (void)snprintf(text, sizeof text, "reading the body's file: %s", strerror(errno));
    blame(call, SL_EIO, SL_HTTP_FAILED_BODY, text);
    return 0;
}

static size_t on_read(char *bytes, size_t size, size_t count, void *context) {
    sl_http_call *call = context;
    uint64_t left = call->options.body_length - call->offset;
    size_t length = size * count, got;
    if (length > left)
        length = (size_t)left;
    if (length == 0)
        return 0;
    if (call->options.body_in_file) {
        got = give_file(call, bytes, length);
    } else if (call->options.read != NULL) {
        got = call->options.read(call->options.context, bytes, length, call->offset);
        assert(got <= length);
    } else {
        memcpy(bytes, (const char *)call->options.body + call->offset, length);
        got = length;
    }
    if (got == 0) {
        blame(call, SL_EIO, SL_HTTP_FAILED_BODY, "the body was not given whole");
        return CURL_READFUNC_ABORT;
    }
    call->offset += got;
    return got;
}

/* Before the one retry that HTTP needs the body starts anew. */
static int on_seek(void *context, curl_off_t offset, int origin) {
    sl_http_call *call = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > call->options.body_length)
        return CURL_SEEKFUNC_FAIL;
    call->offset = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t on_write(char *bytes, size_t size, size_t count, void *context) {
    sl_http_call *call = context;
    size_t length = size * count;
    long code = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &code);
    if (call->options.write != NULL && code / 100 == 2) {
        if (call->options.write(call->options.context, bytes, length))
            return length;
        blame(call, SL_EIO, SL_HTTP_FAILED_BODY, "the reply was not taken");
        return 0;
    }
    if (length > call->options.reply_bytes_max - call->reply.length) {
        char text[80];
        (void)snprintf(text, sizeof text, "the reply has more than %zu bytes",
                       call->options.reply_bytes_max);
        blame(call, SL_ELIMIT, SL_HTTP_FAILED_LIMIT, text);
        return 0;
    }
    sl_buffer_append(&call->reply, bytes, length);
    if (call->reply.failed) {
        blame(call, SL_ENOMEM, SL_HTTP_FAILED_LOCAL, "out of memory for the reply");
        return 0;
    }
    return length;
}

static bool blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Kept as name, 0, value, 0 and so on. A status line begins the next reply: what a 100 brought is forgotten. */
static size_t on_field(char *bytes, size_t size, size_t count, void *context) {
    sl_http_call *call = context;
    size_t length = size * count;
    sl_buffer *kept = &call->reply_fields;
    if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        sl_buffer_clear(kept);
        return length;
    }
    const char *colon = memchr(bytes, ':', length);
    if (colon == NULL)
        return length;
    const char *value = colon + 1, *end = bytes + length;
    while (value < end && blank(*value))
        value++;
    while (end > value && blank(end[-1]))
        end--;
    if (length + 2 > REPLY_FIELDS_BYTES_MAX - kept->length) {
        blame(call, SL_ELIMIT, SL_HTTP_FAILED_LIMIT, "the reply's headers have more than 64 KiB");
        return 0;
    }
    /* A 0 byte inside would shift names and values of all that follows. */
    if (memchr(bytes, 0, length) != NULL)
        return length;
    sl_buffer_append(kept, bytes, (size_t)(colon - bytes));
    sl_buffer_byte(kept, 0);
    sl_buffer_append(kept, value, (size_t)(end - value));
    sl_buffer_byte(kept, 0);
    if (kept->failed) {
        blame(call, SL_ENOMEM, SL_HTTP_FAILED_LOCAL, "out of memory for the reply");
        return 0;
    }
    return length;
}

const char *sl_http_outcome_field(const sl_http_outcome *outcome, const char *name) {
    const sl_buffer *kept = &outcome->call->reply_fields;
    for (size_t at = 0; at < kept->length;) {
        const char *found = (const char *)kept->bytes + at;
        const char *value = found + strlen(found) + 1;
        if (strcasecmp(found, name) == 0)
            return value;
        at = (size_t)(value - (const char *)kept->bytes) + strlen(value) + 1;
    }
    return "";
}

/* ---- The end of a call ---- */

static void release_easy(sl_http_client *client, CURL *easy) {
    if (easy == NULL)
        return;
    if (!client->destroyed && client->spare_count < SPARE_MAX) {
        curl_easy_reset(easy);
        client->spare[client->spare_count++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

static void free_call(sl_http_call *call) {
    release_easy(call->client, call->easy);
    curl_slist_free_all(call->fields);
    sl_buffer_fini(&call->reply);
    sl_buffer_fini(&call->reply_fields);
    sl_free(call);
}

/** Out of its list, if it is in one, and of libcurl's hands. */
static void unlink_call(sl_http_call *call) {
    sl_http_client *client = call->client;
    if (call->link == NULL)
        return;
    if (call->active) {
        (void)curl_multi_remove_handle(client->multi, call->easy);
        client->active_count--;
    } else {
        client->waiting_count--;
        if (client->waiting_end == &call->next)
            client->waiting_end = call->link;
    }
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    call->link = NULL;
}

static int64_t microseconds(CURL *easy, CURLINFO which) {
    curl_off_t value = 0;
    (void)curl_easy_getinfo(easy, which, &value);
    return value;
}

/** Was the connection ready for the request? */
static bool connected(const sl_http_call *call) {
    return microseconds(call->easy, CURLINFO_PRETRANSFER_TIME_T) > 0;
}

/** libcurl gives it the same number as a refused protocol, which comes with OpenSSL's "error:0A00…:SSL routines::…". */
static bool cut_off_in_handshake(const sl_http_call *call) {
    return strstr(call->words, "error:") == NULL || strstr(call->words, "unexpected eof") != NULL;
}

static sl_http_failure failure_of(const sl_http_call *call, CURLcode code) {
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SL_HTTP_FAILED_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return SL_HTTP_FAILED_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return connected(call) ? SL_HTTP_FAILED_TIMEOUT : SL_HTTP_FAILED_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
        return cut_off_in_handshake(call) ? SL_HTTP_FAILED_CONNECT : SL_HTTP_FAILED_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return SL_HTTP_FAILED_TLS;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY:
        return SL_HTTP_FAILED_LOCAL;
    default:
        return SL_HTTP_FAILED_LOST;
    }
}

static void explain(sl_http_call *call, CURLcode code) {
    const char *words = call->words[0] != 0 ? call->words : curl_easy_strerror(code);
    long number = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
    sl_error *error = &call->error;
    sl_status status = SL_EIO;
    call->failure = failure_of(call, code);
    switch (call->failure) {
    case SL_HTTP_FAILED_RESOLVE:
        (void)sl_error_set(error, status, "resolve %s: %s", call->place, words);
        break;
    case SL_HTTP_FAILED_CONNECT:
        if (code == CURLE_OPERATION_TIMEDOUT)
            (void)sl_error_set(error, status, "connect to %s: no connection in %lld ms", call->place,
                               (long long)(microseconds(call->easy, CURLINFO_TOTAL_TIME_T) / 1000));
        else
            (void)sl_error_set(error, status, "connect to %s: %s", call->place,
                               number != 0 ? strerror((int)number) : words);
        break;
    case SL_HTTP_FAILED_TLS:
        status = SL_EDENIED;
        (void)sl_error_set(error, status, "TLS with %s: %s", call->place, words);
        break;
    case SL_HTTP_FAILED_TIMEOUT:
        (void)sl_error_set(error, status, "%s: too slow, given up: %s", call->place, words);
        break;
    case SL_HTTP_FAILED_LOCAL:
        status = code == CURLE_OUT_OF_MEMORY ? SL_ENOMEM : SL_EDENIED;
        (void)sl_error_set(error, status, "%s: %s", call->place, words);
        break;
    case SL_HTTP_FAILED_NOT:
    case SL_HTTP_FAILED_LOST:
    case SL_HTTP_FAILED_LIMIT:
    case SL_HTTP_FAILED_BODY:
        (void)sl_error_set(error, status, "connection to %s lost: %s", call->place, words);
        break;
    }
    call->status = status;
}

/** Tell, then forget. `code` counts where no callback has said more. */
static void finish(sl_http_call *call, CURLcode code) {
    if (call->status == SL_OK && code != CURLE_OK)
        explain(call, code);
    long reply_code = 0;
    curl_off_t sent = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &reply_code);
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    int64_t connect_us = microseconds(call->easy, CURLINFO_APPCONNECT_TIME_T);
    if (connect_us == 0)
        connect_us = microseconds(call->easy, CURLINFO_CONNECT_TIME_T);
    long connections = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connections);
    sl_http_outcome outcome = {
        .status = call->status,
        .failure = call->failure,
        .error = &call->error,
        .code = (unsigned)reply_code,
        .body = &call->reply,
        .call = call,
        .sent_bytes = (uint64_t)sent,
        .duration_us = microseconds(call->easy, CURLINFO_TOTAL_TIME_T),
        .connect_us = connections > 0 ? connect_us : 0,
    };
    unlink_call(call);
    call->done(call->context, &outcome);
    free_call(call);
}

static bool begin(sl_http_call *call) {
    sl_http_client *client = call->client;
    if (curl_multi_add_handle(client->multi, call->easy) != CURLM_OK)
        return false;
    call->active = true;
    call->next = client->active;
    call->link = &client->active;
    if (call->next != NULL)
        call->next->link = &call->next;
    client->active = call;
    client->active_count++;
    return true;
}

static void begin_waiting(sl_http_client *client) {
    while (!client->destroyed && client->waiting != NULL && client->active_count < client->calls_max) {
        sl_http_call *call = client->waiting;
        unlink_call(call);
        if (begin(call))
            continue;
        blame(call, SL_ENOMEM, SL_HTTP_FAILED_LOCAL, "out of memory");
        finish(call, CURLE_OUT_OF_MEMORY);
    }
}

static sl_http_call *starved_call(sl_http_client *client) {
    for (sl_http_call *call = client->active; call != NULL; call = call->next)
        if (call->starved)
            return call;
    return NULL;
}

/** After each run of libcurl: end what has ended, begin what waits. `done` may destroy the client. */
static void settle(sl_http_client *client) {
    int left = 0;
    CURLMsg *message;
    while (!client->destroyed && (message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        char *found = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &found);
        finish((sl_http_call *)(void *)found, code);
    }
    for (sl_http_call *call; !client->destroyed && (call = starved_call(client)) != NULL;)
        finish(call, CURLE_OUT_OF_MEMORY);
    begin_waiting(client);
}

/* ---- libcurl's wishes and libuv's events ---- */

static void run_curl(sl_http_client *client, curl_socket_t socket, int events) {
    int running = 0;
    client->inside = true;
    (void)curl_multi_socket_action(client->multi, socket, events, &running);
    client->inside = false;
    settle(client);
}

static void on_timer(uv_timer_t *timer) {
    run_curl(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    watch *w = poll->data;
    uv_os_fd_t socket = -1;
    int flags = 0;
    (void)uv_fileno((const uv_handle_t *)poll, &socket);
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    run_curl(w->client, socket, flags);
}

static void handle_closed(sl_http_client *client) {
    if (--client->handles > 0)
        return;
    sl_free(client->ca_file);
    sl_free(client->user_agent);
    sl_free(client);
    curl_global_cleanup();
}

static void on_timer_closed(uv_handle_t *handle) {
    handle_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle) {
    watch *w = handle->data;
    sl_http_client *client = w->client;
    sl_free(w);
    handle_closed(client);
}

static void close_watch(watch *w) {
    *w->link = w->next;
    if (w->next != NULL)
        w->next->link = w->link;
    (void)uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static watch *open_watch(sl_http_client *client, curl_socket_t socket) {
    watch *w = sl_calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    if (uv_poll_init(client->loop, &w->poll, socket) != 0) {
        sl_free(w);
        return NULL;
    }
    w->poll.data = w;
    w->client = client;
    w->next = client->watches;
    w->link = &client->watches;
    if (w->next != NULL)
        w->next->link = &w->next;
    client->watches = w;
    client->handles++;
    return w;
}

/* An error from here would end all transfers for good, so a watch that can't be had ends its own call in settle(). */
static int on_socket(CURL *easy, curl_socket_t socket, int what, void *context, void *attached) {
    sl_http_client *client = context;
    watch *w = attached;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)curl_multi_assign(client->multi, socket, NULL);
            close_watch(w);
        }
        return 0;
    }
    if (w == NULL) {
        w = open_watch(client, socket);
        if (w != NULL)
            (void)curl_multi_assign(client->multi, socket, w);
    }
    int events = ((what & CURL_POLL_IN) != 0 ? UV_READABLE : 0) | ((what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0);
    if (w == NULL || uv_poll_start(&w->poll, events, on_poll) != 0) {
        char *found = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &found);
        sl_http_call *call = (sl_http_call *)(void *)found;
        if (call != NULL) {
            blame(call, SL_ENOMEM, SL_HTTP_FAILED_LOCAL, "out of memory or descriptors");
            call->starved = true;
        }
    }
    return 0;
}

static int on_deadline(CURLM *multi, long timeout_ms, void *context) {
    (void)multi;
    sl_http_client *client = context;
    if (timeout_ms >= 0)
        (void)uv_timer_start(&client->timer, on_timer, (uint64_t)timeout_ms, 0);
    else
        (void)uv_timer_stop(&client->timer);
    return 0;
}

/* ---- Client ---- */

static sl_status create_multi(sl_http_client *client, sl_error *error) {
    client->multi = curl_multi_init();
    if (client->multi == NULL)
        return sl_error_set(error, SL_ENOMEM, "http client: out of memory");
    CURLMcode code = curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    if (code == CURLM_OK)
        code = curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    if (code == CURLM_OK)
        code = curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_deadline);
    if (code == CURLM_OK)
        code = curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    if (code == CURLM_OK)
        code = curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)client->calls_max);
    if (code == CURLM_OK)
        code = curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    return code == CURLM_OK ? SL_OK : sl_error_set(error, SL_EIO, "http client: %s", curl_multi_strerror(code));
}

sl_status sl_http_client_create(struct uv_loop_s *loop, const sl_http_client_options *options,
                                sl_http_client **out, sl_error *error) {
    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return sl_error_set(error, SL_ENOMEM, "http client: libcurl does not start");
    sl_status status = SL_ENOMEM;
    sl_http_client *client = sl_calloc(1, sizeof *client);
    if (client == NULL)
        goto out;
    client->loop = loop;
    client->waiting_end = &client->waiting;
    client->calls_max = options->calls_max > 0 ? options->calls_max : CALLS_MAX;
    client->user_agent = sl_strdup(options->user_agent != NULL ? options->user_agent : "sluice");
    if (client->user_agent == NULL)
        goto out;
    client->any_name = options->any_name;
    if (options->ca_file != NULL && (client->ca_file = sl_strdup(options->ca_file)) == NULL)
        goto out;
    status = create_multi(client, error);
    if (status != SL_OK)
        goto out;
    (void)uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    client->handles = 1;
    *out = client;
    return SL_OK;
out:
    if (status == SL_ENOMEM)
        (void)sl_error_set(error, SL_ENOMEM, "http client: out of memory");
    if (client != NULL) {
        if (client->multi != NULL)
            (void)curl_multi_cleanup(client->multi);
        sl_free(client->ca_file);
        sl_free(client->user_agent);
        sl_free(client);
    }
    curl_global_cleanup();
    return status;
}

void sl_http_client_destroy(sl_http_client *client) {
    if (client == NULL)
        return;
    assert(!client->inside && !client->destroyed);
    client->destroyed = true;
    while (client->active != NULL)
        sl_http_call_cancel(client->active);
    while (client->waiting != NULL)
        sl_http_call_cancel(client->waiting);
    for (unsigned i = 0; i < client->spare_count; i++)
        curl_easy_cleanup(client->spare[i]);
    (void)curl_multi_cleanup(client->multi);
    while (client->watches != NULL)
        close_watch(client->watches);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

unsigned sl_http_client_calls(const sl_http_client *client) {
    return client->active_count + client->waiting_count;
}

/* ---- Start ---- */

/* libcurl would cut a fragment off, take out a user name, and refuse or recode other bytes: what is signed must be sent. */
static bool url_is_sendable(const char *url) {
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return false;
    for (const char *c = url; *c != 0; c++)
        if (*c <= 0x20 || *c > 0x7e || *c == '#')
            return false;
    const char *host = strchr(url, ':') + 3;
    size_t length = strcspn(host, "/?");
    return length > 0 && length < PLACE_BYTES - 8 && memchr(host, '@', length) == NULL;
}

static void name_place(sl_http_call *call, const char *url) {
    const char *host = strchr(url, ':') + 3;
    size_t length = strcspn(host, "/?");
    bool port = host[length - 1] != ']' && memchr(host, ':', length) != NULL;
    (void)snprintf(call->place, sizeof call->place, "%.*s%s", (int)length, host,
                   port ? "" : url[4] == 's' ? ":443" : ":80");
}

static bool add_line(sl_http_call *call, const char *line) {
    struct curl_slist *longer = curl_slist_append(call->fields, line);
    if (longer == NULL)
        return false;
    call->fields = longer;
    return true;
}

static bool field_is_sendable(const sl_http_field *field) {
    if (field->name[0] == 0 || strpbrk(field->name, " \t\r\n:;") != NULL)
        return false;
    return strpbrk(field->value, "\r\n") == NULL;
}

static sl_status add_fields(sl_http_call *call, const sl_http_call_options *options, sl_error *error) {
    bool expect = false, ok = true;
    for (size_t i = 0; i < options->field_count && ok; i++) {
        const sl_http_field *field = &options->fields[i];
        if (!field_is_sendable(field))
            return sl_error_set(error, SL_EINVAL, "header %zu of a request to %s can't be sent", i, call->place);
        expect = expect || strcasecmp(field->name, "expect") == 0;
        /* "Name;" is how libcurl is told to send a header without a value. */
        sl_buffer line = SL_BUFFER_EMPTY;
        if (field->value[0] != 0)
            sl_buffer_printf(&line, "%s: %s", field->name, field->value);
        else
            sl_buffer_printf(&line, "%s;", field->name);
        const char *text = sl_buffer_cstr(&line);
        ok = !line.failed && add_line(call, text);
        sl_buffer_fini(&line);
    }
    /* libcurl adds these by itself unless they stand there with nothing. */
    ok = ok && (expect || add_line(call, "Expect:")) && add_line(call, "Accept:");
    return ok ? SL_OK : sl_error_set(error, SL_ENOMEM, "http client: out of memory");
}

/** Options one after the other; the first failure sticks. */
typedef struct setter {
    CURL *easy;
    CURLcode code;
} setter;

static void set_number(setter *s, CURLoption option, long value) {
    if (s->code == CURLE_OK)
        s->code = curl_easy_setopt(s->easy, option, value);
}

static void set_pointer(setter *s, CURLoption option, const void *value) {
    if (s->code == CURLE_OK)
        s->code = curl_easy_setopt(s->easy, option, value);
}

static void set_method(setter *s, const sl_http_call_options *options) {
    const char *method = options->method;
    bool body = options->body_length > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
                strcmp(method, "PATCH") == 0;
    if (body) {
        set_number(s, CURLOPT_UPLOAD, 1);
        if (s->code == CURLE_OK)
            s->code = curl_easy_setopt(s->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)options->body_length);
    } else if (strcmp(method, "HEAD") == 0) {
        set_number(s, CURLOPT_NOBODY, 1);
    } else {
        set_number(s, CURLOPT_HTTPGET, 1);
    }
    set_pointer(s, CURLOPT_CUSTOMREQUEST, method);
}

static void set_limits(setter *s, const sl_http_call_options *options) {
    unsigned connect = options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    unsigned stall = options->stall_timeout_ms > 0 ? options->stall_timeout_ms : STALL_TIMEOUT_MS;
    set_number(s, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    set_number(s, CURLOPT_LOW_SPEED_LIMIT, 1);
    set_number(s, CURLOPT_LOW_SPEED_TIME, (long)((stall + 999u) / 1000u));
    set_number(s, CURLOPT_TIMEOUT_MS, (long)options->total_timeout_ms);
    set_number(s, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER_BYTES);
}

static CURLcode set_functions(sl_http_call *call) {
    CURL *easy = call->easy;
    CURLcode code = curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_field);
    return code;
}

static sl_status set_options(sl_http_call *call, const sl_http_call_options *options, sl_error *error) {
    const sl_http_client *client = call->client;
    setter s = {call->easy, set_functions(call)};
    set_pointer(&s, CURLOPT_URL, options->url);
    set_number(&s, CURLOPT_PATH_AS_IS, 1);
    set_pointer(&s, CURLOPT_PROTOCOLS_STR, "http,https");
    set_number(&s, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    set_number(&s, CURLOPT_NOSIGNAL, 1);
    set_number(&s, CURLOPT_QUICK_EXIT, 1); /* Else giving up would wait for the thread that resolves. */
    set_number(&s, CURLOPT_TCP_KEEPALIVE, 1);
    set_number(&s, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    set_pointer(&s, CURLOPT_USERAGENT, client->user_agent);
    set_pointer(&s, CURLOPT_HTTPHEADER, call->fields);
    set_pointer(&s, CURLOPT_ERRORBUFFER, call->words);
    set_pointer(&s, CURLOPT_PRIVATE, call);
    set_pointer(&s, CURLOPT_READDATA, call);
    set_pointer(&s, CURLOPT_SEEKDATA, call);
    set_pointer(&s, CURLOPT_WRITEDATA, call);
    set_pointer(&s, CURLOPT_HEADERDATA, call);
    if (client->ca_file != NULL)
        set_pointer(&s, CURLOPT_CAINFO, client->ca_file);
    if (client->any_name)
        set_number(&s, CURLOPT_SSL_VERIFYHOST, 0);
    if (options->direct)
        set_pointer(&s, CURLOPT_NOPROXY, "*");
    set_method(&s, options);
    set_limits(&s, options);
    if (s.code == CURLE_OK)
        return SL_OK;
    return sl_error_set(error, s.code == CURLE_OUT_OF_MEMORY ? SL_ENOMEM : SL_EINVAL, "request to %s: %s",
                        call->place, curl_easy_strerror(s.code));
}

/** @return NULL with *status set. */
static sl_http_call *create_call(sl_http_client *client, const sl_http_call_options *options, sl_status *status,
                                 sl_error *error) {
    sl_http_call *call = sl_calloc(1, sizeof *call);
    if (call == NULL) {
        *status = sl_error_set(error, SL_ENOMEM, "http client: out of memory");
        return NULL;
    }
    call->client = client;
    call->options = *options;
    if (call->options.reply_bytes_max == 0)
        call->options.reply_bytes_max = REPLY_BYTES_MAX;
    name_place(call, options->url);
    call->easy = client->spare_count > 0 ? client->spare[--client->spare_count] : curl_easy_init();
    *status = call->easy != NULL ? add_fields(call, options, error)
                                 : sl_error_set(error, SL_ENOMEM, "http client: out of memory");
    if (*status == SL_OK)
        *status = set_options(call, options, error);
    if (*status == SL_OK)
        return call;
    free_call(call);
    return NULL;
}

sl_status sl_http_client_start(sl_http_client *client, const sl_http_call_options *options,
                               sl_http_done_fn *done, void *context, sl_http_call **out, sl_error *error) {
    assert(!client->inside && !client->destroyed);
    if (!url_is_sendable(options->url))
        return sl_error_set(error, SL_EINVAL, "not a URL that can be sent: %s", options->url);
    sl_status status;
    sl_http_call *call = create_call(client, options, &status, error);
    if (call == NULL)
        return status;
    call->done = done;
    call->context = context;
    if (client->active_count >= client->calls_max || client->waiting != NULL) {
        call->link = client->waiting_end;
        *client->waiting_end = call;
        client->waiting_end = &call->next;
        client->waiting_count++;
    } else if (!begin(call)) {
        free_call(call);
        return sl_error_set(error, SL_ENOMEM, "http client: out of memory");
    }
    if (out != NULL)
        *out = call;
    return SL_OK;
}

void sl_http_call_cancel(sl_http_call *call) {
    sl_http_client *client = call->client;
    assert(!client->inside);
    if (call->link == NULL)
        return; /* Being told already. */
    unlink_call(call);
    free_call(call);
    /* Its place is free for who waits, which libuv's next turn sees to. */
    if (!client->destroyed && client->waiting != NULL)
        (void)uv_timer_start(&client->timer, on_timer, 0, 0);
}
