"""Proposes a role and a kind for each column of a table, with the reason.

If only the user can decide what a column is, the error says which command-line option decides it.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gen_models.errors import ConfigError, DataError, option, unknown
from gen_models.table import DAY, FILL, KINDS, TRUTH, VALUE
from pipelines.config.columns import collapsed
from pipelines.data.sources.files import shown
from pipelines.data.tables.cells import BLANKS, CLOCK, OTHER_TIME, PHONE, SIGNED, TIME
from pipelines.data.tables.csv_text import cut
from pipelines.data.tables.facts import FEW_ODD, Facts
from pipelines.data.tables.open_table import Table

MOST_VALUES = 20  # text with more different values becomes a category only if --kind asks for it
MOST_ASKED_VALUES = 1000
LEAST_STEPS, LEAST_CELLS = 3, 30  # different values, and cells: whole numbers with fewer tell no step above 1
FEW_PLACES, APART, CELLS_OF_VALUE = 12, 3, 30  # numbers of so few values, so many steps apart, may better be words
MOST_CLASSES = 50  # a column with more different values is not proposed as the label, whatever its name
# fmt: off
LABELS = {
    "label", "labels", "class", "classes", "target", "targets", "species", "y", "truth", "gt", "variety", "cultivar",
    "diagnosis", "klasse", "classe",
}
LABELS_IF_LAST = {"category", "kind", "type"}  # names of labels, but also of many features
ANSWERS = {
    "outlier", "anomaly", "anomalous", "abnormal", "fraud", "fraudulent", "attack", "defect", "defective", "faulty",
    "fault", "malicious", "intrusion", "groundtruth", "label", "target", "betrug", "anomalie", "fraude", "defekt",
}
# fmt: on
IDS = re.compile(
    r"^(id|idx|index|uuid|guid|row|rownum|row_?(no|nr|number|id)|unnamed: \d+)$|(_|\b)(id|uuid|guid)$", re.I
)
TRUE = ("true", "yes", "y", "t", "1", "1.0", "ja", "wahr", "oui", "vrai", "si", "sí")


Format = tuple[str, str | None]  # (decimal mark, mark between groups of three digits)


@dataclass
class Proposal:
    """What conf/data/NAME.yaml will say of a table.

    columns  {column: its entry under `columns:` of that file}
    reasons  {column: why it has this role or kind}
    reading  {option: value} for reading the text, without options at their defaults
    notes    sentences on what is left out and on what was decided by a name
    anomaly  the label that means an anomaly, such as "true" in a column is_fraud; None if no name tells
    """

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    reading: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    anomaly: str | None = None

    def leave_out(self, name: str, reason: str, role: str = "ignore") -> None:
        self.columns[name], self.reasons[name] = {"role": role}, reason


@dataclass(frozen=True)
class Wishes:
    """What the user says about the columns of a table.

    label    the column of labels; "none": no column; None: nothing is said
    kinds    {column: its kind}
    ids      the columns of identifiers
    ignored  the columns to leave out
    header   whether the first line certainly holds the names of the columns, though it looks like data
    """

    label: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    ids: Sequence[str] = ()
    ignored: Sequence[str] = ()
    header: bool = False

    def check(self, table: Table) -> None:
        """Raise DataError for a column that the table lacks, and ConfigError for an unknown kind."""
        named = [*self.kinds, *self.ids, *self.ignored, *([self.label] if self.label not in (None, "none") else [])]
        for name in named:
            if name not in table.names:
                raise DataError(f"{shown(table.path)}: " + unknown("column", name, list(table.names)[:50]))
        for name, kind in self.kinds.items():
            if kind not in KINDS:
                raise ConfigError(f"--kind {name}={kind}: " + unknown("kind", kind, KINDS))


def formats_of(facts: Mapping[str, Facts], table: Table, wishes: Wishes) -> dict[str, Format]:
    """Return {column: (decimal mark, mark between thousands or None)} for columns of numbers not written as 1234.5.

    Raises DataError if columns are written in different ways, or if nothing tells whether 1,934 is 1934 or 1.934; in
    this case the error names the option for each of the two meanings.
    """
    reading = table.reading
    found: dict[str, Format] = {}
    if reading is None:
        return found
    texts = {name: fact for name, fact in facts.items() if fact.storage == "text" and fact.present}
    has_no_groups = reading.thousands == ""  # as somebody has said
    if reading.decimal is not None or reading.thousands:
        if reading.point == "." and not reading.thousands:
            return found
        format_ = (reading.point, reading.thousands)
        return {name: format_ for name, fact in texts.items() if fact.share_of_numbers >= 1 - FEW_ODD}
    unclear = []
    for name, fact in texts.items():
        forms = fact.forms
        if fact.share_of_numbers < 1 - FEW_ODD or not any(forms[f] for f in ("comma", "groups", "either", "spaced")):
            continue
        if forms["comma"] > forms["either"]:  # a decimal comma that no mark between thousands can be
            mark = "." if _is_grouped_by_points(fact) else _mark_of_thousands(fact)
            found[name] = (",", "" if has_no_groups else mark)
        elif has_no_groups:
            found[name] = (",", "")
        elif forms["groups"] or (forms["either"] and forms["plain"] > forms["whole"]):
            found[name] = (".", ",")
        elif forms["spaced"]:
            found[name] = (".", _mark_of_thousands(fact))
        else:
            unclear.append(name)
    marks = set(found.values())
    for name in unclear:
        if len(marks) == 1 and wishes.label != name:
            found[name] = next(iter(marks))
            continue
        example = next((w for w in facts[name].words or {} if "," in w), "1,934")
        raise DataError(
            f"{shown(table.path)}: column {name!r}: {example!r} may be {example.replace(',', '')} or "
            f"{example.replace(',', '.')}; say --thousands , or --decimal ,"
        )
    spare = {*found, *wishes.ignored, *wishes.ids, wishes.label}
    dotted = [name for name, fact in texts.items() if name not in spare and _is_grouped_by_points(fact)]
    if dotted and not has_no_groups and any(decimal == "," for decimal, _ in found.values()):
        if not any(_mark_of_thousands(texts[name]) == "." for name in found):
            raise _either_point(dotted[0], found, facts, table)
        found |= dict.fromkeys(dotted, (",", "."))  # a cell such as 1.149,22 in another column has told it
    decimals, groups = {d for d, _ in found.values()}, {t for _, t in found.values() if t}
    if len(decimals) == 1 and len(groups) == 1:  # columns without large numbers have no mark between thousands
        found = dict.fromkeys(found, (decimals.pop(), groups.pop()))
    _require_one_way(found, texts, table)
    return found


def _require_one_way(found: Mapping[str, Format], texts: Mapping[str, Facts], table: Table) -> None:
    """Raise DataError if columns need different formats, so that 1.934 means 1934 in one column only."""
    ways = {way: name for name, way in found.items()}
    if (",", ".") in ways:
        other = next((n for n, f in texts.items() if n not in found and f.forms["plain"] > f.forms["whole"]), None)
        ways |= {(".", None): other} if other is not None and texts[other].share_of_numbers > 1 - FEW_ODD else {}
    if len(ways) > 1:
        pairs = " and ".join(f"{name} as {_example(way)}" for way, name in ways.items())
        raise DataError(f"{shown(table.path)}: columns write numbers in different ways, {pairs}; save them in one way")


def _either_point(name: str, found: Mapping[str, Format], facts: Mapping[str, Facts], table: Table) -> DataError:
    """Return the error for a column whose points may stand between thousands, beside columns with decimal commas."""
    example = next((word for word in facts[name].words or {} if "." in word), "1.934")
    by_comma = next(other for other, (decimal, _) in found.items() if decimal == ",")
    fix = "say --thousands . or --thousands none"
    if any(thousands not in (None, ".") for _, thousands in found.values()):
        fix = "write all numbers in one way"
    return DataError(
        f"{shown(table.path)}: column {name!r}: {example!r} may be {example.replace('.', '')} or {example}, beside the "
        f"decimal commas of {by_comma}; {fix}"
    )


def _example(way: Format) -> str:
    decimal, thousands = way
    return f"1{thousands or ''}234{decimal}5"


def propose(facts: Mapping[str, Facts], table: Table, formats: Mapping[str, Format], wishes: Wishes) -> Proposal:
    """Return a proposal for all columns.

    formats: what `formats_of` returned

    Raises DataError for a column that only the user can decide on, and if no column is left as a feature.
    """
    found = Proposal()
    if formats:
        decimal, thousands = next(iter(formats.values()))
        found.reading |= {"decimal": decimal} if decimal != "." else {}
        found.reading |= {"thousands": thousands} if thousands else {}
    label = _label(facts, table, wishes, found)
    for name, fact in facts.items():
        if name == label:
            _propose_label(fact, found, table, is_asked=wishes.label is not None)
        elif name in wishes.ignored:
            found.leave_out(name, "as asked")
        elif name in wishes.ids:
            found.leave_out(name, "as asked", "id")
        elif name in found.columns:
            continue
        else:
            _propose_feature(fact, found, table, name in formats, wishes.kinds.get(name))
    found.columns = collapsed({name: found.columns[name] for name in facts})
    for name, entry in found.columns.items():
        if "length" in entry:
            found.notes.append(f"{name}: lists of {entry['length']}, a number of the row for each place")
    if all("role" in column for column in found.columns.values()):
        reasons = ", ".join(f"{name} ({found.reasons[name]})" for name in list(facts)[:6])
        usable = _usable({name: fact for name, fact in facts.items() if name != label})
        fix = f"say {option('--kind', usable)}, or the like for another" if usable else "give columns that vary"
        raise DataError(f"{shown(table.path)}: no column of features is left: {reasons}; {fix}")
    return found


def _label(facts: Mapping[str, Facts], table: Table, wishes: Wishes, found: Proposal) -> str | None:
    """Return the column of labels, or None: the one that the user names, else one that has the name or place of labels.

    Other columns whose names say that they hold the answer, such as is_fraud, are left out with a note. Raises
    DataError if several columns may be the labels.
    """
    decided = {*wishes.ignored, *wishes.ids, *wishes.kinds}
    last = list(facts)[-1]
    named = [
        name for name, fact in facts.items() if name not in decided and _may_be_label(name, fact, is_last=name == last)
    ]
    if wishes.label == "none":
        return None
    sure = [name for name in named if _is_answer(name)]
    label = wishes.label
    if label is None:
        candidates = ["y"] if table.kind == "npz" and "y" in facts and "y" not in decided else sure or named
        if not candidates:
            candidates = [name for name in _last_words(facts) if name not in decided]
        if len(candidates) > 1:
            says = ", ".join(option("--label", name) for name in candidates[:4])
            raise DataError(
                f"{shown(table.path)}: {', '.join(candidates[:4])} may each be the labels; say {says} or --label none"
            )
        label = candidates[0] if candidates else None
        if label is not None:
            found.notes.append(f"{label}: taken as the labels, for its name or place; --label none makes it a feature")
    if label is None and (unsure := [name for name in facts if name.lower() in LABELS_IF_LAST and name not in decided]):
        says = " or ".join(option("--label", name) for name in unsure)
        found.notes.append(f"{', '.join(unsure)}: taken as a feature; if these are the labels, say {says}")
    for name in named:
        if name != label and _is_answer(name):
            found.leave_out(name, "may be an answer, by its name")
            found.notes.append(
                f"{name}: left out, it may be an answer; {option('--kind', f'{name}=category')} makes it one"
            )
    return label


def _may_be_label(name: str, fact: Facts, *, is_last: bool) -> bool:
    """Return whether a column has the name of labels, and few enough values. is_last: whether it is the last one"""
    is_named = name.lower() in LABELS or (is_last and name.lower() in LABELS_IF_LAST)
    if not (is_named or _is_answer(name)):
        return False
    return fact.words is not None and 1 <= len(fact.words) <= MOST_CLASSES and len(fact.words) < max(fact.rows / 2, 2)


def _is_answer(name: str) -> bool:
    tokens = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    joined = "".join(tokens)
    return bool(set(tokens) & ANSWERS) or any(word in joined for word in ("groundtruth", "isfraud", "isanomal"))


def _last_words(facts: Mapping[str, Facts]) -> list[str]:
    """Return [the last column] if it holds a few words and all others hold numbers, else [].

    Such a column is usually the label.
    """
    *others, last = facts.values()
    is_word = last.storage == "text" and last.share_of_numbers < FEW_ODD and not _is_flag(last) and not _is_time(last)
    few = (
        last.words is not None
        and 2 <= len(last.words) <= MOST_VALUES
        and not last.missing
        and len(last.words) < last.rows / 2
    )
    return [last.name] if others and is_word and few and all(f.share_of_numbers == 1 for f in others) else []


def _propose_label(fact: Facts, found: Proposal, table: Table, *, is_asked: bool) -> None:
    if fact.missing:
        row, word = fact.first_missing or (0, "empty")
        raise DataError(
            f"{shown(table.path)}, {table.place(row)}, column {cut(fact.name)}: no label ({word}); fill it in, or say "
            "--label none"
        )
    if fact.words is None or len(fact.words) > max(fact.rows / 2, MOST_CLASSES):
        leave_out = "" if is_asked else f"{option('--ignore', fact.name)} to leave it out, or "
        raise DataError(
            f"{shown(table.path)}: column {cut(fact.name)} has too many values for labels; say {leave_out}--label none "
            "to make it a feature"
        )
    found.columns[fact.name], found.reasons[fact.name] = {"role": "label"}, f"{len(fact.words)} classes"
    words = {word.lower(): word for word in fact.words}
    if _is_answer(fact.name) and len(words) == 2:
        if len(fact.words) > 2:
            alike = next(word for word in fact.words if word != words[word.lower()])
            raise DataError(
                f"{shown(table.path)}: column {cut(fact.name)}: the labels {alike!r} and {words[alike.lower()]!r} "
                "differ in capitals only; spell them alike"
            )
        found.anomaly = next((words[w] for w in TRUE if w in words and set(words) in map(set, TRUTH)), None)


def _propose_feature(fact: Facts, found: Proposal, table: Table, is_formatted: bool, kind: str | None) -> None:
    name = fact.name
    if kind is not None:
        found.columns[name] = _as_asked(fact, kind, table)
        asked = found.columns[name]
        is_count = kind == "number" and asked["kind"] == "count"
        why = "a count, as all are whole" if is_count else "in days, as none has a time of day" if "as" in asked else ""
        found.reasons[name] = "; ".join(filter(None, ["as asked", why]))
        if kind == "time":
            found.notes.append(
                f"{name}: a number that grows, so that rows of later files are all unusual in it; for such files write "
                f"`as: weekday`{'' if 'as' in asked else ', `as: hour`'} or `role: ignore` into its line of the conf"
            )
    elif name in table.index:
        _left_out(fact, found, "the index of a data frame", "id")
    elif not fact.present:
        _left_out(fact, found, "missing in all rows")
    elif fact.storage not in ("text", "number", "bool", "time"):
        _left_out(fact, found, f"of type {fact.storage}")
    elif _is_id(fact):
        _left_out(fact, found, "an identifier by its name" if IDS.search(name) else "counts the rows", "id")
    elif fact.is_constant:
        _left_out(fact, found, "constant")
    elif fact.storage == "time" or _is_time(fact):
        fix = f"{option('--kind', f'{name}=time')} takes them as numbers"
        if fact.storage == "text" and _share(fact, CLOCK) >= 1 - FEW_ODD:
            fix = f"write times of day as hours, such as 21.25, or with their day, 2024-12-31 21:15, and {fix}"
        elif fact.storage == "text" and _share(fact, TIME) < 1 - FEW_ODD:
            fix = f"write them as 2024-12-31, and {fix}"
        _left_out(fact, found, f"times; {fix}", note_fix=False)
    elif _is_flag(fact):
        found.columns[name], found.reasons[name] = _flag(fact), _spread(fact)
        if fact.missing:
            _note_missing(fact, found, table)
    elif fact.storage in ("number", "bool") or is_formatted or fact.forms["plain"] == fact.present:
        found.columns[name], found.reasons[name] = _number(fact), _spread(fact)
        _note_missing(fact, found, table)
        _note_outlier(fact, found, table)
        _note_few_places(fact, found)
    elif fact.share_of_numbers >= 1 - FEW_ODD and fact.odd is not None and not _are_codes(fact):
        row, cell = fact.odd
        raise DataError(
            f"{shown(table.path)}, {table.place(row)}, column {cut(name)}: {cut(cell)} among numbers; correct it, "
            f"remove the line if it is a total, or say {_as_missing(cell)}{option('--ignore', name)}"
        )
    elif fact.words is None or len(fact.words) > MOST_VALUES:
        if _share(fact, SIGNED) >= 1 - FEW_ODD:
            _left_out(fact, found, "numbers with a sign such as % or $; remove the sign to use them", note_fix=False)
            return
        many = f"{len(fact.words)}" if fact.words is not None else "many"
        named = f"a different text in each row; {option('--id', name)} names rows by it"
        what = named if fact.are_all_different() else f"text, {many} different values"
        fix = "" if fact.words is None else f"; {option('--kind', f'{name}=category')} takes it"
        _left_out(fact, found, what + fix, note_fix=False)
    elif fact.are_all_different():
        _left_out(fact, found, "a different text in each row", "id")
    else:
        found.columns[name], found.reasons[name] = _category(fact), _spread(fact)
        _note_missing(fact, found, table)


def _as_asked(fact: Facts, kind: str, table: Table) -> dict[str, Any]:
    makers: dict[str, Callable[[Facts], dict[str, Any]]] = {
        "flag": _flag,
        "category": _category,
        "number": _number,
        "time": _time,
    }
    if kind == "category" and (fact.words is None or len(fact.words) > MOST_ASKED_VALUES):
        raise DataError(
            f"--kind {fact.name}=category: more than {MOST_ASKED_VALUES} different values; "
            f"say {option('--ignore', fact.name)}"
        )
    if kind == "flag" and (fact.words is None or len(fact.words) != 2):
        other = option("--kind", f"{fact.name}=category") if fact.words else option("--ignore", fact.name)
        raise DataError(
            f"--kind {fact.name}=flag: {len(fact.words or ()) or 'many'} different values, not 2; say {other}"
        )
    if kind == "number" and fact.storage == "text" and fact.odd is not None:
        row, cell = fact.odd
        if _share(fact, SIGNED) >= 1 - FEW_ODD:
            raise DataError(
                f"{shown(table.path)}, {table.place(row)}, column {cut(fact.name)}: {cut(cell)} is not a number; "
                f"remove the sign from all cells, or say {option('--ignore', fact.name)}"
            )
        raise DataError(
            f"{shown(table.path)}, {table.place(row)}, column {cut(fact.name)}: {cut(cell)} is not a number; correct "
            f"it, or say {_as_missing(cell)}{option('--ignore', fact.name)}"
        )
    if kind in makers:
        return makers[kind](fact)
    return {"kind": kind, **_missing(fact)}


def _left_out(fact: Facts, found: Proposal, reason: str, role: str = "ignore", *, note_fix: bool = True) -> None:
    found.leave_out(fact.name, reason.split(";")[0], role)
    kind = "category" if fact.odd is not None else "number"
    kinds = f"; {option('--kind', f'{fact.name}={kind}')} makes it a feature"
    fix = kinds if note_fix and role == "id" else ""
    found.notes.append(f"{fact.name}: left out, {reason}{fix}")


def _note_missing(fact: Facts, found: Proposal, table: Table) -> None:
    if not fact.missing:
        return
    row, word = fact.first_missing or (0, "empty")
    cell = f"the first in {table.place(row)}" if word == "empty" else f"{word} in {table.place(row)}"
    is_value = found.columns[fact.name].get("missing") == VALUE
    done = "kept as a value of its own" if is_value else "replaced by the median and an indicator"
    found.notes.append(f"{fact.name}: {fact.rows - fact.present} of {fact.rows} missing ({cell}), {done}")


def _note_outlier(fact: Facts, found: Proposal, table: Table) -> None:
    if (outlier := fact.outlier()) is None:
        return
    row, far = outlier
    found.notes.append(
        f"{fact.name}: {far:g} in {table.place(row)} is so far from the others that a model sees those as equal; "
        f"correct it, or {option('--ignore', fact.name)}"
    )


def _note_few_places(fact: Facts, found: Proposal) -> None:
    """Note a number that has a few values far apart, such as discounts of 0, 5, 7.5 and 15%, as a category may be."""
    entry, values = found.columns[fact.name], len(fact.words or ())
    step = entry.get("step") or (1 if entry.get("kind") == "count" else math.inf)
    has_gaps = fact.high - fact.low >= values * APART * step
    if 3 <= values <= FEW_PLACES and has_gaps and fact.present >= CELLS_OF_VALUE * values:
        found.notes.append(
            f"{fact.name}: {values} different numbers with gaps between them; "
            f"{option('--kind', f'{fact.name}=category')} gives each a probability of its own, and none to others"
        )


def _is_id(fact: Facts) -> bool:
    is_named = bool(IDS.search(fact.name)) and (fact.words is None or len(fact.words) > 2)
    is_counting = (
        fact.is_whole
        and fact.forms["whole" if fact.storage == "text" else "plain"] == fact.present
        and fact.are_consecutive()
    )
    return is_named or is_counting


def _is_flag(fact: Facts) -> bool:
    if fact.storage == "bool":
        return True
    return fact.words is not None and {word.lower() for word in fact.words} in map(set, TRUTH)


def _is_time(fact: Facts) -> bool:
    return fact.storage == "text" and _share(fact, TIME) + _share(fact, OTHER_TIME) >= 0.99


def _are_codes(fact: Facts) -> bool:
    """Return whether cells that look like numbers are codes: 007, 2023_09, telephone numbers."""
    return _share(fact, r"^[+-]?0[0-9]+$|_") > 0 or _share(fact, PHONE) > 0.5


def _is_grouped_by_points(fact: Facts) -> bool:
    """Return whether, in a column of numbers, each point of a number without a comma has three digits after it."""
    forms = fact.forms
    return 0 < forms["dotted"] == forms["plain"] - forms["whole"] and fact.share_of_numbers >= 1 - FEW_ODD


def _mark_of_thousands(fact: Facts) -> str | None:
    """Return the mark between groups of three digits in a column without commas in that place; None for none."""
    marks = {".": r"[0-9]\.[0-9]{3}(,|\.)", "'": "[0-9]'[0-9]{3}", " ": f"[0-9][{BLANKS}][0-9]{{3}}"}
    return next((mark for mark, pattern in marks.items() if _share(fact, pattern) > 0), None)


def _share(fact: Facts, pattern: str) -> float:
    from pipelines.data.tables.cells import matching

    cells = sum(len(text) - text.null_count for text in fact.texts)
    return sum(matching(text, pattern) for text in fact.texts) / max(cells, 1)


def _flag(fact: Facts) -> dict[str, Any]:
    there = {word.lower() for word in fact.words or {}}
    pair = next((pair for pair in TRUTH if set(pair) == there), None)
    if fact.storage == "bool":
        pair = ("false", "true")
    if pair is None:
        pair = tuple(sorted(fact.words or {}))  # type: ignore[assignment]
    if fact.missing:
        return {"kind": "category", "values": sorted(fact.words or {}), "missing": VALUE}
    assert pair is not None
    return {"kind": "flag", "values": list(pair)}


def _category(fact: Facts) -> dict[str, Any]:
    return {"kind": "category", "values": sorted(fact.words or {}), **({"missing": VALUE} if fact.missing else {})}


def _time(fact: Facts) -> dict[str, Any]:
    from pipelines.data.tables.cells import seconds

    moments = np.concatenate([seconds(part) for part in fact.texts]) if fact.texts else fact.numbers()
    moments = moments[np.isfinite(moments)]
    is_of_days = len(moments) > 0 and bool((moments % DAY == 0).all())
    return {"kind": "time", **({"as": "days"} if is_of_days else {}), **_missing(fact)}


def _number(fact: Facts) -> dict[str, Any]:
    if fact.is_whole:
        is_told = fact.present >= LEAST_CELLS and len(np.unique(fact.numbers())) >= LEAST_STEPS
        if is_told and fact.divisor > 1:
            return {"kind": "number", "step": fact.divisor, **_missing(fact)}
        return {"kind": "count", **_missing(fact)}
    grid = step_of(fact.numbers())
    if grid is not None and fact.places is None:  # a row after the sample needs more decimal places
        grid = _finest_step(fact.numbers())
    elif grid is not None and fact.places is not None:
        grid = min(grid, float(f"1e-{fact.places:02}"))
    return {"kind": "number", **({"step": grid} if grid is not None else {}), **_missing(fact)}


def _missing(fact: Facts) -> dict[str, Any]:
    return {"missing": FILL} if fact.missing else {}


def step_of(x: np.ndarray) -> float | None:
    """Return the step of the grid, a power of ten, on which the numbers x (n,) lie; None if no two of them are equal.

    A density has no upper bound where numbers are equal; the probability of a grid's cell is at most 1. If the numbers
    lie on no such grid, the step is 1e-6 of their standard deviation, rounded up to a power of ten: about what 32-bit
    networks can tell apart.
    """
    if len(np.unique(x)) == len(x):
        return None
    for exponent in range(6, -10, -1):
        cells = x / 10.0**exponent
        if np.abs(cells - np.rint(cells)).max() < 1e-6 and np.abs(cells).max() < 2**50:
            return float(f"{10.0**exponent:.0e}")
    return _finest_step(x)


def _finest_step(x: np.ndarray) -> float:
    return float(f"{10.0 ** np.ceil(np.log10(1e-6 * float(x.std()) or 1e-6)):.0e}")


def _spread(fact: Facts) -> str:
    if np.isfinite(fact.low) and (fact.storage != "text" or fact.share_of_numbers > 0.5):
        return f"{fact.low:g} .. {fact.high:g}"
    words = [f"{count} {word}" for word, count in (fact.words or Counter()).most_common()]
    return ", ".join(words[:3]) + (", ..." if len(words) > 3 else "")


def _as_missing(cell: str) -> str:
    """Return the part of an error that names the option to count a cell as missing; "" if it cannot be typed."""
    return f"{option('--missing', cell)} to count it as missing, or " if cell.isprintable() and len(cell) <= 60 else ""


def _usable(facts: Mapping[str, Facts]) -> str | None:
    """Return COLUMN=KIND for the first column that --kind could make a feature, or None."""
    for name, fact in facts.items():
        if fact.is_constant or not fact.present or fact.storage not in ("text", "number", "bool", "time"):
            continue
        if fact.storage == "time" or (_is_time(fact) and _share(fact, TIME) == 1):
            return f"{name}=time"
        if fact.storage == "number" or fact.forms["plain"] == fact.present:
            return f"{name}=number"
        if fact.words is not None and 2 <= len(fact.words) <= MOST_ASKED_VALUES:
            return f"{name}=category"
    return None
