/* SPDX-License-Identifier: BSD-2-Clause */
/* The lists of what is in the store. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manage/store.h"

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_machine(const char *name)
{
	char reason[256];

	return store_name_check(name, reason, sizeof(reason));
}

static bool is_image(const char *name)
{
	char reason[256];

	return store_image_name_check(name, reason, sizeof(reason));
}

static bool is_left_over(const char *name)
{
	return !strncmp(name, ".new-", 5) || !strncmp(name, ".gone-", 6);
}

static bool add(char ***names, unsigned *count, const char *name)
{
	char **more = *names;

	if (*count % 64 == 0)
		more = realloc(*names, (*count + 64) * sizeof(*more));
	if (!more)
		return false;
	*names = more;
	more[*count] = strdup(name);
	return more[*count] && ++*count;
}

static int list(const char *folder, bool (*wanted)(const char *name), char ***names,
		unsigned *count)
{
	DIR *directory = opendir(folder);
	const struct dirent *entry;
	int error = 0;

	*names = NULL;
	*count = 0;
	if (!directory)
		return errno == ENOENT ? 0 : -errno;
	while (!error && (entry = readdir(directory)))
		if ((entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
		    wanted(entry->d_name) && !add(names, count, entry->d_name))
			error = -ENOMEM;
	closedir(directory);
	if (error)
		store_names_free(*names, *count);
	else if (*count)
		qsort(*names, *count, sizeof(**names), compare);
	return error;
}

int store_machine_names(const struct store *store, char ***names, unsigned *count)
{
	return list(store->machines, is_machine, names, count);
}

int store_image_names(const struct store *store, char ***names, unsigned *count)
{
	return list(store->images, is_image, names, count);
}

int store_left_over_names(const char *parent, char ***names, unsigned *count)
{
	return list(parent, is_left_over, names, count);
}

void store_names_free(char **names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
