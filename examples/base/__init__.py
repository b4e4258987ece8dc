"""Makes a base of the family ``mel`` anew.

``texts`` are spoken by ``teachers`` in the changed voices of ``people`` over ``channels``.
``clips`` makes chunks of that, and ``train`` trains on them.
"""
