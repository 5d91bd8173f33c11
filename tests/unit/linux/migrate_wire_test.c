/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "tcp_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/host.h"
#include "lib/bytes.h"
#include "manage/migrate_wire.h"

static struct wire left, right;
static struct wire_message message;
static uint8_t payload[WIRE_PAYLOAD_MAX];

static void connect_wires(void)
{
	int ends[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	REQUIRE(wire_init(&left, ends[0], NULL) == 0 && wire_init(&right, ends[1], NULL) == 0);
	EXPECT(left.local);
	message.payload = payload;
}

TEST(messages_arrive)
{
	connect_wires();
	REQUIRE(wire_send(&left, WIRE_HELLO, 77, "words", 5) == 0);
	REQUIRE(wire_send(&left, WIRE_GO, 0, NULL, 0) == 0);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT(message.type == WIRE_HELLO && message.argument == 77 && message.length == 5);
	EXPECT(!memcmp(payload, "words", 5));
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT(message.type == WIRE_GO && message.length == 0);
}

TEST(silence_and_the_end_are_told_apart)
{
	connect_wires();
	EXPECT_EQ(wire_receive(&right, &message, 150), -ETIMEDOUT);
	close(left.fd);
	EXPECT_EQ(wire_receive(&right, &message, 150), -ENODATA);
	EXPECT_EQ(wire_send(&right, WIRE_GO, 0, NULL, 0), -ENODATA);
}

TEST(waiting_can_be_cancelled)
{
	static atomic_bool cancel = true;

	connect_wires();
	right.cancel = &cancel;
	EXPECT_EQ(wire_receive(&right, &message, 100000), -ECANCELED);
}

/* One that always says a little more does not keep anybody beyond the deadline. */
TEST(a_trickle_ends_at_the_deadline)
{
	uint64_t began = host_now();
	pid_t peer;

	connect_wires();
	peer = fork();
	REQUIRE(peer >= 0);
	if (peer == 0) {
		for (unsigned i = 0; i < 1000 && write(left.fd, "\x4d", 1) == 1; i++)
			usleep(20000);
		_exit(0);
	}
	right.deadline = began + 200000000;
	EXPECT_EQ(wire_receive(&right, &message, 100000), -ETIMEDOUT);
	EXPECT(host_now() - began < UINT64_C(2000000000));
	kill(peer, SIGKILL);
	waitpid(peer, NULL, 0);
}

TEST(a_send_ends_at_the_deadline)
{
	int error = 0;

	connect_wires();
	left.deadline = host_now() + 200000000;
	for (unsigned i = 0; i < 100 && !error; i++)
		error = wire_send(&left, WIRE_MEMORY, 0, payload, sizeof(payload));
	EXPECT_EQ(error, -ETIMEDOUT);
}

/* A peer that takes nothing ends a send. */
TEST(a_full_wire_can_be_cancelled)
{
	static atomic_bool cancel = true;
	int error = 0;

	connect_wires();
	left.cancel = &cancel;
	for (unsigned i = 0; i < 100 && !error; i++)
		error = wire_send(&left, WIRE_MEMORY, 0, payload, sizeof(payload));
	EXPECT_EQ(error, -ECANCELED);
}

/* Whatever has ended the rest. */
TEST(the_last_word_is_said)
{
	static atomic_bool cancel = true;

	connect_wires();
	left.cancel = &cancel;
	left.deadline = 1;
	EXPECT_EQ(wire_cancel(&left), 0);
	close(left.fd);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT_EQ(message.type, WIRE_CANCEL);
	/* To nobody: nobody takes anything for an end. */
	connect_wires();
	close(right.fd);
	EXPECT_EQ(wire_cancel(&left), 0);
}

/* So that not a byte more is taken. */
static void fill_wire(struct wire *wire)
{
	int error = 0;

	wire->deadline = host_now() + 200000000;
	while (!error)
		error = wire_send(wire, WIRE_MEMORY, 0, payload, sizeof(payload));
	REQUIRE(error == -ETIMEDOUT);
	while (send(wire->fd, payload, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		continue;
}

TEST(a_last_word_that_is_not_heard_is_known)
{
	uint64_t began;

	connect_wires();
	fill_wire(&left);
	began = host_now();
	EXPECT_EQ(wire_cancel(&left), -ETIMEDOUT);
	EXPECT(host_now() - began < UINT64_C(5000000000));
}

/* How a stream of TCP ends, as the peer sees it: 0, or a negative errno. */
static int drain(int fd)
{
	static uint8_t bytes[65536];
	ssize_t got;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	do
		got = recv(fd, bytes, sizeof(bytes), 0);
	while (got > 0);
	return got < 0 ? -errno : 0;
}

/* A peer takes the end of a stream for the end of a process, and a reset for nothing. */
TEST(what_tcp_does_not_take_ends_in_a_reset)
{
	int from, to;

	tcp_pair(&from, &to);
	REQUIRE(wire_init(&left, from, NULL) == 0);
	EXPECT(!left.local);
	fill_wire(&left);
	EXPECT_EQ(wire_cancel(&left), 0);
	close(left.fd);
	EXPECT_EQ(drain(to), -ECONNRESET);
	close(to);
}

TEST(nonsense_is_noticed)
{
	static const char words[] = "GET / HTTP/1.0\r\nHost: somewhere\r\n\r\n";
	uint8_t raw[64];
	ssize_t length;

	connect_wires();
	REQUIRE(write(left.fd, words, sizeof(words)) == sizeof(words));
	EXPECT_EQ(wire_receive(&right, &message, 1000), -EPROTO);

	/* Each byte of a good one made wrong. */
	connect_wires();
	REQUIRE(wire_send(&left, WIRE_HELLO, 1, "x", 1) == 0);
	length = read(right.fd, raw, sizeof(raw));
	REQUIRE(length == 25);
	for (ssize_t i = 0; i < length; i++) {
		int error;

		connect_wires();
		raw[i] ^= 1;
		REQUIRE(write(left.fd, raw, (size_t)length) == length);
		raw[i] ^= 1;
		close(left.fd);
		error = wire_receive(&right, &message, 1000);
		EXPECT(error == -EPROTO || error == -ENODATA);
		close(right.fd);
	}
	/* A length that is too much. */
	connect_wires();
	bytes_store32(raw + 16, WIRE_PAYLOAD_MAX + 1);
	REQUIRE(write(left.fd, raw, (size_t)length) == length);
	EXPECT_EQ(wire_receive(&right, &message, 1000), -EPROTO);
}

TEST(chunks_arrive)
{
	static uint8_t from[2 * SAVED_CHUNK], to[2 * SAVED_CHUNK];

	for (unsigned i = 0; i < sizeof(from); i++) {
		from[i] = (uint8_t)(i * 7 + i / 4096);
		to[i] = 0xee;
	}
	memset(from + SAVED_CHUNK + 3 * SAVED_PAGE, 0, SAVED_PAGE);
	connect_wires();
	REQUIRE(wire_send_chunk(&left, SAVED_CHUNK, from + SAVED_CHUNK, 0x801a) == 0);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT_EQ(message.length, 4 + 3 * SAVED_PAGE); /* the zero one costs nothing */
	REQUIRE(wire_take_chunk(&message, to, sizeof(to)) == 0);
	for (unsigned page = 0; page < 32; page++) {
		bool sent = page >= 16 && (0x801a >> (page - 16) & 1);

		EXPECT_EQ(memcmp(from + page * SAVED_PAGE, to + page * SAVED_PAGE, SAVED_PAGE) == 0,
			  sent);
	}
}

TEST(hostile_chunks_are_refused)
{
	static uint8_t ram[2 * SAVED_CHUNK];

	message = (struct wire_message){.type = WIRE_MEMORY, .payload = payload};
	bytes_store32(payload, 0x00010001);
	message.length = 4 + SAVED_PAGE;
	EXPECT_EQ(wire_take_chunk(&message, ram, sizeof(ram)), 0);
	message.argument = 4096;
	EXPECT_EQ(wire_take_chunk(&message, ram, sizeof(ram)), -EPROTO);
	message.argument = 2 * SAVED_CHUNK;
	EXPECT_EQ(wire_take_chunk(&message, ram, sizeof(ram)), -EPROTO);
	message.argument = UINT64_MAX - SAVED_CHUNK + 1;
	EXPECT_EQ(wire_take_chunk(&message, ram, sizeof(ram)), -EPROTO);
	message.argument = 0;
	message.length = 4 + SAVED_PAGE - 1;
	EXPECT_EQ(wire_take_chunk(&message, ram, sizeof(ram)), -EPROTO);
	message.length = 3;
	EXPECT_EQ(wire_take_chunk(&message, ram, sizeof(ram)), -EPROTO);
	message.length = 4 + SAVED_PAGE;
	bytes_store32(payload, 0x00020001); /* a page that isn't sent is used */
	EXPECT_EQ(wire_take_chunk(&message, ram, sizeof(ram)), -EPROTO);
}

TEST(a_state_comes_in_as_many_messages_as_it_takes)
{
	const size_t all = WIRE_PAYLOAD_MAX + 3;
	uint8_t *sent = malloc(all), *state = NULL;
	size_t length = 0;
	pid_t peer;

	REQUIRE(sent);
	for (size_t i = 0; i < all; i++)
		sent[i] = (uint8_t)(i * 7);
	connect_wires();
	peer = fork();
	if (peer == 0)
		_exit(wire_send_state(&left, sent, all) != 0);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT_EQ(message.argument, 3);
	REQUIRE(wire_take_state(&message, &state, &length) == 0);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT_EQ(message.argument, 0);
	REQUIRE(wire_take_state(&message, &state, &length) == 0);
	REQUIRE(length == all);
	EXPECT(!memcmp(state, sent, all));
	waitpid(peer, NULL, 0);
	free(sent);
	free(state);
}

TEST(hostile_states_are_refused)
{
	uint8_t *state = NULL;
	size_t length = 0;

	connect_wires();
	message.type = WIRE_STATE;
	message.length = WIRE_PAYLOAD_MAX;
	message.argument = UINT64_MAX;
	EXPECT_EQ(wire_take_state(&message, &state, &length), -EPROTO);
	message.argument = SAVED_STATE_MAX - WIRE_PAYLOAD_MAX + 1;
	EXPECT_EQ(wire_take_state(&message, &state, &length), -EPROTO);
	/* In more parts than it takes. */
	message.length = WIRE_PAYLOAD_MAX - 1;
	message.argument = 1;
	EXPECT_EQ(wire_take_state(&message, &state, &length), -EPROTO);
	message.length = 0;
	EXPECT_EQ(wire_take_state(&message, &state, &length), -EPROTO);
	length = SAVED_STATE_MAX;
	message.length = 1;
	message.argument = 0;
	EXPECT_EQ(wire_take_state(&message, &state, &length), -EPROTO);
	EXPECT(!state);
}

TEST(descriptors_come_along_where_they_are_wanted)
{
	int pipes[2][2], files[2];
	char letter;

	connect_wires();
	REQUIRE(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0);
	files[0] = pipes[0][1];
	files[1] = pipes[1][1];
	REQUIRE(wire_send_files(&left, WIRE_NETWORK, files, 2) == 0);
	REQUIRE(wire_send_files(&left, WIRE_NETWORK, files, 1) == 0);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT_EQ(message.type, WIRE_NETWORK);
	EXPECT_EQ(right.file_count, 0); /* not asked for */
	right.takes_files = true;
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	REQUIRE(right.file_count == 1);
	REQUIRE(write(right.files[0], "x", 1) == 1 && read(pipes[0][0], &letter, 1) == 1);
	/* The newest are kept, the others closed. */
	REQUIRE(wire_send_files(&left, WIRE_NETWORK, files, 2) == 0);
	REQUIRE(wire_send_files(&left, WIRE_NETWORK, files + 1, 1) == 0);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT_EQ(right.file_count, 2);
	REQUIRE(wire_receive(&right, &message, 1000) == 0);
	EXPECT_EQ(right.file_count, 1);
	wire_close_files(&right);
	close(files[0]);
	close(files[1]);
	EXPECT_EQ(read(pipes[0][0], &letter, 1), 0);
	EXPECT_EQ(read(pipes[1][0], &letter, 1), 0);
}

TEST(addresses_that_make_no_sense_are_named)
{
	char reason[512];

	EXPECT(wire_connect("nowhere", reason, sizeof(reason)) < 0);
	EXPECT_STR(reason, "nowhere: is no address: write HOST:PORT, or unix:PATH");
	EXPECT(wire_connect(":80", reason, sizeof(reason)) < 0);
	EXPECT(wire_connect("unix:/nonexistent/socket", reason, sizeof(reason)) < 0);
	EXPECT(wire_listen("/nonexistent/socket", reason, sizeof(reason)) < 0);
}

TEST(a_peers_words_are_printable)
{
	char text[8];

	message.payload = payload;
	memcpy(payload, "a\x1b[2J\n\xff\0tail", 12);
	message.length = 3;
	wire_text(&message, text, sizeof(text));
	EXPECT_STR(text, "a?[");
	message.length = 12;
	wire_text(&message, text, sizeof(text));
	EXPECT_STR(text, "a?[2J??");
}

/* Listens at the path, and says so, until it is killed. */
static void listen_as(uid_t user, const char *path, int ready)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	if (setuid(user) || bind(fd, (struct sockaddr *)&name, sizeof(name)) || listen(fd, 1) ||
	    chmod(path, 0777) || write(ready, "", 1) != 1)
		_exit(1);
	pause();
	_exit(0);
}

/* In /tmp it may have been there first. */
TEST(memory_goes_to_no_other_users_process)
{
	char path[64], reason[256] = "", byte;
	int ready[2], fd;
	pid_t child;

	if (geteuid()) {
		SKIP("only root can be another user as well");
		return;
	}
	REQUIRE(!chmod(test_folder(), 0777) && !pipe(ready));
	snprintf(path, sizeof(path), "%s", test_path("socket"));
	child = fork();
	REQUIRE(child >= 0);
	if (child == 0)
		listen_as(65534, path, ready[1]);
	close(ready[1]);
	EXPECT_EQ(read(ready[0], &byte, 1), 1);
	fd = wire_connect(path, reason, sizeof(reason));
	EXPECT_EQ(fd, -EPERM);
	EXPECT(strstr(reason, "another user"));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
