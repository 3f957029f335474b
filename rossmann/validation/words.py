"""The codes and limits of the data; a code's index is what the arrays hold."""

from datetime import date

STATE_HOLIDAYS = ("0", "a", "b", "c")  # none, public, Easter, Christmas
STORE_TYPES = ("a", "b", "c", "d")
ASSORTMENTS = ("a", "b", "c")  # basic, extra, extended
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

CLOSURE_DAYS = 14  # so many days in a row without a row are a whole closure, e.g. a refurbishment
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2099, 12, 31)
MAX_AMOUNT = 1_000_000  # sales or customers of one store on one day
MAX_TIMES_USUAL = 20  # sales or customers against the store's median open day
