/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "lib/bytes.h"
#include "lib/error.h"
#include "lib/string.h"
#include "machines/saved.h"

static struct saved_config config, found;
static uint8_t bytes[SAVED_CONFIG_MAX];
static char reason[SAVED_REASON];

static void make_config(void)
{
	bytes_fill(&config, 0, sizeof(config));
	string_copy(config.engine, sizeof(config.engine), "translate");
	config.cpus = 2;
	config.memory = 64 << 20;
	string_copy(config.cpu_model, sizeof(config.cpu_model), "x86-64-v2");
	config.tsc_frequency = 2000000000;
	config.feature[3] = true;
	string_copy(config.kernel, sizeof(config.kernel), "/boot/vmlinuz");
	string_copy(config.append, sizeof(config.append), "console=ttyS0");
	config.disk_count = 1;
	string_copy(config.disks[0].path, sizeof(config.disks[0].path), "/srv/root.img");
	string_copy(config.disks[0].format, sizeof(config.disks[0].format), "raw");
	config.disks[0].size = 1 << 30;
	config.disks[0].block_size = 4096;
	config.disks[0].modified = 12345;
	config.disks[0].limits = (struct saved_limits){1 << 20, 2 << 20, 500, 600, true};
	config.rate = 3 << 20;
	config.network = true;
	config.mac[0] = 0x52;
	config.forward_count = 1;
	string_copy(config.forwards[0], sizeof(config.forwards[0]), "127.0.0.1:8080:80");
	config.share_count = 1;
	string_copy(config.shares[0], sizeof(config.shares[0]), "/srv:/mnt:ro");
}

TEST(description_survives)
{
	size_t length;

	make_config();
	REQUIRE(saved_config_write(&config, bytes, sizeof(bytes), &length) == 0);
	REQUIRE(saved_config_read(&found, bytes, length, reason) == 0);
	EXPECT(bytes_equal(&config, &found, sizeof(config)));
	EXPECT_EQ(saved_config_match(&found, &config, reason), 0);
	for (size_t cut = 0; cut < length; cut++)
		EXPECT_EQ(saved_config_read(&found, bytes, cut, reason), -EINVAL);
	EXPECT_EQ(saved_config_read(&found, bytes, length + 1, reason), -EINVAL);
}

/* The largest there can be has room. */
TEST(any_description_fits)
{
	size_t length;

	make_config();
	bytes_fill(config.append, 'x', sizeof(config.append) - 1);
	bytes_fill(config.kernel, 'x', sizeof(config.kernel) - 1);
	bytes_fill(config.initrd, 'x', sizeof(config.initrd) - 1);
	config.disk_count = SAVED_DISKS_MAX;
	for (unsigned i = 0; i < SAVED_DISKS_MAX; i++) {
		config.disks[i] = config.disks[0];
		bytes_fill(config.disks[i].path, 'x', sizeof(config.disks[i].path) - 1);
	}
	config.share_count = SAVED_SHARES_MAX;
	for (unsigned i = 0; i < SAVED_SHARES_MAX; i++)
		bytes_fill(config.shares[i], 'x', sizeof(config.shares[i]) - 1);
	EXPECT_EQ(saved_config_write(&config, bytes, sizeof(bytes), &length), 0);
	EXPECT_EQ(saved_config_read(&found, bytes, length, reason), 0);
}

TEST(impossible_descriptions_are_refused)
{
	for (unsigned i = 0; i < 18; i++) {
		size_t length;

		make_config();
		switch (i) {
		case 0:
			config.cpus = 33;
			break;
		case 1:
			config.cpus = 0;
			break;
		case 2:
			config.memory = 4096;
			break;
		case 3:
			config.memory = UINT64_C(1) << 50;
			break;
		case 4:
			config.cpu_model[0] = 'y';
			break;
		case 5:
			config.tsc_frequency = 0;
			break;
		case 6:
			config.kernel[0] = '\0';
			break;
		case 7:
			config.disks[0].size = 1000;
			break;
		case 8:
			config.disks[0].block_size = 8192;
			break;
		case 9:
			config.mac[0] = 1;
			break;
		case 10:
			config.disks[0].path[0] = '\0';
			break;
		case 11:
			config.memory += 4096;
			break;
		case 12:
			config.rate = UINT64_C(1) << 63;
			break;
		case 13:
			config.disks[0].limits.operations_burst = UINT64_MAX;
			break;
		case 14:
			config.disks[0].limits.rate = UINT64_MAX;
			break;
		case 15:
			config.physical_bits = 31;
			break;
		case 16:
			config.physical_bits = 53;
			break;
		case 17:
			config.physical_bits = 255;
			break;
		}
		REQUIRE(saved_config_write(&config, bytes, sizeof(bytes), &length) == 0);
		EXPECT_EQ(saved_config_read(&found, bytes, length, reason), -EINVAL);
	}
}

TEST(addresses_of_any_width_there_is_are_taken)
{
	static const uint8_t widths[] = {0, 32, 46, 52};
	size_t length;

	for (unsigned i = 0; i < sizeof(widths); i++) {
		make_config();
		config.physical_bits = widths[i];
		REQUIRE(saved_config_write(&config, bytes, sizeof(bytes), &length) == 0);
		EXPECT_EQ(saved_config_read(&found, bytes, length, reason), 0);
		EXPECT_EQ(found.physical_bits, widths[i]);
	}
}

TEST(other_machines_do_not_match)
{
	make_config();
	found = config;
	found.cpus = 1;
	EXPECT_EQ(saved_config_match(&found, &config, reason), -EINVAL);
	EXPECT_STR(reason, "it has 1 processors, this machine 2");
	found = config;
	found.disks[0].size += 512;
	EXPECT_EQ(saved_config_match(&found, &config, reason), -EINVAL);
	found = config;
	found.network = false;
	EXPECT_EQ(saved_config_match(&found, &config, reason), -EINVAL);
	found = config;
	found.disk_count = 0;
	EXPECT_EQ(saved_config_match(&found, &config, reason), -EINVAL);
	found = config;
	found.share_count = 0;
	EXPECT_EQ(saved_config_match(&found, &config, reason), -EINVAL);
	found = config;
	string_copy(found.disks[0].path, sizeof(found.disks[0].path), "elsewhere");
	found.disks[0].modified = 0;
	found.forward_count = 0;
	found.disks[0].limits.rate = 0;
	found.rate = 1;
	EXPECT_EQ(saved_config_match(&found, &config, reason), 0);
}

static struct saved_header header;
static uint8_t page[SAVED_HEADER_BYTES];

static void make_header(void)
{
	header = (struct saved_header){
		.file_length = 100000,
		.config = {4096, 1000, 1},
		.state = {6000, 2000, 2},
		.table = {8000, saved_table_length(64 << 20), 3},
	};
	saved_header_write(&header, page);
}

TEST(header_survives)
{
	struct saved_header other;

	make_header();
	REQUIRE(saved_header_read(&other, page, 100000, reason) == 0);
	EXPECT(bytes_equal(&header, &other, sizeof(header)));
}

TEST(headers_that_are_wrong_say_why)
{
	struct saved_header other;

	make_header();
	EXPECT_EQ(saved_header_read(&other, page, 99999, reason), -EINVAL);
	EXPECT_STR(reason, "is damaged: it has 99999 bytes, and should have 100000");
	EXPECT_EQ(saved_header_read(&other, page, 1000, reason), -EINVAL);
	EXPECT_STR(reason, "is cut off: it ends within its header");
	EXPECT_EQ(saved_header_read(&other, page, 0, reason), -EINVAL);
	EXPECT_STR(reason, "is no saved machine");
	page[16] = 2;
	EXPECT_EQ(saved_header_read(&other, page, 100000, reason), -EINVAL);
	EXPECT_STR(reason, "is of version 2, and this Lodge knows version 1: restore it with the "
			   "Lodge that saved it");
	make_header();
	page[40] ^= 1;
	EXPECT_EQ(saved_header_read(&other, page, 100000, reason), -EINVAL);
	EXPECT_STR(reason, "is damaged: its header's checksum is wrong");
	make_header();
	header.state.offset = 99000;
	saved_header_write(&header, page);
	EXPECT_EQ(saved_header_read(&other, page, 100000, reason), -EINVAL);
	header.state = (struct saved_part){UINT64_MAX - 100, 1000, 0};
	saved_header_write(&header, page);
	EXPECT_EQ(saved_header_read(&other, page, 100000, reason), -EINVAL);
	EXPECT_STR(reason, "is damaged: its header makes no sense");
}

TEST(entries_lie_within_the_file)
{
	struct saved_entry entry = {8192, 5, 0x8001}, other;
	uint8_t raw[SAVED_ENTRY_BYTES];

	saved_entry_write(&entry, raw);
	REQUIRE(saved_entry_read(&other, raw, 16384, reason) == 0);
	EXPECT(other.offset == 8192 && other.checksum == 5 && other.pages == 0x8001);
	EXPECT_EQ(saved_entry_length(&other), 8192);
	EXPECT_EQ(saved_entry_read(&other, raw, 16383, reason), -EINVAL);
	entry.offset = 8193;
	saved_entry_write(&entry, raw);
	EXPECT_EQ(saved_entry_read(&other, raw, 16384, reason), -EINVAL);
	entry = (struct saved_entry){0};
	saved_entry_write(&entry, raw);
	EXPECT_EQ(saved_entry_read(&other, raw, 0, reason), 0);
}
