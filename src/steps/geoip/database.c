// A file as a database: its metadata, its tree, and the check that everything in it leads
// somewhere.

#include "internal.h"

#include "sluice/time.h"

#define MARKER_BYTES 14u
#define MARKER_ROOM (128u << 10) /**< The metadata is at most this long. */
#define SEPARATOR_BYTES 16u
#define IPV4_BITS 16u /**< Of an address that the table answers at once. */

static const uint8_t marker[MARKER_BYTES] = {0xAB, 0xCD, 0xEF, 'M', 'a', 'x', 'M',
                                             'i',  'n',  'd',  '.', 'c', 'o', 'm'};

static const struct {
    const char *name;
    sl_type type;
} parts[SL_GEOIP_PARTS] = {
    [SL_GEOIP_COUNTRY_ISO] = {"country_iso", SL_TYPE_STRING},
    [SL_GEOIP_COUNTRY] = {"country", SL_TYPE_STRING},
    [SL_GEOIP_REGION] = {"region", SL_TYPE_STRING},
    [SL_GEOIP_CITY] = {"city", SL_TYPE_STRING},
    [SL_GEOIP_LATITUDE] = {"latitude", SL_TYPE_DOUBLE},
    [SL_GEOIP_LONGITUDE] = {"longitude", SL_TYPE_DOUBLE},
    [SL_GEOIP_TIMEZONE] = {"timezone", SL_TYPE_STRING},
    [SL_GEOIP_ASN] = {"asn", SL_TYPE_INT64},
    [SL_GEOIP_AS_ORG] = {"as_org", SL_TYPE_STRING},
};

const char *sl_geoip_part_name(sl_geoip_part part) { return parts[part].name; }
sl_type sl_geoip_part_type(sl_geoip_part part) { return parts[part].type; }

// ---- The tree
// ------------------------------------------------------------------------------------------

static uint32_t record_of(const sl_geoip *db, uint32_t node, unsigned side) {
    const uint8_t *p = db->file + (size_t)node * (db->record_bits / 4);
    switch (db->record_bits) {
    case 24:
        p += 3 * side;
        return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    case 28: {
        // The middle byte holds the upper four bits of both.
        uint32_t high = side == 0 ? p[3] >> 4 : p[3] & 15u;
        p += 4 * side;
        return high << 24 | (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    }
    default:
        p += 4 * side;
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
}

// From a record, along bits [bit, end) of the address, to the record where it ends.
static uint32_t descend(const sl_geoip *db, uint32_t record, const uint8_t *address,
                        unsigned bit, unsigned end) {
    for (; bit < end && record < db->nodes; bit++)
        record = record_of(db, record, (unsigned)address[bit / 8] >> (7 - bit % 8) & 1u);
    return record;
}

static uint32_t ipv4_root(const sl_geoip *db) {
    static const uint8_t zeros[12] = {0};
    return db->ip_version == 4 ? 0 : descend(db, 0, zeros, 0, 96);
}

static bool fill_ipv4(sl_geoip *db) {
    db->ipv4 = sl_malloc((UINT32_C(1) << IPV4_BITS) * sizeof *db->ipv4);
    if (db->ipv4 == NULL)
        return false;
    uint32_t root = ipv4_root(db);
    for (uint32_t i = 0; i < UINT32_C(1) << IPV4_BITS; i++) {
        const uint8_t high[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        db->ipv4[i] = descend(db, root, high, 0, IPV4_BITS);
    }
    return true;
}

static void arrive(const sl_geoip *db, walk *w) {
    w->found = w->at > db->nodes;
    w->record = w->found ? w->at - db->nodes - SEPARATOR_BYTES : 0;
}

static void set_out(const sl_geoip *db, walk *w) {
    bool v4 = w->bits == 32;
    w->bit = v4 ? 96 + IPV4_BITS : 0;
    w->at = v4 ? db->ipv4[(uint32_t)w->address[12] << 8 | w->address[13]] : 0;
    if (!v4 && db->ip_version != 6)
        w->at = db->nodes;
}

void sl_geoip_locate_all(const sl_geoip *db, walk *walks, size_t count) {
    size_t node_bytes = db->record_bits / 4;
    for (size_t i = 0; i < count; i++)
        if (walks[i].bits == 32)
            __builtin_prefetch(
                &db->ipv4[(uint32_t)walks[i].address[12] << 8 | walks[i].address[13]]);
    for (size_t i = 0; i < count; i++) {
        set_out(db, &walks[i]);
        if (walks[i].at < db->nodes)
            __builtin_prefetch(db->file + walks[i].at * node_bytes);
    }
    for (size_t moving = count; moving != 0;) {
        moving = 0;
        for (size_t i = 0; i < count; i++) {
            walk *w = &walks[i];
            if (w->at >= db->nodes || w->bit >= 128)
                continue;
            w->at = record_of(db, w->at,
                              (unsigned)w->address[w->bit / 8] >> (7 - w->bit % 8) & 1u);
            w->bit++;
            moving++;
            if (w->at < db->nodes)
                __builtin_prefetch(db->file + w->at * node_bytes);
        }
    }
    for (size_t i = 0; i < count; i++)
        arrive(db, &walks[i]);
}

bool sl_geoip_locate(const sl_geoip *db, const uint8_t address[16], unsigned bits,
                     uint32_t *record) {
    walk w = {.bits = bits};
    memcpy(w.address, address, sizeof w.address);
    set_out(db, &w);
    w.at = descend(db, w.at, address, w.bit, 128);
    arrive(db, &w);
    *record = w.record;
    return w.found;
}

bool sl_geoip_find(const sl_geoip *db, const uint8_t address[16], unsigned bits,
                   sl_geoip_answer *out) {
    uint32_t record;
    memset(out, 0, sizeof *out);
    if (!sl_geoip_locate(db, address, bits, &record))
        return false;
    sl_geoip_record(&db->data, record, db->language, out);
    return true;
}

// ---- Checking
// -------------------------------------------------------------------------------------------

static sl_status damaged(sl_error *error, size_t at, const char *words) {
    return sl_error_set(error, SL_ECORRUPT, "damaged at byte %zu: %s", at, words);
}

static sl_status check_record(sl_geoip *db, checker *c, uint32_t node, unsigned side,
                              sl_error *error) {
    uint32_t record = record_of(db, node, side);
    size_t at = (size_t)node * (db->record_bits / 4);
    if (record == 0) // As in a block that was never written.
        return damaged(error, at, "a record of the tree leads back to its root");
    if (record <= db->nodes)
        return SL_OK;
    uint32_t offset = record - db->nodes;
    size_t data_at = (size_t)(db->data.bytes - db->file);
    if (offset < SEPARATOR_BYTES || offset - SEPARATOR_BYTES >= db->data.length)
        return damaged(error, at, "a record of the tree leads out of the data");
    offset -= SEPARATOR_BYTES;
    bool known = c->seen[offset / 64] >> (offset % 64) & 1;
    const char *wrong = sl_geoip_check(c, offset);
    if (wrong != NULL)
        return damaged(error, data_at + c->wrong_at, wrong);
    if (!known) {
        sl_geoip_answer answer = {0};
        sl_geoip_record(&db->data, offset, db->language, &answer);
        db->parts |= answer.present;
    }
    return SL_OK;
}

// Nodes on the longest way from `node` to an end of the tree; more than `room` where
// there are more, or a circle. Many may lead to one node (IPv4's own, from 2002::/16 and
// the like), so `heights` keeps what is known; it is also what ends a search through
// 2^128 ways.
static unsigned height_of(const sl_geoip *db, uint8_t *heights, uint32_t node,
                          unsigned room) {
    if (node >= db->nodes)
        return 0;
    if (room == 0 || heights[node] != 0)
        return room == 0 ? 1 : heights[node];
    unsigned height = 0;
    for (unsigned side = 0; side < 2; side++) {
        unsigned below = height_of(db, heights, record_of(db, node, side), room - 1);
        if (below >= room)
            return room + 1;
        height = below > height ? below : height;
    }
    heights[node] = (uint8_t)(height + 1);
    return height + 1;
}

/** No way through the tree is longer than an address, so all of them end. */
static sl_status check_tree(const sl_geoip *db, sl_error *error) {
    const unsigned bits = db->ip_version == 4 ? 32 : 128;
    uint8_t *heights = sl_calloc(db->nodes, 1);
    if (heights == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    bool ends = height_of(db, heights, 0, bits) <= bits;
    sl_free(heights);
    return ends ? SL_OK
                : sl_error_set(
                      error, SL_ECORRUPT,
                      "damaged in the tree: it is deeper than an address has bits");
}

static sl_status check_all(sl_geoip *db, sl_error *error) {
    checker c = {.section = db->data, .left = 4 * (uint64_t)db->data.length + 1024};
    c.seen = sl_calloc((size_t)db->data.length / 64 + 1, sizeof *c.seen);
    if (c.seen == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    sl_status status = SL_OK;
    for (uint32_t node = 0; node < db->nodes && status == SL_OK; node++) {
        status = check_record(db, &c, node, 0, error);
        if (status == SL_OK)
            status = check_record(db, &c, node, 1, error);
    }
    sl_free(c.seen);
    return status;
}

// ---- Metadata
// -------------------------------------------------------------------------------------------

static bool find_marker(const uint8_t *file, size_t length, size_t *at) {
    size_t least = length > MARKER_ROOM ? length - MARKER_ROOM : 0;
    for (size_t i = length < MARKER_BYTES ? 0 : length - MARKER_BYTES + 1; i-- > least;) {
        if (file[i] == marker[0] && memcmp(file + i, marker, MARKER_BYTES) == 0) {
            *at = i;
            return true;
        }
    }
    return false;
}

static bool number(const section *s, const value *map, const char *key, uint64_t *out) {
    value v;
    return sl_geoip_member(s, map, key, &v) && sl_geoip_uint(s, &v, out);
}

static sl_status check_metadata(const section *s, value *map, sl_error *error) {
    checker c = {.section = *s, .left = 4 * (uint64_t)s->length + 1024};
    c.seen = sl_calloc((size_t)s->length / 64 + 1, sizeof *c.seen);
    if (c.seen == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    const char *wrong = s->length == 0 ? "it is empty" : sl_geoip_check(&c, 0);
    sl_free(c.seen);
    if (wrong == NULL && (sl_geoip_value(s, 0, map) != NULL || map->type != MMDB_MAP))
        wrong = "it is no map";
    return wrong == NULL
               ? SL_OK
               : sl_error_set(error, SL_ECORRUPT, "damaged in the metadata: %s", wrong);
}

static sl_status read_metadata(sl_geoip *db, const section *s, sl_error *error) {
    value map, type;
    uint64_t nodes = 0, record_bits = 0, ip_version = 0, major = 0;
    sl_status status = check_metadata(s, &map, error);
    if (status != SL_OK)
        return status;
    if (!number(s, &map, "binary_format_major_version", &major))
        return sl_error_set(error, SL_ECORRUPT,
                            "damaged in the metadata: no binary_format_major_version");
    if (major != 2)
        return sl_error_set(error, SL_EUNSUPPORTED, "format version %llu; 2 is known",
                            (unsigned long long)major);
    if (!number(s, &map, "node_count", &nodes) ||
        !number(s, &map, "record_size", &record_bits) ||
        !number(s, &map, "ip_version", &ip_version) ||
        !sl_geoip_member(s, &map, "database_type", &type) || type.type != MMDB_STRING ||
        nodes == 0 || nodes > UINT32_MAX / 2 ||
        (record_bits != 24 && record_bits != 28 && record_bits != 32) ||
        (ip_version != 4 && ip_version != 6))
        return sl_error_set(error, SL_ECORRUPT,
                            "damaged in the metadata: node_count, record_size, "
                            "ip_version or database_type");
    db->nodes = (uint32_t)nodes;
    db->record_bits = (uint32_t)record_bits;
    db->ip_version = (unsigned)ip_version;
    number(s, &map, "build_epoch", &db->built_s);
    db->type = sl_strndup((const char *)s->bytes + type.at, type.size);
    return db->type != NULL ? SL_OK : sl_error_set(error, SL_ENOMEM, "out of memory");
}

static sl_status lay_out(sl_geoip *db, sl_error *error) {
    size_t at;
    if (db->length > SL_GEOIP_FILE_BYTES_MAX)
        return sl_error_set(error, SL_ECORRUPT, "larger than 2 GiB");
    if (!find_marker(db->file, db->length, &at))
        return sl_error_set(error, SL_ECORRUPT,
                            "not a MaxMind DB, or cut off: it has no metadata");
    section metadata = {.bytes = db->file + at + MARKER_BYTES,
                        .length = (uint32_t)(db->length - at - MARKER_BYTES)};
    sl_status status = read_metadata(db, &metadata, error);
    if (status != SL_OK)
        return status;
    uint64_t tree = (uint64_t)db->nodes * (db->record_bits / 4);
    if (tree + SEPARATOR_BYTES > at)
        return damaged(error, at, "the tree is longer than the file");
    for (size_t i = (size_t)tree; i < tree + SEPARATOR_BYTES; i++)
        if (db->file[i] != 0)
            return damaged(error, i, "no zeros between tree and data");
    db->data.bytes = db->file + tree + SEPARATOR_BYTES;
    db->data.length = (uint32_t)(at - tree - SEPARATOR_BYTES);
    return SL_OK;
}

// A new file of the same kind should make the same columns, even if none of its records
// has one of the parts.
static uint32_t parts_of_type(const char *type) {
    const uint32_t in_country = 1u << SL_GEOIP_COUNTRY_ISO | 1u << SL_GEOIP_COUNTRY;
    const uint32_t in_city = in_country | 1u << SL_GEOIP_REGION | 1u << SL_GEOIP_CITY |
                             1u << SL_GEOIP_LATITUDE | 1u << SL_GEOIP_LONGITUDE |
                             1u << SL_GEOIP_TIMEZONE;
    const uint32_t in_asn = 1u << SL_GEOIP_ASN | 1u << SL_GEOIP_AS_ORG;
    if (strstr(type, "City") != NULL || strstr(type, "Enterprise") != NULL)
        return in_city;
    if (strstr(type, "Country") != NULL)
        return in_country;
    return strstr(type, "ASN") != NULL || strstr(type, "ISP") != NULL ? in_asn : 0;
}

// ---- Life
// -----------------------------------------------------------------------------------------------

static void destroy(sl_geoip *db) {
    sl_budget_give(db->budget, sl_geoip_memory(db));
    sl_free(db->file);
    sl_free(db->ipv4);
    sl_free(db->type);
    sl_free(db->language);
    sl_free(db);
}

static sl_status build(sl_geoip *db, sl_error *error) {
    sl_status status = lay_out(db, error);
    if (status == SL_OK)
        status = check_all(db, error);
    if (status == SL_OK)
        status = check_tree(db, error);
    if (status == SL_OK && !fill_ipv4(db))
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    return status;
}

sl_status sl_geoip_load(uint8_t *file, size_t length, const char *language,
                        sl_geoip **out, sl_error *error) {
    *out = NULL;
    sl_geoip *db = sl_calloc(1, sizeof *db);
    if (db == NULL)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    atomic_init(&db->references, 1);
    db->file = file;
    db->length = length;
    db->language = sl_strdup(language != NULL ? language : "en");
    sl_status status = db->language != NULL
                           ? build(db, error)
                           : sl_error_set(error, SL_ENOMEM, "out of memory");
    if (status != SL_OK) {
        db->file = NULL; // Still the caller's.
        destroy(db);
        return status;
    }
    db->parts |= parts_of_type(db->type);
    db->version = sl_hash128_of(file, length);
    *out = db;
    return SL_OK;
}

// A shared database is const to everybody; only its reference count changes, here.
static sl_geoip *shared(const sl_geoip *database) {
    union {
        const sl_geoip *in;
        sl_geoip *out;
    } cast = {.in = database};
    return cast.out;
}

sl_geoip *sl_geoip_ref(const sl_geoip *database) {
    sl_geoip *mine = shared(database);
    // Relaxed: whoever hands out a reference holds one, so the count can't reach 0
    // meanwhile.
    atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return mine;
}

void sl_geoip_unref(sl_geoip *database) {
    // Acquire and release: what others did with the database is done before it is freed
    // here.
    if (database != NULL &&
        atomic_fetch_sub_explicit(&database->references, 1, memory_order_acq_rel) == 1)
        destroy(database);
}

sl_status sl_geoip_charge(sl_geoip *database, sl_budget *budget) {
    if (database->budget != NULL)
        return SL_OK;
    if (sl_budget_take(budget, sl_geoip_memory(database)) != SL_OK)
        return SL_EFULL;
    database->budget = budget;
    return SL_OK;
}

const char *sl_geoip_type(const sl_geoip *database) { return database->type; }
int64_t sl_geoip_built_us(const sl_geoip *database) {
    return database->built_s > INT64_MAX / SL_SECOND_US
               ? SL_NO_TIME
               : (int64_t)database->built_s * SL_SECOND_US;
}
sl_hash128 sl_geoip_version(const sl_geoip *database) { return database->version; }
uint32_t sl_geoip_parts(const sl_geoip *database) { return database->parts; }
size_t sl_geoip_memory(const sl_geoip *database) {
    return sizeof *database + database->length +
           (UINT32_C(1) << IPV4_BITS) * sizeof *database->ipv4;
}
