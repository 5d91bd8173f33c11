/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/clone_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/layers_internal.h"
#include "manage/safe_file.h"

#define DEPTH_MAX 256

/* Where a name of the machine's leads. */
enum place { HERE, OUTSIDE, FURTHER_DOWN };

/* *name: without what changes nothing. */
static enum place place_of(const char **name)
{
	while (!strncmp(*name, "./", 2))
		*name += 2 + strspn(*name + 2, "/");
	if ((*name)[0] == '/' || !strncmp(*name, "../", 3))
		return OUTSIDE;
	return strchr(*name, '/') ? FURTHER_DOWN : HERE;
}

static int refuse(const struct store_machine *source, const char *name)
{
	return complain_with(LODGE_BAD_STATE,
			     "clone: %s has %s, which is in a folder in its own, and those aren't "
			     "copied: move it into %s, or name its whole path",
			     source->name, name, source->folder);
}

/* 0; -EEXIST; another negative errno. */
static int copy_one(const struct store_machine *source, const char *name, const char *folder)
{
	char from[STORE_PATH], to[STORE_PATH + MACHINE_FILE_NAME_MAX];

	store_path(source, name, from);
	snprintf(to, sizeof(to), "%s/%s", folder, name);
	return safe_file_copy(from, to, 0600);
}

int clone_chain(const struct store_machine *source, const char *file, const char *folder)
{
	char at[MACHINE_FILE_NAME_MAX], below[MACHINE_FILE_NAME_MAX];
	const char *name = below;
	int error = 0;

	snprintf(at, sizeof(at), "%s", file);
	for (unsigned depth = 0; !error && depth < DEPTH_MAX; depth++) {
		error = copy_one(source, at, folder);
		if (error == -EEXIST)
			return LODGE_OK; /* two disks on one layer */
		if (!error)
			error = layer_backing(source->folder, at, below, sizeof(below));
		if (error)
			break;
		name = below;
		/* Else one of an image, or of the machine that this one is a linked clone of. */
		switch (below[0] ? place_of(&name) : OUTSIDE) {
		case OUTSIDE:
			return LODGE_OK;
		case FURTHER_DOWN:
			return refuse(source, name);
		default:
			memmove(at, name, strlen(name) + 1);
		}
	}
	return complain_with(LODGE_HOST_LACKS, "clone: %s: %s", file,
			     error ? strerror(-error) : "too many layers");
}

/* One that isn't there is missed by whoever starts the copy, as by the machine itself. */
static int copy_file(const struct store_machine *source, const char *name, const char *folder)
{
	enum place place = place_of(&name);
	int error;

	if (!name[0] || place == OUTSIDE)
		return LODGE_OK;
	if (place == FURTHER_DOWN)
		return refuse(source, name);
	error = copy_one(source, name, folder);
	if (!error || error == -EEXIST || error == -ENOENT)
		return LODGE_OK;
	return complain_with(LODGE_HOST_LACKS, "clone: %s: %s", name, strerror(-error));
}

/* One file, or FILE[ ARGUMENTS][,FILE...]. */
static int copy_modules(const struct store_machine *source, const char *list, const char *folder)
{
	char path[STORE_PATH], file[MACHINE_FILE_NAME_MAX];
	int status = LODGE_OK;

	store_path(source, list, path);
	if (!access(path, F_OK))
		return copy_file(source, list, folder);
	while (!status && *list) {
		size_t length = strcspn(list, ",");

		snprintf(file, sizeof(file), "%.*s", (int)length, list);
		file[strcspn(file, " ")] = '\0';
		status = copy_file(source, file, folder);
		list += length + (list[length] == ',');
	}
	return status;
}

int clone_files(const struct store_machine *source, const struct machine_config *config,
		const char *folder)
{
	char file[MACHINE_FILE_NAME_MAX];
	int status = copy_file(source, config->kernel, folder);

	if (!status)
		status = copy_modules(source, config->initrd, folder);
	for (unsigned i = 0; !status && i < config->disk_count; i++) {
		const char *name = file;

		if (!config->disks[i].read_only)
			continue;
		layers_disk_file(config->disks[i].file, file, sizeof(file), NULL);
		status = place_of(&name) == HERE && layers_is_name(name)
				 ? clone_chain(source, name, folder)
				 : copy_file(source, name, folder);
	}
	return status;
}
