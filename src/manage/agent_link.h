/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way to the guest's agent: files of programs of the host's (one end of a socket pair each),
 * joined to streams of their own to the agent's port. Here nobody looks into what passes: it is
 * between the program and the agent.
 */
#ifndef MANAGE_AGENT_LINK_H
#define MANAGE_AGENT_LINK_H

#include "core/plug.h"

struct agent_link;
struct vm;

/* For a vm that is attached to its loop; nothing of it runs yet. 0 or -ENOMEM. */
int agent_link_create(struct agent_link **link, struct vm *vm);

/* What the machine is to fill in. */
struct caller *agent_link_caller(struct agent_link *link);

/*
 * Joins a Unix stream socket, which becomes the link's in any case, with a new stream. If the agent
 * isn't there yet, it waits for it. 0, -ENOTSOCK, -EBUSY (there are too many), -ENOMEM or what the
 * loop says. Vm's lock held, on the main thread.
 */
int agent_link_join(struct agent_link *link, int fd);

/* No vcpu runs; before the vm is detached. Vm's lock not held. */
void agent_link_destroy(struct agent_link *link);

#endif
