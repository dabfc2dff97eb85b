# `make help` lists the targets. Set-up happens inside them, again only when something changed.

PYTHON ?= python3
BIN := .venv/bin
SCHEMA := $(BIN)/check-jsonschema --quiet --builtin-schema vendor

.DEFAULT_GOAL := help
.PHONY: help setup book pdf check test fuzz lint format lab image up down hub hub-up hub-down hub-status hub-codes grade bundle lock version clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "PYTHON=… picks the Python, TORCH_INDEX=… another source of torch builds (see README)"

setup: ## virtual environment, packages, data and model (part of the targets below)
	@$(PYTHON) tools/bootstrap.py

book: setup ## execute the notebooks that changed, render _build/html
	@$(BIN)/gpubook book

pdf: book ## the whole book as _build/gpu-container.pdf (needs Chromium)
	@$(BIN)/gpubook pdf

check: setup lint ## a short loop: lint, the unit tests of what changed, one tiny notebook
	@$(BIN)/python -m pytest tests/unit --changed=10 --budget=30 --durations=5 \
		--numprocesses=2 --dist=loadscope --no-loadscope-reorder

# The notebooks first and alone, because they measure; then all tests side by side.
test: setup lint ## all tests; lanes without an engine, a GPU or a browser skip with the reason
	@eval "$$(.ci/engine find 2>/dev/null)"; \
	$(BIN)/gpubook run; ran=$$?; [ $$ran -le 1 ] || exit $$ran; \
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadscope --no-loadscope-reorder \
		--durations=20 && exit $$ran

fuzz: setup ## bad input by the thousand to every reader (CASES=20000 SEED=0)
	@nice $(BIN)/python -m tests.fuzz --cases $(or $(CASES),20000) --seed $(or $(SEED),0)

lint: setup ## code, notebooks and text
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python tools/lint_notebooks.py check
	@$(BIN)/codespell *.md .github book examples gpubook notebooks tests tools
	@$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	@[ -x $(BIN)/shellcheck ] || echo "lint: no shellcheck for this machine, so the scripts are not checked"
	@[ ! -x $(BIN)/shellcheck ] || $(BIN)/shellcheck .binder/postBuild .ci/run docker/build docker/choose-base docker/entrypoint \
		docker/fill-wheelhouse docker/make-base docker/pip-here docker/start docker/up \
		docker/jupyterhub/hub tools/bundle/start tools/bundle/verify examples/slurm/*.sbatch
	@$(BIN)/hadolint docker/Dockerfile examples/project/Dockerfile
	@$(BIN)/zizmor --offline --quiet .github/workflows
	@$(SCHEMA).github-workflows .github/workflows/*.yml
	@$(SCHEMA).github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	@$(SCHEMA).renovate renovate.json
	@$(SCHEMA).citation-file-format CITATION.cff

format: setup ## format the code and strip the notebooks' outputs
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python tools/lint_notebooks.py format
	@$(BIN)/nbstripout --keep-id notebooks/*.ipynb

lab: setup ## JupyterLab on this machine
	@$(BIN)/jupyter lab --notebook-dir=. notebooks

image: ## build the GPU container (VARIANT=cpu where the engine's machine has no GPU)
	@docker/build

up: ## start JupyterLab in the container, print its address
	@docker/up

down: ## stop it; the mounted folder stays
	@docker/up down

hub: ## a JupyterHub that gives each learner a container: HUB_LEARNERS="ada grace" make hub
	@docker/jupyterhub/hub run

hub-up: ## the same as a service, which outlives this shell
	@docker/jupyterhub/hub up

hub-down: ## end it; all files stay
	@docker/jupyterhub/hub down

hub-status: ## whether it runs, who sits there, what is on the disk
	@docker/jupyterhub/hub status

hub-codes: ## the list to print: how each new learner logs in
	@docker/jupyterhub/hub codes

grade: setup ## judge the answers of a class: CLASS=folder (IMAGE=… runs their notebooks before)
	@$(BIN)/python tools/grade.py $(CLASS) $(if $(IMAGE),--image $(IMAGE))

bundle: book ## one archive that starts a class on a machine without a network
	@eval "$$(.ci/engine find 2>/dev/null)"; $(BIN)/python tools/make_bundle.py $(BUNDLE)

lock: setup ## renew the locked versions and hashes, show what changed (UPGRADE="numpy ruff", or all)
	@$(BIN)/python tools/install.py requirements/lock.txt
	@$(BIN)/python tools/lock.py $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX)) \
		$(if $(UPGRADE),--upgrade $(filter-out all,$(UPGRADE)))

version: ## check that every file names one version; VERSION=1.2.0 sets it
	@$(PYTHON) tools/release.py version $(VERSION)

clean: ## remove what was built (executed notebooks, results, pages)
	@rm -rf _build .pytest_cache .ruff_cache .hypothesis

distclean: clean ## remove the virtual environment, too
	@rm -rf .venv .hub gpubook.egg-info
