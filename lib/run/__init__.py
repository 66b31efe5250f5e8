"""Where artifacts lie, what is finished, and how they are written."""
