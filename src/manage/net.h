/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine on a network between machines. */
#ifndef MANAGE_NET_H
#define MANAGE_NET_H

#include <stddef.h>

#include "core/plug.h"
#include "manage/options.h"

struct vm;

/* Plugs a machine into the network that the options name. 0, or a negative errno (-ENOENT: there is
 * no such network) and one line in reason. */
int net_open(struct vm *vm, const struct options *options, struct netport **port, char *reason,
	     size_t size);

#endif
