/** @file marks.h
 * What writer and reader share of the frame behind the records.
 */
#pragma once

#include "sluice/buffer.h"
#include "sluice/ndjson.h"

#define SL_NDJSON_SKIPPABLE 0x184D2A5Du
#define SL_NDJSON_MAGIC "sluice1\n"
