# `make run` serves a demonstration; `make test` holds everything; both set up .venv by themselves.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: run test crash check docs bench profile matrix reference clean

run: .venv/ready
	$(BIN)/sipctl demo
	exec $(BIN)/twistd -n --pidfile= sipproxy

test: check docs
	$(BIN)/python -m tests.run

# Kills a server at fifty moments under load, twice: a few minutes, on a machine without other work.
crash: .venv/ready
	CRASHES=50 $(BIN)/python -m twisted.trial tests.interop.test_crash

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/towncrier build --draft --version next > /dev/null

docs: .venv/docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

# Our server and Kamailio under the same load, in turn: ARGS="--quick", "--only message-udp", "--json FILE".
bench: .venv/ready
	$(BIN)/python -m benchmarks.load $(ARGS)

# Where our server's time goes: a flame graph in build/. CASE is a name that `make bench ARGS=--list` prints.
profile: .venv/profile
	$(BIN)/python -m benchmarks.load.profile $(or $(CASE),message-udp-64) $(ARGS)

matrix: .venv/ready
	$(BIN)/python -m tests.matrix

reference: .venv/ready
	$(BIN)/python -m tests.reference

clean:
	rm -rf .venv build *.egg-info _trial_temp*

# compat mode: an ordinary editable install does not show twistd our plugin.
.venv/ready: setup.cfg setup.py pyproject.toml constraints.txt $(wildcard sipproxy/*/*.c)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --config-settings editable_mode=compat -e '.[dev]'
	touch $@

.venv/docs: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --config-settings editable_mode=compat -e '.[docs]'
	touch $@

.venv/profile: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --config-settings editable_mode=compat -e '.[profile]'
	touch $@
