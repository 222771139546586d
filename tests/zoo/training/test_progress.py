"""What a run prints on stderr: in terminals of several widths, and without a terminal."""

import json
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


def stopped(command, when, *signals):
    """The exit code and the stderr of a process that gets signals once `when(process)` holds."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while not when(process) and process.poll() is None:
        time.sleep(0.01)
    for sent in signals:
        process.send_signal(sent)
        time.sleep(0.05)
    output, errors = process.communicate(timeout=600)
    assert not output and "Traceback" not in errors
    return process.returncode, errors


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_first_epoch_says_that_nothing_was_saved(sent, tmp_path):
    out = tmp_path / "run"
    command = [*settings(out), "--set", "batch_size=4"]  # hundreds of steps an epoch
    code, errors = stopped(command, lambda _: (out / "recipe.json").is_file(), sent)
    assert code == 1 and errors.endswith("stopped; no epoch was completed, so nothing was saved\n")
    assert "zoo resume" not in errors and not (out / "run.lock").exists()


def reads_torch(process):
    """Whether a process has begun to load torch, which takes it seconds."""
    with open(f"/proc/{process.pid}/maps") as maps:
        return "libtorch" in maps.read()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_modules_are_imported_is_one_too(sent, tmp_path):
    code, errors = stopped(settings(tmp_path / "run"), reads_torch, sent)
    assert code == 1 and errors.splitlines()[-1] == "stopped; no epoch was completed, so nothing was saved"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_resume_it_as_json_too(tmp_path):
    out = tmp_path / "my run"
    command = [*settings(out), "--set", "epochs=1000", "--json"]
    code, errors = stopped(command, lambda _: (out / "checkpoint.safetensors").is_file(), signal.SIGTERM)
    assert code == 1
    assert json.loads(errors.splitlines()[-1]) == {"error": f"stopped; resume with: zoo resume '{out}'"}


STUCK = """
import signal, sys, time
import zoo.training.loop as loop
from zoo.commands import main

def never_ends(*_, **__):
    try:
        print("started", file=sys.stderr, flush=True)
        time.sleep(60)
    finally:
        time.sleep(60)

loop.pretrain = never_ends
main(["pretrain", "simclr-resnet8-digits", "--out", sys.argv[1]])
"""


@pytest.mark.slow
def test_a_second_signal_ends_a_run_at_once(tmp_path):
    """Whatever the first one is being dealt with: here, by something that takes a minute."""
    process = subprocess.Popen([sys.executable, "-c", STUCK, tmp_path / "run"], stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM
    process.stderr.close()
