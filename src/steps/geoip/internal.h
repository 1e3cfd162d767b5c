/** @file internal.h
 * MaxMind DB: what the files of this folder share.
 *
 *   file      = tree, 16 zero bytes, data, "\xAB\xCD\xEFMaxMind.com", metadata
 *   tree      = node_count nodes of two records of 24, 28 or 32 bits, big-endian; a
 * record is < node_count: the next node; = node_count: nothing known; above: node_count +
 * 16 + offset into data value     = control byte (type in the upper 3 bits, 0: the next
 * byte + 7; size in the lower 5), size bytes, payload pointer   = offset from the
 * section's beginning; never to another pointer
 */
#pragma once

#include "sluice/geoip.h"

enum {
    MMDB_POINTER = 1,
    MMDB_STRING,
    MMDB_DOUBLE,
    MMDB_BYTES,
    MMDB_UINT16,
    MMDB_UINT32,
    MMDB_MAP,
    MMDB_INT32,
    MMDB_UINT64,
    MMDB_UINT128,
    MMDB_ARRAY,
    MMDB_CONTAINER,
    MMDB_END,
    MMDB_BOOLEAN,
    MMDB_FLOAT,
    MMDB_TYPES
};

/** Bytes that pointers count from. */
typedef struct section {
    const uint8_t *bytes;
    uint32_t length;
} section;

typedef struct value {
    unsigned type;
    uint32_t size; /**< Bytes; of a map its pairs, of an array its elements; of a boolean
                      its truth. */
    uint32_t at;   /**< Payload. */
    uint32_t behind; /**< Next value: behind the pointer, or the payload; of a map or
                        array its first child. */
    bool pointed;    /**< It was reached by a pointer. */
} value;

/** @return NULL, or what is wrong at `at`. */
const char *sl_geoip_value(const section *s, uint32_t at, value *out);
/** Behind the value, with everything in it. */
bool sl_geoip_skip(const section *s, uint32_t at, uint32_t *behind);
/** The value of a key of the map. */
bool sl_geoip_member(const section *s, const value *map, const char *key, value *out);
bool sl_geoip_uint(const section *s, const value *v, uint64_t *out);
/** What a record says. `out` is zeroed before. */
void sl_geoip_record(const section *s, uint32_t at, const char *language,
                     sl_geoip_answer *out);

/** @param[out] record Offset in the data. @return false: nothing is known of the address.
 */
bool sl_geoip_locate(const sl_geoip *db, const uint8_t address[16], unsigned bits,
                     uint32_t *record);

/** An address on its way through the tree. */
typedef struct walk {
    uint8_t address[16];
    unsigned bits; /**< 32 or 128. */
    unsigned bit;  /**< Next to look at, of the 16 bytes. */
    uint32_t at;   /**< Record of the tree. */
    uint32_t row;
    uint32_t record; /**< Found: offset in the data. */
    bool found;
} walk;
/** As sl_geoip_locate() for each, side by side, so that memory works on many at once. */
void sl_geoip_locate_all(const sl_geoip *db, walk *walks, size_t count);

/** Notes which values were checked, so that each is checked once. */
typedef struct checker {
    section section;
    uint64_t *seen; /**< One bit a byte of the section. */
    uint64_t left;  /**< Values that may still be looked at. */
    uint32_t wrong_at;
} checker;
/** @return NULL, or what is wrong. */
const char *sl_geoip_check(checker *c, uint32_t at);

struct sl_geoip {
    _Atomic uint32_t references;
    sl_budget *budget; /**< What it is counted in; NULL: nothing. */
    uint8_t *file;
    size_t length;
    uint32_t nodes, record_bits;
    unsigned ip_version;
    section data;
    uint32_t *ipv4; /**< [65,536] record after the first 16 bits of an IPv4 address. */
    char *type;
    char *language;
    uint64_t built_s;
    uint32_t parts;
    sl_hash128 version;
};
