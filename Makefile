# Two commands: `make demo` and `make test`. Both set up what they need, once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
ON_DISPLAY := tools/xvfb.sh
PYTEST := $(BIN)/python -m pytest
# Tests without a window, in two processes; a file's share its networks.
AT_ONCE ?= -n 2 --dist loadfile
SETUP := tools/setup.sh

# TensorFlow's start-up notices, and nothing else of it.
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PYTHONUTF8 = 1

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# Stamps: a second call does nothing; a change of what is installed, or a new .venv, installs again.
NEEDS := pyproject.toml constraints.txt $(SETUP)

.PHONY: system
system:  ## install missing system libraries (apt, root or sudo)
	@$(SETUP) system

$(BIN)/python: | system
	@$(SETUP) venv

.venv/.runtime: $(NEEDS) | $(BIN)/python
	@$(SETUP) install pyqt5
	@touch $@

.venv/.development: $(NEEDS) | $(BIN)/python
	@$(SETUP) install pyqt5,pyqt6,test,docs,torch,onnx
	@touch $@ .venv/.runtime

.PHONY: setup
setup: system .venv/.development  ## set up everything, for working on the code

.PHONY: demo
demo: system .venv/.runtime  ## open napari with a photo and its map; without a display save demo.png
	@if $(ON_DISPLAY) --probe; then $(BIN)/napari-saliency --demo; \
	else $(ON_DISPLAY) $(BIN)/napari-saliency --demo --screenshot demo.png; fi

.PHONY: test
test: setup  ## lint, types, all tests (the viewer's with PyQt5 and PyQt6) and the site
	@$(MAKE) --no-print-directory lint types test-quick docs test-framework test-viewer

.PHONY: test-quick
test-quick: .venv/.development  ## tests that need no framework and no window
	$(PYTEST) -m "not framework" $(AT_ONCE)

.PHONY: test-framework
test-framework: .venv/.development  ## tests that need TensorFlow, PyTorch or ONNX
	$(PYTEST) -m framework $(AT_ONCE)

.PHONY: test-viewer
test-viewer: system .venv/.development  ## tests that need a window, on a virtual display
	QT_API=pyqt5 $(ON_DISPLAY) $(PYTEST) --viewer
	QT_API=pyqt6 $(ON_DISPLAY) $(PYTEST) --viewer

.PHONY: docs
docs: .venv/.development  ## build the site into build/docs; warnings are errors
	$(BIN)/python -m sphinx -M html docs build/docs -q -n -W --keep-going -j auto

.PHONY: lint
lint: .venv/.development  ## ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: .venv/.development  ## mypy, strict
	$(BIN)/mypy

.PHONY: format
format: .venv/.development  ## lay out the code, and mend what ruff can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: bench
bench: .venv/.development  ## measure speed against plain compiled code
	$(ON_DISPLAY) $(BIN)/python tools/bench.py

.PHONY: screenshots
screenshots: system .venv/.development  ## take the README's pictures from the running program
	$(ON_DISPLAY) $(BIN)/python tools/screenshots.py

.PHONY: clean
clean:  ## remove what was built, .venv included
	rm -rf .venv build dist docs/generated docs/methods docs/examples demo.png .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
