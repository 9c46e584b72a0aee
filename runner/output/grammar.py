"""The words and numbers of a line -> where the training is, and `name value` pairs. Pure; linear in the line.

One pass over the tokens of the line. A number belongs to the words before it: `val loss: 2.5`, `Acc@1  50.0`,
`Step [5/100]`. A number that is part of something else, such as a path, a date or a time, belongs to nothing.
"""

from __future__ import annotations

import re

from runner.output import names

COUNT = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+"
NUMBER = rf"[-+]?(?:(?:{COUNT})\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
VALUE = rf"(?:{NUMBER}|[-+]?(?:[nN][aA][nN]|[iI]nf(?:inity)?|INF)\b)"
_TOKEN = (  # as text: it is compiled when the first line is read, and not when a supervisor starts
    rf"(?:(?:tensor|array|np\.float\d*|float)\()?(?P<number>{VALUE})(?P<of>\s*/\s*(?:{COUNT})|\s+of\s+(?:{COUNT}))?"
    r"|(?P<word>[A-Za-z_][\w./@\\-]*(?:\([A-Za-z]{1,8}\))?)|(?P<sign>[:=]|->)|(?P<other>\.{2,}|[^\w\s:=.+-]+|\S)"
)
LARGEST = 1e15  # iterations; more than that is a slip of the program
_BEFORE, _AFTER = " \t([{|:=,;>*│", " \t,;|)]}%(│"  # what may stand around a word, and behind a value
#: Names of a step, those that count for the whole training first.
_STEPS = {
    "iter": 0, "iteration": 0, "itr": 0, "step": 1, "global_step": 1, "train_step": 1, "num_updates": 1, "update": 1,
    "updates": 1, "batch": 2, "minibatch": 2, "mini-batch": 2,
}  # fmt: skip
_STAGES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "validating": "val",
    "eval": "val", "evaluation": "val", "evaluating": "val", "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
_QUALIFIERS = names.words("average avg mean running final current lm epoch step batch mini-batch total set")
_PARTS = names.words(
    "box cls obj dfl seg kl policy value reg regularization recon reconstruction aux auxiliary adv adversarial",
    "disc discriminator gen generator actor critic entropy dice ce bce mse l1 l2 contrastive perceptual kd",
    "distill style distillation mlm nsp content pixel feature commit commitment vq g d f1 character word best",
    "exact macro micro top",
)
#: Words beside a position that do not make a sentence of it.
_PLAIN = names.words(
    "done finished complete completed start started starting begin training train main root rank global optimizer",
    "current",
)


class Line:
    """What one line says: a position, and `values` by their canonical names.

    `stage` is that of the metrics without one; a word such as `val` counts for those after it. `prose`: there are words
    that belong to no number. `best_first`: `best` is before the position.
    """

    def __init__(self, text: str, stage: str = "", *, spaced: bool = True) -> None:
        self.step: int | None = None
        self.total: int | None = None
        self.epoch: float | None = None
        self.epochs: int | None = None
        self.values: dict[str, float] = {}
        self.best_first = False
        self.prose = False
        self._rank = 9
        self._stage = stage
        self._spaced = spaced
        self._improving = ""  # the name in "val_loss improved from 0.5 to 0.4"
        self._read(text.replace("'", " ").replace('"', " "))
        if names.TRAIN not in self.values and "total_loss" in self.values:  # the sum of the losses beside it
            self.values[names.TRAIN] = self.values.pop("total_loss")

    @property
    def placed(self) -> bool:
        return self.step is not None or self.epoch is not None

    @property
    def measured(self) -> bool:
        """Whether there is a metric: without a position only for one whose name has no other meaning."""
        return any(map(names.is_measured if self.placed else names.is_certain, self.values))

    def _read(self, text: str) -> None:
        words: list[str] = []
        sign = False
        place = ""  # the word of a position that waits for its number
        spaced: list[tuple[list[str], str, int]] = []  # pairs without a sign: metrics if the line has a position
        for token in re.finditer(_TOKEN, text):
            kind = token.lastgroup
            if kind == "word":
                if words and (sign or text[token.start() - 1] not in " \t"):
                    self._leave(words)
                    words = []
                word, sign = token["word"], False
                if token.start() and text[token.start() - 1] not in _BEFORE:  # part of something else
                    words, place = [], ""
                    continue
                low = word.lower()
                place = low if low in _STEPS or low == "epoch" or low.startswith(("epoch(", "iter(")) else ""
                if low in ("info", "debug"):
                    self.prose, words = False, []
                    continue
                self.best_first = self.best_first or (low == "best" and not self.placed)
                words.append(word)
            elif kind == "sign":
                sign = True
            elif kind == "other":
                if not place or token["other"] not in "[(#":
                    if words:
                        self._leave(words)
                        words = []
                    sign, place = False, ""
            else:
                end = token.end()
                after = text[end : end + 1]
                if after == ")" and text[token.start() : token.start("number")]:
                    after = text[end + 1 : end + 2]  # of "tensor("
                alone = after == "" or after in _AFTER or (after == "." and text[end + 1 : end + 2] in ("", " "))
                if place and (alone or after == ":"):
                    if len(words) > 1:
                        self._leave(words[:-1])
                    self._take_place(place.partition("(")[0], token["number"], token["of"])
                elif words and alone and token["of"] is None:
                    if sign or words[-1] in ("reached", "to", "from"):
                        self._take_value(words, token["number"])
                    elif self._spaced:
                        spaced.append((words, token["number"], end))
                elif words and alone and token["of"] and names.better(words[-1]) == "max":
                    self._take_fraction(words, token["number"], token["of"])
                words, sign, place = [], False, ""
        self._leave(words)
        for pair, number_, end in spaced if self.placed else ():
            followed = text[end : end + 1] == " " and text[end + 1 : end + 3].strip().isalpha()
            if names.is_measured(pair[-1]) and not (followed and number_.isdigit()):  # "the loss 3 times"
                self._take_value(pair, number_)

    def _leave(self, words: list[str]) -> None:
        """Words without a number: those of a stage count for what follows."""
        for word in words:
            if (stage := stage_of(word)) and "best" not in words:
                self._stage = stage
            low = word.lower().strip("_")
            if len(low) > 2 and low not in _PLAIN and "/" not in low and not stage:
                self.prose = True

    def _take_place(self, word: str, at: str, of: str | None) -> None:
        value, whole = number(at), number(of.strip(" /of\t")) if of else None
        if value is None or not abs(value) < LARGEST:
            return
        total = int(whole) if whole is not None and whole < LARGEST else None
        if word == "epoch":
            if self.epoch is None:
                self.epoch, self.epochs = value, total
        elif _STEPS[word] < self._rank and value == int(value):
            self._rank = _STEPS[word]
            self.step, self.total = int(value), total

    def _take_value(self, words: list[str], text: str) -> None:
        if words[-1] == "to" and self._improving:
            words = [self._improving]
        elif words[-1] == "from" and len(words) > 2:
            self._improving = words[-3]
            return
        elif words[-1] == "reached":
            words = words[:-1]
        value = number(text)
        name = self._name(words) if words else ""
        if value is not None and name:
            self.values.setdefault(name, value)

    def _take_fraction(self, words: list[str], part: str, of: str) -> None:
        whole, value, name = number(of.strip(" /of\t")), number(part), self._name(words)
        if whole and value is not None and name:
            self.values.setdefault(name, value / whole)

    def _name(self, words: list[str]) -> str:
        """The canonical name of what these words call a number; empty for a time, a size, a position."""
        if "best" not in (low := [word.lower() for word in words]):
            stages = [stage for word in words[:-1] if (stage := stage_of(word))]
            self._stage = stages[-1] if stages else self._stage
            words = [word for word in words[:-1] if not stage_of(word)] + words[-1:]
        own = words[-1:]
        if names.is_measured(words[-1]):
            for word in reversed(words[:-1]):
                if word.lower() in _PARTS:
                    own.insert(0, word)
                elif word.lower() not in _QUALIFIERS:
                    break
        else:
            own = words[-4:]
        name = "_".join(own)
        if names.is_ignored(name) or names.is_ignored(low[-1]):
            return ""
        return placed(name, self._stage)


def placed(name: str, stage: str) -> str:
    """The canonical name of a metric that was measured in a stage; names that say their stage are kept."""
    if not stage or "/" in name or stage_of(re.split("[_.-]", name, maxsplit=1)[0]) or not names.is_measured(name):
        return names.canonical(name)
    return names.canonical(f"{stage}/{name}")


def number(text: str) -> float | None:
    """What a program wrote as a number; None if it is not one after all."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def stage_of(word: str) -> str:
    """`train`, `val` or `test`, or empty for any other word."""
    return _STAGES.get(word.lower(), "")
