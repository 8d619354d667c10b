"""Pictures in, batches out: sources, the drawn faces, the cache, device-side transforms."""
