"""The dashboard for planners: a Streamlit application that reads a workspace.

server    starts it on one address of this machine
app       navigation over the pages; script/main.py, which Streamlit runs, calls it
pages     one module a page, each with a function `page()`
loading   the champion, its State and history, cached until another snapshot or champion is current
charts    Plotly figures that are readable on light and on dark ground
formats   numbers and dates as text
"""
