"""Hosts that `ray up` can set up on this machine: each is a home folder.

It is reached by an ``ssh`` and an ``rsync`` that are test doubles. A real shell there runs what the
cluster file has a host do. What would come from the network (uv, pip's packages) or start Ray is a
double too, which writes down how it was called.
"""

from __future__ import annotations

import stat
import sys
from pathlib import Path

# Runs the command in the home of the host that it names, with nothing of this machine's environment
SSH = """#!/bin/bash
while [[ $1 != *@* ]]; do shift; done
home=$HOSTS/${1#*@}; shift
[[ -e $home ]] || cp -r "$HOSTS/skeleton" "$home"
cd "$home" && exec env -i HOME="$home" HOSTS="$HOSTS" bash -c "$*"
"""
BASHRC = """case $- in *i*) ;; *) return;; esac  # as Ubuntu's begins
PATH=$HOSTS/bin:/usr/bin:/bin
"""
RSYNC = """#!/bin/bash
source=${@: -2:1} target=${@: -1}
home=$HOSTS/${target#*@}; home=${home%%:*}
path=${target#*:}; path=${path/#\\~/$home}
if [[ $source == */ ]]; then
  mkdir -p "$path" && cp -r "$source." "$path"
else
  cp "$source" "$path"
fi
"""
CURL = """#!/bin/bash
echo 'mkdir -p ~/.local/bin && cp "$HOSTS/packages/uv" ~/.local/bin/uv'
"""
UV = """#!/bin/bash
echo "uv $*" >> ~/calls
mkdir -p "${@: -1}/bin" && cp "$HOSTS"/packages/{pip,ray,python} "${@: -1}/bin"
"""
PIP = """#!/bin/bash
echo "pip $* in ${PWD/#$HOME/\\~} under ${PIP_CONSTRAINT:-nothing}" >> ~/calls
"""
RAY = """#!/bin/bash
echo "ray $* with token auth ${RAY_AUTH_MODE:-unset}, head ${RAY_HEAD_IP:-here}" >> ~/calls
"""


class Hosts:
    """The hosts under one folder, each named by its address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.local = folder / "hosts", folder / "local"
        (self.folder / "skeleton").mkdir(parents=True)
        (self.folder / "skeleton" / ".bashrc").write_text(BASHRC)
        write_program(self.folder / "bin" / "curl", CURL)
        python = f'#!/bin/bash\nexec {sys.executable} "$@"\n'
        for name, script in (("uv", UV), ("pip", PIP), ("ray", RAY), ("python", python)):
            write_program(self.folder / "packages" / name, script)
        for name, script in (("ssh", SSH), ("rsync", RSYNC)):
            write_program(self.local / name, script)

    def home(self, address: str) -> Path:
        """Return the home folder of a host."""
        return self.folder / address

    def calls(self, address: str) -> list[str]:
        """Return how the doubles were called there, in order."""
        return (self.home(address) / "calls").read_text().splitlines()


def write_program(path: Path, script: str) -> None:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
