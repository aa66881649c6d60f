"""Control's HTTP edge, and the entry point of the control process.

`operations` is the table of what Mooring serves; `edge` takes a request there and back; `administration` answers the
command line. An operation is a function of a connection and a `Call`, in the module of its resource.
"""
