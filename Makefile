# Throughline. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CACHE  := .cache
BIN    := bin
MODULES := schemas pkg services/ingestor services/classifier services/clusterer services/context-publisher services/standalone scripts/repocheck scripts/benchingest scripts/benchhistory
NPM    := npm install --no-package-lock --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error

SOAK   := 20000
FUZZTIME := 60s
ROWS := 1000000
VERSION := dev
ITEMS := 5000
BURST := 50000
MINUTES := 30

# The end-to-end tests that begin the shape they are told to.
SCRIPTS := TestPeopleNotMessages|TestTheFirstChange|TestAgentsAndHostileWords|TestThePageInABrowser

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

models: $(CACHE)/models/bge-small-en-v1.5-q/.installed ## install the weights of the embedded model
$(CACHE)/models/bge-small-en-v1.5-q/.installed: scripts/models/fetch.sh
	$< $(CACHE)/models
	@touch $@

heads: models ## fit the classifier's heads anew on services/classifier/seed
	go run ./services/classifier/fitheads -models $(CACHE)/models -seed services/classifier/seed -output services/classifier/internal/judge/heads.bin

mcp-client: $(CACHE)/mcpclient/.installed
$(CACHE)/mcpclient/.installed: scripts/mcpclient/package.json scripts/mcpclient/client.mjs
	@mkdir -p $(@D) && cp $^ $(@D)/
	$(NPM) --prefix $(@D)
	@touch $@

browser: $(CACHE)/browser/.installed ## install Debian's Chromium, if there is none, and what drives it
$(CACHE)/browser/.installed: scripts/browser/package.json scripts/browser/page.mjs scripts/browser/bench.mjs
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || { echo "install Chromium (Debian: apt-get install chromium)"; exit 1; }
	@mkdir -p $(@D) && cp $^ $(@D)/
	$(NPM) --prefix $(@D)
	@touch $@

nats-server: $(CACHE)/nats/nats-server ## build the NATS server that the tests run as a server of its own
$(CACHE)/nats/nats-server: pkg/go.mod
	@mkdir -p $(@D)
	go build -o $@ github.com/nats-io/nats-server/v2

mcp-conformance: $(CACHE)/mcpconformance/.installed ## install the MCP conformance suite
$(CACHE)/mcpconformance/.installed: scripts/mcpconformance/package.json
	@mkdir -p $(@D) && cp $< $(@D)/
	$(NPM) --prefix $(@D) --no-save node-$$(node -p "process.platform+'-'+process.arch")@24.21.0
	@touch $@

run: build install ## start the all-in-one, empty
	$(BIN)/throughline up

demo: build install ## send real feedback through signed webhooks and show what comes of it (DEMO_ARGS=--exit to stop after)
	$(BIN)/throughline demo $(DEMO_ARGS)

# What the tests need besides the code.
test-tools: install mcp-client mcp-conformance browser nats-server prometheus

test: test-tools build test-alerts ## run every test with the race detector
	go test -race -timeout 12m work

fuzz: ## try every decoder with hostile input, a minute each (FUZZTIME=5m for longer)
	@for f in $$(grep -rl '^func Fuzz' --include=*_test.go services/ingestor); do for n in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\)(.*/\1/p' $$f); do \
		echo "$$(dirname $$f) $$n"; go test -run '^$$' -fuzz "^$$n$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s ./$$(dirname $$f) || exit 1; done; done

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

eval: build models ## measure quality on the bundled sets (DATA=DIR adds others)
	python3 scripts/eval/eval.py --data "$(DATA)" $(EVAL_ARGS)

bench: install ## run the benchmarks
	go test -run '^$$' -bench . -benchmem work

# The benchmarks whose allocations and processor time of an item are gates.
GATES := Webhook|Classify/bge.*/40words|Insert/(10000|rows=5000)$$|Append/barrier/callers=64|Lexical|Encode/pieces=40/together=64
.PHONY: $(CACHE)/bench.txt
$(CACHE)/bench.txt: install
	go test -p 1 -run '^$$' -bench '$(GATES)' -benchtime 500ms -count 5 -benchmem ./services/ingestor ./services/classifier ./services/clusterer/internal/space ./pkg/bus ./pkg/store ./pkg/embed ./pkg/embed/bge > $@

bench-record: $(CACHE)/bench.txt ## keep what the gated benchmarks cost at this commit, and draw the history
	go run ./scripts/benchhistory -record $< -plot scripts/benchhistory/history.svg

bench-check: $(CACHE)/bench.txt ## fail where a gated benchmark costs more than 10 % more than recorded
	go run ./scripts/benchhistory -check $<

bench-cluster: build ## what a signal costs among 10,000, 100,000 and 1,000,000 (several minutes)
	$(BIN)/throughline eval growth --embed lexical --input services/standalone/internal/demo/feedback.jsonl --output /dev/null

bench-ingest: install build ## webhooks a second, durable and synced, against a Watermill program in turns
	cd scripts/benchingest && GOWORK=off go build -o ../../$(CACHE)/peer ./peer && GOWORK=off go build -o ../../$(CACHE)/benchingest .
	$(CACHE)/benchingest -throughline $(BIN)/throughline -peer $(CACHE)/peer
	@echo && echo "The ingest path alone: client, server and broker of one process" && cd services/ingestor && go test -run '^$$' -bench BenchmarkWebhook -benchtime 5s .

bench-memory: install build ## what memory ten minutes of a thousand webhooks a second take, each half minute
	cd scripts/benchingest && GOWORK=off go build -o ../../$(CACHE)/benchingest .
	$(CACHE)/benchingest -throughline $(BIN)/throughline -flat 10m

bench-cost: install build ## what a webhook costs in processor time and on the disk, to the end of the pipeline (ITEMS=N)
	cd scripts/benchingest && GOWORK=off go build -o ../../$(CACHE)/benchingest .
	$(CACHE)/benchingest -throughline $(BIN)/throughline -cost $(ITEMS)

bench-burst: install build ## take 50,000 webhooks as fast as they come and work them off to the end of the pipeline (BURST=N for another number)
	cd scripts/benchingest && GOWORK=off go build -o ../../$(CACHE)/benchingest .
	$(CACHE)/benchingest -throughline $(BIN)/throughline -burst $(BURST)

bench-steady: install build ## a hundred webhooks a second end to end, how fresh briefs are and what memory that takes (MINUTES=30)
	cd scripts/benchingest && GOWORK=off go build -o ../../$(CACHE)/benchingest .
	$(CACHE)/benchingest -throughline $(BIN)/throughline -steady $(MINUTES)m

bench-import: install build ## import a CSV file of a million rows (ROWS=N for another number)
	cd scripts/benchingest && GOWORK=off go build -o ../../$(CACHE)/benchingest .
	$(CACHE)/benchingest -throughline $(BIN)/throughline -rows $(ROWS)

soak: install build ## twenty thousand webhooks, shuffled and doubled, through three kill -9s (SOAK=N for another number)
	go test ./services/standalone/e2e -run TestThreeKillsChangeNoItem -count 1 -v -timeout 30m -deliveries $(SOAK)

kill: install ## kill the clusterer a hundred times under load (minutes)
	go test -timeout 30m -run TestKilledAtAnyMoment ./services/clusterer -args -kills 100

topologies: test-tools build ## the end-to-end scripts against each shape: one process, four, and replicas of which one of each is killed (many minutes)
	go test ./services/standalone/e2e -run TestEveryShapeDoesTheSame -count 1 -v -timeout 20m
	@for shape in all-in-one four-services replicas; do echo "$$shape"; \
		go test ./services/standalone/e2e -run '$(SCRIPTS)' -parallel 1 -count 1 -v -timeout 30m -shape $$shape || exit 1; done

bench-handover: install ## how long a workspace has no clusterer when its own is stopped and when it is killed
	go test ./services/clusterer -run '^$$' -bench HandOver -benchtime 5x

storm: install ## 1,000 ticket moves, one tracker call in three failing, the publisher killed ten times (minutes)
	go test -timeout 30m -run TestAStormOfMoves -v ./services/context-publisher/internal/publish -args -moves 1000 -kills 10

decisions: ## 200 random decisions among 50,000 signals, with restarts, a replay and undos (minutes)
	go test -timeout 60m -run TestRandomDecisions ./services/clusterer/internal/world -args -signals 50000 -decisions 200

prometheus: $(CACHE)/prometheus/usr/bin/promtool ## fetch Prometheus and promtool, of Debian's package, into .cache/
$(CACHE)/prometheus/usr/bin/promtool:
	@mkdir -p $(@D)
	@if command -v prometheus >/dev/null && command -v promtool >/dev/null; then ln -sf "$$(command -v prometheus)" "$$(command -v promtool)" $(@D)/; else \
		cd $(CACHE)/prometheus && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } \
		&& dpkg -x prometheus_*.deb . && rm prometheus_*.deb; fi || { echo "install Prometheus (Debian: apt-get install prometheus), so that prometheus and promtool are found"; exit 1; }

test-alerts: prometheus ## check and test the alert rules with promtool
	$(CACHE)/prometheus/usr/bin/promtool check rules deploy/monitoring/alerts.yml
	$(CACHE)/prometheus/usr/bin/promtool test rules deploy/monitoring/alerts_test.yml

check-deploy: build ## lint and render the chart, load the compose file, check their configurations
	cd scripts/tools && GOWORK=off go build -o ../../$(CACHE)/checkdeploy ./checkdeploy
	$(CACHE)/checkdeploy .

$(CACHE)/inventory: $(wildcard scripts/tools/inventory/*.go) scripts/tools/go.mod
	@mkdir -p $(@D)
	cd scripts/tools && GOWORK=off go build -o ../../$@ ./inventory

licences: build install $(CACHE)/inventory ## list the licence of everything that ships, in deploy/guides/licences.md
	$(CACHE)/inventory -licences deploy/guides/licences.md

sbom: build install $(CACHE)/inventory ## write a bill of materials (CycloneDX) to bin/throughline.cdx.json
	$(CACHE)/inventory -sbom $(BIN)/throughline.cdx.json

vulnerabilities: ## look for known holes in what is linked (needs the network: the database is not here)
	cd scripts/tools && GOWORK=off go build -o ../../$(CACHE)/govulncheck golang.org/x/vuln/cmd/govulncheck
	$(CACHE)/govulncheck $(addsuffix /...,$(addprefix ./,$(MODULES)))

release: build install $(CACHE)/inventory ## what a release is made of, with checksums, into bin/release (VERSION=v1.2.3)
	scripts/release/build.sh $(VERSION) $(BIN)/release
	$(CACHE)/inventory -sbom $(BIN)/release/throughline.cdx.json
	cd $(BIN)/release && sha256sum -- *.tar.gz throughline.cdx.json > SHA256SUMS

bench-mcp: install ## ask get_ticket_context of 100,000 items and 2,000 tickets, and print how long it takes
	go test -run '^$$' -bench TicketContext -benchtime 300x ./services/context-publisher

bench-page: install browser ## open every view of 100,000 items, and print how long it takes, in Chromium too
	go test -run '^$$' -bench BenchmarkPage -benchtime 20x ./services/context-publisher

bench-freshness: install build ## from a webhook's 2xx to the block in the tracker: 100 webhooks a second over 500 tickets
	go test -timeout 30m -run TestTheFirstChange -v ./services/standalone/e2e -args -tickets 500 -items 3000 -rate 100

clean: ## remove what was built and installed
	rm -rf $(BIN) $(CACHE)
