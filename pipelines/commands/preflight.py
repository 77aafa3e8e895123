"""preflight: checks whether the cluster can do what params.yaml asks of it, and prints for each check ok, or why not.

    gen-models preflight

    cluster    it answers within seconds, and is Ray; without RAY_ADDRESS, a local one is started for the checks
    resources  jobs of each kind have room, as conf/cluster shares CPUs and GPUs out
    nodes      every node runs the same versions and code, and sees the project folder or has a storage
    storage    the driver and every node can read and write it, if params.yaml names one
    devices    PyTorch sees the GPUs that Ray has
    tracking   MLflow's store takes records

`play`, `sweep` and `train` do the same checks before they start, and stop at the first that fails.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from gen_models.errors import GenModelsError
from pipelines.config.params import params
from pipelines.runtime.stage import no_argument
from pipelines.runtime.words import counted

T = TypeVar("T")


class PreflightError(GenModelsError):
    """A check failed."""


def main(argv: list[str]) -> None:
    no_argument(argv, "preflight", __doc__)
    from pipelines.training.ray_cluster import cluster  # imports Ray, torch and MLflow
    from pipelines.training.ray_preflight import CHECKS, note
    from pipelines.training.ray_resources import Resources, resources_for

    asked = params()
    failed: list[str] = []

    def look(name: str, act: Callable[[], T], words: Callable[[T], str]) -> T | None:
        try:
            found = act()
        except GenModelsError as error:
            failed.append(name)
            print(f"FAILED  {name:<10} {error}", flush=True)
            return None
        print(f"ok      {name:<10} {words(found)}", flush=True)
        return found

    connection = cluster(sends_code=asked.storage is not None)
    ray = look("cluster", connection.__enter__, lambda ray: ray.get_runtime_context().gcs_address)
    if ray is None:
        raise PreflightError("1 check failed: cluster; the others need it")
    try:
        resources = look("resources", lambda: resources_for(ray, asked, note), Resources.as_words)
        for line in resources.notes if resources else ():
            note(line)
        for check in CHECKS:
            look(check.name, partial(check.look, ray, asked, resources or Resources((), {}, {}, 0)), str)
    finally:
        connection.__exit__(None, None, None)
    if failed:
        raise PreflightError(f"{counted(len(failed), 'check')} failed: {', '.join(failed)}")
