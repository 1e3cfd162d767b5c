#include "gate.h"

#include <string.h>

/* A request that waits for an engine: its texts and its body lie behind it. */
typedef struct kept {
    struct kept *next;
    int64_t since_us;
    size_t bytes; /* Taken from the budget. */
    sl_intake_request request;
    uint8_t data[];
} kept;

struct sl_gate {
    sl_intake intake; /* First: submit() is given this. */
    const sl_clock *clock;
    sl_budget *budget;
    sl_intake *engine; /* NULL: shut. */
    int64_t shut_us;
    kept *first, **last;
};

static int64_t now_us(const sl_gate *gate) {
    return gate->clock->monotonic_us(gate->clock->context);
}

static const void *copy(uint8_t **to, const void *from, size_t length) {
    uint8_t *at = *to;
    if (length != 0)
        memcpy(at, from, length);
    at[length] = 0;
    *to = at + length + 1;
    return at;
}

static sl_status keep(sl_gate *gate, const sl_intake_request *r) {
    const size_t source = strlen(r->source);
    const size_t bytes =
        sizeof(kept) + r->stream_length + source + r->key_length + 3 + r->length + SL_PADDING;
    if (sl_budget_take(gate->budget, bytes) != SL_OK)
        return SL_EFULL;
    kept *k = sl_malloc(bytes);
    if (k == NULL) {
        sl_budget_give(gate->budget, bytes);
        return SL_ENOMEM;
    }
    *k = (kept){.since_us = now_us(gate), .bytes = bytes, .request = *r};
    uint8_t *at = k->data;
    k->request.stream = copy(&at, r->stream, r->stream_length);
    k->request.source = copy(&at, r->source, source);
    k->request.key = copy(&at, r->key, r->key_length);
    memset(at + r->length, 0, SL_PADDING);
    if (r->length != 0)
        memcpy(at, r->body, r->length);
    k->request.body = at;
    *gate->last = k;
    gate->last = &k->next;
    return SL_OK;
}

static sl_status submit(sl_intake *intake, const sl_intake_request *request) {
    sl_gate *gate = (sl_gate *)intake;
    if (gate->engine != NULL)
        return gate->engine->submit(gate->engine, request);
    return sl_gate_takes(gate) ? keep(gate, request) : SL_EAGAIN;
}

sl_gate *sl_gate_create(const sl_clock *clock, sl_budget *budget) {
    sl_gate *gate = sl_calloc(1, sizeof *gate);
    if (gate == NULL)
        return NULL;
    gate->intake.submit = submit;
    gate->clock = clock;
    gate->budget = budget;
    gate->last = &gate->first;
    gate->shut_us = now_us(gate);
    return gate;
}

void sl_gate_destroy(sl_gate *gate) {
    sl_free(gate);
}

sl_intake *sl_gate_intake(sl_gate *gate) {
    return &gate->intake;
}

bool sl_gate_is_open(const sl_gate *gate) {
    return gate->engine != NULL;
}

bool sl_gate_takes(const sl_gate *gate) {
    return gate->engine != NULL || now_us(gate) - gate->shut_us < SL_GATE_WAIT_US;
}

static kept *pop(sl_gate *gate) {
    kept *k = gate->first;
    gate->first = k->next;
    if (gate->first == NULL)
        gate->last = &gate->first;
    return k;
}

static void forget(sl_gate *gate, kept *k) {
    sl_budget_give(gate->budget, k->bytes);
    sl_free(k);
}

static void answer(const kept *k, const sl_intake_reply *reply) {
    k->request.done(k->request.token, reply);
}

void sl_gate_open(sl_gate *gate, sl_intake *engine) {
    gate->engine = engine;
    while (gate->first != NULL) {
        kept *k = pop(gate);
        sl_status status = engine->submit(engine, &k->request);
        if (status == SL_ELIMIT)
            answer(k, &(sl_intake_reply){.status = 413, .message = "the body is larger than allowed"});
        else if (status != SL_OK)
            answer(k, &(sl_intake_reply){.status = status == SL_EFULL ? 429 : 503,
                                         .retry_after_s = status == SL_ENOSPC ? 5 : 1,
                                         .message = "not taken at present; send it again"});
        forget(gate, k);
    }
}

void sl_gate_shut(sl_gate *gate) {
    if (gate->engine == NULL)
        return;
    gate->engine = NULL;
    gate->shut_us = now_us(gate);
}

void sl_gate_refuse(sl_gate *gate, bool all) {
    const sl_intake_reply reply = {
        .status = 503, .retry_after_s = 1, .message = "starting or stopping; send it again"};
    const int64_t before = now_us(gate) - SL_GATE_WAIT_US;
    while (gate->first != NULL && (all || gate->first->since_us <= before)) {
        kept *k = pop(gate);
        answer(k, &reply);
        forget(gate, k);
    }
}
