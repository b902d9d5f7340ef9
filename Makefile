# make demo   set-up, then the main job on drawn scenes, from the weights that come with the product (4 to 6 minutes on
#             2 cores), and a street photograph: PHOTO=FILE for one of yours;
#             without a network: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER, a folder of wheels
# make test   set-up, then tests and linters (some 10 minutes on 2 cores; JOBS=4 for four processes)
# make test-fast   the tests of the rooms that you changed, without the long ones (at most 1 minute);
#                  ROOM=calibration/qdq for those of a room

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
# Progress and results, without TensorFlow's start-up lines.
export TF_CPP_MIN_LOG_LEVEL := 3
# The tests start a hundred processes. Without bytecode each compiles the project anew, and pytest all tests.
unexport PYTHONDONTWRITEBYTECODE

# Processes that run tests at a time; each has the tests of whole files, and libraries in it take one thread.
export JOBS ?= 2
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# One thread each: two processes on two cores gain nothing from more.
test test-fast: export OMP_NUM_THREADS := 1
test test-fast: export TF_NUM_INTRAOP_THREADS := 1
test test-fast: export TF_NUM_INTEROP_THREADS := 1

DEMO := out/demo
ARTIFACT := artifacts/fast_scnn-synthetic-512x1024
PHOTO ?=

SHIPPED := weights/fast_scnn-synthetic.weights.h5

.PHONY: help demo weights test test-fast lint python38 slow faults tensorrt-binding clean
.PHONY: environments jtop-environments python38-environment host-cuda-environment old-onnxruntime-environment
.PHONY: cityscapesscripts-environment

help:
	@sed -n 's/^# \(make\|      *\)/\1/p' Makefile

# The files say with which setup.cfg the environment was made; each is written last.
$(VENV)/ready: setup.cfg setup.py .ci/find-python .ci/make-environment
	@echo "set up $(VENV) (a minute or two, once)"
	@python="$$(./.ci/find-python)" && ./.ci/make-environment $(VENV) "$$python" --editable '.[train,export,cpu,report]'
	@touch $@

# What tests and linters need besides.
$(VENV)/installed: $(VENV)/ready
	@./.ci/make-environment --add $(VENV) --editable '.[train,export,cpu,report,dev]'
	@touch $@

# The 16 scenes that judge are those that the shipped weights were judged on, and were not trained on.
demo: $(VENV)/ready
	$(PYTHON) -m edge.synthetic data/synthetic --train 48 --val 16 --size 512x1024 --seed 1
	$(PYTHON) train/train.py --model fast_scnn --dataset synthetic --init-weights $(SHIPPED) --validate-first \
		--epochs 2 --learning-rate 2e-4
	$(PYTHON) export/build_engine.py --model fast_scnn --dataset synthetic --int8
	$(BIN)/edge-bench run $(ARTIFACT) --dataset synthetic --accuracy --frames 100 --output $(DEMO)
	@echo
	@$(BIN)/edge-bench show $(DEMO)
	@echo
	@./.ci/label-photo $(VENV) $(DEMO) "$(PHOTO)"

# make weights   draws 1,000 scenes and trains the weights of drawn scenes in weights/ on them (some 3 hours on 2 cores);
#                after a stop the same command goes on
weights: $(VENV)/ready
	./.ci/train-weights $(PYTHON) $(SHIPPED)

test: environments
	$(PYTHON) -m pytest -q --durations=10 $(PARALLEL)
	./tests/python38.sh
	./tests/host_cuda/run.sh

test-fast: $(VENV)/installed
	$(PYTHON) tests/fast.py $(ROOM)

# What tests need besides this environment is made once. Much of it is waiting for the package index: so together.
environments: $(VENV)/installed
	@$(MAKE) --no-print-directory -j 4 --output-sync lint jtop-environments python38-environment host-cuda-environment \
		old-onnxruntime-environment cityscapesscripts-environment

jtop-environments:
	@./tests/edge/telemetry/jtop_environments.sh $(PYTHON)

python38-environment:
	@./tests/python38.sh --prepare

host-cuda-environment:
	@./tests/host_cuda/run.sh --prepare

old-onnxruntime-environment:
	@./tests/calibration/qdq_ort/old_onnxruntime.sh $(PYTHON)

cityscapesscripts-environment:
	@./tests/edge/evaluation/cityscapesscripts_environment.sh $(PYTHON)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# make slow   the proofs that take minutes
slow: $(VENV)/installed
	$(PYTHON) -m pytest -q -m slow

# make faults   plants the faults of docs/testing.md in a copy, one after the other, and says which the tests do not see
faults: $(VENV)/installed
	$(PYTHON) -m tests.planted_faults

# make tensorrt-binding   our classes on the real TensorRT 8.5.3.1, without a GPU (downloads 1.7 GB once, keeps 3 GB)
tensorrt-binding:
	./tests/tensorrt_binding/run.sh

# make clean  remove the environments and what the demo made
clean:
	rm -rf $(VENV) .venv38 .venv-jtop-* .venv-tensorrt-* .venv-onnxruntime-* .venv-cityscapesscripts-*
	rm -rf $(DEMO) data/synthetic data/street-photo
