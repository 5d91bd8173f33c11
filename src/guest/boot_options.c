/* SPDX-License-Identifier: BSD-2-Clause */
#include "boot_options.h"
#include "init.h"
#include "protocol.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	size_t at, size;
} texts[] = {
#define TEXT(name, field)                                                                          \
	{                                                                                          \
		name, offsetof(struct boot_options, field),                                        \
			sizeof(((struct boot_options *)0)->field)                                  \
	}
	TEXT("root=", root), TEXT("rootfstype=", type), TEXT("rootflags=", flags),
	TEXT("init=", init), TEXT("lodge.exec=", exec),
};

static const struct {
	const char *word;
	size_t at;
	bool value;
} flags[] = {
#define FLAG(word, field, value)                                                                   \
	{                                                                                          \
		word, offsetof(struct boot_options, field), value                                  \
	}
	FLAG("ro", read_only, true),
	FLAG("rw", read_only, false),
	FLAG(LODGE_COMMAND_OPTION, command, true),
	FLAG("lodge.stop=init", stop, true),
	FLAG("lodge.dhcp=no", no_dhcp, true),
	FLAG("lodge.dhcp=guest", guest_dhcp, true),
};

/* TAG:PATH[:ro]; in the path \ooo stands for a byte. */
static void mount_read(struct boot_options *options, char *value)
{
	char *tag = strsep(&value, ":"), *path = strsep(&value, ":"), *to = path;
	unsigned i = options->mount_count;

	if (!path || path[0] != '/' || i == BOOT_MOUNTS_MAX) {
		init_log("lodge.mount=%s: not understood", tag);
		return;
	}
	for (const char *from = path; *from;) {
		unsigned byte;

		if (sscanf(from, "\\%3o", &byte) == 1) {
			*to++ = (char)byte;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	snprintf(options->mounts[i].tag, sizeof(options->mounts[i].tag), "%s", tag);
	snprintf(options->mounts[i].path, sizeof(options->mounts[i].path), "%s", path);
	options->mounts[i].read_only = value && strcmp(value, "ro") == 0;
	options->mount_count++;
}

static void word_read(struct boot_options *options, char *word)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t length = strlen(texts[i].name);

		if (strncmp(word, texts[i].name, length) == 0)
			snprintf((char *)options + texts[i].at, texts[i].size, "%s", word + length);
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(word, flags[i].word) == 0)
			*(bool *)((char *)options + flags[i].at) = flags[i].value;
	if (strncmp(word, "lodge.mount=", 12) == 0)
		mount_read(options, word + 12);
}

void boot_options_read(struct boot_options *options, char *line)
{
	char *word;

	*options = (struct boot_options){.root = "/dev/vda", .type = "ext4", .init = "/sbin/init"};
	while ((word = strsep(&line, " \n")))
		word_read(options, word);
}
