/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's frame: messages in and answers out. What a message asks for is in a table, and
 * carried out on threads (storage/workers.h), for a file system may take its time.
 *
 * A message lies in the guest's memory, which the guest may change at any moment. So all but data
 * to write is copied once, and then looked at.
 */
#include "storage/share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/device.h"
#include "lib/bytes.h"
#include "storage/file.h"
#include "storage/share_server.h"

/* FUSE 7.31 is what Linux 5.4, the first with virtio-fs, speaks. */
enum { MINOR_MIN = 31, MAJOR = 7, ANSWER_SMALL = 256 };

/* What the guest's kernel may do. Not FUSE_POSIX_LOCKS and FUSE_FLOCK_LOCKS: it keeps locks itself,
 * and they hold among its processes. Not FUSE_WRITEBACK_CACHE: the host is to see what is written
 * when it is written. */
#define FEATURES                                                                                   \
	((uint32_t)(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |                      \
		    FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |           \
		    FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV |                 \
		    FUSE_MAX_PAGES | FUSE_HANDLE_KILLPRIV_V2))

struct share_link share_link_of(int descriptor)
{
	struct share_link link;

	snprintf(link.text, sizeof(link.text), "%d", descriptor);
	return link;
}

int share_reopen(const struct share_server *server, int descriptor, int flags)
{
	int opened =
		openat(server->self, share_link_of(descriptor).text, flags | O_CLOEXEC | O_NOCTTY);

	return opened < 0 ? -errno : opened;
}

const char *share_call_string(struct share_call *call, size_t *at)
{
	const char *string = (const char *)call->argument + *at;
	size_t length;

	if (*at >= call->argument_size)
		return NULL;
	length = strnlen(string, call->argument_size - *at);
	if (length == call->argument_size - *at)
		return NULL;
	*at += length + 1;
	return string;
}

bool share_answer(struct share_call *call, const void *bytes, size_t size)
{
	if (size > call->answer_room - call->answer_size)
		return false;
	memcpy(call->answer + call->answer_size, bytes, size);
	call->answer_size += size;
	return true;
}

static int init(struct share_call *call)
{
	struct share_server *server = call->server;
	struct fuse_init_in in = {0};
	struct fuse_init_out out = {.major = MAJOR, .minor = FUSE_KERNEL_MINOR_VERSION};

	memcpy(&in, call->argument,
	       call->argument_size < sizeof(in) ? call->argument_size : sizeof(in));
	if (in.major < MAJOR || (in.major == MAJOR && in.minor < MINOR_MIN))
		return -EPROTO;
	/* A driver begins, and what another had is gone. */
	share_files_close_all(&server->files);
	share_nodes_forget_all(&server->nodes);
	if (in.major == MAJOR) {
		out.minor = in.minor < out.minor ? in.minor : out.minor;
		out.max_readahead = in.max_readahead;
		out.flags = in.flags & FEATURES;
		out.max_background = 32;
		out.congestion_threshold = 24;
		out.max_write = SHARE_WRITE_MAX;
		out.time_gran = 1;
		out.max_pages = SHARE_WRITE_MAX / 4096;
		atomic_store(&server->begun, true);
	}
	return share_answer(call, &out, sizeof(out)) ? 0 : -EINVAL;
}

static int destroy(struct share_call *call)
{
	share_files_close_all(&call->server->files);
	share_nodes_forget_all(&call->server->nodes);
	atomic_store(&call->server->begun, false);
	return 0;
}

static int forget(struct share_call *call)
{
	share_node_forget(&call->server->nodes, call->in.nodeid, bytes_load64(call->argument));
	return 0;
}

static int batch_forget(struct share_call *call)
{
	const size_t one = sizeof(struct fuse_forget_one);
	size_t at = sizeof(struct fuse_batch_forget_in);

	for (uint32_t left = bytes_load32(call->argument); left && at + one <= call->argument_size;
	     left--, at += one)
		share_node_forget(&call->server->nodes, bytes_load64(call->argument + at),
				  bytes_load64(call->argument + at + 8));
	return 0;
}

enum {
	NODE = 1,   /* is about a node: call->hold */
	WRITES = 2, /* changes something: not in a folder that is shared read-only */
	MUTE = 4,   /* has no answer */
	ANY = 8,    /* also before FUSE_INIT */
	LARGE = 16, /* its answer may be large */
	DATA = 32,  /* data follows, which isn't copied */
};

/* argument: how many bytes must follow the header at least. */
static const struct {
	share_operation *operation;
	uint16_t argument;
	uint16_t flags;
} operations[] = {
	[FUSE_LOOKUP] = {share_lookup, 2, NODE},
	[FUSE_FORGET] = {forget, sizeof(struct fuse_forget_in), MUTE},
	[FUSE_GETATTR] = {share_getattr, sizeof(struct fuse_getattr_in), NODE},
	[FUSE_SETATTR] = {share_setattr, sizeof(struct fuse_setattr_in), NODE | WRITES},
	[FUSE_READLINK] = {share_readlink, 0, NODE | LARGE},
	[FUSE_SYMLINK] = {share_symlink, 4, NODE | WRITES},
	[FUSE_MKNOD] = {share_mknod, sizeof(struct fuse_mknod_in), NODE | WRITES},
	[FUSE_MKDIR] = {share_mkdir, sizeof(struct fuse_mkdir_in), NODE | WRITES},
	[FUSE_UNLINK] = {share_unlink, 2, NODE | WRITES},
	[FUSE_RMDIR] = {share_rmdir, 2, NODE | WRITES},
	[FUSE_RENAME] = {share_rename, sizeof(struct fuse_rename_in), NODE | WRITES},
	[FUSE_LINK] = {share_link, sizeof(struct fuse_link_in), NODE | WRITES},
	[FUSE_OPEN] = {share_open_file, sizeof(struct fuse_open_in), NODE},
	[FUSE_READ] = {share_read, sizeof(struct fuse_read_in), 0},
	[FUSE_WRITE] = {share_write, sizeof(struct fuse_write_in), WRITES | DATA},
	[FUSE_STATFS] = {share_statfs, 0, NODE},
	[FUSE_RELEASE] = {share_release_file, sizeof(struct fuse_release_in), 0},
	[FUSE_FSYNC] = {share_fsync, sizeof(struct fuse_fsync_in), 0},
	[FUSE_SETXATTR] = {share_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, NODE | WRITES},
	[FUSE_GETXATTR] = {share_getxattr, sizeof(struct fuse_getxattr_in), NODE | LARGE},
	[FUSE_LISTXATTR] = {share_listxattr, sizeof(struct fuse_getxattr_in), NODE | LARGE},
	[FUSE_REMOVEXATTR] = {share_removexattr, 2, NODE | WRITES},
	[FUSE_INIT] = {init, 16, ANY},
	[FUSE_OPENDIR] = {share_open_folder, sizeof(struct fuse_open_in), NODE},
	[FUSE_READDIR] = {share_readdir, sizeof(struct fuse_read_in), NODE | LARGE},
	[FUSE_RELEASEDIR] = {share_release_file, sizeof(struct fuse_release_in), 0},
	[FUSE_FSYNCDIR] = {share_fsync, sizeof(struct fuse_fsync_in), 0},
	[FUSE_CREATE] = {share_create, sizeof(struct fuse_create_in), NODE | WRITES},
	[FUSE_DESTROY] = {destroy, 0, ANY},
	[FUSE_BATCH_FORGET] = {batch_forget, sizeof(struct fuse_batch_forget_in), MUTE},
	[FUSE_FALLOCATE] = {share_fallocate, sizeof(struct fuse_fallocate_in), WRITES},
	[FUSE_READDIRPLUS] = {share_readdirplus, sizeof(struct fuse_read_in), NODE | LARGE},
	[FUSE_RENAME2] = {share_rename2, sizeof(struct fuse_rename2_in), NODE | WRITES},
	[FUSE_LSEEK] = {share_lseek, sizeof(struct fuse_lseek_in), 0},
	[FUSE_SYNCFS] = {share_syncfs, 0, NODE},
};

static bool is_known(uint32_t opcode)
{
	return opcode < sizeof(operations) / sizeof(operations[0]) && operations[opcode].operation;
}

/* Copies `length` bytes from byte skip of the message. */
static void take(const struct share_request *request, uint64_t skip, void *bytes, size_t length)
{
	struct iovec vector[SLICES_CUT_MAX];
	int entries = slices_cut(request->readable, request->readable_count, skip, length, vector);
	uint8_t *to = bytes;

	for (int i = 0; i < entries; i++) {
		memcpy(to, vector[i].iov_base, vector[i].iov_len);
		to += vector[i].iov_len;
	}
}

static int take_argument(struct share_call *call, unsigned flags)
{
	size_t size = call->request->readable_length - sizeof(call->in);

	if (flags & DATA && size > operations[call->in.opcode].argument)
		size = operations[call->in.opcode].argument;
	if (size < operations[call->in.opcode].argument)
		return -EINVAL;
	if (size > SHARE_ARGUMENT_MAX)
		return -E2BIG;
	call->argument = malloc(size + 1);
	if (!call->argument)
		return -ENOMEM;
	take(call->request, sizeof(call->in), call->argument, size);
	call->argument[size] = 0;
	call->argument_size = size;
	return 0;
}

static int make_room(struct share_call *call, unsigned flags)
{
	size_t most = flags & LARGE ? SHARE_VALUE_MAX : ANSWER_SMALL;
	size_t room = call->request->writable_length > sizeof(struct fuse_out_header)
			      ? call->request->writable_length - sizeof(struct fuse_out_header)
			      : 0;

	call->answer_room = room < most ? room : most;
	call->answer = malloc(call->answer_room + 1);
	return call->answer ? 0 : -ENOMEM;
}

static int carry_out_known(struct share_call *call)
{
	const unsigned flags = operations[call->in.opcode].flags;
	int error;

	if (!(flags & ANY) && !atomic_load(&call->server->begun))
		return -EIO;
	if (flags & WRITES && call->server->read_only)
		return -EROFS;
	error = take_argument(call, flags);
	if (!error)
		error = make_room(call, flags);
	if (!error && flags & NODE)
		error = share_node_hold(&call->server->nodes, call->in.nodeid, &call->hold);
	if (error)
		return error;
	error = operations[call->in.opcode].operation(call);
	if (flags & NODE)
		share_node_release(&call->server->nodes, &call->hold);
	return error;
}

/* Writes the answer into the request; how many bytes. */
static uint64_t answer(struct share_call *call, int error)
{
	const struct share_request *request = call->request;
	struct fuse_out_header out = {.unique = call->in.unique, .error = error};
	size_t size = error ? 0 : call->answer_size + call->data_size;

	/* The guest left no room to say anything. */
	if (request->writable_length < sizeof(out))
		return 0;
	out.len = (uint32_t)(sizeof(out) + size);
	slices_fill(request->writable, request->writable_count, 0, &out, sizeof(out));
	if (!error && call->answer_size)
		slices_fill(request->writable, request->writable_count, sizeof(out), call->answer,
			    call->answer_size);
	return out.len;
}

static void carry_out(void *owner, struct plug_link *link)
{
	struct share_request *request = container_of(link, struct share_request, link);
	struct share_call call = {.server = owner, .request = request};
	uint64_t written = 0;
	int error = -ENOSYS;

	if (request->readable_length >= sizeof(call.in)) {
		take(request, 0, &call.in, sizeof(call.in));
		if (is_known(call.in.opcode))
			error = carry_out_known(&call);
		if (!is_known(call.in.opcode) || !(operations[call.in.opcode].flags & MUTE))
			written = answer(&call, error);
		free(call.argument);
		free(call.answer);
	}
	request->done(request, written);
}

/* The plug */

static int submit(struct share *share, struct share_request *request)
{
	struct share_server *server = container_of(share, struct share_server, share);

	return workers_submit(&server->workers, &request->link);
}

static void drain(struct share *share)
{
	struct share_server *server = container_of(share, struct share_server, share);

	workers_drain(&server->workers);
}

static void server_free(struct share_server *server)
{
	if (server->root >= 0)
		close(server->root);
	if (server->self >= 0)
		close(server->self);
	free(server);
}

static void share_close(struct share *share)
{
	struct share_server *server = container_of(share, struct share_server, share);

	workers_end(&server->workers);
	share_files_destroy(&server->files);
	share_nodes_destroy(&server->nodes);
	server_free(server);
}

static const struct share_ops ops = {
	.submit = submit, .drain = drain, .state = share_state, .close = share_close};

int share_folder(const struct share *share)
{
	return container_of(share, const struct share_server, share)->root;
}

/* 0, or a negative errno and a line in reason. */
/* A descriptor, or a negative errno. */
static int open_root(const char *path, char *reason, size_t size)
{
	int error, folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (folder >= 0)
		return folder;
	error = -errno;
	snprintf(reason, size, "%s: %s%s", path, strerror(errno),
		 errno == ENOENT    ? ": is the name right?"
		 : errno == ENOTDIR ? ": only folders can be shared"
				    : "");
	return error;
}

int share_check(const char *path, char *reason, size_t size)
{
	int folder = open_root(path, reason, size);

	if (folder < 0)
		return folder;
	close(folder);
	return 0;
}

static int open_folders(struct share_server *server, const char *path,
			struct share_identity *identity, char *reason, size_t size)
{
	int error;

	server->root = open_root(path, reason, size);
	if (server->root < 0)
		return server->root;
	server->self = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (server->self < 0) {
		error = -errno;
		snprintf(reason, size, "%s: can't be shared without /proc/self/fd: %s", path,
			 strerror(errno));
		return error;
	}
	error = share_identify(server->root, identity);
	if (error)
		snprintf(reason, size, "%s: %s", path, strerror(-error));
	return error;
}

int share_open(const struct share_options *options, struct share **share, char *reason, size_t size)
{
	struct share_server *server = calloc(1, sizeof(*server));
	struct share_identity identity;
	int error;

	if (!server) {
		snprintf(reason, size, "%s: no memory for it", options->path);
		return -ENOMEM;
	}
	server->root = server->self = -1;
	server->share.ops = &ops;
	snprintf(server->share.tag, sizeof(server->share.tag), "%s", options->tag);
	server->read_only = options->read_only;
	server->uid = options->uid;
	server->gid = options->gid;
	server->owner = geteuid();
	server->group = getegid();
	server->mask = umask(0);
	umask(server->mask);
	error = open_folders(server, options->path, &identity, reason, size);
	if (!error) {
		error = share_files_init(&server->files, options->files_max);
		if (!error) {
			error = share_nodes_init(&server->nodes, server->root, &identity,
						 options->files_max);
			if (error)
				share_files_destroy(&server->files);
		}
		if (error)
			snprintf(reason, size, "%s: no memory for it", options->path);
	}
	if (error) {
		server_free(server);
		return error;
	}
	workers_init(&server->workers, "share", carry_out, server);
	*share = &server->share;
	return 0;
}
