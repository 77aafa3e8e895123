"""list: prints the models, data sets, sweeps and runs of the project, with the capabilities of each model."""

from typing import Any

from gen_models.build import build_model
from gen_models.contracts import capabilities
from gen_models.errors import ConfigError
from pipelines.config.compose import compose
from pipelines.config.conf_files import data_conf, names
from pipelines.config.params import Params, params


def main(argv: list[str]) -> None:
    graph = params()
    print("models (conf/model)")
    for name in names("model"):
        conf, model = _first_built(name, graph)
        offers = ", ".join(capabilities(model))
        print(f"  {name:<12} {conf['model']['_target_'].rpartition('.')[2]:<18} {offers}; compared by {conf['metric']}")
    print("data sets (conf/data)")
    for name in names("data"):
        conf = data_conf(name)
        used = "" if name in graph.data else "   (not under data: in params.yaml)"
        print(f"  {name:<16} {'x'.join(map(str, conf['event_shape']))}, levels {conf['levels']}{used}")
    for title, lines in (("sweeps", graph.sweeps), ("runs", graph.runs)):
        print(f"{title} (params.yaml)")
        for line in lines.values():
            setting = f", setting of {line.setting}" if line.setting != line.key else ""
            print(f"  {line.key:<24} {line.model} on {line.data}{setting}")


def _first_built(name: str, graph: Params) -> tuple[dict[str, Any], Any]:
    """Return (conf, model) for the first data set for which the model can be built, those in params.yaml first.

    A model may not fit a data set: not every model takes rows of one number, for example.
    """
    error = ConfigError(f"conf/model/{name}.yaml: there is no data set to build it for; add one to conf/data")
    for data in (*graph.data, *names("data")):
        try:
            conf = compose(name, data, graph.budget)
            return conf, build_model(conf["model"], graph.seed)
        except ConfigError as reason:
            error = reason
    raise error
