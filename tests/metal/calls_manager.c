/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes the manager's place to test processes: starts machines whose program is fuzz_calls.c, looks
 * how they end, and whether all that they had comes back. Prints a line for each test, `ok NAME` or
 * `FAILED NAME: why`, and ends QEMU (isa-debug-exit) with 0 if none failed.
 *
 * The kernel's command line can't be seen from here; a boot module named `calls` has options as its
 * arguments: seed=NUMBER, count=NUMBER (random calls of each of the processes), rounds=NUMBER (of
 * being killed), tests=NUMBER (a bit for each group: refusals and attacks, kills, shares, random
 * calls).
 */
#include <stdbool.h>
#include <stdint.h>

#include "hosts/metal/channel.h"
#include "kernel/abi.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "tests/metal/calls_shared.h"

#define MS	   UINT64_C(1000000)
#define SECOND	   (1000 * MS)
#define MEMORY_MAX (UINT64_C(4) << 20)
#define GUEST_SIZE (UINT64_C(4) << 20)
#define PAGE_FAULT 14
#define GENERAL	   13
#define UNDEFINED  6
#define NO_FPU	   7
#define ALIGNMENT  17
#define ANY	   0x7fff
#define LAX	   0x8000 /* QEMU does not see what true processors do */

int64_t metal_call(enum metal_call number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
		   uint64_t e);
int main(void);
_Noreturn void metal_exit(int code);
_Noreturn void check_failed(const char *file, int line, const char *condition);

#define CALL(...) CALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, unused...)                                                    \
	metal_call(number, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d),             \
		   (uint64_t)(e))

static struct metal_start *const start = (struct metal_start *)METAL_START_ADDRESS;
static unsigned failures, passed;
static uint64_t random_state;

static uint64_t now(void)
{
	return clock_by(start);
}

static void print(const char *text)
{
	uint64_t length = string_length(text);

	while (length) {
		int64_t done = CALL(METAL_CONSOLE, text, length, 1);

		text += done;
		length -= (uint64_t)done;
		if (length) {
			uint32_t events = start->events;

			if (!(events & METAL_EVENT_OUTPUT))
				CALL(METAL_WAIT, &start->events, events, now() + 10 * MS);
			start->events &= ~(uint32_t)METAL_EVENT_OUTPUT;
		}
	}
}

#define SAY(...)                                                                                   \
	do {                                                                                       \
		char line_[256];                                                                   \
		format(line_, sizeof(line_), __VA_ARGS__);                                         \
		print(line_);                                                                      \
	} while (0)

_Noreturn void metal_exit(int code)
{
	for (;;)
		CALL(METAL_EXIT, code);
}

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
	metal_exit(1);
}

static void fail(const char *name, const char *why)
{
	char log[1200];
	int64_t length = CALL(METAL_SYSTEM, METAL_SYSTEM_LOG, log, sizeof(log) - 1);

	failures++;
	log[length > 0 ? length : 0] = 0;
	SAY("FAILED %s: %s\n", name, why);
	print("the kernel's log:\n");
	print(log);
	print("\n");
}

static void pass(const char *name)
{
	passed++;
	SAY("ok %s\n", name);
}

static void pause_for(uint64_t time)
{
	static uint32_t word;
	uint64_t end = now() + time;

	while (now() < end)
		CALL(METAL_WAIT, &word, 0, end);
}

static uint64_t memory_free(void)
{
	struct metal_process_info info;

	return CALL(METAL_PROCESS_INFO, 0, &info) ? 0 : info.memory_free;
}

static struct metal_process_config config_of(const char *name)
{
	struct metal_process_config config = {
		.guest_memory = GUEST_SIZE,
		.memory_max = MEMORY_MAX,
		.switch_number = 1,
		.vcpus = 4,
		.set = {.weight = 100, .processors = UINT64_MAX},
	};
	static uint8_t serial;

	string_copy(config.name, sizeof(config.name), name);
	bytes_copy(config.mac, (const uint8_t[]){2, 0, 0, 0, 1, ++serial}, 6);
	return config;
}

/* A machine that does what `append` says; it runs. Its id. */
static int64_t begin(struct metal_process_config *config, const char *append)
{
	int64_t id = CALL(METAL_PROCESS_CREATE, config);
	struct channel *channel = (struct channel *)config->channel;

	if (id < 0)
		return id;
	string_copy(channel->config.append, sizeof(channel->config.append), append);
	bytes_copy(channel->mac, config->mac, 6);
	config->set.start = 1;
	CALL(METAL_PROCESS_SET, id, &config->set);
	return id;
}

static int64_t begin_simple(const char *append)
{
	struct metal_process_config config = config_of("machine");

	return begin(&config, append);
}

/* Until it has ended, or the time is over. */
static bool wait_end(int64_t id, struct metal_process_info *info, uint64_t limit)
{
	uint64_t end = now() + limit;

	for (;;) {
		uint32_t events = start->events & ~(uint32_t)METAL_EVENT_CHILD;

		start->events &= ~(uint32_t)METAL_EVENT_CHILD;
		if (CALL(METAL_PROCESS_INFO, id, info))
			return false;
		if (info->state > METAL_PROCESS_RUNNING)
			return true;
		if (now() >= end)
			return false;
		CALL(METAL_WAIT, &start->events, events, now() + 100 * MS);
	}
}

static const char *const state_names[] = {"new", "running", "exited", "crashed", "killed"};

/* A process that ends by itself, in this way. lax: QEMU's processor does not see what true ones do.
 */
static void expect_end(const char *what, uint32_t state, uint64_t code, bool lax)
{
	uint64_t before = memory_free();
	struct metal_process_info info;
	char append[64], why[128];
	int64_t id;

	format(append, sizeof(append), "do=%s", what);
	id = begin_simple(append);
	if (id < 0) {
		format(why, sizeof(why), "no process: error %d", (int)-id);
		fail(what, why);
		return;
	}
	if (!wait_end(id, &info, 20 * SECOND)) {
		fail(what, "does not end");
		CALL(METAL_PROCESS_KILL, id);
		return;
	}
	CALL(METAL_PROCESS_KILL, id);
	if (lax && info.state == METAL_PROCESS_EXITED) {
		SAY("skipped %s: this processor lets it pass\n", what);
		return;
	}
	if (info.state != state || (code != ANY && info.code != code)) {
		format(why, sizeof(why), "%s with %llu at %#llx", state_names[info.state],
		       (unsigned long long)info.code, (unsigned long long)info.rip);
		fail(what, why);
		return;
	}
	if (memory_free() + 0x40000 < before) {
		format(why, sizeof(why), "%lld bytes did not come back",
		       (long long)(before - memory_free()));
		fail(what, why);
		return;
	}
	pass(what);
}

static const struct {
	const char *name;
	uint16_t vector;
} crashes[] = {
	{"read_kernel", PAGE_FAULT},
	{"read_direct", PAGE_FAULT},
	{"write_kernel", PAGE_FAULT},
	{"read_hole", GENERAL},
	{"read_null", PAGE_FAULT},
	{"jump_kernel", PAGE_FAULT},
	{"jump_hole", GENERAL},
	{"jump_data", PAGE_FAULT},
	{"jump_map", PAGE_FAULT},
	{"jump_stack", PAGE_FAULT},
	{"jump_guest", PAGE_FAULT},
	{"write_text", PAGE_FAULT},
	{"write_text_by_call", PAGE_FAULT},
	{"thread_in_kernel", ANY},
	{"stack_in_hole", ANY},
	{"stack_in_kernel", PAGE_FAULT},
	{"flags_and_call", 1},
	{"use_memory", PAGE_FAULT},
	{"use_tables", PAGE_FAULT},
	{"use_halt", GENERAL},
	{"use_cli", GENERAL},
	{"use_sti", GENERAL},
	{"use_cr0", GENERAL},
	{"use_cr3", GENERAL},
	{"use_cr8", GENERAL},
	{"use_dr7", GENERAL},
	{"use_dr0", GENERAL},
	{"use_clts", GENERAL},
	{"use_rdmsr", GENERAL},
	{"use_wrmsr", GENERAL},
	{"use_in", GENERAL},
	{"use_out", GENERAL},
	{"use_out16", GENERAL},
	{"use_lgdt", GENERAL},
	{"use_lidt", GENERAL},
	{"use_ltr", GENERAL},
	{"use_lldt", GENERAL},
	{"use_invlpg", GENERAL},
	{"use_invd", GENERAL},
	{"use_wbinvd", GENERAL},
	{"use_swapgs", GENERAL},
	{"use_sysret", GENERAL},
	{"use_iret", ANY},
	{"use_far_jump", ANY},
	{"use_int_timer", GENERAL},
	{"use_int_kick", GENERAL},
	{"use_int_80", GENERAL},
	{"use_int_page_fault", GENERAL},
	{"use_int_nmi", GENERAL},
	{"use_int3", ANY},
	{"use_icebp", ANY},
	{"use_divide", 0},
	{"use_undefined", UNDEFINED},
	{"use_vmrun", ANY},
	{"use_vmload", ANY},
	{"use_vmsave", ANY},
	{"use_stgi", ANY},
	{"use_clgi", ANY},
	{"use_vmmcall", UNDEFINED},
	{"use_invlpga", ANY},
	{"use_xsetbv", ANY},
	{"use_x87", NO_FPU},
	{"use_sse", NO_FPU},
	{"use_sse_read", NO_FPU},
	{"use_fxsave", NO_FPU},
	{"use_xsave", ANY | LAX},
	{"use_emms", NO_FPU | LAX},
	{"use_load_ss", ANY},
	{"use_load_ds", ANY},
	{"use_wrgsbase", UNDEFINED},
	{"use_rdpmc", GENERAL},
	{"use_sgdt", ANY | LAX},
	{"use_alignment", ALIGNMENT | LAX},
};

static void kill_one(const char *what, const char *append, uint64_t after)
{
	uint64_t before = memory_free(), began;
	struct metal_process_config config = config_of("victim");
	int64_t id = begin(&config, append), result;
	char why[128];

	pause_for(after);
	began = now();
	result = CALL(METAL_PROCESS_KILL, id);
	began = now() - began;
	if (id < 0 || result)
		format(why, sizeof(why), "errors %d, %d", (int)id, (int)result);
	else if (CALL(METAL_PROCESS_INFO, id, why) != -ENOENT)
		format(why, sizeof(why), "its id is still there");
	else if (began > 2 * SECOND)
		format(why, sizeof(why), "took %llu ms", (unsigned long long)(began / MS));
	else if (memory_free() + 0x40000 < before)
		format(why, sizeof(why), "%lld bytes did not come back",
		       (long long)(before - memory_free()));
	else
		why[0] = 0;
	if (why[0])
		fail(what, why);
	else
		pass(what);
}

/* Killed at any moment of random calls, again and again. */
static void kill_storm(unsigned rounds)
{
	uint64_t before = memory_free();
	unsigned failures_before = failures;

	for (unsigned i = 0; i < rounds; i++) {
		struct metal_process_config config = config_of("victim");
		char append[96];
		int64_t id;

		format(append, sizeof(append), "do=calls seed=%llu count=1000000000 threads=4",
		       (unsigned long long)(random_state += 77));
		id = begin(&config, append);
		if (id < 0) {
			fail("kill_storm", "no process");
			return;
		}
		pause_for((random_state * 2654435761u >> 8) % 100 * MS);
		if (CALL(METAL_PROCESS_KILL, id))
			fail("kill_storm", "not killed");
	}
	if (memory_free() + 0x80000 < before)
		fail("kill_storm", "memory did not come back");
	if (failures == failures_before)
		pass("kill_storm");
}

/* Several at once, each with random calls: all end by themselves, and with code 0. */
static void random_calls(unsigned machines, uint64_t count, uint64_t seed)
{
	uint64_t before = memory_free(), began = now();
	struct metal_process_info info;
	int64_t id[METAL_MACHINES_MAX];
	char why[160];
	bool good = true;

	for (unsigned i = 0; i < machines; i++) {
		struct metal_process_config config = config_of("fuzz");
		char append[128];

		format(append, sizeof(append), "do=calls seed=%llu count=%llu threads=%u",
		       (unsigned long long)(seed + i), (unsigned long long)count, 1 + i % 5);
		id[i] = begin(&config, append);
	}
	for (unsigned i = 0; i < machines; i++) {
		if (id[i] < 0 || !wait_end(id[i], &info, 3600 * SECOND)) {
			fail("random_calls", "does not end");
			good = false;
			continue;
		}
		CALL(METAL_PROCESS_KILL, id[i]);
		/* A process may also harm itself: by a page that one of its threads has unmapped.
		 */
		if (info.state != METAL_PROCESS_EXITED || info.code) {
			format(why, sizeof(why), "seed %llu: %s with %llu at %#llx, address %#llx",
			       (unsigned long long)(seed + i), state_names[info.state],
			       (unsigned long long)info.code, (unsigned long long)info.rip,
			       (unsigned long long)info.address);
			fail("random_calls", why);
			good = false;
		}
	}
	if (memory_free() + 0x80000 < before) {
		fail("random_calls", "memory did not come back");
		good = false;
	}
	SAY("%u processes, %llu calls each, seeds from %llu on: %llu ms\n", machines,
	    (unsigned long long)count, (unsigned long long)seed,
	    (unsigned long long)((now() - began) / MS));
	if (good)
		pass("random_calls");
}

static uint64_t time_of(int64_t id)
{
	struct metal_process_info info;

	return CALL(METAL_PROCESS_INFO, id, &info) ? 0 : info.time;
}

struct spinner {
	const char *does;
	uint32_t weight, cap;
	uint64_t processors;
	unsigned expected; /* thousandths of the time */
};

/* What each gets in the next seconds; whether all is within 2% of what it should be. */
static bool measure(const struct spinner *spinners, const int64_t *id, unsigned count)
{
	uint64_t before[8], began = now(), time, used, wanted;
	bool good = true;

	for (unsigned i = 0; i < count; i++)
		before[i] = time_of(id[i]);
	pause_for(5 * SECOND);
	time = now() - began;
	for (unsigned i = 0; i < count; i++) {
		used = time_of(id[i]) - before[i];
		wanted = time / 1000 * spinners[i].expected;
		SAY("  weight %u cap %u: %llu.%llu%% (%u.%u%%)\n", spinners[i].weight,
		    spinners[i].cap, (unsigned long long)(used * 100 / time),
		    (unsigned long long)(used * 1000 / time % 10), spinners[i].expected / 10,
		    spinners[i].expected % 10);
		if (used > wanted + wanted / 50 + MS || used + wanted / 50 + MS < wanted)
			good = false;
	}
	return good;
}

/* Busy processes side by side. An emulator's host may stop a processor in the middle of a slice for
 * longer than all that is measured: so there are three tries. */
static void expect_shares(const char *name, const struct spinner *spinners, unsigned count)
{
	int64_t id[8];
	bool good = false;

	for (unsigned i = 0; i < count; i++) {
		struct metal_process_config config = config_of("spinner");

		config.set.weight = spinners[i].weight;
		config.set.cap = spinners[i].cap;
		config.set.processors = spinners[i].processors;
		id[i] = begin(&config, spinners[i].does);
	}
	pause_for(300 * MS);
	for (unsigned tries = 0; tries < 3 && !good; tries++)
		good = measure(spinners, id, count);
	for (unsigned i = 0; i < count; i++)
		CALL(METAL_PROCESS_KILL, id[i]);
	if (good)
		pass(name);
	else
		fail(name, "not within 2% in three times five seconds");
}

static void paused(void)
{
	struct metal_process_config config = config_of("paused");
	int64_t id = begin(&config, "do=spin_in_two");
	uint64_t first, second;
	unsigned tries = 0;

	pause_for(50 * MS);
	config.set.paused = 1;
	CALL(METAL_PROCESS_SET, id, &config.set);
	/* The emulator may be slow to stop it. */
	do {
		first = time_of(id);
		pause_for(200 * MS);
		second = time_of(id);
	} while (second != first && ++tries < 10);
	config.set.paused = 0;
	CALL(METAL_PROCESS_SET, id, &config.set);
	for (tries = 0; time_of(id) < second + 50 * MS && tries < 20; tries++)
		pause_for(100 * MS);
	config.set.paused = 1;
	CALL(METAL_PROCESS_SET, id, &config.set);
	if (!first || first != second || tries == 20)
		fail("paused", "it ran, or did not go on");
	else if (CALL(METAL_PROCESS_KILL, id))
		fail("paused", "not killed while paused");
	else
		pass("paused");
}

/* Starts, ends and refuses what can't be. */
static void refusals(void)
{
	struct metal_process_config good = config_of("good"), bad;
	uint64_t before = memory_free();
	bool right = true;

	static const uint64_t weights[] = {0, 10001, UINT32_MAX};
	for (unsigned i = 0; i < 3; i++) {
		bad = good;
		bad.set.weight = (uint32_t)weights[i];
		right &= CALL(METAL_PROCESS_CREATE, &bad) == -EINVAL;
	}
	bad = good;
	bad.guest_memory = (uint64_t)1 << 45;
	right &= CALL(METAL_PROCESS_CREATE, &bad) < 0;
	bad.guest_memory = (uint64_t)1 << 38;
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -ENOMEM;
	bad.guest_memory = memory_free() + (UINT64_C(2) << 20);
	bad.guest_memory &= ~((UINT64_C(2) << 20) - 1);
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -ENOMEM;
	bad.guest_memory = 4096;
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -EINVAL;
	bad = good;
	bad.vcpus = 33;
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -EINVAL;
	bad = good;
	bad.memory_max = 0x4000;
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -ENOMEM;
	bad = good;
	bad.set.processors = (uint64_t)1 << 63;
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -EINVAL;
	bad = good;
	bytes_fill(bad.name, 'x', sizeof(bad.name));
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -EINVAL;
	bad = good;
	bad.switch_number = 256;
	right &= CALL(METAL_PROCESS_CREATE, &bad) == -EINVAL;
	right &= CALL(METAL_PROCESS_KILL, 0) == -EINVAL;
	right &= CALL(METAL_PROCESS_KILL, 1) == -ENOENT;
	right &= CALL(METAL_PROCESS_KILL, UINT64_MAX) == -ENOENT;
	right &= CALL(METAL_PROCESS_SET, 1, &good.set) == -ENOENT;
	right &= CALL(METAL_PROCESS_INFO, 65, &bad) == -ENOENT;
	right &= CALL(METAL_PROCESS_CREATE, UINT64_MAX - 7) == -EFAULT;
	right &= CALL(METAL_PROCESS_CREATE, 0) == -EFAULT;
	right &= CALL(METAL_VCPU_RUN, 0) == -EPERM;
	/* One that never starts. */
	right &= CALL(METAL_PROCESS_CREATE, &good) > 0;
	right &= CALL(METAL_PROCESS_KILL, 1) == 0;
	if (!right)
		fail("refusals", "something was not refused as it should be");
	else if (memory_free() + 0x40000 < before)
		fail("refusals", "memory did not come back");
	else
		pass("refusals");
}

/* As many as there can be, and one more. */
static void many(void)
{
	uint64_t before = memory_free();
	unsigned count = 0;
	bool right = true;
	int64_t id;

	while ((id = begin_simple("do=sleep")) > 0)
		count++;
	pause_for(100 * MS);
	for (unsigned i = 1; i <= count; i++)
		right &= CALL(METAL_PROCESS_KILL, i) == 0;
	SAY("  %u processes\n", count);
	if (!right || (id != -EAGAIN && id != -ENOMEM))
		fail("many", "an error");
	else if (memory_free() + 0x100000 < before)
		fail("many", "memory did not come back");
	else
		pass("many");
}

static void options(char *text)
{
	struct metal_module module;

	text[0] = 0;
	for (unsigned i = 0; CALL(METAL_MODULE, i, &module) == 0; i++)
		if (string_equal(module.name, "calls"))
			string_copy(text, sizeof(module.arguments), module.arguments);
}

static void attacks(void)
{
	refusals();
	for (unsigned i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		expect_end(crashes[i].name, METAL_PROCESS_CRASHED, crashes[i].vector & ~LAX,
			   crashes[i].vector & LAX);
	expect_end("exit_after_wild_timers", METAL_PROCESS_EXITED, 0, false);
	expect_end("exit_by_last_thread", METAL_PROCESS_EXITED, 0, false);
	expect_end("exit_with_seven", METAL_PROCESS_EXITED, 7, false);
}

static void kills(unsigned rounds)
{
	kill_one("kill_spinner", "do=spin_in_two", 20 * MS);
	kill_one("kill_sleeper", "do=sleep", 20 * MS);
	kill_one("kill_guest", "do=run_guest", 200 * MS);
	kill_one("kill_at_once", "do=spin", 0);
	paused();
	many();
	kill_storm(rounds);
}

static void shares(void)
{
	static const struct spinner weights[] = {{"do=spin", 100, 0, 1, 143},
						 {"do=spin", 200, 0, 1, 286},
						 {"do=spin", 400, 0, 1, 571}};
	static const struct spinner cap[] = {{"do=spin", 100, 25, 1, 250},
					     {"do=spin", 100, 0, 1, 750}};
	static const struct spinner cap_alone[] = {{"do=spin_in_two", 100, 25, UINT64_MAX, 250}};
	static const struct spinner guests[] = {{"do=run_guest", 100, 0, 1, 333},
						{"do=run_guest", 200, 0, 1, 667}};
	static const struct spinner threads[] = {{"do=spin_in_two", 100, 0, 1, 500},
						 {"do=spin", 100, 0, 1, 500}};
	static const struct spinner two[] = {{"do=spin", 100, 0, UINT64_MAX, 1000},
					     {"do=spin", 100, 0, UINT64_MAX, 1000}};

	expect_shares("weights 1 2 4", weights, 3);
	expect_shares("weights of guests", guests, 2);
	expect_shares("threads share their machine's weight", threads, 2);
	expect_shares("cap beside another", cap, 2);
	expect_shares("cap alone", cap_alone, 1);
	if (start->processors > 1)
		expect_shares("two use two processors", two, 2);
}

int main(void)
{
	char text[192];
	uint64_t count, rounds, tests;

	options(text);
	random_state = option_number(text, "seed=", bytes_load64(start->seed) >> 20);
	count = option_number(text, "count=", 100000);
	rounds = option_number(text, "rounds=", 20);
	tests = option_number(text, "tests=", 15);
	SAY("seed=%llu count=%llu rounds=%llu\n", (unsigned long long)random_state,
	    (unsigned long long)count, (unsigned long long)rounds);
	if (tests & 1)
		attacks();
	if (tests & 2)
		kills((unsigned)rounds);
	if (tests & 4)
		shares();
	if (tests & 8)
		random_calls(4, count, random_state);
	SAY("%u passed, %u failed\n", passed, failures);
	pause_for(200 * MS);
	CALL(METAL_SYSTEM, METAL_SYSTEM_TEST_EXIT, failures ? 1 : 0);
	return 1;
}
