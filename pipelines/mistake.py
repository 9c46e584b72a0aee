"""A mistake of the user, said in one sentence: `train_run.py` prints it without a traceback and exits with 2."""


class Mistake(Exception):
    """The message names what is wrong and what mends it."""
