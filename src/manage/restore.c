/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/restore.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/engine.h"
#include "machines/saved_state.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/run_state.h"
#include "storage/format.h"

#define NANOSECONDS UINT64_C(1000000000)
#define REASON	    (SAVED_REASON + PATH_MAX)

/* Clocks of one speed, as two measurements see them. */
#define SPEED_MILLIONTHS 200u

static const char *option_name(const struct run *run)
{
	return run->incoming.address ? "incoming" : "restore";
}

/* Options */

/* What the saved machine says itself. */
static const char *const fixed[] = {"--machine",      "--kernel", "--initrd",	 "--append",
				    "--cpus",	      "--memory", "--cpu-model", "--net",
				    "--test-devices", "--user",	  "--hostname",	 "--ssh-key",
				    "--cloud-init",   NULL};

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

static int take_disks(struct options *options, const struct saved_config *config)
{
	/* Disks of the command line stand for all of the machine's. */
	if (options->disk_count)
		return LODGE_OK;
	for (unsigned i = 0; i < config->disk_count; i++) {
		struct options_disk *disk = &options->disks[i];

		*disk = (struct options_disk){.path = strdup(config->disks[i].path),
					      .read_only = config->disks[i].read_only};
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

static void take_network(struct options *options, const struct saved_config *config)
{
	options->net = config->network ? NET_USER : NET_NONE;
	memcpy(options->mac, config->mac, sizeof(options->mac));
	if (options->forward_count)
		return;
	for (unsigned i = 0; i < config->forward_count && i < OPTIONS_FORWARDS_MAX; i++)
		options->forwards[options->forward_count++] = config->forwards[i];
}

static int take_options(struct options *options, const struct saved_config *config)
{
	options->cpus = config->cpus;
	options->memory = config->memory;
	options->cpu_model = config->cpu_model;
	options->kernel = config->kernel;
	options->initrd = config->initrd[0] ? config->initrd : NULL;
	options->append = config->append;
	options->test_devices = config->test_devices;
	take_network(options, config);
	return take_disks(options, config);
}

int restore_take(struct run *run, struct options *options, bool trusted)
{
	const struct saved_config *config = run->restore.config;
	int status = check_options(options);

	if (status)
		return status;
	if (!trusted && config->disk_count && !options->disk_count)
		return complain_with(
			LODGE_BAD_OPTION,
			"--incoming %s: the machine has %u disks: a peer on the network "
			"can't say where they are here: name them with --disk",
			options->incoming, config->disk_count);
	return take_options(options, config);
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
	return restore_take(run, options, true);
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

static uint64_t modified(const char *path)
{
	struct stat status;

	if (stat(path, &status))
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
		    !options_given(run->options, "--disk") && modified(path) != was->modified)
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

int restore_machine(struct run *run)
{
	struct restore *restore = &run->restore;
	uint8_t *state = restore->file.state;
	size_t length = restore->file.state_length;
	char reason[SAVED_STATE_REASON];
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
	error = saved_state_read(&run->vm, state, length, reason);
	vm_unlock(&run->vm);
	free(state);
	if (error)
		return complain_with(LODGE_BAD_INPUT, "--%s %s: %s", option_name(run),
				     restore->path, reason);
	return run->incoming.address ? incoming_commit(run) : LODGE_OK;
}

/* How fast the host's TSC is takes milliseconds to find out: the guest runs meanwhile. */
static void check_speed(const struct run *run)
{
	uint64_t here = host_tsc_frequency(), there = run->cpu_model.tsc_frequency;
	uint64_t apart = here > there ? here - there : there - here;

	if (apart > there / 1000000 * SPEED_MILLIONTHS)
		complain("--%s %s: its TSC ran at %llu kHz, and this host's runs at %llu: the "
			 "guest's clocks will be wrong",
			 option_name(run), run->restore.path, (unsigned long long)(there / 1000),
			 (unsigned long long)(here / 1000));
}

void restore_started(struct run *run)
{
	if (!run->restore.path)
		return;
	saved_memory_start(run->restore.memory);
	check_speed(run);
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
	config->network = run->netport != NULL;
	if (run->netport)
		memcpy(config->mac, run->netport->mac, sizeof(config->mac));
	config->test_devices = run->options->test_devices;
	config->sockets = run->agent != NULL;
	config->share_count = run->shares.count;
	for (unsigned i = 0; i < config->share_count; i++)
		describe_share(&run->options->shares[i], config->shares[i]);
	return LODGE_OK;
}

void describe_again(struct run *run)
{
	struct saved_config *config = run->description;

	config->tsc_frequency = run->cpu_model.tsc_frequency;
	snprintf(config->append, sizeof(config->append), "%s",
		 run->restore.path ? run->restore.config->append : run->guest.command_line);
	for (unsigned i = 0; i < config->disk_count; i++)
		config->disks[i].modified = modified(config->disks[i].path);
	config->forward_count = 0;
	for (unsigned i = 0; i < run->forward_count && i < SAVED_FORWARDS_MAX; i++)
		user_forward_text(&run->forwards[i], config->forwards[config->forward_count++]);
}
