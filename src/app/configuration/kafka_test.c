// Kafka sources: what they say, what is made of it, and what is said of mistakes.

#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "configuration_test_help.h"

/** In librdkafka's place: one property is refused. */
static sl_status check_property(const char *name, const char *value, sl_error *error) {
    return strcmp(name, "group.id") ? SL_OK : sl_error_set(error, SL_EINVAL, "Kafka property %s has a key of its own: group (not %s)", name, value);
}

static sl_config *load_all(const char *text, const char *const *environment, const char *path, uint32_t trial) {
    sl_config_source source = {
        .text = text, .path = path, .environment = environment, .kafka_property = check_property, .trial = trial};
    sl_config *config = NULL;
    memset(&last, 0, sizeof last);
    memset(&wrong, 0, sizeof wrong);
    sl_status status = sl_config_load(&source, on_warning, &last, &config, &wrong);
    assert_true((status == SL_OK) == (config != NULL));
    return config;
}

static sl_config *load_kafka(const char *text, const char *const *environment) {
    sl_config *config = load_all(text, environment, NULL, 0);
    if (!config)
        fail_msg("%s", wrong.text);
    return config;
}

static const char whole[] = "sources:\n"
                            "  lines: { file: { path: /l } }\n"
                            "  orders:\n"
                            "    kafka:\n"
                            "      brokers: [\"a:9092\", \"b, [::1]:1\"]\n"
                            "      topics: [orders, ^eu-.*]\n"
                            "      group: g\n"
                            "      start: latest\n"
                            "      metadata: kafka\n"
                            "      sasl: { mechanism: SCRAM-SHA-256, user: u, password: hush-1 }\n"
                            "      tls: { ca: ca.pem, cert: c.pem, key: k.pem, key_password: hush-2 }\n"
                            "      properties: { session.timeout.ms: 30000, ssl.key.pem: hush-3 }\n"
                            "streams:\n"
                            "  s: { from: orders }\n"
                            "  t: { from: [lines, http] }\n";

static void a_kafka_source_says_all_that_a_client_needs(void **state) {
    (void)state;
    sl_config *c = load_kafka(whole, NULL);
    assert_int_equal(c->file_count, 1);
    assert_int_equal(c->kafka_count, 1);
    const sl_config_kafka *k = &c->kafkas[0];
    assert_string_equal(k->name, "orders");
    assert_int_equal(k->line, 3);
    assert_string_equal(k->options.brokers, "a:9092,b,[::1]:1");
    assert_int_equal(k->options.topic_count, 2);
    assert_string_equal(k->options.topics[1], "^eu-.*");
    assert_string_equal(k->options.group, "g");
    assert_true(k->latest);
    assert_string_equal(k->metadata, "kafka");
    assert_string_equal(k->options.mechanism, "SCRAM-SHA-256");
    assert_string_equal(k->options.user, "u");
    assert_string_equal(k->options.password, "hush-1");
    assert_string_equal(k->options.ca_file, "ca.pem");
    assert_string_equal(k->options.cert_file, "c.pem");
    assert_string_equal(k->options.key_file, "k.pem");
    assert_string_equal(k->options.key_password, "hush-2");
    assert_string_equal(k->options.security, "sasl_ssl");
    assert_int_equal(k->options.property_count, 2);
    assert_string_equal(k->options.properties[0].name, "session.timeout.ms");
    assert_string_equal(k->options.properties[0].value, "30000");
    assert_ptr_equal(sl_config_taker(c, "orders"), &c->streams[0]);
    assert_ptr_equal(sl_config_taker(c, "lines"), &c->streams[1]);
    sl_config_destroy(c);
}

static void what_is_shown_has_no_secrets_and_loads_again(void **state) {
    (void)state;
    static const char *const texts[] = {whole, "sources: { k: { kafka: { brokers: b, topics: t, tls: true } } }",
                                        "sources: { k: { kafka: { brokers: b, topics: t, tls: {} } } }",
                                        "sources: { k: { kafka: { brokers: b, topics: t, tls: false } } }"};
    static const char *const security[] = {"sasl_ssl", "ssl", "ssl", "plaintext"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sl_config *c = load_kafka(texts[i], NULL);
        assert_null(strstr(c->text, "hush"));
        sl_config *again = load_kafka(c->text, NULL);
        assert_string_equal(c->text, again->text);
        assert_string_equal(c->kafkas[0].options.security, security[i]);
        assert_string_equal(again->kafkas[0].options.security, security[i]);
        assert_string_equal(again->kafkas[0].options.group, i ? "sluice" : "g");
        assert_int_equal(again->kafkas[0].latest, !i);
        sl_config_destroy(again);
        sl_config_destroy(c);
    }
}

#define SOURCE(more) "sources: { k: { kafka: {\n  brokers: b, topics: t,\n  " more " } } }\n"

static void every_mistake_has_its_place_and_its_mend(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"sources: { k: { kafka: } }", "configuration:1:17: source k: needs brokers, such as broker:9092 (SLUICE_KAFKA_BROKERS)\n"
                                       "configuration:1:17: source k: needs topics (SLUICE_KAFKA_TOPICS)"},
        {"sources: { k: { kafka: b } }", "configuration:1:24: sources.k.kafka: expected a map with keys such as brokers, topics, group, start, "
                                         "metadata, sasl, tls, properties"},
        {"sources: { k: {} }", "configuration:1:12: source k: needs file: { path: … } or kafka: { brokers: …, topics: … }"},
        {"sources: { k: { kafka: { brokers: b, topics: t }, file: { path: /l } } }",
         "configuration:1:51: source k: is `kafka` already: a source is one of them"},
        {SOURCE("topcs: t"), "configuration:3:3: unknown key 'topcs' (did you mean 'topics'?)"},
        {SOURCE("sasl: { username: u }"), "configuration:3:11: unknown key 'username' (known here: mechanism, user, password, password_file)"},
        {"sources: { k: { kafka: { topics: t, brokers: [b, \"kafka://h:1\"] } } }",
         "configuration:1:50: source k: brokers: 'kafka://h:1': expected HOST:PORT, several separated by commas or as a list"},
        {"sources: { k: { kafka: { topics: t, brokers: \"h:65536\" } } }",
         "configuration:1:46: source k: brokers: 'h:65536': expected HOST:PORT, several separated by commas or as a list"},
        {"sources: { k: { kafka: { brokers: b, topics: \"a,b\" } } }",
         "configuration:1:46: source k: topics: 'a,b' is no topic's name, which is up to 249 letters, digits, '.', '_' and '-'; several are a "
         "list, and a pattern begins with '^' (^orders-.*)"},
        {"sources: { k: { kafka: { brokers: b, topics: [a, \"^(b\"] } } }",
         "configuration:1:50: source k: topics: '^(b' is no regular expression (POSIX, extended)"},
        {"sources: { k: { kafka: { brokers: b, topics: [a, a] } } }", "configuration:1:50: sources.NAME.kafka.topics: 'a' is there twice"},
        {SOURCE("start: begin"), "configuration:3:10: sources.NAME.kafka.start: 'begin' is not one of earliest, latest"},
        {SOURCE("group: \"a\\tb\""), "configuration:3:10: source k: group: a name has at most 180 bytes and no control characters"},
        {SOURCE("metadata: source"), "configuration:3:13: source k: metadata: 'source' is the name of a member that sluice adds itself"},
        {SOURCE("metadata: a.b"), "configuration:3:13: source k: metadata: 'a.b': a name is letters, digits and '_', begins with a letter or "
                                  "'_', and has at most 63 characters"},
        {SOURCE("sasl: { mechanism: plain, user: u, password: p }"),
         "configuration:3:22: sources.NAME.kafka.sasl.mechanism: 'plain' is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 (did you mean "
         "'PLAIN'?)"},
        {SOURCE("sasl: { user: u }"), "configuration:3:3: source k: sasl: needs password, or password_file"},
        {SOURCE("sasl: { password: u }"), "configuration:3:3: source k: sasl: needs user"},
        {SOURCE("sasl: { mechanism: PLAIN }"), "configuration:3:3: source k: sasl: needs user, and password or password_file"},
        {SOURCE("sasl: { user: u, password: p, password_file: f }"),
         "configuration:3:48: sources.NAME.kafka.sasl.password_file and sources.NAME.kafka.sasl.password name two passwords: remove one"},
        {SOURCE("sasl: { user: u, password_file: nowhere }"),
         "configuration:3:35: sources.NAME.kafka.sasl.password_file: cannot read 'nowhere': No such file or directory"},
        {SOURCE("tls: yes"), "configuration:3:8: sources.NAME.kafka.tls: 'yes' is not true or false"},
        {SOURCE("tls: { cert: c }"), "configuration:3:3: source k: tls: needs both cert and key"},
        {SOURCE("tls: { key_password: c }"), "configuration:3:3: source k: tls: key_password is that of `key`, which isn't named"},
        {SOURCE("properties: { group.id: g }"), "configuration:3:17: sources.NAME.kafka.properties: Kafka property group.id has a key of its "
                                                "own: group (not g)"},
        {SOURCE("properties: { session: { timeout: 1 } }"),
         "configuration:3:26: sources.NAME.kafka.properties: expected a text, such as { session.timeout.ms: 30000 } or "
         "[session.timeout.ms=30000]"},
        {SOURCE("properties: { \"a b\": 1 }"), "configuration:3:17: sources.NAME.kafka.properties: 'a b' is no name of a property"},
        {"sources: { k: { kafka: { brokers: b, topics: t } }, l: { kafka: { brokers: b, topics: [x, t] } } }",
         "configuration:1:91: source l: topics: source k reads 't' in the same group, so each would get a part of it: give one of them "
         "another group"},
        {"sources: { k: { kafka: { brokers: b, topics: t } } }\nstreams: { s: { from: http } }",
         "configuration:1:12: source k: no stream takes its messages: one needs from: [k]"},
        {"sources: { orders: { kafka: { brokers: b, topics: t } } }\nstreams: { s: { from: [order, orders] } }",
         "configuration:2:23: from: no source 'order' (did you mean 'orders'?)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(load_all(cases[i].text, NULL, NULL, 0));
        assert_string_equal(wrong.text, cases[i].message);
    }
}

static void plain_without_tls_is_warned_of_beyond_loopback(void **state) {
    (void)state;
    sl_config_destroy(load_kafka(SOURCE("sasl: { user: u, password: p }"), NULL));
    assert_string_equal(last.text, "source k: with PLAIN and without tls the password goes over the network as it is: tls: true");
    sl_config_destroy(load_kafka(SOURCE("tls: true, sasl: { user: u, password: p }"), NULL));
    assert_int_equal(last.count, 0);
    sl_config_destroy(load_kafka("sources: { k: { kafka: { brokers: \"127.0.0.1:9\", topics: t, sasl: { user: u, password: p } } } }", NULL));
    assert_int_equal(last.count, 0);
}

static const char *const variables[] = {"SLUICE_KAFKA_BROKERS=a:1,b:2",
                                        "SLUICE_KAFKA_TOPICS=x, ^y",
                                        "SLUICE_KAFKA_GROUP=$g",
                                        "SLUICE_KAFKA_TLS_CA=/ca.pem",
                                        "SLUICE_KAFKA_SASL_USER=u",
                                        "SLUICE_KAFKA_SASL_PASSWORD=hush",
                                        "SLUICE_KAFKA_SASL_MECHANISM=SCRAM-SHA-512",
                                        "SLUICE_KAFKA_PROPERTIES=client.rack=r1,socket.nagle.disable=true",
                                        NULL};

static void a_container_reads_topics_by_variables_alone(void **state) {
    (void)state;
    sl_config *c = load_kafka("", variables);
    assert_int_equal(last.count, 0);
    const sl_config_kafka *k = &c->kafkas[0];
    assert_int_equal(c->kafka_count, 1);
    assert_string_equal(k->name, "kafka");
    assert_string_equal(k->options.brokers, "a:1,b:2");
    assert_int_equal(k->options.topic_count, 2);
    assert_string_equal(k->options.topics[1], "^y");
    assert_string_equal(k->options.group, "$g");
    assert_string_equal(k->options.security, "sasl_ssl");
    assert_string_equal(k->options.mechanism, "SCRAM-SHA-512");
    assert_string_equal(k->options.password, "hush");
    assert_string_equal(k->options.properties[1].value, "true");
    assert_null(sl_config_taker(c, "kafka"));
    sl_config_destroy(c);
    static const char *const container[] = {"SLUICE_SCHEMA={\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"number\"}}}",
                                            "SLUICE_KAFKA_BROKERS=a", "SLUICE_KAFKA_TOPICS=x", NULL};
    c = load_kafka("", container);
    assert_ptr_equal(sl_config_taker(c, "kafka"), &c->streams[0]);
    sl_config_destroy(c);
}

static void variables_go_before_the_one_kafka_source_of_the_file(void **state) {
    (void)state;
    sl_config *c = load_kafka("sources:\n  l: { file: { path: /l } }\n  my.topic: { kafka: { topics: [z], group: h, start: latest } }\n", variables);
    assert_int_equal(c->kafka_count, 1);
    assert_string_equal(c->kafkas[0].name, "my.topic");
    assert_string_equal(c->kafkas[0].options.topics[0], "x");
    assert_string_equal(c->kafkas[0].options.group, "$g");
    assert_true(c->kafkas[0].latest);
    sl_config_destroy(c);
    sl_config_destroy(load_kafka("sources: { k: { kafka: } }", variables));
    assert_null(load_all("sources: { k: { kafka: {} }, l: { kafka: {} } }", variables, NULL, 0));
    assert_non_null(strstr(wrong.text, "SLUICE_KAFKA_TOPICS: the configuration has 2 Kafka sources: say it in each of them, for instance by "
                                       "${VAR}"));
    static const char *const alone[] = {"SLUICE_KAFKA_GROUP=g", NULL};
    assert_null(load_all("", alone, NULL, 0));
    assert_non_null(strstr(wrong.text, "SLUICE_KAFKA_GROUP: source kafka: needs topics (SLUICE_KAFKA_TOPICS)"));
}

static const char shared[] = "kafka:\n"
                             "  brokers: [a, \"b:1\"]\n"
                             "  sasl: { user: u, password: hush-1 }\n"
                             "  tls: { ca: ca.pem }\n"
                             "  properties: { client.rack: r1, linger.ms: 5 }\n"
                             "sources:\n"
                             "  one: { kafka: { topics: t, group: \"$$g\", sasl: { mechanism: SCRAM-SHA-256 }, properties: { client.rack: r2 } } }\n"
                             "  two: { kafka: { topics: u, brokers: c, properties: { fetch.wait.max.ms: 9 } } }\n"
                             "  three: { kafka: { topics: v, tls: false, sasl: { user: w, password: hush-2 } } }\n";

static void a_source_without_brokers_takes_those_of_the_section(void **state) {
    (void)state;
    sl_config *c = load_kafka(shared, NULL);
    const sl_config_kafka *k = &c->kafka, *s = c->kafkas;
    assert_null(k->name);
    assert_string_equal(k->options.brokers, "a,b:1");
    assert_string_equal(k->options.security, "sasl_ssl");
    assert_string_equal(k->options.password, "hush-1");
    assert_int_equal(k->options.property_count, 2);
    assert_int_equal(k->options.topic_count, 0);
    assert_string_equal(s[0].options.brokers, "a,b:1");
    assert_string_equal(s[0].options.security, "sasl_ssl");
    assert_string_equal(s[0].options.mechanism, "SCRAM-SHA-256");
    assert_string_equal(s[0].options.password, "hush-1");
    assert_string_equal(s[0].options.properties[0].value, "r2");
    assert_string_equal(s[0].options.properties[1].name, "linger.ms");
    assert_string_equal(s[1].options.brokers, "c");
    assert_string_equal(s[1].options.security, "plaintext");
    assert_int_equal(s[1].options.property_count, 1);
    assert_string_equal(s[2].options.security, "sasl_plaintext");
    assert_string_equal(s[2].options.user, "w");
    assert_string_equal(s[2].options.password, "hush-2");
    assert_null(strstr(c->text, "hush"));
    sl_config *again = load_kafka(c->text, NULL);
    assert_string_equal(c->text, again->text);
    sl_config_destroy(again);
    sl_config_destroy(c);
}

static void the_section_is_good_without_sources_and_answers_to_variables(void **state) {
    (void)state;
    static const char *const some[] = {"SLUICE_KAFKA_BROKERS=x:1,y", "SLUICE_KAFKA_SASL_PASSWORD=hush", NULL};
    sl_config *c = load_kafka("kafka: { brokers: a, sasl: { user: u, password: old } }", some);
    assert_int_equal(c->kafka_count, 0);
    assert_string_equal(c->kafka.options.brokers, "x:1,y");
    assert_string_equal(c->kafka.options.password, "hush");
    sl_config_destroy(c);
    c = load_kafka("", NULL);
    assert_null(c->kafka.options.brokers);
    sl_config_destroy(c);
    /* Several sources: those with brokers of their own aren't meant. */
    c = load_kafka(shared, some);
    assert_string_equal(c->kafkas[0].options.brokers, "x:1,y");
    assert_string_equal(c->kafkas[0].options.password, "hush");
    assert_string_equal(c->kafkas[1].options.brokers, "c");
    assert_string_equal(c->kafkas[2].options.password, "hush-2");
    sl_config_destroy(c);
    /* One source with brokers of its own: variables that are said of it needn't be good for the section. */
    c = load_kafka("sources: { k: { kafka: { brokers: b, topics: t, sasl: { user: u } } } }", some + 1);
    assert_string_equal(c->kafkas[0].options.password, "hush");
    assert_null(c->kafka.options.brokers);
    sl_config_destroy(c);
    /* One without: its own login goes before the section's, a variable before both. */
    c = load_kafka("kafka: { brokers: a }\nsources: { k: { kafka: { topics: t, sasl: { user: u, password: old } } } }", some);
    assert_string_equal(c->kafkas[0].options.brokers, "x:1,y");
    assert_string_equal(c->kafkas[0].options.user, "u");
    assert_string_equal(c->kafkas[0].options.password, "hush");
    sl_config_destroy(c);
}

#define WRITTEN(topic) "kafka: { brokers: b }\nstreams: { s: { schema: { properties: { a: { type: string }, o: { type: object, properties: { x: { type: integer } } } } },\n  " topic " } }\n"

static void a_stream_says_which_topic_its_events_are_written_to(void **state) {
    (void)state;
    sl_config *c = load_kafka(WRITTEN("topic: { to: out, key: o.x }"), NULL);
    assert_string_equal(c->streams[0].topic.to, "out");
    assert_string_equal(c->streams[0].topic.key, "o.x");
    assert_int_equal(c->streams[0].topic.max_message, 1000000);
    assert_false(c->streams[0].has_lake);
    assert_int_equal(last.count, 0);
    sl_config *again = load_kafka(c->text, NULL);
    assert_string_equal(c->text, again->text);
    sl_config_destroy(again);
    sl_config_destroy(c);
    c = load_kafka(WRITTEN("lake: {}"), NULL);
    assert_null(c->streams[0].topic.to);
    assert_null(strstr(c->text, "topic"));
    sl_config_destroy(c);
    static const struct {
        const char *text, *message;
    } cases[] = {
        {WRITTEN("dead_letters: { topic: a/b }"), "configuration:3:26: stream s: dead_letters.topic: 'a/b' is no topic's name, which is up to 249 "
                                                  "letters, digits, '.', '_' and '-'"},
        {WRITTEN("topic:"), "configuration:3:3: stream s: topic: needs to, the name of a topic"},
        {WRITTEN("topic: { to: a b }"), "configuration:3:16: stream s: topic.to: 'a b' is no topic's name, which is up to 249 letters, digits, '.', '_' "
                                       "and '-'"},
        {WRITTEN("topic: { to: out, key: b }"), "configuration:3:26: topic.key: the schema of stream s has no field 'b' (did you mean 'a'?)"},
        {WRITTEN("topic: { to: out, key: o }"), "configuration:3:26: topic.key: 'o' of stream s is an object"},
        {"streams: { s: { topic: { to: out } } }",
         "configuration:1:17: stream s: topic: needs brokers: kafka: { brokers: broker:9092 } (SLUICE_KAFKA_BROKERS)"},
        {"kafka: { brokers: b }\nsources: { k: { kafka: { topics: [i, out] } } }\nstreams: { s: { from: k, topic: { to: out } } }",
         "configuration:3:39: stream s: topic.to: source k reads 'out' into the stream, which would go round without end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(load_all(cases[i].text, NULL, NULL, 0));
        assert_string_equal(wrong.text, cases[i].message);
    }
}

#define CLOSED(topic) WRITTEN("lake: {}") "windows: { w: { of: s, every: 1m, by: [o.x], measures: { n: count() },\n  " topic " } }\n"

static void a_window_says_which_topic_its_final_rows_are_written_to(void **state) {
    (void)state;
    sl_config *c = load_kafka(CLOSED("topic: { to: out, key: o.x, max_message: 2KB }"), NULL);
    assert_string_equal(c->windows[0].topic.to, "out");
    assert_string_equal(c->windows[0].topic.key, "o.x");
    assert_int_equal(c->windows[0].topic.max_message, 2000);
    assert_int_equal(last.count, 0);
    sl_config *again = load_kafka(c->text, NULL);
    assert_string_equal(c->text, again->text);
    sl_config_destroy(again);
    sl_config_destroy(c);
    c = load_kafka(CLOSED("lateness: 1m"), NULL);
    assert_null(c->windows[0].topic.to);
    assert_null(strstr(c->text, "topic"));
    sl_config_destroy(c);
    static const struct {
        const char *text, *message;
    } cases[] = {
        {CLOSED("topic:"), "configuration:5:3: window w: topic: needs to, the name of a topic"},
        {CLOSED("topic: { to: a b }"), "configuration:5:16: window w: topic.to: 'a b' is no topic's name, which is up to 249 letters, digits, '.', '_' "
                                      "and '-'"},
        {CLOSED("topic: { to: out, key: a }"), "configuration:5:26: window w: topic.key: 'a' is neither one of `by` nor window_start"},
        {"streams: { s: { lake: {} } }\nwindows: { w: { of: s, every: 1m, measures: { n: count() }, topic: { to: out } } }",
         "configuration:2:61: window w: topic: needs brokers: kafka: { brokers: broker:9092 } (SLUICE_KAFKA_BROKERS)"},
        {"kafka: { brokers: b }\nsources: { k: { kafka: { topics: [i, out] } } }\nstreams: { s: { from: k } }\n"
         "windows: { w: { of: s, every: 1m, measures: { n: count() }, topic: { to: out } } }",
         "configuration:4:74: window w: topic.to: source k reads 'out' into the stream, which would go round without end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(load_all(cases[i].text, NULL, NULL, 0));
        assert_string_equal(wrong.text, cases[i].message);
    }
}

static void a_mistake_in_the_section_is_said_once(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"kafka: { sasl: { user: u, password: p } }", "configuration:1:1: kafka: needs brokers, such as broker:9092 (SLUICE_KAFKA_BROKERS)"},
        {"kafka: { brokers: b, topics: t }", "configuration:1:22: unknown key 'topics' (known here: brokers, sasl, tls, properties)"},
        {"kafka: { brokers: b }\nsources: { k: { kafka: { } } }", "configuration:2:17: source k: needs topics (SLUICE_KAFKA_TOPICS)"},
        {"kafka: { brokers: \"b:0\", tls: { cert: c } }\nsources: { k: { kafka: { topics: t } } }",
         "configuration:1:19: kafka: brokers: 'b:0': expected HOST:PORT, several separated by commas or as a list\n"
         "configuration:1:26: kafka: tls: needs both cert and key"},
        {"kafka: { brokers: b, tls: yes }\nsources: { k: { kafka: { topics: t } } }", "configuration:1:27: kafka.tls: 'yes' is not true or false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(load_all(cases[i].text, NULL, NULL, 0));
        assert_string_equal(wrong.text, cases[i].message);
    }
    static const char *const alone[] = {"SLUICE_KAFKA_TLS=true", NULL};
    assert_null(load_all("", alone, NULL, 0));
    assert_string_equal(wrong.text, "SLUICE_KAFKA_TLS: kafka: needs brokers, such as broker:9092 (SLUICE_KAFKA_BROKERS)");
}

static void passwords_are_read_from_files(void **state) {
    (void)state;
    char directory[] = "kafka_test.XXXXXX", file[64], path[64], variable[128];
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/p", directory);
    snprintf(path, sizeof path, "%s/c.yaml", directory);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs("from a file\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    sl_config *c = load_all(SOURCE("sasl: { user: u, password_file: p }, tls: { cert: c, key: k, key_password_file: p }"), NULL, path, 0);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_string_equal(c->kafkas[0].options.password, "from a file");
    assert_string_equal(c->kafkas[0].options.key_password, "from a file");
    sl_config_destroy(c);
    snprintf(variable, sizeof variable, "SLUICE_KAFKA_SASL_PASSWORD_FILE=%s", file);
    const char *const environment[] = {variable, NULL};
    c = load_kafka(SOURCE("sasl: { user: u, password: old }"), environment);
    assert_string_equal(c->kafkas[0].options.password, "from a file");
    assert_null(strstr(c->text, "from a file"));
    sl_config_destroy(c);
    assert_int_equal(remove(file), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void a_test_needs_neither_brokers_nor_secrets(void **state) {
    (void)state;
    static const char text[] = "sources: { k: { kafka: { brokers: \"${BROKERS:?set it}\", topics: t, metadata: m,\n"
                               "  sasl: { user: u, password_file: /nowhere } } } }\n"
                               "streams: { s: { from: k, schema: { properties: { a: { type: string } } } } }\n"
                               "tests: [ { name: n, events: [ { stream: s, event: { a: b } } ], expect: { s: [ { a: b } ] } } ]\n";
    assert_null(load_all(text, NULL, NULL, 0));
    sl_config *c = load_all(text, NULL, NULL, 1);
    if (!c)
        fail_msg("%s", wrong.text);
    assert_string_equal(c->kafkas[0].metadata, "m");
    assert_null(c->kafkas[0].options.password);
    sl_config_destroy(c);
}

static void a_failing_allocation_is_reported_or_changes_nothing(void **state) {
    (void)state;
    const struct {
        const char *text;
        const char *const *environment;
    } cases[] = {{whole, NULL}, {"", variables}, {shared, NULL}, {WRITTEN("topic: { to: out, key: a }"), NULL}, {CLOSED("topic: { to: out, key: o.x }"), NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sl_config_source source = {.text = cases[i].text, .environment = cases[i].environment, .kafka_property = check_property};
        sl_config *good = load_kafka(cases[i].text, cases[i].environment);
        unsigned refused = 0;
        for (uint64_t n = 1, calls = 1; calls + 1 >= n; n++) {
            sl_config *c = NULL;
            sl_error error = {0};
            sl_memory_fail_at(n);
            sl_status status = sl_config_load(&source, NULL, NULL, &c, &error);
            calls = sl_memory_calls();
            sl_memory_fail_at(0);
            assert_true(status == SL_ENOMEM || (status == SL_OK && !strcmp(c->text, good->text)));
            refused += status == SL_ENOMEM;
            sl_config_destroy(c);
        }
        assert_true(refused > 3);
        sl_config_destroy(good);
    }
}

static void the_log_is_a_topic_with_the_connection_of_the_section(void **state) {
    (void)state;
    sl_config *c = load_kafka("ingest: { log: \"kafka://a:1,b/t.x\", group: g, read: false }\n"
                              "kafka: { brokers: c, sasl: { user: u, password: hush }, tls: true }\n",
                              NULL);
    assert_non_null(c->ingest.kafka);
    const sl_kafka_options *o = &c->ingest.kafka->options;
    assert_string_equal(o->brokers, "a:1,b");
    assert_int_equal(o->topic_count, 1);
    assert_string_equal(o->topics[0], "t.x");
    assert_string_equal(o->group, "g");
    assert_string_equal(o->user, "u");
    assert_string_equal(o->security, "sasl_ssl");
    assert_false(c->ingest.read);
    assert_int_equal(c->ingest.kafka->line, 1);
    assert_int_equal(last.count, 0); /* The section is in use. */
    sl_config_destroy(c);
    c = load_kafka("kafka: { brokers: [c, d] }\ningest: { log: kafka:///t }\n", NULL);
    assert_string_equal(c->ingest.kafka->options.brokers, "c,d");
    assert_string_equal(c->ingest.kafka->options.group, "sluice");
    assert_true(c->ingest.read);
    sl_config_destroy(c);
    const char *const environment[] = {"SLUICE_INGEST_LOG=kafka://a/t", "SLUICE_INGEST_READ=false", NULL};
    c = load_kafka("", environment);
    assert_string_equal(c->ingest.kafka->options.security, "plaintext");
    assert_false(c->ingest.read);
    sl_config_destroy(c);
    c = load_kafka("ingest: { log: journal }\n", NULL);
    assert_null(c->ingest.kafka);
    sl_config_destroy(c);
}

static void a_log_that_is_none_is_refused_at_its_place(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"disk", "expected journal, or kafka://HOST:PORT/TOPIC"},
        {"kafka://a:1", "needs a topic, of up to 249 letters, digits, '.', '_' and '-', behind the brokers: kafka://HOST:PORT/TOPIC"},
        {"kafka://a:1/", "needs a topic, of up to 249 letters, digits, '.', '_' and '-', behind the brokers: kafka://HOST:PORT/TOPIC"},
        {"kafka://a:1/x y", "needs a topic, of up to 249 letters, digits, '.', '_' and '-', behind the brokers: kafka://HOST:PORT/TOPIC"},
        {"kafka://a:x/t", "expected HOST:PORT, several separated by commas, behind kafka://"},
        {"kafka://a,/t", "expected HOST:PORT, several separated by commas, behind kafka://"},
        {"kafka:///t", "names no brokers: kafka://HOST:PORT/TOPIC, or kafka: { brokers: … } for kafka:///TOPIC"},
        {"kafka://u:p@a/t", "user and password have their place in the section kafka: kafka: { sasl: { user: …, password_file: … } }"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200], expected[300];
        (void)snprintf(text, sizeof text, "ingest:\n  log: \"%s\"\n", cases[i][0]);
        (void)snprintf(expected, sizeof expected, "configuration:2:8: ingest.log: %s", cases[i][1]);
        assert_null(load_all(text, NULL, NULL, 0));
        assert_string_equal(wrong.text, expected);
    }
    assert_null(load_all("ingest: { log: kafka://a/t, group: \"a\\tb\" }\n", NULL, NULL, 0));
    assert_string_equal(wrong.text, "configuration:1:36: ingest.group: a name has at most 180 bytes and no control characters");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kafka_source_says_all_that_a_client_needs),
        cmocka_unit_test(what_is_shown_has_no_secrets_and_loads_again),
        cmocka_unit_test(every_mistake_has_its_place_and_its_mend),
        cmocka_unit_test(plain_without_tls_is_warned_of_beyond_loopback),
        cmocka_unit_test(a_container_reads_topics_by_variables_alone),
        cmocka_unit_test(variables_go_before_the_one_kafka_source_of_the_file),
        cmocka_unit_test(a_source_without_brokers_takes_those_of_the_section),
        cmocka_unit_test(the_section_is_good_without_sources_and_answers_to_variables),
        cmocka_unit_test(a_stream_says_which_topic_its_events_are_written_to),
        cmocka_unit_test(a_window_says_which_topic_its_final_rows_are_written_to),
        cmocka_unit_test(a_mistake_in_the_section_is_said_once),
        cmocka_unit_test(passwords_are_read_from_files),
        cmocka_unit_test(a_test_needs_neither_brokers_nor_secrets),
        cmocka_unit_test(a_failing_allocation_is_reported_or_changes_nothing),
        cmocka_unit_test(the_log_is_a_topic_with_the_connection_of_the_section),
        cmocka_unit_test(a_log_that_is_none_is_refused_at_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
