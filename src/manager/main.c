/* SPDX-License-Identifier: BSD-2-Clause */
/* The manager's process: turns of the loop, and sleep between them. */
#include "hosts/metal/common.h"
#include "manager/manager.h"
#include "manager/system.h"

int main(void)
{
	static struct manager manager;

	manager_begin(&manager);
	for (;;)
		system_wait(manager_turn(&manager));
}
