/** @file checksum.h
 * CRC-32 with gzip's polynomial, which Parquet's page headers hold.
 *
 * Source   parquet-format README, "Checksumming"; V. Gopal et al., "Fast CRC Computation for Generic
 *          Polynomials Using PCLMULQDQ Instruction", Intel 2009 (folding constants of section "gzip").
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/** CRC-32 of `bytes`; carry-less multiplication where the processor has it. */
uint32_t sl_parquet_crc32(const void *bytes, size_t length);
/** The portable form (zlib's), for tests that compare. */
uint32_t sl_parquet_crc32_portable(const void *bytes, size_t length);
