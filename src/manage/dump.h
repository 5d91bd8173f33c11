/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of a guest's processors, for a person who wants to know why it died. */
#ifndef MANAGE_DUMP_H
#define MANAGE_DUMP_H

struct vm;

/* Writes them to standard error. No vcpu runs. */
void dump_vcpus(const struct vm *vm);

#endif
