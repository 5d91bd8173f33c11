/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DHCP client that asks once (RFC 2131, options of RFC 2132): discover, offer, request,
 * acknowledgement. The lease isn't renewed.
 */
#include "init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENT_PORT	 68
#define SERVER_PORT	 67
#define MAGIC		 0x63825363
#define TRIES		 3
#define TRY_MILLISECONDS 1000
#define NAME_SERVERS	 3

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5 };
enum {
	OPTION_PAD = 0,
	OPTION_MASK = 1,
	OPTION_ROUTER = 3,
	OPTION_NAME_SERVER = 6,
	OPTION_REQUESTED = 50,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_LIST = 55,
	OPTION_END = 255,
};

/* RFC 2131, figure 1. */
struct message {
	uint8_t op, hardware, hardware_length, hops;
	uint32_t id;
	uint16_t seconds, flags;
	uint32_t client, yours, server, relay;
	uint8_t hardware_address[16];
	uint8_t server_name[64];
	uint8_t file[128];
	uint32_t magic;
	uint8_t options[312];
} __attribute__((packed));

/* What the server said; addresses in network order, 0 where it said nothing. */
struct lease {
	uint8_t type;
	uint32_t address, mask, router, server;
	uint32_t name_servers[NAME_SERVERS];
};

static size_t option_put(uint8_t *at, uint8_t option, const void *value, uint8_t size)
{
	at[0] = option;
	at[1] = size;
	memcpy(at + 2, value, size);
	return 2u + size;
}

static int message_send(int file, const uint8_t mac[6], uint32_t id, uint8_t type,
			const struct lease *offer)
{
	static const uint8_t wanted[] = {OPTION_MASK, OPTION_ROUTER, OPTION_NAME_SERVER};
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(SERVER_PORT),
				 .sin_addr.s_addr = INADDR_BROADCAST};
	struct message message = {.op = 1,
				  .hardware = 1,
				  .hardware_length = 6,
				  .id = id,
				  .flags = htons(0x8000), /* answer by broadcast */
				  .magic = htonl(MAGIC)};
	uint8_t *at = message.options;

	memcpy(message.hardware_address, mac, 6);
	at += option_put(at, OPTION_TYPE, &type, 1);
	at += option_put(at, OPTION_LIST, wanted, sizeof(wanted));
	if (offer) {
		at += option_put(at, OPTION_REQUESTED, &offer->address, 4);
		at += option_put(at, OPTION_SERVER, &offer->server, 4);
	}
	*at = OPTION_END;
	if (sendto(file, &message, sizeof(message), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

static void option_take(struct lease *lease, uint8_t option, const uint8_t *value, uint8_t size)
{
	if (option == OPTION_TYPE && size >= 1)
		lease->type = value[0];
	else if (option == OPTION_MASK && size >= 4)
		memcpy(&lease->mask, value, 4);
	else if (option == OPTION_ROUTER && size >= 4)
		memcpy(&lease->router, value, 4);
	else if (option == OPTION_SERVER && size >= 4)
		memcpy(&lease->server, value, 4);
	else if (option == OPTION_NAME_SERVER)
		for (int i = 0; i < NAME_SERVERS && 4 * i + 4 <= size; i++)
			memcpy(&lease->name_servers[i], value + 4 * i, 4);
}

/* Returns whether the message answers ours, and what it says. */
static bool message_read(const struct message *message, size_t size, uint32_t id,
			 struct lease *lease)
{
	size_t at = 0, end;

	if (size < offsetof(struct message, options) || message->op != 2 || message->id != id ||
	    message->magic != htonl(MAGIC))
		return false;
	end = size - offsetof(struct message, options);
	*lease = (struct lease){.address = message->yours};
	while (at < end && message->options[at] != OPTION_END) {
		const uint8_t *option = message->options + at;

		if (option[0] == OPTION_PAD) {
			at++;
			continue;
		}
		if (at + 2 > end || at + 2 + option[1] > end)
			break;
		option_take(lease, option[0], option + 2, option[1]);
		at += 2u + option[1];
	}
	return true;
}

static long milliseconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

/* Waits for an answer of the type, whatever else comes meanwhile. */
static bool answer_take(int file, uint32_t id, uint8_t answer, struct lease *lease)
{
	struct pollfd ready = {.fd = file, .events = POLLIN};
	const long until = milliseconds_now() + TRY_MILLISECONDS;
	long left;

	while ((left = until - milliseconds_now()) > 0 && poll(&ready, 1, (int)left) > 0) {
		struct lease said = *lease;
		struct message message;
		ssize_t size = recv(file, &message, sizeof(message), MSG_DONTWAIT);

		if (size > 0 && message_read(&message, (size_t)size, id, &said) &&
		    said.type == answer) {
			*lease = said;
			return true;
		}
	}
	return false;
}

/* Sends until an answer of the type comes. */
static int ask(int file, const uint8_t mac[6], uint32_t id, uint8_t type, uint8_t answer,
	       struct lease *lease)
{
	for (int i = 0; i < TRIES; i++) {
		int error = message_send(file, mac, id, type, type == REQUEST ? lease : NULL);

		if (error)
			return error;
		if (answer_take(file, id, answer, lease))
			return 0;
	}
	return -ETIMEDOUT;
}

static void address_set(struct sockaddr *to, uint32_t address)
{
	struct sockaddr_in internet = {.sin_family = AF_INET, .sin_addr.s_addr = address};

	memcpy(to, &internet, sizeof(internet));
}

static int lease_apply(int file, const char *interface, const struct lease *lease)
{
	struct ifreq request = {0};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	address_set(&request.ifr_addr, lease->address);
	if (ioctl(file, SIOCSIFADDR, &request))
		return -errno;
	address_set(&request.ifr_netmask, lease->mask);
	if (lease->mask && ioctl(file, SIOCSIFNETMASK, &request))
		return -errno;
	if (!lease->router)
		return 0;
	address_set(&route.rt_dst, 0);
	address_set(&route.rt_genmask, 0);
	address_set(&route.rt_gateway, lease->router);
	return ioctl(file, SIOCADDRT, &route) ? -errno : 0;
}

static void name_servers_write(const struct lease *lease)
{
	FILE *file = fopen("/run/lodge-resolv.conf", "we");

	if (!file)
		return;
	for (int i = 0; i < NAME_SERVERS && lease->name_servers[i]; i++) {
		struct in_addr address = {.s_addr = lease->name_servers[i]};

		fprintf(file, "nameserver %s\n", inet_ntoa(address));
	}
	fclose(file);
}

static int socket_open(const char *interface, uint8_t mac[6])
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(CLIENT_PORT)};
	struct ifreq request = {0};
	int yes = 1, error;
	int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (file < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (setsockopt(file, SOL_SOCKET, SO_BROADCAST, &yes, sizeof(yes)) ||
	    setsockopt(file, SOL_SOCKET, SO_BINDTODEVICE, interface,
		       (socklen_t)strlen(interface) + 1) ||
	    bind(file, (struct sockaddr *)&here, sizeof(here)) ||
	    ioctl(file, SIOCGIFHWADDR, &request)) {
		error = -errno;
		close(file);
		return error;
	}
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	return file;
}

int dhcp_configure(const char *interface)
{
	struct lease lease = {0};
	uint8_t mac[6];
	uint32_t id;
	int error, file = socket_open(interface, mac);

	if (file < 0)
		return file;
	/* Unique enough: the interface's own number. */
	memcpy(&id, mac + 2, sizeof(id));
	error = ask(file, mac, id, DISCOVER, OFFER, &lease);
	if (!error)
		error = ask(file, mac, id, REQUEST, ACK, &lease);
	if (!error)
		error = lease_apply(file, interface, &lease);
	if (!error)
		name_servers_write(&lease);
	close(file);
	return error;
}
