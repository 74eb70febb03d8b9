# `make demo` and `make test` each work alone from a fresh clone.
#
#   PYTHON       interpreter that makes .venv                        (python3)
#   JOBS         parallel test processes                             (2)
#   PYTEST_ARGS  further arguments of pytest                         (none)
#   DEMO_ARGS    further arguments of tools/demo.py, such as --short (none)
#   SEEDS        seeds of `make demo-mpnas`                           ([0])
#
# pip takes its own environment variables, for example PIP_EXTRA_INDEX_URL for a CPU build of torch.

PYTHON ?= python3
JOBS ?= 2
SEEDS ?= [0]
PY := .venv/bin/python
READY := .venv/.ready
REQUIREMENTS := $(wildcard requirements/*.txt)

.PHONY: demo demo-mpnas test test-fast test-slow test-gpu check lint docs clean

demo: $(READY)
	$(PY) tools/demo.py --out out/demo $(DEMO_ARGS)

# Paths of four small domains (docs/paths.md); interrupted, the same command continues.
demo-mpnas: export OMP_NUM_THREADS ?= 1
demo-mpnas: $(READY)
	test -d data/pocket || $(PY) tools/dataset_converters/pocket_domains.py data/pocket
	$(PY) tools/compare.py configs/compare/pocket.py -o out/pocket --jobs $(JOBS) \
	    --latency never --cfg-options 'seeds=$(SEEDS)'
	cat out/pocket/report.md

# The tests run even when a check fails.
test: $(READY)
	status=0; $(MAKE) --no-print-directory lint || status=1; \
	$(MAKE) --no-print-directory test-fast || status=1; exit $$status

check: test

# Many test processes on few cores: one thread each.
test-fast test-slow: export OMP_NUM_THREADS ?= 1
# They are of the CPU, also where there is a GPU.
test-fast test-slow: export CUDA_VISIBLE_DEVICES =

test-fast: $(READY)
	$(PY) -m pytest -n $(JOBS) -m 'not slow and not gpu' $(PYTEST_ARGS)

test-slow: $(READY)
	$(PY) -m pytest -m 'slow and not gpu' $(PYTEST_ARGS)

test-gpu: $(READY)
	$(PY) -m pytest -m gpu $(PYTEST_ARGS)

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy mmbmtas tools benchmarks

# The site has an environment of its own: nothing of the package is imported.
docs: .venv-docs/.ready
	rm -rf docs/api  # what a killed build leaves
	.venv-docs/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

.venv-docs/.ready: requirements/docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install -r requirements/docs.txt
	touch $@

clean:
	rm -rf docs/_build docs/api build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamp is younger than the requirements once they are installed. torch and torchvision must come in
# one command: torchvision alone would fetch a newer torch.
$(READY): setup.py pyproject.toml $(REQUIREMENTS)
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -c requirements/constraints.txt \
	    -r requirements/mminstall.txt -r requirements/runtime.txt -r requirements/tests.txt \
	    -r requirements/balancing.txt -r requirements/onnx.txt -r requirements/cells.txt \
	    -r requirements/pocket.txt -r requirements/hdf5.txt -r requirements/timm.txt
	$(PY) -m pip install --no-deps -e .
	touch $@
