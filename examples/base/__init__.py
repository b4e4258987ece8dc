"""Makes a base of the family ``mel`` anew: ``texts`` are spoken by ``teachers`` and their changed
voices (``people``) over ``channels`` into ``clips``, and ``train`` trains on them."""
