"""The judge that needs no language model: linear heads on sentence embeddings."""
