/* SPDX-License-Identifier: BSD-2-Clause */
/* What tools/list-tests writes and tests/unit/main.c reads. */
#ifndef TESTS_UNIT_LIST_H
#define TESTS_UNIT_LIST_H

struct test {
	const char *file; /* the noun: "uart" for tests/unit/uart_test.c */
	const char *name;
	void (*run)(void);
};

/* Every test of the program, ended by one whose `run` is NULL. */
extern const struct test tests[];

#endif
