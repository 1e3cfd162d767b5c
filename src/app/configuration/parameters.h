/** @file parameters.h
 * The one table of parameters: it feeds the parser, the environment, --help, the manual
 * and the man page; and the table of what later builds will know.
 */
#pragma once

#include "sluice/config.h"
#include "sluice/time.h"
#include "tree.h"

typedef enum sl_parameter_type {
    SL_PARAMETER_TEXT,         /**< char * */
    SL_PARAMETER_PATH,         /**< char *, a file or directory; shown as such. */
    SL_PARAMETER_TARGET,       /**< char *, a directory or s3://BUCKET/PREFIX. */
    SL_PARAMETER_S3,           /**< char *, s3://BUCKET/PREFIX. */
    SL_PARAMETER_URL,          /**< char *, of a server; its password is shown as "***".
                                  Read by warehouse.c. */
    SL_PARAMETER_ADDRESS,      /**< char *, HOST:PORT. */
    SL_PARAMETER_COUNT,        /**< uint32_t */
    SL_PARAMETER_SIZE,         /**< uint64_t, bytes. */
    SL_PARAMETER_DURATION,     /**< int64_t, microseconds. */
    SL_PARAMETER_CHOICE,       /**< An enum: the index among `choices`. */
    SL_PARAMETER_BOOL,         /**< true or false. */
    SL_PARAMETER_SWITCH,       /**< A bool: whether it is the second of two `choices`. */
    SL_PARAMETER_FLAGS,        /**< A list of `choices`: one bool after another. */
    SL_PARAMETER_LIST,         /**< char **, and uint32_t at `count_offset`. */
    SL_PARAMETER_SECRETS,      /**< As LIST; "***" in what is shown. */
    SL_PARAMETER_SECRETS_FILE, /**< The file's lines go to the list of SECRETS. */
    SL_PARAMETER_SECRET,       /**< char *; "***" in what is shown. */
    SL_PARAMETER_SECRET_FILE,  /**< The file's line becomes the SECRET. Read by
                                  warehouse.c. */
    SL_PARAMETER_TAGS,         /**< sl_config_tag *, and uint32_t at `count_offset`. */
    SL_PARAMETER_AWS_KEYS,     /**< sl_aws_intake_key *, and uint32_t at `count_offset`. */
    SL_PARAMETER_PROPERTIES,   /**< sl_kafka_property *, and uint32_t at `count_offset`; what
                                  looks like a secret is "***" in what is shown. */
    SL_PARAMETER_AUTH,         /**< The word `none` in place of a section: a bool. */
    SL_PARAMETER_SCHEMA,       /**< A path or a map; read with its stream. */
    SL_PARAMETER_MEASURES,     /**< Names and texts; read with its window. */
    SL_PARAMETER_STEPS,        /**< Read with its stream. */
    SL_PARAMETER_TESTS,        /**< A list, read by tests.c. */
    SL_PARAMETER_VARIABLES,    /**< Names and texts, read by tests.c. */
} sl_parameter_type;

/** Which structure the offsets are of. */
typedef enum sl_parameter_scope {
    SL_SCOPE_ROOT,
    SL_SCOPE_STREAM,
    SL_SCOPE_WINDOW,
    SL_SCOPE_LOOKUP,
    SL_SCOPE_FILE,
    SL_SCOPE_KAFKA,
    SL_SCOPES
} sl_parameter_scope;

typedef struct sl_parameter {
    const char *path; /**< "http.listen"; NAME stands for any key. */
    sl_parameter_type type;
    sl_parameter_scope scope;
    size_t offset, count_offset;
    const char
        *fallback; /**< As it would be written in the file; NULL: none, or computed. */
    const char *fallback_text; /**< What people read in its place. */
    uint64_t minimum, maximum; /**< In the type's unit; 0: no limit. */
    const char *choices;       /**< "fsync|os"; a TEXT with some is one of them. */
    const char *text;          /**< One or two sentences. */
} sl_parameter;

/** A promise of the design that this build doesn't keep yet: refused, never ignored. */
typedef struct sl_later {
    const char *path;
    const char *what;
    bool environment; /**< Also refused as SLUICE_…, with everything below it. */
} sl_later;

extern const sl_parameter sl_parameters[];
extern const size_t sl_parameter_count;
extern const sl_later sl_later_keys[];
extern const size_t sl_later_count;

/** Variables beside those that follow from the table. */
typedef struct sl_variable {
    const char *name, *text;
} sl_variable;
extern const sl_variable sl_variables[];
extern const size_t sl_variable_count;

/** "http.listen" → "SLUICE_HTTP_LISTEN", "sources.NAME.kafka.group" → "SLUICE_KAFKA_GROUP". `out` takes 128 bytes. */
void sl_parameter_variable(const char *path, char *out);
/** Has it a variable? Those of the fixed sections have, and those of a Kafka source. */
bool sl_parameter_has_variable(const sl_parameter *parameter);

/** How a key path relates to a pattern of the tables. */
typedef enum sl_path_match {
    SL_PATH_OTHER,
    SL_PATH_SECTION,
    SL_PATH_EXACT
} sl_path_match;
/** @param keys The path as `depth` keys. SECTION: the pattern goes on below them. */
sl_path_match sl_path_compare(const char *pattern, const char *const *keys,
                              uint32_t depth);

/** "512MiB", "10GB", "4096". */
bool sl_size_parse(const char *text, uint64_t *bytes);
/** The shortest exact text, such as "512MiB"; `out` takes 32 bytes. */
void sl_size_format(uint64_t bytes, char *out);
void sl_duration_format(int64_t us, char *out);
/** Index of `word` among "a|b|c", or -1. */
int sl_choice_find(const char *choices, const char *word);
/** The `index`-th word of "a|b|c", copied to `out` (32 bytes). @return false beyond the
 * last. */
bool sl_choice_word(const char *choices, unsigned index, char *out);
