#include "sluice/admin.h"

#include "dashboard.h"
#include "tap.h"

#include <string.h>

#define WINDOWS "/v1/windows/"
enum { LIMIT_DEFAULT = 1000, LIMIT_MAX = 100000 };

static const struct {
    const char *path, *method;
    bool always;
} routes[] = {
    {"/livez", "GET", true},    {"/readyz", "GET", true},    {"/metrics", "GET", false},
    {"/version", "GET", false}, {"/config", "GET", false},   {"/v1/state", "GET", false},
    {"/", "GET", false},        {"/v1/flush", "POST", false}, {WINDOWS, "GET", false},
    {"/v1/tap", "GET", false},
    {"/v1/replay", "POST", false},
};

static int find(bool full, const char *path) {
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        size_t n = strlen(routes[i].path);
        bool prefix = strcmp(routes[i].path, WINDOWS) == 0;
        bool match = prefix ? strncmp(path, WINDOWS, n) == 0 : strcmp(path, routes[i].path) == 0;
        if (match && (full || routes[i].always))
            return (int)i;
    }
    return -1;
}

static bool allowed(const char *want, const char *method) {
    return strcmp(method, want) == 0 || (strcmp(want, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* 405 names what is allowed, RFC 9110 section 15.5.6. */
static void refuse_method(sl_http_exchange *exchange, const char *want) {
    bool get = strcmp(want, "GET") == 0;
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_buffer_printf(&body, "{\"error\":{\"code\":\"method_not_allowed\",\"message\":\"use %s\"}}\n", want);
    sl_http_reply(exchange, 405, "application/json", get ? "Allow: GET, HEAD\r\n" : "Allow: POST\r\n",
                  body.bytes, body.failed ? 0 : body.length);
    sl_buffer_fini(&body);
}

int sl_admin_admit(bool full, const char *method, const char *path, sl_http_exchange *exchange) {
    int i = find(full, path);
    if (i < 0)
        return 404;
    if (allowed(routes[i].method, method))
        return 0;
    refuse_method(exchange, routes[i].method);
    return 405;
}

static void windows_done(void *context, const char *json, size_t length) {
    if (json == NULL)
        sl_http_reply_error(context, 404, "no_window", "there is no such window");
    else
        sl_http_reply(context, 200, "application/json", "", json, length);
}

static void flush_done(void *context, sl_status status, const char *message) {
    if (status == SL_OK)
        sl_http_reply(context, 200, "application/json", "", "{\"flushed\":true}\n", 17);
    else
        sl_http_reply_error(context, 503, "stalled", "not everything could be delivered: %s", message);
}

/* @return 0: there is one, and it isn't a number from 1 to LIMIT_MAX. */
static uint32_t limit_of(const char *query) {
    while (strncmp(query, "limit=", 6) != 0) {
        const char *next = strchr(query, '&');
        if (next == NULL)
            return LIMIT_DEFAULT;
        query = next + 1;
    }
    uint32_t n = 0;
    const char *at = query + 6;
    for (; *at >= '0' && *at <= '9' && n <= LIMIT_MAX; at++)
        n = n * 10 + (uint32_t)(*at - '0');
    return (*at == 0 || *at == '&') && n <= LIMIT_MAX ? n : 0;
}

static void windows(const sl_admin_port *port, const sl_http_request *r) {
    uint32_t limit = limit_of(r->query);
    if (limit == 0)
        sl_http_reply_error(r->exchange, 400, "limit", "limit is a number from 1 to %d", LIMIT_MAX);
    else
        port->windows(port->context, r->path + strlen(WINDOWS), limit, windows_done, r->exchange);
}

/* The page runs its own script and nobody else's, and asks only this daemon. */
static void dashboard(const sl_http_request *r) {
    sl_http_reply(r->exchange, 200, "text/html; charset=utf-8",
                  "Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; style-src "
                  "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'\r\n"
                  "X-Content-Type-Options: nosniff\r\nCache-Control: no-cache\r\n",
                  sl_dashboard_html, sl_dashboard_html_bytes);
}

static void reply_text(const sl_http_request *r, const char *type, sl_buffer *text) {
    if (text->failed)
        sl_http_reply_error(r->exchange, 503, "memory", "out of memory");
    else
        sl_http_reply(r->exchange, 200, type, "Cache-Control: no-store\r\n", text->bytes, text->length);
    sl_buffer_fini(text);
}

bool sl_admin_handle(const sl_admin_port *port, bool full, const sl_http_request *r) {
    int i = find(full, r->path);
    if (i < 0)
        return false;
    const char *path = routes[i].path;
    sl_buffer text = SL_BUFFER_EMPTY;
    if (!allowed(routes[i].method, r->method)) {
        refuse_method(r->exchange, routes[i].method);
    } else if (strcmp(path, "/livez") == 0) {
        sl_http_reply(r->exchange, 200, "text/plain", "", "ok\n", 3);
    } else if (strcmp(path, "/readyz") == 0) {
        if (port->ready(port->context))
            sl_http_reply(r->exchange, 200, "text/plain", "", "ready\n", 6);
        else
            sl_http_reply(r->exchange, 503, "text/plain", "Retry-After: 1\r\n", "starting\n", 9);
    } else if (strcmp(path, "/metrics") == 0) {
        sl_metrics_print(port->metrics, &text);
        reply_text(r, "text/plain; version=0.0.4", &text);
    } else if (strcmp(path, "/version") == 0) {
        sl_buffer_printf(&text, "{\"version\":\"%s\"}\n", port->version);
        reply_text(r, "application/json", &text);
    } else if (strcmp(path, "/config") == 0) {
        sl_buffer_text(&text, port->config_text);
        reply_text(r, "text/yaml", &text);
    } else if (strcmp(path, "/v1/state") == 0) {
        port->state(port->context, &text);
        reply_text(r, "application/json", &text);
    } else if (strcmp(path, "/v1/flush") == 0) {
        port->flush(port->context, flush_done, r->exchange);
    } else if (strcmp(path, "/v1/tap") == 0) {
        tap_begin(port, r);
    } else if (strcmp(path, "/v1/replay") == 0) {
        port->replay(port->context, r);
    } else if (strcmp(path, WINDOWS) == 0) {
        windows(port, r);
    } else {
        dashboard(r);
    }
    return true;
}
