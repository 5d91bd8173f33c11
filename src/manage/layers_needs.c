/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/layers_needs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/layers_internal.h"
#include "manage/options.h"
#include "manage/snapshots.h"
#include "storage/backing.h"
#include "storage/qcow2_header.h"

#define CHAIN_MAX   256
#define FOLDERS_MAX 8 /* in one another; deeper no machine's disk is looked for */
#define REASON	    (STORE_PATH + 512)

/* The folder's files */

static bool add_folder(struct needs *needs, int folder, const char *front, unsigned depth);

static bool add_file(struct needs *needs, const char *name, const struct stat *status)
{
	struct needs_file *more = realloc(needs->files, (needs->count + 1) * sizeof(*more));

	if (!more)
		return false;
	needs->files = more;
	more[needs->count] = (struct needs_file){strdup(name), status->st_dev, status->st_ino, 0};
	return more[needs->count].name && ++needs->count;
}

static bool add_entry(struct needs *needs, int folder, const char *front, const char *file,
		      unsigned depth)
{
	char name[STORE_PATH];
	struct stat status;
	int below;

	if (!strcmp(file, ".") || !strcmp(file, ".."))
		return true;
	if (snprintf(name, sizeof(name), "%s%s", front, file) >= (int)sizeof(name) - 1)
		return true; /* nor can it be named */
	if (fstatat(folder, file, &status, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT;
	if (S_ISREG(status.st_mode))
		return add_file(needs, name, &status);
	if (!S_ISDIR(status.st_mode))
		return true;
	if (depth == 0)
		return true;
	/* A guest may have made what nobody can look into, in a folder that is shared with it. */
	below = openat(folder, file, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (below < 0)
		return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
	strcat(name, "/");
	return add_folder(needs, below, name, depth - 1);
}

static bool add_folder(struct needs *needs, int folder, const char *front, unsigned depth)
{
	DIR *directory = folder < 0 ? NULL : fdopendir(folder);
	const struct dirent *entry = NULL;
	bool good = directory;

	if (!directory && folder >= 0)
		close(folder);
	while (good && (errno = 0, entry = readdir(directory)))
		good = add_entry(needs, folder, front, entry->d_name, depth);
	good = good && !errno;
	if (directory)
		closedir(directory);
	return good;
}

bool needs_begin(struct needs *needs, const char *folder, bool deep)
{
	*needs = (struct needs){0};
	return add_folder(needs, open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "",
			  deep ? FOLDERS_MAX : 0);
}

void needs_end(struct needs *needs)
{
	for (unsigned i = 0; i < needs->count; i++)
		free(needs->files[i].name);
	free(needs->files);
	free(needs->seen);
}

bool needs_has(const struct needs *needs, const char *name)
{
	for (unsigned i = 0; i < needs->count; i++)
		if (!strcmp(needs->files[i].name, name))
			return needs->files[i].needed;
	return false;
}

static void mark(struct needs *needs, const struct stat *status)
{
	for (unsigned i = 0; i < needs->count; i++)
		if (needs->files[i].device == status->st_dev &&
		    needs->files[i].inode == status->st_ino)
			needs->files[i].needed = true;
}

static unsigned marked(const struct needs *needs)
{
	unsigned count = 0;

	for (unsigned i = 0; i < needs->count; i++)
		count += needs->files[i].needed;
	return count;
}

/* Chains of files */

static bool seen(const struct needs *needs, const struct stat *status)
{
	for (unsigned i = 0; i < needs->seen_count; i++)
		if (needs->seen[i].device == status->st_dev &&
		    needs->seen[i].inode == status->st_ino)
			return true;
	return false;
}

/* That its chain is being followed, and need not be again. False: no memory. */
static bool see(struct needs *needs, const struct stat *status)
{
	struct needs_seen *more = realloc(needs->seen, (needs->seen_count + 1) * sizeof(*more));

	if (!more)
		return false;
	needs->seen = more;
	more[needs->seen_count++] = (struct needs_seen){status->st_dev, status->st_ino};
	return true;
}

/* What is taken for a qcow2 file when a machine has it (storage/format.h). */
static bool is_qcow2(const char *path, const char *format)
{
	size_t length = strlen(path);

	if (format[0])
		return strcmp(format, "raw") != 0;
	return length > 6 && !strcmp(path + length - 6, ".qcow2");
}

/* What is found of a file that can't be read: it may be missing, or be anything. */
enum must { MUST_BE_READ, MAY_BE_MISSING, MAY_BE_ANYTHING };

static bool may(enum must must, int error)
{
	return must == MAY_BE_ANYTHING ||
	       (must == MAY_BE_MISSING && (error == -ENOENT || error == -ENOTDIR));
}

/* One file; *below: what it stands on (to be freed), NULL for nothing. header has its format. */
static bool follow(struct needs *needs, const char *path, struct qcow2_header *header,
		   enum must must, char **below)
{
	struct stat status;
	int error;

	*below = NULL;
	if (stat(path, &status))
		return may(must, -errno);
	mark(needs, &status);
	if (!S_ISREG(status.st_mode) || !is_qcow2(path, header->backing_format))
		return true;
	if (seen(needs, &status))
		return true;
	error = layers_header(path, true, header);
	if (error)
		return may(must, error);
	if (!see(needs, &status))
		return false;
	if (!header->backing[0])
		return true;
	*below = backing_path(path, header->backing);
	return *below;
}

/* A file and all that it stands on. What others stand on further down may be nobody's here: else
 * nothing could be removed while that can't be read. What is ours may be on a disk that is gone. */
static bool need(struct needs *needs, const char *path, const char *format, enum must must)
{
	enum must deeper = must == MUST_BE_READ ? MAY_BE_MISSING : MAY_BE_ANYTHING;
	struct qcow2_header *header = calloc(1, sizeof(*header));
	char *at = strdup(path), *below;
	bool good = header && at;

	if (good)
		snprintf(header->backing_format, sizeof(header->backing_format), "%s", format);
	for (unsigned depth = 0; good && at; depth++) {
		good = follow(needs, at, header, must, &below) && depth < CHAIN_MAX;
		must = deeper;
		free(at);
		at = below;
	}
	free(at);
	free(header);
	return good;
}

/* Of a folder: "", or a name as machine.conf and snapshots have it. */
static bool need_file(struct needs *needs, const struct store_machine *machine, const char *file,
		      const char *format, enum must must)
{
	char path[STORE_PATH];

	if (file[0] == '/')
		return need(needs, file, format, must);
	store_path(machine, file, path);
	return path[0] && need(needs, path, format, must);
}

static bool need_disks(struct needs *needs, const struct store_machine *machine,
		       const struct machine_config *config, enum must must)
{
	char file[MACHINE_FILE_NAME_MAX], reason[128];
	bool good = true;

	for (unsigned i = 0; good && i < config->disk_count; i++) {
		struct options_disk disk = {.path = file};

		snprintf(file, sizeof(file), "%s", config->disks[i].file);
		good = options_disk_take(&disk, reason, sizeof(reason)) || may(must, -EINVAL);
		/* One outside may be gone, as one that was inserted once. */
		good = good &&
		       need_file(needs, machine, file,
				 disk.format == FORMAT_AUTO ? "" : format_name(disk.format),
				 must == MUST_BE_READ && strchr(file, '/') ? MAY_BE_MISSING : must);
	}
	return good;
}

bool needs_of_disks(struct needs *needs, const struct store_machine *machine)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[REASON];
	bool good = config && !store_config(machine, config, reason, sizeof(reason)) &&
		    need_disks(needs, machine, config, MUST_BE_READ);

	free(config);
	return good;
}

bool needs_of_snapshots(struct needs *needs, const struct store_machine *machine)
{
	struct snapshots snapshots;
	bool good;

	if (snapshots_read(machine, &snapshots))
		return false;
	good = !snapshots.damaged;
	for (unsigned i = 0; i < snapshots.count; i++)
		for (unsigned j = 0; j < snapshots.list[i].disk_count; j++)
			good = good && need_file(needs, machine, snapshots.list[i].disks[j],
						 "qcow2", MUST_BE_READ);
	snapshots_free(&snapshots);
	return good;
}

/* Others */

/* FILE[ ARGUMENTS][,FILE...], as --initrd takes them. */
static bool need_modules(struct needs *needs, const struct store_machine *machine, const char *list)
{
	char file[MACHINE_FILE_NAME_MAX];
	bool good = true;

	while (good && *list) {
		size_t length = strcspn(list, ",");

		snprintf(file, sizeof(file), "%.*s", (int)length, list);
		file[strcspn(file, " ")] = '\0';
		good = !file[0] || need_file(needs, machine, file, "raw", MAY_BE_ANYTHING);
		list += length + (list[length] == ',');
	}
	return good;
}

/* By its machine.conf. One that can't be understood names nothing. */
static bool need_config(struct needs *needs, const struct store_machine *other)
{
	struct machine_config *config = malloc(sizeof(*config));
	char reason[REASON];
	int error = config ? store_config(other, config, reason, sizeof(reason)) : -ENOMEM;
	bool good = !error || error == -ENOENT || error == -ENOTDIR || error == -EINVAL;

	if (!error)
		good = need_disks(needs, other, config, MAY_BE_ANYTHING) &&
		       (!config->kernel[0] ||
			need_file(needs, other, config->kernel, "raw", MAY_BE_ANYTHING)) &&
		       need_modules(needs, other, config->initrd);
	free(config);
	return good;
}

/* By its layers, of snapshots and others too. One that is damaged may be anything. */
static bool need_layers(struct needs *needs, const struct store_machine *other)
{
	DIR *directory = opendir(other->folder);
	const struct dirent *entry;
	bool good = true;

	if (!directory)
		return errno == ENOENT;
	while (good && (errno = 0, entry = readdir(directory)))
		if (is_qcow2(entry->d_name, ""))
			good = need_file(needs, other, entry->d_name, "qcow2", MAY_BE_MISSING);
	good = good && !errno;
	closedir(directory);
	return good;
}

static bool need_of_other(struct needs *needs, const struct store *store, const char *name)
{
	struct store_machine other;
	char reason[REASON];
	int error = store_find(store, name, &other, reason, sizeof(reason));
	bool good;

	if (error)
		return error == -ENOENT;
	good = need_config(needs, &other) && need_layers(needs, &other);
	store_close(&other);
	return good;
}

bool needs_of_others(struct needs *needs, const struct store *store, const char *name, char *user,
		     size_t size)
{
	unsigned count, before = marked(needs);
	bool good = true;
	char **names;

	if (store_machine_names(store, &names, &count))
		return false;
	for (unsigned i = 0; good && i < count; i++) {
		if (name && !strcmp(names[i], name))
			continue;
		good = need_of_other(needs, store, names[i]);
		if (user && (!good || marked(needs) > before)) {
			snprintf(user, size, "%s", names[i]);
			break;
		}
	}
	store_names_free(names, count);
	return good;
}
