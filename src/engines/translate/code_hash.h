/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash of blocks that are not dropped, by guest-physical address, linear page and mode:
 * code_lookup (code_cache.h) looks there without a lock. The rest is for who holds machine->lock.
 */
#ifndef TRANSLATE_CODE_HASH_H
#define TRANSLATE_CODE_HASH_H

#include "engines/translate/code_cache.h"

/* Slots for so many bytes of code: of those, no more than CODE_HASH_BLOCKS may be taken. */
uint32_t code_hash_size(uint64_t bytes);
#define CODE_HASH_BLOCKS(size) ((size) / 4 * 3)

/* An addition that has to pass so many taken slots sets hash_crowded: of a guest that means to, for
 * other code hardly ever comes near. */
#define CODE_HASH_RUN 4096u

/* The block is not in it; from now on others find it. */
void code_hash_add(struct machine_code *code, const struct block *block);

/* The block is in it. */
void code_hash_remove(struct machine_code *code, const struct block *block);

/* Empties it, in an exclusive section. */
void code_hash_clear(struct machine_code *code);

#endif
