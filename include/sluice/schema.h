/** @file schema.h
 * What an event of one stream looks like, as a tree of typed fields. Immutable once built and
 * shared by reference count; a change is a new schema with a higher version.
 *
 * Order    fields[0] is the root group. Children are linked in order of declaration; a later version
 *          of the same stream only appends to `fields`, so a field's index never changes.
 * Names    `name` is the member's key; `path` joins keys with '.' (for people and configuration).
 * Threads  Immutable; the reference count is atomic.
 */
#pragma once

#include "sluice/buffer.h"

typedef enum sl_type {
    SL_TYPE_GROUP,     /**< Object with named members; no value of its own. */
    SL_TYPE_BOOL,      /**< JSON true, false. */
    SL_TYPE_INT64,     /**< JSON integer (also 1.0, 1e2), within int64. */
    SL_TYPE_DOUBLE,    /**< JSON number. */
    SL_TYPE_DECIMAL,   /**< JSON number or string, exact, as int64 × 10^-scale; precision ≤ 18. */
    SL_TYPE_DATE,      /**< "YYYY-MM-DD", as days since 1970 in an int64. */
    SL_TYPE_TIMESTAMP, /**< RFC 3339 string, as microseconds since 1970 in an int64. */
    SL_TYPE_STRING,    /**< JSON string, unescaped UTF-8. */
    SL_TYPE_JSON,      /**< Any JSON value as its text (arrays, free-form objects, `_rest`). */
    SL_TYPE_BYTES,     /**< Raw bytes; only in tables of our own (dead letters, sketches). */
} sl_type;

/** Where a column's values come from. */
typedef enum sl_origin {
    SL_ORIGIN_EVENT,        /**< Decoded from the event. */
    SL_ORIGIN_REST,         /**< `_rest`: members the schema doesn't name, one JSON object. */
    SL_ORIGIN_PROCESSED_AT, /**< Arrival time in the log. TIMESTAMP. */
    SL_ORIGIN_SOURCE,       /**< Name of the source. STRING. */
    SL_ORIGIN_STEP,         /**< Set by a step. */
} sl_origin;

#define SL_NO_FIELD UINT32_MAX
#define SL_FIELDS_MAX 1000u /**< Fields an inferred schema may grow to; then `_rest`. */
#define SL_DEPTH_MAX 64u    /**< Nesting of JSON that is accepted. */

typedef struct sl_field {
    char *name;
    char *path;
    uint32_t name_length;
    sl_type type;
    sl_origin origin;
    bool required; /**< Must be there (JSON Schema `required` of its parent). */
    bool nullable; /**< May be null, or absent when not required. Columns are OPTIONAL iff set. */
    uint8_t precision, scale; /**< DECIMAL. */
    uint32_t parent, first_child, next_sibling; /**< Field indices or SL_NO_FIELD. */
} sl_field;

typedef struct sl_schema {
    char *name;       /**< The stream's name. */
    uint32_t version; /**< From 1. */
    bool inferred;    /**< Decoders report members and types that it lacks. */
    bool frozen;      /**< Inferred: types no longer widen (columns still appear). */
    bool closed;      /**< `additionalProperties: false` at the root: unknown members are refused. */
    uint32_t rest;    /**< Field index of `_rest`, or SL_NO_FIELD: unknown members are dropped. */
    sl_field *fields;
    uint32_t count;
    _Atomic uint32_t references;
} sl_schema;

/** An empty schema (root group only), reference count 1. NULL when out of memory. */
sl_schema *sl_schema_create(const char *name);
sl_schema *sl_schema_ref(const sl_schema *schema);
void sl_schema_unref(const sl_schema *schema); /**< NULL is allowed. */
/** Deep copy with count 1 and the same version. */
sl_schema *sl_schema_copy(const sl_schema *schema);
/**
 * While building: append a field below `parent` (a group), nullable, not required, from the event. `fields` may move.
 * @return its index, SL_NO_FIELD when out of memory.
 */
uint32_t sl_schema_add(sl_schema *schema, uint32_t parent, const char *name, size_t length,
                       sl_type type);
/** @param path Dotted, "data.location.country"; a key with a dot in it is also tried whole. @return SL_NO_FIELD when there is none. */
uint32_t sl_schema_find(const sl_schema *schema, const char *path);
/** Child of `parent` with this key. */
uint32_t sl_schema_child(const sl_schema *schema, uint32_t parent, const char *name, size_t length);
const char *sl_type_name(sl_type type); /**< "string", "timestamp", … */

/** Exact form for the ledger (all of sl_schema); read back by sl_schema_load(). */
void sl_schema_store(const sl_schema *schema, sl_buffer *out);
SL_CHECKED sl_status sl_schema_load(const char *json, size_t length, sl_schema **out, sl_error *error);

/** What a decoder saw that an inferred schema lacks: `path` keys below `parent`. */
typedef struct sl_proposal {
    uint32_t parent;  /**< Field of the schema that was decoded with: the nearest known group. */
    const char *keys; /**< NUL-terminated key after key below `parent`, `key_count` of them; the owner's memory. */
    uint32_t key_count;
    uint32_t keys_length;
    sl_type type; /**< Type seen for the last key; keys before it are groups. */
} sl_proposal;

/**
 * Fold proposals, in order, into `schema` (which is inferred). A new field is appended; a known one
 * widens (bool→string, int64→double→string, timestamp→string) unless frozen; what can't is left
 * alone (its values go to `_rest`): an object where a scalar is or the other way round, an object without
 * members, an empty name or one longer than 255 bytes, a name that differs from a sibling's only in case
 * (Spark and DuckDB can't read such a file), and what goes beyond SL_FIELDS_MAX.
 * @param[out] out    NULL when nothing changed, else version + 1 with count 1.
 * @param[out] widened Whether a known field changed its type.
 */
SL_CHECKED sl_status sl_schema_merge(const sl_schema *schema, const sl_proposal *proposals,
                                     uint32_t count, sl_schema **out, bool *widened);
/** Type of the column that holds both, or SL_TYPE_GROUP when there is none. */
sl_type sl_type_widen(sl_type have, sl_type seen);
/** Is it a name under which an inferred string that parses as RFC 3339 becomes a TIMESTAMP? (timestamp, ts, time, event_time, eventTime, @timestamp, created_at, …) */
bool sl_schema_time_name(const char *name, size_t length);
