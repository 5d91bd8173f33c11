/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge exec` and its terminal, with an agent that says what the test does. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lib/bytes.h"
#include "manage/agent_client.h"
#include "manage/exitcodes.h"

static char name[] = "true";
static char *const arguments[] = {name, NULL};
static int agent; /* our end of the stream */

static void agent_say(uint8_t type, uint32_t number)
{
	uint8_t frame[AGENT_FRAME_HEADER + 4] = {type, 4};

	bytes_store32(frame + AGENT_FRAME_HEADER, number);
	REQUIRE(write(agent, frame, sizeof(frame)) == sizeof(frame));
}

static int status_of(pid_t client)
{
	int status = 0;

	REQUIRE(waitpid(client, &status, 0) == client && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The client on a terminal of its own: the other end of that. */
static int start_on_terminal(pid_t *client)
{
	const struct agent_command command = {.name = "box",
					      .arguments = arguments,
					      .terminal = AGENT_TERMINAL_YES,
					      .in = STDIN_FILENO,
					      .out = STDOUT_FILENO,
					      .err = STDERR_FILENO,
					      .timeout = 10};
	int ends[2], terminal;

	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	*client = forkpty(&terminal, NULL, NULL, NULL);
	REQUIRE(*client >= 0);
	if (*client == 0)
		_exit(agent_run(ends[0], &command));
	close(ends[0]);
	agent = ends[1];
	return terminal;
}

static bool is_raw(int terminal)
{
	struct termios now;

	REQUIRE(!tcgetattr(terminal, &now));
	return !(now.c_lflag & (ISIG | ICANON | ECHO));
}

/* The client has begun: its request is there. */
static void hear_request(void)
{
	uint8_t type;

	REQUIRE(recv(agent, &type, 1, MSG_PEEK) == 1);
	EXPECT_EQ(type, AGENT_EXEC);
}

TEST(terminal_is_left_alone_until_the_agent_is_there)
{
	pid_t client;
	int terminal = start_on_terminal(&client);

	hear_request();
	usleep(100000);
	EXPECT(!is_raw(terminal));
	REQUIRE(write(terminal, "\3", 1) == 1);
	EXPECT_EQ(status_of(client), LODGE_SIGNAL + SIGINT);
	close(terminal);
}

TEST(terminal_is_the_commands_once_the_agent_is_there)
{
	pid_t client;
	int terminal = start_on_terminal(&client);

	agent_say(AGENT_HELLO, AGENT_VERSION);
	for (int i = 0; i < 500 && !is_raw(terminal); i++)
		usleep(10000);
	EXPECT(is_raw(terminal));
	REQUIRE(write(terminal, "\35q", 2) == 2);
	EXPECT_EQ(status_of(client), LODGE_LEFT);
	EXPECT(!is_raw(terminal));
	close(terminal);
}

/* The client without a terminal, in a process of its own. */
static pid_t start(int in, int out)
{
	const struct agent_command command = {.name = "box",
					      .arguments = arguments,
					      .terminal = AGENT_TERMINAL_NO,
					      .in = in,
					      .out = out,
					      .err = STDERR_FILENO,
					      .timeout = 10};
	int ends[2];
	pid_t client;

	REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	agent = ends[1];
	client = fork();
	REQUIRE(client >= 0);
	if (client == 0) {
		close(agent);
		_exit(agent_run(ends[0], &command));
	}
	close(ends[0]);
	return client;
}

/* Reads frames until one of the type has come: its first number. */
static uint32_t hear(uint8_t type)
{
	static uint8_t contents[AGENT_FRAME_MAX];
	uint8_t header[AGENT_FRAME_HEADER];

	do {
		size_t size;

		REQUIRE(recv(agent, header, sizeof(header), MSG_WAITALL) == sizeof(header));
		size = bytes_load32(header + 1);
		REQUIRE(size <= sizeof(contents));
		REQUIRE(recv(agent, contents, size, MSG_WAITALL) == (ssize_t)size);
	} while (header[0] != type);
	return bytes_load32(contents);
}

/* Signals stand behind the input in the stream. */
TEST(signal_ends_what_takes_no_input)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	pid_t client = start(zero, STDOUT_FILENO);

	agent_say(AGENT_HELLO, AGENT_VERSION);
	usleep(500000);
	REQUIRE(!kill(client, SIGTERM));
	EXPECT_EQ(status_of(client), LODGE_SIGNAL + SIGTERM);
}

TEST(signal_arrives_behind_input_that_is_taken)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	pid_t client = start(zero, STDOUT_FILENO);

	agent_say(AGENT_HELLO, AGENT_VERSION);
	usleep(500000);
	REQUIRE(!kill(client, SIGTERM));
	usleep(300000);
	EXPECT_EQ(hear(AGENT_SIGNAL), SIGTERM);
	/* What waits behind it doesn't end the client at once. */
	usleep(1000000);
	agent_say(AGENT_STATUS, 9);
	EXPECT_EQ(status_of(client), 9);
}

/* It has gone from the client by then, and is on its way. */
TEST(signal_that_is_stuck_on_its_way_ends_the_client)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	pid_t client = start(zero, STDOUT_FILENO);
	static uint8_t some[100000];

	agent_say(AGENT_HELLO, AGENT_VERSION);
	usleep(500000);
	REQUIRE(!kill(client, SIGTERM));
	usleep(300000);
	REQUIRE(recv(agent, some, sizeof(some), MSG_WAITALL) == sizeof(some));
	EXPECT_EQ(status_of(client), LODGE_SIGNAL + SIGTERM);
}

/* All that the agent has to say comes at once, as it may. */
static int status_with_output(int out)
{
	static const char talk[] = "\1\4\0\0\0\1\0\0\0"	  /* HELLO */
				   "\40\3\0\0\0hi\n"	  /* OUTPUT */
				   "\42\4\0\0\0\0\0\0\0"; /* STATUS */
	pid_t client = start(-1, out);

	hear(AGENT_EXEC);
	REQUIRE(write(agent, talk, sizeof(talk) - 1) == sizeof(talk) - 1);
	return status_of(client);
}

TEST(output_that_is_lost_is_told)
{
	int words[2], was = dup(STDERR_FILENO);
	char text[256] = "";

	REQUIRE(was >= 0 && !pipe2(words, O_NONBLOCK) && dup2(words[1], STDERR_FILENO) >= 0);
	EXPECT_EQ(status_with_output(open("/dev/full", O_WRONLY | O_CLOEXEC)), LODGE_HOST_LACKS);
	REQUIRE(dup2(was, STDERR_FILENO) >= 0);
	REQUIRE(read(words[0], text, sizeof(text) - 1) > 0);
	EXPECT_STR(text, "lodge: standard output can't be written: No space left on device\n");
}

TEST(output_that_nobody_reads_is_a_broken_pipe)
{
	int ends[2];

	REQUIRE(!pipe2(ends, O_CLOEXEC) && !close(ends[0]));
	signal(SIGPIPE, SIG_IGN); /* as main does */
	EXPECT_EQ(status_with_output(ends[1]), LODGE_SIGNAL + SIGPIPE);
}
