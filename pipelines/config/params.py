"""Reads params.yaml into typed objects: the data sets, sweeps and runs for which DVC runs stages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from gen_models.errors import ConfigError, unknown
from pipelines.config import yaml_file
from pipelines.config.schema import ParamsFile, refusal
from pipelines.runtime import paths

RUNS = "runs: {<<: [*sweeps, *reuses]}"


@dataclass(frozen=True)
class Run:
    """A line of params.yaml: a model on a data set, trained with the best setting that a sweep found.

    key: the name of the line; setting: the key of that sweep, which is `key` itself for a line under `sweeps`
    fixed: {dotted key of the conf: its value}, from `set` of the line
    grid: {dotted key: values} that the sweep tries, or None: it searches the conf's space
    seeds: with how many seeds the sweep trains each setting of the grid or each finalist, or None: the budget's number
    """

    key: str
    model: str
    data: str
    setting: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, list[Any]] | None = None
    seeds: int | None = None


@dataclass(frozen=True)
class Params:
    """The content of params.yaml.

    budget, cluster: the names of files of conf/budget and conf/cluster; no result depends on the cluster
    workers: how many processes share each minibatch of a training
    storage: the URI through which jobs reach machines that do not see the project folder, or None
    data: the built-in data sets to prepare; files: {data set of the user's own: the path of its file or folder}
    runs: first a run for each sweep, which trains with that sweep's own best setting, then the runs under `reuses`
    """

    seed: int
    budget: str
    workers: int
    data: tuple[str, ...]
    files: dict[str, str]
    sweeps: dict[str, Run]
    runs: dict[str, Run]
    storage: str | None = None
    cluster: str = "local"

    @property
    def data_sets(self) -> tuple[str, ...]:
        """Return the names of all data sets that are prepared: the built-in ones, then the user's own."""
        return (*self.data, *self.files)

    def stage(self, verb: str, data: str) -> str:
        """Return the name that a data set's stage has in dvc.yaml. verb: prepare or baselines"""
        return f"{verb}_files@{data}" if data in self.files else f"{verb}@{data}"

    def run(self, key: str) -> Run:
        if key not in self.runs:
            raise ConfigError(f"{paths.MARK}: " + unknown("run", key, self.runs))
        return self.runs[key]

    def only(self, keys: Iterable[str]) -> "Params":
        """Return the part of these runs: with the sweeps that chose their settings, and their data sets."""
        runs = {key: self.run(key) for key in dict.fromkeys(keys)}
        sweeps = {run.setting: self.sweep(run.setting) for run in runs.values()}
        used = {run.data for run in (*runs.values(), *sweeps.values())}
        data, files = tuple(d for d in self.data if d in used), {d: p for d, p in self.files.items() if d in used}
        return replace(self, data=data, files=files, sweeps=sweeps, runs=runs)

    def sweep(self, key: str) -> Run:
        if key not in self.sweeps:
            raise ConfigError(f"{paths.MARK}: " + unknown("sweep", key, self.sweeps))
        return self.sweeps[key]


BASELINES = ("pca", "nearest_neighbours", "isolation_forest", "png", "jpeg")  # a test compares them with comparison/


def params() -> Params:
    """Return the content of params.yaml. Raises ConfigError for a value of the wrong type or a name that is unknown."""
    raw = yaml_file.read(paths.root() / paths.MARK)
    try:
        file = ParamsFile.model_validate(raw)
    except ValidationError as error:
        raise refusal(error, lambda path: paths.MARK) from None
    sweeps = {
        key: Run(key, line.model, line.data, key, line.set, line.grid, line.seeds) for key, line in file.sweeps.items()
    }
    reuses = {key: Run(key, line.model, line.data, line.setting) for key, line in file.reuses.items()}
    _check_data(file)
    _check_lines(file, sweeps, reuses)
    _check_runs(raw)
    runs = {**sweeps, **reuses}
    known = (file.seed, file.budget, file.workers, tuple(file.data), dict(file.files), sweeps, runs)
    return Params(*known, storage=file.storage, cluster=file.cluster)


def _check_data(file: ParamsFile) -> None:
    for name in file.files:
        if name in file.data:
            raise ConfigError(f"{paths.MARK}: files.{name}: {name!r} is also listed under data:; remove it there")


def _check_lines(file: ParamsFile, sweeps: dict[str, Run], reuses: dict[str, Run]) -> None:
    for section, lines in (("sweeps", sweeps), ("reuses", reuses)):
        for key, run in lines.items():
            if key in BASELINES:
                raise ConfigError(f"{paths.MARK}: {section}.{key}: a baseline has that name; give the line another")
            if run.data not in (*file.data, *file.files):
                raise ConfigError(
                    f"{paths.MARK}: {section}.{key}: data {run.data!r} is not listed under data:; add it there"
                    ", or under files: if it is your own"
                )
    for key, run in reuses.items():
        where = f"{paths.MARK}: reuses.{key}"
        if key in sweeps:
            raise ConfigError(f"{where}: a line under sweeps has the same name; give one of them another")
        same = {name: sweep for name, sweep in sweeps.items() if sweep.model == run.model}
        if run.setting in sweeps and run.setting not in same:
            raise ConfigError(
                f"{where}.setting: {run.setting} sweeps a {sweeps[run.setting].model}, no {run.model}; "
                f"choose from {', '.join(same) or '(none)'}"
            )
        if run.setting not in sweeps:
            raise ConfigError(f"{where}.setting: " + unknown("sweep", run.setting, same))


def _check_runs(raw: dict) -> None:
    """Raise ConfigError unless `runs` repeats the lines of `sweeps` and `reuses`: DVC reads its stages from `runs`."""
    runs, lines = raw["runs"], {**raw["sweeps"], **raw["reuses"]}
    for key in (*lines, *runs):
        if runs.get(key) != lines.get(key):
            raise ConfigError(f"{paths.MARK}: runs.{key} is not the line under sweeps or reuses: keep `{RUNS}`")
