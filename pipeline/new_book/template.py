"""The book.yaml for a user's folder, comments included: it is meant to be edited."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

TEMPLATE = """\
# {{ survey.total }} images of about {{ survey.size[1] }} x {{ survey.size[0] }} pixels, \
{{ survey.classes | length }} class{{ "" if survey.classes | length == 1 else "es" }}. \
Written by `python -m pipeline init`; yours to edit.
# This is the file to edit. After an edit, the first command writes params.yaml from it, which is what runs.
#
#   python -m pipeline expand --book {{ path }}
#   python -m pipeline check --book {{ path }}
#   python -m pipeline run --book {{ path }}        (again after an edit: only what it concerns runs)
#   python -m pipeline report --book {{ path }}
{% if survey.makes_masks %}
#   python -m pipeline predict NEW_IMAGES --checkpoint segmenter --book {{ path }} --out masks
{% else %}
#
# Masks cannot hold so many classes: this book ends at the class activation maps (export_cams).
{% endif %}
#
# docs/books.md says what can stand here.
book:
  root: {{ root }}
  path: {{ path }}
  params: {{ path }}/params.yaml
  work: work/{{ name }}
{% if variable %}
  sources:
    {{ source | quoted }}: {{ variable }}  # on another machine: export {{ variable }}=/where/the/folder/is
{% endif %}

table:
  title: {{ title | quoted }}

prepare:
  mine:
    reader: folder
    root: {{ source | quoted }}
    on_bad_image: skip  # stop: a bad image ends the run
    options:
      images: {{ survey.images | quoted }}
      tags: {{ survey.tags | quoted }}
{% if survey.masks %}
      masks: {{ survey.masks | quoted }}  # only measured against
{% endif %}
{% for name, value in survey.options.items() %}
      {{ name }}: {{ value | quoted }}
{% endfor %}
{% if survey.val_fraction is not none %}
      val_fraction: {{ survey.val_fraction }}  # a column `split` in the CSV (train, val, ...) decides instead
{% endif %}

{% if survey.tags %}
annotate:
  tags: {data: mine, split: train, kind: tags}

{% endif %}
{% if survey.annotations %}
import_annotations:
{% for name, file in survey.annotations.items() %}
  {{ name }}: {data: mine, split: train, kind: {{ survey.kinds[name] }}, \
file: {{ (source if file == "." else source ~ "/" ~ file) | quoted }}\
{{ ", options: " ~ (survey.options_of(name) | quoted) if survey.options_of(name) }}\
{{ ", regions: {method: rag, count: 48}, fill_regions: true" if name == "points" }}}
{% endfor %}

{% endif %}
import_weights:
{% if weights == "random" %}
  start: {architecture: random, file: {{ placeholder }}}  # from nothing: wants many more images and epochs
{% elif weights %}
  # normalisation: imagenet (torchvision's mean and standard deviation) or half (x / 127.5 - 1, TensorFlow's).
  start: {architecture: {{ plan.backbone }}, file: {{ weights | quoted }}, normalisation: {{ normalisation }}}
{% else %}
  # torchvision's ImageNet weights, downloaded. Without internet: download: false, and file: a local .pth,
  # .safetensors or .npz with torchvision's entry names.
  start: {architecture: {{ plan.backbone }}, file: {{ placeholder }}, download: true}
{% endif %}

# The chain from labels to {{ "masks" if survey.makes_masks else "CAMs" }}. For another method beside it, add a block \
such as this one, with other names.
# An entry there may begin as one of these, by its &name: `again: {<<: *segmenter, seed: 1}`.
{% if "train" in measured %}
# `judge:` measures what an entry makes against your masks.
{% elif not measured %}
# Nothing is measured: that needs a folder of masks, `masks:` under options above, and then `judge: true` in entries.
{% endif %}
chain:
  train:
    classifier: &classifier  # which classes an image shows; its class activation maps (CAMs) say where
      data: mine
      supervision: {{ labels }}
{% if plan.seam %}
      method: seam  # its CAMs cover more of an object than those of `classifier`, which takes half the time
      add_ons: {hfpl: {sigma_of: image, similarity: 0.2}}  # and follow outlines better
{% else %}
      method: classifier
{% endif %}
      init: start
{% if plan.half %}
      precision: bf16-mixed  # half the time on this processor; 32-true otherwise
{% endif %}
      model: {backbone: {{ plan.backbone }}, output_stride: 16\
{{ ", second_size: " ~ (plan.crop // 2) ~ ", freeze_bn: true" if plan.seam }}}
      loader: {crop: {{ plan.crop }}, batch_size: {{ plan.batch_size }}, \
long_side: {{ plan.long_sides[0] | list }}, brightness: 0.3, contrast: 0.3, saturation: 0.3{{ cached }}}
      settings: {epochs: {{ plan.epochs[0] }}, lr: 0.005, \
{{ "warmup_steps: " ~ plan.warmup[0] ~ ", " if plan.seam }}weight_decay: 1.0e-4, channels_last: true}
{% if survey.makes_masks %}
    segmenter: &segmenter  # learns from the pseudo-masks
      data: mine
      supervision: cam_crf
      method: segmenter
      init: start
{% if plan.half %}
      precision: bf16-mixed
{% endif %}
      model: {backbone: {{ plan.backbone }}, output_stride: 16{{ ", frozen_stages: 2" if plan.adamw }}}
      loader: {crop: {{ plan.crop }}, batch_size: {{ plan.batch_size }}, \
long_side: {{ plan.long_sides[1] | list }}, brightness: 0.3, contrast: 0.3, saturation: 0.3{{ cached }}}
      settings: {epochs: {{ plan.epochs[1] }}, \
{{ "optimizer: adamw, lr: 5.0e-4, warmup_steps: " ~ plan.warmup[1] if plan.adamw else "lr: 0.007" }}, \
weight_decay: {{ "0.01" if plan.adamw else "1.0e-4" }}, channels_last: true}
{% endif %}
  export_cams:
    cam: &cam
      data: mine
      supervision: {{ marked or labels }}
      checkpoint: classifier
{% if marked %}
      keep_labels: true  # pixels that you labelled keep their class; the CAMs say the rest
{% endif %}
      options: {scales: {{ plan.cam_scales | list }}, flip: true, grid: {{ plan.grid }}}  # factors of the image's size
{% if "train" in measured %}
      judge: true
{% endif %}
{% if survey.makes_masks %}
  refine_cams:
    # alpha: background gets larger as it gets smaller.
    cam_crf: &refined {data: mine, cams: cam, refiner: dense_crf, dtype: uint8, options: {preset: psa, alpha: 4.0}}
  make_pseudo_masks:
    cam_crf: &pseudo_masks {data: mine, cams: cam_crf, rule: complement\
{{ ", judge: pseudo_masks" if "train" in measured }}}
  predict_masks:  # `predict` takes the scales and the CRF of the first of these
{% for split, entry in entries.items() %}
    {{ entry }}: &predict_{{ entry }} {data: mine, split: {{ split | quoted }}, checkpoint: segmenter, \
{{ how }}{{ ", judge: " ~ (entry | quoted) if split != "train" and split in measured }}}
{% endfor %}
{% endif %}
"""

WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
"""What YAML does not take for text."""


def render(values: Mapping[str, Any]) -> str:
    """The book's text; every name of the template must be among ``values``."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["quoted"] = quoted
    return environment.from_string(TEMPLATE).render(values)


def quoted(value: Any) -> str:
    """A scalar or a list as YAML: JSON is YAML, and plain words need no quotes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w/.-]*", value, re.ASCII):
        return value if value.lower() not in WORDS else f'"{value}"'
    return json.dumps(value, ensure_ascii=False)
