"""`hydra/launcher=runner`: every job of a Hydra sweep in a process of its own, run by the engine of `runner`.

Hydra imports each module here whose name does not begin with `_` whenever a Hydra application starts, whether it uses
this launcher or not. So those are light, and all else begins with `_` and is imported when a sweep is launched.
"""
