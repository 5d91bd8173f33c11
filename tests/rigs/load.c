/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load : what a guest does while it is saved and moved; linked statically, run by lodge.exec=. Says
 * a line for each step: its number, a CRC that depends on all steps before, and how far the other
 * processes are. Each of them notices what gets lost: one of memory, one of vector registers, a TCP
 * connection, the clock. A `q` on the console ends it, and the machine.
 *
 * load check : computes the same CRCs here, and compares them with the lines on standard input.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BLOCK	16384
#define BLOCKS	8 /* a step */
#define STILL	(4 << 20)
#define NUMBERS 512
#define PORT	7777
#define STEP_NS 20000000

typedef double vector __attribute__((vector_size(16)));

struct progress {
	_Atomic unsigned long sums, vectors;
};

static void broken(const char *what)
{
	printf("load: broken: %s\n", what);
	fflush(stdout);
	_exit(1);
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint32_t crc(uint32_t sum, const unsigned char *data, size_t length)
{
	static uint32_t table[256];

	for (uint32_t i = 0; !table[255] && i < 256; i++) {
		uint32_t entry = i;

		for (int bit = 0; bit < 8; bit++)
			entry = entry >> 1 ^ (entry & 1 ? 0xedb88320 : 0);
		table[i] = entry;
	}
	while (length--)
		sum = sum >> 8 ^ table[(sum ^ *data++) & 255];
	return sum;
}

static uint32_t step(uint64_t *state, uint32_t sum)
{
	static uint64_t block[BLOCK / 8];

	for (int i = 0; i < BLOCKS; i++) {
		for (size_t at = 0; at < BLOCK / 8; at++)
			block[at] = next(state);
		sum = crc(sum, (unsigned char *)block, BLOCK);
	}
	return sum;
}

/* Memory that nobody writes to must not change. */
static void sum_memory(struct progress *progress)
{
	unsigned char *still = malloc(STILL);
	uint64_t state = 99;
	uint32_t first;

	if (!still)
		broken("no memory");
	for (size_t at = 0; at < STILL; at += 8) {
		uint64_t value = next(&state);

		memcpy(still + at, &value, sizeof(value));
	}
	first = crc(0, still, STILL);
	for (;; progress->sums++)
		if (crc(0, still, STILL) != first)
			broken("memory has changed");
}

/* The same numbers, which live in vector registers, have the same result each time. */
static void compute(struct progress *progress)
{
	double first = 0;

	for (;; progress->vectors++) {
		vector a = {1.0, 2.0}, b = {0.5, 0.25}, c = {1e-9, -1e-9}, sum = {0, 0};

		for (int i = 0; i < NUMBERS * 1000; i++) {
			sum += a * b + c;
			a = a * 0.999 + b;
			b = b + c;
			c = -c;
		}
		if (progress->vectors == 0)
			first = sum[0] + sum[1];
		else if (sum[0] + sum[1] != first)
			broken("vector registers have changed");
	}
}

static int connected(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(PORT),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), to = socket(AF_INET, SOCK_STREAM, 0);
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (ioctl(listener, SIOCSIFFLAGS, &loopback) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1) ||
	    connect(to, (struct sockaddr *)&address, sizeof(address)))
		broken("no connection");
	if (fork() == 0) {
		int from = accept(listener, NULL, NULL);
		uint32_t word;

		while (read(from, &word, sizeof(word)) == sizeof(word))
			if (write(from, &word, sizeof(word)) != sizeof(word))
				break;
		broken("the connection has ended");
	}
	return to;
}

static void exchange(int to, uint32_t sum)
{
	uint32_t back = ~sum;

	if (write(to, &sum, sizeof(sum)) != sizeof(sum) ||
	    read(to, &back, sizeof(back)) != sizeof(back) || back != sum)
		broken("the connection lost something");
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void wait_for_step(void)
{
	int64_t before = now(), passed;

	nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
	passed = now() - before;
	if (passed < STEP_NS)
		broken("a timer was early, or the clock went back");
	if (passed > INT64_C(120000000000))
		broken("the clock jumped");
}

static void end_when_told(void)
{
	struct pollfd console = {.fd = 0, .events = POLLIN};
	char typed = 0;

	if (poll(&console, 1, 0) != 1 || read(0, &typed, 1) != 1 || typed != 'q')
		return;
	printf("load: ends\n");
	fflush(stdout);
	tcdrain(1);
	reboot(RB_POWER_OFF);
}

static void work(void)
{
	struct progress *progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct termios terminal;
	uint64_t state = 1;
	uint32_t sum = 0;
	int to = connected();

	if (!tcgetattr(0, &terminal)) {
		terminal.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(0, TCSANOW, &terminal);
	}
	if (fork() == 0)
		sum_memory(progress);
	if (fork() == 0)
		compute(progress);
	for (unsigned long i = 1;; i++) {
		sum = step(&state, sum);
		exchange(to, sum);
		wait_for_step();
		printf("load: step %lu %08x sums %lu vectors %lu\n", i, sum, progress->sums,
		       progress->vectors);
		fflush(stdout);
		end_when_told();
	}
}

/* Each step once, in order, with the right sum; nothing broken; the others got on. */
static int check(void)
{
	unsigned long steps = 0, number, sums = 0, vectors = 0, sums_first = 0, vectors_first = 0;
	uint64_t state = 1;
	uint32_t sum = 0, said;
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		if (strstr(line, "load: broken")) {
			fputs(line, stdout);
			return 1;
		}
		if (sscanf(line, "load: step %lu %x sums %lu vectors %lu", &number, &said, &sums,
			   &vectors) != 4)
			continue;
		sum = step(&state, sum);
		if (++steps != number || sum != said) {
			printf("step %lu with %08x expected: %s", steps, sum, line);
			return 1;
		}
		if (steps == 1)
			sums_first = sums, vectors_first = vectors;
	}
	printf("%lu steps, %lu sums, %lu vectors\n", steps, sums, vectors);
	return !(steps > 1 && sums > sums_first && vectors > vectors_first);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "check") == 0)
		return check();
	work();
	return 0;
}
