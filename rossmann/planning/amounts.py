"""Amounts as planners type or paste them, and which of them are hardly meant."""

import re

import numpy as np

from rossmann.validation import DataError

PLAIN = re.compile(r"\d+(\.\d+)?|\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)
CHANGE = re.compile(r"([+-]\d+(\.\d+)?) ?%", re.ASCII)
TWO_MEANINGS = re.compile(r"\d{1,3}\.\d{3}", re.ASCII)  # thousands in German, decimals in English
UNLIKELY_FACTOR = 3  # an override this many times above or below the forecast is asked about


def parse_amount(text: str, forecast: float) -> float:
    """The amount that a text means: 8500, 8,500, 8500.50, or a change of the forecast like +10 % and -5%.

    DataError, with what to write instead, for any other text: it is never read as a part of itself.
    """
    trimmed_text = text.strip()
    if change := CHANGE.fullmatch(trimmed_text):
        return max(forecast * (1 + float(change[1]) / 100), 0.0)
    if PLAIN.fullmatch(trimmed_text) and not TWO_MEANINGS.fullmatch(trimmed_text):
        return float(trimmed_text.replace(",", ""))
    raise DataError(f'"{text}" is no amount: write it like 8500 or 8500.50, or as a change like +10%')


def is_unlikely(amount: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Which amounts are UNLIKELY_FACTOR times the forecast or more, or that fraction of it or less. bool, same shape"""
    return (amount >= UNLIKELY_FACTOR * forecast) | (amount * UNLIKELY_FACTOR <= forecast)
