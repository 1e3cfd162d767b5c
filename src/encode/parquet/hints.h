/** @file hints.h
 * Lessons by field index, kept from file to file. */
#pragma once

#include "chunk.h"

/** @return the field's lesson, or NULL. */
const sl_parquet_lesson *sl_parquet_hints_get(const sl_parquet_hints *hints, uint32_t field,
                                              sl_type type);
/** Keep a lesson; one that can't be kept is forgotten. */
void sl_parquet_hints_put(sl_parquet_hints *hints, uint32_t field, sl_type type,
                          sl_parquet_lesson lesson);
/** A file begins. @return rows of the last row group, 0 when unknown. */
uint64_t sl_parquet_hints_begin(sl_parquet_hints *hints);
void sl_parquet_hints_rows(sl_parquet_hints *hints, uint64_t rows);
