/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that change a machine. */
#include "lib/string.h"
#include "lib/word.h"
#include "manager/command_calls.h"
#include "manager/manager.h"
#include "manager/words.h"

#define REASON 256

static bool say_failed(struct manager *manager, const struct machine *machine, const char *reason)
{
	return manager_fail(manager, "%s: %s", machine->config->name, reason);
}

static bool start_one(struct manager *manager, struct machine *machine, unsigned seconds)
{
	char reason[REASON];

	if (!machine_start(machine, reason, sizeof(reason)))
		return say_failed(manager, machine, reason);
	manager_say(manager, "%s: started", machine->config->name);
	return true;
}

bool control_stop(struct manager *manager, struct machine *machine, unsigned seconds)
{
	char reason[REASON];

	if (!machine_stop(machine, seconds, reason, sizeof(reason)))
		return say_failed(manager, machine, reason);
	machine->restart = false;
	manager_say(manager, "%s: power button pressed; killed in %u s if it has not ended",
		    machine->config->name, seconds);
	return true;
}

static bool restart_one(struct manager *manager, struct machine *machine, unsigned seconds)
{
	if (!machine_runs(machine))
		return start_one(manager, machine, seconds);
	if (!control_stop(manager, machine, seconds))
		return false;
	machine->restart = true;
	return true;
}

static bool kill_one(struct manager *manager, struct machine *machine, unsigned seconds)
{
	machine->restart = false;
	if (machine_kill(&manager->machines, machine, "killed"))
		return true;
	return say_failed(manager, machine, "it does not run");
}

static bool pause_one(struct manager *manager, struct machine *machine, unsigned seconds)
{
	char reason[REASON];

	return machine_pause(machine, true, reason, sizeof(reason)) ||
	       say_failed(manager, machine, reason);
}

static bool resume_one(struct manager *manager, struct machine *machine, unsigned seconds)
{
	char reason[REASON];

	return machine_pause(machine, false, reason, sizeof(reason)) ||
	       say_failed(manager, machine, reason);
}

bool call_start(struct manager *manager, const struct words *words)
{
	return words_each(manager, words->word[1], false, start_one, 0);
}

bool call_stop(struct manager *manager, const struct words *words)
{
	unsigned seconds;

	return words_seconds(manager, words->word[2], MACHINE_STOP_SECONDS, &seconds) &&
	       words_each(manager, words->word[1], true, control_stop, seconds);
}

bool call_restart(struct manager *manager, const struct words *words)
{
	unsigned seconds;

	return words_seconds(manager, words->word[2], MACHINE_STOP_SECONDS, &seconds) &&
	       words_each(manager, words->word[1], true, restart_one, seconds);
}

bool call_kill(struct manager *manager, const struct words *words)
{
	return words_each(manager, words->word[1], true, kill_one, 0);
}

bool call_pause(struct manager *manager, const struct words *words)
{
	return words_each(manager, words->word[1], true, pause_one, 0);
}

bool call_resume(struct manager *manager, const struct words *words)
{
	return words_each(manager, words->word[1], true, resume_one, 0);
}

bool call_set(struct manager *manager, const struct words *words)
{
	struct machine *machine = words_machine(manager, words->word[1]);
	const char *key = words->word[2], *value = words->word[3];
	struct metal_process_set set;
	char reason[REASON];
	uint64_t number;

	if (!machine)
		return false;
	set = machine->set;
	if (string_equal(key, "weight")) {
		if (!word_number(value, &number) || number < 1 || number > MACHINE_WEIGHT_MAX)
			return manager_fail(manager, "weight %s: must be a number from 1 to %u",
					    value, MACHINE_WEIGHT_MAX);
		set.weight = (uint32_t)number;
	} else if (string_equal(key, "cap")) {
		if (!word_number(value, &number) || number > MACHINE_CAP_MAX)
			return manager_fail(
				manager,
				"cap %s: must be percents of a processor, at most %u; 0 for "
				"none",
				value, MACHINE_CAP_MAX);
		set.cap = (uint32_t)number;
	} else if (string_equal(key, "processors")) {
		set.processors = UINT64_MAX;
		if (!string_equal(value, "all") && !word_bits(value, &set.processors))
			return manager_fail(manager,
					    "processors %s: must be all, or numbers like 0-3,5",
					    value);
	} else {
		return manager_fail(manager, "set %s: takes weight, cap or processors, not %s",
				    words->word[1], key);
	}
	return machine_set(machine, &set, reason, sizeof(reason)) ||
	       say_failed(manager, machine, reason);
}
