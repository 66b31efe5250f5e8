"""The Phase-1 traces: sampled, filtered, matched."""
