"""Importing this makes Python look for garbage less often.

Collections after every 700 new objects are a fifth of the time of imports and of reading a book. What holds much
memory, tensors and arrays, goes by reference counts, without a collection.
"""

import gc

gc.set_threshold(50_000, 10, 10)
