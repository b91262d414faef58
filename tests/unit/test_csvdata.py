"""Reading two columns of a CSV: every row is used or named, every unusable file explained."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from raykernel.csvdata import DataError, frame_pairs, read_pairs

GOOD = "1000,200\n1500,290\n2000,410\n2500,500\n"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "sales.csv"


def test_reads_the_named_columns_in_order(csv: Path) -> None:
    csv.write_text(
        "town,Price,beds,Size\nA,200,3,1000\nB, 2.9e2 ,2,1500\nC,410,4,2000\nD,500,1,9\n"
    )
    pairs = read_pairs(csv, "Size", "Price")
    assert pairs.x == [1000, 1500, 2000, 9]
    assert pairs.y == [200, 290, 410, 500]
    assert pairs.skipped == []
    assert pairs.summary() == "sales.csv: 4 rows used, 0 skipped"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('"1,200",300', "Size is not a number"),
        ("$1200,300", "Size is not a number"),
        ("1_200,300", "Size is not a number"),
        ("nan,300", "Size is not a finite number"),
        ("1200,inf", "Price is not a finite number"),
        ("1200,", "Price is missing"),
        ("1200", "Price is missing"),
        ("0,300", "Size is not positive"),
        ("1200,-5", "Price is not positive"),
        ("big,dear", "Size is not a number, Price is not a number"),
    ],
)
def test_a_row_that_is_no_pair_of_positive_numbers_is_named(
    csv: Path, row: str, reason: str
) -> None:
    csv.write_text(f"Size,Price\n1000,200\n{row}\n{GOOD}")
    pairs = read_pairs(csv, "Size", "Price")
    assert len(pairs) == 5
    [skipped] = pairs.skipped
    assert (skipped.line, skipped.reason) == (3, reason)
    assert f"line 3: {reason} in " in pairs.summary()


def test_every_row_is_used_or_skipped(csv: Path) -> None:
    csv.write_text("Size,Price\n" + GOOD + "x,1\n" * 7)
    pairs = read_pairs(csv, "Size", "Price")
    assert len(pairs) + len(pairs.skipped) == 11
    assert pairs.summary(show=2).splitlines()[0] == "sales.csv: 4 rows used, 7 skipped"
    assert pairs.summary(show=2).splitlines()[-1] == "  ... and 5 more"


def test_lines_are_counted_as_an_editor_does(csv: Path) -> None:
    csv.write_text('Size,Price,note\n1000,200,"two\nlines"\n\n1500,?,x\n' + GOOD)
    [skipped] = read_pairs(csv, "Size", "Price").skipped
    assert skipped.line == 5


def test_a_spreadsheet_s_byte_order_mark_is_no_part_of_the_name(csv: Path) -> None:
    csv.write_bytes(b"\xef\xbb\xbfSize,Price\r\n" + GOOD.replace("\n", "\r\n").encode())
    assert len(read_pairs(csv, "Size", "Price")) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"Size,Cost\n1,2\n", "has no column 'Price'; its columns are 'Size', 'Cost'"),
        (b"a;b\n1;2\n", "has no column 'Size' and no column 'Price'; its columns are 'a;b'"),
        (b"Size,Price,Size\n1,2,3\n", "has 2 columns named 'Size'"),
        (b"Size,Price\n1,2\n3,4\n5,6\n", "too few rows"),
        (b"Size,Price\nx,2\ny,4\n", "line 2: Size is not a number in 'x,2'"),
        (b"Size,Price\n5,1\n5,2\n5,3\n5,4\n", "every 'Size' in sales.csv is 5"),
        (b"Size,Price\n1,7\n2,7\n3,7\n4,7\n", "every 'Price' in sales.csv is 7"),
        (b"Size,Price\n\xff\xfe,1\n", "is not UTF-8"),
        (b"Size,Price\n" + b"9" * 200_000 + b",1\n", "is not a CSV file"),
    ],
)
def test_an_unusable_file_says_why(csv: Path, content: bytes, message: str) -> None:
    csv.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_pairs(csv, "Size", "Price")
    assert message in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(csv: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file '.*sales\.csv'"):
        read_pairs(csv, "Size", "Price")
    csv.mkdir()
    with pytest.raises(DataError, match="can't be read"):
        read_pairs(csv, "Size", "Price")


def test_a_frame_is_read_by_the_same_rules() -> None:
    frame = pd.DataFrame({"area": [1, 2, 3, 4, None], "price": [5, 6, 7, 8, 9]})
    pairs = frame_pairs(frame, "area", "price", "sales")
    assert (pairs.x, pairs.y) == ([1, 2, 3, 4], [5, 6, 7, 8])
    assert [row.line for row in pairs.skipped] == [6]
    with pytest.raises(DataError, match="its columns are 'area', 'price'"):
        frame_pairs(frame, "size", "price", "sales")
