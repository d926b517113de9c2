# SPDX-License-Identifier: MIT
#
# The smoke lane's hypervisor, build/smoke.elf: tests/smoke around tests/model. Kernel sources and the model
# are compiled with the kernel's flags but for the address: the hypervisor lives in Xen's half of the address
# space, out of the kernel model's reach.

SMOKE_SOURCES := $(sort $(wildcard tests/smoke/*.c tests/model/*.c lib/*.c)) \
	arch/x86/serial.c arch/x86/pte.c tests/smoke/boot.S tests/smoke/trap.S
SMOKE_OBJECTS := $(patsubst %,$(B)/smoke/%.o,$(SMOKE_SOURCES))
smoke_flags = $(subst -fno-pic -mcmodel=kernel,-fpie,$(1))

$(B)/smoke/%.c.o: %.c $(B)/flags | $(B)/include/xen
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(call smoke_flags,$(CFLAGS)) -MMD -MP -c $< -o $@

$(B)/smoke/%.S.o: %.S $(B)/flags | $(B)/include/xen
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(call smoke_flags,$(ASFLAGS)) -MMD -MP -c $< -o $@

$(B)/smoke.lds: tests/smoke/smoke.lds.S $(B)/flags
	$(Q)$(CC) -E -P -x c -D__ASSEMBLY__ $(INCLUDES) -MMD -MP -MT $@ -MF $@.d $< -o $@

$(B)/smoke.elf: $(SMOKE_OBJECTS) $(B)/smoke.lds
	$(call say,LD,$@)
	$(Q)ld -m elf_x86_64 -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --fatal-warnings \
		--no-relax -T $(B)/smoke.lds -Map=$(B)/smoke.map --orphan-handling=error -o $@ $(SMOKE_OBJECTS)

# The second guest: an image of its own, compiled as the kernel is.
SMOKE_GUEST_SOURCES := $(sort $(wildcard tests/smoke/guest/*.c tests/smoke/guest/*.S lib/*.c))
SMOKE_GUEST_OBJECTS := $(patsubst %,$(B)/obj/%.o,$(filter-out %.lds.S,$(SMOKE_GUEST_SOURCES)))

$(B)/smoke-guest.lds: tests/smoke/guest/guest.lds.S $(B)/flags
	$(Q)$(CC) -E -P -x c -D__ASSEMBLY__ $(INCLUDES) -MMD -MP -MT $@ -MF $@.d $< -o $@

$(B)/smoke-guest.elf: $(SMOKE_GUEST_OBJECTS) $(B)/smoke-guest.lds
	$(call say,LD,$@)
	$(Q)ld -m elf_x86_64 -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --fatal-warnings \
		-T $(B)/smoke-guest.lds --orphan-handling=error -o $@ $(SMOKE_GUEST_OBJECTS)

-include $(SMOKE_GUEST_OBJECTS:.o=.d) $(B)/smoke-guest.lds.d
-include $(SMOKE_OBJECTS:.o=.d) $(B)/smoke.lds.d
