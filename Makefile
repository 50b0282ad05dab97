# make demo    segment a made-up heart (or INPUT=scan.nii.gz, MODEL=name) and draw what was found
# make test    the whole suite
# make check   ruff and mypy
# make bench   timed comparisons (by hand; they take minutes)

INPUT ?=
MODEL ?= cardiac-mr-sax
OUTPUT ?= demo-output
JOBS ?= 2

.PHONY: demo test check bench setup clean

setup:
	@Resources/scripts/setup.sh demo

demo: setup
	@.venv/bin/kaf demo --model "$(MODEL)" --output "$(OUTPUT)" $(if $(INPUT),--input "$(INPUT)")

test:
	@Resources/scripts/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/mypy
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(JOBS) $(ARGS)

check:
	@Resources/scripts/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/mypy

bench: setup
	.venv/bin/python Testing/benchmarks/speed.py

clean:
	rm -rf .venv build *.egg-info KAFSegmentation/*.egg-info demo-output
