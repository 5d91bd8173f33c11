# SPDX-License-Identifier: BSD-2-Clause
# The Debian guest: our static init for its initrd, and `make run`, which boots it.

guest := $(or $(LODGE_GUEST_DIR),$O/guest)
init_sources := $(wildcard src/guest/*.c)

$O/init: $(init_sources) $(wildcard src/guest/*.h) $O/obj/flags
	$(say) INIT $@
	$(Q)$(CC) $(common) -O2 -D_GNU_SOURCE -static -s -o $@ $(init_sources)

.PHONY: guest
guest: $O/init
	$(Q)LODGE_GUEST_DIR=$(guest) tools/prepare-guest $O/init

# One after the other, for the packages have to be there before anything else is looked at.
run:
	$(Q)tools/install-packages run
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest
	$(Q)LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) tools/run-debian
