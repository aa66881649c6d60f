"""Shadow variants: copies of calls that touch no caller, and what people are told of the two models' answers.

A gateway does no more for a copy than to pass the call on, and later its answer, to a child process of its own, the
copier (`mirroring`, `frames`). The copier sends the copies, waits for slow shadows, meets dead ones and
compares answers (`copier`, `lane`, `copies`, `comparing`, `tally`): what that costs, and what goes wrong there, is not
on the loop that callers wait for.
"""
