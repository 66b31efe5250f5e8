"""The probe judge: heads on hidden states of a chat model, and its answers to a few questions."""
