/* From a URL to a connection: credentials, names to addresses, whom to trust. */
#include "postgres_private.h"

#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 16

static const char *option(PQconninfoOption *options, const char *keyword) {
    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val != NULL && *o->val != 0 ? o->val
                   : o->envvar != NULL            ? getenv(o->envvar)
                                                  : NULL;
    return NULL;
}

static bool readable(const char *path) { return access(path, R_OK) == 0; }

/* Whom to trust, where nobody said it: the user's file for PostgreSQL, else the system's
 * authorities. */
static const char *root_certificates(void) {
    static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                          "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/cert.pem"};
    char path[1024];
    const char *home = getenv("HOME");
    (void)snprintf(path, sizeof path, "%s/.postgresql/root.crt",
                   home == NULL ? "" : home);
    if (home != NULL && readable(path))
        return NULL; /* libpq finds it itself. */
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
        if (readable(bundles[i]))
            return bundles[i];
    return NULL;
}

enum { PAIRS_MAX = 96 };
typedef struct pair_list {
    const char *keywords[PAIRS_MAX], *values[PAIRS_MAX];
    size_t count;
} pair_list;

static void pair(pair_list *pairs, const char *keyword, const char *value) {
    size_t i = 0;
    if (value == NULL)
        return;
    while (i < pairs->count && strcmp(pairs->keywords[i], keyword) != 0)
        i++;
    assert(i < PAIRS_MAX - 1);
    pairs->keywords[i] = keyword;
    pairs->values[i] = value;
    if (i == pairs->count)
        pairs->count++;
}

/* For what neither the URL nor the environment says. */
static void pair_default(pair_list *pairs, PQconninfoOption *options, const char *keyword,
                         const char *value) {
    if (option(options, keyword) == NULL)
        pair(pairs, keyword, value);
}

static void secure(const sl_postgres *p, pair_list *pairs, PQconninfoOption *options) {
    const char *mode = option(options, "sslmode");
    if (mode == NULL && p->places.remote)
        pair(pairs, "sslmode", mode = "verify-full");
    if (p->ca_file != NULL)
        pair(pairs, "sslrootcert", p->ca_file);
    else if (mode != NULL && begins(mode, "verify-"))
        pair_default(pairs, options, "sslrootcert", root_certificates());
}

static void start_connecting(sl_postgres *p, PQconninfoOption *options) {
    pair_list pairs = {.count = 0};
    for (PQconninfoOption *o = options; o->keyword != NULL; o++)
        if (o->val != NULL && *o->val != 0)
            pair(&pairs, o->keyword, o->val);
    pair(&pairs, "user", p->now_user);
    pair(&pairs, "password", p->now_password);
    if (p->places.count != 0) {
        pair(&pairs, "host", sl_buffer_cstr(&p->places.hosts));
        pair(&pairs, "hostaddr", sl_buffer_cstr(&p->places.addresses));
        pair(&pairs, "port", sl_buffer_cstr(&p->places.ports));
    }
    pair(&pairs, "client_encoding", "UTF8");
    pair_default(&pairs, options, "application_name", "sluice");
    pair_default(&pairs, options, "gssencmode", "disable");
    pair_default(&pairs, options, "keepalives_idle", "30");
    pair_default(&pairs, options, "keepalives_interval", "10");
    pair_default(&pairs, options, "keepalives_count", "3");
    secure(p, &pairs, options);
    p->db = PQconnectStartParams(pairs.keywords, pairs.values, 0);
    if (p->db == NULL || PQstatus(p->db) == CONNECTION_BAD) {
        sl_pg_note_connection_error(p, SL_EIO, "warehouse");
        sl_pg_finish(p);
        return;
    }
    p->phase = CONNECTING;
    if (!sl_pg_watch_for(p, UV_WRITABLE))
        sl_pg_fail(p, SL_EIO, "warehouse: the socket can't be watched");
}

/* libpq would write them to stderr. */
static void on_notice(void *context, const PGresult *result) {
    (void)context;
    (void)result;
}

static void made_connection(sl_postgres *p) {
    p->connected = true;
    p->phase = RUNNING;
    (void)PQsetnonblocking(p->db, 1);
    (void)PQsetNoticeReceiver(p->db, on_notice, NULL);
    if (p->setup == NULL) {
        sl_pg_finish(p);
    } else if (PQsendQuery(p->db, p->setup) == 0) {
        sl_pg_note_connection_error(p, SL_EIO, "warehouse");
        sl_pg_finish(p);
    } else {
        sl_pg_run(p);
    }
}

static void no_connection(sl_postgres *p) {
    const char *message = PQerrorMessage(p->db);
    bool denied = strstr(message, "authentication failed") != NULL ||
                  strstr(message, "no pg_hba.conf entry") != NULL ||
                  strstr(message, "no password supplied") != NULL;
    bool plain = strstr(message, "does not support SSL") != NULL;
    sl_pg_note_connection_error(p, denied ? SL_EDENIED : SL_EIO, "warehouse");
    if (plain && strlen(p->error.text) < sizeof p->error.text - 80)
        strcat(p->error.text, "; sslmode in the URL can say otherwise than verify-full");
    sl_pg_finish(p);
}

void sl_pg_connect_step(sl_postgres *p) {
    sl_pg_drop_watch(p);
    PostgresPollingStatusType state = PQconnectPoll(p->db);
    if (state == PGRES_POLLING_OK)
        made_connection(p);
    else if (state == PGRES_POLLING_FAILED)
        no_connection(p);
    else if (!sl_pg_watch_for(p,
                              state == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE))
        sl_pg_fail(p, SL_EIO, "warehouse: the socket can't be watched");
}

/* --- names to addresses --- */

static void resolve_next(sl_postgres *p);

void sl_pg_places_fini(place_list *places) {
    sl_buffer_fini(&places->hosts);
    sl_buffer_fini(&places->addresses);
    sl_buffer_fini(&places->ports);
    sl_free(places->names);
    sl_free(places->port_list);
    *places = (place_list){0};
}

void sl_pg_forget_resolving(sl_postgres *p) {
    if (p->resolving == NULL)
        return;
    p->resolving->owner = NULL;
    (void)uv_cancel((uv_req_t *)&p->resolving->request);
    p->resolving = NULL;
}

static bool loopback(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return (ntohl(in.sin_addr.s_addr) >> 24) == 127;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof in6);
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static void add_place(place_list *places, const char *host, const char *address,
                      const char *port) {
    const char *comma = places->count++ == 0 ? "" : ",";
    sl_buffer_printf(&places->hosts, "%s%s", comma, host);
    sl_buffer_printf(&places->addresses, "%s%s", comma, address);
    sl_buffer_printf(&places->ports, "%s%s", comma, port);
}

static void add_addresses(place_list *places, const char *host, const char *port,
                          const struct addrinfo *list) {
    for (const struct addrinfo *a = list; a != NULL && places->count < ADDRESSES_MAX;
         a = a->ai_next) {
        char text[NI_MAXHOST];
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
            continue;
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0,
                        NI_NUMERICHOST) != 0)
            continue;
        add_place(places, host, text, port);
        places->remote = places->remote || !loopback(a->ai_addr);
    }
}

/* Cut the first part of a list with commas off. */
static char *part(char **list) {
    char *begin = *list, *comma = begin == NULL ? NULL : strchr(begin, ',');
    if (comma != NULL)
        *comma = 0;
    *list = comma == NULL ? NULL : comma + 1;
    return begin;
}

static void all_resolved(sl_postgres *p) {
    place_list *places = &p->places;
    PQconninfoOption *options = PQconninfoParse(p->url, NULL);
    if (options == NULL || places->hosts.failed || places->addresses.failed ||
        places->ports.failed) {
        PQconninfoFree(options);
        sl_pg_fail(p, SL_ENOMEM, "warehouse: out of memory");
        return;
    }
    p->status = SL_OK; /* Of several names one may be unknown. */
    start_connecting(p, options);
    /* p may be gone; the list is ours. */
    PQconninfoFree(options);
}

static void on_resolved(uv_getaddrinfo_t *request, int code, struct addrinfo *list) {
    resolving *r = request->data;
    sl_postgres *p = r->owner;
    if (p != NULL) {
        p->resolving = NULL;
        if (code == 0)
            add_addresses(&p->places, p->places.name, p->places.port, list);
        else
            p->status = sl_error_set(&p->error, SL_EIO, "warehouse: host %s: %s",
                                     p->places.name, uv_strerror(code));
    }
    uv_freeaddrinfo(list);
    sl_free(r);
    if (p != NULL)
        resolve_next(p);
}

static bool resolve(sl_postgres *p, const char *host) {
    resolving *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return false;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    r->request.data = r;
    r->owner = p;
    if (uv_getaddrinfo(p->loop, &r->request, on_resolved, host, NULL, &hints) != 0) {
        sl_free(r);
        return false;
    }
    p->resolving = r;
    return true;
}

/* A host that begins with '/' or '@' is a socket in the file system, which libpq finds
 * itself. */
static void resolve_next(sl_postgres *p) {
    place_list *places = &p->places;
    for (;;) {
        places->name = part(&places->names_left);
        if (places->name == NULL)
            break;
        /* One port for all hosts, or one for each. */
        if (places->ports_left != NULL)
            places->port = part(&places->ports_left);
        if (*places->port == 0)
            places->port = "5432";
        if (*places->name != '/' && *places->name != '@' && *places->name != 0) {
            if (resolve(p, places->name))
                return;
            sl_pg_fail(p, SL_EIO, "warehouse: names can't be resolved");
            return;
        }
        add_place(places, places->name, "", places->port);
    }
    if (places->count == 0 && places->names != NULL)
        sl_pg_finish(p); /* With the failure of the last name. */
    else
        all_resolved(p);
}

/* The first line of the file, read anew for each connect, so that a changed secret is
 * taken. */
static char *read_password(const char *path) {
    char line[1024] = "";
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = 0;
    (void)fclose(file);
    line[strcspn(line, "\r\n")] = 0;
    return sl_strdup(line);
}

static sl_status credentials(sl_postgres *p, const char *user, const char *password) {
    sl_free(p->now_user);
    sl_free(p->now_password);
    p->now_user = p->now_password = NULL;
    if (password == NULL)
        password = p->password;
    if (sl_pg_copy_text(user != NULL ? user : p->user, &p->now_user) != SL_OK ||
        sl_pg_copy_text(password, &p->now_password) != SL_OK)
        return sl_error_set(&p->error, SL_ENOMEM, "warehouse: out of memory");
    if (p->now_password != NULL || p->password_file == NULL)
        return SL_OK;
    p->now_password = read_password(p->password_file);
    if (p->now_password == NULL)
        return sl_error_set(&p->error, SL_EDENIED,
                            "warehouse: password file %s can't be read",
                            p->password_file);
    return SL_OK;
}

/* What there is to resolve; nothing where the URL has addresses or leaves the host to
 * libpq. */
static sl_status list_hosts(sl_postgres *p) {
    PQconninfoOption *options = PQconninfoParse(p->url, NULL);
    sl_pg_places_fini(&p->places);
    if (options == NULL)
        return sl_error_set(&p->error, SL_ENOMEM, "warehouse: out of memory");
    const char *host = option(options, "host"), *port = option(options, "port");
    const char *address = option(options, "hostaddr");
    sl_status status = SL_OK;
    if (host != NULL && address == NULL) {
        p->places.names = p->places.names_left = sl_strdup(host);
        p->places.port_list = p->places.ports_left = sl_strdup(port == NULL ? "" : port);
        p->places.port = "";
        if (p->places.names == NULL || p->places.port_list == NULL)
            status = sl_error_set(&p->error, SL_ENOMEM, "warehouse: out of memory");
    } else if (address != NULL) {
        p->places.remote = !begins(address, "127.") && strcmp(address, "::1") != 0;
    }
    PQconninfoFree(options);
    return status;
}

static void on_begin_connecting(uv_timer_t *timer) { resolve_next(timer->data); }

void sl_postgres_connect(sl_postgres *p, const char *user, const char *password,
                         sl_postgres_done_fn *done, void *context) {
    sl_pg_begin(p, RESOLVING, done, context);
    p->connecting = true;
    sl_pg_drop_connection(p);
    p->status = credentials(p, user, password);
    if (p->status == SL_OK)
        p->status = list_hosts(p);
    if (p->status != SL_OK) {
        sl_pg_fail_soon(p, p->status, p->error.text);
        return;
    }
    (void)uv_timer_start(&p->timer, sl_pg_on_timer, p->connect_ms, 0);
    (void)uv_timer_start(&p->soon, on_begin_connecting, 0, 0);
}
