/* A message of the log by Kafka (ingest.log) says in its headers what the journal says of a record:
 *
 *     sluice-stream   the path that the request named: "clicks". None: the configuration decides.
 *     sluice-source   "http", "kinesis", "firehose". None: "http".
 *     sluice-format   None: JSON. "cloudevents"; "csv,H,D": whether the first line names the columns (1, 2: sl_format_header), delimiter.
 *     sluice-key      "MESSAGE.INDEX/KEY": the Idempotency-Key, and the event's place in the request. What comes again under the same is
 *                     a repeat.
 *
 * So whatever a producer of another kind writes to the topic without any is an event in JSON, as if it had been posted to /v1/events. */
#include "private.h"

#include "sluice/hash.h"

#include <assert.h>

static_assert(sizeof(sl_hash128) == SL_ADDRESS_KEY, "a key is a hash");

static sl_kafka_field field(const char *name, const void *value, size_t length) {
    return (sl_kafka_field){.name = name, .value = value, .length = length};
}

size_t address_fields(const address *a, sl_kafka_field fields[ADDRESS_FIELDS]) {
    size_t n = 0;
    if (a->stream_length != 0)
        fields[n++] = field("sluice-stream", a->stream, a->stream_length);
    fields[n++] = field("sluice-source", a->source, strlen(a->source));
    if (a->format.kind == SL_FORMAT_CLOUDEVENTS)
        fields[n++] = field("sluice-format", "cloudevents", 11);
    else if (a->format.kind == SL_FORMAT_CSV)
        fields[n++] = field("sluice-format", a->csv, 7);
    if (a->key_length != 0)
        fields[n++] = field("sluice-key", a->key, a->key_length);
    return n;
}

void address_csv(address *a) {
    const char text[] = {'c', 's', 'v', ',', (char)('0' + a->format.header), ',', (char)a->format.delimiter};
    memcpy(a->csv, text, sizeof text);
}

static sl_format format_of(const uint8_t *text, size_t length) {
    if (length == 11 && memcmp(text, "cloudevents", 11) == 0)
        return (sl_format){.kind = SL_FORMAT_CLOUDEVENTS};
    if (length == 7 && memcmp(text, "csv,", 4) == 0 && text[5] == ',' &&
        (text[4] == '0' + SL_HEADER_PRESENT || text[4] == '0' + SL_HEADER_ABSENT))
        return (sl_format){SL_FORMAT_CSV, (uint8_t)(text[4] - '0'), text[6]};
    return (sl_format){0};
}

/* A name that is too long is no stream's; so it stays what it is, as far as there is room. */
static uint8_t as_name(size_t length) { return (uint8_t)(length < UINT8_MAX ? length : UINT8_MAX); }

void address_of(const sl_kafka_message *m, sl_buffer *out) {
    sl_message_address a = {.stream = "", .source = "http", .source_length = 4};
    sl_hash128 key;
    const char *name;
    const uint8_t *value;
    size_t length;
    for (size_t i = 0; sl_kafka_header(m, i, &name, &value, &length); i++) {
        if (value == NULL || strncmp(name, "sluice-", 7) != 0)
            continue;
        if (strcmp(name, "sluice-stream") == 0) {
            a.stream = (const char *)value;
            a.stream_length = as_name(length);
        } else if (strcmp(name, "sluice-source") == 0) {
            a.source = (const char *)value;
            a.source_length = as_name(length);
        } else if (strcmp(name, "sluice-format") == 0) {
            a.format = format_of(value, length);
        } else if (strcmp(name, "sluice-key") == 0) {
            key = sl_hash128_of(value, length);
            a.key = (const uint8_t *)&key;
        }
    }
    sl_message_address_put(out, &a);
}
