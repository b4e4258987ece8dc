"""One trial after another on a Ray Train worker group that stays up, a lane.

``lane`` brings worker groups up and ends them, ``worker`` is what each of their processes runs, and
``trial_runner`` is one trial in it. ``dispatcher`` joins trials and lanes (``messages``,
``lane_state``) as ``assignments`` and ``endings`` decide; ``admission``, ``failures``,
``network_callback`` and ``process_group``, which joins a lane's workers, are what Ray Train calls.
"""
