/** @file power.h
 * Powers of ten, for numbers that are read digit by digit.
 *
 * Threads  Constant.
 */
#pragma once

#include <stdint.h>

extern const uint64_t sl_power_of_ten[20]; /**< 10^0 to 10^19: those that fit. */
