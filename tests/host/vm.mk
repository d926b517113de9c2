# SPDX-License-Identifier: MIT
#
# Programs with a machine in them (tests/host/guest.h): the kernel in an image of its own, on the model of Xen.
#
#   kernel, tests/guest, tests/host/image --> image/*.o ---+
#   tests/model, lib/ --> xen/*.o --ld -r, names hidden----+--image.ld--> program
#   tests/host/vm_*.c, the test ---------> host/*.o -------+
#
# The image's objects have the headers of tests/host/machine before those of the kernel: another address space
# (va_base.h), and the model where the kernel has SYSCALL (hypercall_raw.h). All is position-independent, for it is linked
# far up: image and program within 2 GiB of each other.
#
# Flavours: `vm`, with the sanitizers, and `vmcov`, with coverage counters.
#
# To add a program: its sources in tests/host or elsewhere go into VM_SRC_NAME, NAME into VM_TESTS; VM_SUITE_NAME := y
# if the in-guest suite is to be in the image.

VM_KERNEL := $(wildcard arch/x86/*.[cS] boot/*.c lib/*.c mm/*.c xen/*.c) boot/entry_pv.S
VM_KERNEL := $(filter-out boot/pvh.c arch/x86/serial.c,$(VM_KERNEL)) tests/host/image/hooks.c
VM_SUITE := $(wildcard tests/guest/*.c)
VM_XEN := $(wildcard tests/model/*.c lib/*.c) tests/host/model_lib.c
VM_HOST := $(wildcard tests/host/vm_*.c) tests/host/model_errnos.c
VM_WRAP := frame_alloc frame_alloc_reserved boot_alloc_page boot_alloc_run

VM_CFLAGS := -std=gnu11 -g -fPIE -fdata-sections -fno-strict-aliasing -fno-omit-frame-pointer \
	$(WARNINGS) $(DEFINES)
VM_FREESTANDING := -ffreestanding -nostdinc -isystem $(CC_INCLUDE) -isystem $(B)/include \
	-Itests/host/machine -Iinclude -include tests/host/rename.h
VM_HOSTED := -D_GNU_SOURCE -isystem $(B)/include -Itests/host/machine -Iinclude
VM_vm := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
ifneq ($(findstring clang,$(CC)),)
VM_vm += -fsanitize-ignorelist=tests/host/clang.ignore
endif
VM_vmcov := -O0 --coverage

# The program's own start-up code, position-independent too, though the program is not moved.
vm_crt = $(foreach f,$(1),$(shell $(CC) -print-file-name=$(f)))
VM_LDFLAGS := -Wl,--no-relax -no-pie -nostartfiles -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,-T,$(B)/host/image.lds \
	-Wl,-Ttext-segment=0x4cffc0000000 $(VM_WRAP:%=-Wl,--wrap=%)

$(B)/host/image.lds: tests/host/image.ld $(B)/flags | $(B)/include/xen
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -E -P -x c -D__ASSEMBLY__ -Itests/host/machine -Iinclude -MMD -MP -MT $@ -MF $@.d $< -o $@

# The TLB is walked at each flush, and has nothing to find in the guest.
$(B)/host/vm/host/tests/host/vm_tlb.c.o: VM_vm := -O2

# $(call vm_objects,FLAVOUR,PART,SOURCES)
vm_objects = $(patsubst %,$(B)/host/$(1)/$(2)/%.o,$(3))

define vm_flavour
$(B)/host/$(1)/image/%.c.o: %.c tests/host/rename.h $(B)/flags | $(B)/include/xen
	$$(call say,VMCC,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(VM_CFLAGS) $$(VM_FREESTANDING) $$(VM_$(1)) -MMD -MP -c $$< -o $$@

$(B)/host/$(1)/image/%.S.o: %.S $(B)/flags | $(B)/include/xen
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) -g $$(DEFINES) $$(VM_HOSTED) -D__ASSEMBLY__ -MMD -MP -c $$< -o $$@

$(B)/host/$(1)/xen/%.c.o: %.c tests/host/rename.h $(B)/flags | $(B)/include/xen
	$$(call say,VMCC,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(VM_CFLAGS) $$(VM_FREESTANDING) $$(VM_$(1)) -MMD -MP -c $$< -o $$@

$(B)/host/$(1)/host/%.c.o: %.c $(B)/flags | $(B)/include/xen
	$$(call say,VMCC,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(VM_CFLAGS) $$(VM_HOSTED) $$(VM_$(1)) -MMD -MP -c $$< -o $$@

$(B)/host/$(1)/xen.o: $$(call vm_objects,$(1),xen,$$(VM_XEN))
	$$(Q)ld -r -o $$@ $$^
	$$(Q)objcopy -w --keep-global-symbol='model_*' --keep-global-symbol='domain_*' $$@

-include $$(patsubst %.o,%.d,$$(call vm_objects,$(1),image,$$(VM_KERNEL) $$(VM_SUITE)))
-include $$(patsubst %.o,%.d,$$(call vm_objects,$(1),xen,$$(VM_XEN)))
-include $$(patsubst %.o,%.d,$$(call vm_objects,$(1),host,$$(VM_HOST)))
endef

# $(call vm_program,FLAVOUR,NAME)
define vm_program
$(B)/host/$(1)/test_$(2): $$(call vm_objects,$(1),image,$$(VM_KERNEL) $$(if $$(VM_SUITE_$(2)),$$(VM_SUITE))) \
		$$(call vm_objects,$(1),host,$$(VM_HOST) $$(VM_SRC_$(2))) \
		$(B)/host/$(1)/xen.o $(B)/host/image.lds
	$$(call say,VMLD,$$@)
	$$(Q)$$(CC) $$(VM_$(1)) $$(VM_LDFLAGS) -o $$@ $$(call vm_crt,Scrt1.o crti.o crtbeginS.o) \
		$$(filter %.o,$$^) -lcmocka $$(call vm_crt,crtendS.o crtn.o)

-include $$(patsubst %.o,%.d,$$(call vm_objects,$(1),host,$$(VM_SRC_$(2))))
endef

VM_FAULT := map range sync sections memory boot
VM_TESTS := machine services start batch boot_memory crash suite traces $(VM_FAULT:%=fault_%)
VM_SRC_machine := tests/host/test_machine.c
VM_SRC_services := tests/host/test_services.c
VM_SRC_start := tests/host/test_start.c
VM_SRC_batch := tests/host/test_batch.c
VM_SRC_boot_memory := tests/host/test_boot_memory.c
VM_SRC_crash := tests/host/test_crash.c
VM_SRC_suite := tests/host/test_suite.c
VM_SUITE_suite := y
VM_SRC_traces := tests/host/test_traces.c
VM_SUITE_traces := y
$(foreach t,$(VM_FAULT),$(eval VM_SRC_fault_$(t) := tests/host/test_fault_$(t).c \
	tests/host/fault.c tests/host/fault_story.c tests/host/fault_state.c))

# What check-host runs of them, with arguments.
VM_PROGRAMS := $(VM_TESTS:%=$(B)/host/vm/test_%)
VM_RUNS = $(foreach p,domu dom0 domu-large domu-giant,'$(B)/host/$(1)/test_suite $(p)') \
	$(patsubst %,$(B)/host/$(1)/test_%,$(filter-out suite,$(VM_TESTS)))

$(foreach f,vm vmcov,$(eval $(call vm_flavour,$(f))))
$(foreach f,vm vmcov,$(foreach t,$(VM_TESTS),$(eval $(call vm_program,$(f),$(t)))))
-include $(B)/host/image.lds.d
