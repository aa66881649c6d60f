"""What a process must know of other processes: who they are, whether they live, how they ended, how to end them.

Every module stands alone and is imported by name, because the supervisor must stay small: `identity`, `groups`,
`exits`, `files`, `sockets` and `prctl` import nothing heavy; `lifeline`, `pidfd` and `signals` are for asyncio loops.
"""
