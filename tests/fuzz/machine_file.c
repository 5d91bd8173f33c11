/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that describes machines: every input is refused with one clean line, or gives machines
 * whose every member is within its range.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "machines/machine_file.h"

#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct machine_config machines[MAX];
static struct machine_settings settings;
static struct machine_file_error error;

static void check_error(void)
{
	char begin[32];

	FUZZ_CHECK(error.line >= 1 && memchr(error.text, '\0', sizeof(error.text)));
	snprintf(begin, sizeof(begin), "line %u: ", error.line);
	FUZZ_CHECK(!strncmp(error.text, begin, strlen(begin)) && error.text[strlen(begin)]);
	for (const char *c = error.text; *c; c++)
		FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
}

#define ENDED(text) (memchr((text), '\0', sizeof(text)) != NULL)

/* Behind the name there may be words. */
static bool net_valid(const char *net)
{
	char name[MACHINE_NAME_MAX];
	size_t length = strcspn(net, ",");

	if (length >= sizeof(name))
		return false;
	memcpy(name, net, length);
	name[length] = '\0';
	return machine_name_valid(name);
}

static void check_machine(const struct machine_config *machine)
{
	FUZZ_CHECK(ENDED(machine->name) && machine_name_valid(machine->name));
	FUZZ_CHECK(ENDED(machine->kernel) && machine->kernel[0]);
	FUZZ_CHECK(ENDED(machine->initrd) && ENDED(machine->append) && ENDED(machine->cpu_model));
	FUZZ_CHECK(ENDED(machine->net) && (!machine->net[0] || net_valid(machine->net)));
	FUZZ_CHECK(machine->cpus >= 1 && machine->cpus <= 32);
	FUZZ_CHECK(machine->memory >= MACHINE_MEMORY_MIN && machine->memory <= MACHINE_MEMORY_MAX);
	FUZZ_CHECK(machine->memory % (2 << 20) == 0 && machine->disk_memory <= MACHINE_MEMORY_MAX);
	FUZZ_CHECK(machine->disk_count <= MACHINE_DISKS_MAX && !(machine->mac[0] & 1));
	for (unsigned i = 0; i < machine->disk_count; i++)
		FUZZ_CHECK(ENDED(machine->disks[i].file) && machine->disks[i].file[0]);
	FUZZ_CHECK(machine->weight >= 1 && machine->weight <= MACHINE_WEIGHT_MAX);
	FUZZ_CHECK(machine->cap <= MACHINE_CAP_MAX && machine->processors);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	/* Exactly as long as it is, so that a read behind its end is seen. */
	char *text = malloc(size ? size : 1);
	unsigned count = 77;
	int result;

	FUZZ_CHECK(text);
	memcpy(text, bytes, size);
	result = machine_file_parse(text, size, machines, MAX, &count, &settings, &error);
	free(text);
	FUZZ_CHECK(result == 0 || result == -EINVAL || result == -ENOSPC);
	if (result) {
		check_error();
		return 0;
	}
	FUZZ_CHECK(count <= MAX && settings.script_count <= MACHINE_SCRIPT_MAX);
	for (unsigned i = 0; i < count; i++) {
		check_machine(&machines[i]);
		for (unsigned j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(machines[i].name, machines[j].name));
	}
	for (unsigned i = 0; i < settings.script_count; i++)
		FUZZ_CHECK(ENDED(settings.script[i]) && settings.script[i][0]);
	return 0;
}
