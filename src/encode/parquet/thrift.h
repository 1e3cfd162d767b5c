/** @file thrift.h
 * Thrift's compact protocol: as much as Parquet's page headers and footer need.
 *
 * Bytes    A struct is its fields in order, then 0. A field is (id delta << 4 | type), or the type and the
 *          id as a zigzag varint when the delta is not in 1..15. Booleans live in the type (1 true,
 *          2 false). Integers are zigzag varints. Binary is a varint length and its bytes. A list is
 *          (count << 4 | element type), or 0xf0 | type and a varint count from 15 on.
 * Limits   The reader nests at most SL_THRIFT_DEPTH_MAX deep and never reads past its end; every
 *          failure is sticky, and after it reads give zeros and empty texts.
 * Source   apache/thrift, doc/specs/thrift-compact-protocol.md.
 */
#pragma once

#include "sluice/buffer.h"

#define SL_THRIFT_DEPTH_MAX 24u

enum {
    THRIFT_STOP = 0,
    THRIFT_TRUE = 1,
    THRIFT_FALSE = 2,
    THRIFT_BYTE = 3,
    THRIFT_I16 = 4,
    THRIFT_I32 = 5,
    THRIFT_I64 = 6,
    THRIFT_DOUBLE = 7,
    THRIFT_BINARY = 8,
    THRIFT_LIST = 9,
    THRIFT_SET = 10,
    THRIFT_MAP = 11,
    THRIFT_STRUCT = 12
};

/** Writes one struct; nested ones share it. */
typedef struct sl_thrift_writer {
    sl_buffer *out; /**< Borrowed. */
    uint32_t depth;
    int16_t last[8]; /**< Last field id per open struct. */
} sl_thrift_writer;

/** Begin the outermost struct; sl_thrift_end() closes it. */
sl_thrift_writer sl_thrift_begin(sl_buffer *out);
void sl_thrift_i16(sl_thrift_writer *writer, int16_t id, int16_t value);
void sl_thrift_i32(sl_thrift_writer *writer, int16_t id, int32_t value);
void sl_thrift_i64(sl_thrift_writer *writer, int16_t id, int64_t value);
void sl_thrift_bool(sl_thrift_writer *writer, int16_t id, bool value);
void sl_thrift_binary(sl_thrift_writer *writer, int16_t id, const void *bytes, size_t length);
void sl_thrift_struct(sl_thrift_writer *writer, int16_t id); /**< Open a field that is a struct. */
/** A list's head; its elements follow: sl_thrift_element(), or raw varints and binaries. */
void sl_thrift_list(sl_thrift_writer *writer, int16_t id, uint8_t type, size_t count);
void sl_thrift_element(sl_thrift_writer *writer); /**< Open a list's element that is a struct. */
void sl_thrift_end(sl_thrift_writer *writer);     /**< Close the innermost struct. */

typedef struct sl_thrift_reader {
    const uint8_t *at, *end; /**< Borrowed. */
    bool failed;
} sl_thrift_reader;

typedef struct sl_thrift_text {
    const uint8_t *bytes;
    size_t length;
} sl_thrift_text;

/**
 * The next field of a struct. `*id` holds the last id (0 at the struct's begin).
 * @return its type; THRIFT_STOP at the end of the struct or after a failure.
 */
uint8_t sl_thrift_field(sl_thrift_reader *reader, int16_t *id);
/** Value of a field or element of type BYTE, I16, I32, I64; anything else fails. */
int64_t sl_thrift_integer(sl_thrift_reader *reader, uint8_t type);
sl_thrift_text sl_thrift_text_of(sl_thrift_reader *reader, uint8_t type);
/** Head of a list. @return its count, at most the bytes that are left. */
uint32_t sl_thrift_list_head(sl_thrift_reader *reader, uint8_t type, uint8_t *element);
/** Pass over a value of `type`; for booleans in a list `element` is true (they take a byte there). */
void sl_thrift_skip(sl_thrift_reader *reader, uint8_t type, bool element);
