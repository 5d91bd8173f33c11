/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/image_place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES 63

bool image_place_name(const char *name, char *reason, size_t size)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._:+-");

	if (length && !name[length] && length <= NAME_MAX_BYTES && !strchr(".-", name[0]))
		return true;
	snprintf(
		reason, size,
		"%.80s: is no name for an image: letters, digits and ._:+-, at most %d of them, no "
		". or - in front",
		*name ? name : "an empty word", NAME_MAX_BYTES);
	return false;
}

static int fail(int error, const char *path, char *reason, size_t size)
{
	snprintf(reason, size, "%.1024s: %s", path, strerror(-error));
	return error;
}

/* The folder of all images, with those above it. */
static int parent_make(struct image_place *place)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	int length;

	if (data && *data == '/')
		length = snprintf(place->parent, sizeof(place->parent), "%s/lodge/images", data);
	else
		length = snprintf(place->parent, sizeof(place->parent),
				  "%s/.local/share/lodge/images", home ? home : "");
	if (length >= (int)sizeof(place->parent))
		return -ENAMETOOLONG;
	for (char *slash = place->parent; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		mkdir(place->parent, 0700);
		*slash = '/';
	}
	return mkdir(place->parent, 0700) && errno != EEXIST ? -errno : 0;
}

static int is_there(const char *name, char *reason, size_t size)
{
	snprintf(reason, size,
		 "there is an image %s already: take another name (--name), or remove it", name);
	return -EEXIST;
}

int image_place_begin(struct image_place *place, const char *name, char *reason, size_t size)
{
	int error = parent_make(place);

	if (error)
		return fail(error, place->parent, reason, size);
	snprintf(place->folder, sizeof(place->folder), "%s/%s", place->parent, name);
	if (!access(place->folder, F_OK))
		return is_there(name, reason, size);
	snprintf(place->folder, sizeof(place->folder), "%s/.new-XXXXXX", place->parent);
	if (!mkdtemp(place->folder))
		return fail(-errno, place->parent, reason, size);
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
	return remove(path);
}

void image_place_abandon(struct image_place *place)
{
	nftw(place->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int image_place_finish(struct image_place *place, const char *name, char *reason, size_t size)
{
	char path[PATH_MAX];
	int folder = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;

	snprintf(path, sizeof(path), "%s/%s", place->parent, name);
	/* All that is in it is on the disk before it has a name. */
	if (folder < 0 || syncfs(folder) ||
	    renameat2(AT_FDCWD, place->folder, AT_FDCWD, path, RENAME_NOREPLACE))
		error = -errno;
	if (folder >= 0)
		close(folder);
	if (!error)
		return 0;
	image_place_abandon(place);
	if (error != -EEXIST)
		return fail(error, path, reason, size);
	snprintf(reason, size,
		 "there is an image %s already: take another name (--name), or remove it", name);
	return error;
}
