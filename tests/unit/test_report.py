"""A sweep's report: what it says and draws, that it opens offline and runs nobody's code."""

from __future__ import annotations

import dataclasses
import html.parser
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import soundfile
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.samplers import RandomSampler
from PIL import Image

from tests import tiny
from tests.sweeps import BUDGET, FAILED_REASON, SPACE, STARTED_UNIX_S, write_sweep
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.delivery.report.answer import answer_of, headline_of, place_in
from vibesweep.delivery.report.costs import costs_of, grid_trials
from vibesweep.delivery.report.facts import Facts, read_facts
from vibesweep.delivery.report.figures import curves, timeline
from vibesweep.delivery.report.figures.curves import draw_curves
from vibesweep.delivery.report.figures.drawing import some_of
from vibesweep.delivery.report.figures.heard import draw_heard
from vibesweep.delivery.report.figures.parallel import draw_parallel
from vibesweep.delivery.report.figures.pareto import draw_fronts
from vibesweep.delivery.report.figures.slices import draw_slices
from vibesweep.delivery.report.figures.timeline import draw_timeline
from vibesweep.delivery.report.filling import filling_lines
from vibesweep.delivery.report.importance import importances_of
from vibesweep.delivery.report.page import page_of
from vibesweep.delivery.report.ped_anova import shares_of_settings
from vibesweep.delivery.report.sounds import SHADES, mel_png
from vibesweep.delivery.report.spans import Span, spans_of, uses_of
from vibesweep.delivery.report.tables import table_of_trials
from vibesweep.delivery.report.write import write_report
from vibesweep.errors import ShardsError, SweepError
from vibesweep.quality.measures import Measure
from vibesweep.quality.quality_file import Quality, Row, write_quality
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import SweepFolder, SweepState, TrialRecord, TrialState
from vibesweep.sweep.record.front import front_of
from vibesweep.sweep.record.grid import GRID_VALUES

MOST_BYTES = 5_000_000
EVIL = "</script><script>alert('evil')</script><img src=x onerror=alert(1)>"
QUALITY = Quality(
    texts=(f"Good morning. {EVIL}",),
    clips=("clip",),
    measures=(Measure("stop_error", "stop error", 0.0, "patches"),),
    rows=(
        Row("recording", ({"stop_error": 0.0},), ("best/r.wav",)),
        Row("base", ({},), ("best/b.wav",)),
        Row("trial 0", ({"stop_error": 0.5},), ("best/t.wav",)),
    ),
    verdict="better than the untouched base by ear",
)


class Page(html.parser.HTMLParser):
    """Collects a page's elements, and the text inside of scripts and headings."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open, data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        hidden = ("script", "style")
        return " ".join(data for tag, data in self.texts if tag not in hidden)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    place = tmp_path_factory.mktemp("sweeps") / "made"
    return write_sweep(place, 40)


@pytest.fixture(scope="module")
def facts(folder: SweepFolder) -> Facts:
    return read_facts(folder)


@pytest.fixture(scope="module")
def page(facts: Facts) -> Page:
    return Page(page_of(facts))


def with_trials(facts: Facts, trials: Sequence[TrialRecord], **more: Any) -> Facts:
    record = dataclasses.replace(facts.record, trials=list(trials), **more)
    return dataclasses.replace(facts, record=record)


def trial(number: int, loss: float | None, **more: Any) -> TrialRecord:
    state = more.pop("state", TrialState.COMPLETE)
    swept = more.pop("swept", {"learning_rate": 1e-3, "optimizer": "lion", "lora_rank": 8})
    return TrialRecord(f"id{number}", number, swept, {}, state, best_loss_val=loss, **more)


# The page


def test_the_page_is_one_file_that_asks_nobody_for_anything(folder: SweepFolder) -> None:
    written = write_report(folder)
    content = written.read_bytes()
    assert len(content) < MOST_BYTES
    page = Page(content.decode())
    for tag in ("script", "link", "img", "audio", "iframe", "source"):
        for attributes in page.all(tag):
            address = attributes.get("src") or attributes.get("href") or "data:"
            assert address.startswith("data:"), address[:80]
    assert all((found["href"] or "").startswith("#") for found in page.all("a"))
    (policy,) = [found["content"] for found in page.all("meta") if "http-equiv" in found]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'nonce-")


def test_a_script_in_a_text_stays_text(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made", reason=EVIL)
    folder.space.write_bytes(EVIL.encode())
    write_quality(dataclasses.replace(QUALITY, verdict=EVIL), folder.quality)
    page = Page(page_of(read_facts(folder)))
    scripts = page.all("script")
    assert len(scripts) == 2
    assert not any("evil" in data for tag, data in page.texts if tag == "script")
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert page.text.count("alert('evil')") >= 3


def test_the_page_can_be_read_without_seeing_it(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))
    plots = [found for found in page.all("div") if found.get("class") == "plot"]
    assert len(plots) == 9, "curves, importance, parallel, three slices, two fronts, timeline"
    assert all(found["role"] == "img" and found["aria-label"] for found in plots)
    assert len(page.all("caption")) == len(page.all("table")) > len(plots)
    assert all(found["scope"] in ("col", "row") for found in page.all("th"))


def test_every_part_of_the_page_is_there(page: Page) -> None:
    for told in (
        "is the best: validation loss",
        "How sure",
        "The best settings",
        "Random search would have trained",
        "Learning curves",
        "Which settings matter",
        "Settings of the best trials",
        "Loss against step time and memory",
        "Best loss against step time",
        "Best loss against memory",
        "What the lanes did",
        FAILED_REASON,
        "abc1234 with changes",
        "no manifest.json",
    ):
        assert told in page.text, told


def test_the_command_runs_the_same_space_again(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made one")
    assert "a program of its own" in Page(page_of(read_facts(folder))).text
    folder.space.write_bytes(b"sweep = 1\n")
    command = (
        f"python -m vibesweep run '{folder.space}' --corpus demo --model mel-small "
        "--trials 12 --repeat-best 0 --max-failed-fraction 1.0 --name 'made one-again'"
    )
    assert command in Page(page_of(read_facts(folder))).text


def test_a_sweep_that_runs_has_a_report(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made", state=SweepState.RUNNING)
    with folder.ownership.held():
        text = Page(page_of(read_facts(folder))).text
    assert "The sweep still runs" in text
    assert "The sweep has run for" in text


def test_of_a_sweep_that_was_interrupted_nobody_knows_how_long_it_ran(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made", state=SweepState.RUNNING)
    died = read_facts(folder)
    assert died.record.state == SweepState.INTERRUPTED
    record = dataclasses.replace(died.record, state=SweepState.DONE, resumed=True)
    for facts in (died, dataclasses.replace(died, record=record)):
        text = Page(page_of(facts)).text
        assert "nobody knows how long it held its lanes" in text
        assert "What the lanes did" not in text


def test_a_sweep_without_a_report_of_a_trial_has_a_report(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made", trials=0, state=SweepState.RUNNING)
    page = Page(page_of(read_facts(folder)))
    assert "No trial was trained as far as its first validation." in page.text
    assert not [found for found in page.all("div") if found.get("class") == "plot"]


def test_the_corpus_is_described(facts: Facts, tmp_path: Path) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    record = dataclasses.replace(facts.record, shards=str(shards))
    described = dataclasses.replace(facts, record=record, manifest=read_manifest(shards))
    text = Page(page_of(described)).text
    assert "Clips" in text
    assert "People, by the clips in which they speak" in text


def test_shards_that_were_made_anew_are_not_the_sweeps(tmp_path: Path) -> None:
    shards = tiny.write_shards(tmp_path / "shards")
    folder = write_sweep(tmp_path / "made", shards=str(shards))
    manifest = read_facts(folder).manifest
    assert isinstance(manifest, ShardsError)
    assert "made anew since the sweep" in str(manifest)


# The answer


def test_the_headline_says_how_the_best_stands_to_the_base(facts: Facts) -> None:
    two = with_trials(facts, [trial(0, 0.4), trial(1, 0.3)], base_loss_val=0.5)
    assert headline_of(two.record) == (
        "Trial 1 is the best: validation loss 0.3000, 40 % below the untouched base's 0.5000."
    )
    worse = with_trials(facts, [trial(0, 0.6)], base_loss_val=0.5)
    assert headline_of(worse.record).startswith("No trial is better than the untouched base")
    none = with_trials(facts, [trial(0, None, state=TrialState.FAILED)])
    assert headline_of(none.record).startswith("No trial was trained as far as")


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ((0.300, 0.330), "The next best, trial 1, is 10 % behind"),
        ((0.300, 0.303), "Trial 1 is within 2 % of it"),
        ((0.300, 0.303, 0.305), "2 trials (1, 2) are within 2 % of it"),
    ],
)
def test_close_trials_are_told(facts: Facts, losses: Sequence[float], told: str) -> None:
    few = with_trials(facts, [trial(number, loss) for number, loss in enumerate(losses)])
    certainty = answer_of(few, costs_of(few, [])).certainty
    assert any(line.startswith(told) for line in certainty), certainty


@pytest.mark.parametrize(("rate", "end"), [(1.05e-4, "lower"), (9.9e-3, "upper"), (1e-3, "")])
def test_a_best_value_at_the_end_of_its_range_is_told(facts: Facts, rate: float, end: str) -> None:
    swept = {"learning_rate": rate, "optimizer": "lion", "lora_rank": 8}
    one = with_trials(facts, [trial(0, 0.3, swept=swept)])
    lines = [line for line in answer_of(one, costs_of(one, [])).certainty if "lies at" in line]
    assert [f"the {end} end" in line for line in lines] == ([True] if end else [])


def test_a_place_in_a_range_is_in_its_scale() -> None:
    rate = SPACE["learning_rate"]
    assert place_in(rate, 1e-3) == pytest.approx(0.5)  # type: ignore[arg-type]


# Costs and lanes


def test_spans_follow_each_other_on_a_lane(facts: Facts) -> None:
    spans = spans_of(facts.record, facts.reports)
    assert {span.trial for span in spans} == {
        found.number for found in facts.record.trials if found.step
    }
    for lane in ("made-lane-0", "made-lane-1"):
        mine = [span for span in spans if span.lane == lane]
        for earlier, later in itertools.pairwise(mine):
            assert earlier.ended_unix_s <= later.began_unix_s <= later.trained_unix_s
    for span in spans:
        found = next(t for t in facts.record.trials if t.number == span.trial)
        assert span.trained_unix_s == found.first_step_unix_s
        assert span.ended_unix_s == found.ended_unix_s


def test_a_trial_that_moved_has_a_span_on_each_lane(facts: Facts) -> None:
    (first,) = [found for found in facts.record.trials if found.number == 0]
    reports = facts.reports[facts.reports["number"] == 0].head(2).copy()
    reports["lane"] = ["a", "b"]
    one, two = spans_of(facts.record, reports)
    assert (one.lane, two.lane) == ("a", "b")
    assert one.trained_unix_s == first.first_step_unix_s
    assert two.began_unix_s == two.trained_unix_s == one.ended_unix_s


def test_what_a_lane_did_not_train_is_idle() -> None:
    spans = [Span("l-0", 0, 5.0, 10.0, 30.0), Span("l-0", 1, 30.0, 40.0, 50.0)]
    (use,) = uses_of(spans, 0.0, 100.0)
    assert (use.trials, use.first_step_s, use.trained_s, use.idle_s) == (2, 10.0, 30.0, 70.0)


def test_records_without_lanes_have_no_spans(facts: Facts) -> None:
    assert spans_of(facts.record, facts.reports.drop(columns="lane")) == []
    assert draw_timeline(facts, []) is None


def test_costs_are_hours_of_devices(facts: Facts) -> None:
    trials = [
        trial(0, 0.3, step=BUDGET.max_steps),
        trial(1, 0.4, step=18, state=TrialState.PRUNED),
        trial(2, 0.5, step=9, state=TrialState.DIVERGED),
    ]
    two_lanes = with_trials(facts, trials, ended_unix_s=STARTED_UNIX_S + 3_600.0)
    spans = [
        Span("l-0", 0, 0.0, 0.0, 530.0),
        Span("l-1", 1, 0.0, 0.0, 170.0),
        Span("l-1", 2, 170.0, 170.0, 250.0),
    ]
    costs = costs_of(two_lanes, spans)
    assert (costs.unit, costs.held) == ("CPU", 2.0)
    assert costs.trained == pytest.approx((530 + 170 + 80) / 3_600)
    assert costs.full == pytest.approx((530 + 170 / 17 * 53 + 80) / 3_600)
    assert costs.grid_trials == GRID_VALUES * 2 * 4
    assert costs.full is not None
    assert costs.grid == pytest.approx(costs.full / 3 * costs.grid_trials)


def test_a_space_whose_settings_depend_on_each_other_has_no_grid() -> None:
    trials = [trial(0, 0.3), trial(1, 0.4, swept={"optimizer": "lion"})]
    assert grid_trials(SPACE, trials) is None


# Figures


def test_the_setting_that_was_planted_matters_most(facts: Facts) -> None:
    shares = importances_of(facts)
    assert max(shares, key=shares.__getitem__) == "learning_rate"
    assert sum(shares.values()) == pytest.approx(1.0)


def test_numbers_of_a_short_list_stand_side_by_side_in_their_order(facts: Facts) -> None:
    (ranks,) = [drawn.figure for drawn in draw_slices(facts) if drawn.title == "lora_rank"]
    known = {trial.swept["lora_rank"] for trial in facts.validated}
    assert ranks.layout.xaxis.type == "category"
    assert ranks.layout.xaxis.categoryarray == tuple(map(str, sorted(known)))


MIXED: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.3),
    "decay": FloatDistribution(0.0, 0.1, step=0.01),
    "clips": IntDistribution(1, 64, log=True),
    "layers": IntDistribution(0, 300),
    "rank": CategoricalDistribution([4, 8, 16]),
    "optimizer": CategoricalDistribution(["adamw", "lion", None]),
    "epochs": IntDistribution(3, 3),
}


@pytest.mark.parametrize("trials", [10, 300])
def test_importances_are_those_of_optuna(trials: int) -> None:
    rng = np.random.default_rng(trials)
    study = optuna.create_study(sampler=RandomSampler(seed=trials))
    for _ in range(trials):
        asked = study.ask(MIXED)
        rate = math.log10(asked.params["rate"])
        study.tell(asked, abs(rate + 3) + asked.params["layers"] / 300 + rng.normal(0, 0.3))
    tried = [one.params for one in study.trials]
    losses = [one.values[0] for one in study.trials]
    evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
    expected = get_param_importances(study, evaluator=evaluator)
    assert shares_of_settings(MIXED, tried, losses, 0.25) == pytest.approx(expected)
    same = [0.5] * trials
    even = dict.fromkeys(MIXED, 1 / len(MIXED))
    assert shares_of_settings(MIXED, tried, same, 0.25) == pytest.approx(even)


def test_the_front_is_what_no_trial_beats(facts: Facts) -> None:
    rng = np.random.default_rng(3)
    trials = [
        trial(number, float(loss), step_ms=float(step_ms))
        for number, (loss, step_ms) in enumerate(rng.random((200, 2)) + 0.1)
    ]

    def is_beaten(one: TrialRecord) -> bool:
        assert one.best_loss_val is not None
        return any(
            other.step_ms < one.step_ms and (other.best_loss_val or 0) < one.best_loss_val
            for other in trials
        )

    record = with_trials(facts, trials).record
    found = {one.number for one in front_of(record, "step_ms")}
    assert found == {one.number for one in trials if not is_beaten(one)}


def test_a_clone_is_told_with_its_parent(facts: Facts) -> None:
    parent, *others, last = facts.record.trials
    settings = {**parent.settings, "weight_decay": 0.5}
    clone = dataclasses.replace(last, settings=settings, cloned_from=0, cloned_at_step=6)
    page = Page(page_of(with_trials(facts, [parent, *others, clone])))
    told = f"Trial {clone.number} was cloned from trial 0 at step 6"
    assert f"{told}: weight_decay=0.5." in page.text


def test_what_filled_rows_up_is_told_in_all_and_by_trial(facts: Facts, page: Page) -> None:
    known = [one for one in facts.record.trials if one.row_tokens]
    filled = 1 - sum(one.tokens for one in known) / sum(one.row_tokens for one in known)
    assert f"computed in training, {100 * filled:.1f} % filled rows up" in page.text
    assert "most in trial" in page.text
    alike = [dataclasses.replace(one, tokens=900, row_tokens=1_000) for one in known]
    assert filling_lines(alike)[0].endswith("10.0 % filled rows up to their one shape.")
    full = [dataclasses.replace(one, tokens=900, row_tokens=900) for one in known]
    assert filling_lines(full) == [
        "No row was filled up: each was computed as long as its clips were."
    ]
    unknown = [dataclasses.replace(one, tokens=0, row_tokens=0) for one in known]
    assert filling_lines(unknown) == []
    heads = table_of_trials(facts.record, unknown).heads
    assert "filling" not in heads
    assert "filling" in table_of_trials(facts.record, alike).heads


def test_a_sweep_that_was_ranked_by_ear_says_so_and_draws_it(facts: Facts) -> None:
    assert draw_heard(facts) is None
    first, second = facts.validated[:2]
    heard = {
        first.number: {"mcd_db": 3.0, "ran_on": 1.0},
        second.number: {"mcd_db": 5.0, "ran_on": 0.0},
    }
    trials = [
        dataclasses.replace(one, best_heard=heard.get(one.number, {}))
        for one in facts.record.trials
    ]
    sweep = facts.record.sweep | {"objective": "mcd_db", "limits": {"ran_on": 0.2}}
    ranked = with_trials(facts, trials, sweep=sweep)
    found = headline_of(ranked.record)
    assert found.startswith(f"Trial {second.number} is the best of those heard: loss 0.2")
    assert found.endswith("MCD dB 5, ran on 0.")
    drawn = draw_heard(ranked)
    assert drawn is not None
    points, _ = drawn.figure.data
    assert dict(zip(points.y, points.marker.symbol, strict=True)) == {5: "circle", 3: "circle-open"}
    page = Page(page_of(ranked))
    assert "is ranked by MCD dB, if it keeps to ran on 0.2" in page.text
    assert "Heard while they trained" in page.text


def test_no_front_is_drawn_before_a_trial_was_heard(facts: Facts) -> None:
    heard = dataclasses.replace(facts.record, sweep=facts.record.sweep | {"objective": "mcd_db"})
    timed = trial(0, 0.2, step_ms=31.0)
    record = dataclasses.replace(heard, trials=[timed])
    assert draw_fronts(dataclasses.replace(facts, record=record)) == []


def test_few_of_many_are_drawn_the_best_among_them() -> None:
    shown = some_of(range(10_000), 100)
    assert len(shown) == len(set(shown)) == 100
    assert list(shown[:50]) == list(range(50))
    assert max(shown) > 9_000
    assert some_of(range(7), 100) == range(7)


def test_figures_stay_small_however_many_trials_there_are(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MOST_CURVES", 10)
    monkeypatch.setattr(timeline, "MOST_SPANS", 25)
    spans = spans_of(facts.record, facts.reports)
    drawing = draw_curves(facts)
    assert drawing is not None
    assert f"Drawn are 10 of {len(facts.validated)} trials" in drawing.told
    lanes = draw_timeline(facts, spans)
    assert lanes is not None
    drawn = sum(len(trace.x) // 3 for trace in lanes.figure.data if trace.line.width > 3)
    assert 0 < drawn <= 25 < len(spans)
    assert f"1 of 2 lanes, and {drawn} of {len(spans)} stretches" in lanes.told
    assert len(lanes.table.rows) == 2


def test_a_setting_that_some_trials_lack_is_drawn_as_not_set(facts: Facts) -> None:
    trials = [trial(0, 0.3), trial(1, 0.4, swept={"optimizer": "adamw"})]
    drawing = draw_parallel(with_trials(facts, trials))
    assert drawing is not None
    assert ["trial 1", "not set", "adamw", "not set", "0.4000"] in drawing.table.rows


def test_trials_that_wait_in_a_resumed_sweep_are_drawn(facts: Facts) -> None:
    trials = [
        dataclasses.replace(each, state=TrialState.WAITING) if each.number % 3 == 0 else each
        for each in facts.record.trials
    ]
    page = page_of(with_trials(facts, trials, state=SweepState.RUNNING, resumed=True))
    assert "Learning curves" in Page(page).text


def test_no_trial_is_lost_from_a_table_whose_ranges_read_alike(facts: Facts) -> None:
    rates = [1e-3] * 8 + [1e-4, 2e-3, 3e-3, 4e-3]
    trials = [trial(n, 0.3 + n / 100, swept={"rate": rate}) for n, rate in enumerate(rates)]
    (drawing,) = draw_slices(with_trials(facts, trials))
    counts = {row[0]: int(row[1]) for row in drawing.table.rows}
    assert sum(counts.values()) == len(trials)
    assert counts["0.001"] == 6


def test_infinite_losses_are_left_out_of_curves(facts: Facts) -> None:
    drawing = draw_curves(facts)
    assert drawing is not None
    heights = [y for trace in drawing.figure.data for y in trace.y if y is not None]
    assert heights
    assert all(math.isfinite(height) for height in heights)


# What is heard


def write_tone(path: StoragePath, seconds: float, rate_hz: int = 24_000) -> None:
    local = Path(str(path))
    local.parent.mkdir(exist_ok=True)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    soundfile.write(local, 0.3 * np.sin(2 * np.pi * 440 * times), rate_hz)


def test_voices_are_heard_side_by_side(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made")
    write_quality(QUALITY, folder.quality)
    for name, seconds in {"b": 1.0, "t": 0.5, "r": 0.5}.items():
        write_tone(folder.best / f"{name}.wav", seconds, rate_hz=22_050)
    page = Page(page_of(read_facts(folder)))
    heard = [(found["aria-label"] or "").partition(":")[0] for found in page.all("audio")]
    assert heard[0] == "the real recording"
    assert heard[1].startswith("trial 0")
    assert heard[2] == "the untouched base"
    widths = [found["style"] for found in page.all("img")]
    assert widths == ["width:50.0%", "width:50.0%", "width:100.0%"]
    assert f"{QUALITY.verdict.capitalize()}." in page.text
    assert all(found["alt"] for found in page.all("img"))


def test_without_measures_the_sample_is_heard(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "made")
    assert not Page(page_of(read_facts(folder))).all("audio")
    write_tone(folder.best / "sample.wav", 0.5)
    assert len(Page(page_of(read_facts(folder))).all("audio")) == 1


@pytest.mark.parametrize("path", ["../secret.wav", "/etc/passwd", "best/../../x.wav"])
def test_sounds_outside_of_the_sweep_are_refused(tmp_path: Path, path: str) -> None:
    folder = write_sweep(tmp_path / "made")
    evil = dataclasses.replace(QUALITY, rows=(Row("base", ({},), (path,)),))
    write_quality(evil, folder.quality)
    facts = read_facts(folder)
    with pytest.raises(SweepError, match="outside of its folder"):
        page_of(facts)


def test_a_mel_picture_has_low_bins_at_the_bottom(tmp_path: Path) -> None:
    mel = np.full((30, 8), -9.0, dtype=np.float32)
    mel[:, 0] = 0.0
    file = tmp_path / "mel.png"
    file.write_bytes(mel_png(mel))
    shades = np.asarray(Image.open(file))
    assert shades.shape == (16, 60)
    assert set(shades[-1]) == {SHADES - 1}
    assert set(shades[0]) == {0}
