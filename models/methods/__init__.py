"""Method pages: the only place where parts meet, in the order of the paper's equations.

Adding a method is one page here and one line below.
"""

METHODS = {
    "classifier": "models.methods.classifier:Classifier",
    "segmenter": "models.methods.segmenter:SegmenterNetwork",
}
