# Every target works as the only command on a bare checkout with make and Python 3.11 or newer.
#   make run              the shop, the projector and the gateway on embedded servers; TPCH=0.01 loads real history
#   make test             the whole suite; ARGS="-k orders -x" goes to pytest
#   make test-kafka       what must be seen on Apache Kafka itself; needs Java 17 and Maven, no Docker
#   make test-redis       the store on Redis 7 and Redis 8 themselves; needs Debian's apt, installs nothing
#   make check            linters, type checkers, layers, the suite
#   make bench            the benchmarks; ONLY=P1,P2 some of them
#   make chaos            everything under faults: the figures D5 to D8, R2 and EQ; ONLY=D5 SEED=7 EVENTS=20000 KILLS=10
#   make up / make down   the same as `run` on Apache Kafka, Redis and PostgreSQL, with docker compose
#   make fmt              formats and sorts imports
#   make lock             pins the requirements anew (needs uv)
# PYTHON names the interpreter, VENV the folder of the environment.

PYTHON ?= python3
VENV ?= .venv
PORT ?= $(or $(HEADRACE_PORT),8000)
BIN := $(VENV)/bin

# The stamp's name carries what the environment depends on, so that a warm start costs one cksum.
key = $(shell { cat $(1); echo $(PYTHON); } | cksum | tr -d ' ')
RUN_STAMP := $(VENV)/.stamp-run-$(call key,requirements/run.txt)
DEV_STAMP := $(VENV)/.stamp-dev-$(call key,requirements/dev.txt)

.PHONY: run test test-kafka test-redis check lint bench chaos up down fmt lock clean
.DEFAULT_GOAL := run

run: $(RUN_STAMP)
	@HEADRACE_PORT=$(PORT) exec $(BIN)/python -m examples.shop run --stop-with-parent $(if $(TPCH),--tpch $(TPCH))

test: $(DEV_STAMP)
	@$(BIN)/python -m pytest $(ARGS)

# The tests that are marked for it, then those of the projector that are not, with its broker in the place of the embedded one.
test-kafka: $(DEV_STAMP)
	@$(BIN)/python -m tools.apache_kafka fetch >/dev/null
	@$(BIN)/python -m pytest -m apache_kafka $(ARGS)
	@TEST_BROKER=apache $(BIN)/python -m pytest tests/integration/projector $(ARGS)

# The contract suite and the differential test, with Debian's servers in the place of the embedded one.
test-redis: $(DEV_STAMP)
	@for release in bookworm trixie; do \
		server=$$($(BIN)/python -m tools.debian_redis $$release) || exit 1; \
		TEST_REDIS=$$server $(BIN)/python -m pytest tests/contract/store tests/differential $(ARGS) || exit 1; \
	done

check: lint test

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(RUN_STAMP)
	@$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

CHAOS := ONLY SEED EVENTS KILLS REBALANCES STALLS FAILOVERS EMPTIES BROKEN BROKERS WORKERS PARTITIONS BUCKETS SEEDS JOBS OPERATIONS
chaos: $(DEV_STAMP)
	@$(foreach name,$(CHAOS),$(if $($(name)),$(name)=$($(name)))) $(BIN)/python -m tests.chaos

up:
	HEADRACE_PORT=$(PORT) docker compose up --build --wait
	HEADRACE_PORT=$(PORT) docker compose run --rm seed
	@echo "ready http://127.0.0.1:$(PORT)/graphql"

down:
	docker compose down --volumes

fmt: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

UV_COMPILE = cd requirements && uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
lock:
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	$(UV_COMPILE) --extra embedded --extra shop ../pyproject.toml -o run.txt
	$(UV_COMPILE) --all-extras -c run.txt ../pyproject.toml -o dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache artefacts benchmarks/out

$(RUN_STAMP): ; @$(make-environment) requirements/run.txt $@
$(DEV_STAMP): ; @$(make-environment) requirements/dev.txt $@

define make-environment
command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) here; name a Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }; \
$(PYTHON) tools/environment.py $(VENV)
endef
