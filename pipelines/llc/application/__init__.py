"""The Hydra application around `pipelines.llc`: its folders, its saved config, how a run is repeated."""
