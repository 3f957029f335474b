"""What a row means: the columns, keys and rules of everything that comes in or goes out."""


class DataError(ValueError):
    """Something in the data that a user can mend: says what is wrong, where, and what to do."""
