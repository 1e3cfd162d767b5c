// Tokens, after the lexis of CEL (cel-spec, doc/langdef.md, "Syntax"):
//
//   INT  = DIGIT+ | "0x" HEX+          UINT = INT [uU]
//   FLOAT = DIGIT* "." DIGIT+ EXP? | DIGIT+ EXP
//   STRING = [rR]? ( "…" | '…' | """…""" | '''…''' ), BYTES = [bB] STRING
//   comments run from // to the end of the line.
//
// A token is only delimited here; literal.c reads its value.

#include "internal.h"

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static bool is_hex(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(int c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// 0 beyond the end; the text itself holds no 0 (sl_expression_compile takes a C string).
static int peek(const compiler *c, uint32_t ahead) {
    uint32_t at = c->at + ahead;
    return at < c->length ? (unsigned char)c->text[at] : 0;
}

static void skip_space(compiler *c) {
    for (;;) {
        int next = peek(c, 0);
        if (next == ' ' || next == '\t' || next == '\n' || next == '\r' || next == '\f') {
            c->at++;
        } else if (next == '/' && peek(c, 1) == '/') {
            while (peek(c, 0) != 0 && peek(c, 0) != '\n')
                c->at++;
        } else {
            return;
        }
    }
}

static sl_status lex_number(compiler *c) {
    c->next.kind = TOKEN_INT;
    if (peek(c, 0) == '0' && (peek(c, 1) == 'x' || peek(c, 1) == 'X')) {
        c->at += 2;
        if (!is_hex(peek(c, 0)))
            return fault(c, SL_ESYNTAX, c->at, "hexadecimal digits are missing");
        while (is_hex(peek(c, 0)))
            c->at++;
    } else {
        while (is_digit(peek(c, 0)))
            c->at++;
        if (peek(c, 0) == '.' && is_digit(peek(c, 1))) {
            c->next.kind = TOKEN_FLOAT;
            c->at++;
            while (is_digit(peek(c, 0)))
                c->at++;
        }
        if (peek(c, 0) == 'e' || peek(c, 0) == 'E') {
            c->next.kind = TOKEN_FLOAT;
            c->at += peek(c, 1) == '+' || peek(c, 1) == '-' ? 2 : 1;
            if (!is_digit(peek(c, 0)))
                return fault(c, SL_ESYNTAX, c->at, "the exponent's digits are missing");
            while (is_digit(peek(c, 0)))
                c->at++;
        }
    }
    if (c->next.kind == TOKEN_INT && (peek(c, 0) == 'u' || peek(c, 0) == 'U')) {
        c->next.kind = TOKEN_UINT;
        c->at++;
    }
    if (is_letter(peek(c, 0)))
        return fault(c, SL_ESYNTAX, c->at, "a letter follows the number");
    return SL_OK;
}

// Finds the closing quote. In a raw string a backslash escapes nothing.
static sl_status lex_quoted(compiler *c, bool raw) {
    int quote = peek(c, 0);
    bool triple = peek(c, 1) == quote && peek(c, 2) == quote;
    c->at += triple ? 3 : 1;
    for (;;) {
        int next = peek(c, 0);
        if (next == 0 || (!triple && (next == '\n' || next == '\r')))
            return fault(c, SL_ESYNTAX, c->next.at, "the string is not closed");
        if (next == quote && (!triple || (peek(c, 1) == quote && peek(c, 2) == quote)))
            break;
        c->at += next == '\\' && !raw && peek(c, 1) != 0 ? 2 : 1;
    }
    c->at += triple ? 3 : 1;
    return SL_OK;
}

static bool is_quote(int c) { return c == '"' || c == '\''; }

// r"…", b"…", br"…", rb"…" in either case; anything else is a name.
static bool lex_prefixed(compiler *c, sl_status *status) {
    bool raw = false, bytes = false;
    uint32_t prefix = 0;
    for (; prefix < 2; prefix++) {
        int next = peek(c, prefix);
        if ((next == 'r' || next == 'R') && !raw)
            raw = true;
        else if ((next == 'b' || next == 'B') && !bytes)
            bytes = true;
        else
            break;
    }
    if (prefix == 0 || !is_quote(peek(c, prefix)))
        return false;
    c->at += prefix;
    c->next.kind = bytes ? TOKEN_BYTES : TOKEN_STRING;
    *status = lex_quoted(c, raw);
    return true;
}

static bool is_word(const compiler *c, const char *word) {
    return strlen(word) == c->next.length &&
           memcmp(c->text + c->next.at, word, c->next.length) == 0;
}

// Behind a dot a reserved word is a member's name like any other.
static sl_status lex_name(compiler *c, bool member) {
    static const char *const reserved[] = {
        "as",        "break",  "const",  "continue", "else", "for",
        "function",  "if",     "import", "let",      "loop", "package",
        "namespace", "return", "var",    "void",     "while"};
    while (is_letter(peek(c, 0)) || is_digit(peek(c, 0)))
        c->at++;
    c->next.kind = TOKEN_NAME;
    c->next.length = c->at - c->next.at;
    if (is_word(c, "true"))
        c->next.kind = TOKEN_TRUE;
    else if (is_word(c, "false"))
        c->next.kind = TOKEN_FALSE;
    else if (is_word(c, "null"))
        c->next.kind = TOKEN_NULL;
    else if (is_word(c, "in"))
        c->next.kind = TOKEN_IN;
    for (size_t i = 0; !member && i < sizeof reserved / sizeof *reserved; i++)
        if (is_word(c, reserved[i]))
            return fault(
                c, SL_ESYNTAX, c->next.at,
                "`%s` is a reserved word; as a field's name it is written in backticks",
                reserved[i]);
    return SL_OK;
}

// A key that is no identifier, such as `@timestamp`, stands in backticks.
static sl_status lex_backticks(compiler *c) {
    do {
        c->at++;
        if (peek(c, 0) == 0 || peek(c, 0) == '\n')
            return fault(c, SL_ESYNTAX, c->next.at, "the backtick is not closed");
    } while (peek(c, 0) != '`');
    c->at++;
    c->next.kind = TOKEN_NAME;
    if (c->at - c->next.at == 2)
        return fault(c, SL_ESYNTAX, c->next.at, "the name is empty");
    return SL_OK;
}

static sl_status lex_mark(compiler *c) {
    static const struct {
        const char *mark;
        token_kind kind;
    } marks[] = {
        {"||", TOKEN_OR},        {"&&", TOKEN_AND},        {"==", TOKEN_EQUAL},
        {"!=", TOKEN_NOT_EQUAL}, {"<=", TOKEN_LESS_EQUAL}, {">=", TOKEN_GREATER_EQUAL},
        {"<", TOKEN_LESS},       {">", TOKEN_GREATER},     {"+", TOKEN_PLUS},
        {"-", TOKEN_MINUS},      {"*", TOKEN_STAR},        {"/", TOKEN_SLASH},
        {"%", TOKEN_PERCENT},    {"!", TOKEN_NOT},         {"?", TOKEN_QUESTION},
        {":", TOKEN_COLON},      {",", TOKEN_COMMA},       {".", TOKEN_DOT},
        {"(", TOKEN_OPEN},       {")", TOKEN_CLOSE},       {"[", TOKEN_OPEN_LIST},
        {"]", TOKEN_CLOSE_LIST}, {"{", TOKEN_OPEN_MAP},    {"}", TOKEN_CLOSE_MAP}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        uint32_t length = marks[i].mark[1] == 0 ? 1 : 2;
        if (peek(c, 0) == marks[i].mark[0] &&
            (length == 1 || peek(c, 1) == marks[i].mark[1])) {
            c->next.kind = marks[i].kind;
            c->at += length;
            return SL_OK;
        }
    }
    int next = peek(c, 0);
    if (next == '=')
        return fault(c, SL_ESYNTAX, c->at, "`=` alone is no operator; equality is `==`");
    if (next == '&' || next == '|')
        return fault(c, SL_ESYNTAX, c->at, "`%c` alone is no operator; there is `%c%c`",
                     next, next, next);
    if (next > 32 && next < 127)
        return fault(c, SL_ESYNTAX, c->at, "`%c` does not belong here", next);
    return fault(c, SL_ESYNTAX, c->at, "this character does not belong here");
}

sl_status next_token(compiler *c) {
    bool member = c->next.kind == TOKEN_DOT;
    skip_space(c);
    c->next = (token){.kind = TOKEN_END, .at = c->at};
    sl_status status = SL_OK;
    int next = peek(c, 0);
    if (next == 0 && c->at >= c->length)
        return SL_OK;
    if (is_digit(next) || (next == '.' && is_digit(peek(c, 1)))) {
        status = lex_number(c);
    } else if (is_quote(next)) {
        c->next.kind = TOKEN_STRING;
        status = lex_quoted(c, false);
    } else if (next == '`') {
        status = lex_backticks(c);
    } else if (!lex_prefixed(c, &status)) {
        status = is_letter(next) ? lex_name(c, member) : lex_mark(c);
    }
    c->next.length = c->at - c->next.at;
    return status;
}
