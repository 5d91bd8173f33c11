/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel may touch user memory only between SMAP_ALLOW and SMAP_FORBID (assembly; user_copy.S
 * and trap_entry.S need them). As stac and clac, which are invalid on processors without SMAP, they
 * set and clear the AC flag; there it means nothing, for CR0.AM is off.
 */
#ifndef KERNEL_SMAP_H
#define KERNEL_SMAP_H

#define SMAP_ALLOW                                                                                 \
	pushfq;                                                                                    \
	orq $0x40000, (% rsp);                                                                     \
	popfq
#define SMAP_FORBID                                                                                \
	pushfq;                                                                                    \
	andq $ ~0x40000, (% rsp);                                                                  \
	popfq

#endif
