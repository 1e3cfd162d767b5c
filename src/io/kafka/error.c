/* librdkafka's errors: local ones are negative, brokers' positive. */
#include "private.h"

#include <string.h>

#define CASE(name) case RD_KAFKA_RESP_ERR_##name

sl_status sl_kafka_status(rd_kafka_resp_err_t code) {
    switch ((int)code) {
    CASE(NO_ERROR):
        return SL_OK;
    CASE(_AUTHENTICATION):
    CASE(_SSL):
    CASE(SASL_AUTHENTICATION_FAILED):
    CASE(UNSUPPORTED_SASL_MECHANISM):
    CASE(ILLEGAL_SASL_STATE):
    CASE(TOPIC_AUTHORIZATION_FAILED):
    CASE(GROUP_AUTHORIZATION_FAILED):
    CASE(CLUSTER_AUTHORIZATION_FAILED):
    CASE(TRANSACTIONAL_ID_AUTHORIZATION_FAILED):
    CASE(SECURITY_DISABLED):
        return SL_EDENIED;
    CASE(UNKNOWN_TOPIC_OR_PART):
    CASE(_UNKNOWN_TOPIC):
    CASE(_UNKNOWN_PARTITION):
    CASE(OFFSET_OUT_OF_RANGE):
    CASE(_AUTO_OFFSET_RESET):
    CASE(_NO_OFFSET):
        return SL_ENOTFOUND;
    CASE(_FATAL):
    CASE(_FENCED):
    CASE(INVALID_PRODUCER_EPOCH):
    CASE(PRODUCER_FENCED):
    CASE(FENCED_INSTANCE_ID):
    CASE(ILLEGAL_GENERATION):
    CASE(UNKNOWN_MEMBER_ID):
    CASE(REBALANCE_IN_PROGRESS):
    CASE(_ASSIGNMENT_LOST):
        return SL_ECONFLICT;
    CASE(_QUEUE_FULL):
        return SL_EFULL;
    CASE(MSG_SIZE_TOO_LARGE):
    CASE(INVALID_MSG_SIZE):
        return SL_ELIMIT;
    CASE(_TIMED_OUT):
    CASE(_TIMED_OUT_QUEUE):
    CASE(_MSG_TIMED_OUT):
    CASE(REQUEST_TIMED_OUT):
    CASE(UNSTABLE_OFFSET_COMMIT):
        return SL_EAGAIN;
    CASE(_INVALID_ARG):
    CASE(_CONFLICT):
    CASE(_STATE):
    CASE(TOPIC_EXCEPTION):
    CASE(INVALID_GROUP_ID):
        return SL_EINVAL;
    CASE(_CRIT_SYS_RESOURCE):
        return SL_ENOMEM;
    CASE(_UNSUPPORTED_FEATURE):
    CASE(UNSUPPORTED_VERSION):
        return SL_EUNSUPPORTED;
    default:
        return SL_EIO;
    }
}

static const char *mend(rd_kafka_resp_err_t code) {
    switch ((int)code) {
    CASE(_AUTHENTICATION):
    CASE(SASL_AUTHENTICATION_FAILED):
        return rd_kafka_version() < 0x02060100 ? "check sasl.user, sasl.password and sasl.mechanism; SCRAM with Kafka 4 needs librdkafka 2.6.1"
                                               : "check sasl.user, sasl.password and sasl.mechanism";
    CASE(UNSUPPORTED_SASL_MECHANISM):
        return "set sasl.mechanism to one that the broker has";
    CASE(_SSL):
        return "check tls.ca, tls.cert and tls.key, and that the broker's name is in its certificate";
    CASE(_RESOLVE):
        return "check the names in brokers";
    CASE(_TRANSPORT):
    CASE(_ALL_BROKERS_DOWN):
        return "check brokers, and whether their listener wants tls or sasl; trying again";
    CASE(UNKNOWN_TOPIC_OR_PART):
    CASE(_UNKNOWN_TOPIC):
    CASE(_UNKNOWN_PARTITION):
        return "create the topic, or correct topics";
    CASE(TOPIC_AUTHORIZATION_FAILED):
        return "the user needs the right to read and describe (or write) the topic";
    CASE(GROUP_AUTHORIZATION_FAILED):
        return "the user needs the right to read the group";
    CASE(OFFSET_OUT_OF_RANGE):
    CASE(_AUTO_OFFSET_RESET):
        return "the log doesn't hold this position: retention was shorter than the outage, or the topic was made anew";
    CASE(_FENCED):
    CASE(PRODUCER_FENCED):
    CASE(INVALID_PRODUCER_EPOCH):
    CASE(FENCED_INSTANCE_ID):
        return "another process has taken this id over";
    CASE(_MAX_POLL_EXCEEDED):
        return "the process stood still; its partitions went to others";
    CASE(MSG_SIZE_TOO_LARGE):
        return "raise max.message.bytes of the topic (message.max.bytes of the brokers, or here in properties)";
    default:
        return NULL;
    }
}

/* A broker that refuses our certificate closes the connection with a TLS alert, which is told as a broken one. */
static rd_kafka_resp_err_t told_as(rd_kafka_resp_err_t code, const char *text) {
    bool alert = text != NULL && strstr(text, "SSL routines") != NULL && strstr(text, "alert") != NULL;
    return code == RD_KAFKA_RESP_ERR__TRANSPORT && alert ? RD_KAFKA_RESP_ERR__SSL : code;
}

sl_status sl_kafka_explain(sl_error *error, rd_kafka_resp_err_t code, const char *text) {
    code = told_as(code, text);
    const char *words = text != NULL && text[0] != 0 ? text : rd_kafka_err2str(code), *add = mend(code);
    return add != NULL ? sl_error_set(error, sl_kafka_status(code), "Kafka: %.300s (%s)", words, add)
                       : sl_error_set(error, sl_kafka_status(code), "Kafka: %.400s", words);
}

sl_status sl_kafka_failed(sl_error *error, rd_kafka_error_t *failure) {
    if (failure == NULL)
        return SL_OK;
    sl_status status = sl_kafka_explain(error, rd_kafka_error_code(failure), rd_kafka_error_string(failure));
    if (rd_kafka_error_is_fatal(failure))
        status = error != NULL ? (error->status = SL_ECONFLICT) : SL_ECONFLICT;
    else if (rd_kafka_error_txn_requires_abort(failure) || rd_kafka_error_is_retriable(failure))
        status = error != NULL ? (error->status = SL_EAGAIN) : SL_EAGAIN;
    rd_kafka_error_destroy(failure);
    return status;
}

bool sl_kafka_refusal(rd_kafka_queue_t *queue, sl_error *error) {
    bool found = false;
    for (rd_kafka_event_t *event; (event = rd_kafka_queue_poll(queue, 0)) != NULL; rd_kafka_event_destroy(event)) {
        rd_kafka_resp_err_t code = rd_kafka_event_error(event);
        if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_ERROR || code == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            continue;
        /* That nobody answers is the consequence; what was said before is the cause. */
        if (found && error->status == SL_EDENIED)
            continue;
        if (found && (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__TRANSPORT))
            continue;
        (void)sl_kafka_explain(error, code, rd_kafka_event_error_string(event));
        found = true;
    }
    return found;
}
