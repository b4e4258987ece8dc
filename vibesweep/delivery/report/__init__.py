"""A sweep as one HTML file that opens anywhere, offline, and can be handed on.

facts.py reads the sweep's folder. answer.py, costs.py, filling.py, spans.py, importance.py and
sounds.py work out what is told of it, figures/ draws, tables.py tabulates, and page.py puts all of
it into page.html. write.py is the door.
"""
