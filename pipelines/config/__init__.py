"""Reads and checks params.yaml and the files of the folder conf/.

yaml_file    reads a YAML file, and refuses what DVC, PyYAML and OmegaConf would read differently
conf_files   lists the files of conf's folders and finds them by name
yaml_text    puts entries into the text of a YAML file and takes them out
schema       which keys and values params.yaml and a composed configuration may have
params       params.yaml as typed objects
params_edit  adds a data set to params.yaml and removes one, and keeps the rest of its text
data_files   compares the paths under `files:` of params.yaml, which DVC watches, with those that conf/data reads
columns      reads the key `columns` of a file of conf/data: the columns of a table
cluster_conf reads a file of conf/cluster: what jobs ask a cluster for
compose      a run's configuration, composed by Hydra from several files of conf/
"""
