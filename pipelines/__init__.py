"""What a job does: one package for each kind of training, and the settings class that each registers here.

A class is named, not imported: the configurator imports the one it needs. A `settings` module never imports torch.
"""

SETTINGS = {
    "classify": "pipelines.classify.settings:ClassifySettings",
    "diffusion": "pipelines.diffusion.settings:DiffusionSettings",
    "llc": "pipelines.llc.settings:LlcSettings",
    "robustness": "pipelines.robustness.settings:RobustnessSettings",
}
