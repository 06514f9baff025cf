# Needs make and Python 3.11 or newer (`make demo PYTHON=python3.12`); the rest goes into .venv.
PYTHON ?= python3
INSTALLED := .venv/installed
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and "full4d needs Python 3.11 or newer")

.PHONY: demo test
demo: $(INSTALLED)
	.venv/bin/full4d run --out out/demo

test: $(INSTALLED)
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --durations 10

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c '$(NEW_ENOUGH)'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[metrics,test]'
	touch $@
