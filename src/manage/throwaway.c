/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The overlay lies in a folder as the store's verbs make them: if this process is killed before it
 * is open, the next one that makes something there removes it. Afterwards it has no name, and ends
 * with the process, however that ends.
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

static int make_overlay(struct throwaway *throwaway, const struct store *store,
			const struct image *image, struct options_disk *disk)
{
	const struct qcow2_options options = {.version = 3,
					      .cluster_bits = QCOW2_CLUSTER_BITS_USUAL,
					      .backing = image->disk,
					      .backing_format = format_name(image->disk_format)};
	char path[STORE_PATH + 16], reason[REASON];
	int error = store_new_begin(store->machines, &throwaway->folder, reason, sizeof(reason));

	if (error)
		return complain_with(LODGE_HOST_LACKS, "run: %s", reason);
	throwaway->used = true;
	snprintf(path, sizeof(path), "%s/root.qcow2", throwaway->folder.folder);
	error = qcow2_create(path, &options, reason, sizeof(reason));
	if (error)
		return complain_with(LODGE_HOST_LACKS, "run: %s", reason);
	free(disk->path);
	*disk = (struct options_disk){.path = strdup(path), .format = FORMAT_QCOW2};
	return disk->path ? LODGE_OK : complain_with(LODGE_HOST_LACKS, "no memory");
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
	return image->disk[0] ? make_overlay(throwaway, &store, image, &options->disks[0])
			      : LODGE_OK;
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
