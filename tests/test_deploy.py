"""The files of deploy/ agree with what Ray and KubeRay take, with requirements.lock, and with the commands."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from pipelines.cli import STAGES, TOOLS
from tests.project import HERE

DEPLOY = HERE / "deploy"
# Fields of the resource RayJob, ray.io/v1, of KubeRay 1.5's API reference: {where: {name: type}}
RAY_JOB = {
    "spec": {
        "entrypoint": str, "submissionMode": str, "shutdownAfterJobFinishes": bool, "ttlSecondsAfterFinished": int,
        "backoffLimit": int, "activeDeadlineSeconds": int, "runtimeEnvYAML": str, "rayClusterSpec": dict,
    },
    "spec.rayClusterSpec": {"rayVersion": str, "authOptions": dict, "headGroupSpec": dict, "workerGroupSpecs": list},
    "spec.rayClusterSpec.authOptions": {"mode": str},
    "spec.rayClusterSpec.headGroupSpec": {"rayStartParams": dict, "template": dict, "serviceType": str},
    "spec.rayClusterSpec.workerGroupSpecs": {
        "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int, "rayStartParams": dict,
        "template": dict, "numOfHosts": int,
    },
}  # fmt: skip
SUBMISSION_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")


def locked(package: str) -> str:
    return dict(line.split("==") for line in (HERE / "requirements.lock").read_text().split())[package]


ACCEPTS = """
import sys, yaml
from ray.autoscaler._private.util import prepare_config, validate_config
validate_config(prepare_config(yaml.safe_load(open(sys.argv[1]))))
"""


def test_ray_itself_accepts_the_file_for_ray_up():
    """In a process of its own: Ray decides at its import whether it sends tokens."""
    path = DEPLOY / "ray-up.yaml"
    done = subprocess.run([sys.executable, "-c", ACCEPTS, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = yaml.safe_load(path.read_text())
    for command in (*said["head_start_ray_commands"], *said["worker_start_ray_commands"]):
        assert ".venv/bin/ray st" in command


def test_the_ray_job_has_only_fields_that_kuberay_knows():
    job = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    for where, known in RAY_JOB.items():
        found = job
        for name in where.split("."):
            found = found[name]
        for part in found if isinstance(found, list) else [found]:
            assert {name: type(value) for name, value in part.items()}.items() <= known.items(), where
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert spec["submissionMode"] in SUBMISSION_MODES
    assert cluster["rayVersion"] == locked("ray")
    assert cluster["authOptions"]["mode"] == "token"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [container for group in groups for container in group["template"]["spec"]["containers"]]
    assert len({container["image"] for container in containers}) == 1  # code and versions are the same everywhere
    for container in containers:
        assert all(isinstance(entry["value"], str) for entry in container["env"])
        assert container["resources"]["limits"] == container["resources"]["requests"]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_the_commands_of_the_job_are_there():
    entry = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())["spec"]["entrypoint"]
    assert set(re.findall(r"gen-models (\w+)", entry)) <= STAGES.keys() | TOOLS.keys()


def test_the_image_copies_what_is_there_and_no_output():
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [words.split() for words in re.findall(r"^COPY --chown=ray (.*)$", text, re.MULTILINE)]
    for *sources, _ in copied:
        assert all((HERE / source).exists() for source in sources), sources
    left_out = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    outputs = [line.strip("/") for line in (HERE / ".gitignore").read_text().split() if not line.startswith("*")]
    for name in outputs:
        if not name.endswith(("_cache", ".lock", ".coverage")) and name != "__pycache__":
            assert any(Path(name).match(pattern) for pattern in left_out), f"{name} would be copied into the image"
