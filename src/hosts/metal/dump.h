/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HOSTS_METAL_DUMP_H
#define HOSTS_METAL_DUMP_H

struct vm;

/* The registers of all processors that were started, into the log. No vcpu runs. */
void dump_vcpus(const struct vm *vm);

#endif
