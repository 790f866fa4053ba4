# Everything runs from the checkout in a virtual environment made here; nothing needs to be installed
# before but Python 3.11 or later (with venv), make and git.

# The interpreter to make the virtual environment with: the first of these that is new enough.
PYTHON ?=
candidates = $(or $(PYTHON),python3 python3.13 python3.12 python3.11)

VENV := .venv
# The load tests have their own: Locust patches the standard library and hooks into pytest.
LOADTEST_VENV := .venv-loadtest
# Training takes a library that the trained model does without.
TRAIN_VENV := .venv-train
UV_VENV := .venv-uv

SWAGGER_UI := 5.35.0

bin := $(VENV)/bin
checked := service tests $(if $(wildcard loadtests/*.py),loadtests) gunicorn.conf.py

.DELETE_ON_ERROR:
.NOTPARALLEL:
.SECONDARY:
.DEFAULT_GOAL := help
.PHONY: help serve video tracing test check lint format types imports tests unit integration e2e containers coverage \
    bench bench-channel bench-http bench-overload bench-capacity bench-jobs bench-pipelines bench-samples train-digits \
    loadtest loadtest-compare loadtest-smoke soak deploy lock swagger clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/run.stamp  ## start the service (settings: .env.example; stop with Ctrl-C)
	@exec $(bin)/python -m service serve

video: $(VENV)/video.stamp  ## install PyAV too, for the task video_frames; then start anew

tracing: $(VENV)/tracing.stamp  ## install OpenTelemetry too, for SERVICE_TRACES_ENDPOINT; then start anew

test: lint types imports tests coverage  ## every check: style, types, imports, all tests with coverage

lint: $(VENV)/dev.stamp  ## ruff: rules and format
	$(bin)/ruff check .
	$(bin)/ruff format --check .

format: $(VENV)/dev.stamp  ## rewrite the sources in the one format
	$(bin)/ruff check --fix-only --quiet .
	$(bin)/ruff format .

types: $(VENV)/dev.stamp  ## mypy, strict
	$(bin)/mypy $(checked)

imports: $(VENV)/dev.stamp  ## import-linter: imports point one way
	PYTHONPATH=. $(bin)/lint-imports

tests: $(VENV)/dev.stamp
	@rm -rf var/coverage
	@mkdir -p var/coverage
	$(bin)/coverage run -m pytest

coverage: $(VENV)/dev.stamp  ## the figure of the last run of all tests, processes included
	@$(bin)/coverage combine --quiet 2>/dev/null || test -f var/coverage/data
	$(bin)/coverage report

unit integration e2e: %: $(VENV)/dev.stamp
	$(bin)/python -m pytest tests/$@ $(if $(filter e2e,$@),tests/containers)
unit:  ## only the tests of single units
integration:  ## only the tests with real processes
e2e:  ## only the tests with a real Gunicorn, and with real containers where there is a Docker engine

containers: $(VENV)/dev.stamp  ## only the tests with real containers; a Docker engine must answer
	EVERYCORE_CONTAINERS=1 $(bin)/python -m pytest tests/containers

bench: $(LOADTEST_VENV)/loadtest.stamp  ## the engine beside its peers: one table, and JSON
	$(LOADTEST_VENV)/bin/python -m loadtests.bench_engine $(ARGS)

bench-channel: $(LOADTEST_VENV)/loadtest.stamp  ## channels beside other queues between processes: one table, and JSON
	$(LOADTEST_VENV)/bin/python -m loadtests.bench_channel $(ARGS)

bench-http: $(LOADTEST_VENV)/loadtest.stamp  ## the service beside its peers over HTTP: one table, and JSON
	$(LOADTEST_VENV)/bin/python -m loadtests.bench_http $(ARGS)

bench-overload: $(LOADTEST_VENV)/loadtest.stamp  ## the service under four times the load that it can bear
	$(LOADTEST_VENV)/bin/python -m loadtests.bench_overload $(ARGS)

bench-capacity: $(LOADTEST_VENV)/loadtest.stamp  ## the formula of capacity planning beside a real service
	$(LOADTEST_VENV)/bin/python -m loadtests.bench_capacity $(ARGS)

bench-jobs: $(LOADTEST_VENV)/loadtest.stamp  ## durable jobs beside other job queues: one table, and JSON
	$(LOADTEST_VENV)/bin/python -m loadtests.bench_jobs $(ARGS)

bench-pipelines: $(LOADTEST_VENV)/loadtest.stamp  ## pipelines beside the same by hand, in a map, in one task
	$(LOADTEST_VENV)/bin/python -m loadtests.bench_pipelines $(ARGS)

# HOST=http://… asks that service in place of one that is started for it.
loadtest: $(LOADTEST_VENV)/loadtest.stamp  ## Locust: the service under steps of load; page, tables, charts
	$(LOADTEST_VENV)/bin/python -m loadtests.loadtest $(addprefix --host ,$(filter http%,$(HOST))) $(ARGS)

loadtest-compare: $(LOADTEST_VENV)/loadtest.stamp  ## the service and other ways to do the same, in one picture
	$(LOADTEST_VENV)/bin/python -m loadtests.loadtest_compare $(ARGS)

loadtest-smoke: $(VENV)/dev.stamp $(LOADTEST_VENV)/loadtest.stamp  ## the tests of the load tests, under three minutes
	$(bin)/python -m pytest tests/e2e/test_load_scenarios.py tests/e2e/test_load_commands.py tests/unit/loadtests

soak: $(LOADTEST_VENV)/loadtest.stamp  ## 20 minutes at 70 %: whether memory, descriptors and processes stay flat
	$(LOADTEST_VENV)/bin/python -m loadtests.soak $(ARGS)

bench-samples: $(VENV)/run.stamp  ## the first sample beside its four calls in one process
	$(bin)/python loadtests/bench_samples.py $(ARGS)

deploy:  ## put this version in place of the one that docker compose runs, without a request that fails
	@deploy/compose/rollout.sh $(ARGS)

train-digits: $(TRAIN_VENV)/train.stamp  ## train the model of classify_digits anew
	OMP_NUM_THREADS=1 $(TRAIN_VENV)/bin/python training/train_digits.py

# `make lock` keeps the versions that are locked and still fit; `make lock LOCK=--upgrade` takes the newest.
# Where the packages came from is left out: a mirror that you use never ends up in the files.
lock: $(UV_VENV)/uv.stamp  ## lock the versions anew after a change of pyproject.toml
	@$(call compile,run)
	@$(call compile,video,--extra video -c requirements/run.txt)
	@$(call compile,tracing,--extra tracing -c requirements/run.txt)
	@$(call compile,dev,--extra dev -c requirements/video.txt -c requirements/tracing.txt)
	@$(call compile,loadtest,--extra loadtest -c requirements/run.txt)
	@$(call compile,train,--extra train -c requirements/run.txt)

# npm is needed for this alone; the files are in the repository.
swagger:  ## fetch the files of Swagger UI anew
	rm -rf var/swagger && mkdir -p var/swagger
	cd var/swagger && npm pack --silent swagger-ui-dist@$(SWAGGER_UI) && tar -xzf swagger-ui-dist-*.tgz
	cd var/swagger/package && cp LICENSE NOTICE swagger-ui.css swagger-ui-bundle.js \
	    swagger-ui-bundle.js.LICENSE.txt $(CURDIR)/service/web/swagger/
	rm -rf var/swagger

clean:  ## remove what can be made again (not var/, where the service keeps its data)
	rm -rf $(VENV) $(LOADTEST_VENV) $(TRAIN_VENV) $(UV_VENV) var/coverage .mypy_cache .ruff_cache .pytest_cache \
	    .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ------------------------------------------------------------------------------ how it is made

# One version for every Python (--fork-strategy fewest): the tests on one tell about the other.
compile = $(UV_VENV)/bin/uv pip compile --quiet --universal \
    --python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url --no-emit-find-links \
    --custom-compile-command 'make lock' $(LOCK) $(2) -o requirements/$(1).txt pyproject.toml
pip = bin/python -m pip install --quiet --disable-pip-version-check

# The second call finds the stamp newer than the lock and does nothing; a changed lock installs again.
$(VENV)/%.stamp: requirements/%.txt | $(VENV)/made.stamp
	@echo "installing what is locked in $<"
	@$(VENV)/$(pip) --require-hashes -r $<
	@touch $@

$(LOADTEST_VENV)/%.stamp: requirements/%.txt | $(LOADTEST_VENV)/made.stamp
	@echo "installing what is locked in $<"
	@$(LOADTEST_VENV)/$(pip) --require-hashes -r $<
	@touch $@

$(TRAIN_VENV)/%.stamp: requirements/%.txt | $(TRAIN_VENV)/made.stamp
	@echo "installing what is locked in $<"
	@$(TRAIN_VENV)/$(pip) --require-hashes -r $<
	@touch $@

$(UV_VENV)/uv.stamp: | $(UV_VENV)/made.stamp
	@$(UV_VENV)/$(pip) 'uv>=0.9'
	@touch $@

%/made.stamp:
	@for python in $(candidates); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    "$$python" -c 'import ensurepip, venv' 2>/dev/null || { lacking=$$python; continue; }; \
	    echo "making $* with $$("$$python" -V)"; \
	    "$$python" -m venv --clear $* && touch $@ && exit 0; \
	    exit 1; \
	done; \
	if [ -n "$$lacking" ]; then \
	    echo "error: $$lacking has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; \
	else \
	    echo "error: Python 3.11 or later is needed; tried: $(candidates)." \
	        "Name one with make PYTHON=/path/to/python3" >&2; \
	fi; exit 1
