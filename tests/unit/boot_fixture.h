/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the boot protocols share: a vm with a map, and kernels made by hand. */
#ifndef TESTS_UNIT_BOOT_FIXTURE_H
#define TESTS_UNIT_BOOT_FIXTURE_H

#include "test.h"

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/string.h"
#include "machines/boot.h"

#define FIXTURE_MIB  (UINT64_C(1) << 20)
#define FIXTURE_HOLE UINT64_C(0xc0000000)

struct fixture {
	struct vm vm;
	struct boot_config config;
	struct boot_result result;
};

static struct fixture fixture;
static uint8_t kernel_file[256 * 1024];

static inline struct fixture *fixture_init(uint64_t memory)
{
	const struct vm_config config = {.vcpus = 2,
					 .memory_size = memory,
					 .hole_base = FIXTURE_HOLE,
					 .engine = &engine_scripted};
	uint64_t low = memory < FIXTURE_HOLE ? memory : FIXTURE_HOLE;
	struct boot_map *map = &fixture.config.map;

	bytes_fill(&fixture, 0, sizeof(fixture));
	bytes_fill(kernel_file, 0, sizeof(kernel_file));
	REQUIRE(vm_create(&fixture.vm, &config) == 0);
	map->hole_base = FIXTURE_HOLE;
	map->range[map->count++] = (struct boot_range){0, 0x9fc00, BOOT_RAM};
	map->range[map->count++] = (struct boot_range){0x9fc00, 0x60400, BOOT_RESERVED};
	map->range[map->count++] = (struct boot_range){FIXTURE_MIB, low - FIXTURE_MIB, BOOT_RAM};
	if (memory > low)
		map->range[map->count++] =
			(struct boot_range){UINT64_C(1) << 32, memory - low, BOOT_RAM};
	fixture.config.kernel = (struct boot_file){{kernel_file, sizeof(kernel_file)}, "kernel"};
	fixture.config.command_line = "";
	fixture.config.rsdp = 0xe0000;
	return &fixture;
}

static inline int fixture_boot(void)
{
	vm_reset(&fixture.vm);
	return boot_load(&fixture.vm, &fixture.config, &fixture.result);
}

static inline const uint8_t *guest(uint64_t address)
{
	const uint8_t *bytes = vm_slice(&fixture.vm, gpa(address), 1);

	REQUIRE(bytes != 0);
	return bytes;
}

/* Whether the reason has the words in it. */
static inline bool reason_has(const char *words)
{
	for (const char *at = fixture.result.reason; *at; at++)
		if (string_starts(at, words))
			return true;
	test_fail(__FILE__, __LINE__, "the reason is: %s", fixture.result.reason);
	return false;
}

static inline void add_module(const uint8_t *bytes, size_t size, const char *name)
{
	fixture.config.modules[fixture.config.module_count++] =
		(struct boot_file){{bytes, size}, name};
}

/* Boots the first `size` bytes of the kernel for each size below limit, and REQUIREs that each is
 * refused with a reason. */
static inline void expect_truncations_refused(size_t limit, size_t step)
{
	for (size_t size = 0; size < limit; size += step) {
		fixture.config.kernel.image.size = size;
		if (!EXPECT(fixture_boot() < 0) || !EXPECT(fixture.result.reason[0]))
			test_fail(__FILE__, __LINE__, "a kernel cut off after %u bytes was started",
				  (unsigned)size);
	}
}

#endif
