"""From a request to a card: the protocol that fits a model and its data, or a paper's, on the pictures that it scores."""
from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouch.data.splits import files_of
from retouch.errors import unknown
from retouch.evaluation import papers, protocols
from retouch.evaluation.asked import FLIPPING
from retouch.evaluation.card import Card
from retouch.evaluation.directions import TwoClasses, as_domains
from retouch.evaluation.exemplars import evaluate_exemplars
from retouch.evaluation.held_out import (
    WHOLE,
    check_judge_is_new,
    domain_config,
    exact_partners,
    held_out,
    held_out_of_domains,
    held_out_parses,
    held_out_partners,
    held_out_transfers_of,
    labelled_config,
    part_of,
    transfer_config,
)
from retouch.evaluation.judge import Judge, model_to_judge, proved
from retouch.evaluation.ledger import Ledger
from retouch.evaluation.native import NATIVE_N
from retouch.evaluation.pairs import CITYSCAPES, evaluate_pairs
from retouch.evaluation.parsing import parser_card
from retouch.evaluation.tasks import Progress
from retouch.evaluation.transfers import Pairs, transfers_of
from retouch.hardware import find_device
from retouch.metrics import features
from retouch.model import Model, load_model

Named = str | Path | Model                      # a run directory, a model directory, a shipped name, or the model itself


@dataclass(frozen=True)
class Request:
    """What is to be scored, on what, and how. The options of `retouch evaluate` have the same names."""

    model: Named
    data: str | None = None                     # 'toyfaces' or a folder in place of the model's own data
    protocol: str | None = None                 # None: the one that fits the model's data
    n: int | None = None                        # held-out pictures; None: 500 drawn faces (native: 200), all of a folder, or the paper's
    seed: int = 0                               # which held-out pictures, and of the bootstrap
    size: int | None = None                     # classifiers: side of the pictures before they are brought to the model's
    judge: Named | None = None                  # None: the shipped one, where it can judge
    parser: Named | None = None                 # adds PSNR outside the parts of a face that an edit names
    proxy: bool = False                         # of a paper's protocol: the judge's features stand in for published weights
    features: tuple[str, ...] = ()              # of `metrics.features.NAMES`
    weights: str | Path | None = None           # folder of their files
    download: bool = False                      # fetch those that are missing and have a published digest
    device: str = 'auto'
    edits: tuple[str, ...] = ()                 # of attributes: what is asked, as `edits.read_edit` reads it; empty: each by itself


@dataclass(frozen=True)
class Scored:
    """A card, and what is needed to show what it is of."""

    card: Card
    model: Model
    pictures: tuple[np.ndarray, np.ndarray] | Pairs | None       # with labels or partners; None of faces that are drawn one by one


def evaluate(request: Request, ledger: Ledger | None = None, progress: Progress | None = None) -> Scored:
    """Scores a model by the protocol that fits its data or that a paper has.

    Args:
        request: what and how.
        ledger: keeps what was computed, so that an evaluation that is stopped can go on, and gets the sums behind the intervals.
        progress: called with (done, total, what is being done).

    Raises:
        ValueError: no such model, protocol, data or weights, or some that do not go together; OSError: files that cannot be read.
        FloatingPointError: an answer that is not finite.
    """
    model = _model_of(request.model, find_device(request.device))
    name, told = request.protocol or '', progress or _silent
    if name not in papers.PAPERS:
        if request.proxy:
            raise ValueError(f'--proxy needs the protocol of a paper: expected --protocol {" or ".join(papers.PAPERS)}')
        return _score_model(model, request, ledger, told)
    source = _source(model, request)
    if name == 'asgit' or (name == 'aggan' and source != 'toyfaces'):
        model = as_domains(model)                                # StarGAN stands in these tables with a number for each direction
    asked, family = _as_paper(model, name, request), papers.family_of(name, model.method)
    scored = _score_model(model, asked, ledger, told, paper=name)
    card = papers.as_paper(scored.card, name, 'pairs' if scored.card.protocol == 'pairs' else family, request.proxy)
    command = _command(request, name, _n_of(asked, _source(model, request)))
    return dataclasses.replace(scored, card=card.model_copy(update={'command': command}))


def _model_of(named: Named, device: torch.device) -> Model:
    if isinstance(named, Model):
        return named
    if not isinstance(named, str | Path):
        raise ValueError(f'{named!r} names no model: expected a run directory, a model directory, a shipped name or a Model')
    return load_model(named, device)


def _path_of(named: Named | None) -> str | None:
    """What the command line calls a model."""
    return None if named is None else str(named.path if isinstance(named, Model) else named)


def _silent(done: int, total: int, what: str) -> None:
    pass


def _as_paper(model: Model, name: str, request: Request) -> Request:
    """The request that gives a paper's numbers of a model; ValueError where something is missing for them, before anything is read."""
    paper, method = papers.PAPERS[name], model.method
    family, source = papers.family_of(name, method), _source(model, request)
    drawn, needed = source == 'toyfaces', paper.features.get(family, ())
    protocol = papers.protocol_of(name, method, source)
    if protocol == 'pairs' or family == 'pairs':
        needed = ()
    if request.proxy and not needed:
        raise ValueError(f'--proxy does not apply to --protocol {name} of a {method.id}: its numbers need no published weights')
    if paper.parser and not request.parser and not (request.proxy and drawn):
        instead = '; on drawn faces --proxy takes the true region in its place' if drawn else ''
        raise ValueError(f'--protocol {name} needs --parser MODEL, which finds the parts of a face that its PSNR leaves out{instead}')
    if name == 'asgit' and family == 'pairs' and drawn and (edit := model.info.get('data', {}).get('edit')) is not None:
        raise ValueError(f'--protocol {name} reads parses: pairs of a face and its edit, {edit}, have none; expected --protocol pairs')
    if name == 'asgit' and family == 'pairs' and drawn and method.data.domains[-1] == 'B' and not request.judge:
        raise ValueError(f'--protocol {name} of pictures made from parses needs --judge MODEL, the parser that reads them; train one with '
                         f'`retouch train parser.toyfaces48 --data.size {method.data.size}`')
    added = (features.JUDGE,) if request.proxy else needed
    for extractor in (*added, *request.features):
        if extractor in features.PUBLISHED:                               # others are refused where they are opened
            features.find_weights(extractor, request.weights, request.download)
    n = request.n if request.n is not None or drawn else paper.n
    return dataclasses.replace(request, protocol=protocol, features=tuple(dict.fromkeys((*added, *request.features))), n=n, proxy=False)


def _source(model: Model, request: Request) -> str:
    if request.data is None and 'origin' in model.info:
        raise ValueError(f'{model.path} was imported and brings no pictures: name some to score it on with --data DIR')
    return request.data or model.info.get('data', {}).get('source', 'toyfaces')


def _n_of(request: Request, source: str) -> int | None:
    """How many held-out pictures are asked for; None: all that a folder has."""
    if request.n is not None or source != 'toyfaces':
        return request.n
    return NATIVE_N if request.protocol == 'native' else 500


def _command(request: Request, protocol: str, n: int | None) -> str:
    """How to repeat an evaluation of n pictures."""
    given = {'--data': request.data, '--protocol': protocol, '--judge': _path_of(request.judge), '--parser': _path_of(request.parser),
             '--n': '' if n is None else str(n), '--seed': str(request.seed), '--size': str(request.size or ''),
             '--weights': str(request.weights or '')}
    command = shlex.join(['retouch', 'evaluate', str(_path_of(request.model))])
    command += ''.join(f' {flag} {shlex.quote(value)}' for flag, value in given.items() if value)
    command += f' --edits {shlex.join(request.edits)}' if request.edits else ''
    return command + (f' --features {shlex.join(request.features)}' if request.features else '') + (' --proxy' if request.proxy else '')


def _score_model(model: Model, request: Request, ledger: Ledger | None, progress: Progress, paper: str = '') -> Scored:
    """The card of a model by the protocol that fits its data. paper: whose numbers are wanted; of asgit, pairs are Cityscapes'."""
    trained, source, device = model.info.get('data', {}), _source(model, request), model.device
    if model.data.amounts:
        raise ValueError(f'{model.path} was trained on expressions by degrees, which no protocol of labels fits: expected a model of '
                         'labels that are 0 or 1; benchmarks/expressions.py measures this one')
    n = _n_of(request, source)
    if n is not None and n < 2:
        raise ValueError(f'--n {n}: expected at least 2 pictures')
    protocol = fitting_protocol(model.method.id, model.method.kind, source)
    takes_exemplar, reads = getattr(model.method, 'takes_exemplar', False), protocol in ('classifier', 'parser')
    if source == 'toyfaces' and ((request.protocol == 'exemplars' and takes_exemplar) or (request.protocol == 'eyeglasses' and not reads)):
        protocol = request.protocol                              # of other kinds of systems too, if asked for
    if request.protocol == 'native' and protocol == 'toyfaces':
        protocol = 'native'
    if request.protocol == 'exemplars_folder' and source != 'toyfaces' and takes_exemplar and model.method.kind == 'domains':
        protocol = 'exemplars_folder'                            # of labelled pictures, whose labels say which domain they are of
    if request.protocol == 'pairs' and source != 'toyfaces' and model.method.kind == 'domains':
        protocol = 'pairs'                                       # likewise, of pictures that have partners
    if request.protocol is not None:
        names = [*protocols.PROTOCOLS, 'classifier', 'parser', *papers.PAPERS]
        if request.protocol not in names:
            raise unknown('protocol', request.protocol, names)
        if request.protocol != protocol:
            raise ValueError(f'--protocol {request.protocol} does not fit a {model.method.id} on {source}: expected {protocol}')
    if request.size is not None and (protocol != 'classifier' or request.size < 8):
        raise ValueError(f'--size {request.size}: expected at least 8, and a classifier; other systems are scored at their own size')
    if protocol in ('classifier', 'parser'):
        for flag, value in {'--judge': request.judge, **_features(request)}.items():
            if value:
                truth = 'labels' if protocol == 'classifier' else 'masks'
                raise ValueError(f'{flag} does not apply to a {protocol}: its readings are scored against the {truth}')
    if request.parser and protocol not in ('toyfaces', 'folder', 'exemplars_folder'):
        raise ValueError(f'--parser does not apply to {protocol}: it reads parts of faces whose attributes are edited')
    if not request.features and (request.weights or request.download):
        raise ValueError(f'{"--weights" if request.weights else "--download"} needs --features: no other measure has published weights')
    shared: dict[str, Any] = {'seed': request.seed, 'device': device, 'command': _command(request, protocol, n), 'ledger': ledger}
    added: dict[str, Any] = {'features': request.features, 'weights': request.weights, 'download': request.download,
                             'any_n': bool(paper)}
    if request.edits and protocol not in ('toyfaces', 'folder'):
        raise ValueError(f'--edits {" ".join(request.edits)} does not apply to protocol {protocol}: expected a system of attributes')
    only = papers.measures_of(paper, request.features) if paper else None
    judging, parser = (_model_of(named, device) if named else None for named in (request.judge, request.parser))
    part = part_of(source, model, judging, parser)

    def scored(card: Card, pictures: tuple[np.ndarray, np.ndarray] | Pairs | None) -> Scored:
        if part == WHOLE and source != 'toyfaces':
            card = card.model_copy(update={'data': card.data.model_copy(update={'split': WHOLE})})
        return Scored(card, model, pictures)

    if protocol == 'pairs':
        given, wanted = held_out_partners(model, source, n, request.seed, progress, part)
        palette = CITYSCAPES if paper == 'asgit' and source != 'toyfaces' else None
        exact = None if palette is None else exact_partners(model, source, n, progress, part)
        card = evaluate_pairs(model, given, wanted, exact=exact, source=source, reader=judging, progress=progress,
                              untrained=_untrained(model), palette=palette, **added, **shared)
        return scored(card, (given, wanted))
    judge: Judge | None = None
    if judging is not None:                                      # one of photographs rarely reaches 0.99: its accuracy stands in the card
        drawn, name = protocol in (*protocols.DRAWN, 'exemplars'), str(_path_of(request.judge))
        judge = model_to_judge(judging, device)
        judge = proved(judge, name, drawn=True) if drawn else proved(judge, name, minimum=0, drawn=False)
        if not drawn:
            config = (domain_config(model, source) if protocol == 'domains_folder' else
                      transfer_config(model, source, trained) if protocol == 'exemplars_folder' else
                      labelled_config(model, source, trained))
            files = files_of(config, part)
            some = slice(None) if n is None or protocol == 'domains_folder' else slice(-n, None) if paper else slice(n)
            check_judge_is_new(judging, name, files[some], source)
    if protocol in protocols.EXEMPLARS:
        pairs: Pairs
        if own := protocol == 'exemplars_folder':
            pairs = held_out_transfers_of(model, source, trained, n, request.seed, progress, part, bool(paper))
        else:
            assert n is not None                                 # of drawn faces there is a number
            pairs = transfers_of(model, n, request.seed, progress)
        card = evaluate_exemplars(model, pairs, judge=judge, source=source if own else 'toyfaces', progress=progress,
                                  untrained=None if own else _untrained(model), **added, **shared)
        return scored(card, pairs)
    if protocol in protocols.DRAWN:
        assert n is not None
        card = protocols.evaluate(model, protocol=protocol, n=n, judge=judge, progress=progress, parser=parser,
                                  untrained=None if protocol == 'native' else _untrained(model), edits=request.edits, only=only,
                                  **added, **shared)
        return scored(card, None)
    if protocol == 'parser':
        parses = held_out_parses(model, source, trained, n, request.seed, progress, part)
        return scored(parser_card(model, parses, source=source, progress=progress, **shared), None)
    if protocol == 'domains_folder' and isinstance(model.method, TwoClasses) and len(model.method.inner.data.attributes) == 1:
        whole = dataclasses.replace(model, method=model.method.inner)         # labelled pictures, in the frame that it knows
        images, shown = held_out(whole, source, trained, n, request.seed, progress, part=part, last=bool(paper))
        labels = np.concatenate([1 - shown, shown], 1)
    elif protocol == 'domains_folder':
        images, labels = held_out_of_domains(model, source, n, progress, part)
    else:
        images, labels = held_out(model, source, trained, n, request.seed, progress, request.size, part, last=bool(paper))
    if protocol == 'classifier':
        return scored(protocols.classifier_card(model, images, labels, source=source, progress=progress, **shared), None)
    card = protocols.evaluate(model, protocol=protocol, judge=judge, images=images, labels=labels, source=source, progress=progress,
                              parser=parser, edits=request.edits, flips=paper in FLIPPING, only=only, **added, **shared)
    return scored(card, (images, labels))


def _features(request: Request) -> dict[str, Any]:
    return {'--features': request.features, '--weights': request.weights, '--download': request.download}


def _untrained(model: Model) -> Any:
    """The same method before its first step, for the row that shows what training gave."""
    torch.manual_seed(model.info.get('seed', 0))
    if isinstance(model.method, TwoClasses):
        return TwoClasses(type(model.method.inner)(model.method.config, model.method.inner.data))
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
