"""The console script: its commands, names of configurations, and typing mistakes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from user_errors import raises_user_error

from imjax import cli
from imjax.config import keys
from imjax.errors import ErrorCode

ROOT = Path(__file__).parents[1]


@pytest.fixture
def imjax(command_environment, tmp_path):
    """The console script in an empty folder: exit code, stdout, stderr."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])

    def call(*words):
        line = [sys.executable, "-m", "imjax.cli", *words]
        environment = dict(command_environment, PYTHONPATH=path)
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return call


def parsed(*words):
    values, argv = flags.FlagValues(), ["imjax train", *words]
    cli.define_config(flag_values=values, sys_argv=argv)
    values(argv)
    return values.config


def test_a_name_and_a_file_are_the_same_configuration():
    named = parsed("--config=suim_aim_pp:small", "--config.seed=3")
    assert named == parsed(f"--config={ROOT}/configs/suim_aim_pp.py:small", "--config.seed=3")
    assert named.seed == 3 and named != parsed("--config=suim_aim_pp")


@pytest.mark.parametrize(
    ("word", "code", "field", "offered"),
    [
        ("suim_aim_ppp", ErrorCode.UNKNOWN, "method", "aim_pp"),
        ("configs/demoo.py", ErrorCode.MISSING, "--config", "demo"),
        ("demo:huge", ErrorCode.UNKNOWN, "preset", "tiny"),
    ],
)
def test_slips_in_the_configuration(word, code, field, offered):
    with raises_user_error(code, field) as info:
        parsed(f"--config={word}")
    assert re.search(rf"(did you mean|there are:).* {offered}\b", str(info.value))


def test_runs_are_planned_outside_of_the_checkout(imjax):
    code, out, err = imjax("train", "--config=suim_aim_pp:small", "--plan")
    assert code == 0 and "08_train_g2" in out, err
    code, out, err = imjax("sweep", "--config=demo:tiny", "--sweep=seed:0,1", "--dry_run")
    assert code == 0 and out.count("--config=demo:tiny") == 2, err


def test_commands_list_their_flags(imjax):
    for command, flag in (("train", "--config:"), ("prepare", "--raw"), ("sweep", "--dry_run")):
        code, out, err = imjax(command, "--help")
        assert code == 0 and flag in out and "--[no]debug" in out, err


def test_the_module_lists_the_configuration_as_well(command_environment):
    line = [sys.executable, "-m", "imjax.main", "--help"]
    done = subprocess.run(line, cwd=ROOT, env=command_environment, capture_output=True, text=True)
    assert done.returncode == 0 and "--config:" in done.stdout and "--workdir:" in done.stdout


def test_slips_get_one_line_and_code_2(imjax):
    for words, part in (
        (["trian"], "did you mean train"),
        (["train"], "--config is missing"),
        (["train", "--config=demo", "--config.lr=1"], "did you mean train.learning_rate"),
        (["train", "--data="], "--data is empty"),
        (["check"], "--raw is missing"),
        (["keys", "nosuchkey"], "no key"),
    ):
        code, out, err = imjax(*words)
        assert code == 2 and not out and part in err and len(err.splitlines()) == 1, err


def test_check_takes_the_folder_as_it_is_at_the_size_of_training():
    words = ["--dataset=folder", "--check", "--size=128,128"]
    assert cli.check_arguments(["mine", "--sheet=s.png"]) == [*words, "--raw=mine", "--sheet=s.png"]
    assert cli.check_arguments(["--raw=mine"]) == [*words, "--raw=mine"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--data=d"], ["--config=folder:small", "--config.data.dir=d"]),
        (["--config.seed=1", "--data", "d", "--plan"],
         ["--config=folder:small", "--config.seed=1", "--config.data.dir=d", "--plan"]),
        (["--config=folder_im", "--data=d"], ["--config=folder_im", "--config.data.dir=d"]),
        (["--config", "folder_im", "-data=d"], ["--config", "folder_im", "--config.data.dir=d"]),
        (["--config=demo", "--config.data.dir=d"], ["--config=demo", "--config.data.dir=d"]),
        (["--data="], ["--data="]),
        (["--plan", "--data"], ["--plan", "--data"]),
    ],
)  # fmt: skip
def test_own_images_are_trained_on_by_their_folder(words, wanted):
    assert cli.train_arguments(words) == wanted


@pytest.mark.parametrize("words", [["--from=old"], ["--from", "old"], ["-from=old"]])
def test_a_warm_start_keeps_nets_and_split(words):
    kept = ["--config.model.weights=old", "--config.data.keep_split=old"]
    assert cli.train_arguments([*words, "--config=c", "--plan"]) == ["--config=c", "--plan", *kept]
    own = cli.train_arguments([*words, "--data=mine"])
    assert own == ["--config=folder:small", "--config.data.dir=mine", *kept]
    assert cli.train_arguments(["--config=c", "--from="]) == ["--config=c", "--from="]


@pytest.mark.parametrize("key", keys.list_keys(), ids=lambda key: key.name)
def test_every_key_has_a_meaning_and_is_listed(key):
    assert key.meaning and key.name in keys.describe()


@pytest.mark.parametrize(
    ("typo", "right"),
    [
        ("lr", "train.learning_rate"),
        ("epochs", "train.epochs"),
        ("batchsize", "train.batch_size"),
        ("trian.epochs", "train.epochs"),
        ("label_frac", "data.label_fraction"),
        ("members", "ensemble.members"),
    ],
)
def test_the_closest_keys_of_all_groups(typo, right):
    assert right in keys.suggest(typo)


def test_a_reader_that_stops_reading_is_no_error():
    """`imjax keys | head -1`."""
    command = [sys.executable, "-m", "imjax.cli", "keys"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")
