/* Sends bodies of events over keep-alive connections: non-blocking sockets on one epoll, edge
 * triggered, so that a request costs one send, one receive and a share of one epoll_wait. The
 * sender shares its cores with what it measures.
 *
 * With a rate the schedule is open-loop: body k is due at start + first_event(k) / rate, whether
 * or not a connection is free, and its latency counts from then. (Measuring from the moment of
 * sending would leave out just the requests that a stall kept waiting: "coordinated omission".)
 *
 * What an answer means
 *   2xx          taken; the reply tells how many were accepted and how many rejected
 *   429, 503     not taken: again after Retry-After, with the same key where there is one
 *   other        refused for good; 5xx is tried again where there is a key
 *   of the Kinesis API: records that failed come again alone; so does all after errors that pass
 *   none         the body is whole or void, and only a key makes it safe to send it again:
 *                without --idempotent its events count as unknown */
#include "generate_private.h"

#include "sluice/hash.h"
#include "sluice/time.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define RECEIVE_BYTES 16384
#define EPOLL_EVENTS 256
#define REPLY_TIMEOUT_US (60 * SL_SECOND_US)
#define STOP_TIMEOUT_US (5 * SL_SECOND_US)

typedef struct body {
    const uint8_t *bytes;
    size_t length;
    uint64_t first, events;
} body;

/* Where bodies come from: the generator, or a mapped file cut at line ends. */
typedef struct source {
    sl_generator generator;
    bool now, ended, single; /* Single: each event stands alone. */
    uint64_t next, end, batch;
    const uint8_t *map;
    size_t map_length, map_at;
} source;

typedef enum phase { IDLE, CONNECTING, BUSY, PAUSED } phase;

typedef struct connection {
    phase phase;
    int fd; /* -1: closed. */
    body body;
    uint8_t *buffer; /* Of generated bodies. */
    sl_kinesis_body *records; /* What `body` is made into for the Kinesis API; else NULL. */
    sl_buffer answer;         /* To them. */
    char head[4096];
    size_t head_length, sent; /* `sent` counts head and body. */
    int64_t from_us;          /* Latency counts from here. */
    int64_t try_us, again_us, give_up_us;
    unsigned tries;
    sl_reply reply;
} connection;

typedef struct sender {
    const sl_generate_options *options;
    sl_generate_summary *summary;
    source source;
    sl_url url;
    sl_kinesis_signer signer;
    struct sockaddr_storage address;
    socklen_t address_length;
    char fields[768]; /* The header fields that every request has. */
    connection *connections;
    connection **idle; /* A stack. */
    unsigned idle_count, paused_count;
    int epoll, timer;
    bool reached, complained;
    int64_t now_us, start_us, stop_us, armed_us, tick_us, tick_next_us;
    uint64_t tick_sent;
    sl_status failed; /* The first failure that ends the run. */
    sl_error *error;
} sender;

/* --- Source -------------------------------------------------------------------------------- */

static sl_status open_file(source *s, const char *path, sl_error *error) {
    struct stat st;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &st) != 0) {
        sl_error_set(error, SL_EIO, "open %s: %s", path, strerror(errno));
        if (file >= 0)
            close(file);
        return SL_EIO;
    }
    s->map_length = (size_t)st.st_size;
    void *map = s->map_length == 0
                    ? MAP_FAILED
                    : mmap(NULL, s->map_length, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (map == MAP_FAILED)
        return sl_error_set(error, SL_EIO, "map %s: %s", path,
                            s->map_length == 0 ? "it is empty" : strerror(errno));
    (void)posix_madvise(map, s->map_length, POSIX_MADV_SEQUENTIAL);
    s->map = map;
    return SL_OK;
}

static sl_status open_source(source *s, const sl_generate_options *o, sl_error *error) {
    s->generator = sl_generate_options_generator(o);
    s->now = o->now;
    s->batch = o->batch;
    s->end = o->count > 0 ? o->count : UINT64_MAX;
    return o->file != NULL ? open_file(s, o->file, error) : SL_OK;
}

static void close_source(source *s) {
    if (s->map != NULL)
        /* munmap takes a void *: the mapping is ours, const only for its readers. */
        munmap((void *)(uintptr_t)s->map, s->map_length);
}

static void next_lines(source *s, body *b) {
    const uint8_t *start = s->map + s->map_at, *at = start, *end = s->map + s->map_length;
    uint64_t left = s->end - s->next;
    while (b->events < s->batch && b->events < left && at < end) {
        const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
        at = line_end == NULL ? end : line_end + 1;
        b->events++;
    }
    b->bytes = start;
    b->length = (size_t)(at - start);
    s->map_at += b->length;
    s->ended = at == end;
}

static void next_events(source *s, uint8_t *buffer, body *b) {
    if (s->now)
        s->generator.now_ms = (int64_t)time(NULL) * 1000;
    if (s->generator.csv && !s->single)
        b->length = sl_generate_header(&s->generator, buffer);
    for (; b->events < s->batch && s->next + b->events < s->end; b->events++)
        b->length += sl_generate_event(&s->generator, s->next + b->events, buffer + b->length);
    b->bytes = buffer;
}

static void next_body(source *s, uint8_t *buffer, body *b) {
    *b = (body){.first = s->next};
    if (s->map != NULL)
        next_lines(s, b);
    else
        next_events(s, buffer, b);
    s->next += b->events;
    s->ended = s->ended || s->next >= s->end;
}

/* --- One connection ------------------------------------------------------------------------ */

static void fail(sender *s, sl_status status, const char *what) {
    if (s->failed == SL_OK)
        s->failed = sl_error_set(s->error, status, "%s:%s: %s: %s", s->url.host, s->url.port,
                                 what, strerror(errno));
}

static void become_idle(sender *s, connection *c) {
    c->phase = IDLE;
    s->idle[s->idle_count++] = c;
}

static void drop_socket(connection *c) {
    if (c->fd >= 0)
        close(c->fd); /* Which also takes it out of the epoll. */
    c->fd = -1;
}

static void pause_for(sender *s, connection *c, int64_t wait_us) {
    c->tries++;
    if (sl_generate_stopped() || s->now_us + wait_us > c->give_up_us) {
        s->summary->given_up += c->body.events;
        become_idle(s, c);
        return;
    }
    s->summary->retries++;
    c->phase = PAUSED;
    s->paused_count++;
    c->again_us = s->now_us + wait_us;
}

/* The connection broke, or never came to be. */
static void broken(sender *s, connection *c, const char *what) {
    bool was_busy = c->phase == BUSY || c->phase == CONNECTING, untouched = c->sent == 0;
    if (was_busy && !s->reached)
        fail(s, SL_EIO, what);
    drop_socket(c);
    if (!was_busy)
        return;
    if (untouched || s->options->idempotent) {
        int64_t wait = 100000 * ((int64_t)c->tries + 1);
        pause_for(s, c, wait < 2 * SL_SECOND_US ? wait : 2 * SL_SECOND_US);
    } else {
        s->summary->lost += c->body.events;
        become_idle(s, c);
    }
}

static void build_head(sender *s, connection *c) {
    if (c->records != NULL) {
        sl_status status = sl_kinesis_head(&s->signer, c->body.bytes, c->body.length, c->head, sizeof c->head, s->error);
        if (status != SL_OK && s->failed == SL_OK)
            s->failed = status;
        c->head_length = strlen(c->head);
        return;
    }
    int n = snprintf(c->head, sizeof c->head, "POST %s HTTP/1.1\r\n%sContent-Length: %zu\r\n",
                     s->url.path, s->fields, c->body.length);
    if (s->options->idempotent) {
        /* Of content and place: equal bodies at different places are different requests. */
        char hash[33];
        sl_hash128_text(sl_hash128_of(c->body.bytes, c->body.length), hash);
        n += snprintf(c->head + n, sizeof c->head - (size_t)n, "Idempotency-Key: %s-%llu\r\n", hash,
                      (unsigned long long)c->body.first);
    }
    n += snprintf(c->head + n, sizeof c->head - (size_t)n, "\r\n");
    c->head_length = (size_t)n;
}

static void receive(sender *s, connection *c, bool to_end);

static void push(sender *s, connection *c) {
    size_t all = c->head_length + c->body.length;
    while (c->phase == BUSY && c->sent < all) {
        struct iovec parts[2];
        size_t count = 0;
        if (c->sent < c->head_length)
            parts[count++] =
                (struct iovec){c->head + c->sent, c->head_length - c->sent};
        size_t at = c->sent < c->head_length ? 0 : c->sent - c->head_length;
        parts[count++] = (struct iovec){(void *)(uintptr_t)(c->body.bytes + at),
                                        c->body.length - at};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0) {
            /* A server that refuses early answers and closes: its reply may lie there. */
            receive(s, c, true);
            return;
        }
        c->sent += (size_t)n;
    }
}

static void open_socket(sender *s, connection *c) {
    int on = 1;
    c->fd = socket(s->address.ss_family, SOCK_STREAM, 0);
    if (c->fd < 0 || fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(c->fd, F_SETFD, FD_CLOEXEC) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        broken(s, c, "socket");
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data = {.ptr = c}};
    c->phase = CONNECTING;
    int result = connect(c->fd, (const struct sockaddr *)&s->address, s->address_length);
    if ((result != 0 && errno != EINPROGRESS) ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        broken(s, c, "connect");
}

static void try_body(sender *s, connection *c) {
    s->summary->requests++;
    c->sent = 0;
    c->try_us = s->now_us;
    build_head(s, c); /* For each try: a signature ages, and records that failed may be fewer. */
    sl_reply_reset(&c->reply);
    sl_buffer_clear(&c->answer);
    c->reply.whole = c->records != NULL ? &c->answer : NULL;
    c->phase = BUSY;
    if (c->fd < 0)
        open_socket(s, c); /* Sends when it is connected. */
    else
        push(s, c);
}

static void complain(sender *s, const connection *c) {
    if (!s->complained)
        fprintf(stderr, "generate: POST %s: %d %.300s\n", s->url.path, c->reply.status,
                c->reply.body);
    s->complained = true;
}

static void count_reply(sender *s, connection *c) {
    uint64_t accepted = c->body.events, rejected = 0;
    if (c->reply.status / 100 == 2) {
        (void)sl_reply_count(&c->reply, "accepted", &accepted);
        (void)sl_reply_count(&c->reply, "rejected", &rejected);
        int64_t latency = s->now_us - c->from_us;
        sl_histogram_add(&s->summary->latency, latency > 0 ? (uint64_t)latency : 0);
    } else {
        accepted = 0;
        rejected = c->body.events;
    }
    bool is_wanted = s->options->invalid > 0 && (c->reply.status / 100 == 2 || c->reply.status == 400);
    if (rejected > 0 && !is_wanted)
        complain(s, c);
    s->summary->accepted += accepted;
    s->summary->rejected += rejected;
    become_idle(s, c);
}

/* What was taken is counted, and the rest comes again. @return false: it is a reply as others are. */
static bool finish_records(sender *s, connection *c) {
    int64_t wait = 100000 << (c->tries < 5 ? c->tries : 5);
    if (c->records == NULL || c->reply.status / 100 != 2) {
        bool again = c->records != NULL && sl_kinesis_may_retry(c->reply.status, c->reply.body);
        if (again)
            pause_for(s, c, wait);
        return again;
    }
    if (sl_kinesis_none_failed(&c->answer))
        return false;
    if (!sl_kinesis_failed(c->records, &c->answer)) {
        s->summary->lost += c->body.events; /* Whatever it means. */
        become_idle(s, c);
        return true;
    }
    if (c->records->count == 0)
        return false;
    s->summary->accepted += c->body.events - c->records->count;
    c->body.events = c->records->count;
    c->body.bytes = c->records->text.bytes;
    c->body.length = c->records->text.length;
    pause_for(s, c, wait);
    return true;
}

static void finish_reply(sender *s, connection *c) {
    int status = c->reply.status;
    s->reached = true;
    /* Answered before all was sent: what is left would be read as the next request. */
    if (c->reply.close || c->sent < c->head_length + c->body.length)
        drop_socket(c);
    if (finish_records(s, c))
        return;
    if (status == 429 || status == 503) {
        double wait_s = c->reply.retry_after_s >= 0 ? c->reply.retry_after_s : 1;
        pause_for(s, c, (int64_t)(wait_s * 1e6));
    } else if (status >= 500 && s->options->idempotent)
        pause_for(s, c, SL_SECOND_US);
    else
        count_reply(s, c);
}

static void receive(sender *s, connection *c, bool to_end) {
    char bytes[RECEIVE_BYTES];
    while (c->fd >= 0) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && !to_end)
            return;
        if (n <= 0) {
            if (n == 0)
                errno = ECONNRESET;
            broken(s, c, "receive");
            return;
        }
        size_t used = 0;
        if (c->phase != BUSY || sl_reply_feed(&c->reply, bytes, (size_t)n, &used) != SL_OK ||
            (c->reply.done && used != (size_t)n)) {
            errno = EPROTO;
            broken(s, c, "reply");
            return;
        }
        if (c->reply.done) {
            finish_reply(s, c);
            to_end = to_end && c->fd >= 0 && c->phase == IDLE;
        }
        /* A short read empties the socket (epoll(7)), so there is no need to see EAGAIN. */
        if ((size_t)n < sizeof bytes && !to_end)
            return;
    }
}

static void on_socket(sender *s, connection *c, uint32_t events) {
    if (c->phase == CONNECTING) {
        int problem = 0;
        socklen_t length = sizeof problem;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &length) != 0)
            problem = errno;
        if (problem != 0) {
            errno = problem;
            broken(s, c, "connect");
            return;
        }
        if ((events & EPOLLOUT) == 0)
            return;
        c->phase = BUSY;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        receive(s, c, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
    if ((events & EPOLLOUT) != 0 && c->fd >= 0 && c->phase == BUSY)
        push(s, c);
}

/* --- The run ------------------------------------------------------------------------------- */

/* When the next body is due; INT64_MIN: at once. */
static int64_t next_due(const sender *s) {
    if (s->options->rate <= 0)
        return INT64_MIN;
    return s->start_us + (int64_t)((double)s->source.next / s->options->rate * 1e6);
}

/* As records of the Kinesis API. */
static bool wrap_body(sender *s, connection *c) {
    if (!sl_kinesis_wrap(c->records, s->url.path + 1, c->body.bytes, c->body.length, c->body.first)) {
        s->failed = sl_error_set(s->error, SL_ENOMEM, "out of memory");
        become_idle(s, c);
        return false;
    }
    c->body.bytes = c->records->text.bytes;
    c->body.length = c->records->text.length;
    c->body.events = c->records->count;
    return true;
}

static void assign_bodies(sender *s) {
    if (sl_generate_stopped() || s->failed != SL_OK ||
        (s->options->duration_us > 0 && s->now_us - s->start_us >= s->options->duration_us &&
         s->options->count == 0))
        s->source.ended = true;
    while (s->idle_count > 0 && !s->source.ended && s->failed == SL_OK) {
        int64_t due = next_due(s);
        if (due > s->now_us)
            return;
        connection *c = s->idle[--s->idle_count];
        next_body(&s->source, c->buffer, &c->body);
        if (c->records != NULL && !wrap_body(s, c))
            return;
        s->summary->sent += c->body.events;
        s->summary->bytes += c->body.length;
        c->from_us = due == INT64_MIN ? s->now_us : due;
        c->give_up_us = s->now_us + s->options->retry_for_us;
        c->tries = 0;
        try_body(s, c);
    }
}

static void resume_paused(sender *s) {
    for (unsigned i = 0; s->paused_count > 0 && i < s->options->connections; i++) {
        connection *c = &s->connections[i];
        if (c->phase != PAUSED || (c->again_us > s->now_us && !sl_generate_stopped()))
            continue;
        s->paused_count--;
        if (sl_generate_stopped() || s->failed != SL_OK) {
            s->summary->given_up += c->body.events;
            become_idle(s, c);
        } else
            try_body(s, c);
    }
}

/* Once a second: the figures, and replies that never came. */
static void tick(sender *s) {
    if (s->now_us < s->tick_next_us)
        return;
    if (s->options->progress)
        sl_generate_progress(s->summary, s->now_us - s->start_us, s->tick_sent,
                             s->now_us - s->tick_us);
    s->tick_us = s->now_us;
    s->tick_next_us = s->now_us + SL_SECOND_US;
    s->tick_sent = s->summary->sent;
    for (unsigned i = 0; i < s->options->connections; i++) {
        connection *c = &s->connections[i];
        if ((c->phase == BUSY || c->phase == CONNECTING) &&
            s->now_us - c->try_us > REPLY_TIMEOUT_US) {
            errno = ETIMEDOUT;
            broken(s, c, "no reply");
        }
    }
}

static void arm_timer(sender *s) {
    int64_t wake = s->tick_next_us;
    if (s->idle_count > 0 && !s->source.ended && next_due(s) < wake)
        wake = next_due(s);
    for (unsigned i = 0; s->paused_count > 0 && i < s->options->connections; i++)
        if (s->connections[i].phase == PAUSED && s->connections[i].again_us < wake)
            wake = s->connections[i].again_us;
    if (wake == s->armed_us)
        return;
    s->armed_us = wake;
    wake = wake > 1 ? wake : 1; /* 0 would switch it off. */
    struct itimerspec spec = {
        .it_value = {.tv_sec = wake / SL_SECOND_US, .tv_nsec = wake % SL_SECOND_US * 1000}};
    timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* @return false when the time to wait for the last replies is over. */
static bool may_wait(sender *s) {
    if (s->failed != SL_OK)
        return false;
    if (!sl_generate_stopped())
        return true;
    if (s->stop_us == 0)
        s->stop_us = s->now_us + STOP_TIMEOUT_US;
    return s->now_us < s->stop_us;
}

static void run_loop(sender *s) {
    struct epoll_event events[EPOLL_EVENTS];
    s->start_us = s->now_us = s->tick_us = sl_monotonic_us();
    s->tick_next_us = s->now_us + SL_SECOND_US;
    for (;;) {
        resume_paused(s);
        assign_bodies(s);
        if (s->source.ended && s->idle_count == s->options->connections)
            return;
        if (!may_wait(s))
            break;
        arm_timer(s);
        int n = epoll_wait(s->epoll, events, EPOLL_EVENTS, -1);
        s->now_us = sl_monotonic_us();
        if (n < 0 && errno != EINTR) {
            fail(s, SL_EIO, "epoll_wait");
            break;
        }
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (c == NULL)
                s->armed_us = 0; /* The timer has fired; edge triggered, so it needs no read. */
            else if (c->fd >= 0)
                on_socket(s, c, events[i].events);
        }
        tick(s);
    }
    for (unsigned i = 0; i < s->options->connections; i++) {
        const connection *c = &s->connections[i];
        if (c->phase == BUSY || c->phase == CONNECTING)
            *(c->sent > 0 ? &s->summary->lost : &s->summary->given_up) += c->body.events;
        else if (c->phase == PAUSED)
            s->summary->given_up += c->body.events;
    }
}

/* "localhost" is ::1 and 127.0.0.1, and a server may listen on one: take the first that answers. */
static bool answers(const struct addrinfo *at) {
    int fd = socket(at->ai_family, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    bool good = connect(fd, at->ai_addr, at->ai_addrlen) == 0;
    int problem = errno;
    close(fd);
    errno = problem;
    return good;
}

static sl_status resolve(sender *s) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int problem = getaddrinfo(s->url.host, s->url.port, &hints, &found);
    if (problem != 0)
        return sl_error_set(s->error, SL_EIO, "%s: %s", s->url.host, gai_strerror(problem));
    const struct addrinfo *at = found;
    while (at != NULL && !answers(at))
        at = at->ai_next;
    if (at != NULL) {
        s->address_length = at->ai_addrlen;
        memcpy(&s->address, at->ai_addr, at->ai_addrlen);
    } else
        fail(s, SL_EIO, "connect");
    freeaddrinfo(found);
    return s->failed;
}

static sl_status make_fields(sender *s) {
    bool ipv6 = strchr(s->url.host, ':') != NULL;
    const char *token = s->options->token;
    int n = snprintf(s->fields, sizeof s->fields,
                     "Host: %s%s%s:%s\r\nContent-Type: %s\r\n"
                     "User-Agent: sluice-generate\r\n%s%s%s",
                     ipv6 ? "[" : "", s->url.host, ipv6 ? "]" : "", s->url.port,
                     s->options->csv ? "text/csv; header=present" : "application/x-ndjson",
                     token != NULL ? "Authorization: Bearer " : "", token != NULL ? token : "",
                     token != NULL ? "\r\n" : "");
    if (n < 0 || (size_t)n >= sizeof s->fields)
        return sl_error_set(s->error, SL_EINVAL, "the token is too long");
    return SL_OK;
}

static sl_status make_connections(sender *s) {
    const sl_generate_options *o = s->options;
    s->connections = sl_calloc(o->connections, sizeof *s->connections);
    s->idle = sl_calloc(o->connections, sizeof(connection *));
    if (s->connections == NULL || s->idle == NULL)
        return sl_error_set(s->error, SL_ENOMEM, "out of memory");
    for (unsigned i = 0; i < o->connections; i++)
        s->connections[i].fd = -1;
    for (unsigned i = 0; i < o->connections; i++) {
        if (o->file == NULL) {
            s->connections[i].buffer = sl_malloc((o->batch + 2) * SL_GENERATE_EVENT_BYTES_MAX);
            if (s->connections[i].buffer == NULL)
                return sl_error_set(s->error, SL_ENOMEM, "out of memory");
        }
        if (s->url.kinesis) {
            s->connections[i].records = sl_calloc(1, sizeof(sl_kinesis_body));
            if (s->connections[i].records == NULL)
                return sl_error_set(s->error, SL_ENOMEM, "out of memory");
        }
        become_idle(s, &s->connections[i]);
    }
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.ptr = NULL}};
    if (s->epoll < 0 || s->timer < 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->timer, &event) != 0)
        return sl_error_set(s->error, SL_EIO, "epoll: %s", strerror(errno));
    return SL_OK;
}

static void release(sender *s) {
    for (unsigned i = 0; s->connections != NULL && i < s->options->connections; i++) {
        drop_socket(&s->connections[i]);
        sl_free(s->connections[i].buffer);
        sl_buffer_fini(&s->connections[i].answer);
        if (s->connections[i].records != NULL)
            sl_buffer_fini(&s->connections[i].records->text);
        sl_free(s->connections[i].records);
    }
    sl_kinesis_signer_fini(&s->signer);
    sl_free(s->connections);
    sl_free(s->idle);
    if (s->timer >= 0)
        close(s->timer);
    if (s->epoll >= 0)
        close(s->epoll);
    close_source(&s->source);
}

sl_status sl_generate_send(const sl_generate_options *options, sl_generate_summary *summary,
                           sl_error *error) {
    sender s = {.options = options, .summary = summary, .error = error, .epoll = -1, .timer = -1};
    sl_status status = sl_url_parse(options->to, &s.url, error);
    sl_kinesis_signer_init(&s.signer, &s.url);
    s.source.single = s.url.kinesis;
    if (status == SL_OK)
        status = make_fields(&s);
    if (status == SL_OK)
        status = resolve(&s);
    if (status == SL_OK)
        status = open_source(&s.source, options, error);
    if (status == SL_OK)
        status = make_connections(&s);
    if (status == SL_OK) {
        run_loop(&s);
        status = s.failed;
    }
    release(&s);
    return status;
}
