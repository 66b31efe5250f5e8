"""The catalogue of data sets, prompts, and the texts that the checks compare."""
