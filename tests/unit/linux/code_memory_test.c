/* SPDX-License-Identifier: BSD-2-Clause */
#include "engines/translate/code_memory.h"
#include "test.h"

#include <stdbool.h>
#include <sys/mman.h>

#define SIZE (2 * CODE_MEMORY_LARGE + 4096)

TEST(a_large_page_keeps_what_was_written)
{
	struct code_memory memory;
	static const size_t at[] = {0, 4096, CODE_MEMORY_LARGE - 1, CODE_MEMORY_LARGE, SIZE - 1};

	REQUIRE(code_memory_create(&memory, SIZE) == 0);
	EXPECT_EQ((uintptr_t)memory.write % CODE_MEMORY_LARGE, 0u);
	EXPECT_EQ((uintptr_t)memory.run % CODE_MEMORY_LARGE, 0u);
	for (unsigned i = 0; i < 5; i++)
		memory.write[at[i]] = (uint8_t)(i + 1);
	for (size_t offset = 0; offset < SIZE; offset += CODE_MEMORY_LARGE)
		code_memory_collapse(&memory, offset);
	for (unsigned i = 0; i < 5; i++)
		EXPECT_EQ(memory.run[at[i]], i + 1);
	memory.write[4097] = 7;
	EXPECT_EQ(memory.run[4097], 7);
	EXPECT_EQ(memory.run[4098], 0);
	code_memory_destroy(&memory);
}

static bool is_resident(uint8_t *page)
{
	unsigned char resident = 0;

	EXPECT_EQ(mincore(page, 4096, &resident), 0);
	return resident & 1;
}

/* The whole piece is there at once if it is a large page. */
TEST(a_large_page_is_made_where_nothing_is_yet)
{
	const size_t last = CODE_MEMORY_LARGE - 4096;
	struct code_memory memory;

	REQUIRE(code_memory_create(&memory, 2 * CODE_MEMORY_LARGE) == 0);
	memory.write[0] = 1;
	code_memory_collapse(&memory, 0);
	if (!is_resident(memory.write + last)) {
		code_memory_destroy(&memory);
		SKIP("the host makes no large page on demand");
	}
	code_memory_collapse(&memory, CODE_MEMORY_LARGE);
	EXPECT(is_resident(memory.write + CODE_MEMORY_LARGE + last));
	code_memory_destroy(&memory);
}
