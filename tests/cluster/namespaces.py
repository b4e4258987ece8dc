"""Hosts that are Linux namespaces of this machine.

Each has its own network, processes, name, home and Ray. They share this machine's file system, so a
folder of it is one that all hosts see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import wait_until

# Two runs at a time, or one that was killed, are not in each other's way
NUMBER = os.getpid() % 250
SUBNET = f"10.78.{NUMBER}"
BRIDGE = f"vsbr{NUMBER}"  # an interface's name has 15 characters at most
TOOLS = ("ip", "unshare", "nsenter", "setpriv")
SSH_TOOLS = ("ssh", "ssh-keygen", "rsync", "/usr/sbin/sshd")

# The host's first process: `ray stop` sees what is started under it and nothing else. Its name
# resolves to a loopback, as Debian has it.
BOOT = """
hostname "$NAME"
printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n' "$NAME" > "$FOLDER/hosts"
mount --bind "$FOLDER/hosts" /etc/hosts
sed "s|^root:.*|root:x:0:0::$FOLDER/home:/bin/bash|" /etc/passwd > "$FOLDER/passwd"
mount --bind "$FOLDER/passwd" /etc/passwd
mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray
"""
SSH_SERVER = """
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

    @property
    def pids(self) -> list[int]:
        """Its processes, by their numbers on this machine."""
        return [int(pid) for pid in _output("ip", "netns", "pids", self.name).split()]

    def processes(self) -> list[str]:
        """Return the command line of each process that runs there."""
        found = [Path(f"/proc/{pid}/cmdline") for pid in self.pids]
        return [path.read_bytes().replace(b"\0", b" ").decode() for path in found if path.exists()]

    def set_wire(self, state: str) -> None:
        """Cut its network off (``down``), or plug it in again (``up``)."""
        _output("ip", "link", "set", _wire(self), state)


def what_is_missing(*more_tools: str) -> str:
    """Say why no such hosts can be made here; empty where they can."""
    missing = [tool for tool in (*TOOLS, *more_tools) if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install iproute2 openssh-server rsync"
    own = ("--net", "--mount", "--pid", "--uts", "--fork")
    tried = subprocess.run(
        ["unshare", *own, "ip", "link", "add", "type", "bridge"], capture_output=True
    )
    return (
        ""
        if tried.returncode == 0
        else "needs the right to make network namespaces, as root has it"
    )


@contextmanager
def ssh_hosts_up(folder: Path, count: int) -> Iterator[list[Host]]:
    """Bring up ``count`` hosts on one bridge, which all take the key ``folder/keys/user``.

    Nothing of them is left behind.
    """
    keys = folder / "keys"
    keys.mkdir()
    for key in ("user", "host"):
        _output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / key))
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in before a user is known
    with ExitStack() as ends:
        ends.enter_context(bridge_up())
        made = hosts_in(folder, count)
        for host in made:
            first = ends.enter_context(host_up(host, SSH_SERVER, {"KEYS": str(keys)}))
            _wait_for_ssh(host, keys, first)
        yield made


def hosts_in(folder: Path, count: int) -> list[Host]:
    """Name ``count`` hosts, none of which is up."""
    numbers = range(1, count + 1)
    return [
        Host(f"vibesweep-{NUMBER}-{number}", f"{SUBNET}.{10 + number}", folder / f"host_{number}")
        for number in numbers
    ]


def nothing_left(hosts: list[Host]) -> bool:
    """Whether neither the hosts' namespaces nor their bridge are there any more."""
    names, links = _output("ip", "netns"), _output("ip", "-brief", "link")
    return BRIDGE not in links and not any(host.name in names for host in hosts)


@contextmanager
def bridge_up() -> Iterator[None]:
    """Bring up the bridge that hosts are plugged into; this machine's own end of it too."""
    _output("ip", "link", "add", BRIDGE, "type", "bridge")
    try:
        _output("ip", "addr", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
        _output("ip", "link", "set", BRIDGE, "up")
        yield
    finally:
        _output("ip", "link", "del", BRIDGE)


@contextmanager
def host_up(
    host: Host, command: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Bring up a host on the bridge, for as long as the block lasts.

    Args:
        host: the host.
        command: what its first process runs, a shell's line. With it the whole host ends.
        environment: of that process, beside ``PATH``, ``NAME`` and ``FOLDER``.

    Yields:
        What ends when the host does: killing it is pulling the host's plug.
    """
    shutil.copytree("/etc/skel", host.home, dirs_exist_ok=True)
    with ExitStack() as ends:
        _output("ip", "netns", "add", host.name)
        ends.callback(_output, "ip", "netns", "del", host.name)
        _plug_in(host)
        # At once, with its other end: left to the namespace's end, the kernel may take minutes
        ends.callback(_output, "ip", "link", "del", _wire(host))
        given = {"PATH": os.environ["PATH"], "NAME": host.name, "FOLDER": str(host.folder)}
        with_this = ("setpriv", "--pdeathsig=KILL")  # nothing outlives tests that are killed
        network = ("ip", "netns", "exec", host.name)
        own = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        first = subprocess.Popen(
            [*with_this, *network, "unshare", *own, "bash", "-euc", BOOT + command],
            env={**environment, **given},
        )
        ends.callback(pull_the_plug, host, first)
        yield first


def pull_the_plug(host: Host, first: subprocess.Popen[bytes]) -> None:
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


def _wait_for_ssh(host: Host, keys: Path, first: subprocess.Popen[bytes]) -> None:
    assert wait_until(lambda: _answers(host, keys) or first.poll() is not None, 60.0)
    assert first.poll() is None, (host.folder / "sshd.log").read_text()


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
