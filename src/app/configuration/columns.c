/* The columns that a stream's or window's rows have in a warehouse: `a.b` becomes `a_b`,
 * and where the server compares names without case, two fields may want one column. */
#include "loader.h"

/* SQLite takes 2000 columns in a table (SQLITE_MAX_COLUMN) and names of any length.
 * PostgreSQL: appendix K, "PostgreSQL Limits". Redshift: "Names and identifiers", which
 * are folded to lower case even in quotes; "CREATE TABLE". Words that SQL reserves are
 * quoted, so every column may have them as its name. */
static const struct store {
    const char *name;
    size_t bytes; /* Of a name, 0: any. Longer ones are cut, with digits of a hash. */
    uint32_t columns;
    bool exact; /* Names are compared with their case. */
} stores[] = {[SL_STORE_SQLITE] = {"SQLite", 0, 1900, false},
              [SL_STORE_POSTGRES] = {"PostgreSQL", 63, 1590, true},
              [SL_STORE_REDSHIFT] = {"Redshift", 127, 1590, false}};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

static bool is_same(const char *a, const char *b) {
    for (; *a && lower(*a) == lower(*b); a++)
        b++;
    return !*a && !*b;
}

bool sl_name_is_same(const sl_loader *l, const char *a, const char *b) {
    return stores[l->config->warehouse.store].exact ? !strcmp(a, b) : is_same(a, b);
}

/** The sinks' own: bookkeeping begins with '_', partials end in `__state`. */
static bool is_taken(const char *column, bool window) {
    size_t length = strlen(column);
    if (window)
        return *column == '_' || is_same(column, "window_start") ||
               is_same(column, "window_end") ||
               (length > 7 && is_same(column + length - 7, "__state"));
    return is_same(column, "_partition") || is_same(column, "_position") ||
           is_same(column, "_hash");
}

/** Columns that every table of the server has already ("System Columns"), and our own of
 * windows: there the field's gets a '_' behind its name. */
static bool is_renamed(const sl_loader *l, const char *column) {
    static const char *const names[] = {"tableoid", "xmin",      "cmin",     "xmax",
                                        "cmax",     "ctid",      "oid",      "_key",
                                        "_rows",    "insertxid", "deletexid"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (l->config->warehouse.store != SL_STORE_SQLITE &&
            sl_name_is_same(l, column, names[i]))
            return true;
    return false;
}

typedef struct columns {
    const char *what, *name; /* "window", "per_minute" */
    const sl_node *at;
    const char **list;
    uint32_t count;
} columns;

/** Names that are not there as they are here. */
static void warn(sl_loader *l, const columns *c, const char *column) {
    const struct store *store = &stores[l->config->warehouse.store];
    bool cut = store->bytes && strlen(column) > store->bytes;
    if (!l->warn || (!cut && !is_renamed(l, column)))
        return;
    sl_error text;
    if (cut)
        sl_error_set(&text, SL_OK,
                     "%s %s: the column name '%.150s' has %zu bytes; %s takes %zu, so it "
                     "is cut there",
                     c->what, c->name, column, strlen(column), store->name, store->bytes);
    else
        sl_error_set(&text, SL_OK,
                     "%s %s: the column '%s' is called '%s_' in %s, which has one of "
                     "that name in every table",
                     c->what, c->name, column, column, store->name);
    l->warn(l->context, text.text);
}

static void add(sl_loader *l, columns *c, const char *path, bool window) {
    const char *column = path;
    if (strchr(path, '.')) {
        char *flat = sl_loader_keep(l, path, strlen(path));
        for (char *dot = flat; (dot = strchr(dot, '.'));)
            *dot = '_';
        column = flat;
    }
    if (is_taken(column, window))
        sl_problem_add(&l->problems, c->at, false, SL_EINVAL,
                       "%s %s: the column name '%.100s' is taken by the warehouse's own",
                       c->what, c->name, column);
    for (uint32_t i = 0; i < c->count; i++)
        if (sl_name_is_same(l, c->list[i], column)) {
            sl_problem_add(&l->problems, c->at, false, SL_EEXIST,
                           "%s %s: two columns of its table have the name '%.100s'",
                           c->what, c->name, column);
            return;
        }
    c->list[c->count++] = column;
    warn(l, c, column);
}

void sl_loader_check_stream_columns(sl_loader *l, const sl_config_stream *stream,
                                    const sl_node *node) {
    const sl_schema *schema = sl_config_output(stream);
    if (!schema || !stream->warehouse.name)
        return;
    columns c = {"stream", stream->name, sl_yaml_child(node, "schema"), NULL, 0};
    uint32_t leaves = 0;
    for (uint32_t i = 1; i < schema->count; i++)
        leaves += schema->fields[i].type != SL_TYPE_GROUP;
    const struct store *store = &stores[l->config->warehouse.store];
    if (leaves > store->columns) {
        sl_problem_add(&l->problems, c.at, false, SL_ELIMIT,
                       "stream %s: %u columns; a table of %s has at most %u",
                       stream->name, leaves, store->name, store->columns);
        return;
    }
    c.list = sl_loader_get(l, leaves, sizeof *c.list);
    for (uint32_t i = 1; c.list && i < schema->count; i++)
        if (schema->fields[i].type != SL_TYPE_GROUP)
            add(l, &c, schema->fields[i].path, false);
}

void sl_loader_check_window_columns(sl_loader *l, const sl_config_window *window,
                                    const sl_node *node) {
    const sl_window_definition *d = &window->definition;
    columns c = {"window", d->name, sl_yaml_child(node, "by"), NULL, 0};
    c.list = sl_loader_get(l, (size_t)d->by_count + d->measure_count, sizeof *c.list);
    for (uint32_t i = 0; c.list && i < d->by_count; i++)
        add(l, &c, d->by[i], true);
    c.at = sl_yaml_child(node, "measures");
    for (uint32_t i = 0; c.list && i < d->measure_count; i++)
        add(l, &c, d->measures[i].name, true);
}
