"""Where the parts of one head lie, and its colours: what all that is painted on it needs to know."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from retouch.toyfaces.identity import Identity
from retouch.toyfaces.palette import LABELLED_HAIR, NEUTRAL_HAIR, PALE, SKIN_DARK, SKIN_LIGHT, Colour, luminance, mix, scaled
from retouch.toyfaces.shapes import smooth

JAW_RIM = ((0.99, 0.08), (0.93, 0.2), (0.6, 0.3), (0.0, 0.345))  # x in face half-widths
BALD_RIM = ((1.02, 0.04), (0.96, 0.035), (0.93, -0.03), (0.86, -0.07), (0.84, -0.115), (0.9, -0.135), (1.0, -0.09))


class Head:
    """What several parts of a face need: pose, tones and the outline."""

    def __init__(self, identity: Identity, labels: Mapping[str, int]) -> None:
        self.identity, self.labels = identity, labels
        cosine, sine = np.cos(identity.roll), np.sin(identity.roll)
        self.rotation = identity.scale * np.array(((cosine, sine), (-sine, cosine)))
        self.origin = np.array((0.5 + identity.shift_x, 0.525 + identity.shift_y))
        self.features = np.array((identity.yaw * 0.016, 0.0))
        own = mix(SKIN_DARK, SKIN_LIGHT, identity.skin_tone)
        own = (own[0], own[1] + round(4 * identity.skin_warmth), own[2] - round(8 * identity.skin_warmth))
        warm = round(4 * identity.skin_warmth)
        self.own_skin: Colour = own
        self.skin: Colour = (PALE[0], PALE[1] + warm // 2, PALE[2] - warm) if labels['Pale_Skin'] else own
        self.skin_shadow = mix(scaled(self.skin, 0.7), (140, 44, 40), 0.2)
        self.skin_light = mix(self.skin, (255, 240, 216), 0.8)
        self.line = scaled(self.skin, 0.5)
        self.hair, self.neutral = self._hair_colours()
        self.outline = self._outline()

    def _hair_colours(self) -> tuple[Colour, Colour]:
        shade = 1 + 0.08 * self.identity.hair_shade
        named = [LABELLED_HAIR[name] for name in LABELLED_HAIR if self.labels[name]]
        neutral = scaled(NEUTRAL_HAIR[self.identity.neutral_hair_kind], shade)
        if not named:
            return neutral, neutral
        return scaled(np.mean(named, axis=0), shade), neutral

    def facial_hair(self) -> Colour:
        """Hair colour, darkened until it stands out from the identity's own skin (pale skin only adds contrast)."""
        colour, dark = scaled(self.hair, 0.82), (34, 18, 12)
        excess = luminance(colour) - luminance(self.own_skin) + 58
        return mix(colour, dark, max(0.0, excess) / (luminance(colour) - luminance(dark))) if excess > 0 else colour

    def _outline(self) -> np.ndarray:
        """The skull and jaw, closed, clockwise from the right temple."""
        identity = self.identity
        width, chin = identity.face_width, identity.chin_y
        jaw = width * (identity.jaw_male if self.labels['Male'] else identity.jaw_female)
        point = width * identity.chin_width * (1.3 if self.labels['Male'] else 1.0)
        right = [(width, -0.03), (width * 0.985, 0.07), (jaw, 0.2), ((jaw + point) / 2, chin - 0.052), (point, chin - 0.014)]
        lower = smooth([*right, (0, chin), *[(-x, y) for x, y in right[::-1]]])
        angle = np.linspace(np.pi, 2 * np.pi, 24)
        skull = np.stack((width * np.cos(angle), -0.03 + 0.305 * np.sin(angle)), axis=1)
        return np.concatenate((lower, skull[1:-1]))

    def place(self, points: np.ndarray) -> np.ndarray:
        """Head units to fractions of the frame."""
        return points @ self.rotation + self.origin

    def face(self, points: np.ndarray) -> np.ndarray:
        """The same for features, which yaw shifts sideways."""
        return (points + self.features) @ self.rotation + self.origin
