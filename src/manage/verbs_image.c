/* SPDX-License-Identifier: BSD-2-Clause */
/* image ls, rm: the images of the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/image_store.h"
#include "manage/json.h"
#include "manage/verbs.h"
#include "storage/qcow2.h"

#define REASON (STORE_PATH + 512)

/* How large the disk is for a guest, and how much of this host's disk it takes. */
static void disk_sizes(const struct image *image, uint64_t *size, uint64_t *used)
{
	struct qcow2 *disk;
	struct stat status;
	char reason[1024];

	*size = *used = 0;
	if (!image->disk[0] || stat(image->disk, &status))
		return;
	*size = (uint64_t)status.st_size;
	*used = (uint64_t)status.st_blocks * 512;
	if (image->disk_format == FORMAT_QCOW2 &&
	    !qcow2_open(image->disk, QCOW2_READ_ONLY | QCOW2_ALONE | QCOW2_AS_IT_IS, &disk, reason,
			sizeof(reason))) {
		*size = qcow2_size(disk);
		qcow2_close(disk);
	}
}

static void put(const struct store *store, const char *name, struct image *image, struct json *out)
{
	char reason[REASON];
	bool broken = image_find(store, name, image, reason, sizeof(reason));
	uint64_t size = 0, used = 0;

	if (!broken)
		disk_sizes(image, &size, &used);
	if (!out) {
		printf("%-31s %7.1f G %7.1f M%s\n", name, (double)size / (1u << 30),
		       (double)used / (1u << 20), broken ? "  broken" : "");
		return;
	}
	json_begin(out, NULL, '{');
	json_text(out, "name", name);
	if (broken)
		json_text(out, "error", reason);
	json_number(out, "size", size);
	json_number(out, "used", used);
	json_end(out, '}');
}

static int ls(struct verb_call *call)
{
	struct image *image = malloc(sizeof(*image));
	bool as_json = verb_given(call, "--json");
	struct json out = {0};
	struct store store;
	char **names;
	unsigned count;
	int status =
		image ? verb_store(call, &store) : complain_with(LODGE_HOST_LACKS, "no memory");

	if (!status && store_image_names(&store, &names, &count))
		status =
			complain_with(LODGE_HOST_LACKS, "image ls: %s can't be read", store.images);
	if (status) {
		free(image);
		return status;
	}
	if (as_json)
		json_begin(&out, NULL, '[');
	else
		printf("%-31s %9s %9s\n", "NAME", "SIZE", "USED");
	for (unsigned i = 0; i < count; i++)
		put(&store, names[i], image, as_json ? &out : NULL);
	if (as_json)
		json_end(&out, ']');
	store_names_free(names, count);
	free(image);
	return LODGE_OK;
}

static int remove_one(struct verb_call *call, struct store *store, const char *name)
{
	char reason[REASON], user[MACHINE_NAME_MAX], path[STORE_PATH];

	if (!store_image_name_check(name, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "image rm: %s", reason);
	snprintf(path, sizeof(path), "%s/%s", store->images, name);
	if (access(path, F_OK))
		return complain_with(LODGE_NOT_FOUND,
				     "image rm: there is no image %s: lodge image ls lists them",
				     name);
	if (image_used(store, name, user, sizeof(user)))
		return complain_with(LODGE_BAD_STATE,
				     "image rm: %s is what machine %s stands on: lodge rm %s first",
				     name, user, user);
	if (store_remove(store->images, name, reason, sizeof(reason)))
		return complain_with(LODGE_HOST_LACKS, "image rm: %s", reason);
	return LODGE_OK;
}

static int rm(struct verb_call *call)
{
	return verb_for_each(call, remove_one);
}

static const struct verb_option json_options[] = {VERB_JSON, VERB_END};

const struct verb verbs_image[] = {
	{"image ls",
	 "[--json]",
	 "lists the images that machines can be made from",
	 0,
	 0,
	 {0, 0},
	 json_options,
	 false,
	 false,
	 ls,
	 NULL},
	{"image rm",
	 "IMAGE...",
	 "removes images",
	 1,
	 VERB_WORDS_MAX,
	 {COMPLETE_IMAGE, COMPLETE_IMAGE},
	 NULL,
	 false,
	 false,
	 rm,
	 "One that a machine stands on stays."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, false, NULL, NULL},
};
