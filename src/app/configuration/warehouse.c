/* Which warehouse is meant, and how it is reached. What names one is `warehouse.sqlite`,
 * a `url` in the section `postgres` or `redshift`, or `warehouse.url`; what the
 * environment names goes before what the file names.
 *
 * URLs are as libpq reads them (PostgreSQL 15 documentation, 34.1.1.2, "Connection
 * URIs"): SCHEME://[user[:password]@][host[:port],…][/database][?key=value&…]. Messages
 * never hold one, as it may hold a password. */
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>

enum { URL_LONGEST = 2000, PASSWORD_LONGEST = 4000 };
#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* ---- URLs ---- */

void sl_url_redact(const char *text, sl_buffer *out) {
    const char *start = strstr(text, "://");
    const char *at = start ? strrchr(start, '@') : NULL;
    const char *colon = at ? memchr(start + 3, ':', (size_t)(at - start) - 3) : NULL;
    if (colon) {
        sl_buffer_append(out, text, (size_t)(colon - text) + 1);
        sl_buffer_text(out, "***");
        text = at;
    }
    const char *key;
    while (start && (key = strstr(text, "password="))) { /* `sslpassword` as well. */
        key += 9;
        sl_buffer_append(out, text, (size_t)(key - text));
        sl_buffer_text(out, "***");
        text = key + strcspn(key, "&");
    }
    sl_buffer_text(out, text);
}

const char *sl_loader_redacted(sl_loader *l, const char *text) {
    sl_buffer shown = SL_BUFFER_EMPTY;
    sl_url_redact(text, &shown);
    const char *line = sl_buffer_cstr(&shown);
    const char *kept =
        shown.failed ? NULL : sl_arena_strndup(&l->tree.arena, line, shown.length);
    sl_buffer_fini(&shown);
    if (!kept)
        l->problems.out_of_memory = true;
    return kept ? kept : "";
}

typedef struct server {
    size_t scheme, hosts; /* Lengths of "postgres://", and of all up to the hosts' end. */
    bool user, password, port, host;
} server;

static size_t scheme_of(const char *url, bool redshift) {
    static const char *const schemes[] = {"postgres://", "postgresql://", "redshift://"};
    for (size_t i = 0; i < 2u + redshift; i++)
        if (!strncmp(url, schemes[i], strlen(schemes[i])))
            return strlen(schemes[i]);
    return 0;
}

/** RFC 3986, appendix A: what may stand in a URL as it is. */
static const char *characters_problem(const char *url) {
    for (const char *c = url; *c; c++) {
        if (*c <= 0x20 || *c >= 0x7f || strchr("\"<>\\^`{|}#", *c))
            return "it holds a character that is to be written as %XX";
        if (*c == '%' && (!c[1] || !c[2] || strspn(c + 1, DIGITS "abcdefABCDEF") < 2 ||
                          !strncmp(c + 1, "00", 2)))
            return "'%' without two hexadecimal digits behind it (as such it is %25)";
    }
    return strlen(url) > URL_LONGEST ? "it is longer than 2000 bytes" : NULL;
}

static const char *hosts_problem(const char *text, size_t length, bool redshift,
                                 server *s) {
    const char *end = text + length;
    while (text <= end) {
        size_t host = *text == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":,/?");
        if (host > (size_t)(end - text))
            return "'[' without ']'";
        s->host |= host != 0;
        text += host;
        if (text < end && *text == ':') {
            size_t digits = strspn(text + 1, DIGITS);
            unsigned long port = digits > 5 ? 0 : strtoul(text + 1, NULL, 10);
            if (!port || port > 65535)
                return "a port is a number up to 65535";
            s->port = true;
            text += 1 + digits;
        }
        if (text < end && *text != ',')
            return "a host ends with ':PORT', '/' or nothing";
        if (text < end && redshift)
            return "Redshift has one host";
        text++;
    }
    return redshift && !s->host ? "it has no host" : NULL;
}

static const char *query_problem(const char *query, server *s) {
    for (const char *at = query; *at;) {
        size_t key = strspn(at, LETTERS "_"), all = strcspn(at, "&");
        if (!key || at[key] != '=' || memchr(at + key + 1, '=', all - key - 1))
            return "what follows '?' is KEY=VALUE, joined by '&'";
        s->user |= key == 4 && !strncmp(at, "user", 4) && all > 5;
        s->password |= key == 8 && !strncmp(at, "password", 8) && all > 9;
        at += all;
        at += *at == '&';
    }
    return NULL;
}

/** @return what is wrong, without a word of the URL. */
static const char *url_problem(const char *url, bool redshift, server *s) {
    *s = (server){.scheme = scheme_of(url, redshift)};
    if (!s->scheme)
        return "it begins otherwise";
    const char *wrong = characters_problem(url);
    if (wrong)
        return wrong;
    const char *start = url + s->scheme;
    size_t authority = strcspn(start, "/?");
    const char *at = memchr(start, '@', authority), *hosts = at ? at + 1 : start;
    if (strchr(hosts, '@'))
        return "'@', '/', ':' and '?' in user, password and behind the host are written "
               "%40, %2F, %3A and %3F";
    const char *colon = at ? memchr(start, ':', (size_t)(at - start)) : NULL;
    s->user = at && at != start && colon != start;
    s->password = colon && colon + 1 != at;
    if (at && !s->user)
        return "it has no user before '@'";
    s->hosts = s->scheme + authority;
    wrong = hosts_problem(hosts, (size_t)(start + authority - hosts), redshift, s);
    const char *query = strchr(start, '?');
    return wrong ? wrong : query ? query_problem(query + 1, s) : NULL;
}

/** Checked; libpq knows neither Redshift's scheme nor its port. @return NULL after a
 * problem. */
static char *read_url(sl_loader *l, const char *path, const sl_node *node, bool redshift,
                      server *s) {
    const char *text = node->text, *wrong = url_problem(text, redshift, s);
    if (wrong) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "%s: expected a URL such as %s: %s", path,
                       redshift ? "redshift://user@host:5439/database"
                                : "postgres://user@host:5432/database",
                       wrong);
        return NULL;
    }
    if (!redshift)
        return sl_loader_keep(l, text, strlen(text));
    return sl_loader_printf(l, "postgresql://%.*s%s%s", (int)(s->hosts - s->scheme),
                            text + s->scheme, s->port ? "" : ":5439", text + s->hosts);
}

/* ---- passwords ---- */

/** 0: nothing is said; 1: by the file; 2: by the environment. */
static unsigned rank(const sl_node *node) {
    return sl_yaml_is_empty(node) ? 0 : node->origin ? 2 : 1;
}

static void read_password_file(sl_loader *l, const char *name, const sl_node *node,
                               char **out) {
    size_t length = 0;
    const char *path = node->text;
    if (!node->origin && *path != '/')
        path = sl_loader_printf(l, "%s%s", l->directory, path);
    const char *text = sl_loader_read(l, node, name, path, &length);
    if (!text)
        return;
    size_t line = strcspn(text, "\r\n");
    if (text[line + strspn(text + line, "\r\n")] || !line || line > PASSWORD_LONGEST)
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "%s: expected one line with the password in '%.200s'", name, path);
    else
        *out = sl_loader_keep(l, text, line);
}

void sl_loader_password(sl_loader *l, const char *section, const char *key, const sl_node *node,
                        char **out) {
    char file_key[32], path[128];
    snprintf(file_key, sizeof file_key, "%s_file", key);
    snprintf(path, sizeof path, "%s.%s", section, file_key);
    const sl_node *password = sl_yaml_child(node, key), *file = sl_yaml_child(node, file_key);
    if (rank(file) && rank(file) == rank(password))
        sl_problem_add(&l->problems, file, false, SL_EINVAL,
                       "%s and %s.%s name two passwords: remove one", path, section, key);
    else if (rank(file) > rank(password))
        read_password_file(l, path, file, out);
}

bool sl_loader_lookup_server(sl_loader *l, sl_config_lookup *lookup, const sl_node *node) {
    server s;
    uint32_t before = l->problems.count;
    const char *section = sl_loader_printf(l, "lookups.%.40s", lookup->name);
    lookup->postgres = read_url(l, section, node, false, &s);
    sl_loader_password(l, section, "password", sl_yaml_child(sl_yaml_child(l->tree.root, "lookups"), lookup->name),
                  &lookup->password);
    return lookup->postgres != NULL && l->problems.count == before;
}

/* ---- Redshift ---- */

/** "arn:aws:iam::123456789012:role/name" in any of AWS's partitions. */
static bool is_role(const char *text, size_t length) {
    const char *end = text + length;
    if (strncmp(text, "arn:aws", 7))
        return false;
    const char *at = text + 7 + strspn(text + 7, LETTERS "-");
    if (strncmp(at, ":iam::", 6))
        return false;
    at += 6;
    return strspn(at, DIGITS) == 12 && !strncmp(at + 12, ":role/", 6) && end > at + 18 &&
           strspn(at + 18, LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "+=.@_/-") >=
               (size_t)(end - at - 18);
}

static void check_role(sl_loader *l, const char *role) {
    bool good = !role || !strcmp(role, "default");
    for (const char *at = role; !good && at;) {
        size_t length = strcspn(at, ",");
        if (!is_role(at, length))
            break;
        good = !at[length];
        at += length + 1;
    }
    if (!good)
        sl_problem_add(&l->problems, sl_loader_at(l, "warehouse.redshift.iam_role", NULL),
                       false, SL_EINVAL,
                       "warehouse.redshift.iam_role: expected `default` or the ARN of a "
                       "role, such as arn:aws:iam::123456789012:role/copy (several: "
                       "joined by ',')");
}

static void check_name(sl_loader *l, const char *path, const char *name) {
    size_t length = name ? strlen(name) : 1;
    if (name && (length > 64 || strspn(name, LETTERS DIGITS "-") != length))
        sl_problem_add(&l->problems, sl_loader_at(l, path, NULL), false, SL_EINVAL,
                       "%s: '%.100s' is no identifier: a-z, 0-9 and '-'", path, name);
}

static void check_login(sl_loader *l, const server *s) {
    const sl_config *c = l->config;
    const char *cluster = c->warehouse.redshift.cluster,
               *workgroup = c->warehouse.redshift.workgroup;
    const char *path =
        cluster ? "warehouse.redshift.cluster" : "warehouse.redshift.workgroup";
    const sl_node *at = sl_loader_at(l, path, NULL);
    check_name(l, "warehouse.redshift.cluster", cluster);
    check_name(l, "warehouse.redshift.workgroup", workgroup);
    if (cluster && workgroup)
        sl_problem_add(&l->problems, at, false, SL_EINVAL,
                       "warehouse.redshift.cluster and warehouse.redshift.workgroup name "
                       "two targets: remove one");
    else if ((cluster || workgroup) && (s->password || c->warehouse.redshift.password))
        sl_problem_add(&l->problems, at, false, SL_EINVAL,
                       "%s: with it the password comes by IAM: remove the other one",
                       path);
    else if (cluster && !s->user)
        sl_problem_add(&l->problems, at, false, SL_EINVAL,
                       "%s: needs the name of a database user in the URL: "
                       "redshift://user@host/database",
                       path);
}

static void check_redshift(sl_loader *l, const server *s) {
    const sl_config *c = l->config;
    if (!c->warehouse.redshift.stage)
        sl_problem_add(&l->problems,
                       sl_loader_at(l, "warehouse.redshift.stage", "warehouse.url"),
                       false, SL_EINVAL,
                       "warehouse.redshift.stage (SLUICE_WAREHOUSE_REDSHIFT_STAGE): "
                       "needed, such as s3://bucket/stage: Redshift loads from S3");
    check_role(l, c->warehouse.redshift.iam_role);
    sl_loader_check_region(l, "warehouse.redshift.region", c->warehouse.redshift.region);
    check_login(l, s);
}

/* ---- which one ---- */

/* In the order of sl_config_store; then what may be each of them. */
static const char *const paths[] = {"warehouse.sqlite", "warehouse.postgres.url",
                                    "warehouse.redshift.url", "warehouse.url"};
static const char *const sections[] = {"sqlite", "postgres", "redshift"};
enum { STORES = 3, URL = 3 };

/** The child that says most about a section's presence. */
static const sl_node *strongest(const sl_node *section) {
    const sl_node *best = NULL;
    for (const sl_node *child = section ? section->first : NULL; child;
         child = child->next)
        if (rank(child) > rank(best))
            best = child;
    return best;
}

/** @return index into `paths`; -1: nothing is named. */
static int find_named(sl_loader *l, const sl_node *const *named) {
    int best = -1;
    for (int i = URL; i >= 0; i--)
        if (rank(named[i]) > (best < 0 ? 0 : rank(named[best])))
            best = i;
    for (int i = best - 1; i >= 0; i--)
        if (rank(named[i]) == rank(named[best])) {
            sl_problem_add(&l->problems, named[best], false, SL_EINVAL,
                           "%s and %s name two targets: remove one", paths[best],
                           paths[i]);
            break;
        }
    return best;
}

/** @return whether it could be told. */
static bool find_store(sl_loader *l, int best, const sl_node *node) {
    sl_config_store *store = &l->config->warehouse.store;
    *store = SL_STORE_SQLITE;
    if (best >= 0 && best < STORES) {
        *store = (sl_config_store)best;
    } else if (best == URL && !strncmp(node->text, "redshift:", 9)) {
        *store = SL_STORE_REDSHIFT;
    } else if (best == URL && !strncmp(node->text, "postgres", 8)) {
        *store = SL_STORE_POSTGRES;
    } else if (best == URL && (strncmp(node->text, "sqlite:", 7) || !node->text[7])) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "warehouse.url: expected sqlite:PATH, such as "
                       "sqlite:/data/warehouse.db, postgres://… or redshift://…");
        return false;
    }
    return true;
}

/** What belongs to another warehouse isn't ignored, unless the environment overrides it.
 */
static void check_others(sl_loader *l, const sl_node *section, const sl_node *node,
                         int best) {
    for (int i = SL_STORE_POSTGRES; i < STORES; i++) {
        const sl_node *other = strongest(sl_yaml_child(section, sections[i]));
        if (!rank(other) || rank(other) < rank(node) ||
            (node && i == (int)l->config->warehouse.store))
            continue;
        if (node)
            sl_problem_add(&l->problems, other, true, SL_EINVAL,
                           "warehouse.%s: the warehouse is that of %s: remove one",
                           sections[i], paths[best]);
        else
            sl_problem_add(&l->problems, other, true, SL_EINVAL,
                           "warehouse.%s: needs url, such as %s://user@host/database",
                           sections[i], sections[i]);
    }
}

/** Only the chosen one's part is left. */
static void fill(sl_loader *l, const sl_node *section, const sl_node *node, int best) {
    sl_config *c = l->config;
    server s;
    bool postgres = c->warehouse.store == SL_STORE_POSTGRES,
         redshift = c->warehouse.store == SL_STORE_REDSHIFT;
    if (!postgres)
        memset(&c->warehouse.postgres, 0, sizeof c->warehouse.postgres);
    if (!redshift)
        memset(&c->warehouse.redshift, 0, sizeof c->warehouse.redshift);
    if (postgres) {
        c->warehouse.sqlite = NULL;
        c->warehouse.postgres.url = read_url(l, paths[best], node, false, &s);
        sl_loader_password(l, "warehouse.postgres", "password", sl_yaml_child(section, "postgres"),
                      &c->warehouse.postgres.password);
    } else if (redshift) {
        c->warehouse.sqlite = NULL;
        c->warehouse.redshift.url = read_url(l, paths[best], node, true, &s);
        sl_loader_password(l, "warehouse.redshift", "password", sl_yaml_child(section, "redshift"),
                      &c->warehouse.redshift.password);
        check_redshift(l, &s);
    } else if (best == URL) {
        c->warehouse.sqlite = sl_loader_keep(l, node->text + 7, strlen(node->text + 7));
    } else if (!c->warehouse.sqlite) {
        c->warehouse.sqlite = sl_loader_join(l, c->data_dir, "warehouse.db");
    }
}

void sl_loader_check_warehouse(sl_loader *l) {
    const sl_node *section = sl_yaml_child(l->tree.root, "warehouse");
    const sl_node *named[] = {
        sl_yaml_child(section, "sqlite"),
        sl_yaml_child(sl_yaml_child(section, "postgres"), "url"),
        sl_yaml_child(sl_yaml_child(section, "redshift"), "url"),
        sl_yaml_child(section, "url"),
    };
    uint32_t before = l->problems.count;
    int best = find_named(l, named);
    const sl_node *node = best < 0 ? NULL : named[best];
    if (l->problems.count != before || !find_store(l, best, node))
        return;
    check_others(l, section, node, best);
    if (l->problems.count == before)
        fill(l, section, node, best);
}
