/* Tables as lists of columns, and their DDL. */
#include "private.h"

#include "sluice/hash.h"

static const char *const ours[] = {"_partition", "_position", "_hash", "_key", "_rows"};
/* Columns that every table of the server has already. */
static const char *const system_names[] = {
    "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "oid", "insertxid", "deletexid"};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool same_name(sl_dialect dialect, const char *a, const char *b) {
    for (; *a != 0 && *b != 0; a++, b++)
        if (dialect == SL_DIALECT_POSTGRES ? *a != *b : lower(*a) != lower(*b))
            return false;
    return *a == *b;
}

static bool reserved(sl_dialect dialect, const char *name) {
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (same_name(dialect, name, ours[i]))
            return true;
    for (size_t i = 0; i < sizeof system_names / sizeof *system_names; i++)
        if (same_name(dialect, name, system_names[i]))
            return true;
    return false;
}

static bool taken(const sl_warehouse_table *table, const char *name) {
    for (uint32_t i = 0; i < table->count; i++)
        if (same_name(table->dialect, table->columns[i].name, name))
            return true;
    return false;
}

/* A name that nobody has yet: NAME, NAME_ where it is reserved, NAME_2 … where it is
 * taken. */
static char *free_name(const sl_warehouse_table *table, const char *source, bool own) {
    sl_buffer wish = SL_BUFFER_EMPTY, name = SL_BUFFER_EMPTY;
    for (unsigned n = 1; !wish.failed && !name.failed; n++) {
        sl_buffer_clear(&wish);
        sl_buffer_clear(&name);
        sl_buffer_text(&wish, *source == 0 ? "_" : source);
        if (!own && reserved(table->dialect, source))
            sl_buffer_byte(&wish, '_');
        if (n > 1)
            sl_buffer_printf(&wish, "_%u", n);
        sl_dialect_name(table->dialect, sl_buffer_cstr(&wish), &name);
        if (!taken(table, sl_buffer_cstr(&name)))
            break;
    }
    char *copy = wish.failed || name.failed ? NULL : sl_strdup(sl_buffer_cstr(&name));
    sl_buffer_fini(&wish);
    sl_buffer_fini(&name);
    return copy;
}

static sl_warehouse_column *add(sl_warehouse_table *table, sl_column_role role,
                                const char *source, sl_type type) {
    sl_warehouse_column *column = &table->columns[table->count];
    bool own = role != SL_COLUMN_FIELD && role != SL_COLUMN_GROUP &&
               role != SL_COLUMN_MEASURE && role != SL_COLUMN_STATE;
    *column = (sl_warehouse_column){.name = free_name(table, source, own),
                                    .source = sl_strdup(source),
                                    .type = type,
                                    .role = role,
                                    .required = own};
    if (column->name == NULL || column->source == NULL) {
        sl_free(column->name);
        sl_free(column->source);
        *column = (sl_warehouse_column){0};
        return NULL;
    }
    column->seed = sl_hash64(column->name, strlen(column->name), 0);
    table->count++;
    return column;
}

static char *taken_text(sl_buffer *text) {
    char *copy = text->failed ? NULL : sl_strdup(sl_buffer_cstr(text));
    sl_buffer_clear(text);
    return copy;
}

static char *qualified(const sl_warehouse_table *table, const char *name) {
    sl_buffer text = SL_BUFFER_EMPTY;
    if (*table->schema != 0) {
        sl_dialect_quote(table->dialect, table->schema, &text);
        sl_buffer_byte(&text, '.');
    }
    sl_dialect_quote(table->dialect, name, &text);
    char *copy = taken_text(&text);
    sl_buffer_fini(&text);
    return copy;
}

static sl_status begin(sl_dialect dialect, const char *name, uint32_t columns,
                       sl_warehouse_table *out, sl_error *error) {
    *out = (sl_warehouse_table){.dialect = dialect};
    sl_buffer text = SL_BUFFER_EMPTY;
    const char *dot = strchr(name, '.');
    const char *local = dot != NULL ? dot + 1 : name;
    if (*local == 0 || dot == name)
        return sl_error_set(error, SL_EINVAL, "'%s' is no name of a table", name);
    char *schema = sl_strndup(name, dot != NULL ? (size_t)(dot - name) : 0);
    if (schema != NULL) { /* Else there is no schema, rather than another one. */
        sl_dialect_name(dialect, schema, &text);
        out->schema = taken_text(&text);
    }
    sl_free(schema);
    sl_dialect_name(dialect, local, &text);
    out->name = taken_text(&text);
    sl_buffer ledger = SL_BUFFER_EMPTY;
    sl_buffer_printf(&ledger, "sluice_ledger_%s", local);
    sl_dialect_name(dialect, sl_buffer_cstr(&ledger), &text);
    out->ledger_name = taken_text(&text);
    if (ledger.failed) {
        sl_free(out->ledger_name);
        out->ledger_name = NULL;
    }
    sl_buffer_fini(&ledger);
    sl_buffer_fini(&text);
    if (out->schema != NULL && out->name != NULL && out->ledger_name != NULL) {
        out->full = qualified(out, out->name);
        out->ledger = qualified(out, out->ledger_name);
    }
    out->columns = sl_calloc(columns, sizeof *out->columns);
    if (out->full == NULL || out->ledger == NULL || out->columns == NULL) {
        sl_warehouse_table_fini(out);
        return sl_error_set(error, SL_ENOMEM, "%s: out of memory", name);
    }
    return SL_OK;
}

static sl_status finish(sl_warehouse_table *table, bool whole, const char *name,
                        sl_error *error) {
    if (whole)
        return SL_OK;
    sl_warehouse_table_fini(table);
    return sl_error_set(error, SL_ENOMEM, "%s: out of memory", name);
}

void sl_warehouse_table_fini(sl_warehouse_table *table) {
    for (uint32_t i = 0; i < table->count; i++) {
        sl_free(table->columns[i].name);
        sl_free(table->columns[i].source);
    }
    sl_free(table->columns);
    sl_free(table->schema);
    sl_free(table->name);
    sl_free(table->full);
    sl_free(table->ledger);
    sl_free(table->ledger_name);
    *table = (sl_warehouse_table){0};
}

/* "user.id" names the column "user_id". */
static bool names_column(const char *id, const char *column) {
    for (; *id != 0 && *column != 0; id++, column++)
        if (*id != *column && !(*id == '.' && *column == '_'))
            return false;
    return *id == *column;
}

static uint8_t digits(const sl_rows_column *column) {
    return column->precision != 0 ? column->precision : 18;
}

sl_status sl_warehouse_table_of_rows(sl_dialect dialect, const char *name,
                                     const sl_rows_column *columns, uint32_t count,
                                     const char *id, sl_warehouse_table *out,
                                     sl_error *error) {
    *out = (sl_warehouse_table){0};
    if (count == 0 || strcmp(columns[0].name, "_position") != 0)
        return sl_error_set(error, SL_ECORRUPT, "%s: a row file without positions", name);
    sl_status status = begin(dialect, name, count + 2, out, error);
    if (status != SL_OK)
        return status;
    bool found = id == NULL;
    bool whole = add(out, SL_COLUMN_PARTITION, "_partition", SL_TYPE_INT64) != NULL &&
                 add(out, SL_COLUMN_POSITION, "_position", SL_TYPE_INT64) != NULL &&
                 add(out, SL_COLUMN_HASH, "_hash", SL_TYPE_INT64) != NULL;
    for (uint32_t i = 1; i < count && whole; i++) {
        sl_warehouse_column *c =
            add(out, SL_COLUMN_FIELD, columns[i].name, columns[i].type);
        whole = c != NULL;
        if (c == NULL)
            break;
        c->index = i;
        c->precision = c->type == SL_TYPE_DECIMAL ? digits(&columns[i]) : 0;
        c->scale = columns[i].scale;
        if (id != NULL && names_column(id, columns[i].name))
            found = c->unique = true;
    }
    status = finish(out, whole, name, error);
    if (status == SL_OK && !found) {
        sl_warehouse_table_fini(out);
        return sl_error_set(error, SL_EINVAL,
                            "%s: rows are kept by '%s', but have no such column", name,
                            id);
    }
    return status;
}

void sl_warehouse_precise(sl_rows_column *columns, uint32_t count,
                          const sl_schema *schema) {
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t f = 1; f < schema->count && columns[i].type == SL_TYPE_DECIMAL; f++)
            if (schema->fields[f].type == SL_TYPE_DECIMAL &&
                schema->fields[f].precision != 0 &&
                schema->fields[f].scale == columns[i].scale &&
                names_column(schema->fields[f].path, columns[i].name))
                columns[i].precision = schema->fields[f].precision;
}

sl_status sl_warehouse_table_of_schema(sl_dialect dialect, const char *name,
                                       const sl_schema *schema, const char *id,
                                       sl_warehouse_table *out, sl_error *error) {
    sl_arena arena;
    sl_arena_init(&arena, 4096);
    *out = (sl_warehouse_table){0};
    sl_status status = SL_OK;
    uint32_t count = 0;
    sl_rows_column *columns = sl_arena_get(&arena, (schema->count + 1) * sizeof *columns);
    if (columns != NULL)
        columns[count++] = (sl_rows_column){.name = "_position", .type = SL_TYPE_INT64};
    for (uint32_t f = 1; f < schema->count && columns != NULL; f++) {
        const sl_field *field = &schema->fields[f];
        if (field->type == SL_TYPE_GROUP)
            continue;
        char *column = sl_arena_strndup(&arena, field->path, strlen(field->path));
        for (char *c = column; c != NULL && *c != 0; c++)
            if (*c == '.')
                *c = '_';
        if (column == NULL) {
            columns = NULL;
            break;
        }
        columns[count++] = (sl_rows_column){.name = column,
                                            .type = field->type,
                                            .precision = field->precision,
                                            .scale = field->scale};
    }
    if (columns == NULL)
        status = sl_error_set(error, SL_ENOMEM, "%s: out of memory", name);
    else
        status =
            sl_warehouse_table_of_rows(dialect, name, columns, count, id, out, error);
    sl_arena_fini(&arena);
    return status;
}

/* A sum's number is an int64, which may have 19 digits; Parquet's decimals, on the way to
 * Redshift, end at 18. */
static uint8_t sum_digits(sl_dialect dialect) {
    return dialect == SL_DIALECT_POSTGRES ? 19 : 18;
}

static bool add_measure(sl_warehouse_table *table, const sl_measure *measure,
                        uint32_t index) {
    sl_warehouse_column *c = add(table, SL_COLUMN_MEASURE, measure->name, measure->type);
    if (c == NULL)
        return false;
    c->index = index;
    c->precision = c->type == SL_TYPE_DECIMAL ? sum_digits(table->dialect) : 0;
    c->scale = measure->scale;
    if (!measure->state)
        return true;
    sl_buffer name = SL_BUFFER_EMPTY;
    sl_buffer_printf(&name, "%s__state", measure->name);
    const char *text = sl_buffer_cstr(&name);
    c = name.failed ? NULL : add(table, SL_COLUMN_STATE, text, SL_TYPE_BYTES);
    sl_buffer_fini(&name);
    if (c != NULL)
        c->index = index;
    return c != NULL;
}

sl_status sl_warehouse_table_of_window(sl_dialect dialect, const char *name,
                                       const sl_window_plan *plan,
                                       sl_warehouse_table *out, sl_error *error) {
    uint32_t keys, measures;
    const sl_window_key *key = sl_window_plan_keys(plan, &keys);
    const sl_measure *measure = sl_window_plan_measures(plan, &measures);
    sl_status status = begin(dialect, name, keys + 2 * measures + 4, out, error);
    if (status != SL_OK)
        return status;
    out->window = true;
    bool whole = add(out, SL_COLUMN_START, "window_start", SL_TYPE_TIMESTAMP) != NULL;
    for (uint32_t i = 0; i < keys && whole; i++) {
        sl_warehouse_column *c = add(out, SL_COLUMN_GROUP, key[i].name, key[i].type);
        whole = c != NULL;
        if (c != NULL) {
            c->index = i;
            c->precision = c->type == SL_TYPE_DECIMAL ? 18 : 0;
            c->scale = key[i].scale;
        }
    }
    for (uint32_t i = 0; i < measures && whole; i++)
        whole = add_measure(out, &measure[i], i);
    whole =
        whole &&
        add(out, SL_COLUMN_KEY, "_key",
            dialect == SL_DIALECT_POSTGRES ? SL_TYPE_BYTES : SL_TYPE_STRING) != NULL &&
        add(out, SL_COLUMN_ROWS, "_rows", SL_TYPE_INT64) != NULL &&
        add(out, SL_COLUMN_HASH, "_hash", SL_TYPE_INT64) != NULL;
    return finish(out, whole, name, error);
}

static void define(const sl_warehouse_table *table, const sl_warehouse_column *column,
                   sl_buffer *out) {
    sl_dialect_quote(table->dialect, column->name, out);
    sl_buffer_byte(out, ' ');
    sl_warehouse_type(table->dialect, column, out);
    if (column->required)
        sl_buffer_text(out, " NOT NULL");
}

static const sl_warehouse_column *unique_column(const sl_warehouse_table *table) {
    for (uint32_t i = 0; i < table->count; i++)
        if (table->columns[i].unique)
            return &table->columns[i];
    return NULL;
}

/* Redshift enforces no key, so it isn't told of any; rows that are merged by a column lie
 * where that column's value says, and time sorts: of windows their start, of rows the
 * first time that they have. */
static void redshift_tail(const sl_warehouse_table *table, sl_buffer *out) {
    const sl_warehouse_column *id = unique_column(table), *time = NULL;
    for (uint32_t i = 0; i < table->count && time == NULL; i++)
        if (table->columns[i].type == SL_TYPE_TIMESTAMP)
            time = &table->columns[i];
    if (table->window || id != NULL) {
        sl_buffer_text(out, " DISTSTYLE KEY DISTKEY(");
        sl_dialect_quote(table->dialect, id != NULL ? id->name : "_key", out);
        sl_buffer_byte(out, ')');
    } else {
        sl_buffer_text(out, " DISTSTYLE EVEN");
    }
    sl_buffer_text(out, " SORTKEY(");
    if (time != NULL)
        sl_dialect_quote(table->dialect, time->name, out);
    else
        sl_buffer_text(out, "\"_partition\",\"_position\"");
    sl_buffer_byte(out, ')');
}

void sl_warehouse_create(const sl_warehouse_table *table, sl_buffer *out) {
    sl_buffer_printf(out, "CREATE TABLE IF NOT EXISTS %s (", table->full);
    for (uint32_t i = 0; i < table->count; i++) {
        sl_buffer_text(out, i == 0 ? "\n  " : ",\n  ");
        define(table, &table->columns[i], out);
    }
    const sl_warehouse_column *id = unique_column(table);
    if (table->dialect == SL_DIALECT_POSTGRES) {
        sl_buffer_text(out, table->window
                                ? ",\n  PRIMARY KEY (\"_key\")"
                                : ",\n  PRIMARY KEY (\"_partition\",\"_position\")");
        if (id != NULL) {
            sl_buffer_text(out, ",\n  UNIQUE (");
            sl_dialect_quote(table->dialect, id->name, out);
            sl_buffer_byte(out, ')');
        }
    }
    sl_buffer_text(out, "\n)");
    if (table->dialect == SL_DIALECT_REDSHIFT)
        redshift_tail(table, out);
}

/* No NOT NULL: there may be rows already. */
void sl_warehouse_add_column(const sl_warehouse_table *table,
                             const sl_warehouse_column *column, sl_buffer *out) {
    sl_warehouse_column loose = *column;
    loose.required = false;
    sl_buffer_printf(out, "ALTER TABLE %s ADD COLUMN ", table->full);
    define(table, &loose, out);
}

void sl_warehouse_dead_table(const sl_warehouse_table *table, const char *target,
                             sl_buffer *out) {
    sl_buffer name = SL_BUFFER_EMPTY, known = SL_BUFFER_EMPTY;
    const char *dot = strchr(target, '.');
    sl_buffer_printf(&name, "sluice_dead_%s", dot != NULL ? dot + 1 : target);
    sl_dialect_name(table->dialect, sl_buffer_cstr(&name), &known);
    if (*table->schema != 0) {
        sl_dialect_quote(table->dialect, table->schema, out);
        sl_buffer_byte(out, '.');
    }
    sl_dialect_quote(table->dialect, sl_buffer_cstr(&known), out);
    out->failed = out->failed || name.failed || known.failed;
    sl_buffer_fini(&name);
    sl_buffer_fini(&known);
}

void sl_warehouse_columns(const sl_warehouse_table *table, const char *prefix,
                          sl_buffer *out) {
    for (uint32_t i = 0; i < table->count; i++) {
        if (i != 0)
            sl_buffer_byte(out, ',');
        sl_buffer_text(out, prefix);
        sl_dialect_quote(table->dialect, table->columns[i].name, out);
    }
}
