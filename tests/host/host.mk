# SPDX-License-Identifier: MIT
#
# The host lane: unit tests of the kernel's own sources, as programs of this machine.
#
#   kernel source --(rename.h)--> object --+
#   tests/host/host.c, console.c ----------+--> build/host/FLAVOUR/test_NAME --run.py--> verdict
#   tests/host/test_NAME.c ----------------+
#
# A kernel source is compiled as in the kernel (freestanding, without the libc's headers), but for
# this machine's user space, with the headers of tests/host/alone in place of those through which
# mm/ knows the machine. Functions that the libc has too get other names on the way: rename.h is
# included before anything else and makes memcpy pinion_memcpy, so that a test can call both. (A
# memcpy that the compiler itself puts in is the libc's, and of no interest here.)
#
# Flavours: `san`, with the address and undefined-behaviour sanitizers, for all tests; `plain`,
# optimised as the kernel is, for those where an optimiser might do harm; `cov`, with coverage
# counters (CC must be gcc: gcovr asks gcov).
#
# To add a test: write tests/host/test_NAME.c, put NAME into HOST_TESTS and the kernel sources that
# it needs besides lib/ into HOST_SRC_NAME.

HOST_TESTS := string printf print errno bitmap parse crc32 rand options options_random \
	memory_map p2m p2m_boot elf
HOST_PLAIN_TESTS := string printf
HOST_SRC_options := boot/options.c
HOST_SRC_options_random := boot/options.c
HOST_SRC_memory_map := boot/memory_map.c
# Tests of the model itself.
HOST_MODEL_TESTS := model_types model_tables model_entry model_update model_va model_random model_ext model_segment model_call \
	model_check model_memory model_maps model_calls
HOST_TESTS += $(HOST_MODEL_TESTS) domain
$(foreach t,$(HOST_MODEL_TESTS),$(eval HOST_SRC_$(t) := tests/host/model_kit.c tests/host/model_errnos.c))
HOST_SRC_model_entry += arch/x86/pte.c
$(foreach t,$(HOST_MODEL_TESTS),$(eval HOST_MODEL_$(t) := y))
HOST_SRC_p2m := mm/p2m.c mm/p2m_walk.c mm/p2m_publish.c tests/guest/p2m_random.c \
	tests/host/p2m_pool.c
HOST_SRC_p2m_boot := mm/p2m.c mm/p2m_walk.c mm/p2m_publish.c mm/p2m_boot.c mm/m2p.c \
	boot/memory_map.c tests/host/machine.c tests/host/p2m_pool.c
HOST_SRC_elf := tests/model/elf.c
HOST_SRC_domain := boot/start_info.c tests/host/domain_kit.c tests/host/model_errnos.c
HOST_MODEL_domain := yes

include tests/host/vm.mk

HOST_LIB := $(wildcard lib/*.c) tests/host/host.c tests/host/console.c
HOST_SECONDS ?= 120

# Xen's rules (tests/model), compiled as the kernel is; a test whose HOST_MODEL_NAME is set is linked with them.
MODEL_SRC := $(wildcard tests/model/*.c)

HOST_CFLAGS := -std=gnu11 -g -fno-strict-aliasing -fno-omit-frame-pointer $(WARNINGS) $(DEFINES)
HOST_KERNEL_CFLAGS := -ffreestanding -nostdinc -isystem $(CC_INCLUDE) -isystem $(B)/include \
	-Itests/host/alone -Iinclude -include tests/host/rename.h
HOST_TEST_CFLAGS := -isystem $(B)/include -Itests/host/alone -Iinclude
HOST_san := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
HOST_plain := -O2
HOST_cov := -O0 --coverage

# $(call host_objects,FLAVOUR,SOURCES)
host_objects = $(patsubst %.c,$(B)/host/$(1)/%.o,$(2))

define host_flavour
$(B)/host/$(1)/tests/%.o: tests/%.c $(B)/flags | $(B)/include/xen
	$$(call say,HOSTCC,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(HOST_CFLAGS) $$(HOST_TEST_CFLAGS) $$(HOST_$(1)) -MMD -MP -c $$< -o $$@

# The model is freestanding, as the smoke lane's hypervisor needs it.
$(B)/host/$(1)/tests/model/%.o: tests/model/%.c tests/host/rename.h $(B)/flags | $(B)/include/xen
	$$(call say,HOSTCC,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(HOST_CFLAGS) $$(HOST_KERNEL_CFLAGS) $$(HOST_$(1)) -MMD -MP -c $$< -o $$@

$(B)/host/$(1)/%.o: %.c tests/host/rename.h $(B)/flags | $(B)/include/xen
	$$(call say,HOSTCC,$$<)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CC) $$(HOST_CFLAGS) $$(HOST_KERNEL_CFLAGS) $$(HOST_$(1)) -MMD -MP -c $$< -o $$@

$(B)/host/$(1)/libhost.a: $$(call host_objects,$(1),$$(HOST_LIB))
	$$(Q)rm -f $$@ && ar rcs $$@ $$^

$(B)/host/$(1)/libmodel.a: $$(call host_objects,$(1),$$(MODEL_SRC))
	$$(Q)rm -f $$@ && ar rcs $$@ $$^

-include $$(patsubst %.o,%.d,$$(call host_objects,$(1),$$(HOST_LIB) $$(MODEL_SRC)))
endef

# $(call host_program,FLAVOUR,NAME)
define host_program
$(B)/host/$(1)/test_$(2): $$(call host_objects,$(1),tests/host/test_$(2).c $$(HOST_SRC_$(2))) \
		$$(if $$(HOST_MODEL_$(2)),$(B)/host/$(1)/libmodel.a) $(B)/host/$(1)/libhost.a
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) $$(HOST_$(1)) -o $$@ $$^ -lcmocka

-include $$(patsubst %.o,%.d,$$(call host_objects,$(1),tests/host/test_$(2).c $$(HOST_SRC_$(2))))
endef

$(foreach f,san plain cov,$(eval $(call host_flavour,$(f))))
$(foreach f,san cov,$(foreach t,$(HOST_TESTS),$(eval $(call host_program,$(f),$(t)))))
$(foreach t,$(HOST_PLAIN_TESTS),$(eval $(call host_program,plain,$(t))))

# It reads the kernel's own image, from two directories above its own.
$(B)/host/san/test_elf $(B)/host/cov/test_elf: | $(B)/pinion.elf

HOST_PROGRAMS := $(HOST_TESTS:%=$(B)/host/san/test_%) $(HOST_PLAIN_TESTS:%=$(B)/host/plain/test_%)

.PHONY: check-host
check-host: $(HOST_PROGRAMS) $(VM_PROGRAMS) ## the kernel on a model of Xen, and unit tests, on this machine
	$(Q)mkdir -p $(B)/logs
	$(Q)rm -f $(B)/logs/errnos
	$(Q)MODEL_ERRNOS=$(B)/logs/errnos python3 tests/host/run.py --seconds $(HOST_SECONDS) --logs $(B)/logs \
		--count host.count $(call VM_RUNS,vm) $(filter-out $(VM_PROGRAMS),$^)
	$(Q)tests/host/errnos.py $(B)/logs/errnos

# Counters of an earlier run would be added to.
COV_PROGRAMS := $(HOST_TESTS:%=$(B)/host/cov/test_%) $(VM_TESTS:%=$(B)/host/vmcov/test_%)
.PHONY: coverage
coverage: $(COV_PROGRAMS) ## how much of each file the host's tests reach
	$(Q)mkdir -p $(B)/logs
	$(Q)find $(B)/host/cov $(B)/host/vmcov -name '*.gcda' -delete
	$(Q)python3 tests/host/run.py --seconds $(HOST_SECONDS) --logs $(B)/logs \
		--count coverage.count $(call VM_RUNS,vmcov) $(HOST_TESTS:%=$(B)/host/cov/test_%) \
		> $(B)/logs/coverage.tap || { cat $(B)/logs/coverage.tap; exit 1; }
	$(Q)tests/host/coverage.py --below tests/host/coverage.below $(B)/host/cov $(B)/host/vmcov
