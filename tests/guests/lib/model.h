/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an access must come to, computed from the page tables as they are: for guests that attack
 * the processor's protection. Source: Intel SDM volume 3, 4.6 (rights), 4.7 (error codes).
 *
 * The zoo: pages whose bytes are all known, mapped at addresses that are hard to get right, in many
 * ways at once. Everything that is read out of it is recognised, everything that is written to it
 * without being allowed to is found.
 */
#ifndef TESTS_GUESTS_MODEL_H
#define TESTS_GUESTS_MODEL_H

#include "system.h"

#define ZOO_PAGES 24

extern uint8_t zoo[ZOO_PAGES][4096];	    /* as they are */
extern uint8_t zoo_wanted[ZOO_PAGES][4096]; /* as they should be */

/* All bytes as at first: 8 at a time that are nowhere else, but for those at the page's start and
 * end (ZOO_*). */
void zoo_fill(void);
/* Notes a failure, and fills the zoo again, if a byte isn't as wanted. */
bool zoo_check(const char *what);

/* Each page begins with ud2, has another one here, and ends with the first four bytes of movabs to
 * rax, which goes on to just that place in the page behind. */
#define ZOO_CROSSING 4092
#define ZOO_BEHIND   6

/* Who looks: the level, and EFLAGS.AC. */
struct viewer {
	bool user, ac;
};

enum { READ = 0, WRITE = 2, FETCH = 16 }; /* as in error codes; WRITE: and reads, maybe */

/* Walks the tables of CR3. Yields the physical address, or -1 and the error code. */
int64_t model_walk(uint64_t linear, struct viewer viewer, unsigned int access, uint32_t *error);

/* vector 0: it is done. Where the processor has a choice there are two. */
struct outcome {
	uint32_t vector, error;
	uint64_t cr2;
};
struct outcomes {
	unsigned int count;
	struct outcome one[2];
};

/* An access of size bytes; stack: by way of the stack segment. */
struct outcomes model_access(uint64_t linear, unsigned int size, struct viewer viewer,
			     unsigned int access, bool stack);

static inline bool model_done(const struct outcomes *outcomes)
{
	return !outcomes->one[0].vector;
}

/* Fails, and says so, unless the vector, error code and CR2 that ended state are one of these (6
 * for what is done). */
bool outcome_check(const struct trap *state, const struct outcomes *wanted, const char *what);

/* The byte of the zoo at linear as it should be; NULL if it isn't in the zoo, or not mapped. */
uint8_t *zoo_at(uint64_t linear);
/* Are all bytes in the zoo? */
bool zoo_has(uint64_t linear, unsigned int size);
uint64_t zoo_load(uint64_t linear, unsigned int size);

static inline bool model_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

uint64_t model_random(void);
/* Takes the seed, and yields the number of rounds, from the command line `SEED ROUNDS`, or rounds.
 */
uint64_t model_options(uint64_t rounds);
static inline uint64_t random_below(uint64_t limit)
{
	return (model_random() >> 8) % limit;
}

/* The general register of that number in a state. */
uint64_t *trap_register(struct trap *state, unsigned int number);

/*
 * Address spaces: each has the same set of places, with mappings of its own. The functions below
 * change them at random, with whatever flush the manual asks for, and none besides.
 */
void spaces_make(void);
/* Changes a mapping, goes to another address space, or changes CR0.WP, CR4.SMEP and CR4.SMAP. */
void spaces_change(void);
/* Back to the first one and to plain CR0 and CR4. */
void spaces_leave(void);
/* An address that is worth an attack by an access of so many bytes. */
uint64_t spaces_target(unsigned int size);

#endif
