/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log and the end. A machine logs into its channel, which the manager reads; what the manager
 * logs, and what must not be lost, goes to the kernel's log.
 */
#include "hosts/metal/common.h"

#include <stdarg.h>

#include "core/host.h"
#include "core/vm.h"
#include "engines/metal/call.h"
#include "hosts/metal/channel.h"
#include "lib/check.h"
#include "lib/format.h"
#include "lib/string.h"

#define LINE_SIZE   512
#define KERNEL_LINE 256
#define LEVEL_SHOWN LOG_INFO

_Noreturn void metal_exit(int code)
{
	for (;;)
		METAL_CALL(METAL_EXIT, (int64_t)code);
}

void metal_log(const char *line)
{
	METAL_CALL(METAL_LOG, (uintptr_t)line, string_length_limited(line, KERNEL_LINE));
}

struct channel *metal_channel(void)
{
	return metal_start()->process ? (struct channel *)METAL_CHANNEL_ADDRESS : NULL;
}

void metal_tell_end(uint32_t why, int32_t code, const char *reason)
{
	struct channel *channel = metal_channel();

	if (!channel)
		return;
	channel->why = why;
	channel->code = code;
	string_copy(channel->reason, sizeof(channel->reason), reason);
	atomic_store(&channel->state, CHANNEL_ENDED);
	METAL_CALL(METAL_NOTIFY, 0, METAL_EVENT_NOTIFY);
}

/* Threads take turns, so that lines stay whole. */
static void log_to_channel(struct channel *channel, const char *line, size_t length)
{
	static struct host_lock lock; /* zeroes: free (lock.c) */
	bool notify;

	host_lock(&lock);
	channel_send(channel, CHANNEL_LOG, line, length, &notify);
	host_unlock(&lock);
	if (notify)
		METAL_CALL(METAL_NOTIFY, 0, METAL_EVENT_NOTIFY);
}

void host_log(enum host_log_level level, const char *text, ...)
{
	struct channel *channel = metal_channel();
	char line[LINE_SIZE];
	size_t length;
	va_list arguments;

	if (level > LEVEL_SHOWN)
		return;
	va_start(arguments, text);
	length = vformat(line, sizeof(line) - 1, text, arguments);
	va_end(arguments);
	if (!channel) {
		metal_log(line);
		return;
	}
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	log_to_channel(channel, line, length);
}

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
	char text[KERNEL_LINE];

	format(text, sizeof(text), "a fault in Lodge itself: check failed at %s:%d: %s", file, line,
	       condition);
	metal_log(text);
	metal_tell_end(VM_FAILED, 0, text);
	metal_exit(METAL_CODE_CHECK);
}
