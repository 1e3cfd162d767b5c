// The rare cases of a member's value, away from the kernels' hot code.

#include "number.h"

const uint8_t *sl_decode_fail(sl_decoder *decoder, sl_code code, const uint8_t *at,
                              const char *text) {
    decoder->failure = (failure){.code = code,
                                 .at = at > decoder->end ? decoder->end : at,
                                 .text = text,
                                 .field = SL_NO_FIELD};
    return NULL;
}

const uint8_t *sl_decode_fail_field(sl_decoder *decoder, sl_code code, const uint8_t *at,
                                    uint32_t field) {
    decoder->failure = (failure){.code = code, .at = at, .field = field};
    return NULL;
}

// Only what was seen is taken back, so that repeating a key costs no more than writing
// it.
void sl_member_again(sl_decoder *decoder, uint32_t field) {
    decoder->columns[field].valid[decoder->row] = 0;
    decoder->cleared[field] = decoder->rest_count;
    decoder->rest_used = true;
    if (decoder->schema->fields[field].type != SL_TYPE_GROUP)
        return;
    const plan_group *g = &decoder->groups[decoder->group_of[field]];
    for (uint32_t i = 0; i < g->member_count; i++) {
        uint64_t *seen = &decoder->seen[g->members[i].word];
        uint64_t bits = *seen & g->members[i].mask;
        *seen &= ~bits;
        for (; bits != 0; bits &= bits - 1)
            sl_member_again(decoder,
                            g->members[i].word * 64 + (uint32_t)__builtin_ctzll(bits));
    }
}

const uint8_t *sl_member_misfit(sl_decoder *decoder, const uint8_t *p,
                                const uint8_t *behind, const plan_group *group,
                                const plan_entry *entry, sl_code code) {
    if (decoder->lenient)
        return behind;
    if (!decoder->inferred)
        return sl_decode_fail_field(decoder, code, p, entry->field);
    sl_type have = decoder->schema->fields[entry->field].type;
    sl_type seen = sl_infer_type(NULL, 0, p, behind);
    sl_type wide = seen == SL_TYPE_GROUP ? SL_TYPE_GROUP : sl_type_widen(have, seen);
    // The string that misfits a column of strings holds a NUL: the reply has said yes
    // already when the column comes to be, so the event can't be refused for it.
    if (wide == SL_TYPE_STRING && have == SL_TYPE_STRING && *p != '"') {
        // A column that was widened to text keeps a number's or boolean's text.
        const sl_column *column = &decoder->columns[entry->field];
        column->values.span[decoder->row] = (sl_span){
            .offset = span_offset(decoder, p), .length = (uint32_t)(behind - p)};
        column->valid[decoder->row] = 1;
        return behind;
    }
    if (wide != SL_TYPE_GROUP && wide != have && !decoder->frozen)
        sl_infer_wider(decoder, entry->field, seen);
    else
        decoder->batch->drift++;
    sl_rest_add(decoder, &(rest_member){.group = (uint32_t)(group - decoder->groups),
                                        .field = entry->field,
                                        .value = p,
                                        .value_length = (uint32_t)(behind - p)});
    return behind;
}

bool sl_member_unknown(sl_decoder *decoder, const plan_group *group, const uint8_t *key,
                       size_t key_length, const uint8_t *p, const uint8_t *end,
                       unsigned depth) {
    if (group->unknown == UNKNOWN_REFUSE) {
        sl_decode_fail(decoder, SL_CODE_ADDITIONAL, key, NULL);
        decoder->failure.group = group;
        decoder->failure.key = key;
        decoder->failure.key_length = (uint32_t)key_length;
        return false;
    }
    if (decoder->inferred)
        sl_infer_member(decoder, group, key, key_length, p, depth);
    sl_rest_add(decoder, &(rest_member){.group = (uint32_t)(group - decoder->groups),
                                        .field = SL_NO_FIELD,
                                        .key = key,
                                        .key_length = (uint32_t)key_length,
                                        .value = p,
                                        .value_length = (uint32_t)(end - p)});
    return true;
}

static sl_code store_decimal(sl_decoder *decoder, const plan_entry *entry,
                             const json_number *n) {
    const sl_field *field = &decoder->schema->fields[entry->field];
    return sl_number_decimal(n, field->precision, field->scale,
                             &decoder->columns[entry->field].values.i64[decoder->row]);
}

sl_code sl_member_number(sl_decoder *decoder, const plan_entry *entry,
                         const struct json_number *scanned) {
    json_number n = *scanned;
    if (!n.many)
        number_lowest(&n);
    if (entry->kind == SL_TYPE_DECIMAL)
        return store_decimal(decoder, entry, &n);
    return sl_number_int64(&n, &decoder->columns[entry->field].values.i64[decoder->row]);
}

static sl_code store_text(sl_decoder *decoder, const plan_entry *entry,
                          const uint8_t *text, size_t length) {
    int64_t *value = &decoder->columns[entry->field].values.i64[decoder->row];
    if (entry->kind == SL_TYPE_TIMESTAMP)
        return sl_time_parse((const char *)text, length, value) ? SL_CODE_NONE
                                                                : SL_CODE_FORMAT;
    if (entry->kind == SL_TYPE_DATE) {
        int32_t days;
        if (!sl_date_parse((const char *)text, length, &days))
            return SL_CODE_FORMAT;
        *value = days;
        return SL_CODE_NONE;
    }
    json_number n;
    const uint8_t *at;
    if (sl_number_scan(text, text + length, &n, &at) != text + length)
        return SL_CODE_TYPE;
    return store_decimal(decoder, entry, &n);
}

sl_code sl_member_text(sl_decoder *decoder, const plan_entry *entry, const uint8_t *p,
                       const uint8_t *end, bool escaped) {
    size_t before = decoder->batch->arena.length;
    size_t length = (size_t)(end - p);
    if (escaped) {
        sl_span span = sl_text_keep(decoder, p, end);
        if (decoder->batch->arena.failed)
            return SL_CODE_FORMAT; // The batch is lost anyhow.
        p = sl_batch_text(decoder->batch, span);
        length = span.length;
    }
    sl_code code = store_text(decoder, entry, p, length);
    if (code == SL_CODE_NONE)
        decoder->columns[entry->field].valid[decoder->row] = 1;
    decoder->batch->arena.length = before;
    return code;
}

const uint8_t *sl_member_missing(sl_decoder *decoder, const plan_group *group,
                                 const uint8_t *at) {
    for (uint32_t i = 0; i < group->entry_count; i++) {
        uint32_t field = group->entries[i].field;
        bool seen = decoder->seen[field >> 6] >> (field & 63) & 1;
        if (decoder->schema->fields[field].required && !seen)
            return sl_decode_fail_field(decoder, SL_CODE_REQUIRED, at, field);
    }
    return NULL;
}
