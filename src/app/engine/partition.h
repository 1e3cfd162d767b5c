/** @file partition.h
 * What a lake table's `partition_by` may name beside fields.
 */
#pragma once

#include "sluice/schema.h"

#define PARTITION_DATE (SL_NO_FIELD - 1)
#define PARTITION_HOUR (SL_NO_FIELD - 2)
