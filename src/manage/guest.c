/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/protocol.h"
#include "manage/shares.h"

#define LINUX_COMMAND_LINE    "console=ttyS0 panic=-1"
#define PREPARED_COMMAND_LINE "console=ttyS0 root=/dev/vda rw quiet panic=-1"

/* The folder of a prepared guest, without asking whether it is there. */
static void prepared_folder(char *folder, size_t size)
{
	const char *chosen = getenv("LODGE_GUEST_DIR");
	char program[PATH_MAX - sizeof("/guest")];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char *slash;

	if (chosen && *chosen) {
		snprintf(folder, size, "%s", chosen);
		return;
	}
	program[length > 0 ? length : 0] = '\0';
	slash = strrchr(program, '/');
	if (slash)
		*slash = '\0';
	snprintf(folder, size, "%s/guest", program);
}

static bool is_there(char *path, size_t size, const char *folder, const char *name)
{
	return snprintf(path, size, "%s/%s", folder, name) < (int)size && !access(path, R_OK);
}

static bool choose_prepared(struct guest *guest, char *reason, size_t size)
{
	char folder[PATH_MAX];

	prepared_folder(folder, sizeof(folder));
	if (!is_there(guest->kernel, sizeof(guest->kernel), folder, "vmlinuz") ||
	    !is_there(guest->initrd, sizeof(guest->initrd), folder, "initrd") ||
	    !is_there(guest->root, sizeof(guest->root), folder, "root.img")) {
		snprintf(reason, size,
			 "nothing to boot: give --kernel FILE, or make a Debian guest with `make "
			 "guest` (none in %s)",
			 folder);
		return false;
	}
	guest->prepared = true;
	return true;
}

bool guest_choose(struct guest *guest, const struct options *options, char *reason, size_t size)
{
	guest->prepared = false;
	guest->initrd[0] = '\0';
	if (!options->kernel && (options->disk_count || options->initrd)) {
		snprintf(reason, size,
			 "--kernel FILE is missing: there is no firmware that could start from %s",
			 options->disk_count ? "a disk" : "an initrd");
		return false;
	}
	if (!options->kernel && !choose_prepared(guest, reason, size))
		return false;
	if (!guest->prepared)
		snprintf(guest->kernel, sizeof(guest->kernel), "%s", options->kernel);
	return true;
}

bool guest_command_line(struct guest *guest, const struct options *options, bool may_be_linux,
			char *reason, size_t size)
{
	const char *text = options->append;
	int length;

	if (!text)
		text = guest->prepared ? PREPARED_COMMAND_LINE
		       : may_be_linux  ? LINUX_COMMAND_LINE
				       : "";
	length = snprintf(guest->command_line, sizeof(guest->command_line), "%s%s%s", text,
			  options->command && *text ? " " : "",
			  options->command ? LODGE_COMMAND_OPTION : "");
	if (length >= (int)sizeof(guest->command_line) ||
	    (may_be_linux &&
	     !shares_command_line(options, guest->command_line, sizeof(guest->command_line)))) {
		snprintf(reason, size, "--append: longer than %zu bytes",
			 sizeof(guest->command_line) - 1);
		return false;
	}
	return true;
}
