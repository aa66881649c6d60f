"""Who may do what: access keys, what is signed with them, and what their policies allow.

A leaf below every process that lets callers in: gateways, control's edge and the objects front hold the same `Keyring`,
which control fills over a private socket, and judge on their own with it. Nothing here reads or writes a file, and no
secret of a key is ever in a `repr` or a message.
"""
