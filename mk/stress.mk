# SPDX-License-Identifier: BSD-2-Clause
# `make stress`: hard work in a guest, for STRESS_SECONDS with 1, 2 and 4 processors each. `make test`
# has a short one.
STRESS_SECONDS ?= 60

$O/stress/stress: tests/stress/stress.c $O/obj/flags
	$(say) STRESS $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(common) -O2 -D_GNU_SOURCE -static -pthread -o $@ $<

.PHONY: stress
stress: $O/lodge $O/stress/stress guest
	$(Q)LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) O=$O STRESS_SECONDS=$(STRESS_SECONDS) tests/stress/run 1 2 4
