/* SPDX-License-Identifier: BSD-2-Clause */
/* What was unpacked in a folder of its own, and is somebody else's to choose, goes to its place. */
#ifndef MANAGE_UNPACKED_H
#define MANAGE_UNPACKED_H

#include <stddef.h>

/*
 * Moves all that is in folder `from` into folder `to`, on the same file system. A folder in it that
 * `to` has as well is gone through, and keeps its mode; anything else takes the place of what has
 * its name, but not that of a folder. Below `to` no symbolic link is followed, and no device gets
 * there. 0, or a negative errno and in `name` the last name of what could not be moved: some of it
 * has been by then.
 */
int unpacked_move(const char *from, const char *to, char *name, size_t size);

#endif
