/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load : what a guest does while it is saved and moved; linked statically, run by lodge.exec=. Says
 * a line for each step: its number, a CRC that depends on all steps before, and how far the other
 * processes are. Each of them notices what gets lost: one of memory, one of vector registers, a TCP
 * connection, the clock, a disk that is written to all the time. A `q` on the console ends it, and
 * the machine. With ADDRESS PORT as its words, one more has a connection to there.
 *
 * load check DISK : computes the same CRCs here, and compares them with the lines on standard
 * input; each block that these say was written must be on the disk.
 *
 * load answer PORT : sends what the first that connects to this port of the loopback interface says
 * back to it.
 *
 * load ask SOCKET COMMAND : asks a machine's control socket, and prints what it answers within two
 * seconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BLOCK	16384
#define BLOCKS	8 /* a step */
#define STILL	(4 << 20)
#define NUMBERS 512
#define PORT	7777
#define STEP_NS 20000000
#define SECTORS 4096 /* bytes of a block on the disk */
#define SLOTS	512  /* where block N is: at N % SLOTS */
#define DISK	"/dev/vda"

typedef double vector __attribute__((vector_size(16)));

struct progress {
	_Atomic unsigned long sums, vectors, blocks, answers;
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

static void fill_block(uint64_t block[SECTORS / 8], uint64_t number)
{
	uint64_t state = number * 0x9e3779b97f4a7c15;

	block[0] = number;
	for (size_t at = 1; at < SECTORS / 8; at++)
		block[at] = next(&state);
}

static bool is_block(const uint64_t block[SECTORS / 8], uint64_t number)
{
	uint64_t right[SECTORS / 8];

	fill_block(right, number);
	return number && !memcmp(block, right, SECTORS);
}

static void disk_failed(const char *what, uint64_t number)
{
	char text[80];

	snprintf(text, sizeof(text), "a %s block %lu failed: %s", what, (unsigned long)number,
		 strerror(errno));
	broken(text);
}

/* Past the guest's cache; each block counts once the device has it, and an old one is read again.
 */
static void write_disk(struct progress *progress)
{
	static _Alignas(SECTORS) uint64_t block[SECTORS / 8];
	int disk = -1;

	for (unsigned i = 0; i < 600 && disk < 0; i++) {
		disk = open(DISK, O_RDWR | O_DIRECT);
		if (disk < 0)
			usleep(100000);
	}
	if (disk < 0)
		broken("no disk");
	for (uint64_t number = 1;; number++) {
		uint64_t old = number > SLOTS ? number - SLOTS / 2 : 1;

		fill_block(block, number);
		errno = 0;
		if (pwrite(disk, block, SECTORS, (off_t)(number % SLOTS * SECTORS)) != SECTORS)
			disk_failed("write", number);
		if (number % 16 == 0 && fsync(disk))
			disk_failed("flush after", number);
		progress->blocks = number;
		if (pread(disk, block, SECTORS, (off_t)(old % SLOTS * SECTORS)) != SECTORS ||
		    !is_block(block, old))
			broken("the disk lost a write");
		usleep(5000);
	}
}

static int listen_at(const struct sockaddr_in *address)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (ioctl(listener, SIOCSIFFLAGS, &loopback) ||
	    bind(listener, (const struct sockaddr *)address, sizeof(*address)) ||
	    listen(listener, 1))
		broken("nobody can listen");
	return listener;
}

static int connect_to(const struct sockaddr_in *address)
{
	int to = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(to, (const struct sockaddr *)address, sizeof(*address)))
		broken("no connection");
	return to;
}

/* Sends back each word that comes. */
static void answer(int listener)
{
	int from = accept(listener, NULL, NULL);
	uint32_t word;

	while (read(from, &word, sizeof(word)) == sizeof(word))
		if (write(from, &word, sizeof(word)) != sizeof(word))
			break;
}

static int connected(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(PORT),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = listen_at(&address), to = connect_to(&address);

	if (fork() == 0) {
		answer(listener);
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

static void talk(struct progress *progress, char **words)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(words[1]))};
	int to;

	if (inet_aton(words[0], &address.sin_addr) != 1)
		broken("ADDRESS PORT");
	to = connect_to(&address);
	for (uint32_t word = 1;; word++, progress->answers++) {
		exchange(to, word);
		usleep(10000);
	}
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

/* The kernel breaks off what its disks are doing when it powers off: so nothing is under way then.
 */
static void end_when_told(pid_t writer)
{
	struct pollfd console = {.fd = 0, .events = POLLIN};
	char typed = 0;

	if (poll(&console, 1, 0) != 1 || read(0, &typed, 1) != 1 || typed != 'q')
		return;
	printf("load: ends\n");
	fflush(stdout);
	tcdrain(1);
	kill(writer, SIGKILL);
	waitpid(writer, NULL, 0);
	reboot(RB_POWER_OFF);
}

static void work(char **world)
{
	struct progress *progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct termios terminal;
	uint64_t state = 1;
	uint32_t sum = 0;
	int to = connected();
	pid_t writer;

	if (!tcgetattr(0, &terminal)) {
		terminal.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(0, TCSANOW, &terminal);
	}
	if (fork() == 0)
		sum_memory(progress);
	if (fork() == 0)
		compute(progress);
	if (world && fork() == 0)
		talk(progress, world);
	writer = fork();
	if (writer == 0)
		write_disk(progress);
	for (unsigned long i = 1;; i++) {
		sum = step(&state, sum);
		exchange(to, sum);
		wait_for_step();
		printf("load: step %lu %08x sums %lu vectors %lu blocks %lu answers %lu\n", i, sum,
		       progress->sums, progress->vectors, progress->blocks, progress->answers);
		fflush(stdout);
		end_when_told(writer);
	}
}

/* What was said to be written last at each place is there, or something that came later. */
static bool check_disk(const char *path, unsigned long blocks)
{
	uint64_t block[SECTORS / 8];
	int disk = open(path, O_RDONLY);

	for (uint64_t slot = 0; slot < SLOTS && slot <= blocks; slot++) {
		uint64_t newest = blocks - (blocks - slot) % SLOTS;

		if (pread(disk, block, SECTORS, (off_t)(slot * SECTORS)) != SECTORS)
			return false;
		if (newest == 0 ||
		    (block[0] >= newest && block[0] % SLOTS == slot && is_block(block, block[0])))
			continue;
		printf("block %lu has %lu\n", (unsigned long)newest, (unsigned long)block[0]);
		return false;
	}
	return disk >= 0 && blocks > 0;
}

/* Each step once, in order, with the right sum; nothing broken; the others got on. */
static int check(const char *disk)
{
	unsigned long steps = 0, number, sums = 0, vectors = 0, blocks = 0;
	unsigned long sums_first = 0, vectors_first = 0;
	uint64_t state = 1;
	uint32_t sum = 0, said;
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		if (strstr(line, "load: broken")) {
			fputs(line, stdout);
			return 1;
		}
		if (sscanf(line, "load: step %lu %x sums %lu vectors %lu blocks %lu", &number,
			   &said, &sums, &vectors, &blocks) != 5)
			continue;
		sum = step(&state, sum);
		if (++steps != number || sum != said) {
			printf("step %lu with %08x expected: %s", steps, sum, line);
			return 1;
		}
		if (steps == 1)
			sums_first = sums, vectors_first = vectors;
	}
	printf("%lu steps, %lu sums, %lu vectors, %lu blocks\n", steps, sums, vectors, blocks);
	if (!check_disk(disk, blocks))
		return 1;
	return !(steps > 1 && sums > sums_first && vectors > vectors_first);
}

static int ask(const char *path, const char *command)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 2};
	int to = socket(AF_UNIX, SOCK_STREAM, 0);
	char said[16384];
	ssize_t length;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(to, (struct sockaddr *)&address, sizeof(address)) ||
	    dprintf(to, "{\"id\": 1, \"command\": \"%s\"}\n", command) < 0) {
		printf("%s: %s\n", path, strerror(errno));
		return 1;
	}
	for (length = 0; length <= 0 || said[length - 1] != '\n';) {
		length = read(to, said, sizeof(said));
		if (length <= 0) {
			printf("%s: no answer to %s\n", path, command);
			return 1;
		}
		fwrite(said, 1, (size_t)length, stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "check") == 0)
		return check(argv[2]);
	if (argc > 3 && strcmp(argv[1], "ask") == 0)
		return ask(argv[2], argv[3]);
	if (argc > 2 && strcmp(argv[1], "answer") == 0) {
		answer(listen_at(&(struct sockaddr_in){.sin_family = AF_INET,
						       .sin_port = htons((uint16_t)atoi(argv[2])),
						       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}));
		return 0;
	}
	work(argc == 3 ? argv + 1 : NULL);
	return 0;
}
