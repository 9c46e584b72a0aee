"""A configurator in the manner of nanoGPT: executed in train.py's globals, it takes a config file and --key=value."""

import sys
from ast import literal_eval

for argument in sys.argv[1:]:
    if "=" not in argument:
        assert not argument.startswith("--")
        print(f"Overriding config with {argument}:")
        with open(argument) as file:
            exec(file.read())
    else:
        assert argument.startswith("--")
        key, value = argument.split("=")
        key = key[2:]
        if key not in globals():
            raise ValueError(f"Unknown config key: {key}")
        try:
            attempt = literal_eval(value)
        except (SyntaxError, ValueError):
            attempt = value
        assert type(attempt) is type(globals()[key])
        print(f"Overriding: {key} = {attempt}")
        globals()[key] = attempt
