"""Has Ray drain this host once Amazon says that it will take it back, two minutes before.

    python -m vibesweep.cluster.spot_notice

cluster.yaml starts it on every worker. Ray's launcher does not look for such notices. Once Ray
knows, trials on this host save their states and go on elsewhere, and nothing new comes here.
"""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime
from urllib.request import Request, urlopen

from vibesweep.storage.json_text import parse_json

METADATA = "http://169.254.169.254/latest"
"""What a host of Amazon's is told of itself: its instance metadata service, of version 2."""
LOOK_S = 5.0
"""How often it is asked; a notice comes 120 s before the end."""
ANSWER_S = 5.0
TOKEN_S = 60
"""How long a token for a question holds."""


def main() -> None:
    """Wait for a notice, for as long as the host lives, and hand it on to Ray."""
    ends = None
    while ends is None:
        time.sleep(LOOK_S)
        ends = end_of_host()
    drain(ends)


def end_of_host() -> datetime | None:
    """Return when this host will be taken back; ``None`` as long as nobody says so."""
    try:
        token = _asked("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)})
        headers = {"X-aws-ec2-metadata-token": token.decode()}
        notice = _asked("meta-data/spot/instance-action", "GET", headers)
    except OSError:  # without a notice there is no such page, and a call may fail
        return None
    return datetime.fromisoformat(parse_json(notice)["time"])


def drain(ends: datetime) -> None:
    """Tell the cluster that this host will be gone then."""
    left_s = max((ends - datetime.now(UTC)).total_seconds(), 0.0)
    reason = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot notice")
    deadline = f"--deadline-remaining-seconds={int(left_s)}"
    command = ["ray", "drain-node", *reason, deadline]
    subprocess.run(command, check=True)  # nosec B603


def _asked(page: str, method: str, headers: dict[str, str]) -> bytes:
    request = Request(f"{METADATA}/{page}", method=method, headers=headers)
    with urlopen(request, timeout=ANSWER_S) as answer:  # nosec B310
        text: bytes = answer.read()
    return text


if __name__ == "__main__":
    main()
