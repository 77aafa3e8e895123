"""Reads a file of conf/cluster: what a job of each kind asks a cluster for, and how many jobs run at once.

These settings change how fast jobs run, but no result. Therefore the file enters no hash, and no stage depends on it.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from gen_models.errors import ConfigError
from pipelines.config import yaml_file
from pipelines.config.conf_files import file_of
from pipelines.config.schema import Count, Positive, Strict, one_of, refusal

GPU = ("auto", "always", "never")
PLACEMENTS = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")  # Ray's own names


def _gpus(share: float) -> float:
    """Return a number of GPUs if Ray can give it: a fraction of one, or a whole number. Raises ConfigError if not."""
    if share < 0 or (share > 1 and share != int(share)):
        raise ConfigError(f"{share:g} GPUs cannot be given; write 0, a fraction such as 0.25, or a whole number")
    return share


Gpus = Annotated[float, AfterValidator(_gpus)]


class TrialShare(Strict):
    """What a trial asks a cluster for.

    workers: how many processes train the trial; they share each minibatch; cpus, gpus: what each of them gets
    """

    workers: Count
    cpus: Positive
    gpus: Gpus


class TrainingShare(Strict):
    """The CPUs and GPUs that each worker of a training gets; params.yaml says how many workers there are."""

    cpus: Positive
    gpus: Gpus


class EvaluationShare(Strict):
    """The CPUs that an evaluation gets."""

    cpus: Positive


class ClusterConf(Strict):
    """The content of a file of conf/cluster; the comments in conf/cluster/local.yaml explain the keys."""

    gpu: Annotated[str, one_of(GPU)]
    trial: TrialShare
    training: TrainingShare
    evaluation: EvaluationShare
    most_jobs: Count | None
    placement: Annotated[str, one_of(PLACEMENTS)]
    wait_seconds: Annotated[int, Field(ge=0)]


def cluster_conf(name: str) -> ClusterConf:
    """Return the content of conf/cluster/NAME.yaml. Raises ConfigError for a key or value that cannot be used."""
    path = file_of("cluster", name)
    try:
        return ClusterConf.model_validate(yaml_file.read(path))
    except ValidationError as error:
        raise refusal(error, lambda keys: f"conf/cluster/{name}.yaml") from None
