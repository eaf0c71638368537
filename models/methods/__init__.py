"""Method pages: the only place where parts meet, in the order of the paper's equations.

Adding a method is one page here and one line below: what a page is, and what its options may be, it says itself. An
add-on is a page around another page, which keeps its place in the graph: ``train.NAME.add_ons`` lists them, and what is
saved is the page inside.
"""

METHODS = {
    "affinity_net": "models.methods.affinity_net:AffinityNet",
    "afa": "models.methods.afa:Afa",
    "amn": "models.methods.amn:Amn",
    "boundary_net": "models.methods.boundary_net:BoundaryNet",
    "classifier": "models.methods.classifier:Classifier",
    "clip_es": "models.methods.clip_es:ClipEs",
    "dupl": "models.methods.dupl:Dupl",
    "excel": "models.methods.excel:Excel",
    "one_stage": "models.methods.one_stage:OneStage",
    "rcm_mam": "models.methods.rcm_mam:RcmMam",
    "recam": "models.methods.recam:Recam",
    "rtc": "models.methods.rtc:Rtc",
    "seam": "models.methods.seam:Seam",
    "segmenter": "models.methods.segmenter:SegmenterNetwork",
    "spml": "models.methods.spml:Spml",
    "toco": "models.methods.toco:Toco",
    "weclip": "models.methods.weclip:WeClip",
    "weclip_plus": "models.methods.weclip:WeClipPlus",
}

ADD_ONS = {
    "ppc": "models.methods.ppc:Ppc",
    "hfpl": "models.methods.hfpl:Hfpl",
}
"""In the order in which they are put around a page."""
