"""Code that must work before anything is installed: standard library only."""
