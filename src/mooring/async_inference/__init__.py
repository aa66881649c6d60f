"""Asynchronous inference: a queue that loses nothing and answers once.

The gateway's edge (`accepting`) makes a job durable before it says 202. The work side, which control runs, reads the
input, calls the model, keeps the answer on disk before anything is told of it, and then writes and announces it.
"""
