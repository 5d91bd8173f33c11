/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that wait, and those that end everything. */
#include "core/host.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "lib/word.h"
#include "manager/command_calls.h"
#include "manager/manager.h"
#include "manager/system.h"
#include "manager/words.h"

#define SECOND UINT64_C(1000000000)

bool call_wait(struct manager *manager, const struct words *words)
{
	const struct machines *machines = &manager->machines;
	const char *name = words->word[1];
	struct machine *machine = NULL;
	struct job job = {.kind = JOB_WAIT, .deadline = UINT64_MAX};
	unsigned seconds;

	if (!string_equal(name, "all") && !(machine = words_machine(manager, name)))
		return false;
	if (!words_seconds(manager, words->word[2], 0, &seconds))
		return false;
	if (words->word[2])
		job.deadline = host_now() + seconds * SECOND;
	for (unsigned i = 0; i < machines->count; i++) {
		const struct machine *each = machines->machine[i];

		if (machine && machine != each)
			continue;
		if (machine_runs(each))
			job.machines |= BIT(i);
		job.failed |= each->state == MACHINE_FAILED;
	}
	manager->job = job;
	return true;
}

bool call_expect(struct manager *manager, const struct words *words)
{
	struct machine *machine = words_machine(manager, words->word[1]);
	struct job job = {.kind = JOB_EXPECT, .machine = machine};
	unsigned seconds;

	if (!machine || !words_seconds(manager, words->word[2], 0, &seconds))
		return false;
	job.deadline = host_now() + seconds * SECOND;
	string_copy(job.text, sizeof(job.text), words->rest[3]);
	manager->job = job;
	return true;
}

bool call_sleep(struct manager *manager, const struct words *words)
{
	unsigned seconds;

	if (!words_seconds(manager, words->word[1], 0, &seconds))
		return false;
	manager->job = (struct job){.kind = JOB_SLEEP, .deadline = host_now() + seconds * SECOND};
	return true;
}

static bool end(struct manager *manager, const struct words *words, enum metal_system how)
{
	const struct machines *machines = &manager->machines;
	struct job job = {.kind = JOB_END, .end = how, .deadline = UINT64_MAX};

	if (words->word[1] && !string_equal(words->word[1], "now"))
		return manager_fail(manager, "%s %s: takes now, or nothing", words->word[0],
				    words->word[1]);
	for (unsigned i = 0; i < machines->count && !words->word[1]; i++) {
		if (!machine_runs(machines->machine[i]))
			continue;
		job.machines |= BIT(i);
		control_stop(manager, machines->machine[i], MACHINE_STOP_SECONDS);
	}
	manager->job = job;
	return true;
}

bool call_poweroff(struct manager *manager, const struct words *words)
{
	return end(manager, words, METAL_SYSTEM_POWER_OFF);
}

bool call_reboot(struct manager *manager, const struct words *words)
{
	return end(manager, words, METAL_SYSTEM_REBOOT);
}

bool call_exit(struct manager *manager, const struct words *words)
{
	uint64_t code = manager->failures ? 1 : 0;

	if (words->word[1] && (!word_number(words->word[1], &code) || code > 127))
		return manager_fail(manager, "exit %s: must be a number from 0 to 127",
				    words->word[1]);
	console_drain(&manager->console);
	system_end(METAL_SYSTEM_TEST_EXIT, code);
	return manager_fail(manager, "this computer has no test device: take poweroff");
}
