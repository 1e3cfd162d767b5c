#include "request.h"

#include "base64.h"
#include "json.h"
#include "kpl.h"

#include "sluice/messages.h"

#include <stdarg.h>
#include <stdio.h>

enum { KEY_MAX = 256, HASH_KEY_DIGITS_MAX = 39, ARN_MAX = 2048, LIMIT_MAX = 10000 };
#define KINESIS_BYTES_MAX 10485760u
#define FIREHOSE_RECORD_MAX 1024000u
#define FIREHOSE_BYTES_MAX 4194304u

void aws_fault_set(aws_fault *fault, int status, const char *type, const char *format, ...) {
    if (fault->type != NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(fault->message, sizeof fault->message, format, arguments);
    va_end(arguments);
    fault->type = type;
    fault->status = status;
}

/* What is known of a request while it is read. */
typedef struct state {
    json_reader json;
    aws_operation operation;
    sl_buffer *out, *scratch;
    aws_request *request;
    aws_fault *fault; /* The first that was found; reading goes on as long as it is JSON, which comes first. */
    size_t record_max, bytes_max, bytes;
    char arn_stream[AWS_NAME_MAX + 1];
    bool list;       /* Of records. */
    uint32_t present; /* Members of the object at hand, as bits. */
    size_t key_bytes, data_bytes;
} state;

enum { DATA = 1, KEY = 2, HASH_KEY = 4, NAME = 8, ARN = 16, RECORDS = 32, LIMIT = 64, AFTER = 128, TOKEN = 256, DRY = 512 };

/* "records.3.member.data" or "data", as AWS's own messages have it. */
static void invalid(state *s, const char *member, const char *value, const char *constraint) {
    char place[64] = "";
    bool firehose = aws_is_firehose(s->operation);
    bool of_record = strcmp(member, "data") == 0 || strcmp(member, "partitionKey") == 0 || strcmp(member, "explicitHashKey") == 0;
    if (of_record && s->list)
        (void)snprintf(place, sizeof place, "records.%u.member.", s->request->records + 1);
    else if (of_record && firehose)
        (void)snprintf(place, sizeof place, "record.");
    aws_fault_set(s->fault, 400, "ValidationException",
                  "1 validation error detected: Value %s at '%s%s' failed to satisfy constraint: %s", value, place,
                  member, constraint);
}

/* --- strings --- */

/* In the scratch if it has escapes, else where it stands. */
static bool plain_text(state *s, json_text *text) {
    if (!json_string(&s->json, text))
        return false;
    if (!text->escaped)
        return true;
    sl_buffer_clear(s->scratch);
    if (!json_unescape(&s->json, text, s->scratch))
        return false;
    *text = (json_text){.bytes = s->scratch->bytes, .length = s->scratch->length};
    return true;
}

static size_t characters(const json_text *text) {
    size_t count = 0;
    for (size_t i = 0; i < text->length; i++)
        count += (text->bytes[i] & 0xc0) != 0x80;
    return count;
}

/* For messages: what was given, cut, and without what spoils a line. */
static void quoted(const json_text *text, char out[80]) {
    size_t n = text->length < 64 ? text->length : 64, to = 0;
    out[to++] = '\'';
    for (size_t i = 0; i < n; i++)
        out[to++] = (char)(text->bytes[i] < 32 || text->bytes[i] > 126 ? '?' : text->bytes[i]);
    out[to++] = '\'';
    out[to] = 0;
}

static bool length_fits(state *s, const char *member, const json_text *text, size_t min, size_t max) {
    size_t count = characters(text);
    if (count >= min && count <= max)
        return true;
    char value[80], constraint[96];
    quoted(text, value);
    (void)snprintf(constraint, sizeof constraint, "Member must have length %s than or equal to %zu",
                   count < min ? "greater" : "less", count < min ? min : max);
    invalid(s, member, value, constraint);
    return false;
}

static bool name_character(uint8_t c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

static void take_name(state *s, const char *member, const json_text *text, char out[AWS_NAME_MAX + 1]) {
    size_t max = aws_is_firehose(s->operation) ? 64 : AWS_NAME_MAX;
    if (!length_fits(s, member, text, 1, max))
        return;
    for (size_t i = 0; i < text->length; i++)
        if (!name_character(text->bytes[i])) {
            char value[80];
            quoted(text, value);
            invalid(s, member, value, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
            return;
        }
    memcpy(out, text->bytes, text->length);
    out[text->length] = 0;
}

/* arn:aws[-cn…]:kinesis:REGION:ACCOUNT:stream/NAME */
static void take_arn(state *s, const json_text *text) {
    static const char pattern[] = "Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+";
    static const char before[] = ":stream/";
    char value[80];
    quoted(text, value);
    if (!length_fits(s, "streamARN", text, 1, ARN_MAX))
        return;
    size_t at = 0, n = sizeof before - 1;
    while (at + n <= text->length && memcmp(text->bytes + at, before, n) != 0)
        at++;
    if (at + n >= text->length || text->length < 8 || memcmp(text->bytes, "arn:aws", 7) != 0) {
        invalid(s, "streamARN", value, pattern);
        return;
    }
    json_text name = {.bytes = text->bytes + at + n, .length = text->length - at - n};
    take_name(s, "streamARN", &name, s->arn_stream);
}

/* 0 to 2^128 - 1, without leading zeros. */
static void take_hash_key(state *s, const json_text *text) {
    static const char most[] = "340282366920938463463374607431768211455";
    bool good = text->length >= 1 && text->length <= HASH_KEY_DIGITS_MAX && (text->length == 1 || text->bytes[0] != '0');
    for (size_t i = 0; i < text->length && good; i++)
        good = text->bytes[i] >= '0' && text->bytes[i] <= '9';
    char value[80];
    quoted(text, value);
    if (!good)
        invalid(s, "explicitHashKey", value, "Member must satisfy regular expression pattern: 0|([1-9]\\d{0,38})");
    else if (text->length == HASH_KEY_DIGITS_MAX && memcmp(text->bytes, most, HASH_KEY_DIGITS_MAX) > 0)
        aws_fault_set(s->fault, 400, "InvalidArgumentException",
                      "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %.39s",
                      (const char *)text->bytes);
}

/* --- records --- */

static bool put_message(void *context, const uint8_t *bytes, size_t length) {
    return sl_messages_add(context, &(sl_message_item){.bytes = bytes, .length = (uint32_t)length});
}

static bool bad_blob(state *s) {
    return json_fail(&s->json, "Data can not be converted to a Blob: it isn't Base64");
}

/* Characters of Base64 to the end of `out`. */
static bool decode(state *s, const uint8_t *text, size_t length) {
    size_t size = aws_base64_size(text, length);
    s->data_bytes = size;
    if (size > s->record_max) {
        char constraint[96];
        (void)snprintf(constraint, sizeof constraint, "Member must have length less than or equal to %zu", s->record_max);
        invalid(s, "data", "java.nio.HeapByteBuffer", constraint);
        return true;
    }
    uint8_t *to = sl_messages_reserve(s->out, aws_base64_room(length));
    if (to == NULL)
        return json_fail(&s->json, "out of memory");
    if (aws_base64_decode(AWS_BASE64_AUTO, text, length, to) == AWS_BASE64_BAD)
        return false;
    if (aws_kpl_count(to, size) == 0) {
        sl_messages_commit(s->out, size);
        return true;
    }
    sl_buffer_clear(s->scratch);
    sl_buffer_append(s->scratch, to, size);
    return (!s->scratch->failed && aws_kpl_each(s->scratch->bytes, size, put_message, s->out)) ||
           json_fail(&s->json, "out of memory");
}

/* The usual blob has no escapes, so its end is the next quote; some write "\/" or "\u003d". */
static bool take_blob(state *s) {
    json_reader *json = &s->json;
    if (json_peek(json) != '"')
        return json_fail(json, "Data is a string in Base64");
    const uint8_t *text = json->at + 1;
    const uint8_t *quote = memchr(text, '"', (size_t)(json->end - text));
    if (quote == NULL)
        return json_fail(json, "a string without end");
    size_t length = (size_t)(quote - text);
    if (decode(s, text, length)) {
        json->at = quote + 1;
        return true;
    }
    if (json->wrong != NULL || memchr(text, '\\', length) == NULL)
        return bad_blob(s);
    json_text whole; /* In the scratch: decode() needs it for something else only when it is done with the text. */
    return (plain_text(s, &whole) && decode(s, whole.bytes, whole.length)) || bad_blob(s);
}

static void end_record(state *s, uint32_t present) {
    bool kinesis = !aws_is_firehose(s->operation);
    if ((present & DATA) == 0)
        invalid(s, "data", "null", "Member must not be null");
    if (kinesis && (present & KEY) == 0)
        invalid(s, "partitionKey", "null", "Member must not be null");
    size_t bytes = s->data_bytes + s->key_bytes;
    if (bytes > s->record_max)
        aws_fault_set(s->fault, 400, "InvalidArgumentException", "Record size, with its partition key, exceeds %zu bytes",
                      s->record_max);
    s->bytes += bytes;
    if (s->bytes > s->bytes_max)
        aws_fault_set(s->fault, 400, "InvalidArgumentException", "Records size exceeds %zu MB limit", s->bytes_max >> 20);
    s->request->records++;
    s->data_bytes = s->key_bytes = 0;
}

/* --- members --- */

typedef struct member {
    const char *name;
    uint32_t bit;
} member;

static const member members_of_record[] = {{"Data", DATA}, {"PartitionKey", KEY}, {"ExplicitHashKey", HASH_KEY}};
static const member members_of_firehose[] = {{"Data", DATA}};
static const member members_of_request[] = {
    {"StreamName", NAME},   {"StreamARN", ARN},           {"Records", RECORDS},
    {"Limit", LIMIT},       {"MaxResults", LIMIT},        {"ExclusiveStartShardId", AFTER},
    {"NextToken", TOKEN},   {"DryRun", DRY},              {"ExclusiveStartStreamName", AFTER}};
static const member firehose_request[] = {{"DeliveryStreamName", NAME},
                                          {"Records", RECORDS},
                                          {"Record", RECORDS},
                                          {"Limit", LIMIT},
                                          {"ExclusiveStartDeliveryStreamName", AFTER}};

static uint32_t find(const member *members, size_t count, const json_text *name) {
    for (size_t i = 0; i < count; i++)
        if (strlen(members[i].name) == name->length && memcmp(members[i].name, name->bytes, name->length) == 0)
            return members[i].bit;
    return 0;
}

#define FIND(members, name) find(members, sizeof(members) / sizeof *(members), name)

/* `"name":` and whether its value is to be read. @return the bit; 0: the value was skipped, or reading failed. */
static uint32_t begin_member(state *s, uint32_t (*which)(const state *s, const json_text *name), uint32_t *present) {
    json_text name;
    json_reader *json = &s->json;
    if (!plain_text(s, &name) || (json_peek(json) != ':' && !json_fail(json, "a name without ':'")))
        return 0;
    uint32_t bit = which(s, &name);
    json->at++;
    if (bit == 0) {
        (void)json_skip(json);
        return 0;
    }
    if ((*present & bit) != 0) {
        (void)json_fail(json, "a member that comes twice");
        return 0;
    }
    if (json_null(json))
        return 0;
    *present |= bit;
    return bit;
}

static bool record_value(state *s, uint32_t bit) {
    json_text text;
    if (bit == DATA)
        return take_blob(s);
    if (!plain_text(s, &text))
        return false;
    if (bit == HASH_KEY) {
        take_hash_key(s, &text);
    } else {
        s->key_bytes = text.length;
        (void)length_fits(s, "partitionKey", &text, 1, KEY_MAX);
    }
    return true;
}

static uint32_t which_of_record(const state *s, const json_text *name) {
    return aws_is_firehose(s->operation) ? FIND(members_of_firehose, name) : FIND(members_of_record, name);
}

static bool take_record(state *s) {
    uint32_t present = 0;
    if (!json_take(&s->json, '{'))
        return json_fail(&s->json, "a record is an object");
    for (bool first = true; json_more(&s->json, '}', first); first = false) {
        uint32_t bit = begin_member(s, which_of_record, &present);
        if (bit != 0 && !record_value(s, bit))
            return false;
    }
    if (s->json.wrong == NULL)
        end_record(s, present);
    return s->json.wrong == NULL;
}

static bool take_records(state *s) {
    if (!s->list)
        return take_record(s);
    if (!json_take(&s->json, '['))
        return false;
    for (bool first = true; json_more(&s->json, ']', first); first = false) {
        if (s->request->records == AWS_RECORDS_MAX) {
            invalid(s, "records", "[...]", "Member must have length less than or equal to 500");
            return true; /* Nothing that follows matters. */
        }
        if (!take_record(s))
            return false;
        if (s->fault->type != NULL)
            return true;
    }
    if (s->request->records == 0 && s->json.wrong == NULL)
        invalid(s, "records", "[]", "Member must have length greater than or equal to 1");
    return s->json.wrong == NULL;
}

static uint32_t which_of_request(const state *s, const json_text *name) {
    bool puts = s->operation == AWS_PUT_RECORDS || s->operation == AWS_FIREHOSE_PUT_RECORD ||
                s->operation == AWS_FIREHOSE_PUT_RECORD_BATCH;
    if (s->operation == AWS_PUT_RECORD && FIND(members_of_record, name) != 0)
        return FIND(members_of_record, name);
    uint32_t bit = aws_is_firehose(s->operation) ? FIND(firehose_request, name) : FIND(members_of_request, name);
    return bit == RECORDS && (!puts || (name->length == sizeof "Records" - 1) != s->list) ? 0 : bit;
}

static bool request_value(state *s, uint32_t bit) {
    json_text text;
    bool firehose = aws_is_firehose(s->operation);
    switch (bit) {
    case RECORDS:
        return take_records(s);
    case LIMIT:
        if (!json_count(&s->json, LIMIT_MAX + 1, &s->request->limit))
            return false;
        if (s->request->limit == 0 || s->request->limit > LIMIT_MAX)
            invalid(s, s->operation == AWS_LIST_SHARDS ? "maxResults" : "limit", "given",
                    "Member must have value between 1 and 10000");
        return true;
    case DRY:
        return json_boolean(&s->json, &s->request->dry_run);
    case DATA:
    case KEY:
    case HASH_KEY:
        return record_value(s, bit);
    default:
        break;
    }
    if (!plain_text(s, &text))
        return false;
    if (bit == NAME)
        take_name(s, firehose ? "deliveryStreamName" : "streamName", &text, s->request->stream);
    else if (bit == ARN)
        take_arn(s, &text);
    else if (bit == AFTER)
        take_name(s, "exclusiveStart", &text, s->request->after);
    else
        s->request->token = true;
    return true;
}

static bool needs_stream(const state *s) {
    return s->operation != AWS_LIST_STREAMS && s->operation != AWS_DESCRIBE_LIMITS && s->operation != AWS_FIREHOSE_LIST &&
           (s->operation != AWS_LIST_SHARDS || !s->request->token);
}

/* What is said of the request as a whole. */
static void end_request(state *s, uint32_t present) {
    bool firehose = aws_is_firehose(s->operation);
    if (s->operation == AWS_PUT_RECORD)
        end_record(s, present);
    else if ((s->operation == AWS_PUT_RECORDS || s->operation == AWS_FIREHOSE_PUT_RECORD ||
              s->operation == AWS_FIREHOSE_PUT_RECORD_BATCH) &&
             (present & RECORDS) == 0)
        invalid(s, s->list ? "records" : "record", "null", "Member must not be null");
    if ((present & ARN) != 0 && (present & NAME) != 0 && strcmp(s->request->stream, s->arn_stream) != 0)
        aws_fault_set(s->fault, 400, "InvalidArgumentException", "StreamName and StreamARN name two streams");
    else if ((present & ARN) != 0)
        memcpy(s->request->stream, s->arn_stream, sizeof s->arn_stream);
    if ((present & (NAME | ARN)) == 0 && needs_stream(s)) {
        if (firehose)
            invalid(s, "deliveryStreamName", "null", "Member must not be null");
        else
            aws_fault_set(s->fault, 400, "InvalidArgumentException", "Either StreamName or StreamARN is needed");
    }
}

static bool read_members(state *s) {
    uint32_t present = 0;
    if (!json_take(&s->json, '{'))
        return false;
    for (bool first = true; json_more(&s->json, '}', first); first = false) {
        uint32_t bit = begin_member(s, which_of_request, &present);
        if (bit != 0 && (!request_value(s, bit) || s->fault->type != NULL))
            return false;
    }
    if (s->json.wrong != NULL || json_peek(&s->json) != 0 || s->json.at != s->json.end)
        return json_fail(&s->json, "something behind the request");
    end_request(s, present);
    return s->fault->type == NULL;
}

bool aws_request_read(aws_operation operation, const uint8_t *body, size_t length, sl_buffer *out, sl_buffer *scratch,
                      aws_request *request, aws_fault *fault) {
    bool firehose = aws_is_firehose(operation);
    state s = {.json = {.at = body, .end = body + length, .begin = body},
               .operation = operation,
               .out = out,
               .scratch = scratch,
               .request = request,
               .fault = fault,
               .record_max = firehose ? FIREHOSE_RECORD_MAX : KINESIS_BYTES_MAX,
               .bytes_max = firehose ? FIREHOSE_BYTES_MAX : KINESIS_BYTES_MAX,
               .list = operation == AWS_PUT_RECORDS || operation == AWS_FIREHOSE_PUT_RECORD_BATCH};
    *request = (aws_request){.records = 0};
    sl_messages_begin(out, NULL);
    *fault = (aws_fault){.type = NULL};
    if (read_members(&s))
        return true;
    if (fault->type == NULL && (out->failed || scratch->failed))
        aws_fault_set(fault, 500, "InternalFailure", "out of memory");
    aws_fault_set(fault, 400, "SerializationException", "%s, at byte %zu",
                  s.json.wrong != NULL ? s.json.wrong : "not a request", (size_t)(s.json.at - body));
    return false;
}
