"""How programs call the arguments for their config and for the folder of their outputs, the most usual name first."""

CONFIG_NAMES = ("config", "cfg", "config_file", "config_path", "cfg_file", "cfg_path", "conf", "conf_file",
                "configs", "yaml", "yaml_file", "yaml_path", "yml", "json_file")  # fmt: skip
OUT_DIR_NAMES = ("out_dir", "output_dir", "outdir", "output_folder", "output_path", "save_dir", "save_path", "output",
                 "out", "result_dir", "results_dir", "log_dir", "logdir", "exp_dir", "work_dir", "default_root_dir",
                 "checkpoint_dir", "ckpt_dir")  # fmt: skip
