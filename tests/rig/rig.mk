# SPDX-License-Identifier: MIT
#
# The targets that boot the kernel. Each makes sure of its packages first: tests/rig/deps says which
# sections of tests/rig/packages it wants, and is quick where all is there.

RIG := tests/rig
# The rig reads its variables from the environment, as the user gave them.
RIG_VARIABLES := B LANE MEMORY VCPUS CMDLINE CPU ACCEL XEN XEN_DEBS XEN_ARGS QEMU QEMU_ARGS V TIME SILENCE
export $(RIG_VARIABLES)
N ?= 50

# Packages first, then the kernel by a make of its own: a fresh machine has no compiler yet when this
# one reads its Makefile. LANE=xl has its Xen already.
define rig
@$(RIG)/deps build $(if $(filter xl,$(LANE)),,run)
@$(MAKE) --no-print-directory $(if $(V),,-s) $(B)/pinion.elf $(if $(filter smoke expect,$(LANE) $(1)),$(B)/smoke.elf $(B)/smoke-guest.elf)
@$(RIG)/rig.py $(1)
endef

.PHONY: deps
deps: ## install and download all packages of tests/rig/packages
	@$(RIG)/deps build run check lint rig

.PHONY: run
run: ## boot it on real Xen by `xl create -c`, and say how it went
	$(call rig,run)

.PHONY: check-smoke check-dom0 check-domu
check-smoke check-dom0 check-domu: check-%: ## one lane: without Xen, initial domain, domU
	$(call rig,check $*)

.PHONY: check-expect
check-expect: ## every deliberate failure has to get its word
	$(call rig,expect)

.PHONY: check-matrix
check-matrix: ## dom0 lane over CPU models, CPUs and memory sizes
	$(call rig,matrix)

.PHONY: check-boots
check-boots: ## N boots as dom0, N as domU (N=50)
	$(call rig,boots $(N))

.PHONY: bench
bench: ## benchmarks of a domU, in instructions (guest and Xen); build/bench.tsv
	$(call rig,bench)

.PHONY: soak
soak: ## a million operations of each random test, as dom0
	@LANE=dom0 TIME=3600 SILENCE=1800 CMDLINE='tests=*_random ops=1000000' \
		$(MAKE) --no-print-directory run

# A kernel, two cfgs and one script: enough for any Xen host, and nothing else is needed there.
DIST := $(B)/pinion-dist
.PHONY: dist-test
dist-test: $(B)/pinion.elf ## build/pinion-dist and its .tar.gz: the suite for any Xen host
	@rm -rf $(DIST) $(DIST).tar.gz
	@mkdir -p $(DIST)
	@cp $(B)/pinion.elf $(RIG)/xl-run LICENSE $(DIST)
	@cp $(RIG)/cfg/*.cfg $(DIST)
	@sed -i -e 's,$(RIG)/cfg/,,' -e 's,"build/pinion.elf","pinion.elf",' $(DIST)/*.cfg
	@tar -C $(B) -czf $(DIST).tar.gz pinion-dist
	@echo "$(DIST).tar.gz: copy it to a Xen host, unpack it, run pinion-dist/xl-run"
