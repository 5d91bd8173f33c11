/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/shares.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "storage/share.h"

/* Each open file of a guest is one of this process, and others are kept at hand. What the rest of
 * it needs is left over. */
enum { FILES_LEFT = 256, FILES_MOST = 4096, FILES_LEAST = 16 };

static void tag_of(char *tag, size_t size, unsigned index)
{
	snprintf(tag, size, "share%u", index);
}

/* How many descriptors each share may have for one of its two purposes. */
static unsigned files_each(unsigned count)
{
	struct rlimit limit = {0, 0};
	rlim_t each;

	getrlimit(RLIMIT_NOFILE, &limit);
	each = limit.rlim_cur > FILES_LEFT ? (limit.rlim_cur - FILES_LEFT) / (2 * count) : 0;
	if (each > FILES_MOST)
		return FILES_MOST;
	return each < FILES_LEAST ? FILES_LEAST : (unsigned)each;
}

int shares_open(struct shares *shares, const struct options *options, char *reason, size_t size)
{
	for (unsigned i = 0; i < options->share_count; i++) {
		const struct options_share *asked = &options->shares[i];
		char tag[16];
		const struct share_options one = {
			.path = asked->host,
			.tag = tag,
			.read_only = asked->read_only,
			.uid = asked->uid,
			.gid = asked->gid,
			.files_max = files_each(options->share_count),
		};
		int error;

		tag_of(tag, sizeof(tag), i);
		error = share_open(&one, &shares->share[i], reason, size);
		if (error)
			return error;
		shares->folders[i] = (struct sandbox_folder){
			.descriptor = share_folder(shares->share[i]), .writes = !asked->read_only};
		shares->count++;
	}
	return 0;
}

void shares_drain(struct shares *shares)
{
	for (unsigned i = 0; i < shares->count; i++)
		shares->share[i]->ops->drain(shares->share[i]);
}

void shares_close(struct shares *shares)
{
	for (unsigned i = 0; i < shares->count; i++)
		shares->share[i]->ops->close(shares->share[i]);
	shares->count = 0;
}

static bool is_plain(unsigned char c)
{
	return isalnum(c) || strchr("/._-+@%~^,", c) != NULL;
}

bool shares_command_line(const struct options *options, char *line, size_t room)
{
	size_t length = strlen(line);

	for (unsigned i = 0; i < options->share_count; i++) {
		const struct options_share *share = &options->shares[i];
		char tag[16];

		tag_of(tag, sizeof(tag), i);
		length += (size_t)snprintf(line + length, room - length,
					   "%slodge.mount=%s:", length ? " " : "", tag);
		for (const char *c = share->guest; *c && length < room; c++)
			length += (size_t)snprintf(line + length, room - length,
						   is_plain((unsigned char)*c) ? "%c" : "\\%03o",
						   (unsigned char)*c);
		if (length < room && share->read_only)
			length += (size_t)snprintf(line + length, room - length, ":ro");
		if (length >= room)
			return false;
	}
	return true;
}
