"""From a model and options to its card: the protocol that fits, the held-out pictures, and what a report shows of them.

Imports stand inside the functions: torch takes seconds, and `retouch --help` needs none of it.
"""
from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retouch.errors import unknown
from retouch.terminal import progress_bar

if TYPE_CHECKING:
    import numpy as np

    from retouch.cli import EvaluateOptions
    from retouch.data.sets import ParsingSet
    from retouch.metrics.card import Card
    from retouch.metrics.judge import Judge
    from retouch.metrics.ledger import Ledger
    from retouch.model import Model
    from retouch.report import GalleryRow


def score(options: EvaluateOptions, with_gallery: bool = False, ledger: Ledger | None = None) -> tuple[Card, list[GalleryRow]]:
    """The card of a model by the protocol that fits its data or that a paper has, and pictures for its report."""
    from retouch.editor import find_device
    from retouch.metrics import papers
    from retouch.model import load_model

    device = find_device(options.device)
    model = load_model(options.model, device)
    name = options.protocol or ''
    if name not in papers.PAPERS:
        if options.proxy:
            raise ValueError(f'--proxy needs the protocol of a paper: expected --protocol {" or ".join(papers.PAPERS)}')
        return _score_model(model, options, with_gallery, ledger)
    asked, family = _as_paper(model, name, options), papers.family_of(name, model.method)
    card, gallery = _score_model(model, asked, with_gallery, ledger, streets=name == 'asgit')
    card = papers.as_paper(card, name, 'pairs' if card.protocol == 'pairs' else family, options.proxy)
    return card.model_copy(update={'command': _command(dataclasses.replace(options, n=asked.n), name)}), gallery


def _as_paper(model: Model, name: str, options: EvaluateOptions) -> EvaluateOptions:
    """The options that give a paper's numbers of a model; ValueError where something is missing for them, before anything is read."""
    from retouch.metrics import papers
    from retouch.metrics.features import JUDGE, PUBLISHED, find_weights

    paper, method = papers.PAPERS[name], model.method
    family, source = papers.family_of(name, method), _source(model, options)
    drawn, needed = source == 'toyfaces', paper.features.get(family, ())
    protocol = papers.protocol_of(name, method, source)
    if protocol == 'pairs' or family == 'pairs':
        needed = ()
    if options.proxy and not needed:
        raise ValueError(f'--proxy does not apply to --protocol {name} of a {method.id}: its numbers need no published weights')
    if paper.parser and not options.parser and not (options.proxy and drawn):
        instead = '; on drawn faces --proxy takes the true region in its place' if drawn else ''
        raise ValueError(f'--protocol {name} needs --parser MODEL, which finds the parts of a face that its PSNR leaves out{instead}')
    if name == 'asgit' and family == 'pairs' and drawn and (edit := model.info.get('data', {}).get('edit')) is not None:
        raise ValueError(f'--protocol {name} reads parses: pairs of a face and its edit, {edit}, have none; expected --protocol pairs')
    if name == 'asgit' and family == 'pairs' and drawn and method.data.domains[-1] == 'B' and not options.judge:
        raise ValueError(f'--protocol {name} of pictures made from parses needs --judge MODEL, the parser that reads them; train one with '
                         f'`retouch train parser.toyfaces48 --data.size {method.data.size}`')
    added = (JUDGE,) if options.proxy else needed
    for extractor in (*added, *options.features):
        if extractor in PUBLISHED:                               # others are refused where they are opened
            find_weights(extractor, options.weights, options.download)
    n = options.n if options.n is not None or drawn else paper.n
    return dataclasses.replace(options, protocol=protocol, features=tuple(dict.fromkeys((*added, *options.features))), n=n, proxy=False)


def _source(model: Model, options: EvaluateOptions) -> str:
    return options.data or model.info.get('data', {}).get('source', 'toyfaces')


def _command(options: EvaluateOptions, protocol: str) -> str:
    """How to repeat an evaluation."""
    given = {'--data': options.data, '--protocol': protocol, '--judge': options.judge, '--parser': options.parser,
             '--n': str(500 if options.n is None else options.n), '--seed': str(options.seed), '--size': str(options.size or ''),
             '--weights': str(options.weights or '')}
    command = shlex.join(['retouch', 'evaluate', options.model])
    command += ''.join(f' {flag} {shlex.quote(value)}' for flag, value in given.items() if value)
    return command + (f' --features {shlex.join(options.features)}' if options.features else '') + (' --proxy' if options.proxy else '')


def _score_model(model: Model, options: EvaluateOptions, with_gallery: bool, ledger: Ledger | None,
                 streets: bool = False) -> tuple[Card, list[GalleryRow]]:
    """The card of a model by the protocol that fits its data. streets: of pairs of a folder, which are Cityscapes'."""
    from retouch.metrics import protocols
    from retouch.metrics.judge import model_to_judge, proved
    from retouch.metrics.papers import PAPERS
    from retouch.model import load_model

    n, device = 500 if options.n is None else options.n, model.device
    if n < 2:
        raise ValueError(f'--n {n}: expected at least 2 pictures')
    trained, source = model.info.get('data', {}), _source(model, options)
    protocol = fitting_protocol(model.method.id, model.method.kind, source)
    takes_exemplar, reads = getattr(model.method, 'takes_exemplar', False), protocol in ('classifier', 'parser')
    if source == 'toyfaces' and ((options.protocol == 'exemplars' and takes_exemplar) or (options.protocol == 'eyeglasses' and not reads)):
        protocol = options.protocol                              # of other kinds of systems too, if asked for
    if options.protocol == 'pairs' and source != 'toyfaces' and model.method.kind == 'domains':
        protocol = 'pairs'                                       # likewise, of pictures that have partners
    if options.protocol is not None:
        names = [*protocols.PROTOCOLS, 'classifier', 'parser', *PAPERS]
        if options.protocol not in names:
            raise unknown('protocol', options.protocol, names)
        if options.protocol != protocol:
            raise ValueError(f'--protocol {options.protocol} does not fit a {model.method.id} on {source}: expected {protocol}')
    if options.size is not None and (protocol != 'classifier' or options.size < 8):
        raise ValueError(f'--size {options.size}: expected at least 8, and a classifier; other systems are scored at their own size')
    if protocol in ('classifier', 'parser'):
        for flag, value in {'--judge': options.judge, **_features(options)}.items():
            if value:
                truth = 'labels' if protocol == 'classifier' else 'masks'
                raise ValueError(f'{flag} does not apply to a {protocol}: its readings are scored against the {truth}')
    if options.parser and protocol not in ('toyfaces', 'folder'):
        raise ValueError(f'--parser does not apply to {protocol}: it reads parts of faces whose attributes are edited')
    if not options.features and (options.weights or options.download):
        raise ValueError(f'{"--weights" if options.weights else "--download"} needs --features: no other measure has published weights')
    shared: dict[str, Any] = {'seed': options.seed, 'device': device, 'command': _command(options, protocol), 'ledger': ledger}
    added: dict[str, Any] = {'features': options.features, 'weights': options.weights, 'download': options.download}
    if protocol == 'pairs':
        return _score_pairs(model, source, n, options, {**shared, **added}, with_gallery, streets)
    judge = None
    if options.judge:                                            # one of photographs rarely reaches 0.99: its accuracy stands in the card
        drawn = protocol in (*protocols.DRAWN, 'exemplars')
        judge = model_to_judge(load_model(options.judge, device), device)
        judge = proved(judge, options.judge, drawn=True) if drawn else proved(judge, options.judge, minimum=0, drawn=False)
    parser = load_model(options.parser, device) if options.parser else None
    if protocol in protocols.EXEMPLARS:
        own = source if protocol == 'exemplars_folder' else None
        return _score_exemplars(model, own, n, judge, options, {**shared, **added}, with_gallery)
    with progress_bar() as progress:
        if protocol in protocols.DRAWN:
            card = protocols.evaluate(model, protocol=protocol, n=n, judge=judge, progress=progress, parser=parser,
                                      untrained=_untrained(model), **added, **shared)
            return card, gallery_of(model, protocol, n, options.seed) if with_gallery else []
        if protocol == 'parser':
            from retouch.metrics.parsing import parser_card

            parses = held_out_parses(model, source, trained, n, options.seed, progress)
            return parser_card(model, parses, source=source, progress=progress, **shared), []
        if protocol == 'domains_folder':
            images, labels = held_out_of_domains(model, source, n, progress)
        else:
            images, labels = held_out(model, source, trained, n, options.seed, progress, options.size)
        if protocol == 'classifier':
            return protocols.classifier_card(model, images, labels, source=source, progress=progress, **shared), []
        card = protocols.evaluate(model, protocol=protocol, judge=judge, images=images, labels=labels, source=source,
                                  progress=progress, parser=parser, **added, **shared)
        return card, gallery_of(model, protocol, n, options.seed, (images, labels)) if with_gallery else []


def _features(options: EvaluateOptions) -> dict[str, Any]:
    return {'--features': options.features, '--weights': options.weights, '--download': options.download}


def _score_pairs(model: Model, source: str, n: int, options: EvaluateOptions, shared: dict[str, Any],
                 with_gallery: bool, streets: bool) -> tuple[Card, list[GalleryRow]]:
    """The card of a model against true partners, and pictures for its report."""
    from retouch.metrics.pairs import CITYSCAPES, evaluate_pairs
    from retouch.model import load_model

    reader = load_model(options.judge, shared['device']) if options.judge else None
    with progress_bar() as progress:
        a, b = held_out_partners(model, source, n, options.seed, progress)
        card = evaluate_pairs(model, a, b, source=source, reader=reader, progress=progress, untrained=_untrained(model),
                              palette=CITYSCAPES if streets and source != 'toyfaces' else None, **shared)
    return card, gallery_of(model, 'pairs', n, options.seed, (a, b)) if with_gallery else []


def _score_exemplars(model: Model, folder: str | None, n: int, judge: Judge | None, options: EvaluateOptions, shared: dict[str, Any],
                     with_gallery: bool) -> tuple[Card, list[GalleryRow]]:
    """The card of a system that takes an exemplar, and pictures for its report; with --figures also what masks and codes do."""
    from retouch.figures import codes_to_rows, pairs_to_rows, removals_to_rows
    from retouch.metrics.exemplars import Transfers, evaluate_exemplars, folder_pairs, transfers_of

    method = model.method
    with progress_bar() as progress:
        if folder is None:
            pairs = transfers_of(model, n, options.seed, progress)
        else:
            pairs = folder_pairs(model.data.attributes, *held_out(model, folder, model.info.get('data', {}), n, options.seed, progress),
                                 seed=options.seed)
        card = evaluate_exemplars(model, pairs, judge=judge, source=folder or 'toyfaces', progress=progress,
                                  untrained=None if folder else _untrained(model), **shared)
    if not with_gallery:
        return card, []
    rows = pairs_to_rows(method, pairs)
    if options.figures and method.kind == 'exemplars':
        rows += removals_to_rows(method, pairs, options.seed) if isinstance(pairs, Transfers) else []
        try:
            rows += codes_to_rows(method, pairs, options.seed)
        except ModuleNotFoundError:
            print("note: no t-SNE of codes, which needs scikit-learn: pip install 'retouch[figures]'", file=sys.stderr)
    return card, rows


def _untrained(model: Model) -> Any:
    """The same method before its first step, for the row that shows what training gave."""
    import torch

    torch.manual_seed(model.info.get('seed', 0))
    untrained = type(model.method)(model.method.config, model.data)
    learned = {net for update in untrained.updates() for net in update.nets}
    for net in set(model.method.nets) - learned:                 # a frozen parser, which was there before
        untrained.nets[net].load_state_dict(model.method.nets[net].state_dict())
    return untrained


def fitting_protocol(method: str, kind: str, source: str) -> str:
    """The protocol that scores a method on a source of data."""
    if method in ('classifier', 'parser'):
        return method
    if kind == 'pairs':
        return 'pairs'
    drawn, folder = {'attributes': ('toyfaces', 'folder'), 'domains': ('domains', 'domains_folder'),
                     'exemplars': ('exemplars', 'exemplars_folder')}[kind]
    return drawn if source == 'toyfaces' else folder


def gallery_of(model: Model, protocol: str, n: int, seed: int, pictures: tuple[np.ndarray, np.ndarray] | None = None) -> list[GalleryRow]:
    """The first pictures of a protocol in every edit; `pictures` are what it scores where it draws none, with their labels or partners."""
    from retouch.figures import pairs_to_rows
    from retouch.metrics.exemplars import folder_pairs, transfers_of
    from retouch.metrics.pairs import pair_task
    from retouch.metrics.protocols import DRAWN
    from retouch.metrics.tasks import domain_folder_tasks, folder_tasks
    from retouch.report import eyeglasses_rows, gallery_rows, tasks_to_rows

    if protocol == 'eyeglasses':
        return eyeglasses_rows(model, n, seed)
    if protocol in DRAWN:
        return gallery_rows(model, seed=seed)
    if protocol == 'exemplars':
        return pairs_to_rows(model.method, transfers_of(model, n, seed))
    if pictures is None:
        return []
    if protocol == 'exemplars_folder':
        return pairs_to_rows(model.method, folder_pairs(model.data.attributes, *pictures, seed=seed))
    images, known = (some[:4] for some in pictures)
    if protocol == 'pairs':
        return tasks_to_rows(model.method, images, [pair_task(model.method, known)], what='pair')
    make = domain_folder_tasks if protocol == 'domains_folder' else folder_tasks
    return tasks_to_rows(model.method, *make(model.method, images, known, None), what='picture')


# ---- held-out pictures

def held_out(model: Model, source: str, trained: dict[str, Any], n: int, seed: int,
              progress: Callable[[int, int, str], None], size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N,S,S,3] that training never saw, with the model's labels [N,K]."""
    names, size = model.data.attributes, size or model.data.size
    if source == 'toyfaces':
        from retouch.data.toyfaces import ATTRIBUTES
        from retouch.metrics.truth import held_out_faces

        images, labels = held_out_faces(n, size, seed, lambda done, total: progress(done, total, 'drawing faces'))
        return images, labels[:, [ATTRIBUTES.index(name) for name in names]]
    from retouch.data.sets import AttributeData, ExemplarData, open_attributes

    known = {k: v for k, v in trained.items() if k in ('crop', 'holdout', 'any_of')}
    data = ExemplarData if model.method.kind == 'exemplars' else AttributeData
    config = data(source=source, attributes=names, size=size, **known)
    opened = open_attributes(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    if not len(opened.images):
        raise ValueError(f'{source} has no held-out pictures: expected at least 2; use a larger set')
    return opened.images[:n], opened.labels[:n]


def held_out_parses(model: Model, source: str, trained: dict[str, Any], n: int, seed: int,
                     progress: Callable[[int, int, str], None]) -> ParsingSet:
    """At most n pictures that training never saw, with their true parses."""
    from retouch.data.sets import ParsingData, open_parsing

    known = {'holdout': n, 'seed': seed} if source == 'toyfaces' else {k: trained[k] for k in ('ids', 'classes', 'holdout') if k in trained}
    config = ParsingData(source=source, size=model.data.size, **known)
    opened = open_parsing(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    return dataclasses.replace(opened, images=opened.images[:n], segmentations=opened.segmentations[:n])


def held_out_of_domains(model: Model, source: str, n: int, progress: Callable[[int, int, str], None]) -> tuple[np.ndarray, np.ndarray]:
    """Test pictures of two domains uint8 [N,S,S,3], A and B in turn as far as both reach, and [N,2]: is of A, is of B."""
    import numpy as np

    from retouch.data.sets import DomainData, open_domains

    config = DomainData(source=source, size=model.data.size, load_size=None)
    opened = open_domains(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    half = n // 2
    both = sorted([(i, 0) for i in range(min(half, len(opened.a)))] + [(i, 1) for i in range(min(half, len(opened.b)))])
    images = np.stack([(opened.a, opened.b)[of][i] for i, of in both])
    return images, np.eye(2, dtype=np.float32)[[of for _, of in both]]


def held_out_partners(model: Model, source: str, n: int, seed: int,
                    progress: Callable[[int, int, str], None]) -> tuple[np.ndarray, np.ndarray]:
    """Test pairs uint8 [N,S,S,3] each: what is given, and the model's domain that is wanted."""
    from retouch.data.sets import PairData, open_pairs
    from retouch.metrics.pairs import held_out_pairs

    size, wanted = model.data.size, model.data.domains[-1]
    edit = model.info.get('data', {}).get('edit') if source == 'toyfaces' else None
    if source == 'toyfaces' and edit is None:
        return held_out_pairs(n, size, seed, wanted)
    direction: Any = 'b_to_a' if wanted == 'A' else 'a_to_b'
    config = PairData(source=source, edit=edit, direction=direction, size=size, load_size=None, seed=seed)
    opened = open_pairs(config, 'test', lambda done, total: progress(done, total, 'reading pictures'))
    return opened.a[:n], opened.b[:n]
