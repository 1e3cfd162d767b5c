#include "footer.h"

#include <assert.h>

#define CREATED_BY "sluice version 0.1.0"

/** Bytes of a two's complement number of `precision` digits (LogicalTypes.md, DECIMAL). */
static uint8_t decimal_bytes(unsigned precision) {
    uint64_t most = 1;
    for (unsigned i = 0; i < precision; i++)
        most *= 10;
    uint8_t bytes = 1;
    while (bytes < 8 && most > UINT64_C(1) << (8 * bytes - 1))
        bytes++;
    return bytes;
}

static void describe(sl_parquet_leaf *leaf, const sl_field *field, bool lake) {
    leaf->type = field->type;
    leaf->nullable = field->nullable;
    leaf->kind = KIND_NUMBER;
    leaf->physical = PHYSICAL_INT64;
    leaf->width = 8;
    switch (field->type) {
    case SL_TYPE_GROUP:
        assert(field->type != SL_TYPE_GROUP); // A group is no column.
        break;
    case SL_TYPE_BOOL:
        leaf->kind = KIND_BOOL;
        leaf->physical = PHYSICAL_BOOLEAN;
        leaf->width = 0;
        break;
    case SL_TYPE_INT64:
    case SL_TYPE_TIMESTAMP:
        break;
    case SL_TYPE_DOUBLE:
        leaf->kind = KIND_REAL;
        leaf->physical = PHYSICAL_DOUBLE;
        break;
    case SL_TYPE_DATE:
        leaf->physical = PHYSICAL_INT32;
        leaf->width = 4;
        break;
    case SL_TYPE_DECIMAL:
        if (!lake) {
            leaf->physical = PHYSICAL_FIXED;
            leaf->width = decimal_bytes(field->precision);
        } else if (field->precision <= 9) {
            leaf->physical = PHYSICAL_INT32;
            leaf->width = 4;
        }
        break;
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
    case SL_TYPE_BYTES:
        leaf->kind = KIND_TEXT;
        leaf->physical = PHYSICAL_BYTE_ARRAY;
        leaf->width = 0;
        break;
    }
}

/** The field after `at` in depth-first order; SL_NO_FIELD at the end. */
static uint32_t next_field(const sl_schema *schema, uint32_t at) {
    if (schema->fields[at].type == SL_TYPE_GROUP && schema->fields[at].first_child != SL_NO_FIELD)
        return schema->fields[at].first_child;
    while (at != 0 && schema->fields[at].next_sibling == SL_NO_FIELD)
        at = schema->fields[at].parent;
    return at == 0 ? SL_NO_FIELD : schema->fields[at].next_sibling;
}

static size_t nullable_on_path(const sl_schema *schema, uint32_t field, uint32_t *out) {
    size_t count = 0;
    for (uint32_t at = field; at != 0; at = schema->fields[at].parent)
        count += schema->fields[at].nullable;
    size_t place = count;
    for (uint32_t at = field; out && at != 0; at = schema->fields[at].parent)
        if (schema->fields[at].nullable)
            out[--place] = at;
    return count;
}

sl_status sl_parquet_leaves_init(sl_parquet_leaves *leaves, const sl_schema *schema, bool lake,
                                 sl_parquet_store *store) {
    *leaves = (sl_parquet_leaves){0};
    size_t chain = 0;
    for (uint32_t at = next_field(schema, 0); at != SL_NO_FIELD; at = next_field(schema, at))
        if (schema->fields[at].type != SL_TYPE_GROUP) {
            leaves->count++;
            chain += nullable_on_path(schema, at, NULL);
        }
    leaves->bytes = leaves->count * sizeof *leaves->items + 1;
    leaves->chains_bytes = chain * sizeof *leaves->chains + 1;
    void *items = NULL, *chains = NULL;
    sl_status status = sl_parquet_take_zeroed(store, leaves->bytes, &items);
    leaves->items = items;
    if (!status)
        status = sl_parquet_take(store, leaves->chains_bytes, &chains);
    leaves->chains = chains;
    if (status)
        return status;
    uint32_t *free = leaves->chains;
    sl_parquet_leaf *leaf = leaves->items;
    for (uint32_t at = next_field(schema, 0); at != SL_NO_FIELD; at = next_field(schema, at)) {
        if (schema->fields[at].type == SL_TYPE_GROUP)
            continue;
        leaf->field = at;
        leaf->chain = free;
        leaf->level_max = (uint8_t)nullable_on_path(schema, at, free);
        free += leaf->level_max;
        describe(leaf++, &schema->fields[at], lake);
    }
    return SL_OK;
}

void sl_parquet_leaves_fini(sl_parquet_leaves *leaves, sl_parquet_store *store) {
    sl_parquet_give(store, leaves->items, leaves->bytes);
    sl_parquet_give(store, leaves->chains, leaves->chains_bytes);
    *leaves = (sl_parquet_leaves){0};
}

static void put_path(sl_buffer *out, const sl_schema *schema, uint32_t field) {
    const sl_field *f = &schema->fields[field];
    if (f->parent != 0 && f->parent != SL_NO_FIELD)
        put_path(out, schema, f->parent);
    sl_buffer_varint(out, f->name_length);
    sl_buffer_append(out, f->name, f->name_length);
}

static size_t depth_of(const sl_schema *schema, uint32_t field) {
    size_t depth = 0;
    for (; field != 0; field = schema->fields[field].parent)
        depth++;
    return depth;
}

static void put_encodings(sl_thrift_writer *thrift, const sl_parquet_chunk *chunk) {
    bool plain = chunk->pages_plain || chunk->dictionary_page;
    sl_thrift_list(thrift, 2, THRIFT_I32,
                   1u + plain + (chunk->pages_indices > 0) + (chunk->pages_delta > 0));
    sl_buffer_zigzag(thrift->out, ENCODING_RLE);
    if (plain)
        sl_buffer_zigzag(thrift->out, ENCODING_PLAIN);
    if (chunk->pages_indices)
        sl_buffer_zigzag(thrift->out, ENCODING_RLE_DICTIONARY);
    if (chunk->pages_delta)
        sl_buffer_zigzag(thrift->out, ENCODING_DELTA_BINARY_PACKED);
}

static void put_encoding_count(sl_thrift_writer *thrift, int page, int encoding, uint32_t count) {
    if (!count)
        return;
    sl_thrift_element(thrift);
    sl_thrift_i32(thrift, 1, page);
    sl_thrift_i32(thrift, 2, encoding);
    sl_thrift_i32(thrift, 3, (int32_t)count);
    sl_thrift_end(thrift);
}

static void put_encoding_counts(sl_thrift_writer *thrift, const sl_parquet_chunk *chunk) {
    uint32_t dictionary = chunk->dictionary_page != NULL;
    sl_thrift_list(thrift, 13, THRIFT_STRUCT,
                   dictionary + (chunk->pages_plain > 0) + (chunk->pages_indices > 0) +
                       (chunk->pages_delta > 0));
    put_encoding_count(thrift, PAGE_DICTIONARY, ENCODING_PLAIN, dictionary);
    put_encoding_count(thrift, PAGE_DATA, ENCODING_PLAIN, chunk->pages_plain);
    put_encoding_count(thrift, PAGE_DATA, ENCODING_RLE_DICTIONARY, chunk->pages_indices);
    put_encoding_count(thrift, PAGE_DATA, ENCODING_DELTA_BINARY_PACKED, chunk->pages_delta);
}

void sl_parquet_put_column(sl_thrift_writer *thrift, const sl_schema *schema,
                           const sl_parquet_leaf *leaf, const sl_parquet_chunk *chunk, int codec,
                           uint64_t offset) {
    uint64_t data = offset + (chunk->dictionary_page ? chunk->dictionary_page->length : 0);
    sl_thrift_element(thrift);
    sl_thrift_i64(thrift, 2, (int64_t)offset);
    sl_thrift_struct(thrift, 3);
    sl_thrift_i32(thrift, 1, (int32_t)leaf->physical);
    put_encodings(thrift, chunk);
    sl_thrift_list(thrift, 3, THRIFT_BINARY, depth_of(schema, leaf->field));
    put_path(thrift->out, schema, leaf->field);
    sl_thrift_i32(thrift, 4, codec);
    sl_thrift_i64(thrift, 5, (int64_t)chunk->rows);
    sl_thrift_i64(thrift, 6, (int64_t)chunk->plain_bytes);
    sl_thrift_i64(thrift, 7, (int64_t)chunk->packed_bytes);
    sl_thrift_i64(thrift, 9, (int64_t)data);
    if (chunk->dictionary_page)
        sl_thrift_i64(thrift, 11, (int64_t)offset);
    sl_parquet_put_statistics(thrift, &chunk->statistics, chunk->nulls, leaf->physical, leaf->width,
                              leaf->type != SL_TYPE_BYTES);
    put_encoding_counts(thrift, chunk);
    sl_thrift_end(thrift);
    sl_thrift_end(thrift);
}

/** A group is in the file when a column is below it. */
static bool in_file(const sl_schema *schema, uint32_t field) {
    if (schema->fields[field].type != SL_TYPE_GROUP)
        return true;
    for (uint32_t at = schema->fields[field].first_child; at != SL_NO_FIELD;
         at = schema->fields[at].next_sibling)
        if (in_file(schema, at))
            return true;
    return false;
}

static int32_t children_in_file(const sl_schema *schema, uint32_t field) {
    int32_t count = 0;
    for (uint32_t at = schema->fields[field].first_child; at != SL_NO_FIELD;
         at = schema->fields[at].next_sibling)
        count += in_file(schema, at);
    return count;
}

static void put_logical(sl_thrift_writer *thrift, int16_t member) {
    sl_thrift_struct(thrift, 10);
    sl_thrift_struct(thrift, member);
}

/** converted_type for old readers, logicalType for the others. */
static void put_meaning(sl_thrift_writer *thrift, const sl_field *field) {
    switch (field->type) {
    case SL_TYPE_STRING:
    case SL_TYPE_JSON:
        sl_thrift_i32(thrift, 6, CONVERTED_UTF8);
        put_logical(thrift, LOGICAL_STRING);
        break;
    case SL_TYPE_DATE:
        sl_thrift_i32(thrift, 6, CONVERTED_DATE);
        put_logical(thrift, LOGICAL_DATE);
        break;
    case SL_TYPE_TIMESTAMP:
        sl_thrift_i32(thrift, 6, CONVERTED_TIMESTAMP_MICROS);
        put_logical(thrift, LOGICAL_TIMESTAMP);
        sl_thrift_bool(thrift, 1, true); // isAdjustedToUTC
        sl_thrift_struct(thrift, 2);
        sl_thrift_struct(thrift, 2); // MICROS
        sl_thrift_end(thrift);
        sl_thrift_end(thrift);
        break;
    case SL_TYPE_DECIMAL:
        sl_thrift_i32(thrift, 6, CONVERTED_DECIMAL);
        sl_thrift_i32(thrift, 7, field->scale);
        sl_thrift_i32(thrift, 8, field->precision);
        put_logical(thrift, LOGICAL_DECIMAL);
        sl_thrift_i32(thrift, 1, field->scale);
        sl_thrift_i32(thrift, 2, field->precision);
        break;
    case SL_TYPE_GROUP:
    case SL_TYPE_BOOL:
    case SL_TYPE_INT64:
    case SL_TYPE_DOUBLE:
    case SL_TYPE_BYTES:
        return;
    }
    sl_thrift_end(thrift);
    sl_thrift_end(thrift);
}

static void put_field(sl_thrift_writer *thrift, const sl_schema *schema, uint32_t field, bool lake) {
    const sl_field *f = &schema->fields[field];
    sl_parquet_leaf leaf = {0};
    sl_thrift_element(thrift);
    if (f->type != SL_TYPE_GROUP) {
        describe(&leaf, f, lake);
        sl_thrift_i32(thrift, 1, (int32_t)leaf.physical);
        if (leaf.physical == PHYSICAL_FIXED)
            sl_thrift_i32(thrift, 2, leaf.width);
    }
    sl_thrift_i32(thrift, 3, f->nullable ? REPETITION_OPTIONAL : REPETITION_REQUIRED);
    sl_thrift_binary(thrift, 4, f->name, f->name_length);
    if (f->type == SL_TYPE_GROUP)
        sl_thrift_i32(thrift, 5, children_in_file(schema, field));
    put_meaning(thrift, f);
    sl_thrift_end(thrift);
}

static void put_schema(sl_thrift_writer *thrift, const sl_schema *schema, bool lake) {
    size_t count = 1;
    for (uint32_t at = next_field(schema, 0); at != SL_NO_FIELD; at = next_field(schema, at))
        count += in_file(schema, at);
    const char *name = schema->name && schema->name[0] ? schema->name : "schema";
    sl_thrift_list(thrift, 2, THRIFT_STRUCT, count);
    sl_thrift_element(thrift);
    sl_thrift_binary(thrift, 4, name, strlen(name));
    sl_thrift_i32(thrift, 5, children_in_file(schema, 0));
    sl_thrift_end(thrift);
    for (uint32_t at = next_field(schema, 0); at != SL_NO_FIELD; at = next_field(schema, at))
        if (in_file(schema, at))
            put_field(thrift, schema, at, lake);
}

static void put_pairs(sl_thrift_writer *thrift, const sl_parquet_pair *pairs, size_t count) {
    sl_thrift_list(thrift, 5, THRIFT_STRUCT, count);
    for (size_t i = 0; i < count; i++) {
        sl_thrift_element(thrift);
        sl_thrift_binary(thrift, 1, pairs[i].key, strlen(pairs[i].key));
        if (pairs[i].value)
            sl_thrift_binary(thrift, 2, pairs[i].value, strlen(pairs[i].value));
        sl_thrift_end(thrift);
    }
}

void sl_parquet_put_footer(sl_buffer *out, const sl_schema *schema, const sl_parquet_leaves *leaves,
                           bool lake, const sl_buffer *groups, uint32_t group_count, uint64_t rows,
                           const sl_parquet_pair *metadata, size_t metadata_count) {
    sl_thrift_writer thrift = sl_thrift_begin(out);
    size_t begin = out->length;
    sl_thrift_i32(&thrift, 1, 1);
    put_schema(&thrift, schema, lake);
    sl_thrift_i64(&thrift, 3, (int64_t)rows);
    sl_thrift_list(&thrift, 4, THRIFT_STRUCT, group_count);
    if (groups->length)
        sl_buffer_append(out, groups->bytes, groups->length);
    if (metadata_count)
        put_pairs(&thrift, metadata, metadata_count);
    sl_thrift_binary(&thrift, 6, CREATED_BY, sizeof CREATED_BY - 1);
    // min_value and max_value only mean something beside an order per column.
    sl_thrift_list(&thrift, 7, THRIFT_STRUCT, leaves->count);
    for (uint32_t i = 0; i < leaves->count; i++) {
        sl_thrift_element(&thrift);
        sl_thrift_struct(&thrift, 1);
        sl_thrift_end(&thrift);
        sl_thrift_end(&thrift);
    }
    sl_thrift_end(&thrift);
    sl_buffer_u32(out, (uint32_t)(out->length - begin));
    sl_buffer_append(out, SL_PARQUET_MAGIC, 4);
}
