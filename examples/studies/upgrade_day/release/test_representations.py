"""The guards: one for every change of code, which should change nothing, and one for what may be released."""

import json

import imaging
import model


def test_code(cka_regression, record_property):
    result = cka_regression.check(model.load(), "pictures", transforms=imaging.prepare, min_cka=0.9999)
    record_property("result", json.dumps(result.to_dict()))  # into the file of --junitxml


def test_release(cka_regression):
    cka_regression.check(model.load(), "pictures", transforms=imaging.prepare)  # min_cka=0.99
