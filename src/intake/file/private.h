/** @file private.h
 * What a tail knows of its files, and the bytes in which it outlives the process.
 *
 * A state file: "sluiceF1", u64 number, u32 length of what follows, u32 CRC-32C of it and the number; then u64 next serial, u32 files, each
 * u64 device, inode, serial, offset, copy_of, u32 length and u128 hash of its beginning, u8 ghost; then u64 serial, from, to, u32
 * length, body: the chunk that was handed out last (length 0: none). Little-endian. The higher number that is whole counts.
 */
#pragma once

#include "sluice/hash.h"
#include "sluice/tail.h"

#define BEGINNING_MAX 1024u

typedef struct tail_file {
    uint64_t device, inode;
    uint64_t serial;   /**< Never given twice. */
    uint64_t offset;   /**< Taken up to here. */
    uint64_t copy_of;  /**< It equals that file, and waits; 0: it is read. */
    uint32_t beginning; /**< Bytes that `hash` is of. */
    sl_hash128 hash;
    bool ghost;        /**< It was truncated: a copy may have its bytes. */
    /* Not kept. */
    char *path;
    int file;          /**< -1: not open. */
    bool seen, away;   /**< In the last look; not under a name that matches. */
    bool own;          /**< It was taken for a copy, and is none. */
    int64_t away_us;
    uint64_t size, changed_ns;
    uint64_t waiting_size; /**< Of a line without its end, since `waiting_us`. */
    int64_t waiting_us;
    uint64_t header_length; /**< Of the line of names; 0: not known yet. */
} tail_file;

typedef struct tail_state {
    uint64_t number, next_serial;
    tail_file *files;
    uint32_t count, capacity;
    uint64_t serial, from, to; /**< Of `body`. */
    sl_buffer body;
} tail_state;

bool sl_tail_add(tail_state *state, const tail_file *file); /**< @return false: no memory. */
void sl_tail_encode(const tail_state *state, sl_buffer *out);
/** @param state Zeroed; fini whatever comes. @return SL_OK, SL_ECORRUPT, SL_ENOMEM. */
sl_status sl_tail_decode(tail_state *state, const uint8_t *bytes, size_t length);
void sl_tail_state_fini(tail_state *state);
