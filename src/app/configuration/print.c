/* The table for people: --help, docs/configuration.md and the man page. */
#include "parameters.h"

#include <stdio.h>

static const char *type_name(const sl_parameter *p) {
    switch (p->type) {
    case SL_PARAMETER_TEXT:
        return p->choices ? "choice" : "text";
    case SL_PARAMETER_AUTH:
        return "text";
    case SL_PARAMETER_PATH:
    case SL_PARAMETER_SECRETS_FILE:
    case SL_PARAMETER_SECRET_FILE:
        return "path";
    case SL_PARAMETER_TARGET:
        return "path or S3 URL";
    case SL_PARAMETER_S3:
        return "S3 URL";
    case SL_PARAMETER_URL:
        return "URL";
    case SL_PARAMETER_BOOL:
        return "true or false";
    case SL_PARAMETER_ADDRESS:
        return "address";
    case SL_PARAMETER_COUNT:
        return "number";
    case SL_PARAMETER_SIZE:
        return "size";
    case SL_PARAMETER_DURATION:
        return "duration";
    case SL_PARAMETER_CHOICE:
    case SL_PARAMETER_SWITCH:
        return "choice";
    case SL_PARAMETER_FLAGS:
    case SL_PARAMETER_LIST:
        return "list";
    case SL_PARAMETER_SECRETS:
    case SL_PARAMETER_AWS_KEYS:
        return "secrets";
    case SL_PARAMETER_SECRET:
        return "secret";
    case SL_PARAMETER_TAGS:
    case SL_PARAMETER_PROPERTIES:
        return "map or list";
    case SL_PARAMETER_SCHEMA:
        return "path or map";
    case SL_PARAMETER_STEPS:
    case SL_PARAMETER_TESTS:
        return "list";
    case SL_PARAMETER_MEASURES:
    case SL_PARAMETER_VARIABLES:
        break;
    }
    return "map";
}

/** "fsync, os", "64MiB to 1TiB" or "". */
static void limits(const sl_parameter *p, sl_buffer *out) {
    char a[32] = "", b[32] = "";
    if (p->choices) {
        for (unsigned i = 0; sl_choice_word(p->choices, i, a); i++)
            sl_buffer_printf(out, "%s%s", i ? ", " : "", a);
        return;
    }
    if (p->type == SL_PARAMETER_SIZE) {
        sl_size_format(p->minimum, a);
        sl_size_format(p->maximum, b);
    } else if (p->type == SL_PARAMETER_DURATION) {
        sl_duration_format((int64_t)p->minimum, a);
        sl_duration_format((int64_t)p->maximum, b);
    } else if (p->type == SL_PARAMETER_COUNT) {
        snprintf(a, sizeof a, "%llu", (unsigned long long)p->minimum);
        snprintf(b, sizeof b, "%llu", (unsigned long long)p->maximum);
    }
    if (*a)
        sl_buffer_printf(out, "%s to %s", a, b);
    else if ((p->type == SL_PARAMETER_LIST || p->type == SL_PARAMETER_TAGS || p->type == SL_PARAMETER_AWS_KEYS || p->type == SL_PARAMETER_PROPERTIES) && p->maximum)
        sl_buffer_printf(out, "at most %llu", (unsigned long long)p->maximum);
}

/** ": 1 to 9", where there are any. */
static void put_limits(const sl_parameter *p, sl_buffer *out) {
    size_t before = out->length;
    sl_buffer_text(out, ": ");
    limits(p, out);
    if (out->length == before + 2)
        out->length = before;
}

static const char *fallback(const sl_parameter *p) {
    return p->fallback_text ? p->fallback_text : p->fallback ? p->fallback : "none";
}

/** Without the backquotes of Markdown. */
static void plain(const char *text, sl_buffer *out) {
    for (; *text; text++)
        if (*text != '`')
            sl_buffer_byte(out, (uint8_t)*text);
}

/** Words at most `width` wide behind `indent` blanks. */
static void wrapped(const char *text, int indent, size_t width, sl_buffer *out) {
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (!column)
            sl_buffer_printf(out, "%*s", indent, "");
        else if (column + 1 + word > width)
            sl_buffer_printf(out, "\n%*s", indent, "");
        else
            sl_buffer_byte(out, ' ');
        column = column && column + 1 + word <= width ? column + 1 + word : word;
        sl_buffer_append(out, text, word);
        text += word;
        text += *text == ' ';
    }
    sl_buffer_text(out, "\n");
}

static void wrapped_plain(const char *text, sl_buffer *out) {
    sl_buffer bare = SL_BUFFER_EMPTY;
    plain(text, &bare);
    wrapped(sl_buffer_cstr(&bare), 6, 78, out);
    out->failed |= bare.failed;
    sl_buffer_fini(&bare);
}

static void print_text(sl_buffer *out) {
    for (size_t i = 0; i < sl_parameter_count; i++) {
        const sl_parameter *p = &sl_parameters[i];
        sl_buffer_printf(out, "  %s  (%s", p->path, type_name(p));
        put_limits(p, out);
        sl_buffer_text(out, "; default: ");
        plain(fallback(p), out);
        sl_buffer_text(out, ")\n");
        wrapped_plain(p->text, out);
    }
    sl_buffer_text(out, "\nEnvironment: every key of the fixed sections, such as http.listen, is "
                        "SLUICE_HTTP_LISTEN; those of the one Kafka source, such as "
                        "sources.NAME.kafka.topics, are SLUICE_KAFKA_TOPICS; and\n");
    for (size_t i = 0; i < sl_variable_count; i++) {
        sl_buffer_printf(out, "  %s\n", sl_variables[i].name);
        wrapped_plain(sl_variables[i].text, out);
    }
}

/* ---- Markdown ---- */

static const char introduction[] =
    "# Configuration\n\n"
    "<!-- Generated from the parameter table in src/app/configuration/parameters.c. "
    "Change it "
    "there and build the target\n     configuration_docs. -->\n\n"
    "`sluice` runs without any configuration. With one, it is YAML (or JSON, which is a "
    "part of "
    "YAML) in a file that\n`-c FILE` names, or as text in `SLUICE_CONFIG_YAML`. "
    "[config/sluice.yaml](../config/sluice.yaml) is a commented file to start from;\n"
    "[config/examples](../config/examples) has whole ones. `sluice validate FILE` checks "
    "one and "
    "names the line and column of a mistake.\n\n"
    "## How it is read\n\n"
    "- Every value may hold `${VAR}` (it must be set), `${VAR:-default}` (where it is "
    "unset or "
    "empty) and `${VAR:?message}`\n  (stops with the message). `$$` is a dollar sign. "
    "Variables "
    "are expanded after parsing, so that their content can't\n  change the file's "
    "structure; "
    "keys are not expanded.\n"
    "- Environment variables go before the file: every key of the fixed sections has "
    "one, listed below. An empty\n  variable counts as unset. An unknown `SLUICE_…` is a "
    "warning "
    "with the nearest name.\n"
    "- `SLUICE_KAFKA_…` is said of the section `kafka` and of the one Kafka source that the file has; where it has "
    "none,\n  `SLUICE_KAFKA_TOPICS` makes the source `kafka`. Lists are separated by commas.\n"
    "- An empty value (`key:`, `key: \"\"`) means the default.\n"
    "- Anchors, aliases and `<<` work. A duplicate key, an unknown key and a second "
    "document are "
    "errors.\n"
    "- Paths of schemas and secrets are relative to the file that names them, all others "
    "to the "
    "working directory.\n"
    "- Sizes: `512MiB`, `10GB` (KiB, MiB, GiB, TiB are powers of 1024; kB, MB, GB, TB "
    "powers of "
    "1000), or bytes.\n"
    "- Durations: `250ms`, `10s`, `5m`, `1h`, `7d`.\n"
    "- Addresses: `127.0.0.1:8080`, `[::1]:8080`, `:8080` (all interfaces).\n\n"
    "Listening beyond loopback needs `http.auth`: tokens, or the word `none`. A daemon "
    "has one warehouse: SQLite unless\n`warehouse` names PostgreSQL or Redshift; what a "
    "variable names goes before what the file names. Where `lake.to` begins\nwith "
    "`s3://`, the section `s3` says how that is reached.\n\n";

static void markdown_cell(const char *text, sl_buffer *out) {
    for (; *text; text++) {
        if (*text == '|')
            sl_buffer_byte(out, '\\');
        sl_buffer_byte(out, (uint8_t)*text);
    }
}

static void markdown_row(const sl_parameter *p, sl_buffer *out) {
    char variable[128];
    sl_buffer_printf(out, "| `%s` | %s", p->path, type_name(p));
    put_limits(p, out);
    sl_buffer_text(out, " | ");
    if (p->fallback && !p->fallback_text)
        sl_buffer_printf(out, "`%s`", p->fallback);
    else
        markdown_cell(fallback(p), out);
    sl_buffer_text(out, " | ");
    markdown_cell(p->text, out);
    sl_parameter_variable(p->path, variable);
    if (sl_parameter_has_variable(p))
        sl_buffer_printf(out, "<br>`%s`", variable);
    sl_buffer_text(out, " |\n");
}

static void markdown_table(const char *title, sl_parameter_scope scope, sl_buffer *out) {
    sl_buffer_printf(
        out, "## %s\n\n| key | type | default | meaning, variable |\n|---|---|---|---|\n",
        title);
    for (size_t i = 0; i < sl_parameter_count; i++)
        if (sl_parameters[i].scope == scope)
            markdown_row(&sl_parameters[i], out);
    sl_buffer_text(out, "\n");
}

static void print_markdown(sl_buffer *out) {
    sl_buffer_text(out, introduction);
    markdown_table("Fixed sections", SL_SCOPE_ROOT, out);
    markdown_table("Streams", SL_SCOPE_STREAM, out);
    sl_buffer_text(out,
                   "A stream that names neither `lake` nor `warehouse` nor `topic` goes to the lake. "
                   "Without streams, each name that events are sent\nto (`POST "
                   "/v1/events/NAME`) makes a stream whose schema is inferred.\n\n");
    markdown_table("File sources", SL_SCOPE_FILE, out);
    markdown_table("Kafka sources", SL_SCOPE_KAFKA, out);
    markdown_table("Lookups", SL_SCOPE_LOOKUP, out);
    markdown_table("Windows", SL_SCOPE_WINDOW, out);
    sl_buffer_text(out, "## Further variables\n\n| variable | meaning |\n|---|---|\n");
    for (size_t i = 0; i < sl_variable_count; i++) {
        sl_buffer_printf(out, "| `%s` | ", sl_variables[i].name);
        markdown_cell(sl_variables[i].text, out);
        sl_buffer_text(out, " |\n");
    }
    sl_buffer_text(
        out, "\n## Known, and not built yet\n\nThese keys are refused with a message, "
             "never ignored.\n\n| key | what it will be |\n|---|---|\n");
    for (size_t i = 0; i < sl_later_count; i++)
        sl_buffer_printf(out, "| `%s` | %s |\n", sl_later_keys[i].path,
                         sl_later_keys[i].what);
}

/* ---- man ---- */

/** roff: a line must not begin with '.' or "'", and '-' and '\' are escaped. */
static void roff(const char *text, sl_buffer *out) {
    for (; *text; text++) {
        if (*text == '`')
            continue;
        if (*text == '\\')
            sl_buffer_text(out, "\\e");
        else if (*text == '-')
            sl_buffer_text(out, "\\-");
        else
            sl_buffer_byte(out, (uint8_t)*text);
    }
}

static void print_man(sl_buffer *out) {
    for (size_t i = 0; i < sl_parameter_count; i++) {
        const sl_parameter *p = &sl_parameters[i];
        sl_buffer_printf(out, ".TP\n.B %s\n", p->path);
        roff(p->text, out);
        sl_buffer_text(out, "\n");
        size_t before = out->length;
        limits(p, out);
        if (out->length > before)
            sl_buffer_text(out, ". ");
        sl_buffer_text(out, "Default: ");
        roff(fallback(p), out);
        sl_buffer_text(out, ".\n");
    }
    for (size_t i = 0; i < sl_variable_count; i++) {
        sl_buffer_printf(out, ".TP\n.B %s\n", sl_variables[i].name);
        roff(sl_variables[i].text, out);
        sl_buffer_text(out, "\n");
    }
}

void sl_config_print_parameters(const char *form, sl_buffer *out) {
    if (!strcmp(form, "markdown"))
        print_markdown(out);
    else if (!strcmp(form, "man"))
        print_man(out);
    else
        print_text(out);
}
