# make demo    segment a synthetic heart (or INPUT=scan.nii.gz, MODEL=name) and draw what was found
# make test    the whole suite
# make check   ruff, mypy and the layers (import-linter)
# make format  sort imports and apply safe fixes
# make bench   timed comparisons (by hand; they take minutes)
# make campaign   kills, geometries, bad input and bit flips by the thousand (by hand; about 15 minutes on two cores)
# make demo PANEL=1   the panel of the Slicer module on the test host, or a picture of it where there is no display
# make screenshots    every picture: the README's and the tutorial's in their places, the tests' in screenshots/

INPUT ?=
MODEL ?= cardiac-mr-sax
OUTPUT ?= demo-output
JOBS ?= 2
PANEL ?=
SCREENSHOTS ?= screenshots
# Most tests start a process or two: what Python compiled is kept, whatever the environment says.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test check format bench campaign setup clean screenshots

setup:
	@Resources/scripts/setup.sh demo

ifeq ($(PANEL),)
demo: setup
	@.venv/bin/kaf demo --model "$(MODEL)" --output "$(OUTPUT)" $(if $(INPUT),--input "$(INPUT)")
else
demo:
	@Resources/scripts/setup.sh test
	@.venv/bin/python Testing/panels/show_panel.py --model "$(MODEL)" --output "$(OUTPUT)" $(if $(INPUT),--input "$(INPUT)")
endif

test:
	@Resources/scripts/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/mypy
	PYTHONPATH=KAFSegmentation:KAFPretrain .venv/bin/lint-imports --no-cache
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(JOBS) --dist worksteal --instafail --session-timeout=4800 $(ARGS)

check:
	@Resources/scripts/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/mypy
	PYTHONPATH=KAFSegmentation:KAFPretrain .venv/bin/lint-imports --no-cache

format:
	@Resources/scripts/setup.sh test
	.venv/bin/ruff check --fix .

screenshots:
	@Resources/scripts/setup.sh test
	.venv/bin/python Testing/panels/draw_pictures.py
	.venv/bin/python Testing/panels/draw_any_structure.py
	.venv/bin/python Testing/panels/draw_pretraining.py
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest Testing/panels --screenshots="$(SCREENSHOTS)" $(ARGS)

bench: setup
	.venv/bin/python Testing/benchmarks/speed.py

campaign:
	@Resources/scripts/setup.sh test
	PYTHONPATH=Testing:Testing/helpers .venv/bin/python -m campaigns --jobs $(JOBS) $(ARGS)

clean:
	rm -rf .venv build *.egg-info KAFSegmentation/*.egg-info demo-output screenshots
