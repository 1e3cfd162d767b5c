/** @file geoip.h
 * IP addresses to places and networks, from a MaxMind DB file (City, Country, ASN and their kin).
 *
 * File     Read whole into memory by the caller and checked whole: every node of the tree, every record it leads to, every
 *          pointer. A file that passes can't fail later; one that changes or shrinks on disk harms nobody, for nothing
 *          is mapped. That is why a damaged new file leaves the old one in use: load, and only then sl_geoip_step_use().
 * Answers  country_iso, country, region, city, latitude, longitude, timezone, asn, as_org, as far as the record has them;
 *          names in `language`. `region` is the first (largest) subdivision. Beyond 1 KiB of texts in one record, what
 *          doesn't fit is left out.
 * Address  IPv4 in four decimal parts without leading zeros, IPv6 as RFC 4291 section 2.2 (no zone, no brackets, no
 *          port). ::ffff:a.b.c.d is a.b.c.d. Anything else is a miss. IPv6 in a file that knows IPv4 alone too.
 * Cost     130 to 180 ns an address whose record was seen lately, else some 800. Loading: 1.5 s for 54 MiB of City.
 * Threads  A database is immutable, its reference count is atomic. A step belongs to one worker.
 * Source   MaxMind DB file format specification 2.0; RFC 4291; RFC 6943 section 3.1.1 for strict IPv4.
 */
#pragma once

#include "sluice/hash.h"
#include "sluice/enrich.h"

typedef enum sl_geoip_part {
    SL_GEOIP_COUNTRY_ISO, /**< STRING, "DE" */
    SL_GEOIP_COUNTRY,     /**< STRING */
    SL_GEOIP_REGION,      /**< STRING */
    SL_GEOIP_CITY,        /**< STRING */
    SL_GEOIP_LATITUDE,    /**< DOUBLE */
    SL_GEOIP_LONGITUDE,   /**< DOUBLE */
    SL_GEOIP_TIMEZONE,    /**< STRING, "Europe/Berlin" */
    SL_GEOIP_ASN,         /**< INT64 */
    SL_GEOIP_AS_ORG,      /**< STRING */
    SL_GEOIP_PARTS
} sl_geoip_part;
const char *sl_geoip_part_name(sl_geoip_part part);
sl_type sl_geoip_part_type(sl_geoip_part part);

#define SL_GEOIP_CACHE_BYTES (1u << 20) /**< Default of a step: 4,096 decoded records. */
#define SL_GEOIP_FILE_BYTES_MAX (UINT64_C(2) << 30)

typedef struct sl_geoip sl_geoip;
typedef struct sl_geoip_step sl_geoip_step;

/**
 * @param file     The whole file, from sl_malloc(); owned by the database on SL_OK, else still the caller's.
 * @param language Of names, "en" when NULL.
 * @return SL_ECORRUPT (no MaxMind DB, or damaged: what and at which byte), SL_EUNSUPPORTED (another major version), SL_ENOMEM.
 */
SL_CHECKED sl_status sl_geoip_load(uint8_t *file, size_t length, const char *language, sl_geoip **out, sl_error *error);
sl_geoip *sl_geoip_ref(const sl_geoip *database);
void sl_geoip_unref(sl_geoip *database); /**< NULL is allowed. */
const char *sl_geoip_type(const sl_geoip *database); /**< "GeoLite2-City" */
int64_t sl_geoip_built_us(const sl_geoip *database); /**< Build time, from the file. */
sl_hash128 sl_geoip_version(const sl_geoip *database); /**< Hash of the file. */
size_t sl_geoip_memory(const sl_geoip *database);
/** Count its memory, before it is shared (once: it stays where it is counted). The last reference gives it back. @return SL_OK, SL_EFULL. */
SL_CHECKED sl_status sl_geoip_charge(sl_geoip *database, sl_budget *budget);
/** Bit i: records of this database may have part i (by its type's name, or because one has). */
uint32_t sl_geoip_parts(const sl_geoip *database);

/** Declare columns below `into` for the parts in `parts`; others are SL_NO_FIELD. */
SL_CHECKED sl_status sl_geoip_declare(sl_schema *schema, const char *into, uint32_t parts,
                                      uint32_t fields[SL_GEOIP_PARTS], sl_error *error);
/** @param from Field of the address (STRING). @param fields As declared. @param cache_bytes Of decoded records. @return SL_OK, SL_ENOMEM. */
SL_CHECKED sl_status sl_geoip_step_create(const sl_geoip *database, uint32_t from, const uint32_t fields[SL_GEOIP_PARTS],
                                          size_t cache_bytes, sl_geoip_step **out);
void sl_geoip_step_destroy(sl_geoip_step *step); /**< NULL is allowed. */
/** From the next batch on, this database. */
void sl_geoip_step_use(sl_geoip_step *step, const sl_geoip *database);
/** As sl_user_agent_step_run(). */
SL_CHECKED sl_status sl_geoip_step_run(sl_geoip_step *step, sl_batch *batch, sl_enrich_counts *counts);
typedef struct sl_geoip_figures {
    uint64_t cache_hits, cache_misses; /**< Records that were decoded already, or not. */
    uint64_t unreadable; /**< Texts that are no address. */
} sl_geoip_figures;
sl_geoip_figures sl_geoip_step_figures(const sl_geoip_step *step);

/** An address by the rules above: 16 bytes, IPv4 as ::a.b.c.d. @param[out] bits 32 or 128. */
bool sl_geoip_address(const char *text, size_t length, uint8_t address[16], unsigned *bits);
/** One answer; texts borrow from the database. */
typedef struct sl_geoip_answer {
    uint32_t present; /**< Bit i: part i is there. */
    struct {
        const char *bytes;
        uint32_t length;
    } text[SL_GEOIP_PARTS];
    double latitude, longitude;
    int64_t asn;
} sl_geoip_answer;
/** One address, for tests and tools. @return whether there is a record. */
bool sl_geoip_find(const sl_geoip *database, const uint8_t address[16], unsigned bits, sl_geoip_answer *out);
