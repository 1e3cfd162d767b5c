/* Key pairs of AWS's kind that producers sign with. IAM API Reference, "AccessKey": an ID has 16 to 128 word characters; a
 * secret is any text, without blanks here. */
#include "loader.h"

#include "sluice/aws_intake.h"

#include <stdio.h>

#define WORD "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

enum { ID_LONGEST = 128, SECRET_LONGEST = 256 };

static void refuse(sl_loader *l, const sl_node *node, const char *what) {
    sl_problem_add(&l->problems, node, false, SL_EINVAL, "http.auth.aws_keys: %s", what);
}

static const char *text_of(sl_loader *l, const sl_node *entry, const char *name) {
    const sl_node *node = sl_yaml_child(entry, name);
    if (node && node->kind == SL_NODE_SCALAR && !sl_yaml_is_empty(node))
        return node->text;
    if (node && node->kind != SL_NODE_SCALAR)
        refuse(l, node, "expected a text");
    return NULL;
}

/** The one line of a file. @return NULL after a problem. */
static const char *secret_in(sl_loader *l, const sl_node *node, const char *path) {
    size_t length = 0;
    if (!node->origin && *path != '/')
        path = sl_loader_printf(l, "%s%s", l->directory, path);
    const char *text = sl_loader_read(l, node, "http.auth.aws_keys: secret_access_key_file", path, &length);
    return text ? sl_loader_keep(l, text, strcspn(text, "\r\n")) : NULL;
}

static bool known_keys_only(sl_loader *l, const sl_node *entry) {
    static const char *const known[] = {"access_key_id", "secret_access_key", "secret_access_key_file"};
    for (const sl_node *child = entry->first; child; child = child->next) {
        size_t i = 0;
        while (i < 3 && strcmp(known[i], child->key))
            i++;
        if (i == 3) {
            const char *near = sl_config_nearest(child->key, known, 3);
            sl_problem_add(&l->problems, child, true, SL_EINVAL,
                           near ? "unknown key '%.100s' (did you mean '%s'?)"
                                : "unknown key '%.100s' (known here: access_key_id, secret_access_key, secret_access_key_file)%s",
                           child->key, near ? near : "");
            return false;
        }
    }
    return true;
}

/** A map, or ID:SECRET as variables have it. @return false after a problem. */
static bool read_pair(sl_loader *l, const sl_node *entry, const char **id, const char **secret) {
    if (entry->kind == SL_NODE_SCALAR) {
        const char *colon = strchr(entry->text, ':');
        *id = colon ? sl_loader_keep(l, entry->text, (size_t)(colon - entry->text)) : NULL;
        *secret = colon ? colon + 1 : NULL;
        if (!colon)
            refuse(l, entry, "expected { access_key_id, secret_access_key }, or ID:SECRET");
        return colon != NULL;
    }
    if (entry->kind != SL_NODE_MAP) {
        refuse(l, entry, "expected { access_key_id, secret_access_key }");
        return false;
    }
    if (!known_keys_only(l, entry))
        return false;
    const char *file = text_of(l, entry, "secret_access_key_file");
    *id = text_of(l, entry, "access_key_id");
    *secret = text_of(l, entry, "secret_access_key");
    if (*secret && file) {
        refuse(l, entry, "secret_access_key and secret_access_key_file name two secrets: remove one");
        return false;
    }
    if (file && !(*secret = secret_in(l, sl_yaml_child(entry, "secret_access_key_file"), file)))
        return false;
    if (!*id || !*secret) {
        refuse(l, entry, *id ? "secret_access_key (or secret_access_key_file) is missing" : "access_key_id is missing");
        return false;
    }
    return true;
}

/** @return what is wrong with them, or NULL. */
static const char *problem(const char *id, const char *secret) {
    size_t id_length = strlen(id), length = strlen(secret);
    if (!id_length || id_length > ID_LONGEST || strspn(id, WORD) != id_length)
        return "an access_key_id has letters, digits and '_', at most 128";
    if (!length || length > SECRET_LONGEST)
        return "a secret_access_key has 1 to 256 characters";
    for (const char *c = secret; *c; c++)
        if (*c <= ' ' || *c > '~')
            return "a secret_access_key has printable characters of ASCII, and no blanks";
    return NULL;
}

void sl_loader_aws_keys(sl_loader *l, const sl_parameter *p, const sl_node *node, void *base) {
    if (node->kind != SL_NODE_LIST || node->count > p->maximum) {
        refuse(l, node, node->kind != SL_NODE_LIST ? "expected a list of { access_key_id, secret_access_key }"
                                                   : "more than 100 key pairs");
        return;
    }
    uint32_t count = 0;
    sl_aws_intake_key *list = sl_loader_get(l, node->count, sizeof *list);
    for (const sl_node *entry = node->first; list && entry; entry = entry->next) {
        const char *id, *secret;
        if (!read_pair(l, entry, &id, &secret))
            continue;
        const char *wrong = problem(id, secret);
        for (uint32_t i = 0; i < count && !wrong; i++)
            if (!strcmp(list[i].access_key_id, id))
                wrong = "an access_key_id is there twice";
        if (wrong)
            refuse(l, entry, wrong);
        else
            list[count++] = (sl_aws_intake_key){sl_loader_keep(l, id, strlen(id)), sl_loader_keep(l, secret, strlen(secret))};
    }
    memcpy((char *)base + p->offset, &list, sizeof list);
    memcpy((char *)base + p->count_offset, &count, sizeof count);
}
