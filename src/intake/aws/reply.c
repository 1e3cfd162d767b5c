#include "reply.h"

#include "cbor.h"

#include <inttypes.h>
#include <stdio.h>

#define JSON_TYPE "application/x-amz-json-1.1"
#define CBOR_TYPE "application/x-amz-cbor-1.1"
#define HASH_KEY_MAX "340282366920938463463374607431768211455"
#define ACCOUNT "000000000000"

enum { INDEX_DIGITS = 34, LIST_DEFAULT = 100, FIREHOSE_LIST_DEFAULT = 10 };

static void put(sl_buffer *out, const char *text) { sl_buffer_append(out, text, strlen(text)); }

/* As a UUID, which clients like to see. */
static void headers_of(const aws_answer *answer, const aws_fault *fault, char out[256]) {
    char hex[33];
    sl_hash128_text(answer->id, hex);
    int n = snprintf(out, 256, "x-amzn-RequestId: %.8s-%.4s-%.4s-%.4s-%.12s\r\n", hex, hex + 8, hex + 12, hex + 16,
                     hex + 20);
    if (fault != NULL)
        (void)snprintf(out + n, 256 - (size_t)n, "x-amzn-ErrorType: %s\r\n%s", fault->type,
                       fault->status >= 500 ? "Retry-After: 1\r\n" : "");
}

static void send_json(sl_http_exchange *exchange, const aws_answer *answer, sl_buffer *body) {
    char headers[256];
    sl_buffer cbor = SL_BUFFER_EMPTY;
    headers_of(answer, NULL, headers);
    bool failed = body->failed || (answer->cbor && !aws_json_to_cbor(body->bytes, body->length, &cbor));
    const sl_buffer *out = answer->cbor ? &cbor : body;
    if (failed) { /* What was put is stored; AWS too leaves such a reply open, and producers send again. */
        aws_fault fault = {.type = "InternalFailure", .status = 500, .message = "out of memory"};
        aws_reply_fault(exchange, answer, &fault);
    } else {
        sl_http_reply(exchange, 200, answer->cbor ? CBOR_TYPE : JSON_TYPE, headers, out->bytes, out->length);
    }
    sl_buffer_fini(&cbor);
    sl_buffer_fini(body);
}

void aws_reply_fault(sl_http_exchange *exchange, const aws_answer *answer, const aws_fault *fault) {
    char headers[256];
    sl_buffer body = SL_BUFFER_EMPTY, cbor = SL_BUFFER_EMPTY;
    headers_of(answer, fault, headers);
    put(&body, "{\"__type\":");
    sl_buffer_json_string(&body, fault->type, strlen(fault->type));
    put(&body, ",\"message\":");
    sl_buffer_json_string(&body, fault->message, strlen(fault->message));
    put(&body, "}");
    /* Without memory for the text, status and header say it alone. */
    bool failed = body.failed || (answer->cbor && !aws_json_to_cbor(body.bytes, body.length, &cbor));
    const sl_buffer *out = answer->cbor ? &cbor : &body;
    sl_http_reply(exchange, fault->status, answer->cbor ? CBOR_TYPE : JSON_TYPE, headers, out->bytes, failed ? 0 : out->length);
    sl_buffer_fini(&cbor);
    sl_buffer_fini(&body);
}

/* --- records --- */

/* The same text for each record but for the last digits of its number. */
typedef struct entry {
    char text[128];
    size_t length, digits_end;
} entry;

static entry entry_of(const aws_answer *answer) {
    entry e;
    const char *before = aws_is_firehose(answer->operation) ? "{\"RecordId\":\"" : "{\"SequenceNumber\":\"";
    const char *after = aws_is_firehose(answer->operation) ? "\"}" : "\",\"ShardId\":\"" AWS_SHARD "\"}";
    int n = snprintf(e.text, sizeof e.text, "%s49%020" PRIu64 "%0*d", before, answer->sequence, INDEX_DIGITS, 0);
    e.digits_end = (size_t)n;
    n += snprintf(e.text + n, sizeof e.text - (size_t)n, "%s", after);
    e.length = (size_t)n;
    return e;
}

static void next_number(entry *e) {
    size_t at = e->digits_end - 1;
    for (; e->text[at] == '9'; at--)
        e->text[at] = '0';
    e->text[at]++;
}

void aws_reply_put(sl_http_exchange *exchange, const aws_answer *answer) {
    sl_buffer body = SL_BUFFER_EMPTY;
    entry e = entry_of(answer);
    (void)sl_buffer_reserve(&body, 64 + answer->records * (e.length + 1));
    if (answer->operation == AWS_PUT_RECORD || answer->operation == AWS_FIREHOSE_PUT_RECORD) {
        sl_buffer_append(&body, e.text, e.length);
    } else {
        put(&body, answer->operation == AWS_PUT_RECORDS ? "{\"FailedRecordCount\":0,\"Records\":["
                                                        : "{\"FailedPutCount\":0,\"Encrypted\":false,\"RequestResponses\":[");
        for (uint32_t i = 0; i < answer->records; i++) {
            if (i > 0)
                sl_buffer_byte(&body, ',');
            sl_buffer_append(&body, e.text, e.length);
            next_number(&e);
        }
        put(&body, "]}");
    }
    send_json(exchange, answer, &body);
}

/* --- streams --- */

static void put_arn(sl_buffer *out, const aws_answer *answer, const char *stream) {
    if (aws_is_firehose(answer->operation))
        sl_buffer_printf(out, "\"arn:aws:firehose:%s:" ACCOUNT ":deliverystream/%s\"", answer->region, stream);
    else
        sl_buffer_printf(out, "\"arn:aws:kinesis:%s:" ACCOUNT ":stream/%s\"", answer->region, stream);
}

static void put_shards(sl_buffer *out, const aws_request *request) {
    put(out, "[");
    if (strcmp(request->after, AWS_SHARD) < 0)
        sl_buffer_printf(out,
                         "{\"ShardId\":\"" AWS_SHARD "\",\"HashKeyRange\":{\"StartingHashKey\":\"0\",\"EndingHashKey\":\""
                         HASH_KEY_MAX "\"},\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"49%054d\"}}",
                         0);
    put(out, "]");
}

static void put_description(sl_buffer *out, const aws_answer *answer, const aws_request *request) {
    bool summary = answer->operation == AWS_DESCRIBE_STREAM_SUMMARY;
    int64_t created_s = answer->created_us / INT64_C(1000000);
    sl_buffer_printf(out, "{\"StreamDescription%s\":{\"StreamName\":\"%s\",\"StreamARN\":", summary ? "Summary" : "",
                     request->stream);
    put_arn(out, answer, request->stream);
    put(out, ",\"StreamStatus\":\"ACTIVE\",\"StreamModeDetails\":{\"StreamMode\":\"PROVISIONED\"},");
    if (summary) {
        put(out, "\"OpenShardCount\":1,\"ConsumerCount\":0,\"MaxRecordSizeInKiB\":10240,");
    } else {
        put(out, "\"HasMoreShards\":false,\"Shards\":");
        put_shards(out, request);
        put(out, ",");
    }
    sl_buffer_printf(out,
                     "\"RetentionPeriodHours\":24,\"StreamCreationTimestamp\":%" PRId64
                     ",\"EnhancedMonitoring\":[{\"ShardLevelMetrics\":[]}],\"EncryptionType\":\"NONE\"}}",
                     created_s);
}

static void put_delivery_stream(sl_buffer *out, const aws_answer *answer, const aws_request *request) {
    sl_buffer_printf(out, "{\"DeliveryStreamDescription\":{\"DeliveryStreamName\":\"%s\",\"DeliveryStreamARN\":",
                     request->stream);
    put_arn(out, answer, request->stream);
    sl_buffer_printf(out,
                     ",\"DeliveryStreamStatus\":\"ACTIVE\",\"DeliveryStreamType\":\"DirectPut\",\"VersionId\":\"1\","
                     "\"CreateTimestamp\":%" PRId64 ",\"Destinations\":[],\"HasMoreDestinations\":false}}",
                     answer->created_us / INT64_C(1000000));
}

void aws_reply_describe(sl_http_exchange *exchange, const aws_answer *answer, const aws_request *request) {
    sl_buffer body = SL_BUFFER_EMPTY;
    if (answer->operation == AWS_LIST_SHARDS) {
        put(&body, "{\"Shards\":");
        put_shards(&body, request);
        put(&body, "}");
    } else if (answer->operation == AWS_FIREHOSE_DESCRIBE) {
        put_delivery_stream(&body, answer, request);
    } else {
        put_description(&body, answer, request);
    }
    send_json(exchange, answer, &body);
}

/* The first name behind `after`, by its bytes; NULL: none. */
static const char *next_name(const char *after, const char *(*stream)(void *context, uint32_t index), void *context) {
    const char *best = NULL, *name;
    for (uint32_t i = 0; (name = stream(context, i)) != NULL; i++)
        if (strcmp(name, after) > 0 && (best == NULL || strcmp(name, best) < 0))
            best = name;
    return best;
}

void aws_reply_list(sl_http_exchange *exchange, const aws_answer *answer, const aws_request *request,
                    const char *(*stream)(void *context, uint32_t index), void *context) {
    bool firehose = aws_is_firehose(answer->operation);
    uint32_t limit = request->limit != 0 ? request->limit : firehose ? FIREHOSE_LIST_DEFAULT : LIST_DEFAULT, count = 0;
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_buffer_printf(&body, "{\"%sNames\":[", firehose ? "DeliveryStream" : "Stream");
    const char *name = next_name(request->after, stream, context);
    for (; name != NULL && count < limit; count++) {
        if (count > 0)
            put(&body, ",");
        sl_buffer_json_string(&body, name, strlen(name));
        name = next_name(name, stream, context);
    }
    sl_buffer_printf(&body, "],\"HasMore%s\":%s}", firehose ? "DeliveryStreams" : "Streams", name != NULL ? "true" : "false");
    send_json(exchange, answer, &body);
}

void aws_reply_limits(sl_http_exchange *exchange, const aws_answer *answer,
                      const char *(*stream)(void *context, uint32_t index), void *context) {
    uint32_t count = 0;
    sl_buffer body = SL_BUFFER_EMPTY;
    while (stream(context, count) != NULL)
        count++;
    sl_buffer_printf(&body,
                     "{\"ShardLimit\":500,\"OpenShardCount\":%u,\"OnDemandStreamCount\":0,\"OnDemandStreamCountLimit\":50}",
                     count);
    send_json(exchange, answer, &body);
}
