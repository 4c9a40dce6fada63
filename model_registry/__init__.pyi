from .aliases import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION
from .comparison import Comparison, MetricPair, TextPair
from .evaluation_plots import draw_evaluation, worst
from .history import BY_HAND, RELEASE, Grounds, History, Reign
from .plot import draw_latency_accuracy
from .registry import Registry
from .release import DataFacts, Release, check_name
from .relocation import former_roots, relocate, require_in_place, shown_folder
from .standing import Standing
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
