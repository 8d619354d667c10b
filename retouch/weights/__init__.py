"""Weights that others published: read without running anything, put in our networks' order, checked, and written as a model directory."""
