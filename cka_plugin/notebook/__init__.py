"""How results show themselves in a notebook: a small table and one picture, without matplotlib, all text escaped.

It stands below the analyses, whose results it shows: numbers and names in, HTML out.
"""
