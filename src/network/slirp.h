/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libslirp, which is loaded when the first network wants it: with the libraries that it needs it is
 * a quarter of what a machine without one would hold in memory, and most commands have none at all.
 */
#ifndef NETWORK_SLIRP_H
#define NETWORK_SLIRP_H

#include <stddef.h>

/*
 * To be called, from one thread at a time and before the sandbox is closed, before any function of
 * <libslirp.h>. 0, also when it is there already; or -ENOENT, with one line for the person in
 * reason. It stays until the process ends.
 */
int slirp_load(char *reason, size_t size);

#endif
