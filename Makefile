# Every target builds .venv itself when it is missing or older than what it is built from.
PYTHON ?= python3
BIN := .venv/bin
REPORT_DIR ?= report

.PHONY: report test test-all bench peers lint clean

# A run in which some attempt ended in error (exit code 1) is still worth a report, which names it.
report: .venv/stamp
	mkdir -p $(REPORT_DIR)
	$(BIN)/moeplace run --preset report --store $(REPORT_DIR)/results.sqlite || test $$? -eq 1
	$(BIN)/moeplace holdout -o $(REPORT_DIR)/held-out.json > /dev/null
	$(BIN)/python -m bench.growth --quick --quiet -o $(REPORT_DIR)/growth.json > /dev/null
	$(BIN)/moeplace report --store $(REPORT_DIR)/results.sqlite \
		--held-out $(REPORT_DIR)/held-out.json --growth $(REPORT_DIR)/growth.json -o $(REPORT_DIR)

test: .venv/stamp
	$(BIN)/python -m pytest -n auto -m "not long"

test-all: .venv/stamp
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

bench: .venv/stamp
	$(BIN)/python -m pytest bench --benchmark-only --benchmark-sort=name \
		--benchmark-columns=median,min,max,rounds

# Against other tools, submodlib among them, which only this needs.
peers: .venv/stamp
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[peers]'
	mkdir -p $(REPORT_DIR)
	$(BIN)/python -m bench.peers --json $(REPORT_DIR)/peers.json

lint: .venv/stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv report

.venv/stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "moeplace needs Python 3.11 or newer; name one with: make PYTHON=python3.x" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
