"""A person reads answers without knowing the arm, and is compared with the judge."""
