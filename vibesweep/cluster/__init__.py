"""Where work runs: Ray, its hosts, and how many lanes they have room for.

``session`` finds or starts Ray, ``nodes`` lists its hosts, ``hardware`` describes them for a
sweep's record, ``lane_capacity`` counts the lanes that fit, ``autoscaler`` tells which hosts may
come, ``network`` chooses the interface between workers, and ``ray_internals`` is the one file that
imports Ray's private names.
"""
