/* SPDX-License-Identifier: BSD-2-Clause */
/* What the prompt tells of machines and of the computer, as tables. */
#ifndef MANAGER_REPORTS_H
#define MANAGER_REPORTS_H

struct machine;
struct manager;

void report_list(struct manager *manager);
void report_machine(struct manager *manager, struct machine *machine);
void report_host(struct manager *manager);
void report_stats(struct manager *manager, struct machine *machine);
void report_machine_log(struct manager *manager, struct machine *machine);
void report_kernel_log(struct manager *manager);

#endif
