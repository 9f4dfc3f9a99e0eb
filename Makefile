# Everything a developer or a build machine does; needs Python 3.11 or newer and make.
PYTHON ?= python3
# `make test VENV=.venv-3.13 PYTHON=python3.13`: all of it with another Python.
VENV ?= .venv
export VENV PYTHON
# Else each process that a test starts compiles all that it imports anew: half a second of each.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
INSTALLED := pyproject.toml messages/pyproject.toml messages/__init__.py hatch_build.py \
	actors/launcher.py .ci/constraints.txt .ci/runtime.txt .ci/install
AUDIT := $(VENV)/audit
AUDIT_STAMP := $(VENV)/.installed-audit
ROOMS := actors messages persistence tests
BESIDE := hatch_build.py .ci
PROSE := $(wildcard README.md CONTRIBUTING.md CHANGELOG.md docs) Makefile Procfile pyproject.toml .ci
PLAIN := unit contract runtime sim sweep golden
TIERS := $(PLAIN) e2e torture

# The wheels of this state of the sources, built once: `wheel` in a recipe is where they are installed.
WITH_WHEEL = wheel=$$($(BIN)/python .ci/wheel.py) && METERD_TEST_WHEEL="$$wheel"
# What such a wheel has in place of the sources, for what imports modules itself.
ON_WHEEL = $(WITH_WHEEL) PYTHONSAFEPATH=1 \
	PYTHONPATH="$$(echo $$wheel/lib/python*/site-packages/meterd_server):$(CURDIR)"

.PHONY: install run wheel test tiers every-tier check audit bench steps charts fuzz overload torture \
	simulate format prices clean installed-wheel test-compiled $(TIERS:%=test-%)
ifeq ($(filter tiers every-tier,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

install: $(DEV)

# What running needs comes first, and is all that `make run` waits for.
$(RUN): $(INSTALLED)
	@.ci/install run
	@touch $@

$(DEV): $(RUN)
	@.ci/install dev
	@touch $@

run: $(RUN)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start

# Compiled if there is a C compiler: `pip install dist/*.whl` has the fast service.
wheel: install
	@$(BIN)/python .ci/wheel.py --dist

installed-wheel: install
	@$(BIN)/python .ci/wheel.py

# Two at a time, the longest first: while the wheel is built, whatever does not need it goes on.
test: install
	$(MAKE) --jobs=2 --output-sync=target --no-print-directory tiers

tiers: installed-wheel check every-tier
every-tier: installed-wheel test-e2e test-torture test-compiled $(TIERS:%=test-%)

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

# pytest fails where it finds no test, so no tier can be lost unnoticed.
$(PLAIN:%=test-%): test-%: install
	$(BIN)/python -m pytest --quiet tests/$*

# These start processes: of the wheel, compiled if it can be. In the first most of the time is spent
# waiting for them, so four of its modules run at a time, and not the largest first: the longest
# test is alone in its module.
test-e2e: ALONGSIDE = --numprocesses 4 --dist loadfile --no-loadscope-reorder
test-e2e test-torture: test-%: install installed-wheel
	$(WITH_WHEEL) $(BIN)/python -m pytest --quiet $(ALONGSIDE) tests/$*

# What is stored and answered, byte by byte, once more by compiled modules.
test-compiled: install installed-wheel
	$(ON_WHEEL) $(BIN)/python -m pytest --quiet --override-ini pythonpath= tests/golden

# What else could meter is measured too, if it is installed: docs/performance.md.
bench: install installed-wheel
	$(WITH_WHEEL) $(BIN)/python -m tests.tools.bench $(BENCH)

steps: install installed-wheel
	$(ON_WHEEL) $(BIN)/python -m tests.tools.bench.steps $(STEPS)

# Requests and files that are nearly right; says the seed. FUZZ="--seed 7 --requests 1000" repeats.
fuzz: install installed-wheel
	METERD_FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest --quiet --timeout 1800 \
		tests/unit/test_fuzz_codec.py tests/unit/test_fuzz_importer.py
	$(WITH_WHEEL) $(BIN)/python -m tests.tools.fuzz $(FUZZ)

# Ten times what the service can take, for a minute, and once more with one user who is the reason.
overload: install installed-wheel
	$(WITH_WHEEL) $(BIN)/python -m tests.tools.overload $(OVERLOAD)
	$(WITH_WHEEL) $(BIN)/python -m tests.tools.overload --hot 0.9 $(OVERLOAD)

# Lives of the service in a simulated world, each from its seed: SIMULATE='--minutes 60',
# '--first 1000 --seeds 500'. A short run of them is in the tier `sim`.
simulate: install
	$(BIN)/python -m tests.sim $(SIMULATE)

# Faults of the real parts for an hour; `make test` has a minute of it.
torture: install installed-wheel
	$(WITH_WHEEL) $(BIN)/python -m tests.torture $(TORTURE)

charts: install
	$(BIN)/python -m tests.tools.bench.charts

# The default list of prices, from the pinned genai-prices; CONTRIBUTING.md says when.
prices: install
	$(BIN)/python -m actors.cli.importer.default_catalogue

format: install
	$(BIN)/ruff format $(ROOMS) $(BESIDE)
	$(BIN)/ruff check --fix $(ROOMS) $(BESIDE)

# The data directory holds what was metered: it stays.
clean:
	rm -rf $(VENV) .bench .torture .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find $(ROOMS) -name __pycache__ -type d -prune -exec rm -rf {} +
