/* Dead letters, read from their files. */
#include "private.h"

#include "sluice/parquet.h"

enum { STREAM, CODE, RAW, PARTITION, POSITION, ARRIVED, SOURCE, NAMED, FORMAT, HEADER, COLUMNS };
static const char *const column_names[COLUMNS] = {"stream",   "code",    "raw",    "partition",
                                                  "position", "arrived", "source", "named", "format", "header"};

typedef struct reading {
    const replay_options *options;
    replay_files *files;
    replay_letter_fn *each;
    void *context;
    sl_error *error;
    sl_buffer made; /* Of a line of CSV and the one that names its values. */
} reading;

static bool is(const sl_value *v, const char *text) {
    return !v->null && v->as.text.length == strlen(text) && memcmp(v->as.text.bytes, text, v->as.text.length) == 0;
}

static bool wanted(const reading *s, const sl_value *v) {
    const replay_options *o = s->options;
    int64_t arrived = v[ARRIVED].as.i64;
    return is(&v[PARTITION], replay_files_partition(s->files)) && (o->stream == NULL || is(&v[STREAM], o->stream)) &&
           (o->code == NULL || is(&v[CODE], o->code)) && arrived >= o->since_us && arrived < o->until_us;
}

/* Its bytes as they are to be read again: a line of CSV with the line of names that it came with, or those that the
 * configuration has today; a record that was refused whole has its own. */
static void read_again(const sl_value *v, sl_buffer *made, sl_replay_item *item) {
    const sl_value *format = &v[FORMAT], *header = &v[HEADER];
    if (is(format, "cloudevents"))
        item->format.kind = SL_FORMAT_CLOUDEVENTS;
    if (format->null || format->as.text.length != 4 || memcmp(format->as.text.bytes, "csv", 3) != 0)
        return;
    item->format = (sl_format){SL_FORMAT_CSV, SL_HEADER_PRESENT, format->as.text.bytes[3]};
    if (header->null)
        return;
    item->format.header = header->as.text.length == 0 ? SL_HEADER_ABSENT : SL_HEADER_BEHIND;
    if (header->as.text.length == 0)
        return;
    sl_buffer_append(made, item->bytes, item->length);
    sl_buffer_append(made, header->as.text.bytes, header->as.text.length);
    sl_buffer_u32(made, (uint32_t)header->as.text.length);
    item->bytes = made->bytes;
    item->length = (uint32_t)made->length;
}

static sl_status give(reading *s, const sl_value *v) {
    replay_letter letter = {.stream = (const char *)v[STREAM].as.text.bytes,
                            .stream_length = v[STREAM].as.text.length,
                            .code = (const char *)v[CODE].as.text.bytes,
                            .code_length = v[CODE].as.text.length,
                            .named = v[NAMED].null ? "" : (const char *)v[NAMED].as.text.bytes,
                            .named_length = v[NAMED].null ? 0 : v[NAMED].as.text.length,
                            .item = {.position = (uint64_t)v[POSITION].as.i64,
                                     .arrival_us = v[ARRIVED].as.i64,
                                     .source = (const char *)v[SOURCE].as.text.bytes,
                                     .source_length = (uint32_t)v[SOURCE].as.text.length,
                                     .bytes = v[RAW].as.text.bytes,
                                     .length = (uint32_t)v[RAW].as.text.length}};
    sl_buffer_clear(&s->made);
    read_again(v, &s->made, &letter.item);
    if (s->made.failed)
        return sl_error_set(s->error, SL_ENOMEM, "out of memory");
    return s->each(s->context, &letter);
}

/* Where each of our columns is in the file. */
static bool map_columns(const sl_parquet_scan *scan, uint32_t map[COLUMNS]) {
    for (uint32_t k = 0; k < COLUMNS; k++) {
        map[k] = UINT32_MAX;
        for (uint32_t i = 0; i < sl_parquet_scan_columns(scan); i++)
            if (strcmp(sl_parquet_scan_name(scan, i), column_names[k]) == 0)
                map[k] = i;
        if (map[k] == UINT32_MAX && k < NAMED) /* Files of earlier versions lack the rest. */
            return false;
    }
    return true;
}

static sl_status scan_rows(reading *s, sl_parquet_scan *scan) {
    uint32_t map[COLUMNS];
    if (!map_columns(scan, map))
        return sl_error_set(s->error, SL_ECORRUPT, "it has no columns of dead letters");
    sl_parquet_scan_only(scan, column_names, COLUMNS);
    sl_value *row = sl_calloc(sl_parquet_scan_columns(scan) + 1, sizeof *row);
    sl_status status = row != NULL ? SL_OK : sl_error_set(s->error, SL_ENOMEM, "out of memory");
    while (status == SL_OK && (status = sl_parquet_scan_next(scan, row, s->error)) == SL_OK) {
        sl_value v[COLUMNS];
        for (uint32_t k = 0; k < COLUMNS; k++)
            v[k] = map[k] != UINT32_MAX ? row[map[k]] : (sl_value){.type = SL_TYPE_STRING, .null = true};
        if (wanted(s, v))
            status = give(s, v);
    }
    sl_free(row);
    return status == SL_ENOTFOUND ? SL_OK : status;
}

static sl_status read_letters(reading *s, uint64_t file) {
    sl_buffer bytes = SL_BUFFER_EMPTY;
    const char *path = "";
    sl_parquet_scan *scan = NULL;
    sl_status status = replay_files_read(s->files, file, &bytes, &path, s->error);
    if (status == SL_OK)
        status = sl_parquet_scan_open(bytes.bytes, bytes.length, &scan, s->error);
    if (status == SL_OK)
        status = scan_rows(s, scan);
    if (status != SL_OK)
        (void)sl_error_context(s->error, "%s", path);
    sl_parquet_scan_close(scan);
    sl_buffer_fini(&bytes);
    return status;
}

sl_status replay_letters(const sl_config *config, sl_files *files, const replay_options *options, replay_letter_fn *each,
                         void (*progress)(uint64_t file, uint64_t files), void *context, sl_error *error) {
    reading s = {.options = options, .each = each, .context = context, .error = error};
    sl_status status = replay_files_open(config, files, SL_TABLE_DEAD, NULL, &s.files, error);
    if (status == SL_OK && options->stream != NULL)
        status = replay_files_stream(s.files, options->stream);
    const uint64_t count = status == SL_OK ? replay_files_count(s.files) : 0;
    for (uint64_t i = 0; i < count && status == SL_OK; i++) {
        if (progress != NULL)
            progress(i + 1, count);
        status = read_letters(&s, i);
    }
    replay_files_close(s.files);
    sl_buffer_fini(&s.made);
    return status;
}
