/* SPDX-License-Identifier: BSD-2-Clause */
#include "storage/share_node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/host.h"
#include "core/snapshot.h"

bool share_name_ok(const char *name)
{
	return name[0] && strlen(name) <= SHARE_NAME_MAX && !strchr(name, '/') &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int share_step(int folder, const char *name)
{
	int descriptor = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return descriptor < 0 ? -errno : descriptor;
}

int share_identify(int descriptor, struct share_identity *identity)
{
	struct statx status;

	if (statx(descriptor, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status))
		return -errno;
	*identity = (struct share_identity){
		.device = (uint64_t)status.stx_dev_major << 32 | status.stx_dev_minor,
		.inode = status.stx_ino,
	};
	if (status.stx_mask & STATX_BTIME) {
		identity->made_seconds = status.stx_btime.tv_sec;
		identity->made_nanoseconds = status.stx_btime.tv_nsec;
	}
	return 0;
}

static bool same(const struct share_identity *a, const struct share_identity *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->made_seconds == b->made_seconds && a->made_nanoseconds == b->made_nanoseconds;
}

/* Numbers come from saved files, and identities from there or from whoever makes files. */
static struct share_node **number_place(struct share_nodes *nodes, uint64_t number)
{
	return &nodes->numbers[siphash(nodes->key, &number, sizeof(number)) % SHARE_TABLE_SIZE];
}

static struct share_node **identity_place(struct share_nodes *nodes,
					  const struct share_identity *identity)
{
	const uint64_t words[] = {identity->device, identity->inode,
				  (uint64_t)identity->made_seconds, identity->made_nanoseconds};

	return &nodes->identities[siphash(nodes->key, words, sizeof(words)) % SHARE_TABLE_SIZE];
}

/* What follows is called with the lock held. */

static struct share_node *find_number(struct share_nodes *nodes, uint64_t number)
{
	struct share_node *node = *number_place(nodes, number);

	while (node && node->number != number)
		node = node->next_number;
	return node;
}

static struct share_node *find_identity(struct share_nodes *nodes,
					const struct share_identity *identity)
{
	struct share_node *node = *identity_place(nodes, identity);

	while (node && !same(&node->identity, identity))
		node = node->next_identity;
	return node;
}

/* Descriptors */

static void used_remove(struct share_nodes *nodes, struct share_node *node)
{
	*(node->older ? &node->older->newer : &nodes->oldest) = node->newer;
	*(node->newer ? &node->newer->older : &nodes->newest) = node->older;
	node->older = node->newer = NULL;
}

static void used_add(struct share_nodes *nodes, struct share_node *node)
{
	node->older = nodes->newest;
	node->newer = NULL;
	*(node->older ? &node->older->newer : &nodes->oldest) = node;
	nodes->newest = node;
}

static void close_node(struct share_nodes *nodes, struct share_node *node)
{
	if (node->descriptor < 0 || node == &nodes->root)
		return;
	used_remove(nodes, node);
	close(node->descriptor);
	node->descriptor = -1;
	nodes->open--;
	nodes->kept -= node->kept;
	node->kept = false;
}

/* Closes those that were not used for longest. A kept one goes only if there are too many of them:
 * its file is lost then. */
static void make_room(struct share_nodes *nodes)
{
	struct share_node *node = nodes->oldest, *next;

	for (; node && nodes->open > nodes->open_max; node = next) {
		next = node->newer;
		if (!node->pins && (!node->kept || nodes->kept > nodes->open_max / 2))
			close_node(nodes, node);
	}
}

static void set_descriptor(struct share_nodes *nodes, struct share_node *node, int descriptor)
{
	node->descriptor = descriptor;
	used_add(nodes, node);
	nodes->open++;
}

/* 0 or a negative errno. */
static int open_node(struct share_nodes *nodes, struct share_node *node, unsigned depth)
{
	struct share_identity identity;
	int error, descriptor;

	if (node->descriptor >= 0) {
		if (node != &nodes->root) {
			used_remove(nodes, node);
			used_add(nodes, node);
		}
		return 0;
	}
	if (!node->parent)
		return -ESTALE;
	if (depth == SHARE_DEPTH_MAX)
		return -ENAMETOOLONG;
	error = open_node(nodes, node->parent, depth + 1);
	if (error)
		return error;
	descriptor = share_step(node->parent->descriptor, node->name);
	if (descriptor == -ENOENT || descriptor == -ENOTDIR)
		return -ESTALE;
	if (descriptor < 0)
		return descriptor;
	error = share_identify(descriptor, &identity);
	if (!error && !same(&identity, &node->identity))
		error = -ESTALE;
	if (error)
		close(descriptor);
	else
		set_descriptor(nodes, node, descriptor);
	return error;
}

/* Names */

static void unlink_from(struct share_node **place, struct share_node *node, bool by_number)
{
	while (*place && *place != node)
		place = by_number ? &(*place)->next_number : &(*place)->next_identity;
	if (*place)
		*place = by_number ? node->next_number : node->next_identity;
}

/* Frees the node if nobody needs it, and then perhaps its parent. */
static void drop(struct share_nodes *nodes, struct share_node *node)
{
	while (node && node != &nodes->root && !node->lookups && !node->children && !node->pins) {
		struct share_node *parent = node->parent;

		close_node(nodes, node);
		unlink_from(number_place(nodes, node->number), node, true);
		unlink_from(identity_place(nodes, &node->identity), node, false);
		if (parent)
			parent->children--;
		free(node->name);
		free(node);
		nodes->count--;
		node = parent;
	}
}

static bool is_below(const struct share_node *node, const struct share_node *above)
{
	for (; node; node = node->parent)
		if (node == above)
			return true;
	return false;
}

/* 0; -ENOMEM; -ESTALE. parent NULL: it has no name any more. */
static int set_name(struct share_nodes *nodes, struct share_node *node, struct share_node *parent,
		    const char *name)
{
	struct share_node *old = node->parent;
	char *copy = NULL;

	if (old == parent && parent && !strcmp(node->name, name))
		return 0;
	/* What the guest knows may be older than what the host has moved meanwhile. */
	if (node == &nodes->root || is_below(parent, node))
		return -ESTALE;
	if (parent) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
		parent->children++;
		nodes->kept -= node->kept;
		node->kept = false;
	}
	free(node->name);
	node->name = copy;
	node->parent = parent;
	if (old) {
		old->children--;
		drop(nodes, old);
	}
	return 0;
}

static struct share_node *make_node(struct share_nodes *nodes, uint64_t number,
				    const struct share_identity *identity)
{
	struct share_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->number = number;
	node->identity = *identity;
	node->descriptor = -1;
	node->next_number = *number_place(nodes, node->number);
	*number_place(nodes, node->number) = node;
	node->next_identity = *identity_place(nodes, identity);
	*identity_place(nodes, identity) = node;
	nodes->count++;
	return node;
}

/* What the header declares. */

int share_nodes_init(struct share_nodes *nodes, int root, const struct share_identity *identity,
		     unsigned open_max)
{
	*nodes = (struct share_nodes){.next_number = SHARE_ROOT + 1, .open_max = open_max};
	nodes->numbers = calloc(SHARE_TABLE_SIZE, sizeof(*nodes->numbers));
	nodes->identities = calloc(SHARE_TABLE_SIZE, sizeof(*nodes->identities));
	if (!nodes->numbers || !nodes->identities) {
		free(nodes->numbers);
		free(nodes->identities);
		return -ENOMEM;
	}
	host_random(nodes->key, sizeof(nodes->key));
	nodes->root = (struct share_node){
		.number = SHARE_ROOT, .identity = *identity, .descriptor = root};
	*number_place(nodes, SHARE_ROOT) = &nodes->root;
	*identity_place(nodes, identity) = &nodes->root;
	pthread_mutex_init(&nodes->lock, NULL);
	return 0;
}

void share_nodes_forget_all(struct share_nodes *nodes)
{
	pthread_mutex_lock(&nodes->lock);
	for (unsigned i = 0; i < SHARE_TABLE_SIZE; i++)
		for (struct share_node *node = nodes->numbers[i]; node; node = node->next_number)
			node->lookups = 0;
	for (unsigned i = 0; i < SHARE_TABLE_SIZE; i++) {
		struct share_node *node = nodes->numbers[i];

		/* One that goes may take others of this list with it: from its head again. */
		while (node) {
			unsigned before = nodes->count;

			drop(nodes, node);
			node = nodes->count == before ? node->next_number : nodes->numbers[i];
		}
	}
	pthread_mutex_unlock(&nodes->lock);
}

void share_nodes_destroy(struct share_nodes *nodes)
{
	share_nodes_forget_all(nodes);
	pthread_mutex_destroy(&nodes->lock);
	free(nodes->numbers);
	free(nodes->identities);
}

int share_node_hold(struct share_nodes *nodes, uint64_t number, struct share_hold *hold)
{
	struct share_node *node;
	int error = -ESTALE;

	pthread_mutex_lock(&nodes->lock);
	node = find_number(nodes, number);
	if (node)
		error = open_node(nodes, node, 0);
	if (!error) {
		node->pins++;
		*hold = (struct share_hold){node, node->descriptor};
		make_room(nodes);
	}
	pthread_mutex_unlock(&nodes->lock);
	return error;
}

void share_node_release(struct share_nodes *nodes, struct share_hold *hold)
{
	pthread_mutex_lock(&nodes->lock);
	hold->node->pins--;
	drop(nodes, hold->node);
	pthread_mutex_unlock(&nodes->lock);
}

int share_node_found(struct share_nodes *nodes, const struct share_hold *parent, const char *name,
		     int descriptor, const struct share_identity *identity, uint64_t *number)
{
	struct share_node *node;
	int error = 0;

	pthread_mutex_lock(&nodes->lock);
	node = find_identity(nodes, identity);
	if (!node && nodes->count >= SHARE_NODES_MAX)
		error = -ENFILE;
	if (!node && !error) {
		node = make_node(nodes, nodes->next_number++, identity);
		error = node ? 0 : -ENOMEM;
	}
	if (!error)
		error = set_name(nodes, node, parent->node, name);
	if (!error) {
		node->lookups++;
		*number = node->number;
	}
	if (!error && node->descriptor < 0) {
		set_descriptor(nodes, node, descriptor);
		descriptor = -1;
		make_room(nodes);
	}
	if (error && node)
		drop(nodes, node);
	pthread_mutex_unlock(&nodes->lock);
	if (descriptor >= 0)
		close(descriptor);
	return error;
}

void share_node_again(struct share_nodes *nodes, const struct share_hold *hold)
{
	pthread_mutex_lock(&nodes->lock);
	hold->node->lookups++;
	pthread_mutex_unlock(&nodes->lock);
}

void share_node_forget(struct share_nodes *nodes, uint64_t number, uint64_t lookups)
{
	struct share_node *node;

	pthread_mutex_lock(&nodes->lock);
	node = find_number(nodes, number);
	if (node) {
		node->lookups -= lookups < node->lookups ? lookups : node->lookups;
		drop(nodes, node);
	}
	pthread_mutex_unlock(&nodes->lock);
}

void share_node_gone(struct share_nodes *nodes, const struct share_hold *parent, const char *name,
		     int descriptor, const struct share_identity *identity)
{
	struct share_node *node;

	pthread_mutex_lock(&nodes->lock);
	node = find_identity(nodes, identity);
	if (node && node->parent == parent->node && !strcmp(node->name, name)) {
		if (node->descriptor < 0) {
			set_descriptor(nodes, node, descriptor);
			descriptor = -1;
		}
		nodes->kept += !node->kept;
		node->kept = true;
		node->pins++;
		set_name(nodes, node, NULL, NULL);
		node->pins--;
		make_room(nodes);
		drop(nodes, node);
	}
	pthread_mutex_unlock(&nodes->lock);
	if (descriptor >= 0)
		close(descriptor);
}

void share_node_moved(struct share_nodes *nodes, const struct share_hold *parent, const char *name,
		      const struct share_identity *identity)
{
	struct share_node *node;

	pthread_mutex_lock(&nodes->lock);
	node = find_identity(nodes, identity);
	/* If it can't be, it is found again by its next lookup. */
	if (node)
		set_name(nodes, node, parent->node, name);
	pthread_mutex_unlock(&nodes->lock);
}

uint64_t share_node_parent(struct share_nodes *nodes, const struct share_hold *hold)
{
	uint64_t number;

	pthread_mutex_lock(&nodes->lock);
	number = hold->node->parent ? hold->node->parent->number : hold->node->number;
	pthread_mutex_unlock(&nodes->lock);
	return number;
}

/* Saved states */

static void node_state(struct snapshot *snapshot, uint64_t *number, struct share_identity *identity,
		       uint64_t *lookups, uint64_t *parent, char *name)
{
	uint8_t length = (uint8_t)strlen(name);

	snapshot_u64(snapshot, number);
	snapshot_u64(snapshot, &identity->device);
	snapshot_u64(snapshot, &identity->inode);
	snapshot_u64(snapshot, (uint64_t *)&identity->made_seconds);
	snapshot_u32(snapshot, &identity->made_nanoseconds);
	snapshot_u64(snapshot, lookups);
	snapshot_u64(snapshot, parent);
	snapshot_u8(snapshot, &length);
	snapshot_bytes(snapshot, name, length);
	name[length] = '\0';
}

static void save_node(struct snapshot *snapshot, struct share_node *node)
{
	uint64_t parent = node->parent ? node->parent->number : 0;
	char name[SHARE_NAME_MAX + 1] = "";

	if (node->parent)
		strcpy(name, node->name);
	node_state(snapshot, &node->number, &node->identity, &node->lookups, &parent, name);
}

/* A node that was loaded, and where it belongs: its parent may come later. */
struct loaded {
	struct share_node *node;
	uint64_t parent;
	char *name;
};

static void load_node(struct share_nodes *nodes, struct snapshot *snapshot, struct loaded *loaded)
{
	struct share_identity identity;
	char name[SHARE_NAME_MAX + 1] = "";
	uint64_t number, lookups;

	node_state(snapshot, &number, &identity, &lookups, &loaded->parent, name);
	if (number <= SHARE_ROOT || number >= nodes->next_number || find_number(nodes, number) ||
	    find_identity(nodes, &identity) || (loaded->parent && !share_name_ok(name)))
		snapshot_fail(snapshot, "a shared folder's files make no sense");
	if (snapshot->error)
		return;
	loaded->name = strdup(name);
	loaded->node = make_node(nodes, number, &identity);
	if (loaded->node)
		loaded->node->lookups = lookups;
	if (!loaded->node || !loaded->name)
		snapshot_fail(snapshot, "no memory for a shared folder's files");
}

/* Whether no node is above itself. Each is passed twice, in whatever order they come. */
static bool all_end(const struct loaded *loaded, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct share_node *node = loaded[i].node;
		uint32_t steps = 0;

		for (; node && !node->rooted; node = node->parent)
			if (steps++ > count)
				return false;
		for (node = loaded[i].node; node && !node->rooted; node = node->parent)
			node->rooted = true;
	}
	return true;
}

/* Gives them their parents and names, or none of them. */
static bool join_nodes(struct share_nodes *nodes, struct loaded *loaded, uint32_t count)
{
	bool good = true;

	for (uint32_t i = 0; i < count && good; i++) {
		struct share_node *parent = find_number(nodes, loaded[i].parent);

		if (parent) {
			loaded[i].node->parent = parent;
			parent->children++;
		}
		good = parent || !loaded[i].parent;
	}
	good = good && all_end(loaded, count);
	for (uint32_t i = 0; i < count; i++) {
		struct share_node *node = loaded[i].node;

		if (node->parent && good) {
			node->name = loaded[i].name;
			loaded[i].name = NULL;
		} else if (node->parent) {
			node->parent->children--;
			node->parent = NULL;
		}
	}
	return good;
}

static void load_nodes(struct share_nodes *nodes, struct snapshot *snapshot, uint32_t count)
{
	struct loaded *loaded = calloc(count ? count : 1, sizeof(*loaded));

	if (!loaded) {
		snapshot_fail(snapshot, "no memory for a shared folder's files");
		return;
	}
	for (uint32_t i = 0; i < count && !snapshot->error; i++)
		load_node(nodes, snapshot, &loaded[i]);
	if (!snapshot->error && !join_nodes(nodes, loaded, count))
		snapshot_fail(snapshot, "a shared folder's files make no sense");
	for (uint32_t i = 0; i < count; i++)
		free(loaded[i].name);
	free(loaded);
}

void share_nodes_state(struct share_nodes *nodes, struct snapshot *snapshot)
{
	uint32_t count = nodes->count;

	if (snapshot->loading)
		share_nodes_forget_all(nodes);
	pthread_mutex_lock(&nodes->lock);
	snapshot_u64(snapshot, &nodes->next_number);
	snapshot_u64(snapshot, &nodes->root.lookups);
	snapshot_u32(snapshot, &count);
	if (snapshot->loading) {
		if (count > SHARE_NODES_MAX || nodes->next_number <= SHARE_ROOT)
			snapshot_fail(snapshot, "a shared folder has too many files");
		if (!snapshot->error)
			load_nodes(nodes, snapshot, count);
	} else {
		for (unsigned i = 0; i < SHARE_TABLE_SIZE; i++)
			for (struct share_node *node = nodes->numbers[i]; node;
			     node = node->next_number)
				if (node != &nodes->root)
					save_node(snapshot, node);
	}
	pthread_mutex_unlock(&nodes->lock);
}
