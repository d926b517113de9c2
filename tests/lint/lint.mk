# SPDX-License-Identifier: MIT
#
# Lint: every rule of the project that a machine can check (tests/lint/lint says which).
# `make lint CHECKS='format tidy'` runs those checks only.

.PHONY: lint
lint: $(B)/compile_commands.json $(B)/pinion.elf ## cppcheck, clang-tidy, clang-format, shellcheck, the project's own rules
	$(Q)B=$(B) tests/lint/lint $(CHECKS)
