"""Looks whether this machine can run sweeps, and says what to do about what cannot.

``examination`` names the checks in their order; each yields findings (``finding``). ``packages``
looks at what is installed against what vibesweep declares, ``computing`` at torch, GPUs and CPUs,
``ray`` at clusters and ports, ``disks`` at folders, and ``sounds`` at eSpeak NG and ffmpeg.
"""
