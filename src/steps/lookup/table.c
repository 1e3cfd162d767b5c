// The table: which columns, which types, then row after row.

#include "internal.h"

#include <stdio.h>

#define ARENA_BLOCK_BYTES 4096u
#define INTERN_FIRST 1024u
#define STOP_ROWS 1024u /**< Between two looks at `stop`. */

static sl_status no_memory(sl_error *error) {
    return sl_error_set(error, SL_ENOMEM, "out of memory");
}

/** What exists only while a table is built. */
typedef struct builder {
    sl_lookup_loader *loader;
    sl_lookup *table;
    uint32_t *sources; /**< [columns] of the content; UINT32_MAX: the content has none,
                          all are null. */
    sl_buffer texts;
    uint32_t *interned; /**< Offsets of texts; 0: nothing. A power of two. */
    uint64_t interned_mask, interned_count;
    cursor *cursor;
    sl_error *error;
} builder;

static sl_status fail_at(const builder *b, const cell *c, uint32_t column,
                         sl_status status, const char *words) {
    const char *name = b->table->columns[column].name;
    if (c->line == 0)
        return sl_error_set(b->error, status, "row %llu, column \"%s\": %s",
                            (unsigned long long)b->cursor->row, name, words);
    return sl_error_set(b->error, status, "line %u, column %u (\"%s\"): %s", c->line,
                        c->column, name, words);
}

// ---- Columns
// -------------------------------------------------------------------------------------------

static sl_status missing(const builder *b, const char *name) {
    sl_buffer list = SL_BUFFER_EMPTY;
    for (uint32_t i = 0; i < b->loader->column_count && list.length < 200; i++)
        sl_buffer_printf(&list, "%s%s", i == 0 ? "" : ", ", b->loader->columns[i].name);
    sl_status status =
        sl_error_set(b->error, SL_ENOTFOUND, "no column \"%s\"; there is %s", name,
                     list.length == 0 ? "none" : sl_buffer_cstr(&list));
    sl_buffer_fini(&list);
    return status;
}

// A column that nobody typed is what its values could be; the key a string.
static void resolve(const content_column *seen, bool key, sl_lookup_column *column) {
    if (column->typed)
        return;
    column->typed = true;
    column->type = key ? SL_TYPE_STRING : sl_lookup_type_of(seen);
    column->scale = column->type == SL_TYPE_DECIMAL ? seen->scale : 0;
    column->precision = column->type == SL_TYPE_DECIMAL ? DECIMAL_DIGITS_MAX : 0;
}

static sl_status add_column(builder *b, const sl_lookup_column *wanted, bool key) {
    sl_lookup *t = b->table;
    sl_lookup_column *column = &t->columns[t->column_count];
    *column = *wanted;
    uint32_t source = sl_lookup_content_column(b->loader, (const uint8_t *)wanted->name,
                                               strlen(wanted->name), t->column_count);
    // Of NDJSON a member may be absent from every line; then its type has to be known
    // from elsewhere.
    bool optional = b->loader->definition.format == SL_LOOKUP_NDJSON && wanted->typed &&
                    !b->loader->definition.present && !key;
    if (source == UINT32_MAX && !optional)
        return missing(b, wanted->name);
    if (source != UINT32_MAX)
        resolve(&b->loader->columns[source], key, column);
    column->name = sl_arena_strndup(&t->names, wanted->name, strlen(wanted->name));
    if (column->name == NULL)
        return no_memory(b->error);
    b->sources[t->column_count++] = source;
    return SL_OK;
}

static const sl_lookup_column *named(const sl_lookup_definition *d, const char *name) {
    for (uint32_t i = 0; i < d->column_count; i++)
        if (strcmp(d->columns[i].name, name) == 0)
            return &d->columns[i];
    return NULL;
}

static sl_status choose_columns(builder *b) {
    const sl_lookup_definition *d = &b->loader->definition;
    uint32_t most = d->column_count + b->loader->column_count + 1;
    sl_lookup *t = b->table;
    t->columns = sl_calloc(most, sizeof *t->columns);
    t->offsets = sl_calloc(most, sizeof *t->offsets);
    b->sources = sl_calloc(most, sizeof *b->sources);
    if (t->columns == NULL || t->offsets == NULL || b->sources == NULL)
        return no_memory(b->error);
    const sl_lookup_column *typed_key = named(d, d->key), plain_key = {.name = d->key};
    sl_status status = add_column(b, typed_key != NULL ? typed_key : &plain_key, true);
    for (uint32_t i = 0; i < d->column_count && status == SL_OK; i++)
        if (&d->columns[i] != typed_key)
            status = add_column(b, &d->columns[i], false);
    for (uint32_t i = 0; i < b->loader->column_count && status == SL_OK && d->all; i++) {
        const sl_lookup_column column = {.name = b->loader->columns[i].name};
        if (strcmp(column.name, d->key) != 0 && named(d, column.name) == NULL)
            status = add_column(b, &column, false);
    }
    return status;
}

static uint32_t value_bytes(const sl_lookup_column *column, bool key) {
    if (key || column->type == SL_TYPE_STRING)
        return 4;
    if (column->type == SL_TYPE_BOOL)
        return 1;
    return column->type == SL_TYPE_DATE ? 4 : 8;
}

static sl_status lay_out(builder *b) {
    sl_lookup *t = b->table;
    for (uint32_t i = 0; i < t->column_count; i++) {
        t->offsets[i] = t->width;
        t->width += value_bytes(&t->columns[i], i == 0);
    }
    t->bits = t->width;
    t->width += (t->column_count + 7) / 8;
    t->row_capacity = b->loader->rows;
    uint64_t slots = 16;
    while (slots * 4 < t->row_capacity * 5)
        slots *= 2;
    uint64_t bytes = t->row_capacity * t->width + slots * sizeof *t->index;
    if (t->row_capacity > SL_LOOKUP_ROWS_MAX || bytes > b->loader->definition.bytes_max)
        return sl_error_set(b->error, SL_ELIMIT,
                            "%llu rows of %u bytes are more than the limit of %llu bytes",
                            (unsigned long long)t->row_capacity, t->width,
                            (unsigned long long)b->loader->definition.bytes_max);
    // What the texts will take isn't known; they are part of the content.
    uint64_t most = bytes + b->loader->content.length;
    if (sl_budget_take(b->loader->definition.budget, most) != SL_OK)
        return sl_error_set(b->error, SL_EFULL, "doesn't fit in what `memory` leaves");
    t->budget = b->loader->definition.budget;
    t->charged = most;
    t->index_mask = slots - 1;
    t->rows = sl_malloc(t->row_capacity * t->width);
    t->index = sl_calloc(slots, sizeof *t->index);
    b->interned_mask = INTERN_FIRST - 1;
    b->interned = sl_calloc(INTERN_FIRST, sizeof *b->interned);
    sl_buffer_byte(&b->texts, 0); // Offset 0: the text of no length.
    bool good =
        t->rows != NULL && t->index != NULL && b->interned != NULL && !b->texts.failed;
    return good ? SL_OK : no_memory(b->error);
}

// ---- Texts, each once
// ----------------------------------------------------------------------------------

static bool grow_interned(builder *b) {
    uint64_t mask = b->interned_mask * 2 + 1;
    uint32_t *larger = sl_calloc(mask + 1, sizeof *larger);
    if (larger == NULL)
        return false;
    for (uint64_t i = 0; i <= b->interned_mask; i++) {
        if (b->interned[i] == 0)
            continue;
        uint32_t length;
        const uint8_t *text = lookup_text(b->texts.bytes, b->interned[i], &length);
        uint64_t slot = sl_hash64(text, length, 1) & mask;
        while (larger[slot] != 0)
            slot = (slot + 1) & mask;
        larger[slot] = b->interned[i];
    }
    sl_free(b->interned);
    b->interned = larger;
    b->interned_mask = mask;
    return true;
}

static sl_status intern(builder *b, const uint8_t *text, uint32_t length,
                        uint32_t *offset) {
    *offset = 0;
    if (length == 0)
        return SL_OK;
    if (b->interned_count * 2 > b->interned_mask && !grow_interned(b))
        return no_memory(b->error);
    uint64_t slot = sl_hash64(text, length, 1) & b->interned_mask;
    for (; b->interned[slot] != 0; slot = (slot + 1) & b->interned_mask) {
        uint32_t other;
        const uint8_t *there = lookup_text(b->texts.bytes, b->interned[slot], &other);
        if (other == length && memcmp(there, text, length) == 0) {
            *offset = b->interned[slot];
            return SL_OK;
        }
    }
    if (b->texts.length + length + 5 > b->loader->definition.bytes_max)
        return sl_error_set(b->error, SL_ELIMIT,
                            "its texts are more than the limit of %llu bytes",
                            (unsigned long long)b->loader->definition.bytes_max);
    *offset = (uint32_t)b->texts.length;
    sl_buffer_varint(&b->texts, length);
    sl_buffer_append(&b->texts, text, length);
    if (b->texts.failed)
        return no_memory(b->error);
    b->interned[slot] = *offset;
    b->interned_count++;
    return SL_OK;
}

// ---- Rows
// ---------------------------------------------------------------------------------------------

static uint64_t find_row(const sl_lookup *t, const uint8_t *texts, uint64_t hash,
                         const uint8_t *key, uint32_t length, uint64_t *slot) {
    uint32_t tag = (uint32_t)(hash >> 32);
    for (*slot = hash & t->index_mask; t->index[*slot].row != 0;
         *slot = (*slot + 1) & t->index_mask) {
        if (t->index[*slot].tag != tag)
            continue;
        uint64_t row = t->index[*slot].row - 1;
        uint32_t offset, other;
        memcpy(&offset, lookup_row(t, row) + t->offsets[0], sizeof offset);
        const uint8_t *there = lookup_text(texts, offset, &other);
        if (other == length && memcmp(there, key, length) == 0)
            return row;
    }
    return UINT64_MAX;
}

uint64_t sl_lookup_row_of(const sl_lookup *table, uint64_t hash, const uint8_t *key,
                          uint32_t length) {
    uint64_t slot;
    return find_row(table, table->texts, hash, key, length, &slot);
}

static sl_status put_value(builder *b, uint8_t *row, uint32_t column,
                           const typed *value) {
    const sl_lookup *t = b->table;
    uint8_t *at = row + t->offsets[column];
    if (value->null)
        return SL_OK;
    row[t->bits + column / 8] |= (uint8_t)(1u << (column % 8));
    if (t->columns[column].type == SL_TYPE_STRING) {
        uint32_t offset;
        sl_status status = intern(b, value->bytes, value->length, &offset);
        memcpy(at, &offset, sizeof offset);
        return status;
    }
    if (t->columns[column].type == SL_TYPE_DOUBLE) {
        memcpy(at, &value->f64, sizeof value->f64);
    } else if (t->columns[column].type == SL_TYPE_DATE) {
        int32_t days = (int32_t)value->i64;
        memcpy(at, &days, sizeof days);
    } else if (t->columns[column].type == SL_TYPE_BOOL) {
        *at = (uint8_t)value->i64;
    } else {
        memcpy(at, &value->i64, sizeof value->i64);
    }
    return SL_OK;
}

static sl_status convert(const builder *b, uint32_t column, typed *out) {
    static const cell none = {.kind = CELL_NULL};
    uint32_t source = b->sources[column];
    const cell *c = source == UINT32_MAX ? &none : &b->cursor->cells[source];
    const char *expected = sl_lookup_convert(c, &b->table->columns[column], out);
    if (expected == NULL)
        return SL_OK;
    char words[256];
    int length = (int)(c->length < 60 ? c->length : 60);
    snprintf(words, sizeof words, "\"%.*s\" is not %s", length, (const char *)c->bytes,
             expected);
    return fail_at(b, c, column, SL_ETYPE, words);
}

// Where this key's row goes: its own from before, or a new one. NULL: `unique`.
static uint8_t *claim_row(builder *b, const uint8_t *key, uint32_t length,
                          sl_status *status) {
    sl_lookup *t = b->table;
    uint64_t hash = sl_hash64(key, length, 0), slot;
    uint64_t row = find_row(t, b->texts.bytes, hash, key, length, &slot);
    if (row != UINT64_MAX) {
        t->facts.duplicates++;
        if (b->loader->definition.unique) {
            *status = fail_at(b, &b->cursor->cells[b->sources[0]], 0, SL_EEXIST,
                              "a second row with this key");
            return NULL;
        }
    } else {
        row = t->row_count++;
        t->index[slot] =
            (lookup_slot){.tag = (uint32_t)(hash >> 32), .row = (uint32_t)row + 1};
    }
    uint8_t *at = t->rows + row * t->width;
    memset(at, 0, t->width);
    uint32_t offset;
    *status = intern(b, key, length, &offset);
    memcpy(at + t->offsets[0], &offset, sizeof offset);
    at[t->bits] = 1;
    return at;
}

static sl_status add_row(builder *b) {
    sl_lookup *t = b->table;
    typed key;
    char room[64];
    sl_status status = convert(b, 0, &key);
    if (status != SL_OK)
        return status;
    const uint8_t *text = NULL;
    uint32_t length = key.null
                          ? 0
                          : sl_lookup_key_text(t->columns[0].type, t->columns[0].scale,
                                               &key, room, &text);
    if (length == 0) {
        t->facts.keyless++;
        return SL_OK;
    }
    uint8_t *row = claim_row(b, text, length, &status);
    for (uint32_t i = 1; i < t->column_count && status == SL_OK; i++) {
        typed value;
        status = convert(b, i, &value);
        if (status == SL_OK)
            status = put_value(b, row, i, &value);
    }
    return status;
}

// ---- Passes
// --------------------------------------------------------------------------------------------

static sl_status next_row(builder *b) {
    const sl_lookup_definition *d = &b->loader->definition;
    // Relaxed: nothing but the wish itself is passed on.
    if (d->stop != NULL && b->cursor->row % STOP_ROWS == 0 &&
        atomic_load_explicit(d->stop, memory_order_relaxed))
        return sl_error_set(b->error, SL_EAGAIN, "stopped");
    return sl_lookup_cursor_next(b->cursor, b->error);
}

static sl_status survey(builder *b) {
    sl_lookup_loader *l = b->loader;
    sl_status status = sl_lookup_cursor_open(b->cursor, l, true, b->error);
    l->rows = 0;
    while (status == SL_OK && (status = next_row(b)) == SL_OK) {
        l->rows++;
        for (uint32_t i = 0; i < l->column_count; i++)
            sl_lookup_see(&l->columns[i], &b->cursor->cells[i]);
    }
    sl_lookup_cursor_close(b->cursor);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status fill(builder *b) {
    sl_status status = sl_lookup_cursor_open(b->cursor, b->loader, false, b->error);
    while (status == SL_OK && (status = next_row(b)) == SL_OK)
        status = add_row(b);
    sl_lookup_cursor_close(b->cursor);
    // What wasn't found at the content's end is a next row; add_row() never says so.
    return status == SL_ENOTFOUND ? SL_OK : status;
}

// Columns as resolved, not as asked for: content that is loaded again with the types of
// the first time has its version.
static sl_status make_version(builder *b) {
    const sl_lookup *t = b->table;
    sl_hasher *hasher = sl_hasher_create();
    if (hasher == NULL)
        return no_memory(b->error);
    uint8_t head[2] = {(uint8_t)b->loader->definition.format,
                       (uint8_t)b->loader->definition.delimiter};
    sl_hasher_add(hasher, head, sizeof head);
    for (uint32_t i = 0; i < t->column_count; i++) {
        const sl_lookup_column *column = &t->columns[i];
        uint8_t type[3] = {(uint8_t)column->type, column->precision, column->scale};
        sl_hasher_add(hasher, column->name, strlen(column->name) + 1);
        sl_hasher_add(hasher, type, sizeof type);
    }
    sl_hasher_add(hasher, b->loader->content.bytes, b->loader->content.length);
    b->table->facts.version = sl_hasher_sum(hasher);
    sl_hasher_destroy(hasher);
    return SL_OK;
}

// Give back what duplicates and growing left over.
static void settle(builder *b) {
    sl_lookup *t = b->table;
    uint8_t *rows = sl_realloc(t->rows, t->row_count * t->width);
    if (rows != NULL)
        t->rows = rows;
    uint8_t *texts = sl_realloc(b->texts.bytes, b->texts.length);
    t->texts = texts != NULL ? texts : b->texts.bytes;
    t->texts_length = b->texts.length;
    b->texts = SL_BUFFER_EMPTY;
    t->facts.rows = t->row_count;
    t->facts.memory = sizeof *t + t->row_count * t->width + t->texts_length +
                      (t->index_mask + 1) * sizeof *t->index + t->names.total_bytes +
                      t->column_count * (sizeof *t->columns + sizeof *t->offsets);
    if (t->facts.memory > t->charged)
        sl_budget_force(t->budget, t->facts.memory - t->charged);
    else
        sl_budget_give(t->budget, t->charged - t->facts.memory);
    t->charged = t->facts.memory;
}

static void destroy(sl_lookup *t) {
    sl_budget_give(t->budget, t->charged);
    sl_free(t->columns);
    sl_free(t->offsets);
    sl_free(t->rows);
    sl_free(t->texts);
    sl_free(t->index);
    sl_arena_fini(&t->names);
    sl_free(t);
}

sl_status sl_lookup_finish(sl_lookup_loader *loader, sl_lookup **out, sl_error *error) {
    *out = NULL;
    builder b = {.loader = loader, .error = error};
    b.table = sl_calloc(1, sizeof *b.table);
    b.cursor = sl_calloc(1, sizeof *b.cursor);
    sl_status status =
        b.table != NULL && b.cursor != NULL && sl_buffer_reserve(&loader->content, 1)
            ? SL_OK
            : no_memory(error);
    if (b.table != NULL) {
        atomic_init(&b.table->references, 1);
        sl_arena_init(&b.table->names, ARENA_BLOCK_BYTES);
    }
    if (status == SL_OK)
        status = survey(&b);
    if (status == SL_OK)
        status = choose_columns(&b);
    if (status == SL_OK)
        status = lay_out(&b);
    if (status == SL_OK)
        status = fill(&b);
    if (status == SL_OK)
        status = make_version(&b);
    if (status == SL_OK) {
        settle(&b);
        *out = b.table;
    } else {
        sl_error_context(error, "%s", loader->definition.name);
        if (b.table != NULL)
            destroy(b.table);
    }
    sl_buffer_fini(&b.texts);
    sl_free(b.interned);
    sl_free(b.sources);
    sl_free(b.cursor);
    return status;
}

// ---- Life, and asking
// ---------------------------------------------------------------------------------

// A shared table is const to everybody; only its reference count changes, here.
static sl_lookup *shared(const sl_lookup *table) {
    union {
        const sl_lookup *in;
        sl_lookup *out;
    } cast = {.in = table};
    return cast.out;
}

sl_lookup *sl_lookup_ref(const sl_lookup *table) {
    sl_lookup *mine = shared(table);
    // Relaxed: whoever hands out a reference holds one, so the count can't reach 0
    // meanwhile.
    atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return mine;
}

void sl_lookup_unref(sl_lookup *table) {
    // Acquire and release: what others did with the table is done before it is freed
    // here.
    if (table != NULL &&
        atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) == 1)
        destroy(table);
}

sl_status sl_lookup_charge(sl_lookup *table, sl_budget *budget) {
    if (table->budget != NULL)
        return SL_OK;
    if (sl_budget_take(budget, table->facts.memory) != SL_OK)
        return SL_EFULL;
    table->budget = budget;
    table->charged = table->facts.memory;
    return SL_OK;
}

sl_lookup_facts sl_lookup_facts_of(const sl_lookup *table) { return table->facts; }

const sl_lookup_column *sl_lookup_columns(const sl_lookup *table, uint32_t *count) {
    *count = table->column_count;
    return table->columns;
}

static sl_value value_of(const sl_lookup *t, const uint8_t *row, uint32_t column) {
    const sl_lookup_column *c = &t->columns[column];
    const uint8_t *at = row + t->offsets[column];
    sl_value value = {.type = column == 0 ? SL_TYPE_STRING : c->type, .scale = c->scale};
    value.null = (row[t->bits + column / 8] >> (column % 8) & 1) == 0;
    if (value.null)
        return value;
    if (value.type == SL_TYPE_STRING) {
        uint32_t offset, length;
        memcpy(&offset, at, sizeof offset);
        value.as.text.bytes = lookup_text(t->texts, offset, &length);
        value.as.text.length = length;
    } else if (value.type == SL_TYPE_DATE) {
        int32_t days;
        memcpy(&days, at, sizeof days);
        value.as.i64 = days;
    } else if (value.type == SL_TYPE_BOOL) {
        value.as.i64 = *at;
    } else {
        memcpy(&value.as, at, 8);
    }
    return value;
}

bool sl_lookup_find(const sl_lookup *table, const sl_value *key, sl_value *values) {
    char room[64];
    const uint8_t *text;
    if (key->null)
        return false;
    bool string = key->type == SL_TYPE_STRING;
    const typed value = {.i64 = string ? 0 : key->as.i64,
                         .bytes = string ? key->as.text.bytes : NULL,
                         .length = string ? (uint32_t)key->as.text.length : 0};
    uint32_t length = sl_lookup_key_text(key->type, key->scale, &value, room, &text);
    if (length == UINT32_MAX)
        return false;
    uint64_t row = sl_lookup_row_of(table, sl_hash64(text, length, 0), text, length);
    for (uint32_t i = 0; i < table->column_count && row != UINT64_MAX; i++)
        values[i] = value_of(table, lookup_row(table, row), i);
    return row != UINT64_MAX;
}
