/* SPDX-License-Identifier: BSD-2-Clause */
/* image: ls, rm, build, import of the store's; create, info, check, resize, convert of any file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/image.h"
#include "manage/image_make.h"
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
	bool broken = image_find(store, name, false, image, reason, sizeof(reason));
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
	int lock, error, status = LODGE_OK;

	if (!store_image_name_check(name, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_OPTION, "image rm: %s", reason);
	snprintf(path, sizeof(path), "%s/%s", store->images, name);
	if (access(path, F_OK))
		return complain_with(LODGE_NOT_FOUND,
				     "image rm: there is no image %s: lodge image ls lists them",
				     name);
	error = image_lock_alone(store, name, &lock);
	if (error == -EBUSY)
		return complain_with(LODGE_BAD_STATE,
				     "image rm: %s: a machine is being made of it: try again when "
				     "that is done",
				     name);
	if (error)
		return complain_with(LODGE_HOST_LACKS, "image rm: %s: its lock: %s", name,
				     strerror(-error));
	if (!image_used(store, name, user, sizeof(user)))
		status = store_remove(store->images, name, reason, sizeof(reason))
				 ? complain_with(LODGE_HOST_LACKS, "image rm: %s", reason)
				 : LODGE_OK;
	else if (user[0])
		status = complain_with(LODGE_BAD_STATE,
				       "image rm: %s is what machine %s stands on, or that has a "
				       "disk that can't be read: lodge rm %s first",
				       name, user, user);
	else
		status = complain_with(LODGE_HOST_LACKS,
				       "image rm: %s: can't tell whether a machine stands on it",
				       name);
	if (lock >= 0)
		close(lock);
	return status;
}

static int rm(struct verb_call *call)
{
	return verb_for_each(call, remove_one);
}

static int build(struct verb_call *call)
{
	return image_carry_out(call, image_build);
}

static int import(struct verb_call *call)
{
	return image_carry_out(call, image_import);
}

static int create(struct verb_call *call)
{
	return image_carry_out(call, image_create);
}

static int info(struct verb_call *call)
{
	return image_carry_out(call, image_info);
}

static int check(struct verb_call *call)
{
	return image_carry_out(call, image_check);
}

static int resize(struct verb_call *call)
{
	return image_carry_out(call, image_resize);
}

static int convert(struct verb_call *call)
{
	return image_carry_out(call, image_convert);
}

/* Rows that several of them have. */
#define FORMAT(whose)                                                                              \
	{                                                                                          \
		"--format", "raw|qcow2", false,                                                    \
			whose " format (default: qcow2 if its name ends in .qcow2, else raw)"      \
	}
#define NAME(usual)                                                                                \
	{                                                                                          \
		"--name", "NAME", false, "the image's name in the store (default: " usual ")"      \
	}
#define NEW_QCOW2                                                                                  \
	{"--cluster-size", "SIZE", false,                                                          \
	 "the unit in which it grows, a power of two from 512 to 2M (default 64K)"},               \
		{"--version", "2|3", false,                                                        \
		 "of qcow2 (default 3); 2 for programs from before 2012"},                         \
		{"--compression", "zlib|zstd", false,                                              \
		 "how clusters are compressed that are (default zlib)"},                           \
	{                                                                                          \
		"--lazy-refcounts", NULL, false,                                                   \
			"allows other programs to keep refcounts lazily; Lodge doesn't"            \
	}

static const struct verb_option json_options[] = {VERB_JSON, VERB_END};
static const struct verb_option build_options[] = {
	NAME("what it is built from"),
	{"--size", "SIZE", false,
	 "of its disk, 1G or more, which takes no more room than what is in it (default 4G)"},
	VERB_END};
static const struct verb_option import_options[] = {NAME("the file's, without its ending"),
						    VERB_END};
static const struct verb_option create_options[] = {
	FORMAT("the image's"),
	{"--backing", "FILE", false,
	 "what the new image is an overlay on, as seen from the new image's folder"},
	{"--backing-format", "raw|qcow2", false, "of that file"},
	NEW_QCOW2,
	VERB_END};
static const struct verb_option info_options[] = {FORMAT("the image's"), VERB_JSON, VERB_END};
static const struct verb_option check_options[] = {
	FORMAT("the image's"),
	{"--repair", NULL, false,
	 "mends what can be mended; entries that can't be right read as zeroes afterwards"},
	VERB_JSON,
	VERB_END};
static const struct verb_option resize_options[] = {
	FORMAT("the image's"),
	{"--shrink", NULL, false, "allows to cut off what is behind the new size"},
	VERB_END};
static const struct verb_option convert_options[] = {
	{"--from", "raw|qcow2|vmdk", false,
	 "the old image's format (default: as its name ends); vmdk: in one file"},
	FORMAT("the new image's"),
	{"--compress", NULL, false, "compresses the new qcow2 image"},
	NEW_QCOW2,
	VERB_END};

#define FILES                                                                                      \
	{                                                                                          \
		COMPLETE_FILE, COMPLETE_FILE                                                       \
	}

const struct verb verbs_image[] = {
	{"image ls",
	 "[--json]",
	 "lists the images that machines can be made from",
	 0,
	 0,
	 {0, 0},
	 json_options,
	 false,
	 TAKES_NONE,
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
	 TAKES_NONE,
	 rm,
	 "One that a machine stands on stays."},
	{"image build",
	 "[OPTION...] debian:12|debian:13",
	 "makes one out of Debian's packages",
	 1,
	 1,
	 {0, 0},
	 build_options,
	 false,
	 TAKES_NONE,
	 build,
	 "From the mirror that this host's apt has, or $LODGE_MIRROR; without root. It takes a few "
	 "minutes."},
	{"image import", "[--name NAME] FILE|URL", "makes one out of a cloud image", 1, 1, FILES,
	 import_options, false, TAKES_NONE, import, "A disk with Linux on it: raw, qcow2 or vmdk."},
	{"image create", "[OPTION...] FILE [SIZE]",
	 "makes an empty disk, or an overlay on another one", 1, 2, FILES, create_options, false,
	 TAKES_NONE, create,
	 "SIZE is like 512M, 8G or 1T; that of the file below an overlay, if it isn't given."},
	{"image info", "[OPTION...] FILE", "says what a disk image is", 1, 1, FILES, info_options,
	 false, TAKES_NONE, info,
	 "Format, sizes, backing file, internal snapshots. Opens no file but this one."},
	{"image check", "[OPTION...] FILE", "looks for damage in a qcow2 image", 1, 1, FILES,
	 check_options, false, TAKES_NONE, check,
	 "Leaked clusters are lost space and do no harm; anything else that is left makes the "
	 "status 65."},
	{"image resize", "[OPTION...] FILE [+|-]SIZE", "makes a disk larger or smaller", 2, 2,
	 FILES, resize_options, false, TAKES_NONE, resize, "What is new reads as zeroes."},
	{"image convert", "[OPTION...] FROM TO", "copies a disk into a new image", 2, 2, FILES,
	 convert_options, false, TAKES_NONE, convert,
	 "With what it is an overlay on. TO appears when it is complete."},
	{NULL, NULL, NULL, 0, 0, {0, 0}, NULL, false, TAKES_NONE, NULL, NULL},
};
