/** @file config.h
 * The configuration, read, checked and with its defaults filled in.
 *
 * Memory   Everything belongs to the sl_config. Immutable once loaded.
 * Threads  Immutable.
 * Source   docs/configuration.md is generated from the parameter table in src/app/configuration/.
 */
#pragma once

#include "sluice/contract.h"
#include "sluice/decode.h"
#include "sluice/kafka.h"
#include "sluice/parquet.h"
#include "sluice/schema.h"
#include "sluice/steps.h"
#include "sluice/trial.h"
#include "sluice/window.h"

typedef struct sl_config_lake {
    char *to;             /**< Local directory or "s3://bucket/prefix". Default DATA_DIR/lake/STREAM. */
    char **partition_by;  /**< Field paths, or "date", "hour" (of the event time, in `timezone`). */
    uint32_t partition_count;
    int64_t max_age_us;
    uint64_t target_size;
    sl_parquet_profile profile;
    sl_parquet_codec codec;
} sl_config_lake;

/** What is done with strings that a warehouse column is too short for. */
typedef enum sl_config_strings { SL_STRINGS_TRUNCATE, SL_STRINGS_DEAD_LETTER } sl_config_strings;

/** A table in the warehouse. */
typedef struct sl_config_table {
    char *name;           /**< NULL: no rows to the warehouse. */
    bool create;          /**< Made and evolved by sluice; else it has to be there. */
    sl_config_strings strings;
    char *id;             /**< The stream's: field that rows are kept by. NULL: they are appended. */
} sl_config_table;

/** A topic of Kafka that rows are written to as messages, at the brokers of section `kafka`. */
typedef struct sl_config_topic {
    char *to;             /**< NULL: none. */
    char *key;            /**< Field path; NULL: messages have no key. */
    uint64_t max_message; /**< Bytes of key and value; of what is larger the message says only where it lies. */
} sl_config_topic;

/** Which warehouse `warehouse` names: one a daemon. */
typedef enum sl_config_store { SL_STORE_SQLITE, SL_STORE_POSTGRES, SL_STORE_REDSHIFT } sl_config_store;

typedef struct sl_config_tag {
    char *name, *value;
} sl_config_tag;

typedef struct sl_config_stream {
    char *name;
    char **from;          /**< Source names; none: all. */
    uint32_t from_count;
    char *when;           /**< Condition on events that come without a path; NULL: none. */
    sl_format_kind format;/**< Of records that don't say theirs. */
    struct {
        char **columns;   /**< Names of the values in records without a line of them. */
        uint32_t column_count;
        char *delimiter;
        bool header;      /**< Whether records have a line of names that don't say. */
        sl_format assumed;/**< All of it for a record. */
        sl_decode_names names; /**< `columns` */
    } csv;
    sl_contract *contract;/**< What events must fulfil; NULL: inferred. */
    sl_schema *schema;    /**< NULL: inferred. Holds the `add` columns and `_rest`. */
    char *event_time;     /**< Field path or NULL. */
    char *id;             /**< What tells events apart: a field's path (then that of `warehouse`, too), or an expression; NULL: nothing. */
    bool processed_at, source; /**< `add: [processed_at, source]`. */
    int64_t late_limit_us;/**< 0: none. */
    int64_t dedupe_us;    /**< Horizon within which `id` is unique; 0: not looked at. */
    sl_step_definition *steps;
    uint32_t step_count;
    sl_steps *plan;       /**< Of the steps; NULL: none. */
    bool has_lake;
    sl_config_lake lake;
    bool raw;             /**< Every record as it came, too. */
    sl_config_table warehouse;
    sl_config_topic topic;
    sl_config_topic dead_letters; /**< Where they are written to, too. Without a key. */
    uint32_t line;        /**< Of the file, for messages. */
} sl_config_stream;

/** Whether records of the source may be the stream's, by its `from`. */
static inline bool sl_config_takes(const sl_config_stream *stream, const char *source) {
    bool takes = stream->from_count == 0;
    if (strcmp(source, "firehose") == 0)
        source = "http"; /* It comes to the same port. */
    for (uint32_t i = 0; i < stream->from_count && !takes; i++)
        takes = strcmp(stream->from[i], source) == 0;
    return takes;
}

/** What the stream's tables see; NULL: inferred. */
static inline const sl_schema *sl_config_output(const sl_config_stream *stream) {
    return stream->plan != NULL ? sl_steps_output(stream->plan) : stream->schema;
}

typedef enum sl_source_format { SL_SOURCE_AS_STREAM, SL_SOURCE_JSON, SL_SOURCE_CSV } sl_source_format;

/** Files that are read as they grow. */
typedef struct sl_config_file {
    char *name;
    char *path;           /**< Pattern, glob(7). */
    sl_source_format format;
    bool from_end;        /**< What is there at the first start is passed over. */
    int64_t partial_us;   /**< When a line without its end is taken; 0: never. */
    uint32_t line;
} sl_config_file;

/** Brokers and how they are spoken to: a source of topics that a consumer group reads, or the section `kafka`, which has neither group nor topics. */
typedef struct sl_config_kafka {
    char *name;           /**< Of the source; NULL: the section. */
    sl_kafka_options options; /**< Brokers, group, topics, login, TLS and properties, text owned by the config; `security` is said.
                                   memory_bytes and timeout_ms are 0: the daemon's to say. */
    bool latest;          /**< A partition without a position begins at its end; else with the first that it has. */
    char *metadata;       /**< Member that events get, of what their message says beside its value; NULL: none. */
    char **brokers;       /**< As they were written; joined in `options`. */
    uint32_t broker_count;
    bool tls;             /**< The word `true`, and no certificates are named. */
    uint32_t line;
} sl_config_kafka;

/** A table that streams look up in: read at the start, and with each reload. */
typedef struct sl_config_lookup {
    char *name;
    /* Where its content is, one of: */
    char *csv, *ndjson;   /**< Path, or s3://bucket/key. */
    char *sqlite;         /**< Path of the database. */
    char *postgres;       /**< URL, with `password` and `ca_file`; NULL where nothing is said. */
    char *password, *ca_file;
    char *table_name, *query; /**< Of a database: one of them. */
    char *key;
    int64_t refresh_us;   /**< Read again so often; 0: with reloads alone. */
    sl_lookup *table;     /**< Referenced. */
    uint32_t line;
} sl_config_lookup;

typedef struct sl_config_window {
    sl_window_definition definition; /**< Text owned by the config. event_time is the stream's. */
    char *of;             /**< Stream name. */
    sl_config_table warehouse; /**< Its name by default: the window's. */
    sl_config_topic topic;     /**< Of the rows of closed ones. Its key: one of `by`, or "window_start". */
    uint32_t line;
} sl_config_window;

typedef struct sl_config {
    char *data_dir;
    char *timezone;       /**< IANA name; checked to exist. */
    uint64_t memory;
    uint32_t workers;     /**< Resolved: at least 1. */
    int64_t cut_every_us;
    struct {
        char *listen;
        bool auth_none;
        char **tokens;
        uint32_t token_count;
        struct sl_aws_intake_key *aws_keys; /**< aws_intake.h */
        uint32_t aws_key_count;
        char *tls_cert, *tls_key;
        uint64_t max_body, max_event;
        uint32_t max_connections;
        int64_t header_timeout_us, idle_timeout_us;
    } http;
    struct {
        char *listen;     /**< Resolved by the design's rule; equal to http.listen: same port. */
        int tap;          /**< "loopback", "always", "never"; resolved: */
        bool tap_open;    /**< Whether `/v1/tap` shows events. */
    } admin;
    struct {              /**< Where requests are made durable before they are answered. */
        char *log;        /**< As written: "journal", or "kafka://…/TOPIC". */
        char *group;
        bool read;        /**< This daemon is a member of the group. */
        sl_config_kafka *kafka; /**< Brokers, the one topic, and the group; NULL: the journal. */
    } ingest;
    struct {
        uint64_t quota, segment_size;
        bool fsync;
    } journal;
    struct {
        uint64_t quota;
    } spool;
    sl_config_lake lake;  /**< Defaults for streams that say nothing. `to` is the parent directory. */
    struct {
        sl_config_store store;
        char *sqlite;     /**< Path of the SQLite warehouse; NULL: the store is another. Likewise the others' parts. */
        struct {
            char *url, *password, *ca_file; /**< NULL where nothing is said. */
        } postgres;
        struct {
            char *url;        /**< As libpq takes it, "postgresql://…" with the port. */
            char *password, *ca_file;
            char *iam_role;   /**< For COPY; NULL: the credentials that S3 is used with. */
            char *stage;      /**< "s3://bucket/prefix" */
            char *region;     /**< Of the bucket and of the IAM calls; NULL: that of `s3`. */
            char *cluster, *workgroup; /**< Set: the database password comes by IAM. */
        } redshift;
    } warehouse;
    struct {              /**< Where lakes that begin with s3:// and the stage are. */
        char *endpoint;   /**< NULL: AWS. */
        char *region, *kms_key_id, *storage_class, *ca_file; /**< NULL where nothing is said. */
        bool path_style;
        int sse;          /**< sl_object_sse */
        sl_config_tag *tags;
        uint32_t tag_count;
    } s3;
    struct {
        int level;          /**< sl_level */
        bool json;
    } log;
    int64_t idle_after_us;
    sl_config_stream *streams;
    uint32_t stream_count;
    sl_config_window *windows;
    uint32_t window_count;
    sl_config_file *files;
    uint32_t file_count;
    sl_config_kafka *kafkas;
    uint32_t kafka_count;
    sl_config_kafka kafka;/**< Section `kafka`: for whatever names no brokers of its own; options.brokers is NULL where there is none. */
    sl_config_lookup *lookups;
    uint32_t lookup_count;
    sl_trial *tests;      /**< `tests`: what `sluice test` runs. */
    uint32_t test_count;
    bool embedded;        /**< No streams configured: they are made as they are named, inferred. */
    char *text;           /**< As shown by /config: resolved YAML, secrets as "***". */
} sl_config;

/**
 * Read a table. `config` is filled in as far as the section s3.
 * @param[out] out The configuration's. NULL with SL_OK: it isn't read now, and what depends on its columns isn't checked; such a
 *                 configuration is good for being checked alone.
 * @return SL_OK; any failure: `error` says where and why.
 */
typedef sl_status sl_config_lookup_fn(void *context, const struct sl_config *config, const sl_config_lookup *lookup,
                                      sl_lookup **out, sl_error *error);

/** What a configuration asks of a property of Kafka's client: sl_kafka_property_check(). */
typedef sl_status sl_config_property_fn(const char *name, const char *value, sl_error *error);

/** The stream that what a source reads goes to, or with a `when` the one that is asked first; NULL: none. */
static inline const sl_config_stream *sl_config_taker(const sl_config *config, const char *source) {
    for (uint32_t i = 0; i < config->stream_count; i++)
        if (sl_config_takes(&config->streams[i], source))
            return &config->streams[i];
    return NULL;
}

/** What the records of a source name as their stream: "" where conditions decide. */
static inline const char *sl_config_taker_name(const sl_config *config, const char *source) {
    const sl_config_stream *taker = sl_config_taker(config, source);
    return taker == NULL ? "events" : taker->when != NULL ? "" : taker->name;
}

/** Where text comes from, so that tests need no environment. */
typedef struct sl_config_source {
    const char *path;             /**< File, or NULL. */
    const char *text;             /**< Used instead of reading `path`; may be NULL. */
    const char *const *environment; /**< "NAME=value", NULL-terminated. SLUICE_CONFIG_YAML is read from here. */
    /** For test `trial` (from 1) of `tests`: `test_environment` goes before `environment`, lookup tables that the test
     * brings along before those configured, and what only says where data goes isn't looked at. 0: for the daemon. */
    uint32_t trial;
    /** Address databases and rules of user agents that it has from the same paths are taken from it; NULL: all are read. */
    const struct sl_config *before;
    /** The fixed sections, and where streams go: for commands that ask a daemon or its data_dir. What streams, windows and lookups name
     * isn't read, nor compared; `schema`, `plan`, `text` and tables are NULL. */
    bool fixed_only;
    sl_config_lookup_fn *lookup;  /**< Reads lookup tables. NULL: files are read, other sources are refused. */
    void *lookup_context;
    sl_config_property_fn *kafka_property; /**< NULL: properties of Kafka sources aren't checked. */
} sl_config_source;

/** Called for warnings, such as an unknown SLUICE_… variable with its nearest name. */
typedef void sl_config_warn_fn(void *context, const char *message);

/**
 * Read YAML (or JSON), expand ${VAR}, ${VAR:-default}, ${VAR:?message} in scalars after parsing, apply
 * SLUICE_… variables over the file, read *_file secrets and schema files (relative to the config file), check everything.
 * @return SL_OK; SL_EINVAL, SL_ESYNTAX, SL_ENOTFOUND…: `error` says "FILE:LINE:COLUMN: unknown key 'strems' (did you mean 'streams'?)".
 */
SL_CHECKED sl_status sl_config_load(const sl_config_source *source, sl_config_warn_fn *warn,
                                    void *context, sl_config **out, sl_error *error);
void sl_config_destroy(sl_config *config);
/** Print the parameter table: for --help ("text"), docs ("markdown") and the man page ("man"). */
void sl_config_print_parameters(const char *form, sl_buffer *out);
/**
 * Where the admin paths are asked: "http://127.0.0.1:8081" for "0.0.0.0:8081", as what listens everywhere is asked here; https where
 * they share the intake's port, and that has TLS.
 * @return the certificate that is shown there, or NULL: plain HTTP.
 */
const char *sl_config_admin_url(const sl_config *config, sl_buffer *out);
/** Nearest of `names` to `word` by edit distance, or NULL when none is near. */
const char *sl_config_nearest(const char *word, const char *const *names, size_t count);
