/* SPDX-License-Identifier: BSD-2-Clause */
/* What lodge says to a person about what went wrong. */
#ifndef MANAGE_COMPLAIN_H
#define MANAGE_COMPLAIN_H

/*
 * Writes "lodge: ", the text and a newline to standard error. Always exactly one line, whatever is
 * in the text: control characters are shown as \xNN.
 */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Like complain, for use as `return complain_with(LODGE_BAD_OPTION, ...)`: returns status. */
int complain_with(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
