/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/ending.h"

#include "core/vm.h"
#include "lib/bits.h"
#include "lib/format.h"
#include "lib/string.h"
#include "manager/machines.h"

/* Exceptions by vector, as the manuals name them. */
static const char *const exceptions[] = {
	[0] = "divide error",	 [1] = "debug",
	[3] = "breakpoint",	 [4] = "overflow",
	[6] = "invalid opcode",	 [7] = "no coprocessor",
	[8] = "double fault",	 [12] = "stack fault",
	[13] = "protection",	 [14] = "page fault",
	[16] = "floating point", [17] = "alignment",
	[18] = "machine check",	 [19] = "SIMD floating point",
};

/* A text of the process's, which may still change while it is read, without what could disturb a
 * terminal. */
static void copy_foreign(char *to, size_t size, const char *from, size_t most)
{
	size_t length = 0;

	for (; length + 1 < size && length < most; length++) {
		char c = ((const volatile char *)from)[length];

		if (!c)
			break;
		to[length] = c >= ' ' && c < 0x7f ? c : '?';
	}
	to[length] = '\0';
}

static bool describe_crash(struct machine *machine)
{
	const struct metal_process_info *info = &machine->info;
	const char *name = info->code < ARRAY_LENGTH(exceptions) ? exceptions[info->code] : NULL;

	format(machine->end, sizeof(machine->end),
	       "its process crashed: vector %llu%s%s%s at rip 0x%llx, address 0x%llx: a bug of "
	       "Lodge's",
	       (unsigned long long)info->code, name ? " (" : "", name ? name : "", name ? ")" : "",
	       (unsigned long long)info->rip, (unsigned long long)info->address);
	return false;
}

static bool describe_exit(struct machine *machine)
{
	const struct channel *channel = machine->channel;
	uint32_t why = *(const volatile uint32_t *)&channel->why;
	int32_t code = *(const volatile int32_t *)&channel->code;
	char reason[sizeof(channel->reason)];
	const char *text = "failed";
	bool good = false;

	copy_foreign(reason, sizeof(reason), channel->reason, sizeof(channel->reason));
	switch (why) {
	case VM_POWERED_OFF:
		text = "powered off";
		good = true;
		break;
	case VM_RESET:
		text = "reset itself, and ended";
		break;
	case VM_PANICKED:
		text = "its kernel panicked";
		break;
	case VM_SHUTDOWN:
		text = "a processor of it shut down (triple fault)";
		break;
	case VM_TEST_EXIT:
		format(machine->end, sizeof(machine->end), "its test ended with code %d%s%s", code,
		       reason[0] ? ": " : "", reason);
		return code == 0;
	case VM_KILLED:
		text = "stopped";
		good = true;
		break;
	}
	format(machine->end, sizeof(machine->end), "%s%s%s", text, reason[0] ? ": " : "", reason);
	return good;
}

bool ending_describe(struct machine *machine, const char *killed)
{
	if (killed) {
		format(machine->end, sizeof(machine->end), "%s", killed);
		return true;
	}
	if (machine->info.state == METAL_PROCESS_CRASHED)
		return describe_crash(machine);
	if (machine->info.state == METAL_PROCESS_KILLED) {
		format(machine->end, sizeof(machine->end), "the kernel ended its process: see log");
		return false;
	}
	if (atomic_load(&machine->channel->state) == CHANNEL_ENDED)
		return describe_exit(machine);
	format(machine->end, sizeof(machine->end),
	       "its process ended with code %lld and did not say why",
	       (long long)machine->info.code);
	return false;
}
