#include "sluice/admin.h"

#include "dashboard.h"

#include <stdlib.h>
#include <string.h>

#define WINDOWS "/v1/windows/"

static const struct {
    const char *path, *method;
    bool always;
} routes[] = {
    {"/livez", "GET", true},    {"/readyz", "GET", true},    {"/metrics", "GET", false},
    {"/version", "GET", false}, {"/config", "GET", false},   {"/v1/state", "GET", false},
    {"/", "GET", false},        {"/v1/flush", "POST", false}, {WINDOWS, "GET", false},
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

int sl_admin_admit(bool full, const char *method, const char *path) {
    int i = find(full, path);
    if (i < 0)
        return 404;
    return allowed(routes[i].method, method) ? 0 : 405;
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

static uint32_t limit_of(const char *query) {
    const char *at = strstr(query, "limit=");
    unsigned long n = at != NULL ? strtoul(at + 6, NULL, 10) : 0;
    return n == 0 || n > 100000 ? 1000 : (uint32_t)n;
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
        sl_http_reply_error(r->exchange, 405, "method", "use %s", routes[i].method);
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
    } else if (strcmp(path, WINDOWS) == 0) {
        port->windows(port->context, r->path + strlen(WINDOWS), limit_of(r->query), windows_done,
                      r->exchange);
    } else {
        sl_http_reply(r->exchange, 200, "text/html; charset=utf-8", "", sl_dashboard_html,
                      strlen(sl_dashboard_html));
    }
    return true;
}
