// First byte of a measure's partial; src/window/README.md has the bytes that follow.
#pragma once

#include <assert.h>

#define SL_WINDOW_STATE_VERSION 1u

enum {
    SL_TAG_COUNT = 1,
    SL_TAG_SUM_NONE,
    SL_TAG_SUM_WHOLE,
    SL_TAG_SUM_DOUBLE,
    SL_TAG_SUM_OVERFLOWED,
    SL_TAG_AVERAGE,
    SL_TAG_EXTREME,
    SL_TAG_UNIQUE_LIST,
    SL_TAG_UNIQUE_REGISTERS,
    SL_TAG_QUANTILES
};
