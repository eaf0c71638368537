"""What pages of two views (SEAM, RTC) have in common."""

from __future__ import annotations

from torch import Tensor

from models.structures import CamView, Outputs


def siamese_cam_views(outputs: Outputs, image: Tensor, second: Tensor) -> tuple[CamView, ...]:
    """Both views as add-ons see them, half of the classification each.

    Args:
        outputs: ``logits`` and ``refined`` [B,1+C,h,w] and ``features`` [B,D,h,w]; those of the second end in ``_2``.
        image: [B,3,H,W].
        second: the smaller copy.
    """
    return tuple(
        CamView(
            f"classification{suffix}",
            0.5,
            view,
            outputs[f"logits{suffix}"][:, 1:],
            outputs[f"logits{suffix}"][:, :1],
            outputs[f"refined{suffix}"][:, 1:],
            outputs[f"features{suffix}"].float(),
        )
        for suffix, view in (("", image), ("_2", second))
    )
