/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Benchmarks of a TCP connection, and their other end. A connection begins with a byte that says
 * what is wanted: UP, the server reads until the end and then answers with one byte (so that the
 * time is that of data that arrived); DOWN and a u64, the server sends so many bytes; ECHO, it
 * sends back each byte.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UP = 'u', DOWN = 'd', ECHO = 'e' };

#define PIECE 65536u
static char piece[PIECE];

static int connect_for(char wish)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int one = 1, connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)server_port);
	if (connection < 0 || inet_pton(AF_INET, server_address, &address.sin_addr) != 1 ||
	    connect(connection, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (write(connection, &wish, 1) != 1)
		fail("send");
	return connection;
}

/* Sends so many bytes. Returns 0, or -1 with errno. */
static int send_bytes(int connection, uint64_t bytes)
{
	while (bytes) {
		ssize_t sent = write(connection, piece, bytes < PIECE ? bytes : PIECE);

		if (sent <= 0)
			return -1;
		bytes -= (uint64_t)sent;
	}
	return 0;
}

/* Reads until the other side says no more; returns how many bytes there were. */
static uint64_t drain(int connection)
{
	uint64_t bytes = 0;
	ssize_t got;

	while ((got = read(connection, piece, PIECE)) > 0)
		bytes += (uint64_t)got;
	return bytes;
}

/* One operation is a MiB; each call is a connection. */
static void upload(uint64_t count)
{
	int connection = connect_for(UP);
	char answer;

	if (send_bytes(connection, count << 20) || shutdown(connection, SHUT_WR) ||
	    read(connection, &answer, 1) != 1)
		fail("send");
	close(connection);
}

static void download(uint64_t count)
{
	int connection = connect_for(DOWN);
	uint64_t bytes = count << 20;

	if (write(connection, &bytes, sizeof(bytes)) != sizeof(bytes) || drain(connection) != bytes)
		fail("receive");
	close(connection);
}

/* A byte there and back. */
static void round_trip(uint64_t count)
{
	static int connection = -1;
	char byte = 0;

	if (connection < 0)
		connection = connect_for(ECHO);
	while (count--) {
		if (write(connection, &byte, 1) != 1 || read(connection, &byte, 1) != 1)
			fail("echo");
	}
}

const struct benchmark network_benchmarks[] = {
	{"up", upload, 150, 256},
	{"down", download, 150, 256},
	{"round-trip", round_trip, 100, 10000},
	{NULL, NULL, 0, 0},
};

static void answer(int connection)
{
	char wish, byte = 0;
	uint64_t bytes;
	int one = 1;

	setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (read(connection, &wish, 1) != 1)
		return;
	if (wish == UP) {
		drain(connection);
		(void)!write(connection, &byte, 1);
	} else if (wish == DOWN) {
		if (recv(connection, &bytes, sizeof(bytes), MSG_WAITALL) == sizeof(bytes))
			send_bytes(connection, bytes);
	} else if (wish == ECHO) {
		while (read(connection, &byte, 1) == 1 && write(connection, &byte, 1) == 1)
			continue;
	}
}

void serve(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (door < 0 || bind(door, (struct sockaddr *)&address, size) || listen(door, 8) ||
	    getsockname(door, (struct sockaddr *)&address, &size))
		fail("listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int connection = accept(door, NULL, NULL);

		if (connection < 0)
			continue;
		/* One process each: a client that goes away can't hold up the next. */
		if (fork() == 0) {
			close(door);
			answer(connection);
			_exit(0);
		}
		close(connection);
	}
}
