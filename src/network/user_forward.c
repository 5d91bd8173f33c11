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

/* An address in front of the ports, if there is one, with its colon; 127.0.0.1 without. *end is at
 * the ports then. */
static bool parse_address(const char *text, struct user_forward *forward, const char **end)
{
	char address[INET6_ADDRSTRLEN] = "127.0.0.1";
	const char *from = text, *first = strchr(text, ':'), *to = NULL;

	*end = text;
	if (*text == '[') {
		forward->ipv6 = true;
		from = text + 1;
		to = strchr(from, ']');
		if (!to || to[1] != ':')
			return false;
		*end = to + 2;
	} else if (first && strchr(first + 1, ':')) {
		to = first;
		*end = to + 1;
	}
	if (to && to - from >= (int)sizeof(address))
		return false;
	if (to) {
		memcpy(address, from, (size_t)(to - from));
		address[to - from] = '\0';
	}
	if (forward->ipv6)
		return inet_pton(AF_INET6, address, &forward->host_ipv6) == 1;
	return inet_pton(AF_INET, address, &forward->host_address) == 1;
}

int user_forward_parse(const char *text, struct user_forward *forward, char *reason, size_t size)
{
	const char *at;
	bool good;

	*forward = (struct user_forward){0};
	good = parse_address(text, forward, &at) && parse_port(at, &forward->host_port, &at) &&
	       *at++ == ':' && parse_port(at, &forward->guest_port, &at);
	if (good && !strcmp(at, "/udp"))
		forward->udp = true;
	else if (good && *at && strcmp(at, "/tcp"))
		good = false;
	if (good)
		return 0;
	snprintf(
		reason, size,
		"port \"%s\": should be [ADDRESS:]HOST:GUEST[/udp], as in 8080:80, 0.0.0.0:2222:22 "
		"or [::1]:8080:80",
		text);
	return -EINVAL;
}

bool user_forward_same_host(const struct user_forward *one, const struct user_forward *other)
{
	return one->udp == other->udp && one->host_port == other->host_port &&
	       one->ipv6 == other->ipv6 &&
	       (one->ipv6 ? IN6_ARE_ADDR_EQUAL(&one->host_ipv6, &other->host_ipv6)
			  : one->host_address.s_addr == other->host_address.s_addr);
}

bool user_forward_same(const struct user_forward *one, const struct user_forward *other)
{
	return user_forward_same_host(one, other) && one->guest_port == other->guest_port;
}

void user_forward_host_text(const struct user_forward *forward, char *text)
{
	char address[INET6_ADDRSTRLEN];

	if (forward->ipv6)
		inet_ntop(AF_INET6, &forward->host_ipv6, address, sizeof(address));
	else
		inet_ntop(AF_INET, &forward->host_address, address, sizeof(address));
	snprintf(text, USER_FORWARD_TEXT, forward->ipv6 ? "[%s]:%u" : "%s:%u", address,
		 forward->host_port);
}

void user_forward_text(const struct user_forward *forward, char *text)
{
	size_t length;

	user_forward_host_text(forward, text);
	length = strlen(text);
	snprintf(text + length, USER_FORWARD_TEXT - length, ":%u%s", forward->guest_port,
		 forward->udp ? "/udp" : "");
}
