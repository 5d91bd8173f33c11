/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge run IMAGE`: a machine of an image of the store that leaves nothing behind. */
#ifndef MANAGE_THROWAWAY_H
#define MANAGE_THROWAWAY_H

#include "manage/options.h"
#include "manage/store.h"

struct throwaway {
	bool used;
	struct store_new folder; /* of its overlays, until they are open */
};

/* Fills in what the image brings, if the options name one: its disk is an overlay. An exit status,
 * after a complaint. */
int throwaway_begin(struct throwaway *throwaway, struct options *options);

/* Its disk is open, or won't be: the file has no name any more. May be called again. */
void throwaway_end(struct throwaway *throwaway);

#endif
