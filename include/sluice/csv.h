/** @file csv.h
 * Comma-separated values, RFC 4180: one row after another out of memory, without copying what needs no unescaping.
 *
 * Rules    Rows end with LF, CRLF or the end of the text. A field that begins with the quote runs to the closing quote,
 *          which a comma or a row's end must follow; "" inside is one quote; line ends inside belong to it. A quote
 *          further on in an unquoted field is text (RFC 4180 forbids it, and 36'37.8"N is common). NUL, and bytes that
 *          aren't UTF-8 are errors. A CR is a line end only before LF. A byte order mark at the beginning is skipped. Empty lines are no rows.
 * Place    Lines from 1 as an editor counts them, columns in bytes from 1.
 * Threads  A reader belongs to its owner.
 */
#pragma once

#include "sluice/buffer.h"

typedef struct sl_csv_cell {
    const uint8_t *bytes; /**< In the text, or in the reader (until its next row) where "" was undone. */
    uint32_t length;
    uint32_t line, column; /**< Where it begins. */
    uint32_t at;           /**< The same as an offset in the row. */
    bool quoted;           /**< "" is text of no length; nothing between commas may mean "no value". */
} sl_csv_cell;

typedef struct sl_csv {
    char delimiter;           /**< ',' after sl_csv_init(). */
    uint32_t row_bytes_max;   /**< 1 MiB after sl_csv_init(). */
    uint32_t cells_max;       /**< 4,096 after sl_csv_init(). */
    sl_csv_cell *cells;       /**< Of the last row. */
    uint32_t count, capacity;
    uint32_t line;            /**< Where the next row begins. */
    uint32_t row_line;        /**< Where the last row began. */
    size_t row_begin;         /**< Offset of the last row in the `text` that it was read from. */
    uint32_t broken_at;       /**< After SL_ESYNTAX: offset in the row where it broke. */
    bool begun;               /**< Past the place of a byte order mark. */
    sl_buffer unescaped;
} sl_csv;

void sl_csv_init(sl_csv *csv);
void sl_csv_fini(sl_csv *csv);
/**
 * Read one row.
 * @param text  What isn't read yet. @param last Nothing follows `text`.
 * @param[out] used Bytes of `text` that are done with; also set when there is no row, for empty lines, and after an error,
 *                  where it is the broken row up to the next line end: go on behind it, or give up.
 * @return SL_OK: a row is in `cells`. SL_ENOTFOUND: `last`, and no row is left. SL_EAGAIN: the row's end isn't there yet;
 *         call again with the rest of `text` and more behind it. SL_ESYNTAX, SL_ELIMIT: with line and column. SL_ENOMEM.
 */
SL_CHECKED sl_status sl_csv_row(sl_csv *csv, const uint8_t *text, size_t length, bool last, size_t *used, sl_error *error);
