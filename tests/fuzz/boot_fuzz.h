/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets of the boot protocols share: a machine of 16 MiB without devices, into
 * whose memory each input is started as a kernel. Boot may refuse it, with a reason; a kernel that
 * it takes must have its entry and its tables in memory.
 */
#ifndef TESTS_FUZZ_BOOT_FUZZ_H
#define TESTS_FUZZ_BOOT_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/vm.h"
#include "engines/scripted/scripted.h"
#include "machines/boot.h"

#define FUZZ_MEMORY (UINT64_C(16) << 20)
#define FUZZ_HOLE   UINT64_C(0xc0000000)
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static struct vm fuzz_vm;
static struct boot_config fuzz_config;

static inline void fuzz_machine(void)
{
	const struct vm_config config = {.vcpus = 1,
					 .memory_size = FUZZ_MEMORY,
					 .hole_base = FUZZ_HOLE,
					 .engine = &engine_scripted};

	if (fuzz_vm.vcpu_count)
		return;
	FUZZ_CHECK(!vm_create(&fuzz_vm, &config));
	fuzz_config.command_line = "console=ttyS0";
	fuzz_config.rsdp = 0xe0000;
	fuzz_config.map = (struct boot_map){
		.hole_base = FUZZ_HOLE,
		.count = 3,
		.range = {{0, 0x9fc00, BOOT_RAM},
			  {0xe0000, 0x20000, BOOT_RESERVED},
			  {1 << 20, FUZZ_MEMORY - (1 << 20), BOOT_RAM}},
	};
}

static inline void fuzz_put(uint8_t *at, uint64_t value, unsigned size)
{
	memcpy(at, &value, size);
}

/* Values that are likely to break something, chosen by a byte; others are the input's own. */
static inline uint64_t fuzz_value(const uint8_t **bytes, size_t *left)
{
	static const uint64_t values[] = {
		0,	     1,
		0xfff,	     0x1000,
		0x9fc00,     0x100000,
		0x100001,    0xffffff,
		0x1000000,   0x7fffffff,
		0xc0000000,  0xffffffff,
		UINT64_MAX,  UINT64_MAX - 0xfff,
		INT64_MAX,   UINT64_C(1) << 32,
		FUZZ_MEMORY, FUZZ_MEMORY - 1,
	};
	const size_t count = sizeof(values) / sizeof(values[0]);
	uint64_t value = 0;
	size_t size;

	if (!*left)
		return 0;
	(*left)--;
	if (*(*bytes)++ % 2)
		return *left ? ((*left)--, values[*(*bytes)++ % count]) : 0;
	size = *left < 8 ? *left : 8;
	memcpy(&value, *bytes, size);
	*bytes += size;
	*left -= size;
	return value;
}

/*
 * Starts a good kernel (file, of size bytes) after doing to it what the input says: its first two
 * bytes cut it off (0: not at all), the rest is a list of places within the first `headers` bytes,
 * sizes and values to be written there. A small module rides along.
 */
static inline void
fuzz_boot(const uint8_t *file, size_t size, size_t headers, const uint8_t *bytes, size_t left,
	  int (*boot)(struct vm *, const struct boot_config *, struct boot_result *),
	  bool (*is_one)(const struct image *))
{
	static const uint8_t module[100] = {0x1f, 0x8b};
	struct boot_result result;
	uint8_t *copy;
	size_t cut;
	int error;

	if (left < 2)
		return;
	cut = bytes[0] | (size_t)bytes[1] << 8;
	bytes += 2;
	left -= 2;
	/* Exactly as long as it is, so that a read behind its end is seen. */
	if (cut && cut < size)
		size = cut;
	copy = malloc(size);
	FUZZ_CHECK(copy);
	memcpy(copy, file, size);
	while (left >= 3) {
		size_t place = (bytes[0] | (size_t)bytes[1] << 8) % headers;
		unsigned width = 1u << (bytes[2] & 3);
		uint64_t value;

		bytes += 3;
		left -= 3;
		value = fuzz_value(&bytes, &left);
		if (place + width <= size)
			fuzz_put(copy + place, value, width);
	}
	fuzz_machine();
	memset(&result, 0, sizeof(result));
	vm_reset(&fuzz_vm);
	fuzz_config.kernel = (struct boot_file){{copy, size}, "fuzz"};
	fuzz_config.modules[0] = (struct boot_file){{module, sizeof(module)}, "module"};
	fuzz_config.module_count = 1;
	if (is_one(&fuzz_config.kernel.image)) {
		error = boot(&fuzz_vm, &fuzz_config, &result);
		FUZZ_CHECK(error <= 0 && result.error == error);
		FUZZ_CHECK(!error == !result.reason[0] && !strchr(result.reason, '\n'));
		FUZZ_CHECK(!error == (fuzz_vm.vcpus[0]->state.segment[1].selector < 0x100));
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
