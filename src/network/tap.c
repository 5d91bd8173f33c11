/* SPDX-License-Identifier: BSD-2-Clause */
#include "network/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE	  "/dev/net/tun"
#define HEADER	  12 /* struct virtio_net_hdr_v1 */
#define PORTS_MAX 1024

const uint32_t tap_ioctls[] = {(uint32_t)TUNSETOFFLOAD, 0};

/* What is being opened, and where its faults are told. */
struct opening {
	const struct tap_config *config;
	int file, socket; /* the tap; any socket, for ioctls of interfaces */
	struct ifreq request;
	char *reason;
	size_t size;
};

static int open_device(struct opening *opening)
{
	const char *hint = "";
	int error;

	opening->file = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (opening->file >= 0)
		return 0;
	error = -errno;
	if (error == -ENOENT || error == -ENODEV || error == -ENXIO)
		hint = ": as root: modprobe tun (a container has to be given the device)";
	else if (error == -EACCES || error == -EPERM)
		hint = ": as root: chmod 666 " DEVICE " (or give a container the right to it)";
	snprintf(opening->reason, opening->size, "tap: %s: %s%s", DEVICE, strerror(-error), hint);
	return error;
}

static int attach(struct opening *opening)
{
	const char *name = opening->config->name;
	const bool there = *name && if_nametoindex(name);
	const int header = HEADER;
	struct ifreq *request = &opening->request;
	int error = 0;

	*request = (struct ifreq){.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", name);
	if (!ioctl(opening->file, TUNSETIFF, request)) {
		if (ioctl(opening->file, TUNSETVNETHDRSZ, &header)) {
			error = -errno;
			snprintf(opening->reason, opening->size, "tap %s: its headers: %s",
				 request->ifr_name, strerror(-error));
		}
		return error;
	}
	error = -errno;
	if (error == -EPERM && there)
		snprintf(opening->reason, opening->size,
			 "tap %s isn't this user's: as root: ip tuntap del dev %s mode tap; ip "
			 "tuntap add dev %s mode tap user %u",
			 name, name, name, (unsigned)geteuid());
	else if (error == -EPERM)
		snprintf(opening->reason, opening->size,
			 "tap: to make one takes root (CAP_NET_ADMIN): as root: ip tuntap add dev "
			 "%s mode tap user %u, and then --net tap,name=%s",
			 *name ? name : "tap0", (unsigned)geteuid(), *name ? name : "tap0");
	else if (error == -EBUSY)
		snprintf(opening->reason, opening->size,
			 "tap %s: something else uses it: another machine?", name);
	else if (error == -EINVAL && there)
		snprintf(opening->reason, opening->size,
			 "%s is a network card, but no tap: take another name", name);
	else
		snprintf(opening->reason, opening->size, "tap %s: %s", name, strerror(-error));
	return error;
}

/* Whether the tap is on the bridge already. */
static bool is_on_bridge(const struct opening *opening, int index)
{
	int ports[PORTS_MAX] = {0};
	unsigned long arguments[4] = {BRCTL_GET_PORT_LIST, (unsigned long)ports, PORTS_MAX, 0};
	struct ifreq request = {.ifr_data = (void *)arguments};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", opening->config->bridge);
	if (ioctl(opening->socket, SIOCDEVPRIVATE, &request) < 0)
		return false;
	for (unsigned i = 0; i < PORTS_MAX; i++)
		if (ports[i] == index)
			return true;
	return false;
}

static bool is_up(const struct opening *opening, const char *name)
{
	struct ifreq request = {.ifr_flags = 0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return !ioctl(opening->socket, SIOCGIFFLAGS, &request) && (request.ifr_flags & IFF_UP);
}

static int join_bridge(struct opening *opening)
{
	const char *bridge = opening->config->bridge, *name = opening->request.ifr_name;
	struct ifreq request = {.ifr_ifindex = (int)if_nametoindex(name)};
	int error;

	if (!*bridge)
		return 0;
	if (!if_nametoindex(bridge)) {
		snprintf(opening->reason, opening->size,
			 "tap: there is no bridge %s: as root: ip link add %s type bridge; ip link "
			 "set %s up",
			 bridge, bridge, bridge);
		return -ENODEV;
	}
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", bridge);
	if (!is_on_bridge(opening, request.ifr_ifindex) &&
	    ioctl(opening->socket, SIOCBRADDIF, &request)) {
		error = -errno;
		if (error == -EOPNOTSUPP)
			snprintf(opening->reason, opening->size,
				 "tap: %s is a network card, but no bridge", bridge);
		else if (error == -EPERM)
			snprintf(opening->reason, opening->size,
				 "tap %s isn't on bridge %s, and to put it there takes root: as "
				 "root: ip link set %s master %s",
				 name, bridge, name, bridge);
		else if (error == -EBUSY)
			snprintf(opening->reason, opening->size,
				 "tap %s is on another bridge than %s: as root: ip link set %s "
				 "master %s",
				 name, bridge, name, bridge);
		else
			snprintf(opening->reason, opening->size, "tap %s: bridge %s: %s", name,
				 bridge, strerror(-error));
		return error;
	}
	if (is_up(opening, bridge))
		return 0;
	snprintf(opening->reason, opening->size,
		 "tap: bridge %s is down, and would carry nothing: as root: ip link set %s up",
		 bridge, bridge);
	return -ENETDOWN;
}

static int bring_up(struct opening *opening)
{
	struct ifreq *request = &opening->request;
	int error;

	if (is_up(opening, request->ifr_name))
		return 0;
	if (!ioctl(opening->socket, SIOCGIFFLAGS, request)) {
		request->ifr_flags |= IFF_UP;
		if (!ioctl(opening->socket, SIOCSIFFLAGS, request))
			return 0;
	}
	error = -errno;
	snprintf(opening->reason, opening->size,
		 "tap %s is down, and can't be brought up: %s: as root: ip link set %s up",
		 request->ifr_name, strerror(-error), request->ifr_name);
	return error;
}

int tap_open(const struct tap_config *config, char *name, char *reason, size_t size)
{
	struct opening opening = {.config = config, .file = -1, .reason = reason, .size = size};
	int error;

	opening.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (opening.socket < 0) {
		error = -errno;
		snprintf(reason, size, "tap: no socket for it: %s", strerror(-error));
		return error;
	}
	error = open_device(&opening);
	if (!error)
		error = attach(&opening);
	if (!error)
		error = join_bridge(&opening);
	if (!error)
		error = bring_up(&opening);
	close(opening.socket);
	if (error) {
		if (opening.file >= 0)
			close(opening.file);
		return error;
	}
	snprintf(name, TAP_NAME, "%s", opening.request.ifr_name);
	return opening.file;
}

int tap_name(int file, char *name)
{
	struct ifreq request = {.ifr_flags = 0};
	int header = 0;

	if (ioctl(file, TUNGETIFF, &request) || !(request.ifr_flags & IFF_TAP) ||
	    !(request.ifr_flags & IFF_NO_PI) || !(request.ifr_flags & IFF_VNET_HDR) ||
	    ioctl(file, TUNGETVNETHDRSZ, &header) || header != HEADER)
		return -EINVAL;
	snprintf(name, TAP_NAME, "%s", request.ifr_name);
	return 0;
}

unsigned tap_mtu(const char *name)
{
	struct ifreq request = {.ifr_mtu = 0};
	int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool known;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	known = file >= 0 && !ioctl(file, SIOCGIFMTU, &request);
	if (file >= 0)
		close(file);
	return known ? (unsigned)request.ifr_mtu : 1500;
}

int tap_offload(int file, int takes_joined)
{
	const unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

	return ioctl(file, TUNSETOFFLOAD, takes_joined ? offloads : 0) ? -errno : 0;
}
