# What can be made here: `make help`.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 1m
SOAK ?= 3h
LDFLAGS := -X main.version=$(VERSION)

# Debian packages: what a recording needs, what the race detector needs and what verifies a callback's signature, and what
# the peer's side of the bench needs. Another Node than Debian's brings its own npm, beside which Debian's cannot be installed.
RECORD_PACKAGES := chromium ffmpeg fontconfig fonts-noto-cjk fonts-noto-color-emoji
TEST_PACKAGES := $(RECORD_PACKAGES) gcc libc6-dev $(if $(shell command -v npm),,nodejs npm)
BENCH_PACKAGES := $(RECORD_PACKAGES) xvfb pulseaudio

.PHONY: help
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 8

.PHONY: deps
deps: ## install the Debian packages that a recording needs, where they are missing
	@hack/deps.sh $(RECORD_PACKAGES)

.PHONY: build
build: ## build bin/recordhost and the plugins in bin/plugins
	@mkdir -p bin/plugins
	@CGO_ENABLED=0 go build -trimpath -buildvcs=auto -ldflags '$(LDFLAGS)' -o bin/recordhost ./cmd/recordhost
	@CGO_ENABLED=0 go build -trimpath -buildvcs=auto -ldflags '$(LDFLAGS)' -o bin/plugins/ ./plugins/...

.PHONY: demo
demo: deps build ## record the demo page for 10 seconds into recordings/demo.mp4
	@go run ./hack/demo

.PHONY: test
test: ## run every test: units, plugin conformance over gRPC, recordings in a real Chrome
	@hack/deps.sh $(TEST_PACKAGES)
	@hack/test.sh

.PHONY: chaos
chaos: build ## kill and freeze each process at each moment of a recording; about an hour, in pieces: CHAOS="-only worker"
	@hack/deps.sh $(TEST_PACKAGES)
	@go run ./test/chaos $(CHAOS)

.PHONY: fuzz
fuzz: ## look for inputs that break a reader or parser, FUZZTIME (1m) for each
	@hack/deps.sh $(TEST_PACKAGES)
	@hack/fuzz.sh $(FUZZTIME)

.PHONY: soak
soak: ## record over and over for SOAK (3h), and look whether the host takes ever more
	@hack/deps.sh $(TEST_PACKAGES)
	@go run ./test/soak -for $(SOAK)

.PHONY: lint
lint: ## check the code's form: gofmt, go vet, golangci-lint
	@$$(hack/tool.sh golangci-lint) run

.PHONY: proto
proto: ## generate the Go of the wire contracts
	@hack/proto.sh

.PHONY: bench
bench: build ## measure what the README claims, beside the usual way to record a page
	@hack/deps.sh $(BENCH_PACKAGES)
	@go run ./bench

.PHONY: bench-delivery
bench-delivery: ## measure how long after Stop a recording is in its store
	@hack/deps.sh ffmpeg
	@go run ./bench/delivery

.PHONY: clean
clean: ## remove what was built and recorded here
	@rm -rf bin recordings data .tools
