"""What Streamlit runs for every session.

In a folder of its own: Streamlit would take the files of a folder `pages` beside it for its pages, each as a script.
"""

from rossmann.dashboard import app

app.main()
