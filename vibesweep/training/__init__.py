"""How one trial trains, or K of them side by side.

``loop`` is the training loop in plain PyTorch. ``trial_run`` makes a trial's model, runs the loop
over its clips and reports; ``worker_context`` holds what stays loaded between trials. ``workers``,
``compute``, ``memory``, ``peak``, ``tally`` and ``validation`` each hold one part of that. ``data``
brings the clips of each step, ``optim`` updates the weights, ``state`` saves them, and ``lanes``
runs trials on Ray.
"""
