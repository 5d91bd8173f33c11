/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files of a shared folder that the guest knows by number. A node is a file or folder together
 * with where it was found last: its parent's node and its name there. Its descriptor (O_PATH) is
 * opened when it is needed, from the parent's, one name at a time and never through a symbolic
 * link, and it counts only if it is the same file as before. So however names move meanwhile, what
 * is reached lies in the folder; and there may be many more nodes than descriptors.
 *
 * All functions take the lock themselves.
 */
#ifndef STORAGE_SHARE_NODE_H
#define STORAGE_SHARE_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/siphash.h"

struct snapshot;

#define SHARE_ROOT	 1 /* the number of the folder itself */
#define SHARE_DEPTH_MAX	 1024
#define SHARE_NODES_MAX	 (256u << 10)
#define SHARE_NAME_MAX	 255
#define SHARE_TABLE_SIZE (16u << 10)

/* Which file it is. The time it was made tells it from one that got its inode's number later; 0
 * where the file system knows none. */
struct share_identity {
	uint64_t device, inode;
	int64_t made_seconds;
	uint32_t made_nanoseconds;
};

struct share_node {
	uint64_t number;
	struct share_identity identity;
	struct share_node *parent; /* NULL: the folder itself, or a file that has lost its name */
	char *name;
	uint64_t lookups; /* how often the guest was given the number, and has not forgotten it */
	unsigned children, pins;
	int descriptor; /* -1: not open */
	bool kept;	/* it has no name to open it by again: the descriptor stays */
	bool rooted;	/* while they are loaded: what is above it is known to end */
	struct share_node *next_number, *next_identity; /* in the tables */
	struct share_node *older, *newer;		/* of those with a descriptor */
};

struct share_nodes {
	pthread_mutex_t lock;
	struct share_node root;
	struct share_node **numbers, **identities; /* SHARE_TABLE_SIZE each */
	uint8_t key[SIPHASH_KEY]; /* of the tables: nobody can choose what meets in a place */
	struct share_node *oldest, *newest;
	uint64_t next_number;
	unsigned count, open, kept, open_max;
};

/* A node that is in use: its descriptor stays open until share_node_release. */
struct share_hold {
	struct share_node *node;
	int descriptor;
};

/* root: a descriptor of the folder, which stays the caller's. open_max: descriptors that may be
 * kept open. 0; -ENOMEM. */
int share_nodes_init(struct share_nodes *nodes, int root, const struct share_identity *identity,
		     unsigned open_max);
void share_nodes_destroy(struct share_nodes *nodes);

/* The guest knows no numbers any more. */
void share_nodes_forget_all(struct share_nodes *nodes);

/* 0; -ESTALE if there is no such node, or its file isn't where it was; another negative errno. */
int share_node_hold(struct share_nodes *nodes, uint64_t number, struct share_hold *hold);
void share_node_release(struct share_nodes *nodes, struct share_hold *hold);

/*
 * The guest learns of a file that was found as `name` in the parent: *number. Takes the descriptor
 * over, and closes it if it fails: -ENFILE if there are too many; -ENOMEM; -ESTALE if the parent is
 * below it.
 */
int share_node_found(struct share_nodes *nodes, const struct share_hold *parent, const char *name,
		     int descriptor, const struct share_identity *identity, uint64_t *number);

/* The guest is given the number once more. */
void share_node_again(struct share_nodes *nodes, const struct share_hold *hold);

/* The guest forgets that it was given the number so many times. */
void share_node_forget(struct share_nodes *nodes, uint64_t number, uint64_t lookups);

/* The name has been removed. The descriptor is the file's, and is taken over. */
void share_node_gone(struct share_nodes *nodes, const struct share_hold *parent, const char *name,
		     int descriptor, const struct share_identity *identity);

/* The file, if the guest knows it, is called `name` in the parent now. */
void share_node_moved(struct share_nodes *nodes, const struct share_hold *parent, const char *name,
		      const struct share_identity *identity);

/* The number of the folder that the node was found in; of the root, its own. */
uint64_t share_node_parent(struct share_nodes *nodes, const struct share_hold *hold);

/* Saves or loads what the guest knows. No request is at it. */
void share_nodes_state(struct share_nodes *nodes, struct snapshot *snapshot);

/* What file the descriptor is of. 0 or a negative errno. */
int share_identify(int descriptor, struct share_identity *identity);

/* Opens `name` in a folder, whatever it is, without following it (O_PATH). 0 or a negative errno.
 * The name must be one that share_name_ok takes. */
int share_step(int folder, const char *name);

/* A name that leads nowhere else: not empty, "." or "..", without a slash, not too long. */
bool share_name_ok(const char *name);

#endif
