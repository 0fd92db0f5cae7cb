"""Every kind of picture: one file a family, functions of arrays, layers and results that return a matplotlib figure.

frame           where and how large a picture is drawn; type, widths and colours that all share
layer_axis      layers along an axis: stages by lines, as many names as fit
colour_scale    one scale for all panels, chosen to show what there is
placing         names beside points

heatmap, grid, depth, correspondence    CKA of the layers of two models; of all models
models, agreement, summary              whole models: clustered, as a map, by their predictions, against their size
blocks, projections                     block structure, and the components that make it
classes, examples                       where errors differ; examples placed differently, or dominant
check, training                         a model against its baseline; while it trains
"""
