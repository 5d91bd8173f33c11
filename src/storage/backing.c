/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/backing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/bits.h"
#include "storage/file.h"
#include "storage/format.h"
#include "storage/qcow2_chain.h"

struct backing {
	struct qcow2 *image; /* NULL: */
	bool lent;	     /* it is somebody else's */
	struct file raw;
	uint64_t size;
};

char *backing_path(const char *from, const char *name)
{
	const char *slash = strrchr(from, '/');
	char *path;

	if (!strncmp(name, "file:", 5))
		name += 5;
	if (*name == '/' || !slash)
		return strdup(name);
	return asprintf(&path, "%.*s/%s", (int)(slash - from), from, name) < 0 ? NULL : path;
}

/* "nbd:...", "json:{...}": what other programs understand, and we don't. */
static bool has_protocol(const char *name)
{
	size_t length = strcspn(name, ":/");

	return name[length] == ':' && strncmp(name, "file:", 5) != 0;
}

static int check_chain(const char *from, const char *path, const struct backing_chain *chain,
		       char *reason, size_t size)
{
	struct stat status;

	if (chain->depth >= BACKING_DEPTH_MAX) {
		snprintf(reason, size, "disk %s: has more than %u images below it", from,
			 BACKING_DEPTH_MAX);
		return -EINVAL;
	}
	if (stat(path, &status))
		return 0; /* whoever opens it will say more */
	for (; chain; chain = chain->above) {
		bool device = S_ISBLK(status.st_mode);

		if (device ? chain->device == status.st_rdev && !chain->inode
			   : chain->device == status.st_dev && chain->inode == status.st_ino) {
			snprintf(reason, size, "disk %s: its backing file %s leads back to itself",
				 from, path);
			return -EINVAL;
		}
	}
	return 0;
}

static int open_as(struct backing *backing, const char *path, enum format format,
		   const struct backing_chain *chain, char *reason, size_t size)
{
	int error;

	if (format == FORMAT_QCOW2) {
		error = qcow2_open_in_chain(path, QCOW2_READ_ONLY, chain, &backing->image, reason,
					    size);
		backing->size = error ? 0 : qcow2_size(backing->image);
		return error;
	}
	error = file_open(&backing->raw, path, true, reason, size);
	backing->size = align_down(backing->raw.size, 512);
	return error;
}

static int find_format(const char *from, const char *path, const char *name, enum format *format,
		       char *reason, size_t size)
{
	char why[1024];
	int error;

	if (name[0] && !format_parse(name, format)) {
		snprintf(reason, size, "disk %s: its backing file is of format %s; Lodge knows %s",
			 from, name, FORMAT_NAMES);
		return -ENOTSUP;
	}
	if (name[0])
		return 0;
	error = format_decide(path, format, why, sizeof(why));
	if (error == -EINVAL)
		snprintf(reason, size,
			 "disk %s: doesn't say of which format its backing file %s is; say it: "
			 "qemu-img rebase -u -F qcow2|raw",
			 from, path);
	else if (error)
		snprintf(reason, size, "%s", why);
	return error;
}

/* Behind what went wrong with a backing file: whose it is. */
static void add_whose(const char *from, char *reason, size_t size)
{
	size_t length = strlen(reason);

	if (length < size && !strstr(reason, from))
		snprintf(reason + length, size - length, " (backing file of %s)", from);
}

int backing_open(const char *from, const char *name, const char *format,
		 const struct backing_chain *chain, struct backing **result, char *reason,
		 size_t size)
{
	struct backing *backing;
	enum format kind = FORMAT_AUTO;
	char *path;
	int error;

	if (has_protocol(name)) {
		snprintf(reason, size,
			 "disk %s: its backing file is %s; Lodge knows files and block devices "
			 "only",
			 from, name);
		return -ENOTSUP;
	}
	path = backing_path(from, name);
	backing = calloc(1, sizeof(*backing));
	error = path && backing ? 0 : -ENOMEM;
	if (error)
		snprintf(reason, size, "disk %s: no memory for it", from);
	else
		error = check_chain(from, path, chain, reason, size);
	if (!error)
		error = find_format(from, path, format, &kind, reason, size);
	if (!error)
		error = open_as(backing, path, kind, chain, reason, size);
	if (error)
		add_whose(from, reason, size);
	free(path);
	if (error)
		free(backing);
	else
		*result = backing;
	return error;
}

struct backing *backing_of(struct qcow2 *image)
{
	struct backing *backing = calloc(1, sizeof(*backing));

	if (backing)
		*backing =
			(struct backing){.image = image, .lent = true, .size = qcow2_size(image)};
	return backing;
}

struct qcow2 *backing_own(struct backing *backing)
{
	backing->lent = false;
	return backing->image;
}

void backing_close(struct backing *backing)
{
	if (!backing)
		return;
	if (backing->image && !backing->lent)
		qcow2_close(backing->image);
	else if (!backing->image)
		file_close(&backing->raw);
	free(backing);
}

struct qcow2 *backing_image(const struct backing *backing)
{
	return backing->image;
}

uint64_t backing_size(const struct backing *backing)
{
	return backing->size;
}

int backing_read(struct backing *backing, const struct slice *slices, unsigned count, uint64_t skip,
		 uint64_t length, uint64_t offset, bool at_once)
{
	if (backing->image)
		return qcow2_read_slices(backing->image, slices, count, skip, length, offset,
					 at_once);
	return at_once ? file_transfer_at_once(&backing->raw, false, slices, count, skip, length,
					       offset)
		       : file_transfer(&backing->raw, false, slices, count, skip, length, offset);
}
