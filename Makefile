# SPDX-License-Identifier: MIT
#
# Pinion's build. `make help` lists the targets; V=1 shows the commands.
#
# One ELF, build/pinion.elf, is what every lane boots. Everything made lies in build/; what was
# downloaded lies in .cache/, where `make clean` leaves it.

B ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# The compiler's own headers (stdint, stddef, stdarg, stdbool), and Xen's through one link: nothing else.
CC_INCLUDE := $(shell $(CC) -print-file-name=include)
WARNINGS := -Wall -Wextra -Wstrict-prototypes -Wmissing-prototypes -Wshadow -Wvla -Wundef \
	-Wpointer-arith -Wwrite-strings -Werror
DEFINES := -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__
INCLUDES := -nostdinc -isystem $(CC_INCLUDE) -isystem $(B)/include -Iinclude
TARGET := -m64 -ffreestanding -fno-pic -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
	-fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fcf-protection=none
CFLAGS := -std=gnu11 -O2 -g $(TARGET) $(WARNINGS) $(DEFINES) $(INCLUDES)
ASFLAGS := -g -Wa,--fatal-warnings $(TARGET) $(DEFINES) $(INCLUDES) -D__ASSEMBLY__

KERNEL_DIRS := arch/x86 boot lib mm xen tests/guest
SOURCES := $(sort $(wildcard $(KERNEL_DIRS:=/*.c) $(KERNEL_DIRS:=/*.S)))
OBJECTS := $(patsubst %,$(B)/obj/%.o,$(SOURCES))

.PHONY: all
all: $(B)/pinion.elf $(B)/compile_commands.json ## the kernel, build/pinion.elf

# An object depends on how it was made: a change of compiler or flags makes it anew.
FLAGS_NOW := $(CC) $(CFLAGS) $(ASFLAGS)
ifneq ($(FLAGS_NOW),$(file <$(B)/flags))
$(shell mkdir -p $(B) && rm -f $(B)/flags)
$(file >$(B)/flags,$(FLAGS_NOW))
endif
$(B)/flags: ;

# Debian's libxen-dev has the headers of more than one Xen side by side with nothing to choose.
XEN_HEADERS ?= /usr/include/xen
$(B)/include/xen:
	$(Q)test -e $(XEN_HEADERS)/xen.h || { echo "Xen's headers are not in $(XEN_HEADERS): run 'make deps'"; exit 1; }
	$(Q)mkdir -p $(@D) && ln -sfn $(XEN_HEADERS) $@

$(B)/obj/%.c.o: %.c $(B)/flags | $(B)/include/xen
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/obj/%.S.o: %.S $(B)/flags | $(B)/include/xen
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ASFLAGS) -MMD -MP -c $< -o $@

$(B)/linker.lds: linker.ld $(B)/flags | $(B)/include/xen
	$(Q)$(CC) -E -P -x c -D__ASSEMBLY__ $(INCLUDES) -MMD -MP -MT $@ -MF $@.d $< -o $@

# The list of objects is a prerequisite too, so that a removed source does not stay linked in.
OBJECTS_NOW := $(OBJECTS)
ifneq ($(OBJECTS_NOW),$(file <$(B)/objects))
$(file >$(B)/objects,$(OBJECTS_NOW))
endif
$(B)/objects: ;

$(B)/pinion.elf: $(OBJECTS) $(B)/linker.lds $(B)/objects
	$(call say,LD,$@)
	$(Q)ld -m elf_x86_64 -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --fatal-warnings \
		-T $(B)/linker.lds -Map=$(B)/pinion.map --orphan-handling=error -o $@ $(OBJECTS)
	$(Q)nm -n $@ > $(B)/pinion.sym
	$(Q)objdump -d $@ > $(B)/pinion.dis

$(B)/compile_commands.json: $(B)/flags $(B)/objects
	$(Q)python3 tests/lint/compile_commands.py $(B) '$(CC) $(CFLAGS)' $(filter %.c,$(SOURCES)) > $@

-include $(OBJECTS:.o=.d) $(B)/linker.lds.d
-include tests/host/host.mk tests/fuzz/fuzz.mk tests/smoke/smoke.mk tests/lint/lint.mk tests/mutants/mutants.mk tests/rig/rig.mk tests/diff/diff.mk

# Every lane, each also by itself as check-LANE. All of them run, whatever fails; the rig adds up.
CHECK_LANES := host smoke dom0 domu expect rig

.PHONY: check
check: ## every lane, the table of expected verdicts, the rig's own tests
	@tests/rig/deps build run check lint
	@tests/rig/rig.py start
	@rm -f $(B)/logs/host.count
	@for lane in $(CHECK_LANES); do $(MAKE) --no-print-directory check-$$lane; done; \
		tests/rig/rig.py count host $$(sed 's/[^0-9. ]//g' $(B)/logs/host.count); \
		tests/rig/rig.py total $(CHECK_LANES)

.PHONY: check-rig
check-rig: $(B)/pinion.elf ## the rig's own tests: recorded consoles, and parts replaced
	@tests/rig/check-rig $(B)/logs/rig.tap

.PHONY: clean
clean: ## remove build/; downloads stay
	rm -rf $(B)

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-z0-9 -]*\):.*## */\1	/p' $(MAKEFILE_LIST) | sort | awk -F'\t' '{printf "  %-34s %s\n", $$1, $$2}'
	@echo 'Variables: LANE=domu|dom0|smoke|xl MEMORY= VCPUS= CMDLINE= CPU= ACCEL= XEN=path XEN_DEBS=dir'
	@echo '           XEN_ARGS= QEMU= QEMU_ARGS= V=1 CC=    see docs/debugging.md'
