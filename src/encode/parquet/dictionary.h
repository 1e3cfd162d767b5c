/** @file dictionary.h
 * The distinct values of a column chunk, numbered as they are first seen.
 *
 * Table    Open addressing, at most 5/8 full, slots of 16 bytes; the slots of a line of the cache are tried before the next line, so
 *          that nearly every look-up reads one. Numbers and texts of up to 12 bytes lie in the slot whole. Of a longer text it
 *          has hash, length and the value's offset: comparing it reads the value as well.
 * Values   Text lies as the dictionary page holds it (4-byte length, bytes); numbers as int64.
 * Attack   Values chosen to collide are met by a limit on probes: beyond it the dictionary calls itself
 *          spoilt and the column goes on without.
 */
#pragma once

#include "store.h"

#define SL_PARQUET_SHORT_BYTES 12u

typedef struct sl_parquet_slot {
    uint64_t key;  /**< Number: the value. Short text: the first bytes. Longer text: hash's low half, length. */
    uint64_t code; /**< Code + 1 in 28 bits, 0 for an empty slot; 4 bits: short text's length + 1, 15 for a number, 0 for a longer
                        text; 32 bits: short text's last bytes, longer text's offset. */
} sl_parquet_slot;

typedef struct sl_parquet_dictionary {
    sl_parquet_slot *slots;
    uint32_t mask;
    uint32_t count;
    sl_parquet_block values;
    size_t length; /**< Bytes of values. */
    bool spoilt;
} sl_parquet_dictionary;

typedef struct sl_parquet_piece {
    const uint8_t *bytes;
    uint32_t length;
} sl_parquet_piece;

/** Codes of `count` texts, new ones added. @return SL_OK, SL_ENOMEM, SL_EFULL. */
SL_CHECKED sl_status sl_parquet_dictionary_texts(sl_parquet_dictionary *dictionary,
                                                 sl_parquet_store *store,
                                                 const sl_parquet_piece *pieces, size_t count,
                                                 uint32_t *codes);
/** Codes of `count` numbers, new ones added. @return SL_OK, SL_ENOMEM, SL_EFULL. */
SL_CHECKED sl_status sl_parquet_dictionary_numbers(sl_parquet_dictionary *dictionary,
                                                   sl_parquet_store *store, const int64_t *numbers,
                                                   size_t count, uint32_t *codes);
/** Forget the table; the values stay for the dictionary page. */
void sl_parquet_dictionary_close(sl_parquet_dictionary *dictionary, sl_parquet_store *store);
/** Begin with the table of `old`, emptied: the next row group has about as many values. `old` is closed. */
void sl_parquet_dictionary_inherit(sl_parquet_dictionary *dictionary, sl_parquet_dictionary *old);
void sl_parquet_dictionary_fini(sl_parquet_dictionary *dictionary, sl_parquet_store *store);
