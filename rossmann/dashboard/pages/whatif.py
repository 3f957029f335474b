"""What would another plan sell?"""

import streamlit as st

from rossmann.dashboard import loading


def page() -> None:
    """The page."""
    st.title("What-if")
    now = loading.current()
    st.caption(f"Champion version {now.champion.version} on snapshot {now.snapshot}")
