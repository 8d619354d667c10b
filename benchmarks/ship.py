"""Copies a trained model into the package: half-precision weights, the card's command, a README.

    python benchmarks/ship.py RUN toyfaces|leaves|judge [--without CLASS] [--source NAME] [--reader RUN]
        [--settings mirrored=true visible=0.1]

Then `retouch evaluate` writes the card beside it; see the README it leaves.
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from retouch.methods.local import Local
from retouch.model import SHIPPED, load_model, save_model

OF_CRITIC = ('width_d', 'most_d', 'scales', 'projection')         # settings of `local` that say what a critic is


def without(method: Local, weights: dict[str, Tensor], name: str) -> tuple[Local, dict[str, Tensor]]:
    """A model that was never asked for a class: its condition is always 0, so its channels go; scores keep what its absence gave them."""
    names = method.data.attributes
    k = names.index(name)
    rest = type(method)(method.config, method.data.model_copy(update={'attributes': tuple(n for n in names if n != name)}))

    def dropped(x: Tensor, dim: int, at: int) -> Tensor:
        return x.index_select(dim, torch.tensor([i for i in range(x.shape[dim]) if i != at]))

    found = dict(weights)
    found['G.main.0.weight'] = dropped(weights['G.main.0.weight'], 1, 3 + k)           # after the picture's three
    found['D.cls.weight'] = dropped(weights['D.cls.weight'], 0, k)
    for key, value in weights.items():
        if key.startswith('D.heads.'):                           # h_0, then one a class; of an absent one h_k is taken off
            value = value.clone()
            value[0] -= value[1 + k]
            found[key] = dropped(value, 0, 1 + k)
    rest.nets.load_state_dict(found)
    return rest, found


def with_reader(method: Local, weights: dict[str, Tensor], reader: Local) -> tuple[Local, dict[str, Tensor]]:
    """A model whose pictures are read by another run's critic, a narrower one, say: all that a critic is for once training is over."""
    other = [name for name in ('labels', 'colours', 'bound') if getattr(reader.config, name) != getattr(method.config, name)]
    if reader.data != method.data:
        other.append('data')
    if other:
        raise ValueError(f'the reader has other {", ".join(other)}: expected data, labels, colours and bound of the run')
    of_critic = {name: getattr(reader.config, name) for name in OF_CRITIC}
    rest = type(method)(method.config.model_copy(update=of_critic), method.data)
    found = {key: value for key, value in weights.items() if not key.startswith('D.')}
    found |= {f'D.{key}': value for key, value in reader.nets['D'].state_dict().items()}
    rest.nets.load_state_dict(found)
    return rest, found


def with_settings(method: Any, weights: dict[str, Tensor], settings: Sequence[str]) -> Any:
    """The same weights with settings changed, each 'name=value' with the value in JSON; ValueError where the method has no such setting."""
    changes = {name: json.loads(value) for name, value in (setting.split('=', 1) for setting in settings)}
    rest = type(method)(type(method.config).model_validate({**method.config.model_dump(), **changes}), method.data)
    rest.nets.load_state_dict(weights)
    return rest


def main() -> None:
    """Writes retouch/assets/<name>/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run')
    parser.add_argument('name', choices=SHIPPED)
    parser.add_argument('--without', help='a class of `local` that is not shipped; what the others become stays the same')
    parser.add_argument('--source', help='what to call the pictures, in the place of the folder on this machine')
    parser.add_argument('--reader', help='a run of `local` whose critic reads pictures, in the place of the one that taught')
    parser.add_argument('--settings', nargs='*', default=[], help='of the method, which edits are to be made with; no weight changes')
    options = parser.parse_args()
    if options.reader and options.without:
        parser.error('--reader knows the class that --without takes out: choose one')
    model = load_model(options.run)
    weights = {f'{n}.{k}': v for n in model.method.inference_nets for k, v in model.method.nets[n].state_dict().items()}
    method = model.method
    if options.without:
        method, weights = without(method, weights, options.without)
    if options.reader:
        reader = load_model(options.reader)
        method, weights = with_reader(method, weights, reader.method)
        model.info['reader'] = {'iteration': reader.info['iteration'], 'sha256': reader.weights_sha256}
        model.info['taught by'] = {name: getattr(model.method.config, name) for name in OF_CRITIC}
    if options.settings:
        method = with_settings(method, weights, options.settings)
    if options.source:
        model.info['data']['source'] = options.source
    save_model(SHIPPED[options.name], method, weights, model.info, torch.float16)
    print(f'{SHIPPED[options.name]}: {(SHIPPED[options.name] / "model.safetensors").stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
