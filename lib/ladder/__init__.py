"""The dose ladder (docs/protocol.md section 4)."""
