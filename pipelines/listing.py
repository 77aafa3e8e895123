"""list: the models, data sets, sweeps and runs that there are, with what each model offers."""

from gen_models.build import build_model
from gen_models.contracts import capabilities
from pipelines import config


def main(argv: list[str]) -> None:
    params = config.params()
    print("models (conf/model)")
    for name in config.names("model"):
        conf = config.compose(name, params.data[0], params.budget)
        offers = ", ".join(capabilities(build_model(conf["model"], params.seed)))
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
