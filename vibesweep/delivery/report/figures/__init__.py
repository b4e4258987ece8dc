"""The figures of a report, drawn with Plotly.

drawing.py says what all of them share; each other file draws one kind.
"""
