/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/control_limits.h"

#include <string.h>

#include "core/host.h"
#include "devices/virtio/net.h"
#include "machines/machine_file.h"
#include "manage/control_message.h"
#include "manage/managed.h"
#include "manage/run_state.h"
#include "storage/hold.h"

/* The figures of a disk's limits, by their names here. */
static const struct {
	const char *name;
	size_t place; /* in struct hold_limits */
} figures[] = {
	{"rate", offsetof(struct hold_limits, rate)},
	{"burst", offsetof(struct hold_limits, burst)},
	{"operations", offsetof(struct hold_limits, operations)},
	{"operations-burst", offsetof(struct hold_limits, operations_burst)},
};
#define FIGURES (sizeof(figures) / sizeof(figures[0]))

static uint64_t *figure(struct hold_limits *limits, size_t i)
{
	return (uint64_t *)((uintptr_t)limits + figures[i].place);
}

static json_t *limits_json(struct disk *disk)
{
	json_t *object = json_object();
	struct hold_limits limits;

	hold_limits(disk, &limits);
	for (size_t i = 0; i < FIGURES; i++)
		if (*figure(&limits, i))
			json_object_set_new(object, figures[i].name,
					    json_integer((json_int_t)*figure(&limits, i)));
	return object;
}

static json_t *counts_json(const struct disk *disk)
{
	struct hold_counts counts;

	hold_counts(disk, &counts);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "reads", (json_int_t)counts.reads,
			 "writes", (json_int_t)counts.writes, "flushes", (json_int_t)counts.flushes,
			 "discards", (json_int_t)counts.discards, "read-bytes",
			 (json_int_t)counts.read_bytes, "written-bytes",
			 (json_int_t)counts.written_bytes, "held", (json_int_t)counts.held);
}

json_t *control_disks(const struct run *run)
{
	json_t *list = json_array();

	for (unsigned i = 0; list && i < run->disk_count; i++) {
		struct disk *disk = run->disks[i];
		json_t *one = json_pack("{s:s, s:I, s:b, s:b, s:o, s:o}", "serial", disk->serial,
					"size", (json_int_t)disk->size, "read-only",
					disk->read_only, "waits", hold_waits(disk), "limits",
					limits_json(disk), "counts", counts_json(disk));

		/* A disk that was made of options, a seed, has no file. */
		if (i < run->description->disk_count)
			json_object_set_new(one, "file",
					    control_text(run->description->disks[i].path));
		json_array_append_new(list, one);
	}
	return list;
}

void control_disk_limit(struct run *run, struct control_call *call)
{
	const char *serial = control_string(call, "disk", "");
	struct hold_limits limits;
	unsigned number = 0;

	while (number < run->disk_count && strcmp(run->disks[number]->serial, serial) != 0)
		number++;
	if (number == run->disk_count) {
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "disk-limit: there is no disk \"%s\": they are lodge0, lodge1, ...",
			     serial);
		return;
	}
	hold_limits(run->disks[number], &limits);
	for (size_t i = 0; i < FIGURES; i++) {
		long long value =
			control_integer(call, figures[i].name, (long long)*figure(&limits, i));

		if (value < 0) {
			control_fail(call, CONTROL_BAD_ARGUMENT,
				     "disk-limit: %s must be 0 (none) or more", figures[i].name);
			return;
		}
		*figure(&limits, i) = (uint64_t)value;
	}
	hold_limit(run->disks[number], &limits);
	control_answer(call, NULL);
}

/* Processors */

json_t *control_cpu(const struct run *run)
{
	const struct limits *limits = &run->limits;
	bool grouped = limits->group.entered;
	uint64_t held = 0;

	for (unsigned i = 0; i < run->vm.vcpu_count; i++)
		held += run->vm.vcpus[i]->held;
	return json_pack("{s:i, s:s, s:s, s:s, s:i, s:f}", "cap", (int)limits->cap, "cap-by",
			 grouped ? "cgroup" : "lodge", "cgroup", grouped ? limits->group.path : "",
			 "why", limits->group.why, "weight", grouped ? (int)limits->weight : 0,
			 "held", (double)held / 1e9);
}

static int set_cpu_limits(struct run *run, long long cap, long long weight)
{
	struct limits *limits = &run->limits;
	int error = 0;

	if (cap != limits->cap)
		error = limits_cap(limits, &run->vm, (unsigned)cap);
	if (!error && weight && weight != limits->weight)
		error = limits_weight(limits, (unsigned)weight);
	return error;
}

void control_cpu_limit(struct run *run, struct control_call *call)
{
	long long cap = control_integer(call, "cap", (long long)run->limits.cap);
	long long weight = control_integer(call, "weight", 0);
	int error;

	if (cap < 0 || cap > MACHINE_CAP_MAX || weight < 0 || weight > MACHINE_WEIGHT_MAX) {
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "cpu-limit: cap must be 0 (none) to %d, weight 1 to %d",
			     MACHINE_CAP_MAX, MACHINE_WEIGHT_MAX);
		return;
	}
	if (weight && !run->limits.group.entered) {
		control_fail(call, CONTROL_BAD_STATE,
			     "cpu-limit: weight: the machine has no control group: its nice value "
			     "is set from outside");
		return;
	}
	error = set_cpu_limits(run, cap, weight);
	if (error)
		control_fail(call, CONTROL_HOST, "cpu-limit: %s", strerror(-error));
	else
		control_answer(call, NULL);
}

/* Network */

json_t *control_network(const struct run *run)
{
	const struct virtio_net *net = run->pc ? pc_net(run->pc) : NULL;

	if (!net)
		return json_null();
	return json_pack("{s:I, s:I, s:I}", "sent", (json_int_t)net->sent_bytes, "received",
			 (json_int_t)net->received_bytes, "rate",
			 (json_int_t)(run_is_behind_nat(run) ? user_rate(run->netport)
							     : run->options->network.rate));
}

void control_net_limit(struct run *run, struct control_call *call)
{
	long long rate = control_integer(call, "rate", 0);

	if (!run_is_behind_nat(run))
		control_fail(call, CONTROL_BAD_STATE,
			     !run->netport ? "the machine has no network card"
			     : run->options->net == NET_TAP
				     ? "a tap has no limit: this host's tc(8) sets one"
				     : "the network's own process limits it, from the machine's "
				       "next start on");
	else if (rate < 0)
		control_fail(call, CONTROL_BAD_ARGUMENT,
			     "net-limit: rate must be 0 (none) or more");
	else {
		user_limit(run->netport, (uint64_t)rate);
		control_answer(call, NULL);
	}
}

/* Writes that wait */

void control_disk_waits(void *owner, struct disk *disk, bool waiting, int error)
{
	struct run *run = owner;
	bool any = false;

	vm_lock(&run->vm);
	if (!run->ended) {
		if (waiting)
			host_log(
				LOG_WARNING,
				"disk %s: this host has no room for what the guest writes (%s): it "
				"waits until there is some",
				disk->serial, strerror(-error));
		for (unsigned i = 0; i < run->disk_count; i++)
			any |= hold_waits(run->disks[i]);
		if (run->control)
			control_event(run->control, waiting ? "disk-full" : "disk-goes-on",
				      json_pack("{s:s}", "disk", disk->serial));
		if (run->options->managed)
			managed_waits(run->options->managed, any);
	}
	vm_unlock(&run->vm);
}
