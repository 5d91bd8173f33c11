/* SPDX-License-Identifier: BSD-2-Clause */
#include "manage/width.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

unsigned width_of_output(void)
{
	const char *said = getenv("COLUMNS");
	struct winsize size;
	unsigned long width;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	width = said ? strtoul(said, NULL, 10) : 0;
	return width && width < UINT_MAX ? (unsigned)width : UINT_MAX;
}
