"""
Compare three networks, and decide what may be claimed
======================================================

You have heard of CKA and never computed one. In ten minutes you will have compared three small networks, seen what is
behind each figure, and decided which sentences about them are true.

Everything used here comes with the package: two residual networks, narrow and deep, a small vision Transformer, and
handwritten digits that none of them was trained on. Nothing is downloaded. With your own, the calls are the same.
"""

# %%
# One call
# --------
#
# A model is a name (``"resnet50"``), a folder, or a module of your own; data are a folder of pictures, a loader, a
# file. Here all of them are samples. ``levels=True`` runs an untrained copy of each model beside it: we shall want
# that.

import cka_plugin as cka

comparison = cka.compare(
    "sample:narrow",
    "sample:deep",
    "sample:vit",
    data="sample:digits",
    max_examples=512,
    batch_size=32,  # 16 minibatches: intervals need at least 8
    levels=True,
    progress=False,
)
comparison

# %%
# Each model ran once. Of each minibatch and layer it keeps how alike any two examples are, a Gram matrix; every figure
# below comes from these, without running a model again.
#
# The heatmap
# -----------
#
# CKA asks of two layers whether they find the same examples alike. It is 1 where they do up to rotation and scale,
# and 0 where they have nothing in common.

print(comparison.matrix("narrow", "vit").round(2))

# %%
# A row for each layer of ``narrow``, a column for each of ``vit``. As a picture, input at the lower left:

figure = comparison.plot("heatmap", "narrow", "vit")

# %%
# Read it in this order:
#
# 1. **The scale first.** Colours span what there is: here they begin at 0.6, so that dark is not nothing.
# 2. **The diagonal.** Bright from lower left to upper right says that layers correspond in order: early to early,
#    late to late. Here the last layers of ``narrow`` have their own partners, the first ones share theirs.
# 3. **Single cells last**, and with their intervals.
#
# Which layer is most like which, and is that sure?

comparison.correspondence("narrow", "vit")

# %%
# ``low`` and ``high`` are a 95% interval over examples like these. A match that is ``tied`` is not told from the
# runner-up: "the stem of the one corresponds to block 0 of the other" would be more than we know.
#
# Alike, compared with what?
# --------------------------
#
# The best matches have 0.80 to 0.89. Is that much? Both networks saw the same digits, and pictures that are alike stay
# alike through almost any network. So hold it against networks that have learned nothing, and against the data:

levels = comparison.levels("narrow", "vit")
levels

# %%
# This table is what the package is for. Row by row:
#
# - ``chance`` is what the best of unrelated layers reaches: a few hundredths. Everything is beyond it. That says
#   nothing: nearly any two networks on the same data are.
# - ``untrained`` is the same match between untrained copies. In the **first** layers it is nearly as high as CKA: the
#   likeness is that of the architectures, which keep the picture. In the **last** ones it is far below: training
#   brought that likeness about.
# - ``along`` is how much of CKA lies along the inputs and the classes. Most of it. Both networks separate the ten
#   digits, and so would any good classifier.
# - ``w/o dom.`` leaves out the examples that lie farthest out. Nothing changes: no handful of odd digits carries it.
# - ``second`` is a measure of another kind, nearest neighbours. It agrees.
#
# The picture of it, along depth:

figure = comparison.plot("depth", "narrow", "vit")

# %%
# A bright square
# ---------------
#
# Compare a network with itself, and large squares may stand out: runs of layers that are all alike. Nguyen, Raghu and
# Kornblith (2021) found such a *block structure* in networks that are large for their data. The deep one has 34 layers:

figure = comparison.plot("blocks", "deep")

# %%
# It looks like one at the upper right. But neighbours are always alike. A block structure is set off from its
# surroundings, and has a cause: one dominant component, shared by its layers, without which the likeness is gone. So:

comparison.block_structure("deep")

# %%
# None: the last layers are alike, and not set off enough. Had we gone by the picture, we should have claimed one.
#
# Do they err alike?
# ------------------
#
# The digits have labels, so we can ask where the two are wrong.

errors = comparison.errors("narrow", "vit")
print(f"accuracies {errors.accuracy_a:.1%} and {errors.accuracy_b:.1%}, McNemar p = {errors.mcnemar_p:.2f}")
print(errors.certainty)

# %%
# Not "they are equally accurate": these examples would not have shown a difference of less than one or two percentage
# points. The verdict says what would settle it.
#
# And do networks that represent alike err alike? There are three pairs of networks here. The figure that comes with
# each correlation is the smallest p that three models can reach at all: the question cannot be answered with so few.

comparison.similarity_and_errors()

# %%
# What may be claimed
# -------------------
#
# .. list-table::
#    :header-rows: 1
#    :widths: 45 10 45
#
#    * - sentence
#      - may be said
#      - because
#    * - The late layers of both networks resemble each other more than those of untrained copies do.
#      - yes
#      - above the untrained level, with an interval that leaves 0 out; a second measure agrees
#    * - So do the early layers.
#      - barely
#      - the untrained copies are within a few hundredths
#    * - They have learned the same features.
#      - no
#      - most of CKA lies along inputs and classes: any good classifier of digits shares that
#    * - Layer i of the one corresponds to layer j of the other.
#      - some
#      - where the match is not tied
#    * - The deep network has a block structure.
#      - no
#      - its verdict is none
#    * - The two are equally accurate.
#      - no
#      - inconclusive on 512 examples
#    * - Residual networks and Transformers represent digits alike.
#      - no
#      - one network of each: another training run may differ; train several seeds and use ``comparison.groups``
#
# With all of it in one page, for a colleague:
#
# .. code-block:: python
#
#    comparison.report("page.html")
#
# And the same from a terminal:
#
# .. code-block:: text
#
#    cka-plugin compare sample:narrow sample:deep sample:vit --data sample:digits --max-examples 512 \
#        --batch-size 32 --levels --report page.html
#
# Now take two models and pictures of your own: the how-to pages begin with that.
