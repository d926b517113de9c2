# SPDX-License-Identifier: MIT
#
# The targets that boot the kernel. Each makes sure of its packages first: tests/rig/deps says which
# sections of tests/rig/packages it wants, and is quick where all is there.

RIG := tests/rig
# The rig reads its variables from the environment, as the user gave them.
RIG_VARIABLES := B LANE MEMORY VCPUS CMDLINE CPU ACCEL XEN XEN_DEBS XEN_ARGS QEMU V TIME SILENCE
export $(RIG_VARIABLES)
N ?= 50

# Before anything is built: a fresh machine has no compiler. LANE=xl has its Xen already.
.PHONY: deps-run deps-check
deps-run:
	@$(RIG)/deps build $(if $(filter xl,$(LANE)),,run)
deps-check:
	@$(RIG)/deps build run check

.PHONY: deps
deps: ## install and download all packages of tests/rig/packages
	@$(RIG)/deps build run check lint rig

.PHONY: run
run: deps-run $(B)/pinion.elf ## boot it on real Xen by `xl create -c`, and say how it went
	@$(RIG)/rig.py run

.PHONY: check-smoke check-dom0 check-domu
check-smoke check-dom0 check-domu: check-%: deps-run $(B)/pinion.elf ## one lane: bare QEMU, initial domain, domU
	@$(RIG)/rig.py check $*

.PHONY: check-expect
check-expect: deps-run $(B)/pinion.elf ## every deliberate failure has to get its word
	@$(RIG)/rig.py expect

.PHONY: check-matrix
check-matrix: deps-run $(B)/pinion.elf ## dom0 lane over CPU models, CPUs and memory sizes
	@$(RIG)/rig.py matrix

.PHONY: check-boots
check-boots: deps-run $(B)/pinion.elf ## N boots as dom0, N as domU (N=50)
	@$(RIG)/rig.py boots $(N)
