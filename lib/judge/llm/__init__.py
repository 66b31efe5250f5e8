"""Judges that ask a language model: Claude, an endpoint, or a model in this process."""
