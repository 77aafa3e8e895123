"""list: the models, data sets, sweeps and runs that there are, with what each model offers."""

from typing import Any

from gen_models.build import build_model
from gen_models.contracts import capabilities
from gen_models.errors import ConfigError
from pipelines import config


def main(argv: list[str]) -> None:
    params = config.params()
    print("models (conf/model)")
    for name in config.names("model"):
        conf, model = _first_built(name, params)
        offers = ", ".join(capabilities(model))
        print(f"  {name:<12} {conf['model']['_target_'].rpartition('.')[2]:<18} {offers}; compared by {conf['metric']}")
    print("data sets (conf/data)")
    for name in config.names("data"):
        conf = config.data_conf(name)
        used = "" if name in params.data else "   (not under data: in params.yaml)"
        print(f"  {name:<16} {'x'.join(map(str, conf['event_shape']))}, levels {conf['levels']}{used}")
    for title, lines in (("sweeps", params.sweeps), ("runs", params.runs)):
        print(f"{title} (params.yaml)")
        for line in lines.values():
            setting = f", setting of {line.setting}" if line.setting else ""
            print(f"  {line.key:<24} {line.model} on {line.data}{setting}")


def _first_built(name: str, params: config.Params) -> tuple[dict[str, Any], Any]:
    """(conf, model) on the first data set, those in use first, that the model takes: not every one takes a line."""
    error = ConfigError(f"conf/model/{name}.yaml: there is no data set to build it for; add one to conf/data")
    for data in (*params.data, *config.names("data")):
        try:
            conf = config.compose(name, data, params.budget)
            return conf, build_model(conf["model"], params.seed)
        except ConfigError as reason:
            error = reason
    raise error
