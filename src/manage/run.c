/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/vm.h"
#include "engines/kvm/kvm.h"
#include "guest/protocol.h"
#include "hosts/linux/linux.h"
#include "hosts/linux/sandbox.h"
#include "hosts/linux/terminal.h"
#include "lib/word.h"
#include "machines/pc.h"
#include "manage/agent_link.h"
#include "manage/command.h"
#include "manage/complain.h"
#include "manage/control.h"
#include "manage/control_limits.h"
#include "manage/dump.h"
#include "manage/engines.h"
#include "manage/exitcodes.h"
#include "manage/guest.h"
#include "manage/images.h"
#include "manage/machine.h"
#include "manage/managed.h"
#include "manage/run_state.h"
#include "manage/seed.h"
#include "manage/stats.h"
#include "manage/watch.h"
#include "manage/net.h"
#include "network/tap.h"
#include "network/user.h"
#include "storage/format.h"
#include "x86/cpuid.h"

#define MIB	   (UINT64_C(1) << 20)
#define REASON	   512
#define SHOW_LINES 20
#define IOCTLS_MAX 64

/* Whether standard input and output are the serial console's. */
static bool console_is_stdio(const struct run *run)
{
	const char *where = run->options->console;

	if (run->options->managed)
		return false;
	return where ? !strcmp(where, "stdio") : !run->options->command;
}

static int choose_cpu_model(struct run *run)
{
	const char *name = run->options->cpu_model ? run->options->cpu_model : "x86-64-v2";
	const struct cpu_model *model = cpu_model_find(name);
	struct cpuid_host host;
	const char *names[16] = {NULL};
	const char *nearest;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]) - 1 && cpu_model_name(i); i++)
		names[i] = cpu_model_name(i);
	nearest = word_nearest(name, names);
	if (!model)
		return complain_with(
			LODGE_BAD_OPTION, "--cpu-model %s: there is no such model: %s%s", name,
			nearest ? "did you mean " : "take portable, x86-64-v2, x86-64-v3 or max",
			nearest ? nearest : "");
	memset(&host, 0, sizeof(host));
	if (run->engine->processor)
		run->engine->processor(&host);
	else
		cpuid_host_read(&host);
	cpu_model_limit(&run->cpu_model, model, &host);
	for (unsigned i = 0; cpu_model_missing(&run->cpu_model, model, i); i++)
		host_log(LOG_INFO, "--cpu-model %s: this host lacks %s", name,
			 cpu_model_missing(&run->cpu_model, model, i));
	return LODGE_OK;
}

static int choose_engine(struct run *run)
{
	char *reason = run->engine_reason;

	run->engine = engines_choose(run->options->engine, reason, sizeof(run->engine_reason));
	if (!run->engine) {
		bool unknown = strstr(reason, "no such") != NULL;

		return complain_with(unknown ? LODGE_BAD_OPTION : LODGE_HOST_LACKS, "%s", reason);
	}
	return LODGE_OK;
}

/* Somebody who asked for none and doesn't get the best is told, once a guest can be run. */
static void tell_engine(const struct run *run)
{
	const char *name = run->options->engine;
	bool passed_over = (!name || !strcmp(name, "auto")) && run->engine != engines_all[0];

	host_log(passed_over ? LOG_WARNING : LOG_INFO, "engine %s: %s", run->engine->name,
		 run->engine_reason);
}

static int open_images(struct run *run)
{
	const struct options *options = run->options;
	char reason[REASON + PATH_MAX];
	const char *initrd =
		run->guest.prepared && !options->initrd ? run->guest.initrd : options->initrd;

	if (images_open(&run->images, run->guest.kernel, initrd, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_INPUT, "%s", reason);
	return LODGE_OK;
}

static int open_disk(struct run *run, const struct options_disk *option)
{
	const struct hold_config config = {.limits = option->limits,
					   .when_full = option->when_full,
					   .waits = control_disk_waits,
					   .owner = run};
	char reason[REASON + PATH_MAX];
	struct disk *below, *disk;

	if (run->disk_count == PC_DISKS_MAX)
		return complain_with(LODGE_BAD_OPTION, "--disk %s: there can be %u disks at most",
				     option->path, PC_DISKS_MAX);
	if (format_open(option->path, option->format, option->read_only, &below, reason,
			sizeof(reason)))
		return complain_with(LODGE_BAD_INPUT, "--%s", reason);
	if (hold_open(below, &run->vm, &config, &disk)) {
		below->ops->close(below);
		return complain_with(LODGE_HOST_LACKS, "no memory");
	}
	snprintf(disk->serial, sizeof(disk->serial), "lodge%u", run->disk_count);
	run->config.disks[run->disk_count] = disk;
	run->disk_files[run->disk_count] = open(option->path, O_PATH | O_CLOEXEC);
	run->disks[run->disk_count++] = disk;
	run->config.disk_count = run->disk_count;
	return LODGE_OK;
}

/* The seed's disk, in memory, behind all others. */
static int open_seed(struct run *run)
{
	struct seed seed = {.hostname = run->options->hostname, .user = run->options->user};
	char path[64], reason[REASON + PATH_MAX];
	int file, status;

	if (!run->options->cloud_init && !run->options->ssh_key && !seed.hostname && !seed.user)
		return LODGE_OK;
	file = seed_file(&seed, run->options->cloud_init, run->options->ssh_key, reason,
			 sizeof(reason));
	if (file < 0)
		return complain_with(LODGE_BAD_INPUT, "%s", reason);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	status = open_disk(
		run, &(struct options_disk){.path = path, .format = FORMAT_RAW, .read_only = true});
	close(file);
	return status;
}

static int open_all_disks(struct run *run)
{
	const struct options *options = run->options;
	int status = LODGE_OK;

	if (run->guest.prepared)
		status = open_disk(
			run, &(struct options_disk){.path = run->guest.root, .format = FORMAT_RAW});
	for (unsigned i = 0; !status && i < options->disk_count; i++)
		status = open_disk(run, &options->disks[i]);
	return status ? status : open_seed(run);
}

/* Mending a large disk takes long, and may be cut short. No loop takes signals yet, and there is no
 * thread that would inherit this; a disk that is to be removed is not mended. */
static int open_disks(struct run *run)
{
	int status;

	if (!run->throwaway.used)
		linux_signals_usual();
	status = open_all_disks(run);
	linux_signals_held();
	return status;
}

static int open_shares(struct run *run)
{
	char reason[REASON + PATH_MAX];

	if (shares_open(&run->shares, run->options, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_INPUT, "-v %s", reason);
	for (unsigned i = 0; i < run->shares.count; i++)
		run->config.shares[i] = run->shares.share[i];
	run->config.share_count = run->shares.count;
	return LODGE_OK;
}

static int make_vm(struct run *run)
{
	const struct vm_config config = {
		.vcpus = run->options->cpus,
		.memory_size = run->options->memory,
		.hole_base = PC_HOLE_BASE,
		.engine = run->engine,
		.cpu_model = &run->cpu_model,
	};
	int error = vm_create(&run->vm, &config);

	if (error == -ENOMEM)
		return complain_with(LODGE_HOST_LACKS,
				     "--memory %llu MiB: this host doesn't give so much: try less",
				     (unsigned long long)(config.memory_size / MIB));
	if (error)
		return complain_with(LODGE_HOST_LACKS, "engine %s: can't make a machine: %s",
				     run->engine->name, strerror(-error));
	run->vm_made = true;
	engines_configure(run->options->engine, &run->vm);
	if (run->options->stats && run->engine->measure)
		run->engine->measure(&run->vm);
	error = linux_vm_attach(&run->vm);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "can't make an event loop: %s",
				     strerror(-error));
	run->attached = true;
	return LODGE_OK;
}

/* A network between machines, or a tap. */
static int open_lan(struct run *run)
{
	const unsigned adopted = run->incoming.file_count;
	char reason[REASON];
	int error;

	if (adopted)
		error = net_adopt(&run->vm, run->options, run->incoming.files, adopted,
				  &run->netport, reason, sizeof(reason));
	else
		error = net_open(&run->vm, run->options, &run->netport, reason, sizeof(reason));
	run->incoming.file_count = 0;
	/* Its ports have come with it. */
	for (unsigned i = 0; !error && !adopted && i < run->options->forward_count; i++)
		error = net_forward(run->netport, &run->forwards[i], reason, sizeof(reason));
	if (error)
		return complain_with(error == -ENOENT ? LODGE_NOT_FOUND : LODGE_HOST_LACKS,
				     "--net: %s", reason);
	run->forward_count = run->options->forward_count;
	run->config.netport = run->netport;
	return LODGE_OK;
}

static int open_network(struct run *run)
{
	const struct options *options = run->options;
	struct user_config config = {.forwards = run->forwards,
				     .forward_count = options->forward_count,
				     .rate = options->network.rate};
	char reason[REASON];
	int error;

	memcpy(config.mac, options->mac, sizeof(config.mac));
	if (options->net == NET_NONE ||
	    (options->net == NET_DEFAULT && !options->forward_count && !run->guest.prepared))
		return LODGE_OK;
	for (unsigned i = 0; i < options->forward_count; i++)
		if (user_forward_parse(options->forwards[i], &run->forwards[i], reason,
				       sizeof(reason)))
			return complain_with(LODGE_BAD_OPTION, "-p: %s", reason);
	if (options->net == NET_LAN || options->net == NET_TAP)
		return open_lan(run);
	do
		error = user_open(&run->vm, &config, &run->netport, reason, sizeof(reason));
	while (error == -EADDRINUSE && incoming_waits(run));
	if (error)
		return complain_with(LODGE_HOST_LACKS, "%s", reason);
	run->forward_count = options->forward_count;
	run->config.netport = run->netport;
	return LODGE_OK;
}

static void press_power(struct vm *vm);
static void show_stats(struct vm *vm);

static const struct terminal_command terminal_commands[] = {
	{'p', "press the power button", press_power},
	{'s', "show where the time goes", show_stats},
	{0, NULL, NULL},
};

/* The terminal's commands know only the vm. There is one machine in a process. */
static struct pc *pc_at_terminal;
static const struct run *run_at_terminal;

static void press_power(struct vm *vm)
{
	if (pc_at_terminal)
		pc_power_button(pc_at_terminal);
}

static void show_stats(struct vm *vm)
{
	if (run_at_terminal)
		stats_print(run_at_terminal, stderr, "\r\n");
}

static void close_console(struct run *run)
{
	watch_attach(&run->watch, NULL);
	if (run->console)
		run->console->ops->close(run->console);
	run->console = NULL;
}

static int open_console(struct run *run)
{
	const char *where = run->options->console;
	const struct terminal_options terminal = {.commands = terminal_commands};
	int error;

	if (!where)
		where = run->options->command ? "none" : "stdio";
	if (run->options->managed)
		error = managed_console_open(run->options->managed, &run->console, &run->vm);
	else if (console_is_stdio(run))
		error = terminal_open(&run->console, &run->vm, &terminal);
	else if (!strcmp(where, "none"))
		error = console_none_open(&run->console, &run->vm);
	else
		error = console_file_open(&run->console, &run->vm, where + strlen("file:"));
	if (error)
		return complain_with(LODGE_BAD_INPUT, "--console %s: %s", where, strerror(-error));
	console_hub_init(&run->hub, run->console);
	watch_attach(&run->watch, &run->hub.front);
	return LODGE_OK;
}

/* What has come in over the socket is looked at once the loop runs. */
static int open_control(struct run *run)
{
	char reason[REASON + PATH_MAX];
	int listener, error;

	if (!run->options->control)
		return LODGE_OK;
	listener = control_listen(run->options->control, reason, sizeof(reason));
	if (listener < 0)
		return complain_with(LODGE_HOST_LACKS, "--control %s", reason);
	error = control_create(&run->control, run, listener);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "--control %s: %s", run->options->control,
				     strerror(-error));
	return LODGE_OK;
}

static int make_command(struct run *run)
{
	int error;

	if (!run->options->command)
		return LODGE_OK;
	error = command_create(&run->command, &run->vm, run->options->command);
	if (error == -E2BIG)
		return complain_with(LODGE_BAD_OPTION,
				     "--: the command and its arguments are too long");
	if (error)
		return complain_with(LODGE_HOST_LACKS, "can't start a command: %s",
				     strerror(-error));
	run->config.command = command_console(run->command);
	run->config.command_name = LODGE_PORT_NAME;
	return LODGE_OK;
}

/* Without a control socket nobody could ask for the agent; but a device that a saved machine has
 * stays. */
static int make_agent_link(struct run *run)
{
	bool wanted =
		run->restore.path ? run->restore.config->sockets : run->options->control != NULL;
	int error;

	if (!wanted)
		return LODGE_OK;
	error = agent_link_create(&run->agent, &run->vm);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	run->config.caller = agent_link_caller(run->agent);
	return LODGE_OK;
}

static int make_pc(struct run *run)
{
	int error;

	watch_init(&run->watch);
	run->config.serial = &run->watch.front;
	run->config.debug = &run->watch.debug;
	run->config.balloon = true;
	run->config.test_devices = run->options->test_devices;
	error = pc_create(&run->pc, &run->vm, &run->config);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "can't make the machine: %s",
				     strerror(-error));
	pc_at_terminal = run->pc;
	run_at_terminal = run;
	return LODGE_OK;
}

static int complain_about_boot(struct run *run, const struct boot_result *result)
{
	const unsigned long long need = result->memory_needed / MIB;

	if (result->memory_needed)
		return complain_with(
			LODGE_BAD_INPUT, "--memory %llu MiB: %s: give it --memory %lluM or more",
			(unsigned long long)(run->options->memory / MIB), result->reason, need);
	if (result->error == -E2BIG)
		return complain_with(LODGE_BAD_OPTION, "--append: %s", result->reason);
	return complain_with(LODGE_BAD_INPUT, "--kernel %s", result->reason);
}

/* Power-on or reset: files into memory, the first processor at the kernel's entry. */
static int boot(struct run *run)
{
	struct boot_config config = {.command_line = run->guest.command_line};
	char reason[REASON];
	struct boot_result result;
	bool may_be_linux;
	int status = LODGE_OK;

	if (images_read(&run->images, &config, reason, sizeof(reason))) {
		images_forget(&config);
		return complain_with(LODGE_BAD_INPUT, "%s", reason);
	}
	may_be_linux =
		boot_is_linux(&config.kernel.image) || !boot_is_multiboot(&config.kernel.image);
	if (!guest_command_line(&run->guest, run->options, may_be_linux, reason, sizeof(reason)))
		status = complain_with(LODGE_BAD_OPTION, "%s", reason);
	else if (pc_boot(run->pc, &config, &result))
		status = complain_about_boot(run, &result);
	images_forget(&config);
	return status;
}

static int prepare(struct run *run)
{
	char reason[REASON + PATH_MAX];
	int status;

	run->save.fd = run->save.lifeline = -1;
	if (!guest_choose(&run->guest, run->options, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "%s", reason);
	status = choose_engine(run);
	if (!status)
		status = choose_cpu_model(run);
	if (!status)
		status = restore_cpu_model(run);
	if (!status)
		status = open_images(run);
	if (!status && run->incoming.address)
		status = make_vm(run);
	if (!status && run->vm_made)
		status = restore_tsc(run);
	if (!status)
		status = incoming_memory(run);
	if (!status)
		status = open_disks(run);
	throwaway_end(&run->throwaway);
	if (!status)
		status = restore_check_disks(run);
	if (!status)
		status = restore_check_shares(run);
	if (!status)
		status = open_shares(run);
	if (!status && !run->vm_made) {
		status = make_vm(run);
		if (!status)
			status = restore_tsc(run);
	}
	if (!status)
		status = open_network(run);
	if (!status)
		status = make_command(run);
	if (!status)
		status = make_agent_link(run);
	if (!status)
		status = make_pc(run);
	if (!status)
		status = describe_machine(run);
	if (!status && !run->restore.path)
		status = boot(run);
	if (!status)
		status = open_control(run);
	if (!status)
		tell_engine(run);
	/* The last, for a terminal changes now and says so. */
	if (!status)
		status = open_console(run);
	return status;
}

/* Behind those that are there, of which there are fewer than IOCTLS_MAX. */
static void add_ioctls(uint32_t *ioctls, const uint32_t *more)
{
	unsigned count = 0;

	while (ioctls[count])
		count++;
	for (; *more && count < IOCTLS_MAX - 1; more++)
		ioctls[count++] = *more;
}

static int enter_sandbox(struct run *run)
{
	static const char *const readable[] = {"/etc/resolv.conf", NULL};
	uint32_t ioctls[IOCTLS_MAX] = {0};
	const struct sandbox_options options = {
		.readable = readable,
		.ioctls = ioctls,
		.folders = run->shares.folders,
		.folder_count = run->shares.count,
		.network = run_is_behind_nat(run) ? "user NAT connects from this process" : NULL,
	};
	char text[SANDBOX_TEXT];

	if (run->engine == &engine_kvm)
		add_ioctls(ioctls, kvm_ioctls);
	if (run->options->net == NET_TAP)
		add_ioctls(ioctls, tap_ioctls);
	if (sandbox_enter(&options, &run->sandbox, text, sizeof(text)))
		return complain_with(LODGE_HOST_LACKS, "can't enter the sandbox: %s", text);
	sandbox_describe(&run->sandbox, text, sizeof(text));
	host_log(LOG_INFO, "sandbox: %s", text);
	return LODGE_OK;
}

/* Once all is ready: what that took isn't the guest's. */
static int begin_cap(struct run *run)
{
	int error;

	if (!run->limits.cap)
		return LODGE_OK;
	vm_lock(&run->vm);
	error = limits_cap(&run->limits, &run->vm, run->limits.cap);
	vm_unlock(&run->vm);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "cap %u: %s", run->limits.cap,
				     strerror(-error));
	return LODGE_OK;
}

/* The guest's kernel said that it panicked, or its processor gave up. */
static int guest_failed(struct run *run, int status, const char *what)
{
	/* What it said last belongs in front of our line, and the terminal is to be as it was. */
	close_console(run);
	complain("%s", what);
	if (!console_is_stdio(run))
		watch_show(&run->watch, SHOW_LINES);
	dump_vcpus(&run->vm);
	return status;
}

/* The guest has ended by itself; a command that had not ended by then is not run again. */
static int command_outcome(struct run *run, const char *what)
{
	int status;

	if (command_ended(run->command, &status))
		return status;
	complain("the guest %s before the command had ended%s", what,
		 command_began(run->command)
			 ? ""
			 : ": its init never asked for it (it must be Lodge's initrd)");
	watch_show(&run->watch, SHOW_LINES);
	return LODGE_NO_STATUS;
}

/* Why the vm has stopped, as an exit status; -1: it is to start again. */
static int outcome(struct run *run)
{
	int code = run->vm.stop_code;

	switch (atomic_load(&run->vm.stop)) {
	case VM_POWERED_OFF:
		return run->command ? command_outcome(run, "powered off") : LODGE_OK;
	case VM_RESET:
		if (run->watch.panicked)
			return guest_failed(run, LODGE_GUEST_PANICKED,
					    "the guest's kernel panicked");
		return run->command ? command_outcome(run, "rebooted") : -1;
	case VM_PANICKED:
		return guest_failed(run, LODGE_GUEST_PANICKED, "the guest's kernel panicked");
	case VM_SHUTDOWN:
		return guest_failed(
			run, LODGE_GUEST_DIED,
			"a processor of the guest shut down (triple fault): its registers follow");
	case VM_TEST_EXIT:
		return (int)(((unsigned)code << 1 | 1) & 0xff);
	case VM_KILLED:
		if (run->left)
			return LODGE_OK;
		if (run->command && command_broken(run->command))
			return LODGE_NO_STATUS;
		return code ? LODGE_SIGNAL + code : LODGE_LEFT;
	default:
		return guest_failed(run, LODGE_INTERNAL,
				    run->vm.stop_reason ? run->vm.stop_reason
							: "the engine failed");
	}
}

static int run_once(struct run *run)
{
	int error;

	vm_lock(&run->vm);
	vm_resume(&run->vm); /* a restored one is paused */
	/* One that has been reset stands if it stood before. */
	run->paused = run->paused || run->incoming.paused;
	if (run->paused)
		vm_pause(&run->vm);
	run->incoming.paused = false;
	vm_unlock(&run->vm);
	error = linux_vm_start(&run->vm);
	if (error)
		return complain_with(LODGE_HOST_LACKS,
				     "can't start a thread for each processor: %s",
				     strerror(-error));
	restore_started(run);
	/* The loop returns for each pause, too. */
	do {
		linux_loop_run(&run->vm);
		run_paused(run);
		save_paused(run);
		migrate_paused(run);
	} while (atomic_load(&run->vm.stop) == VM_RUNNING);
	linux_vm_join(&run->vm);
	return outcome(run);
}

static int run_until_end(struct run *run)
{
	int status;

	while ((status = run_once(run)) < 0) {
		host_log(LOG_INFO, "the guest resets");
		run_restarted(run);
		watch_restart(&run->watch);
		for (unsigned i = 0; i < run->disk_count; i++)
			run->disks[i]->ops->drain(run->disks[i]);
		shares_drain(&run->shares);
		status = boot(run);
		if (status)
			break;
	}
	return status;
}

static void report_stats(const struct run *run)
{
	json_t *object;

	if (!run->vm_made || run->options->stats == STATS_NONE)
		return;
	if (run->options->stats == STATS_TEXT) {
		stats_print(run, stderr, "\n");
		return;
	}
	object = stats_json(run);
	if (object)
		json_dumpf(object, stderr, JSON_INDENT(2));
	json_decref(object);
	fputc('\n', stderr);
}

static void clean_up(struct run *run)
{
	throwaway_end(&run->throwaway);
	if (run->control) {
		run_stopped(run);
		control_destroy(run->control);
	}
	if (run->agent)
		agent_link_destroy(run->agent);
	close_console(run);
	report_stats(run);
	if (run->command)
		command_destroy(run->command);
	if (run->netport)
		run->netport->ops->close(run->netport);
	for (unsigned i = 0; i < run->disk_count; i++) {
		run->disks[i]->ops->close(run->disks[i]);
		close(run->disk_files[i]);
	}
	shares_close(&run->shares);
	limits_end(&run->limits);
	if (run->attached)
		linux_vm_detach(&run->vm);
	if (run->vm_made)
		vm_destroy(&run->vm);
	restore_end(run);
	incoming_end(run);
	pc_destroy(run->pc);
	if (run->images.kernel.name)
		images_close(&run->images);
}

/* What disks' threads tell from now on counts no more. */
static void note_end(struct run *run)
{
	if (!run->vm_made)
		return;
	vm_lock(&run->vm);
	run->ended = true;
	vm_unlock(&run->vm);
}

int run(struct options *options)
{
	/* Much of it is buffers that may never be used. Here those cost no memory; calloc would
	 * write zeros to them. */
	static struct run only;
	struct run *run = &only;
	int status;

	run->options = options;
	run->started = host_now();
	linux_log_level((enum host_log_level)options->log_level);
	linux_files_raise();
	status = restore_begin(run, options);
	if (!status)
		status = incoming_begin(run, options);
	if (!status)
		status = machine_apply(options);
	if (!status)
		status = throwaway_begin(&run->throwaway, options);
	/* Before there are threads, which inherit it. */
	if (!status)
		status = limits_apply(&run->limits, options);
	if (!status)
		status = prepare(run);
	if (!status)
		status = enter_sandbox(run);
	/* Late, for how fast it is takes some milliseconds to measure, and those have passed by
	 * now. No processor has run yet that could ask. */
	if (!status && !run->restore.path)
		run->cpu_model.tsc_frequency = host_tsc_frequency();
	if (!status && run->restore.path)
		status = restore_machine(run);
	if (!status)
		status = begin_cap(run);
	if (!status && options->managed)
		managed_ready(options->managed);
	if (!status)
		status = run_until_end(run);
	note_end(run);
	if (run->vm_made && options->managed && options->managed->ready < 0)
		managed_ended(options->managed, run_stop_reason(run), status);
	clean_up(run);
	return status;
}
