/* SPDX-License-Identifier: BSD-2-Clause */
/* create, launch, rm: how machines come and go. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "lib/word.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/image_store.h"
#include "manage/json.h"
#include "manage/layers.h"
#include "manage/machine_conf.h"
#include "manage/safe_file.h"
#include "manage/seed.h"
#include "manage/start.h"
#include "manage/verb_wait.h"
#include "manage/verbs.h"
#include "network/user.h"
#include "storage/format.h"
#include "storage/qcow2.h"
#include "storage/qcow2_header.h"
#include "storage/share.h"

#define ROOT_DISK "root.qcow2"
#define REASON	  (STORE_PATH + 512)

/* What one create needs. */
struct create {
	struct verb_call *call;
	const char *name;
	struct store store;
	struct image image;
	bool has_image, has_root;
	struct store_new new;
};

static int fail(const struct create *create, int status, const char *reason)
{
	return complain_with(status, "%s: %s: %s", create->call->verb->name, create->name, reason);
}

static int find_image(struct create *create)
{
	const char *text = verb_value(create->call, "--image", NULL);
	char reason[REASON];
	int error;

	/* A kernel alone is enough of a machine. */
	if (!text && create->call->machine->kernel)
		return LODGE_OK;
	error = image_find(&create->store, text, true, &create->image, reason, sizeof(reason));
	if (error)
		return complain_with(error == -ENOENT  ? LODGE_NOT_FOUND
				     : error == -EBUSY ? LODGE_BAD_STATE
						       : exit_for(error, LODGE_BAD_INPUT),
				     "%s: %s", create->call->verb->name, reason);
	create->has_image = true;
	if (create->image.config.disk_count > 1)
		return complain_with(LODGE_BAD_INPUT,
				     "%s: %s has %u disks, and a machine can be made of one: leave "
				     "the others out of its image.conf, and add them to the "
				     "machine.conf",
				     create->call->verb->name, create->image.name,
				     create->image.config.disk_count);
	create->has_root = create->image.disk[0];
	return LODGE_OK;
}

/* What --disk-size says; 0: as large as the image's. */
static int take_disk_size(const struct create *create, uint64_t *size)
{
	const char *text = verb_value(create->call, "--disk-size", NULL);
	const char *verb = create->call->verb->name;
	char reason[REASON];
	struct disk *disk;
	uint64_t least;

	*size = 0;
	if (!text)
		return LODGE_OK;
	if (!create->has_root)
		return fail(create, LODGE_BAD_OPTION,
			    "--disk-size: there is no image whose disk it would be");
	if (!word_size(text, size) || !*size || *size % 512)
		return complain_with(LODGE_BAD_OPTION,
				     "%s: --disk-size %s: is not a size of a disk: write 20G, say; "
				     "a multiple of 512 bytes",
				     verb, text);
	if (format_open(create->image.disk, create->image.disk_format, true, &disk, reason,
			sizeof(reason)))
		return fail(create, LODGE_BAD_INPUT, reason);
	least = disk->size;
	disk->ops->close(disk);
	if (*size >= least)
		return LODGE_OK;
	return complain_with(LODGE_BAD_OPTION,
			     "%s: --disk-size %s: the image's disk has %llu bytes, and its end "
			     "would be cut off",
			     verb, text, (unsigned long long)least);
}

/* An overlay on the image's disk: there at once, however large that is. */
static int make_disk(struct create *create)
{
	struct qcow2_options options = {.version = 3,
					.cluster_bits = QCOW2_CLUSTER_BITS_USUAL,
					.backing_format = format_name(create->image.disk_format)};
	char path[STORE_PATH + 16], backing[STORE_PATH + 32], reason[REASON];
	int status = take_disk_size(create, &options.size), error;

	if (status || !create->has_root)
		return status;
	if (create->image.stored)
		snprintf(backing, sizeof(backing), "../../images/%s/%s", create->image.name,
			 strrchr(create->image.disk, '/') + 1);
	else
		snprintf(backing, sizeof(backing), "%s", create->image.disk);
	options.backing = backing;
	snprintf(path, sizeof(path), "%s/" ROOT_DISK, create->new.folder);
	error = qcow2_create(path, &options, reason, sizeof(reason));
	if (error)
		return fail(create, exit_for(error, LODGE_BAD_INPUT), reason);
	return LODGE_OK;
}

/*
 * Who the machine is: its name as host name, unless told otherwise, and the keys of whoever makes
 * it. It is for guests that are made from an image.
 */
static int make_seed(struct create *create)
{
	struct options *options = create->call->machine;
	struct seed seed = {.hostname = options->hostname, .user = options->user};
	char path[STORE_PATH + 16], reason[REASON], *keys = NULL;
	int file, error;

	options->seeded = create->has_root || options->cloud_init || options->ssh_key ||
			  options->hostname || options->user;
	if (!options->seeded)
		return LODGE_OK;
	if (!seed.hostname && seed_hostname_ok(create->name))
		seed.hostname = create->name;
	if (!options->ssh_key)
		seed.keys = keys = seed_own_keys();
	file = seed_file(&seed, options->cloud_init, options->ssh_key, reason, sizeof(reason));
	free(keys);
	if (file < 0)
		return fail(create, LODGE_BAD_INPUT, reason);
	snprintf(path, sizeof(path), "%s/" SEED_NAME, create->new.folder);
	snprintf(reason, sizeof(reason), "/proc/self/fd/%d", file);
	error = safe_file_copy(reason, path, 0400);
	close(file);
	return error ? fail(create, LODGE_HOST_LACKS, strerror(-error)) : LODGE_OK;
}

static int write_conf(struct create *create)
{
	char path[STORE_PATH + 16], reason[REASON], *text;
	int error = machine_conf_text(
		create->name, create->call->machine, create->has_image ? &create->image : NULL,
		create->has_root ? ROOT_DISK : NULL, &text, reason, sizeof(reason));

	if (error)
		return fail(create, LODGE_BAD_OPTION, reason);
	snprintf(path, sizeof(path), "%s/machine.conf", create->new.folder);
	error = safe_file_replace(path, text, strlen(text), 0600);
	free(text);
	return error ? fail(create, LODGE_HOST_LACKS, strerror(-error)) : LODGE_OK;
}

static int make_machine(struct create *create)
{
	char reason[REASON];
	int error = store_new_begin(create->store.machines, &create->new, reason, sizeof(reason));
	int status;

	if (error)
		return fail(create, LODGE_HOST_LACKS, reason);
	status = make_disk(create);
	if (!status)
		status = make_seed(create);
	if (!status)
		status = write_conf(create);
	if (status) {
		store_new_abandon(&create->new);
		return status;
	}
	error = store_new_finish(create->store.machines, &create->new, create->name, reason,
				 sizeof(reason));
	if (error)
		return complain_with(error == -EEXIST ? LODGE_EXISTS : LODGE_HOST_LACKS, "%s: %s",
				     create->call->verb->name, reason);
	return LODGE_OK;
}

static int check_shares(const struct create *create)
{
	const struct options *options = create->call->machine;
	char reason[REASON];

	for (unsigned i = 0; i < options->share_count; i++)
		if (share_check(options->shares[i].host, reason, sizeof(reason)))
			return complain_with(LODGE_BAD_INPUT, "%s: %s: -v %s",
					     create->call->verb->name, create->name, reason);
	return LODGE_OK;
}

/* Looks at it all before anything is made. */
static int create_machine(struct create *create)
{
	struct user_forward forward;
	struct store_machine there;
	char reason[REASON];
	int status;

	if (!store_name_check(create->name, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "%s: %s", create->call->verb->name, reason);
	for (unsigned i = 0; i < create->call->machine->forward_count; i++)
		if (user_forward_parse(create->call->machine->forwards[i], &forward, reason,
				       sizeof(reason)))
			return fail(create, LODGE_BAD_OPTION, reason);
	status = check_shares(create);
	if (!status)
		status = verb_store(create->call, &create->store);
	if (status)
		return status;
	if (!store_find(&create->store, create->name, &there, reason, sizeof(reason))) {
		store_close(&there);
		return complain_with(
			LODGE_EXISTS,
			"%s: there is a %s already: take another name, or lodge rm %s first",
			create->call->verb->name, create->name, create->name);
	}
	status = find_image(create);
	if (!status)
		status = make_machine(create);
	if (create->has_image)
		image_release(&create->image);
	return status;
}

static int create(struct verb_call *call)
{
	struct create *create = calloc(1, sizeof(*create));
	int status;

	if (!create)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	create->call = call;
	create->name = call->words[0];
	status = create_machine(create);
	free(create);
	return status;
}

/* A step of launch, for the person who waits. */
static void say_step(const struct verb_call *call, uint64_t since, const char *what,
		     const char *which)
{
	if (!verb_given(call, "--json") && !verb_given(call, "--quiet")) {
		printf("%s: %s%s (%.2f s)\n", call->words[0], what, which,
		       (double)(host_now() - since) / 1e9);
		fflush(stdout);
	}
}

/* What can't be started isn't kept: launch does all or nothing. */
static void take_back(struct create *create, struct store_machine *machine)
{
	char reason[REASON];

	if (store_lock(&create->store, machine, STORE_RUN, 0))
		return; /* another command has started it */
	if (store_remove(create->store.machines, create->name, reason, sizeof(reason)))
		complain("launch: %s", reason);
}

static void put_launched(const struct store_machine *machine)
{
	struct json out = {0};
	struct state state;

	state_read(machine, &state);
	json_begin(&out, NULL, '{');
	json_text(&out, "name", machine->name);
	json_text(&out, "state", state_name(state.state));
	json_number(&out, "pid", (uint64_t)state.pid);
	json_end(&out, '}');
}

static int start_created(struct create *create, uint64_t since)
{
	struct store_machine machine;
	int status = verb_machine_changed(create->call, &create->store, create->name, &machine);

	if (status)
		return status;
	status = machine_start(&create->store, &machine, NULL, false);
	if (status) {
		take_back(create, &machine);
		store_close(&machine);
		return status;
	}
	say_step(create->call, since, "started", "");
	status = verb_wait_until(create->call, &machine, 0);
	if (!status && verb_given(create->call, "--until"))
		say_step(create->call, since, "has shown ",
			 verb_value(create->call, "--until", ""));
	if (!status && verb_given(create->call, "--wait"))
		say_step(create->call, since, "answers", "");
	if (!status && verb_given(create->call, "--json"))
		put_launched(&machine);
	store_close(&machine);
	return status;
}

static int launch(struct verb_call *call)
{
	struct create *create = calloc(1, sizeof(*create));
	uint64_t since = host_now();
	int status;

	if (!create)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	create->call = call;
	create->name = call->words[0];
	status = create_machine(create);
	if (!status) {
		say_step(call, since, "made from ",
			 create->has_image ? create->image.name : call->machine->kernel);
		status = start_created(create, since);
	}
	free(create);
	return status;
}

static int remove_one(struct verb_call *call, struct store *store, const char *name)
{
	struct store_machine machine;
	char reason[REASON], user[64];
	int status = verb_machine_changed(call, store, name, &machine);

	if (status)
		return status;
	if (store_is_locked(&machine, STORE_RUN)) {
		if (verb_given(call, "--force"))
			status = verb_end_machine(call, store, &machine);
		else
			status = complain_with(LODGE_BAD_STATE,
					       "rm: %s is running: lodge stop %s first, or rm "
					       "--force",
					       name, name);
	}
	if (!status && layers_used(store, &machine, user, sizeof(user)))
		status = user[0] ? complain_with(
					   LODGE_BAD_STATE,
					   "rm: %s is what %s stands on (clone --linked), or "
					   "that can't be read whole: lodge rm %s first, as its "
					   "owner",
					   name, user, user)
				 : complain_with(LODGE_HOST_LACKS,
						 "rm: %s: can't tell whether another machine "
						 "stands on it",
						 name);
	/* So that nothing starts it while it goes. */
	if (!status && store_lock(store, &machine, STORE_RUN, 0))
		status = complain_with(LODGE_BAD_STATE, "rm: %s is starting", name);
	if (!status && store_remove(store->machines, name, reason, sizeof(reason)))
		status = complain_with(LODGE_HOST_LACKS, "rm: %s", reason);
	store_close(&machine);
	return status;
}

static int rm(struct verb_call *call)
{
	return verb_for_each(call, remove_one);
}

#define OF_CREATE                                                                                  \
	{"--image", "IMAGE", false,                                                                \
	 "what its disk is an overlay on: an image of the store, a folder, or a disk's file "      \
	 "(default: the prepared guest)"},                                                         \
	{                                                                                          \
		"--disk-size", "SIZE", false, "of that disk (default: as large as the image's)"    \
	}

static const struct verb_option create_options[] = {OF_CREATE, VERB_END};

static const struct verb_option launch_options[] = {
	OF_CREATE,    {"--quiet", NULL, false, "doesn't name the steps"},
	VERB_WAIT,    VERB_UNTIL,
	VERB_TIMEOUT, VERB_JSON,
	VERB_END,
};

static const struct verb_option rm_options[] = {
	{"--force", NULL, false, "ends it first if it runs"},
	VERB_END,
};

const struct verb verbs_create[] = {
	{"create",
	 "[OPTION...] NAME",
	 "makes a machine, which isn't started",
	 1,
	 1,
	 {0, 0},
	 create_options,
	 true,
	 false,
	 create,
	 "What it is made of is written to its machine.conf (machine-file(5)), which may be "
	 "edited."},
	{"launch",
	 "[OPTION...] NAME",
	 "makes a machine and starts it",
	 1,
	 1,
	 {0, 0},
	 launch_options,
	 true,
	 false,
	 launch,
	 "It names its steps, and returns once the first processor runs; with --wait or --until "
	 "once "
	 "that has come, at the latest after --timeout seconds (300): then the last lines of the "
	 "console are shown, and the machine runs on."},
	{"rm",
	 "[--force] NAME...",
	 "removes machines and their disks",
	 1,
	 VERB_WORDS_MAX,
	 {COMPLETE_MACHINE, COMPLETE_MACHINE},
	 rm_options,
	 false,
	 false,
	 rm,
	 "Images and disks outside of the machine's folder stay."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
