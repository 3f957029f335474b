"""The report of a training: one HTML file that needs no network, made of the backtest that the training stored.

training       what the report is made of, and its sections
leaderboard    the leaderboard as texts
scores         tables of scores by fold, lead, weekday and group; the worst stores
worst_rows     the rows with the largest errors, and what was special about their days
importance     the gain of features, summed by what they describe
charts         lines and calibration as inline SVG
page           the template and the style, and how numbers are written
"""

from rossmann.reports.leaderboard import leaderboard_rows
from rossmann.reports.training import Challenger, Decision, TrainingReport, render_training

__all__ = ["Challenger", "Decision", "TrainingReport", "leaderboard_rows", "render_training"]
