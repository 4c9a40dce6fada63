from .artifacts.benchmark_plot import draw_latency_accuracy
from .artifacts.evaluation_plots import draw_evaluation, worst
from .comparison import Comparison, MetricPair, TextPair
from .decisions.aliases import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION
from .decisions.history import BY_HAND, RELEASE, Grounds, History, Reign
from .decisions.status import Standing
from .description import DataFacts, Release, check_name
from .registry import Registry
from .relocation import former_roots, relocate, require_in_place, shown_folder
from .store import sqlite_uri

__all__ = [
    "BY_HAND",
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS_CHAMPION",
    "RELEASE",
    "Comparison",
    "DataFacts",
    "Grounds",
    "History",
    "MetricPair",
    "Registry",
    "Reign",
    "Release",
    "Standing",
    "TextPair",
    "check_name",
    "draw_evaluation",
    "draw_latency_accuracy",
    "former_roots",
    "relocate",
    "require_in_place",
    "shown_folder",
    "sqlite_uri",
    "worst",
]
