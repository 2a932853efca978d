# make train    trains LeNet-5 on handwritten digits; options go into ARGS="--epochs 5"
# make test     runs the tests; ARGS="-k pool" chooses some
# make build    sets up .venv and compiles; the other targets do so first where needed
# make format   formats Python and C++; make lint checks both
# make clean    removes .venv and everything built
# make gpu      on a machine with a GPU, nvcc and compute-sanitizer: builds for that GPU, runs the
#               tests on it, the sanitizers and the benchmarks, writes docs/gpu/<device>.txt
# make sanitize-gpu    of these the sanitizers alone, into build/sanitizers.txt
# make sanitize-address    runs the CPU's kernels, without PyTorch, under AddressSanitizer and UBSan
# make sanitize-thread     and under ThreadSanitizer
#
# PYTHON chooses the interpreter, TORCH and TORCHVISION the versions; pip's configuration holds.
# TEST_WORKERS processes run the tests. make clean before a change of PYTHON or CNNOPS_CUDA.

PYTHON ?= python3
TORCH ?= 2.14.1
TORCHVISION ?= 0.29.1
TEST_WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
# All that any of this writes lies in the checkout.
CACHE := $(CURDIR)/$(VENV)/cache
ENV := TMPDIR='$(CURDIR)/$(VENV)/tmp' XDG_CACHE_HOME='$(CACHE)' MPLCONFIGDIR='$(CACHE)/matplotlib'
PIP := $(ENV) $(BIN)/python -m pip install --no-cache-dir
RUN := $(ENV) $(BIN)/python
HAS_TORCH := $(VENV)/has-torch-$(TORCH)-torchvision-$(TORCHVISION)
IS_BUILT := $(VENV)/is-built
CXX_FILES := $(shell find csrc tests/native -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')

.PHONY: train test build format lint clean gpu sanitize-gpu build-for-gpu \
        sanitize-address sanitize-thread

train: build
	$(RUN) -m cnnops.train $(ARGS)

test: build
	$(RUN) -m pytest -n $(TEST_WORKERS) --basetemp=build/test $(ARGS)

build: $(IS_BUILT)

format: build
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CXX_FILES)

lint: build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

clean:
	rm -rf $(VENV) build dist *.egg-info cnnops/*.so

gpu: build-for-gpu
	$(RUN) -m benchmarks.gpu_report --workers $(TEST_WORKERS) $(ARGS)

sanitize-gpu: build-for-gpu
	$(RUN) -m benchmarks.gpu_report --parts sanitizers --output build/sanitizers.txt $(ARGS)

sanitize-address sanitize-thread: sanitize-%:
	$(MAKE) -C tests/native check SANITIZER=$*

# Always, since the last build may have been for something else; ninja compiles what has changed.
build-for-gpu: $(HAS_TORCH)
	architectures=$$($(RUN) -m benchmarks.gpu_report --architectures) && \
	CNNOPS_CUDA=1 TORCH_CUDA_ARCH_LIST="$$architectures" $(PIP) --no-build-isolation -e '.[train,test]'
	touch $(IS_BUILT)

$(HAS_TORCH):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "cnnops needs Python 3.10 or newer: set PYTHON")'
	mkdir -p $(VENV)/tmp
	$(ENV) $(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/has-torch-*
	$(PIP) torch==$(TORCH) torchvision==$(TORCHVISION) 'setuptools>=77' ninja pybind11
	touch $@

# Folders stand in the list too: their date tells of a source that was added or removed.
$(IS_BUILT): $(HAS_TORCH) setup.py pyproject.toml cnnops/version.py $(shell find csrc)
	$(PIP) --no-build-isolation -e '.[train,test]'
	touch $@
