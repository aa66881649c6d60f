"""Serves SageMaker's script contract from inside any model's environment.

Standard library only (httptools when it is there), Python 3.8 or newer, and nothing of Mooring: whoever
starts it hands over a listening socket and a `ReplicaSpec`, and hears of it through that socket, its log and the files
`failure.json` and `exit.json` in the replica's run directory.
"""

__version__ = "0.1.0"
