"""JAX and TensorFlow take most of a GPU at their first operation, unless they are told to grow. Pure.

XLA reads XLA_PYTHON_CLIENT_PREALLOCATE and a fraction of the memory, TensorFlow TF_FORCE_GPU_ALLOW_GROWTH
(https://docs.jax.dev/en/latest/gpu_memory_allocation.html). A program that uses neither ignores them.
"""

from __future__ import annotations

from collections.abc import Mapping

PREALLOCATE, GROWTH = "XLA_PYTHON_CLIENT_PREALLOCATE", "TF_FORCE_GPU_ALLOW_GROWTH"
NAMES = (PREALLOCATE, GROWTH)  # that a job is given
FRACTIONS = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")  # the newer name first
SPARE = 0.05
_FALSE = ("false", "0", "no", "off")


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a job that shares a GPU gets so that it grows; values of the user's own are left alone."""
    added = {GROWTH: "true"} if GROWTH not in environ else {}
    if PREALLOCATE not in environ and _fraction(environ) is None:
        added[PREALLOCATE] = "false"
    return added


def problem(environ: Mapping[str, str], jobs: int | None) -> str | None:
    """Why jobs with this environment cannot share a GPU. `jobs`: how many; None: as many as fit."""
    if environ.get(GROWTH, "true").lower() in _FALSE:
        return f"{GROWTH}={environ[GROWTH]} lets TensorFlow take the whole GPU; leave it out"
    preallocates = environ.get(PREALLOCATE, "false").lower() not in _FALSE
    fraction = _fraction(environ)
    if fraction is None:
        if preallocates:
            return f"{PREALLOCATE}={environ[PREALLOCATE]} lets JAX take three quarters of the GPU; leave it out"
        return None
    name, part = fraction
    if environ.get(PREALLOCATE, "true").lower() in _FALSE:
        return None  # it is a limit then, and grows up to it
    most = 1 - SPARE
    if part is None or part * (jobs or 2) > most:
        least = most / (jobs or 2)
        return f"{name}={environ[name]} is too much of a GPU for {jobs or 2} jobs; give {least:.2f} at most"
    return None


def _fraction(environ: Mapping[str, str]) -> tuple[str, float | None] | None:
    """The variable for a part of the memory that is set, and its value; None for a value that is not a number."""
    for name in FRACTIONS:
        if name in environ:
            try:
                return name, float(environ[name])
            except ValueError:
                return name, None
    return None
