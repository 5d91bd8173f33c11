/* SPDX-License-Identifier: BSD-2-Clause */
/* ChaCha20's block function (RFC 8439, section 2.3): 64 bytes that only who has the key can
 * foresee. */
#ifndef LIB_CHACHA_H
#define LIB_CHACHA_H

#include <stdint.h>

#define CHACHA_KEY   32
#define CHACHA_BLOCK 64

void chacha_block(const uint8_t key[CHACHA_KEY], uint32_t counter, const uint8_t nonce[12],
		  uint8_t block[CHACHA_BLOCK]);

#endif
