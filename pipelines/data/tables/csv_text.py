"""Reads tables that are text files, such as CSV, in blocks of rows.

pyarrow parses the cells; this module finds the separator and the header, and the line of the file for an error. Cells
stay text here; cells.py reads them as numbers, times and words.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from gen_models.errors import DataError, one_line
from pipelines.data.sources.files import require_file, shown, unreadable
from pipelines.data.sources.labels import require_name

DELIMITERS = ",;\t|"
SPELLED = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
BLOCK_BYTES = 8 << 20
HEAD_LINES = 50  # the separator is found in these
MOST_LINE = 1 << 20  # characters
UTF16 = (b"\xff\xfe", b"\xfe\xff")
csv.field_size_limit(1 << 27)  # Python's own reader would refuse a cell of 131,072 characters
FIRST = "Unnamed: 0"  # the name that pandas gives to a first column without one, which holds the row numbers


def delimiter_of(path: Path, encoding: str) -> str:
    """Return the separator between the cells of a text file: a tab for .tsv and .tab, otherwise one of DELIMITERS.

    It is the one that cuts each of the first lines into the same number of cells, 2 or more; if several do, the one
    with the most cells, and if none does, the one that cuts the header into the most. Raises DataError for an empty
    file.
    """
    lines = [line for line in _lines(path, encoding, HEAD_LINES) if line.strip()]
    if not lines:
        raise DataError(f"{shown(path)}: empty; expected a header line and rows")
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    counts = {mark: [len(cells) for cells in csv.reader(lines, delimiter=mark)] for mark in DELIMITERS}
    agree = {mark: found[0] for mark, found in counts.items() if found[0] > 1 and len(set(found)) == 1}
    if agree:
        return max(agree, key=lambda mark: agree[mark])
    return max(counts, key=lambda mark: (counts[mark][0], mark == ","))


def header_of(path: Path, delimiter: str, encoding: str, has_header: bool) -> list[str]:
    """Return the names of the columns: the cells of the first line, or c1, c2, ... if `has_header` is false.

    Raises DataError if the first line cannot be a header, for example if it holds numbers only, or if a name is empty,
    too long or there twice.
    """
    first = next(
        csv.reader([line for line in _lines(path, encoding, HEAD_LINES) if line.strip()][:20], delimiter=delimiter),
        None,
    )
    if first is None:
        raise DataError(f"{shown(path)}: empty; expected a header line and rows")
    names = [cell.strip() for cell in first]
    if not has_header:
        return [f"c{place}" for place in range(1, len(names) + 1)]
    if all(_is_number(name) for name in names):
        raise DataError(
            f"{shown(path)}, line 1: numbers where the names of the columns belong, {cut(delimiter.join(names))}; add "
            "a header line, or say --no-header, or write header: false in options"
        )
    if names[0].lower().startswith("sep="):
        raise DataError(f"{shown(path)}, line 1: {cut(names[0])} is for spreadsheets; remove the line")
    if names[0].startswith("#") and len(names) == 1:
        raise DataError(
            f"{shown(path)}, line 1: {cut(names[0])} looks like a remark; remove the lines above the header"
        )
    if names[0] == "" and len(names) > 1:
        names[0] = FIRST
    instead = ", or say --no-header if the line holds data" if looks_like_data(names) else ""
    for place, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{shown(path)}, line 1: column {place} has no name; give it one{instead}")
        require_name(name, f"{shown(path)}, line 1: column {place},")
        if names.index(name) != place - 1:
            raise DataError(f"{shown(path)}, line 1: two columns are named {cut(name)}; rename one{instead}")
    return names


def blocks(
    path: Path, names: Sequence[str], wanted: Sequence[str], delimiter: str, encoding: str, has_header: bool
) -> Iterator[dict[str, pa.Array]]:
    """Yield {column: its cells as text} for one block of rows after another.

    names: all columns, in the file's order; wanted: the columns to yield. Raises DataError, which names the line, for a
    line that cannot be read, such as one with too few cells.
    """
    places = [f"f{names.index(name)}" for name in wanted]
    read = [*dict.fromkeys([*places, f"f{len(names) - 1}"])]  # an open quote shows in the last cell of the last row
    try:
        reader = pacsv.open_csv(
            path,
            pacsv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, encoding=encoding, skip_rows=_blank_lines(path, encoding),
                column_names=[f"f{k}" for k in range(len(names))], skip_rows_after_names=1 if has_header else 0,
            ),
            pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(read, pa.string()), strings_can_be_null=False, include_columns=read
            ),
        )  # fmt: skip
        last = ""
        for batch in reader:
            if len(batch):
                last = batch.column(f"f{len(names) - 1}")[-1].as_py()
            yield {name: batch.column(place) for name, place in zip(wanted, places, strict=True)}
        _require_closed(path, last, delimiter, encoding)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _explained(path, error, names, delimiter, encoding, has_header) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _blank_lines(path: Path, encoding: str) -> int:
    """Return how many blank lines are before the header."""
    lines = _lines(path, encoding, HEAD_LINES)
    return next((number for number, line in enumerate(lines) if line.strip()), 0)


def line_of(path: Path, row: int, delimiter: str, encoding: str, has_header: bool) -> int:
    """Return the number of the line on which a row starts; rows count from 0, lines from 1."""
    with path.open(encoding=_python(encoding), newline="", errors="replace") as file:
        reader, seen, start = csv.reader(file, delimiter=delimiter), -int(has_header), 1
        try:
            for cells in reader:
                if cells:
                    if seen == row:
                        return start
                    seen += 1
                start = reader.line_num + 1
        except csv.Error:
            pass
    return row + 1 + int(has_header)


def cut(text: str) -> str:
    """Return a text in quotes, cut to 60 characters, so that it fits into an error of one line."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _lines(path: Path, encoding: str, most: int) -> list[str]:
    """Return the first lines of a file, at most `most`.

    Raises DataError if the file is in another encoding, or if one of these lines has a zero byte or is too long.
    """
    require_file(path)
    try:
        with path.open("rb") as raw:
            if raw.read(2) in UTF16 and not encoding.lower().startswith("utf-16"):
                raise DataError(
                    f"{shown(path)}: UTF-16; save it as UTF-8, or say --encoding utf-16, or write encoding: utf-16 in "
                    "options"
                )
        with path.open(encoding=_python(encoding), newline="") as file:
            found: list[str] = []
            while len(found) < most and (line := file.readline(MOST_LINE)):
                found.append(line)
                if len(line) >= MOST_LINE:
                    raise DataError(
                        f"{shown(path)}, line {len(found)}: longer than {MOST_LINE} characters; is it a table of text?"
                    )
                if "\0" in line:
                    raise DataError(f"{shown(path)}, line {len(found)}: a zero byte; save the table as UTF-8 text")
            return found
    except UnicodeError as error:
        raise _encoding(path, error, encoding) from None
    except LookupError:
        raise DataError(
            f"encoding {encoding!r} is not known; say --encoding utf-8 or --encoding cp1252, or write encoding: utf-8 "
            "in options"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _encoding(path: Path, error: UnicodeError, encoding: str) -> DataError:
    what = "a byte"
    if isinstance(error, UnicodeDecodeError):
        what = f"byte 0x{error.object[error.start]:02x}"
    is_utf8 = _python(encoding) == "utf-8-sig"
    other, first = ("cp1252", "save the table as UTF-8, or ") if is_utf8 else ("utf-8", "")
    return DataError(
        f"{shown(path)}: {what} is not {encoding.upper()}; {first}say --encoding {other}; "
        f"for data to train on, write encoding: {other} in options of conf/data/NAME.yaml"
    )


def _python(encoding: str) -> str:
    """Return the name by which Python decodes an encoding; for UTF-8, one that skips a byte-order mark."""
    return "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding


def _explained(
    path: Path, error: Exception, names: Sequence[str], delimiter: str, encoding: str, has_header: bool
) -> DataError:
    """Return the error for a file that pyarrow refused; Python's csv reader finds the line."""
    try:
        with path.open(encoding=_python(encoding), newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            start = 1
            for cells in reader:
                where = f"{shown(path)}, line {start}"
                if any("\0" in cell for cell in cells):
                    return DataError(f"{where}: a zero byte; save the table as UTF-8 text")
                if cells and len(cells) != len(names):
                    is_decimal = delimiter == "," and len(cells) == 2 * len(names)
                    hint = "correct the line"
                    if is_decimal and all(cell.strip().lstrip("-").isdigit() for cell in cells):
                        hint = (
                            "decimal commas? save numbers with a decimal point, or cells with semicolons between them"
                        )
                    return DataError(f"{where}: {len(cells)} cells, the header has {len(names)}; {hint}")
                start = reader.line_num + 1
    except UnicodeError as found:
        return _encoding(path, found, encoding)
    except csv.Error as found:
        if _is_open(found):
            return _open_quote(path, start)
        return DataError(f"{shown(path)}, line {reader.line_num}: {one_line(found)}; correct the quotes there")
    return DataError(f"{shown(path)}: cannot be read ({one_line(error)}); save it as CSV again")


def _require_closed(path: Path, last: str, delimiter: str, encoding: str) -> None:
    """Raise DataError if a quote is opened and never closed: pyarrow reads all that follows as one cell.

    last: the text of the file's last cell
    """
    if "\n" not in last:
        return
    with path.open(encoding=_python(encoding), newline="") as file:
        reader, start = csv.reader(file, delimiter=delimiter, strict=True), 1
        try:
            for _ in reader:
                start = reader.line_num + 1
        except csv.Error as error:
            if _is_open(error):
                raise _open_quote(path, start) from None


def _is_open(error: csv.Error) -> bool:
    return "end of data" in str(error)


def _open_quote(path: Path, line: int) -> DataError:
    return DataError(f"{shown(path)}, line {line}: a quote is opened and never closed; correct the quotes there")


def looks_like_data(header: Sequence[str]) -> bool:
    """Return whether the first line may hold data: half of its cells or more are numbers, and some of these no digits.

    A header may have digits, such as years or the places of columns.
    """
    numbers = [cell for cell in header if _is_number(cell)]
    return 2 * len(numbers) >= len(header) and not all(map(str.isdigit, numbers))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
