"""check: reads params.yaml and every conf file that its lines use, and prints the first error as one line.

    gen-models check

Nothing is prepared or trained, so it takes seconds. Without it, an error in a file that only a late stage reads would
appear late. For a line that sets values, asks for a grid or has not been swept yet, the model is also built, once with
each value of the grid: so a model that does not suit its data, or a value that it refuses, is told with its line.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gen_models.errors import ConfigError
from pipelines.config.cluster_conf import cluster_conf
from pipelines.config.compose import compose_line, files, override
from pipelines.config.conf_files import data_conf, file_of
from pipelines.config.data_files import check_files, files_of, watch
from pipelines.config.params import Run, params
from pipelines.data.checks import check_conf
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument
from pipelines.training.search import grid


def main(argv: list[str]) -> None:
    no_argument(argv, "check", __doc__)
    graph = params()
    cluster_conf(graph.cluster)
    used = {file_of("cluster", graph.cluster)}
    for name in graph.data_sets:
        check_conf(data_conf(name), name, f"conf/data/{name}.yaml")
        used.add(file_of("data", name))
    check_files(graph)
    for line in graph.runs.values():  # has a run for each sweep too
        check_line(line, compose_line(line, graph.budget))
        used |= set(files(line.model, line.data, graph.budget))
    for name in graph.data:
        if read := files_of(data_conf(name).get("options")):
            print(f"note: data: {name}: DVC sees no edit; write `{name}: {watch(read)}` under files: instead")
    print(f"params.yaml and {len(used)} conf files are sound")


def check_line(line: Run, conf: Mapping[str, Any]) -> None:
    """Raise ConfigError, which names a line of params.yaml, if its model cannot be built from its configuration `conf`.

    Does nothing for a line that has been swept and changes nothing in its conf files, since building takes seconds.
    """
    if line.setting == line.key and conf["sweep"]["searcher"] == "grid":
        try:
            grid(conf["sweep"]["space"])
        except ConfigError as error:
            raise ConfigError(f"{paths.MARK}: sweeps.{line.key}: {error}") from None
    if not (line.fixed or line.grid) and paths.out("sweep", line.key, "setting.json").is_file():
        return
    from pipelines.training.initial_model import build_training  # imports torch

    for where, setting in _settings(line):
        try:
            build_training(override(conf, setting), 0)
        except ConfigError as error:
            raise ConfigError(f"{paths.MARK}: {where}: {error}") from None


def _settings(line: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (the place in params.yaml, the setting to build with) of a line, with each value of its grid in turn."""
    where = f"{'sweeps' if line.setting == line.key else 'reuses'}.{line.key}"
    grid = line.grid or {}
    first = {key: values[0] for key, values in grid.items()}
    yield where, first
    for key, values in grid.items():
        for value in values[1:]:
            yield f"{where}.grid.{key}", {**first, key: value}
