/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/machines.h"

#include "core/host.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "manager/ending.h"
#include "manager/system.h"
#include "manager/wiring.h"

#define MIB	    (UINT64_C(1) << 20)
#define SECOND	    UINT64_C(1000000000)
#define OWN_MEMORY  (24 * MIB)	    /* that a machine's process may use beside its disks' changes */
#define DISK_MEMORY (256 * MIB)	    /* for these, unless the file says otherwise */
#define LAST_WORDS  (2 * SECOND)    /* from saying that it has ended to the process's end */
#define TURN	    (KEPT_SIZE / 2) /* taken out of a channel at once */

bool machines_init(struct machines *machines, const struct machine_config *configs, unsigned count,
		   const struct modules *modules)
{
	machines->count = 0;
	for (unsigned i = 0; i < count; i++) {
		struct machine *machine = host_pages(sizeof(*machine));

		if (!machine)
			return false;
		machine->config = &configs[i];
		machine->number = i + 1;
		machine->deadline = UINT64_MAX;
		machine->set = (struct metal_process_set){
			.weight = configs[i].weight,
			.cap = configs[i].cap,
			.processors = configs[i].processors,
		};
		machines->machine[machines->count++] = machine;
	}
	for (unsigned i = 0; i < count; i++)
		wiring_find(machines, machines->machine[i], modules);
	return true;
}

struct machine *machines_find(const struct machines *machines, const char *name)
{
	for (unsigned i = 0; i < machines->count; i++)
		if (string_equal(machines->machine[i]->config->name, name))
			return machines->machine[i];
	return NULL;
}

bool machine_runs(const struct machine *machine)
{
	return machine->process != 0;
}

const char *machine_state_name(const struct machine *machine)
{
	static const char *const names[] = {
		[MACHINE_OFF] = "off",		 [MACHINE_BOOTING] = "booting",
		[MACHINE_RUNS] = "running",	 [MACHINE_PAUSED] = "paused",
		[MACHINE_STOPPING] = "stopping", [MACHINE_ENDED] = "ended",
		[MACHINE_FAILED] = "failed",
	};

	return names[machine->state];
}

void machine_ask(struct machine *machine)
{
	if (machine->process)
		system_process_info(machine->process, &machine->info);
}

/* Start. */

static bool processors_exist(uint64_t *processors, char *reason, size_t size)
{
	unsigned count = system_start()->processors;

	*processors &= bits_mask(count);
	if (!*processors)
		format(reason, size, "this computer has processors 0 to %u only", count - 1);
	return *processors != 0;
}

static void fill_channel(struct machine *machine)
{
	struct channel *channel = machine->channel;

	channel_init(channel);
	channel->config = *machine->config;
	channel->kernel = machine->kernel;
	channel->initrd = machine->initrd;
	bytes_copy(channel->disk, machine->disk, sizeof(channel->disk));
	bytes_copy(channel->mac, machine->mac, sizeof(channel->mac));
}

static bool create_process(struct machine *machine, char *reason, size_t size)
{
	const struct machine_config *config = machine->config;
	struct metal_process_config process = {
		.guest_memory = config->memory,
		.memory_max = OWN_MEMORY + (config->disk_memory || !config->disk_count
						    ? config->disk_memory
						    : CHANNEL_DISK_MEMORY),
		.modules = machine->modules,
		.switch_number = machine->switch_number,
		.vcpus = config->cpus,
		.set = machine->set,
	};
	struct metal_process_info host = {.memory_free = 0};
	int64_t result;

	if (!processors_exist(&process.set.processors, reason, size))
		return false;
	string_copy(process.name, sizeof(process.name), config->name);
	bytes_copy(process.mac, machine->mac, sizeof(process.mac));
	result = system_process_create(&process);
	if (result > 0) {
		machine->process = (uint32_t)result;
		machine->channel = (struct channel *)(uintptr_t)process.channel;
		return true;
	}
	system_process_info(0, &host);
	if (result == -ENOMEM)
		format(reason, size,
		       "it needs %llu MiB of memory, and %llu MiB are free: stop another machine, "
		       "or give it less",
		       (unsigned long long)(config->memory / MIB),
		       (unsigned long long)(host.memory_free / MIB));
	else
		format(reason, size, "the kernel refuses its process (error %d): see log",
		       (int)-result);
	return false;
}

bool machine_start(struct machine *machine, char *reason, size_t size)
{
	struct metal_process_set set;

	if (machine->process) {
		format(reason, size, "it runs already");
		return false;
	}
	if (machine->problem[0]) {
		format(reason, size, "%s", machine->problem);
		return false;
	}
	if (!create_process(machine, reason, size))
		return false;
	fill_channel(machine);
	machine->state = MACHINE_BOOTING;
	machine->started = host_now();
	machine->deadline = UINT64_MAX;
	machine->restart = false;
	machine->end[0] = '\0';
	machine->searched = machine->output.written;
	bytes_fill(&machine->info, 0, sizeof(machine->info));
	set = machine->set;
	set.start = 1;
	return machine_set(machine, &set, reason, size);
}

/* Requests. */

static bool needs_process(const struct machine *machine, char *reason, size_t size)
{
	if (!machine->process)
		format(reason, size, "it does not run: start %s", machine->config->name);
	return machine->process != 0;
}

static void request(struct machine *machine, enum channel_request what)
{
	atomic_fetch_or(&machine->channel->requests, (uint32_t)what);
	system_notify(machine->process);
}

bool machine_stop(struct machine *machine, unsigned seconds, char *reason, size_t size)
{
	if (!needs_process(machine, reason, size))
		return false;
	/* A guest that is paused can't see its button. */
	if (machine->state == MACHINE_PAUSED)
		request(machine, CHANNEL_RESUME);
	request(machine, CHANNEL_POWER_BUTTON);
	machine->state = MACHINE_STOPPING;
	machine->stop_seconds = seconds;
	machine->deadline = host_now() + seconds * SECOND;
	return true;
}

bool machine_pause(struct machine *machine, bool pause, char *reason, size_t size)
{
	if (!needs_process(machine, reason, size))
		return false;
	if (pause == (machine->state == MACHINE_PAUSED)) {
		format(reason, size, pause ? "it is paused already" : "it is not paused");
		return false;
	}
	request(machine, pause ? CHANNEL_PAUSE : CHANNEL_RESUME);
	return true;
}

bool machine_set(struct machine *machine, const struct metal_process_set *set, char *reason,
		 size_t size)
{
	struct metal_process_set exact = *set;
	int64_t result;

	if (!processors_exist(&exact.processors, reason, size))
		return false;
	if (machine->process) {
		result = system_process_set(machine->process, &exact);
		if (result < 0) {
			format(reason, size, "the kernel refuses it (error %d)", (int)-result);
			return false;
		}
	}
	machine->set = *set;
	machine->set.start = 0;
	return true;
}

size_t machine_type(struct machine *machine, const char *bytes, size_t length)
{
	size_t done;

	if (!machine->process)
		return length;
	done = channel_put(machine->channel, CHANNEL_INPUT, bytes, length);
	if (done)
		system_notify(machine->process);
	return done;
}

/* What it writes. */

static size_t take(struct channel *channel, unsigned which, struct kept *kept, size_t most)
{
	char bytes[512];
	size_t done = 0, length;

	while (done < most) {
		length = most - done < sizeof(bytes) ? most - done : sizeof(bytes);
		length = channel_take(channel, which, bytes, length);
		if (!length)
			break;
		kept_put(kept, bytes, length);
		done += length;
	}
	return done;
}

static void look_at_state(struct machine *machine)
{
	uint32_t state = atomic_load(&machine->channel->state);

	if (machine->state == MACHINE_STOPPING)
		return;
	if (state == CHANNEL_BOOTED)
		machine->state = MACHINE_RUNS;
	else if (state == CHANNEL_PAUSED)
		machine->state = MACHINE_PAUSED;
}

bool machine_take(struct machine *machine)
{
	uint64_t unseen = machine->output.written - machine->shown;
	size_t most = TURN, done;
	bool may_wait;

	if (!machine->process)
		return false;
	look_at_state(machine);
	/* A ring that was full since the last turn is still half full at least. */
	may_wait = channel_room(machine->channel, CHANNEL_OUTPUT) < CHANNEL_OUTPUT_SIZE / 2;
	if (machine->watched && unseen > KEPT_SIZE - TURN)
		most = unseen < KEPT_SIZE ? (size_t)(KEPT_SIZE - unseen) : 0;
	done = take(machine->channel, CHANNEL_OUTPUT, &machine->output, most);
	take(machine->channel, CHANNEL_LOG, &machine->log, TURN);
	if (done && may_wait)
		system_notify(machine->process);
	return done == most;
}

/* The end. */

static void start_again(struct machines *machines, struct machine *machine)
{
	char reason[192];

	machine->restart = false;
	if (machine_start(machine, reason, sizeof(reason)))
		return;
	machine->state = MACHINE_FAILED;
	format(machine->end, sizeof(machine->end), "can't be started again: %s", reason);
	machines->ended(machines->context, machine);
}

static void end(struct machines *machines, struct machine *machine, const char *killed)
{
	machine->watched = false;
	/* No longer than for what it can have written: a process that still runs could go on. */
	for (unsigned i = 0; i <= CHANNEL_OUTPUT_SIZE / TURN && machine_take(machine);)
		i++;
	machine_ask(machine);
	machine->state = ending_describe(machine, killed) ? MACHINE_ENDED : MACHINE_FAILED;
	machine->ended = host_now();
	machine->deadline = UINT64_MAX;
	machine->channel = NULL;
	system_process_kill(machine->process);
	machine->process = 0;
	machines->ended(machines->context, machine);
	if (machine->restart)
		start_again(machines, machine);
}

bool machine_kill(struct machines *machines, struct machine *machine, const char *why)
{
	if (!machine->process)
		return false;
	end(machines, machine, why);
	return true;
}

/* Whoever watches has seen all of its output; its process has ended. */
static bool is_seen(struct machine *machine)
{
	return !machine->watched ||
	       (!machine_take(machine) && machine->shown == machine->output.written);
}

/* Its time is up. */
static void end_late(struct machines *machines, struct machine *machine, bool says_ended)
{
	char why[64];

	if (says_ended)
		format(why, sizeof(why), "killed, for its process went on after its end");
	else
		format(why, sizeof(why), "killed, for it had not ended within %u s",
		       machine->stop_seconds);
	end(machines, machine, why);
}

uint64_t machines_look(struct machines *machines)
{
	uint64_t next = UINT64_MAX, now = host_now();

	for (unsigned i = 0; i < machines->count; i++) {
		struct machine *machine = machines->machine[i];
		bool says_ended;

		if (!machine->process)
			continue;
		if (machine->info.state >= METAL_PROCESS_EXITED) {
			if (is_seen(machine))
				end(machines, machine, NULL);
			continue;
		}
		says_ended = atomic_load(&machine->channel->state) == CHANNEL_ENDED;
		if (says_ended && machine->deadline > now + LAST_WORDS)
			machine->deadline = now + LAST_WORDS;
		if (machine->deadline <= now)
			end_late(machines, machine, says_ended);
		else if (machine->deadline < next)
			next = machine->deadline;
	}
	return next;
}
