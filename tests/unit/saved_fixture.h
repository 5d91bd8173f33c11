/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole machine with disks and a network card, on the scripted engine, to be saved and loaded. */
#ifndef TESTS_UNIT_SAVED_FIXTURE_H
#define TESTS_UNIT_SAVED_FIXTURE_H

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "hosts/fake/fake.h"
#include "lib/error.h"
#include "machines/pc.h"
#include "machines/saved_state.h"
#include "x86/cpuid.h"

#define SAVED_FIXTURE_MEMORY (UINT64_C(16) << 20)

static struct vm saved_vm;
static struct pc *saved_pc;
static unsigned saved_submits;

static int saved_submit(struct disk *disk, struct disk_request *request)
{
	(void)disk;
	(void)request;
	saved_submits++;
	return -EIO;
}

static void saved_nothing(struct netport *port)
{
	(void)port;
}

static void saved_send(struct netport *port, const struct slice *slices, unsigned count)
{
	(void)port;
	(void)slices;
	(void)count;
}

static const struct disk_ops saved_disk_ops = {.submit = saved_submit};
static const struct netport_ops saved_net_ops = {.send = saved_send,
						 .receive_ready = saved_nothing};
static struct disk saved_disk = {.ops = &saved_disk_ops, .size = 1 << 20, .block_size = 512};
static struct netport saved_port = {.ops = &saved_net_ops, .mtu = 1500, .mac = {0x52, 1, 2}};

/* 0 or a negative errno. */
static inline int saved_machine_create(unsigned vcpus, bool disk, bool network)
{
	const struct vm_config config = {.vcpus = vcpus,
					 .memory_size = SAVED_FIXTURE_MEMORY,
					 .hole_base = PC_HOLE_BASE,
					 .engine = &engine_scripted,
					 .cpu_model = cpu_model_find("x86-64-v3")};
	struct pc_config pc = {.netport = network ? &saved_port : NULL};
	int error = vm_create(&saved_vm, &config);

	if (disk)
		pc.disks[pc.disk_count++] = &saved_disk;
	if (!error)
		error = pc_create(&saved_pc, &saved_vm, &pc);
	if (!error)
		vm_reset(&saved_vm);
	return error;
}

static inline void saved_machine_destroy(void)
{
	vm_destroy(&saved_vm);
	pc_destroy(saved_pc);
}

/* As if all vcpus had parked. */
static inline void saved_machine_pause(void)
{
	vm_lock(&saved_vm);
	vm_pause(&saved_vm);
	for (unsigned i = 0; i < saved_vm.vcpu_count; i++)
		saved_vm.vcpus[i]->parked = true;
	vm_vcpu_parked(&saved_vm);
	vm_unlock(&saved_vm);
}

#endif
