/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOSTS_METAL_PAGES_H
#define HOSTS_METAL_PAGES_H

#include <stdbool.h>

/* Memory of host_pages comes when it is touched, and who touches it where there is none left is
 * ended. This has the page of `address` come now: false if it can't. */
bool pages_touch(const void *address);

#endif
