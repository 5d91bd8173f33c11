/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the world we stand on does for us: about a dozen functions, implemented once for each image
 * (hosts/linux, hosts/metal, hosts/fake) and chosen by the linker.
 */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;
struct vcpu;

/* Nanoseconds of a monotonic clock that never jumps. Any thread. */
uint64_t host_now(void);

/* Nanoseconds since 1970-01-01 00:00 UTC. Any thread. */
uint64_t host_wall_clock(void);

/* Host TSC ticks in a second (constant while the program runs), and the TSC now. */
uint64_t host_tsc_frequency(void);
uint64_t host_tsc(void);

/*
 * Asks that timers_run(vm) be called, with the vm's lock held, at host_now() >= deadline
 * (UINT64_MAX: not at all). Replaces the earlier request. Called with the vm's lock held.
 */
void host_wake_at(struct vm *vm, uint64_t deadline);

/*
 * Blocks the calling vcpu thread until host_vcpu_wake(vcpu), which may come before it (then it
 * returns at once), or deadline (host_now() time; UINT64_MAX: none). May return early. Called
 * without the vm's lock.
 */
void host_vcpu_wait(struct vcpu *vcpu, uint64_t deadline);
void host_vcpu_wake(struct vcpu *vcpu);

/*
 * Looks, on the vcpu's thread and without the vm's lock, whether vcpu->pending gets any of `bits`,
 * for nanoseconds at the most, and keeps the processor meanwhile. Gives up at once where that would
 * take the processor from another vcpu of the vm, and soon where it is taken from it; then *crowded
 * is true. Whether a bit is there.
 */
bool host_vcpu_poll(struct vcpu *vcpu, uint32_t bits, uint64_t nanoseconds, bool *crowded);

/*
 * Looks whether *word gets any of `bits`, for nanoseconds at the most. The processor is kept
 * meanwhile, and given up soon where others want it; then *crowded is true. Whether a bit is there.
 * Any thread; no lock. Not on bare metal, where nothing needs it.
 */
bool host_poll(const _Atomic uint32_t *word, uint32_t bits, uint64_t nanoseconds, bool *crowded);

/* The thread that looks after the vm should look at vm->stop and vm_paused(). Cheap; any thread,
 * any lock state. */
void host_vm_notify(struct vm *vm);

/* A mutual-exclusion lock; not recursive. Zero-initialised memory is not enough: call
 * host_lock_init. */
struct host_lock {
	_Alignas(8) unsigned char opaque[64];
};
void host_lock_init(struct host_lock *lock);
void host_lock(struct host_lock *lock);
void host_unlock(struct host_lock *lock);

/*
 * Page-aligned zeroed memory for our own tables; size in bytes. NULL when there is none. Never
 * touched before it is written, so that large sparse tables cost nothing.
 */
void *host_pages(size_t size);
void host_pages_free(void *pages, size_t size);

/*
 * Guest memory: size bytes, zeroed, not touched before the guest touches it, shareable. *handle is
 * the host's own name for it (a memfd on Linux), -1 where there is none. NULL when there is not
 * enough.
 */
void *host_guest_memory(size_t size, int *handle);
void host_guest_memory_free(void *memory, size_t size, int handle);

/*
 * Gives pages of guest memory back: [offset, offset + length), whole pages, of the block at
 * `memory`. They read as zeroes afterwards. 0; or a negative errno, and then they are as they were.
 */
int host_guest_memory_discard(void *memory, int handle, uint64_t offset, uint64_t length);

/* Fills memory with unpredictable bytes. Any thread. */
void host_random(void *bytes, size_t size);

enum host_log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* One line to the log, without a newline at its end; lib/format.h's directives. Any thread. */
void host_log(enum host_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
