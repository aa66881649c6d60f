"""`mooring explain`: why a model said what it said, for people.

`inputs` has the caller's records, `asking` the two calls (DescribeEndpoint, InvokeEndpoint), `answers` what the answer
says, checked, as values. `scores` finds the predictions in it, from which base values follow. `drawing` is the
terminal's side, `page` and `waterfall` make the HTML file. All that is shown was chosen by callers and by models.
"""
