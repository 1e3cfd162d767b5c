/* DDL for people who make tables themselves, or want to see what sluice makes. The texts
 * for warehouses are the very ones that the targets run; Athena has no target of its own,
 * it reads the lake.
 *
 * Source  Amazon Athena User Guide, "CREATE TABLE", "Supported data types", "Partition
 * projection". */
#include "ddl.h"

#include "sluice/checkpoint.h"
#include "sluice/time.h"
#include "sluice/warehouse_sql.h"

#include <stdio.h>

/* Schemas of inferred streams, as the ledger has them. */
typedef struct seen {
    struct seen *next;
    sl_schema *schema;
} seen;

typedef struct ddl {
    const sl_config *config;
    sl_dialect dialect;
    seen *seen;
    sl_buffer *out;
    sl_error *error;
} ddl;

/* --- schemas --- */

static sl_status keep_schema(void *context, const char *stream, uint32_t version,
                             const char *json, size_t length) {
    ddl *d = context;
    (void)stream;
    (void)version;
    seen *s = sl_calloc(1, sizeof *s);
    if (s == NULL)
        return SL_ENOMEM;
    s->next = d->seen;
    d->seen = s;
    return sl_schema_load(json, length, &s->schema, d->error);
}

static bool present(sl_files *files, const char *path) {
    int file;
    if (files->open(files, path, SL_FILE_READ, &file, NULL) != SL_OK)
        return false;
    files->close(files, file);
    return true;
}

static sl_status read_ledger(ddl *d, sl_files *files) {
    const sl_sql_options options = {.read_only = true, .vfs = files->sqlite_vfs};
    sl_buffer path = SL_BUFFER_EMPTY;
    sl_ledger *ledger = NULL;
    sl_buffer_printf(&path, "%s/ledger.db", d->config->data_dir);
    const char *text = sl_buffer_cstr(&path);
    sl_status status =
        path.failed ? sl_error_set(d->error, SL_ENOMEM, "out of memory") : SL_OK;
    if (status == SL_OK && present(files, text)) {
        status = sl_ledger_open(text, &options, &ledger, d->error);
        if (status == SL_OK)
            status = sl_ledger_schemas(ledger, keep_schema, d, d->error);
        sl_ledger_close(ledger);
    }
    sl_buffer_fini(&path);
    return status;
}

static const sl_schema *seen_schema(const ddl *d, const char *stream) {
    for (const seen *s = d->seen; s != NULL; s = s->next)
        if (strcmp(s->schema->name, stream) == 0)
            return s->schema;
    return NULL;
}

static void comment(ddl *d, const char *kind, const char *name, bool known) {
    sl_buffer_printf(
        d->out, "%s-- %s %s%s\n", d->out->length == 0 ? "" : "\n", kind, name,
        known ? "" : ": its schema is inferred, columns are added as they appear");
}

/* --- warehouses --- */

static void table_text(ddl *d, const sl_warehouse_table *table) {
    sl_warehouse_create(table, d->out);
    sl_buffer_text(d->out, ";\n");
    sl_warehouse_ledger_create(table, d->out);
    sl_buffer_text(d->out, ";\n");
}

static sl_status rows_table(ddl *d, const sl_config_table *config,
                            const sl_schema *schema) {
    sl_warehouse_table table;
    sl_status status = sl_warehouse_table_of_schema(d->dialect, config->name, schema,
                                                    config->id, &table, d->error);
    if (status != SL_OK)
        return status;
    table_text(d, &table);
    sl_warehouse_table_fini(&table);
    return SL_OK;
}

static sl_status window_table(ddl *d, const char *name,
                              const sl_window_definition *definition,
                              const sl_schema *schema) {
    sl_window_plan *plan;
    sl_warehouse_table table;
    sl_status status = sl_window_plan_create(definition, schema, &plan, d->error);
    if (status != SL_OK)
        return status;
    status = sl_warehouse_table_of_window(d->dialect, name, plan, &table, d->error);
    if (status == SL_OK) {
        table_text(d, &table);
        sl_warehouse_table_fini(&table);
    }
    sl_window_plan_destroy(plan);
    return status;
}

/* --- Athena --- */

static void athena_type(const sl_schema *schema, uint32_t f, sl_buffer *out) {
    const sl_field *field = &schema->fields[f];
    if (field->type != SL_TYPE_GROUP) {
        const sl_warehouse_column column = {
            .type = field->type, .precision = field->precision, .scale = field->scale};
        sl_warehouse_type(SL_DIALECT_ATHENA, &column, out);
        return;
    }
    sl_buffer_text(out, "struct<");
    for (uint32_t c = field->first_child; c != SL_NO_FIELD;
         c = schema->fields[c].next_sibling) {
        if (c != field->first_child)
            sl_buffer_byte(out, ',');
        sl_dialect_name(SL_DIALECT_ATHENA, schema->fields[c].name, out);
        sl_buffer_byte(out, ':');
        athena_type(schema, c, out); /* As deep as SL_DEPTH_MAX. */
    }
    sl_buffer_byte(out, '>');
}

static bool partition_of(const sl_config_lake *lake, const char *name) {
    for (uint32_t i = 0; i < lake->partition_count; i++)
        if (strcmp(lake->partition_by[i], name) == 0)
            return true;
    return false;
}

static void athena_name(const char *name, sl_buffer *out) {
    sl_buffer known = SL_BUFFER_EMPTY;
    sl_dialect_name(SL_DIALECT_ATHENA, name, &known);
    sl_dialect_quote(SL_DIALECT_ATHENA, sl_buffer_cstr(&known), out);
    out->failed = out->failed || known.failed;
    sl_buffer_fini(&known);
}

/* Where the directories follow from the clock alone, Athena needs no list of partitions.
 */
static bool by_time_only(const sl_config_lake *lake) {
    bool date = false;
    for (uint32_t i = 0; i < lake->partition_count; i++) {
        if (strcmp(lake->partition_by[i], "date") == 0)
            date = true;
        else if (strcmp(lake->partition_by[i], "hour") != 0)
            return false;
    }
    return date;
}

static void athena_partitions(const sl_config_lake *lake, sl_buffer *out) {
    for (uint32_t i = 0; i < lake->partition_count; i++) {
        const char *name = lake->partition_by[i];
        sl_buffer_text(out, i == 0 ? "PARTITIONED BY (\n  " : ",\n  ");
        athena_name(name, out);
        sl_buffer_text(out, strcmp(name, "date") == 0 ? " date" : " string");
    }
    if (lake->partition_count != 0)
        sl_buffer_text(out, "\n)\n");
}

static void athena_properties(const sl_config_lake *lake, sl_buffer *out) {
    if (!by_time_only(lake))
        return;
    sl_buffer_text(out, "\nTBLPROPERTIES (\n  'projection.enabled' = 'true'");
    for (uint32_t i = 0; i < lake->partition_count; i++)
        sl_buffer_text(out, strcmp(lake->partition_by[i], "date") == 0
                                ? ",\n  'projection.date.type' = 'date',\n"
                                  "  'projection.date.format' = 'yyyy-MM-dd',\n"
                                  "  'projection.date.range' = '2020-01-01,NOW+1DAYS'"
                                : ",\n  'projection.hour.type' = 'integer',\n"
                                  "  'projection.hour.range' = '0,23',\n"
                                  "  'projection.hour.digits' = '2'");
    sl_buffer_text(out, "\n)");
}

static void athena_table(ddl *d, const char *name, const sl_config_lake *lake,
                         const char *to, const sl_schema *schema) {
    const char *comma = "";
    if (schema->fields[0].first_child == SL_NO_FIELD)
        return; /* Nothing was seen of it; Athena has no tables without columns. */
    if (strncmp(to, "s3://", 5) != 0)
        sl_buffer_text(d->out,
                       "-- Athena reads S3 only, this lake is a local directory\n");
    bool listed = lake->partition_count != 0 && !by_time_only(lake);
    for (uint32_t i = 0; i < lake->partition_count; i++)
        if (strchr(lake->partition_by[i], '.') != NULL)
            sl_buffer_printf(d->out,
                             "-- Athena can't name the partition '%s': use a field that "
                             "isn't nested\n",
                             lake->partition_by[i]);
    sl_buffer_text(d->out, "CREATE EXTERNAL TABLE IF NOT EXISTS ");
    athena_name(name, d->out);
    sl_buffer_text(d->out, " (");
    for (uint32_t f = schema->fields[0].first_child; f != SL_NO_FIELD;
         f = schema->fields[f].next_sibling) {
        if (partition_of(lake, schema->fields[f].name))
            continue; /* A column stands either here or among the partitions. */
        sl_buffer_printf(d->out, "%s\n  ", comma);
        athena_name(schema->fields[f].name, d->out);
        sl_buffer_byte(d->out, ' ');
        athena_type(schema, f, d->out);
        comma = ",";
    }
    sl_buffer_text(d->out, "\n)\n");
    athena_partitions(lake, d->out);
    sl_buffer_text(d->out, "STORED AS PARQUET\nLOCATION ");
    sl_buffer directory = SL_BUFFER_EMPTY;
    sl_buffer_printf(&directory, "%s%s", to,
                     to[0] != 0 && to[strlen(to) - 1] == '/' ? "" : "/");
    sl_dialect_literal(SL_DIALECT_ATHENA, sl_buffer_cstr(&directory), directory.length,
                       d->out);
    d->out->failed = d->out->failed || directory.failed;
    sl_buffer_fini(&directory);
    athena_properties(lake, d->out);
    sl_buffer_text(d->out, ";\n");
    if (listed) {
        sl_buffer_text(d->out, "MSCK REPAIR TABLE ");
        athena_name(name, d->out);
        sl_buffer_text(d->out, "; -- again whenever there are new partitions\n");
    }
}

/* --- streams and windows --- */

/* The stream's schema, or what was seen of it; a new empty one in *made where nothing
 * was. */
static sl_status schema_of(ddl *d, const char *stream, const sl_schema *told,
                           const sl_schema **out, sl_schema **made) {
    *made = NULL;
    *out = told != NULL ? told : seen_schema(d, stream);
    if (*out != NULL)
        return SL_OK;
    *made = sl_schema_create(stream);
    if (*made == NULL)
        return sl_error_set(d->error, SL_ENOMEM, "out of memory");
    (*made)->inferred = true;
    *out = *made;
    return SL_OK;
}

static sl_status windows_of(ddl *d, const char *stream, const sl_schema *schema,
                            bool known) {
    sl_status status = SL_OK;
    for (uint32_t i = 0; i < d->config->window_count && status == SL_OK; i++) {
        const sl_config_window *w = &d->config->windows[i];
        if (strcmp(w->of, stream) != 0 || w->warehouse.name == NULL)
            continue;
        comment(d, "window", w->definition.name, known);
        status = window_table(d, w->warehouse.name, &w->definition, schema);
    }
    return status;
}

static sl_status of_stream(ddl *d, const sl_config_stream *s) {
    const sl_schema *schema;
    sl_schema *made;
    sl_status status = schema_of(d, s->name, sl_config_output(s), &schema, &made);
    if (status != SL_OK)
        return status;
    if (d->dialect == SL_DIALECT_ATHENA) {
        if (s->has_lake) {
            comment(d, "stream", s->name, s->schema != NULL);
            athena_table(d, s->name, &s->lake, s->lake.to, schema);
        }
    } else {
        if (s->warehouse.name != NULL) {
            comment(d, "stream", s->name, s->schema != NULL);
            status = rows_table(d, &s->warehouse, schema);
        }
        if (status == SL_OK)
            status = windows_of(d, s->name, schema, s->schema != NULL);
    }
    sl_schema_unref(made);
    return status;
}

/* Without configured streams: those that were named by producers, each with its lake and
 * its window. */
static sl_status of_seen(ddl *d, const sl_schema *schema) {
    static const sl_measure_definition measures[] = {{"count", "count()"}};
    sl_buffer name = SL_BUFFER_EMPTY;
    comment(d, "stream", schema->name, false);
    sl_status status = SL_OK;
    if (d->dialect == SL_DIALECT_ATHENA) {
        sl_buffer_printf(&name, "%s/%s", d->config->lake.to, schema->name);
        athena_table(d, schema->name, &d->config->lake, sl_buffer_cstr(&name), schema);
    } else {
        sl_buffer_printf(&name, "%s_per_minute", schema->name);
        const char *text = sl_buffer_cstr(&name);
        const sl_window_definition definition = {.name = text,
                                                 .width_us = SL_MINUTE_US,
                                                 .measures = measures,
                                                 .measure_count = 1};
        status = window_table(d, text, &definition, schema);
    }
    sl_buffer_fini(&name);
    return status;
}

static bool dialect_of(const char *target, sl_dialect *out) {
    static const struct {
        const char *name;
        sl_dialect dialect;
    } table[] = {{"postgres", SL_DIALECT_POSTGRES},
                 {"postgresql", SL_DIALECT_POSTGRES},
                 {"redshift", SL_DIALECT_REDSHIFT},
                 {"athena", SL_DIALECT_ATHENA},
                 {"glue", SL_DIALECT_ATHENA}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(target, table[i].name) == 0) {
            *out = table[i].dialect;
            return true;
        }
    return false;
}

sl_status sl_ddl(const sl_config *config, sl_files *files, const char *target,
                 sl_buffer *out, sl_error *error) {
    ddl d = {.config = config, .out = out, .error = error};
    if (!dialect_of(target, &d.dialect))
        return sl_error_set(error, SL_EINVAL,
                            "no DDL for '%s': there are redshift, postgres, athena",
                            target);
    sl_status status = read_ledger(&d, files);
    for (uint32_t i = 0; i < config->stream_count && status == SL_OK; i++)
        status = of_stream(&d, &config->streams[i]);
    for (const seen *s = d.seen; config->embedded && s != NULL && status == SL_OK;
         s = s->next)
        status = of_seen(&d, s->schema);
    while (d.seen != NULL) {
        seen *next = d.seen->next;
        sl_schema_unref(d.seen->schema);
        sl_free(d.seen);
        d.seen = next;
    }
    if (status == SL_OK && out->failed)
        status = sl_error_set(error, SL_ENOMEM, "out of memory");
    if (status == SL_OK && out->length == 0)
        sl_buffer_text(out, config->embedded
                                ? "-- no stream has been named yet\n"
                                : "-- nothing goes there in this configuration\n");
    return status;
}
