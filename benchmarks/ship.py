"""Copies a trained model into the package: half-precision weights, the card's command, a README.

    python benchmarks/ship.py RUN toyfaces|leaves|judge

Then `retouch evaluate` writes the card beside it; see the README it leaves.
"""
from __future__ import annotations

import argparse

import torch

from retouch.model import SHIPPED, load_model, save_model


def main() -> None:
    """Writes retouch/assets/<name>/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run')
    parser.add_argument('name', choices=SHIPPED)
    parser.add_argument('--source', help='what to call the pictures, in the place of the folder on this machine')
    options = parser.parse_args()
    model = load_model(options.run)
    weights = {f'{n}.{k}': v for n in model.method.inference_nets for k, v in model.method.nets[n].state_dict().items()}
    if options.source:
        model.info['data']['source'] = options.source
    save_model(SHIPPED[options.name], model.method, weights, model.info, torch.float16)
    print(f'{SHIPPED[options.name]}: {(SHIPPED[options.name] / "model.safetensors").stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
