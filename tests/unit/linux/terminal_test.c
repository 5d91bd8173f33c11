/* SPDX-License-Identifier: BSD-2-Clause */
/* The console plug on a pseudo-terminal, on pipes and on files. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "engines/translate/fault.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/loop.h"
#include "hosts/linux/terminal.h"

#define MIB UINT64_C(0x100000)

static struct vm vm;
static struct console *console;
static char received[100000];
static size_t received_length, room = sizeof(received), stop_at;
static uint16_t columns, rows;

static size_t device_input(void *device, const void *bytes, size_t length)
{
	if (length > room)
		length = room;
	if (length > sizeof(received) - received_length)
		length = sizeof(received) - received_length;
	memcpy(received + received_length, bytes, length);
	received_length += length;
	room -= length;
	if (stop_at && received_length >= stop_at)
		vm_stop(&vm, VM_TEST_EXIT, 0);
	/* A device with a small buffer: emptied at once, and it says so. */
	if (room == 0) {
		room = 16;
		console->ops->input_ready(console);
	}
	return length;
}

static void device_resized(void *device, uint16_t new_columns, uint16_t new_rows)
{
	columns = new_columns;
	rows = new_rows;
	if (columns == 99)
		vm_stop(&vm, VM_TEST_EXIT, 0);
}

static void create(void)
{
	struct vm_config config = {.vcpus = 1,
				   .memory_size = 2 * MIB,
				   .hole_base = 2 * MIB,
				   .engine = &engine_scripted};

	linux_init();
	REQUIRE(vm_create(&vm, &config) == 0);
	REQUIRE(linux_vm_attach(&vm) == 0);
}

static void destroy(void)
{
	linux_vm_detach(&vm);
	vm_destroy(&vm);
}

static unsigned commanded;

static void command_p(struct vm *of)
{
	commanded++;
}

static const struct terminal_command commands[] = {{'p', "press the power button", command_p}, {0}};

static int stdout_kept;

static void open_terminal(void)
{
	static const struct terminal_options options = {.commands = commands, .quiet = true};

	REQUIRE(terminal_open(&console, &vm, &options) == 0);
	console->input = device_input;
	console->resized = device_resized;
}

/* A pseudo-terminal becomes stdin, stdout and stderr; stdout comes back with leave_pty, for the
 * test's own report. */
static int enter_pty(struct termios *mode)
{
	struct winsize size = {.ws_col = 80, .ws_row = 24};
	int person, lodge;

	REQUIRE(openpty(&person, &lodge, NULL, NULL, &size) == 0);
	tcgetattr(lodge, mode);
	stdout_kept = dup(1);
	dup2(lodge, 0);
	dup2(lodge, 1);
	dup2(lodge, 2);
	close(lodge);
	return person;
}

static void leave_pty(void)
{
	dup2(stdout_kept, 1);
	dup2(stdout_kept, 2);
}

TEST(keys_reach_the_guest_and_commands_do_not)
{
	struct termios before, now;
	int person = enter_pty(&before);

	create();
	open_terminal();
	EXPECT(terminal_is_raw());
	tcgetattr(0, &now);
	EXPECT_EQ(now.c_lflag & (ICANON | ECHO | ISIG), 0);
	EXPECT_EQ(write(person, "a\x03\r\x1dp\x1d\x1d\x1d?z\x1dq", 12), 12);
	linux_loop_run(&vm);
	console->ops->close(console);
	EXPECT(!terminal_is_raw());
	tcgetattr(0, &now);
	leave_pty();
	EXPECT_EQ(now.c_lflag, before.c_lflag);
	EXPECT_EQ(now.c_iflag, before.c_iflag);
	EXPECT_EQ(atomic_load(&vm.stop), VM_KILLED);
	EXPECT_EQ(commanded, 1);
	EXPECT_EQ(received_length, 5);
	EXPECT_MEM(received, "a\x03\r\x1dz", 5);
	destroy();
}

TEST(the_window_s_size_is_told_at_first_and_when_it_changes)
{
	struct termios before;
	int person = enter_pty(&before);
	struct winsize size = {.ws_col = 99, .ws_row = 33};

	create();
	open_terminal();
	ioctl(person, TIOCSWINSZ, &size);
	kill(getpid(), SIGWINCH);
	linux_loop_run(&vm);
	console->ops->close(console);
	leave_pty();
	EXPECT_EQ(columns, 99);
	EXPECT_EQ(rows, 33);
	destroy();
}

TEST(a_failed_check_puts_the_terminal_back)
{
	struct termios before, now;

	enter_pty(&before);
	create();
	open_terminal();
	terminal_is_raw();
	/* Aborts in a child, which shares the terminal. */
	if (fork() == 0) {
		vm_lock(&vm);
		vm_lock(&vm);
	}
	usleep(300000);
	tcgetattr(0, &now);
	leave_pty();
	EXPECT_EQ(now.c_lflag, before.c_lflag);
}

TEST(a_signal_that_ends_us_puts_the_terminal_back)
{
	/* The first is one that an engine takes for its guest's faults. */
	static const int signals[] = {SIGSEGV, SIGABRT, SIGUSR1, SIGXCPU};
	struct termios before, now;
	int status;

	enter_pty(&before);
	create();
	open_terminal();
	fault_handlers_install();
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		tcgetattr(0, &now);
		EXPECT(now.c_lflag != before.c_lflag);
		/* A child shares the terminal. */
		if (fork() == 0)
			raise(signals[i]);
		wait(&status);
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
		tcgetattr(0, &now);
		EXPECT_EQ(now.c_lflag, before.c_lflag);
		cfmakeraw(&now);
		tcsetattr(0, TCSANOW, &now);
	}
	leave_pty();
}

TEST(piped_input_arrives_whole_through_a_small_device)
{
	int ends[2];
	char sent[40000];

	create();
	REQUIRE(pipe(ends) == 0);
	for (unsigned i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 31 + i / 253);
	EXPECT_EQ(write(ends[1], sent, sizeof(sent)), (ssize_t)sizeof(sent));
	close(ends[1]);
	dup2(ends[0], 0);
	close(ends[0]);
	open_terminal();
	EXPECT(!terminal_is_raw());
	room = 16;
	stop_at = sizeof(sent);
	linux_loop_run(&vm);
	/* Ctrl-] is a byte like any other here. */
	EXPECT_EQ(received_length, sizeof(sent));
	EXPECT_MEM(received, sent, sizeof(sent));
	console->ops->close(console);
	destroy();
}

TEST(input_may_be_missing_or_at_its_end)
{
	create();
	dup2(open("/dev/null", O_RDONLY), 0);
	open_terminal();
	kill(getpid(), SIGTERM);
	linux_loop_run(&vm);
	console->ops->close(console);
	close(0);
	REQUIRE(terminal_open(&console, &vm, &(struct terminal_options){0}) == 0);
	console->ops->close(console);
	EXPECT_EQ(received_length, 0);
	destroy();
}

static unsigned rooms;

static void output_ready(void *device)
{
	rooms++;
	vm_stop(&vm, VM_TEST_EXIT, 0);
}

static size_t put(const char *bytes, size_t length)
{
	size_t taken;

	vm_lock(&vm);
	taken = console->ops->write(console, bytes, length);
	vm_unlock(&vm);
	return taken;
}

TEST(a_file_gets_all_output_in_order)
{
	const char *name = test_path("console");
	char back[64] = "";
	int fd = open(name, O_RDWR | O_CREAT, 0600);
	struct stat status;

	create();
	REQUIRE(console_file_open(&console, &vm, name) == 0);
	for (unsigned i = 0; i < 30000; i++)
		while (put(&"lodge"[i % 5], 1) != 1)
			usleep(100);
	console->ops->close(console);
	fstat(fd, &status);
	EXPECT_EQ(status.st_size, 30000);
	EXPECT_EQ(pread(fd, back, 10, 29990), 10);
	EXPECT_STR(back, "lodgelodge");
	EXPECT_EQ(console_file_open(&console, &vm, "/nonexistent/x"), -2);
	destroy();
}

TEST(a_reader_that_is_slow_holds_nothing_up_and_loses_nothing)
{
	static char block[65536], back[400000];
	int ends[2];
	size_t sent = 0, got = 0, taken;

	create();
	REQUIRE(pipe(ends) == 0);
	stdout_kept = dup(1);
	dup2(ends[1], 1);
	close(ends[1]);
	open_terminal();
	console->output_ready = output_ready;
	do {
		taken = put(block, sizeof(block));
		sent += taken;
		usleep(10000);
	} while (taken == sizeof(block));
	/* The pipe is full, and so is the buffer; the guest goes on without waiting. */
	EXPECT_EQ(put(block, 1), 0);
	while (got < 65536)
		got += (size_t)read(ends[0], back, 65536 - got);
	linux_loop_run(&vm);
	EXPECT_EQ(rooms, 1);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	while (got < sent) {
		ssize_t length = read(ends[0], back, sizeof(back));

		if (length > 0)
			got += (size_t)length;
	}
	console->ops->close(console);
	dup2(stdout_kept, 1);
	EXPECT_EQ(got, sent);
	destroy();
}

TEST(a_reader_that_is_gone_ends_nothing)
{
	int ends[2];

	create();
	REQUIRE(pipe(ends) == 0);
	close(ends[0]);
	stdout_kept = dup(1);
	dup2(ends[1], 1);
	close(ends[1]);
	open_terminal();
	for (unsigned i = 0; i < 100; i++)
		EXPECT_EQ(put("lodge", 5), 5);
	usleep(20000);
	EXPECT_EQ(put("lodge", 5), 5);
	console->ops->close(console);
	dup2(stdout_kept, 1);
	destroy();
}
