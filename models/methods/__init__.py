"""Method pages: the only place where parts meet, in the order of the paper's equations.

Adding a method is one page here and one line below.
"""

METHODS = {
    "affinity_net": "models.methods.affinity_net:AffinityNet",
    "boundary_net": "models.methods.boundary_net:BoundaryNet",
    "classifier": "models.methods.classifier:Classifier",
    "seam": "models.methods.seam:Seam",
    "segmenter": "models.methods.segmenter:SegmenterNetwork",
}
