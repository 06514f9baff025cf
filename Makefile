# Needs make and Python 3.11 or newer (`make demo PYTHON=python3.12`); the rest goes into .venv.
PYTHON ?= python3
INSTALLED := .venv/installed
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and "full4d needs Python 3.11 or newer")

# Packages come without bytecode (--no-compile): Python keeps that of what it imports, and of what
# pytest and jaxtyping rewrite, even where the shell forbids it. Else every process compiles it anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test quick lint docs
demo: $(INSTALLED)
	.venv/bin/full4d run --out out/demo

test: $(INSTALLED)
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
	  --durations 10

# Lint, types, and the tests that need about a minute: documented commands, configs, files, the layer map.
quick: lint
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile tests/test_architecture.py \
	  tests/test_docs.py tests/test_licences.py tests/full4d_jax/config/test_experiment.py \
	  tests/full4d_jax/session tests/input_pipeline/test_pinhole.py tests/gaussians/formats/test_ply.py

lint: $(INSTALLED)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright

docs: $(INSTALLED)
	.venv/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet --site-dir out/site

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c '$(NEW_ENOUGH)'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[metrics,test]'
	touch $@
