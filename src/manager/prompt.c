/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thing at a time has the terminal: a guest to which it is attached, a command that waits (a
 * job), the script, or the line that is being edited.
 */
#include "manager/prompt.h"

#include "core/host.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/string.h"
#include "manager/attach.h"
#include "manager/commands.h"
#include "manager/manager.h"
#include "manager/system.h"

#define CTRL_C 0x03

static void job_end(struct manager *manager, bool good)
{
	manager->job.kind = JOB_NONE;
	if (!good)
		manager->failures++;
}

void prompt_machine_ended(struct manager *manager, struct machine *machine)
{
	struct job *job = &manager->job;
	uint64_t bit = BIT(machine->number - 1);

	if (!(job->machines & bit))
		return;
	job->machines &= ~bit;
	job->failed |= machine->state == MACHINE_FAILED;
}

/* Whether the text is in what the machine has written since it was found the last time. */
static bool find_text(struct machine *machine, const char *text)
{
	size_t length = string_length(text);
	uint64_t first = kept_first(&machine->output);
	char seen[LINE_EDIT_MAX];

	if (machine->searched < first)
		machine->searched = first;
	for (; machine->searched + length <= machine->output.written; machine->searched++) {
		if (kept_get(&machine->output, machine->searched, seen, length) == length &&
		    bytes_equal(seen, text, length)) {
			machine->searched += length;
			return true;
		}
	}
	return false;
}

static void look_for_text(struct manager *manager)
{
	struct job *job = &manager->job;
	const char *name = job->machine->config->name;

	if (find_text(job->machine, job->text))
		job_end(manager, true);
	else if (!machine_runs(job->machine))
		job_end(manager,
			manager_fail(manager, "expect %s: it ended, and had not written '%s'", name,
				     job->text));
	else if (host_now() >= job->deadline)
		job_end(manager, manager_fail(manager, "expect %s: '%s' has not come in time", name,
					      job->text));
}

static void wait_for_machines(struct manager *manager)
{
	struct job *job = &manager->job;

	if (!job->machines)
		job_end(manager, !job->failed);
	else if (host_now() >= job->deadline)
		job_end(manager,
			manager_fail(manager, "wait: the time is up, and %u of them run still",
				     bits_count(job->machines)));
}

static void end_all(struct manager *manager)
{
	struct job *job = &manager->job;
	int64_t error;

	if (job->machines)
		return;
	manager_say(manager, job->end == METAL_SYSTEM_REBOOT ? "rebooting" : "powering off");
	console_drain(&manager->console);
	error = system_end(job->end, 0);
	job_end(manager,
		manager_fail(manager, "this computer can't do that (error %d)", (int)-error));
}

static void look_at_job(struct manager *manager)
{
	struct job *job = &manager->job;

	/* What is typed waits for the job's end; Ctrl-C among it is that end. */
	if (console_urgent(&manager->console, CTRL_C)) {
		console_key(&manager->console);
		manager->script_at = manager->settings.script_count;
		job_end(manager, manager_fail(manager, "^C"));
		return;
	}
	switch (job->kind) {
	case JOB_WAIT:
		wait_for_machines(manager);
		break;
	case JOB_EXPECT:
		look_for_text(manager);
		break;
	case JOB_SLEEP:
		if (host_now() >= job->deadline)
			job_end(manager, true);
		break;
	case JOB_END:
		end_all(manager);
		break;
	case JOB_NONE:
		break;
	}
}

static void run_script_line(struct manager *manager)
{
	const char *line = manager->settings.script[manager->script_at++];

	console_fresh_line(&manager->console);
	console_put(&manager->console, manager->edit.prompt);
	console_put_foreign(&manager->console, line, string_length(line));
	console_put(&manager->console, "\n");
	commands_run(manager, line);
}

/* False: there are no more keys. */
static bool edit_key(struct manager *manager)
{
	int key;

	if (!manager->editing) {
		console_fresh_line(&manager->console);
		line_edit_begin(&manager->edit);
		manager->editing = true;
	}
	line_edit_show(&manager->edit);
	key = console_key(&manager->console);
	if (key < 0)
		return false;
	switch (line_edit_key(&manager->edit, (char)key)) {
	case LINE_ENTERED:
		manager->editing = false;
		commands_run(manager, manager->edit.text);
		break;
	case LINE_LEFT:
		manager->editing = false;
		break;
	case LINE_EDITED:
		break;
	}
	return true;
}

uint64_t prompt_turn(struct manager *manager)
{
	for (;;) {
		if (manager->job.kind) {
			look_at_job(manager);
			if (manager->job.kind)
				return manager->job.deadline;
		} else if (manager->attached) {
			attach_keys(manager);
			if (manager->attached)
				return UINT64_MAX;
		} else if (console_is_behind(&manager->console)) {
			return UINT64_MAX; /* room for what a command says */
		} else if (manager->script_at < manager->settings.script_count) {
			run_script_line(manager);
		} else if (!edit_key(manager)) {
			return UINT64_MAX;
		}
	}
}
