/* SPDX-License-Identifier: BSD-2-Clause */
/* MC146818 and its descendants: registers behind ports 0x70 and 0x71; the data sheet, "Address
 * map". The time is taken for UTC. */
#include "kernel/clock.h"

#include "kernel/port.h"
#include "lib/bytes.h"

enum { SECONDS, MINUTES = 2, HOURS = 4, DAY = 7, MONTH, YEAR, STATUS_A, STATUS_B };
#define UPDATING 0x80 /* STATUS_A */
#define BINARY	 0x04 /* STATUS_B */
#define HOURS_24 0x02
#define PM	 0x80 /* HOURS, of twelve */

/* More reads than an update (2 ms) can take. */
#define TRIES 10000

static uint8_t get(uint8_t number)
{
	port_write8(0x70, number);
	return port_read8(0x71);
}

/* All registers up to YEAR, and the century behind them. */
static void read_all(uint8_t r[YEAR + 2], uint8_t century)
{
	for (unsigned i = 0; i < TRIES && get(STATUS_A) & UPDATING; i++)
		__builtin_ia32_pause();
	for (uint8_t i = 0; i <= YEAR; i++)
		r[i] = get(i);
	r[YEAR + 1] = century ? get(century) : 0;
}

static unsigned number(uint8_t value, uint8_t status)
{
	return status & BINARY ? value : (value >> 4) * 10u + (value & 15);
}

/* Days since 1970-01-01. Years are taken to begin in March: then the leap day is the last. */
static uint64_t days(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

	return y * UINT64_C(365) + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

uint64_t cmos_seconds(uint8_t century)
{
	uint8_t a[YEAR + 2], b[YEAR + 2];
	uint8_t status = get(STATUS_B);
	unsigned hour, year, month;

	/* The same twice: no update came in between. */
	read_all(a, century);
	for (unsigned i = 0; i < 5; i++) {
		read_all(b, century);
		if (bytes_equal(a, b, sizeof(a)))
			break;
		bytes_copy(a, b, sizeof(a));
	}
	hour = number(b[HOURS] & ~PM, status);
	if (!(status & HOURS_24))
		hour = hour % 12 + (b[HOURS] & PM ? 12 : 0);
	year = number(b[YEAR], status) + 100 * (b[YEAR + 1] ? number(b[YEAR + 1], status) : 20);
	month = number(b[MONTH], status);
	/* Nonsense from a chip without a battery: the epoch. */
	if (year < 1970 || !month || month > 12 || !b[DAY] || hour > 23)
		return 0;
	return days(year, month, number(b[DAY], status)) * 86400 + hour * UINT64_C(3600) +
	       number(b[MINUTES], status) * UINT64_C(60) + number(b[SECONDS], status);
}
