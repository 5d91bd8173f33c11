# SPDX-License-Identifier: BSD-2-Clause
# Tests and measurements on a computer in QEMU whose KVM works (tools/rig).

.PHONY: test-rigs bench-rig
test-rigs:
	$(Q)tools/install-packages run test rig
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest guests $O/unit-tests-linux
	$(Q)O=$O LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) tests/rigs/run

bench-rig:
	$(Q)tools/install-packages run rig
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest
	$(Q)O=$O LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) bench/rig/run
