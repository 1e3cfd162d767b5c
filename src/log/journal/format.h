/** @file format.h
 * The bytes of a segment. All numbers are little-endian; README.md tells how they are used.
 *
 * Segment header, the first 4 KiB block of the file:
 *     0 magic "sluiceJ1"   8 version u32    12 zero u32       16 identity[16]
 *    32 base u64          40 data bytes u64 48 generation u64 56 first number u64
 *    64 previous base u64 (all ones: none)  72 end of the groups before u64
 *    80 zeros             4092 CRC-32C u32 over bytes 0..4091
 * The group at logical offset x lies at file offset 4096 + (x - base).
 *
 * Group header, at the start of a block:
 *     0 magic "sluiceG1"   8 number u64     16 offset u64     24 generation u64
 *    32 length u32 (bytes, whole blocks)    36 records u32    40 used bytes u32
 *    44 zeros             60 CRC-32C u32 over bytes 0..59
 *
 * Record, 8-byte aligned, the first at byte 64 of its group:
 *     0 header CRC u32     4 data CRC u32    8 arrival i64    16 body length u32
 *    20 index u32         24 stream length u32               28 source length u32
 *    32 key length u32    36 format u8 (0 JSON, 1 CSV), header u8 (CSV: 1 present, 2 absent), delimiter u8, zero u8
 *    40 stream, source, key, body, zeros up to 8
 * The header CRC covers the record's absolute offset, the generation and bytes 8..39; the data CRC
 * continues it over stream, source, key and body. So a damaged body doesn't hide the next record,
 * and bytes from another place or another life of the file are never taken for a record.
 */
#pragma once

#include "sluice/journal.h"

#define SEGMENT_MAGIC "sluiceJ1"
#define GROUP_MAGIC "sluiceG1"
#define FORMAT_VERSION 1u
#define GROUP_HEADER 64u
#define RECORD_HEADER 40u
#define NO_SEGMENT UINT64_MAX
#define OFFSET_MAX (UINT64_C(1) << 61) /* Keeps sums of offsets and sizes from overflowing. */

typedef struct segment_header {
    uint8_t identity[16];
    uint64_t base, data_bytes, generation, first_number, previous, previous_end;
} segment_header;

typedef struct group_header {
    uint64_t number, offset, generation;
    uint32_t length, count, used;
} group_header;

static inline uint64_t block_up(uint64_t bytes) {
    return (bytes + SL_BLOCK - 1) & ~(uint64_t)(SL_BLOCK - 1);
}

/** @param block SL_BLOCK bytes. */
void sl_journal_encode_segment(uint8_t *block, const segment_header *header);
/** @return false: no valid segment header. */
bool sl_journal_decode_segment(const uint8_t *block, segment_header *header);

/** Fill in the header and all CRCs of a gathered group and pad it to whole blocks. */
void sl_journal_seal_group(sl_group *group, uint64_t offset, uint64_t number,
                           uint64_t generation);
/** @return false: no valid group header for this logical offset. */
bool sl_journal_decode_group(const uint8_t *block, uint64_t offset, group_header *header);
/** Find and check the records of the header->length bytes in group->bytes.
 * @param[out] damaged Bytes of records that can't be trusted. @return SL_OK or SL_ENOMEM. */
SL_CHECKED sl_status sl_journal_parse_group(sl_group *group, const group_header *header,
                                            uint64_t *damaged);
/** Room for `bytes` in group->bytes; what is there up to group->length stays. */
SL_CHECKED sl_status sl_journal_group_reserve(sl_group *group, size_t bytes);
