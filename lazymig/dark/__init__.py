"""Dark reads: a share of live reads is answered by one side, and compared with the other side behind the caller.

Nothing here writes V1 or V2.
"""
