/* SPDX-License-Identifier: BSD-2-Clause */
/* What the initrd's init reads from the kernel's command line. */
#include "test.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "guest/boot_options.h"
#include "guest/init.h"

static unsigned complaints;

/* The init's own is in init.c. */
void init_log(const char *format, ...)
{
	complaints++;
}

static struct boot_options read_line(const char *line)
{
	static struct boot_options options;
	char copy[4096];

	snprintf(copy, sizeof(copy), "%s", line);
	complaints = 0;
	boot_options_read(&options, copy);
	return options;
}

TEST(what_is_not_said_has_its_default)
{
	struct boot_options options = read_line("console=ttyS0 quiet\n");

	EXPECT_STR(options.root, "/dev/vda");
	EXPECT_STR(options.type, "ext4");
	EXPECT_STR(options.flags, "");
	EXPECT_STR(options.init, "/sbin/init");
	EXPECT(!options.read_only && !options.command && !options.guest_dhcp && !options.no_dhcp);
}

TEST(root_its_type_and_its_flags)
{
	struct boot_options options = read_line(
		"root=/dev/vda3 rootfstype=btrfs rootflags=subvol=/root,compress=zstd:1 ro\n");

	EXPECT_STR(options.root, "/dev/vda3");
	EXPECT_STR(options.type, "btrfs");
	EXPECT_STR(options.flags, "subvol=/root,compress=zstd:1");
	EXPECT(options.read_only);
	EXPECT(!read_line("ro rw").read_only);
}

TEST(only_whole_words_are_switches)
{
	struct boot_options options = read_line("lodge.dhcp=guests rox xrw lodge.command=11");

	EXPECT(!options.guest_dhcp && !options.read_only && !options.command);
	options = read_line("lodge.dhcp=guest lodge.command=1 lodge.stop=init");
	EXPECT(options.guest_dhcp && options.command && options.stop);
}

TEST(what_is_too_long_is_cut)
{
	char line[2048] = "rootflags=";
	struct boot_options options;

	memset(line + 10, 'x', 1000);
	strcpy(line + 1010, " rootfstype=0123456789abcdefgh");
	options = read_line(line);
	EXPECT_EQ(strlen(options.flags), sizeof(options.flags) - 1);
	EXPECT_STR(options.type, "0123456789abcde");
	EXPECT_STR(options.init, "/sbin/init");
}

TEST(shared_folders)
{
	struct boot_options options = read_line(
		"lodge.mount=a:/with\\040space:ro lodge.mount=b:relative lodge.mount=c:/d");

	EXPECT_EQ(options.mount_count, 2);
	EXPECT_EQ(complaints, 1);
	EXPECT_STR(options.mounts[0].path, "/with space");
	EXPECT(options.mounts[0].read_only);
	EXPECT_STR(options.mounts[1].tag, "c");
	EXPECT(!options.mounts[1].read_only);
	options = read_line("lodge.mount=a:/1 lodge.mount=a:/2 lodge.mount=a:/3 lodge.mount=a:/4 "
			    "lodge.mount=a:/5 lodge.mount=a:/6 lodge.mount=a:/7 lodge.mount=a:/8 "
			    "lodge.mount=a:/9");
	EXPECT_EQ(options.mount_count, BOOT_MOUNTS_MAX);
	EXPECT_EQ(complaints, 1);
}
