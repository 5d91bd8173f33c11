/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's network, without any of the guest's own programs. */
#include "init.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int interface_up(const char *name)
{
	struct ifreq request = {0};
	int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = 0;

	if (file < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(file, SIOCGIFFLAGS, &request))
		error = -errno;
	request.ifr_flags |= IFF_UP;
	if (!error && ioctl(file, SIOCSIFFLAGS, &request))
		error = -errno;
	close(file);
	return error;
}

void network_resolve(void)
{
	static const char told[] = "/run/lodge-resolv.conf", used[] = "/etc/resolv.conf";
	struct stat a, b;

	if (stat(told, &a) || (stat(used, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev))
		return;
	if (mount(told, used, NULL, MS_BIND, NULL))
		init_log("%s: %s", used, strerror(errno));
}

void network_up(bool dhcp)
{
	struct if_nameindex *names, *at;
	int error = interface_up("lo");

	if (error)
		init_log("lo: %s", strerror(-error));
	names = if_nameindex();
	for (at = names; at && at->if_index; at++) {
		if (strcmp(at->if_name, "lo") == 0)
			continue;
		error = interface_up(at->if_name);
		if (!error && dhcp)
			error = dhcp_configure(at->if_name);
		if (error)
			init_log("%s has no address: %s", at->if_name, strerror(-error));
		break;
	}
	if (names)
		if_freenameindex(names);
}
