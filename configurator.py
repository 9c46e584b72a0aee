"""Resolve a config: defaults <- config file <- --key=value, parsed and checked. Never imports torch."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with PYTHONSAFEPATH

from pydantic import BaseModel, ValidationError

from pipelines import SETTINGS, config_tree
from runner.configs import inheritance
from runner.configs.config_file import ConfigFile
from runner.configs.messages import Origin, sentences, unknown_key
from runner.configs.overrides import (
    ALIASES,
    SYNONYMS,
    InvalidValue,
    boolean,
    fields_of,
    fields_within,
    only_boolean,
    only_whole,
    parse,
    placed,
    split,
    type_of,
)
from runner.core.errors import UserError, did_you_mean, one_line
from runner.core.options import OF_A_JOB
from runner.core.registry import Registry

#: The settings of each pipeline; an installed package may offer more.
PIPELINES: Registry[type[BaseModel]] = Registry("overnight.pipelines", "pipeline", SETTINGS)
DEFAULT_PIPELINE = "diffusion"
LIST_OF_KEYS = "configurator.py --help lists the keys"


def settings_class(pipeline: str) -> type[BaseModel]:
    """The settings of a pipeline; raises UserError for one that does not exist."""
    return PIPELINES.get(pipeline)


def resolve(config: ConfigFile | None, overrides: Mapping[str, str]) -> BaseModel:
    """The settings that a job runs with; raises one UserError with every error of the file and the command line."""
    return resolve_for(class_for(config, overrides), config, overrides)


def resolve_for(
    cls: type[BaseModel], config: ConfigFile | None, overrides: Mapping[str, str], *, by_path: bool = True
) -> BaseModel:
    """As `resolve`, for a given settings class. `by_path`: the config is a file, whose place has a meaning."""
    origin = Origin(config, canonical(cls, overrides))
    values, errors = _file_values(cls, origin)
    overriding, invalid = _line_values(cls, origin)
    errors += invalid.values()
    if by_path:
        values = {**meant_by_path(cls, config, overrides), **values}
    given = placed(values, {key: value for key, value in overriding.items() if key not in invalid})
    if origin.config is not None and "config_path" in cls.model_fields:
        given["config_path"] = str(origin.config.path)  # for a pipeline that records where its settings come from
    try:
        settings = cls.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        errors += sentences(cls, origin, error, given, silent=invalid)
    if errors:
        raise UserError(*sorted(dict.fromkeys(errors), key=origin.order))
    return settings


def meant_by_path(cls: type[BaseModel], config: ConfigFile | None, overrides: Mapping[str, str]) -> dict[str, str]:
    """The settings that neither the config nor the command line has, and the config's place in a tree decides."""
    if config is None:
        return {}
    given = {*config.values, *canonical(cls, overrides)}
    return config_tree.defaults(config_tree.subdirectory(config.path), cls, given)


def canonical(cls: type[BaseModel], overrides: Mapping[str, str]) -> dict[str, str]:
    """The overrides by the names that the settings use: batch-size is batch_size, wandb_enabled is wandb_log."""
    result: dict[str, str] = {}
    for key, text in overrides.items():
        name = key.removeprefix("--").replace("-", "_")
        if name not in cls.model_fields and ALIASES.get(name) in cls.model_fields:
            name = ALIASES[name]
        result[name] = text
    return result


def checkpoint_bytes(settings: BaseModel) -> int:
    """What a job with these settings will keep on the disk; 0 where its pipeline does not define it."""
    function = getattr(sys.modules[type(settings).__module__], "checkpoint_bytes", None)
    return int(function(settings)) if function else 0


def unread(config: Mapping[str, Any]) -> Collection[str]:
    """Keys of a resolved config that change nothing about this job, where its pipeline defines them."""
    cls = settings_class(str(config.get("pipeline", DEFAULT_PIPELINE)))
    function = getattr(sys.modules[cls.__module__], "unread", None)
    return function(config) if function else ()


def unprepared(config: Mapping[str, Any]) -> list[str] | None:
    """The command, for Python, that prepares the dataset of a resolved config; None where there is nothing to do."""
    cls = settings_class(str(config.get("pipeline", DEFAULT_PIPELINE)))
    function = getattr(sys.modules[cls.__module__], "unprepared", None)
    command: list[str] | None = function(config) if function else None
    return command


def from_command_line(argv: Sequence[str]) -> tuple[Path, BaseModel]:
    """The config file and the settings of `CONFIG --key=value ...`. Prints errors and exits with 2."""
    if any(word in ("-h", "--help") for word in argv):
        print(_usage(_class_of_help(argv)))
        raise SystemExit(0)
    try:
        return _read_command_line(argv)
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def main(argv: Sequence[str]) -> int:
    _, settings = from_command_line(argv)
    print(json.dumps(settings.model_dump(mode="json"), indent=2))
    return 0


def _read_command_line(argv: Sequence[str]) -> tuple[Path, BaseModel]:
    words, overrides, errors = split(argv)
    if not words:
        errors.append("no config; name one, such as config/quickstart/easy.py")
    errors += [f"{word}: one config at a time; options are written --key=value" for word in words[1:]]
    if not words:
        raise UserError(*errors)
    path = Path(words[0])
    try:
        settings = resolve(inheritance.read(path), overrides)
    except UserError as error:
        raise UserError(*errors, *error.problems) from None
    if errors:
        raise UserError(*errors)
    return path, settings


def class_for(config: ConfigFile | None, overrides: Mapping[str, str]) -> type[BaseModel]:
    """The settings of the named pipeline, else of that of the subdirectory, else of the one that has the most keys."""
    if "pipeline" in overrides:
        place, name = "--pipeline", overrides["pipeline"]
    elif config is not None and "pipeline" in config.values:
        place, name = config.place("pipeline"), config.values["pipeline"]
    elif config is not None and (meant := config_tree.pipeline(config_tree.subdirectory(config.path))) is not None:
        return settings_class(meant)
    else:
        return _likeliest({*(config.values if config else ()), *overrides} - {*OF_A_JOB})
    try:
        return settings_class(str(name))
    except UserError as error:
        raise UserError(f"{place}: {error}") from None


def _likeliest(keys: Collection[str]) -> type[BaseModel]:
    """The settings that have the most of `keys`; those of the default pipeline unless others have more."""
    default = settings_class(DEFAULT_PIPELINE)
    if default.model_fields.keys() >= set(keys):
        return default
    others = [settings_class(name) for name in PIPELINES.local_names() if name != DEFAULT_PIPELINE]
    return max([default, *others], key=lambda settings: len(settings.model_fields.keys() & set(keys)))


def _file_values(cls: type[BaseModel], origin: Origin) -> tuple[dict[str, Any], list[str]]:
    """The file's values that the settings know, and an error for each of the others."""
    values: dict[str, Any] = {}
    errors: list[str] = []
    if origin.config is None:
        return values, errors
    for key, value in origin.config.values.items():
        place = origin.config.place(key)
        if key not in cls.model_fields:
            if key not in ("pipeline", *OF_A_JOB):
                errors.append(f"{place}: {unknown_key(key, cls.model_fields, ALIASES, LIST_OF_KEYS)}")
        elif not _encodable(value):
            errors.append(f"{place}: {key} has half of a surrogate pair; write the character itself")
        else:
            values[key] = _as_meant(value, cls.model_fields[key].annotation, origin.config, key)
    return values, errors


def _as_meant(value: Any, annotation: Any, config: ConfigFile, key: str) -> Any:
    """In YAML `on`, `off`, `yes` and `no` are text, but where a setting is true or false they mean that.

    `1e3` is a whole number where a setting is one, as on the command line.
    """
    if isinstance(value, dict) and (fields := fields_of(annotation)):
        return {
            name: _as_meant(inner, fields[name].annotation, config, f"{key}.{name}") if name in fields else inner
            for name, inner in value.items()
        }
    if isinstance(value, float) and value.is_integer() and only_whole(annotation):
        return int(value)
    in_yaml = re.search(r"\.ya?ml(:\d+)?$", config.place(key), re.IGNORECASE)
    if isinstance(value, str) and in_yaml and only_boolean(annotation):
        try:
            return boolean(value)
        except ValueError:
            pass  # an error that is reported later, with its place
    return value


def _line_values(cls: type[BaseModel], origin: Origin) -> tuple[dict[str, Any], dict[str, str]]:
    """The overrides as values of their fields' types, and an error for each that is not one."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for key, text in origin.overrides.items():
        if (annotation := type_of(key, cls.model_fields)) is None:
            if key != "pipeline":
                errors[key] = _unknown_option(key, cls)
        elif not _encodable(text):
            errors[key] = f"--{key}: is not UTF-8; check the encoding of the terminal"
        else:
            try:
                values[key] = parse(text, annotation)
            except InvalidValue as error:
                errors[key] = f"--{key} {error}"
    return values, errors


def _unknown_option(key: str, cls: type[BaseModel]) -> str:
    program = getattr(cls, "PROGRAM", "train_run.py")
    hint = did_you_mean(SYNONYMS.get(key, key), _keys_near(key, cls), dashes="--")
    return f"--{key}: unknown key; {hint or f'python {program} --help lists the keys'}"


def _keys_near(key: str, cls: type[BaseModel]) -> list[str]:
    """All keys of the innermost section of `key` that exists."""
    section, dot, _ = key.rpartition(".")
    known = [section + dot + name for name in fields_within(key, cls.model_fields)]
    return known or _keys_near(section, cls)


def _encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _class_of_help(argv: Sequence[str]) -> type[BaseModel]:
    """The settings that a request for help is about: those of the config it names, if it names one."""
    words, overrides, _ = split([word for word in argv if word not in ("-h", "--help")])
    try:
        return class_for(inheritance.read(Path(words[0])) if words else None, overrides)
    except UserError:
        return settings_class(DEFAULT_PIPELINE)


def _usage(cls: type[BaseModel]) -> str:
    from pipelines.shared.explanations import explained  # reads sources, which only --help needs

    name = Path(sys.argv[0]).name
    return f"usage: {name} CONFIG [--key=value ...]\n\nkeys and their defaults:\n\n{explained(cls, _default)}"


def _default(value: Any) -> str:
    return one_line([str(item) for item in value] if isinstance(value, list) else value)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
