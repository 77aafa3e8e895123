"""check: reads params.yaml and every conf file that its lines use, and prints the first error as one line.

    gen-models check

Nothing is prepared, built or trained, so it takes seconds. Without it, an error in a file that only a late stage reads
would appear late.
"""

from pipelines.config.cluster_conf import cluster_conf
from pipelines.config.compose import compose_line, files
from pipelines.config.conf_files import data_conf, file_of
from pipelines.config.data_files import check_files, files_of, watch
from pipelines.config.params import params
from pipelines.data.checks import check_conf
from pipelines.runtime.stage import no_argument


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
        compose_line(line, graph.budget)
        used |= set(files(line.model, line.data, graph.budget))
    for name in graph.data:
        if read := files_of(data_conf(name).get("options")):
            print(f"note: data: {name}: DVC sees no edit; write `{name}: {watch(read)}` under files: instead")
    print(f"params.yaml and {len(used)} conf files are sound")
