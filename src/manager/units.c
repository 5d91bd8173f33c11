/* SPDX-License-Identifier: BSD-2-Clause */
#include "manager/units.h"

#include <stdbool.h>

#include "lib/bits.h"
#include "lib/format.h"
#include "lib/string.h"

#define SECOND UINT64_C(1000000000)

struct units units_time(uint64_t nanoseconds)
{
	unsigned long long seconds = nanoseconds / SECOND;
	unsigned thousandths = (unsigned)(nanoseconds % SECOND / 1000000);
	struct units units = {""};

	if (seconds < 10)
		format(units.text, sizeof(units.text), "%llu.%03u s", seconds, thousandths);
	else if (seconds < 60)
		format(units.text, sizeof(units.text), "%llu.%u s", seconds, thousandths / 100);
	else if (seconds < 3600)
		format(units.text, sizeof(units.text), "%llu min %llu s", seconds / 60,
		       seconds % 60);
	else if (seconds < 86400)
		format(units.text, sizeof(units.text), "%llu h %llu min", seconds / 3600,
		       seconds / 60 % 60);
	else
		format(units.text, sizeof(units.text), "%llu d %llu h", seconds / 86400,
		       seconds / 3600 % 24);
	return units;
}

struct units units_bytes(uint64_t bytes)
{
	static const char *const names[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0, tenths = 0;
	struct units units = {""};

	while (bytes >= 1024 && unit + 1 < ARRAY_LENGTH(names)) {
		/* 2,048 MiB are better said as 2 GiB, but 1,536 MiB as they are. */
		tenths = (unsigned)(bytes % 1024 * 10 / 1024);
		bytes /= 1024;
		unit++;
	}
	if (tenths && bytes < 100)
		format(units.text, sizeof(units.text), "%llu.%u %s", (unsigned long long)bytes,
		       tenths, names[unit]);
	else
		format(units.text, sizeof(units.text), "%llu %s", (unsigned long long)bytes,
		       names[unit]);
	return units;
}

struct units units_bits(uint64_t bits)
{
	struct units units = {"none"};
	size_t length = 0;

	for (unsigned first = 0; first < 64; first++) {
		unsigned last = first;

		if (!(bits & BIT(first)))
			continue;
		while (last < 63 && (bits & BIT(last + 1)))
			last++;
		length +=
			format(units.text + length, sizeof(units.text) - length,
			       first == last ? "%s%u" : "%s%u-%u", length ? "," : "", first, last);
		/* The rest would not fit. */
		if (length + 8 > sizeof(units.text)) {
			string_copy(units.text + length, sizeof(units.text) - length, ",...");
			break;
		}
		first = last;
	}
	return units;
}
