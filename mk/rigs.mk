# SPDX-License-Identifier: BSD-2-Clause
# Tests and measurements on a computer in QEMU whose KVM works (tools/rig).

# Real Debian systems: minutes, and a mirror.
.PHONY: test-debian
test-debian:
	$(Q)tools/install-packages run test deb debian
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest
	$(Q)status=0; for test in cloud-init user-unit disks; do \
		LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) tests/debian/$$test || status=1; done; exit $$status

.PHONY: test-rigs bench-rig
test-rigs:
	$(Q)tools/install-packages run test rig
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest guests $O/unit-tests-linux
	$(Q)O=$O LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) tests/rigs/run

bench-rig:
	$(Q)tools/install-packages run rig
	$(Q)$(MAKE) --no-print-directory $(parallel) all guest
	$(Q)O=$O LODGE=$O/lodge LODGE_GUEST_DIR=$(guest) bench/rig/run
