/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waking a thread on another core costs tens of microseconds, more than most requests take. So
 * submit first tries what can be had without waiting (RWF_NOWAIT): reads out of the page cache, and
 * writes into it where the file system can. The rest goes through one queue to a few threads.
 */
#include "storage/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/device.h"
#include "core/host.h"

enum { THREADS = 2, SLICES_AT_ONCE = 256, SECTOR = 512 };

/* Larger requests would keep the vcpu (and the vm's lock) for too long, even from memory. */
#define AT_ONCE_MAX (256u << 10)

static const uint8_t zeroes[64 << 10];

struct raw {
	struct disk disk;
	int file;
	bool block_device;
	atomic_bool no_read_at_once, no_write_at_once; /* the file system can't */
	atomic_bool no_punch, no_zero_range;
	pthread_t thread[THREADS];
	unsigned threads;
	/* Under the lock: */
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct disk_request *first, **last;
	unsigned pending; /* queued or on a thread */
	bool ending;
};

_Static_assert(sizeof(struct slice) == sizeof(struct iovec) &&
		       offsetof(struct slice, base) == offsetof(struct iovec, iov_base) &&
		       offsetof(struct slice, length) == offsetof(struct iovec, iov_len),
	       "slices can be handed to preadv");

/* Fills vector with what is left of the slices behind skip bytes; how many entries. */
static int rest_of(const struct disk_request *request, uint64_t skip, struct iovec *vector)
{
	int count = 0;

	for (unsigned i = 0; i < request->slice_count && count < SLICES_AT_ONCE; i++) {
		const struct slice *slice = &request->slices[i];

		if (skip >= slice->length) {
			skip -= slice->length;
			continue;
		}
		vector[count++] =
			(struct iovec){(uint8_t *)slice->base + skip, slice->length - skip};
		skip = 0;
	}
	return count;
}

/* The file ends within the disk only if somebody made it shorter meanwhile. What is gone reads as
 * zeroes. */
static void clear_rest(const struct disk_request *request, uint64_t skip)
{
	struct iovec vector[SLICES_AT_ONCE];
	int count;

	while ((count = rest_of(request, skip, vector)) > 0) {
		for (int i = 0; i < count; i++) {
			memset(vector[i].iov_base, 0, vector[i].iov_len);
			skip += vector[i].iov_len;
		}
	}
}

static int transfer(struct raw *raw, const struct disk_request *request)
{
	struct iovec vector[SLICES_AT_ONCE];
	bool write = request->operation == DISK_WRITE;
	uint64_t done = 0;

	while (done < request->length) {
		int count = rest_of(request, done, vector);
		off_t offset = (off_t)(request->offset + done);
		ssize_t length = write ? pwritev(raw->file, vector, count, offset)
				       : preadv(raw->file, vector, count, offset);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		if (length == 0 && write)
			return -EIO;
		if (length == 0) {
			clear_rest(request, done);
			return 0;
		}
		done += (uint64_t)length;
	}
	return 0;
}

static int write_zeroes_slowly(struct raw *raw, uint64_t offset, uint64_t length)
{
	while (length > 0) {
		size_t part = length < sizeof(zeroes) ? (size_t)length : sizeof(zeroes);
		ssize_t written = pwrite(raw->file, zeroes, part, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		offset += (uint64_t)written;
		length -= (uint64_t)written;
	}
	return 0;
}

/* fallocate, which not every file system knows: once it has said so, it isn't asked again. */
static int allocate(struct raw *raw, atomic_bool *unknown, int mode,
		    const struct disk_request *request)
{
	if (atomic_load(unknown))
		return -EOPNOTSUPP;
	while (fallocate(raw->file, mode, (off_t)request->offset, (off_t)request->length) < 0) {
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

static int punch(struct raw *raw, const struct disk_request *request)
{
	return allocate(raw, &raw->no_punch, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request);
}

static int write_zeroes(struct raw *raw, const struct disk_request *request)
{
	int result = -EOPNOTSUPP;

	if (request->unmap)
		result = punch(raw, request);
	if (result == -EOPNOTSUPP)
		result = allocate(raw, &raw->no_zero_range,
				  FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, request);
	if (result == -EOPNOTSUPP || result == -EINVAL)
		result = write_zeroes_slowly(raw, request->offset, request->length);
	return result;
}

/* Advice only: where it can't be taken, nothing is lost. */
static int discard(struct raw *raw, const struct disk_request *request)
{
	uint64_t range[2] = {request->offset, request->length};
	int result;

	if (raw->block_device)
		result = ioctl(raw->file, BLKDISCARD, range) < 0 ? -errno : 0;
	else
		result = punch(raw, request);
	return result == -EOPNOTSUPP || result == -EINVAL ? 0 : result;
}

/* A failed fdatasync has thrown away what it could not write: the guest hears of it once, as from a
 * disk. */
static int flush(struct raw *raw)
{
	while (fdatasync(raw->file) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int carry_out(struct raw *raw, const struct disk_request *request)
{
	switch (request->operation) {
	case DISK_READ:
	case DISK_WRITE:
		return transfer(raw, request);
	case DISK_FLUSH:
		return flush(raw);
	case DISK_DISCARD:
		return discard(raw, request);
	case DISK_WRITE_ZEROES:
		return write_zeroes(raw, request);
	}
	return -EINVAL;
}

static void *work(void *argument)
{
	struct raw *raw = argument;

	pthread_setname_np(pthread_self(), "disk");
	pthread_mutex_lock(&raw->lock);
	for (;;) {
		struct disk_request *request = raw->first;

		if (!request && raw->ending)
			break;
		if (!request) {
			pthread_cond_wait(&raw->work, &raw->lock);
			continue;
		}
		raw->first = request->next;
		if (!raw->first)
			raw->last = &raw->first;
		pthread_mutex_unlock(&raw->lock);
		request->done(request, carry_out(raw, request));
		pthread_mutex_lock(&raw->lock);
		if (--raw->pending == 0)
			pthread_cond_broadcast(&raw->idle);
	}
	pthread_mutex_unlock(&raw->lock);
	return NULL;
}

/* True if the request was done without waiting. A transfer that was done in part is begun anew by a
 * thread: that does no harm. */
static bool done_at_once(struct raw *raw, const struct disk_request *request)
{
	bool write = request->operation == DISK_WRITE;
	atomic_bool *impossible = write ? &raw->no_write_at_once : &raw->no_read_at_once;
	const struct iovec *vector = (const struct iovec *)request->slices;
	ssize_t length;

	if ((!write && request->operation != DISK_READ) || request->length > AT_ONCE_MAX ||
	    request->slice_count > SLICES_AT_ONCE || atomic_load(impossible))
		return false;
	if (write)
		length = pwritev2(raw->file, vector, (int)request->slice_count,
				  (off_t)request->offset, RWF_NOWAIT);
	else
		length = preadv2(raw->file, vector, (int)request->slice_count,
				 (off_t)request->offset, RWF_NOWAIT);
	if (length < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
		atomic_store(impossible, true);
	return length >= 0 && (uint64_t)length == request->length;
}

/*
 * Threads that get none of the process's signals. They are made for the first request that needs
 * one, not before: then the process has given up the rights that it doesn't need to run a machine,
 * and a thread has those of its maker. Under the lock.
 */
static int start_threads(struct raw *raw)
{
	sigset_t all, old;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (raw->threads < THREADS && !error) {
		error = pthread_create(&raw->thread[raw->threads], NULL, work, raw);
		raw->threads += !error;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return raw->threads ? 0 : -error;
}

static int raw_submit(struct disk *disk, struct disk_request *request)
{
	struct raw *raw = container_of(disk, struct raw, disk);
	int error = 0;

	if (done_at_once(raw, request))
		return 0;
	request->next = NULL;
	pthread_mutex_lock(&raw->lock);
	if (raw->threads == 0)
		error = start_threads(raw);
	if (error) {
		pthread_mutex_unlock(&raw->lock);
		return error;
	}
	*raw->last = request;
	raw->last = &request->next;
	raw->pending++;
	pthread_cond_signal(&raw->work);
	pthread_mutex_unlock(&raw->lock);
	return DISK_PENDING;
}

static void raw_drain(struct disk *disk)
{
	struct raw *raw = container_of(disk, struct raw, disk);

	pthread_mutex_lock(&raw->lock);
	while (raw->pending)
		pthread_cond_wait(&raw->idle, &raw->lock);
	pthread_mutex_unlock(&raw->lock);
}

static void raw_close(struct disk *disk)
{
	struct raw *raw = container_of(disk, struct raw, disk);

	raw_drain(disk);
	pthread_mutex_lock(&raw->lock);
	raw->ending = true;
	pthread_cond_broadcast(&raw->work);
	pthread_mutex_unlock(&raw->lock);
	for (unsigned i = 0; i < raw->threads; i++)
		pthread_join(raw->thread[i], NULL);
	pthread_cond_destroy(&raw->work);
	pthread_cond_destroy(&raw->idle);
	pthread_mutex_destroy(&raw->lock);
	close(raw->file);
	free(raw);
}

static const struct disk_ops raw_ops = {
	.submit = raw_submit, .drain = raw_drain, .close = raw_close};

static int size_block_device(struct raw *raw, uint64_t *size)
{
	unsigned physical = 0;

	if (ioctl(raw->file, BLKGETSIZE64, size) < 0)
		return -errno;
	if (ioctl(raw->file, BLKPBSZGET, &physical) == 0 && physical >= SECTOR &&
	    physical <= (64u << 10))
		raw->disk.block_size = physical;
	return 0;
}

/* What kind of file it is and how large. 0, or a negative errno and a line in reason. */
static int measure(struct raw *raw, const char *path, char *reason, size_t room)
{
	struct stat status;
	uint64_t size = 0;
	int error = 0;

	if (fstat(raw->file, &status) < 0) {
		error = -errno;
	} else if (S_ISBLK(status.st_mode)) {
		raw->block_device = true;
		error = size_block_device(raw, &size);
	} else if (S_ISREG(status.st_mode)) {
		size = (uint64_t)status.st_size;
	} else {
		snprintf(reason, room, "disk %s: is neither a file nor a block device", path);
		return -EINVAL;
	}
	if (error) {
		snprintf(reason, room, "disk %s: can't tell its size: %s", path, strerror(-error));
		return error;
	}
	if (size == 0 || size % SECTOR) {
		snprintf(reason, room,
			 size ? "disk %s: its size is not a multiple of 512 bytes; was it cut off?"
			      : "disk %s: is empty; make it as large as the disk is to be "
				"(truncate -s 8G)",
			 path);
		return -EINVAL;
	}
	raw->disk.size = size;
	if (!raw->block_device && size % 4096 == 0)
		raw->disk.block_size = 4096;
	return 0;
}

/* Locks of the open file description: they go with it, whatever else the process opens and closes.
 */
static int lock_file(struct raw *raw, const char *path, char *reason, size_t room)
{
	struct flock lock = {.l_type = raw->disk.read_only ? F_RDLCK : F_WRLCK,
			     .l_whence = SEEK_SET};

	if (fcntl(raw->file, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		host_log(LOG_WARNING,
			 "disk %s can't be locked (%s); make sure that nothing else writes to it",
			 path, strerror(errno));
		return 0;
	}
	snprintf(reason, room, "disk %s: is in use by another machine%s", path,
		 raw->disk.read_only ? " that may write to it"
				     : "; stop that one, or have both use it read-only (,ro)");
	return -EBUSY;
}

static int open_file(struct raw *raw, const char *path, char *reason, size_t room)
{
	struct stat status;
	int flags = O_CLOEXEC | O_NONBLOCK | (raw->disk.read_only ? O_RDONLY : O_RDWR);
	const char *hint = "";

	/* O_EXCL says that no file system on the device may be mounted. */
	if (!raw->disk.read_only && stat(path, &status) == 0 && S_ISBLK(status.st_mode))
		flags |= O_EXCL;
	raw->file = open(path, flags);
	if (raw->file >= 0)
		return 0;
	if (errno == EBUSY)
		hint = " (is it mounted?)";
	else if ((errno == EACCES || errno == EROFS) && !raw->disk.read_only &&
		 access(path, R_OK) == 0)
		hint = "; it can be used read-only (,ro)";
	snprintf(reason, room, "disk %s: %s%s", path, strerror(errno), hint);
	return -errno;
}

int raw_open(const char *path, bool read_only, struct disk **disk, char *reason, size_t size)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int error;

	if (!raw) {
		snprintf(reason, size, "disk %s: no memory for it", path);
		return -ENOMEM;
	}
	raw->disk = (struct disk){.ops = &raw_ops,
				  .block_size = SECTOR,
				  .read_only = read_only,
				  .can_discard = !read_only};
	raw->last = &raw->first;
	error = open_file(raw, path, reason, size);
	if (error) {
		free(raw);
		return error;
	}
	error = measure(raw, path, reason, size);
	if (!error)
		error = lock_file(raw, path, reason, size);
	if (error) {
		close(raw->file);
		free(raw);
		return error;
	}
	pthread_mutex_init(&raw->lock, NULL);
	pthread_cond_init(&raw->work, NULL);
	pthread_cond_init(&raw->idle, NULL);
	*disk = &raw->disk;
	return 0;
}
