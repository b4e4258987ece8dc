"""From shards to the clips of each optimizer step.

``index`` reads the small columns of a split. ``step_plan`` says which clips make which step, and
``batches`` holds the cutting, dealing and packing behind it. ``feed`` hands a worker its clips from
memory, ``stream`` from Ray Data.
"""
