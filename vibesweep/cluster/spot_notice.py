"""Has Ray drain this host once Amazon says that it will take it back, two minutes before.

    python -m vibesweep.cluster.spot_notice

cluster.yaml starts it on every worker. Ray's launcher does not look for such notices. Once Ray
knows, trials on this host save their states and go on elsewhere, and nothing new comes here.

Ray is not told when the host will be gone. Train's controller would compare that with the clock of
another host, and end the workers at once where that clock is ahead. Untold, it gives them 120 s by
its own clock, which is as long before the end as a notice comes.
"""

from __future__ import annotations

import subprocess
import time
from urllib.request import Request, urlopen

METADATA = "http://169.254.169.254/latest"
"""Where a host of Amazon's asks about itself: the instance metadata service, version 2."""
LOOK_S = 5.0
"""How often it is asked; a notice comes 120 s before the end."""
ANSWER_S = 5.0
TOKEN_S = 60
"""How long a token for a question holds."""


def main() -> None:
    """Wait for a notice, for as long as the host lives, and hand it on to Ray."""
    told = False
    while not told:
        time.sleep(LOOK_S)
        told = host_goes()
    drain()


def host_goes() -> bool:
    """Tell whether this host is said to be taken back."""
    try:
        token = _asked("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)})
        headers = {"X-aws-ec2-metadata-token": token.decode()}
        _asked("meta-data/spot/instance-action", "GET", headers)
    except OSError:  # without a notice there is no such page, and a call may fail
        return False
    return True


def drain() -> None:
    """Tell the cluster that this host is about to go."""
    reason = ("--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot notice")
    subprocess.run(["ray", "drain-node", *reason], check=True)  # nosec B603 B607


def _asked(page: str, method: str, headers: dict[str, str]) -> bytes:
    request = Request(f"{METADATA}/{page}", method=method, headers=headers)
    with urlopen(request, timeout=ANSWER_S) as answer:  # nosec B310
        text: bytes = answer.read()
    return text


if __name__ == "__main__":
    main()
