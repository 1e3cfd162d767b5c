#include "request.h"

#include "sluice/batch.h"
#include "sluice/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct read {
    sl_buffer body, out, scratch, text; /* `text`: messages, each with a ';' behind. */
    aws_request request;
    aws_fault fault;
    bool good;
} read;

static void read_body(read *r, aws_operation operation, const void *body, size_t length) {
    *r = (read){.good = false};
    sl_buffer_append(&r->body, body, length);
    (void)sl_buffer_reserve(&r->body, SL_PADDING);
    r->good = aws_request_read(operation, r->body.bytes, length, &r->out, &r->scratch, &r->request, &r->fault);
    if (!r->good)
        return;
    sl_messages_reader reader;
    sl_message_item item;
    assert_true(sl_messages_valid(r->out.bytes, r->out.length));
    assert_true(sl_messages_read(r->out.bytes, r->out.length, &reader));
    while (sl_messages_next(&reader, &item)) {
        sl_buffer_append(&r->text, item.bytes, item.length);
        sl_buffer_byte(&r->text, ';');
    }
}

static void end(read *r) {
    sl_buffer_fini(&r->body);
    sl_buffer_fini(&r->out);
    sl_buffer_fini(&r->scratch);
    sl_buffer_fini(&r->text);
}

static void assert_records(aws_operation operation, const char *body, const char *stream, const char *messages) {
    read r;
    read_body(&r, operation, body, strlen(body));
    if (!r.good)
        fail_msg("%s: %s %s", body, r.fault.type, r.fault.message);
    assert_string_equal(r.request.stream, stream);
    assert_string_equal(sl_buffer_cstr(&r.text), messages);
    end(&r);
}

static void assert_fault(aws_operation operation, const char *body, const char *type, const char *part) {
    read r;
    read_body(&r, operation, body, strlen(body));
    if (r.good || strcmp(r.fault.type, type) != 0 || strstr(r.fault.message, part) == NULL)
        fail_msg("%s: %s %s", body, r.good ? "taken" : r.fault.type, r.fault.message);
    assert_int_equal(r.fault.status, 400);
    end(&r);
}

#define DATA "\"Data\":\"eyJhIjoxfQ==\"" /* {"a":1} */

static void records_become_messages(void **state) {
    (void)state;
    assert_records(AWS_PUT_RECORD, "{" DATA ",\"StreamName\":\"s\",\"PartitionKey\":\"k\"}", "s", "{\"a\":1};");
    assert_records(AWS_PUT_RECORDS,
                   " { \"Records\" : [ {" DATA ", \"PartitionKey\":\"\\u00e9\\ud83d\\ude00\"} , {\"PartitionKey\":\"b\",\"Data\":\"\"},"
                   "{\"PartitionKey\":\"b\",\"Data\":\"YQ==\",\"ExplicitHashKey\":\"340282366920938463463374607431768211455\"}],"
                   "\"StreamName\":\"a.b-C_9\"}\n",
                   "a.b-C_9", "{\"a\":1};;a;");
    assert_records(AWS_PUT_RECORD,
                   "{" DATA ",\"PartitionKey\":\"k\",\"StreamARN\":\"arn:aws-cn:kinesis:cn-north-1:123456789012:stream/s\","
                   "\"StreamName\":\"s\",\"SequenceNumberForOrdering\":\"1\",\"Later\":[{\"x\":[1.5e-3,null,true]}]}",
                   "s", "{\"a\":1};");
    assert_records(AWS_FIREHOSE_PUT_RECORD, "{\"DeliveryStreamName\":\"s\",\"Record\":{" DATA "}}", "s", "{\"a\":1};");
    assert_records(AWS_FIREHOSE_PUT_RECORD_BATCH, "{\"DeliveryStreamName\":\"s\",\"Records\":[{" DATA "},{" DATA "}]}", "s",
                   "{\"a\":1};{\"a\":1};");
}

/* As PHP writes slashes, and Java's Gson equals signs. */
static void escapes_in_blobs_and_names_are_read(void **state) {
    (void)state;
    assert_records(AWS_PUT_RECORD, "{\"Data\":\"Pz8\\/\",\"Stream\\u004eame\":\"s\",\"PartitionKey\":\"\\\"\\\\\\n\"}", "s", "???;");
    assert_records(AWS_PUT_RECORD, "{\"Data\":\"YQ\\u003d\\u003d\",\"StreamName\":\"s\",\"PartitionKey\":\"k\"}", "s", "a;");
}

static void null_is_not_given(void **state) {
    (void)state;
    assert_records(AWS_PUT_RECORD, "{" DATA ",\"StreamName\":\"s\",\"PartitionKey\":\"k\",\"ExplicitHashKey\":null,\"DryRun\":null}", "s",
                   "{\"a\":1};");
    assert_fault(AWS_PUT_RECORD, "{\"Data\":null,\"StreamName\":\"s\",\"PartitionKey\":\"k\"}", "ValidationException",
                 "Value null at 'data' failed to satisfy constraint: Member must not be null");
}

static void what_is_no_request_is_a_serialization_exception(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "[]", "null", "\"x\"", "{", "{\"StreamName\":\"s\"", "{\"StreamName\":5}", "{\"StreamName\":\"s\",}", "{} x",
        "{\"StreamName\":\"s\"}}", "{\"StreamName\":\"\xff\"}", "{\"StreamName\":\"\n\"}", "{\"StreamName\":\"\\ud800\"}",
        "{\"StreamName\":\"\\x\"}", "{\"StreamName\":\"a\",\"StreamName\":\"b\"}", "{\"Data\":\"YQ=\"}", "{\"Data\":\"Y Q==\"}",
        "{\"Data\":5}", "{\"Data\":\"YQ==", "{\"DryRun\":1}", "{\"x\":01}", "{\"x\":1.}", "{\"x\":1e}", "{\"x\":-}", "{\"x\":tru}",
        "{\"x\":nul}", "{\"x\" 1}", "{x:1}", "{\"x\":[1,]}", "{\"x\":[}", "{\"Data\":\"\\/\\/\\/\"}", "{\"Data\":\"YQ=\\u003d\\ud800\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fault(AWS_PUT_RECORD, bad[i], "SerializationException", "");
    assert_fault(AWS_PUT_RECORDS, "{\"Records\":{}}", "SerializationException", "");
    assert_fault(AWS_PUT_RECORDS, "{\"Records\":[5]}", "SerializationException", "");
    assert_fault(AWS_FIREHOSE_PUT_RECORD, "{\"Record\":[]}", "SerializationException", "");
    assert_fault(AWS_LIST_SHARDS, "{\"MaxResults\":\"5\"}", "SerializationException", "");
}

static void depth_is_limited(void **state) {
    (void)state;
    char body[300] = "{\"x\":";
    memset(body + 5, '[', 70);
    memset(body + 75, ']', 70);
    body[145] = '}';
    assert_fault(AWS_PUT_RECORD, body, "SerializationException", "64 levels");
}

static void what_breaks_the_model_is_a_validation_exception(void **state) {
    (void)state;
    static const struct {
        aws_operation operation;
        const char *body, *part;
    } bad[] = {
        {AWS_PUT_RECORD, "{" DATA ",\"StreamName\":\"s\",\"PartitionKey\":\"\"}",
         "1 validation error detected: Value '' at 'partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"},
        {AWS_PUT_RECORD, "{" DATA ",\"StreamName\":\"s\"}", "Value null at 'partitionKey'"},
        {AWS_PUT_RECORD, "{" DATA ",\"PartitionKey\":\"k\",\"StreamName\":\"a b\"}",
         "Value 'a b' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"},
        {AWS_PUT_RECORD, "{" DATA ",\"PartitionKey\":\"k\",\"StreamName\":\"\"}", "at 'streamName'"},
        {AWS_PUT_RECORD, "{" DATA ",\"PartitionKey\":\"k\",\"StreamARN\":\"arn:aws:kinesis\"}", "at 'streamARN'"},
        {AWS_PUT_RECORD, "{" DATA ",\"PartitionKey\":\"k\",\"StreamARN\":\"arn:aws:x:stream/a b\"}", "at 'streamARN'"},
        {AWS_PUT_RECORD, "{" DATA ",\"PartitionKey\":\"k\",\"StreamName\":\"s\",\"ExplicitHashKey\":\"01\"}", "at 'explicitHashKey'"},
        {AWS_PUT_RECORDS, "{\"StreamName\":\"s\"}", "Value null at 'records'"},
        {AWS_PUT_RECORDS, "{\"StreamName\":\"s\",\"Records\":[]}", "Value [] at 'records'"},
        {AWS_PUT_RECORDS, "{\"StreamName\":\"s\",\"Records\":[{" DATA ",\"PartitionKey\":\"k\"},{\"PartitionKey\":\"k\"}]}",
         "Value null at 'records.2.member.data'"},
        {AWS_FIREHOSE_PUT_RECORD, "{" DATA ",\"DeliveryStreamName\":\"s\"}", "Value null at 'record'"},
        {AWS_FIREHOSE_PUT_RECORD, "{\"DeliveryStreamName\":\"s\",\"Record\":{}}", "Value null at 'record.data'"},
        {AWS_FIREHOSE_PUT_RECORD, "{\"Record\":{" DATA "}}", "Value null at 'deliveryStreamName'"},
        {AWS_LIST_SHARDS, "{\"StreamName\":\"s\",\"MaxResults\":0}", "at 'maxResults'"},
        {AWS_DESCRIBE_STREAM, "{\"StreamName\":\"s\",\"Limit\":10001}", "at 'limit'"},
        {AWS_DESCRIBE_STREAM, "{\"StreamName\":\"s\",\"Limit\":-5}", "at 'limit'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fault(bad[i].operation, bad[i].body, "ValidationException", bad[i].part);
}

static void what_contradicts_itself_is_an_invalid_argument(void **state) {
    (void)state;
    assert_fault(AWS_PUT_RECORD, "{" DATA ",\"PartitionKey\":\"k\"}", "InvalidArgumentException", "StreamName");
    assert_fault(AWS_PUT_RECORD,
                 "{" DATA ",\"PartitionKey\":\"k\",\"StreamName\":\"a\",\"StreamARN\":\"arn:aws:kinesis:r:000000000000:stream/b\"}",
                 "InvalidArgumentException", "two streams");
    assert_fault(AWS_PUT_RECORD,
                 "{" DATA ",\"PartitionKey\":\"k\",\"StreamName\":\"a\",\"ExplicitHashKey\":\"340282366920938463463374607431768211456\"}",
                 "InvalidArgumentException", "2^128-1");
}

/* {"StreamName":"s","Records":[…]}: `count` records of `size` times three bytes. */
static sl_buffer batch(bool firehose, unsigned count, size_t groups, unsigned key_length) {
    sl_buffer body = SL_BUFFER_EMPTY;
    sl_buffer_printf(&body, "{\"%s\":\"s\",\"Records\":[", firehose ? "DeliveryStreamName" : "StreamName");
    for (unsigned i = 0; i < count; i++) {
        sl_buffer_text(&body, i > 0 ? ",{\"Data\":\"" : "{\"Data\":\"");
        for (size_t k = 0; k < groups; k++)
            sl_buffer_append(&body, "YWFh", 4);
        sl_buffer_text(&body, "\"");
        if (!firehose)
            sl_buffer_printf(&body, ",\"PartitionKey\":\"%0*d\"", (int)key_length, 0);
        sl_buffer_text(&body, "}");
    }
    sl_buffer_text(&body, "]}");
    return body;
}

static void assert_batch(bool firehose, unsigned count, size_t groups, unsigned key_length, const char *type) {
    read r;
    sl_buffer body = batch(firehose, count, groups, key_length);
    read_body(&r, firehose ? AWS_FIREHOSE_PUT_RECORD_BATCH : AWS_PUT_RECORDS, body.bytes, body.length);
    if (type == NULL && !r.good)
        fail_msg("%u records of %zu: %s %s", count, 3 * groups, r.fault.type, r.fault.message);
    else if (type == NULL)
        assert_int_equal(r.request.records, count);
    else if (r.good || strcmp(r.fault.type, type) != 0)
        fail_msg("%u records of %zu: %s", count, 3 * groups, r.good ? "taken" : r.fault.type);
    end(&r);
    sl_buffer_fini(&body);
}

static void limits_are_those_of_aws(void **state) {
    (void)state;
    assert_batch(false, 500, 1, 256, NULL);
    assert_batch(false, 501, 1, 1, "ValidationException");
    assert_batch(false, 1, 1, 257, "ValidationException");
    assert_batch(false, 1, 3495253, 1, NULL); /* 10,485,759 bytes and a key of one. */
    assert_batch(false, 1, 3495253, 2, "InvalidArgumentException");
    assert_batch(false, 1, 3495254, 1, "ValidationException");
    assert_batch(false, 10, 349525, 1, NULL); /* 10,485,750 bytes and ten keys: the limit itself. */
    assert_batch(false, 10, 349525, 2, "InvalidArgumentException");
    assert_batch(true, 500, 1, 0, NULL);
    assert_batch(true, 501, 1, 0, "ValidationException");
    assert_batch(true, 1, 341333, 0, NULL);
    assert_batch(true, 1, 341334, 0, "ValidationException");
    assert_batch(true, 4, 341333, 0, NULL);
    assert_batch(true, 5, 341333, 0, "InvalidArgumentException");
}

static void memory_that_runs_out_is_told(void **state) {
    (void)state;
    sl_buffer body = batch(false, 3, 1000, 1);
    (void)sl_buffer_reserve(&body, SL_PADDING);
    for (uint64_t n = 1;; n++) {
        sl_buffer out = SL_BUFFER_EMPTY, scratch = SL_BUFFER_EMPTY;
        aws_request request;
        aws_fault fault;
        sl_memory_fail_at(n);
        bool good = aws_request_read(AWS_PUT_RECORDS, body.bytes, body.length, &out, &scratch, &request, &fault);
        bool all = sl_memory_calls() < n;
        sl_memory_fail_at(0);
        assert_true(good == all);
        if (!good)
            assert_string_equal(fault.type, "InternalFailure");
        sl_buffer_fini(&out);
        sl_buffer_fini(&scratch);
        if (all)
            break;
    }
    sl_buffer_fini(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_become_messages),
        cmocka_unit_test(escapes_in_blobs_and_names_are_read),
        cmocka_unit_test(null_is_not_given),
        cmocka_unit_test(what_is_no_request_is_a_serialization_exception),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(what_breaks_the_model_is_a_validation_exception),
        cmocka_unit_test(what_contradicts_itself_is_an_invalid_argument),
        cmocka_unit_test(limits_are_those_of_aws),
        cmocka_unit_test(memory_that_runs_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
