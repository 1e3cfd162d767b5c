// Rows of a file: its columns side by side, each a page at a time.

#include "format.h"
#include "values.h"

#include "sluice/memory.h"
#include "sluice/parquet.h"

#include <string.h>

enum { COLUMNS_MAX = 65536, DEPTH_MAX = 128 };

typedef struct column {
    char *path;
    sl_parquet_kind kind;
    sl_parquet_values values;
    bool wanted;
} column;

struct sl_parquet_scan {
    const uint8_t *file;
    size_t length;
    sl_thrift_reader groups; // Those still to come.
    uint32_t groups_left;
    int64_t rows_left; // Of the group in hand.
    column *columns;
    uint32_t column_count;
};

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

static sl_type type_of(const sl_parquet_element *e) {
    bool decimal = e->logical == LOGICAL_DECIMAL || (e->has_converted && e->converted == CONVERTED_DECIMAL);
    switch (e->type) {
    case PHYSICAL_BOOLEAN:
        return SL_TYPE_BOOL;
    case PHYSICAL_DOUBLE:
        return SL_TYPE_DOUBLE;
    case PHYSICAL_INT32:
        return decimal ? SL_TYPE_DECIMAL : e->logical == LOGICAL_DATE || e->converted == CONVERTED_DATE ? SL_TYPE_DATE : SL_TYPE_INT64;
    case PHYSICAL_INT64:
        return decimal ? SL_TYPE_DECIMAL
               : e->logical == LOGICAL_TIMESTAMP || (e->has_converted && e->converted == CONVERTED_TIMESTAMP_MICROS)
                   ? SL_TYPE_TIMESTAMP
                   : SL_TYPE_INT64;
    case PHYSICAL_FIXED:
        return SL_TYPE_DECIMAL;
    default:
        return e->logical == LOGICAL_STRING || (e->has_converted && e->converted == CONVERTED_UTF8) ? SL_TYPE_STRING
                                                                                                   : SL_TYPE_BYTES;
    }
}

static sl_status kind_of(const sl_parquet_element *e, unsigned levels, sl_parquet_kind *out, sl_error *error) {
    bool known = e->type == PHYSICAL_BOOLEAN || e->type == PHYSICAL_INT32 || e->type == PHYSICAL_INT64 ||
                 e->type == PHYSICAL_DOUBLE || e->type == PHYSICAL_BYTE_ARRAY ||
                 (e->type == PHYSICAL_FIXED && e->type_length >= 0 && e->type_length <= 8);
    if (!known || e->scale < 0 || e->scale > 38)
        return sl_error_set(error, SL_EUNSUPPORTED, "a column of the Parquet type %lld isn't read", (long long)e->type);
    *out = (sl_parquet_kind){.physical = e->type,
                             .length = e->type_length,
                             .type = type_of(e),
                             .scale = (uint8_t)e->scale,
                             .levels = levels};
    return SL_OK;
}

typedef struct walk {
    sl_thrift_reader schema;
    uint32_t left;
    sl_parquet_scan *rows;
    sl_buffer path;
    sl_error *error;
} walk;

static sl_status add_column(walk *w, const sl_parquet_element *e, unsigned levels) {
    sl_parquet_scan *r = w->rows;
    if (r->column_count == COLUMNS_MAX)
        return sl_error_set(w->error, SL_ELIMIT, "more than %d columns", COLUMNS_MAX);
    column *columns = sl_realloc(r->columns, (r->column_count + 1) * sizeof *columns);
    if (columns == NULL)
        return no_memory(w->error);
    r->columns = columns;
    column *c = &columns[r->column_count];
    *c = (column){.wanted = true, .path = sl_strdup(sl_buffer_cstr(&w->path))};
    if (c->path == NULL || w->path.failed) {
        sl_free(c->path);
        return no_memory(w->error);
    }
    r->column_count++;
    return kind_of(e, levels, &c->kind, w->error);
}

static sl_status walk_children(walk *w, int64_t count, unsigned levels, unsigned depth) {
    const size_t begin = w->path.length;
    for (int64_t i = 0; i < count; i++) {
        sl_parquet_element e;
        if (w->left == 0 || depth == DEPTH_MAX)
            return sl_error_set(w->error, SL_ECORRUPT, "the footer's schema is damaged");
        w->left--;
        sl_parquet_read_element(&w->schema, &e);
        if (w->schema.failed || e.children < 0)
            return sl_error_set(w->error, SL_ECORRUPT, "the footer's schema is damaged");
        if (e.repetition > REPETITION_OPTIONAL)
            return sl_error_set(w->error, SL_EUNSUPPORTED, "repeated columns aren't read");
        w->path.length = begin;
        if (begin != 0)
            sl_buffer_byte(&w->path, '.');
        sl_buffer_append(&w->path, e.name.bytes, e.name.length);
        unsigned below = levels + (e.repetition == REPETITION_OPTIONAL);
        sl_status status = e.has_children ? walk_children(w, e.children, below, depth + 1) : add_column(w, &e, below);
        if (status != SL_OK)
            return status;
    }
    w->path.length = begin;
    return SL_OK;
}

static sl_status read_schema(sl_parquet_scan *r, const sl_parquet_layout *layout, sl_error *error) {
    walk w = {.schema = layout->schema, .left = layout->schema_count, .rows = r, .error = error};
    sl_parquet_element root;
    sl_parquet_read_element(&w.schema, &root);
    if (w.schema.failed || w.left == 0)
        return sl_error_set(error, SL_ECORRUPT, "the footer's schema is damaged");
    w.left--;
    sl_status status = walk_children(&w, root.children, 0, 0);
    sl_buffer_fini(&w.path);
    return status;
}

sl_status sl_parquet_scan_open(const uint8_t *bytes, size_t length, sl_parquet_scan **out, sl_error *error) {
    *out = NULL;
    size_t needed;
    sl_thrift_reader footer;
    sl_parquet_layout layout;
    sl_status status = sl_parquet_find_footer(bytes, length, &needed, &footer, error);
    if (status == SL_EFULL)
        status = sl_error_set(error, SL_ECORRUPT, "the file is shorter than its footer");
    if (status == SL_OK)
        status = sl_parquet_read_layout(footer, &layout, error);
    if (status != SL_OK)
        return status;
    sl_parquet_scan *r = sl_calloc(1, sizeof *r);
    if (r == NULL)
        return no_memory(error);
    *r = (sl_parquet_scan){.file = bytes, .length = length, .groups = layout.groups, .groups_left = layout.group_count};
    status = read_schema(r, &layout, error);
    if (status == SL_OK)
        *out = r;
    else
        sl_parquet_scan_close(r);
    return status;
}

void sl_parquet_scan_close(sl_parquet_scan *r) {
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->column_count; i++) {
        sl_parquet_values_fini(&r->columns[i].values);
        sl_free(r->columns[i].path);
    }
    sl_free(r->columns);
    sl_free(r);
}

uint32_t sl_parquet_scan_columns(const sl_parquet_scan *r) {
    return r->column_count;
}

const char *sl_parquet_scan_name(const sl_parquet_scan *r, uint32_t i) {
    return r->columns[i].path;
}

void sl_parquet_scan_only(sl_parquet_scan *r, const char *const *names, uint32_t count) {
    for (uint32_t i = 0; i < r->column_count; i++) {
        r->columns[i].wanted = false;
        for (uint32_t k = 0; k < count; k++)
            r->columns[i].wanted |= strcmp(r->columns[i].path, names[k]) == 0;
    }
}

static sl_status next_group(sl_parquet_scan *r, sl_error *error) {
    if (r->groups_left == 0)
        return SL_ENOTFOUND;
    r->groups_left--;
    sl_parquet_group group;
    sl_parquet_read_group(&r->groups, &group);
    if (r->groups.failed || group.column_count != r->column_count || group.rows < 0)
        return sl_error_set(error, SL_ECORRUPT, "the footer's row groups are damaged");
    r->rows_left = group.rows;
    for (uint32_t i = 0; i < r->column_count; i++) {
        sl_parquet_column chunk;
        sl_parquet_read_column(&group.columns, &chunk);
        if (group.columns.failed)
            return sl_error_set(error, SL_ECORRUPT, "the footer's row groups are damaged");
        column *c = &r->columns[i];
        sl_status status = c->wanted ? sl_parquet_values_begin(&c->values, &c->kind, r->file, r->length, &chunk, error) : SL_OK;
        if (status != SL_OK)
            return sl_error_context(error, "column %s", c->path), status;
    }
    return SL_OK;
}

sl_status sl_parquet_scan_next(sl_parquet_scan *r, sl_value *values, sl_error *error) {
    while (r->rows_left == 0) {
        sl_status status = next_group(r, error);
        if (status != SL_OK)
            return status;
    }
    r->rows_left--;
    for (uint32_t i = 0; i < r->column_count; i++) {
        column *c = &r->columns[i];
        sl_status status = c->wanted ? sl_parquet_values_next(&c->values, &values[i], error) : SL_OK;
        if (!c->wanted)
            values[i] = (sl_value){.type = c->kind.type, .null = true};
        if (status != SL_OK)
            return sl_error_context(error, "column %s", c->path), status;
    }
    return SL_OK;
}
