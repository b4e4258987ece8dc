"""How the weights are updated, and when a trial should stop.

``optimizers`` and ``schedules`` build what a trial's settings name, ``averaging`` keeps averaged
weights, ``divergence`` and ``early_stopping`` say when to stop.
"""
