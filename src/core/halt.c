/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/halt.h"

#define BARRED_FIRST 16u /* hlts */
#define BARRED_MOST  4096u

/* What one look in vain costs, in hits; and how many are saved up at the most. */
#define VAIN_PRICE    16u
#define CROWDED_PRICE 64u
#define TRUST_MOST    256u

uint64_t halt_window(struct halt *halt)
{
	if (halt->barred) {
		halt->barred--;
		return 0;
	}
	return halt->window;
}

/*
 * To look in vain costs what some ten hits save, so it must be rare. Hits pay for it beforehand.
 * Where they haven't, each time keeps us from looking for twice as many hlts as the last time, and
 * only hits in a row make that less again.
 */
void halt_looked(struct halt *halt, bool came, bool crowded)
{
	unsigned price = crowded ? CROWDED_PRICE : VAIN_PRICE;

	if (came) {
		halt->caution -= (halt->caution + 15) / 16;
		halt->trust += halt->trust < TRUST_MOST;
		return;
	}
	if (halt->trust >= price) {
		halt->trust -= price;
		return;
	}
	halt->trust = 0;
	if (halt->caution < BARRED_FIRST)
		halt->caution = BARRED_FIRST;
	else if (halt->caution <= BARRED_MOST / 2)
		halt->caution *= 2;
	halt->barred = crowded ? halt->caution * 4 : halt->caution;
}

/*
 * An event that came later than we would ever look for says that the guest is idle: then nothing is
 * spent from the next hlt on. Otherwise the next may take twice as long: where two vcpus wait for
 * each other, what the one waits has the host's waking of the other in it.
 */
void halt_ended(struct halt *halt, uint64_t nanoseconds)
{
	if (nanoseconds > HALT_POLL_MOST)
		halt->window = 0;
	else if (nanoseconds * 2 > halt->window)
		halt->window = nanoseconds * 2 < HALT_POLL_MOST ? nanoseconds * 2 : HALT_POLL_MOST;
}
