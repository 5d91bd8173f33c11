/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can be asked of a running machine over its control socket. docs/control-protocol.md says the
 * same for people; a test compares the two.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/host.h"
#include "hosts/linux/namespaces.h"
#include "manage/agent_link.h"
#include "manage/control.h"
#include "manage/control_limits.h"
#include "manage/control_memory.h"
#include "manage/control_ports.h"
#include "manage/managed.h"
#include "manage/run_state.h"
#include "manage/stats.h"

#define SECOND UINT64_C(1000000000)

static const char *vm_state_name(const struct run *run)
{
	if (run->watch.panicked)
		return "panicked";
	if (run->vm.paused)
		return "paused";
	return run->vm.pausing ? "pausing" : "running";
}

static json_t *sandbox_list(const struct sandbox_state *state)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < SANDBOX_PARTS; i++) {
		const struct sandbox_part *part = &state->parts[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:b, s:s}", "name",
						sandbox_part_name((enum sandbox_kind)i), "in-force",
						part->in_force, "why", part->why));
	}
	return list;
}

static void status(struct run *run, struct control_call *call)
{
	const struct options *options = run->options;

	control_answer(
		call, json_pack("{s:s, s:i, s:s, s:i, s:I, s:s, s:s, s:o, s:f, s:f, s:o, s:o, s:o, "
				"s:o, s:b}",
				"state", vm_state_name(run), "pid", (int)namespaces_pid(), "name",
				options->name ? options->name : "", "cpus", (int)options->cpus,
				"memory", (json_int_t)options->memory, "engine", run->engine->name,
				"cpu-model", options->cpu_model ? options->cpu_model : "x86-64-v2",
				"sandbox", sandbox_list(&run->sandbox), "uptime",
				(double)(host_now() - run->started) / (double)SECOND, "guest-time",
				(double)vm_time(&run->vm) / (double)SECOND, "cpu", control_cpu(run),
				"disks", control_disks(run), "network", control_network(run),
				"ports", control_ports_list(run), "saving", run->save.begun));
}

static void stats(struct run *run, struct control_call *call)
{
	control_answer(call, stats_json(run));
}

static void pause_vm(struct run *run, struct control_call *call)
{
	if (run->pausing_count == RUN_PAUSING_MAX) {
		control_fail(call, CONTROL_BUSY, "too many wait for the pause already");
		return;
	}
	run->pausing[run->pausing_count++] = call;
	run->paused = true;
	vm_pause(&run->vm);
}

/* All who have asked for a pause. */
static void pause_answer(struct run *run, const char *why_not)
{
	while (run->pausing_count) {
		struct control_call *call = run->pausing[--run->pausing_count];

		if (why_not)
			control_fail(call, CONTROL_BAD_STATE, "%s", why_not);
		else
			control_answer(call, NULL);
	}
}

static void tell_paused(struct run *run)
{
	if (run->paused_told == run->paused)
		return;
	run->paused_told = run->paused;
	if (run->control)
		control_event(run->control, run->paused ? "paused" : "resumed", NULL);
	if (run->options->managed)
		managed_paused(run->options->managed, run->paused);
}

void run_paused(struct run *run)
{
	vm_lock(&run->vm);
	if (run->vm.paused) {
		pause_answer(run, NULL);
		tell_paused(run);
	}
	vm_unlock(&run->vm);
}

void run_stays_paused(struct run *run)
{
	run->paused = true;
	tell_paused(run);
}

void run_restarted(struct run *run)
{
	if (!run->control)
		return;
	migrate_abandon(run, "the machine has reset itself meanwhile");
	save_abandon(run, "the machine has reset itself meanwhile");
	/* Who waits for a pause waits on: it will stand. */
	vm_lock(&run->vm);
	control_event(run->control, "reset", NULL);
	vm_unlock(&run->vm);
}

const char *run_stop_reason(const struct run *run)
{
	static const char *const names[] = {
		[VM_RUNNING] = "not-started", [VM_POWERED_OFF] = "powered-off",
		[VM_RESET] = "panicked",      [VM_PANICKED] = "panicked",
		[VM_SHUTDOWN] = "died",	      [VM_TEST_EXIT] = "test-exit",
		[VM_KILLED] = "killed",	      [VM_FAILED] = "failed"};

	return run->left ? run->left : names[atomic_load(&run->vm.stop)];
}

void run_stopped(struct run *run)
{
	if (!run->control)
		return;
	migrate_abandon(run, "the machine has stopped");
	save_abandon(run, "the machine has stopped");
	vm_lock(&run->vm);
	pause_answer(run, "the machine has stopped");
	control_ports_abandon(run);
	control_event(run->control, "stopped", json_pack("{s:s}", "reason", run_stop_reason(run)));
	vm_unlock(&run->vm);
}

static void resume_vm(struct run *run, struct control_call *call)
{
	if (run->save.begun || (run->migrate.call && run->vm.pausing)) {
		control_fail(call, CONTROL_BUSY, "the machine is being saved or migrated");
		return;
	}
	if (!migrate_resume(run)) {
		control_fail(
			call, CONTROL_BAD_STATE,
			"another process has a disk of it, and may run it: the machine can't go "
			"on here before that process has ended");
		return;
	}
	run->paused = false;
	vm_resume(&run->vm);
	pause_answer(run, "the machine has been resumed meanwhile");
	tell_paused(run);
	control_answer(call, NULL);
}

static void power_button(struct run *run, struct control_call *call)
{
	if (run->paused) {
		control_fail(call, CONTROL_BAD_STATE,
			     "the machine is paused and can't notice the button: resume it first");
		return;
	}
	pc_power_button(run->pc);
	control_event(run->control, "power-button", NULL);
	control_answer(call, NULL);
}

static void kill_vm(struct run *run, struct control_call *call)
{
	control_answer(call, NULL);
	vm_stop(&run->vm, VM_KILLED, 0);
}

static void reset_vm(struct run *run, struct control_call *call)
{
	if (run->in_doubt) {
		control_fail(call, CONTROL_BAD_STATE,
			     "the machine stands here, for it may run elsewhere: resume it first");
		return;
	}
	control_answer(call, NULL);
	vm_stop(&run->vm, VM_RESET, 0);
}

static void subscribe(struct run *run, struct control_call *call)
{
	control_subscribe(call);
	control_answer(call, NULL);
}

static void console(struct run *run, struct control_call *call)
{
	long long kept = control_integer(call, "kept", 0);

	if (kept < 0 || kept > WATCH_KEPT) {
		control_fail(call, CONTROL_BAD_ARGUMENT, "console: kept must be 0 to %u",
			     WATCH_KEPT);
		return;
	}
	control_stream_console(call, control_bool(call, "write", true),
			       control_bool(call, "take", false), (size_t)kept);
}

static void agent(struct run *run, struct control_call *call)
{
	int file = control_take_file(call), error;

	if (file < 0) {
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "agent needs a socket that comes with the request");
		return;
	}
	error = agent_link_join(run->agent, file);
	if (error == -ENOTSOCK)
		control_fail(call, CONTROL_BAD_ARGUMENT, "agent: the file is not a socket");
	else if (error == -EBUSY)
		control_fail(call, CONTROL_BUSY, "too many speak with the agent already");
	else if (error)
		control_fail(call, CONTROL_HOST, "can't reach the agent: %s", strerror(-error));
	else
		control_answer(call, NULL);
}

static void commands(struct run *run, struct control_call *call);

const struct control_command control_commands[] = {
	{"status", {{NULL, 0, false}}, status, "what the machine is, and how it does"},
	{"pause", {{NULL, 0, false}}, pause_vm, "halts all processors; answered once they stand"},
	{"resume", {{NULL, 0, false}}, resume_vm, "lets them go on"},
	{"power-button", {{NULL, 0, false}}, power_button, "presses the power button (ACPI)"},
	{"reset", {{NULL, 0, false}}, reset_vm, "resets the machine, as its reset button would"},
	{"kill", {{NULL, 0, false}}, kill_vm, "ends the machine at once, as if its power failed"},
	{"console",
	 {{"write", 'b', false}, {"take", 'b', false}, {"kept", 'i', false}, {NULL, 0, false}},
	 console,
	 "makes this connection a stream of the serial console"},
	{"agent",
	 {{NULL, 0, false}},
	 agent,
	 "joins the socket that comes along with the guest's agent"},
	{"subscribe", {{NULL, 0, false}}, subscribe, "sends events from now on"},
	{"port-list", {{NULL, 0, false}}, control_port_list, "the forwarded ports"},
	{"port-add",
	 {{"port", 's', true}, {NULL, 0, false}},
	 control_port_add,
	 "forwards one: [IP:]HOST:GUEST[/udp]"},
	{"port-remove", {{"port", 's', true}, {NULL, 0, false}}, control_port_remove, "ends that"},
	{"cpu-limit",
	 {{"cap", 'i', false}, {"weight", 'i', false}, {NULL, 0, false}},
	 control_cpu_limit,
	 "percent of one processor that it may use at most, 0: any; its share of them"},
	{"disk-limit",
	 {{"disk", 's', true},
	  {"rate", 'i', false},
	  {"burst", 'i', false},
	  {"operations", 'i', false},
	  {"operations-burst", 'i', false},
	  {NULL, 0, false}},
	 control_disk_limit,
	 "what may pass to a disk in a second; 0: any"},
	{"net-limit",
	 {{"rate", 'i', true}, {NULL, 0, false}},
	 control_net_limit,
	 "bytes that may pass the network card in a second, each way; 0: any"},
	{"save",
	 {{"stop", 'b', false},
	  {"keep", 'b', false},
	  {"memory", 'b', false},
	  {"overlays", 'a', false},
	  {NULL, 0, false}},
	 save_command,
	 "saves the machine to the file that comes with it"},
	{"migrate",
	 {{"downtime", 'i', false}, {NULL, 0, false}},
	 migrate_command,
	 "moves the machine over the connected socket that comes with it"},
	{"migrate-cancel", {{NULL, 0, false}}, migrate_cancel_command, "the machine stays here"},
	{"memory",
	 {{"size", 'i', false}, {NULL, 0, false}},
	 control_memory,
	 "how much memory the guest uses and this host holds; size: what it shall get by on"},
	{"stats", {{NULL, 0, false}}, stats, "where the machine's time has gone"},
	{"commands", {{NULL, 0, false}}, commands, "lists the commands"},
	{NULL, {{NULL, 0, false}}, NULL, NULL},
};

static void commands(struct run *run, struct control_call *call)
{
	json_t *list = json_array();

	for (const struct control_command *one = control_commands; one->name; one++)
		json_array_append_new(
			list, json_pack("{s:s, s:s}", "name", one->name, "help", one->help));
	control_answer(call, json_pack("{s:o}", "commands", list));
}
