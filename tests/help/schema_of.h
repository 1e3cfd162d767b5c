/** @file schema_of.h
 * For tests, fuzz targets and benchmarks: columns as the product makes them from JSON
 * Schema. Links sluice_contract.
 */
#pragma once

#include "sluice/contract.h"

/** @param with_rest Add `_rest` unless the root refuses members that it doesn't name.
 * @return What sl_contract_compile() and sl_contract_columns() say. */
SL_CHECKED static inline sl_status schema_of(const char *json, bool with_rest,
                                             sl_schema **out, sl_error *error) {
    sl_contract *contract;
    *out = NULL;
    sl_status status = sl_contract_compile(json, strlen(json), NULL, &contract, error);
    if (status == SL_OK)
        status = sl_contract_columns(contract, "s", with_rest, out, error);
    sl_contract_unref(contract);
    return status;
}
