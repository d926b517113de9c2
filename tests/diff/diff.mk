# SPDX-License-Identifier: MIT
#
# The model of Xen against Xen: traces of hypercalls on both (tests/diff/diff.py).
#
# The model's replayer is optimised and has no sanitizers: it goes through a million calls.

DIFF := tests/diff/diff.py
DIFF_MODEL := $(B)/host/vmopt/test_trace
VM_vmopt := -O2
VM_SRC_trace := tests/host/trace_model.c
VM_SUITE_trace := y
$(eval $(call vm_flavour,vmopt))
$(eval $(call vm_program,vmopt,trace))

# The same with a model that counts its branches, for tests/diff/branches.py.
DIFF_COUNTED := $(B)/host/vmopt/test_trace_counted
$(DIFF_COUNTED): $(call vm_objects,vmopt,image,$(VM_KERNEL) $(VM_SUITE)) \
		$(call vm_objects,vmopt,host,$(VM_HOST) $(VM_SRC_trace)) \
		$(B)/host/vmcov/xen.o $(B)/host/image.lds
	$(call say,VMLD,$@)
	$(Q)$(CC) $(VM_vmopt) --coverage $(VM_LDFLAGS) -o $@ $(call vm_crt,Scrt1.o crti.o crtbeginS.o) \
		$(filter %.o,$^) -lcmocka $(call vm_crt,crtendS.o crtn.o)

# What tests/host/test_traces.c spoils: two directories above it.
$(B)/host/traces.module: $(wildcard tests/diff/*.py)
	$(Q)mkdir -p $(@D)
	$(Q)SEED=1 $(DIFF) module dom0 4 > $@.new && mv $@.new $@
$(B)/host/vm/test_traces $(B)/host/vmcov/test_traces: | $(B)/host/traces.module

export CALLS SEED

.PHONY: check-diff
check-diff: ## the model of Xen against Xen as dom0 and in a domU (CALLS=20000 SEED=1)
	@$(RIG)/deps build run
	@$(MAKE) --no-print-directory $(if $(V),,-s) $(B)/pinion.elf $(DIFF_MODEL) $(DIFF_COUNTED)
	@$(DIFF) check

.PHONY: record-diff
record-diff: ## what Xen says to the traces of check-diff, for check-host
	@$(RIG)/deps build run
	@$(MAKE) --no-print-directory $(if $(V),,-s) $(B)/pinion.elf
	@$(DIFF) record

check-host: $(DIFF) | $(DIFF_MODEL)
