"""Reads YAML files that DVC (YAML 1.2), PyYAML (YAML 1.1) and OmegaConf all have to read alike.

A value that two of these readers read differently, or that one of them drops silently, is refused with a line that says
how to write it instead. Quoted text, anchors and merge keys are allowed.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError as MarkedYAMLErrorOfRuamel
from ruamel.yaml.error import YAMLError as YAMLErrorOfRuamel
from ruamel.yaml.nodes import ScalarNode as ScalarNodeOfRuamel
from ruamel.yaml.resolver import VersionedResolver
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gen_models.errors import ConfigError
from pipelines.runtime import paths

READ_ALIKE = re.compile(  # plain scalars that are not text: null, booleans, and numbers in the form that all read
    r"~|null|Null|NULL|"
    r"true|True|TRUE|false|False|FALSE|"
    r"[-+]?(0|[1-9][0-9]{0,17})|"
    r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?|"
    r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
TAG = "tag:yaml.org,2002:"
OF_VERSION_1_2 = VersionedResolver()
DOTTED = ("set", "grid")  # mappings with dotted keys of a conf, which DVC compares as one value


def read(path: Path, *, dotted_keys: bool = False) -> dict[str, Any]:
    """Return the mapping that a file holds.

    dotted_keys: whether keys such as model.beta are allowed everywhere, and not only in `set` and `grid`; DVC would
    read them as nested keys

    Raises ConfigError for a file that is missing, is not YAML, or is not read alike by all readers.
    """
    name = path.relative_to(paths.root()).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: byte {error.start} is no UTF-8; save the file as UTF-8") from None
    except FileNotFoundError:
        raise ConfigError(f"{name}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror})") from None
    return parse(text, name, dotted_keys=dotted_keys)


def parse(text: str, name: str, *, dotted_keys: bool = False) -> dict[str, Any]:
    """Return the mapping that a YAML text holds.

    name: the name of the text's file, for errors; dotted_keys: as for `read`, which raises the same errors
    """
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(document, MappingNode):
            raise ConfigError(f"{name}: expected a mapping, lines such as `key: value`")
        _Walk(name, dotted_keys).visit(document, ())
        found = yaml.SafeLoader("").construct_document(document)
        _check_dvc_agrees(name, text, found)
        return found
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        if alias := re.fullmatch(r"found undefined alias '(\w+)'", error.problem or ""):
            what = f"*{alias[1]} stands for what is marked &{alias[1]}, and nothing is: write"
            raise ConfigError(f"{name}: {line}{what} `{alias[1]}: &{alias[1]} {{}}` above it") from None
        raise ConfigError(f"{name}: {line}not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deep to be read") from None


def dump(value: Any) -> str:
    """Return a value as one line of YAML that `read` accepts."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").rstrip()


def needs_quotes_of_pyyaml_only(text: str) -> bool:
    """Return whether PyYAML needs quotes to read `text` as text, but DVC's writer leaves them out: no, on, yes, ..."""
    resolved = str(OF_VERSION_1_2.resolve(ScalarNodeOfRuamel, text, (True, False)))
    return resolved == f"{TAG}str" != _tag_1_1(text)


def _check_dvc_agrees(name: str, text: str, found: dict[str, Any]) -> None:
    """Raise ConfigError if DVC's parser reads a text otherwise than PyYAML, which read `found`.

    `_Walk` finds most differences. This finds those for which it has no rule, such as {a: b:}, which the parsers split
    at different places.
    """
    try:
        of_dvc = YAML(typ="safe").load(text)
    except MarkedYAMLErrorOfRuamel as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{name}: {line}DVC cannot read it: {error.problem}; quote the text there") from None
    except YAMLErrorOfRuamel as error:
        raise ConfigError(f"{name}: DVC cannot read it: {' '.join(str(error).split())}") from None
    if repr(of_dvc) != repr(found):
        key = next((key for key in found if repr(found[key]) != repr(of_dvc.get(key))), "")
        raise ConfigError(f"{name}: {key}: PyYAML and DVC read it differently; quote the text in it")


class _Walk:
    """A walk over the nodes of a document; raises ConfigError at the first node that readers would read differently."""

    def __init__(self, name: str, dotted_keys: bool) -> None:
        self.name, self.dotted_keys = name, dotted_keys
        self.seen: set[int] = set()

    def visit(self, node: Node, above: tuple[Node, ...], key: str = "") -> None:
        """Check a node and the nodes inside it. above: the nodes that hold it; key: the innermost key that holds it"""
        if any(node is other for other in above):
            raise self.refusal(node, "an alias inside what it names has no end: write the value out")
        if id(node) in self.seen:
            return
        self.seen.add(id(node))
        if isinstance(node, ScalarNode):
            self.check_scalar(node, key)
        elif isinstance(node, SequenceNode):
            self.check_tag(node, "seq")
            for item in node.value:
                self.visit(item, (*above, node), key)
        elif isinstance(node, MappingNode):
            self.check_tag(node, "map")
            self.check_keys(node, key)
            for name, value in node.value:
                if name.tag == f"{TAG}merge":
                    self.check_merge(value, (*above, node)[0])
                self.visit(value, (*above, node), name.value)

    def check_keys(self, node: MappingNode, above: str) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise self.refusal(key, "a key is one name, no list and no mapping")
            if key.tag != f"{TAG}merge":
                self.check_scalar(key)
                if key.tag != f"{TAG}str":
                    raise self.refusal(key, f'the key {key.value or "(empty)"} is no text: write "{key.value}"')
                if "." in key.value and not (self.dotted_keys or above in DOTTED):
                    if meant := get_close_matches(above, DOTTED, n=1, cutoff=0.75):
                        raise self.refusal(key, f"unknown key {above!r}: did you mean {meant[0]!r}?")
                    fixed = key.value.replace(".", "_")
                    raise self.refusal(key, f"DVC reads the key {key.value} as keys inside one another: write {fixed}")
            if key.value in lines:
                raise self.refusal(
                    key, f"the key {key.value} is also in line {lines[key.value]}, and one would be lost: remove one"
                )
            lines[key.value] = _line(key)

    def check_merge(self, node: Node, document: Node) -> None:
        """Check what << merges. document: the whole file, in which a key that was left empty is looked up"""
        items = node.value if isinstance(node, SequenceNode) else [node]
        for item in items:
            if isinstance(item, ScalarNode) and not item.value:
                key = next((key.value for key, value in document.value if value is item), "name")
                raise self.refusal(item, f"{key} is empty, and << merges it: write `{key}: &{key} {{}}`")
        if not all(isinstance(item, MappingNode) for item in items):
            raise self.refusal(node, "<< takes a mapping or a list of mappings, such as <<: *name")

    def check_scalar(self, node: ScalarNode, key: str = "") -> None:
        if node.style is not None:
            self.check_tag(node, "str")
            return
        text = node.value
        self.check_tag(node, _tag_1_1(text).removeprefix(TAG))
        if not (text == "" or READ_ALIKE.fullmatch(text) or _is_text(text)):
            said = " and ".join(f"{who} reads {_read_by(who, text)}" for who in ("PyYAML", "DVC"))
            raise self.refusal(node, f"{f'{key}: ' if key else ''}{text}: {said}: write {_instead(text)}")

    def check_tag(self, node: Node, kind: str) -> None:
        if node.tag != f"{TAG}{kind}":
            raise self.refusal(node, f"the tag !{node.tag.removeprefix(TAG)} is not read alike: leave it out")

    def refusal(self, node: Node, what: str) -> ConfigError:
        return ConfigError(f"{self.name}: line {_line(node)}: {what}")


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper, except that it quotes text that YAML 1.1 or 1.2 would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> ScalarNode:
        quotes = "'" if text.isprintable() else '"'  # DVC's own writer uses ' too
        return self.represent_scalar(f"{TAG}str", text, style=None if text.isprintable() and _is_text(text) else quotes)


_Dumper.add_representer(str, _Dumper.represent_text)


def _is_text(plain: str) -> bool:
    """Return whether YAML 1.1 and YAML 1.2 both read a plain scalar as text."""
    resolved = OF_VERSION_1_2.resolve(ScalarNodeOfRuamel, plain, (True, False))
    return str(resolved) == _tag_1_1(plain) == f"{TAG}str"


def _tag_1_1(plain: str) -> str:
    return yaml.SafeLoader("").resolve(ScalarNode, plain, (True, False))


def _read_by(who: str, plain: str) -> str:
    """Return how a parser reads a plain scalar, as text: its Python value, or "nothing" if it fails."""
    try:
        return repr(yaml.safe_load(plain) if who == "PyYAML" else YAML(typ="safe").load(plain))
    except (ValueError, yaml.YAMLError, YAMLErrorOfRuamel):
        return "nothing"


def _instead(plain: str) -> str:
    """Return advice for a plain scalar: how to write it as text and, if it is a number, in the form that all read."""
    number = re.fullmatch(r"([-+]?)(\d*)(\.?\d*)(?:[eE]([-+]?)(\d+))?", plain.replace("_", ""))
    as_text = f'"{plain}" for the text'
    if plain.lower() in ("yes", "on", "no", "off"):
        return f"{'true' if plain.lower() in ('yes', 'on') else 'false'}, or {as_text}"
    if number is None:
        return as_text
    sign, whole, point, sign_of_exponent, exponent = number.groups()
    if not point and exponent is None:
        return f"{sign}{whole.lstrip('0') or '0'} for the number, {as_text}" if len(whole) <= 18 else as_text
    written = f"{sign}{whole or '0'}{point or '.0'}" + (f"e{sign_of_exponent or '+'}{exponent}" if exponent else "")
    return f"{written} for the number, {as_text}"


def _line(node: Node) -> int:
    return node.start_mark.line + 1
