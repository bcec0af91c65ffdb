"""Both shapes in one document: MongoDB's atomic change of one document takes the place of tickets, marks and the seal.

Invariant: **the V2 part is trusted if and only if its fingerprint is that of the V1 part beside it**, and a current
conversion made it. Both stand in the document that is read, so this holds at once and for every reader, also where a
program that has never heard of lazymig changed V1's fields a moment ago.

A write of lazymig is a compare-and-set on `rev`, on the fingerprint, and on the old value of every field of V1 that it
sets or unsets, because other programs change no revision. From the first write in `v2_only` on, a document is `alone`:
V1's part is not kept, V2's part is the truth, and no process converts V1's part again.

All of this was explored (`tests/interleaving/in_place/`), with outside writers and a crash before every step. Explore
again before you change a guard; the mutants there show what each prevents.
"""
