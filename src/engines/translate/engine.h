/* SPDX-License-Identifier: BSD-2-Clause */
/* What the software engine's parts share with its run loop (engine.c). */
#ifndef TRANSLATE_ENGINE_H
#define TRANSLATE_ENGINE_H

#include <stdbool.h>

#include "engines/translate/copy.h"
#include "engines/translate/cpu.h"

/* The stubs of this vcpu. */
struct copy *engine_copy(const struct cpu *cpu);

/* Kinds of a guest's doings that are worth a line, each at most a few times in a vm's life. */
enum engine_log { ENGINE_LOG_INSTRUCTION, ENGINE_LOG_MSR, ENGINE_LOG_OTHER, ENGINE_LOG_COUNT };
void engine_log_once(struct cpu *cpu, enum engine_log kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What all vcpus of the vm share. */
struct machine_code *engine_code(struct vm *vm);

/* For tests: never uses translated code (true), or as it pleases (false). No vcpu runs. */
void engine_interpret_only(struct vm *vm, bool only);

/* For tests: memory operands of these views (1 << VIEW_*) always go through windows (window.h); 0:
 * those of user code, where it pays. No vcpu runs. */
void engine_windows(struct vm *vm, unsigned views);
#define ENGINE_WINDOWS_USER (1u << VIEW_USER)
#define ENGINE_WINDOWS_ALL  ((1u << VIEW_COUNT) - 1)

#endif
