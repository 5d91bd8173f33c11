# SPDX-License-Identifier: BSD-2-Clause
# build/conformance: the software engine against the host's processor (tests/conformance).

conformance_sources := $(sort $(wildcard tests/conformance/*.c))
conformance_objects := $(call objects_in,$O/obj,$(conformance_sources))
conformance_engine  := $(call objects_in,$O/obj,$(foreach f,lib core x86 engines/translate hosts/linux,$(wildcard src/$f/*.[cS])))

conformance-build: $O/conformance

$O/conformance: $(conformance_objects) $(conformance_engine)
	$(say) LINK $@
	$(Q)$(CC) -g -pthread $(LDFLAGS) -o $@ $^ $(storage_libs) $(LDLIBS)

-include $(patsubst %.o,%.d,$(conformance_objects))
