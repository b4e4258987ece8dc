"""How one trial trains, or K of them side by side.

``loop`` is the training loop in plain PyTorch. ``trial_run`` makes a trial's model, runs the loop
over its clips and reports; ``worker_context`` holds what stays loaded between trials. ``data``
brings the clips of each step, ``optim`` updates the weights, ``state`` saves them, and ``lanes``
runs trials on Ray.

``seat`` is where a trial trains, with ``pack`` for several that are computed together in the
``turns`` of their threads; ``rows`` computes gradients. ``compute`` and ``precision`` say how a
network computes, ``memory`` and ``row_shape`` how much of it at once, over the ``workers`` of a
trial. ``validation`` has the loss that trials are compared by, and ``hearing`` what their speech
sounds like. ``fit``, ``sizes``, ``pace`` and ``estimate`` tell before a sweep whether settings fit
a model, what a trial takes and how fast a lane is; ``peak`` and ``tally`` tell afterwards.
``parameters`` lists what is trained.
"""
