/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <stdint.h>

#include "lib/format.h"

/* The C library's, as the oracle. */
int snprintf(char *buffer, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Both make the same text of the same length, also when there is no room for all of it. */
#define SAME(...)                                                                                  \
	do {                                                                                       \
		char ours[128], theirs[128];                                                       \
		EXPECT_EQ(format(ours, sizeof(ours), __VA_ARGS__),                                 \
			  (size_t)snprintf(theirs, sizeof(theirs), __VA_ARGS__));                  \
		EXPECT_STR(ours, theirs);                                                          \
		EXPECT_EQ(format(ours, 4, __VA_ARGS__), (size_t)snprintf(theirs, 4, __VA_ARGS__)); \
		EXPECT_STR(ours, theirs);                                                          \
	} while (0)

TEST(integers_as_printf)
{
	static const long long values[] = {0,
					   1,
					   -1,
					   9,
					   10,
					   255,
					   -256,
					   65535,
					   2147483647,
					   -2147483648LL,
					   4294967296LL,
					   INT64_MAX,
					   INT64_MIN};

	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		long long v = values[i];

		SAME("%d %i %u %x %X %o", (int)v, (int)v, (unsigned)v, (unsigned)v, (unsigned)v,
		     (unsigned)v);
		SAME("%ld %lu %lx", (long)v, (unsigned long)v, (unsigned long)v);
		SAME("%lld|%llu|%llx", v, (unsigned long long)v, (unsigned long long)v);
		SAME("%zu %zx %jd %td", (size_t)v, (size_t)v, (intmax_t)v, (ptrdiff_t)v);
		SAME("%hhd %hhu %hd %hu", (signed char)v, (unsigned char)v, (short)v,
		     (unsigned short)v);
		SAME("[%5d][%-5d][%05d]", (int)v, (int)v, (int)v);
		SAME("[%+d][% d][%+5d]", (int)v, (int)v, (int)v);
		SAME("[%#x][%#o][%#10x][%#010x]", (unsigned)v, (unsigned)v, (unsigned)v,
		     (unsigned)v);
		SAME("[%.3d][%8.3d][%-8.3d][%.0d]", (int)v, (int)v, (int)v, (int)v);
		SAME("%02x:%016llx", (unsigned)v & 0xff, (unsigned long long)v);
	}
}

TEST(strings_and_characters_as_printf)
{
	char unended[3] = {'a', 'b', 'c'};

	SAME("%s", "");
	SAME("[%s][%8s][%-8s]", "lodge", "lodge", "lodge");
	SAME("[%.2s][%8.2s][%.9s]", "lodge", "lodge", "lodge");
	SAME("[%.3s]", unended);
	SAME("[%*d][%-*d][%.*s][%*d]", 6, 7, 6, 7, 2, "lodge", -6, 7);
	SAME("[%c][%3c][%-3c]", 'x', 'y', 'z');
	SAME("100%%");
	SAME("%p", (void *)0x1234abcd);
}

TEST(small_buffers_are_respected)
{
	char text[4] = {'x', 'x', 'x', 'x'};

	EXPECT_EQ(format(text, 0, "%d", 12345), 5);
	EXPECT_EQ(text[0], 'x');
	EXPECT_EQ(format(text, 1, "%d", 12345), 5);
	EXPECT_EQ(text[0], '\0');
	EXPECT_EQ(text[1], 'x');
	EXPECT_EQ(format(text, 3, "%d", 12345), 5);
	EXPECT_STR(text, "12");
	EXPECT_EQ(text[3], 'x');
	EXPECT_EQ(format(NULL, 0, "%s", "lodge"), 5);
}

static size_t format_unchecked(char *text, size_t size, const char *f, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, f);
	length = vformat(text, size, f, arguments);
	va_end(arguments);
	return length;
}

TEST(odd_formats_do_no_harm)
{
	char text[32];

	EXPECT_EQ(format_unchecked(text, sizeof(text), "a%"), 1);
	EXPECT_STR(text, "a");
	EXPECT_EQ(format_unchecked(text, sizeof(text), "%y%5"), 1);
	EXPECT_STR(text, "y");
	EXPECT_EQ(format_unchecked(text, sizeof(text), "%s", (const char *)NULL), 6);
	EXPECT_STR(text, "(null)");
}
