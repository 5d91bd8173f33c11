/* SPDX-License-Identifier: BSD-2-Clause */
/* A device without state, which counts how often it was told to do what a loaded state wants. */
#ifndef TESTS_UNIT_PROBE_DEVICE_H
#define TESTS_UNIT_PROBE_DEVICE_H

#include "core/device.h"
#include "core/snapshot.h"

static unsigned probes_begun;

static void probe_reset(struct device *device)
{
	(void)device;
}

static void probe_state(struct device *device, struct snapshot *snapshot)
{
	(void)device;
	(void)snapshot;
}

static void probe_begun(struct device *device)
{
	(void)device;
	probes_begun++;
}

static const struct device_ops probe_ops = {
	.name = "probe", .reset = probe_reset, .state = probe_state, .loaded = probe_begun};

#endif
