# peftgraph. `make demo` and `make test` do everything that they need on a machine with Go, gcc, npm or pip.

GO          ?= go
BIN         := bin/peftgraph
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: all build runtime test test-fast check generate demo bench clean

all: build

build:
	$(GO) build -o $(BIN) ./cmd/peftgraph

# Gets libonnxruntime into the per-user cache unless one is found already.
runtime: build
	@$(BIN) runtime info >/dev/null 2>&1 || $(BIN) runtime install

# Everything, with onnxruntime.
test: runtime
	$(GO) test ./...

# What needs no libonnxruntime: seconds. The few tests that do say that they skip.
test-fast:
	PEFTGRAPH_ORT_LIB=/nonexistent $(GO) test . ./graph/... ./inject/... ./models/... ./train/...

# Formatting, vet, staticcheck, and generated files up to date.
check: generate
	@test -z "$$(gofmt -l .)" || { gofmt -l . ; echo 'gofmt would change these files' ; exit 1 ; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	git diff --exit-code

generate:
	$(GO) generate ./...

# From nothing to a deployed, proven model. QUICK=1 trains on a part of the data for one epoch.
demo: build
	@cmd/peftgraph/demo/demo.sh $(BIN) demo-out

# What a training step and an injection cost, as Markdown. ARGS=-sweep also compares other settings with the defaults.
bench: runtime
	$(GO) run ./train/bench -peftgraph $(BIN) $(ARGS)

clean:
	rm -rf bin demo-out
