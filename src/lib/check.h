/* SPDX-License-Identifier: BSD-2-Clause */
/* CHECK: for our own bugs only, never for what a guest, a file or a peer may do. */
#ifndef LIB_CHECK_H
#define LIB_CHECK_H

/* Provided by the host: says where and what, and stops the program. */
_Noreturn void check_failed(const char *file, int line, const char *condition);

/* Stops the program unless the condition holds. The condition has no side effects. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

#endif
