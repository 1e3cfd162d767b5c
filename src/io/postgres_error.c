/* What the server says, as a status and one line. */
#include "postgres_private.h"

#include <stdio.h>

static void one_line(char *text) {
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        text[--length] = 0;
    for (; *text != 0; text++)
        if (*text == '\n' || *text == '\t')
            *text = ' ';
}

/* Redshift's conflicts of transactions come as XX000 and can only be told by their text.
 */
static bool conflict_text(const char *message) {
    return strstr(message, "1023") != NULL ||
           strstr(message, "conflict with concurrent transaction") != NULL ||
           strstr(message, "Serializable isolation violation") != NULL;
}

/* PostgreSQL manual, appendix A. */
static sl_status classify(const char *state, const char *message) {
    static const struct {
        const char *prefix;
        sl_status status;
    } table[] = {
        {"08", SL_EIO},          {"57P", SL_EIO},         {"40", SL_EAGAIN},
        {"55P03", SL_EAGAIN},    {"57014", SL_EAGAIN},    {"25P02", SL_EAGAIN},
        {"25P03", SL_EIO},       {"53100", SL_ENOSPC},    {"53", SL_EFULL},
        {"28", SL_EDENIED},      {"42501", SL_EDENIED},   {"23505", SL_EEXIST},
        {"42P07", SL_EEXIST},    {"42701", SL_EEXIST},    {"42710", SL_EEXIST},
        {"42P01", SL_ENOTFOUND}, {"42703", SL_ENOTFOUND}, {"3F000", SL_ENOTFOUND},
        {"22", SL_ETYPE},        {"23", SL_ETYPE},        {"58", SL_EIO},
        {"XX", SL_EIO},
    };
    if (begins(state, "XX") && conflict_text(message))
        return SL_EAGAIN;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (begins(state, table[i].prefix))
            return table[i].status;
    return SL_EINVAL;
}

static const char *field(const PGresult *result, int code) {
    const char *text = PQresultErrorField(result, code);
    return text == NULL ? "" : text;
}

void sl_pg_note_connection_error(sl_postgres *p, sl_status status, const char *what) {
    char text[480];
    const char *message = p->db == NULL ? "" : PQerrorMessage(p->db);
    (void)snprintf(text, sizeof text, "%s: %s", what,
                   *message == 0 ? "connection lost" : message);
    one_line(text);
    sl_pg_note(p, status, text);
}

void sl_pg_note_result_error(sl_postgres *p, const PGresult *result) {
    if (p->status != SL_OK)
        return;
    const char *state = field(result, PG_DIAG_SQLSTATE);
    if (*state == 0) { /* libpq's own words: the connection broke. */
        sl_pg_note_connection_error(p, SL_EIO, "warehouse");
        return;
    }
    const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    const char *where = field(result, PG_DIAG_CONTEXT);
    char text[640];
    (void)snprintf(text, sizeof text, "%s%.240s%s%.140s%s%.80s (SQLSTATE %s)",
                   p->timed_out ? "statement timed out: " : "", message,
                   *detail != 0 ? "; " : "", detail, *where != 0 ? "; " : "", where,
                   state);
    one_line(text);
    (void)snprintf(p->sqlstate, sizeof p->sqlstate, "%.5s", state);
    sl_pg_note(p, classify(state, message), text);
}
