/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame of the unit tests. A test file includes this and what it tests:
 *
 *	TEST(divisor_of_zero_means_65536)
 *	{
 *		EXPECT_EQ(pit_period(0), 65536);
 *	}
 *
 * Nothing needs to be registered: the build finds each line that starts with TEST(. Files named
 * tests/unit/NAME_test.c compile freestanding and link with the host `fake`; those in
 * tests/unit/linux/ may use libc and link with the host `linux`. Each test runs in a process of
 * its own, so one that crashes, or leaves things behind, is only its own failure.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#ifndef TEST_NOUN
#define TEST_NOUN alone
#endif
#define TEST_PASTE(noun, name)	test_##noun##_##name
#define TEST_SYMBOL(noun, name) TEST_PASTE(noun, name)

/* Defines one test. The name says what should hold. Must stand at the start of a line. */
#define TEST(name)                                                                                 \
	void TEST_SYMBOL(TEST_NOUN, name)(void);                                                   \
	void TEST_SYMBOL(TEST_NOUN, name)(void)

/* Each EXPECT notes a failure and lets the test go on; each returns whether it held. */
#define EXPECT(cond) test_expect((cond) ? 1 : 0, __FILE__, __LINE__, #cond)
/* Integers, enums, bools and pointers; both are widened to 64 bits with their own sign. */
#define EXPECT_EQ(a, b)                                                                            \
	test_expect_eq((unsigned long long)(a), (unsigned long long)(b), __FILE__, __LINE__, #a, #b)
#define EXPECT_STR(a, b) test_expect_str((a), (b), __FILE__, __LINE__, #a, #b)
/* So many bytes at a and at b are the same; the first that differs is printed. */
#define EXPECT_MEM(a, b, size) test_expect_mem((a), (b), (size), __FILE__, __LINE__, #a, #b)

/* REQUIRE ends the test when the condition doesn't hold. */
#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!EXPECT(cond))                                                                 \
			test_stop();                                                               \
	} while (0)

/* Ends the test as skipped, unless it has failed already; the reason (a string) is printed. */
#define SKIP(reason) test_skip((reason))

/* Fails the test, printf-like (%d %u %x %lx %llx %s %p %c), and lets it go on. */
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

int test_expect(int held, const char *file, int line, const char *text);
int test_expect_eq(unsigned long long a, unsigned long long b, const char *file, int line,
		   const char *a_text, const char *b_text);
int test_expect_str(const char *a, const char *b, const char *file, int line, const char *a_text,
		    const char *b_text);
int test_expect_mem(const void *a, const void *b, unsigned long size, const char *file, int line,
		    const char *a_text, const char *b_text);
void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
__attribute__((noreturn)) void test_stop(void);
__attribute__((noreturn)) void test_skip(const char *reason);

/*
 * A folder of this test's own, empty at first, and a name in it. Whatever is in it goes when the
 * test has ended, however it did: no test makes files elsewhere. A path lives until the 16th call
 * behind it; for one thread at a time. Only for tests of the host `linux`.
 */
const char *test_folder(void);
const char *test_path(const char *name);

/*
 * From here on the test should end by abort(), as a failed CHECK does: the test passes only if it
 * does, with a message on stderr (not shown) that contains `message`; NULL if any will do.
 */
void test_expect_abort(const char *message);

#endif
