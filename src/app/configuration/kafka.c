/* Kafka sources and the section `kafka`: what their brokers, topics, login and TLS say is checked and put together. */
#include "loader.h"

#include <assert.h>
#include <regex.h>
#include <stdlib.h>

enum { TOPIC_LONGEST = 249, PATTERN_LONGEST = 1000 };
#define ALPHANUMERICS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static_assert(sizeof(sl_kafka_property) == sizeof(sl_config_tag) &&
                  offsetof(sl_kafka_property, value) == offsetof(sl_config_tag, value),
              "properties are read and shown as pairs");

/** How messages call it. */
static const char *name_of(sl_loader *l, const sl_config_kafka *k) {
    return k->name ? sl_loader_printf(l, "source %s", k->name) : "kafka";
}

bool sl_loader_is_kafka(const sl_node *source) { return sl_yaml_child(source, "kafka") != NULL; }

/* ---- properties ---- */

/** Librdkafka's names are lower case; the last word on them is its own. @return whether it may be set. */
static bool check_property(sl_loader *l, const sl_parameter *p, const sl_node *node, const sl_config_tag *pair) {
    sl_error error = {0};
    size_t length = strlen(pair->name);
    if (!length || strspn(pair->name, ALPHANUMERICS "._-") != length)
        sl_error_set(&error, SL_EINVAL, "'%.100s' is no name of a property", pair->name);
    else if (!l->source->kafka_property || l->source->kafka_property(pair->name, pair->value, &error) == SL_OK)
        return true;
    sl_problem_add(&l->problems, node, node->key != NULL, SL_EINVAL, "%s: %s", p->path, error.text);
    return false;
}

void sl_loader_properties(sl_loader *l, const sl_parameter *p, const sl_node *node, void *base) {
    bool map = node->kind == SL_NODE_MAP, one = node->kind == SL_NODE_SCALAR;
    uint32_t more = one ? 1 : node->count, count = 0;
    if (more > p->maximum) {
        sl_problem_add(&l->problems, node, false, SL_ELIMIT, "%s: more than %llu entries", p->path, (unsigned long long)p->maximum);
        return;
    }
    sl_kafka_property *list = sl_loader_get(l, more, sizeof *list);
    sl_config_tag pair;
    for (const sl_node *child = one ? node : node->first; list && child; child = one ? NULL : child->next)
        if (sl_loader_pair(l, p, child, map, "{ session.timeout.ms: 30000 } or [session.timeout.ms=30000]", &pair) &&
            check_property(l, p, child, &pair))
            list[count++] = (sl_kafka_property){pair.name, pair.value};
    memcpy((char *)base + p->offset, &list, sizeof list);
    memcpy((char *)base + p->count_offset, &count, sizeof count);
}

/* ---- brokers and topics ---- */

/** "host", "host:9092", "[::1]:9092". */
bool sl_loader_is_broker(const char *text, size_t length) {
    const char *end = text + length, *host_end = text;
    if (length && *text == '[') {
        host_end += 1 + strspn(text + 1, "0123456789abcdefABCDEF:.%");
        host_end += host_end < end && *host_end == ']';
    } else {
        host_end += strspn(text, ALPHANUMERICS "._-");
    }
    if (host_end == text || host_end > end || (*text == '[' && host_end[-1] != ']'))
        return false;
    if (host_end == end)
        return true;
    size_t digits = strspn(host_end + 1, "0123456789");
    return *host_end == ':' && digits && digits < 6 && host_end + 1 + digits == end && strtoul(host_end + 1, NULL, 10) - 1 < 65535;
}

/** The entry itself where `node` is a list whose entries were all good. */
static const sl_node *entry_of(const sl_node *node, uint32_t index) {
    if (!node || node->kind != SL_NODE_LIST)
        return node;
    const sl_node *entry = node->first;
    for (; entry && index; index--)
        entry = entry->next;
    return entry ? entry : node;
}

/** "a:9092,b" for a list of such texts. */
static void join_brokers(sl_loader *l, sl_config_kafka *k, const sl_node *node) {
    sl_buffer all = SL_BUFFER_EMPTY;
    for (uint32_t i = 0; i < k->broker_count; i++)
        for (const char *at = k->brokers[i]; *at;) {
            size_t length = strcspn(at, ","), begin = strspn(at, " "), end = length;
            while (end > begin && at[end - 1] == ' ')
                end--;
            if (begin >= end || !sl_loader_is_broker(at + begin, end - begin)) {
                sl_problem_add(&l->problems, entry_of(sl_yaml_child(node, "brokers"), i), false, SL_EINVAL,
                               "%s: brokers: '%.100s': expected HOST:PORT, several separated by commas or as a list", name_of(l, k),
                               k->brokers[i]);
                break;
            }
            if (all.length)
                sl_buffer_text(&all, ",");
            sl_buffer_append(&all, at + begin, end - begin);
            at += length + (at[length] == ',');
        }
    k->options.brokers = sl_loader_keep(l, sl_buffer_cstr(&all), all.length);
    l->problems.out_of_memory |= all.failed;
    sl_buffer_fini(&all);
}

/** As librdkafka compiles it. Repetitions are left to it: what they unfold to can be large. */
static const char *pattern_problem(const char *pattern) {
    regex_t compiled;
    if (strlen(pattern) > PATTERN_LONGEST)
        return "is longer than 1000 bytes";
    if (strchr(pattern, '{'))
        return NULL;
    if (regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return "is no regular expression (POSIX, extended)";
    regfree(&compiled);
    return NULL;
}

/** Kafka's own rule: org.apache.kafka.common.internals.Topic. */
bool sl_loader_is_topic(const char *name) {
    size_t length = strlen(name);
    return length && length <= TOPIC_LONGEST && strspn(name, ALPHANUMERICS "._-") == length && strcmp(name, ".") && strcmp(name, "..");
}

static void check_topics(sl_loader *l, const sl_config_kafka *k, const sl_node *node) {
    for (uint32_t i = 0; i < k->options.topic_count; i++) {
        const char *topic = k->options.topics[i];
        const sl_node *at = entry_of(sl_yaml_child(node, "topics"), i);
        const char *wrong = *topic == '^' ? pattern_problem(topic) : NULL;
        if (wrong)
            sl_problem_add(&l->problems, at, false, SL_EINVAL, "source %s: topics: '%.100s' %s", k->name, topic, wrong);
        else if (*topic != '^' && !sl_loader_is_topic(topic))
            sl_problem_add(&l->problems, at, false, SL_EINVAL,
                           "source %s: topics: '%.100s' is no topic's name, which is up to 249 letters, digits, '.', '_' and '-'; several "
                           "are a list, and a pattern begins with '^' (^orders-.*)",
                           k->name, topic);
    }
}

/** Two sources of one group: each would be given a part of what both name. */
static void check_others(sl_loader *l, const sl_config_kafka *k, const sl_node *node) {
    for (const sl_config_kafka *other = l->config->kafkas; other < k; other++) {
        bool same = !strcmp(other->options.group, k->options.group) && !strcmp(other->options.brokers, k->options.brokers);
        for (uint32_t i = 0; same && i < k->options.topic_count; i++)
            for (uint32_t o = 0; o < other->options.topic_count; o++)
                if (!strcmp(k->options.topics[i], other->options.topics[o]))
                    sl_problem_add(&l->problems, entry_of(sl_yaml_child(node, "topics"), i), false, SL_EEXIST,
                                   "source %s: topics: source %s reads '%.100s' in the same group, so each would get a part of it: give one "
                                   "of them another group",
                                   k->name, other->name, k->options.topics[i]);
    }
}

/* ---- login and TLS ---- */

static void check_sasl(sl_loader *l, const sl_config_kafka *k, const sl_node *node) {
    const sl_node *section = sl_yaml_child(node, "sasl");
    const sl_kafka_options *o = &k->options;
    if ((o->user == NULL) != (o->password == NULL) || (o->mechanism && !o->user))
        sl_problem_add(&l->problems, section, true, SL_EINVAL, "%s: sasl: needs %s", name_of(l, k),
                       o->user       ? "password, or password_file"
                       : o->password ? "user"
                                     : "user, and password or password_file");
}

static void check_tls(sl_loader *l, const sl_config_kafka *k, const sl_node *node) {
    const sl_node *section = sl_yaml_child(node, "tls");
    if (!k->options.cert_file != !k->options.key_file)
        sl_problem_add(&l->problems, section, true, SL_EINVAL, "%s: tls: needs both cert and key", name_of(l, k));
    else if (k->options.key_password && !k->options.key_file)
        sl_problem_add(&l->problems, section, true, SL_EINVAL, "%s: tls: key_password is that of `key`, which isn't named", name_of(l, k));
}

/** A password that everybody on the way can read. */
static void warn_plain(sl_loader *l, const sl_config_kafka *k, bool tls) {
    const sl_kafka_options *o = &k->options;
    if (tls || !o->user || (o->mechanism && strcmp(o->mechanism, "PLAIN")) || !l->warn || sl_address_is_loopback(o->brokers))
        return;
    sl_error text;
    sl_error_set(&text, SL_OK, "%s: with PLAIN and without tls the password goes over the network as it is: tls: true", name_of(l, k));
    l->warn(l->context, text.text);
}

static void settle_security(sl_loader *l, sl_config_kafka *k, const sl_node *node) {
    sl_kafka_options *o = &k->options;
    char *password, *key_password;
    memcpy(&password, &o->password, sizeof password);
    memcpy(&key_password, &o->key_password, sizeof key_password);
    const sl_node *tls = sl_yaml_child(node, "tls");
    uint32_t before = l->problems.count;
    sl_loader_password(l, k->name ? "sources.NAME.kafka.sasl" : "kafka.sasl", "password", sl_yaml_child(node, "sasl"), &password);
    sl_loader_password(l, k->name ? "sources.NAME.kafka.tls" : "kafka.tls", "key_password", tls, &key_password);
    o->password = password;
    o->key_password = key_password;
    bool section = tls && tls->kind == SL_NODE_MAP, secure = k->tls || section;
    k->tls = secure && !o->ca_file && !o->cert_file && !o->key_file;
    o->security = o->user ? secure ? "sasl_ssl" : "sasl_plaintext" : secure ? "ssl" : "plaintext";
    if (l->problems.count != before) /* What couldn't be read isn't missing. */
        return;
    check_sasl(l, k, node);
    check_tls(l, k, node);
    const sl_node *brokers = sl_yaml_child(node, "brokers");
    if (!brokers || !brokers->copied)
        warn_plain(l, k, secure);
}

/* ---- the whole ---- */

static void check_metadata(sl_loader *l, const sl_config_kafka *k, const sl_node *node) {
    const char *name = k->metadata;
    if (!name)
        return;
    bool taken = !strcmp(name, "_rest") || !strcmp(name, "processed_at") || !strcmp(name, "source");
    if (taken || !sl_name_is_identifier(name))
        sl_problem_add(&l->problems, sl_yaml_child(node, "metadata"), false, SL_EINVAL,
                       taken ? "source %s: metadata: '%.100s' is the name of a member that sluice adds itself"
                             : "source %s: metadata: '%.100s': a name is letters, digits and '_', begins with a letter or '_', and has at most 63 "
                               "characters",
                       k->name, name);
}

/* It is part of the names that the log gives to partitions (SL_ORIGIN_TEXT_MAX), one on a line. */
const char *sl_loader_group_problem(const char *group) {
    enum { MOST = 180 };
    bool good = *group && strlen(group) <= MOST;
    for (const char *c = group; *c != 0; c++)
        good = good && (unsigned char)*c >= ' ' && *c != 127;
    static_assert(MOST == 180, "as the text says");
    return good ? NULL : "a name has at most 180 bytes and no control characters";
}

static void check_group(sl_loader *l, const sl_config_kafka *k, const sl_node *node) {
    const char *wrong = sl_loader_group_problem(k->options.group);
    if (wrong)
        sl_problem_add(&l->problems, sl_yaml_child(node, "group"), false, SL_EINVAL, "source %s: group: %s", k->name, wrong);
}

void sl_loader_check_kafka(sl_loader *l, sl_config_kafka *k, const sl_node *source) {
    const sl_node *node = sl_yaml_child(source, "kafka");
    uint32_t before = l->problems.count;
    if (!k->broker_count)
        sl_problem_add(&l->problems, node, true, SL_EINVAL, "source %s: needs brokers, such as broker:9092 (SLUICE_KAFKA_BROKERS)", k->name);
    if (!k->options.topic_count)
        sl_problem_add(&l->problems, node, true, SL_EINVAL, "source %s: needs topics (SLUICE_KAFKA_TOPICS)", k->name);
    join_brokers(l, k, node);
    check_topics(l, k, node);
    check_metadata(l, k, node);
    check_group(l, k, node);
    settle_security(l, k, node);
    if (l->problems.count == before && !l->source->trial)
        check_others(l, k, node);
}

/* ---- topics that are written ---- */

/** Whether the stream would read what it writes. */
static bool is_read_back(const sl_config_stream *stream, const char *topic, const sl_config_kafka *source) {
    bool read = false;
    for (uint32_t i = 0; i < source->options.topic_count; i++)
        read = read || !strcmp(source->options.topics[i], topic);
    return read && sl_config_takes(stream, source->name);
}

/** @param owner "stream s", "window w". */
static void check_written(sl_loader *l, const char *owner, const sl_config_stream *stream, const sl_node *node, const char *name, const char *key,
                          const char *topic) {
    const sl_node *section = sl_yaml_child(node, name), *at = sl_yaml_child(section, key);
    if (!section)
        return;
    if (!topic) {
        sl_problem_add(&l->problems, section, true, SL_EINVAL, "%s: %s: needs %s, the name of a topic", owner, name, key);
        return;
    }
    if (!sl_loader_is_topic(topic))
        sl_problem_add(&l->problems, at, false, SL_EINVAL,
                       "%s: %s.%s: '%.100s' is no topic's name, which is up to 249 letters, digits, '.', '_' and '-'", owner, name, key, topic);
    if (!l->config->kafka.broker_count)
        sl_problem_add(&l->problems, section, true, SL_EINVAL,
                       "%s: %s: needs brokers: kafka: { brokers: broker:9092 } (SLUICE_KAFKA_BROKERS)", owner, name);
    for (uint32_t i = 0; i < l->config->kafka_count; i++)
        if (is_read_back(stream, topic, &l->config->kafkas[i]))
            sl_problem_add(&l->problems, at, false, SL_EINVAL,
                           "%s: %s.%s: source %s reads '%.100s' into the stream, which would go round without end", owner, name, key,
                           l->config->kafkas[i].name, topic);
}

void sl_loader_check_topics(sl_loader *l, const sl_config_stream *stream, const sl_node *node) {
    const char *owner = sl_loader_printf(l, "stream %s", stream->name);
    if (!owner)
        return;
    check_written(l, owner, stream, node, "topic", "to", stream->topic.to);
    check_written(l, owner, stream, node, "dead_letters", "topic", stream->dead_letters.to);
}

void sl_loader_check_final(sl_loader *l, const sl_config_window *window, const sl_config_stream *stream, const sl_node *node) {
    const sl_window_definition *d = &window->definition;
    const char *owner = sl_loader_printf(l, "window %s", d->name), *key = window->topic.key;
    if (!owner)
        return;
    check_written(l, owner, stream, node, "topic", "to", window->topic.to);
    bool known = !key || !strcmp(key, "window_start");
    for (uint32_t i = 0; i < d->by_count; i++)
        known = known || !strcmp(key, d->by[i]);
    if (!known)
        sl_problem_add(&l->problems, sl_yaml_child(sl_yaml_child(node, "topic"), "key"), false, SL_EINVAL,
                       "%s: topic.key: '%.100s' is neither one of `by` nor window_start", owner, key);
}

/* ---- the section ---- */

static bool has_sources(const sl_loader *l) { return l->config->kafka_count != 0; }

void sl_loader_check_brokers(sl_loader *l) {
    sl_config_kafka *k = &l->config->kafka;
    const sl_node *node = sl_yaml_child(l->tree.root, "kafka");
    if (!node || sl_yaml_is_empty(node))
        return;
    if (k->broker_count) {
        k->line = node->key_line;
        join_brokers(l, k, node);
        settle_security(l, k, node);
    } else if (!node->origin || !has_sources(l)) {
        sl_problem_add(&l->problems, node, true, SL_EINVAL, "kafka: needs brokers, such as broker:9092 (SLUICE_KAFKA_BROKERS)");
    } else { /* Variables, said of the source. */
        *k = (sl_config_kafka){0};
    }
}

static bool has_topics(const sl_loader *l) {
    bool any = false;
    for (uint32_t i = 0; i < l->config->stream_count; i++)
        any = any || l->config->streams[i].topic.to || l->config->streams[i].dead_letters.to;
    for (uint32_t i = 0; i < l->config->window_count; i++)
        any = any || l->config->windows[i].topic.to;
    return any;
}

void sl_loader_check_use(sl_loader *l) {
    if (l->warn && l->config->kafka.broker_count && !has_sources(l) && !has_topics(l) && !l->config->ingest.kafka)
        l->warn(l->context, "kafka: nothing here is read from topics or written to them: a source needs topics (SLUICE_KAFKA_TOPICS)");
}

/** Of a password and the file that has it, one is enough. */
static bool is_said(const sl_node *map, const char *key) {
    static const char *const pairs[][2] = {{"password", "password_file"}, {"key_password", "key_password_file"}};
    bool said = sl_yaml_child(map, key) != NULL;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (!strcmp(key, pairs[i][0]) || !strcmp(key, pairs[i][1]))
            said = said || sl_yaml_child(map, pairs[i][0]) || sl_yaml_child(map, pairs[i][1]);
    return said;
}

static void take_over(sl_loader *l, const sl_node *from, sl_node *into) {
    for (const sl_node *child = from->first; child; child = child->next) {
        sl_node *own = sl_yaml_child(into, child->key);
        if (own && own->kind == SL_NODE_MAP && child->kind == SL_NODE_MAP) {
            take_over(l, child, own);
        } else if (!is_said(into, child->key)) {
            sl_node *copy = sl_yaml_copy(&l->tree, child);
            if (copy)
                sl_yaml_put(into, child->key, copy);
            else if (l->tree.copies > SL_TREE_COPIES)
                sl_problem_add(&l->problems, from, true, SL_ELIMIT, "kafka: too much of it for as many sources");
            else
                l->problems.out_of_memory = true;
        }
    }
}

void sl_loader_inherit_kafka(sl_loader *l, sl_node *source) {
    const sl_node *section = sl_yaml_child(l->tree.root, "kafka");
    if (!section || section->kind != SL_NODE_MAP || !sl_yaml_child(section, "brokers"))
        return;
    if (source->kind == SL_NODE_SCALAR && sl_yaml_is_empty(source)) {
        source->kind = SL_NODE_MAP; /* `kafka:` alone. */
        source->text = NULL;
    }
    if (source->kind == SL_NODE_MAP)
        take_over(l, section, source);
}
