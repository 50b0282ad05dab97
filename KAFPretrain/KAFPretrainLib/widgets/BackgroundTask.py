"""Looks at disks beside the GUI thread: a folder with many files, or a share that is gone, must not hold Slicer."""

import queue
import threading

import qt

_POLL_MILLISECONDS = 20


class BackgroundTask:
    """Answers one question at a time; a newer question takes the place of an older one, whose answer is dropped."""

    def __init__(self):
        self._answers = self._onAnswer = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._tick)

    @property
    def isRunning(self):
        """Whether an answer is still to come."""
        return self._answers is not None

    def start(self, function, onAnswer):
        """Calls ``function()`` in a thread of its own, which must not touch Qt or the scene, and ``onAnswer(value)`` in
        this one; what it raises is raised here."""
        self._answers, self._onAnswer = queue.SimpleQueue(), onAnswer
        threading.Thread(target=_answer, args=(function, self._answers), name="kaf-beside", daemon=True).start()
        self._timer.start()

    def close(self):
        """Waits for no answer any more."""
        self._timer.stop()
        self._answers = self._onAnswer = None

    def _tick(self):
        try:
            value, error = self._answers.get_nowait()
        except queue.Empty:
            return
        onAnswer = self._onAnswer
        self.close()
        if error is not None:
            raise error
        onAnswer(value)


def _answer(function, answers):
    try:
        answers.put((function(), None))
    except BaseException as error:
        answers.put((None, error))
