/* SPDX-License-Identifier: BSD-2-Clause */
/* Benchmarks that never leave user mode. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

static NOINLINE void alu(uint64_t count)
{
	uint64_t a = 1, b = 2, c = 3;

	for (uint64_t i = 0; i < count; i++) {
		a += b ^ i;
		b = (b << 7 | b >> 57) + c;
		c ^= a * 0x9e3779b97f4a7c15u;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c));
	}
	sink = a + b + c;
}

/* The primes below 64 Ki. */
static NOINLINE void sieve(uint64_t count)
{
	static uint8_t composite[65536];

	while (count--) {
		memset(composite, 0, sizeof(composite));
		for (unsigned i = 2; i < 256; i++) {
			if (composite[i])
				continue;
			for (unsigned j = i * i; j < sizeof(composite); j += i)
				composite[j] = 1;
		}
		sink += composite[65521];
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The C library's, with its calls through a pointer: 10,000 numbers. */
static NOINLINE void sort(uint64_t count)
{
	static uint32_t values[10000];

	while (count--) {
		uint32_t random = 12345;

		for (unsigned i = 0; i < 10000; i++)
			values[i] = random = random * 1664525 + 1013904223;
		qsort(values, 10000, sizeof(values[0]), compare);
		sink += values[5000];
	}
}

/* Loads that depend on each other, in 256 KiB: one cycle through all, by a full-period generator.
 */
static NOINLINE void chase(uint64_t count)
{
	static uint32_t next[65536];
	uint32_t place = 0;

	if (!next[0]) {
		for (uint32_t i = 0; i < 65536; i++)
			next[i] = (i * 25173 + 13849) & 65535;
	}
	while (count--)
		place = next[place];
	sink = place;
}

static NOINLINE uint64_t fib(uint64_t n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

/* Calls and returns. */
static NOINLINE void fibonacci(uint64_t count)
{
	while (count--)
		sink += fib(20);
}

static uint64_t add_one(uint64_t x)
{
	return x + 1;
}

static uint64_t times_three(uint64_t x)
{
	return x * 3;
}

static uint64_t rotate(uint64_t x)
{
	return x << 5 | x >> 59;
}

static uint64_t invert(uint64_t x)
{
	return ~x;
}

static NOINLINE void indirect(uint64_t count)
{
	static uint64_t (*volatile const functions[4])(uint64_t) = {add_one, times_three, rotate,
								    invert};
	uint64_t x = 1;

	for (uint64_t i = 0; i < count; i++)
		x = functions[i & 3](x);
	sink = x;
}

static uint8_t from[1 << 20], to[1 << 20];

static NOINLINE void copy(uint64_t count)
{
	from[0] = 1; /* or all of it would be the one page of zeroes */
	while (count--) {
		memcpy(to, from, sizeof(to));
		__asm__ volatile("" : : "r"(to) : "memory");
	}
}

#define SIDE 128
static double left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];

/* Scalar double precision. */
static NOINLINE void matmul(uint64_t count)
{
	for (unsigned i = 0; i < SIDE * SIDE; i++) {
		left[i / SIDE][i % SIDE] = i;
		right[i / SIDE][i % SIDE] = 1.0 / (i + 1);
	}
	while (count--) {
		for (unsigned i = 0; i < SIDE; i++) {
			for (unsigned j = 0; j < SIDE; j++) {
				double sum = 0;

				for (unsigned k = 0; k < SIDE; k++)
					sum += left[i][k] * right[k][j];
				product[i][j] = sum;
			}
		}
		sink += (uint64_t)product[1][1];
	}
}

typedef uint32_t vector __attribute__((vector_size(16)));

/* SSE2 integer: a checksum over 64 KiB, as codecs and hashes compute. */
static NOINLINE void vectors(uint64_t count)
{
	static vector data[4096];
	vector a = {1, 2, 3, 4}, b = {5, 6, 7, 8};

	data[0][0] = 1;
	while (count--) {
		for (unsigned i = 0; i < 4096; i++) {
			a += data[i] ^ (b << 3);
			b = (b >> 5 | b << 27) + a;
		}
	}
	sink = a[0] + b[1];
}

/* A small interpreter: a switch in a loop, the way scripting languages run. Counts down from 1000.
 */
static NOINLINE void interpret(uint64_t count)
{
	enum { PUSH, ADD, XOR, DROP, DECREMENT, JUMP_NOT_ZERO, STOP };
	static volatile const uint8_t program[] = {PUSH, 3,	    ADD,	   PUSH, 5,   XOR,
						   DROP, DECREMENT, JUMP_NOT_ZERO, 0,	 STOP};
	uint64_t stack[8], total = 0;

	while (count--) {
		unsigned counter = 1000, at = 0, depth = 0;

		stack[depth++] = count;
		for (;;) {
			uint8_t operation = program[at++];

			if (operation == STOP)
				break;
			switch (operation) {
			case PUSH:
				stack[depth++ & 7] = program[at++];
				break;
			case ADD:
				depth--;
				stack[(depth - 1) & 7] += stack[depth & 7];
				break;
			case XOR:
				depth--;
				stack[(depth - 1) & 7] ^= stack[depth & 7];
				break;
			case DROP:
				total += stack[(depth - 1) & 7];
				break;
			case DECREMENT:
				counter--;
				break;
			case JUMP_NOT_ZERO:
				at = counter ? program[at] : at + 1;
				break;
			}
		}
	}
	sink = total;
}

/* bench calibrate runs the first two. */
const struct benchmark compute_benchmarks[] = {
	{"alu", alu, 0, 0},	   {"sieve", sieve, 0, 0},
	{"qsort", sort, 0, 0},	   {"chase", chase, 0, 0},
	{"fib", fibonacci, 0, 0},  {"indirect", indirect, 0, 0},
	{"memcpy", copy, 0, 0},	   {"matmul", matmul, 0, 0},
	{"vector", vectors, 0, 0}, {"interpret", interpret, 0, 0},
	{NULL, NULL, 0, 0},
};
