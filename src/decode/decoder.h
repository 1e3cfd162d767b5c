/** @file decoder.h
 * What the parts of the decoder share: the plan (made once from the schema), the event
 * being decoded, and its failure.
 *
 * Bounds   The kernels read up to SL_PADDING bytes behind `end` and let nothing depend on
 * them: whatever was matched is checked to have ended before `end`.
 */
#pragma once

#include "sluice/decode.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))
/* Behind `end` may stand what another thread writes at that moment, such as the checksums
 * of the next record: nothing depends on it, which ThreadSanitizer can't know. */
#ifdef __SANITIZE_THREAD__
#define READS_BEYOND __attribute__((no_sanitize_thread))
#else
#define READS_BEYOND
#endif

/** What a member's value is taken for. Values of sl_type come first. */
enum { KIND_UNKNOWN = SL_TYPE_BYTES };

enum { ENTRY_NULLABLE = 1 };

/** Bytes of an entry's text: the widest vector. */
#define ENTRY_TEXT 32u
/** Length of an entry that never matches: no body is as long. */
#define ENTRY_NEVER INT32_MAX

/**
 * A key that an object may have, as it stands in the text: `"key":`. Successors are what
 * followed it last; so the order of the last event's keys is the prediction for the next
 * event.
 */
typedef struct plan_entry {
    uint8_t text[ENTRY_TEXT];
    uint32_t mask;  /**< A bit for each byte of the text. */
    int32_t length; /**< Of the text, or ENTRY_NEVER. */
    uint32_t field; /**< SL_NO_FIELD: the schema lacks it. */
    union {
        uint16_t group; /**< Index into groups, for a GROUP. */
        struct {
            uint8_t run;    /**< A STRING's: length of its last run, see read_string(). */
            uint8_t steady; /**< How often in a row it was that. */
        };
    };
    uint8_t kind; /**< sl_type or KIND_UNKNOWN. */
    uint8_t flags;
    struct plan_entry *next[2];
} plan_entry;

/** Some fields, as bits of `seen`. */
typedef struct field_word {
    uint32_t word;
    uint64_t mask;
} field_word;

/** What to do with a member that the schema lacks. */
typedef enum unknown_action { UNKNOWN_SKIP, UNKNOWN_KEEP, UNKNOWN_REFUSE } unknown_action;

#define UNKNOWN_ENTRIES 16u

typedef struct plan_group {
    plan_entry head; /**< Before the first key: only its successors count. */
    uint32_t field;
    unknown_action unknown;
    plan_entry *entries; /**< One per child of origin EVENT. */
    uint32_t entry_count;
    uint32_t *slots; /**< Hash table of entries, index + 1. */
    uint32_t slot_mask;
    field_word *required;
    uint32_t required_count;
    field_word *members; /**< All children, as masks. */
    uint32_t member_count;
    plan_entry *unknowns; /**< UNKNOWN_ENTRIES learned keys; only when they may come. */
} plan_group;

/** A member that goes to `_rest`. */
typedef struct rest_member {
    uint32_t group;     /**< Index into groups: the object it stands in. */
    uint32_t field;     /**< A known field whose value didn't fit, or SL_NO_FIELD. */
    const uint8_t *key; /**< With its quotes, as in the text; NULL for a known field. */
    uint32_t key_length;
    uint32_t value_length;
    const uint8_t *value;
    sl_span name; /**< The key unescaped. */
    bool dead;    /**< A later member has the same key. */
} rest_member;

typedef struct failure {
    sl_code code;
    const uint8_t *at;
    const char *text; /**< Constant text, or NULL: follows from the code. */
    uint32_t field;   /**< The member, SL_NO_FIELD: see key. */
    const uint8_t
        *key; /**< An unknown member's key with quotes, in `group`; may be NULL. */
    uint32_t key_length;
    const plan_group *group;
} failure;

typedef const uint8_t *event_fn(sl_decoder *decoder, const uint8_t *p);
typedef const uint8_t *skip_fn(sl_decoder *decoder, const uint8_t *p, unsigned depth);

/** One instance of kernel.h. */
typedef struct kernel {
    event_fn *event; /**< `p` is at '{'. @return behind '}', NULL: see failure. */
    skip_fn *skip;   /**< `p` is at a value. @return behind it, NULL: see failure. */
} kernel;

extern const kernel sl_kernel_scalar;
#if defined(__x86_64__)
extern const kernel sl_kernel_sse2;
extern const kernel sl_kernel_avx2;
#endif

/** csv.c: what is kept from one record of CSV to the next. */
typedef struct csv_state csv_state;

struct sl_decoder {
    const kernel *kernel;
    const uint8_t *raw;
    const uint8_t *end; /**< Of the body. */
    uint32_t base;      /**< Span of raw[0]: 0, or a place in the arena that has a copy of `raw`. */
    sl_column *columns;
    uint64_t *seen; /**< A bit per field: its key was there in this event. */
    uint32_t row;
    uint32_t seen_words;
    bool rest_used; /**< Rest members or clearings to forget before the next event. */
    bool inferred, frozen, lenient;

    uint64_t date_text; /**< The last date's first eight characters and last two ... */
    uint16_t date_tail;
    int64_t date_us; /**< ... and its midnight. */

    sl_batch *batch;
    const sl_schema *schema;
    sl_schema *reference;
    plan_group *groups;
    uint32_t group_count;
    uint32_t *group_of;   /**< [schema->count] a GROUP field's index into groups. */
    plan_entry *never;    /**< The first of all entries: matches nothing. */
    plan_entry *stranger; /**< The second: any unknown key that can't be learned. */
    uint32_t *slots;
    field_word *words;

    rest_member *rest;
    uint32_t rest_count, rest_capacity;
    uint32_t *cleared; /**< [schema->count] rest members before this number are void. */
    uint32_t *rest_slots;
    uint32_t rest_slot_count;
    bool no_memory; /**< Sticky: an allocation failed. */

    uint16_t *proposal_slots;
    uint32_t proposals_known; /**< Of the batch, in proposal_slots. */
    uint32_t event_bytes_max;
    failure failure;
    csv_state *csv; /**< NULL: no CSV came yet. */
};

/** A span's offset for text that is being decoded. */
static inline uint32_t span_offset(const sl_decoder *decoder, const uint8_t *p) {
    return (uint32_t)(p - decoder->raw) + decoder->base;
}

// --- decode.c
/** What a refused event may have left behind. */
typedef struct mark {
    size_t arena;
    uint32_t proposals;
    uint64_t drift;
} mark;
mark sl_decode_mark(const sl_decoder *decoder);
/** Make ready for the next event. */
void sl_decode_begin(sl_decoder *decoder);
/** Undo what a refused event left. @return false: there was no memory. */
bool sl_decode_undo(sl_decoder *decoder, const mark *before);
/** It becomes a row: [begin, end) of the record. */
void sl_decode_accept(sl_decoder *decoder, sl_decode_input *input, const uint8_t *begin,
                      const uint8_t *end);
/** It becomes a reject: by decoder->failure, `at` bytes behind `begin`. `place` goes before the message. */
sl_status sl_decode_reject(sl_decoder *decoder, sl_decode_input *input, const uint8_t *begin,
                           const uint8_t *end, uint32_t at, const char *place);
/** Has the batch no room for another event? */
bool sl_decode_is_full(const sl_batch *batch);
// --- cloudevents.c
/** Is the event at `begin`, whose syntax has been checked, a CloudEvent's envelope? @return false: see failure. */
bool sl_decode_cloudevent(sl_decoder *decoder, const uint8_t *begin);

// --- csv.c
sl_status sl_decode_csv(sl_decoder *decoder, sl_decode_input *input);
/** One row of such a record, found before: nothing is said of its line. */
sl_status sl_decode_csv_row(sl_decoder *decoder, sl_decode_input *input, const uint8_t *row, size_t length);
void sl_decode_csv_forget(sl_decoder *decoder); /**< At the decoder's end. */

// --- plan.c
sl_status sl_plan_make(sl_decoder *decoder, const sl_schema *schema);
void sl_plan_free(sl_decoder *decoder);
/** The entry of an unescaped key, or the one that an unknown key now has, or
 * decoder->stranger. */
plan_entry *sl_plan_find(sl_decoder *decoder, plan_group *group, const uint8_t *key,
                         size_t length);
/** Remember that `found` followed `before`. */
static inline void plan_learn(plan_entry *before, plan_entry *found) {
    before->next[1] = before->next[0];
    before->next[0] = found;
}

// --- text.c
/** First byte of the first sequence that is not UTF-8, or NULL. A byte that is no
 * continuation (the quote) follows. */
const uint8_t *sl_text_utf8_check(const uint8_t *p, const uint8_t *end);
/** `p` at a backslash. @return behind the escape (both halves of a pair), NULL and *text,
 * *at. */
const uint8_t *sl_text_escape_check(const uint8_t *p, const uint8_t *end,
                                    const char **text, const uint8_t **at);
/** Decode a checked string without its quotes. `out` has `end - p` bytes. @return bytes
 * written. */
size_t sl_text_unescape(const uint8_t *p, const uint8_t *end, uint8_t *out);
/** The first \u0000 among checked escapes, NULL when there is none. */
const uint8_t *sl_text_find_nul(const uint8_t *p, const uint8_t *end);
/** Unescape to the batch's arena. */
sl_span sl_text_keep(sl_decoder *decoder, const uint8_t *p, const uint8_t *end);

// --- member.c: the rare cases of a member's value
/** Fail and return NULL. `at` is cut to the end of the body. */
const uint8_t *sl_decode_fail(sl_decoder *decoder, sl_code code, const uint8_t *at,
                              const char *text);
const uint8_t *sl_decode_fail_field(sl_decoder *decoder, sl_code code, const uint8_t *at,
                                    uint32_t field);
/** The key came before in this object: what it brought is void. */
void sl_member_again(sl_decoder *decoder, uint32_t field);
/** The checked value [p, behind) is not what its column takes. @return behind, or NULL.
 */
const uint8_t *sl_member_misfit(sl_decoder *decoder, const uint8_t *p,
                                const uint8_t *behind, const plan_group *group,
                                const plan_entry *entry, sl_code code);
/** A member that the schema lacks; `key` with its quotes; value [p, end) is checked. */
bool sl_member_unknown(sl_decoder *decoder, const plan_group *group, const uint8_t *key,
                       size_t key_length, const uint8_t *p, const uint8_t *end,
                       unsigned depth);
/** Store a STRING's text where its column wants another type (DATE, TIMESTAMP, DECIMAL).
 */
sl_code sl_member_text(sl_decoder *decoder, const plan_entry *entry, const uint8_t *p,
                       const uint8_t *end, bool escaped);
struct json_number;
/** Store an INT64 or DECIMAL that isn't of the plain form. */
sl_code sl_member_number(sl_decoder *decoder, const plan_entry *entry,
                         const struct json_number *number);
/** Which required member is missing: fail. */
const uint8_t *sl_member_missing(sl_decoder *decoder, const plan_group *group,
                                 const uint8_t *at);

// --- rest.c
/** Keep a member for `_rest`. `key` as in rest_member. */
void sl_rest_add(sl_decoder *decoder, const rest_member *member);
/** Write the event's `_rest` to its column. */
void sl_rest_write(sl_decoder *decoder);
/** Before each event for which rest_used is set. */
void sl_rest_forget(sl_decoder *decoder);

// --- infer.c
/** What sl_infer_type() says of null. */
#define INFER_NOTHING SL_TYPE_BYTES
#define INFER_PROPOSALS_MAX 4096u
#define INFER_SLOTS 8192u

/** Type of a checked value; `key`: unescaped, decides whether a string may be a time; or
 * NULL. */
sl_type sl_infer_type(const char *key, size_t key_length, const uint8_t *p,
                      const uint8_t *end);
/** Propose an unknown member (its key with quotes), or the members of the object that it
 * is. */
void sl_infer_member(sl_decoder *decoder, const plan_group *group, const uint8_t *key,
                     size_t key_length, const uint8_t *p, unsigned depth);
/** Propose that `field` also holds `seen`. */
void sl_infer_wider(sl_decoder *decoder, uint32_t field, sl_type seen);
/** Drop the batch's proposals from number `count` on. */
void sl_infer_rollback(sl_decoder *decoder, uint32_t count);
/** The batch may be another one than last time. */
void sl_infer_begin(sl_decoder *decoder);

static inline void mark_seen(sl_decoder *decoder, uint32_t field) {
    uint64_t *word = &decoder->seen[field >> 6];
    uint64_t bit = UINT64_C(1) << (field & 63);
    if (UNLIKELY(*word & bit))
        sl_member_again(decoder, field);
    *word |= bit;
}
