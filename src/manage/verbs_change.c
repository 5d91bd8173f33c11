/* SPDX-License-Identifier: BSD-2-Clause */
/* set, clone: machines changed and copied. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bits.h"
#include "manage/clone_files.h"
#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/layers.h"
#include "manage/machine_conf.h"
#include "manage/safe_file.h"
#include "manage/seed.h"
#include "manage/set_live.h"
#include "manage/snapshots.h"
#include "manage/verbs.h"
#include "storage/qcow2.h"
#include "storage/qcow2_header.h"

#define REASON (STORE_PATH + 512)

/* set: options whose names are keys of machine.conf. */
static const struct verb_option set_options[] = {
	{"--cpus", "N", false, "how many processors, 1 to 32"},
	{"--memory", "SIZE", false, "memory: 512M, 2G"},
	{"--append", "TEXT", false, "the kernel's command line"},
	{"--kernel", "FILE", false, "the kernel, as seen from the machine's folder"},
	{"--initrd", "FILE", false, "the initial RAM disk, as seen from there"},
	{"--net", "user[,rate=SIZE]|none|NAME", false,
	 "a network card, or none; of a machine that runs, the rate of user changes at once"},
	{"--disk", "DISK,WORD...", true,
	 "the limits of a disk, vda, vdb and so on, at once: rate=SIZE, burst=SIZE, ops=N, "
	 "ops-burst=N (0: none); and on-full=wait|error"},
	{"--engine", "NAME", false, "what runs the guest"},
	{"--cpu-model", "NAME", false, "what the guest's processors can do"},
	{"--weight", "N", false, "its share of processor time, 1 to 10000; 100 is the usual one"},
	{"--cap", "PERCENT", false, "how much of one processor it may use at most; 0: no cap"},
	{"--processors", "all|LIST", false, "which of this host's processors it may run on: 0-3,5"},
	VERB_END,
};

static bool is_of_processors(const char *name)
{
	return !strcmp(name, "--weight") || !strcmp(name, "--cap") || !strcmp(name, "--processors");
}

/* What a machine that goes on from its memory takes from machine.conf. */
static bool counts_when_saved(const struct store_machine *machine, const struct verb_value *given)
{
	const char *name = given->option->name;

	return !strcmp(name, "--engine") || is_of_processors(name) || !strcmp(name, "--disk") ||
	       (!strcmp(name, "--net") && set_live_is_rate(machine, given->value));
}

static int set_all(struct verb_call *call, struct conf_change *change, bool *live_only)
{
	int status = LODGE_OK;

	for (unsigned i = 0; !status && i < call->value_count; i++) {
		const char *name = call->values[i].option->name, *value = call->values[i].value;
		bool live = false;

		if (!strcmp(name, "--disk"))
			status = set_live_disk(change, value, &live);
		else if (!strcmp(name, "--net"))
			status = set_live_net(change, value, &live);
		else if (is_of_processors(name))
			status = set_live_cpu(change, name + 2, value, &live);
		else
			status = conf_change_line(change, name + 2, NULL, value);
		*live_only &= live;
	}
	return status;
}

static int set(struct verb_call *call)
{
	struct store_machine machine;
	struct conf_change change;
	struct store store;
	bool live_only = true;
	int status;

	if (!call->value_count)
		return complain_with(LODGE_BAD_OPTION,
				     "set: says nothing: write lodge set %s --memory 1G, say",
				     call->words[0]);
	status = verb_store(call, &store);
	if (!status)
		status = verb_machine_changed(call, &store, call->words[0], &machine);
	if (status)
		return status;
	for (unsigned i = 0; !status && i < call->value_count; i++)
		if (!counts_when_saved(&machine, &call->values[i]))
			status = verb_not_saved(call, &machine);
	if (!status) {
		status = conf_change_begin(&change, call->verb->name, &machine);
		if (!status)
			status = set_all(call, &change, &live_only);
		if (!status)
			status = conf_change_apply(&change);
		if (!status)
			status = set_live_outside(&change, verb_given(call, "--weight"),
						  verb_given(call, "--processors"), &live_only);
		conf_change_end(&change);
	}
	if (!status && !live_only && store_is_locked(&machine, STORE_RUN))
		printf("%s is running: this counts from its next start on\n", machine.name);
	store_close(&machine);
	return status;
}

/* clone */

struct clone {
	struct verb_call *call;
	struct store store;
	struct store_machine source;
	struct machine_config config;
	struct layers layers;
	struct store_new new;
	const char *name;
};

/* The text of the copy's machine.conf: another name, another address, no ports. */
static int write_conf(struct clone *clone)
{
	char path[STORE_PATH + 16], reason[REASON], *text, *changed, mac_text[32];
	uint8_t mac[6];
	size_t length;
	int error;

	store_path(&clone->source, "machine.conf", path);
	error = safe_file_read(path, STORE_CONF_MAX, &text, &length);
	if (error)
		return complain_with(LODGE_BAD_INPUT, "%s: %s", path, strerror(-error));
	changed = machine_conf_rename(text, length, clone->name, reason, sizeof(reason));
	free(text);
	for (unsigned i = 0; changed && i < clone->config.port_count; i++) {
		text = changed;
		changed = machine_conf_set(text, strlen(text), "port", NULL, NULL, reason,
					   sizeof(reason));
		free(text);
	}
	machine_conf_mac(mac);
	snprintf(mac_text, sizeof(mac_text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	if (changed && clone->config.lines[MACHINE_MAC]) {
		text = changed;
		changed = machine_conf_set(text, strlen(text), "mac", NULL, mac_text, reason,
					   sizeof(reason));
		free(text);
	}
	if (!changed)
		return complain_with(LODGE_BAD_INPUT, "clone: %s", reason);
	snprintf(path, sizeof(path), "%s/machine.conf", clone->new.folder);
	error = safe_file_replace(path, changed, strlen(changed), 0600);
	free(changed);
	return error ? complain_with(LODGE_HOST_LACKS, "clone: %s: %s", path, strerror(-error))
		     : LODGE_OK;
}

static int copy_disks(struct clone *clone)
{
	int status = LODGE_OK;

	for (unsigned i = 0; !status && i < clone->layers.count; i++)
		status =
			clone_chain(&clone->source, clone->layers.disks[i].file, clone->new.folder);
	return status;
}

/* Overlays on the source's layers, which are frozen for it: the source goes on in new ones. */
static int link_disks(struct clone *clone)
{
	char files[MACHINE_DISKS_MAX][LAYER_NAME], reason[REASON];

	for (unsigned i = 0; i < clone->layers.count; i++) {
		const char *file = clone->layers.disks[i].file;
		char path[STORE_PATH + LAYER_NAME], backing[MACHINE_NAME_MAX + LAYER_NAME + 8];
		const struct qcow2_options options = {.version = 3,
						      .cluster_bits = QCOW2_CLUSTER_BITS_USUAL,
						      .backing = backing,
						      .backing_format = "qcow2"};

		memcpy(files[i], file, LAYER_NAME);
		snprintf(backing, sizeof(backing), "../%s/%s", clone->source.name, file);
		snprintf(path, sizeof(path), "%s/%s", clone->new.folder, file);
		if (qcow2_create(path, &options, reason, sizeof(reason)))
			return complain_with(LODGE_HOST_LACKS, "clone: %s", reason);
	}
	if (layers_grow(&clone->source, &clone->config, &clone->layers, files, false, reason,
			sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "clone: %s", reason);
	return LODGE_OK;
}

/* The clone is another machine: it has its own name, and its guest begins as a new instance. */
static int copy_seed(struct clone *clone)
{
	char from[STORE_PATH], to[STORE_PATH + 16];
	int file, error;

	store_path(&clone->source, SEED_NAME, from);
	if (access(from, F_OK))
		return LODGE_OK;
	file = seed_renew(from, seed_hostname_ok(clone->name) ? clone->name : NULL);
	if (file < 0)
		return complain_with(LODGE_HOST_LACKS, "clone: %s: %s", from, strerror(-file));
	snprintf(from, sizeof(from), "/proc/self/fd/%d", file);
	snprintf(to, sizeof(to), "%s/" SEED_NAME, clone->new.folder);
	error = safe_file_copy(from, to, 0400);
	close(file);
	return error ? complain_with(LODGE_HOST_LACKS, "clone: %s: %s", to, strerror(-error))
		     : LODGE_OK;
}

static int make(struct clone *clone)
{
	char reason[REASON];
	int status,
		error = store_new_begin(clone->store.machines, &clone->new, reason, sizeof(reason));

	if (error)
		return complain_with(LODGE_HOST_LACKS, "clone: %s", reason);
	status = write_conf(clone);
	if (!status)
		status = copy_seed(clone);
	if (!status)
		status = clone_files(&clone->source, &clone->config, clone->new.folder);
	if (!status)
		status =
			verb_given(clone->call, "--linked") ? link_disks(clone) : copy_disks(clone);
	if (status) {
		store_new_abandon(&clone->new);
		return status;
	}
	error = store_new_finish(clone->store.machines, &clone->new, clone->name, reason,
				 sizeof(reason));
	if (error)
		return complain_with(error == -EEXIST ? LODGE_EXISTS : LODGE_HOST_LACKS,
				     "clone: %s", reason);
	return LODGE_OK;
}

static int open_source(struct clone *clone)
{
	char path[STORE_PATH + MACHINE_NAME_MAX], reason[REASON];
	int status, error;

	clone->name = clone->call->words[1];
	if (!store_name_check(clone->name, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "clone: %s", reason);
	status = verb_store(clone->call, &clone->store);
	if (status)
		return status;
	snprintf(path, sizeof(path), "%s/%s", clone->store.machines, clone->name);
	if (!access(path, F_OK))
		return complain_with(LODGE_EXISTS,
				     "clone: there is a %s already: take another name",
				     clone->name);
	status = verb_machine_stopped(clone->call, &clone->store, clone->call->words[0],
				      &clone->source);
	if (!status)
		status = verb_not_saved(clone->call, &clone->source);
	if (!status &&
	    (store_config(&clone->source, &clone->config, reason, sizeof(reason)) ||
	     layers_find(&clone->source, &clone->config, &clone->layers, reason, sizeof(reason))))
		status = complain_with(LODGE_BAD_STATE, "clone: %s", reason);
	/* What was never finished must not count once machine.conf names other layers. */
	error = status ? 0 : snapshots_sweep(&clone->source);
	if (error)
		status = complain_with(LODGE_HOST_LACKS, "clone: %s: its snapshots: %s",
				       clone->source.name, strerror(-error));
	return status;
}

static int clone(struct verb_call *call)
{
	struct clone *clone = calloc(1, sizeof(*clone));
	int status;

	if (!clone)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	clone->call = call;
	clone->source.lock = -1;
	status = open_source(clone);
	if (!status)
		status = make(clone);
	store_close(&clone->source);
	free(clone);
	return status;
}

static const struct verb_option clone_options[] = {
	{"--linked", NULL, false,
	 "an overlay on the old one's disks, made at once: the old one can't "
	 "be removed before it"},
	VERB_END,
};

const struct verb verbs_change[] = {
	{"set",
	 "OPTION... NAME",
	 "changes what a machine is",
	 1,
	 1,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 set_options,
	 false,
	 false,
	 set,
	 "A line of its machine.conf each. A machine that runs changes at its next start, but for "
	 "weight, cap, processors and the limits of disks and of the network, which count at "
	 "once."},
	{"clone",
	 "[--linked] NAME NEW",
	 "makes a machine like another",
	 2,
	 2,
	 {COMPLETE_MACHINE, COMPLETE_NOTHING},
	 clone_options,
	 false,
	 false,
	 clone,
	 "The old one must not run. The new one has a network address of its own, and no forwarded "
	 "ports. Snapshots stay with the old one."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
