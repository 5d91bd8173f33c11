/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A share in a saved machine: what the guest knows of files is names, and which file of that name
 * it was. After loading, a file that isn't there any more, or is another one, answers ESTALE; an
 * open file that can't be opened again, EBADF. The rest goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/device.h"
#include "core/snapshot.h"
#include "storage/share_server.h"

static void file_state(struct snapshot *snapshot, struct share_file *file, uint32_t *index)
{
	uint32_t flags = (uint32_t)file->flags;

	snapshot_u32(snapshot, index);
	snapshot_u32(snapshot, &file->generation);
	snapshot_u64(snapshot, &file->node);
	snapshot_u32(snapshot, &flags);
	snapshot_bool(snapshot, &file->folder);
	snapshot_bool(snapshot, &file->append);
	file->flags = (int)flags;
}

/* Opens it as it was, or leaves it lost. */
static void open_again(struct share_server *server, struct share_file *file)
{
	const mode_t type = file->folder ? S_IFDIR : S_IFREG;
	struct share_hold hold;
	struct stat status;

	file->descriptor = -1;
	file->flags = share_open_flags((uint32_t)file->flags) & ~O_TRUNC;
	if (file->folder || server->read_only)
		file->flags = O_RDONLY;
	file->writes = (file->flags & O_ACCMODE) != O_RDONLY;
	if (share_node_hold(&server->nodes, file->node, &hold))
		return;
	if (!fstatat(hold.descriptor, "", &status, AT_EMPTY_PATH) &&
	    (status.st_mode & S_IFMT) == type)
		file->descriptor = share_reopen(server, hold.descriptor, file->flags);
	if (file->descriptor < 0)
		file->descriptor = -1;
	share_node_release(&server->nodes, &hold);
}

static void load_file(struct share_server *server, struct snapshot *snapshot)
{
	struct share_files *files = &server->files;
	struct share_file file = {0};
	uint32_t index;

	file_state(snapshot, &file, &index);
	if (index >= files->count || files->file[index].used)
		snapshot_fail(snapshot, "a shared folder has more files open than it may");
	if (snapshot->error)
		return;
	open_again(server, &file);
	file.used = true;
	files->file[index] = file;
	files->used++;
}

static void files_state(struct share_server *server, struct snapshot *snapshot)
{
	struct share_files *files = &server->files;
	uint32_t count = files->used;

	snapshot_u32(snapshot, &count);
	if (snapshot->loading) {
		for (uint32_t i = 0; i < count && !snapshot->error; i++)
			load_file(server, snapshot);
		return;
	}
	for (uint32_t i = 0; i < files->count; i++)
		if (files->file[i].used)
			file_state(snapshot, &files->file[i], &i);
}

void share_state(struct share *share, struct snapshot *snapshot)
{
	struct share_server *server = container_of(share, struct share_server, share);
	bool begun = atomic_load(&server->begun);

	if (snapshot->loading)
		share_files_close_all(&server->files);
	snapshot_bool(snapshot, &begun);
	share_nodes_state(&server->nodes, snapshot);
	files_state(server, snapshot);
	if (snapshot->loading) {
		if (snapshot->error) {
			share_files_close_all(&server->files);
			share_nodes_forget_all(&server->nodes);
		}
		atomic_store(&server->begun, begun && !snapshot->error);
	}
}
