/** @file messages.h
 * Several messages as the body of one record of the log (SL_FORMAT_MESSAGES): each is decoded by itself, so that whatever one
 * of them holds, its neighbours are read as they came.
 *
 * Format   u32 length of the origin, 0 for none, with its highest bit for `history`; origin; u32 count of the messages, u32 where their last
 *          block begins; then blocks. Origin: u64 from, u64 to, u64 check, the partition's text. Little-endian.
 * Block    Heads of up to 1, 2, 4, 8, 16, 32, and of then on 64 messages, each u32 length, u32 place, i64 arrival (µs; 0: the record's),
 *          those that aren't used 0; then the messages' bytes. So who wants heads alone reads one place of memory for many.
 * Origin   Where the messages lie in a log of somebody else's: of what partition, from which offset to which (the next one behind the last
 *          message), and a check of the last one, by which a log that was made anew under the same name is told apart.
 * Address  Before each message of a record of the format SL_FORMAT_ADDRESSED, as the first of its bytes: where it belongs, when that isn't
 *          the record's to say. u8 length of the stream's name, u8 of the source's, format (3), u8 1 with a key, stream, source, key (16).
 * Place    Of a message: its offset less the origin's `from`; 0 where there is no origin.
 * Threads  Any.
 */
#pragma once

#include "sluice/batch.h"
#include "sluice/buffer.h"

#define SL_ORIGIN_TEXT_MAX 512u

typedef struct sl_messages_origin {
    const char *partition; /**< "kafka:CLUSTER/TOPIC/NUMBER". Borrowed; no 0 at its end when it was read from a body. */
    uint32_t length;       /**< Of the text: 1 to SL_ORIGIN_TEXT_MAX. */
    uint64_t from, to;
    uint64_t check;
    bool history;          /**< Others have brought these: nothing comes of them but the ids that dedupe has to know. */
} sl_messages_origin;

/** Begin a body in an empty buffer. Failures are the buffer's. @param origin NULL: none. */
void sl_messages_begin(sl_buffer *out, const sl_messages_origin *origin);
typedef struct sl_message_item {
    const uint8_t *bytes; /**< Borrowed. */
    uint32_t length;
    uint32_t place;
    int64_t arrival_us;   /**< 0: the record's. */
} sl_message_item;

/** @return false: no memory. */
bool sl_messages_add(sl_buffer *out, const sl_message_item *item);
/** Room for a message that is written in place, and has its record's arrival. @return NULL: no memory. sl_messages_commit() may follow; else nothing was added. */
uint8_t *sl_messages_reserve(sl_buffer *out, size_t length_max);
void sl_messages_commit(sl_buffer *out, size_t length);
/** The origin's range ends elsewhere than it was begun with. */
void sl_messages_end(sl_buffer *out, uint64_t to, uint64_t check);

/** @param[out] origin `length` 0: there is none. @return Whether it begins like such a body. */
bool sl_messages_head(const uint8_t *body, size_t length, sl_messages_origin *origin);

typedef struct sl_messages_reader {
    sl_messages_origin origin;
    uint32_t count; /**< Of messages, if the body is whole; no more than fit in it. */
    uint32_t index; /**< Of the next one. */
    const uint8_t *body;
    size_t length, head, at;
    uint32_t left;  /**< Heads in the block. */
} sl_messages_reader;

/** @param body Borrowed while messages are read. @return false: it is no such body, and no message is read. */
bool sl_messages_read(const uint8_t *body, size_t length, sl_messages_reader *reader);
/** @return false: there is no further whole one. */
bool sl_messages_next(sl_messages_reader *reader, sl_message_item *item);
/** Is it such a body, to its end? */
bool sl_messages_valid(const uint8_t *body, size_t length);

enum { SL_ADDRESS_KEY = 16 };
typedef struct sl_message_address {
    const char *stream; /**< As a request's path names it; "" leaves it to the configuration. Borrowed, no 0 at its end when it was read. */
    const char *source;
    uint8_t stream_length, source_length;
    sl_format format;   /**< JSON, CLOUDEVENTS or CSV. */
    const uint8_t *key; /**< SL_ADDRESS_KEY bytes: what comes again under the same is a repeat. NULL: none. */
} sl_message_address;

/** Begin a message by it; what it holds follows. Failures are the buffer's. */
void sl_message_address_put(sl_buffer *out, const sl_message_address *address);
/** @return Bytes of the address; 0: it is none. */
size_t sl_message_address_get(const uint8_t *bytes, size_t length, sl_message_address *address);
/** Is it a body of messages with addresses, to its end? */
bool sl_messages_addressed(const uint8_t *body, size_t length);
