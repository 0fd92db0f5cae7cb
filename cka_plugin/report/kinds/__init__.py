"""The kinds of pictures of a comparison: what `Comparison.plot(kind, ...)` asks of it, and hands to `report.plots`.

door          every kind by its name
asked         what is asked of a comparison, and which models are meant
layers, components, examples, models     the kinds, by what they show
"""
