/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/doorbell.h"

#include "core/engine.h"
#include "core/vm.h"

void doorbell_init(struct doorbell *bell, struct vm *vm, void (*rung)(struct doorbell *bell))
{
	*bell = (struct doorbell){.vm = vm, .rung = rung};
}

void doorbell_place(struct doorbell *bell, uint64_t address)
{
	struct vm *vm = bell->vm;

	if (bell->placed && bell->address == address)
		return;
	if (doorbell_remove(bell))
		bell->rung(bell);
	bell->address = address;
	if (!vm->engine->doorbells || vm->engine->doorbells->place(vm, bell))
		return;
	bell->placed = true;
	bell->next = vm->doorbells;
	vm->doorbells = bell;
}

bool doorbell_remove(struct doorbell *bell)
{
	struct doorbell **link = &bell->vm->doorbells;
	bool owed = bell->late;

	if (!bell->placed)
		return false;
	while (*link != bell)
		link = &(*link)->next;
	*link = bell->next;
	bell->placed = bell->late = false;
	return bell->vm->engine->doorbells->remove(bell->vm, bell) || owed;
}

void doorbell_ring(struct doorbell *bell)
{
	/* A device is to do nothing while it is saved. */
	if (bell->vm->paused)
		bell->late = true;
	else
		bell->rung(bell);
}

void doorbells_resume(struct vm *vm)
{
	struct doorbell *bell = vm->doorbells;

	while (bell) {
		/* A device that fails may take its bells away. */
		if (bell->late) {
			bell->late = false;
			bell->rung(bell);
			bell = vm->doorbells;
		} else {
			bell = bell->next;
		}
	}
}
