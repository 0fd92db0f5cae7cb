"""Real data and real trained models that come with the package: what `cka-plugin demo` and `data="sample:..."` use.

    digits, digit_images    1,797 handwritten digits, split once and for all: 1,000 to train on, 797 held out
    crops, crop_images      560 small crops of photographs, 40 of each of 14: which photograph is it?
    photos                  random crops of the photographs that come with scikit-image, where that is installed
    model, models           small networks: narrow, wide, deep, vit, trained on the training digits; crops-shallow,
                            crops-deep, crops-vit, trained on crops of other parts of the same photographs
    model_folder            the folder of a model's configuration and weights

`examples/train_demo_zoo.py` and `examples/studies/photographs/train_sample.py` make the data files beside this one;
where photographs and digits come from is in CREDITS.txt. The digits are those of scikit-learn, which are the
test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
licence CC BY 4.0 (https://doi.org/10.24432/C50P49).
"""

from cka_plugin.sample.crops import CROP_CLASSES, crop_images, crops
from cka_plugin.sample.images import CLASS_NAMES, PHOTOGRAPHS, digit_images, digits, photos
from cka_plugin.sample.zoo import CROP_MODELS, MODELS, model, model_folder, models

__all__ = [
    "CLASS_NAMES",
    "CROP_CLASSES",
    "CROP_MODELS",
    "MODELS",
    "PHOTOGRAPHS",
    "crop_images",
    "crops",
    "digit_images",
    "digits",
    "model",
    "model_folder",
    "models",
    "photos",
]
