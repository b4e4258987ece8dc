"""How speech sounds, in figures: a model says held-out texts, and a recording says them too.

``passages`` chooses the texts and their recordings, ``listening`` has models speak them all with
one seed, and each scorer of ``scorers`` compares what it hears with the recording: ``spectrum``
(no weights), ``pitch``, ``recognition``, ``naturalness`` and ``speaker`` (packages of the extra
[quality], and Resemblyzer), or one that the user names. ``verdict`` says in words what the figures
mean, ``quality_file`` keeps it all as JSON. docs/design/quality.md has the figures behind this.
"""
