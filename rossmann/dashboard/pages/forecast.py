"""What will each store sell, and how sure is that?"""

import streamlit as st

from rossmann.dashboard import loading


def page() -> None:
    """The page."""
    st.title("Forecast")
    now = loading.current()
    st.caption(f"Champion version {now.champion.version} on snapshot {now.snapshot}")
