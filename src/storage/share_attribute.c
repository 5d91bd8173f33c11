/* SPDX-License-Identifier: BSD-2-Clause */
/* What files say of themselves: owners, modes, times, sizes, extended attributes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "storage/share_server.h"

/* Attributes of names that begin otherwise are the host's own affair. */
static const char user_names[] = "user.";

static uint32_t device_number(const struct stat *status)
{
	uint32_t high = major(status->st_rdev), low = minor(status->st_rdev);

	return (low & 0xff) | high << 8 | (low & ~0xffu) << 12;
}

int share_attributes(const struct share_server *server, int descriptor, struct fuse_attr *attr)
{
	struct stat status;

	if (fstatat(descriptor, "", &status, AT_EMPTY_PATH))
		return -errno;
	*attr = (struct fuse_attr){
		.ino = status.st_ino,
		.size = (uint64_t)status.st_size,
		.blocks = (uint64_t)status.st_blocks,
		.atime = (uint64_t)status.st_atim.tv_sec,
		.mtime = (uint64_t)status.st_mtim.tv_sec,
		.ctime = (uint64_t)status.st_ctim.tv_sec,
		.atimensec = (uint32_t)status.st_atim.tv_nsec,
		.mtimensec = (uint32_t)status.st_mtim.tv_nsec,
		.ctimensec = (uint32_t)status.st_ctim.tv_nsec,
		.mode = status.st_mode & (S_IFMT | SHARE_MODE_BITS),
		.nlink = (uint32_t)status.st_nlink,
		.uid = status.st_uid == server->owner ? server->uid : SHARE_NOBODY,
		.gid = status.st_gid == server->group ? server->gid : SHARE_NOBODY,
		.rdev = device_number(&status),
		.blksize = (uint32_t)status.st_blksize,
	};
	return 0;
}

static int answer_attributes(struct share_call *call, int descriptor)
{
	struct fuse_attr_out out = {.attr_valid = SHARE_VALID_SECONDS};
	int error = share_attributes(call->server, descriptor, &out.attr);

	if (error)
		return error;
	return share_answer(call, &out, sizeof(out)) ? 0 : -EINVAL;
}

int share_getattr(struct share_call *call)
{
	return answer_attributes(call, call->hold.descriptor);
}

static int set_mode(struct share_call *call, uint32_t mode)
{
	/* By this name a symbolic link itself is meant, which has no mode: EOPNOTSUPP. */
	return fchmodat(call->server->self, share_link_of(call->hold.descriptor).text,
			mode & SHARE_MODE_BITS, 0)
		       ? -errno
		       : 0;
}

/* The guest can't give a file away: on the host it is one user's. What it is already, it may set.
 */
static int set_owner(struct share_call *call, const struct fuse_setattr_in *in)
{
	struct fuse_attr attr;
	int error = share_attributes(call->server, call->hold.descriptor, &attr);

	if (error)
		return error;
	if ((in->valid & FATTR_UID && in->uid != attr.uid) ||
	    (in->valid & FATTR_GID && in->gid != attr.gid))
		return -EPERM;
	return 0;
}

static int set_size(struct share_call *call, const struct fuse_setattr_in *in)
{
	struct share_file *file = NULL;
	struct stat status;
	int error = 0, descriptor;

	if (in->size > INT64_MAX)
		return -EFBIG;
	if (in->valid & FATTR_FH)
		file = share_file_hold(&call->server->files, in->fh);
	if (file && file->writes) {
		error = ftruncate(file->descriptor, (off_t)in->size) ? -errno : 0;
	} else if (fstatat(call->hold.descriptor, "", &status, AT_EMPTY_PATH)) {
		error = -errno;
	} else if (!S_ISREG(status.st_mode)) {
		error = S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
	} else {
		descriptor = share_reopen(call->server, call->hold.descriptor, O_WRONLY);
		error = descriptor < 0 ? descriptor : 0;
		if (!error && ftruncate(descriptor, (off_t)in->size))
			error = -errno;
		if (descriptor >= 0)
			close(descriptor);
	}
	if (file)
		share_file_release(&call->server->files, file);
	return error;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t seconds,
			       uint32_t nanoseconds)
{
	if (!(valid & set))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (valid & now || nanoseconds >= 1000000000)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return (struct timespec){(time_t)seconds, nanoseconds};
}

static int set_times(struct share_call *call, const struct fuse_setattr_in *in)
{
	const struct timespec times[2] = {
		time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	return utimensat(call->server->self, share_link_of(call->hold.descriptor).text, times, 0)
		       ? -errno
		       : 0;
}

int share_setattr(struct share_call *call)
{
	struct fuse_setattr_in in;
	int error = 0;

	memcpy(&in, call->argument, sizeof(in));
	if (in.valid & (FATTR_UID | FATTR_GID))
		error = set_owner(call, &in);
	if (!error && in.valid & FATTR_MODE)
		error = set_mode(call, in.mode);
	if (!error && in.valid & FATTR_SIZE)
		error = set_size(call, &in);
	if (!error && in.valid & (FATTR_ATIME | FATTR_MTIME))
		error = set_times(call, &in);
	return error ? error : answer_attributes(call, call->hold.descriptor);
}

int share_statfs(struct share_call *call)
{
	struct fuse_statfs_out out = {0};
	struct statvfs status;

	if (fstatvfs(call->hold.descriptor, &status))
		return -errno;
	out.st = (struct fuse_kstatfs){
		.blocks = status.f_blocks,
		.bfree = status.f_bfree,
		.bavail = status.f_bavail,
		.files = status.f_files,
		.ffree = status.f_ffree,
		.bsize = (uint32_t)status.f_bsize,
		.namelen = SHARE_NAME_MAX,
		.frsize = (uint32_t)status.f_frsize,
	};
	return share_answer(call, &out, sizeof(out)) ? 0 : -EINVAL;
}

/* Extended attributes */

/*
 * Opens the file itself, for there are no calls for descriptors by which nothing can be read. Only
 * files and folders have attributes of the user's, and to open those does nothing. A descriptor or
 * a negative errno.
 */
static int open_for_attributes(struct share_call *call)
{
	struct stat status;

	if (fstatat(call->hold.descriptor, "", &status, AT_EMPTY_PATH))
		return -errno;
	if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
		return -EOPNOTSUPP;
	return share_reopen(call->server, call->hold.descriptor, O_RDONLY);
}

static bool is_users(const char *name)
{
	return !strncmp(name, user_names, sizeof(user_names) - 1);
}

int share_setxattr(struct share_call *call)
{
	struct fuse_setxattr_in in = {0};
	size_t at = FUSE_COMPAT_SETXATTR_IN_SIZE;
	int descriptor, error;
	const char *name;

	memcpy(&in, call->argument, FUSE_COMPAT_SETXATTR_IN_SIZE);
	name = share_call_string(call, &at);
	if (!name || in.size > call->argument_size - at)
		return -EINVAL;
	if (!is_users(name))
		return -EOPNOTSUPP;
	descriptor = open_for_attributes(call);
	if (descriptor < 0)
		return descriptor;
	error = fsetxattr(descriptor, name, call->argument + at, in.size, (int)in.flags) ? -errno
											 : 0;
	close(descriptor);
	return error;
}

/* What both askers want: the size alone, or up to so many bytes. length: what there is in value. */
static int answer_value(struct share_call *call, const void *value, ssize_t length)
{
	struct fuse_getxattr_in in;
	struct fuse_getxattr_out out = {.size = (uint32_t)length};

	memcpy(&in, call->argument, sizeof(in));
	if (!in.size)
		return share_answer(call, &out, sizeof(out)) ? 0 : -EINVAL;
	if ((size_t)length > in.size)
		return -ERANGE;
	return share_answer(call, value, (size_t)length) ? 0 : -ERANGE;
}

int share_getxattr(struct share_call *call)
{
	size_t at = sizeof(struct fuse_getxattr_in);
	const char *name = share_call_string(call, &at);
	int descriptor, error = -ENOMEM;
	ssize_t length;
	char *value;

	if (!name)
		return -EINVAL;
	if (!is_users(name))
		return -ENODATA;
	descriptor = open_for_attributes(call);
	if (descriptor < 0)
		return descriptor == -EOPNOTSUPP ? -ENODATA : descriptor;
	value = malloc(SHARE_VALUE_MAX);
	if (value) {
		length = fgetxattr(descriptor, name, value, SHARE_VALUE_MAX);
		error = length < 0 ? -errno : answer_value(call, value, length);
	}
	free(value);
	close(descriptor);
	return error;
}

/* Takes the names that are not the user's out of a list. */
static ssize_t keep_users(char *list, ssize_t length)
{
	ssize_t kept = 0;

	for (ssize_t at = 0; at < length;) {
		ssize_t size = (ssize_t)strnlen(list + at, (size_t)(length - at)) + 1;

		if (at + size <= length && is_users(list + at)) {
			memmove(list + kept, list + at, (size_t)size);
			kept += size;
		}
		at += size;
	}
	return kept;
}

int share_listxattr(struct share_call *call)
{
	int descriptor = open_for_attributes(call), error = -ENOMEM;
	ssize_t length;
	char *list;

	if (descriptor == -EOPNOTSUPP)
		return answer_value(call, "", 0);
	if (descriptor < 0)
		return descriptor;
	list = malloc(SHARE_VALUE_MAX);
	if (list) {
		length = flistxattr(descriptor, list, SHARE_VALUE_MAX);
		error = length < 0 ? -errno : answer_value(call, list, keep_users(list, length));
	}
	free(list);
	close(descriptor);
	return error;
}

int share_removexattr(struct share_call *call)
{
	size_t at = 0;
	const char *name = share_call_string(call, &at);
	int descriptor, error;

	if (!name)
		return -EINVAL;
	if (!is_users(name))
		return -EOPNOTSUPP;
	descriptor = open_for_attributes(call);
	if (descriptor < 0)
		return descriptor;
	error = fremovexattr(descriptor, name) ? -errno : 0;
	close(descriptor);
	return error;
}
