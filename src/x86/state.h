/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether a processor could be in a state: for states that come from a file or another process. */
#ifndef X86_STATE_H
#define X86_STATE_H

struct cpu_model;
struct vcpu_state;

/*
 * NULL, or what of it no processor of this model could have: reserved bits, modes that exclude each
 * other, registers that the host's processor would refuse. Everything that an engine may rely on is
 * looked at; tsc_offset and tsc_adjust may be anything.
 */
const char *state_check(const struct vcpu_state *state, const struct cpu_model *model);

#endif
