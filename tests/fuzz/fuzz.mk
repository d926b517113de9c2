# SPDX-License-Identifier: MIT
#
# Fuzzing: each target is one file that decodes bytes, feeds them to the kernel's own sources, and compares with an oracle.
#
#   tests/fuzz/fuzz_NAME.c --+-- libFuzzer (clang) --> build/fuzz/host/fuzz/fuzz_NAME    make fuzz
#   tests/fuzz/fuzz.c -------+-- replay.c ----------> build/host/san/fuzz_NAME          make check-host
#   FUZZ_SRC_NAME -----------+                            |
#                               tests/fuzz/corpus/NAME ---+
#
# The objects are made by the rules of tests/host/host.mk, in the flavours `fuzz` and `san`.
#
# To add a target: write tests/fuzz/fuzz_NAME.c, put NAME into FUZZ_TARGETS and what it needs besides lib/ into FUZZ_SRC_NAME.

FUZZ_TARGETS := start_info e820 options console_ring elf p2m p2m_boot
FUZZ_SRC_start_info := boot/start_info.c
FUZZ_SRC_e820 := boot/memory_map.c boot/map.c
FUZZ_SRC_options := boot/options.c
FUZZ_SRC_console_ring := xen/console_ring.c
FUZZ_SRC_elf := tests/model/elf.c
FUZZ_SRC_p2m := mm/p2m.c mm/p2m_walk.c mm/p2m_publish.c tests/guest/p2m_random.c tests/host/p2m_pool.c
FUZZ_SRC_p2m_boot := mm/p2m.c mm/p2m_walk.c mm/p2m_publish.c mm/p2m_boot.c mm/m2p.c boot/memory_map.c \
	tests/host/machine.c tests/host/p2m_pool.c

# Those with a machine (tests/host/vm.mk), and their sources.
FUZZ_VM_TARGETS := mm mm_dom0 console
FUZZ_VM_SRC_mm := $(wildcard tests/fuzz/mm*.c)
FUZZ_VM_SRC_mm_dom0 := $(FUZZ_VM_SRC_mm)

# Seconds for all targets together, as the clock has it, and how many run at a time.
SECONDS ?= 600
FUZZ_JOBS ?= 2
FUZZ_TARGET ?= $(FUZZ_TARGETS) $(FUZZ_VM_TARGETS)

HOST_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

# $(call fuzz_program,FLAVOUR,NAME,SOURCE-OF-MAIN,LINK-OPTIONS)
define fuzz_program
$(B)/host/$(1)/fuzz_$(2): $$(call host_objects,$(1),tests/fuzz/fuzz_$(2).c tests/fuzz/fuzz.c \
		tests/fuzz/panic.c $(3) \
		$$(FUZZ_SRC_$(2))) $(B)/host/$(1)/libhost.a
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) $$(HOST_$(1)) $(4) -o $$@ $$^ -lcmocka

-include $$(patsubst %.o,%.d,$$(call host_objects,$(1),tests/fuzz/fuzz_$(2).c tests/fuzz/fuzz.c \
	tests/fuzz/panic.c $(3) $$(FUZZ_SRC_$(2))))
endef

# $(call fuzz_vm_program,FLAVOUR,NAME,SOURCE-OF-MAIN,LINK-OPTIONS)
define fuzz_vm_program
$(B)/host/$(1)/fuzz_$(2): $$(call vm_objects,$(1),image,$$(VM_KERNEL)) \
		$$(call vm_objects,$(1),host,$$(VM_HOST) tests/fuzz/fuzz_$(2).c tests/fuzz/fuzz.c $(3) \
		$$(FUZZ_VM_SRC_$(2))) $(B)/host/$(1)/xen.o $(B)/host/image.lds
	$$(call say,VMLD,$$@)
	$$(Q)$$(CC) $$(VM_$(1)) $(4) $$(VM_LDFLAGS) -o $$@ $$(call vm_crt,Scrt1.o crti.o crtbeginS.o) \
		$$(filter %.o,$$^) $$(call vm_crt,crtendS.o crtn.o)

-include $$(patsubst %.o,%.d,$$(call vm_objects,$(1),host,tests/fuzz/fuzz_$(2).c tests/fuzz/fuzz.c \
	$(3) $$(FUZZ_VM_SRC_$(2))))
endef

# What is looked for are new ways through the kernel: the model and the target are not counted, and run at full speed. (Comparisons are
# not traced, for a byte is never compared as it is. Red zones of globals would lie between the elements of tables that
# sections make: clang has them there. `make check-host` has all of the sanitizers.)
VM_vmfuzz := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -mllvm -asan-globals=0 \
	-fsanitize-coverage=inline-8bit-counters,pc-table -Wno-unused-command-line-argument
$(B)/host/vmfuzz/xen/%.o $(B)/host/vmfuzz/host/%.o: VM_vmfuzz := -O2

$(eval $(call vm_flavour,vmfuzz))
$(foreach t,$(FUZZ_VM_TARGETS),$(eval $(call fuzz_vm_program,vm,$(t),tests/fuzz/replay.c,)))
$(foreach t,$(FUZZ_VM_TARGETS),$(eval $(call fuzz_vm_program,vmfuzz,$(t),,-fsanitize=fuzzer)))

$(eval $(call host_flavour,fuzz))
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_program,san,$(t),tests/fuzz/replay.c,)))
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_program,fuzz,$(t),,-fsanitize=fuzzer)))

# What was found once is looked for each time.
check-host: $(FUZZ_TARGETS:%=$(B)/host/san/fuzz_%) $(FUZZ_VM_TARGETS:%=$(B)/host/vm/fuzz_%)

# libFuzzer is clang's.
.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_TARGETS:%=$(B)/host/fuzz/fuzz_%) $(FUZZ_VM_TARGETS:%=$(B)/host/vmfuzz/fuzz_%)

.PHONY: fuzz
fuzz: ## libFuzzer over parsers and mm/, SECONDS=600 in all, FUZZ_TARGET=names
	$(Q)$(MAKE) --no-print-directory B=$(B)/fuzz CC=clang fuzz-programs
	$(Q)python3 tests/fuzz/run.py --seconds $(SECONDS) --jobs $(FUZZ_JOBS) --programs $(B)/fuzz/host \
		--work $(B)/fuzz --logs $(B)/logs $(FUZZ_TARGET)

.PHONY: fuzz-merge
fuzz-merge: ## keep what `make fuzz` has found, minimised, in tests/fuzz/corpus
	$(Q)$(MAKE) --no-print-directory B=$(B)/fuzz CC=clang fuzz-programs
	$(Q)python3 tests/fuzz/run.py --merge --programs $(B)/fuzz/host \
		--work $(B)/fuzz --logs $(B)/logs $(FUZZ_TARGET)
