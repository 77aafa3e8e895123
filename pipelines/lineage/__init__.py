"""The lineage of a result: hashes of the code, conf, data, seed and library versions that decide it."""
