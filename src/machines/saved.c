/* SPDX-License-Identifier: BSD-2-Clause */
#include "machines/saved.h"

#include "core/snapshot.h"
#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/checked.h"
#include "lib/checksum.h"
#include "lib/error.h"
#include "lib/format.h"
#include "lib/string.h"
#include "machines/pc.h"
#include "machines/saved_state.h"
#include "x86/cpuid.h"

#define CONFIG_VERSION 4 /* 1 had no shared folders, 2 no seal, 3 no limits */
#define MEMORY_MAX     PC_MEMORY_MAX

static const uint8_t magic[16] = "Lodge\r\n\x1a\0saved\n";

static int refuse(char *reason, const char *text)
{
	format(reason, SAVED_REASON, "%s", text);
	return -EINVAL;
}

/* The description. One function for both directions (decisions/0002). */

static void text_state(struct snapshot *snapshot, char *text, size_t size)
{
	uint32_t length = (uint32_t)string_length(text);

	snapshot_u32(snapshot, &length);
	if (length >= size) {
		snapshot_fail(snapshot, "a text in it is too long");
		length = 0;
	}
	snapshot_bytes(snapshot, text, length);
	text[length] = '\0';
	if (string_length(text) != length)
		snapshot_fail(snapshot, "a text in it has a zero byte");
}

static void count_state(struct snapshot *snapshot, uint32_t *count, uint32_t max, const char *what)
{
	snapshot_u32(snapshot, count);
	if (*count > max) {
		snapshot_fail(snapshot, what);
		*count = 0;
	}
}

static void disk_state(struct saved_disk *disk, struct snapshot *snapshot)
{
	text_state(snapshot, disk->path, sizeof(disk->path));
	text_state(snapshot, disk->format, sizeof(disk->format));
	snapshot_bool(snapshot, &disk->read_only);
	snapshot_u64(snapshot, &disk->size);
	snapshot_u32(snapshot, &disk->block_size);
	snapshot_u64(snapshot, &disk->modified);
}

static void limits_state(struct saved_config *config, struct snapshot *snapshot)
{
	for (unsigned i = 0; i < config->disk_count; i++) {
		struct saved_limits *limits = &config->disks[i].limits;

		snapshot_u64(snapshot, &limits->rate);
		snapshot_u64(snapshot, &limits->burst);
		snapshot_u64(snapshot, &limits->operations);
		snapshot_u64(snapshot, &limits->operations_burst);
		snapshot_bool(snapshot, &limits->fails_when_full);
	}
	snapshot_u64(snapshot, &config->rate);
}

static void cpu_state(struct saved_config *config, struct snapshot *snapshot)
{
	uint32_t count = FEATURE_COUNT;

	text_state(snapshot, config->cpu_model, sizeof(config->cpu_model));
	snapshot_u64(snapshot, &config->tsc_frequency);
	snapshot_u8(snapshot, &config->physical_bits);
	snapshot_bool(snapshot, &config->flawed);
	snapshot_u64(snapshot, &config->flawless);
	snapshot_u32(snapshot, &count);
	if (count != FEATURE_COUNT)
		snapshot_fail(snapshot, "it was saved by a Lodge that knows other processors");
	for (unsigned i = 0; i < FEATURE_COUNT; i++)
		snapshot_bool(snapshot, &config->feature[i]);
}

static void config_state(struct saved_config *config, struct snapshot *snapshot)
{
	uint32_t version = CONFIG_VERSION;

	snapshot_u32(snapshot, &version);
	if (version < 1 || version > CONFIG_VERSION)
		snapshot_fail(snapshot, "its description is of another version of Lodge");
	text_state(snapshot, config->engine, sizeof(config->engine));
	snapshot_u32(snapshot, &config->cpus);
	snapshot_u64(snapshot, &config->memory);
	cpu_state(config, snapshot);
	text_state(snapshot, config->kernel, sizeof(config->kernel));
	text_state(snapshot, config->initrd, sizeof(config->initrd));
	text_state(snapshot, config->append, sizeof(config->append));
	count_state(snapshot, &config->disk_count, SAVED_DISKS_MAX, "it has too many disks");
	for (unsigned i = 0; i < config->disk_count; i++)
		disk_state(&config->disks[i], snapshot);
	snapshot_u8(snapshot, &config->network);
	snapshot_bytes(snapshot, config->mac, sizeof(config->mac));
	count_state(snapshot, &config->forward_count, SAVED_FORWARDS_MAX, "it has too many ports");
	for (unsigned i = 0; i < config->forward_count; i++)
		text_state(snapshot, config->forwards[i], sizeof(config->forwards[i]));
	snapshot_bool(snapshot, &config->test_devices);
	snapshot_bool(snapshot, &config->sockets);
	if (version < 2)
		return;
	count_state(snapshot, &config->share_count, SAVED_SHARES_MAX,
		    "it has too many shared folders");
	for (unsigned i = 0; i < config->share_count; i++)
		text_state(snapshot, config->shares[i], sizeof(config->shares[i]));
	if (version >= 3)
		snapshot_u64(snapshot, &config->seal);
	if (version >= 4)
		limits_state(config, snapshot);
}

int saved_config_write(const struct saved_config *config, uint8_t *bytes, size_t size,
		       size_t *length)
{
	struct snapshot snapshot = {.bytes = bytes, .size = size};

	/* Saving, it changes nothing. */
	config_state((struct saved_config *)config, &snapshot);
	*length = snapshot.position;
	return snapshot.error;
}

static const char *check_config(const struct saved_config *config)
{
	if (config->cpus < 1 || config->cpus > VM_VCPUS_MAX)
		return "it has an impossible number of processors";
	if (config->memory < PC_MEMORY_MIN || config->memory > MEMORY_MAX ||
	    config->memory % PC_MEMORY_UNIT)
		return "it has an impossible amount of memory";
	if (!cpu_model_find(config->cpu_model))
		return "it has a processor model that this Lodge doesn't know";
	if (!config->tsc_frequency || config->tsc_frequency >> 40)
		return "its TSC has an impossible frequency";
	if (config->physical_bits && (config->physical_bits < 32 || config->physical_bits > 52))
		return "its processors have addresses of an impossible width";
	if (!config->kernel[0])
		return "it has no kernel";
	if (config->network > SAVED_TAP)
		return "it is on a network of an unknown kind";
	if (config->mac[0] & 1)
		return "its network card has a group's address";
	for (unsigned i = 0; i < config->disk_count; i++) {
		const struct saved_disk *disk = &config->disks[i];

		if (!disk->path[0] || !disk->size || disk->size % 512 ||
		    (disk->block_size != 512 && disk->block_size != 4096))
			return "it has an impossible disk";
		if ((disk->limits.rate | disk->limits.burst | disk->limits.operations |
		     disk->limits.operations_burst) >>
		    63)
			return "a disk of it has an impossible limit";
	}
	if (config->rate >> 63)
		return "its network has an impossible limit";
	return NULL;
}

int saved_config_read(struct saved_config *config, const uint8_t *bytes, size_t length,
		      char *reason)
{
	struct snapshot snapshot = {.loading = true, .bytes = (uint8_t *)bytes, .size = length};
	const char *wrong;

	bytes_fill(config, 0, sizeof(*config));
	config_state(config, &snapshot);
	if (!snapshot.error && snapshot.position != length)
		snapshot_fail(&snapshot, "its description is longer than it should be");
	if (snapshot.error)
		return refuse(reason, snapshot.reason);
	wrong = check_config(config);
	return wrong ? refuse(reason, wrong) : 0;
}

static int match_disks(const struct saved_config *saved, const struct saved_config *here,
		       char *reason)
{
	if (saved->disk_count != here->disk_count) {
		format(reason, SAVED_REASON, "it has %u disks, this machine %u", saved->disk_count,
		       here->disk_count);
		return -EINVAL;
	}
	for (unsigned i = 0; i < saved->disk_count; i++) {
		const struct saved_disk *a = &saved->disks[i], *b = &here->disks[i];

		if (a->size == b->size && a->read_only == b->read_only &&
		    a->block_size == b->block_size)
			continue;
		format(reason, SAVED_REASON,
		       "disk %s: has %lu bytes%s, in blocks of %u; the machine's had %lu%s, of %u",
		       b->path, (unsigned long)b->size, b->read_only ? ", read-only" : "",
		       b->block_size, (unsigned long)a->size, a->read_only ? ", read-only" : "",
		       a->block_size);
		return -EINVAL;
	}
	return 0;
}

static const char *const network_names[] = {
	[SAVED_NO_NETWORK] = "no network card",
	[SAVED_USER] = "a card of the user network",
	[SAVED_LAN] = "a card on a network of machines",
	[SAVED_TAP] = "a card on a tap",
};

int saved_config_match(const struct saved_config *saved, const struct saved_config *here,
		       char *reason)
{
	if (saved->cpus != here->cpus)
		format(reason, SAVED_REASON, "it has %u processors, this machine %u", saved->cpus,
		       here->cpus);
	else if (saved->memory != here->memory)
		format(reason, SAVED_REASON, "it has %lu MiB of memory, this machine %lu",
		       (unsigned long)(saved->memory >> 20), (unsigned long)(here->memory >> 20));
	else if (!string_equal(saved->cpu_model, here->cpu_model))
		format(reason, SAVED_REASON, "its processors are %s, this machine's %s",
		       saved->cpu_model, here->cpu_model);
	else if (saved->network != here->network)
		format(reason, SAVED_REASON, "it has %s, this machine %s",
		       network_names[saved->network], network_names[here->network]);
	else if (saved->network && !bytes_equal(saved->mac, here->mac, sizeof(here->mac)))
		format(reason, SAVED_REASON, "its network card has another address (--mac)");
	else if (saved->test_devices != here->test_devices)
		format(reason, SAVED_REASON, "it has %s test devices, this machine %s",
		       saved->test_devices ? "the" : "no", here->test_devices ? "has" : "has none");
	else if (saved->sockets != here->sockets)
		format(reason, SAVED_REASON, "it has %svirtio sockets, this machine %s (--control)",
		       saved->sockets ? "" : "no ", here->sockets ? "has" : "has none");
	else if (saved->share_count != here->share_count)
		format(reason, SAVED_REASON, "it shares %u folders, this machine %u",
		       saved->share_count, here->share_count);
	else
		return match_disks(saved, here, reason);
	return -EINVAL;
}

/* The header */

enum {
	AT_VERSION = 16,
	AT_FILE_LENGTH = 24,
	AT_PARTS = 32,
	PART_BYTES = 24,
	AT_CHECKSUM = AT_PARTS + 3 * PART_BYTES
};

static void part_write(const struct saved_part *part, uint8_t *bytes)
{
	bytes_store64(bytes, part->offset);
	bytes_store64(bytes + 8, part->length);
	bytes_store32(bytes + 16, part->checksum);
}

static struct saved_part part_read(const uint8_t *bytes)
{
	return (struct saved_part){bytes_load64(bytes), bytes_load64(bytes + 8),
				   bytes_load32(bytes + 16)};
}

void saved_header_write(const struct saved_header *header, uint8_t bytes[SAVED_HEADER_BYTES])
{
	bytes_fill(bytes, 0, SAVED_HEADER_BYTES);
	bytes_copy(bytes, magic, sizeof(magic));
	bytes_store32(bytes + AT_VERSION, SAVED_VERSION);
	bytes_store64(bytes + AT_FILE_LENGTH, header->file_length);
	part_write(&header->config, bytes + AT_PARTS);
	part_write(&header->state, bytes + AT_PARTS + PART_BYTES);
	part_write(&header->table, bytes + AT_PARTS + 2 * PART_BYTES);
	bytes_store32(bytes + AT_CHECKSUM, checksum_crc32c(0, bytes, AT_CHECKSUM));
}

static bool part_fits(const struct saved_part *part, uint64_t max, uint64_t file_length)
{
	return part->length <= max && part->offset >= SAVED_HEADER_BYTES &&
	       range_within(part->offset, part->length, file_length);
}

int saved_header_read(struct saved_header *header, const uint8_t *bytes, uint64_t length,
		      char *reason)
{
	uint32_t version;

	if (length < sizeof(magic) || !bytes_equal(bytes, magic, sizeof(magic)))
		return refuse(reason, "is no saved machine");
	if (length < SAVED_HEADER_BYTES)
		return refuse(reason, "is cut off: it ends within its header");
	version = bytes_load32(bytes + AT_VERSION);
	if (version != SAVED_VERSION) {
		format(reason, SAVED_REASON,
		       "is of version %u, and this Lodge knows version %u: restore it with the "
		       "Lodge that saved it",
		       version, SAVED_VERSION);
		return -EINVAL;
	}
	if (bytes_load32(bytes + AT_CHECKSUM) != checksum_crc32c(0, bytes, AT_CHECKSUM))
		return refuse(reason, "is damaged: its header's checksum is wrong");
	*header = (struct saved_header){
		.file_length = bytes_load64(bytes + AT_FILE_LENGTH),
		.config = part_read(bytes + AT_PARTS),
		.state = part_read(bytes + AT_PARTS + PART_BYTES),
		.table = part_read(bytes + AT_PARTS + 2 * PART_BYTES),
	};
	if (header->file_length != length) {
		format(reason, SAVED_REASON, "is damaged: it has %lu bytes, and should have %lu",
		       (unsigned long)length, (unsigned long)header->file_length);
		return -EINVAL;
	}
	if (!part_fits(&header->config, SAVED_CONFIG_MAX, length) ||
	    !part_fits(&header->state, SAVED_STATE_MAX, length) ||
	    !part_fits(&header->table, saved_table_length(MEMORY_MAX), length))
		return refuse(reason, "is damaged: its header makes no sense");
	return 0;
}

/* The table */

void saved_entry_write(const struct saved_entry *entry, uint8_t bytes[SAVED_ENTRY_BYTES])
{
	bytes_store64(bytes, entry->offset);
	bytes_store32(bytes + 8, entry->checksum);
	bytes_store16(bytes + 12, entry->pages);
	bytes_store16(bytes + 14, 0);
}

int saved_entry_read(struct saved_entry *entry, const uint8_t bytes[SAVED_ENTRY_BYTES],
		     uint64_t file_length, char *reason)
{
	*entry = (struct saved_entry){bytes_load64(bytes), bytes_load32(bytes + 8),
				      bytes_load16(bytes + 12)};
	if (!entry->pages)
		return 0;
	if (entry->offset % SAVED_PAGE ||
	    !range_within(entry->offset, saved_entry_length(entry), file_length))
		return refuse(reason, "is damaged: its table of memory makes no sense");
	return 0;
}
