/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports that lead to machines on a network, as the switch is asked for them. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/vm.h"
#include "manage/net_ports.h"
#include "network/wire.h"

static struct vm vm;
static struct netport *world;
static struct net_ports ports;
static struct net_ports_target target = {.network = "blue", .address = 0x0a000220};
static struct wire_reply reply;
static int asker;

static bool drop(void *device, const void *frame, size_t length)
{
	return true;
}

static void start(void)
{
	const struct user_config config = {.mtu = 0};
	char reason[200];
	int ends[2];

	host_lock_init(&vm.lock);
	REQUIRE(user_open(&vm, &config, &world, reason, sizeof(reason)) == 0);
	world->receive = drop;
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	asker = ends[0];
	ports = (struct net_ports){.socket = ends[1]};
	target.world = world;
}

/* The errno of the answer. */
static unsigned ask(const char *port, bool remove)
{
	struct wire_question question = {.remove = remove};

	snprintf(question.port, sizeof(question.port), "%s", port);
	REQUIRE(send(asker, &question, sizeof(question), 0) == sizeof(question));
	vm_lock(&vm);
	REQUIRE(net_ports_serve(&ports, &target));
	vm_unlock(&vm);
	REQUIRE(recv(asker, &reply, sizeof(reply), MSG_DONTWAIT) == sizeof(reply));
	return reply.error;
}

static void stop(void)
{
	vm_lock(&vm);
	net_ports_close(&ports, world);
	vm_unlock(&vm);
	world->ops->close(world);
	close(asker);
}

/* A port that is free now. */
static unsigned free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int file = socket(AF_INET, SOCK_STREAM, 0);

	REQUIRE(bind(file, (struct sockaddr *)&address, sizeof(address)) == 0);
	REQUIRE(getsockname(file, (struct sockaddr *)&address, &length) == 0);
	close(file);
	return ntohs(address.sin_port);
}

static bool listens(unsigned port)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
					    .sin_port = htons((uint16_t)port),
					    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int file = socket(AF_INET, SOCK_STREAM, 0);
	bool connected = !connect(file, (const struct sockaddr *)&address, sizeof(address));

	close(file);
	return connected;
}

TEST(a_port_is_there_until_it_is_removed)
{
	const unsigned number = free_port();
	char port[32];

	start();
	snprintf(port, sizeof(port), "%u:80", number);
	EXPECT_EQ(ask(port, false), 0);
	EXPECT(listens(number));
	EXPECT_EQ(ask(port, false), EADDRINUSE);
	EXPECT(strstr(reply.reason, "is in use already"));
	EXPECT_EQ(ask(port, true), 0);
	EXPECT(!listens(number));
	EXPECT_EQ(ask(port, true), ENOENT);
	stop();
}

TEST(ports_go_with_their_machine)
{
	const unsigned number = free_port();
	char port[32];

	start();
	snprintf(port, sizeof(port), "%u:80", number);
	EXPECT_EQ(ask(port, false), 0);
	vm_lock(&vm);
	net_ports_close(&ports, world);
	vm_unlock(&vm);
	EXPECT(!listens(number));
	EXPECT_EQ(ports.socket, -1);
	stop();
}

TEST(no_port_leads_to_an_isolated_network_or_another_vlan)
{
	start();
	target.world = NULL;
	EXPECT_EQ(ask("8080:80", false), EOPNOTSUPP);
	EXPECT(strstr(reply.reason, "blue is isolated"));
	EXPECT_EQ(ask("8080:80", true), ENOENT);
	target.world = world;
	target.address = 0;
	EXPECT_EQ(ask("8080:80", false), EOPNOTSUPP);
	EXPECT(strstr(reply.reason, "VLAN 1"));
	EXPECT_EQ(ask("nonsense", false), EINVAL);
	stop();
}

TEST(what_is_no_question_ends_the_connection)
{
	start();
	REQUIRE(send(asker, "hello", 5, 0) == 5);
	EXPECT(!net_ports_serve(&ports, &target));
	stop();
}
