/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel below the manager, and the machines beside it, as a test plays them: modules,
 * processes with their channels, and the serial line. For one test file: it defines what
 * manager/system.h declares.
 */
#ifndef TESTS_UNIT_MANAGER_FIXTURE_H
#define TESTS_UNIT_MANAGER_FIXTURE_H

#include "test.h"

#include "core/vm.h"
#include "hosts/fake/fake.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/string.h"
#include "manager/manager.h"
#include "manager/system.h"

#define FIXTURE_PROCESSES 6
#define FIXTURE_SECOND	  UINT64_C(1000000000)
#define FIXTURE_SOON	  UINT64_C(10000000) /* ns: what the manager puts off by less is waited for */

struct fixture_process {
	bool used;
	struct metal_process_config config;
	struct metal_process_set set;
	struct metal_process_info info;
	unsigned notified;
	_Alignas(4096) uint8_t channel[METAL_CHANNEL_SIZE];
};

static struct {
	struct metal_start start;
	struct metal_module modules[8];
	unsigned module_count;
	struct fixture_process processes[FIXTURE_PROCESSES]; /* the first has id 1 */
	int create_error;
	char output[1 << 18]; /* what has come out of the serial line */
	size_t output_length;
	size_t output_room; /* bytes that the serial line still takes */
	char input[65536];
	size_t input_read, input_written;
	const char *log;
	unsigned ends; /* calls that would have ended the system */
	enum metal_system end;
	uint64_t end_code;
} kernel;

static struct manager manager;

struct metal_start *system_start(void)
{
	return &kernel.start;
}

static inline struct fixture_process *fixture_process(uint64_t id)
{
	if (id < 1 || id > FIXTURE_PROCESSES || !kernel.processes[id - 1].used)
		return NULL;
	return &kernel.processes[id - 1];
}

/* The process of a machine; the test ends if it has none. */
static inline struct fixture_process *fixture_of(const char *name)
{
	for (unsigned i = 0; i < FIXTURE_PROCESSES; i++)
		if (kernel.processes[i].used && string_equal(kernel.processes[i].config.name, name))
			return &kernel.processes[i];
	FAIL("%s has no process", name);
	test_stop();
}

static inline struct channel *fixture_channel(const char *name)
{
	return (struct channel *)fixture_of(name)->channel;
}

static inline int64_t fixture_create(struct metal_process_config *config)
{
	if (kernel.create_error)
		return kernel.create_error;
	for (unsigned i = 0; i < FIXTURE_PROCESSES; i++) {
		struct fixture_process *process = &kernel.processes[i];

		if (process->used)
			continue;
		bytes_fill(process, 0, sizeof(*process));
		process->used = true;
		config->channel = (uintptr_t)process->channel;
		process->config = *config;
		process->set = config->set;
		process->info.guest_memory = config->guest_memory;
		return i + 1;
	}
	return -ENOMEM;
}

static inline int64_t fixture_console(char *bytes, uint64_t length, bool write)
{
	if (write) {
		if (length > kernel.output_room)
			length = kernel.output_room;
		if (length > sizeof(kernel.output) - 1 - kernel.output_length)
			length = sizeof(kernel.output) - 1 - kernel.output_length;
		bytes_copy(kernel.output + kernel.output_length, bytes, length);
		kernel.output_length += length;
		kernel.output_room -= length;
	} else {
		if (length > kernel.input_written - kernel.input_read)
			length = kernel.input_written - kernel.input_read;
		bytes_copy(bytes, kernel.input + kernel.input_read, length);
		kernel.input_read += length;
	}
	return (int64_t)length;
}

static inline int64_t fixture_system(uint64_t how, uint64_t pointer, uint64_t size)
{
	if (how == METAL_SYSTEM_LOG) {
		size_t length = string_length(kernel.log);

		REQUIRE(length <= size);
		bytes_copy((void *)(uintptr_t)pointer, kernel.log, length);
		return (int64_t)length;
	}
	kernel.ends++;
	kernel.end = (enum metal_system)how;
	kernel.end_code = pointer;
	return -ENODEV;
}

int64_t system_call(enum metal_call number, uint64_t a, uint64_t b, uint64_t c)
{
	struct fixture_process *process = fixture_process(a);

	switch (number) {
	case METAL_MODULE:
		if (a >= kernel.module_count)
			return -ENOENT;
		*(struct metal_module *)(uintptr_t)b = kernel.modules[a];
		return 0;
	case METAL_PROCESS_CREATE:
		return fixture_create((struct metal_process_config *)(uintptr_t)a);
	case METAL_PROCESS_SET:
		REQUIRE(process);
		process->set = *(const struct metal_process_set *)(uintptr_t)b;
		return 0;
	case METAL_PROCESS_KILL:
		REQUIRE(process);
		process->used = false;
		return 0;
	case METAL_PROCESS_INFO:
		if (a == 0)
			((struct metal_process_info *)(uintptr_t)b)->memory_free = 100 << 20;
		else if (process)
			*(struct metal_process_info *)(uintptr_t)b = process->info;
		return a == 0 || process ? 0 : -EINVAL;
	case METAL_NOTIFY:
		REQUIRE(process);
		process->notified++;
		return 0;
	case METAL_CONSOLE:
		return fixture_console((char *)(uintptr_t)a, b, c);
	case METAL_SYSTEM:
		return fixture_system(a, b, c);
	case METAL_WAIT:
		EXPECT(kernel.start.events == 0);
		if (c != UINT64_MAX && c > host_now())
			fake_advance(c - host_now());
		return 0;
	default:
		FAIL("system call %u", number);
		return -ENOSYS;
	}
}

static inline void fixture_module(const char *name, const char *text)
{
	struct metal_module *module = &kernel.modules[kernel.module_count++];

	string_copy(module->name, sizeof(module->name), name);
	module->address = (uintptr_t)text;
	module->size = string_length(text);
}

/* Turns, until there is nothing to do soon. */
static inline void fixture_turn(void)
{
	for (unsigned i = 0;; i++) {
		uint64_t deadline = manager_turn(&manager);

		REQUIRE(i < 1000);
		if (deadline > host_now() + FIXTURE_SOON)
			return;
		if (deadline > host_now())
			fake_advance(deadline - host_now());
	}
}

/* The manager with this machine file, and modules k, i and d. */
static inline void fixture_begin(const char *file)
{
	kernel.start.processors = 2;
	kernel.start.memory = UINT64_C(1) << 30;
	kernel.output_room = SIZE_MAX;
	kernel.log = "kernel: hello\n";
	if (file)
		fixture_module("machines", file);
	fixture_module("k", "");
	fixture_module("i", "");
	fixture_module("d", "");
	manager_begin(&manager);
	fixture_turn();
}

static inline void fixture_type(const char *keys)
{
	for (; *keys; keys++)
		kernel.input[kernel.input_written++] = *keys;
	atomic_fetch_or(&kernel.start.events, METAL_EVENT_INPUT);
	fixture_turn();
}

static inline void fixture_forget(void)
{
	kernel.output_length = 0;
}

/* Whether the serial line has shown this since fixture_forget. */
static inline bool fixture_shown(const char *text)
{
	kernel.output[kernel.output_length] = '\0';
	for (const char *at = kernel.output; *at; at++)
		if (string_starts(at, text))
			return true;
	return false;
}

#define EXPECT_SHOWN(text)                                                                         \
	do {                                                                                       \
		if (!fixture_shown(text))                                                          \
			FAIL("not shown: %s, but: %s", text, kernel.output);                       \
	} while (0)
#define EXPECT_NOT_SHOWN(text)                                                                     \
	do {                                                                                       \
		if (fixture_shown(text))                                                           \
			FAIL("shown: %s: %s", text, kernel.output);                                \
	} while (0)

/* A command, and what it shows. */
static inline void fixture_command(const char *line)
{
	fixture_forget();
	fixture_type(line);
	fixture_type("\r");
}

/* The guest writes to its console. */
static inline void fixture_write(const char *name, const char *text)
{
	size_t length = string_length(text);

	EXPECT_EQ(channel_put(fixture_channel(name), CHANNEL_OUTPUT, text, length), length);
	atomic_fetch_or(&kernel.start.events, METAL_EVENT_NOTIFY);
	fixture_turn();
}

/* What has been typed into the guest's console. */
static inline const char *fixture_typed(const char *name)
{
	static char bytes[CHANNEL_INPUT_SIZE + 1];

	bytes[channel_take(fixture_channel(name), CHANNEL_INPUT, bytes, CHANNEL_INPUT_SIZE)] = '\0';
	return bytes;
}

static inline void fixture_state(const char *name, enum channel_state state)
{
	atomic_store(&fixture_channel(name)->state, state);
	atomic_fetch_or(&kernel.start.events, METAL_EVENT_NOTIFY);
	fixture_turn();
}

/* The machine's process ends, as the kernel tells. */
static inline void fixture_process_ends(const char *name, enum metal_process_state state,
					uint64_t code)
{
	struct fixture_process *process = fixture_of(name);

	process->info.state = state;
	process->info.code = code;
	atomic_fetch_or(&kernel.start.events, METAL_EVENT_CHILD);
	fixture_turn();
}

/* The guest ends in an ordered way. */
static inline void fixture_ends(const char *name, uint32_t why, int32_t code, const char *reason)
{
	struct channel *channel = fixture_channel(name);

	channel->why = why;
	channel->code = code;
	string_copy(channel->reason, sizeof(channel->reason), reason);
	atomic_store(&channel->state, CHANNEL_ENDED);
	fixture_process_ends(name, METAL_PROCESS_EXITED, 0);
}

#endif
