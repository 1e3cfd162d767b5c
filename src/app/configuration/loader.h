/** @file loader.h
 * What the parts of loading share. The stages, in order: parse the file, put the
 * environment over the tree, expand `${…}`, read every value by the parameter table,
 * check what belongs together, write the text of /config.
 */
#pragma once

#include "expand.h"
#include "parameters.h"

/** What sl_config_load() gives out: the public part first. */
typedef struct sl_config_box {
    sl_config config;
    sl_arena arena; /**< All texts and arrays of `config`. */
} sl_config_box;

typedef struct sl_loader {
    const sl_config_source *source;
    sl_config_warn_fn *warn;
    void *context;
    sl_environment environment;
    sl_tree tree; /**< Until the end of loading. */
    sl_problems problems;
    sl_config *config;
    sl_arena *arena;       /**< The box's. */
    const char *directory; /**< Of the file, with a closing '/'; "" for none. */
    bool container;        /**< SLUICE_SCHEMA made the stream. */
} sl_loader;

/** Behind "needs a schema". */
#define PARTIAL ". One with the members that are asked for is enough: others go to _rest"
#define SL_CONFIG_FILE_BYTES (UINT64_C(1) << 20)

/** Copies into the box; "" and a remembered failure when out of memory. */
char *sl_loader_keep(sl_loader *l, const char *text, size_t length);
char *sl_loader_printf(sl_loader *l, const char *format, ...) SL_PRINTF(2, 3);
/** "a" or "a/" and "b": "a/b". */
char *sl_loader_join(sl_loader *l, const char *directory, const char *name);
/** Zeroed memory of the box; NULL and a remembered failure when out of memory. */
void *sl_loader_get(sl_loader *l, size_t count, size_t size);
/** Whole file into the tree's arena. @return NULL after a problem at `node`. */
const char *sl_loader_read(sl_loader *l, const sl_node *node, const char *what,
                           const char *path, size_t *length);
/** The node at a path of the file, or at `other` (may be NULL), or the deepest that is
 * there above `path`: what a message about both points at. */
const sl_node *sl_loader_at(const sl_loader *l, const char *path, const char *other);

/** values.c: one value of the table into the structure at `base`. */
void sl_loader_value(sl_loader *l, const sl_parameter *parameter, const sl_node *node,
                     void *base);
void sl_loader_defaults(sl_loader *l, sl_parameter_scope scope, void *base);
/** environment.c: SLUICE_… over the tree; then, after expansion, a word on those nobody
 * knows. */
void sl_loader_environment(sl_loader *l);
void sl_loader_warn_unknown(sl_loader *l);
/** walk.c: every key of the tree, known or refused. */
void sl_loader_walk(sl_loader *l);
/** check.c: the fixed sections, filled up and compared. */
void sl_loader_check_root(sl_loader *l);
bool sl_address_is_loopback(const char *address);
/** aws_keys.c: http.auth.aws_keys. */
void sl_loader_aws_keys(sl_loader *l, const sl_parameter *parameter, const sl_node *node, void *base);
/** s3.c: @return false after a problem at `node`, whose text begins with s3://. */
bool sl_loader_check_s3(sl_loader *l, const char *path, const sl_node *node);
void sl_loader_tags(sl_loader *l, const sl_parameter *parameter, const sl_node *node,
                    void *base);
/** One child of a map, or "NAME=VALUE" of a list. @return false after a problem. */
bool sl_loader_pair(sl_loader *l, const sl_parameter *parameter, const sl_node *node, bool map, const char *examples,
                    sl_config_tag *pair);
void sl_loader_check_region(sl_loader *l, const char *path, const char *region);
void sl_loader_check_s3_section(sl_loader *l);
void sl_loader_check_stage(sl_loader *l); /**< When the streams have their lakes. */
/** warehouse.c */
void sl_loader_check_warehouse(sl_loader *l);
/** The line of the file that `KEY_file` names, where that goes before what `KEY` says (which `out` holds). @param node The section's. */
void sl_loader_password(sl_loader *l, const char *section, const char *key, const sl_node *node, char **out);
/** The server of a lookup: URL and password. @return false after a problem. */
bool sl_loader_lookup_server(sl_loader *l, sl_config_lookup *lookup, const sl_node *node);
/** A URL with "***" for its password; for anything else, the text. */
void sl_url_redact(const char *text, sl_buffer *out);
/** The same in the tree's arena, for messages. */
const char *sl_loader_redacted(sl_loader *l, const char *text);
/** streams.c */
void sl_loader_finish_stream(sl_loader *l, sl_config_stream *stream, const sl_node *node);
void sl_loader_check_tables(sl_loader *l);
/** data.c: a path as it stands in the file is relative to that. */
const char *sl_loader_path(sl_loader *l, const sl_node *node);
/** streams.c: what is read, and whose it is. */
void sl_loader_check_sources(sl_loader *l);
/** kafka.c */
bool sl_loader_is_kafka(const sl_node *source);
void sl_loader_properties(sl_loader *l, const sl_parameter *parameter, const sl_node *node, void *base);
void sl_loader_check_kafka(sl_loader *l, sl_config_kafka *kafka, const sl_node *source);
/** The topics that a stream is written to. */
void sl_loader_check_topics(sl_loader *l, const sl_config_stream *stream, const sl_node *node);
/** The topic of its closed ones. */
void sl_loader_check_final(sl_loader *l, const sl_config_window *window, const sl_config_stream *stream, const sl_node *node);
void sl_loader_check_brokers(sl_loader *l); /**< The section `kafka`. */
void sl_loader_check_ingest(sl_loader *l);  /**< Behind it: the log. */
bool sl_loader_is_broker(const char *text, size_t length);
bool sl_loader_is_topic(const char *name);
const char *sl_loader_group_problem(const char *group); /**< NULL: it can be a consumer group. */
void sl_loader_check_use(sl_loader *l);     /**< Whether there is any of it. */
/** Before expansion: what the source's `kafka` doesn't say is the section's. */
void sl_loader_inherit_kafka(sl_loader *l, sl_node *source);
/** data.c: what steps ask. @return NULL after a problem; the lookup is the configuration's, the others are the caller's. */
void sl_loader_lookups(sl_loader *l);
const sl_lookup *sl_loader_lookup(sl_loader *l, const sl_node *node);
const sl_step_definition *sl_loader_before(const sl_loader *l, sl_step_kind kind, const char *path); /**< NULL: none. */
sl_geoip *sl_loader_geoip(sl_loader *l, const sl_node *node);
/** @param node Its path, or NULL: Debian's. */
sl_user_agent_rules *sl_loader_user_agent(sl_loader *l, const sl_node *node, const sl_node *step);
/** steps.c: a lookup of its steps wasn't read: what its columns are for can't be checked. */
bool sl_loader_lacks_data(const sl_config_stream *stream);
/** steps.c: the definitions, and their plan where there is a schema. */
void sl_loader_steps(sl_loader *l, sl_config_stream *stream, const sl_node *section);
/** columns.c: no two columns of a warehouse table want one name. */
void sl_loader_check_stream_columns(sl_loader *l, const sl_config_stream *stream,
                                    const sl_node *node);
void sl_loader_check_window_columns(sl_loader *l, const sl_config_window *window,
                                    const sl_node *node);
/** As the chosen warehouse compares names. */
bool sl_name_is_same(const sl_loader *l, const char *a, const char *b);
/** windows.c */
void sl_loader_finish_window(sl_loader *l, sl_config_window *window, const sl_node *node);
/** @return whether it is a name that tables can have. */
bool sl_name_is_identifier(const char *name);
/** `name` with '_' for what identifiers lack. */
char *sl_loader_identifier(sl_loader *l, const char *name);
/** timezone.c: @return SL_ENOTFOUND (no such zone), SL_ECORRUPT. Offsets east of UTC,
 * today's rules. */
sl_status sl_timezone_read(const char *directory, const char *name, int64_t *standard_us,
                           int64_t *summer_us);
#define SL_ZONES "/usr/share/zoneinfo"
/** tests.c: once streams and windows are there. */
void sl_loader_tests(sl_loader *l);
/** trial_value.c: a node and what is below it. @return NULL: no memory. */
sl_trial_value *sl_loader_trial_value(sl_arena *arena, const sl_node *node);
/** trial.c: before expansion. What stands in tests isn't expanded; for a test, what only says where data goes is taken out. */
void sl_loader_prepare_tests(sl_loader *l);
/** @return whether the test that is loaded for brings this table's rows along; then they are its table. */
bool sl_loader_test_lookup(sl_loader *l, sl_config_lookup *lookup);
/** show.c: the text of /config. */
void sl_loader_show(sl_loader *l, sl_buffer *out);
