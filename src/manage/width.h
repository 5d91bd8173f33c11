/* SPDX-License-Identifier: BSD-2-Clause */
/* How wide what is printed may be. */
#ifndef MANAGE_WIDTH_H
#define MANAGE_WIDTH_H

/* Columns of standard output's terminal; without one as the variable COLUMNS says, or UINT_MAX. */
unsigned width_of_output(void);

#endif
