"""What a run prints on stderr: in terminals of several widths, and without a terminal."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

RUN = [sys.executable, "-m", "zoo", "pretrain", "simclr-resnet8-digits", "--precision", "float32", "--set", "epochs=3"]


def settings(out):
    return [*RUN, "--set", "warmup_epochs=0", "--set", 'encoder_options={"width": 4}', "--out", str(out)]


def in_a_terminal(command, columns):
    """What a process writes to a terminal of this width, and to stdout."""
    import fcntl
    import pty
    import struct
    import termios

    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        written += chunk
    output, _ = process.communicate()
    os.close(terminal)
    assert process.returncode == 0, written.decode()
    return written.decode(), output.decode()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_narrow_terminal_loses_the_bar_and_neither_rate_nor_time_nor_loss(tmp_path, columns):
    written, _ = in_a_terminal(settings(tmp_path / "run"), columns)
    states = [state for state in re.split(r"[\r\n]+", written) if re.match(r"\d/3 ", state)]
    assert states and all(len(state) <= columns for state in states)
    last = states[-1]
    assert re.match(r"3/3 +[\d.]+k? img/s \d\d:\d\d left, loss \d\.\d{3}", last), last
    assert ("█" in last) == (columns > 44)


@pytest.mark.slow
def test_without_a_terminal_there_is_a_line_per_epoch_and_the_images_that_fill_no_batch(tmp_path):
    done = subprocess.run(settings(tmp_path / "run"), capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert lines[0] == (
        "simclr-resnet8-digits: 1,297 images, 5 batches of 256 per epoch; 17 images, different ones in each epoch, do "
        "not fill a batch and are skipped"
    )
    for epoch, line in enumerate(lines[1:], start=1):
        assert re.fullmatch(rf"epoch {epoch}/3  loss \d\.\d{{3}}  [\d,]+ img/s  \d\d:\d\d left", line), line
    assert len(lines) == 4
    assert re.search(r"^15 steps in [\d,]+ s, SHA-256 [0-9a-f]{64}$", done.stdout, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_first_epoch_says_that_nothing_was_saved(sent, tmp_path):
    out = tmp_path / "run"
    command = [*settings(out), "--set", "batch_size=4"]  # hundreds of steps an epoch
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not (out / "recipe.json").is_file() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(sent)
    _, errors = process.communicate()
    assert process.returncode == 1, errors
    assert "stopped; no epoch was completed, so nothing was saved" in errors and "zoo resume" not in errors
