"""Exporting a model: what is asked of it, the formats, and how far they are from torch."""
from retouch.export.export import export_model

__all__ = ['export_model']
