/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef MANAGER_VERSION_H
#define MANAGER_VERSION_H

extern const char manager_version[];

#endif
