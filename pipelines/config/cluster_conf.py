"""Reads a file of conf/cluster: what a job of each kind asks a cluster for, and how many jobs run at once.

What it says decides no result, so no hash has it and no stage depends on it.
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
    """Check what Ray can give: a part of one GPU, or whole ones."""
    if share < 0 or (share > 1 and share != int(share)):
        raise ConfigError(f"{share:g} GPUs cannot be given; write 0, a fraction such as 0.25, or a whole number")
    return share


Gpus = Annotated[float, AfterValidator(_gpus)]


class TrialShare(Strict):
    """What each worker of a trial asks for, and how many workers share a trial's minibatches."""

    workers: Count
    cpus: Positive
    gpus: Gpus


class TrainingShare(Strict):
    """What each worker of a training asks for; params.yaml says how many there are."""

    cpus: Positive
    gpus: Gpus


class EvaluationShare(Strict):
    """What an evaluation asks for."""

    cpus: Positive


class ClusterConf(Strict):
    """A file of conf/cluster; conf/cluster/local.yaml explains the keys. name: that of the file"""

    gpu: Annotated[str, one_of(GPU)]
    trial: TrialShare
    training: TrainingShare
    evaluation: EvaluationShare
    most_jobs: Count | None
    placement: Annotated[str, one_of(PLACEMENTS)]
    wait_seconds: Annotated[int, Field(ge=0)]


def cluster_conf(name: str) -> ClusterConf:
    """Return what conf/cluster/NAME.yaml says. Raises ConfigError for a key or value that cannot be used."""
    path = file_of("cluster", name)
    try:
        return ClusterConf.model_validate(yaml_file.read(path))
    except ValidationError as error:
        raise refusal(error, lambda keys: f"conf/cluster/{name}.yaml") from None
