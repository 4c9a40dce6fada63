from .artifacts.benchmark_plot import draw_latency_accuracy
from .artifacts.evaluation_plots import draw_evaluation, worst
from .comparison import Comparison, MetricPair, TextPair
from .decisions.aliases import CHALLENGER, CHAMPION, PREVIOUS_CHAMPION
from .decisions.history import BY_HAND, RELEASE, ChampionPeriod, History, Rationale
from .decisions.status import ModelSummary
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
    "ChampionPeriod",
    "Comparison",
    "DataFacts",
    "History",
    "MetricPair",
    "ModelSummary",
    "Rationale",
    "Registry",
    "Release",
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
