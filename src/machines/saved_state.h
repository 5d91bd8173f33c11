/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All of a machine but its memory and what is plugged in, as bytes: clock, vcpus, devices. The same
 * on every engine (docs/snapshot-format.md).
 */
#ifndef MACHINES_SAVED_STATE_H
#define MACHINES_SAVED_STATE_H

#include <stddef.h>
#include <stdint.h>

struct vm;

/* Room that always suffices, for 32 vcpus and all devices there can be, but for shared folders:
 * these need some 80 bytes and a name for each file that the guest remembers. */
#define SAVED_STATE_USUAL ((size_t)1 << 20)
#define SAVED_STATE_MAX	  ((size_t)256 << 20)

#define SAVED_STATE_REASON 256

/*
 * Writes it to `bytes`, of `size` bytes. The vm is paused (vm_paused), its disks are drained; vm's
 * lock held. 0, with *length set; -ENOSPC.
 */
int saved_state_write(struct vm *vm, uint8_t *bytes, size_t size, size_t *length);

/*
 * Makes the vm as it was, and leaves it paused: after saved_state_begin and vm_resume it goes on.
 * Its machine is complete (pc_create), has been reset (vm_reset), and its memory holds what it
 * held, or knows where to get it. No vcpu runs; vm's lock held. 0; or -EINVAL with one line in
 * reason (SAVED_STATE_REASON bytes), and then the vm is good for nothing but vm_reset and
 * vm_destroy. Devices do nothing to the outside world.
 */
int saved_state_read(struct vm *vm, const uint8_t *bytes, size_t length, char *reason);

/*
 * Behind saved_state_read, once the machine is this process's alone: devices do what they were
 * about to do (disks and networks are used from here on), and the engine has what they know. Vm's
 * lock held, and not dropped in between: nobody may find a machine that is half loaded.
 */
void saved_state_begin(struct vm *vm);

#endif
