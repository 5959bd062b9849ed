"""Progress, summary and curves of a training run."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.storage.folder import Folder

CURVES = "curves.json"


def write_curves(folder: Folder, lines: Sequence[dict[str, float]]) -> None:
    """Write loss and validation nDCG@10 by step. Keeps steps written by earlier calls, unless `lines` repeats them.

    Args:
        folder: Folder of the student.
        lines: Reports of the training workers, see `TrainingBoard`.
    """
    curves: dict[str, dict[float, float]] = {"loss": {}, "validation nDCG@10": {}}
    if folder.exists(CURVES):
        curves |= {name: dict(map(tuple, points)) for name, points in folder.read_json(CURVES).items()}
    for line in lines:
        for key, name in (("loss", "loss"), ("validation", "validation nDCG@10")):
            if key in line:
                curves[name][line["step"]] = line[key]
    folder.write_json(CURVES, {name: sorted(points.items()) for name, points in curves.items()})


class TrainingSummary:
    """Totals of the reports that the training workers have sent so far.

    Attributes:
        lines: Number of reports.
        step: Highest step reported.
        pairs: Total number of query-document pairs.
        seconds: Total time of the optimizer steps, in seconds.
        note: Text beside the progress bar.
        validation: Validation nDCG@10 by step.
        exported: Step of the exported model; 0 for the base model.
    """

    def __init__(self) -> None:
        """Initialise an empty summary."""
        self.lines, self.step, self.pairs, self.seconds = 0, 0, 0.0, 0.0
        self.note = ""
        self.validation: dict[int, float] = {}
        self.exported = 0

    def add(self, line: dict[str, float]) -> int:
        """Add one report.

        Returns:
            The number of steps by which training advanced. 0 while workers repeat steps after a restart.
        """
        self.lines += 1
        before, self.step = self.step, max(self.step, int(line["step"]))
        if "exported" in line:
            self.exported = int(line["exported"])
        elif "validation" in line:
            self.validation[int(line["step"])] = line["validation"]
        else:
            self.pairs, self.seconds = self.pairs + line["pairs"], self.seconds + line["seconds"]
            rates = f"{line['pairs'] / line['seconds']:.0f} pairs/s, {line['tokens'] / line['seconds']:,.0f} tokens/s"
            self.note = f"loss {line['loss']:.3f}, {rates}{self._last_validation()}"
        return self.step - before

    def _last_validation(self) -> str:
        return f", validation nDCG@10 {list(self.validation.values())[-1]:.3f}" if self.validation else ""

    @property
    def text(self) -> str:
        """The summary as text, with pairs/s and the validation nDCG@10 of the exported model."""
        rate = self.pairs / max(self.seconds, 1e-9)
        validation = (
            f", validation nDCG@10 {self.validation[self.exported]:.3f}" if self.exported in self.validation else ""
        )
        base = self.validation.get(0)
        if not self.exported:
            validation += "; training did not improve the base, which is exported"
        elif base is not None:
            validation += f" (base {base:.3f})"
        return f"{self.pairs:,.0f} pairs at {rate:.0f}/s{validation}, model of step {self.exported}"
