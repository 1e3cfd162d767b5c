// Reading values of the data section, and checking them.

#include "internal.h"

#include "sluice/utf8.h"

#include <math.h>

#define DEPTH_MAX 64u

static const char cut_off[] = "a value is cut off";

static uint64_t big_endian(const uint8_t *p, unsigned bytes) {
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | p[i];
    return number;
}

// Section "Data Field Format": sizes from 29 on continue in 1 to 3 bytes.
static const char *read_size(const section *s, uint32_t *at, uint32_t *size) {
    static const uint32_t base[] = {29, 285, 65821};
    if (*size < 29)
        return NULL;
    unsigned bytes = *size - 28;
    if (s->length - *at < bytes)
        return cut_off;
    *size = base[bytes - 1] + (uint32_t)big_endian(s->bytes + *at, bytes);
    *at += bytes;
    return NULL;
}

static const char *read_pointer(const section *s, uint32_t *at, uint32_t bits,
                                uint32_t *target) {
    static const uint32_t base[] = {0, 2048, 526336, 0};
    unsigned bytes = (bits >> 3) + 1;
    if (s->length - *at < bytes)
        return cut_off;
    uint64_t number = big_endian(s->bytes + *at, bytes);
    if (bytes < 4)
        number |= (uint64_t)(bits & 7) << (8 * bytes);
    number += base[bytes - 1];
    *at += bytes;
    if (number >= s->length)
        return "a pointer leads out of the data";
    *target = (uint32_t)number;
    return NULL;
}

// The payload's length belongs to the type; what is too long or can't be is damage.
static const char *payload(const section *s, value *out) {
    static const uint8_t longest[MMDB_TYPES] = {
        [MMDB_DOUBLE] = 8, [MMDB_UINT16] = 2,   [MMDB_UINT32] = 4, [MMDB_INT32] = 4,
        [MMDB_UINT64] = 8, [MMDB_UINT128] = 16, [MMDB_FLOAT] = 4};
    out->behind = out->at;
    switch (out->type) {
    case MMDB_MAP:
    case MMDB_ARRAY:
        return NULL;
    case MMDB_BOOLEAN:
        return out->size > 1 ? "a boolean is neither 0 nor 1" : NULL;
    case MMDB_DOUBLE:
    case MMDB_FLOAT:
        if (out->size != longest[out->type])
            return "a floating point number has a wrong size";
        break;
    case MMDB_UINT16:
    case MMDB_UINT32:
    case MMDB_INT32:
    case MMDB_UINT64:
    case MMDB_UINT128:
        if (out->size > longest[out->type])
            return "an integer is too long";
        break;
    case MMDB_STRING:
    case MMDB_BYTES:
        break;
    default:
        return "a value has an unknown type";
    }
    if (out->size > s->length - out->at)
        return cut_off;
    out->behind = out->at + out->size;
    return NULL;
}

static const char *control(const section *s, uint32_t *at, unsigned *type,
                           uint32_t *size) {
    if (*at >= s->length)
        return cut_off;
    uint8_t byte = s->bytes[(*at)++];
    *type = byte >> 5;
    *size = byte & 31;
    if (*type != 0)
        return NULL;
    if (*at >= s->length)
        return cut_off;
    *type = 7u + s->bytes[(*at)++];
    return NULL;
}

const char *sl_geoip_value(const section *s, uint32_t at, value *out) {
    *out = (value){0};
    uint32_t size = 0, after_pointer = 0;
    const char *wrong = control(s, &at, &out->type, &size);
    if (wrong == NULL && out->type == MMDB_POINTER) {
        uint32_t target = 0;
        if ((wrong = read_pointer(s, &at, size, &target)) != NULL)
            return wrong;
        after_pointer = at;
        at = target;
        out->pointed = true;
        wrong = control(s, &at, &out->type, &size);
        if (wrong == NULL && out->type == MMDB_POINTER)
            return "a pointer leads to a pointer";
    }
    if (wrong == NULL)
        wrong = read_size(s, &at, &size);
    if (wrong != NULL)
        return wrong;
    out->size = size;
    out->at = at;
    wrong = payload(s, out);
    if (out->pointed)
        out->behind = after_pointer;
    return wrong;
}

bool sl_geoip_skip(const section *s, uint32_t at, uint32_t *behind) {
    // Pointers aren't followed, so this ends: each value takes a byte at least.
    for (uint64_t left = 1; left != 0; left--) {
        value v;
        if (sl_geoip_value(s, at, &v) != NULL)
            return false;
        at = v.behind;
        if (!v.pointed && (v.type == MMDB_MAP || v.type == MMDB_ARRAY))
            left += v.type == MMDB_MAP ? 2 * (uint64_t)v.size : v.size;
    }
    *behind = at;
    return true;
}

// ---- Finding
// -----------------------------------------------------------------------------------------

bool sl_geoip_member(const section *s, const value *map, const char *key, value *out) {
    if (map->type != MMDB_MAP)
        return false;
    size_t length = strlen(key);
    uint32_t at = map->at;
    for (uint32_t i = 0; i < map->size; i++) {
        value name;
        if (sl_geoip_value(s, at, &name) != NULL || name.type != MMDB_STRING)
            return false;
        if (name.size == length && memcmp(s->bytes + name.at, key, length) == 0)
            return sl_geoip_value(s, name.behind, out) == NULL;
        if (!sl_geoip_skip(s, name.behind, &at))
            return false;
    }
    return false;
}

bool sl_geoip_uint(const section *s, const value *v, uint64_t *out) {
    if (v->type != MMDB_UINT16 && v->type != MMDB_UINT32 && v->type != MMDB_UINT64)
        return false;
    *out = big_endian(s->bytes + v->at, v->size);
    return true;
}

static void put_text(const section *s, const value *v, sl_geoip_part part,
                     sl_geoip_answer *out) {
    if (v->type != MMDB_STRING || v->size == 0)
        return;
    out->present |= UINT32_C(1) << part;
    out->text[part].bytes = (const char *)s->bytes + v->at;
    out->text[part].length = v->size;
}

static void put_number(const section *s, const value *v, sl_geoip_part part,
                       double *number, sl_geoip_answer *out) {
    double read;
    if (v->type == MMDB_DOUBLE) {
        uint64_t bits = big_endian(s->bytes + v->at, 8);
        memcpy(&read, &bits, sizeof read);
    } else if (v->type == MMDB_FLOAT) {
        uint32_t bits = (uint32_t)big_endian(s->bytes + v->at, 4);
        float single;
        memcpy(&single, &bits, sizeof single);
        read = (double)single;
    } else {
        return;
    }
    if (!isfinite(read))
        return;
    out->present |= UINT32_C(1) << part;
    *number = read;
}

static bool is_key(const section *s, const value *name, const char *key) {
    size_t length = strlen(key);
    return name->type == MMDB_STRING && name->size == length &&
           memcmp(s->bytes + name->at, key, length) == 0;
}

static void put_name(const section *s, const value *place, const char *language,
                     sl_geoip_part part, sl_geoip_answer *out) {
    value names, name;
    if (sl_geoip_member(s, place, "names", &names) &&
        sl_geoip_member(s, &names, language, &name))
        put_text(s, &name, part, out);
}

static void country(const section *s, const value *v, const char *language,
                    sl_geoip_answer *out) {
    value iso;
    if (sl_geoip_member(s, v, "iso_code", &iso))
        put_text(s, &iso, SL_GEOIP_COUNTRY_ISO, out);
    put_name(s, v, language, SL_GEOIP_COUNTRY, out);
}

static void location(const section *s, const value *v, sl_geoip_answer *out) {
    value number;
    if (sl_geoip_member(s, v, "latitude", &number))
        put_number(s, &number, SL_GEOIP_LATITUDE, &out->latitude, out);
    if (sl_geoip_member(s, v, "longitude", &number))
        put_number(s, &number, SL_GEOIP_LONGITUDE, &out->longitude, out);
    if (sl_geoip_member(s, v, "time_zone", &number))
        put_text(s, &number, SL_GEOIP_TIMEZONE, out);
}

static void member(const section *s, const value *name, const value *v,
                   const char *language, sl_geoip_answer *out) {
    uint64_t number;
    value first;
    if (is_key(s, name, "country")) {
        country(s, v, language, out);
    } else if (is_key(s, name, "city")) {
        put_name(s, v, language, SL_GEOIP_CITY, out);
    } else if (is_key(s, name, "location")) {
        location(s, v, out);
    } else if (is_key(s, name, "subdivisions")) {
        if (v->type == MMDB_ARRAY && v->size != 0 &&
            sl_geoip_value(s, v->at, &first) == NULL)
            put_name(s, &first, language, SL_GEOIP_REGION, out);
    } else if (is_key(s, name, "autonomous_system_number")) {
        if (sl_geoip_uint(s, v, &number) && number <= INT64_MAX) {
            out->present |= UINT32_C(1) << SL_GEOIP_ASN;
            out->asn = (int64_t)number;
        }
    } else if (is_key(s, name, "autonomous_system_organization")) {
        put_text(s, v, SL_GEOIP_AS_ORG, out);
    }
}

void sl_geoip_record(const section *s, uint32_t at, const char *language,
                     sl_geoip_answer *out) {
    value record;
    if (sl_geoip_value(s, at, &record) != NULL || record.type != MMDB_MAP)
        return;
    uint32_t next = record.at;
    for (uint32_t i = 0; i < record.size; i++) {
        value name, v;
        if (sl_geoip_value(s, next, &name) != NULL ||
            sl_geoip_value(s, name.behind, &v) != NULL)
            return;
        member(s, &name, &v, language, out);
        if (!sl_geoip_skip(s, name.behind, &next))
            return;
    }
}

// ---- Checking
// ----------------------------------------------------------------------------------------

static const char *check_at(checker *c, uint32_t at, unsigned depth, uint32_t *behind);

// What a pointer leads to is checked once, which also ends circles.
static const char *check_target(checker *c, uint32_t at, unsigned depth) {
    uint64_t bit = UINT64_C(1) << (at % 64);
    if (c->seen[at / 64] & bit)
        return NULL;
    c->seen[at / 64] |= bit;
    uint32_t behind;
    return check_at(c, at, depth, &behind);
}

static const char *check_children(checker *c, const value *v, unsigned depth,
                                  uint32_t *behind) {
    uint64_t count = v->type == MMDB_MAP ? 2 * (uint64_t)v->size : v->size;
    uint32_t at = v->at;
    for (uint64_t i = 0; i < count; i++) {
        if (v->type == MMDB_MAP && i % 2 == 0) {
            value name;
            c->wrong_at = at;
            if (sl_geoip_value(&c->section, at, &name) == NULL &&
                name.type != MMDB_STRING)
                return "a map's key is no string";
        }
        const char *wrong = check_at(c, at, depth + 1, &at);
        if (wrong != NULL)
            return wrong;
    }
    *behind = at;
    return NULL;
}

static const char *check_at(checker *c, uint32_t at, unsigned depth, uint32_t *behind) {
    value v;
    c->wrong_at = at;
    if (depth > DEPTH_MAX)
        return "values are nested too deeply";
    if (c->left == 0)
        return "values overlap each other";
    c->left--;
    const char *wrong = sl_geoip_value(&c->section, at, &v);
    if (wrong != NULL)
        return wrong;
    *behind = v.behind;
    if (v.pointed) {
        uint32_t begin = at + 1, target = 0; // Read again for the target's own beginning.
        wrong = read_pointer(&c->section, &begin, c->section.bytes[at] & 31, &target);
        return wrong != NULL ? wrong : check_target(c, target, depth + 1);
    }
    if (v.type == MMDB_STRING && sl_utf8_valid(c->section.bytes + v.at, v.size) != v.size)
        return "a string isn't UTF-8";
    if (v.type == MMDB_MAP || v.type == MMDB_ARRAY)
        return check_children(c, &v, depth, behind);
    return NULL;
}

const char *sl_geoip_check(checker *c, uint32_t at) { return check_target(c, at, 0); }
