# Everything a developer or a build machine does; needs Python 3.11 or newer and make.
PYTHON ?= python3

BIN := .venv/bin
RUN := .venv/.run
DEV := .venv/.dev
AUDIT := .venv/audit
AUDIT_STAMP := .venv/.installed-audit
ROOMS := actors messages persistence tests
BESIDE := hatch_build.py .ci
PROSE := $(wildcard README.md CONTRIBUTING.md CHANGELOG.md docs) Makefile Procfile pyproject.toml .ci
TIERS := unit contract runtime sim golden e2e torture

.PHONY: install run test tiers check audit bench charts fuzz overload torture simulate format clean \
	test-sources $(TIERS:%=test-%)
ifneq ($(MAKECMDGOALS),tiers)
.NOTPARALLEL:
endif

# Where there is no C compiler nothing is compiled, and all works as it does, slower.
install: $(DEV)
	@$(BIN)/python .ci/compile.py

# What running needs comes first, and is all that `make run` waits for.
$(RUN): pyproject.toml messages/pyproject.toml hatch_build.py actors/launcher.py .ci/constraints.txt .ci/runtime.txt .ci/install
	@PYTHON='$(PYTHON)' .ci/install run
	@touch $@

$(DEV): $(RUN)
	@PYTHON='$(PYTHON)' .ci/install dev
	@touch $@

run: $(RUN)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start

# The tiers two at a time, the longest first: one waits for processes mostly, while others compute.
test: install check
	$(MAKE) --jobs=2 --output-sync=target --no-print-directory tiers

tiers: test-e2e test-torture test-sources $(TIERS:%=test-%)

check: install
	$(BIN)/ruff format --check $(ROOMS) $(BESIDE)
	$(BIN)/ruff check $(ROOMS) $(BESIDE)
	$(BIN)/codespell $(ROOMS) $(PROSE)
	$(BIN)/mypy
	$(BIN)/pyright

# Asks a database of advisories whether a version that is installed has a known vulnerability:
# the one check here that needs the network. What needs none is in tests/unit/test_dependencies.py.
audit: $(AUDIT_STAMP)
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement .ci/constraints.txt

$(AUDIT_STAMP):
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --quiet --disable-pip-version-check 'pip-audit>=2.7'
	@touch $@

# On the compiled hot path where there is one, and `sources` once more without.
test-sources: install
	METERD_TEST_SOURCES=1 $(BIN)/python -m pytest --quiet tests/unit tests/runtime tests/golden \
		tests/sim/test_planted.py

# pytest fails where it finds no test, so no tier can be lost unnoticed.
$(TIERS:%=test-%): test-%: install
	$(BIN)/python -m pytest --quiet tests/$*

# What else could meter is measured too, if it is installed: docs/performance.md.
bench: install
	$(BIN)/python -m tests.bench $(BENCH)

# Requests and files that are nearly right; says the seed. FUZZ="--seed 7 --requests 1000" repeats.
fuzz: install
	METERD_FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest --quiet --timeout 1800 \
		tests/unit/test_fuzz_codec.py tests/unit/test_fuzz_importer.py
	$(BIN)/python -m tests.fuzz $(FUZZ)

# Ten times what the service can take, for a minute, and once more with one user who is the reason.
overload: install
	$(BIN)/python -m tests.overload $(OVERLOAD)
	$(BIN)/python -m tests.overload --hot 0.9 $(OVERLOAD)

# Lives of the service in a simulated world, each from its seed: SIMULATE='--minutes 60',
# '--first 1000 --seeds 500'. A short run of them is in the tier `sim`.
simulate: install
	$(BIN)/python -m tests.sim $(SIMULATE)

# Faults of the real parts for an hour; `make test` has a minute of it.
torture: install
	$(BIN)/python -m tests.torture $(TORTURE)

charts: install
	$(BIN)/python -m tests.bench.charts

format: install
	$(BIN)/ruff format $(ROOMS) $(BESIDE)
	$(BIN)/ruff check --fix $(ROOMS) $(BESIDE)

# The data directory holds what was metered: it stays.
clean:
	rm -rf .venv .bench .torture .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	rm -f actors/compiled.json*
	find $(ROOMS) -name '*.so' -delete
	find $(ROOMS) -name __pycache__ -type d -prune -exec rm -rf {} +
