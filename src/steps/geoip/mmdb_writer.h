/** @file mmdb_writer.h
 * Writes small MaxMind DB files, for tests: values into the data section, networks into
 * the tree.
 */
#pragma once

#include "internal.h"

#define WRITER_NODES_MAX 4096u

typedef struct mmdb_writer {
    uint32_t left_right[WRITER_NODES_MAX]
                       [2]; /**< 0: nothing; odd: node * 2 + 1; even: (offset + 1) * 2. */
    uint32_t nodes;
    unsigned record_bits, ip_version;
    sl_buffer data;
} mmdb_writer;

static inline void mmdb_begin(mmdb_writer *w, unsigned record_bits, unsigned ip_version) {
    memset(w, 0, sizeof *w);
    w->nodes = 1;
    w->record_bits = record_bits;
    w->ip_version = ip_version;
}

static inline void mmdb_control(sl_buffer *out, unsigned type, uint32_t size) {
    uint8_t low = size < 29 ? (uint8_t)size : size < 285 ? 29 : size < 65821 ? 30 : 31;
    sl_buffer_byte(out, (uint8_t)((type < 8 ? type << 5 : 0) | low));
    if (type >= 8)
        sl_buffer_byte(out, (uint8_t)(type - 7));
    if (low == 29)
        sl_buffer_byte(out, (uint8_t)(size - 29));
    if (low == 30) {
        sl_buffer_byte(out, (uint8_t)((size - 285) >> 8));
        sl_buffer_byte(out, (uint8_t)(size - 285));
    }
}

static inline void mmdb_string(sl_buffer *out, const char *text) {
    mmdb_control(out, MMDB_STRING, (uint32_t)strlen(text));
    sl_buffer_append(out, text, strlen(text));
}

static inline void mmdb_uint(sl_buffer *out, unsigned type, uint64_t number) {
    unsigned bytes = 0;
    while (bytes < 8 && number >> (8 * bytes) != 0)
        bytes++;
    mmdb_control(out, type, bytes);
    while (bytes-- > 0)
        sl_buffer_byte(out, (uint8_t)(number >> (8 * bytes)));
}

static inline void mmdb_double(sl_buffer *out, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    mmdb_control(out, MMDB_DOUBLE, 8);
    for (unsigned i = 8; i-- > 0;)
        sl_buffer_byte(out, (uint8_t)(bits >> (8 * i)));
}

/** A pointer of 4 bytes more. */
static inline void mmdb_pointer(sl_buffer *out, uint32_t target) {
    sl_buffer_byte(out, MMDB_POINTER << 5 | 3 << 3);
    for (unsigned i = 4; i-- > 0;)
        sl_buffer_byte(out, (uint8_t)(target >> (8 * i)));
}

/** A network of `prefix` bits leads to `offset`; networks must not enclose each other. */
static inline void mmdb_network(mmdb_writer *w, const uint8_t *address, unsigned prefix,
                                uint32_t offset) {
    uint32_t node = 0;
    for (unsigned bit = 0; bit < prefix; bit++) {
        uint32_t *record = &w->left_right[node][address[bit / 8] >> (7 - bit % 8) & 1];
        if (bit + 1 == prefix) {
            *record = (offset + 1) * 2;
        } else {
            if (*record == 0)
                *record = w->nodes++ * 2 + 1;
            node = *record / 2;
        }
    }
}

static inline uint32_t mmdb_record(const mmdb_writer *w, uint32_t mark) {
    return mark == 0 ? w->nodes : (mark & 1) ? mark / 2 : w->nodes + 16 + mark / 2 - 1;
}

static inline void mmdb_tree(const mmdb_writer *w, sl_buffer *out) {
    for (uint32_t i = 0; i < w->nodes; i++) {
        uint32_t left = mmdb_record(w, w->left_right[i][0]),
                 right = mmdb_record(w, w->left_right[i][1]);
        if (w->record_bits == 32)
            sl_buffer_byte(out, (uint8_t)(left >> 24));
        for (unsigned b = 3; b-- > 0;)
            sl_buffer_byte(out, (uint8_t)(left >> (8 * b)));
        if (w->record_bits == 28)
            sl_buffer_byte(out, (uint8_t)((left >> 24) << 4 | right >> 24));
        if (w->record_bits == 32)
            sl_buffer_byte(out, (uint8_t)(right >> 24));
        for (unsigned b = 3; b-- > 0;)
            sl_buffer_byte(out, (uint8_t)(right >> (8 * b)));
    }
}

/** The file, from sl_malloc(); the writer is done with. */
static inline uint8_t *mmdb_finish(mmdb_writer *w, const char *type, size_t *length) {
    sl_buffer out = SL_BUFFER_EMPTY;
    mmdb_tree(w, &out);
    static const uint8_t zeros[16] = {0};
    sl_buffer_append(&out, zeros, sizeof zeros);
    sl_buffer_append(&out, w->data.bytes, w->data.length);
    sl_buffer_text(&out, "\xAB\xCD\xEF"
                         "MaxMind.com");
    mmdb_control(&out, MMDB_MAP, 6);
    mmdb_string(&out, "node_count");
    mmdb_uint(&out, MMDB_UINT32, w->nodes);
    mmdb_string(&out, "record_size");
    mmdb_uint(&out, MMDB_UINT16, w->record_bits);
    mmdb_string(&out, "ip_version");
    mmdb_uint(&out, MMDB_UINT16, w->ip_version);
    mmdb_string(&out, "binary_format_major_version");
    mmdb_uint(&out, MMDB_UINT16, 2);
    mmdb_string(&out, "build_epoch");
    mmdb_uint(&out, MMDB_UINT64, 1700000000);
    mmdb_string(&out, "database_type");
    mmdb_string(&out, type);
    sl_buffer_fini(&w->data);
    *length = out.length;
    return out.bytes;
}

/** A record of a city database with everything in it; the country is at a pointer.
 * @return its offset. */
static inline uint32_t mmdb_city(mmdb_writer *w, const char *city, double latitude) {
    sl_buffer *d = &w->data;
    uint32_t country = (uint32_t)d->length;
    mmdb_control(d, MMDB_MAP, 2);
    mmdb_string(d, "iso_code");
    mmdb_string(d, "DE");
    mmdb_string(d, "names");
    mmdb_control(d, MMDB_MAP, 2);
    mmdb_string(d, "de");
    mmdb_string(d, "Deutschland");
    mmdb_string(d, "en");
    mmdb_string(d, "Germany");
    uint32_t at = (uint32_t)d->length;
    mmdb_control(d, MMDB_MAP, 4);
    mmdb_string(d, "city");
    mmdb_control(d, MMDB_MAP, 1);
    mmdb_string(d, "names");
    mmdb_control(d, MMDB_MAP, 1);
    mmdb_string(d, "en");
    mmdb_string(d, city);
    mmdb_string(d, "country");
    mmdb_pointer(d, country);
    mmdb_string(d, "location");
    mmdb_control(d, MMDB_MAP, 3);
    mmdb_string(d, "latitude");
    mmdb_double(d, latitude);
    mmdb_string(d, "longitude");
    mmdb_double(d, 13.5);
    mmdb_string(d, "time_zone");
    mmdb_string(d, "Europe/Berlin");
    mmdb_string(d, "subdivisions");
    mmdb_control(d, MMDB_ARRAY, 1);
    mmdb_control(d, MMDB_MAP, 1);
    mmdb_string(d, "names");
    mmdb_control(d, MMDB_MAP, 1);
    mmdb_string(d, "en");
    mmdb_string(d, "Land Berlin");
    return at;
}
