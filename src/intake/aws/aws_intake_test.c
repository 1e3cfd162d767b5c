#include "sluice/aws_intake.h"

#include "sluice/aws.h"
#include "sluice/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW INT64_C(1440938160000000) /* 2015-08-30T12:36:00Z */
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

/* An engine that writes down what it is given; one connection; a clock that stands. */
typedef struct fixture {
    sl_intake port;
    sl_status status;
    sl_buffer log, output;
    sl_intake_done_fn *done;
    void *token;
    int64_t now;
    uint64_t fail_at; /* Allocation of the next request. */
    sl_budget budget;
    sl_aws_intake *routes;
    sl_http_options options;
    sl_http_connection *connection;
} fixture;

static sl_status submit(sl_intake *port, const sl_intake_request *request) {
    fixture *f = (fixture *)port;
    sl_messages_reader reader;
    sl_message_item item;
    assert_int_equal(request->format.kind, SL_FORMAT_MESSAGES);
    assert_true(sl_messages_valid(request->body, request->length));
    if (f->status != SL_OK)
        return f->status;
    sl_buffer_printf(&f->log, "%.*s|%s|", (int)request->stream_length, request->stream, request->source);
    assert_true(sl_messages_read(request->body, request->length, &reader));
    while (sl_messages_next(&reader, &item)) {
        sl_buffer_append(&f->log, item.bytes, item.length);
        sl_buffer_byte(&f->log, ';');
    }
    f->done = request->done;
    f->token = request->token;
    return SL_OK;
}

static int64_t clock_of(void *context) { return ((fixture *)context)->now; }

static const char *stream(void *context, uint32_t index) {
    (void)context;
    static const char *const names[] = {"web", "apps", "clicks"};
    return index < 3 ? names[index] : NULL;
}

static int admit(void *context, const char *method, const char *path, sl_http_exchange *exchange) {
    return sl_aws_intake_admit(((fixture *)context)->routes, method, path, exchange);
}

static bool refuse(void *context, const char *method, const char *path, sl_http_exchange *exchange, int status,
                   const char *message) {
    return sl_aws_intake_refuse(((fixture *)context)->routes, method, path, exchange, status, message);
}

static void handle(void *context, const sl_http_request *request) {
    if (!sl_aws_intake_handle(((fixture *)context)->routes, request))
        sl_http_reply_error(request->exchange, 404, "not_found", "no such path");
}

static void send_out(void *context, const void *bytes, size_t length) { sl_buffer_append(context, bytes, length); }

static const sl_aws_intake_key pairs[] = {{"OTHER", "another"}, {"AKID", SECRET}};

static void open_with(fixture *f, size_t keys, bool guarded, bool any) {
    *f = (fixture){.port.submit = submit, .now = NOW};
    sl_budget_init(&f->budget, 1 << 20);
    sl_aws_intake_options options = {.intake = &f->port, .keys = pairs, .key_count = keys, .guarded = guarded, .stream = stream,
                                     .any_stream = any, .clock = {clock_of, clock_of, f}, .budget = &f->budget};
    f->routes = sl_aws_intake_create(&options);
    assert_non_null(f->routes);
    f->options = (sl_http_options){.body_bytes_max = 1 << 20, .handler = handle, .context = f, .admit = admit, .refuse = refuse};
    f->connection = sl_http_connection_create(&f->options, send_out, &f->output);
    assert_non_null(f->connection);
}

static void close_all(fixture *f) {
    assert_int_equal(sl_budget_used(&f->budget), 0);
    sl_http_connection_destroy(f->connection);
    sl_aws_intake_destroy(f->routes);
    sl_buffer_fini(&f->log);
    sl_buffer_fini(&f->output);
}

/* @return the status of the reply, 0 while there is none. */
static int send_head(fixture *f, const char *target, const char *headers, const char *body) {
    sl_buffer text = SL_BUFFER_EMPTY;
    sl_buffer_clear(&f->output);
    sl_buffer_clear(&f->log);
    sl_buffer_printf(&text, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: %s\r\n%sContent-Length: %zu\r\n\r\n%s", target, headers,
                     strlen(body), body);
    sl_memory_fail_at(f->fail_at);
    sl_http_connection_feed(f->connection, text.bytes, text.length);
    sl_memory_fail_at(0);
    sl_buffer_fini(&text);
    const char *output = sl_buffer_cstr(&f->output);
    return *output == 0 ? 0 : atoi(output + 9);
}

static int send(fixture *f, const char *target, const char *body) {
    return send_head(f, target, "Content-Type: application/x-amz-json-1.1\r\n", body);
}

static bool said(fixture *f, const char *part) {
    if (strstr(sl_buffer_cstr(&f->output), part) != NULL)
        return true;
    print_message("%s\n", sl_buffer_cstr(&f->output));
    return false;
}

static void answer(fixture *f, int status) {
    f->done(f->token, &(sl_intake_reply){.status = status});
}

#define PUT "Kinesis_20131202.PutRecord"
#define PUT_MANY "Kinesis_20131202.PutRecords"
#define ONE "{\"StreamName\":\"clicks\",\"Data\":\"YQ==\",\"PartitionKey\":\"k\"}"
#define TWO "{\"StreamName\":\"web\",\"Records\":[{\"Data\":\"YQ==\",\"PartitionKey\":\"k\"},{\"Data\":\"Yg==\",\"PartitionKey\":\"k\"}]}"

static void records_are_answered_when_they_are_stored(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 0, false, false);
    assert_int_equal(send(&f, PUT, ONE), 0);
    assert_string_equal(sl_buffer_cstr(&f.log), "clicks|kinesis|a;");
    answer(&f, 200);
    assert_true(said(&f, "\r\n\r\n{\"SequenceNumber\":\"49000014409381600000000000000000000000000000000000000000\",\"ShardId\":\"shardId-000000000000\"}"));
    assert_true(said(&f, "\r\nx-amzn-RequestId: ") && said(&f, "Content-Type: application/x-amz-json-1.1\r\n"));
    assert_int_equal(send(&f, PUT_MANY, TWO), 0);
    assert_string_equal(sl_buffer_cstr(&f.log), "web|kinesis|a;b;");
    answer(&f, 400); /* None is good: all are dead letters, and stored. */
    assert_true(said(&f, "{\"FailedRecordCount\":0,\"Records\":[{\"SequenceNumber\":\"49000014409381600000010000000000000000000000000000000000\","));
    assert_true(said(&f, "49000014409381600000010000000000000000000000000000000001\",\"ShardId\":\"shardId-000000000000\"}]}"));
    assert_int_equal(send(&f, "Firehose_20150804.PutRecordBatch",
                          "{\"DeliveryStreamName\":\"web\",\"Records\":[{\"Data\":\"YQ==\"},{\"Data\":\"Yg==\"}]}"), 0);
    assert_string_equal(sl_buffer_cstr(&f.log), "web|firehose|a;b;");
    answer(&f, 200);
    assert_true(said(&f, "{\"FailedPutCount\":0,\"Encrypted\":false,\"RequestResponses\":[{\"RecordId\":\""));
    assert_int_equal(send(&f, "Firehose_20150804.PutRecord", "{\"DeliveryStreamName\":\"web\",\"Record\":{\"Data\":\"YQ==\"}}"), 0);
    answer(&f, 200);
    assert_true(said(&f, "\r\n\r\n{\"RecordId\":\"49"));
    close_all(&f);
}

static void refusals_of_the_engine_are_what_makes_producers_come_again(void **state) {
    (void)state;
    static const struct {
        int status, told;
        const char *kinesis, *firehose;
    } refusals[] = {{429, 400, "ProvisionedThroughputExceededException", "ServiceUnavailableException"},
                    {503, 500, "InternalFailure", "ServiceUnavailableException"},
                    {404, 400, "ResourceNotFoundException", "ResourceNotFoundException"},
                    {413, 400, "InvalidArgumentException", "InvalidArgumentException"}};
    fixture f;
    open_with(&f, 0, false, false);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        (void)send(&f, PUT, ONE);
        answer(&f, refusals[i].status);
        assert_int_equal(atoi(sl_buffer_cstr(&f.output) + 9), refusals[i].told);
        assert_true(said(&f, refusals[i].kinesis));
        (void)send(&f, "Firehose_20150804.PutRecord", "{\"DeliveryStreamName\":\"web\",\"Record\":{\"Data\":\"YQ==\"}}");
        answer(&f, refusals[i].status);
        assert_true(said(&f, refusals[i].firehose));
    }
    f.status = SL_EFULL;
    assert_int_equal(send(&f, PUT, ONE), 400);
    assert_true(said(&f, "\"__type\":\"ProvisionedThroughputExceededException\"") && said(&f, "x-amzn-ErrorType: Provisioned"));
    f.status = SL_ENOSPC;
    assert_int_equal(send(&f, PUT, ONE), 400);
    assert_true(said(&f, "ProvisionedThroughputExceededException"));
    f.status = SL_ELIMIT;
    assert_int_equal(send(&f, PUT, ONE), 400);
    assert_true(said(&f, "http.max_body"));
    f.status = SL_OK;
    sl_budget_force(&f.budget, 1 << 20);
    assert_int_equal(send(&f, PUT, ONE), 400);
    assert_true(said(&f, "ProvisionedThroughputExceededException"));
    sl_budget_give(&f.budget, 1 << 20);
    close_all(&f);
}

/* Only the head, and as much of the body as tells that more is to come. */
static void body_that_cannot_be_taken_is_refused_in_the_form_of_aws(void **state) {
    (void)state;
    static const char *const tails[] = {"Content-Length: 1048577\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n100001\r\nx",
                                        "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
                                        "Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
                                        "Content-Length: 900000\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\nf0000\r\nx"};
    static const struct {
        const char *target;
        int tail, status;
        const char *type;
    } cases[] = {{PUT_MANY, 0, 400, "InvalidArgumentException"},
                 {PUT_MANY, 1, 400, "InvalidArgumentException"},
                 {PUT_MANY, 2, 400, "SerializationException"},
                 {PUT_MANY, 3, 400, "SerializationException"},
                 {PUT_MANY, 4, 400, "ProvisionedThroughputExceededException"},
                 {PUT_MANY, 5, 400, "ProvisionedThroughputExceededException"},
                 {"Firehose_20150804.PutRecord", 0, 400, "InvalidArgumentException"},
                 {"Firehose_20150804.PutRecord", 4, 503, "ServiceUnavailableException"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        open_with(&f, 0, false, false);
        sl_http_connection_destroy(f.connection);
        f.options.budget = &f.budget;
        f.connection = sl_http_connection_create(&f.options, send_out, &f.output);
        assert_non_null(f.connection);
        if (cases[i].tail >= 4) /* Room for a head, and not for the body. */
            assert_int_equal(sl_budget_take(&f.budget, 900000), SL_OK);
        char text[512], type[128];
        int n = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: %s\r\n%s", cases[i].target,
                         tails[cases[i].tail]);
        sl_http_connection_feed(f.connection, text, (size_t)n);
        assert_int_equal(atoi(sl_buffer_cstr(&f.output) + 9), cases[i].status);
        (void)snprintf(type, sizeof type, "\r\n\r\n{\"__type\":\"%s\",\"message\":\"", cases[i].type);
        assert_true(said(&f, type));
        assert_true(said(&f, "x-amzn-RequestId: "));
        if (cases[i].tail < 2)
            assert_true(said(&f, "http.max_body (1048576 bytes)"));
        else if (cases[i].tail >= 4)
            sl_budget_give(&f.budget, 900000);
        sl_http_connection_destroy(f.connection);
        f.connection = NULL;
        close_all(&f);
    }
}

static void streams_are_those_of_the_configuration(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 0, false, false);
    assert_int_equal(send(&f, PUT, "{\"StreamName\":\"nope\",\"Data\":\"YQ==\",\"PartitionKey\":\"k\"}"), 400);
    assert_true(said(&f, "{\"__type\":\"ResourceNotFoundException\",\"message\":\"Stream nope under account 000000000000 not found.\"}"));
    assert_int_equal(send(&f, "Firehose_20150804.PutRecord", "{\"DeliveryStreamName\":\"nope\",\"Record\":{\"Data\":\"YQ==\"}}"), 400);
    assert_true(said(&f, "Firehose nope under account"));
    assert_int_equal(send(&f, PUT, "{\"StreamName\":\"web\",\"DryRun\":true,\"Data\":\"YQ==\",\"PartitionKey\":\"k\"}"), 400);
    assert_true(said(&f, "DryRunOperationException"));
    assert_int_equal(f.log.length, 0);
    assert_int_equal(send(&f, "Kinesis_20131202.ListStreams", "{}"), 200);
    assert_true(said(&f, "{\"StreamNames\":[\"apps\",\"clicks\",\"web\"],\"HasMoreStreams\":false}"));
    assert_int_equal(send(&f, "Kinesis_20131202.ListStreams", "{\"Limit\":1,\"ExclusiveStartStreamName\":\"apps\"}"), 200);
    assert_true(said(&f, "{\"StreamNames\":[\"clicks\"],\"HasMoreStreams\":true}"));
    assert_int_equal(send(&f, "Kinesis_20131202.DescribeLimits", "{}"), 200);
    assert_true(said(&f, "\"OpenShardCount\":3"));
    assert_int_equal(send(&f, "Firehose_20150804.ListDeliveryStreams", "{}"), 200);
    assert_true(said(&f, "\"HasMoreDeliveryStreams\":false"));
    close_all(&f);
    open_with(&f, 0, false, true);
    assert_int_equal(send(&f, PUT, "{\"StreamName\":\"any-1\",\"Data\":\"YQ==\",\"PartitionKey\":\"k\"}"), 0);
    answer(&f, 200);
    assert_int_equal(send(&f, PUT, "{\"StreamName\":\"1any\",\"Data\":\"YQ==\",\"PartitionKey\":\"k\"}"), 400);
    assert_true(said(&f, "Stream 1any under account 000000000000 not found. Here a stream's name begins with a letter or _"));
    assert_true(said(&f, "ResourceNotFoundException"));
    close_all(&f);
}

static void shards_and_descriptions_agree(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 0, false, false);
    static const char shard[] = "{\"ShardId\":\"shardId-000000000000\",\"HashKeyRange\":{\"StartingHashKey\":\"0\",\"EndingHashKey\":"
                                "\"340282366920938463463374607431768211455\"}";
    assert_int_equal(send(&f, "Kinesis_20131202.ListShards", "{\"StreamName\":\"web\"}"), 200);
    assert_true(said(&f, shard));
    assert_int_equal(send(&f, "Kinesis_20131202.ListShards", "{\"StreamName\":\"web\",\"ExclusiveStartShardId\":\"shardId-000000000000\"}"), 200);
    assert_true(said(&f, "{\"Shards\":[]}"));
    assert_int_equal(send(&f, "Kinesis_20131202.ListShards", "{\"NextToken\":\"x\"}"), 400);
    assert_true(said(&f, "InvalidArgumentException"));
    assert_int_equal(send(&f, "Kinesis_20131202.ListShards", "{\"StreamName\":\"nope\"}"), 400);
    assert_true(said(&f, "ResourceNotFoundException"));
    assert_int_equal(send(&f, "Kinesis_20131202.DescribeStream", "{\"StreamARN\":\"arn:aws:kinesis:r:000000000000:stream/web\"}"), 200);
    assert_true(said(&f, shard) && said(&f, "\"StreamStatus\":\"ACTIVE\""));
    assert_int_equal(send(&f, "Kinesis_20131202.DescribeStreamSummary", "{\"StreamName\":\"web\"}"), 200);
    assert_true(said(&f, "\"OpenShardCount\":1") && said(&f, "\"StreamARN\":\"arn:aws:kinesis:us-east-1:000000000000:stream/web\""));
    assert_int_equal(send(&f, "Firehose_20150804.DescribeDeliveryStream", "{\"DeliveryStreamName\":\"web\"}"), 200);
    assert_true(said(&f, "\"DeliveryStreamType\":\"DirectPut\""));
    close_all(&f);
}

static void what_nobody_serves_is_told(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 0, false, false);
    assert_int_equal(send(&f, "Kinesis_20131202.GetRecords", "{}"), 400);
    assert_true(said(&f, "UnknownOperationException"));
    assert_int_equal(send(&f, "DynamoDB_20120810.PutItem", "{}"), 400);
    assert_true(said(&f, "UnknownOperationException"));
    assert_int_equal(send_head(&f, PUT, "Content-Type: application/x-amz-cbor-1.1\r\n", "x"), 400);
    assert_true(said(&f, "Content-Type: application/x-amz-cbor-1.1\r\n") && said(&f, "\r\n\r\n\xbf\x66__type\x76SerializationException"));
    assert_int_equal(send_head(&f, PUT, "Content-Type: text/plain\r\n", "x"), 400);
    assert_true(said(&f, "SerializationException"));
    assert_int_equal(send(&f, PUT, "{"), 400);
    assert_true(said(&f, "SerializationException"));
    close_all(&f);
}

/* As the SDK for Java puts records. */
static void cbor_is_answered_in_cbor(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 0, false, false);
    assert_int_equal(send_head(&f, PUT, "Content-Type: application/x-amz-cbor-1.1\r\n",
                               "\xbf\x6aStreamName\x66" "clicks\x64" "Data\x43\"a\"\x6cPartitionKey\x61k\xff"),
                     0);
    assert_string_equal(sl_buffer_cstr(&f.log), "clicks|kinesis|\"a\";");
    answer(&f, 200);
    assert_true(said(&f, "Content-Type: application/x-amz-cbor-1.1\r\n") && said(&f, "\r\n\r\n\xbf\x6eSequenceNumber\x78\x38" "49"));
    assert_true(said(&f, "\x67ShardId\x74shardId-000000000000\xff"));
    assert_int_equal(send_head(&f, PUT_MANY, "Content-Type: application/x-amz-cbor-1.1\r\n",
                               "\xa2\x6aStreamName\x63web\x67Records\x82\xa2\x64" "Data\x41" "a\x6cPartitionKey\x61k\xbf\x64" "Data\x5f\x41" "b\xff\x6cPartitionKey\x61k\xff"),
                     0);
    assert_string_equal(sl_buffer_cstr(&f.log), "web|kinesis|a;b;");
    answer(&f, 200);
    assert_int_equal(send_head(&f, "Kinesis_20131202.DescribeStream", "Content-Type: application/x-amz-cbor-1.1\r\n",
                               "\xa1\x6aStreamName\x63web"),
                     200);
    assert_true(said(&f, "\x77StreamCreationTimestamp\xc1\x1b"));
    close_all(&f);
}

/* --- signatures --- */

typedef struct signing {
    const char *key, *secret, *service, *body, *sent; /* `sent`: instead of the body that was signed. */
    const char *hash;                                 /* x-amz-content-sha256, signed; NULL: none. */
    const char *more;                                 /* Headers that aren't signed. */
    bool no_target;                                   /* It isn't signed. */
    int64_t time_us;
} signing;

static int send_signed(fixture *f, const signing *s) {
    sl_aws_signer signer = {.service = s->service, .region = "eu-west-1", .flags = SL_AWS_SERVICE};
    sl_aws_keys keys = {s->key, s->secret, NULL, INT64_MAX};
    sl_aws_signed out = {0};
    sl_error error;
    char payload[SL_AWS_HASH_TEXT];
    const char *target = strcmp(s->service, "kinesis") == 0 ? PUT : "Firehose_20150804.PutRecord";
    sl_http_field fields[] = {{"content-type", "application/x-amz-json-1.1"}, {"x-amz-content-sha256", s->hash}, {"x-amz-target", target}};
    if (s->hash == NULL)
        fields[1] = fields[2];
    sl_aws_hash_text(s->body, strlen(s->body), payload);
    sl_aws_request request = {.method = "POST", .host = "h", .path = "/", .fields = fields,
                              .field_count = (s->hash != NULL ? 3u : 2u) - s->no_target, .payload_hash = payload, .time_us = s->time_us};
    assert_int_equal(sl_aws_sign(&signer, &keys, &request, &out, &error), SL_OK);
    sl_buffer headers = SL_BUFFER_EMPTY;
    sl_buffer_text(&headers, "Content-Type: application/x-amz-json-1.1\r\n");
    if (s->hash != NULL)
        sl_buffer_printf(&headers, "X-Amz-Content-Sha256: %s\r\n", s->hash);
    for (size_t i = 0; i < out.field_count; i++)
        sl_buffer_printf(&headers, "%s: %s\r\n", out.fields[i].name, out.fields[i].value);
    sl_buffer_text(&headers, s->more != NULL ? s->more : "");
    int status = send_head(f, target, sl_buffer_cstr(&headers), s->sent != NULL ? s->sent : s->body);
    sl_buffer_fini(&headers);
    sl_aws_signed_fini(&out);
    sl_aws_signer_fini(&signer);
    return status;
}

static const signing good = {.key = "AKID", .secret = SECRET, .service = "kinesis", .body = ONE, .time_us = NOW};

static void a_good_signature_is_let_in(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 2, true, false);
    char hash[SL_AWS_HASH_TEXT];
    sl_aws_hash_text(ONE, strlen(ONE), hash);
    for (int i = 0; i < 3; i++) { /* The second from the cached key. */
        signing s = good;
        s.hash = i == 2 ? hash : NULL;
        assert_int_equal(send_signed(&f, &s), 0);
        assert_string_equal(sl_buffer_cstr(&f.log), "clicks|kinesis|a;");
        answer(&f, 200);
        assert_true(said(&f, "200 OK"));
    }
    signing s = good;
    s.service = "firehose";
    s.body = "{\"DeliveryStreamName\":\"web\",\"Record\":{\"Data\":\"YQ==\"}}";
    assert_int_equal(send_signed(&f, &s), 0);
    answer(&f, 200);
    s = good;
    s.key = "OTHER";
    s.secret = "another";
    assert_int_equal(send_signed(&f, &s), 0);
    answer(&f, 200);
    f.now += SL_DAY_US;
    s.time_us += SL_DAY_US; /* Another day, another key. */
    assert_int_equal(send_signed(&f, &s), 0);
    answer(&f, 200);
    close_all(&f);
}

static void any_other_is_refused_in_the_words_of_aws(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 2, true, false);
    signing s = good;
    s.secret = "wrong";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "{\"__type\":\"InvalidSignatureException\",\"message\":\"The request signature we calculated does not match"));
    s = good;
    s.sent = "{\"StreamName\":\"clicks\",\"Data\":\"Yg==\",\"PartitionKey\":\"k\"}";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "InvalidSignatureException"));
    s = good;
    s.key = "NOBODY";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "{\"__type\":\"UnrecognizedClientException\",\"message\":\"The security token included in the request is invalid.\"}"));
    s = good;
    s.time_us -= 6 * SL_MINUTE_US;
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "Signature expired: 20150830T123000Z is now earlier than"));
    s = good;
    s.no_target = true;
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "'x-amz-target' must be a 'SignedHeader'"));
    s = good;
    s.more = "X-Amz-Security-Token: x\r\n";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "'x-amz-security-token' must be a 'SignedHeader'"));
    s.more = "Content-Type: application/x-amz-json-1.1\r\n";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "there twice"));
    s.more = "Content-Encoding: identity\r\n";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "without Content-Encoding"));
    s.more = "Authorization: x\r\n";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "two Authorization headers"));
    s = good;
    s.hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_int_equal(send_signed(&f, &s), 400);
    assert_true(said(&f, "InvalidSignatureException"));
    assert_int_equal(send(&f, PUT, ONE), 400);
    assert_true(said(&f, "MissingAuthenticationTokenException"));
    assert_int_equal(f.log.length, 0);
    close_all(&f);
}

static void tokens_without_keys_close_the_door(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 0, true, true);
    assert_int_equal(send_signed(&f, &good), 400);
    assert_true(said(&f, "AccessDeniedException") && said(&f, "aws_keys"));
    close_all(&f);
}

static void whoever_forgets_to_ask_at_the_head_is_asked_later(void **state) {
    (void)state;
    fixture f;
    open_with(&f, 2, true, false);
    f.options.admit = NULL;
    assert_int_equal(send(&f, PUT, ONE), 400);
    assert_true(said(&f, "MissingAuthenticationTokenException"));
    close_all(&f);
}

static void memory_that_runs_out_is_told_or_ends_the_connection(void **state) {
    (void)state;
    char body[3000];
    unsigned stored = 0;
    (void)snprintf(body, sizeof body, "{\"StreamName\":\"clicks\",\"Data\":\"%02000d\",\"PartitionKey\":\"k\"}", 0);
    for (uint64_t n = 1; n < 60; n++) {
        fixture f;
        open_with(&f, 2, true, false);
        (void)sl_buffer_reserve(&f.output, 8192); /* The test's own isn't what fails. */
        (void)sl_buffer_reserve(&f.log, 8192);
        signing s = good;
        s.body = body;
        f.fail_at = n;
        int status = send_signed(&f, &s);
        if (f.done != NULL) {
            stored++;
            assert_int_equal(status, 0);
            sl_memory_fail_at(n);
            answer(&f, 200);
            sl_memory_fail_at(0);
            status = atoi(sl_buffer_cstr(&f.output) + 9);
            assert_true(status == 200 || status == 500 || sl_http_connection_broken(f.connection));
        } else {
            assert_true(status == 400 || status >= 500 || sl_http_connection_broken(f.connection));
        }
        close_all(&f);
    }
    assert_true(stored > 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_answered_when_they_are_stored),
        cmocka_unit_test(refusals_of_the_engine_are_what_makes_producers_come_again),
        cmocka_unit_test(body_that_cannot_be_taken_is_refused_in_the_form_of_aws),
        cmocka_unit_test(streams_are_those_of_the_configuration),
        cmocka_unit_test(shards_and_descriptions_agree),
        cmocka_unit_test(what_nobody_serves_is_told),
        cmocka_unit_test(cbor_is_answered_in_cbor),
        cmocka_unit_test(a_good_signature_is_let_in),
        cmocka_unit_test(any_other_is_refused_in_the_words_of_aws),
        cmocka_unit_test(tokens_without_keys_close_the_door),
        cmocka_unit_test(whoever_forgets_to_ask_at_the_head_is_asked_later),
        cmocka_unit_test(memory_that_runs_out_is_told_or_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
