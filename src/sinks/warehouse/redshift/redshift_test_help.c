#include "redshift_test_help.h"

#include "sluice/io_files.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_us(clockid_t which) {
    struct timespec t;
    (void)clock_gettime(which, &t);
    return (int64_t)t.tv_sec * SL_SECOND_US + t.tv_nsec / 1000;
}
static int64_t wall_us(void *context) {
    (void)context;
    return clock_us(CLOCK_REALTIME);
}
static int64_t monotonic_us(void *context) {
    (void)context;
    return clock_us(CLOCK_MONOTONIC);
}
sl_clock test_clock(void) {
    return (sl_clock){.wall_us = wall_us, .monotonic_us = monotonic_us};
}

static const char *need(const char *name) {
    const char *value = getenv(name);
    assert_non_null(value);
    return value;
}

static void turned(void *context) {
    world *w = context;
    if (w->turns_left > 0 && --w->turns_left == 0)
        sl_loop_stop(w->loop);
}
static void ignored(void *context) { (void)context; }
static void ignored_signal(void *context, int number) {
    (void)context;
    (void)number;
}

static void rules_of(void *context, const sl_delivery *delivery, sl_warehouse_rules *rules) {
    world *w = context;
    rules->id = strstr(delivery->target, "upsert") != NULL ? w->id : NULL;
    if (strstr(delivery->target, "_dead") != NULL)
        rules->policy = SL_FIT_DEAD_LETTER;
    if (strstr(delivery->target, "_none") != NULL)
        rules->create = false;
}

static void (*change_options)(sl_redshift_options *options);

void target_open(world *w) {
    sl_error error = {.text = ""};
    sl_redshift_options options = {.loop = w->loop,
                                   .http = w->http,
                                   .credentials = w->credentials,
                                   .store = w->store,
                                   .files = sl_files_system(),
                                   .clock = test_clock(),
                                   .server = {.url = need("SLUICE_TEST_REDSHIFT"), .statement_ms = 30000},
                                   .stage = w->stage,
                                   .create = true,
                                   .rules_of = rules_of,
                                   .context = w};
    if (change_options != NULL)
        change_options(&options);
    sl_status status = sl_redshift_create(&options, &w->target, &error);
    if (status != SL_OK)
        fail_msg("%s", error.text);
}

void target_close(world *w) {
    if (w->target != NULL)
        w->target->destroy(w->target);
    w->target = NULL;
}

static void delivered(void *context, sl_status status, const sl_error *error) {
    world *w = context;
    assert_false(w->done);
    w->done = true;
    w->status = status;
    if (error != NULL)
        w->error = *error;
    sl_loop_stop(w->loop);
}

/* versitygw keeps objects as files: the last one that goes takes the folder along, also from under one that comes, which is
 * then refused. So one stays. */
static void keep_folder(world *w) {
    sl_error error;
    char bucket[64], key[200];
    const char *prefix;
    size_t length;
    sl_object_operation *operation;
    assert_int_equal(sl_object_url_parse(w->stage, bucket, &prefix, &length, &error), SL_OK);
    (void)snprintf(key, sizeof key, "%.*s/keep", (int)length, prefix);
    const sl_object_put put = {.bucket = bucket, .key = key, .bytes = "", .length = 0};
    assert_int_equal(sl_object_store_put(w->store, &put, delivered, w, &operation, &error), SL_OK);
    while (!w->done)
        sl_loop_run(w->loop);
    assert_int_equal(w->status, SL_OK);
}

void world_open(world *w, void (*change)(sl_redshift_options *options)) {
    static unsigned number;
    sl_error error = {.text = ""};
    *w = (world){0};
    change_options = change;
    (void)snprintf(w->stage, sizeof w->stage, "s3://%s/rs%d-%u/stage", need("SLUICE_TEST_S3_BUCKET"),
                   (int)getpid(), number++);
    const char *tmp = getenv("SLUICE_TMP");
    (void)snprintf(w->spool, sizeof w->spool, "%s/spool-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(w->spool));
    const sl_loop_callbacks callbacks = {.turn = turned,
                                         .tick = ignored,
                                         .signal = ignored_signal,
                                         .context = w,
                                         .tick_ms = 1000};
    assert_int_equal(sl_loop_create(&callbacks, &w->loop, &error), SL_OK);
    const sl_http_client_options http = {0};
    assert_int_equal(sl_http_client_create(sl_loop_uv(w->loop), &http, &w->http, &error), SL_OK);
    const sl_aws_credentials_options keys = {.access_key_id = need("AWS_ACCESS_KEY_ID"),
                                             .secret_access_key = need("AWS_SECRET_ACCESS_KEY"),
                                             .region = "us-east-1"};
    assert_int_equal(sl_aws_credentials_create(sl_loop_uv(w->loop), w->http, &keys,
                                               &w->credentials, &error),
                     SL_OK);
    const sl_object_store_options store = {.loop = sl_loop_uv(w->loop),
                                           .http = w->http,
                                           .credentials = w->credentials,
                                           .files = sl_files_system(),
                                           .clock = test_clock(),
                                           .endpoint = need("SLUICE_TEST_S3_ENDPOINT"),
                                           .path_style = true};
    if (sl_object_store_create(&store, &w->store, &error) != SL_OK)
        fail_msg("%s", error.text);
    const sl_postgres_options server = {.url = need("SLUICE_TEST_REDSHIFT")};
    assert_int_equal(sl_postgres_create(NULL, &server, &w->admin, &error), SL_OK);
    if (sl_postgres_connect_wait(w->admin, &error) != SL_OK)
        fail_msg("%s", error.text);
    keep_folder(w);
    target_open(w);
}

void world_close(world *w) {
    target_close(w);
    sl_object_store_destroy(w->store);
    sl_aws_credentials_destroy(w->credentials);
    sl_http_client_destroy(w->http);
    sl_loop_destroy(w->loop);
    sl_postgres_destroy(w->admin);
    sl_buffer_fini(&w->found);
    assert_int_equal(rmdir(w->spool), 0); /* Nothing is left in the spool. */
}

sl_status deliver_once(world *w, const parcel *p) {
    w->delivery = p->delivery;
    w->delivery.entry = &p->entry;
    w->delivery.hash = p->hash;
    w->delivery.found = &w->found;
    sl_buffer_clear(&w->found);
    w->done = false;
    w->target->deliver(w->target, &w->delivery, delivered, w);
    assert_false(w->done);
    sl_loop_run(w->loop);
    return w->done ? w->status : SL_EAGAIN;
}

sl_status deliver(world *w, const parcel *p) {
    sl_status status = SL_EAGAIN;
    for (unsigned n = 0; n < 20 && sl_status_follow_up(status) == SL_FOLLOW_RETRY; n++)
        if ((status = deliver_once(w, p)) != SL_OK)
            print_message("again: %s\n", w->error.text);
    if (status != SL_OK)
        print_message("%s\n", w->error.text);
    return status;
}

static char answer[4096];
static void keep_answer(void *context, sl_status status, const sl_postgres_result *result,
                        const sl_error *error) {
    size_t length = 0;
    (void)context;
    (void)error;
    if (status == SL_OK && sl_postgres_rows(result) != 0 && sl_postgres_columns(result) != 0) {
        const char *cell = sl_postgres_cell(result, 0, 0, &length);
        (void)snprintf(answer, sizeof answer, "%s", cell == NULL ? "null" : cell);
    }
}

const char *ask(world *w, const char *format, ...) {
    static char text[8192];
    sl_error error = {.text = ""};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    answer[0] = 0;
    if (sl_postgres_query_wait(w->admin, text, keep_answer, NULL, &error) != SL_OK)
        fail_msg("%s: %s", text, error.text);
    return answer;
}

int64_t ask_number(world *w, const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return strtoll(ask(w, "%s", text), NULL, 10);
}

static bool count_object(void *context, const sl_object_info *info) {
    if (strstr(info->key, "/keep") == NULL)
        ((world *)context)->objects++;
    return true;
}

unsigned staged_objects(world *w) {
    sl_error error;
    char bucket[64];
    const char *prefix;
    size_t length;
    assert_int_equal(sl_object_url_parse(w->stage, bucket, &prefix, &length, &error), SL_OK);
    w->done = false;
    w->objects = 0;
    sl_object_operation *operation;
    assert_int_equal(sl_object_store_list(w->store, bucket, prefix, count_object, delivered, w,
                                          &operation, &error),
                     SL_OK);
    while (!w->done)
        sl_loop_run(w->loop);
    return w->objects;
}

void rest_ms(unsigned ms) {
    const struct timespec t = {.tv_nsec = (long)ms * 1000000};
    (void)nanosleep(&t, NULL);
}

unsigned staged_objects_at_last(world *w) {
    unsigned count = staged_objects(w);
    for (unsigned n = 0; n < 200 && count != 0; n++) {
        rest_ms(10);
        count = staged_objects(w);
    }
    return count;
}

/* --- events --- */

sl_schema *test_schema(void) {
    static const struct {
        const char *name;
        sl_type type;
    } fields[] = {{"id", SL_TYPE_STRING},     {"kind", SL_TYPE_STRING},
                  {"user", SL_TYPE_STRING},   {"amount", SL_TYPE_DOUBLE},
                  {"price", SL_TYPE_DECIMAL}, {"at", SL_TYPE_TIMESTAMP},
                  {"paid", SL_TYPE_BOOL},     {"day", SL_TYPE_DATE},
                  {"tags", SL_TYPE_JSON},     {"number", SL_TYPE_INT64}};
    sl_schema *schema = sl_schema_create("events");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        uint32_t f = sl_schema_add(schema, 0, fields[i].name, strlen(fields[i].name), fields[i].type);
        if (fields[i].type == SL_TYPE_DECIMAL) {
            schema->fields[f].precision = 12;
            schema->fields[f].scale = 2;
        }
    }
    return schema;
}

event numbered(int64_t n) {
    static char ids[16][32], users[16][32];
    static const char *const kinds[] = {"view", "buy", "it's a \\ 'quote'", "\xc3\xbc"};
    char *id = ids[n % 16], *user = users[n % 16];
    (void)snprintf(id, 32, "id-%" PRId64, n);
    (void)snprintf(user, 32, "user-%" PRId64, n * 7 % 100);
    return (event){.position = n * 100,
                   .at_us = INT64_C(1767225600000000) + n * SL_SECOND_US,
                   .id = id,
                   .kind = kinds[n % 4],
                   .user = user,
                   .tags = n % 3 == 0 ? NULL : "{\"a\":[1,2]}",
                   .amount = (double)n / 8,
                   .price = n * 101};
}

static sl_value text_value(const char *text, sl_type type) {
    return (sl_value){.type = type,
                      .null = text == NULL,
                      .as.text = {(const uint8_t *)text, text == NULL ? 0 : strlen(text)}};
}

static sl_rows_column columns[] = {
    {"_position", SL_TYPE_INT64, 0, 0}, {"id", SL_TYPE_STRING, 0, 0},
    {"kind", SL_TYPE_STRING, 0, 0},     {"user", SL_TYPE_STRING, 0, 0},
    {"amount", SL_TYPE_DOUBLE, 0, 0},   {"price", SL_TYPE_DECIMAL, 12, 2},
    {"at", SL_TYPE_TIMESTAMP, 0, 0},    {"paid", SL_TYPE_BOOL, 0, 0},
    {"day", SL_TYPE_DATE, 0, 0},        {"tags", SL_TYPE_JSON, 0, 0},
    {"number", SL_TYPE_INT64, 0, 0}};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void put_event(sl_buffer *rows, int64_t n) {
    event e = numbered(n);
    const sl_value values[COLUMNS] = {
        {.type = SL_TYPE_INT64, .as.i64 = e.position},
        text_value(e.id, SL_TYPE_STRING),
        text_value(e.kind, SL_TYPE_STRING),
        text_value(e.user, SL_TYPE_STRING),
        {.type = SL_TYPE_DOUBLE, .as.f64 = e.amount},
        {.type = SL_TYPE_DECIMAL, .scale = 2, .as.i64 = e.price},
        {.type = SL_TYPE_TIMESTAMP, .as.i64 = e.at_us},
        {.type = SL_TYPE_BOOL, .as.i64 = n % 2},
        {.type = SL_TYPE_DATE, .as.i64 = e.at_us / SL_DAY_US},
        text_value(e.tags, SL_TYPE_JSON),
        {.type = SL_TYPE_INT64, .null = n % 5 == 0, .as.i64 = n}};
    sl_rows_add(rows, values, COLUMNS);
}

parcel parcel_of(world *w, const char *table, const char *partition, uint64_t sequence, uint64_t from,
                 uint64_t to) {
    parcel p = {.entry = {.sequence = sequence, .from = from, .to = to},
                .delivery = {.table = "stream/warehouse",
                             .kind = SL_TABLE_ROWS,
                             .target = table,
                             .partition = partition,
                             .spool = w->spool,
                             .first = sequence == 1}};
    (void)snprintf(p.hash, sizeof p.hash, "%s-%" PRIu64 "-%" PRIu64, "hash", from, to);
    return p;
}

void parcel_file(world *w, parcel *p, const sl_buffer *rows, uint64_t count) {
    static unsigned number;
    char name[40], path[300];
    (void)snprintf(name, sizeof name, "%u.rows", number++);
    (void)snprintf(path, sizeof path, "%s/%s", w->spool, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(rows->bytes, 1, rows->length, f), rows->length);
    assert_int_equal(fclose(f), 0);
    p->entry.files = sl_realloc(p->entry.files, (p->entry.file_count + 1) * sizeof *p->entry.files);
    p->entry.files[p->entry.file_count++] = (sl_entry_file){.spool = sl_strdup(name),
                                                            .key = sl_strdup(""),
                                                            .bytes = rows->length,
                                                            .rows = count,
                                                            .hash = sl_hash128_of(rows->bytes, rows->length)};
}

parcel rows_parcel(world *w, const char *table, const char *partition, uint64_t sequence, int64_t first,
                   int64_t count, unsigned files) {
    static sl_schema *schema;
    if (schema == NULL)
        schema = test_schema();
    parcel p = parcel_of(w, table, partition, sequence, (uint64_t)first * 100,
                         (uint64_t)(first + count) * 100);
    p.delivery.schema = schema;
    for (unsigned f = 0; f < files; f++) {
        int64_t from = first + count * f / files, to = first + count * (f + 1) / files;
        sl_buffer rows = SL_BUFFER_EMPTY;
        sl_rows_begin(&rows, columns, COLUMNS);
        for (int64_t n = from; n < to; n++)
            put_event(&rows, n);
        parcel_file(w, &p, &rows, (uint64_t)(to - from));
        sl_buffer_fini(&rows);
    }
    return p;
}

void parcel_fini(world *w, parcel *p) {
    for (uint32_t i = 0; i < p->entry.file_count; i++) {
        char path[300];
        (void)snprintf(path, sizeof path, "%s/%s", w->spool, p->entry.files[i].spool);
        assert_int_equal(unlink(path), 0);
        sl_free(p->entry.files[i].spool);
        sl_free(p->entry.files[i].key);
    }
    sl_free(p->entry.files);
    sl_free(p->entry.ranges);
}

void parcel_brings(parcel *p, unsigned n, uint64_t from, uint64_t to) {
    sl_buffer lines = SL_BUFFER_EMPTY;
    char name[32];
    const int length = snprintf(name, sizeof name, "kafka:c/t/%u@g", n);
    sl_buffer_text(&lines, p->entry.ranges != NULL ? p->entry.ranges : "");
    sl_range_put(&lines, &(sl_range){from, to, name, (size_t)length});
    sl_free(p->entry.ranges);
    p->entry.ranges = sl_strdup(sl_buffer_cstr(&lines));
    assert_non_null(p->entry.ranges);
    sl_buffer_fini(&lines);
}

int64_t part_position(world *w, const char *table, unsigned n) {
    assert_int_equal(ask_number(w, "SELECT COUNT(*) - COUNT(DISTINCT id) FROM sluice_ledger_%s", table), 0);
    return ask_number(w, "SELECT COALESCE(MAX(CAST(position AS BIGINT)), -1) FROM sluice_ledger_%s"
                         " WHERE partition = 'kafka:c/t/%u@g' AND rows = 0", table, n);
}

/* --- windows --- */

sl_window_plan *test_plan(const sl_schema *schema) {
    static const char *const by[] = {"kind"};
    static const sl_measure_definition measures[] = {
        {"events", "count()"},          {"revenue", "sum(amount)"}, {"money", "sum(price)"},
        {"users", "unique(user)"},      {"low", "min(amount)"},     {"high", "max(number)"},
        {"middle", "quantile(amount, 0.5)"}, {"mean", "avg(amount)"}, {"per_user", "events / users"}};
    const sl_window_definition definition = {.name = "per_minute",
                                             .width_us = SL_MINUTE_US,
                                             .event_time = "at",
                                             .by = by,
                                             .by_count = 1,
                                             .measures = measures,
                                             .measure_count = sizeof measures / sizeof *measures};
    sl_window_plan *plan = NULL;
    sl_error error = {.text = ""};
    if (sl_window_plan_create(&definition, schema, &plan, &error) != SL_OK)
        fail_msg("%s", error.text);
    return plan;
}

typedef struct deltas {
    sl_buffer rows;
    uint64_t count;
} deltas;

static sl_status put_delta(void *context, const sl_window_row *row) {
    deltas *d = context;
    const sl_value values[] = {{.type = SL_TYPE_TIMESTAMP, .as.i64 = row->start_us},
                               {.type = SL_TYPE_BYTES, .as.text = {row->key, row->key_length}},
                               {.type = SL_TYPE_BYTES, .as.text = {row->state, row->state_length}}};
    sl_rows_add(&d->rows, values, 3);
    d->count++;
    return SL_OK;
}

static void batch_text(sl_batch *batch, uint32_t field, uint32_t row, const char *text) {
    batch->columns[field].valid[row] = text != NULL;
    if (text != NULL)
        batch->columns[field].values.span[row] = sl_batch_keep_text(batch, text, strlen(text));
}
static void batch_number(sl_batch *batch, uint32_t field, uint32_t row, int64_t number) {
    batch->columns[field].valid[row] = 1;
    batch->columns[field].values.i64[row] = number;
}

static void fold(sl_window *window, sl_batch *batch, int64_t n) {
    static const uint8_t nothing[SL_PADDING];
    static const sl_record record = {.arrival_us = INT64_C(1767225600000000)};
    event e = numbered(n);
    uint64_t late = 0;
    uint32_t row = 0;
    assert_int_equal(sl_batch_prepare(batch, batch->schema, nothing, &record), SL_OK);
    for (uint32_t f = 1; f < batch->schema->count; f++)
        batch->columns[f].valid[0] = 0;
    batch_text(batch, 1, 0, e.id);
    batch_text(batch, 2, 0, e.kind);
    batch_text(batch, 3, 0, e.user);
    batch->columns[4].valid[0] = 1;
    batch->columns[4].values.f64[0] = e.amount;
    batch_number(batch, 5, 0, e.price);
    batch_number(batch, 6, 0, e.at_us);
    if (n % 5 != 0)
        batch_number(batch, 10, 0, n);
    batch->row_record[0] = batch->row_begin[0] = batch->row_length[0] = 0;
    batch->verdict[0] = SL_VERDICT_KEEP;
    batch->rows = 1;
    assert_int_equal(sl_window_add(window, batch, &row, SL_NO_TIME, &late), SL_OK);
}

parcel window_parcel(world *w, const sl_window_plan *plan, const char *table, const char *partition,
                     uint64_t sequence, int64_t first, int64_t count) {
    static const sl_rows_column heads[] = {{"start", SL_TYPE_TIMESTAMP, 0, 0},
                                           {"key", SL_TYPE_BYTES, 0, 0},
                                           {"state", SL_TYPE_BYTES, 0, 0}};
    static const uint8_t nothing[SL_PADDING];
    parcel p = parcel_of(w, table, partition, sequence, (uint64_t)first * 100,
                         (uint64_t)(first + count) * 100);
    p.delivery.kind = SL_TABLE_WINDOW;
    p.delivery.plan = plan;
    deltas d = {0};
    sl_rows_begin(&d.rows, heads, 3);
    sl_window *window = NULL;
    sl_schema *schema = test_schema();
    sl_batch *batch = sl_batch_create(NULL);
    assert_int_equal(sl_batch_prepare(batch, schema, nothing, NULL), SL_OK);
    assert_int_equal(sl_window_create(plan, NULL, &window), SL_OK);
    for (int64_t n = first; n < first + count; n++)
        fold(window, batch, n);
    assert_int_equal(sl_window_cut(window, put_delta, &d), SL_OK);
    sl_window_destroy(window);
    sl_batch_destroy(batch);
    sl_schema_unref(schema);
    parcel_file(w, &p, &d.rows, d.count);
    sl_buffer_fini(&d.rows);
    return p;
}

/* --- what tests do all the time --- */

void forget(world *w, const char *table) {
    (void)ask(w, "DROP TABLE IF EXISTS %s", table);
    (void)ask(w, "DROP TABLE IF EXISTS sluice_ledger_%s", table);
    (void)ask(w, "DROP TABLE IF EXISTS sluice_dead_%s", table);
}

void take(world *w, parcel p) {
    if (deliver(w, &p) != SL_OK)
        fail_msg("%s", w->error.text);
    parcel_fini(w, &p);
}

void check_rows(world *w, const char *table, int64_t count) {
    assert_int_equal(ask_number(w, "SELECT COUNT(*) FROM %s", table), count);
    assert_int_equal(ask_number(w, "SELECT COUNT(DISTINCT id) FROM %s", table), count);
    assert_int_equal(ask_number(w, "SELECT COALESCE(SUM(price * 100), 0) FROM %s", table),
                     101 * count * (count - 1) / 2);
    assert_int_equal(ask_number(w, "SELECT COALESCE(SUM(amount * 8), 0) FROM %s", table),
                     count * (count - 1) / 2);
    assert_int_equal(ask_number(w, "SELECT SUM(rows) FROM sluice_ledger_%s", table), count);
    assert_int_equal(staged_objects_at_last(w), 0);
}
