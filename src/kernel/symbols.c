/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>

#include "kernel/address.h"
#include "kernel/log.h"

/* In the linked file's table (symbols.S, made by tools/list-symbols): in ascending order, addresses
 * from IMAGE_BASE on, names from symbol_names on. */
struct symbol {
	uint32_t address, name;
};
extern const struct symbol symbol_table[];
extern const uint32_t symbol_count;
extern const char symbol_names[];
extern const uint8_t text_start[], text_end[];

const char *symbol_find(uint64_t address, uint64_t *offset)
{
	uint32_t low = 0, high = symbol_count;

	if (address < (uint64_t)text_start || address >= (uint64_t)text_end)
		return NULL;
	/* The last that is not above the address. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (IMAGE_BASE + symbol_table[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	*offset = address - IMAGE_BASE - symbol_table[low - 1].address;
	return symbol_names + symbol_table[low - 1].name;
}
