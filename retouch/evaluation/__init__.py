"""Which pictures are asked what and scored how: from a request to a metric card."""
