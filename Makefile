# Two commands are enough: `make demo` and `make test`. Both install what is missing (as root, on
# Debian 12) and build what is not up to date. See docs/dependencies.md for what is installed.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Everything that tsc reads; a new or changed file makes the build run again.
TYPESCRIPT = $(shell find src bench -name '*.ts' -not -name '*.test.ts' 2>/dev/null)
BUILD_STAMP = dist/.built

help: ## Show this text
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: ## Install what is missing: Debian packages, QEMU, npm packages
	@command -v node >/dev/null || { echo 'Node.js 20.19 or later is needed, and not installed.'; exit 1; }
	@node scripts/setup.mjs

build: setup ## Compile the daemon, the native programs, the guest agent and runtimes
	@$(MAKE) --no-print-directory $(BUILD_STAMP)
	@$(MAKE) --no-print-directory -C native
	@$(MAKE) --no-print-directory -C guest/agent
	@$(MAKE) --no-print-directory -C guest/runtimes/nodejs

$(BUILD_STAMP): $(TYPESCRIPT) package-lock.json tsconfig.json tsconfig.build.json
	@echo 'Compiling TypeScript'
	@npm run --silent build
	@touch $@

images: build ## Build the guest kernel, initramfs and root file system
	@node scripts/build-images.mjs

demo: images ## Deploy three functions and start them cold, warm and from a snapshot
	@node scripts/demo.mjs

check: setup ## Check formatting, style, types, imports and unused code
	@npm run --silent check

test: images ## Run all checks and tests; some boot real microVMs
	@npm run --silent check || { printf '\nThe checks failed; no test was run.\n0 passed, 1 failed, 0 skipped\n'; exit 1; }
	@npx --no-install vitest run

bench: images ## Measure starts, snapshots and invocations
	@node scripts/setup.mjs --bench
	@npm run --silent bench -- start

clean: ## Remove what was built here; the cache of images and packages stays
	rm -rf dist build guest/runtimes/nodejs/openssl.node

.PHONY: help setup build images demo check test bench clean
