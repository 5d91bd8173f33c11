/* SPDX-License-Identifier: BSD-2-Clause */
/* The process of a network's switch: started by the first machine that wants the network, and gone
 * some seconds after the last one has left. */
#ifndef MANAGE_NET_PROCESS_H
#define MANAGE_NET_PROCESS_H

#include <stddef.h>

#include "network/wire.h"

/* How it is called: lodge NET_SERVE NAME. */
#define NET_SERVE "net-serve"

/* Is that process. An exit status; what is wrong has been said. */
int net_serve(const char *name);

/* Connects to the network's switch, which is started if it isn't there. 0, with sockets that are to
 * be closed; or a negative errno and one line in reason. */
int net_join(const char *name, const struct wire_hello *hello, struct wire_sockets *sockets,
	     char *reason, size_t size);

/*
 * Starts the switch where this process is, if it isn't there: one that a machine starts is in that
 * machine's process name space, and ends with it. A descriptor that keeps it until it is closed, or
 * a negative errno.
 */
int net_keep_switch(const char *name);

#endif
