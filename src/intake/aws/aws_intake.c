/* POST / for the producers of Kinesis and Firehose.
 *
 * A request is judged by its head, read, made one record of the log and answered when that is durable. What isn't JSON
 * is taken as Kinesis takes it, and becomes a dead letter: a producer that were refused would send it for ever.
 */
#include "sluice/aws_intake.h"

#include "authorization.h"
#include "cbor.h"
#include "reply.h"

#include "sluice/aws.h"

#include <stdio.h>

#define TURNED_KEPT_MAX (UINT64_C(1) << 20) /* Memory that stays for the next request. */

/** The two services have each their own key of the day. */
typedef struct key {
    char regions[2][AWS_REGION_MAX];
    sl_aws_signer signers[2];
} key;

struct sl_aws_intake {
    sl_aws_intake_options options;
    key *keys;
    sl_buffer turned, scratch, json; /**< Of one request; the last where it came as CBOR. */
    uint64_t sequence, requests, seed;
    int64_t created_us;
    aws_authorization authorization;
};

/** A request in the engine's hands. */
typedef struct pending {
    sl_http_exchange *exchange;
    aws_answer answer;
    char stream[AWS_NAME_MAX + 1];
} pending;

static const char *const targets[AWS_OPERATIONS] = {
    "Kinesis_20131202.PutRecord",      "Kinesis_20131202.PutRecords",
    "Kinesis_20131202.ListShards",     "Kinesis_20131202.DescribeStream",
    "Kinesis_20131202.DescribeStreamSummary", "Kinesis_20131202.ListStreams",
    "Kinesis_20131202.DescribeLimits", "Firehose_20150804.PutRecord",
    "Firehose_20150804.PutRecordBatch", "Firehose_20150804.DescribeDeliveryStream",
    "Firehose_20150804.ListDeliveryStreams"};

sl_aws_intake *sl_aws_intake_create(const sl_aws_intake_options *options) {
    sl_aws_intake *routes = sl_calloc(1, sizeof *routes);
    if (routes == NULL)
        return NULL;
    routes->options = *options;
    routes->created_us = options->clock.wall_us(options->clock.context);
    int64_t instant[] = {routes->created_us, options->clock.monotonic_us(options->clock.context)};
    routes->seed = sl_hash64(instant, sizeof instant, 0);
    routes->keys = sl_calloc(options->key_count + 1, sizeof *routes->keys);
    if (routes->keys == NULL) {
        sl_free(routes);
        return NULL;
    }
    return routes;
}

void sl_aws_intake_destroy(sl_aws_intake *routes) {
    if (routes == NULL)
        return;
    for (size_t i = 0; i < routes->options.key_count; i++)
        for (int service = 0; service < 2; service++)
            sl_aws_signer_fini(&routes->keys[i].signers[service]);
    sl_buffer_fini(&routes->turned);
    sl_buffer_fini(&routes->scratch);
    sl_buffer_fini(&routes->json);
    sl_free(routes->keys);
    sl_free(routes);
}

/* --- who asks for what --- */

static bool is_cbor(const sl_http_exchange *exchange) {
    const char *type = sl_http_header(exchange, "content-type");
    return strncmp(type, "application/x-amz-cbor-1.", 25) == 0;
}

bool sl_aws_intake_is(const char *method, const char *path, const sl_http_exchange *exchange) {
    return strcmp(method, "POST") == 0 && strcmp(path, "/") == 0 &&
           (*sl_http_header(exchange, "x-amz-target") != 0 ||
            strncmp(sl_http_header(exchange, "content-type"), "application/x-amz-", 18) == 0);
}

/* @return false: `fault` says why. */
static bool find_operation(const sl_http_exchange *exchange, aws_operation *out, aws_fault *fault) {
    const char *target = sl_http_header(exchange, "x-amz-target"), *type = sl_http_header(exchange, "content-type");
    for (int i = 0; i < AWS_OPERATIONS; i++)
        if (strcmp(target, targets[i]) == 0) {
            *out = (aws_operation)i;
            if (*type != 0 && !is_cbor(exchange) && strncmp(type, "application/x-amz-json-1.", 25) != 0 &&
                     strncmp(type, "application/json", 16) != 0)
                aws_fault_set(fault, 400, "SerializationException", "Content-Type is application/x-amz-json-1.1 or application/x-amz-cbor-1.1");
            return fault->type == NULL;
        }
    aws_fault_set(fault, 400, "UnknownOperationException", "no operation '%.100s' here: records are put by PutRecord, PutRecords%s",
                  target, strncmp(target, "Firehose", 8) == 0 ? ", PutRecordBatch" : "");
    return false;
}

static aws_answer begin_answer(sl_aws_intake *routes, const sl_http_exchange *exchange) {
    uint64_t number[] = {routes->seed, ++routes->requests};
    return (aws_answer){.cbor = is_cbor(exchange),
                        .id = sl_hash128_of(number, sizeof number),
                        .region = "us-east-1",
                        .created_us = routes->created_us};
}

/* --- signatures --- */

static bool must_sign(const aws_authorization *a, const sl_http_exchange *exchange, aws_fault *fault) {
    static const char *const names[] = {"x-amz-date", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256"};
    const char *missing = aws_authorization_signs(a, "host") ? NULL : "host";
    bool dated = *sl_http_header(exchange, "x-amz-date") != 0;
    if (!dated && !aws_authorization_signs(a, "date"))
        missing = "date";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sl_http_header_count(exchange, names[i]) > 0 && !aws_authorization_signs(a, names[i]))
            missing = names[i];
    if (missing != NULL)
        aws_fault_set(fault, 400, "InvalidSignatureException", "'%s' must be a 'SignedHeader' in the AWS Authorization.", missing);
    return missing == NULL;
}

/* @return its index; `key_count`: nobody's. */
static size_t find_key(const sl_aws_intake *routes, const char *id) {
    size_t i = 0;
    while (i < routes->options.key_count && strcmp(routes->options.keys[i].access_key_id, id) != 0)
        i++;
    return i;
}

/* What the head tells of the signature. */
static bool check_head(sl_aws_intake *routes, const sl_http_exchange *exchange, aws_operation operation, aws_fault *fault) {
    const sl_aws_intake_options *o = &routes->options;
    aws_authorization *a = &routes->authorization;
    if (o->key_count == 0 && o->guarded)
        aws_fault_set(fault, 400, "AccessDeniedException",
                      "http.auth has tokens and no aws_keys: these calls are off until it has some");
    if (o->key_count == 0)
        return fault->type == NULL;
    if (sl_http_header_count(exchange, "authorization") > 1)
        aws_fault_set(fault, 400, "IncompleteSignatureException", "there are two Authorization headers");
    else if (aws_authorization_read(a, sl_http_header(exchange, "authorization"), sl_http_header(exchange, "x-amz-date"),
                                    sl_http_header(exchange, "date"), fault)) {
        if (find_key(routes, a->key_id) == o->key_count)
            aws_fault_set(fault, 400, "UnrecognizedClientException", "The security token included in the request is invalid.");
        else if (aws_authorization_check(a, aws_is_firehose(operation) ? "firehose" : "kinesis", o->clock.wall_us(o->clock.context),
                                         fault))
            (void)must_sign(a, exchange, fault);
    }
    return fault->type == NULL;
}

static sl_aws_signer *signer_of(sl_aws_intake *routes, size_t index, bool firehose) {
    key *k = &routes->keys[index];
    const char *region = routes->authorization.region;
    sl_aws_signer *signer = &k->signers[firehose];
    if (strcmp(k->regions[firehose], region) != 0) {
        (void)snprintf(k->regions[firehose], sizeof k->regions[firehose], "%s", region);
        signer->day[0] = 0;
    }
    signer->service = firehose ? "firehose" : "kinesis";
    signer->region = k->regions[firehose];
    signer->flags = SL_AWS_SERVICE;
    return signer;
}

/* The fields that were signed, Host apart. A field that is there twice is nobody's of these, and none that is missing. */
static bool signed_fields(const aws_authorization *a, const sl_http_exchange *exchange, sl_http_field *fields, size_t *count,
                          aws_fault *fault) {
    *count = 0;
    for (size_t i = 0; i < a->name_count; i++) {
        if (sl_http_header_count(exchange, a->names[i]) != 1) {
            aws_fault_set(fault, 400, "InvalidSignatureException", "the SignedHeader '%.64s' is there %s", a->names[i],
                          sl_http_header_count(exchange, a->names[i]) > 1 ? "twice" : "not at all");
            return false;
        }
        if (strcmp(a->names[i], "host") != 0)
            fields[(*count)++] = (sl_http_field){a->names[i], sl_http_header(exchange, a->names[i])};
    }
    return true;
}

/* The signature itself, once the body is there. */
static bool check_signature(sl_aws_intake *routes, const sl_http_request *request, aws_operation operation, aws_fault *fault) {
    const sl_http_exchange *exchange = request->exchange;
    const aws_authorization *a = &routes->authorization;
    sl_http_field fields[AWS_SIGNED_MAX];
    char payload[SL_AWS_HASH_TEXT];
    sl_aws_request is = {.method = request->method, .host = sl_http_header(exchange, "host"), .path = "/", .fields = fields,
                         .payload_hash = payload, .time_us = a->time_us};
    bool same = false;
    sl_error error;
    if (routes->options.key_count == 0)
        return true;
    if (*request->query != 0)
        aws_fault_set(fault, 400, "InvalidSignatureException", "a query is no part of these requests");
    if (sl_http_header_count(exchange, "content-encoding") > 0) /* It was signed as it was sent, and is expanded now. */
        aws_fault_set(fault, 400, "InvalidSignatureException", "signed requests are sent without Content-Encoding");
    if (fault->type != NULL || !signed_fields(a, exchange, fields, &is.field_count, fault))
        return false;
    size_t index = find_key(routes, a->key_id);
    sl_aws_hash_text(request->body, request->length, payload);
    const char *said = sl_http_header(exchange, "x-amz-content-sha256");
    if (*said != 0 && strcmp(said, payload) != 0) {
        aws_fault_set(fault, 400, "InvalidSignatureException", "x-amz-content-sha256 isn't the hash of the body");
        return false;
    }
    sl_status status = sl_aws_verify(signer_of(routes, index, aws_is_firehose(operation)),
                                     routes->options.keys[index].secret_access_key, &is, a->signature, &same, &error);
    if (status == SL_ENOMEM)
        aws_fault_set(fault, 500, "InternalFailure", "out of memory");
    else if (status != SL_OK || !same)
        aws_fault_set(fault, 400, "InvalidSignatureException",
                      "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                      "Access Key and signing method. Consult the service documentation for details.");
    return fault->type == NULL;
}

int sl_aws_intake_admit(sl_aws_intake *routes, const char *method, const char *path, sl_http_exchange *exchange) {
    aws_operation operation;
    aws_fault fault = {.type = NULL};
    if (!sl_aws_intake_is(method, path, exchange))
        return 0;
    if (find_operation(exchange, &operation, &fault) && check_head(routes, exchange, operation, &fault))
        return 0;
    aws_answer answer = begin_answer(routes, exchange);
    aws_reply_fault(exchange, &answer, &fault);
    return fault.status;
}

/* --- records to the log --- */

static void throttle(aws_operation operation, const char *stream, aws_fault *fault) {
    if (aws_is_firehose(operation))
        aws_fault_set(fault, 503, "ServiceUnavailableException", "Slow down.");
    else
        aws_fault_set(fault, 400, "ProvisionedThroughputExceededException",
                      "Rate exceeded for shard " AWS_SHARD " in stream %s under account 000000000000.", stream);
}

/* [A-Za-z_][A-Za-z0-9_.-]{0,62}; the rest was checked when it was read. */
static bool can_be_stream(const char *name) {
    size_t length = strlen(name);
    bool letter = (*name | 32) >= 'a' && (*name | 32) <= 'z';
    return (letter || *name == '_') && length <= 63;
}

static void not_found(aws_operation operation, const char *stream, aws_fault *fault) {
    aws_fault_set(fault, 400, "ResourceNotFoundException", "%s %s under account 000000000000 not found.%s",
                  aws_is_firehose(operation) ? "Firehose" : "Stream", stream,
                  can_be_stream(stream) ? "" : " Here a stream's name begins with a letter or _ and has up to 63 characters.");
}

bool sl_aws_intake_refuse(sl_aws_intake *routes, const char *method, const char *path, sl_http_exchange *exchange, int status,
                          const char *message) {
    aws_fault fault = {.type = NULL}, unknown = {.type = NULL};
    if (!sl_aws_intake_is(method, path, exchange))
        return false;
    aws_answer answer = begin_answer(routes, exchange);
    (void)find_operation(exchange, &answer.operation, &unknown);
    if (status == 429 || status == 503)
        throttle(answer.operation, "", &fault);
    else
        aws_fault_set(&fault, 400, status == 413 ? "InvalidArgumentException" : "SerializationException", "%s", message);
    aws_reply_fault(exchange, &answer, &fault);
    return true;
}

/* Any other outcome than "it is stored", rejected records being stored as dead letters. */
static void refusal(const sl_intake_reply *reply, const pending *p, aws_fault *fault) {
    if (reply->status == 404)
        not_found(p->answer.operation, p->stream, fault);
    else if (reply->status == 413)
        aws_fault_set(fault, 400, "InvalidArgumentException", "the records are larger than http.max_body allows");
    else if (reply->status == 429 || aws_is_firehose(p->answer.operation))
        throttle(p->answer.operation, p->stream, fault);
    else
        aws_fault_set(fault, 500, "InternalFailure", "%s", reply->message != NULL ? reply->message : "not stored; send it again");
}

static void done(void *token, const sl_intake_reply *reply) {
    pending *p = token;
    if (reply->status == 200 || reply->status == 400) {
        aws_reply_put(p->exchange, &p->answer);
    } else {
        aws_fault fault = {.type = NULL};
        refusal(reply, p, &fault);
        aws_reply_fault(p->exchange, &p->answer, &fault);
    }
    sl_free(p);
}

static uint64_t next_sequence(sl_aws_intake *routes) {
    const sl_clock *clock = &routes->options.clock;
    uint64_t now = (uint64_t)clock->wall_us(clock->context);
    routes->sequence = now > routes->sequence ? now : routes->sequence + 1;
    return routes->sequence;
}

/* @return SL_OK: done() answers. */
static sl_status submit(sl_aws_intake *routes, sl_http_exchange *exchange, const aws_request *request, aws_answer *answer) {
    pending *p = sl_malloc(sizeof *p);
    if (p == NULL)
        return SL_ENOMEM;
    answer->records = request->records;
    answer->sequence = next_sequence(routes);
    *p = (pending){.exchange = exchange, .answer = *answer};
    memcpy(p->stream, request->stream, sizeof p->stream);
    const sl_intake_request submitted = {.stream = request->stream,
                                         .stream_length = strlen(request->stream),
                                         .source = aws_is_firehose(answer->operation) ? "firehose" : "kinesis",
                                         .format = {.kind = SL_FORMAT_MESSAGES},
                                         .body = routes->turned.bytes,
                                         .length = routes->turned.length,
                                         .done = done,
                                         .token = p};
    sl_status status = routes->options.intake->submit(routes->options.intake, &submitted);
    if (status != SL_OK)
        sl_free(p);
    return status;
}

static void refuse_submit(sl_status status, const aws_request *request, aws_operation operation, aws_fault *fault) {
    if (status == SL_ELIMIT)
        aws_fault_set(fault, 400, "InvalidArgumentException", "the records are larger than http.max_body allows");
    else
        throttle(operation, request->stream, fault); /* Nothing was taken: let it come again. */
}

static bool knows(const sl_aws_intake *routes, const char *stream) {
    const char *name;
    if (routes->options.any_stream)
        return can_be_stream(stream);
    for (uint32_t i = 0; (name = routes->options.stream(routes->options.context, i)) != NULL; i++)
        if (strcmp(name, stream) == 0)
            return true;
    return false;
}

static bool puts_records(aws_operation operation) {
    return operation == AWS_PUT_RECORD || operation == AWS_PUT_RECORDS || operation == AWS_FIREHOSE_PUT_RECORD ||
           operation == AWS_FIREHOSE_PUT_RECORD_BATCH;
}

/* What isn't put. @return false: `fault` says why. */
static bool tell(sl_aws_intake *routes, sl_http_exchange *exchange, const aws_request *request, const aws_answer *answer,
                 aws_fault *fault) {
    if (request->token)
        aws_fault_set(fault, 400, "InvalidArgumentException", "NextToken is none that was given out");
    else if (answer->operation == AWS_LIST_STREAMS || answer->operation == AWS_FIREHOSE_LIST)
        aws_reply_list(exchange, answer, request, routes->options.stream, routes->options.context);
    else if (answer->operation == AWS_DESCRIBE_LIMITS)
        aws_reply_limits(exchange, answer, routes->options.stream, routes->options.context);
    else if (!knows(routes, request->stream))
        not_found(answer->operation, request->stream, fault);
    else
        aws_reply_describe(exchange, answer, request);
    return fault->type == NULL;
}

static bool put(sl_aws_intake *routes, sl_http_exchange *exchange, const aws_request *request, aws_answer *answer,
                aws_fault *fault) {
    if (!knows(routes, request->stream))
        not_found(answer->operation, request->stream, fault);
    else if (request->dry_run)
        aws_fault_set(fault, 400, "DryRunOperationException", "The request would have succeeded, but DryRun is set.");
    else {
        sl_status status = submit(routes, exchange, request, answer);
        if (status != SL_OK)
            refuse_submit(status, request, answer->operation, fault);
    }
    return fault->type == NULL;
}

/* @return false: `fault` says why. */
static bool serve(sl_aws_intake *routes, const sl_http_request *asked, aws_answer *answer, aws_fault *fault) {
    aws_request request;
    const uint8_t *body = asked->body;
    size_t length = asked->length;
    const char *wrong;
    sl_buffer_clear(&routes->turned);
    sl_buffer_clear(&routes->scratch);
    sl_buffer_clear(&routes->json);
    if (answer->cbor) {
        if (!aws_cbor_to_json(body, length, &routes->json, &wrong) || !sl_buffer_reserve(&routes->json, SL_PADDING)) {
            aws_fault_set(fault, routes->json.failed ? 500 : 400, routes->json.failed ? "InternalFailure" : "SerializationException",
                          "%s", routes->json.failed ? "out of memory" : wrong);
            return false;
        }
        body = routes->json.bytes;
        length = routes->json.length;
    }
    if (!aws_request_read(answer->operation, body, length, &routes->turned, &routes->scratch, &request, fault))
        return false;
    return puts_records(answer->operation) ? put(routes, asked->exchange, &request, answer, fault)
                                           : tell(routes, asked->exchange, &request, answer, fault);
}

static void shrink(sl_buffer *buffer) {
    if (buffer->capacity > TURNED_KEPT_MAX || buffer->failed)
        sl_buffer_fini(buffer);
}

bool sl_aws_intake_handle(sl_aws_intake *routes, const sl_http_request *request) {
    sl_http_exchange *exchange = request->exchange;
    aws_fault fault = {.type = NULL};
    if (!sl_aws_intake_is(request->method, request->path, exchange))
        return false;
    aws_answer answer = begin_answer(routes, exchange);
    if (find_operation(exchange, &answer.operation, &fault) && check_head(routes, exchange, answer.operation, &fault) &&
        check_signature(routes, request, answer.operation, &fault)) {
        if (routes->options.key_count > 0)
            (void)snprintf(answer.region, sizeof answer.region, "%s", routes->authorization.region);
        /* What the request becomes, an aggregated record while it is taken apart, and the JSON of CBOR at its longest. */
        const uint64_t bytes = (answer.cbor ? 6 : 2) * (uint64_t)request->length;
        if (sl_budget_take(routes->options.budget, bytes) == SL_OK) {
            (void)serve(routes, request, &answer, &fault);
            shrink(&routes->turned);
            shrink(&routes->scratch);
            shrink(&routes->json);
            if (routes->options.budget != NULL)
                sl_budget_give(routes->options.budget, bytes);
        } else {
            throttle(answer.operation, "", &fault);
        }
    }
    if (fault.type != NULL)
        aws_reply_fault(exchange, &answer, &fault);
    return true;
}
