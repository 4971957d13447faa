from __future__ import annotations

import os
import sys

import jax
import pytest

from imjax.training import devices


@pytest.fixture
def started(monkeypatch):
    """What a process is started anew with, on Linux with glibc 2.36 and no settings."""
    calls = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(os, "execv", lambda path, words: calls.append((path, words)))
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36", raising=False)
    return calls


def test_a_command_starts_anew_once(started):
    devices.keep_memory()
    assert started == [(sys.executable, [sys.executable, *sys.orig_argv[1:]])]
    settings = os.environ["GLIBC_TUNABLES"].split(":")
    assert "glibc.malloc.mmap_threshold=4294967296" in settings and len(settings) == 4
    devices.keep_memory()
    assert len(started) == 1


@pytest.mark.parametrize("library", ["glibc 2.34", "musl 1.2.4", "", None, "glibc 2.x"])
def test_other_libraries_are_left_alone(library, started, monkeypatch):
    monkeypatch.setattr(os, "confstr", lambda name: library, raising=False)
    devices.keep_memory()
    assert not started and "GLIBC_TUNABLES" not in os.environ


def test_settings_of_the_person_stand(started, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    devices.keep_memory()
    assert not started and os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=1"


@pytest.mark.parametrize(
    ("version", "told"),
    [("0.10.2", 3), ("0.11.0", 2), ("0.12.0", 0)],
)
def test_xla_is_told_what_its_version_knows(version, told, monkeypatch, tmp_path):
    """It would end the process at any other setting."""
    monkeypatch.setattr(devices.importlib.metadata, "version", lambda name: version)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    monkeypatch.setenv("XLA_FLAGS", "")
    devices.configure(tmp_path, 1)
    assert sum(f"--{name}=" in os.environ["XLA_FLAGS"] for name in devices.SETTINGS) == told


def test_settings_of_xla_by_the_person_stand(monkeypatch, tmp_path):
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=4")
    devices.configure(tmp_path, 1)
    assert os.environ["XLA_FLAGS"].count("xla_gpu_autotune_level") == 1
