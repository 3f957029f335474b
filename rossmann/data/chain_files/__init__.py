"""The files of any chain, as its chain.toml describes them. A chain's column names exist only in this package."""
