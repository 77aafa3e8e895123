"""Why a command of README.md or docs/ is not run by tests/test_docs_commands.py: the test that runs it, or the reason.

A key is a regular expression for a whole command; one that begins with a page's name holds for the lines of this page's
blocks alone.
"""

TWO_MACHINES = "tests/test_two_machines.py::test_two_machines_end_as_one"
TOKENS = "tests/test_cluster.py::test_a_clusters_token_is_honoured_or_named"
PREFLIGHT = (
    "tests/test_cluster.py::test_trials_share_declared_gpus_by_fractions_and_fall_back_to_the_cpu_with_the_same_bits"
)
SHARED = "tests/test_sharing.py::test_a_colleague_pulls_and_runs_nothing"
OWN_FILES = "tests/test_own_files.py::test_the_commands_of_the_docs_bring_photos_back_and_notice_an_edit"
NEW_MODEL = "tests/test_new_model.py::test_a_model_added_by_the_page_keeps_the_laws_and_goes_through_the_graph"
PACKAGES = "downloads packages"
CLOUD = "needs an account of a cloud; tests/test_deploy.py::test_ray_itself_accepts_the_file_for_ray_up"
KUBERNETES = "needs Docker and Kubernetes; tests/test_deploy.py::test_the_ray_job_has_only_fields_that_kuberay_knows"
USERS = "needs a package of its own; tests/test_server.py::test_a_server_with_users_serves_those_whom_it_knows does it"
HOURS = "measures for minutes to hours; its rows are asked of its parser"

EXCEPTIONS = {
    # words in capitals are the reader's
    "gen-models (score|drift) RUN FILE.*": "tests/test_from_files_to_scores.py::"
    "test_a_file_is_trained_on_and_new_rows_are_scored",
    "gen-models (de)?compress MODEL .*": "tests/test_codec_commands.py::test_an_array_comes_back_in_its_type_and_shape",
    "gen-models benchmark adbench FOLDER": "tests/test_adbench.py::"
    "test_the_command_writes_means_ranks_and_a_line_for_each_table",
    "RAY_ADDRESS=HOST:6379 make repro": TWO_MACHINES,
    # this suite, and what takes hours
    "make (test|faults|fuzz)": "runs these tests",
    "make chapter": "all models, as tests/test_every_model.py::test_no_stage_failed; its lines: "
    "tests/test_chapter.py::test_the_lines_of_the_chapter_are_sound",
    "make chapter BUDGET=full": "a day; tests/test_chapter.py::test_another_budget_gets_a_project_folder_of_its_own",
    r"python -m benchmarks\.(ddp|decisions|engine|flows|games|graph|latent|loader|nodes|pipeline|scoring)( .*)?": HOURS,
    r"python -m benchmarks\.results_page": "tests/test_docs.py::test_the_page_of_results_is_that_of_the_result_files",
    r"python -m benchmarks\.rows": "tests/test_benchmarks.py::"
    "test_a_change_of_a_rows_inputs_makes_it_stale_and_a_comment_does_not",
    # packages, data and devices
    "pip install .*|apt install .*|python3 install.py": PACKAGES,
    "GEN_MODELS_DATA=~/data make repro": "needs the files of MNIST; "
    "tests/test_sources.py::test_a_collection_is_found_where_its_user_says_packed_or_not",
    "make gpu": "needs a GPU",
    # clusters
    r"ray start( --head)?( --port=6379)?": TWO_MACHINES,
    "ray start --address=FIRST-MACHINE:6379": TWO_MACHINES,
    r"dvc repro --pull|\.venv/bin/dvc push --run-cache": "takes a remote's outputs where dvc.lock is gone; "
    "tests/test_sharing.py runs its other ways",
    "mlflow gc|mlflow db upgrade": "MLflow's own, on a server with deleted versions, or an old database",
    "dvc gc --cloud": "DVC's own, on a remote",
    "dvc exp run -S runs.vae-digits.seeds=3": "tests/test_params_edit.py::"
    "test_dvc_sets_a_value_of_a_line_by_its_place_under_runs_only",
    "ray stop": "ends every Ray of the user on the machine, also those of other tests",
    "ray get-auth-token|chmod 600 ~/.ray/auth_token": TOKENS,
    "docs/cluster.md: export RAY_AUTH_MODE=token RAY_ADDRESS=FIRST-MACHINE:6379": TWO_MACHINES,
    "docs/cluster.md: (RAY_ADDRESS=127.0.0.1:6379 )?gen-models preflight": PREFLIGHT,
    "docs/cluster.md: make repro": TWO_MACHINES,
    "ray (up|attach|down)( deploy/ray-up.yaml)?": CLOUD,
    "cd gen-models && RAY_ADDRESS=auto RAY_AUTH_MODE=token make repro": CLOUD,
    "(docker|kubectl) .*": KUBERNETES,
    # remotes of DVC, and two copies of a repository
    "dvc remote add -d store .*|dvc push --run-cache|(git pull && )?dvc pull( --run-cache)?": SHARED,
    "git add dvc.lock .*": SHARED,
    "docs/cluster.md: dvc repro": SHARED,
    "dvc (add|pull|push|unprotect) data/photos.*|dvc remote add --default shelf .*": OWN_FILES,
    "git (add --all|commit --message .*)": OWN_FILES,
    "git (clone|commit --all)": "say what git is for; the second opens an editor",
    "gen-models add-data photos (data/photos|photos/)": OWN_FILES,
    # servers of MLflow
    "make server PORT=5001 STORE=postgresql:.*": "needs PostgreSQL; "
    "tests/test_ui.py::test_a_database_that_cannot_be_served_is_one_line_without_its_password",
    "gen-models server --artifacts s3:.*": "needs an account of a cloud",
    "export MLFLOW_(AUTH|TRACKING_USERNAME).*|gen-models server --host 0.0.0.0 --users": USERS,
    "mlflow models serve": "tests/test_serving.py::test_a_version_answers_over_http",
    # what a page of its own has its own test for
    "docs/new-model.md: (pytest -q .*|gen-models play laplace-digits|dvc repro)": NEW_MODEL,
    "make repro RUNS=laplace-digits": "README's `make repro RUNS=vae-digits` runs, with another run",
    "pytest tests/test_workers.py tests/test_config.py tests/test_chapter.py": "runs these tests",
    "pytest tests/test_every_model.py": "runs these tests",
    "gen-models gc|dvc gc": "tests/test_lineage.py::test_the_cache_of_dvc_keeps_what_the_workspace_and_commits_use",
}
