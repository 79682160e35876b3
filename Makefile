# Everything a person runs. `make` alone lists it. Variables given on the command line, such as
# `make sync STORES=40`, are in the environment of what runs (make exports them by itself).

PYTHON ?= python3
FILE ?=
CODE ?=
VENV := .venv
RUN := $(VENV)/bin/python
LOCAL := $(RUN) -m include.local
INSTALLED := $(VENV)/.installed
# An environment of its own: pip-audit's dependencies are none of ours.
AUDIT := $(VENV)/audit
AUDIT_TOOLS := pip-audit==2.10.1 PyYAML==6.0.3
# dbt's dependencies clash with Airflow's. From 1.12 on, its installation needs GitHub.
DBT := $(VENV)/dbt
DBT_TOOLS := dbt-core==1.11.16 dbt-postgres==1.11.0
ARGS ?=
# Processes that share the tests. They wait more than they compute: one more than CI has cores.
TEST_PROCESSES ?= 3
# Program:its Debian packages.
TEST_TOOLS := chromium:chromium,fonts-liberation cc:gcc,libc6-dev
# Debian starts these at once where systemd runs: there, only you install them.
TEST_DAEMONS := pgbouncer:pgbouncer prometheus:prometheus

.DEFAULT_GOAL := help
.PHONY: help sync up down status db-url stores-import stores-link doctor dictionary privacy meanings \
  dags-doc metrics-doc lifecycle rooms-doc pictures report report-pictures test test-days lint audit bench bench-growth bench-limited chaos compose-test \
  constraints test-tools dbt-test

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  For example: make sync STORES=40 SANDBOX_LATENCY=0.1"
	@echo "  A bad night at TikTok: make sync FAULTS=storm"

sync: $(INSTALLED) ## Start everything, sync all stores once, show the results
	@$(LOCAL) sync

up: $(INSTALLED) ## Start Postgres, the sandbox and Airflow, and wait until they are ready
	@$(LOCAL) up

down: $(INSTALLED) ## Stop them; no process is left
	@$(LOCAL) down

status: $(INSTALLED) ## Show which parts are running
	@$(LOCAL) status

db-url: $(INSTALLED) ## Print the libpq URL of the product's database, nothing else
	@$(LOCAL) db-url

stores-import: $(INSTALLED) ## Import stores and tokens from a CSV: make stores-import FILE=stores.csv
	@test -n "$$FILE" || { echo "Say which file: make stores-import FILE=stores.csv" >&2; exit 1; }
	@$(LOCAL) stores-import "$$FILE" $(if $(NEW),--new) $(if $(REPLACE_TOKENS),--replace-tokens)

stores-link: $(INSTALLED) ## Print a link to connect a store's account: make stores-link CODE=S001
	@test -n "$$CODE" || { echo "Say which store: make stores-link CODE=S001" >&2; exit 1; }
	@$(LOCAL) run -- python -m include.tiktok_sync stores link "$$CODE"

dictionary: $(INSTALLED) ## Regenerate docs/data-dictionary.md from the running stack
	@$(LOCAL) run -- python -m tools.pages dictionary > docs/.data-dictionary.md
	@mv docs/.data-dictionary.md docs/data-dictionary.md

privacy: $(INSTALLED) ## Regenerate docs/privacy.md from the running stack
	@$(LOCAL) run -- python -m tools.pages privacy > docs/.privacy.md
	@mv docs/.privacy.md docs/privacy.md

meanings: $(INSTALLED) ## Regenerate docs/meanings.md
	@PYTHONPATH=.:plugins $(RUN) -m tools.pages meanings > docs/.meanings.md
	@mv docs/.meanings.md docs/meanings.md

dags-doc: $(INSTALLED) ## Regenerate docs/dags.md
	@PYTHONPATH=.:plugins $(RUN) -m tools.pages dags > docs/.dags.md
	@mv docs/.dags.md docs/dags.md

metrics-doc: $(INSTALLED) ## Regenerate docs/metrics.md
	@PYTHONPATH=.:plugins $(RUN) -m tools.pages metrics > docs/.metrics.md
	@mv docs/.metrics.md docs/metrics.md

lifecycle: $(INSTALLED) ## Regenerate the table of moves in docs/lifecycle.md
	@PYTHONPATH=.:plugins $(RUN) -m tools.pages lifecycle > docs/.moves.md
	@sed -i -e '/^<!-- moves:/r docs/.moves.md' -e '/^<!-- moves:/,/^<!-- end of moves/{/^<!--/!d}' \
	  docs/lifecycle.md
	@rm docs/.moves.md

rooms-doc: $(INSTALLED) ## Regenerate the drawing and table of packages in docs/architecture.md
	@PYTHONPATH=.:plugins $(RUN) -m tools.pages rooms > docs/.rooms.md
	@sed -i -e '/^<!-- rooms:/r docs/.rooms.md' -e '/^<!-- rooms:/,/^<!-- end of rooms/{/^<!--/!d}' \
	  docs/architecture.md
	@rm docs/.rooms.md

report: $(INSTALLED) ## Make last week's report from the running stack, as report.html (WEEK, REGION, OUT)
	@$(LOCAL) run -- python -m include.tiktok_sync report --out "$(or $(OUT),report.html)" \
	  $(if $(WEEK),--week "$$WEEK") $(if $(REGION),--region "$$REGION")

pictures: test-tools $(INSTALLED) ## Take the README's pictures from the running stack (after make sync)
	@$(RUN) -m tools.pictures

report-pictures: test-tools $(INSTALLED) ## Draw the pictures of docs/reports.md and docs/analysts.md
	@$(RUN) -m tools.report_pictures

test: lint test-tools ## Run everything CI runs: lint, types, tests on a random day (CLOCK=real: today)
	$(RUN) -m mypy
	$(RUN) -m tests.clock -- $(RUN) -m pytest -n $(TEST_PROCESSES) --no-loadscope-reorder

test-days: test-tools $(INSTALLED) ## Run the tests except e2e on 51 telling days (hours; CLOCK, ARGS: fewer)
	$(RUN) -m tests.clock --all -- $(RUN) -m pytest -n $(TEST_PROCESSES) $(or $(ARGS),tests/database tests/dags tests/unit)

# What Python's registry does not have. Without root the tests that need it are skipped, and say so.
test-tools: ## Install the Debian packages the tests need, where possible
	@tools="$(TEST_TOOLS)"; test -d /run/systemd/system || tools="$$tools $(TEST_DAEMONS)"; \
	  missing=$$(for tool in $$tools; do \
	    command -v "$${tool%%:*}" >/dev/null || echo "$${tool##*:}" | tr , " "; done); \
	  if test -z "$$missing"; then exit 0; fi; \
	  if test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; then \
	    echo "Not installed, tests that need it are skipped: $$missing" >&2; exit 0; fi; \
	  echo "Installing for the tests: $$missing …" >&2; \
	  apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null

lint: $(INSTALLED) ## Check style and formatting, the image, the shell scripts, CI's workflow
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	PYTHONPATH=.:plugins $(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/shellcheck deploy/*.sh .ci/run
	$(RUN) -m check_jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yaml

# Needs a network as well as the package registry, so neither the tests nor CI's run of them do it.
audit: $(AUDIT)/.installed ## Check pinned packages for known vulnerabilities (ARGS="-s osv" asks osv.dev)
	@$(AUDIT)/bin/python -m tools.dependency_audit $(ARGS)

$(AUDIT)/.installed: requirements-audit.txt | $(RUN)
	@"$(RUN)" -m venv $(AUDIT) >&2
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps -r requirements-audit.txt >&2
	@touch $@

dbt-test: $(DBT)/.installed $(INSTALLED) ## Build and test the dbt package on an embedded Postgres (3 min)
	$(RUN) -m pytest tests/dbt $(ARGS)

$(DBT)/.installed: dbt/requirements.txt | $(RUN)
	@"$(RUN)" -m venv $(DBT) >&2
	@$(DBT)/bin/python -m pip install --quiet --disable-pip-version-check -r dbt/requirements.txt >&2
	@touch $@

bench: $(INSTALLED) ## Compare the sync with other ways to do it; write docs/performance.md (1 h)
	$(RUN) -m benchmarks compare
	$(RUN) -m benchmarks page

bench-growth: $(INSTALLED) ## Measure 300 to 10,000 stores; write docs/performance.md (40 min)
	$(RUN) -m benchmarks growth
	$(RUN) -m benchmarks page

bench-limited: $(INSTALLED) ## Measure 1,000 and 3,000 stores with 600 calls a minute, both lanes and one (90 min)
	$(RUN) -m benchmarks limited $(ARGS)

chaos: $(INSTALLED) ## Kill every kind of process during syncs and show the recovery (20 min)
	$(RUN) -m pytest tests/chaos -s

compose-test: $(INSTALLED) ## Run docker-compose.yaml without Docker: two workers, one lost (20 min)
	$(RUN) -m pytest tests/compose -s

doctor: $(INSTALLED) ## Check keys, databases, pools, TikTok, clocks, disk and Airflow; suggest fixes
	@$(LOCAL) run -- python -m include.tiktok_sync doctor

constraints: $(RUN) ## Compile constraints.txt from the requirements
	$(RUN) -m pip install --quiet --disable-pip-version-check pip-tools
	$(RUN) -m piptools compile --quiet --strip-extras --allow-unsafe --no-header \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file constraints.txt requirements-dev.txt
	@printf '%s\n' $(AUDIT_TOOLS) | $(RUN) -m piptools compile --quiet --strip-extras --allow-unsafe \
	  --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --upgrade \
	  --output-file requirements-audit.txt -
	@printf '%s\n' $(DBT_TOOLS) | $(RUN) -m piptools compile --quiet --strip-extras --allow-unsafe \
	  --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --upgrade \
	  --output-file dbt/requirements.txt -

# All noise goes to stderr: `make db-url` is read by scripts, on first use too.
$(RUN):
	@command -v "$(PYTHON)" >/dev/null \
	  || { echo "$(PYTHON) is not installed. Give another: make PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "Python 3.10 to 3.13 is needed, $(PYTHON) is $$("$(PYTHON)" -V 2>&1)." \
	    "Give another: make PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) >&2 || { rm -rf $(VENV); exit 1; }

$(INSTALLED): requirements.txt requirements-dev.txt constraints.txt | $(RUN)
	@echo "Installing into $(VENV); this takes a minute or two …" >&2
	@$(RUN) -m pip install --quiet --disable-pip-version-check \
	  -r requirements-dev.txt -c constraints.txt >&2
	@touch $@
