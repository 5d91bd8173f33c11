/* SPDX-License-Identifier: BSD-2-Clause */
/* What the software engine needs of the host. */
#ifndef TRANSLATE_PROBE_H
#define TRANSLATE_PROBE_H

#include <stdbool.h>
#include <stddef.h>

/* struct engine.probe: 0 if the engine can run here, else a negative errno; a line about why
 * (either way) goes into reason. */
int probe_host(char *reason, size_t size);

/* Has the processor BMI2? */
bool probe_bmi2(void);

#endif
