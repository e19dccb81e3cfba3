# SPDX-License-Identifier: Apache-2.0
# The one place for verbs: what a person types and what CI calls. Each does its own set-up, so none needs another first.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo demo-hpa build image test test-faults e2e
.PHONY: check check-tsan check-tidy check-seeds check-fuzz bench soak results seeds fuzz fmt tidy clean

JOBS ?= $(shell nproc)
# Tests at once: most of them wait for servers and clocks, and use a third of a core.
TEST_JOBS ?= $(shell echo $$((($$(nproc) * 3 + 1) / 2)))
SECONDS ?= 30
SEEDS ?= 10000
TIDY_MINUTES ?= 30
ARGS ?=
RESULTS := $(CURDIR)/build/results
RELEASE := $(CURDIR)/build/release/sluice

symbolizer := external_symbolizer_path=/usr/bin/llvm-symbolizer-19
export ASAN_OPTIONS ?= $(symbolizer):detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS ?= $(symbolizer):print_stacktrace=1
export TSAN_OPTIONS ?= $(symbolizer):halt_on_error=1:second_deadlock_stack=1

# $(call configure,PRESET): cmake speaks only when it fails, or when what it was asked for has changed.
configure = mkdir -p build && \
  { cmake --preset $(1) >build/configure-$(1).log 2>&1 || { cat build/configure-$(1).log; exit 1; }; }
# $(call ctest,STEP,PRESET,OPTIONS): runs the tests, then says how many cases passed; fails when one did not.
ctest = rm -rf $(RESULTS)/$(1) && mkdir -p $(RESULTS)/$(1) && \
  { GTEST_OUTPUT=xml:$(RESULTS)/$(1)/ SLUICE_RESULTS=$(RESULTS)/$(1) ctest --test-dir build/$(2) -j $(TEST_JOBS) $(3) \
      --no-tests=error --output-on-failure --output-junit $(RESULTS)/$(1)/ctest.junit; status=$$?; \
    python3 tools/summary.py $(RESULTS)/$(1) || status=1; exit $$status; }

help: ## these lines
	@sed -nE 's/^([a-z-]+):.*## (.*)$$/\1|\2/p' $(MAKEFILE_LIST) | awk -F"|" '{printf "make %-11s %s\n", $$1, $$2}'

demo: build ## 200 messages are published, workers come one by one, do them and leave; about 70 s after the build
	@$(RELEASE) demo $(ARGS)

build: ## the static release binary, at build/release/sluice
	@tools/setup build
	@$(call configure,release)
	@ninja -C build/release -j $(JOBS) sluice

# Of the commit alone, so that who builds it again from that gets the same bytes.
image: build ## the container image, put together without a container engine, at build/image/sluice-VERSION.tar
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null)} python3 tools/image.py \
	  --revision "$$(git rev-parse --short=12 HEAD 2>/dev/null)" $(if $(filter image,$(MAKECMDGOALS)),$(ARGS))

test: ## builds with ASan and UBSan, runs unit and integration tests, sums them up
	@tools/setup test
	@$(call configure,dev)
	@ninja -C build/dev -j $(JOBS)
	@$(call ctest,test,dev)

e2e: image ## a real Kubernetes cluster: built (8 min the first time), started, tested; needs root and Go 1.26
	@tools/setup e2e
	@tests/e2e/cluster/kube/build.sh
	@$(call configure,dev)
	@ninja -C build/dev -j $(JOBS) sluice sluice_no_lease
	@files=$$(gofmt -l tests/e2e); test -z "$$files" || { echo "not formatted, make fmt does it: $$files"; exit 1; }
	@rm -rf $(RESULTS)/e2e && mkdir -p $(RESULTS)/e2e && status=0; \
	SLUICE_RESULTS=$(RESULTS)/e2e python3 tests/e2e/run.py || status=1; \
	python3 tools/summary.py $(RESULTS)/e2e || status=1; exit $$status

demo-hpa: image ## the stock HPA on a Pub/Sub backlog beside one on CPU, on a real cluster; 10 min (ARGS=--fast: 2)
	@tools/setup e2e
	@tests/e2e/cluster/kube/build.sh
	@SLUICE_BIN=$(RELEASE) python3 tests/e2e/demo_hpa.py $(ARGS)

# `make -k check` goes on to the next part when one fails, and still ends in failure.
check: check-tsan check-tidy check-seeds check-fuzz ## the slower checks: ThreadSanitizer, lints, seeds, fuzzers

check-tsan:
	@tools/setup test
	@$(call configure,tsan)
	@ninja -C build/tsan -j $(JOBS) unit_tests
	@$(call ctest,tsan,tsan,-L unit -E '^tidy')

check-tidy:
	@tools/setup test
	@$(call configure,dev)
	@python3 tools/counted.py format $(RESULTS)/tidy -- python3 tools/format.py --check
	@python3 tools/counted.py clang-tidy $(RESULTS)/tidy -- \
	  python3 tools/clang_tidy.py --build build/dev --jobs $(JOBS) --minutes $(TIDY_MINUTES)

check-seeds: seeds

check-fuzz: fuzz

seeds: ## runs the simulation with SEEDS=10000 different seeds
	@tools/setup test
	@$(call configure,seeds)
	@ninja -C build/seeds -j $(JOBS) sim_seeds
	@python3 tools/counted.py seeds $(RESULTS)/seeds -- build/seeds/sim_seeds --seeds $(SEEDS)
	@python3 tools/counted.py planted-bugs $(RESULTS)/seeds -- build/seeds/sim_seeds --bug all

fuzz: ## runs every fuzzer for SECONDS=30, two at a time
	@tools/setup test
	@$(call configure,fuzz)
	@ninja -C build/fuzz -j $(JOBS) fuzzers
	@python3 tools/counted.py fuzz $(RESULTS)/fuzz -- python3 tools/fuzz.py --build build/fuzz --seconds $(SECONDS)

bench: ## prints each figure beside its reference, from the release build
	@tools/setup test
	@$(call configure,release)
	@ninja -C build/release -j $(JOBS) sluice benches
	@SLUICE_BIN=$(RELEASE) python3 tools/bench.py --build build/release $(ARGS)

results: build ## what lag costs beside its rivals on eleven workloads; goes to docs/results/policies.md (SLUICE_TRACES)
	@SLUICE_BIN=$(RELEASE) python3 tools/results.py $(ARGS)

soak: build ## the integration tests with their full counts, on the release binary; results go to docs/results/
	@tools/setup e2e
	@$(call configure,dev)
	@ninja -C build/dev -j $(JOBS) sluice sluice_no_lease
	@SLUICE_BIN=$${SLUICE_BIN:-$(RELEASE)} python3 tools/soak.py $(ARGS)

test-faults: build ## every row of the fault table in full, on the release binary; goes to docs/results/faults.md
	@tools/setup e2e
	@SLUICE_BIN=$${SLUICE_BIN:-$(RELEASE)} python3 tools/faults.py $(ARGS)

fmt: ## formats every source file in place
	@tools/setup test
	@python3 tools/format.py
	@! command -v gofmt >/dev/null || gofmt -w tests/e2e

tidy: ## the house rules on everything, clang-tidy on what differs from the main branch
	@tools/setup test
	@$(call configure,dev)
	@python3 tools/tidy.py
	@python3 tools/clang_tidy.py --build build/dev --jobs $(JOBS) --changed

clean: ## removes everything that was built
	@rm -rf build
