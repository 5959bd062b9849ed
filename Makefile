# `make quickstart` and `make test` install everything they need into .venv on the first call.
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= configs/quickstart.yaml
# Stages start many processes; cached bytecode saves each of them from compiling its imports.
export PYTHONDONTWRITEBYTECODE :=
UV_VERSION := 0.13.9
PARALLEL := -n 2 --dist loadfile --max-worker-restart 0
# Uses a torch wheel in pip's find-links if there is one, else the CPU build from PyTorch's index.
FIND_LINKS = $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null || printf '%s' "$$PIP_FIND_LINKS")
TORCH_WHEEL = $(firstword $(foreach place,$(FIND_LINKS),$(wildcard $(place)/torch-*.whl)))
TORCH = $(if $(TORCH_WHEEL),--find-links $(dir $(TORCH_WHEEL)),--torch-backend cpu)

.PHONY: quickstart serve test test-system test-all lint docs clean constraints pin-images
quickstart: .venv/installed
	@$(BIN)/python -m ray_jobs.quickstart $(CONFIG)

serve: .venv/installed
	@$(BIN)/python -m ray_jobs.serve $(CONFIG)

# Unit tests, and the system tests of the pipeline, training, serving and labelling. One thread per unit test process.
# A crashed process fails the run at once: pytest-xdist would start another one, and the run might never end.
# tests/unit/tools runs with the default threads: with one, the short training of test_list_decoder.py does not learn.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit --ignore tests/unit/tools $(PARALLEL)
	$(BIN)/python -m pytest tests/unit/tools $(PARALLEL)
	$(BIN)/python -m pytest tests/system --ignore tests/system/long

# The longer system tests: several nodes, autoscaling, kills, object stores, monitoring.
test-system: .venv/installed
	$(BIN)/python -m pytest tests/system/long

test-all: test test-system

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy ranking students actors ray_jobs tools
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# Pins the images in cluster.yaml and deploy/kuberay/: make pin-images IMAGES="REGISTRY/rradistill:gpu@sha256:... ..."
pin-images:
	@test -n "$(IMAGES)" || { echo 'set IMAGES="REGISTRY/rradistill:gpu@sha256:... ...", see docs/cluster.md' >&2; exit 2; }
	@$(PYTHON) -m tools.image_digests $(IMAGES)

clean:
	rm -rf .venv .site runs logs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

.venv/installed: pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || { echo "Python 3.11 or 3.12 is required, for example make PYTHON=python3.11" >&2; exit 2; }
	@echo "install     packages of constraints.txt into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --build-constraint constraints.txt $(TORCH) --editable '.[cpu,dev]'
	@touch $@

# Regenerates constraints.txt from pyproject.toml, with the same version of each package for the CPU and the GPU build:
# uv keeps compatible versions of an existing output file, so each build starts from the versions of the previous one.
PINS = $(BIN)/uv pip compile pyproject.toml --quiet --extra dev --python $(BIN)/python \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links
constraints:
	rm -f .venv/pins.txt
	$(PINS) --extra cpu $(TORCH) --output-file .venv/pins.txt && sed -i 's/+cpu$$//' .venv/pins.txt
	$(PINS) --extra gpu --output-file .venv/pins.txt && cp .venv/pins.txt .venv/gpu.txt
	$(PINS) --extra cpu $(TORCH) --output-file .venv/pins.txt
	sed -E 's/\+cpu$$//; s/ ;.*//' .venv/gpu.txt .venv/pins.txt | LC_ALL=C sort -u > constraints.txt
	echo 'uv==$(UV_VERSION)' >> constraints.txt
	test -z "$$(cut -d= -f1 constraints.txt | uniq -d)"
