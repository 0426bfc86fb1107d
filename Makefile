# Each target does everything on a machine that has Python 3.11 or later, make and this checkout.
VENV := .venv
PY := $(VENV)/bin/python
PIP := PIP_CONSTRAINT=constraints.txt $(PY) -m pip install --quiet --disable-pip-version-check
SOURCES := merge replica sync demo tests $(wildcard bench)

help:
	@echo "make demo    three replicas part, write on, and meet again"
	@echo "make orders  three places sell one lamp: a crash, a cut, an oversell, and its repair"
	@echo "make lessons six lessons, step by step (LESSON=concurrent-rename)"
	@echo "make demo-web  the same, and replicas to break with your own hands, in a browser"
	@echo "make play    a scenario file, with real processes (FILE=last-piece)"
	@echo "make test    the test suite"
	@echo "make check   format, lint, types, import contracts"
	@echo "make soak    thousands of simulated schedules, then whole replicas judged (SEEDS=0-5000 MINUTES=10)"
	@echo "make fuzz    inputs by coverage, for the doors of frames and blocks (SECONDS=900)"
	@echo "make crash   SIGKILL and power cuts (KILLS=2000 IMAGES=10000)"
	@echo "make bench   measurements beside other systems (about 25 minutes)"
	@echo "make clean   remove the virtual environment and caches"

$(PY):
	@for p in python3.13 python3.12 python3.11 python3; do \
	  if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "making $(VENV) with $$($$p --version)"; exec $$p -m venv $(VENV); fi; done; \
	echo "Anabranch needs Python 3.11 or later, and none of python3.13, python3.12, python3.11, python3 is one." >&2; \
	exit 1

$(VENV)/.demo: $(PY) pyproject.toml constraints.txt
	@$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(PY) pyproject.toml constraints.txt
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.bench: $(VENV)/.dev
	@$(PIP) -e '.[bench]'
	@touch $@

demo: $(VENV)/.demo
	@$(PY) -m demo partition

orders: $(VENV)/.demo
	@$(PY) -m demo orders

lessons: $(VENV)/.demo
	@$(PY) -m demo lessons $(LESSON)

demo-web: $(VENV)/.demo
	@$(PY) -m demo web

play: $(VENV)/.demo
	@$(PY) -m demo play $(or $(FILE),last-piece)

test: $(VENV)/.dev
	$(PY) -m pytest

check: $(VENV)/.dev
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/.bench
	$(PY) -m bench

soak: $(VENV)/.dev
	$(PY) -m sync.testing --seeds $(or $(SEEDS),0-5000) -j 2
	$(PY) -m tests.differential --seeds 1000 --minutes $(or $(MINUTES),10)

fuzz: $(VENV)/.dev
	@$(PIP) -e '.[fuzz]'
	$(PY) -m tests.fuzz --seconds $(or $(SECONDS),900)

crash: $(VENV)/.dev
	$(PY) -m tests.kills --kills $(or $(KILLS),2000)
	$(PY) -m tests.power --images $(or $(IMAGES),10000)

clean:
	rm -rf $(VENV) bench/node/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

.PHONY: help demo demo-web orders lessons play test check bench soak fuzz crash clean
