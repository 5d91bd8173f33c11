/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket, from a client's side: a machine without processors' work on a thread of its
 * own. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "engines/scripted/scripted.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/terminal.h"
#include "manage/control.h"
#include "manage/control_client.h"
#include "manage/run_state.h"
#include "network/wire.h"

#define MIB UINT64_C(0x100000)

static struct run run;
static struct options options;
static pthread_t loop;
static char path[64];
static char received[70000];
static size_t received_length, room = sizeof(received);

static size_t device_input(void *device, const void *bytes, size_t length)
{
	if (length > room)
		length = room;
	memcpy(received + received_length, bytes, length);
	received_length += length;
	room -= length;
	return length;
}

static void *loop_main(void *unused)
{
	while (atomic_load(&run.vm.stop) == VM_RUNNING) {
		linux_loop_run(&run.vm);
		run_paused(&run);
	}
	run_stopped(&run);
	control_destroy(run.control);
	return NULL;
}

static void begin(void)
{
	const struct vm_config config = {.vcpus = 1,
					 .memory_size = 2 * MIB,
					 .hole_base = 2 * MIB,
					 .engine = &engine_scripted};
	char reason[256];
	int listener;

	linux_init();
	options_init(&options);
	run.options = &options;
	run.engine = &engine_scripted;
	REQUIRE(vm_create(&run.vm, &config) == 0);
	REQUIRE(linux_vm_attach(&run.vm) == 0);
	snprintf(path, sizeof(path), "%s", test_path("socket"));
	watch_init(&run.watch);
	run.watch.front.input = device_input;
	REQUIRE(console_none_open(&run.console, &run.vm) == 0);
	console_hub_init(&run.hub, run.console);
	watch_attach(&run.watch, &run.hub.front);
	listener = control_listen(path, reason, sizeof(reason));
	REQUIRE(listener >= 0);
	REQUIRE(control_create(&run.control, &run, listener) == 0);
	REQUIRE(pthread_create(&loop, NULL, loop_main, NULL) == 0);
}

static void end(void)
{
	vm_stop(&run.vm, VM_KILLED, 0);
	pthread_join(loop, NULL);
}

static struct control_client *client_open(void)
{
	struct control_client *client;

	REQUIRE(control_connect(&client, path) == 0);
	return client;
}

/* What the guest writes to its serial port. */
static void guest_says(const void *bytes, size_t length)
{
	vm_lock(&run.vm);
	EXPECT_EQ(run.watch.front.ops->write(&run.watch.front, bytes, length), length);
	vm_unlock(&run.vm);
}

/* Sends lines as they are, and expects an answer that has these words. */
static void expect_answer(int fd, const char *line, size_t length, const char *words)
{
	char answer[4096];
	size_t have = 0;
	ssize_t got;

	REQUIRE(!length || send(fd, line, length, MSG_NOSIGNAL) == (ssize_t)length);
	while (have < sizeof(answer) - 1 &&
	       (got = read(fd, answer + have, sizeof(answer) - 1 - have)) > 0) {
		have += (size_t)got;
		if (answer[have - 1] == '\n')
			break;
	}
	answer[have] = '\0';
	if (!strstr(answer, words))
		FAIL("%.*s: not %s but %s", (int)length, line, words, answer);
}

/* Whose socket it is, is settled when it begins to listen. */
TEST(socket_of_another_user_is_refused)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct control_client *client = NULL;
	int listener, error;

	if (geteuid()) {
		SKIP("only root can make a socket of another user");
		return;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", test_path("socket"));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	/* Of this thread alone: others run tests meanwhile. */
	REQUIRE(syscall(SYS_setresuid, -1, 65534, -1) == 0);
	error = listen(listener, 4);
	REQUIRE(syscall(SYS_setresuid, -1, 0, -1) == 0);
	EXPECT_EQ(error, 0);
	EXPECT_EQ(control_connect(&client, address.sun_path), -EPERM);
	EXPECT_EQ(listen(listener, 4), 0);
	EXPECT_EQ(control_connect(&client, address.sun_path), 0);
	if (client)
		control_disconnect(client);
	close(listener);
}

/* As that of a process that was stopped. */
TEST(a_full_queue_in_front_of_a_socket_is_waited_for_three_seconds_at_most)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct control_client *first, *second;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
	uint64_t before = host_now();

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", test_path("socket"));
	REQUIRE(!bind(listener, (struct sockaddr *)&address, sizeof(address)) &&
		!listen(listener, 0));
	REQUIRE(!control_connect(&first, address.sun_path));
	EXPECT_EQ(control_connect(&second, address.sun_path), -ETIMEDOUT);
	EXPECT(host_now() - before < 9 * UINT64_C(1000000000));
	peer = accept(listener, NULL, NULL);
	EXPECT_EQ(control_connect(&second, address.sun_path), 0);
	control_disconnect(first);
	control_disconnect(second);
	close(peer);
	close(listener);
}

TEST(what_a_process_says_has_no_controls)
{
	static const char answer[] =
		"{\"id\": 1, \"result\": {\"engine\": \"a\\u001b]0;x\\u0007\\nb\", "
		"\"list\": [{\"name\": \"\\u009b2J\\u00fc\"}]}}\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char reason[256];
	struct control_client *client;
	json_t *result = NULL;
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), peer;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", test_path("socket"));
	REQUIRE(!bind(listener, (struct sockaddr *)&address, sizeof(address)) &&
		!listen(listener, 1));
	REQUIRE(!control_connect(&client, address.sun_path));
	peer = accept(listener, NULL, NULL);
	REQUIRE(write(peer, answer, sizeof(answer) - 1) == (ssize_t)sizeof(answer) - 1);
	REQUIRE(!control_request(client, "status", NULL, &result, reason, sizeof(reason)));
	EXPECT_STR(json_string_value(json_object_get(result, "engine")), "a?]0;x??b");
	result = json_array_get(json_object_get(result, "list"), 0);
	EXPECT_STR(json_string_value(json_object_get(result, "name")), "??2J\xc3\xbc");
	control_disconnect(client);
	close(peer);
	close(listener);
}

TEST(what_makes_no_sense_is_an_error_and_the_connection_goes_on)
{
	static const struct {
		const char *line, *words;
	} cases[] = {
		{"\n", "bad-request"},
		{"{\n", "\"id\":null,\"error\":{\"code\":\"bad-request\""},
		{"[]\n", "a JSON object"},
		{"{\"id\":1}\n", "needs a command"},
		{"{\"id\":\"x\",\"command\":\"status\"}\n", "an integer"},
		{"{\"id\":1,\"command\":7}\n", "a string"},
		{"{\"id\":1,\"command\":\"status\",\"arguments\":[]}\n", "an object"},
		{"{\"id\":1,\"command\":\"status\",\"more\":1}\n", "nothing else"},
		{"{\"id\":1,\"id\":1,\"command\":\"status\"}\n", "duplicate"},
		{"{\"id\":4,\"command\":\"sttus\"}\n", "did you mean status"},
		{"{\"id\":4,\"command\":\"\\u0000\"}\n", "bad-request"},
		{"{\"id\":4,\"command\":\"\xff\"}\n", "bad-request"},
		{"{\"id\":5,\"command\":\"pause\",\"arguments\":{\"x\":1}}\n", "no argument x"},
		{"{\"id\":5,\"command\":\"port-add\"}\n", "needs the argument port"},
		{"{\"id\":5,\"command\":\"port-add\",\"arguments\":{\"port\":8}}\n", "a string"},
		{"{\"id\":5,\"command\":\"port-add\",\"arguments\":{\"port\":\"1:2\"}}\n",
		 "no network"},
		{"{\"id\":5,\"command\":\"console\",\"arguments\":{\"kept\":-1}}\n", "0 to"},
		{"{\"id\":6,\"command\":\"status\"}\n",
		 "{\"id\":6,\"result\":{\"state\":\"running\""},
	};
	struct control_client *client;
	char deep[200];

	begin();
	client = client_open();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_answer(control_client_file(client), cases[i].line, strlen(cases[i].line),
			      cases[i].words);
	expect_answer(control_client_file(client), "{\"command\":\"pa\0use\"}\n", 21,
		      "bad-request");
	memset(deep, '[', sizeof(deep));
	deep[sizeof(deep) - 1] = '\n';
	expect_answer(control_client_file(client), deep, sizeof(deep), "too deeply");
	control_disconnect(client);
	end();
}

TEST(a_line_without_end_ends_the_connection)
{
	static char line[CONTROL_LINE_MAX];
	struct control_client *client;
	char byte;

	begin();
	client = client_open();
	memset(line, ' ', sizeof(line));
	expect_answer(control_client_file(client), line, sizeof(line), "at most 65535 bytes");
	EXPECT(read(control_client_file(client), &byte, 1) <= 0);
	control_disconnect(client);
	end();
}

TEST(several_requests_at_once_are_answered_also_to_who_has_ended_sending)
{
	static const char lines[] = "{\"id\":1,\"command\":\"status\"}\n{\"id\":2,\"command\":"
				    "\"commands\"}\n{\"id\":3,\"command\":\"subscr";
	struct control_client *client;
	char answer[8192];
	size_t have = 0;
	ssize_t got;

	begin();
	client = client_open();
	REQUIRE(send(control_client_file(client), lines, strlen(lines), 0) > 0);
	shutdown(control_client_file(client), SHUT_WR);
	while ((got = read(control_client_file(client), answer + have, sizeof(answer) - 1 - have)) >
	       0)
		have += (size_t)got;
	answer[have] = '\0';
	EXPECT(strstr(answer, "{\"id\":1,\"result\"") == answer);
	EXPECT(strstr(answer, "\n{\"id\":2,\"result\""));
	EXPECT(!strstr(answer, "\"id\":3"));
	control_disconnect(client);
	end();
}

TEST(subscribers_hear_what_happens_and_how_it_ends)
{
	struct control_client *client, *other;
	const struct control_exchange pause = {.command = "pause", .timeout = 50};
	char reason[256], code[64];
	json_t *event;

	begin();
	client = client_open();
	other = client_open();
	EXPECT_EQ(control_request(client, "subscribe", NULL, NULL, reason, sizeof(reason)), 0);
	EXPECT_EQ(control_ask(other, &pause, NULL, code, sizeof(code), reason, sizeof(reason)),
		  -ETIMEDOUT);
	control_disconnect(other); /* no vcpu runs that could park: the call outlives its peer */
	other = client_open();
	/* It has never stood: there is nothing to be told. */
	EXPECT_EQ(control_request(other, "resume", NULL, NULL, reason, sizeof(reason)), 0);
	EXPECT_EQ(control_request(other, "kill", NULL, NULL, reason, sizeof(reason)), 0);
	REQUIRE(control_wait_event(client, 1000, &event, reason, sizeof(reason)) == 0);
	EXPECT_STR(json_string_value(json_object_get(event, "event")), "stopped");
	json_decref(event);
	EXPECT_EQ(control_wait_event(client, 1000, &event, reason, sizeof(reason)), -ECONNRESET);
	control_disconnect(client);
	control_disconnect(other);
	end();
}

static void console_begin(struct control_client *client, bool write, bool take, int expected)
{
	char reason[256], code[64];
	const struct control_exchange exchange = {
		.command = "console",
		.arguments = json_pack("{s:b, s:b, s:i}", "write", write, "take", take, "kept", 5),
		.timeout = 10000};

	EXPECT_EQ(control_ask(client, &exchange, NULL, code, sizeof(code), reason, sizeof(reason)),
		  expected);
	if (expected)
		EXPECT_STR(code, CONTROL_BUSY);
}

static void expect_stream(struct control_client *client, const char *words)
{
	char text[512];
	size_t have = control_client_rest(client, text, sizeof(text) - 1);

	while (text[have] = '\0', !strstr(text, words)) {
		ssize_t got =
			read(control_client_file(client), text + have, sizeof(text) - 1 - have);

		if (got <= 0)
			break;
		have += (size_t)got;
	}
	if (!strstr(text, words))
		FAIL("no %s in %s", words, text);
}

static void wait_received(size_t length)
{
	for (unsigned i = 0; i < 10000; i++) {
		bool there;

		vm_lock(&run.vm);
		there = received_length >= length;
		vm_unlock(&run.vm);
		if (there)
			return;
		usleep(1000);
	}
	FAIL("only %zu bytes have reached the device", received_length);
}

TEST(many_read_the_console_and_one_writes_until_it_is_taken_over)
{
	struct control_client *first, *second, *reader;

	begin();
	room = 3;
	guest_says("long ago login:", 15);
	first = client_open();
	second = client_open();
	reader = client_open();
	console_begin(first, true, false, 0);
	expect_stream(first, "ogin:");
	console_begin(second, true, false, -EREMOTEIO);
	console_begin(reader, false, false, 0);
	REQUIRE(write(control_client_file(first), "rootme", 6) == 6);
	wait_received(3);
	vm_lock(&run.vm);
	EXPECT_EQ(received_length, 3);
	room = 1000;
	run.watch.front.ops->input_ready(&run.watch.front);
	vm_unlock(&run.vm);
	wait_received(6);
	EXPECT_MEM(received, "rootme", 6);
	console_begin(second, true, true, 0);
	expect_stream(first, "taken the input over");
	REQUIRE(write(control_client_file(first), "XXXX", 4) == 4);
	REQUIRE(write(control_client_file(reader), "YYYY", 4) == 4);
	usleep(20000);
	REQUIRE(write(control_client_file(second), "ls", 2) == 2);
	wait_received(8);
	EXPECT_MEM(received, "rootmels", 8);
	guest_says("$ ", 2);
	expect_stream(first, "$ ");
	expect_stream(second, "$ ");
	expect_stream(reader, "$ ");
	control_disconnect(second);
	control_disconnect(first);
	control_disconnect(reader);
	end();
}

TEST(a_slow_reader_loses_output_and_is_told_and_nobody_waits)
{
	static char much[100000];
	struct control_client *client;
	char text[65536];
	ssize_t got;
	bool told = false;

	begin();
	client = client_open();
	console_begin(client, false, false, 0);
	memset(much, 'x', sizeof(much));
	for (unsigned i = 0; i < 20; i++)
		guest_says(much, sizeof(much));
	usleep(50000);
	for (unsigned i = 0; i < 2000 && !told; i++) {
		got = recv(control_client_file(client), text, sizeof(text) - 1, MSG_DONTWAIT);
		if (got > 0) {
			text[got] = '\0';
			told = strstr(text, "bytes are lost here");
		} else {
			guest_says("y", 1);
			usleep(1000);
		}
	}
	EXPECT(told);
	control_disconnect(client);
	end();
}

TEST(connections_come_and_go_beyond_every_limit)
{
	struct control_client *clients[80];
	char reason[256];

	begin();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 80; i++)
			clients[i] = client_open();
		for (unsigned i = 0; i < 80; i++)
			control_disconnect(clients[i]);
	}
	clients[0] = client_open();
	EXPECT_EQ(control_request(clients[0], "status", NULL, NULL, reason, sizeof(reason)), 0);
	control_disconnect(clients[0]);
	end();
}

TEST(who_has_subscribed_and_leaves_is_gone)
{
	struct control_client *client;
	char reason[256];

	begin();
	for (unsigned i = 0; i < 70; i++) {
		client = client_open();
		EXPECT_EQ(control_request(client, "subscribe", NULL, NULL, reason, sizeof(reason)),
			  0);
		control_disconnect(client);
	}
	client = client_open();
	EXPECT_EQ(control_request(client, "status", NULL, NULL, reason, sizeof(reason)), 0);
	control_disconnect(client);
	end();
}

TEST(the_console_of_who_has_left_is_free)
{
	struct control_client *client;

	begin();
	for (unsigned i = 0; i < 70; i++) {
		client = client_open();
		console_begin(client, i % 2, false, 0);
		control_disconnect(client);
	}
	client = client_open();
	console_begin(client, true, false, 0);
	control_disconnect(client);
	end();
}

/* The guest takes nothing more, so nothing more is read from it either. */
TEST(the_console_of_who_has_left_before_the_guest_took_all_is_free)
{
	struct control_client *first, *second;

	begin();
	room = 3;
	first = client_open();
	second = client_open();
	console_begin(first, true, false, 0);
	REQUIRE(write(control_client_file(first), "rootme", 6) == 6);
	wait_received(3);
	control_disconnect(first);
	console_begin(second, true, false, 0);
	vm_lock(&run.vm);
	room = 1000;
	run.watch.front.ops->input_ready(&run.watch.front);
	vm_unlock(&run.vm);
	REQUIRE(write(control_client_file(second), "ls", 2) == 2);
	wait_received(5);
	EXPECT_MEM(received, "rools", 5);
	control_disconnect(second);
	end();
}

TEST(a_subscriber_who_has_ended_sending_hears_on)
{
	struct control_client *client, *other;
	char reason[256];
	json_t *event;

	begin();
	client = client_open();
	other = client_open();
	EXPECT_EQ(control_request(client, "subscribe", NULL, NULL, reason, sizeof(reason)), 0);
	shutdown(control_client_file(client), SHUT_WR);
	EXPECT_EQ(control_request(other, "status", NULL, NULL, reason, sizeof(reason)), 0);
	EXPECT_EQ(control_request(other, "kill", NULL, NULL, reason, sizeof(reason)), 0);
	REQUIRE(control_wait_event(client, 1000, &event, reason, sizeof(reason)) == 0);
	EXPECT_STR(json_string_value(json_object_get(event, "event")), "stopped");
	json_decref(event);
	control_disconnect(client);
	control_disconnect(other);
	end();
}

static void send_lines(struct control_client *client, const char *line, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		REQUIRE(send(control_client_file(client), line, strlen(line), MSG_NOSIGNAL) ==
			(ssize_t)strlen(line));
}

/* Its output waits, and the pauses; then it is gone, in front of what it asked for last. */
TEST(what_waits_for_its_turn_when_its_sender_goes_is_not_begun)
{
	struct control_client *client, *other;
	char reason[256];

	begin();
	client = client_open();
	other = client_open();
	send_lines(client, "{\"command\":\"commands\"}\n", 100);
	send_lines(client, "{\"command\":\"pause\"}\n", 16);
	send_lines(client, "{\"command\":\"console\"}\n", 1);
	control_disconnect(client);
	EXPECT_EQ(control_request(other, "status", NULL, NULL, reason, sizeof(reason)), 0);
	EXPECT_EQ(control_request(other, "resume", NULL, NULL, reason, sizeof(reason)), 0);
	EXPECT_EQ(control_request(other, "status", NULL, NULL, reason, sizeof(reason)), 0);
	guest_says("to nobody", 9);
	console_begin(other, true, false, 0);
	control_disconnect(other);
	end();
}

/* A network of machines; its switch's end of what ports are asked for over. */
static int switch_begin(void)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, 1};
	struct wire_sockets sockets;
	int frames[2], ports[2];

	begin();
	REQUIRE(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, frames));
	REQUIRE(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ports));
	sockets = (struct wire_sockets){frames[0], ports[0]};
	vm_lock(&run.vm);
	options.net = NET_LAN;
	REQUIRE(!wire_open(&run.vm, &sockets, mac, &run.netport));
	vm_unlock(&run.vm);
	return ports[1];
}

static void switch_end(void)
{
	end();
	run.netport->ops->close(run.netport);
}

static void expect_question(int ports, const char *port, bool remove)
{
	struct wire_question question;

	REQUIRE(recv(ports, &question, sizeof(question), 0) == (ssize_t)sizeof(question));
	EXPECT_STR(question.port, port);
	EXPECT_EQ(question.remove, remove);
}

static void reply(int ports, uint32_t error, const char *reason)
{
	struct wire_reply reply = {.error = error};

	snprintf(reply.reason, sizeof(reply.reason), "%s", reason);
	REQUIRE(send(ports, &reply, sizeof(reply), MSG_NOSIGNAL) == (ssize_t)sizeof(reply));
}

#define PORT_ADD    "{\"id\":1,\"command\":\"port-add\",\"arguments\":{\"port\":\"8080:80\"}}\n"
#define PORT_REMOVE "{\"id\":2,\"command\":\"port-remove\",\"arguments\":{\"port\":\"8080:80\"}}\n"
#define PORT_LIST   "{\"id\":3,\"command\":\"port-list\"}\n"

/* Sent in one piece, so that nothing comes between them but the wait for the switch, if somebody
 * waited there. */
TEST(a_switch_that_does_not_answer_holds_up_nobody_else)
{
	static const char lines[] = PORT_ADD PORT_LIST;
	struct control_client *client;
	int ports = switch_begin(), fd;

	client = client_open();
	fd = control_client_file(client);
	expect_answer(fd, lines, strlen(lines), "{\"id\":3,\"result\":{\"ports\":[]}}\n");
	expect_question(ports, "127.0.0.1:8080:80", false);
	close(ports);
	expect_answer(fd, "", 0, "{\"id\":1,\"error\":{\"code\":\"host\"");
	control_disconnect(client);
	switch_end();
}

TEST(ports_that_a_switch_forwards_change_one_after_another)
{
	static const char lines[] = PORT_ADD PORT_REMOVE PORT_ADD;
	struct control_client *client;
	int ports = switch_begin(), fd;

	client = client_open();
	fd = control_client_file(client);
	REQUIRE(send(fd, lines, strlen(lines), MSG_NOSIGNAL) == (ssize_t)strlen(lines));
	expect_question(ports, "127.0.0.1:8080:80", false);
	reply(ports, 0, "");
	expect_answer(fd, "", 0, "{\"id\":1,\"result\"");
	expect_question(ports, "127.0.0.1:8080:80", true);
	reply(ports, 0, "");
	expect_answer(fd, "", 0, "{\"id\":2,\"result\"");
	expect_question(ports, "127.0.0.1:8080:80", false);
	reply(ports, EADDRINUSE, "it is in use");
	expect_answer(fd, "", 0, "it is in use");
	expect_answer(fd, PORT_LIST, strlen(PORT_LIST), "{\"ports\":[]}");
	control_disconnect(client);
	switch_end();
	close(ports);
}

TEST(a_machine_ends_while_its_switch_does_not_answer)
{
	static const char lines[] = PORT_ADD PORT_ADD PORT_ADD PORT_ADD PORT_LIST;
	struct control_client *client;
	int ports = switch_begin(), fd;

	client = client_open();
	fd = control_client_file(client);
	expect_answer(fd, lines, strlen(lines), "{\"id\":3,\"result\"");
	switch_end();
	expect_stream(client, "the machine has stopped");
	control_disconnect(client);
	close(ports);
}

static double processor_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* As a guest may, whose connections are files of the machine's process. */
TEST(without_files_one_is_served_and_others_wait_quietly)
{
	const struct control_exchange status = {.command = "status", .timeout = 300};
	struct control_client *first, *second;
	struct rlimit limit;
	char reason[256], code[64];
	double before;
	int last = -1, file;

	begin();
	REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 64;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while ((file = dup(STDIN_FILENO)) >= 0)
		last = file;
	REQUIRE(errno == EMFILE && last > 0);
	close(last); /* for the client's end */
	for (unsigned i = 0; i < 3; i++) {
		first = client_open();
		EXPECT_EQ(control_request(first, "status", NULL, NULL, reason, sizeof(reason)), 0);
		if (i < 2)
			control_disconnect(first);
	}
	close(last - 1);
	second = client_open();
	before = processor_seconds();
	EXPECT_EQ(control_ask(second, &status, NULL, code, sizeof(code), reason, sizeof(reason)),
		  -ETIMEDOUT);
	EXPECT(processor_seconds() - before < 0.1);
	control_disconnect(second);
	limit.rlim_cur = 128;
	REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	second = client_open();
	EXPECT_EQ(control_request(second, "status", NULL, NULL, reason, sizeof(reason)), 0);
	control_disconnect(first);
	control_disconnect(second);
	end();
}

TEST(the_document_has_every_command)
{
	FILE *page = fopen("docs/control-protocol.md", "re");
	static char text[65536];
	char row[64];
	size_t length;

	if (!page)
		SKIP("docs/control-protocol.md isn't in the working directory's tree");
	length = fread(text, 1, sizeof(text) - 1, page);
	text[length] = '\0';
	fclose(page);
	for (const struct control_command *one = control_commands; one->name; one++) {
		snprintf(row, sizeof(row), "\n| `%s` | ", one->name);
		if (!strstr(text, row))
			FAIL("docs/control-protocol.md says nothing about %s", one->name);
		for (const struct control_parameter *it = one->parameters; it->name; it++) {
			snprintf(row, sizeof(row), "`%s`", it->name);
			if (!strstr(text, row))
				FAIL("docs/control-protocol.md says nothing about %s of %s",
				     it->name, one->name);
		}
	}
}
