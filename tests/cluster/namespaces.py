"""Hosts that are Linux namespaces of this machine, reached by SSH.

Each has its own network, processes, name, home and Ray. They share this machine's file system, so a
folder of it is one that all hosts see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import wait_until

# Two runs at a time, or one that was killed, are not in each other's way
NUMBER = os.getpid() % 250
SUBNET = f"10.78.{NUMBER}"
BRIDGE = f"vsbr{NUMBER}"  # an interface's name has 15 characters at most
TOOLS = ("ip", "unshare", "ssh", "ssh-keygen", "rsync", "/usr/sbin/sshd")

# The host's first process: `ray stop` sees what is started under it and nothing else. Its name
# resolves to a loopback, as Debian has it.
BOOT = """
hostname "$NAME"
printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n' "$NAME" > "$FOLDER/hosts"
mount --bind "$FOLDER/hosts" /etc/hosts
sed "s|^root:.*|root:x:0:0::$FOLDER/home:/bin/bash|" /etc/passwd > "$FOLDER/passwd"
mount --bind "$FOLDER/passwd" /etc/passwd
mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray
exec /usr/sbin/sshd -D -E "$FOLDER/sshd.log" -f /dev/null -h "$KEYS/host" \\
  -o PidFile=none -o UsePAM=no -o StrictModes=no -o PermitRootLogin=yes \\
  -o AuthorizedKeysFile="$KEYS/user.pub"
"""


@dataclass(frozen=True)
class Host:
    """A host: its namespace's name, its address, and the folder that its home is in."""

    name: str
    address: str
    folder: Path

    @property
    def home(self) -> Path:
        """The home folder of its only user, root."""
        return self.folder / "home"

    def processes(self) -> list[str]:
        """Return the command line of each process that runs there."""
        found = [
            Path(f"/proc/{pid}/cmdline")
            for pid in _output("ip", "netns", "pids", self.name).split()
        ]
        return [path.read_bytes().replace(b"\0", b" ").decode() for path in found if path.exists()]


def what_is_missing() -> str:
    """Say why no such hosts can be made here; empty where they can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install iproute2 openssh-server rsync"
    tried = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--fork",
            "ip",
            "link",
            "add",
            "type",
            "bridge",
        ],
        capture_output=True,
    )
    return (
        ""
        if tried.returncode == 0
        else "needs the right to make network namespaces, as root has it"
    )


@contextmanager
def hosts_up(folder: Path, count: int) -> Iterator[list[Host]]:
    """Bring up ``count`` hosts on one bridge, which all take the key ``folder/keys/user``.

    Nothing of them is left behind.
    """
    keys = folder / "keys"
    keys.mkdir()
    for key in ("user", "host"):
        _output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / key))
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in before a user is known
    with ExitStack() as ends:
        _output("ip", "link", "add", BRIDGE, "type", "bridge")
        ends.callback(_output, "ip", "link", "del", BRIDGE)
        _output("ip", "addr", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
        _output("ip", "link", "set", BRIDGE, "up")
        made = [
            Host(
                f"vibesweep-{NUMBER}-{number}", f"{SUBNET}.{10 + number}", folder / f"host_{number}"
            )
            for number in range(1, count + 1)
        ]
        for host in made:
            ends.enter_context(_host_up(host, keys))
        yield made


def nothing_left(hosts: list[Host]) -> bool:
    """Whether neither the hosts' namespaces nor their bridge are there any more."""
    names, links = _output("ip", "netns"), _output("ip", "-brief", "link")
    return BRIDGE not in links and not any(host.name in names for host in hosts)


@contextmanager
def _host_up(host: Host, keys: Path) -> Iterator[None]:
    shutil.copytree("/etc/skel", host.home)
    with ExitStack() as ends:
        _output("ip", "netns", "add", host.name)
        ends.callback(_output, "ip", "netns", "del", host.name)
        _plug_in(host)
        # At once, with its other end: left to the namespace's end, the kernel may take minutes
        ends.callback(_output, "ip", "link", "del", _wire(host))
        environment = {
            "PATH": os.environ["PATH"],
            "NAME": host.name,
            "FOLDER": str(host.folder),
            "KEYS": str(keys),
        }
        inside = [
            "unshare",
            "--mount",
            "--uts",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
            "-euc",
            BOOT,
        ]
        first = subprocess.Popen(["ip", "netns", "exec", host.name, *inside], env=environment)
        ends.callback(_end, first, host)
        assert wait_until(lambda: _answers(host, keys) or first.poll() is not None, 60.0)
        assert first.poll() is None, (host.folder / "sshd.log").read_text()
        yield


def _end(first: subprocess.Popen[bytes], host: Host) -> None:
    """Kill a host's first process, and with it all that runs there."""
    first.kill()
    first.wait(60.0)
    assert wait_until(lambda: not host.processes(), 60.0), host.processes()


def _wire(host: Host) -> str:
    """Name the end of a host's wire that is plugged into the bridge."""
    return f"{BRIDGE}p{host.address.rpartition('.')[2]}"


def _plug_in(host: Host) -> None:
    wire = _wire(host)
    _output("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    _output("ip", "link", "set", wire, "master", BRIDGE, "up")
    _output("ip", "-n", host.name, "link", "set", "lo", "up")
    _output("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
    _output("ip", "-n", host.name, "link", "set", "eth0", "up")
    # Ray takes the address from which the world would be reached for the host's own
    _output("ip", "-n", host.name, "route", "add", "default", "via", f"{SUBNET}.1")


def _answers(host: Host, keys: Path) -> bool:
    strange = [
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "ConnectTimeout=5",
    ]
    command = ["ssh", "-i", str(keys / "user"), *strange, f"root@{host.address}", "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
