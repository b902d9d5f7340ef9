# make demo   set-up, then the main job on drawn scenes (at most 10 minutes on 2 cores)
# make test   set-up, then tests and linters (at most 15 minutes on 2 cores)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
# Progress and results, without TensorFlow's start-up lines.
export TF_CPP_MIN_LOG_LEVEL := 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

DEMO := out/demo
ARTIFACT := artifacts/fast_scnn-synthetic-512x1024

.PHONY: help demo test lint python38 slow tensorrt-binding clean

help:
	@sed -n 's/^# make/make/p' Makefile

# The file says with which setup.cfg the environment was made; it is written last.
$(VENV)/installed: setup.cfg setup.py .ci/find-python
	@echo "set up $(VENV) (a minute or two, once)"
	@python="$$(./.ci/find-python)" && "$$python" -m venv --clear $(VENV)
	@$(PYTHON) -m pip install --quiet --upgrade pip setuptools wheel
	@$(PYTHON) -m pip install -qq --editable '.[train,export,cpu,dev]'
	@touch $@

demo: $(VENV)/installed
	$(PYTHON) -m edge.synthetic data/synthetic --train 160 --val 16 --size 512x1024 --seed 1
	$(PYTHON) train/train.py --model fast_scnn --dataset synthetic
	$(PYTHON) export/build_engine.py --model fast_scnn --int8
	$(BIN)/edge-bench run $(ARTIFACT) --dataset synthetic --accuracy --frames 100 --output $(DEMO)
	@echo
	@$(BIN)/edge-bench show $(DEMO)

test: $(VENV)/installed lint
	./tests/edge/telemetry/jtop_environments.sh $(PYTHON)
	$(PYTHON) -m pytest -q --durations=10
	./tests/python38.sh
	./tests/host_cuda/run.sh

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# make slow   the proofs that take minutes
slow: $(VENV)/installed
	$(PYTHON) -m pytest -q -m slow

# make tensorrt-binding   our classes on the real TensorRT 8.5.3.1, without a GPU (downloads 1.7 GB once, keeps 3 GB)
tensorrt-binding:
	./tests/tensorrt_binding/run.sh

# make clean  remove the environments and what the demo made
clean:
	rm -rf $(VENV) .venv38 .venv-jtop-* .venv-tensorrt-* $(DEMO) data/synthetic
