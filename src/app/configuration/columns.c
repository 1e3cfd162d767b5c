/* The columns that a stream's or window's rows have in a warehouse: `a.b` becomes `a_b`,
 * and SQL compares names without case, so two fields may want one column. */
#include "loader.h"

enum { COLUMNS_MAX = 1900 }; /* SQLite takes 2000 in a table (SQLITE_MAX_COLUMN). */

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

bool sl_name_is_same(const char *a, const char *b) {
    for (; *a && lower(*a) == lower(*b); a++)
        b++;
    return !*a && !*b;
}

/** The sinks' own: bookkeeping begins with '_', partials end in `__state`. */
static bool is_taken(const char *column, bool window) {
    size_t length = strlen(column);
    if (window)
        return *column == '_' || sl_name_is_same(column, "window_start") ||
               sl_name_is_same(column, "window_end") ||
               (length > 7 && sl_name_is_same(column + length - 7, "__state"));
    return sl_name_is_same(column, "_partition") ||
           sl_name_is_same(column, "_position") || sl_name_is_same(column, "_hash");
}

typedef struct columns {
    const char *what, *name; /* "window", "per_minute" */
    const sl_node *at;
    const char **list;
    uint32_t count;
} columns;

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
        if (sl_name_is_same(c->list[i], column)) {
            sl_problem_add(&l->problems, c->at, false, SL_EEXIST,
                           "%s %s: two columns of its table have the name '%.100s'",
                           c->what, c->name, column);
            return;
        }
    c->list[c->count++] = column;
}

void sl_loader_check_stream_columns(sl_loader *l, const sl_config_stream *stream,
                                    const sl_node *node) {
    const sl_schema *schema = stream->schema;
    if (!schema || !stream->warehouse.name)
        return;
    columns c = {"stream", stream->name, sl_tree_child(node, "schema"), NULL, 0};
    uint32_t leaves = 0;
    for (uint32_t i = 1; i < schema->count; i++)
        leaves += schema->fields[i].type != SL_TYPE_GROUP;
    if (leaves > COLUMNS_MAX) {
        sl_problem_add(&l->problems, c.at, false, SL_ELIMIT,
                       "stream %s: %u columns; a warehouse table has at most %d",
                       stream->name, leaves, COLUMNS_MAX);
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
    columns c = {"window", d->name, sl_tree_child(node, "by"), NULL, 0};
    c.list = sl_loader_get(l, (size_t)d->by_count + d->measure_count, sizeof *c.list);
    for (uint32_t i = 0; c.list && i < d->by_count; i++)
        add(l, &c, d->by[i], true);
    c.at = sl_tree_child(node, "measures");
    for (uint32_t i = 0; c.list && i < d->measure_count; i++)
        add(l, &c, d->measures[i].name, true);
}
