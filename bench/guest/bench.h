/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is measured in a guest, and natively beside it. One static program holds all of it; a
 * benchmark is a function that does `count` operations, and the main program finds a count that
 * takes long enough to be measured and short enough to be repeated, however slow the machine.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

struct benchmark {
	const char *name;
	void (*run)(uint64_t count);
	uint32_t milliseconds; /* that a round takes; 0: 30 */
	uint64_t most;	       /* operations that a round never exceeds; 0: no such bound */
};

/* Each list ends with a name of NULL. */
extern const struct benchmark compute_benchmarks[];
extern const struct benchmark kernel_benchmarks[];
extern const struct benchmark smp_benchmarks[];
extern const struct benchmark disk_benchmarks[];
extern const struct benchmark network_benchmarks[];

/* Where results go that nobody reads, so that the compiler computes them. */
extern volatile uint64_t sink;

/* A byte to another process and back, so often. */
void pipe_round_trip(uint64_t count);

/* Nanoseconds of the monotonic clock. */
uint64_t now(void);

/* Says what failed, with errno in words, and ends the program with status 1. */
__attribute__((noreturn)) void fail(const char *what);

/* The disk that is read and (by `write`) overwritten, and the server; from the command line. */
extern const char *disk_path;
extern const char *server_address;
extern int server_port;

/* Where the programs are: a disk with a root file system, or a folder; and what the compiler gets.
 */
extern const char *root_path;
extern const char *source_path;

/* Runs the named programs, each once, and prints nothing. One of this and the next. */
void programs_run(int count, char **names);

/* Runs the named programs (count = 0: all), and prints results as the benchmarks do. */
void programs_measure(int count, char **names);

/*
 * The other end of network_benchmarks: listens on a free port of 127.0.0.1, prints it, and serves
 * until the program is ended.
 */
__attribute__((noreturn)) void serve(void);

#endif
