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

.PHONY: flips
flips: $(B)/host/quick/test_suite ## 200 operators and constants of mm/ flipped: how many does the suite notice?
	$(Q)nice python3 $(MUTANTS)/flip.py

# The suite on the host's machine, without sanitizers: it is the tests that are to find what is wrong.
VM_quick := -O1
$(eval $(call vm_flavour,quick))
$(eval $(call vm_program,quick,suite))
