/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The overlays lie in a folder as the store's verbs make them: if this process is killed before
 * they are open, the next one that makes something there removes it. Afterwards they have no names,
 * and end with the process, however that ends.
 */
#include "manage/throwaway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manage/complain.h"
#include "manage/exitcodes.h"
#include "manage/image_store.h"
#include "manage/machine.h"
#include "storage/qcow2.h"
#include "storage/qcow2_header.h"

#define REASON (STORE_PATH + 512)

/* What would make it another machine than the image's. */
static const char *const excluded[] = {"--machine", "--kernel",	  "--initrd", "--disk",
				       "--restore", "--incoming", NULL};

/* Of one disk; number tells them apart. */
static int make_overlay(const struct throwaway *throwaway, unsigned number,
			struct options_disk *disk)
{
	char path[STORE_PATH + 32], reason[REASON], *whole = realpath(disk->path, NULL);
	struct qcow2_options options = {
		.version = 3, .cluster_bits = QCOW2_CLUSTER_BITS_USUAL, .backing = whole};
	enum format format = disk->format;
	int error = 0, status = LODGE_OK;

	if (!whole)
		return complain_with(LODGE_BAD_INPUT, "run: %s: %s", disk->path, strerror(errno));
	if (format == FORMAT_AUTO)
		error = format_decide(whole, &format, reason, sizeof(reason));
	options.backing_format = format_name(format);
	snprintf(path, sizeof(path), "%s/disk-%u.qcow2", throwaway->folder.folder, number);
	if (!error)
		error = qcow2_create(path, &options, reason, sizeof(reason));
	if (error)
		status = complain_with(LODGE_HOST_LACKS, "run: %s", reason);
	free(whole);
	if (status)
		return status;
	free(disk->path);
	disk->path = strdup(path);
	disk->format = FORMAT_QCOW2;
	return disk->path ? LODGE_OK : complain_with(LODGE_HOST_LACKS, "no memory");
}

/* Of each that the machine would write to: images don't change. */
static int make_overlays(struct throwaway *throwaway, const struct store *store,
			 struct options *options)
{
	char reason[REASON];
	int status = LODGE_OK;

	for (unsigned i = 0; !status && i < options->disk_count; i++) {
		if (options->disks[i].read_only)
			continue;
		if (!throwaway->used &&
		    store_new_begin(store->machines, &throwaway->folder, reason, sizeof(reason)))
			return complain_with(LODGE_HOST_LACKS, "run: %s", reason);
		throwaway->used = true;
		status = make_overlay(throwaway, i, &options->disks[i]);
	}
	return status;
}

static int apply(struct throwaway *throwaway, struct options *options, struct image *image)
{
	const char *name = options->name;
	char path[STORE_PATH + 16], reason[REASON];
	struct store store;
	int error = store_open(&store, reason, sizeof(reason));

	if (error)
		return complain_with(LODGE_HOST_LACKS, "run: %s", reason);
	error = image_find(&store, options->image, true, image, reason, sizeof(reason));
	if (error)
		return complain_with(error == -ENOENT  ? LODGE_NOT_FOUND
				     : error == -EBUSY ? LODGE_BAD_STATE
						       : LODGE_BAD_INPUT,
				     "run: %s", reason);
	if (!image->config.kernel[0])
		return complain_with(LODGE_BAD_INPUT,
				     "run: %s brings no kernel: lodge image import makes an image "
				     "of it, or: lodge run --kernel FILE --disk %s",
				     options->image, options->image);
	snprintf(path, sizeof(path), "%s/image.conf", image->folder);
	if (machine_merge(options, &image->config, path, reason, sizeof(reason)))
		return complain_with(LODGE_BAD_INPUT, "run: %s: %s", options->image, reason);
	/* The image's name is not this machine's; several may run. */
	options->name = name;
	if (options->net == NET_DEFAULT)
		options->net = NET_USER;
	return make_overlays(throwaway, &store, options);
}

int throwaway_begin(struct throwaway *throwaway, struct options *options)
{
	struct image *image;
	int status;

	if (!options->image)
		return LODGE_OK;
	for (const char *const *option = excluded; *option; option++)
		if (options_given(options, *option))
			return complain_with(LODGE_BAD_OPTION,
					     "run: %s: image %s brings its own: leave one of them "
					     "out",
					     *option, options->image);
	image = malloc(sizeof(*image));
	if (!image)
		return complain_with(LODGE_HOST_LACKS, "no memory");
	image->lock = -1;
	status = apply(throwaway, options, image);
	image_release(image);
	free(image);
	return status;
}

void throwaway_end(struct throwaway *throwaway)
{
	if (throwaway->used)
		store_new_abandon(&throwaway->folder);
	throwaway->used = false;
}
