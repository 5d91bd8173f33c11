/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The networks of a user: what each is, and where its switch can be found.
 *
 *	$XDG_DATA_HOME/lodge/networks/NAME (~/.local/share/lodge/...)	what `lodge net create` said
 *	$XDG_RUNTIME_DIR/lodge/net.NAME (else /tmp/lodge-UID/...)	the switch's socket
 *	the same with .lock						held by the switch's process
 */
#ifndef MANAGE_NET_STORE_H
#define MANAGE_NET_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "network/lan.h"

struct net_info {
	char name[LAN_NAME_MAX + 1];
	bool isolated;	   /* no way to the world */
	bool trust_guests; /* frames aren't looked at for who they say they are from */
	bool running;	   /* its switch is there: net_list only */
};

/* All of these: 0, or a negative errno and one line in reason. */
int net_create(const struct net_info *info, char *reason, size_t size);
int net_find(const char *name, struct net_info *info, char *reason, size_t size);
int net_remove(const char *name, char *reason, size_t size);
/* In order of their names; *list is to be freed. */
int net_list(struct net_info **list, unsigned *count, char *reason, size_t size);
/* Makes the folder if it isn't there; suffix: "" or ".lock". */
int net_runtime_path(const char *name, const char *suffix, char *path, char *reason, size_t size);

#endif
