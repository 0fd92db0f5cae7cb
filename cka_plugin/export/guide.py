"""What stands beside exported arrays: how to read them, and what they cannot tell."""

GUIDE = """\
# Representations for other tools

Written by cka_plugin from Gram matrices. `layers.csv` lists models, their folders here and their layers; `examples.csv`
which example each row of each minibatch is. For every model and minibatch:

- `MODEL/features/0000.npz`: one (n, r) array a layer, centred, with the Gram matrix of the layer's features: these
  features but for a rotation and their scale, without directions in which the n examples differ by less than single
  precision tells;
- `MODEL/rdms/0000.pkl`: squared Euclidean distances, one row a layer;
- `MODEL/logits.npy`: (examples, classes), where the model classifies; `examples.csv` names the row of each example.

## Reading it

    import numpy as np
    x = np.load("resnet18/features/0000.npz")["stages.3.blocks.1"]
    y = np.load("vit/features/0000.npz")["blocks.11"]

netrep (https://github.com/ahwillia/netrep), rotation-invariant metrics:

    from netrep.metrics import LinearMetric

    def pad(x, y):  # netrep wants as many columns of both
        d = max(x.shape[1], y.shape[1])
        return [np.pad(a, ((0, 0), (0, d - a.shape[1]))) for a in (x, y)]

    LinearMetric(alpha=1.0, center_columns=True, score_method="angular").fit_score(*pad(x, y))

rsatoolbox (https://github.com/rsagroup/rsatoolbox):

    from rsatoolbox.rdm import compare, load_rdm
    a, b = load_rdm("resnet18/rdms/0000.pkl"), load_rdm("vit/rdms/0000.pkl")
    compare(a, b, method="spearman")  # (layers, layers); a.rdm_descriptors["layer"] names them

ReSi (https://github.com/mklabunde/resi), measures of two (n, d) arrays:

    from repsim.measures.procrustes import orthogonal_angular_shape_metric_centered
    orthogonal_angular_shape_metric_centered(x, y, shape="nd")
    from repsim.measures.rsa import representational_similarity_analysis
    representational_similarity_analysis(x, y, shape="nd", inner="euclidean")

Take a measure on each minibatch and average, as `comparison.matrix(measure=...)` does.

## What this does not hold

Gram matrices know features up to a rotation, within a minibatch. So of what is here nobody can compute

- what looks at single features or units: permutation Procrustes, soft matching, correlation matching, and RSA with
  correlation distances (rsatoolbox's `correlation`, ReSi's default `inner`);
- what needs many more examples than features in one matrix: CCA, SVCCA, PWCCA, GULP, linear regression. The n examples
  of a minibatch are fewer than the features of most layers, where any two layers are perfectly correlated, and products
  of examples of different minibatches were never stored;
- what looks at features before centring, such as the cosine of two raw activations;
- the features' scale from layer to layer.

For these take the features themselves: run the models with hooks of your own, or one minibatch large enough to hold all
examples (`batch_size=`), which gives CCA and its kin the whole sample, up to a rotation that does not matter to them.
"""
