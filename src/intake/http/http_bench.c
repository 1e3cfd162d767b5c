/* What HTTP alone costs.
 *
 *     http_bench               CPU per request without sockets: parse, route, reply
 *     http_bench HOST:PORT     a server that answers at once, for a load generator;
 * prints its CPU time at the end: wrk -t1 -c64 -d5 -s post.lua
 * http://HOST:PORT/v1/events, then kill -INT
 */
#include "sluice/http_intake.h"
#include "sluice/http_server.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>

typedef struct bench {
    sl_intake port;
    sl_http_intake *routes;
    uint64_t requests, bytes;
    sl_intake_done_fn *done;
    void *token;
} bench;

static sl_status submit(sl_intake *port, const sl_intake_request *request) {
    bench *b = (bench *)port; /* The port is its first member. */
    b->requests++;
    b->bytes += request->length;
    b->done = request->done;
    b->token = request->token;
    return SL_OK;
}

static int admit(void *context, const char *method, const char *path,
                 sl_http_exchange *exchange) {
    return sl_http_intake_admit(((bench *)context)->routes, method, path, exchange);
}

static void handle(void *context, const sl_http_request *request) {
    bench *b = context;
    if (!sl_http_intake_handle(b->routes, request))
        sl_http_reply_error(request->exchange, 404, "not_found", "no such path");
    else if (b->token != NULL)
        b->done(b->token, &(sl_intake_reply){.status = 200, .accepted = 1});
    b->token = NULL;
}

static void drop(void *context, const void *bytes, size_t length) {
    (void)bytes;
    *(uint64_t *)context += length;
}

static double cpu_s(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run(const sl_http_options *options, const char *name, size_t body,
                size_t read_bytes, unsigned rounds) {
    uint64_t sent = 0;
    sl_http_connection *connection = sl_http_connection_create(options, drop, &sent);
    sl_buffer request = SL_BUFFER_EMPTY;
    sl_buffer_printf(
        &request,
        "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench/1.0\r\n"
        "Accept: */*\r\nContent-Type: application/json\r\n"
        "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\nContent-Length: "
        "%zu\r\n\r\n",
        body);
    for (size_t i = 0; i < body; i++)
        sl_buffer_byte(&request, 'x');
    if (connection == NULL || request.failed)
        return;
    double start = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < rounds; i++)
        for (size_t at = 0; at < request.length;) {
            size_t room;
            void *to = sl_http_connection_room(connection, &room);
            size_t n =
                request.length - at < read_bytes ? request.length - at : read_bytes;
            n = n < room ? n : room;
            memcpy(to, request.bytes + at, n);
            sl_http_connection_feed(connection, to, n);
            at += n;
        }
    double used = cpu_s(CLOCK_THREAD_CPUTIME_ID) - start;
    printf("%-28s %8.3f us a request (%.1f bytes a reply)\n", name, used / rounds * 1e6,
           (double)sent / rounds);
    sl_http_connection_destroy(connection);
    sl_buffer_fini(&request);
}

static void on_signal(uv_signal_t *signal, int number) {
    (void)number;
    uv_stop(signal->loop);
}

static int serve(bench *b, const sl_http_options *http, const char *listen) {
    uv_loop_t *loop = uv_default_loop();
    sl_http_server_options options = {.listen = listen, .http = *http};
    sl_http_server *server;
    sl_error error;
    if (sl_http_server_create(loop, &options, &server, &error) != SL_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    uv_signal_t signal;
    (void)uv_signal_init(loop, &signal);
    (void)uv_signal_start(&signal, on_signal, SIGINT);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    double user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6;
    double system = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6;
    double requests = (double)(b->requests > 0 ? b->requests : 1);
    printf(
        "%.0f requests, %.1f MB: user %.2f us, system %.2f us a request, peak %ld KiB\n",
        requests, (double)b->bytes * 1e-6, user / requests * 1e6, system / requests * 1e6,
        usage.ru_maxrss);
    return 0;
}

int main(int argc, char **argv) {
    static const char *const tokens[] = {"0123456789abcdef0123456789abcdef"};
    bench b = {.port.submit = submit};
    sl_budget budget;
    sl_budget_init(&budget, 256u << 20);
    bool serving = argc > 1;
    b.routes = sl_http_intake_create(&b.port, tokens, serving ? 0 : 1, !serving);
    sl_http_options options = {.body_bytes_max = 10 << 20,
                               .budget = &budget,
                               .handler = handle,
                               .context = &b,
                               .admit = admit};
    if (b.routes == NULL)
        return 1;
    if (serving)
        return serve(&b, &options, argv[1]);
    options.shared = sl_http_shared_create(&budget);
    if (options.shared == NULL)
        return 1;
    sl_http_shared_tick(options.shared, (int64_t)time(NULL));
    run(&options, "350 B, one read", 350, SIZE_MAX, 2000000);
    run(&options, "350 B, reads of 200 B", 350, 200, 1000000);
    run(&options, "350 KB, reads of 64 KiB", 350000, 65536, 10000);
    sl_http_shared_destroy(options.shared);
    sl_http_intake_destroy(b.routes);
    return 0;
}
