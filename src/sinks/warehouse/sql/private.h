/* What the files of this folder share. */
#pragma once

#include "sluice/warehouse_sql.h"

/** JSON text that jsonb takes: no \u0000, no lone surrogate, numbers within numeric's
 * range. */
bool sl_json_storable(const uint8_t *text, size_t length);
/** The text as a JSON string of at most `limit` bytes (0: any), cut at a character's
 * boundary. */
void sl_json_wrap(sl_buffer *out, const uint8_t *text, size_t length, size_t limit);
/** How much of a valid UTF-8 text lies within `limit` bytes without cutting a character.
 */
size_t sl_utf8_within(const uint8_t *text, size_t length, size_t limit);
