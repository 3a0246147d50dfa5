# Everything here needs Python >= 3.11, pip and make; the rest goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?=
EPOCHS ?=
PYCUDA ?=
PEERS  ?=
JOBS   ?= auto
LIMIT  ?= 540
VENVFLAGS ?=

.NOTPARALLEL:
.PHONY: help demo test extended test-gpu compare check bench bench-gpu clean

help:
	@echo "make demo [DATA=folder] [EPOCHS=n]  train a network on handwritten digits"
	@echo "make test                           run the tests"
	@echo "make extended                       run the tests that show the same in more ways"
	@echo "make test-gpu [PYCUDA=wheel]        run the tests that need a CUDA device"
	@echo "make compare                        compare layers and losses with PyTorch (installs it)"
	@echo "make check                          format, lint, types and the import contract"
	@echo "make bench                          time compiled programs beside PyTorch, JAX, ONNX Runtime, OpenVINO (installs them)"
	@echo "make bench-gpu [PYCUDA=wheel]       time programs on a CUDA device [PEERS='torch jax[cuda13]' are installed beside it]"
	@echo "make clean                          remove what these commands made"

demo: $(VENV)/.core
	$(BIN)/sigmagraph demo$(if $(DATA), --data "$(DATA)")$(if $(EPOCHS), --epochs $(EPOCHS))

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n auto --dist worksteal

extended: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m extended

test-gpu: $(VENV)/.gpu
	@$(BIN)/python -m benchmarks.gpu_present
	$(BIN)/python -m pytest -q -n $(JOBS) --maxprocesses=16 --dist worksteal -m gpu tests/cuda

compare: $(VENV)/.compare
	$(BIN)/python -m pytest -q tests/peers

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.roofline
	$(BIN)/python -m benchmarks.compilation
	$(BIN)/python -m benchmarks.artifacts
	$(BIN)/python -m benchmarks.curves
	$(BIN)/python -m benchmarks.training_system$(if $(DATA), --data "$(DATA)")

bench-gpu: $(VENV)/.gpu
	@$(BIN)/python -m benchmarks.gpu_present
	$(if $(PEERS),$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PEERS))
	$(BIN)/python -m benchmarks.gpu --limit $(LIMIT)

clean:
	rm -rf $(VENV) build dist runs dump .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of dependencies: set-up runs once, and again when pyproject.toml changes.
$(VENV)/.core:  EXTRA :=
$(VENV)/.dev:   EXTRA := [dev]
$(VENV)/.bench: EXTRA := [bench]
$(VENV)/.compare: EXTRA := [dev,torch]
$(VENV)/.gpu: EXTRA := [dev,cuda]
$(VENV)/.core $(VENV)/.dev $(VENV)/.bench $(VENV)/.compare $(VENV)/.gpu: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sigmagraph needs Python 3.11 or newer")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENVFLAGS) $(VENV)
	$(if $(PYCUDA),$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(PYCUDA)")
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".$(EXTRA)"
	@touch $@
