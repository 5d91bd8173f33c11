/* SPDX-License-Identifier: BSD-2-Clause */
#include "machines/machine_keys.h"

#include <stdarg.h>

#include "lib/bytes.h"
#include "lib/format.h"
#include "lib/string.h"
#include "lib/word.h"

#define MIB	 (UINT64_C(1) << 20)
#define CPUS_MAX 32

static bool wrong(char *reason, const char *text, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(char *reason, const char *text, ...)
{
	va_list arguments;

	va_start(arguments, text);
	vformat(reason, MACHINE_KEY_REASON, text, arguments);
	va_end(arguments);
	return false;
}

static bool is_name_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

bool machine_name_valid(const char *text)
{
	size_t length = 0;

	while (is_name_letter(text[length]))
		length++;
	return !text[length] && length && length < MACHINE_NAME_MAX && text[0] != '-';
}

static bool take_number(const char *value, unsigned least, unsigned most, unsigned *number,
			char *reason)
{
	uint64_t result;

	if (!word_number(value, &result) || result < least || result > most)
		return wrong(reason, "must be a number from %u to %u", least, most);
	*number = (unsigned)result;
	return true;
}

static bool take_switch(const char *value, bool *is_on, char *reason)
{
	*is_on = string_equal(value, "yes");
	return *is_on || string_equal(value, "no") || wrong(reason, "must be yes or no");
}

static bool take_file(const char *value, char *file, char *reason)
{
	if (!*value)
		return wrong(reason, "needs the name of a file");
	return string_copy(file, MACHINE_FILE_NAME_MAX, value) ||
	       wrong(reason, "the name is too long: %u bytes are the most",
		     MACHINE_FILE_NAME_MAX - 1);
}

static bool set_cpus(struct machine_config *machine, const char *value, char *reason)
{
	return take_number(value, 1, CPUS_MAX, &machine->cpus, reason);
}

static bool set_memory(struct machine_config *machine, const char *value, char *reason)
{
	if (!word_size(value, &machine->memory))
		return wrong(reason, "is not a size: write 512M, 2G or 64MiB, say");
	if (machine->memory < MACHINE_MEMORY_MIN)
		return wrong(reason,
			     "is too little: a guest needs at least %u MiB, and Linux 64 or more",
			     (unsigned)(MACHINE_MEMORY_MIN / MIB));
	if (machine->memory > MACHINE_MEMORY_MAX)
		return wrong(reason, "is too much: %u GiB is the most",
			     (unsigned)(MACHINE_MEMORY_MAX >> 30));
	return machine->memory % (2 * MIB) == 0 || wrong(reason, "must be a multiple of 2 MiB");
}

static bool set_kernel(struct machine_config *machine, const char *value, char *reason)
{
	return take_file(value, machine->kernel, reason);
}

static bool set_initrd(struct machine_config *machine, const char *value, char *reason)
{
	return take_file(value, machine->initrd, reason);
}

static bool set_append(struct machine_config *machine, const char *value, char *reason)
{
	return string_copy(machine->append, sizeof(machine->append), value) ||
	       wrong(reason, "is too long: %u bytes are the most", MACHINE_APPEND_MAX - 1);
}

/* Words behind a disk's name, which are the host's to look at. */
static bool is_disk_word(const char *word)
{
	static const char *const words[] = {
		"format=", "rate=", "burst=", "ops=", "ops-burst=", "on-full="};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (string_starts(word, words[i]))
			return true;
	return false;
}

/* Takes "ro" out of the words behind the name. Whether it was there. */
static bool take_read_only(char *text)
{
	size_t length = string_length(text), at = length;
	bool found = false;

	while (at > 0) {
		size_t end = at;

		while (at > 0 && text[at - 1] != ',')
			at--;
		if (at == 0)
			break;
		if (end - at == 2 && text[at] == 'r' && text[at + 1] == 'o') {
			bytes_move(text + at - 1, text + end, length - end + 1);
			length -= 3;
			found = true;
		} else if (!is_disk_word(text + at)) {
			break;
		}
		at--;
	}
	return found;
}

static bool set_disk(struct machine_config *machine, const char *value, char *reason)
{
	struct machine_disk *disk = &machine->disks[machine->disk_count];

	if (machine->disk_count == MACHINE_DISKS_MAX)
		return wrong(reason, "there can be %u disks at most", MACHINE_DISKS_MAX);
	if (!take_file(value, disk->file, reason))
		return false;
	disk->read_only = take_read_only(disk->file);
	if (!disk->file[0])
		return wrong(reason, "needs the name of a file");
	machine->disk_count++;
	return true;
}

/* Words behind the name, parted by commas, are the host's to look at. */
static bool set_net(struct machine_config *machine, const char *value, char *reason)
{
	char name[MACHINE_NAME_MAX] = "";
	unsigned length = 0;

	while (value[length] && value[length] != ',' && length < sizeof(name) - 1) {
		name[length] = value[length];
		length++;
	}
	name[length] = '\0';
	if (!machine_name_valid(name) || (value[length] && value[length] != ','))
		return wrong(reason, "must be none, user, tap, or the name of a switch "
				     "(letters, digits, - and _, at most 31)");
	return string_copy(machine->net, sizeof(machine->net), value) ||
	       wrong(reason, "is too long: %u bytes are the most", MACHINE_NET_MAX - 1);
}

static int hexadecimal(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool set_mac(struct machine_config *machine, const char *value, char *reason)
{
	static const char *const form = "must be six bytes like 52:54:00:12:34:56";

	for (unsigned i = 0; i < 6; i++) {
		int high = hexadecimal(value[0]), low = high < 0 ? -1 : hexadecimal(value[1]);

		if (low < 0 || value[2] != (i < 5 ? ':' : '\0'))
			return wrong(reason, "%s", form);
		machine->mac[i] = (uint8_t)(high << 4 | low);
		value += 3;
	}
	if (machine->mac[0] & 1)
		return wrong(reason, "is a group's address: the first byte must be even");
	for (unsigned i = 0; i < 6; i++)
		if (machine->mac[i])
			return true;
	return wrong(reason, "is no address: take 52:54:00:12:34:56, say");
}

static bool set_cpu_model(struct machine_config *machine, const char *value, char *reason)
{
	if (!machine_name_valid(value))
		return wrong(reason, "must be portable, x86-64-v2, x86-64-v3 or max");
	return string_copy(machine->cpu_model, sizeof(machine->cpu_model), value);
}

static bool set_weight(struct machine_config *machine, const char *value, char *reason)
{
	return take_number(value, 1, MACHINE_WEIGHT_MAX, &machine->weight, reason);
}

static bool set_cap(struct machine_config *machine, const char *value, char *reason)
{
	return take_number(value, 0, MACHINE_CAP_MAX, &machine->cap, reason);
}

static bool set_processors(struct machine_config *machine, const char *value, char *reason)
{
	if (string_equal(value, "all")) {
		machine->processors = UINT64_MAX;
		return true;
	}
	return word_bits(value, &machine->processors) ||
	       wrong(reason, "must be all, or numbers from 0 to 63 like 0-3,5");
}

static bool set_disk_memory(struct machine_config *machine, const char *value, char *reason)
{
	if (!word_size(value, &machine->disk_memory))
		return wrong(reason, "is not a size: write 64M or 1G, say");
	return machine->disk_memory <= MACHINE_MEMORY_MAX ||
	       wrong(reason, "is too much: %u GiB is the most",
		     (unsigned)(MACHINE_MEMORY_MAX >> 30));
}

static bool set_start(struct machine_config *machine, const char *value, char *reason)
{
	return take_switch(value, &machine->start, reason);
}

static bool set_test_devices(struct machine_config *machine, const char *value, char *reason)
{
	return take_switch(value, &machine->test_devices, reason);
}

/* Its parts are the network's to look at. */
static bool set_share(struct machine_config *machine, const char *value, char *reason)
{
	if (machine->share_count == MACHINE_SHARES_MAX)
		return wrong(reason, "there can be %u shared folders at most", MACHINE_SHARES_MAX);
	if (!*value ||
	    !string_copy(machine->shares[machine->share_count], MACHINE_SHARE_MAX, value))
		return wrong(reason, "must be HOST:GUEST, of %u bytes at most",
			     MACHINE_SHARE_MAX - 1);
	machine->share_count++;
	return true;
}

static bool set_port(struct machine_config *machine, const char *value, char *reason)
{
	if (machine->port_count == MACHINE_PORTS_MAX)
		return wrong(reason, "there can be %u ports at most", MACHINE_PORTS_MAX);
	if (!*value || !string_copy(machine->ports[machine->port_count], MACHINE_PORT_MAX, value))
		return wrong(reason, "must be [IP:]HOST:GUEST[/udp], like 8080:80");
	machine->port_count++;
	return true;
}

static bool set_engine(struct machine_config *machine, const char *value, char *reason)
{
	return (*value && string_copy(machine->engine, sizeof(machine->engine), value)) ||
	       wrong(reason, "must be auto or an engine that lodge doctor lists");
}

const struct machine_key_row machine_keys[MACHINE_KEYS] = {
	[MACHINE_CPUS] = {"cpus", false, set_cpus},
	[MACHINE_MEMORY] = {"memory", false, set_memory},
	[MACHINE_KERNEL] = {"kernel", false, set_kernel},
	[MACHINE_INITRD] = {"initrd", false, set_initrd},
	[MACHINE_APPEND] = {"append", false, set_append},
	[MACHINE_DISK] = {"disk", true, set_disk},
	[MACHINE_NET] = {"net", false, set_net},
	[MACHINE_MAC] = {"mac", false, set_mac},
	[MACHINE_CPU_MODEL] = {"cpu-model", false, set_cpu_model},
	[MACHINE_WEIGHT] = {"weight", false, set_weight},
	[MACHINE_CAP] = {"cap", false, set_cap},
	[MACHINE_PROCESSORS] = {"processors", false, set_processors},
	[MACHINE_DISK_MEMORY] = {"disk-memory", false, set_disk_memory},
	[MACHINE_START] = {"start", false, set_start},
	[MACHINE_TEST_DEVICES] = {"test-devices", false, set_test_devices},
	[MACHINE_PORT] = {"port", true, set_port},
	[MACHINE_SHARE] = {"share", true, set_share},
	[MACHINE_ENGINE] = {"engine", false, set_engine},
};

const char *machine_key_name(enum machine_key key)
{
	return machine_keys[key].name;
}

void machine_config_init(struct machine_config *machine)
{
	bytes_fill(machine, 0, sizeof(*machine));
	machine->cpus = 1;
	machine->memory = 512 * MIB;
	machine->weight = MACHINE_WEIGHT_USUAL;
	machine->processors = UINT64_MAX;
	machine->start = true;
}
