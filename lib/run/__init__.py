"""Where artifacts are, what is finished, and how files are written."""
