/* SPDX-License-Identifier: BSD-2-Clause */
/* A vm on the scripted engine. */
#ifndef TESTS_UNIT_CORE_FIXTURE_H
#define TESTS_UNIT_CORE_FIXTURE_H

#include "test.h"

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "hosts/fake/fake.h"

#define FIXTURE_MIB UINT64_C(0x100000)

static struct vm vm;

static inline void fixture_create(unsigned vcpus)
{
	struct vm_config config = {.vcpus = vcpus,
				   .memory_size = 8 * FIXTURE_MIB,
				   .hole_base = 4 * FIXTURE_MIB,
				   .engine = &engine_scripted};

	REQUIRE(vm_create(&vm, &config) == 0);
}

#endif
