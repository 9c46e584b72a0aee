"""The small changes of a module, by the operators of cosmic-ray and one of our own: a call is left out."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.exception_replacer import ExceptionReplacer
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword, Name
from parso.tree import NodeOrLeaf

from mutation.targets import UNREACHABLE

# One replacement for each operator: the others are noticed by the same tests.
ARITHMETIC = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "RShift_LShift",
              "LShift_RShift", "BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitAnd")  # fmt: skip
COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is")
OTHERS = ("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd", "AddNot", "ReplaceTrueWithFalse",
          "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue",
          "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop")  # fmt: skip


class RemoveCall(Operator):
    """A statement that is nothing but a call is left out, as fsync may be."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        if node.type in ("atom_expr", "power") and node.parent is not None and node.parent.type == "simple_stmt":
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        return Keyword("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("fsync(1)\n", "pass\n"),)


class ReplaceException(ExceptionReplacer):
    """What a handler catches is replaced. That of cosmic-ray fails where a name has a dot in it: those stay."""

    @staticmethod
    def _name_nodes(node: NodeOrLeaf) -> list[NodeOrLeaf]:
        caught = node.children[1]
        if caught.type == "atom":
            caught = caught.children[1]
        names = caught.children[::2] if caught.type == "testlist_comp" else [caught]
        return [name for name in names if isinstance(name, Name)]


OPERATORS: dict[str, Operator] = {
    name: get_operator(f"core/{name}")()
    for name in (
        *(f"ReplaceBinaryOperator_{pair}" for pair in ARITHMETIC),
        *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS),
        *OTHERS,
    )
} | {"RemoveCall": RemoveCall(), "ReplaceException": ReplaceException()}


class Place(NamedTuple):
    """Where an operator changes a module; `occurrence` counts its places there."""

    module: str
    line: int
    operator: str
    occurrence: int


class Mutant(NamedTuple):
    place: Place
    before: str  # the lines that differ, and what they became
    after: str
    source: str  # of the whole module, with the change

    @property
    def module(self) -> str:
        return self.place.module

    def __str__(self) -> str:
        return f"{self.module}:{self.place.line}: {self.before} | {self.after}"


def places(module: str, source: str) -> list[Place]:
    """Where a change could make a difference when the module runs on this system."""
    idle = idle_ranges(source)
    nodes = list(ast_nodes(get_ast(source)))
    found = []
    for name, operator in OPERATORS.items():
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        found += [
            Place(module, start[0], name, occurrence)
            for occurrence, start in enumerate(starts)
            if not any(begin <= start < end for begin, end in idle)
        ]
    return sorted(found)


def mutant(place: Place, source: str) -> Mutant:
    """The change at a place."""
    changed = mutate_code(source, OPERATORS[place.operator], place.occurrence)
    assert changed is not None
    return Mutant(place, *difference(source, changed), changed)


def difference(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, without their indentation."""
    old, new = before.splitlines(), after.splitlines()
    pairs = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    changed = [(old[a:b], new[c:d]) for tag, a, b, c, d in pairs if tag != "equal"]
    first, second = (" ".join(line.strip() for lines in side for line in lines) for side in zip(*changed, strict=True))
    return first, second


def idle_ranges(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where a change means nothing: annotations, which nothing evaluates, and what is not reached.

    So are the size of a cache, the mark before arguments that are always named, and `strict` of a zip, which is an
    assertion of ours.
    """
    found: list[ast.AST] = []
    between = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            found += [one for one in node.decorator_list if isinstance(one, ast.Call) and _name(one) == "lru_cache"]
            found += [node.returns] if node.returns else []
            between += _before_named(node)
        match node:
            case ast.FunctionDef(name=name) if name in UNREACHABLE:
                found.append(node)
            case ast.ClassDef(decorator_list=decorators) if decorators:
                found += decorators  # frozen and slots: for type checkers and for speed
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation) if annotation:
                found.append(annotation)
            case ast.Call(keywords=keywords) if _name(node) == "zip":
                found += [one.value for one in keywords]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                found.append(node)
            case ast.Assign(targets=[ast.Name(id="TYPE_CHECKING")]):
                found.append(node)
    return [(begin_of(node), end_of(node)) for node in found] + between


def _name(call: ast.AST) -> str:
    return call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""


def _before_named(function: ast.FunctionDef) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the lone star stands before the arguments that have to be named."""
    arguments = function.args
    if not arguments.kwonlyargs or arguments.vararg:
        return []
    before = [*arguments.posonlyargs, *arguments.args, *arguments.defaults]
    return [(max(map(end_of, before), default=begin_of(function)), begin_of(arguments.kwonlyargs[0]))]


def begin_of(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]


def end_of(node: ast.AST) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
