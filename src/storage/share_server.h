/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the server of shared folders, share*.c. */
#ifndef STORAGE_SHARE_SERVER_H
#define STORAGE_SHARE_SERVER_H

#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "core/plug.h"
#include "storage/share_node.h"
#include "storage/workers.h"

/* What a message may hold besides data to write, and an answer besides data that was read. */
#define SHARE_VALUE_MAX	    (64u << 10) /* an attribute's value, as Linux has it */
#define SHARE_ARGUMENT_MAX  (SHARE_VALUE_MAX + 1024)
#define SHARE_WRITE_MAX	    (1u << 20)
#define SHARE_NOBODY	    65534
#define SHARE_VALID_SECONDS 1 /* how long the guest may believe names and attributes */

/*
 * Set-user-ID and set-group-ID bits are not the guest's to set: the files are the host user's, so
 * another user of the host who ran one would get at that user's rights.
 */
#define SHARE_MODE_BITS 01777

/* An open file or folder. Its number, as the guest has it, is its place and how often that place
 * was taken before. */
struct share_file {
	int descriptor; /* -1: lost, by loading */
	bool used, closing, folder, append, writes;
	unsigned users;	     /* requests that are at it */
	uint32_t generation; /* above 0 once it was used */
	uint64_t node;
	int flags; /* as the guest opened it */
};

struct share_files {
	pthread_mutex_t lock;
	struct share_file *file;
	unsigned count, used;
};

struct share_server {
	struct share share;
	struct workers workers;
	int root; /* the folder */
	int self; /* /proc/self/fd, by which descriptors are opened again */
	bool read_only;
	uint32_t uid, gid; /* the guest's, of what is this process's */
	uid_t owner;	   /* that is, these on the host */
	gid_t group;
	mode_t mask; /* this process's, which is not to count */
	struct share_nodes nodes;
	struct share_files files;
	atomic_bool begun; /* FUSE_INIT was answered */
};

/* One request while it is carried out. */
struct share_call {
	struct share_server *server;
	const struct share_request *request;
	struct fuse_in_header in;
	struct share_hold hold; /* the node that it is about */
	uint8_t *argument; /* what follows the header, a copy that ends with a zero of our own */
	size_t argument_size;
	uint8_t *answer; /* room for answer_room bytes behind the header */
	size_t answer_room, answer_size;
	/* Data that is in the request's slices already, not in answer. */
	size_t data_size;
};

/* All operations return 0, with the answer in the call, or a negative errno. */
typedef int share_operation(struct share_call *call);

/* share.c */

/* The next string of the argument from *at on, and moves that behind it. NULL: there is none. */
const char *share_call_string(struct share_call *call, size_t *at);
/* Puts a structure behind what the answer holds. False: no room. */
bool share_answer(struct share_call *call, const void *bytes, size_t size);
/* Opens what a descriptor is of once more. A descriptor, or a negative errno. */
int share_reopen(const struct share_server *server, int descriptor, int flags);
/* The name of a descriptor below server->self. */
struct share_link {
	char text[12];
};
struct share_link share_link_of(int descriptor);

/* share_attribute.c */

/* 0 or a negative errno. */
int share_attributes(const struct share_server *server, int descriptor, struct fuse_attr *attr);
share_operation share_getattr, share_setattr, share_statfs;
share_operation share_setxattr, share_getxattr, share_listxattr, share_removexattr;

/* share_name.c */

/* Makes the guest acquainted with what the descriptor, which is taken over, is of. 0 or a negative
 * errno. */
int share_enter(struct share_call *call, const struct share_hold *parent, const char *name,
		int descriptor, struct fuse_entry_out *entry);
/* Finds a name of a folder: one more lookup of its node. */
int share_lookup_name(struct share_call *call, const struct share_hold *parent, const char *name,
		      struct fuse_entry_out *entry);
share_operation share_lookup, share_readlink, share_symlink, share_mknod, share_mkdir, share_unlink,
	share_rmdir, share_rename, share_rename2, share_link, share_create;

/* share_file.c */

int share_files_init(struct share_files *files, unsigned count);
void share_files_destroy(struct share_files *files);
/* Closes all. No request is at any of them. */
void share_files_close_all(struct share_files *files);
/* Takes the descriptor over, and closes it on failure. 0, or -ENFILE. */
int share_file_add(struct share_files *files, const struct share_file *file, uint64_t *handle);
/* The file, in use until share_file_release. NULL: no such. */
struct share_file *share_file_hold(struct share_files *files, uint64_t handle);
void share_file_release(struct share_files *files, struct share_file *file);
/* What of open(2)'s flags may come from a guest. */
int share_open_flags(uint32_t flags);
share_operation share_open_file, share_open_folder, share_read, share_write, share_release_file,
	share_fsync, share_fallocate, share_lseek, share_syncfs;

/* share_folder.c */
share_operation share_readdir, share_readdirplus;

/* share_state.c */
void share_state(struct share *share, struct snapshot *snapshot);

#endif
