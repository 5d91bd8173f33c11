/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes from METAL_PROCESS_CREATE to METAL_PROCESS_KILL.
 *
 * The end. Whoever ends a process (a call of its own, its crash, the manager) sets `ending` and
 * wakes all its threads; each leaves whatever it does in the kernel or in a guest and ends by
 * itself, paused, capped or not (queue.c lets it). So no lock or page is left behind by a thread
 * that was cut short. The reaper, a thread of the kernel, destroys dead threads, and with the last
 * one gives back all that the process had; METAL_EVENT_CHILD tells the manager. The id stays taken,
 * with the last figures, until METAL_PROCESS_KILL.
 *
 * Every page that a process can reach is owned by it, but for the program's text and constants,
 * modules, and its channel, which are the kernel's; the channel goes with the id.
 *
 * The table has a slot for each id. A slot's memory is made once and stays, so that whoever finds a
 * process by its id needs no other lock than the process's own to see whether it is there.
 */
#include "kernel/process.h"

#include <stddef.h>

#include "kernel/boot.h"
#include "kernel/guest.h"
#include "kernel/log.h"
#include "kernel/mapping.h"
#include "kernel/page.h"
#include "kernel/random.h"
#include "kernel/schedule.h"
#include "kernel/serial.h"
#include "kernel/switch.h"
#include "kernel/trap.h"
#include "lib/bits.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/error.h"
#include "lib/string.h"

#define MANAGER_WEIGHT 1000
#define WEIGHT_MAX     10000
#define CAP_MAX	       (100 * CPUS_MAX)
#define SWITCH_MAX     255
enum { FAULT_PRESENT = 1, FAULT_WRITE = 2, FAULT_FETCH = 16 };

static struct lock table_lock;
static struct process *_Atomic table[PROCESSES_MAX];

static struct thread *reaper;
static struct thread *_Atomic dead; /* by `next` */

static struct process *manager(void)
{
	return table[0];
}

void process_event(struct process *process, uint32_t bits)
{
	atomic_fetch_or(&process->start->events, bits);
	wake_direct(&process->start->events);
}

static void serial_changed(unsigned event)
{
	process_event(manager(), event);
}

/* Whoever has this id, with its lock held; NULL: nobody that METAL_PROCESS_CREATE has finished. */
static struct process *process_take(uint64_t id)
{
	struct process *process = id < PROCESSES_MAX ? table[id] : NULL;

	if (!process)
		return NULL;
	lock_take(&process->lock);
	if (process->place == PROCESS_ALIVE || process->place == PROCESS_ENDED)
		return process;
	lock_drop(&process->lock);
	return NULL;
}

/*
 * The end
 */

static void say_end(const struct process *process)
{
	if (process->state == METAL_PROCESS_CRASHED)
		log_line("%s (process %u) crashed: exception %u at rip 0x%llx, address 0x%llx",
			 process->name, process->id, (unsigned)process->code,
			 (unsigned long long)process->fault_rip,
			 (unsigned long long)process->fault_address);
	else if (process->state == METAL_PROCESS_KILLED)
		log_line("%s (process %u) was killed", process->name, process->id);
	else
		log_line("%s (process %u) ended with code %llu", process->name, process->id,
			 (unsigned long long)process->code);
}

/* With its lock held; once. */
static void end(struct process *process, uint32_t state, uint64_t code)
{
	process->state = state;
	process->code = code;
	process->ending = true;
	say_end(process);
	if (process == manager())
		panic(NULL, "the manager has ended");
	if (process->first) {
		thread_start(process->first);
		process->first = NULL;
	}
	for (struct thread *thread = process->threads; thread; thread = thread->sibling) {
		thread_wake(thread);
		thread_nudge(thread);
	}
}

static _Noreturn void end_this(uint32_t state, uint64_t code, uint64_t rip, uint64_t address)
{
	struct process *process = process_this();

	lock_take(&process->lock);
	if (!process->ending) {
		process->fault_rip = rip;
		process->fault_address = address;
		end(process, state, code);
	}
	lock_drop(&process->lock);
	thread_end();
}

void process_exit(uint64_t code)
{
	end_this(METAL_PROCESS_EXITED, code, 0, 0);
}

static void count(struct process *process, struct metal_process_info *info)
{
	*info = (struct metal_process_info){0};
	bytes_copy(info->name, process->name, sizeof(info->name));
	info->state = process->state;
	info->code = process->code;
	info->rip = process->fault_rip;
	info->address = process->fault_address;
	info->set = process->set;
	info->time = process->used;
	for (struct thread *thread = process->threads; thread; thread = thread->sibling)
		info->time += thread_time(thread);
	info->memory = process_memory(process);
	if (process->guest) {
		info->guest_memory = process->guest->size;
		guest_count(process->guest, info);
	}
	if (process->port)
		switch_count(process->port, info);
}

/* Gives back all that it has but its channel and its slot. No thread of its is left, or ever was.
 */
static void release(struct process *process)
{
	unsigned owner = process_owner(process);
	struct metal_start *start = process->start;
	struct switch_port *port = process->port;
	struct guest *guest = process->guest;

	lock_take(&process->lock);
	process->port = NULL;
	lock_drop(&process->lock);
	/* The start page goes when nobody's event may come any more: the switch's, or
	 * METAL_NOTIFY's. */
	if (port)
		switch_port_destroy(port);
	lock_take(&process->lock);
	process->start = NULL;
	process->guest = NULL;
	lock_drop(&process->lock);
	schedule_unload(process);
	if (process->root.value)
		mapping_release(process);
	if (guest)
		guest_destroy(guest);
	for (unsigned i = 0; i < METAL_VCPUS_MAX; i++)
		if (process->vcpu_page[i].value)
			frame_free(process->vcpu_page[i], owner);
	bytes_fill(process->vcpu_page, 0, sizeof(process->vcpu_page));
	if (start)
		frame_free(direct_pa(start), owner);
	if (process->root.value)
		page_tree_destroy(process->root, owner);
	process->root = pa(0);
	schedule_process_done(process);
	CHECK(frame_owned(owner) == 0);
}

/* Its last thread has gone. */
static void finish(struct process *process)
{
	struct thread *killer;

	lock_take(&process->lock);
	if (!process->ending)
		end(process, METAL_PROCESS_EXITED, 0);
	count(process, &process->last);
	process->last.memory = 0;
	process->counted = true;
	lock_drop(&process->lock);
	release(process);
	lock_take(&process->lock);
	process->place = PROCESS_ENDED;
	killer = process->killer;
	if (killer)
		thread_wake(killer);
	lock_drop(&process->lock);
	process_event(manager(), METAL_EVENT_CHILD);
}

static void reap(struct thread *thread)
{
	struct process *process = thread->process;
	bool last = false;

	if (process) {
		struct thread **place = &process->threads;

		lock_take(&process->lock);
		while (*place != thread)
			place = &(*place)->sibling;
		*place = thread->sibling;
		process->used += thread->used;
		last = --process->thread_count == 0;
		lock_drop(&process->lock);
	}
	thread_destroy(thread);
	if (last)
		finish(process);
}

static void reaper_run(void)
{
	for (;;) {
		struct thread *thread = atomic_exchange(&dead, NULL);

		if (!thread)
			thread_block(TIMER_NEVER);
		while (thread) {
			struct thread *next = thread->next;

			reap(thread);
			thread = next;
			schedule_point();
		}
	}
}

void process_reap(struct thread *thread)
{
	struct thread *first = dead;

	do
		thread->next = first;
	while (!atomic_compare_exchange_weak(&dead, &first, thread));
	thread_wake(reaper);
}

/*
 * The beginning
 */

static struct process *slot_take(void)
{
	struct process *process = NULL;

	lock_take(&table_lock);
	for (unsigned i = 0; i < PROCESSES_MAX && !process; i++) {
		struct process *slot = table[i];

		if (!slot) {
			slot = kernel_pages(sizeof(*slot));
			if (!slot)
				break;
			slot->id = i;
			table[i] = slot;
		}
		lock_take(&slot->lock);
		if (slot->place == PROCESS_FREE) {
			slot->place = PROCESS_MADE;
			process = slot;
		}
		lock_drop(&slot->lock);
	}
	lock_drop(&table_lock);
	return process;
}

/* What one process left is no other's. */
static void slot_clear(struct process *process)
{
	bytes_fill(&process->state, 0, sizeof(*process) - offsetof(struct process, state));
}

static void add_thread(struct process *process, struct thread *thread)
{
	thread->id = process->threads_made++;
	thread->sibling = process->threads;
	process->threads = thread;
	process->thread_count++;
}

static void fill_start(struct process *process)
{
	struct metal_start *start = process->start;

	start->process = process->id;
	start->processors = cpu_count();
	start->modules = boot_information.module_count;
	start->tsc_frequency = kernel_clock.tsc_frequency;
	start->tsc_zero = kernel_clock.tsc_zero;
	start->wall_zero = kernel_clock.wall_zero;
	start->memory = frames_total();
	random_bytes(start->seed);
}

/* An address space with a program, a start page and a first thread. Nobody else knows it yet. */
static int build(struct process *process, const struct program *program)
{
	unsigned owner = process_owner(process);
	pa_t page;
	int error = schedule_process_init(process);

	if (error)
		return error;
	process->root = page_tree_create(owner);
	if (!process->root.value)
		return -ENOMEM;
	page = process_page(process);
	if (!page.value)
		return -ENOMEM;
	process->start = direct(page);
	fill_start(process);
	error = page_map(process->root, METAL_START_ADDRESS, page, PAGE_SIZE,
			 PAGE_MAP_WRITE | PAGE_MAP_USER, owner);
	if (!error)
		error = program_load(process, program);
	if (error)
		return error;
	process->first = thread_create(process, program->entry, 0, 0);
	if (!process->first)
		return -ENOMEM;
	add_thread(process, process->first);
	return 0;
}

/* The same pages in the machine and the manager: where in the manager, or an error with a part
 * done. */
static int64_t build_channel(struct process *process)
{
	struct process *own = manager();
	const unsigned rights = PAGE_MAP_WRITE | PAGE_MAP_USER;
	int64_t address;
	int error;

	process->channel = kernel_pages(METAL_CHANNEL_SIZE);
	if (!process->channel)
		return -ENOMEM;
	error = page_map(process->root, METAL_CHANNEL_ADDRESS, direct_pa(process->channel),
			 METAL_CHANNEL_SIZE, rights, process_owner(process));
	if (error)
		return error;
	lock_take(&own->lock);
	address = mapping_add(own, METAL_CHANNEL_SIZE, MAPPING_CHANNEL, process->id);
	if (address > 0)
		error = page_map(own->root, (uint64_t)address, direct_pa(process->channel),
				 METAL_CHANNEL_SIZE, rights, process_owner(own));
	lock_drop(&own->lock);
	if (error)
		mapping_remove(own, (uint64_t)address, METAL_CHANNEL_SIZE, MAPPING_CHANNEL);
	return error ? error : address;
}

/* All is given back but the channel, which is at this address in the manager (0: nowhere). */
static void slot_free(struct process *process, uint64_t channel)
{
	if (channel)
		mapping_remove(manager(), channel, METAL_CHANNEL_SIZE, MAPPING_CHANNEL);
	if (process->channel)
		kernel_pages_free(process->channel, METAL_CHANNEL_SIZE);
	lock_take(&process->lock);
	process->place = PROCESS_FREE;
	lock_drop(&process->lock);
}

/* Never started, or not even built. */
static void destroy_unbuilt(struct process *process)
{
	if (process->first)
		thread_destroy(process->first);
	process->first = process->threads = NULL;
	process->thread_count = 0;
	release(process);
	slot_free(process, 0);
}

static bool set_valid(const struct metal_process_set *set)
{
	return set->start <= 1 && set->paused <= 1 && set->weight >= 1 &&
	       set->weight <= WEIGHT_MAX && set->cap <= CAP_MAX &&
	       (set->processors & bits_mask(cpu_count()));
}

static bool config_valid(const struct metal_process_config *config)
{
	size_t length = string_length_limited(config->name, METAL_NAME_MAX);

	if (!length || length == METAL_NAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if (config->name[i] < ' ' || config->name[i] > '~')
			return false;
	/* An address of one station (IEEE 802), if there is a switch. */
	if (config->switch_number > SWITCH_MAX || (config->switch_number && (config->mac[0] & 1)))
		return false;
	return config->guest_memory && is_aligned(config->guest_memory, LARGE_SIZE) &&
	       config->vcpus >= 1 && config->vcpus <= METAL_VCPUS_MAX && set_valid(&config->set);
}

int64_t process_create(struct metal_process_config *config)
{
	struct process *process;
	int64_t channel = 0;
	int error;

	if (!config_valid(config))
		return -EINVAL;
	process = slot_take();
	if (!process)
		return -EAGAIN;
	slot_clear(process);
	config->set.start = 0;
	config->channel = 0;
	process->config = *config;
	process->set = config->set;
	bytes_copy(process->name, config->name, sizeof(process->name));
	error = build(process, &program_machine);
	if (!error)
		error = guest_create(&process->guest, process, config->guest_memory, config->vcpus);
	if (!error && config->switch_number) {
		process->port = switch_port_create(process, config->switch_number);
		error = process->port ? 0 : -ENOMEM;
	}
	if (!error) {
		channel = build_channel(process);
		error = channel < 0 ? (int)channel : 0;
	}
	if (error) {
		destroy_unbuilt(process);
		return error;
	}
	config->channel = process->config.channel = (uint64_t)channel;
	lock_take(&process->lock);
	process->place = PROCESS_ALIVE;
	lock_drop(&process->lock);
	return process->id;
}

static int start_manager(struct process *process)
{
	int error;

	string_copy(process->name, sizeof(process->name), "manager");
	process->config.modules = process->config.memory_max = UINT64_MAX;
	process->set = (struct metal_process_set){
		.start = 1, .weight = MANAGER_WEIGHT, .processors = UINT64_MAX};
	error = build(process, &program_manager);
	if (error)
		return error;
	process->place = PROCESS_ALIVE;
	process->state = METAL_PROCESS_RUNNING;
	serial_event = serial_changed;
	thread_start(reaper);
	thread_start(process->first);
	process->first = NULL;
	return 0;
}

void process_start_manager(void)
{
	struct process *process;
	int error = -ENOMEM;

	reaper = thread_create(NULL, (uint64_t)reaper_run, 0, 0);
	process = slot_take();
	if (reaper && process)
		error = start_manager(process);
	if (error)
		panic(NULL, "the manager can not be started: error %d", -error);
}

/*
 * Calls
 */

int64_t process_thread_create(uint64_t entry, uint64_t stack, uint64_t argument)
{
	struct process *process = process_this();
	struct thread *thread = thread_create(process, entry, stack, argument);
	int64_t result = -EAGAIN;

	if (!thread)
		return -ENOMEM;
	lock_take(&process->lock);
	if (process_memory(process) >= process->config.memory_max)
		result = -ENOMEM;
	else if (!process->ending && process->thread_count < THREADS_MAX) {
		add_thread(process, thread);
		result = thread->id;
		thread_start(thread);
	}
	lock_drop(&process->lock);
	if (result < 0)
		thread_destroy(thread);
	return result;
}

int64_t process_set(uint64_t id, const struct metal_process_set *set)
{
	struct process *process;
	int64_t result = -ENOENT;

	if (!id || !set_valid(set))
		return -EINVAL;
	process = process_take(id);
	if (!process)
		return -ENOENT;
	if (process->place == PROCESS_ALIVE && !process->ending) {
		process->set = *set;
		process->set.start = process->state != METAL_PROCESS_NEW || set->start;
		if (set->start && process->first) {
			process->state = METAL_PROCESS_RUNNING;
			thread_start(process->first);
			process->first = NULL;
		}
		schedule_process_changed(process);
		result = 0;
	}
	lock_drop(&process->lock);
	return result;
}

int64_t process_kill(uint64_t id)
{
	struct process *process = process_take(id);

	if (!id || !process || process->killer) {
		if (process)
			lock_drop(&process->lock);
		return !id ? -EINVAL : process ? -EBUSY : -ENOENT;
	}
	process->killer = thread_this();
	if (!process->ending)
		end(process, METAL_PROCESS_KILLED, 0);
	while (process->place != PROCESS_ENDED) {
		lock_drop(&process->lock);
		thread_block(TIMER_NEVER);
		lock_take(&process->lock);
	}
	process->place = PROCESS_KILLED;
	lock_drop(&process->lock);
	slot_free(process, process->config.channel);
	return 0;
}

int64_t process_info(uint64_t id, struct metal_process_info *info)
{
	struct process *process = process_take(id);

	if (!process)
		return -ENOENT;
	if (process->counted)
		*info = process->last;
	else
		count(process, info);
	if (!id) {
		info->memory_kernel = frame_owned(OWNER_KERNEL);
		info->memory_free = frames_free();
	}
	lock_drop(&process->lock);
	return 0;
}

int64_t process_notify(uint64_t id, uint32_t bits)
{
	struct process *own = process_this(), *process;

	/* Machines know nothing of each other. */
	if (own->id && id)
		return -EPERM;
	process = process_take(id);
	if (!process)
		return -ENOENT;
	if (process->start)
		process_event(process, bits);
	lock_drop(&process->lock);
	return 0;
}

/*
 * What trap.c calls
 */

void user_fault(struct trap_frame *frame, uint64_t address)
{
	struct process *process = process_this();
	bool no_memory = false, there = false;

	/* What is executable is there from the start, and no page's rights grow. */
	if (frame->vector == EXCEPTION_PAGE && !(frame->error & (FAULT_PRESENT | FAULT_FETCH))) {
		lock_take(&process->lock);
		there = mapping_touch(process, address, frame->error & FAULT_WRITE, &no_memory);
		lock_drop(&process->lock);
	}
	if (no_memory)
		log_line("%s (process %u) has used all its memory", process->name, process->id);
	if (!there)
		end_this(METAL_PROCESS_CRASHED, frame->vector, frame->rip, address);
	user_return();
}

void user_return(void)
{
	for (;;) {
		if (thread_must_end())
			thread_end();
		if (!cpu_this()->reschedule)
			return;
		schedule();
	}
}
