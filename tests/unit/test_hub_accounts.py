"""Who may log in to a class's Hub: codes work once, teachers come first, guessing is slow."""

import io
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

HUB_MODULE = "accounts"


@pytest.fixture
def accounts(hub_module):
    return hub_module


@pytest.fixture
def prepared(accounts, tmp_path, monkeypatch):
    """A folder in which the teacher has a password and two learners have codes."""
    monkeypatch.setenv("HUB_LEARNERS", "ada grace")
    monkeypatch.setenv("HUB_TEACHERS", "lin")
    monkeypatch.setattr("sys.stdin", io.StringIO("a teacher's own\n"))
    assert accounts.main([str(tmp_path), "password", "lin"]) == 0
    assert accounts.main([str(tmp_path), "prepare"]) == 0
    return tmp_path


def stored(folder):
    return json.loads((folder / "accounts.json").read_text())


def test_nothing_is_prepared_while_a_teacher_has_no_password(
    accounts, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HUB_LEARNERS", "ada lin")
    monkeypatch.setenv("HUB_TEACHERS", "lin")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert accounts.main([str(tmp_path), "prepare"]) == 2
    said = "hub: no password yet: docker/jupyterhub/hub password lin\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "accounts.json").exists()


def test_a_code_works_once_and_only_with_a_new_password(accounts, prepared):
    code = stored(prepared)["ada"]["code"]
    with pytest.raises(accounts.AccountError, match="The code is right"):
        accounts.log_in(prepared, "ada", code, "")
    with pytest.raises(accounts.AccountError, match="10 to 200 characters"):
        accounts.log_in(prepared, "ada", code, "short")
    assert not accounts.log_in(prepared, "ada", "", "analytical engine")
    assert accounts.log_in(prepared, "ada", code.upper().replace("-", " "), "analytical engine")
    assert not accounts.log_in(prepared, "ada", code, "another engine")
    assert accounts.log_in(prepared, "ada", "analytical engine", "")
    assert not accounts.log_in(prepared, "grace", code, "compiler of A-0")


def test_two_who_have_one_code_do_not_both_get_in(accounts, prepared):
    code = stored(prepared)["ada"]["code"]
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(
            lambda n: accounts.log_in(prepared, "ada", code, f"password of {n:02}"), range(8)
        )
        assert sum(results) == 1


def test_names_that_are_not_there_are_refused_like_wrong_passwords(accounts, prepared):
    assert not accounts.log_in(prepared, "mallory", "", "a password of mine")
    assert not accounts.log_in(prepared, "", "x", "")
    assert "mallory" not in stored(prepared)


def test_no_password_and_no_used_code_is_kept_in_plain_text_or_readable_for_others(
    accounts, prepared
):
    code = stored(prepared)["ada"]["code"]
    accounts.log_in(prepared, "ada", code, "analytical engine")
    path = prepared / "accounts.json"
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for secret in ("a teacher's own", "analytical engine", code):
        assert secret not in text


def test_a_long_password_is_refused_with_a_reason(accounts, prepared):
    with pytest.raises(accounts.AccountError, match="at most 200"):
        accounts.log_in(prepared, "lin", "x" * 10_000, "")
    assert accounts.log_in(prepared, "lin", "a teacher's own", "é" * 50 + "abcdef" * 20)
    assert accounts.log_in(prepared, "lin", "é" * 50 + "abcdef" * 20, "")
    assert not accounts.log_in(prepared, "lin", "é" * 50 + "abcdef" * 19, ""), "every letter counts"


@pytest.mark.parametrize("password", ["lin", "lin is great", "aaaaaaaaaaaaa", "x" * 201])
def test_what_is_easy_to_guess_is_no_password(accounts, password):
    with pytest.raises(accounts.AccountError):
        accounts.check_password("lin", password)


def test_the_list_has_a_slip_for_each_who_has_not_logged_in(accounts, prepared, capsys):
    before = stored(prepared)
    accounts.log_in(prepared, "ada", before["ada"]["code"], "analytical engine")
    accounts.main([str(prepared), "codes", "https://hub.example:8000", "AB:CD"])
    printed = capsys.readouterr().out
    assert before["grace"]["code"] in printed
    assert "https://hub.example:8000" in printed and "AB:CD" in printed
    assert "ada" not in printed and "lin" not in printed
    assert accounts.main([str(prepared), "reset", "ada"]) == 0
    accounts.main([str(prepared), "codes", "https://hub.example:8000", "AB:CD"])
    assert stored(prepared)["ada"]["code"] in capsys.readouterr().out
    assert not accounts.log_in(prepared, "ada", "analytical engine", ""), "the old one is gone"


def test_who_is_not_listed_any_more_is_forgotten(accounts, prepared, monkeypatch):
    accounts.log_in(prepared, "ada", stored(prepared)["ada"]["code"], "analytical engine")
    before = stored(prepared)
    monkeypatch.setenv("HUB_LEARNERS", "grace joan")
    accounts.main([str(prepared), "prepare"])
    after = stored(prepared)
    assert sorted(after) == ["grace", "joan", "lin"]
    assert (after["grace"], after["lin"]) == (before["grace"], before["lin"])
    monkeypatch.setenv("HUB_LEARNERS", "ada")
    accounts.main([str(prepared), "prepare"])
    assert "code" in stored(prepared)["ada"], "another Ada does not inherit the password"


def test_a_name_is_tried_five_times_a_minute_from_one_place_and_fifty_from_all(accounts):
    throttle = accounts.Throttle()
    assert all(throttle.take("ada", "10.0.0.1", second) for second in range(5))
    assert throttle.take("ada", "10.0.0.1", 5) is None
    assert throttle.take("grace", "10.0.0.1", 5), "another name from there"
    assert throttle.take("ada", "10.0.0.2", 5), "the same name from elsewhere"
    assert throttle.take("ada", "10.0.0.1", 61), "a minute later"
    taken = [throttle.take("lin", f"10.1.0.{n}", 100) for n in range(60)]
    assert sum(one is not None for one in taken) == 50


def test_right_passwords_are_not_counted(accounts):
    throttle = accounts.Throttle()
    for second in range(20):
        one = throttle.take("ada", "10.0.0.1", second)
        assert one
        throttle.right(one)
    assert throttle.tries == []


@pytest.mark.parametrize("name", ["Ada", "ada lovelace", "../ada", "a" * 32, "ada.", "*", ""])
def test_a_bad_name_is_one_line(accounts, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr("sys.stdin", io.StringIO("a password of mine\n"))
    assert accounts.main([str(tmp_path), "reset", name]) == 2
    assert capsys.readouterr().err.startswith("hub: a name has small letters")
