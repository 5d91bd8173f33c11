/* SPDX-License-Identifier: BSD-2-Clause */
#include "hosts/fake/fake.h"

#include <stdarg.h>

#include "core/vm.h"
#include "lib/bytes.h"
#include "lib/check.h"
#include "lib/format.h"
#include "lib/string.h"

/* The few things that a test program's C library must do for us; there are no system headers here.
 */
_Noreturn void abort(void);
void *aligned_alloc(size_t alignment, size_t size);
void free(void *memory);
long write(int file, const void *bytes, size_t size);
void *mmap(void *address, size_t size, int protection, int flags, int file, long offset);
int munmap(void *address, size_t size);

#define PAGE 4096
#define MAPPED_SIZE                                                                                \
	((size_t)16 << 20) /* from here on mmap, so that what is not touched costs nothing */
#define VMS_MAX	      8
#define LOG_SIZE      65536
#define LOCK_FREE     0x0f5eedbeefull
#define LOCK_HELD     0x10cedbeefull
#define STEPS_AT_ONCE 1000000

static uint64_t now = FAKE_START;
static struct request {
	struct vm *vm;
	uint64_t deadline;
} requests[VMS_MAX];
static unsigned wake_requests, notifications;
static void (*idle_hook)(struct vcpu *vcpu);
static void (*poll_hook)(struct vcpu *vcpu, uint64_t nanoseconds);
static bool crowded_host;
static char log_text[LOG_SIZE];
static size_t log_length;
static unsigned log_lines[LOG_DEBUG + 1];
static int memory_fails_after = -1;
static size_t memory_in_use;

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
	char text[512];
	size_t length =
		format(text, sizeof(text), "%s:%d: check failed: %s\n", file, line, condition);

	(void)!write(2, text, length < sizeof(text) ? length : sizeof(text) - 1);
	abort();
}

uint64_t host_now(void)
{
	return now;
}

uint64_t host_wall_clock(void)
{
	return FAKE_WALL_START + (now - FAKE_START);
}

uint64_t host_tsc_frequency(void)
{
	return FAKE_TSC_FREQUENCY;
}

uint64_t host_tsc(void)
{
	return now * (FAKE_TSC_FREQUENCY / 1000000000);
}

/* The vm's request; a new one if it has none yet. */
static struct request *request_of(const struct vm *vm)
{
	struct request *free_one = NULL;

	for (unsigned i = 0; i < VMS_MAX; i++) {
		if (requests[i].vm == vm)
			return &requests[i];
		if (!requests[i].vm && !free_one)
			free_one = &requests[i];
	}
	return free_one;
}

void host_wake_at(struct vm *vm, uint64_t deadline)
{
	struct request *request = request_of(vm);

	CHECK(request);
	CHECK(fake_lock_held(&vm->lock));
	*request = (struct request){deadline == UINT64_MAX ? NULL : vm, deadline};
	wake_requests++;
}

uint64_t fake_deadline(const struct vm *vm)
{
	const struct request *request = request_of(vm);

	return request && request->vm ? request->deadline : UINT64_MAX;
}

unsigned fake_wake_requests(void)
{
	return wake_requests;
}

/* The earliest request that is due by `limit`, or NULL. */
static struct request *request_due(uint64_t limit)
{
	struct request *first = NULL;

	for (unsigned i = 0; i < VMS_MAX; i++)
		if (requests[i].vm && requests[i].deadline <= limit &&
		    (!first || requests[i].deadline < first->deadline))
			first = &requests[i];
	return first;
}

static void advance_to(uint64_t target)
{
	struct request *request;
	unsigned steps = 0;

	while ((request = request_due(target))) {
		struct vm *vm = request->vm;

		CHECK(steps++ < STEPS_AT_ONCE); /* a timer that sets itself to now, for ever */
		if (request->deadline > now)
			now = request->deadline;
		request->vm = NULL;
		vm_lock(vm);
		timers_run(vm);
		vm_unlock(vm);
	}
	now = target;
}

void fake_advance(uint64_t nanoseconds)
{
	CHECK(nanoseconds <= UINT64_MAX - 1 - now);
	advance_to(now + nanoseconds);
}

void fake_on_idle(void (*idle)(struct vcpu *vcpu))
{
	idle_hook = idle;
}

void host_vcpu_wait(struct vcpu *vcpu, uint64_t deadline)
{
	const struct request *next = request_due(UINT64_MAX - 1);
	uint64_t until = next && next->deadline < deadline ? next->deadline : deadline;

	CHECK(!fake_lock_held(&vcpu->vm->lock));
	if (atomic_exchange(&vcpu->wake, 0))
		return;
	if (until != UINT64_MAX) {
		advance_to(until > now ? until : now);
		return;
	}
	if (idle_hook)
		idle_hook(vcpu);
	if (atomic_exchange(&vcpu->wake, 0))
		return;
	host_log(LOG_WARNING, "vcpu %u would wait for ever", vcpu->id);
	vm_stop(vcpu->vm, VM_KILLED, 0);
}

void fake_on_poll(void (*poll)(struct vcpu *vcpu, uint64_t nanoseconds))
{
	poll_hook = poll;
}

void fake_crowd(bool crowd)
{
	crowded_host = crowd;
}

/* Nothing comes from other threads in this world's time. */
bool host_poll(const _Atomic uint32_t *word, uint32_t bits, uint64_t nanoseconds, bool *crowded)
{
	*crowded = false;
	return atomic_load(word) & bits;
}

/* To the next deadline, or to the end of the time. */
bool host_vcpu_poll(struct vcpu *vcpu, uint32_t bits, uint64_t nanoseconds, bool *crowded)
{
	const struct request *next = request_due(now + nanoseconds);

	CHECK(!fake_lock_held(&vcpu->vm->lock));
	*crowded = crowded_host;
	if (crowded_host)
		return false;
	if (poll_hook)
		poll_hook(vcpu, nanoseconds);
	else
		advance_to(next && next->deadline > now ? next->deadline : now + nanoseconds);
	return atomic_load(&vcpu->pending) & bits;
}

void host_vcpu_wake(struct vcpu *vcpu)
{
	atomic_store(&vcpu->wake, 1);
}

void host_vm_notify(struct vm *vm)
{
	notifications++;
}

unsigned fake_notifications(void)
{
	return notifications;
}

/* There is one thread: to take a lock that is held would wait for ever. */
void host_lock_init(struct host_lock *lock)
{
	bytes_store64(lock->opaque, LOCK_FREE);
}

void host_lock(struct host_lock *lock)
{
	CHECK(bytes_load64(lock->opaque) == LOCK_FREE);
	bytes_store64(lock->opaque, LOCK_HELD);
}

void host_unlock(struct host_lock *lock)
{
	CHECK(bytes_load64(lock->opaque) == LOCK_HELD);
	bytes_store64(lock->opaque, LOCK_FREE);
}

bool fake_lock_held(const struct host_lock *lock)
{
	return bytes_load64(lock->opaque) == LOCK_HELD;
}

void fake_memory_fails(int after)
{
	memory_fails_after = after;
}

size_t fake_memory_in_use(void)
{
	return memory_in_use;
}

void *host_pages(size_t size)
{
	size_t rounded = (size + PAGE - 1) / PAGE * PAGE;
	void *pages;

	if (memory_fails_after == 0)
		return NULL;
	if (memory_fails_after > 0)
		memory_fails_after--;
	if (rounded >= MAPPED_SIZE) {
		/* read and write; private, anonymous, without reserve */
		pages = mmap(NULL, rounded, 3, 0x4022, -1, 0);
		pages = pages == (void *)-1 ? NULL : pages;
	} else {
		pages = aligned_alloc(PAGE, rounded);
		if (pages)
			bytes_fill(pages, 0, rounded);
	}
	if (pages)
		memory_in_use += rounded;
	return pages;
}

void host_pages_free(void *pages, size_t size)
{
	size_t rounded = (size + PAGE - 1) / PAGE * PAGE;

	if (!pages)
		return;
	memory_in_use -= rounded;
	if (rounded >= MAPPED_SIZE)
		munmap(pages, rounded);
	else
		free(pages);
}

void *host_guest_memory(size_t size, int *handle)
{
	*handle = -1;
	return host_pages(size);
}

void host_guest_memory_free(void *memory, size_t size, int handle)
{
	CHECK(handle == -1);
	host_pages_free(memory, size);
}

int host_guest_memory_discard(void *memory, int handle, uint64_t offset, uint64_t length)
{
	CHECK(offset % 4096 == 0 && length % 4096 == 0);
	bytes_fill((uint8_t *)memory + offset, 0, length);
	return 0;
}

/* The same bytes in each run of a test: xorshift64. */
void host_random(void *bytes, size_t size)
{
	static uint64_t state = 0x9e3779b97f4a7c15;
	uint8_t *to = bytes;

	for (size_t i = 0; i < size; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		to[i] = (uint8_t)(state >> 32);
	}
}

void host_log(enum host_log_level level, const char *text, ...)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	char line[1024];
	size_t length = format(line, sizeof(line), "%s: ", names[level]);
	va_list arguments;

	va_start(arguments, text);
	vformat(line + length, sizeof(line) - length - 1, text, arguments);
	va_end(arguments);
	length = string_length(line);
	line[length++] = '\n';
	if (log_length + length >= LOG_SIZE) {
		log_length /= 2;
		bytes_move(log_text, log_text + LOG_SIZE - log_length - 1, log_length);
	}
	bytes_copy(log_text + log_length, line, length);
	log_length += length;
	log_text[log_length] = '\0';
	log_lines[level]++;
}

const char *fake_log(void)
{
	return log_text;
}

void fake_log_clear(void)
{
	log_length = 0;
	log_text[0] = '\0';
	bytes_fill(log_lines, 0, sizeof(log_lines));
}

unsigned fake_log_count(enum host_log_level level)
{
	return log_lines[level];
}
