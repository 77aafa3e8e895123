"""Puts lines into the text of a YAML file, and takes lines out, without changing a byte of the rest.

A parser says where each entry is; the text between is never written anew. Comments, anchors, merge keys, the layout and
the ends of lines therefore stay as people wrote them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent, MappingStartEvent, ScalarEvent

from pipelines.config import yaml_file


@dataclass
class Entry:
    """An entry of a mapping, with its place in the text.

    start, end: where the entry's key begins and its value ends, in characters from the start of the text
    column: where the key begins in its line; value: the parser's first event of the value
    entries: the entries of the value if that is a mapping, else {}
    """

    start: int
    column: int
    value: Any
    end: int
    entries: dict[str, "Entry"] = field(default_factory=dict)

    @property
    def is_flow(self) -> bool:
        """Return whether the value is in braces or brackets."""
        return isinstance(self.value, CollectionStartEvent) and bool(self.value.flow_style)


def entries(text: str) -> dict[str, Entry]:
    """Return the entries of the mapping that a YAML text holds, at all depths."""
    events: Iterator[Any] = iter(list(yaml.parse(text, Loader=yaml.SafeLoader)))
    for event in events:
        if isinstance(event, MappingStartEvent):
            return _read(events, Entry(0, 0, event, 0)).entries
    return {}


def insert(text: str, key: str, added: Mapping[str, object], after: str = "") -> str:
    """Return a YAML text with entries added at the end of the mapping under `key`.

    The mapping may be empty, in braces or in lines. If it is missing, it is put after the entry `after` or, if that is
    missing too, at the end of the last entry.
    """
    if not added:
        return text
    top, newline = entries(text), "\r\n" if "\r\n" in text else "\n"

    def lines(indent: int) -> str:
        return "".join(f"{newline}{' ' * indent}{line(name, value)}" for name, value in added.items())

    if key not in top:
        place = _line_end(text, top[after].end if after in top else max(entry.end for entry in top.values()))
        return f"{text[:place]}{newline}{key}:{lines(2)}{text[place:]}"
    entry = top[key]
    if not entry.entries:
        if entry.is_flow:  # {}, whose braces are taken out
            opened = entry.value.end_mark.index - 1
            before = text[:opened].rstrip(" ")
            text, entry.end = before + text[entry.end :], len(before)
        place = _line_end(text, entry.end)
        return text[:place] + lines(2) + text[place:]
    *_, last = entry.entries.values()
    if entry.is_flow:
        comma = re.match(r"\s*,", text[last.end : entry.end])
        place = last.end + (comma.end() if comma else 0)
        more = ", ".join(line(name, value) for name, value in added.items())
        return f"{text[:place]}{' ' if comma else ', '}{more}{text[place:]}"
    place = _line_end(text, last.end)
    return text[:place] + lines(last.column) + text[place:]


def replace(text: str, key: str, name: str, value: object) -> str:
    """Return a YAML text in which the entry `name` of the mapping under `key` has another value."""
    entry = entries(text)[key].entries[name]
    return f"{text[: entry.start]}{line(name, value)}{text[entry.end :]}"


def remove(text: str, key: str, name: str) -> str:
    """Return a YAML text without the entry `name` of the mapping under `key`; an emptied mapping becomes {}."""
    entry = entries(text)[key]
    found, names = entry.entries[name], list(entry.entries)
    place = names.index(name)
    if entry.is_flow:
        if place + 1 < len(names):
            return text[: found.start] + text[entry.entries[names[place + 1]].start :]
        return text[: entry.entries[names[place - 1]].end if place else found.start] + text[found.end :]
    start, end = text.rfind("\n", 0, found.start) + 1, text.find("\n", _line_end(text, found.end)) + 1
    if not end:  # the last line of the text, without a newline at its end
        start, end = _line_end(text, start), len(text)
    text = text[:start] + text[end:]
    if len(names) == 1:
        head = re.compile(r"[^\n#]*?:([ \t]+[&!]\S+)*").match(text, entry.start)
        place = head.end() if head else entry.start
        text = f"{text[:place]} {{}}{text[place:]}"
    return text


def line(name: str, value: object) -> str:
    """Return the entry `name: value` as one line of YAML; text that a YAML reader would not take for text is quoted."""
    return yaml_file.dump({name: value})[1:-1]


def _read(events: Iterator[Any], parent: Entry) -> Entry:
    """Read the events of a mapping after its first one into `parent`, the mapping's own entry, and return `parent`."""
    for key in events:
        if not isinstance(key, ScalarEvent):  # a mapping in lines has its end event where the next line begins
            parent.end = key.end_mark.index if parent.is_flow else parent.end
            return parent
        value = next(events)
        begins: Any = key.start_mark
        entry = Entry(begins.index, begins.column, value, value.end_mark.index)
        if isinstance(value, MappingStartEvent):
            _read(events, entry)
        elif isinstance(value, CollectionStartEvent):
            entry.end = _end_of_list(events, entry)
        parent.entries[key.value] = entry
        parent.end = entry.end
    return parent


def _end_of_list(events: Iterator[Any], entry: Entry) -> int:
    """Read the events of a list after its first one; return where the list ends.

    For a list in lines, that is the end of its last item: the list's own end event is where the next line begins.
    """
    end, are_flow = entry.end, [entry.is_flow]
    for event in events:
        if isinstance(event, CollectionStartEvent):
            are_flow.append(bool(event.flow_style))
        elif not isinstance(event, CollectionEndEvent) or are_flow.pop():
            end = event.end_mark.index
        if not are_flow:
            return end
    return end


def _line_end(text: str, place: int) -> int:
    """Return where the line that holds the position `place` ends, before its newline.

    A block of text, as after |, ends with a newline. If `place` follows a newline, the line before it is meant.
    """
    if place and text[place - 1] == "\n":
        place -= 1
    found = text.find("\n", place)
    found = len(text) if found < 0 else found
    return found - 1 if found and text[found - 1] == "\r" and found < len(text) else found
