"""The codes the data may use; a code's index is what the arrays hold."""

STATE_HOLIDAYS = ("0", "a", "b", "c")  # none, public, Easter, Christmas
STORE_TYPES = ("a", "b", "c", "d")
ASSORTMENTS = ("a", "b", "c")  # basic, extra, extended
CLOSURE_DAYS = 14  # so many days in a row without a row are a whole closure, e.g. a refurbishment
