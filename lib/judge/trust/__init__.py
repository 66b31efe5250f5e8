"""How far a judge can be believed: agreement, validity, a second judge."""
