"""Descriptions of deployments in the Prefect UI, as Markdown: what each does, what to fill in."""

RELEASE = """\
Takes a trained model to a registered, deployable, monitored version: optimize → benchmark → package
→ register (MLflow) → batch inference → drift report.

**Fill in** the name to register, `model.path` (ONNX, TorchScript or `.pt`; the last two need
`trust_pickle`), and `data.labelled` (a YOLO `data.yaml` or an image folder). Everything else has a
default that works. Run with nothing changed, it releases the model that the form shows.

Runs one at a time: it measures latency, and another release beside it would falsify that. Finished
steps are kept, so a run that failed is retried without repeating them.
"""

NIGHTLY = """\
Looks at the images of **{name}** that came since its last run: predicts, keeps the rows, judges
drift and health, writes the report, tells people. Scheduled by cron `{cron}` in {timezone}; each
image counts once, whatever fails in between.

Its schedule begins with the first release of {name}: run *release* before anything else.

**Fill in** nothing for an ordinary night. `labels` may point to labels as they arrive; accuracy is
then measured.

A drift is told as the event `foveal.drift.detected`. A night that fails, or that has not completed
by {deadline:%H:%M}, is an alert. A night that begins while another one is still running is
cancelled: the images wait for the next.
"""

RETRAIN = """\
Fine-tunes the champion on new labels, sends the challenger through the whole chain and the gates,
and promotes it only if every gate says so. Automations start it after a drift or a loss of
accuracy. It needs a champion that was released from a checkpoint: run *release* first.

**Fill in** the model's name, and `data.labels` if the labels are not in the labelling queue. With
too few labels it fills the queue and says how many are missing.

One retraining of a model is in flight at a time, each event counts once, and runs of different
models wait for each other when there are more than {at_once}.
"""

SCHEDULED = """\
Retrains **{name}** whatever its nights say: by cron `{cron}` in {timezone}. Without enough new
labels it fills the labelling queue and says how many are missing; after a rejected challenger it
waits, as any automatic retraining does.

**Fill in** nothing: `foveal.yaml` has its parameters.
"""

BATCH = """\
Runs a model over images and writes Parquet: one row per image, one per detection. It needs a
released version, or a bundle: run *release* first.

**Fill in** the model (`NAME`, `NAME@alias`, `NAME/version`, or a bundle) and the images (a folder,
a glob, a manifest, a URL). The same run again does nothing; one that was stopped resumes.
"""

PROMOTION = """\
Makes a version the champion by hand, or goes back to the champion before. The decision is appended
to the record with the person, the time and the reason. It needs a released version: run *release*
first.

**Fill in** the model's name, `promote` and a version, or `rollback`, and say why.
"""

ALERT = """\
Tells people what an automation has noticed: a line in the log, and a message to each Apprise URL in
`FOVEAL_ALERT_URLS` of the process that runs it.

**Fill in** nothing: automations do. A run by hand is a way to try the channels out.
"""
