/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs in a guest: stress SECONDS. All kinds of work at once that are hard on an engine, for so
 * long: processes and threads that come and go, mappings, code that is written and run, signals,
 * futexes, files, vectors. Each worker knows what it must find, and looks. Says how often each has
 * gone round; status 0 if nobody found anything wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u

struct shared {
	_Atomic unsigned long rounds[16];
	_Atomic unsigned long scratch;
	_Atomic unsigned failures;
};
static struct shared *shared;
static const char *worker_name = "stress", *program;
static double end;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
	va_list arguments;
	char line[200];

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	printf("stress: %s: %s (errno %d)\n", worker_name, line, errno);
	fflush(stdout);
	atomic_fetch_add(&shared->failures, 1);
	_exit(1);
}
#define NEED(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			wrong("line %d: %s", __LINE__, #condition);                                \
	} while (0)

static uint64_t random_state;
static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return (random_state ^= random_state << 17) * 0x2545f4914f6cdd1d;
}

static uint64_t mix(uint64_t value)
{
	return (value ^ value >> 29) * 0xbf58476d1ce4e5b9;
}

/* Processes: a tree of them, each of which leaves its mark and a status. */
static int tree(unsigned depth)
{
	int sum = 1;

	for (unsigned i = 0; depth && i < 3; i++) {
		pid_t child = fork();
		int status;

		NEED(child >= 0);
		if (!child)
			_exit(tree(depth - 1));
		atomic_fetch_add(&shared->scratch, 1);
		NEED(waitpid(child, &status, 0) == child && WIFEXITED(status));
		sum += WEXITSTATUS(status);
	}
	return sum;
}

static void round_fork(void)
{
	NEED(tree(3) == 1 + 3 + 9 + 27);
}

static void round_exec(void)
{
	unsigned code = (unsigned)random64() & 63;
	char text[16];
	pid_t child;
	int status;

	snprintf(text, sizeof(text), "%u", code);
	child = fork();
	NEED(child >= 0);
	if (!child) {
		execl(program, program, "--exit", text, NULL);
		_exit(255);
	}
	NEED(waitpid(child, &status, 0) == child && WIFEXITED(status));
	NEED(WEXITSTATUS(status) == (int)(code ^ 21));
}

/* Mappings: made, filled, moved, protected, emptied and thrown away. */
static sigjmp_buf back;
static void jump_back(int number)
{
	siglongjmp(back, 1);
}

static bool faults(volatile uint64_t *at, bool write)
{
	if (sigsetjmp(back, 1))
		return true;
	if (write)
		*at = 1;
	else
		(void)*at;
	return false;
}

static void round_map(void)
{
	size_t pages = 1 + random64() % 300, size = pages * PAGE;
	uint64_t seed = random64(), *at, *moved;
	size_t some = (random64() % pages) * PAGE / 8;

	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(at != MAP_FAILED);
	for (size_t i = 0; i < size / 8; i += 64)
		at[i] += mix(seed + i); /* they were zero */
	NEED(mprotect(at, size, PROT_READ) == 0);
	NEED(faults(at + some, true) && !faults(at + some, false));
	moved = mremap(at, size, size + PAGE, MREMAP_MAYMOVE);
	NEED(moved != MAP_FAILED);
	for (size_t i = 0; i < size / 8; i += 64)
		NEED(moved[i] == mix(seed + i));
	NEED(mprotect(moved, size, PROT_READ | PROT_WRITE) == 0);
	NEED(madvise((uint8_t *)moved + some / 512 * PAGE, PAGE, MADV_DONTNEED) == 0);
	NEED(moved[some / 512 * 512] == 0);
	NEED(munmap(moved, size + PAGE) == 0);
	NEED(faults(moved + some, false));
}

/* Code: mov $number, %eax; ret. Written through an alias, by turns with mprotect, and under the
 * feet of another thread. */
static const uint8_t code_tail[] = {0xc3};
typedef uint32_t function(void);

static void put_function(uint8_t *at, uint32_t number)
{
	at[0] = 0xb8;
	memcpy(at + 1, &number, 4);
	memcpy(at + 5, code_tail, sizeof(code_tail));
}

static uint32_t call(const void *at)
{
	return ((function *)(uintptr_t)at)();
}

static void round_code(void)
{
	int file = memfd_create("code", 0);
	uint8_t *alias, *run;

	NEED(file >= 0 && ftruncate(file, 2 * PAGE) == 0);
	alias = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	run = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
	NEED(alias != MAP_FAILED && run != MAP_FAILED);
	close(file);
	for (unsigned i = 0; i < 200; i++) {
		uint32_t number = (uint32_t)random64();
		size_t offset = random64() % (2 * PAGE - 8);

		put_function(alias + offset, number);
		NEED(call(run + offset) == number);
		if (i % 8)
			continue;
		NEED(mprotect(run, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
		put_function(run + offset, ~number);
		NEED(mprotect(run, 2 * PAGE, PROT_READ | PROT_EXEC) == 0);
		NEED(call(run + offset) == ~number);
	}
	munmap(alias, 2 * PAGE);
	munmap(run, 2 * PAGE);
}

/* The number is aligned, so that it changes at once; what is seen never goes back. */
static struct cross {
	uint8_t *write, *run;
	_Atomic uint32_t published;
	_Atomic bool stop;
} cross;

static void *cross_caller(void *nothing)
{
	uint32_t last = 0;

	while (!atomic_load(&cross.stop)) {
		uint32_t seen = call(cross.run);

		NEED(seen >= last && seen <= atomic_load(&cross.published) + 1);
		last = seen;
	}
	return NULL;
}

static void round_cross(void)
{
	uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	NEED(page != MAP_FAILED);
	cross.write = page + 67, cross.run = page + 67; /* the number is at 68 */
	atomic_store(&cross.published, 0);
	atomic_store(&cross.stop, false);
	put_function(cross.write, 0);
	NEED(pthread_create(&thread, NULL, cross_caller, NULL) == 0);
	for (uint32_t i = 1; i <= 300; i++) {
		__atomic_store_n((uint32_t *)(void *)(cross.write + 1), i, __ATOMIC_SEQ_CST);
		atomic_store(&cross.published, i);
		NEED(call(cross.run) == i);
		if (i % 32 == 0)
			sched_yield();
	}
	atomic_store(&cross.stop, true);
	pthread_join(thread, NULL);
	munmap(page, PAGE);
}

/* Signals: a timer that comes in the middle of arithmetic, whose state must be kept. */
static volatile unsigned ticks;
static void tick(int number)
{
	volatile double spoil = (double)number;

	for (unsigned i = 0; i < 20; i++)
		spoil = spoil * 1.5 + 1;
	ticks++;
}

static uint64_t compute(double sums[8], bool signals)
{
	uint64_t hash = 1;

	for (unsigned i = 0; i < 400000; i++) {
		for (unsigned j = 0; j < 8; j++)
			sums[j] += (double)((i + j) & 1023);
		hash = mix(hash + i);
		if (signals && i % 1000 == 0)
			raise(SIGUSR1);
	}
	return hash;
}

static void round_signal(void)
{
	struct itimerval timer = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
	double sums[8] = {0}, again[8] = {0};
	uint64_t hash;

	signal(SIGALRM, tick);
	setitimer(ITIMER_REAL, &timer, NULL);
	hash = compute(sums, true);
	setitimer(ITIMER_REAL, &off, NULL);
	NEED(compute(again, false) == hash && !memcmp(sums, again, sizeof(sums)));
}

/* Threads: a lock that is fought for, and a token that goes round. */
static struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned long counter, unlocked;
	unsigned turn;
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
#define THREADS 4u
#define TURNS	60u

static void *ring_thread(void *pointer)
{
	unsigned self = (unsigned)(uintptr_t)pointer;

	for (unsigned i = 0; i < 500; i++) {
		pthread_mutex_lock(&ring.lock);
		ring.counter++;
		pthread_mutex_unlock(&ring.lock);
		__atomic_fetch_add(&ring.unlocked, 1, __ATOMIC_SEQ_CST);
	}
	for (unsigned i = 0; i < TURNS; i++) {
		pthread_mutex_lock(&ring.lock);
		while (ring.turn % THREADS != self)
			pthread_cond_wait(&ring.changed, &ring.lock);
		ring.turn++;
		pthread_cond_broadcast(&ring.changed);
		pthread_mutex_unlock(&ring.lock);
	}
	return NULL;
}

static void round_thread(void)
{
	pthread_t threads[THREADS];

	ring.counter = ring.unlocked = ring.turn = 0;
	for (unsigned i = 0; i < THREADS; i++)
		NEED(!pthread_create(&threads[i], NULL, ring_thread, (void *)(uintptr_t)i));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	NEED(ring.counter == THREADS * 500 && ring.unlocked == THREADS * 500);
	NEED(ring.turn == THREADS * TURNS);
}

/* Files and sockets: what goes in comes out. */
static void round_file(void)
{
	char name[64], other[80];
	uint64_t words[1024], seed = random64(), got[1024];
	int file, pair[2];
	pid_t child;

	snprintf(name, sizeof(name), "/tmp/stress.%d", (int)getpid());
	snprintf(other, sizeof(other), "%s.moved", name);
	for (unsigned i = 0; i < 1024; i++)
		words[i] = mix(seed + i);
	file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	NEED(file >= 0);
	for (unsigned i = 0; i < 16; i++)
		NEED(write(file, words, sizeof(words)) == (ssize_t)sizeof(words));
	NEED(rename(name, other) == 0);
	for (unsigned i = 0; i < 16; i++) {
		NEED(pread(file, got, sizeof(got), (off_t)(i * sizeof(got))) ==
		     (ssize_t)sizeof(got));
		NEED(!memcmp(got, words, sizeof(got)));
	}
	NEED(unlink(other) == 0);
	close(file);
	NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	child = fork();
	NEED(child >= 0);
	if (!child) {
		close(pair[0]);
		for (unsigned i = 0; i < 8; i++)
			if (write(pair[1], words, sizeof(words)) != (ssize_t)sizeof(words))
				_exit(1);
		_exit(0);
	}
	close(pair[1]);
	for (unsigned i = 0; i < 8; i++) {
		NEED(recv(pair[0], got, sizeof(got), MSG_WAITALL) == (ssize_t)sizeof(got));
		NEED(!memcmp(got, words, sizeof(got)));
	}
	close(pair[0]);
	NEED(waitpid(child, NULL, 0) == child);
}

/* Workers */

static const struct worker {
	const char *name;
	void (*round)(void);
} workers[] = {
	{"fork", round_fork},	  {"exec", round_exec},	       {"map", round_map},
	{"code", round_code},	  {"cross code", round_cross}, {"signal", round_signal},
	{"thread", round_thread}, {"file", round_file},
};
#define WORKERS (sizeof(workers) / sizeof(workers[0]))

static void ignore(int number)
{
}

static void work(unsigned number)
{
	worker_name = workers[number].name;
	random_state = (uint64_t)getpid() * 0x9e3779b97f4a7c15 | 1;
	signal(SIGSEGV, jump_back);
	signal(SIGUSR1, ignore);
	while (now() < end) {
		workers[number].round();
		atomic_fetch_add(&shared->rounds[number], 1);
	}
	_exit(0);
}

/* What the guest's kernel may have noticed. */
static bool kernel_is_well(void)
{
	static const char *const words[] = {
		"BUG:",	       "WARNING:",  "Oops",	 "general protection",
		"soft lockup", "rcu_sched", "Call Trace"};
	static char log[1 << 18];
	int size = klogctl(3, log, sizeof(log) - 1);

	if (size < 0)
		return true; /* not ours to read */
	log[size] = 0;
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *at = strstr(log, words[i]);

		if (at) {
			printf("stress: the kernel says: %.100s\n", at);
			return false;
		}
	}
	return true;
}

int main(int count, char **arguments)
{
	double seconds = count > 1 ? atof(arguments[1]) : 10;
	bool well = true;

	if (count == 3 && !strcmp(arguments[1], "--exit"))
		return atoi(arguments[2]) ^ 21;
	program = arguments[0];
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 2;
	end = now() + seconds;
	for (unsigned i = 0; i < WORKERS; i++) {
		pid_t child = fork();

		if (child < 0)
			return 2;
		if (!child)
			work(i);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		int status;

		if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
			printf("stress: a worker ended with status 0x%x\n", (unsigned)status);
			well = false;
		}
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		printf("stress: %s: %lu rounds\n", workers[i].name, shared->rounds[i]);
		well &= shared->rounds[i] > 0;
	}
	well &= kernel_is_well() && !shared->failures;
	printf("stress: %s\n", well ? "all is well" : "something is wrong");
	return !well;
}
