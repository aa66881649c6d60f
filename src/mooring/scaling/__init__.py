"""Application Auto Scaling as values: targets, policies, schedules, and what each of them decides.

Pure: no clock, no store, no metric is read here. Control asks with what it sees, a simulation with what it makes up.
"""
