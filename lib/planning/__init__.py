"""What a run or a sweep is going to do: its jobs, what each needs, and what the rest will cost."""
