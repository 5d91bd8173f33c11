/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/host.h"

enum { SECTOR = 512 };

static const uint8_t zeroes[64 << 10];

_Static_assert(sizeof(struct slice) == sizeof(struct iovec) &&
		       offsetof(struct slice, base) == offsetof(struct iovec, iov_base) &&
		       offsetof(struct slice, length) == offsetof(struct iovec, iov_len),
	       "slices are laid out as what preadv takes");

int slices_cut(const struct slice *slices, unsigned count, uint64_t skip, uint64_t length,
	       struct iovec *vector)
{
	int entries = 0;

	for (unsigned i = 0; i < count && entries < SLICES_CUT_MAX && length > 0; i++) {
		uint64_t part = slices[i].length;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part -= skip;
		part = part < length ? part : length;
		vector[entries++] = (struct iovec){(uint8_t *)slices[i].base + skip, (size_t)part};
		length -= part;
		skip = 0;
	}
	return entries;
}

void slices_clear(const struct slice *slices, unsigned count, uint64_t skip, uint64_t length)
{
	struct iovec vector[SLICES_CUT_MAX];
	int entries;

	while (length > 0 && (entries = slices_cut(slices, count, skip, length, vector)) > 0) {
		for (int i = 0; i < entries; i++) {
			memset(vector[i].iov_base, 0, vector[i].iov_len);
			skip += vector[i].iov_len;
			length -= vector[i].iov_len;
		}
	}
}

void slices_fill(const struct slice *slices, unsigned count, uint64_t skip, const void *bytes,
		 uint64_t length)
{
	struct iovec vector[SLICES_CUT_MAX];
	const uint8_t *from = bytes;
	int entries;

	while (length > 0 && (entries = slices_cut(slices, count, skip, length, vector)) > 0) {
		for (int i = 0; i < entries; i++) {
			memcpy(vector[i].iov_base, from, vector[i].iov_len);
			from += vector[i].iov_len;
			skip += vector[i].iov_len;
			length -= vector[i].iov_len;
		}
	}
}

int file_transfer(struct file *file, bool write, const struct slice *slices, unsigned count,
		  uint64_t skip, uint64_t length, uint64_t offset)
{
	struct iovec vector[SLICES_CUT_MAX];

	while (length > 0) {
		int entries = slices_cut(slices, count, skip, length, vector);
		ssize_t part = write ? pwritev(file->descriptor, vector, entries, (off_t)offset)
				     : preadv(file->descriptor, vector, entries, (off_t)offset);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return -errno;
		if (part == 0 && write)
			return -EIO;
		if (part == 0) {
			slices_clear(slices, count, skip, length);
			return 0;
		}
		skip += (uint64_t)part;
		offset += (uint64_t)part;
		length -= (uint64_t)part;
	}
	return 0;
}

int file_transfer_at_once(struct file *file, bool write, const struct slice *slices, unsigned count,
			  uint64_t skip, uint64_t length, uint64_t offset)
{
	atomic_bool *impossible = write ? &file->no_write_at_once : &file->no_read_at_once;
	struct iovec cut_out[SLICES_CUT_MAX];
	const struct iovec *vector = (const struct iovec *)slices;
	int entries = (int)count;
	ssize_t done;

	if (length > FILE_AT_ONCE_MAX || count > SLICES_CUT_MAX ||
	    atomic_load_explicit(impossible, memory_order_relaxed))
		return -EAGAIN;
	if (skip || count != 1 || slices[0].length != length) {
		entries = slices_cut(slices, count, skip, length, cut_out);
		vector = cut_out;
	}
	if (write)
		done = pwritev2(file->descriptor, vector, entries, (off_t)offset, RWF_NOWAIT);
	else
		done = preadv2(file->descriptor, vector, entries, (off_t)offset, RWF_NOWAIT);
	if (done < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
		atomic_store(impossible, true);
	return done >= 0 && (uint64_t)done == length ? 0 : -EAGAIN;
}

int file_read(struct file *file, void *bytes, size_t length, uint64_t offset)
{
	struct slice slice = {bytes, length};

	return file_transfer(file, false, &slice, 1, 0, length, offset);
}

int file_write(struct file *file, const void *bytes, size_t length, uint64_t offset)
{
	struct slice slice = {(void *)(uintptr_t)bytes, length};

	return file_transfer(file, true, &slice, 1, 0, length, offset);
}

int file_flush(struct file *file)
{
	while (fdatasync(file->descriptor) < 0)
		if (errno == ENOSPC || errno == EDQUOT)
			return -EIO; /* what didn't fit is gone: waiting for space would not help */
		else if (errno != EINTR)
			return -errno;
	return 0;
}

static int allocate(struct file *file, atomic_bool *unknown, int mode, uint64_t offset,
		    uint64_t length)
{
	if (atomic_load(unknown))
		return -EOPNOTSUPP;
	while (fallocate(file->descriptor, mode, (off_t)offset, (off_t)length) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV) {
			atomic_store(unknown, true);
			return -EOPNOTSUPP;
		}
		return -errno;
	}
	return 0;
}

static int punch(struct file *file, uint64_t offset, uint64_t length)
{
	return allocate(file, &file->no_punch, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
			length);
}

int file_discard(struct file *file, uint64_t offset, uint64_t length)
{
	uint64_t range[2] = {offset, length};
	int result;

	if (file->block_device)
		result = ioctl(file->descriptor, BLKDISCARD, range) < 0 ? -errno : 0;
	else
		result = punch(file, offset, length);
	return result == -EOPNOTSUPP || result == -EINVAL ? 0 : result;
}

static int write_zeroes_slowly(struct file *file, uint64_t offset, uint64_t length)
{
	while (length > 0) {
		size_t part = length < sizeof(zeroes) ? (size_t)length : sizeof(zeroes);
		int error = file_write(file, zeroes, part, offset);

		if (error)
			return error;
		offset += part;
		length -= part;
	}
	return 0;
}

int file_write_zeroes(struct file *file, uint64_t offset, uint64_t length, bool unmap)
{
	int result = -EOPNOTSUPP;

	if (unmap)
		result = punch(file, offset, length);
	if (result == -EOPNOTSUPP)
		result = allocate(file, &file->no_zero_range,
				  FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
	if (result == -EOPNOTSUPP || result == -EINVAL)
		result = write_zeroes_slowly(file, offset, length);
	return result;
}

int file_resize(struct file *file, uint64_t size)
{
	while (ftruncate(file->descriptor, (off_t)size) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* Opening */

static int size_block_device(struct file *file)
{
	unsigned physical = 0;

	if (ioctl(file->descriptor, BLKGETSIZE64, &file->size) < 0)
		return -errno;
	if (ioctl(file->descriptor, BLKPBSZGET, &physical) == 0 && physical >= SECTOR &&
	    physical <= (64u << 10))
		file->block_size = physical;
	return 0;
}

/* What kind of file it is and how large. */
static int measure(struct file *file, const char *path, char *reason, size_t size)
{
	struct stat status;
	int error = 0;

	if (fstat(file->descriptor, &status) < 0) {
		error = -errno;
	} else if (S_ISBLK(status.st_mode)) {
		file->block_device = true;
		file->device = status.st_rdev;
		error = size_block_device(file);
	} else if (S_ISREG(status.st_mode)) {
		file->size = (uint64_t)status.st_size;
		file->device = status.st_dev;
		file->inode = status.st_ino;
	} else {
		snprintf(reason, size, "disk %s: is neither a file nor a block device", path);
		return -EINVAL;
	}
	if (error)
		snprintf(reason, size, "disk %s: can't tell its size: %s", path, strerror(-error));
	return error;
}

/* Locks of the open file description: they go with it, whatever else the process opens and closes.
 */
static int lock(struct file *file, const char *path, char *reason, size_t size)
{
	struct flock lock = {.l_type = file->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(file->descriptor, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		host_log(LOG_WARNING,
			 "disk %s can't be locked (%s); make sure that nothing else writes to it",
			 path, strerror(errno));
		return 0;
	}
	snprintf(reason, size, "disk %s: is in use by another machine%s", path,
		 file->read_only ? " that may write to it"
				 : "; stop that one, or have both use it read-only (,ro)");
	return -EBUSY;
}

static int open_path(struct file *file, const char *path, char *reason, size_t size)
{
	struct stat status;
	int flags = O_CLOEXEC | O_NONBLOCK | (file->read_only ? O_RDONLY : O_RDWR);
	const char *hint = "";

	/* O_EXCL says that no file system on the device may be mounted. */
	if (!file->read_only && stat(path, &status) == 0 && S_ISBLK(status.st_mode))
		flags |= O_EXCL;
	file->descriptor = open(path, flags);
	if (file->descriptor >= 0)
		return 0;
	if (errno == EBUSY)
		hint = " (is it mounted?)";
	else if ((errno == EACCES || errno == EROFS) && !file->read_only && access(path, R_OK) == 0)
		hint = "; it can be used read-only (,ro)";
	snprintf(reason, size, "disk %s: %s%s", path, strerror(errno), hint);
	return -errno;
}

int file_open(struct file *file, const char *path, bool read_only, char *reason, size_t size)
{
	int error;

	*file = (struct file){.descriptor = -1, .read_only = read_only};
	error = open_path(file, path, reason, size);
	if (error)
		return error;
	error = measure(file, path, reason, size);
	if (!error)
		error = lock(file, path, reason, size);
	/* Who had it until now may have made it larger. */
	if (!error)
		error = measure(file, path, reason, size);
	if (error)
		file_close(file);
	return error;
}

int file_take(struct file *file, int descriptor)
{
	const char *name = "of an overlay";
	int flags = fcntl(descriptor, F_GETFL), error;
	char reason[256];

	*file = (struct file){.descriptor = descriptor};
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND))
		return -EBADF;
	error = measure(file, name, reason, sizeof(reason));
	if (!error)
		error = lock(file, name, reason, sizeof(reason));
	return error ? error : measure(file, name, reason, sizeof(reason));
}

void file_freeze(struct file *file)
{
	file->read_only = true;
	file_lend(file, false);
}

int file_lend(struct file *file, bool away)
{
	struct flock lock = {.l_type = away		 ? F_UNLCK
				       : file->read_only ? F_RDLCK
							 : F_WRLCK,
			     .l_whence = SEEK_SET};

	if (fcntl(file->descriptor, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : 0; /* no locks there: as file_open */
}

void file_close(struct file *file)
{
	if (file->descriptor >= 0)
		close(file->descriptor);
	file->descriptor = -1;
}
