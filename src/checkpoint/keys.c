/* Idempotency-Keys and the replies to them. */
#include "ledger.h"

sl_status sl_ledger_key_put(sl_ledger *ledger, const sl_ledger_key *key, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "INSERT OR REPLACE INTO keys(key, body, arrival, result) VALUES(?,?,?,?)", &s,
        error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_blob(s, 1, &key->key, sizeof key->key);
    sl_sql_bind_blob(s, 2, &key->body, sizeof key->body);
    sl_sql_bind_int(s, 3, key->arrival_us);
    sl_sql_bind_blob(s, 4, key->result, key->result_length);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_key_get(sl_ledger *ledger, sl_hash128 key, sl_ledger_key *out,
                            sl_buffer *result, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(
        ledger->sql, "SELECT body, arrival, result FROM keys WHERE key = ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_blob(s, 1, &key, sizeof key);
    status = sl_sql_step(s, error);
    if (status != SL_OK)
        return status;
    size_t length;
    const void *body = sl_sql_blob(s, 0, &length);
    *out = (sl_ledger_key){.key = key, .arrival_us = sl_sql_int(s, 1)};
    if (length == sizeof out->body)
        memcpy(&out->body, body, length);
    const void *bytes = sl_sql_blob(s, 2, &length);
    sl_buffer_append(result, bytes, length);
    out->result = result->bytes;
    out->result_length = result->length;
    sl_sql_reset(s);
    return result->failed ? SL_ENOMEM : SL_OK;
}

sl_status sl_ledger_keys_expire(sl_ledger *ledger, int64_t before_us, sl_error *error) {
    sl_sql_statement *s;
    sl_status status =
        sl_sql_prepare(ledger->sql, "DELETE FROM keys WHERE arrival < ?", &s, error);
    if (status != SL_OK)
        return status;
    sl_sql_bind_int(s, 1, before_us);
    return sl_sql_run(s, error);
}

sl_status sl_ledger_keys_any(sl_ledger *ledger, bool *any, sl_error *error) {
    sl_sql_statement *s;
    sl_status status = sl_sql_prepare(ledger->sql, "SELECT 1 FROM keys LIMIT 1", &s, error);
    if (status != SL_OK)
        return status;
    status = sl_sql_step(s, error);
    *any = status == SL_OK;
    if (status == SL_OK)
        sl_sql_reset(s);
    return status == SL_ENOTFOUND ? SL_OK : status;
}
