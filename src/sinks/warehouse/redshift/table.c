/* The table as the server has it: made, given what it lacks, compared with what is
 * brought. */
#include "job.h"

enum { DDL_TRIES = 20 };

static sl_status make_table(job *j, sl_error *error) {
    const sl_delivery *d = j->delivery;
    const target *t = j->of;
    j->rules = (sl_warehouse_rules){.create = t->options.create, .policy = t->options.policy};
    if (t->options.rules_of != NULL)
        t->options.rules_of(t->options.context, d, &j->rules);
    sl_status status =
        d->plan != NULL ? sl_warehouse_table_of_window(SL_DIALECT_REDSHIFT, d->target,
                                                       d->plan, &j->table, error)
                        : sl_warehouse_table_of_schema(SL_DIALECT_REDSHIFT, d->target,
                                                       d->schema, j->rules.id, &j->table, error);
    if (status != SL_OK)
        return status;
    j->table_made = true;
    size_t count = (size_t)j->table.count + 1;
    j->live = sl_calloc(count, sizeof *j->live);
    j->values = sl_calloc(count, sizeof *j->values);
    j->row = sl_calloc(count, sizeof *j->row);
    j->deltas = d->plan == NULL ? NULL : sl_calloc(DELTAS, sizeof *j->deltas);
    return j->live == NULL || j->values == NULL || j->row == NULL ||
                   (d->plan != NULL && j->deltas == NULL)
               ? sl_error_set(error, SL_ENOMEM, "out of memory")
               : SL_OK;
}

static uint64_t columns_hash(const sl_warehouse_table *table) {
    uint64_t hash = table->count;
    for (uint32_t i = 0; i < table->count; i++) {
        const sl_warehouse_column *c = &table->columns[i];
        hash = sl_hash64(c->name, strlen(c->name),
                         hash + (uint64_t)c->type + c->precision * 7u + c->scale * 101u);
    }
    return hash;
}

static known *find_known(job *j) {
    const char *name = j->delivery->target;
    for (known *k = j->of->tables; k != NULL; k = k->next)
        if (strcmp(k->name, name) == 0)
            return k;
    known *k = sl_calloc(1, sizeof *k);
    if (k == NULL || (k->name = sl_strdup(name)) == NULL) {
        sl_free(k);
        return NULL;
    }
    k->next = j->of->tables;
    j->of->tables = k;
    return k;
}

static void read_live(job *j);

static void altered(job *j, const sl_postgres_result *result) {
    (void)result;
    read_live(j);
}

/* Another daemon may have been quicker: then it is there. */
static void defined(void *context, sl_status status, const sl_postgres_result *result,
                    const sl_error *error) {
    job *j = context;
    if (status == SL_EEXIST)
        status = SL_OK;
    job_answered(j, status, result, error);
}

static void define(job *j, const char *what, job_step *then) {
    sl_error error;
    if (j->ddl_tries++ > DDL_TRIES + j->table.count) {
        (void)sl_error_set(&error, SL_EIO, "the table doesn't come to be");
        job_fail_here(j, SL_EIO, &error, false);
        return;
    }
    job_query_to(j, what, defined, then);
}

static void compared(job *j, const sl_postgres_result *result) {
    (void)result;
    known *k = j->known;
    k->columns = columns_hash(&j->table);
    k->compared = j->fresh = true;
    job_look(j);
}

/* Names, then what would help; SL_OK when nothing is missing. */
static sl_status name_missing(job *j, sl_error *error) {
    sl_buffer names = SL_BUFFER_EMPTY;
    sl_buffer_clear(&j->text);
    for (uint32_t i = 0; i < j->table.count; i++) {
        const sl_warehouse_column *c = &j->table.columns[i];
        if (sl_live_find(&j->known->live, c->name) != NULL)
            continue;
        sl_buffer_printf(&names, "%scolumn \"%s\"", names.length != 0 ? ", " : "", c->name);
        sl_buffer_text(&j->text, names.length != 0 && j->text.length != 0 ? "; " : "");
        sl_warehouse_add_column(&j->table, c, &j->text);
    }
    sl_status status = names.length == 0
                           ? SL_OK
                           : sl_error_set(error, SL_EIO, "the table lacks %s: %s",
                                          sl_buffer_cstr(&names), sl_buffer_cstr(&j->text));
    sl_buffer_fini(&names);
    return status;
}

/* @return true: a column is being added. */
static bool add_missing(job *j) {
    for (uint32_t i = 0; i < j->table.count; i++) {
        const sl_warehouse_column *c = &j->table.columns[i];
        if (sl_live_find(&j->known->live, c->name) != NULL)
            continue;
        sl_buffer_clear(&j->text);
        sl_warehouse_add_column(&j->table, c, &j->text);
        define(j, "add column", altered);
        return true;
    }
    return false;
}

/* Columns of ours that the table lacks are added; the rest must fit. */
static void compare(job *j) {
    sl_error error;
    if (j->rules.create && add_missing(j))
        return;
    sl_status status = j->rules.create ? SL_OK : name_missing(j, &error);
    if (status == SL_OK)
        status = sl_live_check(&j->known->live, &j->table, &error);
    if (status != SL_OK) {
        job_fail_here(j, status, &error, false);
        return;
    }
    if (!j->rules.create) {
        compared(j, NULL);
        return;
    }
    sl_buffer_clear(&j->text);
    sl_warehouse_ledger_create(&j->table, &j->text);
    define(j, "create the ledger", compared);
}

static void got_live(job *j, const sl_postgres_result *result) {
    sl_error error;
    sl_live_table *live = &j->known->live;
    sl_live_table_fini(live);
    uint32_t rows = sl_postgres_rows(result);
    sl_status status = SL_OK;
    for (uint32_t r = 0; r < rows && status == SL_OK; r++) {
        const char *cells[6] = {0};
        size_t length;
        for (uint32_t c = 0; c < 6 && c < sl_postgres_columns(result); c++)
            cells[c] = sl_postgres_cell(result, r, c, &length);
        status = sl_live_table_add(live, cells);
    }
    if (status != SL_OK) {
        (void)sl_error_set(&error, status, "out of memory");
        job_fail_here(j, status, &error, false);
    } else if (live->count != 0) {
        compare(j);
    } else if (j->rules.create) {
        sl_buffer_clear(&j->text);
        sl_warehouse_create(&j->table, &j->text);
        define(j, "create table", altered);
    } else {
        (void)sl_error_set(&error, SL_EIO, "there is no such table, and `create` is off");
        job_fail_here(j, SL_EIO, &error, false);
    }
}

static void read_live(job *j) {
    j->known->compared = false;
    sl_buffer_clear(&j->text);
    sl_warehouse_live(&j->table, &j->text);
    job_query(j, "read the table's columns", got_live);
}

void job_table(job *j) {
    sl_error error;
    sl_status status = j->table_made ? SL_OK : make_table(j, &error);
    if (status == SL_OK && (j->known = find_known(j)) == NULL)
        status = sl_error_set(&error, SL_ENOMEM, "out of memory");
    if (status != SL_OK) {
        job_fail_here(j, status, &error, false);
        return;
    }
    j->ddl_tries = 0;
    const known *k = j->known;
    bool again = k->tight && !j->fresh;
    if (k->compared && !again && k->columns == columns_hash(&j->table))
        job_look(j);
    else
        read_live(j);
}

static void ended_reading(job *j, const sl_postgres_result *result) {
    (void)result;
    j->in_transaction = false;
    read_live(j);
}

void job_table_again(job *j) {
    encode_forget(j);
    j->ddl_tries = 0;
    if (j->in_transaction)
        job_query_text(j, "ROLLBACK", ended_reading);
    else
        read_live(j);
}

void job_dead_table(job *j, job_step *then) {
    sl_buffer_clear(&j->text);
    statement_dead_create(&j->table, j->delivery->target, &j->text);
    define(j, "create the table for rows that don't fit", then);
}
