# `make` lists the targets. $(PYTHON) names the interpreter that the environments are made from (3.10 or 3.11).
SHELL := /bin/bash
one_thread := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1

help:
	@echo 'make setup   the environments and tools in this folder: once, 9 GB (17 on the way) and 4 to 6 minutes'
	@echo 'make demo    trains, distils, decodes and reports on a small corpus (recipes/prompts/run.sh)'
	@echo 'make test    the tests, in two processes'
	@echo 'make test-long  kills at twenty random moments, Ray and Dask clusters, torch.compile'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   loss, soft targets, training and features against their peers and limits: ten minutes'

setup:
	@local/setup.sh

demo: setup
	recipes/prompts/run.sh

test: setup
	$(one_thread) .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: setup
	$(one_thread) .venv/bin/python -m pytest -m long

bench: setup
	.venv/bin/python -m benchmarks.loss
	.venv/bin/python -m benchmarks.store
	.venv/bin/python -m benchmarks.training
	.venv/bin/python -m benchmarks.features
	.venv/bin/python -m benchmarks.growth
	.venv/bin/python -m benchmarks.startup

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.PHONY: help setup demo test test-long bench lint
