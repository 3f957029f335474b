"""A first chain.toml for a folder of raw files: what its columns look like, what they probably are, and why."""

from rossmann.chain import CHAIN_FILE
from rossmann.data.chain_guess.roles import guess_chain, is_kaggle_format
from rossmann.data.chain_guess.text import require_no_chain_file, write_chain_file
from rossmann.data.chain_guess.values import ChainGuess

__all__ = ["CHAIN_FILE", "ChainGuess", "guess_chain", "is_kaggle_format", "require_no_chain_file", "write_chain_file"]
