"""What jobs get of a cluster, and what is looked at before they start: declared GPUs, tokens, and waits that end."""

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gen_models.errors import ConfigError, GenModelsError
from pipelines.commands import preflight
from pipelines.config.cluster_conf import ClusterConf, cluster_conf
from pipelines.config.compose import compose
from pipelines.config.conf_files import names
from pipelines.config.params import params
from pipelines.data.prepare import main as prepare
from pipelines.lineage.imports import ImportGraph
from pipelines.runtime import paths
from pipelines.training import ray_cluster, ray_preflight, ray_resources, ray_temporary, ray_tune
from pipelines.training.in_play import EVALUATION, TRAINING, TRIAL, Job, training_job
from pipelines.training.ray_cluster import ClusterError
from pipelines.training.ray_nodes import NodeFacts
from pipelines.training.ray_resources import Node, Resources, Room, Share, planned, room
from pipelines.training.run_log import RunLog
from pipelines.training.sweep_plan import sweep_plan
from pipelines.training.task import Task, task_of
from pipelines.training.trainer import train
from tests.project import HERE, environment, make_project

CONF = {
    "gpu": "auto",
    "trial": {"workers": 1, "cpus": 1, "gpus": 0.25},
    "training": {"cpus": 1, "gpus": 1},
    "evaluation": {"cpus": 1},
    "most_jobs": None,
    "placement": "PACK",
    "wait_seconds": 0,
}
WHERE = "conf/cluster/mine.yaml"
CPUS, GPUS = 4, 2  # of the cluster that Ray is told of; there is no GPU

shares = st.builds(
    Share, st.sampled_from([0.5, 1, 2, 3]), st.sampled_from([0, 0.25, 0.3, 0.5, 1, 2]), st.integers(1, 4)
)
clusters = st.lists(st.builds(Node, st.just("a"), st.integers(0, 9), st.integers(0, 4)), max_size=4)


def conf_of(**changes) -> ClusterConf:
    return ClusterConf.model_validate({**CONF, **changes})


@pytest.fixture
def here(monkeypatch) -> Path:
    monkeypatch.setenv("GEN_MODELS_ROOT", str(HERE))
    return HERE


# --- room


@given(clusters, shares)
def test_as_many_jobs_have_room_as_can_be_placed_one_by_one(nodes, share):
    """Worker by worker, each GPU on its own: what fits by hand is what is counted."""
    placed = 0
    for node in nodes:
        cpus, parts = node.cpus, [1.0] * int(node.gpus)
        while cpus >= share.cpus:
            if share.gpus > 1:
                parts = parts[int(share.gpus) :] if len(parts) >= share.gpus else None
            elif share.gpus:
                place = next((i for i, part in enumerate(parts) if part >= share.gpus - 1e-9), None)
                parts = None if place is None else [part - share.gpus * (i == place) for i, part in enumerate(parts)]
            if parts is None:
                break
            cpus, placed = cpus - share.cpus, placed + 1
    assert room(nodes, share, "PACK") == placed // share.workers
    assert room(nodes, share, "STRICT_PACK") <= room(nodes, share, "PACK")
    assert room(nodes, share, "STRICT_SPREAD") <= room(nodes, share, "PACK")


def test_strict_placements_keep_workers_of_a_job_together_or_apart():
    nodes, two = [Node("a", 3, 0), Node("b", 1, 0)], Share(workers=2)
    found = {name: room(nodes, two, name) for name in ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")}
    assert found == {"PACK": 2, "SPREAD": 2, "STRICT_PACK": 1, "STRICT_SPREAD": 1}


@given(st.lists(st.tuples(st.sampled_from([TRIAL, TRAINING, EVALUATION]), st.booleans()), max_size=60))
def test_jobs_that_run_never_take_more_than_there_is(moves):
    """Whatever starts and ends: no CPU and no GPU is given twice, and all is free again when nothing runs."""
    nodes = (Node("a", 4, 2),)
    resources = planned(nodes, conf_of(trial={"workers": 2, "cpus": 1, "gpus": 0.5}, most_jobs=3), WHERE, 1)
    counter, running = Room(resources), []
    for kind, starts in moves:
        if starts and counter.has_room(kind):
            counter.take(kind)
            running.append(kind)
        elif not starts and kind in running:
            counter.give_back(kind)
            running.remove(kind)
        used = [resources.share(kind) for kind in running]
        assert sum(share.cpus * share.workers for share in used) <= 4
        assert sum(share.gpus * share.workers for share in used) <= 2
        assert len(running) <= 3
    for kind in running:
        counter.give_back(kind)
    assert [counter.has_room(kind) for kind in (TRIAL, TRAINING, EVALUATION)] == [True, True, True]


# --- what conf/cluster says


@pytest.mark.parametrize(
    ("changes", "nodes", "expected"),
    [
        ({}, [(4, 0)], {TRIAL: (4, 0), TRAINING: (4, 0), EVALUATION: (4, 0)}),
        ({}, [(4, 2)], {TRIAL: (4, 0.25), TRAINING: (2, 1), EVALUATION: (4, 0)}),
        ({}, [(16, 1)], {TRIAL: (4, 0.25), TRAINING: (1, 1), EVALUATION: (16, 0)}),
        ({"gpu": "never"}, [(4, 2)], {TRIAL: (4, 0), TRAINING: (4, 0), EVALUATION: (4, 0)}),
        ({"most_jobs": 1}, [(4, 2)], {TRIAL: (1, 0.25), TRAINING: (1, 1), EVALUATION: (1, 0)}),
        ({"trial": {"workers": 2, "cpus": 1, "gpus": 1}}, [(4, 1), (2, 1)], {TRIAL: (1, 1), TRAINING: (2, 1)}),
    ],
)
def test_gpus_are_used_where_the_cluster_has_them(changes, nodes, expected):
    found = planned([Node("a", *node) for node in nodes], conf_of(**changes), WHERE, 1)
    for kind, (count, gpus) in expected.items():
        assert (found.at_once[kind], found.share(kind).gpus) == (count, gpus), kind
    assert not found.notes


def test_a_training_of_more_workers_than_gpus_is_done_by_cpus_and_that_is_said():
    found = planned([Node("a", 4, 1)], conf_of(), WHERE, 2)
    assert (found.at_once[TRAINING], found.share(TRAINING)) == (2, Share(1, 0, 2))
    assert found.share(TRIAL).gpus == 0.25
    (line,) = found.notes
    assert "training: 2 workers, each 1 CPU and 1 GPU has no room on the cluster's 1 GPU, so CPUs do it" in line


@pytest.mark.parametrize(
    ("changes", "workers", "says"),
    [
        ({"trial": {"workers": 1, "cpus": 8, "gpus": 0}}, 1, r"trial\.cpus: 8 CPU .* more than the 4 that the largest"),
        ({"gpu": "always", "training": {"cpus": 1, "gpus": 3}}, 1, r"training\.gpus: 3 GPU .* than the 2 that the la"),
        ({"trial": {"workers": 9, "cpus": 1, "gpus": 0}}, 1, r"trial\.workers: 9 is more than the 8 CPUs"),
        ({"gpu": "always"}, 5, r"params.yaml: workers: 5 is more than the 4 GPUs"),
        ({}, 64, r"params.yaml: workers: 64 is more than the 8 CPUs"),
    ],
)
def test_what_has_room_nowhere_is_one_line_with_what_is_asked_and_what_there_is(changes, workers, says):
    nodes = [Node("a", 4, 2), Node("b", 4, 2)]
    with pytest.raises(ClusterError, match=says) as caught:
        planned(nodes, conf_of(**changes), WHERE, workers)
    assert "\n" not in str(caught.value) and "lower it, or point RAY_ADDRESS" in str(caught.value)


def test_always_a_gpu_is_refused_where_there_is_none_and_its_fix_works():
    with pytest.raises(ClusterError, match=r"gpu: always, and the cluster has no GPU; write gpu: auto to use its CPUs"):
        planned([Node("a", 4, 0)], conf_of(gpu="always"), WHERE, 1)
    assert planned([Node("a", 4, 0)], conf_of(gpu="auto"), WHERE, 1).most == 4


class Growing:
    """A cluster whose second node comes late."""

    def __init__(self, looks: int):
        self._looks = looks

    def nodes(self) -> list[dict]:
        self._looks -= 1
        cpus = [2.0] if self._looks > 0 else [2.0, 2.0]
        alike = {"NodeManagerAddress": "a", "Alive": True}
        return [{**alike, "NodeID": str(number), "Resources": {"CPU": each}} for number, each in enumerate(cpus)]


def test_a_cluster_that_grows_is_waited_for_no_longer_than_is_said(here, monkeypatch):
    monkeypatch.setattr(ray_resources, "SECONDS_BETWEEN_LOOKS", 0.01)
    said: list[str] = []
    for wait, looks in ((1, 3), (0, 3), (1, 10**6)):
        made = conf_of(wait_seconds=wait, trial={"workers": 4, "cpus": 1, "gpus": 0})
        monkeypatch.setattr(ray_resources, "cluster_conf", lambda name, made=made: made)
        if (wait, looks) == (1, 3):
            assert ray_resources.resources_for(Growing(looks), params(), said.append).at_once[TRIAL] == 1
            continue
        began = time.monotonic()
        with pytest.raises(ClusterError, match=r"trial\.workers: 4 is more than the 2 CPUs"):
            ray_resources.resources_for(Growing(looks), params(), said.append)
        assert time.monotonic() - began < wait + 0.5
    assert len(said) == 2 and all(line.startswith("waits for the cluster to grow, for up to 1 s") for line in said)


def test_each_file_of_conf_cluster_is_sound_and_says_what_auto_does_with_a_gpu(here):
    assert {"local", "ray", "kuberay"} <= set(names("cluster"))
    for name in names("cluster"):
        made = cluster_conf(name)
        assert planned([Node("a", 8, 2)], made, WHERE, 1).share(TRIAL).gpus < 1, "several trials share a GPU"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gpu": "often"}, r"gpu: unknown value 'often'"),
        ({"gpus": 1}, r"unknown key 'gpus': did you mean 'gpu'"),
        ({"trial": {"workers": 0, "cpus": 1, "gpus": 0}}, r"trial\.workers: expected a whole number of at least 1"),
        ({"trial": {"workers": 1, "cpus": 0, "gpus": 0}}, r"trial\.cpus: expected a number above 0"),
        ({"training": {"cpus": 1, "gpus": 1.5}}, r"training\.gpus: 1.5 GPUs cannot be given; write 0, a fraction"),
        ({"training": {"cpus": 1}}, r"training: the key 'gpus' is missing"),
        ({"evaluation": {"cpus": 1, "gpus": 1}}, r"evaluation: unknown key 'gpus'"),
        ({"placement": "NEAR"}, r"placement: unknown value 'NEAR'"),
        ({"most_jobs": 0}, r"most_jobs: expected a whole number of at least 1"),
        ({"wait_seconds": -1}, r"wait_seconds: expected a whole number of at least 0"),
    ],
)
def test_a_fault_of_conf_cluster_is_one_line(tmp_path, monkeypatch, changes, says):
    monkeypatch.setenv("GEN_MODELS_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").touch()
    (tmp_path / "conf" / "cluster").mkdir(parents=True)
    (tmp_path / "conf" / "cluster" / "mine.yaml").write_text(yaml.safe_dump({**CONF, **changes}))
    with pytest.raises(ConfigError, match=rf"^conf/cluster/mine\.yaml: {says}") as caught:
        cluster_conf("mine")
    assert "\n" not in str(caught.value)


def test_no_stage_and_no_hash_knows_the_cluster(here):
    """Else a larger cluster would train everything again."""
    graph = (HERE / "dvc.yaml").read_text()
    assert not re.search(r"conf/cluster|- conf$|- cluster$|\{cluster", graph, re.MULTILINE)
    assert "cluster" not in compose("vae", "digits", "quick")


# --- who writes to MLflow


def test_no_worker_writes_to_the_tracking_store():
    """So a SQLite file on the driver's disk will do for any cluster: what workers run imports no tracking."""
    workers = ("pipelines.training.ray_tune", "pipelines.training.ray_train", "pipelines.evaluation.measure")
    closure = ImportGraph(HERE).closure(workers)
    assert not [name for name in closure.files if name.startswith("pipelines.tracking")]
    assert "mlflow" not in closure.packages


# --- every wait ends


@contextmanager
def deaf() -> Iterator[str]:
    """The address of something that takes connections, and is no Ray."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))  # Ray takes the machine's own address for 127.0.0.1
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_what_answers_and_is_no_ray_is_told_in_seconds(here, monkeypatch):
    monkeypatch.setattr(ray_cluster, "REACH_SECONDS", 2.0)
    with deaf() as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        began = time.monotonic()
        with pytest.raises(ClusterError, match=r"no Ray cluster, or is stuck.*; set the address that `ray start"):
            ray_cluster.require_cluster()
        assert time.monotonic() - began < 10


def test_a_ray_client_is_refused(here, monkeypatch):
    with deaf() as address:
        monkeypatch.setenv("RAY_ADDRESS", f"ray://{address}")
        with pytest.raises(
            ClusterError, match="a Ray Client cannot run sweeps; on a node of the cluster, set RAY_ADDRE"
        ):
            ray_cluster.require_cluster()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_wait_for_a_cluster(number, code):
    with deaf() as address:
        driver = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "preflight"],
            cwd=HERE, env={**environment(HERE), "RAY_ADDRESS": address}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(2.5)  # it imports Ray meanwhile in the process that asks
        assert driver.poll() is None
        began = time.monotonic()
        driver.send_signal(number)
        _, said = driver.communicate(timeout=30)
        assert (driver.returncode, said.count("\n")) == (code, 1), said
        assert time.monotonic() - began < 8


# --- sockets


def test_a_long_tmpdir_gives_way_to_a_short_private_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(ray_temporary, "SHORT", str(tmp_path.parent))
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert ray_temporary.short_folder() is None
    monkeypatch.setenv("TMPDIR", "/tmp/" + "long" * 20)
    found = Path(ray_temporary.short_folder() or "")
    private = found.parent
    assert private.stat().st_mode & 0o777 == 0o700
    assert ray_temporary.short_folder() == str(found)
    private.chmod(0o755)  # another user may have put something there
    with pytest.raises(
        GenModelsError, match=r"TMPDIR=/tmp/long.*set RAY_TMPDIR to an existing folder of at most \d+ byt"
    ):
        ray_temporary.short_folder()
    private.rmdir()
    private.symlink_to(tmp_path)
    with pytest.raises(GenModelsError, match="not a private folder"):
        ray_temporary.short_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # what the line says
    assert ray_temporary.short_folder() is None


# --- nodes that are not like the driver


def facts(**changes) -> NodeFacts:
    same = {"python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.0", "ray": "2.60.0", "code": "a" * 64}
    return NodeFacts(**{**same, "token": "x", "sees_gpu": None, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"torch": "2.12.0"}, r"torch 2.12.0 is not the driver's 2.13.0\+cpu; install requirements.lock there too"),
        ({"python": "3.12.0"}, r"python 3.12.0 is not the driver's 3.11.7"),
        ({"code": "b" * 64}, r"runs other code \(b+\) than this driver \(a+\); bring both to the same commit"),
        (
            {"token": None},
            r"does not see .*work, where jobs leave their results; share the project folder .*, or write st",
        ),
        ({"token": "old"}, r"does not see .*work"),
    ],
)
def test_a_node_that_is_not_like_the_driver_is_named(here, changes, says):
    with pytest.raises(ClusterError, match=rf"^node n: {says}"):
        ray_preflight._compare("n", facts(**changes), facts(), None)


def test_a_storage_takes_the_place_of_a_folder_that_all_see_and_builds_of_one_version_are_alike(here):
    ray_preflight._compare("n", facts(token=None, torch="2.13.0+cu130"), facts(), "s3://bucket/folder")


# --- real clusters


@contextmanager
def head(folder: Path, **variables: str) -> Iterator[str]:
    """The address of a cluster that `ray start --head` started, with declared GPUs; it ends with the block."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    log, home = folder / "head.log", folder / "home"
    home.mkdir(exist_ok=True)
    command = ["ray", "start", "--head", "--port", str(port), "--num-cpus", str(CPUS), "--num-gpus", str(GPUS)]
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(home), "RAY_TMPDIR": str(folder)}
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--include-dashboard", "false", "--block"],
            env={**environment(HERE), **quiet, **variables}, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def short(tmp_path_factory) -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    folder = Path(f"/tmp/gm-{os.getpid()}-{time.monotonic_ns() % 10**6}")
    folder.mkdir(mode=0o700)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


class Counted:
    """Jobs in order, the order of their starts, and the most that ran at once."""

    def __init__(self, jobs: list[Job]):
        self._waiting, self._running = deque(jobs), 0
        self.started: list[str] = []
        self.errors: list[str] = []
        self.most = 0

    @property
    def is_over(self) -> bool:
        return not self._waiting and not self._running

    def next_job(self) -> Job | None:
        if not self._waiting:
            return None
        self._running += 1
        self.most = max(self.most, self._running)
        self.started.append(self._waiting[0].folder)
        return self._waiting.popleft()

    def ended(self, job: Job, error: str | None = None) -> None:
        self._running -= 1
        self.errors += [error] if error else []


def histories(tasks: list[Task]) -> list[list[dict]]:
    return [RunLog(Path(task.folder)).history() for task in tasks]


@pytest.mark.slow
def test_trials_share_declared_gpus_by_fractions_and_fall_back_to_the_cpu_with_the_same_bits(
    short, tmp_path_factory, monkeypatch, capsys
):
    """Half a GPU each: four at once. With two workers each: one trial at a time, and what one worker reaches."""
    project = make_project(tmp_path_factory.mktemp("cluster") / "project")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(project))
    prepare(["digits"])
    made = compose("vae", "digits", "tiny")
    made["budget"] |= {"reports": 2, "checkpoints": 1}

    def tasks_of(name: str, count: int) -> list[Task]:
        return [
            task_of(made, paths.out("data", "digits"), seed=index, steps=200, folder=paths.work(name, f"t{index}"),
                    is_trial=True)
            for index in range(count)
        ]  # fmt: skip

    alone = tasks_of("alone", 6)
    for task in alone:
        list(train(task))
    with head(short) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        monkeypatch.setenv("HOME", str(short / "home"))
        preflight.main([])
        said = capsys.readouterr()
        assert [line.split()[:2] for line in said.out.splitlines()[-5:]] == [
            ["ok", name] for name in ("cluster", "resources", "nodes", "devices", "tracking")
        ]
        assert "sees no GPU, where Ray has some: CPUs do the work there" in said.err
        with ray_cluster.cluster() as ray:
            for name, workers, cpus, gpus, count, at_once in (
                ("halves", 1, 1, 0.5, 6, 4),
                ("nested", 2, 1, 0.5, 2, 2),
            ):  # fmt: skip
                tasks = tasks_of(name, count)
                shared = {"workers": workers, "cpus": cpus, "gpus": gpus}
                found = planned(ray_resources.nodes_of(ray), conf_of(trial=shared, gpu="always"), WHERE, 1)
                game = Counted([training_job(TRIAL, name, task) for task in tasks])
                ray_tune.tune(ray, game, meanwhile=lambda: None, resources=found)
                assert game.errors == []
                assert found.at_once[TRIAL] == at_once
                assert game.started == [task.folder for task in tasks]
                assert game.most <= at_once + 1  # one may have been taken that waits for room
                if workers == 1:
                    assert histories(tasks) == histories(alone)[:count]
                    continue
                for one, two in zip(histories(alone), histories(tasks), strict=False):
                    for first, second in zip(one, two, strict=True):
                        assert second["metrics"] == pytest.approx(first["metrics"], rel=1e-3)


@pytest.mark.slow
def test_a_clusters_token_is_honoured_or_named(here, short, monkeypatch):
    """As people start it: with ~/.ray/auth_token, `ray start` asks for it. `auto` finds both by itself."""
    home, other = short / "home", short / "other"
    for folder in (home / ".ray", other):
        folder.mkdir(parents=True)
    token = home / ".ray" / "auth_token"
    token.write_text("0123456789abcdef" * 4)

    def ask(**variables: str) -> str | None:
        code = "from pipelines.training.ray_cluster import require_cluster; require_cluster()"
        kept = {**environment(HERE), **variables}
        done = subprocess.run([sys.executable, "-c", code], cwd=HERE, env=kept, capture_output=True, text=True)
        return done.stderr.strip().splitlines()[-1] if done.returncode else None

    with head(short) as address:
        assert ask(RAY_ADDRESS="auto", HOME=str(home), RAY_TMPDIR=str(short)) is None
        for variables, says in (
            ({"HOME": str(other)}, r"asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH"),
            ({"HOME": str(home)}, r"asks for a token; set RAY_AUTH_MODE=token"),
            ({"HOME": str(other), "RAY_AUTH_MODE": "token"}, r"asks for a token"),
            (
                {"HOME": str(other), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "wrong"},
                r"another token than RAY_AUTH_TO",
            ),
        ):
            line = ask(RAY_ADDRESS=address, **variables)
            assert line is not None and re.search(says, line), (variables, line)
        for variables in (
            {"HOME": str(home), "RAY_AUTH_MODE": "token"},
            {"HOME": str(other), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)},
        ):
            assert ask(RAY_ADDRESS=address, **variables) is None, "what the line says works"


def test_an_address_without_a_port_is_told_so(here, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1")
    with pytest.raises(ClusterError, match=r"RAY_ADDRESS=127.0.0.1: the port is missing; write 127.0.0.1:6379"):
        ray_cluster.require_cluster()


def test_a_private_cluster_in_place_of_the_one_that_params_names_is_noted(here, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    asked = dataclasses.replace(params(), cluster="ray")
    assert ray_resources.ALONE in ray_resources.resources_for(Growing(1), asked).notes
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert ray_resources.ALONE not in ray_resources.resources_for(Growing(1), asked).notes


@pytest.mark.parametrize("noted", [None, "127.0.0.1:{port}"])
def test_auto_says_that_there_is_no_cluster_on_this_machine(here, short, noted):
    """In a process namespace of its own, since others may have clusters; the note of the last cluster outlives it."""
    alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system gives no namespaces of processes")
    if noted:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            noted = noted.format(port=unused.getsockname()[1])
        (short / "ray").mkdir()
        (short / "ray" / "ray_current_cluster").write_text(noted)
    done = subprocess.run(
        [*alone, sys.executable, "-m", "pipelines.cli", "play"],
        cwd=HERE, env={**environment(HERE), "RAY_ADDRESS": "auto", "RAY_TMPDIR": str(short)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    said = "the last Ray cluster of this machine has ended" if noted else "no Ray cluster runs on this machine"
    assert done.stderr == (
        f"error: RAY_ADDRESS=auto: {said}; start one with `ray start --head`, or unset RAY_ADDRESS for a local one"
        + ("; one that runs with --temp-dir is found by its address only, RAY_ADDRESS=HOST:PORT\n" if noted else "\n")
    )


@pytest.mark.slow
def test_a_local_cluster_starts_below_a_long_tmpdir(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("long") / "project")
    long = tmp_path_factory.mktemp("x" * 90)
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "preflight"],
        cwd=project, env={**environment(project), "TMPDIR": str(long)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_cluster_changes_no_key(tmp_path_factory, monkeypatch):
    """What is played on one cluster is collected on another."""
    project = make_project(tmp_path_factory.mktemp("keys") / "project")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(project))
    prepare(["digits"])
    keys = set()
    for name in ("local", "kuberay"):
        asked = yaml.safe_load((project / "params.yaml").read_text())
        (project / "params.yaml").write_text(yaml.safe_dump({**asked, "cluster": name}, sort_keys=False))
        assert params().cluster == name
        keys.add(sweep_plan(params(), "vae-digits").lineage["key"])
    assert len(keys) == 1


def test_a_cluster_that_conf_does_not_have_is_named(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("named")
    (folder / "conf").symlink_to(HERE / "conf")
    asked = yaml.safe_load((HERE / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump({**asked, "cluster": "kubera"}, sort_keys=False))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(folder))
    with pytest.raises(ConfigError, match=r"params.yaml: cluster: unknown cluster 'kubera': did you mean 'kuberay'\?"):
        params()


def test_more_jobs_of_no_kind_that_is_known_ask_for_one_cpu():
    assert Resources((Node("a", 2, 0),), {}, {}, 2).share("benchmark") == Share(1, 0, 1)
