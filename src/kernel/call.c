/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls: the table says who may use which; each function here checks its arguments, copies
 *what is in the process's memory, and calls the part that does it.
 *
 *	call		arguments				who	does it
 *	LOG		text, length				all	log.c
 *	EXIT		code					all	process.c
 *	THREAD_CREATE	entry, stack, argument			all	process.c
 *	THREAD_EXIT						all	schedule.c
 *	WAIT		word, value, deadline			all	wait.c
 *	WAKE		word, count				all	wait.c
 *	MAP		size					all	mapping.c
 *	UNMAP		address, size				all	mapping.c
 *	MODULE		index, to fill in			all	here, mapping.c
 *	NOTIFY		process, bits				all	process.c
 *	GUEST_MEMORY	size					machine	guest.c, mapping.c
 *	GUEST_MAP	base, size, offset			machine	guest.c
 *	VCPU_CREATE	id, configuration			machine	vcpu.c
 *	VCPU_RUN	id					machine	vcpu.c
 *	VCPU_KICK	id					machine	vcpu.c
 *	VCPU_STATE	id					machine	vcpu.c
 *	APIC_MESSAGE	address, data				machine	guest.c
 *	APIC_LINE	input, level				machine	guest.c
 *	SWITCH_SEND	slices, count				machine	switch.c
 *	SWITCH_RECEIVE	buffer, size				machine	switch.c
 *	PROCESS_CREATE	configuration				manager	process.c
 *	PROCESS_SET	process, settings			manager	process.c
 *	PROCESS_KILL	process					manager	process.c
 *	PROCESS_INFO	process, to fill in			manager	process.c
 *	CONSOLE		bytes, length, direction		manager	serial.c
 *	SYSTEM		what, pointer, size			manager	power.c, log.c
 *
 * No lock is held while a process's memory is touched. What is read from there is read once.
 */
#include "kernel/call.h"

#include <stdbool.h>

#include "kernel/abi.h"
#include "kernel/boot.h"
#include "kernel/clock.h"
#include "kernel/cpu.h"
#include "kernel/frame.h"
#include "kernel/guest.h"
#include "kernel/log.h"
#include "kernel/mapping.h"
#include "kernel/power.h"
#include "kernel/process.h"
#include "kernel/register.h"
#include "kernel/serial.h"
#include "kernel/switch.h"
#include "kernel/thread.h"
#include "kernel/trap.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/error.h"
#include "x86/msr.h"
#include "x86/registers.h"

#define FLAG_MASK      0x257fd5 /* all that a program can set: IF, DF, TF and AC above all */
#define LOG_LENGTH_MAX 256
#define LOG_COST       UINT64_C(50000000) /* ns: twenty lines a second ... */
#define LOG_AHEAD      (100 * LOG_COST)	  /* ... and a hundred at once */
#define KERNEL_LOG     0x4000		  /* bytes (log.h) */

typedef int64_t (*call_function)(const uint64_t *a);

static int64_t call_log(const uint64_t *a)
{
	struct process *process = process_this();
	char text[LOG_LENGTH_MAX + 1];
	uint64_t now = clock_now();
	bool quiet;

	if (a[1] < 1 || a[1] > LOG_LENGTH_MAX)
		return -EINVAL;
	if (user_read(text, ua(a[0]), a[1]))
		return -EFAULT;
	for (uint64_t i = 0; i < a[1]; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '.';
	text[a[1]] = 0;
	lock_take(&process->lock);
	if (process->log_time < now)
		process->log_time = now;
	quiet = process->id && process->log_time > now + LOG_AHEAD;
	if (!quiet)
		process->log_time += LOG_COST;
	lock_drop(&process->lock);
	if (quiet)
		return -EAGAIN;
	log_line("%s: %s", process->name, text);
	return 0;
}

static int64_t call_exit(const uint64_t *a)
{
	process_exit(a[0]);
}

static int64_t call_thread_create(const uint64_t *a)
{
	/* iretq and sysret take canonical addresses only. */
	if (a[0] >= METAL_USER_END)
		return -EINVAL;
	return process_thread_create(a[0], a[1], a[2]);
}

static int64_t call_thread_exit(const uint64_t *a)
{
	thread_end();
}

static int64_t call_wait(const uint64_t *a)
{
	return a[1] > UINT32_MAX ? -EINVAL : wait_word(ua(a[0]), (uint32_t)a[1], a[2]);
}

static int64_t call_wake(const uint64_t *a)
{
	return a[1] > UINT32_MAX ? -EINVAL : wake_word(ua(a[0]), (uint32_t)a[1]);
}

static int64_t call_map(const uint64_t *a)
{
	struct process *process = process_this();
	int64_t result;

	lock_take(&process->lock);
	result = mapping_add(process, a[0], MAPPING_MEMORY, 0);
	lock_drop(&process->lock);
	return result;
}

static int64_t call_unmap(const uint64_t *a)
{
	return mapping_remove(process_this(), a[0], a[1], MAPPING_MEMORY);
}

static int64_t call_module(const uint64_t *a)
{
	struct process *process = process_this();
	const struct boot_module *module;
	struct metal_module result = {0};
	struct mapping *mapping;
	int64_t address = 0;

	if (a[0] >= boot_information.module_count)
		return -ENOENT;
	if (!(process->config.modules >> a[0] & 1))
		return -EPERM;
	module = &boot_information.module[a[0]];
	lock_take(&process->lock);
	mapping = mapping_find(process, MAPPING_MODULE, (unsigned)a[0]);
	if (mapping)
		address = (int64_t)mapping->address;
	else
		address = mapping_add(process, module->size, MAPPING_MODULE, (unsigned)a[0]);
	lock_drop(&process->lock);
	if (address < 0)
		return address;
	result.address = (uint64_t)address;
	result.size = module->size;
	bytes_copy(result.name, module->name, sizeof(result.name));
	bytes_copy(result.arguments, module->arguments, sizeof(result.arguments));
	return user_write(ua(a[1]), &result, sizeof(result));
}

static int64_t call_notify(const uint64_t *a)
{
	if (a[1] >> 32 || a[1] % METAL_EVENT_NOTIFY)
		return -EINVAL;
	return process_notify(a[0], (uint32_t)a[1]);
}

static int64_t call_guest_memory(const uint64_t *a)
{
	struct process *process = process_this();
	struct guest *guest = process->guest;
	int64_t result = (int64_t)METAL_GUEST_ADDRESS;

	if (!a[0] || !is_aligned(a[0], LARGE_SIZE))
		return -EINVAL;
	if (a[0] > guest->size)
		return -ENOMEM;
	lock_take(&process->lock);
	if (guest->mapped_by_process)
		result = -EBUSY;
	guest->mapped_by_process = true;
	lock_drop(&process->lock);
	return result;
}

static int64_t call_guest_map(const uint64_t *a)
{
	return guest_map(process_this()->guest, a[0], a[1], a[2]);
}

/* The page is mapped when the process touches it: nothing has to be undone that a thread may use.
 */
static int64_t vcpu_create_locked(struct process *process, unsigned id,
				  const struct metal_vcpu_config *config)
{
	struct mapping *mapping;
	int64_t address, error;
	pa_t page;

	if (mapping_find(process, MAPPING_VCPU, id))
		return -EEXIST;
	page = process_page(process);
	if (!page.value)
		return -ENOMEM;
	address = mapping_add(process, PAGE_SIZE, MAPPING_VCPU, id);
	if (address > 0) {
		process->vcpu_page[id] = page;
		error = vcpu_create(process->guest, id, direct(page), config);
		if (!error)
			return address;
		process->vcpu_page[id] = pa(0);
		mapping = mapping_find(process, MAPPING_VCPU, id);
		mapping_drop(process, mapping);
		address = error;
	}
	frame_free(page, process_owner(process));
	return address;
}

static int64_t call_vcpu_create(const uint64_t *a)
{
	struct process *process = process_this();
	struct metal_vcpu_config config;
	int64_t result;

	if (a[0] >= METAL_VCPUS_MAX)
		return -EINVAL;
	if (user_read(&config, ua(a[1]), sizeof(config)))
		return -EFAULT;
	lock_take(&process->lock);
	result = vcpu_create_locked(process, (unsigned)a[0], &config);
	lock_drop(&process->lock);
	return result;
}

static int64_t call_apic_message(const uint64_t *a)
{
	return a[1] > UINT32_MAX ? -EINVAL
				 : guest_message(process_this()->guest, a[0], (uint32_t)a[1]);
}

static int64_t call_apic_line(const uint64_t *a)
{
	return a[0] > 1 || a[1] > 1 ? -EINVAL
				    : guest_line(process_this()->guest, (unsigned)a[0], a[1]);
}

/* The frame's bytes one after another: their count, or an error. */
static int64_t gather(uint8_t *frame, ua_t slices, uint64_t count)
{
	struct metal_slice slice;
	uint64_t length = 0;

	for (uint64_t i = 0; i < count; i++) {
		if (user_read(&slice, ua(slices.value + i * sizeof(slice)), sizeof(slice)))
			return -EFAULT;
		if (slice.length > METAL_FRAME_MAX - length)
			return -EINVAL;
		if (user_read(frame + length, ua(slice.address), slice.length))
			return -EFAULT;
		length += slice.length;
	}
	return (int64_t)length;
}

static int64_t call_switch_send(const uint64_t *a)
{
	struct process *process = process_this();
	uint8_t frame[METAL_FRAME_MAX];
	int64_t length;

	if (!process->port)
		return -ENODEV;
	if (a[1] > METAL_SLICES_MAX || a[0] >= METAL_USER_END)
		return a[1] > METAL_SLICES_MAX ? -EINVAL : -EFAULT;
	length = gather(frame, ua(a[0]), a[1]);
	if (length < 0)
		return length;
	return switch_send(process->port, frame, (uint64_t)length);
}

static int64_t call_switch_receive(const uint64_t *a)
{
	struct process *process = process_this();
	uint8_t frame[METAL_FRAME_MAX];
	int64_t length;

	if (!process->port)
		return -ENODEV;
	length = switch_receive(process->port, frame);
	if (length < 0)
		return length;
	if (user_write(ua(a[0]), frame, (uint64_t)length < a[1] ? (uint64_t)length : a[1]))
		return -EFAULT;
	return length;
}

static int64_t call_process_create(const uint64_t *a)
{
	struct metal_process_config config;
	int64_t id;

	if (user_read(&config, ua(a[0]), sizeof(config)))
		return -EFAULT;
	id = process_create(&config);
	if (id > 0 && user_write(ua(a[0]), &config, sizeof(config))) {
		process_kill((uint64_t)id);
		return -EFAULT;
	}
	return id;
}

static int64_t call_process_set(const uint64_t *a)
{
	struct metal_process_set set;

	if (user_read(&set, ua(a[1]), sizeof(set)))
		return -EFAULT;
	return process_set(a[0], &set);
}

static int64_t call_process_kill(const uint64_t *a)
{
	return process_kill(a[0]);
}

static int64_t call_process_info(const uint64_t *a)
{
	struct metal_process_info info;
	int64_t result = process_info(a[0], &info);

	return result ? result : user_write(ua(a[1]), &info, sizeof(info));
}

static int64_t call_console(const uint64_t *a)
{
	char bytes[256];
	uint64_t done = 0;

	if (a[2] > 1)
		return -EINVAL;
	/* From now on the line is the manager's. */
	if (a[2])
		log_quiet();
	while (done < a[1]) {
		uint64_t part = a[1] - done < sizeof(bytes) ? a[1] - done : sizeof(bytes), moved;

		if (a[2] && user_read(bytes, ua(a[0] + done), part))
			return done ? (int64_t)done : -EFAULT;
		moved = a[2] ? serial_write(bytes, part) : serial_read(bytes, part);
		if (!a[2] && user_write(ua(a[0] + done), bytes, moved))
			return -EFAULT;
		done += moved;
		if (moved < part)
			break;
	}
	return (int64_t)done;
}

static int64_t system_log(uint64_t pointer, uint64_t size)
{
	char *text = kernel_pages(KERNEL_LOG);
	int64_t result;

	if (!text)
		return -ENOMEM;
	result = (int64_t)log_read(text, size < KERNEL_LOG ? size : KERNEL_LOG);
	if (user_write(ua(pointer), text, (uint64_t)result))
		result = -EFAULT;
	kernel_pages_free(text, KERNEL_LOG);
	return result;
}

static int64_t call_system(const uint64_t *a)
{
	switch (a[0]) {
	case METAL_SYSTEM_REBOOT:
		power_reboot();
	case METAL_SYSTEM_POWER_OFF:
		power_off();
	case METAL_SYSTEM_LOG:
		return system_log(a[1], a[2]);
	case METAL_SYSTEM_TEST_EXIT:
		power_test_exit((uint32_t)a[1]);
	}
	return -EINVAL;
}

enum { ALL = 3, MACHINE = 2, MANAGER = 1 };

static const struct {
	call_function function;
	/* In its place: of a vcpu, whose id is the argument. */
	int64_t (*vcpu)(struct guest *guest, unsigned id);
	uint8_t who;
} calls[METAL_CALLS] = {
	[METAL_LOG] = {call_log, NULL, ALL},
	[METAL_EXIT] = {call_exit, NULL, ALL},
	[METAL_THREAD_CREATE] = {call_thread_create, NULL, ALL},
	[METAL_THREAD_EXIT] = {call_thread_exit, NULL, ALL},
	[METAL_WAIT] = {call_wait, NULL, ALL},
	[METAL_WAKE] = {call_wake, NULL, ALL},
	[METAL_MAP] = {call_map, NULL, ALL},
	[METAL_UNMAP] = {call_unmap, NULL, ALL},
	[METAL_MODULE] = {call_module, NULL, ALL},
	[METAL_NOTIFY] = {call_notify, NULL, ALL},
	[METAL_GUEST_MEMORY] = {call_guest_memory, NULL, MACHINE},
	[METAL_GUEST_MAP] = {call_guest_map, NULL, MACHINE},
	[METAL_VCPU_CREATE] = {call_vcpu_create, NULL, MACHINE},
	[METAL_VCPU_RUN] = {NULL, vcpu_run, MACHINE},
	[METAL_VCPU_KICK] = {NULL, vcpu_kick, MACHINE},
	[METAL_VCPU_STATE] = {NULL, vcpu_store, MACHINE},
	[METAL_APIC_MESSAGE] = {call_apic_message, NULL, MACHINE},
	[METAL_APIC_LINE] = {call_apic_line, NULL, MACHINE},
	[METAL_SWITCH_SEND] = {call_switch_send, NULL, MACHINE},
	[METAL_SWITCH_RECEIVE] = {call_switch_receive, NULL, MACHINE},
	[METAL_PROCESS_CREATE] = {call_process_create, NULL, MANAGER},
	[METAL_PROCESS_SET] = {call_process_set, NULL, MANAGER},
	[METAL_PROCESS_KILL] = {call_process_kill, NULL, MANAGER},
	[METAL_PROCESS_INFO] = {call_process_info, NULL, MANAGER},
	[METAL_CONSOLE] = {call_console, NULL, MANAGER},
	[METAL_SYSTEM] = {call_system, NULL, MANAGER},
};

/* call_entry.S, with interrupts off, on the thread's kernel stack. */
int64_t call_handle(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
	const uint64_t arguments[] = {a, b, c, d, e};
	const struct process *process = process_this();
	int64_t result = -ENOSYS;

	if (number < METAL_CALLS) {
		if (!(calls[number].who & (process->id ? MACHINE : MANAGER)))
			result = -EPERM;
		else if (!calls[number].vcpu)
			result = calls[number].function(arguments);
		else
			result = a < METAL_VCPUS_MAX
					 ? calls[number].vcpu(process->guest, (unsigned)a)
					 : -EINVAL;
	}
	user_return();
	return result;
}

void call_processor_init(void)
{
	/* sysret: data 8 above this, code 16. */
	uint64_t back = (SELECTOR_USER_DATA - 8) & 0xffff;

	msr_write(MSR_STAR, back << 48 | (uint64_t)SELECTOR_KERNEL_CODE << 32);
	msr_write(MSR_LSTAR, (uint64_t)call_entry);
	/* From 32-bit code, of which there is none: no segment of the GDT is for it. */
	msr_write(MSR_CSTAR, (uint64_t)call_entry);
	msr_write(MSR_SFMASK, FLAG_MASK);
	/* sysenter: a null selector, so #GP, whatever firmware has left there. */
	msr_write(MSR_SYSENTER_CS, 0);
	msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SCE);
	cpu_fpu_off();
}
