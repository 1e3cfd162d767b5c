#include "reader.h"
#include "format.h"

#include "sluice/parquet.h"

#define TAIL_BYTES 8u /* Length of the footer, magic. */

sl_status sl_parquet_find_footer(const uint8_t *tail, size_t length, size_t *needed,
                                 sl_thrift_reader *footer, sl_error *error) {
    *needed = TAIL_BYTES;
    if (length < TAIL_BYTES)
        return sl_error_set(error, SL_EFULL, "a Parquet file's last 8 bytes are needed");
    const uint8_t *end = tail + length - TAIL_BYTES;
    if (!memcmp(end + 4, "PARE", 4))
        return sl_error_set(error, SL_EUNSUPPORTED, "the footer is encrypted");
    if (memcmp(end + 4, SL_PARQUET_MAGIC, 4) != 0)
        return sl_error_set(error, SL_ECORRUPT, "no Parquet file: it does not end with PAR1");
    size_t size =
        (size_t)end[0] | (size_t)end[1] << 8 | (size_t)end[2] << 16 | (size_t)end[3] << 24;
    if (size == 0)
        return sl_error_set(error, SL_ECORRUPT, "the footer is empty");
    *needed = size + TAIL_BYTES;
    if (size > length - TAIL_BYTES)
        return sl_error_set(error, SL_EFULL, "the footer takes %zu bytes", size);
    *footer = (sl_thrift_reader){.at = end - size, .end = end};
    return SL_OK;
}

static sl_thrift_reader list_of(sl_thrift_reader *reader, uint8_t type, uint8_t wanted,
                                uint32_t *count) {
    uint8_t element = 0;
    sl_thrift_reader whole = *reader;
    *count = sl_thrift_list_head(&whole, type, &element);
    if (*count && element != wanted)
        whole.failed = true;
    sl_thrift_skip(reader, type, false);
    reader->failed |= whole.failed;
    return whole;
}

sl_status sl_parquet_read_layout(sl_thrift_reader r, sl_parquet_layout *out, sl_error *error) {
    *out = (sl_parquet_layout){0};
    int16_t id = 0;
    uint8_t type;
    bool schema = false;
    while ((type = sl_thrift_field(&r, &id)) != THRIFT_STOP) {
        if (id == 1) {
            out->version = sl_thrift_integer(&r, type);
        } else if (id == 2) {
            out->schema = list_of(&r, type, THRIFT_STRUCT, &out->schema_count);
            schema = true;
        } else if (id == 3) {
            out->rows = sl_thrift_integer(&r, type);
        } else if (id == 4) {
            out->groups = list_of(&r, type, THRIFT_STRUCT, &out->group_count);
        } else if (id == 5) {
            out->pairs = list_of(&r, type, THRIFT_STRUCT, &out->pair_count);
        } else if (id == 6) {
            out->created_by = sl_thrift_text_of(&r, type);
        } else {
            sl_thrift_skip(&r, type, false);
        }
    }
    if (r.failed || !schema || out->rows < 0)
        return sl_error_set(error, SL_ECORRUPT, "the footer is damaged");
    return SL_OK;
}

static int16_t read_union(sl_thrift_reader *r, uint8_t type) {
    int16_t id = 0, member = 0;
    if (type != THRIFT_STRUCT) {
        r->failed = true;
        return 0;
    }
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        member = id;
        sl_thrift_skip(r, type, false);
    }
    return member;
}

void sl_parquet_read_element(sl_thrift_reader *r, sl_parquet_element *out) {
    *out = (sl_parquet_element){0};
    int16_t id = 0;
    uint8_t type;
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        switch (id) {
        case 1:
            out->type = sl_thrift_integer(r, type);
            out->has_type = true;
            break;
        case 2:
            out->type_length = sl_thrift_integer(r, type);
            break;
        case 3:
            out->repetition = sl_thrift_integer(r, type);
            break;
        case 4:
            out->name = sl_thrift_text_of(r, type);
            break;
        case 5:
            out->children = sl_thrift_integer(r, type);
            out->has_children = true;
            break;
        case 6:
            out->converted = sl_thrift_integer(r, type);
            out->has_converted = true;
            break;
        case 7:
            out->scale = sl_thrift_integer(r, type);
            break;
        case 8:
            out->precision = sl_thrift_integer(r, type);
            break;
        case 10:
            out->logical = read_union(r, type);
            break;
        default:
            sl_thrift_skip(r, type, false);
        }
    }
}

void sl_parquet_read_group(sl_thrift_reader *r, sl_parquet_group *out) {
    *out = (sl_parquet_group){0};
    int16_t id = 0;
    uint8_t type;
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        if (id == 1)
            out->columns = list_of(r, type, THRIFT_STRUCT, &out->column_count);
        else if (id == 2)
            out->bytes = sl_thrift_integer(r, type);
        else if (id == 3)
            out->rows = sl_thrift_integer(r, type);
        else
            sl_thrift_skip(r, type, false);
    }
}

static void read_bounds(sl_thrift_reader *r, uint8_t type, sl_parquet_bounds *out) {
    int16_t id = 0;
    if (type != THRIFT_STRUCT)
        r->failed = true;
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        if (id == 3) {
            out->nulls = sl_thrift_integer(r, type);
            out->has_nulls = true;
        } else if (id == 5) {
            out->high = sl_thrift_text_of(r, type);
            out->has_high = true;
        } else if (id == 6) {
            out->low = sl_thrift_text_of(r, type);
            out->has_low = true;
        } else {
            out->high_cut |= id == 7 && type == THRIFT_FALSE;
            out->low_cut |= id == 8 && type == THRIFT_FALSE;
            sl_thrift_skip(r, type, false);
        }
    }
}

static uint32_t read_encodings(sl_thrift_reader *r, uint8_t type) {
    uint8_t element = 0;
    uint32_t set = 0, count = sl_thrift_list_head(r, type, &element);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        int64_t encoding = sl_thrift_integer(r, element);
        if (encoding >= 0 && encoding < 32)
            set |= UINT32_C(1) << encoding;
    }
    return set;
}

static void read_meta(sl_thrift_reader *r, uint8_t type, sl_parquet_column *out) {
    int16_t id = 0;
    if (type != THRIFT_STRUCT)
        r->failed = true;
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        switch (id) {
        case 1:
            out->type = sl_thrift_integer(r, type);
            break;
        case 2:
            out->encodings = read_encodings(r, type);
            break;
        case 3:
            out->path = list_of(r, type, THRIFT_BINARY, &out->path_count);
            break;
        case 4:
            out->codec = sl_thrift_integer(r, type);
            break;
        case 5:
            out->values = sl_thrift_integer(r, type);
            break;
        case 6:
            out->plain_bytes = sl_thrift_integer(r, type);
            break;
        case 7:
            out->packed_bytes = sl_thrift_integer(r, type);
            break;
        case 9:
            out->data_offset = sl_thrift_integer(r, type);
            break;
        case 11:
            out->dictionary_offset = sl_thrift_integer(r, type);
            out->has_dictionary = true;
            break;
        case 12:
            read_bounds(r, type, &out->bounds);
            break;
        default:
            sl_thrift_skip(r, type, false);
        }
    }
}

void sl_parquet_read_column(sl_thrift_reader *r, sl_parquet_column *out) {
    *out = (sl_parquet_column){0};
    int16_t id = 0;
    uint8_t type;
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        if (id == 3)
            read_meta(r, type, out);
        else
            sl_thrift_skip(r, type, false);
    }
}

void sl_parquet_read_pair(sl_thrift_reader *r, sl_thrift_text *key, sl_thrift_text *value) {
    *key = *value = (sl_thrift_text){0};
    int16_t id = 0;
    uint8_t type;
    while ((type = sl_thrift_field(r, &id)) != THRIFT_STOP) {
        if (id == 1)
            *key = sl_thrift_text_of(r, type);
        else if (id == 2)
            *value = sl_thrift_text_of(r, type);
        else
            sl_thrift_skip(r, type, false);
    }
}

static char *text_copy(sl_thrift_text text) {
    static const char nothing[1] = "";
    return sl_strndup(text.length ? (const char *)text.bytes : nothing, text.length);
}

static sl_status copy_pairs(const sl_parquet_layout *layout, sl_parquet_footer *out, sl_error *error) {
    sl_thrift_reader r = layout->pairs;
    out->metadata = sl_calloc(layout->pair_count + 1u, sizeof *out->metadata);
    if (!out->metadata)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < layout->pair_count; i++) {
        sl_thrift_text key, value;
        sl_parquet_read_pair(&r, &key, &value);
        if (r.failed)
            return sl_error_set(error, SL_ECORRUPT, "the footer's metadata is damaged");
        sl_parquet_pair *pair = &out->metadata[out->metadata_count++];
        pair->key = text_copy(key);
        pair->value = text_copy(value);
        if (!pair->key || !pair->value)
            return sl_error_set(error, SL_ENOMEM, "out of memory");
    }
    return SL_OK;
}

sl_status sl_parquet_read_footer(const uint8_t *tail, size_t length, size_t *needed,
                                 sl_parquet_footer *out, sl_error *error) {
    *out = (sl_parquet_footer){0};
    sl_thrift_reader footer = {0};
    sl_parquet_layout layout;
    sl_status status = sl_parquet_find_footer(tail, length, needed, &footer, error);
    if (!status)
        status = sl_parquet_read_layout(footer, &layout, error);
    if (status)
        return status;
    out->rows = (uint64_t)layout.rows;
    status = copy_pairs(&layout, out, error);
    if (status)
        sl_parquet_footer_fini(out);
    return status;
}

void sl_parquet_footer_fini(sl_parquet_footer *footer) {
    for (size_t i = 0; i < footer->metadata_count; i++) {
        // The pairs' texts are const for the caller; here they go back to the allocator.
        union {
            const char *text;
            void *block;
        } key = {footer->metadata[i].key}, value = {footer->metadata[i].value};
        sl_free(key.block);
        sl_free(value.block);
    }
    sl_free(footer->metadata);
    *footer = (sl_parquet_footer){0};
}
