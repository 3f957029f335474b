"""The dashboard for planners and operators: a Streamlit application that reads a workspace.

It writes overrides and scenarios, and changes the champion through the `rossmann` command.

server              starts it on one address of this machine
app                 navigation over the pages; script/main.py, which Streamlit runs, calls it
pages               one module a page, each with a function `page()`
best_weeks          parts of pages: the best promotion weeks
override_editor     the editor of a store's overrides; override_table and override_fill are parts of it
reasons_view        reasons of a forecast, and why it moved
scenario_list       scenarios by name
timeline            alarms and decisions as one list
selection, links    the choice of stores, and what an address names that does not exist
loading             the champion, its State and history, cached until another snapshot or champion is current
loading_movement    the same of earlier forecasts
loading_planning    what planners read and write in the journal
records             what the pages about operation read
series, charts      sums of forecasts and sales as arrays; Plotly figures on light and on dark ground
difference_charts   what changes of the plan are worth, as bars
operation_charts    the figures of the pages about operation
formats, widgets    numbers and dates as text; small parts of pages
tables              columns of tables, the same on every page
commands            runs the `rossmann` command
"""
