/* The fixed sections: what isn't said is filled in, and what must fit together is
 * compared. */
#include "loader.h"

#include <stdio.h>

/** 127.0.0.0/8 in digits (not a name that begins so), ::1 and the name localhost. */
bool sl_address_is_loopback(const char *address) {
    size_t numbers = strspn(address, "0123456789.");
    return (!strncmp(address, "127.", 4) && address[numbers] == ':') ||
           !strncmp(address, "localhost:", 10) || !strncmp(address, "[::1]:", 6);
}

/** `:8080` says all interfaces. */
static char *full_address(sl_loader *l, char *address) {
    return *address == ':' ? sl_loader_printf(l, "0.0.0.0%s", address) : address;
}

static void check_auth(sl_loader *l) {
    sl_config *c = l->config;
    static const struct {
        const char *path, *words;
    } doors[] = {{"http.listen", "http.listen"}, {"admin.listen", "admin.listen"}};
    bool open = c->http.auth_none || c->http.token_count || c->http.aws_key_count;
    const char *listen[] = {c->http.listen, c->admin.listen};
    for (size_t i = 0; i < 2 && !open; i++)
        if (!sl_address_is_loopback(listen[i])) {
            sl_problem_add(
                &l->problems, sl_loader_at(l, doors[i].path, NULL), false, SL_EINVAL,
                "%s: %.100s is reachable from other machines and http.auth is not set: "
                "either http: { auth: { tokens: [\"${SLUICE_TOKEN}\"] } }, or "
                "http: { auth: none } to let everybody in",
                doors[i].words, listen[i]);
            return;
        }
}

static void check_sizes(sl_loader *l) {
    const sl_config *c = l->config;
    char a[32], b[32];
    if (c->http.max_event > c->http.max_body) {
        sl_size_format(c->http.max_event, a);
        sl_size_format(c->http.max_body, b);
        sl_problem_add(&l->problems, sl_loader_at(l, "http.max_event", "http.max_body"),
                       false, SL_EINVAL,
                       "http.max_event: %s is more than http.max_body (%s)", a, b);
    }
    if (c->http.max_body > c->memory / 4) {
        sl_size_format(c->http.max_body, a);
        sl_size_format(c->memory, b);
        sl_problem_add(&l->problems, sl_loader_at(l, "http.max_body", "memory"), false,
                       SL_EINVAL,
                       "http.max_body: %s is more than a quarter of memory (%s)", a, b);
    }
    /* A group that holds the largest body and its framing must fit in a segment. */
    if (c->journal.segment_size < c->http.max_body + (UINT64_C(1) << 20)) {
        sl_size_format(c->journal.segment_size, a);
        sl_size_format(c->http.max_body, b);
        sl_problem_add(
            &l->problems, sl_loader_at(l, "journal.segment_size", "http.max_body"), false,
            SL_EINVAL,
            "journal.segment_size: %s is less than http.max_body (%s) and 1MiB", a, b);
    }
    if (c->journal.quota < 2 * c->journal.segment_size) {
        sl_size_format(c->journal.quota, a);
        sl_size_format(c->journal.segment_size, b);
        sl_problem_add(
            &l->problems, sl_loader_at(l, "journal.quota", "journal.segment_size"), false,
            SL_EINVAL,
            "journal.quota: %s is less than two segments (journal.segment_size: %s)", a,
            b);
    }
}

static void check_timezone(sl_loader *l) {
    int64_t standard, summer;
    sl_status status =
        sl_timezone_read(SL_ZONES, l->config->timezone, &standard, &summer);
    if (!status)
        return;
    const sl_node *at = sl_loader_at(l, "timezone", NULL);
    if (status == SL_ENOTFOUND)
        sl_problem_add(&l->problems, at, false, status,
                       "timezone: no time zone '%.100s' below " SL_ZONES
                       " (names look like Europe/Berlin; is tzdata installed?)",
                       l->config->timezone);
    else
        sl_problem_add(&l->problems, at, false, status,
                       "timezone: " SL_ZONES "/%.100s is not a time zone file",
                       l->config->timezone);
}

void sl_loader_check_root(sl_loader *l) {
    sl_config *c = l->config;
    if (!c->lake.to)
        c->lake.to = sl_loader_join(l, c->data_dir, "lake");
    sl_loader_check_s3_section(l);
    sl_loader_check_warehouse(l);
    sl_loader_check_brokers(l);
    sl_loader_check_ingest(l);
    if (!c->admin.listen)
        c->admin.listen = sl_address_is_loopback(c->http.listen)
                              ? c->http.listen
                              : sl_loader_keep(l, "127.0.0.1:8081", 14);
    if (!c->http.tls_cert != !c->http.tls_key)
        sl_problem_add(&l->problems, sl_loader_at(l, "http.tls", NULL), false, SL_EINVAL,
                       "http.tls: needs both cert and key");
    c->http.listen = full_address(l, c->http.listen);
    c->admin.listen = full_address(l, c->admin.listen);
    c->admin.tap_open = c->admin.tap == 1 || (c->admin.tap == 0 && sl_address_is_loopback(c->admin.listen));
    check_auth(l);
    check_sizes(l);
    check_timezone(l);
}

const char *sl_config_admin_url(const sl_config *config, sl_buffer *out) {
    const char *listen = config->admin.listen, *colon = strrchr(listen, ':');
    const char *cert = strcmp(listen, config->http.listen) == 0 ? config->http.tls_cert : NULL;
    size_t host = colon != NULL ? (size_t)(colon - listen) : strlen(listen);
    bool any4 = host == 7 && strncmp(listen, "0.0.0.0", 7) == 0, any6 = host == 4 && strncmp(listen, "[::]", 4) == 0;
    sl_buffer_text(out, cert != NULL ? "https://" : "http://");
    if (any4 || any6)
        sl_buffer_text(out, any4 ? "127.0.0.1" : "[::1]");
    else
        sl_buffer_append(out, listen, host);
    sl_buffer_text(out, colon != NULL ? colon : "");
    return cert;
}
