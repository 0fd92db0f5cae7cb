"""Pictures and pages: arrays, names and results in, figures and HTML out.

    plots     every kind of picture, by matplotlib, which is imported where it draws
    kinds     what each kind asks of a comparison
    page      the page
    stages, seen     where stages begin; what can be seen of an example

It may know results of analyses.
"""
