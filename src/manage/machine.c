/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/host.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"

#define FILE_MAX_SIZE (1u << 20)

/* All that reading a file takes. */
struct machine_file {
	struct machine_config machines[MACHINES_MAX];
	struct machine_settings settings;
	struct machine_file_error error;
	unsigned count;
	char text[FILE_MAX_SIZE];
	size_t size;
};

/* Keeps a string until options_free. NULL: no memory. */
static const char *keep(struct options *options, char *text)
{
	if (text && options->owned_count == OPTIONS_OWNED_MAX) {
		free(text);
		return NULL;
	}
	if (text)
		options->owned[options->owned_count++] = text;
	return text;
}

/* `name` as seen from the folder of the file `path`. To be freed; NULL: no memory. */
static char *join(const char *path, const char *name, size_t length)
{
	const char *slash = strrchr(path, '/');
	char *joined;

	if (*name == '/' || !slash)
		return strndup(name, length);
	if (asprintf(&joined, "%.*s/%.*s", (int)(slash - path), path, (int)length, name) < 0)
		return NULL;
	return joined;
}

/* One file, or a list as --initrd takes it: FILE[ ARGUMENTS][,FILE...]. */
static char *join_list(const char *path, const char *list)
{
	char *joined = join(path, list, strlen(list));

	if (!joined || !access(joined, F_OK))
		return joined;
	for (joined[0] = '\0'; joined;) {
		size_t length = strcspn(list, ",");
		char *one = join(path, list, length), *all = NULL;

		if (one && asprintf(&all, "%s%s%s", joined, one, list[length] ? "," : "") < 0)
			all = NULL;
		free(one);
		free(joined);
		joined = all;
		if (!list[length])
			break;
		list += length + 1;
	}
	return joined;
}

static int merge_files(struct options *options, const struct machine_config *machine,
		       const char *path)
{
	if (!options->kernel) {
		options->kernel =
			keep(options, join(path, machine->kernel, strlen(machine->kernel)));
		if (!options->kernel)
			return -ENOMEM;
	}
	if (!options->initrd && machine->initrd[0]) {
		options->initrd = keep(options, join_list(path, machine->initrd));
		if (!options->initrd)
			return -ENOMEM;
	}
	return 0;
}

static int merge_disks(struct options *options, const struct machine_config *machine,
		       const char *path, char *reason, size_t size)
{
	if (options->disk_count)
		return 0;
	for (unsigned i = 0; i < machine->disk_count; i++) {
		const char *file = machine->disks[i].file;
		struct options_disk *disk = &options->disks[options->disk_count];

		*disk = (struct options_disk){.path = join(path, file, strlen(file)),
					      .read_only = machine->disks[i].read_only};
		if (!disk->path) {
			snprintf(reason, size, "no memory");
			return -ENOMEM;
		}
		options->disk_count++;
		if (!options_disk_take(disk, reason, size))
			return -EINVAL;
	}
	return 0;
}

static int merge_text(struct options *options, const struct machine_config *machine)
{
	if (!options->append && machine->lines[MACHINE_APPEND]) {
		options->append = keep(options, strdup(machine->append));
		if (!options->append)
			return -ENOMEM;
	}
	if (!options->cpu_model && machine->cpu_model[0]) {
		options->cpu_model = keep(options, strdup(machine->cpu_model));
		if (!options->cpu_model)
			return -ENOMEM;
	}
	if (!options->name) {
		options->name = keep(options, strdup(machine->name));
		if (!options->name)
			return -ENOMEM;
	}
	if (!options->engine && machine->engine[0]) {
		options->engine = keep(options, strdup(machine->engine));
		if (!options->engine)
			return -ENOMEM;
	}
	return 0;
}

/* Where no port can lead to the machine, a line for one is a mistake; unless the command line has
 * taken the network away. */
static int check_ports(const struct options *options, const struct machine_config *machine,
		       const char *path, char *reason, size_t size)
{
	const unsigned line = machine->lines[MACHINE_PORT];
	const bool tap = options->net == NET_TAP;

	if (!tap && options->net != NET_NONE)
		return 0;
	if (machine->port_count && options_given(options, "--net")) {
		host_log(LOG_WARNING,
			 "--machine %s: line %u: port = %s: not forwarded, with --net %s", path,
			 line, machine->ports[0], tap ? "tap" : "none");
		return 0;
	}
	if (machine->port_count)
		snprintf(reason, size,
			 "line %u: port = %s: with net = %s (line %u) no port is forwarded%s: take "
			 "one of these lines out",
			 line, machine->ports[0], machine->net, machine->lines[MACHINE_NET],
			 tap ? ", for the guest has an address of its own" : "");
	else if (options->forward_count)
		snprintf(reason, size,
			 "line %u: net = %s: -p %s: behind a tap the guest has an address of its "
			 "own: no port is forwarded",
			 machine->lines[MACHINE_NET], machine->net, options->forwards[0]);
	else
		return 0;
	return -EINVAL;
}

/* What the command line says of ports is in addition. */
static int merge_ports(struct options *options, const struct machine_config *machine)
{
	if (options->net == NET_NONE || options->net == NET_TAP)
		return 0;
	for (unsigned i = 0; i < machine->port_count; i++) {
		if (options->forward_count == OPTIONS_FORWARDS_MAX)
			return -E2BIG;
		options->forwards[options->forward_count] =
			keep(options, strdup(machine->ports[i]));
		if (!options->forwards[options->forward_count])
			return -ENOMEM;
		options->forward_count++;
	}
	return 0;
}

/* What the command line says of folders is in addition. */
static int merge_shares(struct options *options, const struct machine_config *machine, char *reason,
			size_t size)
{
	for (unsigned i = 0; i < machine->share_count; i++) {
		char why[256];

		if (options_share_take(options, machine->shares[i], why, sizeof(why)))
			continue;
		snprintf(reason, size, "line %u: share = %s: %s", machine->share_lines[i],
			 machine->shares[i], why);
		return -EINVAL;
	}
	return 0;
}

static int merge_net(struct options *options, const struct machine_config *machine, char *reason,
		     size_t size)
{
	char why[256];

	memcpy(options->mac, machine->mac, sizeof(options->mac));
	if (options->net != NET_DEFAULT || !machine->net[0])
		return 0;
	/* -p asks for user, too. */
	if (options->forward_count && !strcmp(machine->net, "none"))
		return 0;
	if (!options_net_take(options, machine->net, why, sizeof(why))) {
		snprintf(reason, size, "line %u: net = %s: %s", machine->lines[MACHINE_NET],
			 machine->net, why);
		return -EINVAL;
	}
	/* The file's text doesn't stay. */
	if (options->net == NET_LAN || options->net == NET_TAP)
		options->net_text = keep(options, strdup(machine->net));
	return 0;
}

static void merge_limits(struct options *options, const struct machine_config *machine)
{
	if (!options_given(options, "--processors"))
		options->processors = machine->processors;
	if (!options_given(options, "--weight"))
		options->weight = machine->weight;
	if (!options_given(options, "--cap"))
		options->cap = machine->cap;
}

/* What bare metal does and Linux does not. */
static void tell_ignored(const struct machine_config *machine, const char *path)
{
	static const enum machine_key ignored[] = {MACHINE_DISK_MEMORY, MACHINE_START};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (machine->lines[ignored[i]])
			host_log(LOG_INFO, "--machine %s: line %u: %s means nothing on Linux", path,
				 machine->lines[ignored[i]], machine_key_name(ignored[i]));
}

/* A machine of the store that goes on from its memory: what it is was saved, but files and ports
 * are those of its machine.conf, which may have moved or been changed. */
static void forget_saved(struct options *options)
{
	for (unsigned i = 0; i < options->disk_count; i++)
		free(options->disks[i].path);
	options->disk_count = options->forward_count = 0;
	options->kernel = options->initrd = NULL;
}

/* Its network stays the one that it was saved with, but how fast that may be is said here. */
static int merge_rate(struct options *options, const struct machine_config *machine, char *reason,
		      size_t size)
{
	struct options said = {.net = NET_DEFAULT};

	options->network.rate = 0;
	if (options->net != NET_USER || !machine->net[0])
		return 0;
	if (merge_net(&said, machine, reason, size))
		return -EINVAL;
	options_free(&said);
	if (said.net == NET_USER)
		options->network.rate = said.network.rate;
	return 0;
}

/* Which network of machines, or which tap: this file says it, but it can't become another kind. */
static int merge_wire(struct options *options, const struct machine_config *machine, char *reason,
		      size_t size)
{
	const enum options_net kind = options->net;
	uint8_t mac[6];
	int error;

	if (kind != NET_LAN && kind != NET_TAP)
		return 0;
	memcpy(mac, options->mac, sizeof(mac));
	options->net = NET_DEFAULT;
	error = merge_net(options, machine, reason, size);
	memcpy(options->mac, mac, sizeof(mac));
	if (!error && options->net != kind) {
		snprintf(reason, size,
			 "the machine was saved on a %s, and this file names none: have it do so "
			 "(net = %s), or lodge start --fresh",
			 kind == NET_LAN ? "network of machines" : "tap",
			 kind == NET_LAN ? "NAME" : "tap,...");
		error = -EINVAL;
	}
	return error;
}

static int merge_saved(struct options *options, const struct machine_config *machine,
		       const char *path, char *reason, size_t size)
{
	int error;

	forget_saved(options);
	error = merge_shares(options, machine, reason, size);
	if (!error)
		error = merge_wire(options, machine, reason, size);
	if (error)
		return error;
	error = merge_files(options, machine, path);
	if (!error)
		error = merge_text(options, machine);
	if (!error && (options->net == NET_USER || options->net == NET_LAN))
		error = merge_ports(options, machine);
	else if (!error && machine->port_count)
		host_log(LOG_WARNING,
			 "%s: line %u: port = %s: the machine was saved without a network card to "
			 "which "
			 "ports lead: none is forwarded until it starts afresh",
			 path, machine->lines[MACHINE_PORT], machine->ports[0]);
	if (error) {
		snprintf(reason, size, "%s",
			 error == -E2BIG ? "there are too many ports" : "no memory");
		return error;
	}
	merge_limits(options, machine);
	error = merge_rate(options, machine, reason, size);
	if (error)
		return error;
	return merge_disks(options, machine, path, reason, size);
}

int machine_merge(struct options *options, const struct machine_config *machine, const char *path,
		  char *reason, size_t size)
{
	int error;

	if (options->restore)
		return merge_saved(options, machine, path, reason, size);
	error = merge_files(options, machine, path);
	if (!error)
		error = merge_text(options, machine);
	if (error) {
		snprintf(reason, size, "no memory");
		return error;
	}
	if (machine->lines[MACHINE_CPUS] && !options_given(options, "--cpus"))
		options->cpus = machine->cpus;
	if (machine->lines[MACHINE_MEMORY] && !options_given(options, "--memory"))
		options->memory = machine->memory;
	options->test_devices |= machine->test_devices;
	merge_limits(options, machine);
	tell_ignored(machine, path);
	error = merge_disks(options, machine, path, reason, size);
	if (!error)
		error = merge_shares(options, machine, reason, size);
	if (!error)
		error = merge_net(options, machine, reason, size);
	if (!error)
		error = check_ports(options, machine, path, reason, size);
	if (error)
		return error;
	error = merge_ports(options, machine);
	if (error)
		snprintf(reason, size, "%s",
			 error == -ENOMEM ? "no memory" : "there are too many ports");
	return error;
}

/* Reads it as a whole. False with one line. */
static bool read_file(struct machine_file *file, const char *path, char *reason, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	ssize_t got = 0;

	if (fd < 0) {
		snprintf(reason, size, "%s%s", strerror(errno),
			 errno == ENOENT ? ": is the name right?" : "");
		return false;
	}
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		snprintf(reason, size, "not a file");
		close(fd);
		return false;
	}
	while (file->size < FILE_MAX_SIZE &&
	       (got = read(fd, file->text + file->size, FILE_MAX_SIZE - file->size)) > 0)
		file->size += (size_t)got;
	if (got < 0)
		snprintf(reason, size, "%s", strerror(errno));
	else if (got > 0)
		snprintf(reason, size, "is too large for a text of machines: %u KiB are the most",
			 FILE_MAX_SIZE >> 10);
	close(fd);
	return got == 0;
}

static const struct machine_config *choose(const struct machine_file *file, const char *path,
					   const char *name, char *reason, size_t size)
{
	size_t length = 0;

	if (!file->count) {
		snprintf(reason, size, "there is no machine in it: begin with [machine NAME]");
		return NULL;
	}
	if (!name && file->count == 1)
		return &file->machines[0];
	for (unsigned i = 0; name && i < file->count; i++)
		if (!strcmp(file->machines[i].name, name))
			return &file->machines[i];
	if (name)
		length = (size_t)snprintf(reason, size, "there is no machine %s in it: it has",
					  name);
	else
		length = (size_t)snprintf(reason, size, "say which machine, as %s:NAME: it has",
					  path);
	for (unsigned i = 0; i < file->count && length < size; i++)
		length += (size_t)snprintf(reason + length, size - length, "%s %s", i ? "," : "",
					   file->machines[i].name);
	return NULL;
}

/* FILE or FILE:NAME: a file whose whole name has a colon is taken as one. */
static const char *split_name(char *path)
{
	char *colon = strrchr(path, ':');

	if (!colon || strchr(colon, '/') || !access(path, F_OK))
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static bool apply(struct options *options, struct machine_file *file, const char *path,
		  const char *name, char *reason, size_t size)
{
	const struct machine_config *machine;

	if (!read_file(file, path, reason, size))
		return false;
	if (machine_file_parse(file->text, file->size, file->machines, MACHINES_MAX, &file->count,
			       &file->settings, &file->error)) {
		snprintf(reason, size, "%s", file->error.text);
		return false;
	}
	machine = choose(file, path, name, reason, size);
	if (!machine)
		return false;
	if (file->settings.script_count)
		host_log(LOG_INFO, "--machine %s: the section [lodge] means nothing on Linux",
			 path);
	return !machine_merge(options, machine, path, reason, size);
}

int machine_apply(struct options *options)
{
	struct machine_file *file;
	const char *name;
	char *path, reason[PATH_MAX + 4096];
	int status = LODGE_OK;

	if (!options->machine)
		return LODGE_OK;
	file = calloc(1, sizeof(*file));
	path = strdup(options->machine);
	if (!file || !path) {
		status = complain_with(LODGE_HOST_LACKS, "no memory");
	} else {
		name = split_name(path);
		if (!apply(options, file, path, name, reason, sizeof(reason)))
			status = complain_with(LODGE_BAD_INPUT, "--machine %s: %s", path, reason);
	}
	free(file);
	free(path);
	return status;
}
