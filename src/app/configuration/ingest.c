/* The section `ingest`: which log makes durable what requests bring, the journal or a topic of Kafka. */
#include "loader.h"

static const char scheme[] = "kafka://";

static void refuse(sl_loader *l, const char *what) {
    sl_problem_add(&l->problems, sl_loader_at(l, "ingest.log", NULL), false, SL_EINVAL, "ingest.log: %s", what);
}

/** "HOST:PORT,HOST:PORT" @return whether all are. */
static bool are_brokers(const char *text, size_t length) {
    while (length != 0) {
        const char *comma = memchr(text, ',', length);
        const size_t one = comma != NULL ? (size_t)(comma - text) : length;
        if (!sl_loader_is_broker(text, one))
            return false;
        text += one;
        length -= one;
        if (length != 0) {
            text++;
            if (--length == 0)
                return false;
        }
    }
    return true;
}

static void check_group(sl_loader *l) {
    const char *wrong = sl_loader_group_problem(l->config->ingest.group);
    if (wrong)
        sl_problem_add(&l->problems, sl_loader_at(l, "ingest.group", NULL), false, SL_EINVAL, "ingest.group: %s", wrong);
}

void sl_loader_check_ingest(sl_loader *l) {
    sl_config *c = l->config;
    const char *log = c->ingest.log;
    const sl_node *at = sl_loader_at(l, "ingest.log", NULL);
    c->ingest.kafka = NULL;
    if (!strcmp(log, "journal") || l->source->trial) /* A test has no brokers. */
        return;
    if (strncmp(log, scheme, sizeof scheme - 1) != 0) {
        refuse(l, "expected journal, or kafka://HOST:PORT/TOPIC");
        return;
    }
    const char *brokers = log + sizeof scheme - 1, *slash = strchr(brokers, '/');
    if (strchr(brokers, '@')) {
        refuse(l, "user and password have their place in the section kafka: kafka: { sasl: { user: …, password_file: … } }");
        return;
    }
    if (!slash || !sl_loader_is_topic(slash + 1)) {
        refuse(l, "needs a topic, of up to 249 letters, digits, '.', '_' and '-', behind the brokers: kafka://HOST:PORT/TOPIC");
        return;
    }
    const size_t length = (size_t)(slash - brokers);
    if (!are_brokers(brokers, length)) {
        refuse(l, "expected HOST:PORT, several separated by commas, behind kafka://");
        return;
    }
    if (length == 0 && !c->kafka.options.brokers) {
        refuse(l, "names no brokers: kafka://HOST:PORT/TOPIC, or kafka: { brokers: … } for kafka:///TOPIC");
        return;
    }
    check_group(l);
    sl_config_kafka *k = sl_loader_get(l, 1, sizeof *k);
    const char **topics = sl_loader_get(l, 1, sizeof *topics);
    if (!k || !topics)
        return;
    *k = (sl_config_kafka){.name = sl_loader_printf(l, "ingest.log"), .options = c->kafka.options, .line = at ? at->line : 0};
    topics[0] = sl_loader_keep(l, slash + 1, strlen(slash + 1));
    if (length != 0)
        k->options.brokers = sl_loader_keep(l, brokers, length);
    if (!k->options.security)
        k->options.security = "plaintext";
    k->options.topics = topics;
    k->options.topic_count = 1;
    k->options.group = c->ingest.group;
    c->ingest.kafka = k;
}
