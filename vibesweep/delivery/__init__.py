"""What a user takes away from a sweep: the tuned model's folder, and speech.

``export`` writes the best trial, ``synthesize`` speaks a text, ``evaluate`` measures how a model
does that (by ``quality``), ``judge`` does so for a sweep, ``sample`` and ``best`` are what a sweep
ends with, and ``dashboards`` shows the sample beside the trials. They read the sweep's folder and
ask the model's family; none of it imports ray.
"""
