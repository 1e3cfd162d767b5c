// Prints what a footer says, for people or as JSON. What a damaged file claims is printed as it claims it;
// only what can't be read stops the print.

#include "format.h"
#include "reader.h"

#include "sluice/parquet.h"

#include <inttypes.h>

#define DEPTH_MAX 128u
#define BOUND_BYTES_SHOWN 48u

static const char *name_in(const char *const *names, size_t count, int64_t value) {
    return value >= 0 && (uint64_t)value < count && names[value] ? names[value] : "?";
}
#define NAME_IN(names, value) name_in(names, sizeof names / sizeof names[0], value)

static const char *const type_names[] = {"boolean", "int32",  "int64",      "int96",
                                         "float",   "double", "byte_array", "fixed"};
static const char *const codec_names[] = {"none", "snappy", "gzip", "lzo",
                                          "brotli", "lz4", "zstd", "lz4_raw"};
static const char *const encoding_names[] = {"plain",
                                             NULL,
                                             "plain_dictionary",
                                             "rle",
                                             "bit_packed",
                                             "delta_binary_packed",
                                             "delta_length_byte_array",
                                             "delta_byte_array",
                                             "rle_dictionary",
                                             "byte_stream_split"};
static const char *const repetition_names[] = {"required", "optional", "repeated"};
static const char *const converted_names[] = {
    "utf8",         "map",          "map_key_value",    "list",    "enum",    "decimal",
    "date",         "time_millis",  "time_micros",      "timestamp_millis", "timestamp_micros",
    "uint8",        "uint16",       "uint32",           "uint64",  "int8",    "int16",
    "int32",        "int64",        "json",             "bson",    "interval"};
static const char *const logical_names[] = {NULL,   "string", "map",     "list",      "enum", "decimal",
                                            "date", "time",   "timestamp", NULL,      "integer",
                                            "null", "json",   "bson",    "uuid",      "float16",
                                            "variant", "geometry", "geography"};

typedef struct printer {
    sl_buffer *out;
    bool json;
    sl_error *error;
} printer;

static sl_status damaged(const printer *p, const char *part) {
    return sl_error_set(p->error, SL_ECORRUPT, "the footer's %s is damaged", part);
}

static void quoted(const printer *p, sl_thrift_text text) {
    sl_buffer_json_string(p->out, text.length ? (const char *)text.bytes : "", text.length);
}

static const char *meaning(const sl_parquet_element *e) {
    if (e->logical)
        return NAME_IN(logical_names, e->logical);
    return e->has_converted ? NAME_IN(converted_names, e->converted) : NULL;
}

static void print_element(const printer *p, const sl_parquet_element *e, size_t depth) {
    const char *means = meaning(e);
    const char *type = e->has_type ? NAME_IN(type_names, e->type) : "group";
    if (p->json) {
        sl_buffer_text(p->out, "{\"name\":");
        quoted(p, e->name);
        sl_buffer_printf(p->out, ",\"depth\":%zu,\"repetition\":\"%s\",\"type\":\"%s\"", depth,
                         NAME_IN(repetition_names, e->repetition), type);
        if (means)
            sl_buffer_printf(p->out, ",\"meaning\":\"%s\"", means);
        if (e->precision)
            sl_buffer_printf(p->out, ",\"precision\":%" PRId64 ",\"scale\":%" PRId64, e->precision,
                             e->scale);
        sl_buffer_text(p->out, "}");
        return;
    }
    sl_buffer_printf(p->out, "%*s", (int)(2 * depth), "");
    quoted(p, e->name);
    sl_buffer_printf(p->out, " %s %s", NAME_IN(repetition_names, e->repetition), type);
    if (e->type_length)
        sl_buffer_printf(p->out, "(%" PRId64 ")", e->type_length);
    if (means)
        sl_buffer_printf(p->out, " %s", means);
    if (e->precision)
        sl_buffer_printf(p->out, "(%" PRId64 ",%" PRId64 ")", e->precision, e->scale);
    sl_buffer_text(p->out, "\n");
}

/** The flat list of elements is a tree in depth-first order; `left` counts the children to come. */
static sl_status print_schema(const printer *p, const sl_parquet_layout *layout) {
    sl_thrift_reader r = layout->schema;
    int64_t left[DEPTH_MAX];
    size_t depth = 0;
    sl_buffer_text(p->out, p->json ? ",\"schema\":[" : "schema\n");
    for (uint32_t i = 0; i < layout->schema_count; i++) {
        sl_parquet_element e;
        sl_parquet_read_element(&r, &e);
        while (depth && left[depth - 1] == 0)
            depth--;
        if (r.failed || e.children < 0 || depth == DEPTH_MAX)
            return damaged(p, "schema");
        if (depth)
            left[depth - 1]--;
        if (p->json && i)
            sl_buffer_text(p->out, ",");
        print_element(p, &e, depth + !p->json);
        if (e.children)
            left[depth++] = e.children;
    }
    if (p->json)
        sl_buffer_text(p->out, "]");
    return SL_OK;
}

static bool is_text(sl_thrift_text value) {
    for (size_t i = 0; i < value.length; i++)
        if (value.bytes[i] < 0x20 || value.bytes[i] == 0x7f)
            return false;
    return true;
}

static void print_bound(const printer *p, int64_t type, sl_thrift_text value) {
    int32_t narrow;
    int64_t wide;
    double real;
    float small;
    if (type == PHYSICAL_BOOLEAN && value.length == 1) {
        sl_buffer_text(p->out, value.bytes[0] ? "true" : "false");
    } else if (type == PHYSICAL_INT32 && value.length == 4) {
        memcpy(&narrow, value.bytes, 4);
        sl_buffer_printf(p->out, "%" PRId32, narrow);
    } else if (type == PHYSICAL_INT64 && value.length == 8) {
        memcpy(&wide, value.bytes, 8);
        sl_buffer_printf(p->out, "%" PRId64, wide);
    } else if (type == PHYSICAL_DOUBLE && value.length == 8) {
        memcpy(&real, value.bytes, 8);
        // JSON has no NaN and no infinity.
        sl_buffer_printf(p->out, real - real == 0 ? "%.17g" : "\"%f\"", real);
    } else if (type == 4 && value.length == 4) {
        memcpy(&small, value.bytes, 4);
        sl_buffer_printf(p->out, small - small == 0 ? "%.9g" : "\"%f\"", (double)small);
    } else if (type == PHYSICAL_BYTE_ARRAY && is_text(value)) {
        if (value.length > BOUND_BYTES_SHOWN)
            value.length = BOUND_BYTES_SHOWN;
        quoted(p, value);
    } else {
        sl_buffer_text(p->out, "\"0x");
        for (size_t i = 0; i < value.length && i < BOUND_BYTES_SHOWN; i++)
            sl_buffer_printf(p->out, "%02x", value.bytes[i]);
        sl_buffer_text(p->out, "\"");
    }
}

static void print_bounds(const printer *p, const sl_parquet_column *c) {
    const sl_parquet_bounds *b = &c->bounds;
    if (b->has_nulls)
        sl_buffer_printf(p->out, p->json ? ",\"nulls\":%" PRId64 : " nulls %" PRId64, b->nulls);
    if (b->has_low) {
        sl_buffer_text(p->out, p->json ? ",\"min\":" : " min ");
        print_bound(p, c->type, b->low);
        if (b->low_cut)
            sl_buffer_text(p->out, p->json ? ",\"min_exact\":false" : " (cut)");
    }
    if (b->has_high) {
        sl_buffer_text(p->out, p->json ? ",\"max\":" : " max ");
        print_bound(p, c->type, b->high);
        if (b->high_cut)
            sl_buffer_text(p->out, p->json ? ",\"max_exact\":false" : " (cut)");
    }
}

static sl_status print_path(const printer *p, const sl_parquet_column *c) {
    sl_thrift_reader r = c->path;
    sl_buffer path = SL_BUFFER_EMPTY;
    for (uint32_t i = 0; i < c->path_count; i++) {
        sl_thrift_text part = sl_thrift_text_of(&r, THRIFT_BINARY);
        if (i)
            sl_buffer_byte(&path, '.');
        if (part.length)
            sl_buffer_append(&path, part.bytes, part.length);
    }
    quoted(p, (sl_thrift_text){path.bytes, path.length});
    p->out->failed |= path.failed;
    sl_buffer_fini(&path);
    return r.failed ? damaged(p, "column path") : SL_OK;
}

static void print_encodings(const printer *p, uint32_t set) {
    bool first = true;
    for (unsigned i = 0; i < 32; i++) {
        if (!(set >> i & 1))
            continue;
        sl_buffer_printf(p->out, p->json ? "%s\"%s\"" : "%s%s", first ? "" : ",",
                         NAME_IN(encoding_names, (int64_t)i));
        first = false;
    }
}

static sl_status print_column(const printer *p, const sl_parquet_column *c) {
    sl_buffer_text(p->out, p->json ? "{\"path\":" : "  ");
    sl_status status = print_path(p, c);
    if (status)
        return status;
    sl_buffer_printf(p->out,
                     p->json ? ",\"type\":\"%s\",\"codec\":\"%s\",\"values\":%" PRId64
                               ",\"plain_bytes\":%" PRId64 ",\"bytes\":%" PRId64 ",\"offset\":%" PRId64
                               ",\"encodings\":["
                             : " %s %s, %" PRId64 " values, %" PRId64 " -> %" PRId64
                               " bytes at %" PRId64 ", ",
                     NAME_IN(type_names, c->type), NAME_IN(codec_names, c->codec), c->values,
                     c->plain_bytes, c->packed_bytes,
                     c->has_dictionary && c->dictionary_offset ? c->dictionary_offset : c->data_offset);
    print_encodings(p, c->encodings);
    sl_buffer_text(p->out, p->json ? "]" : ",");
    print_bounds(p, c);
    sl_buffer_text(p->out, p->json ? "}" : "\n");
    return SL_OK;
}

static sl_status print_group(const printer *p, sl_thrift_reader *r, uint32_t index) {
    sl_parquet_group group;
    sl_parquet_read_group(r, &group);
    if (r->failed)
        return damaged(p, "row group");
    if (p->json)
        sl_buffer_printf(p->out, "%s{\"rows\":%" PRId64 ",\"plain_bytes\":%" PRId64 ",\"columns\":[",
                         index ? "," : "", group.rows, group.bytes);
    else
        sl_buffer_printf(p->out, "row group %u: %" PRId64 " rows, %" PRId64 " bytes before the codec\n",
                         index, group.rows, group.bytes);
    for (uint32_t i = 0; i < group.column_count; i++) {
        sl_parquet_column column;
        sl_parquet_read_column(&group.columns, &column);
        if (group.columns.failed)
            return damaged(p, "column");
        if (p->json && i)
            sl_buffer_text(p->out, ",");
        sl_status status = print_column(p, &column);
        if (status)
            return status;
    }
    if (p->json)
        sl_buffer_text(p->out, "]}");
    return SL_OK;
}

static sl_status print_pairs(const printer *p, const sl_parquet_layout *layout) {
    sl_thrift_reader r = layout->pairs;
    sl_buffer_text(p->out, p->json ? ",\"metadata\":[" : layout->pair_count ? "metadata\n" : "");
    for (uint32_t i = 0; i < layout->pair_count; i++) {
        sl_thrift_text key, value;
        sl_parquet_read_pair(&r, &key, &value);
        if (r.failed)
            return damaged(p, "metadata");
        sl_buffer_text(p->out, !p->json ? "  " : i ? ",{\"key\":" : "{\"key\":");
        quoted(p, key);
        sl_buffer_text(p->out, p->json ? ",\"value\":" : " = ");
        quoted(p, value);
        sl_buffer_text(p->out, p->json ? "}" : "\n");
    }
    if (p->json)
        sl_buffer_text(p->out, "]}\n");
    return SL_OK;
}

sl_status sl_parquet_inspect(const uint8_t *bytes, size_t length, bool json, sl_buffer *out,
                             sl_error *error) {
    printer p = {out, json, error};
    sl_thrift_reader footer = {0};
    sl_parquet_layout layout;
    size_t needed;
    sl_status status = sl_parquet_find_footer(bytes, length, &needed, &footer, error);
    if (status == SL_EFULL) // The file is all there is.
        return sl_error_set(error, SL_ECORRUPT, "the file is shorter than its footer");
    if (!status)
        status = sl_parquet_read_layout(footer, &layout, error);
    if (status)
        return status;
    sl_buffer_printf(out,
                     json ? "{\"rows\":%" PRId64 ",\"bytes\":%zu,\"version\":%" PRId64 ",\"created_by\":"
                          : "%" PRId64 " rows, %zu bytes, version %" PRId64 ", created by ",
                     layout.rows, length, layout.version);
    quoted(&p, layout.created_by);
    if (!json)
        sl_buffer_text(out, "\n");
    status = print_schema(&p, &layout);
    if (json && !status)
        sl_buffer_text(out, ",\"row_groups\":[");
    sl_thrift_reader groups = layout.groups;
    for (uint32_t i = 0; i < layout.group_count && !status; i++)
        status = print_group(&p, &groups, i);
    if (json && !status)
        sl_buffer_text(out, "]");
    if (!status)
        status = print_pairs(&p, &layout);
    if (!status && out->failed)
        return sl_error_set(error, SL_ENOMEM, "out of memory");
    return status;
}
