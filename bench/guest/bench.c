/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench SECTION [OPTION...] [NAME...] : measures compute, kernel, smp, disk, net or programs (only
 * the named benchmarks of it), and prints for each
 *
 *	result NAME NANOSECONDS [MiB]
 *
 * the least time of one operation (or of a MiB) among some rounds. Options are --disk PATH,
 * --server ADDRESS:PORT, of programs --root PATH and --source PATH, and --after PROGRAM, which runs
 * before. `begin` and `end NANOSECONDS` stand around them, so that whoever reads along can compare
 * this machine's clock with his own.
 *
 * bench calibrate prints how long a fixed piece of work takes. bench serve is the other end of the
 * network benchmarks.
 */
#include "bench.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS		   15
#define ROUND_MILLISECONDS 30
#define TOTAL_MILLISECONDS 2000	    /* after so long a benchmark has no further round */
#define NANOSECONDS	   1000000u /* in a millisecond */

volatile uint64_t sink;
const char *disk_path = "/dev/vda";
const char *server_address = "10.0.2.2";
int server_port;
const char *root_path = "/dev/vda";
const char *source_path = "/bench/source.c";

uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void fail(const char *what)
{
	printf("failed %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t time_of(const struct benchmark *benchmark, uint64_t count)
{
	uint64_t begin = now();

	benchmark->run(count);
	return now() - begin;
}

static uint64_t at_most(uint64_t count, uint64_t most)
{
	return most && count > most ? most : count;
}

static uint64_t round_time(const struct benchmark *benchmark)
{
	return (benchmark->milliseconds ? benchmark->milliseconds : ROUND_MILLISECONDS) *
	       (uint64_t)NANOSECONDS;
}

/*
 * How many operations make a round. Doubles until a run takes a third of one; on the way the code
 * is translated, the caches filled and what a benchmark keeps is made.
 */
static uint64_t count_find(const struct benchmark *benchmark)
{
	uint64_t count = 1, wanted = round_time(benchmark), time;

	for (;;) {
		time = time_of(benchmark, count);
		if (time > wanted / 3 || count == at_most(UINT64_MAX, benchmark->most))
			break;
		count = at_most(time < wanted / 64 ? count * 8 : count * 2, benchmark->most);
	}
	if (time > wanted)
		return count;
	return at_most((uint64_t)((double)count * (double)wanted / (double)(time + 1)),
		       benchmark->most);
}

static void measure(const struct benchmark *benchmark)
{
	uint64_t best = UINT64_MAX, begin = now(), count = count_find(benchmark);

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t time = time_of(benchmark, count);

		best = time < best ? time : best;
		if (now() - begin > TOTAL_MILLISECONDS * (uint64_t)NANOSECONDS)
			break;
	}
	printf("result %s %.2f\n", benchmark->name, (double)best / (double)count);
	fflush(stdout);
}

/* A fixed piece of work, the least time of some rounds of it as with what is measured: it tells
 * whether the processor is as fast as before. */
static void calibrate(void)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t begin = now(), time;

		compute_benchmarks[0].run(15000000); /* arithmetic */
		compute_benchmarks[1].run(150);	     /* and memory */
		time = now() - begin;
		best = time < best ? time : best;
	}
	printf("%llu\n", (unsigned long long)best);
}

static const struct benchmark *section_find(const char *name)
{
	static const struct {
		const char *name;
		const struct benchmark *list;
	} sections[] = {{"compute", compute_benchmarks},
			{"kernel", kernel_benchmarks},
			{"smp", smp_benchmarks},
			{"disk", disk_benchmarks},
			{"net", network_benchmarks}};

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (strcmp(name, sections[i].name) == 0)
			return sections[i].list;
	}
	return NULL;
}

/* Programs that run before. */
#define BEFORE 16
static char *before[BEFORE];
static int before_count;

/* Takes the options out of argv[2..]; returns how many words (argv[0..]) are left. */
static int options_take(int argc, char **argv)
{
	int kept = 2;

	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--disk") == 0 && i + 1 < argc) {
			disk_path = argv[++i];
		} else if (strcmp(argv[i], "--after") == 0 && i + 1 < argc) {
			if (before_count == BEFORE)
				fail("too many --after");
			before[before_count++] = argv[++i];
		} else if (strcmp(argv[i], "--root") == 0 && i + 1 < argc) {
			root_path = argv[++i];
		} else if (strcmp(argv[i], "--source") == 0 && i + 1 < argc) {
			source_path = argv[++i];
		} else if (strcmp(argv[i], "--server") == 0 && i + 1 < argc) {
			char *colon = strchr(argv[++i], ':');

			if (colon) {
				*colon = '\0';
				server_address = argv[i];
				server_port = atoi(colon + 1);
			}
		} else {
			argv[kept++] = argv[i];
		}
	}
	return kept;
}

static void benchmarks_measure(const struct benchmark *list, int count, char **names)
{
	for (; list->name; list++) {
		bool wanted = count == 0;

		for (int i = 0; i < count; i++)
			wanted |= strcmp(names[i], list->name) == 0;
		if (wanted)
			measure(list);
	}
}

int main(int argc, char **argv)
{
	const struct benchmark *list;
	bool programs;
	uint64_t begin;

	if (argc > 1 && strcmp(argv[1], "nothing") == 0) /* what `exec` executes */
		return 0;
	if (argc > 1 && strcmp(argv[1], "calibrate") == 0) {
		calibrate();
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		serve();
	list = argc > 1 ? section_find(argv[1]) : NULL;
	programs = argc > 1 && strcmp(argv[1], "programs") == 0;
	if (!list && !programs) {
		fprintf(stderr, "usage: bench compute|kernel|smp|disk|net|programs [OPTION...] "
				"[NAME...]\n");
		return 2;
	}
	argc = options_take(argc, argv);
	printf("begin\n");
	fflush(stdout);
	begin = now();
	if (before_count)
		programs_run(before_count, before);
	if (programs)
		programs_measure(argc - 2, argv + 2);
	else
		benchmarks_measure(list, argc - 2, argv + 2);
	printf("end %llu\n", (unsigned long long)(now() - begin));
	fflush(stdout);
	return 0;
}
