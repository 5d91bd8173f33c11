/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a saved machine's word is enough for files to be opened by their names. Its description
 * carries a seal over them, made with a key that only this user's Lodge on this host has; whoever
 * else wrote the description can't make one.
 *
 * A machine's process seals before it enters its sandbox, and keeps no key: a guest that has taken
 * the process over can't name other files than the machine had.
 */
#ifndef MANAGE_SEAL_H
#define MANAGE_SEAL_H

#include <stdbool.h>

#include "machines/saved.h"

/* Seals kernel, initrd and disks. Where there can be no key (no home, one that can't be written
 * to), it stays without a seal, and the log says why. */
void seal_make(struct saved_config *config);

/* Whether the seal is this user's, and the files are those it was made for. */
bool seal_is_ours(const struct saved_config *config);

#endif
