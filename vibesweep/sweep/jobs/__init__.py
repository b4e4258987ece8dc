"""Sweeps as Ray jobs: given to a cluster's job server from a machine that is no part of it.

address.py says which server is meant, submit.py gives it a sweep (shipping.py packs its files),
attach.py follows its output and stop.py ends it; server.py talks to Ray's job server for all three.
A job is ``python -m vibesweep run`` on the cluster's head, in a folder with the space file.
"""
