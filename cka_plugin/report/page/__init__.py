"""The page: one HTML file that says what differs between models, shows it, and lets every figure be checked.

`gather` asks a comparison for the contents, `write` makes the file of them; `checked` does both for a check.
"""
