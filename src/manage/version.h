/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MANAGE_VERSION_H
#define MANAGE_VERSION_H

/* Of this build, as git names it. */
extern const char lodge_version[];

#endif
