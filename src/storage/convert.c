/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/convert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bits.h"
#include "storage/file.h"
#include "storage/vmdk.h"

enum { CHUNK = 2 << 20 /* no cluster is larger */ };

/* A disk that is read or written: one of these. */
struct end {
	struct qcow2 *image;
	struct vmdk *vmdk; /* read only */
	struct file file;
	uint64_t size;
};

struct copy {
	const struct convert *what;
	struct end from, to;
	uint8_t *bytes;
	uint64_t cluster; /* what is written at once */
};

static int end_transfer(struct end *end, enum disk_operation operation, uint8_t *bytes,
			uint64_t length, uint64_t offset)
{
	struct slice slice = {bytes, length};
	struct disk_request request = {.operation = operation,
				       .offset = offset,
				       .length = length,
				       .slices = &slice,
				       .slice_count = 1};

	if (end->image)
		return qcow2_carry_out(end->image, &request);
	if (end->vmdk)
		return vmdk_read(end->vmdk, bytes, length, offset);
	return operation == DISK_READ ? file_read(&end->file, bytes, length, offset)
				      : file_write(&end->file, bytes, length, offset);
}

static int end_close(struct end *end)
{
	int error = 0;

	if (end->image)
		error = qcow2_close(end->image);
	else if (end->vmdk)
		vmdk_close(end->vmdk);
	else
		file_close(&end->file);
	*end = (struct end){.file.descriptor = -1};
	return error;
}

static int check_room(struct end *end, const char *path, char *reason, size_t size)
{
	int error = qcow2_check_room(end->image);

	if (!error)
		return 0;
	snprintf(reason, size, "disk %s: %s", path,
		 error == -EFBIG
			 ? "is a damaged qcow2 image (its tables lead to more than its file "
			   "has room for)"
			 : strerror(-error));
	end_close(end);
	return error;
}

static int end_open(struct end *end, const char *path, enum format format, bool read_only,
		    char *reason, size_t size)
{
	int error;

	if (format == FORMAT_QCOW2) {
		error = qcow2_open(path, read_only ? QCOW2_READ_ONLY : 0, &end->image, reason,
				   size);
		end->size = error ? 0 : qcow2_size(end->image);
		return error || !read_only ? error : check_room(end, path, reason, size);
	}
	if (format == FORMAT_VMDK) {
		error = vmdk_open(path, &end->vmdk, reason, size);
		end->size = error ? 0 : vmdk_size(end->vmdk);
		return error;
	}
	error = file_open(&end->file, path, read_only, reason, size);
	end->size = error ? 0 : align_down(end->file.size, 512);
	return error;
}

/* The end of what reads as zeroes from the offset on, as far as that is known without reading. */
static uint64_t skip_hole(struct end *end, bool overlay, uint64_t offset)
{
	enum qcow2_presence presence;
	uint64_t same = 0;
	off_t data;

	if (end->image) {
		while (offset < end->size &&
		       !qcow2_presence(end->image, offset, end->size - offset, &presence, &same) &&
		       (presence == QCOW2_HERE_ZERO || (presence == QCOW2_NOT_HERE && !overlay)))
			offset += same;
		return offset;
	}
	if (end->vmdk)
		return vmdk_skip_hole(end->vmdk, offset);
	data = lseek(end->file.descriptor, (off_t)offset, SEEK_DATA);
	if (data >= 0)
		return (uint64_t)data < end->size ? (uint64_t)data : end->size;
	return errno == ENXIO ? end->size : offset;
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static int write_cluster(struct copy *copy, uint8_t *bytes, uint64_t length, uint64_t offset)
{
	if (is_zero(bytes, length))
		return 0;
	if (copy->what->compress && copy->to.image)
		return qcow2_write_compressed(copy->to.image, offset, bytes, length);
	return end_transfer(&copy->to, DISK_WRITE, bytes, length, offset);
}

static int copy_all(struct copy *copy)
{
	struct qcow2_info info = {.backing = ""};
	uint64_t offset = 0;
	bool overlay;
	int error = 0;

	if (copy->from.image)
		qcow2_info(copy->from.image, &info);
	overlay = info.backing[0];
	while (!error) {
		uint64_t length = CHUNK;

		offset = skip_hole(&copy->from, overlay, offset);
		if (offset >= copy->from.size)
			break;
		offset = align_down(offset, copy->cluster);
		if (length > copy->from.size - offset)
			length = copy->from.size - offset;
		error = end_transfer(&copy->from, DISK_READ, copy->bytes, length, offset);
		for (uint64_t at = 0; at < length && !error; at += copy->cluster)
			error = write_cluster(copy, copy->bytes + at,
					      length - at < copy->cluster ? length - at
									  : copy->cluster,
					      offset + at);
		offset += length;
	}
	return error;
}

int raw_create(const char *path, uint64_t bytes, char *reason, size_t size)
{
	int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666), error = 0;

	if (file < 0) {
		error = -errno;
		snprintf(reason, size, "%s: %s", path,
			 error == -EEXIST ? "is there already; remove it, or take another name"
					  : strerror(-error));
		return error;
	}
	if (ftruncate(file, (off_t)bytes) < 0) {
		error = -errno;
		snprintf(reason, size, "%s: can't be so large: %s", path, strerror(-error));
		unlink(path);
	}
	close(file);
	return error;
}

/* Makes the target at path, and copies. */
static int fill_target(struct copy *copy, const char *path, enum format format, char *reason,
		       size_t size)
{
	struct qcow2_options options = copy->what->qcow2;
	int error, closed;

	options.size = copy->from.size;
	copy->cluster = format == FORMAT_QCOW2 ? BIT(options.cluster_bits) : 65536;
	error = format == FORMAT_QCOW2 ? qcow2_create(path, &options, reason, size)
				       : raw_create(path, options.size, reason, size);
	if (error)
		return error;
	error = end_open(&copy->to, path, format, false, reason, size);
	if (!error) {
		error = copy_all(copy);
		if (!error && !copy->to.image)
			error = file_flush(&copy->to.file);
		closed = end_close(&copy->to);
		error = error ? error : closed;
		if (error)
			snprintf(reason, size, "%s to %s: %s", copy->what->from, copy->what->to,
				 strerror(-error));
	}
	if (error)
		unlink(path);
	return error;
}

/* Gives the complete file its name, which nobody else may have taken meanwhile. */
static int publish(const char *from, const char *to, char *reason, size_t size)
{
	int error = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) ? -errno : 0;

	/* Not every file system can. */
	if (error == -EINVAL && access(to, F_OK))
		error = rename(from, to) ? -errno : 0;
	if (error) {
		snprintf(reason, size, "%s: %s", to, strerror(-error));
		unlink(from);
	}
	return error;
}

static int copy_to(struct copy *copy, enum format format, char *reason, size_t size)
{
	const char *to = copy->what->to;
	char *path;
	int error;

	if (!access(to, F_OK)) {
		snprintf(reason, size, "%s: is there already; remove it, or take another name", to);
		return -EEXIST;
	}
	if (asprintf(&path, "%s.%d.part", to, (int)getpid()) < 0) {
		snprintf(reason, size, "no memory");
		return -ENOMEM;
	}
	error = fill_target(copy, path, format, reason, size);
	if (!error)
		error = publish(path, to, reason, size);
	free(path);
	return error;
}

int convert(const struct convert *what, char *reason, size_t size)
{
	struct copy copy = {.what = what,
			    .from.file.descriptor = -1,
			    .to.file.descriptor = -1,
			    .bytes = malloc(CHUNK)};
	enum format from = what->from_format, to = what->to_format;
	int error = copy.bytes ? 0 : -ENOMEM;

	if (error)
		snprintf(reason, size, "no memory");
	if (!error && from == FORMAT_AUTO)
		error = format_decide(what->from, &from, reason, size);
	if (!error && to == FORMAT_AUTO)
		error = format_decide(what->to, &to, reason, size);
	if (!error) {
		error = end_open(&copy.from, what->from, from, true, reason, size);
		if (!error)
			error = copy_to(&copy, to, reason, size);
		if (copy.from.image || copy.from.vmdk || copy.from.file.descriptor >= 0)
			end_close(&copy.from);
	}
	free(copy.bytes);
	return error;
}
