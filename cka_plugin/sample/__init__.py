"""Real data and real trained models that come with the package: what `cka-plugin demo` and `data="sample:..."` use.

    digits, digit_images    1,797 handwritten digits, split once and for all: 1,000 to train on, 797 held out
    photos                  random crops of the photographs that come with scikit-image, where that is installed
    model, models           four small networks trained on the training digits: narrow, wide, deep, vit
    model_folder            the folder of a model's configuration and weights

`examples/train_demo_zoo.py` makes every data file beside this one. The digits are those of scikit-learn, which are the
test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
licence CC BY 4.0 (https://doi.org/10.24432/C50P49): see CREDITS.txt.
"""

from cka_plugin.sample.images import CLASS_NAMES, PHOTOGRAPHS, digit_images, digits, photos
from cka_plugin.sample.zoo import MODELS, model, model_folder, models

__all__ = [
    "CLASS_NAMES",
    "MODELS",
    "PHOTOGRAPHS",
    "digit_images",
    "digits",
    "model",
    "model_folder",
    "models",
    "photos",
]
