/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine on a network between machines, or on a tap. */
#ifndef MANAGE_NET_H
#define MANAGE_NET_H

#include <stdbool.h>
#include <stddef.h>

#include "core/plug.h"
#include "manage/options.h"
#include "network/user.h"

struct vm;

/* Plugs a machine into the network, or the tap, that the options name. 0, or a negative errno
 * (-ENOENT: there is no such network) and one line in reason. */
int net_open(struct vm *vm, const struct options *options, struct netport **port, char *reason,
	     size_t size);

/* The same with descriptors that another process had the machine's end by (net_files), which become
 * the port's own. */
int net_adopt(struct vm *vm, const struct options *options, const int *files, unsigned count,
	      struct netport **port, char *reason, size_t size);

#define NET_FILES_MAX 2

/* Whether its end of its network is of descriptors, which another process can take over. */
bool net_has_files(const struct options *options);

/* The descriptors by which the machine has its end of the network: how many. They stay its port's,
 * which reads no frames while it is held. Vm's lock held. */
unsigned net_files(const struct netport *port, int files[NET_FILES_MAX]);
void net_hold(struct netport *port, bool held);

/* Has a port of this host lead to the machine, on a network of machines, before it runs: waits,
 * some seconds at most. 0, or a negative errno with one line in reason. */
int net_forward(struct netport *port, const struct user_forward *forward, char *reason,
		size_t size);

/* Has a port of this host lead to the machine while it runs, or no more, on whatever network it is.
 * Vm's lock held. 0: done; -EINPROGRESS: change->done says so, or how it failed; another negative
 * errno with one line in reason. One at a time. */
int net_change_begin(const struct options *options, struct netport *port,
		     struct user_forward_change *change, char *reason, size_t size);

/* change->done does not come any more. Vm's lock held. */
void net_change_forget(const struct options *options, struct netport *port);

#endif
