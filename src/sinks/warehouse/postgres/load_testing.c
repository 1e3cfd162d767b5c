/* Loads made-up entries by the target, as told on standard input;
 * tests/integration/postgres_module_test.py breaks the server meanwhile. Row files are a
 * function of the words, so the same words are the same entry.
 *
 *   postgres_load URL SPOOL [sessions=N] [timeout_ms=N]
 *   rows   TABLE partition=P from=A to=B [first] [hash=H] [columns=wide] [name=TEXT]
 * [doc=JSON] [id=COLUMN] [policy=dead_letter] [no_create] [missing] window TABLE
 * partition=P from=A to=B [first] [hash=H] [events=A..B] [groups=N] wait until all are
 * done; each prints "TABLE FROM STATUS text" audit  TABLE partition=P from=A to=B
 * [window]   prints "TABLE FROM found position rows altered first"
 * With `parts` it says in place of `first` what the ledger has of other partitions.
 * Both kinds take parts=I..J:A..B, also several: offsets A to B of the partitions
 * kafka:c/t/I@g up to J - 1. What the ledger has of such partitions follows the text of
 * "emoved", each with ';'.
 *
 * Event positions are the multiples of 10 in [from, to). */
#include "sluice/batch.h"
#include "sluice/io_files.h"
#include "sluice/postgres_target.h"
#include "sluice/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_ROWS = 20000 };

typedef struct job {
    struct job *next;
    char words[4096];
    char *table, *partition, *hash, *name, *doc, *id;
    uint64_t from, to, first_event, last_event, groups;
    bool first, told, wide, window, dead_letter, no_create;
    sl_entry entry;
    sl_entry_file file;
    char spool_name[64];
    sl_delivery delivery;
    sl_buffer ranges, found;
} job;

static sl_target *target;
static sl_loop *loop;
static sl_postgres_options server;
static const char *spool;
static unsigned pending, numbers;
static sl_schema *schema;
static sl_window_plan *plan;

static void die(const char *what) {
    (void)fprintf(stderr, "postgres_load: %s\n", what);
    exit(2);
}

static bool take(char *word, const char *key, char **out) {
    size_t n = strlen(key);
    if (strncmp(word, key, n) != 0 || word[n] != '=')
        return false;
    *out = word + n + 1;
    return true;
}

static uint64_t number(const char *text) {
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

/* "0..3:5..9" */
static void add_parts(job *j, char *text) {
    char *end;
    uint64_t first = strtoull(text, &end, 10), last = strtoull(end + 2, &end, 10);
    sl_range range = {.from = strtoull(end + 1, &end, 10)};
    range.to = strtoull(end + 2, NULL, 10);
    for (; first < last; first++) {
        char name[48];
        int length = snprintf(name, sizeof name, "kafka:c/t/%" PRIu64 "@g", first);
        range.partition = name;
        range.length = (size_t)length;
        sl_range_put(&j->ranges, &range);
    }
}

static void parse(job *j, char *line) {
    char *from = NULL, *to = NULL, *events = NULL, *groups = NULL, *columns = NULL,
         *policy = NULL, *parts;
    (void)snprintf(j->words, sizeof j->words, "%s", line);
    char *rest = NULL;
    j->window = strcmp(strtok_r(j->words, " \n", &rest), "window") == 0;
    j->table = strtok_r(NULL, " \n", &rest);
    for (char *w; (w = strtok_r(NULL, " \n", &rest)) != NULL;) {
        if (take(w, "partition", &j->partition) || take(w, "from", &from) ||
            take(w, "to", &to) || take(w, "hash", &j->hash) ||
            take(w, "columns", &columns) || take(w, "name", &j->name) ||
            take(w, "doc", &j->doc) || take(w, "id", &j->id) ||
            take(w, "policy", &policy) || take(w, "events", &events) ||
            take(w, "groups", &groups))
            continue;
        if (take(w, "parts", &parts))
            add_parts(j, parts);
        else if (strcmp(w, "first") == 0)
            j->first = true;
        else if (strcmp(w, "parts") == 0)
            j->told = true;
        else if (strcmp(w, "no_create") == 0)
            j->no_create = true;
        else if (strcmp(w, "window") == 0)
            j->window = true;
        else
            die(w);
    }
    if (j->table == NULL || j->partition == NULL)
        die("a table and a partition are needed");
    j->from = number(from);
    j->to = number(to);
    j->wide = columns != NULL;
    j->dead_letter = policy != NULL;
    j->groups = groups == NULL ? 5 : number(groups);
    j->first_event = events == NULL ? j->from / 10 : number(events);
    j->last_event = events == NULL ? j->to / 10 : number(strstr(events, "..") + 2);
}

static sl_value text_value(sl_type type, const char *text) {
    return (sl_value){
        .type = type,
        .null = text == NULL,
        .as.text = {(const uint8_t *)text, text == NULL ? 0 : strlen(text)}};
}

static void make_rows(job *j, sl_buffer *out) {
    const sl_rows_column columns[] = {
        {.name = "_position", .type = SL_TYPE_INT64},
        {.name = "name", .type = SL_TYPE_STRING},
        {.name = "n", .type = SL_TYPE_INT64},
        {.name = "x", .type = SL_TYPE_DOUBLE},
        {.name = "price", .type = SL_TYPE_DECIMAL, .scale = 2},
        {.name = "at", .type = SL_TYPE_TIMESTAMP},
        {.name = "day", .type = SL_TYPE_DATE},
        {.name = "paid", .type = SL_TYPE_BOOL},
        {.name = "doc", .type = SL_TYPE_JSON},
        {.name = "raw", .type = SL_TYPE_BYTES},
        {.name = "late_column", .type = SL_TYPE_STRING},
    };
    uint32_t count = j->wide ? 11 : 10;
    sl_rows_begin(out, columns, count);
    for (uint64_t at = j->from; at < j->to; at += 10) {
        char name[32], doc[64];
        bool odd = at / 10 % 7 == 3; /* A row with nulls. */
        (void)snprintf(name, sizeof name, "n%" PRIu64, at / 10 % 100);
        (void)snprintf(doc, sizeof doc, "{\"b\": [%" PRIu64 ", 1.50],\"a\":\"\\u00e9\"}",
                       at);
        bool told = at == j->from;
        sl_value v[11] = {
            {.type = SL_TYPE_INT64, .as.i64 = (int64_t)at},
            text_value(SL_TYPE_STRING, told && j->name != NULL ? j->name : name),
            {.type = SL_TYPE_INT64, .as.i64 = INT64_MIN + (int64_t)at, .null = odd},
            {.type = SL_TYPE_DOUBLE, .as.f64 = (double)at / 3, .null = odd},
            {.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = (int64_t)at * 1001 - 500000},
            {.type = SL_TYPE_TIMESTAMP,
             .as.i64 = INT64_C(1700000000123456) + (int64_t)at,
             .null = odd},
            {.type = SL_TYPE_DATE, .as.i64 = 19000 + (int64_t)(at % 1000)},
            {.type = SL_TYPE_BOOL, .as.i64 = at % 20 == 0},
            text_value(SL_TYPE_JSON, told && j->doc != NULL ? j->doc
                                     : odd                  ? NULL
                                                            : doc),
            {.type = SL_TYPE_BYTES, .as.text = {(const uint8_t *)"\0\1\377", 3}},
            text_value(SL_TYPE_STRING, "late"),
        };
        sl_rows_add(out, v, count);
    }
}

static sl_status emit(void *context, const sl_window_row *row) {
    const sl_value v[3] = {
        {.type = SL_TYPE_TIMESTAMP, .as.i64 = row->start_us},
        {.type = SL_TYPE_BYTES, .as.text = {row->key, row->key_length}},
        {.type = SL_TYPE_BYTES, .as.text = {row->state, row->state_length}},
    };
    sl_rows_add(context, v, 3);
    return SL_OK;
}

/* Event e: minute e / 100, group e mod groups, amounts that add exactly. */
static void make_windows(job *j, sl_buffer *out) {
    static const sl_rows_column columns[] = {{.name = "start", .type = SL_TYPE_TIMESTAMP},
                                             {.name = "key", .type = SL_TYPE_BYTES},
                                             {.name = "state", .type = SL_TYPE_BYTES}};
    sl_window *window = NULL;
    sl_batch *batch = sl_batch_create(NULL);
    sl_record record = {0};
    if (batch == NULL || sl_window_create(plan, NULL, &window) != SL_OK)
        die("out of memory");
    for (uint64_t e = j->first_event; e < j->last_event;) {
        if (sl_batch_prepare(batch, schema, (const uint8_t *)"", &record) != SL_OK)
            die("batch");
        for (; batch->rows < batch->capacity && e < j->last_event; batch->rows++, e++) {
            uint32_t i = batch->rows;
            char user[24], group[24];
            (void)snprintf(user, sizeof user, "u%" PRIu64, e * 2654435761u % 3000);
            (void)snprintf(group, sizeof group, "g%" PRIu64, e % j->groups);
            batch->row_record[i] = batch->row_begin[i] = batch->row_length[i] = 0;
            batch->verdict[i] = SL_VERDICT_KEEP;
            for (uint32_t f = 1; f < schema->count; f++)
                batch->columns[f].valid[i] = true;
            batch->columns[1].values.i64[i] = (int64_t)(e / 100) * SL_MINUTE_US;
            batch->columns[2].values.span[i] =
                sl_batch_keep_text(batch, group, strlen(group));
            batch->columns[2].valid[i] = e % j->groups != 0;
            batch->columns[3].values.span[i] =
                sl_batch_keep_text(batch, user, strlen(user));
            batch->columns[4].values.f64[i] = (double)(e % 1000) * 0.25;
            batch->columns[5].values.i64[i] = (int64_t)(e % 777) * 3 - 100;
        }
        uint32_t row = 0;
        uint64_t late = 0;
        if (sl_window_add(window, batch, &row, SL_NO_TIME, &late) != SL_OK)
            die("window");
    }
    sl_rows_begin(out, columns, 3);
    if (sl_window_cut(window, emit, out) != SL_OK)
        die("cut");
    sl_window_destroy(window);
    sl_batch_destroy(batch);
}

static void make_plan(void) {
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {{"ts", SL_TYPE_TIMESTAMP},
                  {"country", SL_TYPE_STRING},
                  {"user", SL_TYPE_STRING},
                  {"amount", SL_TYPE_DOUBLE},
                  {"price", SL_TYPE_DECIMAL}};
    static const sl_measure_definition measures[] = {
        {"events", "count()"},      {"big", "count(amount > 100.0)"},
        {"amounts", "sum(amount)"}, {"revenue", "sum(price)"},
        {"least", "min(price)"},    {"most", "max(amount)"},
        {"last_user", "max(user)"}, {"mean", "avg(price)"},
        {"users", "unique(user)"},  {"p50", "quantile(amount, 0.5)"},
        {"share", "big / events"}};
    static const char *const by[] = {"country"};
    static const sl_window_definition definition = {.name = "per_minute",
                                                    .width_us = SL_MINUTE_US,
                                                    .event_time = "ts",
                                                    .by = by,
                                                    .by_count = 1,
                                                    .measures = measures,
                                                    .measure_count = sizeof measures /
                                                                     sizeof *measures};
    sl_error error = {0};
    schema = sl_schema_create("clicks");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        (void)sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name),
                            fields[i].type);
    schema->fields[5].precision = 12;
    schema->fields[5].scale = 2;
    if (sl_window_plan_create(&definition, schema, &plan, &error) != SL_OK)
        die(error.text);
}

static void write_file(job *j) {
    sl_buffer rows = SL_BUFFER_EMPTY;
    char path[1024];
    if (j->window)
        make_windows(j, &rows);
    else
        make_rows(j, &rows);
    (void)snprintf(j->spool_name, sizeof j->spool_name, "%u.rows", ++numbers);
    (void)snprintf(path, sizeof path, "%s/%s", spool, j->spool_name);
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(rows.bytes, 1, rows.length, file) != rows.length ||
        fclose(file) != 0)
        die(path);
    j->file = (sl_entry_file){.spool = j->spool_name,
                              .key = j->spool_name,
                              .bytes = rows.length,
                              .hash = sl_hash128_of(rows.bytes, rows.length)};
    sl_buffer_fini(&rows);
}

static void print_lines(const sl_buffer *lines) {
    for (size_t i = 0; i < lines->length; i++)
        (void)putchar(lines->bytes[i] == '\n' ? ';' : (int)lines->bytes[i]);
}

static void on_done(void *context, sl_status status, const sl_error *error) {
    job *j = context;
    (void)printf("%s %" PRIu64 " %s %s", j->table, j->from, sl_status_name(status),
                 status == SL_OK ? "" : error->text);
    print_lines(&j->found);
    (void)putchar('\n');
    (void)fflush(stdout);
    sl_buffer_fini(&j->ranges);
    sl_buffer_fini(&j->found);
    free(j);
    if (--pending == 0)
        sl_loop_stop(loop);
}

static void rules_of(void *context, const sl_delivery *delivery,
                     sl_warehouse_rules *rules) {
    const job *j =
        (const job *)(const void *)((const char *)delivery - offsetof(job, delivery));
    (void)context;
    rules->id = j->id;
    rules->create = !j->no_create;
    rules->policy = j->dead_letter ? SL_FIT_DEAD_LETTER : SL_FIT_TRUNCATE;
}

static void deliver(char *line) {
    job *j = calloc(1, sizeof *j);
    if (j == NULL)
        die("out of memory");
    parse(j, line);
    write_file(j);
    j->entry =
        (sl_entry){.from = j->from, .to = j->to, .files = &j->file, .file_count = 1};
    if (j->ranges.length != 0) {
        (void)sl_buffer_cstr(&j->ranges);
        j->entry.ranges = (char *)j->ranges.bytes;
    }
    j->delivery = (sl_delivery){.found = &j->found,
                                .table = j->table,
                                .kind = j->window ? SL_TABLE_WINDOW : SL_TABLE_ROWS,
                                .target = j->table,
                                .partition = j->partition,
                                .spool = spool,
                                .entry = &j->entry,
                                .first = j->first,
                                .hash = j->hash != NULL ? j->hash : "0123456789abcdef",
                                .plan = j->window ? plan : NULL};
    pending++;
    target->deliver(target, &j->delivery, on_done, j);
}

static void audit(char *line) {
    job j = {0};
    parse(&j, line);
    sl_warehouse_fact fact;
    sl_error error = {0};
    sl_status status = sl_postgres_audit(&server, SL_DIALECT_POSTGRES, j.table, NULL, j.partition, j.window,
                                         j.from, j.to, &fact, &error);
    if (status != SL_OK)
        (void)printf("%s %" PRIu64 " %s %s\n", j.table, j.from, sl_status_name(status),
                     error.text);
    else
        (void)printf("%s %" PRIu64 " %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %s",
                     j.table, j.from, fact.found, fact.position, fact.rows, fact.altered,
                     j.told ? "" : fact.first_altered);
    if (j.told)
        print_lines(&fact.parts);
    if (status == SL_OK)
        (void)putchar('\n');
    sl_buffer_fini(&fact.parts);
    (void)fflush(stdout);
}

static void nothing(void *context) { (void)context; }

static void on_signal(void *context, int signal) {
    (void)context;
    exit(128 + signal);
}

int main(int argc, char **argv) {
    char line[4096], *text;
    sl_error error = {0};
    if (argc < 3)
        die("URL and spool are needed");
    uint32_t sessions = 0;
    server.url = argv[1];
    spool = argv[2];
    for (int i = 3; i < argc; i++) {
        if (take(argv[i], "sessions", &text))
            sessions = (uint32_t)number(text);
        else if (take(argv[i], "timeout_ms", &text))
            server.statement_ms = (uint32_t)number(text);
        else
            die(argv[i]);
    }
    make_plan();
    const sl_loop_callbacks callbacks = {
        .turn = nothing, .tick = nothing, .signal = on_signal, .tick_ms = 1000};
    if (sl_loop_create(&callbacks, &loop, &error) != SL_OK)
        die(error.text);
    const sl_postgres_target_options options = {.loop = loop,
                                                .files = sl_files_system(),
                                                .server = server,
                                                .create = true,
                                                .sessions_max = sessions,
                                                .rules_of = rules_of};
    if (sl_postgres_target_create(&options, &target, &error) != SL_OK)
        die(error.text);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strncmp(line, "wait", 4) == 0) {
            if (pending != 0)
                sl_loop_run(loop);
        } else if (strncmp(line, "audit", 5) == 0) {
            audit(line);
        } else {
            deliver(line);
        }
    }
    if (pending != 0)
        sl_loop_run(loop);
    target->destroy(target);
    sl_loop_destroy(loop);
    sl_window_plan_destroy(plan);
    sl_schema_unref(schema);
    return 0;
}
