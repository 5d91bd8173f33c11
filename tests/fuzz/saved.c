/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A saved machine's parts. The first byte of the input chooses: a header, a description, an entry
 * of the table, or a state for a whole machine, which, if it is taken, then runs for a while. A
 * state is made of a good one, in which the rest of the input changes bytes: 2 of place, 1 of
 * value.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "machines/saved.h"
#include "tests/unit/saved_fixture.h"

#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static char reason[SAVED_REASON];

static void check_line(int error)
{
	FUZZ_CHECK(error == -EINVAL && reason[0] && memchr(reason, '\0', sizeof(reason)));
	FUZZ_CHECK(!strchr(reason, '\n'));
}

static void fuzz_header(const uint8_t *bytes, size_t size)
{
	static uint8_t page[SAVED_HEADER_BYTES];
	struct saved_header header;
	int error;

	memset(page, 0, sizeof(page));
	memcpy(page, bytes, size < sizeof(page) ? size : sizeof(page));
	error = saved_header_read(&header, page, 1 << 20, reason);
	if (error)
		check_line(error);
	else
		FUZZ_CHECK(header.state.offset + header.state.length <= 1 << 20);
}

static void fuzz_config(const uint8_t *bytes, size_t size)
{
	static struct saved_config config;
	static uint8_t again[SAVED_CONFIG_MAX];
	size_t length;
	int error = saved_config_read(&config, bytes, size, reason);

	if (error) {
		check_line(error);
		return;
	}
	FUZZ_CHECK(config.cpus >= 1 && config.cpus <= 32 && config.disk_count <= SAVED_DISKS_MAX);
	FUZZ_CHECK(!saved_config_write(&config, again, sizeof(again), &length));
	FUZZ_CHECK(length == size && !memcmp(again, bytes, size));
	FUZZ_CHECK(!saved_config_match(&config, &config, reason));
}

static void fuzz_entry(const uint8_t *bytes, size_t size)
{
	struct saved_entry entry;

	if (size < SAVED_ENTRY_BYTES)
		return;
	if (saved_entry_read(&entry, bytes, 1 << 20, reason))
		check_line(-EINVAL);
	else
		FUZZ_CHECK(!entry.pages || entry.offset + saved_entry_length(&entry) <= 1 << 20);
}

static void fuzz_state(const uint8_t *bytes, size_t size)
{
	static uint8_t good[SAVED_STATE_USUAL], state[SAVED_STATE_USUAL];
	static size_t length;
	int error;

	FUZZ_CHECK(!saved_machine_create(2, true, true));
	if (!length) {
		saved_machine_pause();
		vm_lock(&saved_vm);
		FUZZ_CHECK(!saved_state_write(&saved_vm, good, sizeof(good), &length));
		vm_unlock(&saved_vm);
	}
	memcpy(state, good, length);
	for (; size >= 3; size -= 3, bytes += 3)
		state[(size_t)(bytes[0] | bytes[1] << 8) % length] = bytes[2];
	vm_lock(&saved_vm);
	error = saved_state_read(&saved_vm, state, length, reason);
	if (!error) {
		saved_state_begin(&saved_vm);
		vm_resume(&saved_vm);
	}
	vm_unlock(&saved_vm);
	if (error)
		check_line(error);
	else
		fake_advance(20000000);
	saved_machine_destroy();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static void (*const parts[])(const uint8_t *bytes, size_t size) = {
		fuzz_header, fuzz_config, fuzz_entry, fuzz_state, fuzz_state, fuzz_state};

	if (size)
		parts[bytes[0] % (sizeof(parts) / sizeof(parts[0]))](bytes + 1, size - 1);
	return 0;
}
