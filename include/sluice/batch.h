/** @file batch.h
 * Consecutive events of one partition and one stream, as columns: what travels.
 *
 * Memory   A batch is made once per worker and schema, prepared again and again; nothing allocates
 *          per event. `raw` is borrowed and must stay until the batch is prepared anew, with
 *          SL_PADDING readable bytes behind it.
 * Layout   columns[f] belongs to schema->fields[f] (the root's is unused). valid[row] is 1 where
 *          there is a value (for a GROUP: where the object is there). A value whose valid byte is 0
 *          is undefined.
 * Threads  One owner at a time; handed over through rings.
 */
#pragma once

#include "sluice/schema.h"

#define SL_PADDING 64u
#define SL_BATCH_ROWS_MAX 4096u

/** Text of a cell: in `raw`, or in the arena when SL_SPAN_ARENA is set in `offset`. */
typedef struct sl_span {
    uint32_t offset, length;
} sl_span;
#define SL_SPAN_ARENA 0x80000000u

typedef enum sl_verdict {
    SL_VERDICT_KEEP,
    SL_VERDICT_FILTERED,
    SL_VERDICT_DUPLICATE,
    SL_VERDICT_LATE,
    SL_VERDICT_DEAD,
    SL_VERDICT_ELSEWHERE, /**< Not for the table that is asked: it has the event by another reader. */
    SL_VERDICT_REPEATED /**< Replayed before: it has its place already, and is counted nowhere. */
} sl_verdict;

/** Why an event was refused: the dead letter's code. One table in batch.c gives the names. */
typedef enum sl_code {
    SL_CODE_NONE,
    SL_CODE_SYNTAX,         /**< "syntax": not JSON by RFC 8259, or not UTF-8. */
    SL_CODE_NOT_AN_OBJECT,  /**< "not_an_object" */
    SL_CODE_TOO_LARGE,      /**< "too_large": beyond http.max_event. */
    SL_CODE_TOO_DEEP,       /**< "too_deep": beyond SL_DEPTH_MAX. */
    SL_CODE_TYPE,           /**< "type": a member has another type than the schema says. */
    SL_CODE_RANGE,          /**< "range": a number outside int64 or the decimal's precision. */
    SL_CODE_FORMAT,         /**< "format": not a date-time or date. */
    SL_CODE_REQUIRED,       /**< "required": a required member is missing. */
    SL_CODE_NULL,           /**< "null": null where the schema doesn't allow it. */
    SL_CODE_ADDITIONAL,     /**< "additional": a member that the closed schema doesn't name. */
    SL_CODE_NO_STREAM,      /**< "no_stream": no stream takes it. */
    SL_CODE_EVENT_TIME,     /**< "event_time": no usable event time. */
    SL_CODE_SCHEMA,         /**< "schema": another rule of the stream's JSON Schema. */
    SL_CODE_REQUIRE,        /**< "require": a condition of the stream's steps isn't met. */
    SL_CODE_COUNT
} sl_code;
const char *sl_code_name(sl_code code);

/** A column; which member of the union follows from the field's type. */
typedef struct sl_column {
    uint8_t *valid;
    union {
        int64_t *i64;   /**< INT64, TIMESTAMP, DATE, DECIMAL. */
        double *f64;    /**< DOUBLE. */
        uint8_t *truth; /**< BOOL, 0 or 1. */
        sl_span *span;  /**< STRING, JSON, BYTES. */
        void *any;      /**< NULL for GROUP. */
    } values;
} sl_column;

/** What a record's bytes are. */
typedef enum sl_format_kind {
    SL_FORMAT_JSON, /**< One object, an array of objects, or objects one after another. */
    SL_FORMAT_CSV,  /**< Lines of values, RFC 4180. */
    SL_FORMAT_ANY,  /**< In requests only: as the stream's configuration says. */
    SL_FORMAT_REPLAY, /**< Items of replay.h: events that the log had before. */
    SL_FORMAT_MESSAGES, /**< Items of messages.h: each is a record of its own, CSV where there is a delimiter, else JSON. */
    SL_FORMAT_CLOUDEVENTS, /**< As JSON; each object is the envelope of a CloudEvent 1.0, and refused when it is none. */
    SL_FORMAT_ADDRESSED, /**< As messages, but that each has its address before it: stream, source and format are its own. */
} sl_format_kind;

typedef enum sl_format_header {
    SL_HEADER_ANY, /**< In requests only: as the stream's configuration says. */
    SL_HEADER_PRESENT,
    SL_HEADER_ABSENT,
    SL_HEADER_BEHIND, /**< In replays only: a row, the line of names, and that one's length as u32. */
} sl_format_header;

/** A record's format, kept with it in the log: zeros are JSON, as all records were that don't say. */
typedef struct sl_format {
    uint8_t kind;      /**< sl_format_kind */
    uint8_t header;    /**< CSV: sl_format_header, whether the first line names the columns. */
    uint8_t delimiter; /**< CSV: between values; 0, in requests only: as the stream's configuration says. */
} sl_format;

/** Are the record's bytes JSON, and a row's bytes its event? */
static inline bool sl_format_is_json(sl_format of) {
    return of.kind == SL_FORMAT_JSON || of.kind == SL_FORMAT_CLOUDEVENTS;
}

/** One record of the log that events of this batch came from. */
typedef struct sl_record {
    uint64_t position;   /**< Offset in its partition of body[0]; a replayed event's: where it first was. */
    uint64_t logged;     /**< Where body[0] lies in the log: `position`, but in a replay. */
    uint32_t body;       /**< Offset of body[0] from `raw`. */
    uint32_t length;     /**< Of the body. */
    int64_t arrival_us;
    uint32_t source;     /**< Index into the daemon's source names. */
    uint32_t stream;     /**< Index into the daemon's streams, for the engine. */
    sl_format format;
    uint32_t place;      /**< Of a message: its offset less its origin's `from`. */
    uint32_t address;    /**< Offset from `raw` of what says where it belongs (messages.h); 0: its carrier does. */
    uint64_t salt;       /**< Of ids: events of different partitions of other logs are never duplicates; 0: of the journal's own. */
    uint32_t carrier;    /**< 1 + index of the record that it is an item of; 0: it is one itself. */
    bool replay;         /**< It was in the log before, */
    bool history;        /**< … somebody else's: nothing comes of it. */
    uint32_t accepted;   /**< Events kept, over all batches that the record was spread on. */
    uint32_t rejected;
} sl_record;

/** An event that the decoder refused; it takes no row. */
typedef struct sl_reject {
    uint32_t record;   /**< Index into the caller's records. */
    uint32_t index;    /**< Index of the event within its record, from 0. */
    uint32_t begin;    /**< First byte of the event, from `raw`. */
    uint32_t length;   /**< Of the event; for a broken array: to the end of the record. */
    uint32_t at;       /**< Byte within the event where it broke. */
    sl_code code;
    sl_span path;      /**< JSON pointer of the member, "" when the event as a whole. */
    sl_span message;   /**< One sentence part, in the arena. */
} sl_reject;

typedef struct sl_batch {
    const sl_schema *schema; /**< Borrowed; set by sl_batch_prepare(). */
    const uint8_t *raw;      /**< Borrowed. */
    uint32_t rows, capacity;
    uint32_t *row_record; /**< [capacity] index into `records`. */
    uint32_t *row_begin;  /**< [capacity] first byte of the event, from `raw`. */
    uint32_t *row_length; /**< [capacity] */
    uint32_t *row_index;  /**< [capacity] See sl_batch_index(). */
    uint32_t index_base;  /**< Index of row 0. */
    sl_span *row_json;    /**< [capacity] The event as JSON where its record is none; see sl_batch_json(). */
    uint8_t *verdict;     /**< [capacity] sl_verdict. */
    sl_column *columns;   /**< [schema->count] */
    const sl_record *records; /**< Borrowed: all records of the group. */
    sl_reject *rejects;
    uint32_t reject_count, reject_capacity;
    sl_proposal *proposals; /**< In order of first sight; `keys` are in `names`. */
    sl_arena names;         /**< Holds the proposals' keys. */
    uint32_t proposal_count, proposal_capacity;
    sl_buffer arena;      /**< Unescaped strings, `_rest`, messages. At most 2 GiB. */
    uint64_t drift;       /**< Values that went to `_rest` because their type didn't fit. */
    void *slab;           /**< One allocation behind all arrays. */
    size_t slab_bytes;
    sl_budget *budget;
    size_t charged_bytes; /**< Counted in the budget so far; batch.c's own. */
    uint32_t field_count; /**< Fields of the schema last prepared for; batch.c's own. */
} sl_batch;

/** @param budget What the memory is counted in; may be NULL. @return NULL when out of memory. */
sl_batch *sl_batch_create(sl_budget *budget);
void sl_batch_destroy(sl_batch *batch); /**< NULL is allowed. */
/**
 * Empty the batch for events of `schema`. Rows fit: between 64 and SL_BATCH_ROWS_MAX, fewer the
 * more fields there are. Reallocates only when the schema needs more than the slab has.
 * @return SL_OK, SL_ENOMEM, SL_EFULL (budget).
 */
SL_CHECKED sl_status sl_batch_prepare(sl_batch *batch, const sl_schema *schema,
                                      const uint8_t *raw, const sl_record *records);
size_t sl_batch_memory(const sl_batch *batch); /**< Bytes held. */
size_t sl_batch_used(const sl_batch *batch);   /**< Of these, by rows, rejects and texts. */

static inline const uint8_t *sl_batch_text(const sl_batch *batch, sl_span span) {
    return (span.offset & SL_SPAN_ARENA) ? batch->arena.bytes + (span.offset & ~SL_SPAN_ARENA)
                                         : batch->raw + span.offset;
}
static inline int64_t sl_batch_arrival(const sl_batch *batch, uint32_t row) {
    return batch->records[batch->row_record[row]].arrival_us;
}
/** The row's event as JSON text: its bytes in the record, or what was made of them. */
static inline const uint8_t *sl_batch_json(const sl_batch *batch, uint32_t row, uint32_t *length) {
    if (sl_format_is_json(batch->records[batch->row_record[row]].format)) {
        *length = batch->row_length[row];
        return batch->raw + batch->row_begin[row];
    }
    *length = batch->row_json[row].length;
    return sl_batch_text(batch, batch->row_json[row]);
}
/** Offset of the row's first byte in its partition. */
static inline uint64_t sl_batch_position(const sl_batch *batch, uint32_t row) {
    const sl_record *record = &batch->records[batch->row_record[row]];
    return record->position + (batch->row_begin[row] - record->body);
}
/** Where the row's first byte lies in the log. */
static inline uint64_t sl_batch_logged(const sl_batch *batch, uint32_t row) {
    const sl_record *record = &batch->records[batch->row_record[row]];
    return record->logged + (batch->row_begin[row] - record->body);
}
/**
 * Place of the row's event within its record, from 0. What is kept is the difference to counting on from row 0: a record that fills
 * batches alone keeps nothing, and its pages stay untouched.
 */
static inline uint32_t sl_batch_index(const sl_batch *batch, uint32_t row) {
    return batch->index_base + row + batch->row_index[row];
}
/** The decoders' to set, row by row from 0 on. */
static inline void sl_batch_set_index(sl_batch *batch, uint32_t row, uint32_t index) {
    if (row == 0)
        batch->index_base = index;
    const uint32_t difference = index - batch->index_base - row;
    if (batch->row_index[row] != difference)
        batch->row_index[row] = difference;
}
/** Is the column's cell there, its enclosing objects included? */
bool sl_batch_present(const sl_batch *batch, uint32_t field, uint32_t row);
/** A row as one line of JSON: the members that are there and have a value, in the schema's order. */
void sl_batch_row_json(const sl_batch *batch, uint32_t row, sl_buffer *out);
/** Copy text to the arena. @return a span; length 0 and arena.failed set when out of memory. */
sl_span sl_batch_keep_text(sl_batch *batch, const void *text, size_t length);
/** Append a reject. @return false when out of memory. */
bool sl_batch_reject(sl_batch *batch, const sl_reject *reject);
/** Fill the columns whose origin is PROCESSED_AT or SOURCE. `sources[record.source]` are the names. */
void sl_batch_fill_origins(sl_batch *batch, const char *const *sources);
