"""Figures of systems that take an exemplar: one attribute of several by mask removal, and where codes lie."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from retouch import toyfaces
from retouch.data.labels import HAIR_COLOURS
from retouch.data.parsing import TWELVE
from retouch.data.transforms import to_uint8
from retouch.engine.update import ExemplarRequest
from retouch.evaluation.scoring import pictures_to_tensor
from retouch.evaluation.transfers import Pairs, Transfers, transfer_labels
from retouch.model import Model, model_to_parser
from retouch.report.gallery import GalleryRow, device_of, mask_to_bytes

PANEL_PX, DOT_PX = 320, 3
# of points: black, blond and brown hair, then what else there is
HAIR = {'Black_Hair': (35, 32, 30), 'Blond_Hair': (222, 180, 70), 'Brown_Hair': (125, 75, 40)}
OFF, ON = (170, 175, 185), (30, 100, 220)


# the parts of a face on which an attribute of a photograph is; a beard's skin has no class of its own
WHERE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(HAIR_COLOURS, ('hair',)), 'Bangs': ('hair',), 'Eyeglasses': ('eyeglasses', 'eyes'), 'Smiling': ('mouth', 'lips'),
    'Mouth_Slightly_Open': ('mouth', 'lips'), 'Wearing_Lipstick': ('lips',), 'Bushy_Eyebrows': ('eyebrows',),
    'Pale_Skin': ('skin', 'nose', 'neck'),
}


def parses_of(parser: Model, images: np.ndarray) -> np.ndarray:
    """uint8 [N,S,S,3] -> positions in TWELVE, uint8 [N,S,S]."""
    with torch.no_grad():
        return parser.method.read(pictures_to_tensor(images, device_of(parser.method))).argmax(1).to(torch.uint8).cpu().numpy()


def groups_of(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Attributes that are transferred together: the hair colours, and every other one by itself."""
    colours = tuple(name for name in names if name in HAIR_COLOURS)
    return {**({'hair': colours} if colours else {}), **{name: (name,) for name in names if name not in colours}}


Regions = dict[str, tuple[np.ndarray, np.ndarray]]       # group of attributes -> where it is, bool [S,S], in the face and in the exemplar


def removals_to_rows(method: Any, pairs: Pairs, seed: int = 0, n: int = 4, parser: Model | None = None) -> list[GalleryRow]:
    """The first n pairs that differ in several attributes: all of them, then each alone, by removing the others from both masks.

    Removed is the region of every other attribute, as a user would paint it out: of drawn faces the true one, of the face and of the
    exemplar; of photographs the parts of a face on which an attribute is (`WHERE`), by a parser; without one there are no rows.

    Args:
        method: a system whose masks can be painted.
        pairs: held-out pairs.
        seed: which drawn set they are of.
        n: how many.
        parser: of photographs, of the pictures' size.
    """
    rows, size = list[GalleryRow](), pairs.inputs.shape[1]
    if not isinstance(pairs, Transfers) and parser is None:
        return rows
    for i, (index, other) in enumerate(pairs.faces.tolist()):
        differ = {name for name, a, b in zip(pairs.names, pairs.shown[i], pairs.wanted[i], strict=True) if a != b}
        groups = {group: members for group, members in groups_of(pairs.names).items() if differ & set(members)}
        if parser is not None and not isinstance(pairs, Transfers):
            groups = {group: members for group, members in groups.items() if all(name in WHERE for name in members)}
        if len(rows) == n or len(groups) < 2:
            continue
        regions: Regions = {}
        if isinstance(pairs, Transfers):
            (face, labels), (exemplar, shown) = (toyfaces.face(k, seed) for k in (index, other))
            regions = {group: (toyfaces.counterfactual(face, labels, transfer_labels(labels, shown, members), size)[1],
                               toyfaces.counterfactual(exemplar, shown, transfer_labels(shown, labels, members), size)[1])
                       for group, members in groups.items()}
        elif parser is not None:
            face, exemplar = parses_of(model_to_parser(parser, size), np.stack([pairs.inputs[i], pairs.exemplars[i]]))
            for group, members in groups.items():
                parts = [TWELVE.index(part) for name in members for part in WHERE[name]]
                regions[group] = np.isin(face, parts), np.isin(exemplar, parts)
        x, e = (pictures_to_tensor(images[i:i + 1], device_of(method)) for images in (pairs.inputs, pairs.exemplars))
        with torch.no_grad():
            out = method.translate(ExemplarRequest(x, e))
            masks = out.mask, out.extras['exemplar_mask']
            panels = {'input': pairs.inputs[i], 'exemplar': pairs.exemplars[i], 'mask': mask_to_bytes(masks[0][0, 0]),
                      'exemplar mask': mask_to_bytes(masks[1][0, 0]), 'all': _pixels(out.image)}
            for group in groups:
                removed = (np.any([regions[o][k] for o in groups if o != group], axis=0) for k in (0, 1))
                kept = [mask * torch.from_numpy(~region).to(mask) for mask, region in zip(masks, removed, strict=True)]
                panels |= {f'mask, {group}': mask_to_bytes(kept[0][0, 0]),
                           f'only {group}': _pixels(method.translate(ExemplarRequest(x, e, *kept)).image)}
        rows.append(GalleryRow(f'pair {i + 1}: all, then one by one', panels))
    return rows


def codes_to_rows(method: Any, pairs: Pairs, seed: int = 0, batch_size: int = 64) -> list[GalleryRow]:
    """t-SNE maps of content (means over the map), foreground and background codes of all faces, coloured by one attribute a row.

    Args:
        method: a system whose `take_apart` gives such codes.
        pairs: held-out pairs, at least four.
        seed: of the maps.
        batch_size: pairs at once.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    from sklearn.manifold import TSNE  # an extra

    parts = []
    for start in range(0, len(pairs.inputs), batch_size):
        some = slice(start, start + batch_size)
        x, e = (pictures_to_tensor(images[some], device_of(method)) for images in (pairs.inputs, pairs.exemplars))
        with torch.no_grad():
            codes, _ = method.take_apart(x, e)
        parts.append([c.float().cpu().numpy() for c in (codes.content.mean((2, 3)), codes.foreground, codes.background)])
    maps = {name: TSNE(perplexity=min(30.0, (len(pairs.inputs) - 1) / 3), init='pca', random_state=seed).fit_transform(np.concatenate(part))
            for name, part in zip(('content', 'foreground', 'background'), zip(*parts, strict=True), strict=True)}
    rows = []
    for group, members in groups_of(pairs.names).items():
        colours = np.tile(np.array(OFF), (len(pairs.inputs), 1))
        for name in members:
            colours[pairs.shown[:, pairs.names.index(name)]] = HAIR.get(name, ON)
        rows.append(GalleryRow(f't-SNE of codes by {group}', {name: points_to_panel(points, colours) for name, points in maps.items()}))
    return rows


def points_to_panel(points: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Points [n,2] in colours [n,3] of 8 bits -> uint8 [PANEL_PX,PANEL_PX,3], fitted to the panel with a margin."""
    low, high = points.min(0), points.max(0)
    places = 12 + (points - low) / np.maximum(high - low, 1e-9) * (PANEL_PX - 24)
    panel = Image.new('RGB', (PANEL_PX, PANEL_PX), 'white')
    draw = ImageDraw.Draw(panel)
    draw.rectangle((0, 0, PANEL_PX - 1, PANEL_PX - 1), outline=(225, 225, 230))
    for (x, y), colour in zip(places.tolist(), colours.tolist(), strict=True):
        draw.ellipse((x - DOT_PX, y - DOT_PX, x + DOT_PX, y + DOT_PX), fill=tuple(colour))
    return np.asarray(panel)


def _pixels(image: torch.Tensor) -> np.ndarray:
    return to_uint8(image)[0].cpu().numpy()
