# make demo    the whole thing on this machine: a gateway pair, a client, the plug pulled
# make test    every test; make deb, make bench, make bench-takeover, make bench-failover, make load, make bed-trixie, make lab-long: see README.md
#
# Everything is built inside the checkout: .build (debug and tests), .build-release, build (the package).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build
.PHONY: lint deps deps-% swift root build release test deb demo bench bench-takeover bench-failover load bed-trixie lab-long clean

VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' Packaging/debian/changelog)
DEB := build/vpnha_$(VERSION)_amd64.deb
SOURCES := Package.swift Makefile README.md $(shell find agents Sources Packaging docs $(wildcard metadata) -type f)

AGENTS := $(basename $(notdir $(wildcard metadata/*.xml)))
SWIFT_BUILD := swift build --disable-local-rpath
# No sandbox: the package has no plugins, and one is not to be had everywhere a package is built.
RELEASE_BUILD := $(SWIFT_BUILD) -c release --static-swift-stdlib --disable-sandbox --scratch-path .build-release

deps:
	Packaging/dependencies
deps-%:
	Packaging/dependencies $(subst -, ,$*)

swift:
	@command -v swift >/dev/null || { printf '%s\n' \
	  "vpnha needs Swift 6.1 or newer, and there is no 'swift' on PATH." \
	  "Install the toolchain for Debian 12 from swift.org and put its usr/bin on PATH." >&2; exit 1; }

root:
	@[ "$$(id -u)" -eq 0 ] || { \
	  echo "make $(MAKECMDGOALS) needs root: it makes network namespaces and virtual nodes (which it removes again)" >&2; exit 1; }

build: swift deps-build
	$(SWIFT_BUILD)

# The linker finds the static libstdc++ here before the toolchain's choice (see Package.swift).
.linkdir/libstdc++.a: | deps-build
	mkdir -p .linkdir
	ln -sf "$$(g++ -print-file-name=libstdc++.a)" $@

# The agents as the package has them: one program under the name of each. Valgrind cannot read its debugging information.
release: swift .linkdir/libstdc++.a
	for program in vpnha-agents vpnha-alert vpnha-ledger vpnha; do $(RELEASE_BUILD) --product $$program || exit; done
	objcopy --strip-debug .build-release/release/vpnha-agents .build-release/release/agents
	for agent in $(AGENTS); do ln -f .build-release/release/agents .build-release/release/$$agent; done

deb: $(DEB)
$(DEB): $(SOURCES) | swift deps-build-deb
	$(MAKE) release
	Packaging/make-deb $(VERSION) .build-release/release

# The layout that swift-format gives (.swift-format): first, because it takes three seconds.
lint: swift
	swift format lint --strict --parallel --recursive Sources agents Tests Lab Package.swift

test: swift lint deps $(DEB)
	Tests/run $(DEB)

demo: root swift deps-build-deb-lab $(DEB)
	Lab/lab demo --deb $(DEB)

bench: root swift deps-build-bench release
	Tests/Bench/bench .build-release/release

bench-takeover: root swift deps-test release
	Tests/Bench/takeover .build-release/release

bench-failover: root swift deps-build-deb-lab $(DEB)
	Lab/lab bench-failover --deb $(DEB)

# Scripted clients by the hundred: set-up, a planned move, a power cut. VPNHA_SESSIONS: how many.
load: root swift deps-build-deb-lab $(DEB)
	$(RELEASE_BUILD) --product vpnha-load
	Lab/lab load --sessions $${VPNHA_SESSIONS:-100} --deb $(DEB)

# The bed's table once more, on nodes of Debian 13: its Pacemaker, pcs, crmsh, strongSwan and the rest, this machine's kernel.
bed-trixie: root swift deps-build-deb-test-release $(DEB)
	Tests/Bed/release trixie build/trixie
	Tests/Bed/bed --table --root build/trixie --deb $(DEB)

# Fifty times and more the mutations of make test, too, and events by chance on a live cluster; a failure names its seed.
lab-long: root swift deps-build-deb-lab $(DEB)
	VPNHA_MUTATIONS=1000000 swift test --disable-xctest --filter survivesMutations </dev/null
	Tests/Site/site ansible --deb $(DEB)
	Tests/Bed/bed --table --long --deb $(DEB)
	Tests/Bed/bed --deb $(DEB) --seed $${VPNHA_SEED:-$$RANDOM} --minutes 30
	Lab/lab long --deb $(DEB)

clean:
	rm -rf .build .build-release .linkdir build
