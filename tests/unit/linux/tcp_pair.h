/* SPDX-License-Identifier: BSD-2-Clause */
/* Both ends of a TCP connection over the loopback interface. */
#ifndef TESTS_UNIT_LINUX_TCP_PAIR_H
#define TESTS_UNIT_LINUX_TCP_PAIR_H

#include "test.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static void tcp_pair(int *from, int *to)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	*from = socket(AF_INET, SOCK_STREAM, 0);
	REQUIRE(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 1));
	REQUIRE(!getsockname(listener, (struct sockaddr *)&address, &size));
	REQUIRE(!connect(*from, (struct sockaddr *)&address, size));
	*to = accept(listener, NULL, NULL);
	REQUIRE(*to >= 0);
	close(listener);
}

#endif
