/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of <libslirp.h> that we use: each calls the library's own. */
#include "network/slirp.h"

#include <dlfcn.h>
#include <errno.h>
#include <libslirp.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libslirp.so.0"

#define FUNCTIONS(ONE)                                                                             \
	ONE(slirp_new)                                                                             \
	ONE(slirp_cleanup)                                                                         \
	ONE(slirp_input)                                                                           \
	ONE(slirp_pollfds_fill)                                                                    \
	ONE(slirp_pollfds_poll)                                                                    \
	ONE(slirp_add_hostxfwd)                                                                    \
	ONE(slirp_remove_hostxfwd)

#define POINTER(name) __typeof__(&name) name;
#define ENTRY(name)   {#name, offsetof(struct library, name)},

static struct library {
	FUNCTIONS(POINTER)
} library;

static const struct {
	const char *name;
	size_t offset;
} functions[] = {FUNCTIONS(ENTRY)};

int slirp_load(char *reason, size_t size)
{
	struct library found;
	void *handle;

	if (library.slirp_new)
		return 0;
	handle = dlopen(LIBRARY, RTLD_NOW | RTLD_NODELETE);
	for (size_t i = 0; handle && i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *function = dlsym(handle, functions[i].name);

		if (!function)
			handle = NULL;
		memcpy((char *)&found + functions[i].offset, &function, sizeof(function));
	}
	if (!handle) {
		snprintf(reason, size,
			 "network: %s; install libslirp (Debian: libslirp0), or use --net none",
			 dlerror());
		return -ENOENT;
	}
	library = found;
	return 0;
}

Slirp *slirp_new(const SlirpConfig *config, const SlirpCb *callbacks, void *opaque)
{
	return library.slirp_new(config, callbacks, opaque);
}

void slirp_cleanup(Slirp *slirp)
{
	library.slirp_cleanup(slirp);
}

void slirp_input(Slirp *slirp, const uint8_t *frame, int length)
{
	library.slirp_input(slirp, frame, length);
}

void slirp_pollfds_fill(Slirp *slirp, uint32_t *timeout, SlirpAddPollCb add, void *opaque)
{
	library.slirp_pollfds_fill(slirp, timeout, add, opaque);
}

void slirp_pollfds_poll(Slirp *slirp, int failed, SlirpGetREventsCb get, void *opaque)
{
	library.slirp_pollfds_poll(slirp, failed, get, opaque);
}

int slirp_add_hostxfwd(Slirp *slirp, const struct sockaddr *host, socklen_t host_length,
		       const struct sockaddr *guest, socklen_t guest_length, int flags)
{
	return library.slirp_add_hostxfwd(slirp, host, host_length, guest, guest_length, flags);
}

int slirp_remove_hostxfwd(Slirp *slirp, const struct sockaddr *host, socklen_t length, int flags)
{
	return library.slirp_remove_hostxfwd(slirp, host, length, flags);
}
