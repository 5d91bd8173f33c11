/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's DHCP client, on the loopback interface of a network namespace. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/init.h"

static void network_begin(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int file;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET))
		SKIP("no network namespace can be had here");
	file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	REQUIRE(file >= 0 && !ioctl(file, SIOCSIFFLAGS, &request));
	close(file);
}

/* Sends what is no answer, more than once a second, for ten seconds. */
static void chatter(void)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons(68),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	for (int i = 0; i < 20; i++) {
		(void)!sendto(file, "no answer", 9, 0, (const struct sockaddr *)&to, sizeof(to));
		usleep(500000);
	}
	_exit(0);
}

TEST(chatter_holds_nobody_up)
{
	time_t start = time(NULL);
	pid_t other;

	network_begin();
	other = fork();
	REQUIRE(other >= 0);
	if (other == 0)
		chatter();
	EXPECT_EQ(dhcp_configure("lo"), -ETIMEDOUT);
	EXPECT(time(NULL) - start < 7);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
}
