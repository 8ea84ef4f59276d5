# Every target works from a clean clone: it creates .venv and installs what it needs.
PYTHON ?= python3
VENV   ?= .venv
PRESET ?= paper
WORKDIR ?= runs
FLAGS  ?=

STUDIES := mnist_cvae cifar_dcgan fruits_gan mnist_dbm cgan_ood
RUN     := $(VENV)/bin/python -m
PIP     := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help quickstart replicate-all $(STUDIES:%=replicate-%) report plan test lint check bench docs publish clean

help:
	@echo "make quickstart         install, run a first study at a small real scale, write REPORT.html"
	@echo "make replicate-all      re-run every study (PRESET=paper|lite|smoke)"
	@echo "make replicate-<study>  re-run one: $(STUDIES)"
	@echo "make plan               what replicate-all would run, and for how long"
	@echo "make report             REPORT.html and REPORT.md from what is there; trains nothing"
	@echo "make test | lint        tests | style"
	@echo "make check              README's numbers and figures/ against the shipped records"
	@echo "make bench              speed and memory, paired and repeated"
	@echo "make docs               API reference in docs/api/"
	@echo "make publish            your records become shipped ones under results/"
	@echo "make clean              remove .venv, caches and reports; keeps runs/"

$(VENV)/.installed: setup.cfg constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11 to 3.13 is needed, for which TensorFlow has wheels; set PYTHON=python3.13")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e .[dev]
	touch $@

quickstart: $(VENV)/.installed
	$(RUN) replicate.mnist_cvae --preset=quick --workdir=$(WORKDIR) $(FLAGS)
	$(RUN) replicate.report --workdir=$(WORKDIR)
	$(RUN) replicate $(WORKDIR)

# A study that fails does not keep the others, or the report, from running.
replicate-all: $(VENV)/.installed
	@failed=; for study in $(STUDIES); do \
	  $(RUN) replicate.$$study --preset=$(PRESET) --workdir=$(WORKDIR) $(FLAGS); code=$$?; \
	  if [ $$code = 130 ]; then exit 130; fi; \
	  if [ $$code != 0 ]; then failed="$$failed $$study"; fi; \
	done; \
	$(RUN) replicate.report --workdir=$(WORKDIR) || exit; \
	if [ -n "$$failed" ]; then echo "not complete:$$failed; the same command goes on"; exit 1; fi

$(STUDIES:%=replicate-%): replicate-%: $(VENV)/.installed
	$(RUN) replicate.$* --preset=$(PRESET) --workdir=$(WORKDIR) $(FLAGS)

report: $(VENV)/.installed
	$(RUN) replicate.report --workdir=$(WORKDIR)

plan: $(VENV)/.installed
	@for study in $(STUDIES); do $(RUN) replicate.$$study --preset=$(PRESET) --workdir=$(WORKDIR) --plan $(FLAGS); done

test: $(VENV)/.installed-dev
	$(RUN) pytest -n 2 --dist loadscope

lint: $(VENV)/.installed-dev
	$(RUN) ruff check .
	$(RUN) ruff format --check .

check: $(VENV)/.installed
	$(RUN) replicate.report --check

bench: $(VENV)/.installed-dev
	$(VENV)/bin/python benchmarks/classifier_lanes.py
	$(VENV)/bin/python benchmarks/dcgan_step.py
	$(VENV)/bin/python benchmarks/batch_normalization.py
	$(VENV)/bin/python benchmarks/dbm_training.py
	$(VENV)/bin/python benchmarks/manifold_scores.py
	$(VENV)/bin/python benchmarks/stylegan2_training.py
	$(VENV)/bin/python benchmarks/training_pace.py

docs: $(VENV)/.installed-dev
	$(RUN) pdoc replicate --docformat google --output-directory docs/api

publish: $(VENV)/.installed
	$(RUN) replicate.runs.publish --workdir=$(WORKDIR)
	$(RUN) replicate.report --publish

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache docs/api report REPORT.html REPORT.md
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
