"""What is written and shown: no secret, no formula, no order to a terminal, nothing for everybody.

docs/security.md says what is promised.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import io
import os
import re
import stat
from pathlib import Path

import pytest
import ray
from optuna_dashboard._cli import DashboardConfig
from rich.table import Table
from rich.text import Text
from tensorboard.plugins.core.core_plugin import CorePluginLoader

from tests import tiny
from tests.import_graph import ROOT, modules, source_of
from tests.sweeps import write_sweep
from tests.unit.test_sweep_log import FakeTune
from vibesweep.cli.plain_console import PlainConsole
from vibesweep.delivery.report.write import write_report
from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath
from vibesweep.storage.secrets import without_secrets
from vibesweep.sweep.record import SweepState, TrialState
from vibesweep.sweep.record.show import trials_csv
from vibesweep.training.lanes.failures import lane_failure, trial_failure

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "session-0123456789",
    "HF_TOKEN": "hf_abcdefghijklmnop",
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef",
    "RAY_AUTH_TOKEN": "c0ffee-c0ffee-c0ffee",
    "MLFLOW_TRACKING_PASSWORD": "correct horse",
    "GOOGLE_CREDENTIAL_JSON": '{"private_key": "abc"}',
}
NO_SECRETS = {
    "RAY_AUTH_MODE": "token",
    "TOKENIZERS_PARALLELISM": "false-and-long-enough",
    "RAY_AUTH_TOKEN_PATH": "/home/me/.ray/auth_token",
    "VIBESWEEP_WORK": "/data/sweeps",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> str:
    """Set secrets in the environment, and return a text that quotes them all."""
    for name, value in (SECRETS | NO_SECRETS).items():
        monkeypatch.setenv(name, value)
    return "refused: " + " ".join([*SECRETS.values(), *NO_SECRETS.values()])


def quoted(text: str) -> list[str]:
    """Return the secrets that a text holds."""
    return [name for name, value in SECRETS.items() if value in text]


def test_secrets_are_replaced_by_their_names_and_other_words_stay(secrets: str) -> None:
    told = without_secrets(secrets)
    assert quoted(told) == []
    assert "$HF_TOKEN" in told
    assert all(value in told for value in NO_SECRETS.values())


def test_secrets_reach_no_file_of_a_sweep(tmp_path: Path, secrets: str) -> None:
    error = RuntimeError(secrets)
    failures = [trial_failure("id0", error), lane_failure("lane-0", error)]
    tune = FakeTune(tmp_path / "mine")
    for number, failed in enumerate(failures):
        tune.start(number)
        told = {"reason": f"{failed.error} {secrets}", "errors": f"{failed.traceback}{secrets}"}
        if number:
            tune.report(number, 2, 0.4, TrialState.FAILED, **told)
        else:
            tune.report(number, 2, 0.4, TrialState.FAILED, **(told | {"errors": secrets}))
        tune.complete(number)
    events = (tmp_path / "mine" / "events.jsonl").read_text()
    tune.close(SweepState.DONE)
    write_report(tune.folder)
    written = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    assert {path.name for path in written} >= {"sweep.json", "events.jsonl"}
    assert "errors" in {path.parent.name for path in written}, "tracebacks, a file a trial"
    assert "$HF_TOKEN" in events
    for path, content in written.items():
        assert quoted(content.decode(errors="ignore")) == [], path
    for failed in failures:
        assert quoted(f"{failed.error}{failed.traceback}") == []


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIAEXAMPLE:wJalrXUtnFEMI@bucket/corpus",
        "hdfs://me:secret@host/corpus",
        "s3://bucket/corpus?secret_key=wJalrXUtnFEMI",
        "http://host/corpus?a=b&token=abc",
    ],
)
def test_an_address_with_a_password_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(StorageError, match="password or a key") as refused:
        StoragePath.of(address)
    assert not re.search(r"wJalrXUtnFEMI|secret@|token=", str(refused.value))
    assert StoragePath.of("hdfs://me@host/corpus").name == "corpus"
    assert StoragePath.of("s3://bucket/corpus?endpoint_override=a:1&scheme=http").name == "corpus"


def test_no_text_in_csv_is_a_formula(tmp_path: Path) -> None:
    record = write_sweep(tmp_path / "made").read()
    formulas = ["=HYPERLINK(1)", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1"]
    for trial, formula in zip(record.trials, formulas, strict=False):
        trial.reason = formula
        trial.swept = {"=rate": formula, "learning_rate": -0.5}
    rows = list(csv.reader(io.StringIO(trials_csv(record))))
    cells = {cell for row in rows for cell in row}
    assert {f"'{formula}" for formula in formulas[:-1]} <= cells
    assert "' =1" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert "-0.5" in cells  # a number stays one


def test_names_give_a_terminal_no_orders() -> None:
    name = "Ann\x1b]0;owned\x07\x1b[2J\x9b31m[/bold]\r\x08"
    shown = io.StringIO()
    console = PlainConsole(file=shown, markup=False, force_terminal=True, width=80)
    table = Table("who")
    table.add_row(name)
    console.print(table)
    console.print(Text(name, style="red"))
    console.print(name, soft_wrap=True, highlight=False)
    printed = shown.getvalue()
    assert printed.count("[/bold]") == 3
    assert re.findall(r"\x1b(?!\[[\d;]*m)|[\x07\x08\r\x9b]", printed) == []
    assert "\x1b[31m" in printed  # its own styles


@pytest.mark.parametrize(("mask", "never"), [(0o022, 0o022), (0o077, 0o077)])
def test_nothing_is_written_that_the_users_mask_forbids(
    tmp_path: Path, mask: int, never: int
) -> None:
    before = os.umask(mask)
    try:
        tiny.write_base(tmp_path / "base")
        tiny.write_shards(tmp_path / "shards")
        folder = write_sweep(tmp_path / "sweep")
        write_report(folder)
        with folder.ownership.held():
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    finally:
        os.umask(before)
    assert {path.name: oct(mode) for path, mode in modes.items() if mode & never} == {}


def test_every_window_on_a_sweep_opens_on_this_machine_alone() -> None:
    assert inspect.signature(ray.init).parameters["dashboard_host"].default == "127.0.0.1"
    assert DashboardConfig().host in ("127.0.0.1", "localhost")
    parser = argparse.ArgumentParser()
    CorePluginLoader().define_flags(parser)
    flags = parser.parse_args([])
    assert (flags.host, flags.bind_all) == (None, False)  # None is localhost
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    for page in pages:
        for line in page.read_text(encoding="utf-8").splitlines():
            assert not re.search(
                r"^(tensorboard|optuna-dashboard|ray).*(bind_all|0\.0\.0\.0)", line
            )


def test_rays_token_authentication_is_never_turned_off() -> None:
    for name in modules():
        source = source_of(name)
        assert not re.search(r"AUTH_MODE\W+(=|\w*disabled)|dashboard_host", source), name
