/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vm process on Linux, as the program sees it. In this order:
 *
 *	linux_init();                   first thing in main: signals, fatal ones
 *	vm_create(&vm, ...);            core
 *	linux_vm_attach(&vm);           event loop, timers
 *	terminal_open(...), devices, disks, networks, vm_reset(&vm), boot state
 *	sandbox_enter(...);             before the first guest instruction
 *	linux_vm_start(&vm);            a thread for each vcpu
 *	linux_loop_run(&vm);            until vm.stop is not VM_RUNNING any more
 *	linux_vm_join(&vm);             the vcpus have left; vm.stop and vm.stop_code say why
 *	linux_vm_detach(&vm); vm_destroy(&vm);
 *
 * After VM_RESET: join, vm_reset(), boot state, then start again; the loop, its watches and the
 *sandbox stay.
 */
#ifndef HOSTS_LINUX_LINUX_H
#define HOSTS_LINUX_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host.h"

struct vm;
struct loop;

/*
 * Blocks the signals that the loop takes instead (INT, TERM, HUP, QUIT, WINCH, CONT), ignores PIPE,
 * and makes a crash restore the terminal and say one line before it takes its course. Call it
 * before any thread is made.
 */
void linux_init(void);

/* Lets the signals through again that linux_init has blocked, for a command that runs no vm. */
void linux_signals_usual(void);
/* Blocks them again. */
void linux_signals_held(void);

/* Lets this process have as many open files as it may ask for: those of a guest's connections and
 * shared folders are its own. */
void linux_files_raise(void);

/* What the log shows: lines of this level and graver ones. LOG_WARNING to begin with. Any thread.
 */
void linux_log_level(enum host_log_level level);

/* Gives the vm its event loop (loop.h). 0 or a negative errno. The vm's lock is not held, nothing
 * of it runs. */
int linux_vm_attach(struct vm *vm);
void linux_vm_detach(struct vm *vm);

/* The loop of an attached vm. */
struct loop *linux_loop(const struct vm *vm);

/* A thread for each vcpu begins to run it. 0, or a negative errno with no thread left. May be
 * called again after linux_vm_join. */
int linux_vm_start(struct vm *vm);

/* Waits for all vcpus to have left vcpu_run; they do so after vm_stop. Does nothing without
 * threads. */
void linux_vm_join(struct vm *vm);

/*
 * Serves the loop on the calling thread until vm->stop is not VM_RUNNING, or until the vm has
 * become paused (vm_paused; call it again to go on serving: it returns once for each time).
 * Returns at once if it has stopped already. SIGINT, SIGTERM, SIGHUP and SIGQUIT stop the vm:
 * VM_KILLED with the signal's number as code.
 */
void linux_loop_run(struct vm *vm);

/* Puts the terminal back as it was found, for who ends the process without clearing up. */
void linux_terminal_restore(void);

/* Whether the processor says that its TSC runs at one speed always (CPUID 80000007h EDX bit 8). */
bool linux_tsc_is_invariant(void);

/* Where host_tsc_frequency() has its figure from, for `lodge doctor`: "CPUID leaf 15h", "measured",
 * ... */
const char *linux_tsc_source(void);

#endif
