/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C (Castagnoli), as iSCSI (RFC 3720, section 12.1) and many file formats have it. */
#ifndef LIB_CHECKSUM_H
#define LIB_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of what `crc` is the checksum of, followed by these bytes; 0 is that of nothing. Any
 * thread.
 */
uint32_t checksum_crc32c(uint32_t crc, const void *bytes, size_t length);

/* The same without the processor's instruction for it, for tests. */
uint32_t checksum_crc32c_table(uint32_t crc, const void *bytes, size_t length);

#endif
