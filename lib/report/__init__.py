"""The result file, its figures and the HTML site."""
