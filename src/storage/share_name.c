/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is done with names. Each is one component, in a folder that is held by its descriptor, and
 * no call here follows a symbolic link.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/share_server.h"

/* A name that something can be made, moved or removed by; NULL: the guest erred. */
static const char *take_name(struct share_call *call, size_t *at)
{
	const char *name = share_call_string(call, at);

	return name && share_name_ok(name) ? name : NULL;
}

int share_enter(struct share_call *call, const struct share_hold *parent, const char *name,
		int descriptor, struct fuse_entry_out *entry)
{
	struct share_identity identity;
	int error = share_identify(descriptor, &identity);

	*entry = (struct fuse_entry_out){.entry_valid = SHARE_VALID_SECONDS,
					 .attr_valid = SHARE_VALID_SECONDS};
	if (!error)
		error = share_attributes(call->server, descriptor, &entry->attr);
	if (error) {
		close(descriptor);
		return error;
	}
	return share_node_found(&call->server->nodes, parent, name, descriptor, &identity,
				&entry->nodeid);
}

int share_lookup_name(struct share_call *call, const struct share_hold *parent, const char *name,
		      struct fuse_entry_out *entry)
{
	int descriptor = share_step(parent->descriptor, name);

	return descriptor < 0 ? descriptor : share_enter(call, parent, name, descriptor, entry);
}

/* The guest has forgotten at once what it was not told. */
static int answer_entry(struct share_call *call, const struct fuse_entry_out *entry)
{
	if (share_answer(call, entry, sizeof(*entry)))
		return 0;
	share_node_forget(&call->server->nodes, entry->nodeid, 1);
	return -EINVAL;
}

static int answer_name(struct share_call *call, const char *name)
{
	struct fuse_entry_out entry;
	int error = share_lookup_name(call, &call->hold, name, &entry);

	return error ? error : answer_entry(call, &entry);
}

/* "." and "..", which stops at the folder: by what the guest knows of it, the host isn't asked. */
static int answer_known(struct share_call *call, uint64_t number)
{
	struct fuse_entry_out entry = {.nodeid = number};
	struct share_hold hold;
	int error = share_node_hold(&call->server->nodes, number, &hold);

	if (error)
		return error;
	error = share_attributes(call->server, hold.descriptor, &entry.attr);
	if (!error)
		share_node_again(&call->server->nodes, &hold);
	share_node_release(&call->server->nodes, &hold);
	return error ? error : answer_entry(call, &entry);
}

int share_lookup(struct share_call *call)
{
	size_t at = 0;
	const char *name = share_call_string(call, &at);

	if (!name)
		return -EINVAL;
	if (!strcmp(name, "."))
		return answer_known(call, call->in.nodeid);
	if (!strcmp(name, ".."))
		return answer_known(call, share_node_parent(&call->server->nodes, &call->hold));
	if (strlen(name) > SHARE_NAME_MAX)
		return -ENAMETOOLONG;
	return share_name_ok(name) ? answer_name(call, name) : -EINVAL;
}

int share_readlink(struct share_call *call)
{
	ssize_t length =
		readlinkat(call->hold.descriptor, "", (char *)call->answer, call->answer_room);

	if (length < 0)
		return errno == ENOENT ? -EINVAL : -errno; /* it is no symbolic link */
	call->answer_size = (size_t)length;
	return 0;
}

/* The process's own mask took bits away that the guest wants: it has a mask of its own. */
static int restore_mode(struct share_call *call, const char *name, uint32_t mode)
{
	int descriptor, error;

	if (!(mode & call->server->mask))
		return 0;
	descriptor = share_step(call->hold.descriptor, name);
	if (descriptor < 0)
		return descriptor;
	error = fchmodat(call->server->self, share_link_of(descriptor).text, mode & SHARE_MODE_BITS,
			 0)
			? -errno
			: 0;
	close(descriptor);
	return error;
}

int share_symlink(struct share_call *call)
{
	size_t at = 0;
	const char *name = take_name(call, &at), *target = share_call_string(call, &at);

	if (!name || !target)
		return -EINVAL;
	if (symlinkat(target, call->hold.descriptor, name))
		return -errno;
	return answer_name(call, name);
}

int share_mknod(struct share_call *call)
{
	size_t at = sizeof(struct fuse_mknod_in);
	struct fuse_mknod_in in;
	const char *name = take_name(call, &at);
	int error;

	memcpy(&in, call->argument, sizeof(in));
	if (!name)
		return -EINVAL;
	/* A device of the guest's would be the host's device of that number. */
	if (!S_ISREG(in.mode) && !S_ISFIFO(in.mode) && !S_ISSOCK(in.mode))
		return -EPERM;
	if (mknodat(call->hold.descriptor, name, in.mode & (S_IFMT | SHARE_MODE_BITS), 0))
		return -errno;
	error = restore_mode(call, name, in.mode);
	return error ? error : answer_name(call, name);
}

int share_mkdir(struct share_call *call)
{
	size_t at = sizeof(struct fuse_mkdir_in);
	struct fuse_mkdir_in in;
	const char *name = take_name(call, &at);
	int error;

	memcpy(&in, call->argument, sizeof(in));
	if (!name)
		return -EINVAL;
	if (mkdirat(call->hold.descriptor, name, in.mode & SHARE_MODE_BITS))
		return -errno;
	error = restore_mode(call, name, in.mode);
	return error ? error : answer_name(call, name);
}

/* What is about to lose its name: *descriptor is -1 if there is nothing. The guest may have it
 * open, or in its memory. */
static void look_before(int folder, const char *name, int *descriptor,
			struct share_identity *identity)
{
	*descriptor = share_step(folder, name);
	if (*descriptor >= 0 && share_identify(*descriptor, identity)) {
		close(*descriptor);
		*descriptor = -1;
	}
}

static int remove_name(struct share_call *call, int flags)
{
	size_t at = 0;
	const char *name = take_name(call, &at);
	struct share_identity identity;
	int descriptor, error = 0;

	if (!name)
		return -EINVAL;
	look_before(call->hold.descriptor, name, &descriptor, &identity);
	if (unlinkat(call->hold.descriptor, name, flags))
		error = -errno;
	if (descriptor < 0)
		return error;
	if (error)
		close(descriptor);
	else
		share_node_gone(&call->server->nodes, &call->hold, name, descriptor, &identity);
	return error;
}

int share_unlink(struct share_call *call)
{
	return remove_name(call, 0);
}

int share_rmdir(struct share_call *call)
{
	return remove_name(call, AT_REMOVEDIR);
}

static void tell_moved(struct share_call *call, const struct share_hold *to, const char *name)
{
	struct share_identity identity;
	int descriptor;

	look_before(to->descriptor, name, &descriptor, &identity);
	if (descriptor < 0)
		return;
	share_node_moved(&call->server->nodes, to, name, &identity);
	close(descriptor);
}

static int rename_to(struct share_call *call, const struct share_hold *to, const char *from_name,
		     const char *to_name, unsigned flags)
{
	struct share_identity identity;
	int descriptor = -1, error = 0;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (!flags)
		look_before(to->descriptor, to_name, &descriptor, &identity);
	if (renameat2(call->hold.descriptor, from_name, to->descriptor, to_name, flags))
		error = -errno;
	if (descriptor >= 0 && !error)
		share_node_gone(&call->server->nodes, to, to_name, descriptor, &identity);
	else if (descriptor >= 0)
		close(descriptor);
	if (!error)
		tell_moved(call, to, to_name);
	if (!error && flags & RENAME_EXCHANGE)
		tell_moved(call, &call->hold, from_name);
	return error;
}

static int rename_names(struct share_call *call, uint64_t folder, size_t at, unsigned flags)
{
	const char *from = take_name(call, &at), *to = take_name(call, &at);
	struct share_hold hold;
	int error;

	if (!from || !to)
		return -EINVAL;
	error = share_node_hold(&call->server->nodes, folder, &hold);
	if (error)
		return error;
	error = rename_to(call, &hold, from, to, flags);
	share_node_release(&call->server->nodes, &hold);
	return error;
}

int share_rename(struct share_call *call)
{
	struct fuse_rename_in in;

	memcpy(&in, call->argument, sizeof(in));
	return rename_names(call, in.newdir, sizeof(in), 0);
}

int share_rename2(struct share_call *call)
{
	struct fuse_rename2_in in;

	memcpy(&in, call->argument, sizeof(in));
	return rename_names(call, in.newdir, sizeof(in), in.flags);
}

int share_link(struct share_call *call)
{
	size_t at = sizeof(struct fuse_link_in);
	struct fuse_link_in in;
	const char *name = take_name(call, &at);
	struct share_hold old;
	int error;

	memcpy(&in, call->argument, sizeof(in));
	if (!name)
		return -EINVAL;
	error = share_node_hold(&call->server->nodes, in.oldnodeid, &old);
	if (error)
		return error;
	/* What is followed is the link below /proc/self/fd, and nothing behind it. */
	if (linkat(call->server->self, share_link_of(old.descriptor).text, call->hold.descriptor,
		   name, AT_SYMLINK_FOLLOW))
		error = -errno;
	share_node_release(&call->server->nodes, &old);
	return error ? error : answer_name(call, name);
}

/* Creates the file, or opens the one that is there. A descriptor or a negative errno. */
static int create(struct share_call *call, const char *name, uint32_t flags, uint32_t mode)
{
	const int folder = call->hold.descriptor, open_flags = share_open_flags(flags);
	struct stat status;
	int descriptor, opened;

	opened = openat(folder, name,
			open_flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
			mode & SHARE_MODE_BITS);
	if (opened >= 0) {
		if (mode & call->server->mask)
			fchmod(opened, mode & SHARE_MODE_BITS);
		return opened;
	}
	if (errno != EEXIST || flags & O_EXCL)
		return -errno;
	descriptor = share_step(folder, name);
	if (descriptor < 0)
		return descriptor;
	if (fstatat(descriptor, "", &status, AT_EMPTY_PATH))
		opened = -errno;
	else if (S_ISREG(status.st_mode))
		opened = share_reopen(call->server, descriptor, open_flags);
	else
		opened = S_ISDIR(status.st_mode)   ? -EISDIR
			 : S_ISLNK(status.st_mode) ? -ELOOP
						   : -ENXIO;
	close(descriptor);
	return opened;
}

static int answer_created(struct share_call *call, const char *name, int opened, uint32_t flags)
{
	struct share_file file = {.descriptor = opened,
				  .append = flags & O_APPEND,
				  .writes = (flags & O_ACCMODE) != O_RDONLY,
				  .flags = share_open_flags(flags)};
	int descriptor = share_reopen(call->server, opened, O_PATH), error;
	struct fuse_entry_out entry;
	struct fuse_open_out out = {0};

	if (descriptor < 0) {
		close(opened);
		return descriptor;
	}
	error = share_enter(call, &call->hold, name, descriptor, &entry);
	if (error) {
		close(opened);
		return error;
	}
	file.node = entry.nodeid;
	error = share_file_add(&call->server->files, &file, &out.fh);
	if (error) {
		share_node_forget(&call->server->nodes, entry.nodeid, 1);
		return error;
	}
	error = answer_entry(call, &entry);
	return error || share_answer(call, &out, sizeof(out)) ? error : -EINVAL;
}

int share_create(struct share_call *call)
{
	size_t at = sizeof(struct fuse_create_in);
	struct fuse_create_in in;
	const char *name = take_name(call, &at);
	int opened;

	memcpy(&in, call->argument, sizeof(in));
	if (!name)
		return -EINVAL;
	opened = create(call, name, in.flags, in.mode);
	return opened < 0 ? opened : answer_created(call, name, opened, in.flags);
}
