"""Both fine-tuning phases, the loss mask and the adapters."""
