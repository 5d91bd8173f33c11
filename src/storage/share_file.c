/* SPDX-License-Identifier: BSD-2-Clause */
/* Open files and folders: the guest's numbers for them, and what is done with their contents. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/file.h"
#include "storage/share_server.h"

int share_files_init(struct share_files *files, unsigned count)
{
	files->file = calloc(count, sizeof(*files->file));
	if (!files->file)
		return -ENOMEM;
	files->count = count;
	files->used = 0;
	pthread_mutex_init(&files->lock, NULL);
	return 0;
}

/* With the lock. */
static void close_unless_used(struct share_files *files, struct share_file *file)
{
	file->closing = true;
	if (file->users)
		return;
	if (file->descriptor >= 0)
		close(file->descriptor);
	file->used = false;
	files->used--;
}

void share_files_close_all(struct share_files *files)
{
	pthread_mutex_lock(&files->lock);
	for (unsigned i = 0; i < files->count && files->used; i++)
		if (files->file[i].used && !files->file[i].closing)
			close_unless_used(files, &files->file[i]);
	pthread_mutex_unlock(&files->lock);
}

void share_files_destroy(struct share_files *files)
{
	share_files_close_all(files);
	pthread_mutex_destroy(&files->lock);
	free(files->file);
}

int share_file_add(struct share_files *files, const struct share_file *file, uint64_t *handle)
{
	int error = -ENFILE;

	pthread_mutex_lock(&files->lock);
	for (unsigned i = 0; i < files->count && files->used < files->count; i++) {
		struct share_file *free_one = &files->file[i];
		uint32_t generation = free_one->generation + 1;

		if (free_one->used)
			continue;
		*free_one = *file;
		free_one->used = true;
		free_one->generation = generation;
		files->used++;
		*handle = (uint64_t)generation << 32 | i;
		error = 0;
		break;
	}
	pthread_mutex_unlock(&files->lock);
	if (error)
		close(file->descriptor);
	return error;
}

struct share_file *share_file_hold(struct share_files *files, uint64_t handle)
{
	uint32_t index = (uint32_t)handle;
	struct share_file *file = NULL;

	pthread_mutex_lock(&files->lock);
	if (index < files->count && files->file[index].used && !files->file[index].closing &&
	    files->file[index].generation == handle >> 32) {
		file = &files->file[index];
		file->users++;
	}
	pthread_mutex_unlock(&files->lock);
	return file;
}

void share_file_release(struct share_files *files, struct share_file *file)
{
	pthread_mutex_lock(&files->lock);
	file->users--;
	if (file->closing)
		close_unless_used(files, file);
	pthread_mutex_unlock(&files->lock);
}

/* O_APPEND is not among them: what the guest's kernel writes back of a mapped file goes to its
 * place nevertheless. See share_write. */
int share_open_flags(uint32_t flags)
{
	return (int)(flags & (O_ACCMODE | O_TRUNC | O_DSYNC | O_SYNC));
}

static int open_hold(struct share_call *call, mode_t type, int flags, uint32_t asked)
{
	struct share_file file = {.folder = type == S_IFDIR,
				  .append = asked & O_APPEND,
				  .writes = (flags & O_ACCMODE) != O_RDONLY,
				  .node = call->in.nodeid,
				  .flags = flags};
	struct fuse_open_out out = {0};
	struct stat status;
	int error;

	if (fstatat(call->hold.descriptor, "", &status, AT_EMPTY_PATH))
		return -errno;
	/* Devices, pipes and sockets are the guest's kernel's to open; on the host, that would do
	 * something. */
	if ((status.st_mode & S_IFMT) != type)
		return type == S_IFDIR ? -ENOTDIR : S_ISDIR(status.st_mode) ? -EISDIR : -ENXIO;
	file.descriptor = share_reopen(call->server, call->hold.descriptor, flags);
	if (file.descriptor < 0)
		return file.descriptor;
	error = share_file_add(&call->server->files, &file, &out.fh);
	if (error)
		return error;
	return share_answer(call, &out, sizeof(out)) ? 0 : -EINVAL;
}

int share_open_file(struct share_call *call)
{
	struct fuse_open_in in;
	int flags;

	memcpy(&in, call->argument, sizeof(in));
	flags = share_open_flags(in.flags);
	if (((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC) && call->server->read_only)
		return -EROFS;
	return open_hold(call, S_IFREG, flags, in.flags);
}

int share_open_folder(struct share_call *call)
{
	return open_hold(call, S_IFDIR, O_RDONLY | O_DIRECTORY, 0);
}

/* The open file of a request that begins with its number; NULL: no such, or it was lost. */
static struct share_file *hold(struct share_call *call, uint64_t handle, bool folder)
{
	struct share_file *file = share_file_hold(&call->server->files, handle);

	if (!file || (file->descriptor >= 0 && file->folder == folder))
		return file;
	share_file_release(&call->server->files, file);
	return NULL;
}

int share_read(struct share_call *call)
{
	const struct share_request *request = call->request;
	const uint64_t skip = sizeof(struct fuse_out_header);
	struct iovec vector[SLICES_CUT_MAX];
	struct share_file *file;
	struct fuse_read_in in;
	uint64_t size;
	ssize_t done = 0;
	int entries;

	memcpy(&in, call->argument, sizeof(in));
	if (request->writable_length < skip || in.offset > INT64_MAX)
		return -EINVAL;
	file = hold(call, in.fh, false);
	if (!file)
		return -EBADF;
	size = request->writable_length - skip;
	size = in.size < size ? in.size : size;
	entries = slices_cut(request->writable, request->writable_count, skip, size, vector);
	if (entries > 0)
		done = preadv(file->descriptor, vector, entries, (off_t)in.offset);
	if (done >= 0)
		call->data_size = (size_t)done;
	else
		done = -errno;
	share_file_release(&call->server->files, file);
	return done < 0 ? (int)done : 0;
}

int share_write(struct share_call *call)
{
	const struct share_request *request = call->request;
	const uint64_t skip = sizeof(call->in) + sizeof(struct fuse_write_in);
	struct iovec vector[SLICES_CUT_MAX];
	struct fuse_write_out out = {0};
	struct share_file *file;
	struct fuse_write_in in;
	ssize_t done = 0;
	int entries, flags;

	memcpy(&in, call->argument, sizeof(in));
	if (in.size > request->readable_length - skip || in.offset > INT64_MAX)
		return -EINVAL;
	file = hold(call, in.fh, false);
	if (!file)
		return -EBADF;
	/* What was written by a program goes to the end, wherever that is on the host by now. */
	flags = file->append && !(in.write_flags & FUSE_WRITE_CACHE) ? RWF_APPEND : 0;
	entries = slices_cut(request->readable, request->readable_count, skip, in.size, vector);
	if (entries > 0)
		done = pwritev2(file->descriptor, vector, entries, (off_t)in.offset, flags);
	if (done < 0)
		done = -errno;
	share_file_release(&call->server->files, file);
	out.size = (uint32_t)(done < 0 ? 0 : done);
	if (done < 0)
		return (int)done;
	return share_answer(call, &out, sizeof(out)) ? 0 : -EINVAL;
}

int share_release_file(struct share_call *call)
{
	struct share_files *files = &call->server->files;
	struct fuse_release_in in;
	struct share_file *file;

	memcpy(&in, call->argument, sizeof(in));
	file = share_file_hold(files, in.fh);
	if (!file)
		return -EBADF;
	pthread_mutex_lock(&files->lock);
	file->closing = true;
	pthread_mutex_unlock(&files->lock);
	share_file_release(files, file);
	return 0;
}

int share_fsync(struct share_call *call)
{
	struct fuse_fsync_in in;
	struct share_file *file;
	int error;

	memcpy(&in, call->argument, sizeof(in));
	file = hold(call, in.fh, call->in.opcode == FUSE_FSYNCDIR);
	if (!file)
		return -EBADF;
	error = (in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(file->descriptor)
						       : fsync(file->descriptor))
			? -errno
			: 0;
	share_file_release(&call->server->files, file);
	return error;
}

int share_fallocate(struct share_call *call)
{
	const uint32_t modes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	struct fuse_fallocate_in in;
	struct share_file *file;
	int error;

	memcpy(&in, call->argument, sizeof(in));
	if (in.mode & ~modes)
		return -EOPNOTSUPP;
	if (in.offset > INT64_MAX || in.length > INT64_MAX)
		return -EFBIG;
	file = hold(call, in.fh, false);
	if (!file)
		return -EBADF;
	error = fallocate(file->descriptor, (int)in.mode, (off_t)in.offset, (off_t)in.length)
			? -errno
			: 0;
	share_file_release(&call->server->files, file);
	return error;
}

int share_lseek(struct share_call *call)
{
	struct fuse_lseek_in in;
	struct fuse_lseek_out out;
	struct share_file *file;
	off_t found;
	int error = 0;

	memcpy(&in, call->argument, sizeof(in));
	if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX)
		return -EINVAL;
	file = hold(call, in.fh, false);
	if (!file)
		return -EBADF;
	found = lseek(file->descriptor, (off_t)in.offset, (int)in.whence);
	if (found < 0)
		error = -errno;
	out.offset = (uint64_t)found;
	share_file_release(&call->server->files, file);
	if (error)
		return error;
	return share_answer(call, &out, sizeof(out)) ? 0 : -EINVAL;
}

/* All of the host's file system, for which files the guest has changed isn't known. */
int share_syncfs(struct share_call *call)
{
	int descriptor, error;

	if (call->server->read_only)
		return 0;
	descriptor = share_reopen(call->server, call->server->root, O_RDONLY | O_DIRECTORY);
	if (descriptor < 0)
		return descriptor;
	error = syncfs(descriptor) ? -errno : 0;
	close(descriptor);
	return error;
}
