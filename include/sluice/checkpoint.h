/** @file checkpoint.h
 * The ledger: cursors, outbox, open windows, schema versions and idempotency keys, in one local
 * database whose transactions make a cut durable (I3).
 *
 * Words    A table is rows to one target; an entry is what one cut of it brought, with from and to. The
 *          next entry's `from` is the last entry's `to`; the cursor may be further on (empty cuts).
 * Threads  The storage thread; read-only ledgers belong to who opened them.
 */
#pragma once

#include "sluice/hash.h"
#include "sluice/sql.h"

typedef enum sl_table_kind {
    SL_TABLE_LAKE,      /**< A stream's events as Parquet. */
    SL_TABLE_DEAD,      /**< A stream's dead letters as Parquet. */
    SL_TABLE_LATE,      /**< A stream's late events as Parquet. */
    SL_TABLE_ROWS,      /**< A stream's events as warehouse rows. */
    SL_TABLE_WINDOW,    /**< A window's aggregates in the warehouse. */
    SL_TABLE_RAW,       /**< A stream's records as they came, zstd NDJSON. Its counts are records. */
    SL_TABLE_TOPIC,     /**< A stream's events as messages in a topic of Kafka; its files are row files of (position, key, value). */
    SL_TABLE_DEAD_TOPIC,/**< A stream's dead letters as such messages, too. */
    SL_TABLE_FINAL,     /**< Rows of a window's closed ones as such messages. Its counts are events folded in; rows go where a window closes. */
} sl_table_kind;
const char *sl_table_kind_name(sl_table_kind kind);
static inline bool sl_table_is_topic(sl_table_kind kind) {
    return kind == SL_TABLE_TOPIC || kind == SL_TABLE_DEAD_TOPIC || kind == SL_TABLE_FINAL;
}
/** Workers hold panes for it, and cuts bring deltas. */
static inline bool sl_table_has_panes(sl_table_kind kind) {
    return kind == SL_TABLE_WINDOW || kind == SL_TABLE_FINAL;
}
/** Dead letters and late events: what other tables of the stream refused, cut wherever one of those is. */
static inline bool sl_table_is_companion(sl_table_kind kind) {
    return kind == SL_TABLE_DEAD || kind == SL_TABLE_DEAD_TOPIC || kind == SL_TABLE_LATE;
}

/** What became of the events of a range (I7): received = rows + dead + late + duplicates + filtered + elsewhere. */
typedef struct sl_counts {
    uint64_t received, rows, dead, late, duplicates, filtered;
    uint64_t elsewhere; /**< Another reader of their partition has brought them to the table. */
    uint64_t replayed; /**< Dead letters of before that were taken now: received + replayed is what all others add up to. */
} sl_counts;
void sl_counts_add(sl_counts *into, const sl_counts *more);

/** A file of an outbox entry: first in the spool, then under its key. All text owned. */
typedef struct sl_entry_file {
    char *spool; /**< File name within the spool. */
    char *key;   /**< Path below the table's target; derived from the entry. "" for warehouse loads and messages. */
    uint64_t bytes, rows;
    sl_hash128 hash;
} sl_entry_file;

/**
 * A part of a partition of another log (Kafka) that several daemons may read, one after the other or, when one of them was taken for dead,
 * at the same time. A warehouse's ledger has a row for each such partition: the offset below which the table has everything. A load takes
 * part of one only from there on or later, and moves it, in its transaction. So no event is twice there, whoever is late.
 * And none is missing: a daemon reads on where it stood, or from what the group has committed, which is below everything delivered.
 */
typedef struct sl_range {
    uint64_t from, to;
    const char *partition; /**< Of the text; `length` bytes, no newline. */
    size_t length;
} sl_range;
/** Append "FROM TO PARTITION\n". */
void sl_range_put(sl_buffer *out, const sl_range *range);
/** The next one of such lines. @return false: there is none (or what isn't one). */
bool sl_range_next(const char **lines, sl_range *out);
/** The line of a partition. */
bool sl_range_find(const char *lines, const char *partition, size_t length, sl_range *out);
/**
 * May a load bring these? @param found What the warehouse's ledger has, `to` counts.
 * @return SL_OK; SL_EMOVED: one begins below where its row stands; the error names both. SL_ENOMEM.
 */
SL_CHECKED sl_status sl_ranges_check(const char *table, const char *ranges, const char *found, sl_error *error);

typedef struct sl_entry {
    int64_t id;
    int64_t table;     /**< sl_ledger_table.id */
    uint64_t sequence; /**< Of this table, from 1. */
    uint64_t from, to;
    sl_counts counts;
    uint32_t schema_version;
    uint32_t generation; /**< Of the configuration. */
    int64_t created_us, delivered_us; /**< 0: not delivered. */
    uint64_t begin;    /**< The table's cursor before it: between `from` and there was nothing for the table. */
    int64_t watermark_from_us; /**< Of the stream at `begin`. */
    sl_entry_file *files;
    uint32_t file_count;
    char *ranges;      /**< Parts of other logs' partitions that it brings, lines of sl_range_put(). Owned; NULL: none. */
} sl_entry;
void sl_entry_fini(sl_entry *entry);
void sl_entry_clear_files(sl_entry *entry);

typedef struct sl_ledger_table {
    int64_t id;
    const char *name;   /**< "clicks/lake" */
    const char *stream;
    sl_table_kind kind;
    const char *target; /**< Directory, as sl_ledger_place() writes it, or warehouse table. */
    const char *window; /**< Window's name, or "". */
    uint64_t first;     /**< Where it began. */
    uint64_t last;      /**< `to` of its last entry, else `first`. */
    uint64_t cursor;
    uint64_t sequence;  /**< Of its last entry. */
    int64_t watermark_us; /**< Of the stream at the cursor. */
} sl_ledger_table;

typedef struct sl_ledger sl_ledger;

/** Open, create or migrate. @param read_only For commands beside a running daemon. */
SL_CHECKED sl_status sl_ledger_open(const char *path, const sl_sql_options *options,
                                    sl_ledger **out, sl_error *error);
void sl_ledger_close(sl_ledger *ledger);

/** Small facts: "journal" (identity), "discovered", "keys", "generation". "" when absent. */
SL_CHECKED sl_status sl_ledger_get(sl_ledger *ledger, const char *name, sl_buffer *out, sl_error *error);
SL_CHECKED sl_status sl_ledger_set(sl_ledger *ledger, const char *name, const char *value, sl_error *error);

typedef sl_status sl_ledger_table_fn(void *context, const sl_ledger_table *table);
SL_CHECKED sl_status sl_ledger_tables(sl_ledger *ledger, sl_ledger_table_fn *each, void *context,
                                      sl_error *error);
/** Add a table (or find it by name); table->id is set. */
SL_CHECKED sl_status sl_ledger_table_add(sl_ledger *ledger, sl_ledger_table *table, sl_error *error);

/** Inside a transaction: files go to another directory from now on; the old one is remembered. */
SL_CHECKED sl_status sl_ledger_table_target(sl_ledger *ledger, int64_t table, const char *target,
                                            sl_error *error);
typedef sl_status sl_ledger_target_fn(void *context, const char *target);
/** Where files of the table went formerly. */
SL_CHECKED sl_status sl_ledger_targets(sl_ledger *ledger, int64_t table, sl_ledger_target_fn *each,
                                       void *context, sl_error *error);
/** A directory for the ledger: "data_dir:lake/clicks" when it is below `data_dir`, which may be moved; else as it is. */
void sl_ledger_place(const char *data_dir, const char *directory, sl_buffer *out);
/** The inverse, for where `data_dir` is now. */
void sl_ledger_place_resolve(const char *data_dir, const char *place, sl_buffer *out);

typedef sl_status sl_ledger_schema_fn(void *context, const char *stream, uint32_t version,
                                      const char *json, size_t length);
/** The latest stored schema of every inferred stream. */
SL_CHECKED sl_status sl_ledger_schemas(sl_ledger *ledger, sl_ledger_schema_fn *each, void *context,
                                       sl_error *error);
SL_CHECKED sl_status sl_ledger_schema_put(sl_ledger *ledger, const char *stream, uint32_t version,
                                          const char *json, size_t length, uint64_t frozen_at,
                                          sl_error *error);

/** Which data a step asked, from a position of the log on. */
typedef struct sl_ledger_version {
    const char *kind, *name; /**< "lookup", "users"; "geoip", PATH; "user_agent", PATH. */
    uint32_t generation;     /**< Of the start: entries have it, too. */
    uint64_t position;
    sl_hash128 version;
    int64_t at_us;           /**< When, for people. */
} sl_ledger_version;
/** Added once, however often it is put. */
SL_CHECKED sl_status sl_ledger_version_put(sl_ledger *ledger, const sl_ledger_version *version, sl_error *error);
/** @param[out] text The version that was put last, in hexadecimal; "" when there is none. */
SL_CHECKED sl_status sl_ledger_version_last(sl_ledger *ledger, const char *kind, const char *name, char text[33],
                                            sl_error *error);

SL_CHECKED sl_status sl_ledger_begin(sl_ledger *ledger, sl_error *error);
SL_CHECKED sl_status sl_ledger_commit(sl_ledger *ledger, sl_error *error);
void sl_ledger_rollback(sl_ledger *ledger);
/** Inside a transaction: store the entry (id is set), move the table's `last`, cursor, watermark. @return SL_ECONFLICT when from isn't the table's `last`. */
SL_CHECKED sl_status sl_ledger_entry_add(sl_ledger *ledger, sl_entry *entry, int64_t watermark_us,
                                         sl_error *error);
/** Inside a transaction: an empty cut. */
SL_CHECKED sl_status sl_ledger_cursor_move(sl_ledger *ledger, int64_t table, uint64_t cursor,
                                           int64_t watermark_us, sl_error *error);
SL_CHECKED sl_status sl_ledger_delivered(sl_ledger *ledger, int64_t entry, int64_t now_us,
                                         sl_error *error);
/**
 * Inside a transaction: what isn't delivered of the table is forgotten, and it stands where it stood before the first such entry; open
 * windows as they were then.
 * @param[out] table Its last, cursor, sequence and watermark_us are filled. @return SL_ENOTFOUND: all is delivered.
 */
SL_CHECKED sl_status sl_ledger_void(sl_ledger *ledger, int64_t id, sl_ledger_table *table, sl_error *error);

typedef sl_status sl_ledger_entry_fn(void *context, const sl_entry *entry);
/** Entries of a table in order; `undelivered` only, or all. table 0: of all tables. */
SL_CHECKED sl_status sl_ledger_entries(sl_ledger *ledger, int64_t table, bool undelivered,
                                       sl_ledger_entry_fn *each, void *context, sl_error *error);

/** Open windows: state blobs by (start, key). */
SL_CHECKED sl_status sl_ledger_window_get(sl_ledger *ledger, int64_t table, int64_t start,
                                          const void *key, size_t key_length, sl_buffer *state,
                                          sl_error *error);
SL_CHECKED sl_status sl_ledger_window_put(sl_ledger *ledger, int64_t table, int64_t start,
                                          const void *key, size_t key_length, const void *state,
                                          size_t state_length, sl_error *error);
/** Before a put: keep what is there, so that voiding `entry` brings it back. */
SL_CHECKED sl_status sl_ledger_window_keep(sl_ledger *ledger, int64_t entry, int64_t table, int64_t start,
                                           const void *key, size_t key_length, sl_error *error);
SL_CHECKED sl_status sl_ledger_window_drop(sl_ledger *ledger, int64_t table, int64_t before,
                                           sl_error *error);
typedef sl_status sl_ledger_window_fn(void *context, int64_t start, const void *key,
                                      size_t key_length, const void *state, size_t state_length);
/** Newest window first. */
SL_CHECKED sl_status sl_ledger_windows(sl_ledger *ledger, int64_t table, sl_ledger_window_fn *each,
                                       void *context, sl_error *error);
/** Those that start at `from` or later and before `to`. */
SL_CHECKED sl_status sl_ledger_windows_between(sl_ledger *ledger, int64_t table, int64_t from, int64_t to,
                                               sl_ledger_window_fn *each, void *context, sl_error *error);

/** An Idempotency-Key that was answered. */
typedef struct sl_ledger_key {
    sl_hash128 key, body;
    int64_t arrival_us;
    const void *result; /**< The engine's own bytes. */
    size_t result_length;
} sl_ledger_key;
SL_CHECKED sl_status sl_ledger_key_put(sl_ledger *ledger, const sl_ledger_key *key, sl_error *error);
/** @param[out] result Appended to. @return SL_OK, SL_ENOTFOUND. */
SL_CHECKED sl_status sl_ledger_key_get(sl_ledger *ledger, sl_hash128 key, sl_ledger_key *out,
                                       sl_buffer *result, sl_error *error);
SL_CHECKED sl_status sl_ledger_keys_expire(sl_ledger *ledger, int64_t before_us, sl_error *error);
/** What one group of the log took again by a replay. */
typedef struct sl_ledger_replay {
    uint64_t keeper;           /**< Offset of the group. */
    const char *stream;
    const uint64_t *positions; /**< Where the events first were, ascending. */
    uint64_t count;
} sl_ledger_replay;
/** Inside a transaction: instead of what the ledger has of this group and stream; count 0: nothing. */
SL_CHECKED sl_status sl_ledger_replay_put(sl_ledger *ledger, const sl_ledger_replay *replay, sl_error *error);
typedef sl_status sl_ledger_replay_fn(void *context, const sl_ledger_replay *replay);
SL_CHECKED sl_status sl_ledger_replays(sl_ledger *ledger, sl_ledger_replay_fn *each, void *context, sl_error *error);
/** Is there any key at all? Spares the look-up of each request. */
SL_CHECKED sl_status sl_ledger_keys_any(sl_ledger *ledger, bool *any, sl_error *error);
