"""What is said about a mistake in a config. Knows nothing of formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class ConfigError(ValueError):
    """Mistakes of the user: each problem is one sentence, `path:line: cause; mend`."""

    problems: tuple[str, ...]

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Changed(ConfigError):
    """Configs are not what they were. The last sentence says what to do; the others are differences, no mistakes."""

    MOST = 20

    def __init__(self, differences: Sequence[str], what_to_do: str) -> None:
        more = len(differences) - self.MOST
        super().__init__(*differences[: self.MOST], *([f"and {more} more differences"] if more > 0 else []), what_to_do)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` most probably stands for, or None when none is near."""
    import difflib

    squeezed = {_squeeze(candidate): candidate for candidate in sorted(candidates, reverse=True)}
    if (same := squeezed.get(_squeeze(word))) is not None:
        return same
    near = difflib.get_close_matches(_squeeze(word), squeezed, n=1, cutoff=0.7)
    return squeezed[near[0]] if near else None


def did_you_mean(word: str, candidates: Iterable[str], *, dashes: str = "") -> str | None:
    """The second half of a sentence about an unknown word; on the command line a key is shown with its dashes."""
    near = nearest(word, candidates)
    if near is None:
        return None
    return f"did you mean {dashes}{near}?" if dashes else f"did you mean {near!r}?"


def one_line(text: object) -> str:
    """A message of another program as part of our sentence: one line, no full stop, never endless."""
    line = " ".join(str(text).split()).rstrip(".")
    return line if len(line) <= 300 else line[:297] + "..."


def _squeeze(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
