#include "loader.h"

#include <stdio.h>
#include <unistd.h>

enum { TOKENS_MAX = 1000 };

static const char *type_hint(sl_parameter_type type) {
    switch (type) {
    case SL_PARAMETER_COUNT:
        return "a whole number";
    case SL_PARAMETER_SIZE:
        return "a size such as 512MiB, 10GB or 4096";
    case SL_PARAMETER_DURATION:
        return "a duration such as 250ms, 10s, 5m, 1h or 7d";
    case SL_PARAMETER_ADDRESS:
        return "an address such as 127.0.0.1:8080, [::1]:8080 or :8080";
    case SL_PARAMETER_LIST:
    case SL_PARAMETER_SECRETS:
    case SL_PARAMETER_FLAGS:
        return "a list such as [a, b]";
    case SL_PARAMETER_BOOL:
        return "true or false";
    case SL_PARAMETER_AWS_KEYS:
        return "a list of key pairs such as [{ access_key_id: AKIA…, secret_access_key: … }]";
    case SL_PARAMETER_TAGS:
        return "tags such as { team: data } or [team=data]";
    case SL_PARAMETER_PROPERTIES:
        return "properties such as { session.timeout.ms: 30000 }";
    case SL_PARAMETER_TEXT:
    case SL_PARAMETER_PATH:
    case SL_PARAMETER_TARGET:
    case SL_PARAMETER_S3:
    case SL_PARAMETER_URL:
    case SL_PARAMETER_SECRET:
    case SL_PARAMETER_SECRET_FILE:
    case SL_PARAMETER_CHOICE:
    case SL_PARAMETER_SWITCH:
    case SL_PARAMETER_AUTH:
    case SL_PARAMETER_SECRETS_FILE:
    case SL_PARAMETER_SCHEMA:
    case SL_PARAMETER_MEASURES:
    case SL_PARAMETER_STEPS:
    case SL_PARAMETER_TESTS:
    case SL_PARAMETER_VARIABLES:
        break;
    }
    return "a text";
}

static void expected(sl_loader *l, const sl_parameter *p, const sl_node *node) {
    if (node->kind == SL_NODE_SCALAR)
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "%s: '%.100s' is not %s",
                       p->path, sl_loader_redacted(l, node->text), type_hint(p->type));
    else
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "%s: expected %s, not a %s",
                       p->path, type_hint(p->type),
                       node->kind == SL_NODE_MAP ? "map" : "list");
}

static void format_value(const sl_parameter *p, uint64_t value, char *out) {
    if (p->type == SL_PARAMETER_SIZE)
        sl_size_format(value, out);
    else if (p->type == SL_PARAMETER_DURATION)
        sl_duration_format((int64_t)value, out);
    else
        snprintf(out, 32, "%llu", (unsigned long long)value);
}

static bool within(sl_loader *l, const sl_parameter *p, const sl_node *node,
                   uint64_t value) {
    bool low = value < p->minimum, high = p->maximum && value > p->maximum;
    if (!low && !high)
        return true;
    char limit[32];
    format_value(p, low ? p->minimum : p->maximum, limit);
    sl_problem_add(&l->problems, node, false, SL_EINVAL, "%s: %.40s is %s %s", p->path,
                   node->text, low ? "below the minimum of" : "above the maximum of",
                   limit);
    return false;
}

static bool read_count(const char *text, uint64_t *value) {
    size_t length = strlen(text);
    *value = 0;
    if (!length || length > 10 || strspn(text, "0123456789") != length)
        return false;
    for (; *text; text++)
        *value = *value * 10 + (uint64_t)(*text - '0');
    return true;
}

static void set_number(sl_loader *l, const sl_parameter *p, const sl_node *node,
                       char *at) {
    uint64_t value = 0;
    int64_t us = 0;
    bool good;
    if (p->type == SL_PARAMETER_COUNT) {
        good = read_count(node->text, &value);
    } else if (p->type == SL_PARAMETER_SIZE) {
        good = sl_size_parse(node->text, &value);
    } else {
        good = !strcmp(node->text, "0") ||
               sl_duration_parse(node->text, strlen(node->text), &us);
        value = (uint64_t)us;
    }
    if (!good) {
        expected(l, p, node);
    } else if (within(l, p, node, value)) {
        uint32_t count = (uint32_t)value;
        if (p->type == SL_PARAMETER_COUNT)
            memcpy(at, &count, sizeof count);
        else
            memcpy(at, &value, sizeof value); /* int64_t and uint64_t alike. */
    }
}

static void unknown_choice(sl_loader *l, const sl_parameter *p, const sl_node *node) {
    char words[8][32];
    const char *names[8];
    char all[160] = "";
    size_t count = 0, used = 0;
    for (; count < 8 && sl_choice_word(p->choices, (unsigned)count, words[count]);
         count++) {
        names[count] = words[count];
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", count ? ", " : "",
                                 words[count]);
    }
    const char *near = sl_config_nearest(node->text, names, count);
    sl_problem_add(&l->problems, node, false, SL_EINVAL,
                   "%s: '%.100s' is not one of %s%s%s%s", p->path, node->text, all,
                   near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static void set_choice(sl_loader *l, const sl_parameter *p, const sl_node *node,
                       char *at) {
    int index = sl_choice_find(p->choices, node->text);
    bool second = index == 1;
    if (index < 0)
        unknown_choice(l, p, node);
    else if (p->type == SL_PARAMETER_SWITCH)
        memcpy(at, &second, sizeof second);
    else
        memcpy(at, &index, sizeof index);
}

/** `[v6]:PORT`, `HOST:PORT` or `:PORT`. */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon || !read_count(colon + 1, &port) || port > 65535)
        return false;
    size_t host = (size_t)(colon - text);
    if (*text == '[')
        return host > 3 && text[host - 1] == ']' &&
               strspn(text + 1, "0123456789abcdefABCDEF:.%") == host - 2;
    return !memchr(text, ':', host) && strcspn(text, " /\t\n\r[]") == strlen(text);
}

/** RFC 3986, section 3.1: a scheme; "/a://b" is a path like any other. */
static bool is_url(const char *text) {
    size_t scheme = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+-.");
    return scheme && !strncmp(text + scheme, "://", 3);
}

static bool is_place(sl_loader *l, const sl_parameter *p, const sl_node *node) {
    bool s3 = !strncmp(node->text, "s3://", 5);
    if (s3 && p->type != SL_PARAMETER_PATH)
        return sl_loader_check_s3(l, p->path, node);
    if (p->type != SL_PARAMETER_S3 && !is_url(node->text))
        return true;
    sl_problem_add(&l->problems, node, false, SL_EINVAL,
                   "%s: '%.150s' is %s URL; expected %s", p->path,
                   sl_loader_redacted(l, node->text),
                   p->type == SL_PARAMETER_S3 ? "no S3" : "a",
                   p->type == SL_PARAMETER_PATH     ? "a path"
                   : p->type == SL_PARAMETER_TARGET ? "a directory or s3://BUCKET/PREFIX"
                                                    : "s3://BUCKET/PREFIX");
    return false;
}

static void set_text(sl_loader *l, const sl_parameter *p, const sl_node *node, char *at) {
    if (p->choices && sl_choice_find(p->choices, node->text) < 0) {
        unknown_choice(l, p, node);
        return;
    }
    if (p->type == SL_PARAMETER_ADDRESS && !is_address(node->text)) {
        expected(l, p, node);
        return;
    }
    bool place = p->type == SL_PARAMETER_PATH || p->type == SL_PARAMETER_TARGET ||
                 p->type == SL_PARAMETER_S3;
    if (place && !is_place(l, p, node))
        return;
    size_t length = strlen(node->text);
    if (place && !strncmp(node->text, "s3://", 5))
        while (node->text[length - 1] == '/')
            length--;
    char *text = sl_loader_keep(l, node->text, length);
    memcpy(at, &text, sizeof text);
}

/** YAML 1.2.2, section 10.3.2: tag:yaml.org,2002:bool of the core schema. */
static void set_bool(sl_loader *l, const sl_parameter *p, const sl_node *node, char *at) {
    static const char *const words[] = {"false", "False", "FALSE",
                                        "true",  "True",  "TRUE"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(node->text, words[i])) {
            bool yes = i >= 3;
            memcpy(at, &yes, sizeof yes);
            return;
        }
    expected(l, p, node);
}

static void set_flags(sl_loader *l, const sl_parameter *p, const sl_node *node,
                      char *at) {
    const sl_node *child = node->kind == SL_NODE_SCALAR ? node : node->first;
    for (; child; child = node->kind == SL_NODE_SCALAR ? NULL : child->next) {
        if (child->kind != SL_NODE_SCALAR) {
            expected(l, p, child);
            continue;
        }
        int index = sl_choice_find(p->choices, child->text);
        bool yes = true;
        if (index < 0)
            unknown_choice(l, p, child);
        else
            memcpy(at + (size_t)index * sizeof(bool), &yes, sizeof yes);
    }
}

/** RFC 6750, section 2.1: what may stand in an Authorization header as a bearer token. */
static bool is_token(const char *text) {
    size_t length = strlen(text);
    return length && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-._~+/=") == length;
}

static void add_text(sl_loader *l, const sl_parameter *p, const sl_node *node,
                     const char *text, char **list, uint32_t *count) {
    bool secret = p->type != SL_PARAMETER_LIST;
    if (!*text)
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "%s: an empty text",
                       p->path);
    else if (secret && !is_token(text))
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "%s: a token may hold letters, digits and -._~+/= only", p->path);
    for (uint32_t i = 0; i < *count; i++)
        if (!strcmp(list[i], text)) {
            if (!secret)
                sl_problem_add(&l->problems, node, false, SL_EINVAL,
                               "%s: '%.100s' is there twice", p->path, text);
            return; /* A token said twice, as in file and variable, is one. */
        }
    list[(*count)++] = sl_loader_keep(l, text, strlen(text));
}

/** Room for `more` behind what the list at `base` holds. */
static char **grow(sl_loader *l, const sl_parameter *p, char *base, size_t more,
                   uint32_t *count) {
    char **old;
    memcpy(&old, base + p->offset, sizeof old);
    memcpy(count, base + p->count_offset, sizeof *count);
    char **list = sl_loader_get(l, *count + more + 1, sizeof *list);
    for (uint32_t i = 0; list && i < *count; i++)
        list[i] = old[i];
    return list;
}

static void store(const sl_parameter *p, char *base, char **list, uint32_t count) {
    memcpy(base + p->offset, &list, sizeof list);
    memcpy(base + p->count_offset, &count, sizeof count);
}

static void set_list(sl_loader *l, const sl_parameter *p, const sl_node *node,
                     char *base) {
    size_t more = node->kind == SL_NODE_LIST ? node->count : 1;
    uint64_t limit = p->maximum ? p->maximum : TOKENS_MAX;
    if (more > limit) {
        sl_problem_add(&l->problems, node, false, SL_ELIMIT, "%s: more than %llu entries",
                       p->path, (unsigned long long)limit);
        return;
    }
    uint32_t none = 0, count;
    if (p->type == SL_PARAMETER_LIST) /* It replaces a default; secrets come together. */
        memcpy(base + p->count_offset, &none, sizeof none);
    char **list = grow(l, p, base, more, &count);
    if (!list)
        return;
    if (node->kind == SL_NODE_SCALAR)
        add_text(l, p, node, node->text, list, &count);
    else
        for (const sl_node *child = node->first; child; child = child->next) {
            if (child->kind == SL_NODE_SCALAR)
                add_text(l, p, child, child->text, list, &count);
            else
                expected(l, p, child);
        }
    store(p, base, list, count);
}

static void set_secrets_file(sl_loader *l, const sl_parameter *p, const sl_node *node,
                             char *base) {
    size_t length;
    const char *path = node->text;
    if (!node->origin && *path != '/')
        path = sl_loader_printf(l, "%s%s", l->directory, path);
    const char *text = sl_loader_read(l, node, p->path, path, &length);
    if (!text)
        return;
    size_t lines = 1;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    uint32_t count;
    char **list = lines > TOKENS_MAX ? NULL : grow(l, p, base, lines, &count);
    if (lines > TOKENS_MAX)
        sl_problem_add(&l->problems, node, false, SL_ELIMIT, "%s: more than %d lines",
                       p->path, TOKENS_MAX);
    if (!list)
        return;
    uint32_t before = count;
    for (const char *line = text; *line;) {
        size_t all = strcspn(line, "\n"), begin = strspn(line, " \t\r"), end = all;
        while (end > begin && strchr(" \t\r", line[end - 1]))
            end--;
        char token[4096];
        if (begin < end) {
            snprintf(token, sizeof token, "%.*s", (int)(end - begin), line + begin);
            add_text(l, p, node, token, list, &count);
        }
        line += all + (line[all] == '\n');
    }
    if (count == before && !before)
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "%s: no token in '%.200s'",
                       p->path, path);
    store(p, base, list, count);
}

static void set_auth(sl_loader *l, const sl_parameter *p, const sl_node *node, char *at) {
    bool none = true;
    if (node->kind == SL_NODE_SCALAR && !strcmp(node->text, "none"))
        memcpy(at, &none, sizeof none);
    else
        sl_problem_add(
            &l->problems, node, false, SL_EINVAL,
            "%s: expected the word none, or a section such as { tokens: [\"…\"] }",
            p->path);
}

void sl_loader_value(sl_loader *l, const sl_parameter *p, const sl_node *node,
                     void *base) {
    if (p->type == SL_PARAMETER_SCHEMA || p->type == SL_PARAMETER_MEASURES || p->type == SL_PARAMETER_STEPS ||
        p->type == SL_PARAMETER_TESTS || p->type == SL_PARAMETER_VARIABLES ||
        sl_yaml_is_empty(node))
        return; /* "" is "not given", so that ${VAR:-} works. */
    bool list = p->type == SL_PARAMETER_LIST || p->type == SL_PARAMETER_SECRETS ||
                p->type == SL_PARAMETER_FLAGS;
    bool pairs = p->type == SL_PARAMETER_TAGS || p->type == SL_PARAMETER_AWS_KEYS || p->type == SL_PARAMETER_PROPERTIES;
    if (p->type != SL_PARAMETER_AUTH && !pairs &&
        (node->kind == SL_NODE_MAP || (node->kind == SL_NODE_LIST && !list))) {
        expected(l, p, node);
        return;
    }
    char *at = (char *)base + p->offset;
    switch (p->type) {
    case SL_PARAMETER_COUNT:
    case SL_PARAMETER_SIZE:
    case SL_PARAMETER_DURATION:
        set_number(l, p, node, at);
        break;
    case SL_PARAMETER_CHOICE:
    case SL_PARAMETER_SWITCH:
        set_choice(l, p, node, at);
        break;
    case SL_PARAMETER_BOOL:
        set_bool(l, p, node, at);
        break;
    case SL_PARAMETER_TEXT:
    case SL_PARAMETER_PATH:
    case SL_PARAMETER_TARGET:
    case SL_PARAMETER_S3:
    case SL_PARAMETER_ADDRESS:
    case SL_PARAMETER_SECRET:
        set_text(l, p, node, at);
        break;
    case SL_PARAMETER_AWS_KEYS:
        sl_loader_aws_keys(l, p, node, base);
        break;
    case SL_PARAMETER_TAGS:
        sl_loader_tags(l, p, node, base);
        break;
    case SL_PARAMETER_PROPERTIES:
        sl_loader_properties(l, p, node, base);
        break;
    case SL_PARAMETER_FLAGS:
        set_flags(l, p, node, at);
        break;
    case SL_PARAMETER_LIST:
    case SL_PARAMETER_SECRETS:
        set_list(l, p, node, base);
        break;
    case SL_PARAMETER_SECRETS_FILE:
        set_secrets_file(l, p, node, base);
        break;
    case SL_PARAMETER_AUTH:
        set_auth(l, p, node, at);
        break;
    case SL_PARAMETER_URL:
    case SL_PARAMETER_SECRET_FILE:
    case SL_PARAMETER_SCHEMA:
    case SL_PARAMETER_MEASURES:
    case SL_PARAMETER_STEPS:
    case SL_PARAMETER_TESTS:
    case SL_PARAMETER_VARIABLES:
        break;
    }
}

void sl_loader_defaults(sl_loader *l, sl_parameter_scope scope, void *base) {
    for (size_t i = 0; i < sl_parameter_count; i++) {
        const sl_parameter *p = &sl_parameters[i];
        if (p->scope != scope || !p->fallback)
            continue;
        sl_node node = {.kind = SL_NODE_SCALAR, .text = p->fallback, .literal = true};
        sl_loader_value(l, p, &node, base);
    }
    if (scope == SL_SCOPE_ROOT) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        l->config->workers = processors > 65  ? 64
                             : processors > 2 ? (uint32_t)processors - 1
                                              : 1;
    }
}
