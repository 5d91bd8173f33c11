/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Name spaces of the sandbox (namespaces(7)): what a process in them can't name it can't touch.
 * None of these functions fails: a part that this host refuses is left out, and its entry in the
 * state says why.
 */
#ifndef HOSTS_LINUX_NAMESPACES_H
#define HOSTS_LINUX_NAMESPACES_H

#include <sys/types.h>

#include "hosts/linux/sandbox.h"

/*
 * fork(2), with the child the first process of a pid name space where this host permits it. Where
 * that takes a user name space, child and parent are in one, so the parent should end. The
 * caller has one thread.
 */
pid_t namespaces_fork(void);

/* This process's id, as those outside of its pid name space know it. Asked for first while /proc
 * is in reach. */
pid_t namespaces_pid(void);

/*
 * User, pid, mount and network name space, as `options` need, by a process of one thread. The
 * descriptors of options->folders lead to the same folders afterwards, by mounts of their own.
 * 0, or a negative errno if something failed that can't be taken back.
 */
int namespaces_enter(const struct sandbox_options *options, struct sandbox_state *state);

#endif
