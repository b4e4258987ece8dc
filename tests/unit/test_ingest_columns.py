"""What the columns of a table hold: by their content, by a header, or by --columns."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from vibesweep.cli import app
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess.preview import preview
from vibesweep.corpus.recordings import Metadata
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

SENTENCES = (
    "The ferry leaves the harbour before sunrise.",
    "Nobody had seen the letter until Tuesday.",
    "Would you mind closing the window?",
    "Three goats were standing on the roof.",
    "She counted 12 steps down to the cellar.",
    "Rain had been falling since the morning.",
)
NAMES = [f"take_{number}" for number in range(len(SENTENCES))]
PEOPLE = ("mara", "mara", "oskar", "oskar", "p4", "p4")
CELLARED = SENTENCES[4].replace("12", "twelve")


def corpus(folder: Path, text: str, *, table: str = "metadata.csv", wavs: str = "wavs") -> Path:
    """Write a corpus named ``House`` of empty audio files: only their names are looked at."""
    (folder / "House" / wavs).mkdir(parents=True)
    for name in NAMES:
        (folder / "House" / wavs / f"{name}.wav").touch()
    (folder / "House" / table).write_text(text, encoding="utf-8", newline="")
    return folder / "House"


def lines(*columns: object, sign: str = "|", header: str = "") -> str:
    """Write columns beside each other; a column that is one text stands in every row."""
    full = [[column] * 6 if isinstance(column, str) else column for column in columns]
    rows = [sign.join(cells) for cells in zip(*full, strict=True)]
    return "\n".join([header, *rows] if header else rows) + "\n"


def words(found: Metadata) -> list[str | None]:
    return [recording.words for recording in found.recordings]


def people(found: Metadata) -> list[str]:
    return [recording.person("SPEAKER_A") for recording in found.recordings]


def ids(found: Metadata) -> list[str]:
    return [recording.id for recording in found.recordings]


LONG_PEOPLE = [f"the {name} who reads in the evening" for name in ("cook", "maid", "boy")] * 2
PATHS = [f"wavs/{name}.wav" for name in NAMES]
HAN = ["今天天气很好我们去公园", "他昨天晚上没有睡觉", "请把窗户关上谢谢你", "三只山羊站在屋顶上"]
HAN += ["她数了十二级台阶", "从早上开始一直在下雨"]


def spoken_of(columns: tuple[object, ...]) -> list[str] | tuple[str, ...]:
    """Return the column that holds text: the sentences, a repeated choice of them, or Mandarin."""
    return next(
        column
        for column in columns
        if isinstance(column, list | tuple) and (column[0] in SENTENCES or column is HAN)
    )


@pytest.mark.parametrize(
    ("columns", "understood"),
    [
        ((NAMES, SENTENCES), "id, text; 1 person"),
        (([f"{name}.wav" for name in NAMES], SENTENCES), "audio, text; 1 person"),
        ((NAMES, SENTENCES, PEOPLE), "id, text, speaker; 3 people"),
        ((NAMES, SENTENCES, LONG_PEOPLE), "id, text, speaker; 3 people"),
        ((NAMES, PEOPLE, SENTENCES), "id, speaker, text; 3 people"),
        ((NAMES, "mara", SENTENCES), "id, speaker, text; 1 person"),
        ((NAMES, ["0", "1"] * 3, SENTENCES), "id, speaker, text; 2 people"),
        ((PATHS, PEOPLE, "en", SENTENCES), "audio, speaker, -, text; 3 people"),
        ((PEOPLE, PATHS, SENTENCES), "speaker, audio, text; 3 people"),
        ((NAMES, SENTENCES, PATHS), "id, text, audio; 1 person"),
        ((NAMES, SENTENCES, SENTENCES), "id, raw, text; 1 person"),
        ((NAMES, PEOPLE, SENTENCES, SENTENCES), "id, speaker, raw, text; 3 people"),
        ((NAMES, SENTENCES, ""), "id, text, -; 1 person"),
        ((NAMES, PEOPLE, [SENTENCES[0], SENTENCES[1]] * 3), "id, speaker, text; 3 people"),
        ((NAMES, HAN, ["小明", "小红"] * 3), "id, text, speaker; 2 people"),
    ],
)
def test_content_shows_what_columns_hold(
    tmp_path: Path, columns: tuple[object, ...], understood: str
) -> None:
    found = read_metadata(corpus(tmp_path, lines(*columns)))
    assert found.summary() == f"LJSpeech table without header: {understood}"
    assert found.rejects == ()
    assert ids(found) == NAMES
    assert [recording.audio for recording in found.recordings] == [
        str(tmp_path / "House" / path) for path in PATHS
    ]
    assert words(found) == list(spoken_of(columns))


@pytest.mark.parametrize(
    "columns",
    [
        (NAMES, SENTENCES, "en"),
        (NAMES, SENTENCES, ["happy", "sad"] * 3),
        (NAMES, SENTENCES, ["1.25", "2.5"] * 3),
        (NAMES, SENTENCES, tuple(reversed(SENTENCES))),
        (NAMES, SENTENCES, [f"reader{number}" for number in range(6)]),
        (NAMES, ["yes", "no"] * 3, PEOPLE),
        (NAMES, SENTENCES, PEOPLE, ["left", "right"] * 3),
        (NAMES, ["spk_1", "spk_2"] * 3),
    ],
)
def test_what_is_in_doubt_is_refused_with_the_choice(
    tmp_path: Path, columns: tuple[object, ...]
) -> None:
    with pytest.raises(CorpusError, match="not clear what its columns hold") as caught:
        read_metadata(corpus(tmp_path, lines(*columns)))
    assert "--columns id,text" in caught.value.fix
    assert "\n" not in str(caught.value)


def test_one_row_shows_too_little(tmp_path: Path) -> None:
    folder = corpus(tmp_path, f"take_0|{SENTENCES[0]}|mara\n")
    with pytest.raises(CorpusError, match="--columns id,text,speaker"):
        read_metadata(folder)
    assert people(read_metadata(folder, ("id", "text", "speaker"))) == ["mara"]


HEADERS = [
    ("audio_file|text|speaker_name", "|", (PATHS, SENTENCES, PEOPLE)),
    ("path,sentence,client_id", ",", (PATHS, SENTENCES, PEOPLE)),
    ("File Name;Transcript;Speaker-ID", ";", (PATHS, SENTENCES, PEOPLE)),
    ("client_id\tpath\tsentence", "\t", (PEOPLE, PATHS, SENTENCES)),
    ("id|text|speaker", "|", (NAMES, SENTENCES, PEOPLE)),
    ('"wav","transcription","reader"', ",", (NAMES, SENTENCES, PEOPLE)),
    ("speaker_id\tfilename\traw_text\tnormalized_text", "\t", (PEOPLE, PATHS, NAMES, SENTENCES)),
]


@pytest.mark.parametrize(("header", "sign", "columns"), HEADERS)
def test_a_header_in_other_words_is_read(
    tmp_path: Path, header: str, sign: str, columns: tuple[list[str], ...]
) -> None:
    found = read_metadata(corpus(tmp_path, "\ufeff" + lines(*columns, sign=sign, header=header)))
    assert found.rejects == ()
    assert (ids(found), words(found), people(found)) == (NAMES, list(SENTENCES), list(PEOPLE))
    assert found.summary().startswith("table with header: ")
    assert found.summary().endswith("; 3 people")


def test_a_table_of_common_voice_is_read_with_its_further_columns(tmp_path: Path) -> None:
    header = "client_id\tpath\tsentence_id\tsentence\tup_votes"
    clips = [f"{name}.wav" for name in NAMES]
    text = lines(PEOPLE, clips, NAMES, SENTENCES, "2", sign="\t", header=header)
    folder = corpus(tmp_path, text, table="validated.tsv", wavs="clips")
    found = read_metadata(folder / "validated.tsv")
    assert found.recordings[0].audio == str(folder / "clips" / "take_0.wav")
    assert found.recordings[0].extra == (("sentence_id", "take_0"), ("up_votes", "2"))
    assert people(found) == list(PEOPLE)


def test_our_own_columns_are_read_with_any_sign_between(tmp_path: Path) -> None:
    for number, sign in enumerate("|;\t,"):
        text = lines(NAMES, PATHS, PATHS, sign=sign, header=f"id{sign}audio_path{sign}text_path")
        found = read_metadata(corpus(tmp_path / str(number), text))
        assert ids(found) == NAMES
        assert found.recordings[0].text.endswith("take_0.wav")


def test_a_text_file_goes_before_a_copy_of_its_text_in_the_table(tmp_path: Path) -> None:
    text = lines(NAMES, PATHS, PATHS, SENTENCES, sign=";", header="id;audio_path;text_path;text")
    first = read_metadata(corpus(tmp_path, text)).recordings[0]
    assert (first.words, first.extra) == (None, (("text", SENTENCES[0]),))


def test_a_header_of_unknown_words_is_refused_and_told(tmp_path: Path) -> None:
    folder = corpus(tmp_path, lines(NAMES, SENTENCES, PEOPLE, header="prise|parole|voix"))
    with pytest.raises(CorpusError, match="prise, parole, voix") as caught:
        read_metadata(folder)
    assert "--columns id,text,speaker" in caught.value.fix
    found = read_metadata(folder, ("id", "text", "speaker"))
    assert (ids(found), people(found), found.rejects) == (NAMES, list(PEOPLE), ())


def test_named_columns_win(tmp_path: Path) -> None:
    folder = corpus(tmp_path, lines(NAMES, SENTENCES, PEOPLE, "en"))
    found = read_metadata(folder, ("id", "speaker", "text", "-"))
    assert found.summary() == "LJSpeech table without header: id, speaker, text, -; 6 people"
    assert (words(found), people(found)) == (list(PEOPLE), list(SENTENCES))
    text = lines(NAMES, PEOPLE, SENTENCES, header="id|text|speaker")
    found = read_metadata(corpus(tmp_path / "b", text), ("id", "speaker", "text"))
    assert (words(found), people(found)) == (list(SENTENCES), list(PEOPLE))


def test_commas_without_a_header_need_the_columns_named(tmp_path: Path) -> None:
    folder = corpus(tmp_path, lines(NAMES, SENTENCES, PEOPLE, sign=","))
    with pytest.raises(CorpusError, match="--columns"):
        read_metadata(folder)
    assert people(read_metadata(folder, ("id", "text", "speaker"))) == list(PEOPLE)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (("id", "txet", "speaker"), "no column is called txet"),
        (("id", "text"), "it names 2 columns, the table has 3"),
        (("id", "text", "text"), "text are there twice"),
        (("id", "-", "speaker"), "text or text_path are missing"),
        (("-", "text", "speaker"), "id or audio_path are missing"),
    ],
)
def test_columns_that_do_not_fit_are_one_clear_error(
    tmp_path: Path, columns: tuple[str, ...], found: str
) -> None:
    with pytest.raises(CorpusError, match=found) as caught:
        read_metadata(corpus(tmp_path, lines(NAMES, SENTENCES, PEOPLE)), columns)
    assert "--columns" in str(caught.value)


@pytest.mark.parametrize("header", ["", "id|text|speaker"])
def test_rows_with_a_field_too_few_or_many_are_rejects(tmp_path: Path, header: str) -> None:
    text = lines(NAMES, SENTENCES, PEOPLE, header=header)
    text += "short|No speaker here.\nlong|a|b|c\nempty|Hello there.|\nmute||mara\n|Hello.|mara\n"
    found = read_metadata(corpus(tmp_path, text))
    assert (ids(found), people(found)) == (NAMES, list(PEOPLE))
    assert [reject.id for reject in found.rejects] == ["short", "long", "empty", "mute", ""]
    details = [reject.detail for reject in found.rejects]
    assert details == [
        "2 cells, the table has 3 columns",
        "4 cells, the table has 3 columns",
        "speaker is empty",
        "text is empty",
        "id is ''",
    ]


def test_ljspeech_is_read_without_quoting(tmp_path: Path) -> None:
    text = (
        'take_0|He said "no, in 1912|he said "no, in nineteen twelve\r\n'
        'take_1|"Yes\u2028and" more|\r\n'
        "\n"
        'take_2|"Quoted."|"quoted."'
    )
    folder = corpus(tmp_path, text)
    found = read_metadata(folder)
    spoken = ['he said "no, in nineteen twelve', '"Yes\u2028and" more', '"quoted."']
    assert (words(found), people(found)) == (spoken, ["House"] * 3)
    assert read_metadata(folder / "metadata.csv") == found


def test_quotes_that_a_program_put_around_cells_are_taken_off(tmp_path: Path) -> None:
    rows = ['take_0|"Say ""no""."|mara', 'take_1|"Yes."|mara', 'take_2|"One | two"|mara']
    found = read_metadata(corpus(tmp_path, "\n".join(["id|text|speaker", *rows])))
    assert words(found) == ['Say "no".', '"Yes."', "One | two"]


def test_an_id_means_the_file_with_the_first_ending(tmp_path: Path) -> None:
    folder = corpus(tmp_path, lines(NAMES, SENTENCES))
    (folder / "wavs" / "take_0.flac").touch()
    (folder / "wavs" / "take_1.wav").rename(folder / "wavs" / "take_1.OGG")
    (folder / "wavs" / "take_2.wav").rename(folder / "wavs" / "take_2.txt")
    audios = [Path(one.audio).name for one in read_metadata(folder).recordings]
    assert audios[:3] == ["take_0.wav", "take_1.OGG", "take_2.wav"]


def test_a_table_in_a_store_is_read_by_listing_its_folder() -> None:
    folder = StoragePath.of("memory://tables/house")
    for name in NAMES:
        (folder / "wavs" / f"{name}.flac").write_bytes(b"")
    (folder / "metadata.csv").write_bytes(lines(NAMES, SENTENCES, PEOPLE).encode())
    found = read_metadata(folder)
    assert found.recordings[0].audio == "memory://tables/house/wavs/take_0.flac"
    assert people(found) == list(PEOPLE)


def test_a_folder_with_tables_of_other_names_says_so(tmp_path: Path) -> None:
    folder = corpus(tmp_path, lines(NAMES, SENTENCES), table="metadata_train.csv")
    with pytest.raises(CorpusError, match=r"but metadata_train\.csv"):
        read_metadata(folder)


def test_columns_are_not_for_json_lines(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "Hi.", "audio": "a.wav"}', encoding="utf-8")
    with pytest.raises(CorpusError, match="Leave --columns out"):
        read_metadata(tmp_path, ("audio", "text"))
    assert read_metadata(tmp_path).summary() == (
        "JSON lines: text, audio; people are the tags in the texts"
    )


def test_a_preview_has_the_reading_and_five_rows(tmp_path: Path) -> None:
    from rich.console import Console

    text = lines(NAMES, SENTENCES, PEOPLE) + "short|Hello.\n"
    summary, rows = preview(corpus(tmp_path, text))
    console = Console(width=400, record=True, file=(tmp_path / "shown").open("w"))
    console.print(rows)
    shown = console.export_text()
    assert summary == "LJSpeech table without header: id, text, speaker; 3 people"
    assert [sentence in shown for sentence in SENTENCES] == [True] * 5 + [False]
    assert "6 recordings, 1 rows rejected" in shown
    assert "2 cells, the table has 3 columns" in shown


def test_inspect_prints_how_a_table_is_understood(tmp_path: Path) -> None:
    folder = str(corpus(tmp_path, lines(NAMES, PEOPLE, SENTENCES)))
    line = "LJSpeech table without header: id, speaker, text; 3 people"
    assert line in CliRunner().invoke(app, ["inspect", folder]).output
    other = CliRunner().invoke(app, ["inspect", folder, "--columns", "id, text, -"]).output
    assert "LJSpeech table without header: id, text, -; 1 person" in other


def width_of(mess: list[str]) -> int:
    """Count the columns of a table whose first row is ``first|row``."""
    rows = [line.split("|") for line in mess if line and not line.isspace()]
    widths = [2, *[len(row) for row in rows if len(row) > 1]]
    return max(widths, key=widths.count)


PIECES = st.sampled_from([*'ab|,;="/.? \t\x00\ufeff\u2028é1', "SPEAKER_A=", "://", ".wav"])
LINE = st.lists(PIECES | st.characters(codec="utf-8", exclude_characters="\n"), max_size=40)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(LINE.map("".join), max_size=8))
def test_no_line_of_a_table_without_header_is_lost(mess: list[str]) -> None:
    expected = 1 + sum(bool(line) and not line.isspace() for line in mess)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "metadata.csv"
        table.write_bytes("\n".join(["first|row", *mess]).encode())
        try:
            found = read_metadata(table)
        except CorpusError:
            found = read_metadata(table, ("id", "text", *["-"] * (width_of(mess) - 2)))
    assert len(found.recordings) + len(found.rejects) == expected
