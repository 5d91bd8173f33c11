/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/resource.h>

#include "hosts/linux/linux.h"

void linux_files_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}
