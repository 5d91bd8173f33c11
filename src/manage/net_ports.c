/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/net_ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/wire.h"

static int add(struct net_ports *ports, const struct net_ports_target *target,
	       struct user_forward *forward, char *reason, size_t size)
{
	int error;

	if (!target->world) {
		snprintf(reason, size,
			 "network %s is isolated: no port leads to its machines; lodge exec, shell "
			 "and cp work",
			 target->network);
		return -EOPNOTSUPP;
	}
	if (!target->address) {
		snprintf(reason, size,
			 "network %s: ports lead to machines in VLAN 1 only, which get their "
			 "addresses there",
			 target->network);
		return -EOPNOTSUPP;
	}
	if (forward->ipv6) {
		snprintf(
			reason, size,
			"network %s: ports of IPv6 addresses lead to machines with --net user only",
			target->network);
		return -EOPNOTSUPP;
	}
	if (ports->count == OPTIONS_FORWARDS_MAX) {
		snprintf(reason, size, "there can be %u forwarded ports at most",
			 OPTIONS_FORWARDS_MAX);
		return -ENOSPC;
	}
	forward->guest_address.s_addr = htonl(target->address);
	error = user_forward_add(target->world, forward, reason, size);
	if (!error)
		ports->forwards[ports->count++] = *forward;
	return error;
}

/* Only what this machine has asked for. */
static int take_away(struct net_ports *ports, const struct net_ports_target *target,
		     const struct user_forward *forward, char *reason, size_t size)
{
	for (unsigned i = 0; i < ports->count; i++) {
		if (!user_forward_same(&ports->forwards[i], forward))
			continue;
		user_forward_remove(target->world, forward);
		ports->forwards[i] = ports->forwards[--ports->count];
		return 0;
	}
	snprintf(reason, size, "it is not forwarded");
	return -ENOENT;
}

bool net_ports_serve(struct net_ports *ports, const struct net_ports_target *target)
{
	struct wire_question question;
	struct wire_reply reply = {.error = 0};
	struct user_forward forward;
	ssize_t got = recv(ports->socket, &question, sizeof(question), MSG_DONTWAIT | MSG_TRUNC);
	int error;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got != (ssize_t)sizeof(question))
		return false;
	question.port[sizeof(question.port) - 1] = '\0';
	error = user_forward_parse(question.port, &forward, reply.reason, sizeof(reply.reason));
	if (!error && question.remove)
		error = take_away(ports, target, &forward, reply.reason, sizeof(reply.reason));
	else if (!error)
		error = add(ports, target, &forward, reply.reason, sizeof(reply.reason));
	reply.error = error < 0 ? (uint32_t)-error : 0;
	return send(ports->socket, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       (ssize_t)sizeof(reply);
}

void net_ports_close(struct net_ports *ports, struct netport *world)
{
	for (unsigned i = 0; i < ports->count; i++)
		user_forward_remove(world, &ports->forwards[i]);
	ports->count = 0;
	if (ports->socket >= 0)
		close(ports->socket);
	ports->socket = -1;
}
