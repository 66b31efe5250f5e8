"""HTML templates and the style of figures."""
