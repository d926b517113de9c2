# SPDX-License-Identifier: MIT
#
# Mutants: the code is broken on purpose, and a named test has to find it (tests/mutants/run.py).
# PART=n/5 tries out a fifth of the table; CI takes another one with each commit.

MUTANTS := tests/mutants
PART ?=
MUTANTS_LANE ?= host

.PHONY: check-mutants
check-mutants: $(B)/host/quick/test_suite ## breakages of mm/, each found by the test that the table names (PART=n/5: a fifth)
	$(Q)python3 $(MUTANTS)/run.py $(MUTANTS)/kernel --lane $(MUTANTS_LANE) $(if $(PART),--part $(PART))

.PHONY: check-model-mutants
check-model-mutants: $(B)/host/vmopt/test_trace $(B)/pinion.elf ## breakages of the model, each found by what Xen answered or a test
	$(Q)python3 $(MUTANTS)/run.py $(MUTANTS)/model --lane model --scratch $(B)/mutants-model

# The programs of flips, without sanitizers: those with a machine in them, and what tests the P2M alone.
FLIPS_UNITS := p2m p2m_boot
FLIPS_PROGRAMS := $(VM_TESTS:%=$(B)/host/quick/test_%) $(FLIPS_UNITS:%=$(B)/host/unit/test_%)

.PHONY: flips
flips: $(FLIPS_PROGRAMS) ## 200 operators and constants of mm/ flipped: how many do the tests notice?
	$(Q)nice python3 $(MUTANTS)/flip.py

VM_quick := -O1
$(eval $(call vm_flavour,quick))
$(foreach t,$(VM_TESTS),$(eval $(call vm_program,quick,$(t))))
HOST_unit := -O1
$(eval $(call host_flavour,unit))
$(foreach t,$(FLIPS_UNITS),$(eval $(call host_program,unit,$(t))))
