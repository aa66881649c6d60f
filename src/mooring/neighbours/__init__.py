"""The neighbours of SageMaker: IAM, SNS, SQS, Logs, CloudWatch and STS, which moto emulates in a process of its own.

Control starts `python -m mooring.neighbours` at the first call to one of them and forwards the calls (`mooring.control.
neighbours`); nothing else here imports moto, and nothing of it is loaded before. What a call makes lasts: a call that
changes a resource is in the journal, on disk, before it is answered, and is made again at every start, with the ids and
the times that it had. Messages, log events and metrics are traffic and live as long as the process.

`calls` brings requests into one form, `keeping` says what lasts, `journal` keeps it, `emulation` is all that touches
moto, `performing` puts these together, and `process` serves.
"""
