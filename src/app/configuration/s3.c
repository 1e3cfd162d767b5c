/* What S3 asks of buckets, keys, tags and the like, checked before anything is sent.
 * Amazon S3 User Guide: "Bucket naming rules", "Naming Amazon S3 objects", "Categorizing
 * your storage using tags". */
#include "loader.h"

#include <stdlib.h>

enum { PREFIX_LONGEST = 512, TAG_NAME_LONGEST = 128, TAG_VALUE_LONGEST = 256 };

static bool is_lower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

static bool is_bucket(const char *name, size_t length) {
    bool digits = true;
    if (length < 3 || length > 63 || !is_lower(name[0]) || !is_lower(name[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++) {
        bool dot = name[i] == '.';
        if ((!is_lower(name[i]) && !dot && name[i] != '-') || (dot && name[i + 1] == '.'))
            return false;
        digits &= dot || (name[i] >= '0' && name[i] <= '9');
    }
    if (!digits)
        return true;
    unsigned dots = 0; /* An IPv4 address has three. */
    for (size_t i = 0; i < length; i++)
        dots += name[i] == '.';
    return dots != 3;
}

/** @return what is wrong with a prefix, or NULL. */
static const char *prefix_problem(const char *prefix) {
    size_t all = strlen(prefix);
    while (all && prefix[all - 1] == '/')
        all--;
    if (all > PREFIX_LONGEST)
        return "a prefix of more than 512 bytes leaves too few of S3's 1,024 to the keys";
    for (size_t i = 0; i < all; i++)
        if ((unsigned char)prefix[i] < 0x20 || prefix[i] == 0x7f)
            return "a control character in the prefix";
    for (size_t i = 0; i < all;) {
        size_t part = strcspn(prefix + i, "/");
        if (!part)
            return "'//' in the prefix";
        if ((part == 1 || part == 2) && !strncmp(prefix + i, "..", part))
            return "'.' or '..' as a part of the prefix, which clients of S3 resolve";
        i += part + 1;
    }
    return NULL;
}

bool sl_loader_check_s3(sl_loader *l, const char *path, const sl_node *node) {
    const char *name = node->text + 5, *shown = sl_loader_redacted(l, node->text);
    size_t length = strcspn(name, "/");
    if (!is_bucket(name, length)) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "%s: '%.150s': the name of a bucket is 3 to 63 of a-z, 0-9, '-' "
                       "and '.', begins and ends with a letter or digit, and has no '..' "
                       "and no form of an IP address",
                       path, shown);
        return false;
    }
    const char *wrong = prefix_problem(name + length + (name[length] == '/'));
    if (wrong)
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "%s: '%.150s': %s", path,
                       shown, wrong);
    return !wrong;
}

/* ---- tags ---- */

/** Letters and digits of any script, blanks and + - = . _ : / @. */
static bool is_tag_text(const char *text, size_t longest) {
    size_t count = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool good = *c >= 0x80 || (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
                    (*c >= 'a' && *c <= 'z') || strchr(" +-=._:/@", *c);
        if (!good)
            return false;
        count += (*c & 0xc0) != 0x80;
    }
    return count <= longest;
}

static void add_tag(sl_loader *l, const sl_parameter *p, const sl_node *node,
                    const sl_config_tag *tag, sl_config_tag *list, uint32_t *count) {
    const char *wrong = NULL;
    for (uint32_t i = 0; i < *count && !wrong; i++)
        if (!strcmp(list[i].name, tag->name))
            wrong = "is there twice";
    if (!*tag->name || !is_tag_text(tag->name, TAG_NAME_LONGEST) ||
        !is_tag_text(tag->value, TAG_VALUE_LONGEST))
        wrong =
            "isn't a tag: 1 to 128 letters, digits, blanks and +-=._:/@, its value at "
            "most 256";
    else if (!strncmp(tag->name, "aws:", 4))
        wrong = "begins with 'aws:', which is AWS's own";
    if (wrong)
        sl_problem_add(&l->problems, node, false, SL_EINVAL, "%s: '%.100s' %s", p->path,
                       tag->name, wrong);
    else
        list[(*count)++] = *tag;
}

bool sl_loader_pair(sl_loader *l, const sl_parameter *p, const sl_node *node, bool map,
                    const char *examples, sl_config_tag *tag) {
    const char *equals = node->kind == SL_NODE_SCALAR ? strchr(node->text, '=') : NULL;
    if (node->kind != SL_NODE_SCALAR || (!map && !equals)) {
        sl_problem_add(&l->problems, node, false, SL_EINVAL,
                       "%s: expected %s, such as %s", p->path, map ? "a text" : "NAME=VALUE", examples);
        return false;
    }
    const char *value = !map                     ? equals + 1
                        : sl_yaml_is_empty(node) ? "" /* `team:` */
                                                 : node->text;
    const char *name = map ? node->key : node->text;
    size_t length = map ? strlen(name) : (size_t)(equals - name);
    tag->name = sl_loader_keep(l, name, length);
    tag->value = sl_loader_keep(l, value, strlen(value));
    return true;
}

void sl_loader_tags(sl_loader *l, const sl_parameter *p, const sl_node *node,
                    void *base) {
    bool map = node->kind == SL_NODE_MAP, one = node->kind == SL_NODE_SCALAR;
    uint32_t more = one ? 1 : node->count, count = 0;
    if (more > p->maximum) {
        sl_problem_add(&l->problems, node, false, SL_ELIMIT,
                       "%s: more than %llu tags, which is what S3 takes", p->path,
                       (unsigned long long)p->maximum);
        return;
    }
    sl_config_tag *list = sl_loader_get(l, more, sizeof *list), tag;
    for (const sl_node *child = one ? node : node->first; list && child;
         child = one ? NULL : child->next)
        if (sl_loader_pair(l, p, child, map, "{ team: data } or [team=data]", &tag))
            add_tag(l, p, child, &tag, list, &count);
    memcpy((char *)base + p->offset, &list, sizeof list);
    memcpy((char *)base + p->count_offset, &count, sizeof count);
}

/* ---- the section ---- */

static void refuse(sl_loader *l, const char *path, const char *what) {
    const sl_node *at = sl_loader_at(l, path, NULL);
    sl_problem_add(&l->problems, at, false, SL_EINVAL, "%s: %s", path, what);
}

void sl_loader_check_region(sl_loader *l, const char *path, const char *region) {
    size_t length = region ? strlen(region) : 1;
    if (region && (length > 64 ||
                   strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_") != length))
        refuse(l, path, "expected the name of a region, such as eu-central-1");
}

/** http://HOST or https://HOST:PORT, maybe with a '/' at its end. */
static bool is_endpoint(const char *text) {
    const char *host = !strncmp(text, "https://", 8)  ? text + 8
                       : !strncmp(text, "http://", 7) ? text + 7
                                                      : "";
    size_t length = *host == '['
                        ? strspn(host + 1, "0123456789abcdefABCDEF:.") + 2
                        : strspn(host, "abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");
    if (!length || (*host == '[' && (length == 2 || host[length - 1] != ']')))
        return false;
    host += length;
    if (*host == ':') {
        size_t digits = strspn(host + 1, "0123456789");
        if (!digits || digits > 5 || strtoul(host + 1, NULL, 10) > 65535)
            return false;
        host += 1 + digits;
    }
    return !*host || !strcmp(host, "/");
}

/** Servers of one's own may have other classes; a slip of the pen is told. */
static void check_storage_class(sl_loader *l, const char *name) {
    static const char *const known[] = {
        "STANDARD",       "STANDARD_IA", "ONEZONE_IA",   "INTELLIGENT_TIERING",
        "GLACIER_IR",     "GLACIER",     "DEEP_ARCHIVE", "REDUCED_REDUNDANCY",
        "EXPRESS_ONEZONE"};
    enum { COUNT = sizeof known / sizeof *known };
    if (!name)
        return;
    for (size_t i = 0; i < COUNT; i++)
        if (!strcmp(known[i], name))
            return;
    const char *near = sl_config_nearest(name, known, COUNT);
    size_t length = strlen(name);
    bool word =
        length <= 64 && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == length;
    if (!word || near)
        sl_problem_add(&l->problems, sl_loader_at(l, "s3.storage_class", NULL), false,
                       SL_EINVAL, "s3.storage_class: '%.100s' is no storage class%s%s%s",
                       name, near ? " (did you mean '" : "; they look like STANDARD_IA",
                       near ? near : "", near ? "'?)" : "");
}

void sl_loader_check_s3_section(sl_loader *l) {
    const sl_config *c = l->config;
    char sse[32];
    sl_choice_word("default|AES256|aws:kms", (unsigned)c->s3.sse, sse);
    if (c->s3.endpoint && !is_endpoint(c->s3.endpoint))
        refuse(l, "s3.endpoint",
               "expected http://HOST:PORT or https://HOST:PORT, "
               "without a path and without credentials");
    sl_loader_check_region(l, "s3.region", c->s3.region);
    check_storage_class(l, c->s3.storage_class);
    const char *key = c->s3.kms_key_id;
    if (key && strcmp(sse, "aws:kms"))
        refuse(l, "s3.kms_key_id", "needs sse: aws:kms");
    size_t length = key ? strlen(key) : 0;
    if (length > 2048 ||
        (key && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789-_:/.") != length))
        refuse(l, "s3.kms_key_id", "expected the ARN, id or alias of a key");
}

/* ---- the stage beside the lake ---- */

/** Is one place the other, or below it? */
static bool overlap(const char *a, const char *b) {
    size_t m = strlen(a), n = strlen(b), common = m < n ? m : n;
    const char *longer = m < n ? b : a;
    return !strncmp(a, b, common) && (!longer[common] || longer[common] == '/');
}

void sl_loader_check_stage(sl_loader *l) {
    const sl_config *c = l->config;
    const char *stage = c->warehouse.redshift.stage;
    if (c->warehouse.store != SL_STORE_REDSHIFT)
        return;
    const sl_node *at = sl_loader_at(l, "warehouse.redshift.stage", NULL);
    if (c->embedded && overlap(stage, c->lake.to))
        sl_problem_add(&l->problems, at, false, SL_EEXIST,
                       "warehouse.redshift.stage: '%.100s' and lake.to '%.100s' overlap: "
                       "the stage needs a place of its own",
                       stage, c->lake.to);
    for (uint32_t i = 0; i < c->stream_count; i++)
        if (c->streams[i].has_lake && overlap(stage, c->streams[i].lake.to))
            sl_problem_add(&l->problems, at, false, SL_EEXIST,
                           "warehouse.redshift.stage: '%.100s' and the lake of stream "
                           "%.100s overlap: the stage needs a place of its own",
                           stage, c->streams[i].name);
}
