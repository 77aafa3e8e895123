"""Reads and checks params.yaml and the files of conf/.

yaml_file    reads a YAML file, and refuses what DVC, PyYAML and OmegaConf would read differently
conf_files   lists the files of conf's folders and finds them by name
schema       which keys and values params.yaml and a composed configuration may have
params       params.yaml as typed objects
compose      a run's configuration, composed by Hydra
"""
