/* SPDX-License-Identifier: BSD-2-Clause */
/* How a person writes a forwarded port. */
#include "network/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* "80", and what follows it into *end. */
static bool parse_port(const char *text, uint16_t *port, const char **end)
{
	unsigned long value = 0;

	*end = text;
	while (**end >= '0' && **end <= '9' && value <= 65535)
		value = value * 10 + (unsigned long)(*(*end)++ - '0');
	*port = (uint16_t)value;
	return *end > text && value >= 1 && value <= 65535;
}

int user_forward_parse(const char *text, struct user_forward *forward, char *reason, size_t size)
{
	const char *first = strchr(text, ':'), *second = first ? strchr(first + 1, ':') : NULL,
		   *at = text;
	char address[INET_ADDRSTRLEN] = "127.0.0.1";
	bool good = true;

	*forward = (struct user_forward){0};
	if (second) {
		good = (size_t)(first - text) < sizeof(address);
		if (good) {
			memcpy(address, text, (size_t)(first - text));
			address[first - text] = '\0';
		}
		at = first + 1;
	}
	good = good && inet_pton(AF_INET, address, &forward->host_address) == 1 &&
	       parse_port(at, &forward->host_port, &at) && *at++ == ':' &&
	       parse_port(at, &forward->guest_port, &at);
	if (good && !strcmp(at, "/udp"))
		forward->udp = true;
	else if (good && *at && strcmp(at, "/tcp"))
		good = false;
	if (good)
		return 0;
	snprintf(reason, size,
		 "port \"%s\": should be [ADDRESS:]HOST:GUEST[/udp], as in 8080:80 or "
		 "0.0.0.0:2222:22",
		 text);
	return -EINVAL;
}

bool user_forward_same_host(const struct user_forward *one, const struct user_forward *other)
{
	return one->udp == other->udp && one->host_port == other->host_port &&
	       one->host_address.s_addr == other->host_address.s_addr;
}

bool user_forward_same(const struct user_forward *one, const struct user_forward *other)
{
	return user_forward_same_host(one, other) && one->guest_port == other->guest_port;
}

void user_forward_text(const struct user_forward *forward, char *text)
{
	char address[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &forward->host_address, address, sizeof(address));
	snprintf(text, USER_FORWARD_TEXT, "%s:%u:%u%s", address, forward->host_port,
		 forward->guest_port, forward->udp ? "/udp" : "");
}
