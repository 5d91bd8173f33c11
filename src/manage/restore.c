/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/restore.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/device.h"
#include "core/engine.h"
#include "machines/saved_state.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/run_state.h"
#include "manage/seal.h"
#include "storage/format.h"

#define NANOSECONDS UINT64_C(1000000000)
#define REASON	    (SAVED_REASON + PATH_MAX)

static const char *option_name(const struct run *run)
{
	return run->incoming.address ? "incoming" : "restore";
}

/* Options */

/* What the saved machine says itself. */
static const char *const fixed[] = {
	"--machine",	  "--append",	"--cpus",    "--memory",     "--cpu-model", "--user",
	"--test-devices", "--hostname", "--ssh-key", "--cloud-init", NULL};

static const enum options_net networks[] = {[SAVED_NO_NETWORK] = NET_NONE,
					    [SAVED_USER] = NET_USER,
					    [SAVED_LAN] = NET_LAN,
					    [SAVED_TAP] = NET_TAP};

/* Its end of a network of machines, or of a tap, comes as a descriptor. */
static bool brings_network(const struct run *run)
{
	return run->incoming.address && run->incoming.wire.local &&
	       run->restore.config->network >= SAVED_LAN;
}

/* Which network of machines it is on, or which tap, is never a file's word: a person says it, or
 * machine.conf. */
static int check_wire(const struct run *run, const struct options *options)
{
	const bool lan = run->restore.config->network == SAVED_LAN;

	if (brings_network(run) && options_given(options, "--net"))
		return complain_with(LODGE_BAD_OPTION,
				     "--net: comes with the machine: leave it out");
	if (brings_network(run) && options->forward_count)
		return complain_with(LODGE_BAD_OPTION,
				     "-p: ports come with the machine: lodge port add more of "
				     "them when it is here");
	if (brings_network(run) || options->managed ||
	    options->net == networks[run->restore.config->network])
		return LODGE_OK;
	return complain_with(LODGE_BAD_OPTION,
			     "--%s %s: the machine is on a %s: say which here: %s",
			     option_name(run), run->restore.path,
			     lan ? "network of machines (lodge net)" : "tap",
			     lan ? "--net NAME" : "--net tap,...");
}

/* Its network card comes with it, and how fast that may be is said here. */
static int check_network(const struct run *run, const struct options *options)
{
	const struct saved_config *config = run->restore.config;

	if (config->network >= SAVED_LAN)
		return check_wire(run, options);
	if (!options_given(options, "--net") || (options->net == NET_USER && config->network))
		return LODGE_OK;
	return complain_with(LODGE_BAD_OPTION,
			     config->network ? "--net: the network comes with the machine: only "
					       "user[,rate=SIZE] may be said of it"
					     : "--net: the machine has no network card: leave "
					       "it out");
}

static int check_options(const struct options *options)
{
	for (const char *const *name = fixed; *name; name++)
		if (options_given(options, *name))
			return complain_with(LODGE_BAD_OPTION,
					     "%s: comes with the machine: leave it out", *name);
	if (options->command)
		return complain_with(LODGE_BAD_OPTION,
				     "--: a restored machine can't be given a command");
	return LODGE_OK;
}

static void take_limits(struct options_disk *disk, const struct saved_limits *limits)
{
	disk->limits = (struct hold_limits){limits->rate, limits->burst, limits->operations,
					    limits->operations_burst};
	disk->when_full = limits->fails_when_full ? HOLD_FULL_ERROR : HOLD_FULL_WAIT;
}

static int take_disks(struct options *options, const struct saved_config *config)
{
	/* Disks of the command line stand for all of the machine's. */
	if (options->disk_count)
		return LODGE_OK;
	for (unsigned i = 0; i < config->disk_count; i++) {
		struct options_disk *disk = &options->disks[i];

		*disk = (struct options_disk){.path = strdup(config->disks[i].path),
					      .read_only = config->disks[i].read_only};
		take_limits(disk, &config->disks[i].limits);
		if (!disk->path)
			return complain_with(LODGE_HOST_LACKS, "no memory");
		options->disk_count++;
		if (!format_parse(config->disks[i].format, &disk->format))
			return complain_with(LODGE_BAD_INPUT,
					     "disk %s: format %s is not known here", disk->path,
					     config->disks[i].format);
	}
	return LODGE_OK;
}

static void take_network(const struct run *run, struct options *options, bool trusted)
{
	const struct saved_config *config = run->restore.config;

	if (!options_given(options, "--net"))
		options->network.rate = config->rate;
	options->net = networks[config->network];
	memcpy(options->mac, config->mac, sizeof(options->mac));
	if (options->forward_count || options->managed)
		return;
	if (!trusted && config->forward_count && !brings_network(run)) {
		complain("--%s %s: ports of this host are not forwarded to it, as they were where "
			 "it comes from (%s%s): say -p",
			 option_name(run), run->restore.path, config->forwards[0],
			 config->forward_count > 1 ? ", ..." : "");
		return;
	}
	for (unsigned i = 0; i < config->forward_count && i < OPTIONS_FORWARDS_MAX; i++)
		options->forwards[options->forward_count++] = config->forwards[i];
}

static int take_options(const struct run *run, struct options *options, bool trusted)
{
	const struct saved_config *config = run->restore.config;

	options->cpus = config->cpus;
	options->memory = config->memory;
	options->cpu_model = config->cpu_model;
	if (!options_given(options, "--kernel"))
		options->kernel = config->kernel;
	if (!options_given(options, "--initrd"))
		options->initrd = config->initrd[0] ? config->initrd : NULL;
	options->append = config->append;
	options->test_devices = config->test_devices;
	take_network(run, options, trusted);
	return take_disks(options, config);
}

/* Whether files may be opened because the description names them. */
static bool is_trusted(const struct run *run, const struct options *options)
{
	/* A machine of the store has its files from machine.conf. */
	if (options->trust_paths || options->managed)
		return true;
	/* What has crossed a network once may be sent again by whoever saw it. */
	if (options->incoming && !run->incoming.wire.local)
		return false;
	return seal_is_ours(run->restore.config);
}

static void list(char *text, size_t size, const char *what, const char *path)
{
	size_t length = strlen(text);

	snprintf(text + length, size - length, "%s%s %.400s", length ? ", " : "", what, path);
}

/* Whoever hands somebody a saved machine chooses what is in its description: a private key as the
 * disk that the guest reads, for instance. */
static int check_named(const struct run *run, const struct options *options)
{
	const struct saved_config *config = run->restore.config;
	char files[2048] = "";

	if (!options_given(options, "--kernel"))
		list(files, sizeof(files), "kernel", config->kernel);
	if (config->initrd[0] && !options_given(options, "--initrd"))
		list(files, sizeof(files), "initrd", config->initrd);
	for (unsigned i = 0; i < config->disk_count && !options->disk_count; i++)
		list(files, sizeof(files),
		     config->disks[i].read_only ? "disk to read" : "disk to write to",
		     config->disks[i].path);
	if (!files[0])
		return LODGE_OK;
	/* The names are a stranger's, and this is for a terminal. */
	for (char *at = files; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	return complain_with(
		LODGE_BAD_OPTION,
		"--%s %s: this user has not saved it on this host, and it names files: "
		"give --kernel, --initrd and --disk, or --trust-paths if it may have "
		"these: %s",
		option_name(run), run->restore.path, files);
}

int restore_take(struct run *run, struct options *options)
{
	bool trusted = is_trusted(run, options);
	int status = check_options(options);

	if (!status)
		status = check_network(run, options);
	if (!status && !trusted)
		status = check_named(run, options);
	return status ? status : take_options(run, options, trusted);
}

int restore_begin(struct run *run, struct options *options)
{
	struct restore *restore = &run->restore;
	char reason[REASON];

	restore->file.fd = -1;
	if (!options->restore)
		return LODGE_OK;
	restore->config = malloc(sizeof(*restore->config));
	if (!restore->config)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	if (saved_file_open(&restore->file, options->restore, restore->config, reason,
			    sizeof(reason)))
		return complain_with(LODGE_BAD_INPUT, "--restore %s", reason);
	restore->path = options->restore;
	return restore_take(run, options);
}

/* Checks */

int restore_cpu_model(struct run *run)
{
	const struct saved_config *saved = run->restore.config;
	struct cpu_model promised = run->cpu_model;
	const char *missing;

	if (!run->restore.path)
		return LODGE_OK;
	memcpy(promised.feature, saved->feature, sizeof(promised.feature));
	missing = cpu_model_missing(&run->cpu_model, &promised, 0);
	if (missing)
		return complain_with(LODGE_HOST_LACKS,
				     "--%s %s: its processors have %s, which engine %s on "
				     "this host lacks",
				     option_name(run), run->restore.path, missing,
				     run->engine->name);
	run->cpu_model = promised;
	run->cpu_model.tsc_frequency = saved->tsc_frequency;
	run->cpu_model.physical_bits = saved->physical_bits;
	run->cpu_model.flawed = saved->flawed;
	run->cpu_model.flawless = saved->flawless;
	return LODGE_OK;
}

/* The guest's clocks go by what it was told of its TSC. */
static int other_speed(const struct run *run, uint64_t here)
{
	unsigned long long was = run->cpu_model.tsc_frequency / 1000, is = here / 1000;
	const char *what = option_name(run), *path = run->restore.path, *name = run->engine->name;

	if (run->options->any_tsc) {
		complain("--%s %s: its TSC ran at %llu kHz, and this host's runs at %llu: the "
			 "guest's clocks will be wrong",
			 what, path, was, is);
		return LODGE_OK;
	}
	return complain_with(
		LODGE_HOST_LACKS,
		"--%s %s: its TSC ran at %llu kHz, this host's runs at %llu, and engine %s "
		"can't make up for that: the guest's clocks would be wrong: %s",
		what, path, was, is, name,
		run->options->managed ? "lodge start --fresh starts it without its memory"
				      : "--any-tsc lets it go on all the same");
}

int restore_tsc(struct run *run)
{
	uint64_t here = 0;
	int error;

	if (!run->restore.path || !run->engine->tsc)
		return LODGE_OK;
	error = run->engine->tsc(&run->vm, run->cpu_model.tsc_frequency, &here);
	if (error == -ENOTSUP)
		return other_speed(run, here);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "engine %s: can't set the TSC's speed: %s",
				     run->engine->name, strerror(-error));
	return LODGE_OK;
}

/* Late, for how fast the host's is takes some milliseconds to measure, and those have passed. */
static int check_tsc(const struct run *run)
{
	if (run->engine->tsc ||
	    engine_tsc_agrees(run->cpu_model.tsc_frequency, host_tsc_frequency()))
		return LODGE_OK;
	return other_speed(run, host_tsc_frequency());
}

/* By its O_PATH descriptor: in the sandbox it has no name. */
static uint64_t modified(int file)
{
	struct stat status;

	if (fstat(file, &status))
		return 0;
	return (uint64_t)status.st_mtim.tv_sec * NANOSECONDS + (uint64_t)status.st_mtim.tv_nsec;
}

int restore_check_disks(struct run *run)
{
	const struct saved_config *saved = run->restore.config;

	if (!run->restore.path)
		return LODGE_OK;
	if (run->disk_count != saved->disk_count)
		return complain_with(LODGE_BAD_INPUT,
				     "--%s %s: the machine has %u disks: name all of them "
				     "with --disk, or none",
				     option_name(run), run->restore.path, saved->disk_count);
	for (unsigned i = 0; i < saved->disk_count; i++) {
		const struct saved_disk *was = &saved->disks[i];
		const struct disk *is = run->disks[i];
		const char *path = run->options->disks[i].path;

		if (is->size != was->size || is->block_size != was->block_size ||
		    is->read_only != was->read_only)
			return complain_with(LODGE_BAD_INPUT,
					     "--%s %s: disk %s: is another one than the "
					     "machine had: %llu bytes in blocks of %u%s, not %llu "
					     "in blocks of %u%s",
					     option_name(run), run->restore.path, path,
					     (unsigned long long)is->size, is->block_size,
					     is->read_only ? ", read-only" : "",
					     (unsigned long long)was->size, was->block_size,
					     was->read_only ? ", read-only" : "");
		if (was->modified && !run->incoming.address &&
		    !options_given(run->options, "--disk") &&
		    modified(run->disk_files[i]) != was->modified)
			return complain_with(LODGE_BAD_INPUT,
					     "--restore %s: disk %s: has been changed since the "
					     "machine was saved: %s",
					     run->restore.path, path,
					     run->options->managed
						     ? "lodge start --fresh starts it without "
						       "its memory"
						     : "take the disk as it was then (--disk "
						       "says that you have)");
	}
	return LODGE_OK;
}

/* A file that asks for a folder to be shared gets none by that: machine.conf says so, or a person.
 */
int restore_check_shares(struct run *run)
{
	const struct saved_config *saved = run->restore.config;

	if (!run->restore.path || run->options->share_count == saved->share_count)
		return LODGE_OK;
	if (run->options->managed)
		return complain_with(LODGE_BAD_INPUT,
				     "--restore %s: the machine was saved with %u shared folders: "
				     "its machine.conf has %u: have it name as many again",
				     run->restore.path, saved->share_count,
				     run->options->share_count);
	if (!saved->share_count)
		return complain_with(LODGE_BAD_OPTION,
				     "--%s %s: -v: the machine shares no folders: leave it out",
				     option_name(run), run->restore.path);
	return complain_with(LODGE_BAD_OPTION,
			     "--%s %s: the machine shares %u folders: name each again, in their "
			     "order: -v %s%s",
			     option_name(run), run->restore.path, saved->share_count,
			     saved->shares[0], saved->share_count > 1 ? " -v ..." : "");
}

/* The machine */

/*
 * A machine that comes is the other process's until incoming_commit: before, its disks and its
 * network aren't touched, for whatever fails lets it go on there. Vm's lock held all the time: the
 * network's thread finds no machine that is half loaded.
 */
static int load(struct run *run, const uint8_t *state, size_t length)
{
	char reason[SAVED_STATE_REASON];
	int status = LODGE_OK;

	if (saved_state_read(&run->vm, state, length, reason))
		status = complain_with(LODGE_BAD_INPUT, "--%s %s: %s", option_name(run),
				       run->restore.path, reason);
	if (!status)
		status = check_tsc(run);
	if (!status && run->incoming.address)
		status = incoming_commit(run);
	if (status)
		devices_reset(&run->vm);
	else
		saved_state_begin(&run->vm);
	return status;
}

int restore_machine(struct run *run)
{
	struct restore *restore = &run->restore;
	uint8_t *state = restore->file.state;
	size_t length = restore->file.state_length;
	int error = 0;

	/* The file becomes the memory's; its state is wanted a moment longer. */
	restore->file.state = NULL;
	vm_reset(&run->vm);
	if (!run->incoming.address)
		error = saved_memory_create(&restore->memory, &run->vm, &restore->file,
					    restore->path);
	if (error) {
		free(state);
		return complain_with(LODGE_HOST_LACKS, "--restore %s: no memory", restore->path);
	}
	if (!run->engine->fetches && restore->memory)
		saved_memory_finish(restore->memory);
	vm_lock(&run->vm);
	error = load(run, state, length);
	vm_unlock(&run->vm);
	free(state);
	return error;
}

void restore_started(struct run *run)
{
	if (!run->restore.path)
		return;
	saved_memory_start(run->restore.memory);
}

void restore_end(struct run *run)
{
	saved_memory_destroy(run->restore.memory);
	saved_file_close(&run->restore.file);
	free(run->restore.config);
	free(run->description);
}

/* The description */

static void absolute(char *to, size_t size, const char *path)
{
	char *real = realpath(path, NULL);

	/* A list of modules is no path. */
	snprintf(to, size, "%s", real ? real : path);
	free(real);
}

static void describe_disk(struct run *run, unsigned index, struct saved_disk *disk)
{
	const unsigned first = run->guest.prepared ? 1 : 0;
	const struct options_disk *option = &run->options->disks[index - first];
	const char *path = index < first ? run->guest.root : option->path;
	enum format format = index < first ? FORMAT_RAW : option->format;
	char reason[REASON];

	if (format == FORMAT_AUTO && format_decide(path, &format, reason, sizeof(reason)))
		format = FORMAT_RAW; /* it has been opened by now */
	absolute(disk->path, sizeof(disk->path), path);
	snprintf(disk->format, sizeof(disk->format), "%s", format_name(format));
	disk->read_only = run->disks[index]->read_only;
	disk->size = run->disks[index]->size;
	disk->block_size = run->disks[index]->block_size;
}

static void describe_share(const struct options_share *share, char *text)
{
	char path[SAVED_PATH_MAX];

	absolute(path, sizeof(path), share->host);
	snprintf(text, SAVED_SHARE_MAX, "%s:%.3000s:%suid=%u,gid=%u", path, share->guest,
		 share->read_only ? "ro," : "", (unsigned)share->uid, (unsigned)share->gid);
}

/* Those in force now. */
static void describe_limits(const struct run *run, unsigned index, struct saved_limits *to)
{
	const unsigned first = run->guest.prepared ? 1 : 0;
	struct hold_limits limits;

	hold_limits(run->disks[index], &limits);
	*to = (struct saved_limits){
		.rate = limits.rate,
		.burst = limits.burst,
		.operations = limits.operations,
		.operations_burst = limits.operations_burst,
		.fails_when_full = index >= first &&
				   run->options->disks[index - first].when_full == HOLD_FULL_ERROR,
	};
}

/* How many disks are files: the seed's is not (save_obstacle). */
static unsigned disk_files(const struct run *run)
{
	return run->options->disk_count + (run->guest.prepared ? 1 : 0);
}

int describe_machine(struct run *run)
{
	struct saved_config *config = calloc(1, sizeof(*config));
	const char *initrd = run->guest.prepared && !run->options->initrd ? run->guest.initrd
									  : run->options->initrd;

	if (!config)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	run->description = config;
	snprintf(config->engine, sizeof(config->engine), "%s", run->engine->name);
	config->cpus = run->vm.vcpu_count;
	config->memory = run->vm.memory.size;
	snprintf(config->cpu_model, sizeof(config->cpu_model), "%s", run->cpu_model.name);
	config->physical_bits = run->cpu_model.physical_bits;
	config->flawed = run->cpu_model.flawed;
	config->flawless = run->cpu_model.flawless;
	memcpy(config->feature, run->cpu_model.feature, sizeof(config->feature));
	absolute(config->kernel, sizeof(config->kernel), run->guest.kernel);
	if (initrd)
		absolute(config->initrd, sizeof(config->initrd), initrd);
	config->disk_count = disk_files(run);
	for (unsigned i = 0; i < config->disk_count; i++)
		describe_disk(run, i, &config->disks[i]);
	if (run->netport)
		config->network = run->options->net == NET_LAN	 ? SAVED_LAN
				  : run->options->net == NET_TAP ? SAVED_TAP
								 : SAVED_USER;
	if (run->netport)
		memcpy(config->mac, run->netport->mac, sizeof(config->mac));
	config->test_devices = run->options->test_devices;
	config->sockets = run->agent != NULL;
	config->share_count = run->shares.count;
	for (unsigned i = 0; i < config->share_count; i++)
		describe_share(&run->options->shares[i], config->shares[i]);
	/* Without a control socket nobody can ask for it. */
	if (run->options->control)
		seal_make(config);
	return LODGE_OK;
}

void describe_again(struct run *run)
{
	struct saved_config *config = run->description;

	config->tsc_frequency = run->cpu_model.tsc_frequency;
	snprintf(config->append, sizeof(config->append), "%s",
		 run->restore.path ? run->restore.config->append : run->guest.command_line);
	for (unsigned i = 0; i < config->disk_count; i++) {
		config->disks[i].modified = modified(run->disk_files[i]);
		describe_limits(run, i, &config->disks[i].limits);
	}
	config->rate = run_is_behind_nat(run) ? user_rate(run->netport) : 0;
	config->forward_count = 0;
	for (unsigned i = 0; i < run->forward_count && i < SAVED_FORWARDS_MAX; i++)
		user_forward_text(&run->forwards[i], config->forwards[config->forward_count++]);
}
