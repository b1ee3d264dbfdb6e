# Everything a checkout needs; `make help` lists it. Only Python 3.11+, a C compiler and make must be there before:
# the rest goes into .venv and build/. Another interpreter: `make test PYTHON=python3.13 VENV=.venv313`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
SHELL  := /bin/sh

SOURCES := $(shell find ext lexmesh -type f \( -name '*.py' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.px[di]' \
             -o -name '*.h' -o -name '*.toml' -o -name py.typed \)) pyproject.toml setup.py MANIFEST.in README.md LICENSE \
             protos/lexmesh/v1/internode.proto
MODULES := $(patsubst ext/lexmesh/%.pyx,lexmesh.%,$(sort $(wildcard ext/lexmesh/_*.pyx)))
WHEELS  := build/wheel/$(notdir $(VENV))

.PHONY: help demo test check build bench sanitize soak clean
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

demo: $(VENV)/.package ## make .venv, install lexmesh into it, run `lexmesh demo`: three nodes on this host's readings
	$(BIN)/lexmesh demo

test: $(VENV)/.test ## make .venv, install lexmesh with its test extra, run pytest (ARGS="-k codec" passes options on)
	$(BIN)/pytest $(ARGS)

# The core is translated afresh, with warnings as errors; stubtest compares each stub with the module as installed.
check: $(VENV)/.dev ## ruff, mypy --strict, stubtest of the compiled modules, Cython and C warnings as errors
	$(BIN)/ruff check .
	$(BIN)/mypy
	LEXMESH_WERROR=1 $(BIN)/python setup.py -q build_ext --build-lib build/werror --build-temp build/werror
	$(BIN)/stubtest --mypy-config-file pyproject.toml --allowlist .ci/stubtest.allow --ignore-unused-allowlist \
	    --ignore-disjoint-bases $(MODULES)

build: $(VENV)/.dev ## sdist and wheel in dist/, the wheel built from the sdist in an isolated environment
	rm -f dist/lexmesh-*
	$(BIN)/python -m build --outdir dist .

# -P: Python is to find the installed lexmesh, not the checkout's sources.
bench: $(VENV)/.bench ## lexmesh beside its peers, then pytest-benchmark over bench/; keeps the figures in bench/record/
	PYTHONPATH=bench $(BIN)/python -P -m peers
	mkdir -p build
	$(BIN)/pytest bench --benchmark-enable --benchmark-columns=median,iqr,ops --benchmark-sort=name \
	    --benchmark-json=build/bench.json $(ARGS)
	$(BIN)/python bench/record.py build/bench.json bench/record

# The instrumented core lives under build/sanitize and is found through PYTHONPATH, before the release build in .venv.
# The interpreter is not instrumented: the runtimes are preloaded, its own leaks ignored and its allocator bypassed.
sanitize: $(VENV)/.dev ## build the core with AddressSanitizer and UBSan apart from the release, run `pytest -m core` on it
	LEXMESH_SANITIZE=1 $(BIN)/python setup.py -q build --build-base build/sanitize --build-lib build/sanitize/lib
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	    PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/build/sanitize/lib LEXMESH_TEST_BUILD=sanitize \
	    LEXMESH_EXAMPLES=10000 \
	    $(BIN)/pytest -m core --capture=sys $(ARGS)

soak: $(VENV)/.dev ## the tests that take minutes, left out of `make test`, and the random ones with more examples
	LEXMESH_EXAMPLES=10000 $(BIN)/pytest -m "soak or many" $(ARGS)

clean: ## remove what the other targets made, .venv too
	rm -rf build dist *.egg-info $(VENV) .mypy_cache .ruff_cache .hypothesis .benchmarks tests/foreign/node_modules
	find lexmesh ext tests bench -name __pycache__ -prune -exec rm -rf {} +
	find lexmesh \( -name '*.so' -o -name '*.binpb' \) -delete

# -- the environment: each stamp is one step, redone only when what it depends on is newer ----------------------------

define preflight
	@command -v "$(firstword $(PYTHON))" >/dev/null || { echo "lexmesh: no $(PYTHON) on PATH; install Python 3.11 or newer, or say which: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "lexmesh: $$($(PYTHON) -V 2>&1) is too old; it needs 3.11 or newer, say which: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "lexmesh: $(PYTHON) has no venv module; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@command -v "$${CC:-gcc}" >/dev/null || { echo "lexmesh: no C compiler; install one (Debian, Ubuntu: apt install gcc libc6-dev) or name it in CC" >&2; exit 1; }
	@$(PYTHON) -c 'import sysconfig as s; print("#include <%s/Python.h>" % s.get_path("include"))' | "$${CC:-gcc}" -I"$$($(PYTHON) -c 'import sysconfig as s; print(s.get_path("include"))')" -fsyntax-only -x c - 2>/dev/null || { echo "lexmesh: the C headers of $(PYTHON) or libc are missing; install them (Debian, Ubuntu: apt install python3-dev libc6-dev)" >&2; exit 1; }
endef

$(VENV)/.venv:
	$(preflight)
	$(PYTHON) -m venv $(VENV)
	@touch $@

# setuptools keeps build/lib between builds: Python files deleted from lexmesh/ would live on in the wheel.
$(WHEELS)/.built: $(SOURCES) | $(VENV)/.venv
	@find build/lib.* -type f ! -name '*.so' -delete 2>/dev/null || true
	@rm -rf $(WHEELS) && mkdir -p $(WHEELS)
	$(PIP) wheel --no-deps --wheel-dir $(WHEELS) .
	@touch $@

$(VENV)/.package: $(WHEELS)/.built
	$(PIP) install --force-reinstall --no-deps $(WHEELS)/*.whl
	$(PIP) install $(WHEELS)/*.whl
	@touch $@

$(VENV)/.test: $(VENV)/.package
	$(PIP) install "$$(echo $(WHEELS)/*.whl)[test]"
	@touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) install "$$(echo $(WHEELS)/*.whl)[bench]"
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) install "$$(echo $(WHEELS)/*.whl)[dev]"
	@touch $@
