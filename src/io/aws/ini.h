/** The files ~/.aws/config and ~/.aws/credentials.
 *
 *     # a comment; so is a line with ';'
 *     [default]
 *     region = eu-central-1      # a blank and '#' or ';' end a value
 *     s3 =
 *       addressing_style = path  <- deeper than the line before: part of its value, not read here
 *     [profile two]              <- in `config`; in `credentials` it is [two]
 *
 * Sections of one name are one section, and of one key the last value counts. Keys are in lower case.
 * Source: AWS SDKs and Tools Reference Guide, "Format of the shared config and credentials files". */
#pragma once

#include "sluice/memory.h"

typedef struct sl_aws_setting {
    struct sl_aws_setting *next;
    const char *section, *key, *value; /* A section itself has the key "". */
} sl_aws_setting;

typedef struct sl_aws_ini {
    sl_aws_setting *settings; /* The last read comes first. */
} sl_aws_ini;

/** @param arena Holds what is found. @return SL_OK, SL_ENOMEM, SL_ESYNTAX with the line in `error`; earlier lines stay. */
SL_CHECKED sl_status sl_aws_ini_read(sl_aws_ini *ini, sl_arena *arena, const char *text, size_t length, sl_error *error);
/** Of the section `prefix` `name`, as in "profile " "x". @return NULL when there is none. With key "" it tells whether there
 * is the section. */
const char *sl_aws_ini_get(const sl_aws_ini *ini, const char *prefix, const char *name, const char *key);
