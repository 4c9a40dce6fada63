"""The `foveal` command with one line more in the table of tasks, and one in that of heads."""

from components.vision import TASKS
from components.vision.heads import HEADS
from flows.cli import start

TASKS["count"] = "tests.toy.plugins:CountThings"
HEADS["log_count"] = "tests.toy.plugins:LogCount"

if __name__ == "__main__":
    start()
