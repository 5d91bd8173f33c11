/* SPDX-License-Identifier: BSD-2-Clause */
/* `lodge doctor`: what this host offers, and which engine would be chosen and why. */
#ifndef MANAGE_DOCTOR_H
#define MANAGE_DOCTOR_H

#include <stdbool.h>

/* Reports on standard output. LODGE_OK if some engine can run guests here, else LODGE_HOST_LACKS.
 */
int doctor(bool json);

#endif
