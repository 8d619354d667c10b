"""Galleries: the same held-out pictures as a system edits them."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouch import toyfaces
from retouch.data.transforms import to_uint8
from retouch.editor.difference import difference_map
from retouch.editor.editor import Editor
from retouch.evaluation.exemplars import answer_of
from retouch.evaluation.pairs import pair_task
from retouch.evaluation.protocols import DRAWN
from retouch.evaluation.scoring import Task, pictures_to_tensor
from retouch.evaluation.tasks import asked_of, domain_folder_tasks, domain_tasks, eyeglasses_tasks, folder_tasks, toyfaces_tasks
from retouch.evaluation.transfers import Pairs, Transfers, folder_pairs, transfers_of
from retouch.guidance.gradcam import explain_edit
from retouch.model import Model, load_model

SHOWN_PX = 256           # drawn faces in a report: large enough to be looked at, small enough for a page


@dataclass(frozen=True)
class GalleryRow:
    """One edit: a title and its pictures, uint8 [H,W,3] or [H,W], in the order in which they are shown."""

    title: str
    panels: dict[str, np.ndarray]


def gallery_rows(model: Any, attributes: Sequence[str] | None = None, n_faces: int = 4, size: int | None = None, seed: int = 0,
                 attribute: str | None = None) -> list[GalleryRow]:
    """Edits of the first held-out drawn faces.

    Args:
        model: a Model or a method; attribute or two-domain.
        attributes: which edits; None: all the model knows.
        n_faces: how many faces.
        size: side in pixels; None: the model's.
        seed: which drawn set.
        attribute: what domain B has (two-domain models).

    Returns:
        one row for every face and edit that changes it, ordered by face: input, mask (if the system has one), edit, truth, difference
        (of edit and input).
    """
    method = getattr(model, 'method', model)
    if method.data.domains:
        attribute = attribute or getattr(model, 'info', {}).get('data', {}).get('attribute')
        inputs, tasks = domain_tasks(method, toyfaces.ATTRIBUTES, n_faces, seed, size, attribute)
    else:
        inputs, tasks = toyfaces_tasks(method, toyfaces.ATTRIBUTES, n_faces, seed, size, attributes)
    return tasks_to_rows(method, inputs, tasks)


def eyeglasses_rows(model: Any, n: int, seed: int = 0, n_faces: int = 8) -> list[GalleryRow]:
    """As `gallery_rows`, of protocol eyeglasses and for a model of any kind: the first faces without them of those that a card is of."""
    inputs, (task,) = eyeglasses_tasks(model, toyfaces.ATTRIBUTES, n, seed)
    return tasks_to_rows(model.method, inputs, [replace(task, rows=task.rows[:n_faces])])


def native_rows(model: Model, n_faces: int = 4, seed: int = 0) -> list[GalleryRow]:
    """As `gallery_rows`, of an attribute model at SHOWN_PX through the Editor, as a user's pictures are edited."""
    names, editor, rows = model.data.attributes, Editor(model), []
    inputs, tasks = toyfaces_tasks(model.method, toyfaces.ATTRIBUTES, n_faces, seed, SHOWN_PX)
    for task in tasks:
        request = task.request(pictures_to_tensor(inputs[task.rows], model.device), slice(0, len(task.rows)))
        assert task.truth is not None
        for m, row in enumerate(task.rows.tolist()):
            edit = editor.edit(inputs[row], **{task.name: int(request.target[m, names.index(task.name)])})
            where = {'mask': edit.mask} if edit.gradcam is None else {'Grad-CAM': edit.gradcam}
            panels = {'input': inputs[row], **where, 'edit': np.asarray(edit.image), 'truth': task.truth[m], 'difference': edit.difference}
            rows.append((row, GalleryRow(f'face {row + 1}: {asked_of(task, request, m, names)}', panels)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def tasks_to_rows(method: Any, inputs: np.ndarray, tasks: Sequence[Task], what: str = 'face') -> list[GalleryRow]:
    """Rows for the tasks of a protocol, ordered by picture. inputs uint8 [n,S,S,3]; a task without true results shows none.

    The last panel shows where the edit differs from the input; of a pair, whose input is another picture, from the truth.
    """
    device = device_of(method)
    rows: list[tuple[int, GalleryRow]] = []
    for task in tasks:
        if not len(task.rows):
            continue
        request = task.request(pictures_to_tensor(inputs[task.rows], device), slice(0, len(task.rows)))
        with torch.no_grad():
            out = method.translate(request)
        shown = explain_edit(method, request, out.image) if out.mask is None else None
        edits = to_uint8(out.image).cpu().numpy()
        exemplar = getattr(request, 'exemplar', None)
        for m, row in enumerate(task.rows.tolist()):
            panels = {'input': inputs[row]}
            if exemplar is not None:
                panels['exemplar'] = to_uint8(exemplar[m:m + 1])[0].cpu().numpy()
            if out.mask is not None:
                panels['mask'] = mask_to_bytes(out.mask[m, 0])
            elif shown is not None:
                panels['Grad-CAM'] = mask_to_bytes(shown[m, 0])
            panels |= extras_to_panels(out.extras, m)
            panels['edit'] = edits[m]
            if task.truth is not None:
                panels['truth'] = task.truth[m]
            if task.truth is not None and task.region is None:
                panels['error'] = difference_map(edits[m], task.truth[m])
            else:
                panels['difference'] = difference_map(edits[m], inputs[row])
            rows.append((row, GalleryRow(f'{what} {row + 1}: {asked_of(task, request, m, method.data.attributes)}', panels)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def extras_to_panels(extras: Mapping[str, Tensor], m: int) -> dict[str, np.ndarray]:
    """What else a system shows of its m-th answer: ASGIT's attention and discriminator's map, AGGAN's content, SeCGAN's edited parse."""
    panels = {}
    for name, title in (('attention', 'attention'), ('attention_raw', "discriminator's map")):
        if (shown := extras.get(name)) is not None and shown.shape[1] == 1:
            panels[title] = mask_to_bytes(shown[m, 0])
    if (content := extras.get('content')) is not None and content.ndim == 4 and content.shape[1] == 3:
        panels['content'] = to_uint8(content[m:m + 1])[0].cpu().numpy()
    if (parse := extras.get('semantic')) is not None:
        panels['edited parse'] = np.array(toyfaces.PALETTE, np.uint8)[parse[m].argmax(0).cpu().numpy()]
    return panels


def kept_to_rows(folders: Sequence[Path], show: Callable[[Model], list[GalleryRow]], n: int = 4) -> list[GalleryRow]:
    """The masks of the first n rows of a gallery against training time.

    Args:
        folders: model directories of one run, kept/ITERATION, in their order.
        show: a model -> its gallery.
        n: how many rows.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for folder in folders:
        for row in show(load_model(folder))[:n]:
            mask = next((row.panels[name] for name in ('mask', 'Grad-CAM', "discriminator's map", 'attention') if name in row.panels), None)
            if mask is not None:
                found.setdefault(row.title, {'input': row.panels['input']})[f'{int(folder.name):,}'] = mask
    return [GalleryRow(f'{title}: mask against iterations', panels) for title, panels in found.items()]


def device_of(method: Any) -> torch.device:
    """Where a method's weights are."""
    return next((p.device for p in method.nets.parameters()), torch.device('cpu'))


def mask_to_bytes(mask: Tensor) -> np.ndarray:
    """A mask [H,W] in [0,1] -> uint8 [H,W], to be shown."""
    return (mask.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def pairs_to_rows(method: Any, pairs: Pairs, n: int = 4) -> list[GalleryRow]:
    """The first n pairs: input, exemplar, both masks (where the system has them), edit, truth (if known), difference of edit and input."""
    x, e = (pictures_to_tensor(images[:n], device_of(method)) for images in (pairs.inputs, pairs.exemplars))
    with torch.no_grad():
        out = answer_of(method, pairs)(x, e, slice(0, len(x)))
    edits, other = to_uint8(out.image).cpu().numpy(), out.extras.get('exemplar_mask')
    rows = []
    for i, edit in enumerate(edits):
        panels = {'input': pairs.inputs[i], 'exemplar': pairs.exemplars[i]}
        if out.mask is not None:
            panels['mask'] = mask_to_bytes(out.mask[i, 0])
        if other is not None:
            panels['exemplar mask'] = mask_to_bytes(other[i, 0])
        panels['edit'] = edit
        if isinstance(pairs, Transfers):
            panels['truth'] = pairs.truths[i]
        panels['difference'] = difference_map(edit, pairs.inputs[i])
        rows.append(GalleryRow(f'pair {i + 1}', panels))
    return rows


def gallery_of(model: Model, protocol: str, n: int, seed: int, pictures: tuple[np.ndarray, np.ndarray] | Pairs | None = None,
               edits: Sequence[str] = (), flips: bool = False) -> list[GalleryRow]:
    """The first pictures of a protocol in every edit.

    Args:
        model: whose edits.
        protocol: which pictures are edited how.
        n: as of the card.
        seed: as of the card.
        pictures: what the protocol scores, with labels or partners; None where it draws them.
        edits: of labelled pictures: as of `tasks.folder_tasks`, so that what is switched off is shown where that was scored.
        flips: likewise.
    """
    if protocol == 'eyeglasses':
        return eyeglasses_rows(model, n, seed)
    if protocol in ('toyfaces', 'native'):
        return native_rows(model, seed=seed)
    if protocol in DRAWN:
        return gallery_rows(model, seed=seed)
    if protocol == 'exemplars' and pictures is None:
        pictures = transfers_of(model, n, seed)
    if pictures is None:
        return []
    if protocol == 'exemplars_folder' and not isinstance(pictures, Pairs):
        pictures = folder_pairs(model.data.attributes, *pictures, seed=seed)
    if isinstance(pictures, Pairs):
        return pairs_to_rows(model.method, pictures)
    images, known = (some[:4] for some in pictures)
    if protocol == 'pairs':
        return tasks_to_rows(model.method, images, [pair_task(model.method, known)], what='pair')
    made = (domain_folder_tasks(model.method, images, known, None) if protocol == 'domains_folder' else
            folder_tasks(model.method, images, known, None, edits, flips))
    return tasks_to_rows(model.method, *made, what='picture')
