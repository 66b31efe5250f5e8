"""The catalogue of data sets, the prompts, and the texts that checks compare."""
