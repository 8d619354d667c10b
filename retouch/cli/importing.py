"""`retouch import` and `retouch push`: weights that come from elsewhere, and models that go there."""
from __future__ import annotations

import shlex

from retouch.cli.options import ImportOptions, PushOptions
from retouch.errors import unknown
from retouch.files import check_out
from retouch.hub import PREFIX, check_repository, push_files
from retouch.model import find_model_dir, origin_to_terms
from retouch.report.readme import model_files
from retouch.weights.importing import import_weights
from retouch.weights.plan import Asked
from retouch.weights.sources import SOURCES


def import_published(options: ImportOptions) -> int:
    """`retouch import`."""
    if options.source not in SOURCES:
        raise unknown('source', options.source, SOURCES)
    check_out(options.out)
    kind = 'attributes' if options.source in ('stargan', 'aggan_multi', 'attgan', 'stgan') else 'domains'
    for flag, value, of in (('--attributes', options.attributes, 'attributes'), ('--exclusive', options.exclusive, 'attributes'),
                            ('--domains', options.domains, 'domains')):
        if value and kind != of:
            raise ValueError(f'{flag} does not apply to {options.source}, which is of {kind}')
    asked = Asked(options.attributes, options.domains, options.size, options.exclusive, options.setting)
    if options.exclusive and options.source in ('attgan', 'stgan'):
        raise ValueError(f'--exclusive does not apply to {options.source}, of independent attributes: stargan and aggan_multi have it')
    if options.setting is not None and options.source != 'attgan':
        raise ValueError(f'--setting does not apply to {options.source}: attgan alone has a setting.txt')
    origin = import_weights(options.source, options.files, options.out, asked, options.trained_on)
    known = origin_to_terms(origin)
    print(f'{options.out}: {options.source}, weights of {origin["source"]}; licence of the repository: {origin["licence"]}')
    of = f'of {origin["trained_on"]}' if origin['trained_on'] else 'of the training data'
    print(f'  terms: {known or f"those {of} are not known here: ask who published them"}')
    words = '--set NAME=1' if kind == 'attributes' else f'--to {(options.domains or ("A", "B"))[1]}'
    print(f'  retouch edit {shlex.quote(str(options.out))} PICTURE.png {words} --out edits')
    return 0


def push(options: PushOptions) -> int:
    """`retouch push`."""
    check_repository(options.repository)
    folder = find_model_dir(options.model)
    files = model_files(folder, options.repository.removeprefix(PREFIX), options.licence, options.data_terms)
    if options.dry_run:
        print(bytes(files['README.md']).decode(), end='')
        return 0
    print(push_files(options.repository, files, f'retouch push: {", ".join(files)}', options.private))
    print(f'  retouch edit {PREFIX}{options.repository.removeprefix(PREFIX)} PICTURE.png … --out edits')
    return 0
