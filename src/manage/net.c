/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/net_process.h"

static uint64_t add_text(uint64_t hash, const char *text)
{
	for (const char *c = text; *c; c++)
		hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	return (hash ^ '/') * UINT64_C(0x100000001b3);
}

/* The same for a machine of the same name in the same network, so that it stays; any, for one
 * without a name. */
static void choose_mac(const char *network, const char *machine, uint8_t *mac)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	if (*machine)
		hash = add_text(add_text(hash, network), machine);
	else
		host_random(&hash, sizeof(hash));
	hash ^= hash >> 32;
	/* Locally administered, and none of the gateway's. */
	mac[0] = 0x52;
	mac[1] = 0x54;
	for (unsigned i = 0; i < 4; i++)
		mac[2 + i] = (uint8_t)(hash >> (8 * i));
}

/* On a bridge there may be machines of other hosts, of the same name. */
static void this_host(char *text, size_t size)
{
	int file = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? 0 : read(file, text, size - 1);

	if (file >= 0)
		close(file);
	text[length > 0 ? length : 0] = '\0';
}

static int open_tap(struct vm *vm, const struct options *options, struct netport **port,
		    char *reason, size_t size)
{
	static const uint8_t none[6];
	const struct tap_config config = {options->tap.name, options->tap.bridge};
	char name[TAP_NAME], host[64];
	uint8_t mac[6];
	int error, file = tap_open(&config, name, reason, size);

	if (file < 0)
		return file == -ENOENT ? -ENODEV : file;
	memcpy(mac, options->mac, sizeof(mac));
	this_host(host, sizeof(host));
	if (!memcmp(mac, none, sizeof(none)))
		choose_mac(host, options->name ? options->name : "", mac);
	error = wire_open_tap(vm, file, tap_mtu(name), mac, port);
	if (error) {
		close(file);
		snprintf(reason, size, "tap %s: %s", name, strerror(-error));
	}
	host_log(LOG_INFO, "network: tap %s", name);
	return error;
}

int net_open(struct vm *vm, const struct options *options, struct netport **port, char *reason,
	     size_t size)
{
	static const uint8_t none[6];
	struct wire_hello hello = {.magic = WIRE_MAGIC,
				   .version = WIRE_VERSION,
				   .vlan = options->network.vlan,
				   .trunk = options->network.trunk,
				   .rate = options->network.rate};
	const char *name = options->name && lan_name_ok(options->name) ? options->name : "";
	struct wire_sockets sockets;
	int error;

	if (options->net == NET_TAP)
		return open_tap(vm, options, port, reason, size);
	strcpy(hello.name, name);
	memcpy(hello.mac, options->mac, sizeof(hello.mac));
	if (!memcmp(hello.mac, none, sizeof(none)))
		choose_mac(options->network.name, name, hello.mac);
	error = net_join(options->network.name, &hello, &sockets, reason, size);
	if (error)
		return error;
	error = wire_open(vm, &sockets, hello.mac, port);
	if (error) {
		close(sockets.frames);
		close(sockets.ports);
		snprintf(reason, size, "network %s: %s", options->network.name, strerror(-error));
	}
	return error;
}

static bool is_frame_socket(int file)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(int);

	return !getsockopt(file, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_UNIX &&
	       !getsockopt(file, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET;
}

int net_adopt(struct vm *vm, const struct options *options, const int *files, unsigned count,
	      struct netport **port, char *reason, size_t size)
{
	const struct wire_sockets sockets = {files[0], files[1]};
	char name[TAP_NAME];
	int error = -EINVAL;

	if (options->net == NET_TAP && count == 1 && !tap_name(files[0], name))
		error = wire_open_tap(vm, files[0], tap_mtu(name), options->mac, port);
	else if (options->net == NET_LAN && count == 2 && is_frame_socket(files[0]) &&
		 is_frame_socket(files[1]))
		error = wire_open(vm, &sockets, options->mac, port);
	if (!error)
		return 0;
	for (unsigned i = 0; i < count; i++)
		close(files[i]);
	snprintf(reason, size, "the machine's end of its network has not come with it");
	return error;
}

bool net_has_files(const struct options *options)
{
	return options->net == NET_LAN || options->net == NET_TAP;
}

unsigned net_files(const struct netport *port, int files[NET_FILES_MAX])
{
	return wire_files(port, files);
}

void net_hold(struct netport *port, bool held)
{
	wire_hold(port, held);
}

int net_forward(struct netport *port, const struct user_forward *forward, char *reason, size_t size)
{
	return wire_forward(port, forward, reason, size);
}

int net_change_begin(const struct options *options, struct netport *port,
		     struct user_forward_change *change, char *reason, size_t size)
{
	int error;

	if (options->net == NET_LAN)
		return wire_change_begin(port, change, reason, size);
	if (!change->remove)
		return user_forward_add(port, &change->forward, reason, size);
	error = user_forward_remove(port, &change->forward);
	if (error)
		snprintf(reason, size, "it is not forwarded");
	return error;
}

void net_change_forget(const struct options *options, struct netport *port)
{
	if (options->net == NET_LAN)
		wire_change_forget(port);
}
