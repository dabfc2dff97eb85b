"""A class: a real JupyterHub gives two learners a seat each, and nobody sees the other's."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import ssl
import stat
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from websocket import WebSocketException

from gpubook.machine import info
from tests.chromium import started
from tests.docker.conftest import ROOT
from tests.docker.containers import wait_until
from tests.docker.hub import (
    FULL_DISK,
    HUB,
    MEMORY,
    PASSWORDS,
    TEACHERS,
    Hub,
    Learner,
    clear,
    command,
    containers_of,
    free_ports,
    running,
    stop_seat,
    variables,
)

pytestmark = pytest.mark.docker

# Two devices, as two slices of one GPU would be: each leaves its number in the environment.
DEVICES = {
    "cdiVersion": "0.5.0",
    "kind": "example.com/seat",
    "devices": [
        {"name": name, "containerEdits": {"env": [f"SEAT_DEVICE={name}"]}} for name in ("0", "1")
    ],
}


@pytest.fixture(scope="module")
def place(engine, tmp_path_factory):
    """The name of all that a Hub makes here, and the Hub's folder; nothing is left behind."""
    mark = f"gpubook-test-hub-{secrets.token_hex(3)}"
    yield mark, tmp_path_factory.mktemp("hub")
    clear(engine, mark)


@pytest.fixture(scope="module")
def devices():
    """The names of two CDI devices that this engine knows while the tests run; none without CDI."""
    folders = info.info()["cdi"]["directories"]
    if not folders:
        yield ""
        return
    file = Path(folders[0]) / "gpubook-seats.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(DEVICES), encoding="utf-8")
    yield "example.com/seat=0 example.com/seat=1"
    file.unlink()


@pytest.fixture(scope="module")
def hub(image, place, devices):
    with running(image, *place, SEAT_GPUS=devices) as started:
        yield started


@pytest.fixture(scope="module")
def learners(hub) -> dict[str, Learner]:
    """Both learners, logged in with their codes, each in a seat."""
    both = {name: Learner(hub, name) for name in PASSWORDS}
    codes = hub.codes()
    assert codes.keys() == PASSWORDS.keys(), "the teacher needs none"
    for learner in both.values():
        assert learner.log_in(codes[learner.name], PASSWORDS[learner.name])
        learner.take_seat()
    return both


def test_only_listed_names_get_in_and_a_teacher_is_not_who_comes_first(hub, learners):
    assert hub.codes() == {}, "each has been used"
    assert not Learner(hub, "mallory").log_in("a password of mine", "a password of mine")
    assert not Learner(hub, "lin").log_in("I was here first", "I was here first")
    assert not Learner(hub, "ada").log_in("not the engine")
    assert Learner(hub, "ada").log_in(PASSWORDS["ada"])
    stale = {"username": "ada", "password": PASSWORDS["ada"], "_xsrf": "of yesterday"}
    refused = hub.ask("POST", "/hub/login", data=stale)
    assert refused.status_code == 403
    assert "Try again" in refused.text
    lin = Learner(hub, "lin")
    assert lin.log_in(TEACHERS)
    assert {user["name"] for user in lin.ask("GET", "/hub/api/users").json()} == {*PASSWORDS, "lin"}
    assert learners["ada"].ask("GET", "/hub/api/users").status_code == 403


def test_the_login_form_says_what_is_wrong_and_guessing_is_stopped(hub, learners):
    joan = Learner(hub, "grace")
    long = joan.send_form("x" * 5000)
    assert (long.status_code, "at most 200 characters" in long.text) == (400, True)
    short = joan.send_form(PASSWORDS["grace"], "short")
    assert (short.status_code, "10 to 200 characters" in short.text) == (400, True)
    assert joan.send_form(PASSWORDS["grace"]).status_code == 302
    guesser = Learner(hub, "grace")
    codes = [guesser.send_form(f"guess number {n}").status_code for n in range(6)]
    assert codes[-1] == 429, codes
    stopped = guesser.send_form(PASSWORDS["grace"])
    assert (stopped.status_code, "Wait a minute" in stopped.text) == (429, True)
    assert Learner(hub, "ada").log_in(PASSWORDS["ada"]), "others are not kept waiting"


def test_nothing_is_said_without_tls(hub):
    with pytest.raises(requests.RequestException):
        requests.get(hub.url.replace("https", "http") + "/hub/login", timeout=20)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{hub.url}/hub/login", timeout=20)  # nobody trusts it untold
    secrets_ = [hub.folder / name for name in ("key.pem", "accounts.json", "jupyterhub.sqlite")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets_} == {0o600}


def test_requests_that_never_end_keep_nobody_waiting(hub, learners):
    trust = ssl.create_default_context(cafile=hub.certificate)
    port = int(hub.url.rpartition(":")[2])
    head = (
        "POST /hub/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
        "Content-Length: 1000000\r\n\r\nusername="
    )
    with ExitStack() as held:
        for _ in range(50):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            slow = held.enter_context(trust.wrap_socket(plain, server_hostname="127.0.0.1"))
            slow.sendall(head.encode())
        assert learners["grace"].ask("GET", "/user/grace/api/status").status_code == 200


def test_each_learner_sees_the_own_folder_only(hub, learners):
    ada, grace = learners["ada"], learners["grace"]
    saved = ada.ask(
        "PUT", "/user/ada/api/contents/work/secret.txt",
        json={"type": "file", "format": "text", "content": "Ada's"},
    )  # fmt: skip
    assert saved.status_code == 201, saved.text
    assert ada.run("print(open('/mnt/secret.txt').read())") == "Ada's\n"

    # The other's files, seen from the own seat: an empty folder, and no way to the neighbour's.
    listed = grace.ask("GET", "/user/grace/api/contents/work").json()
    assert listed["content"] == []
    assert grace.run("import os; print(os.listdir('/mnt'))") == "[]\n"
    assert grace.ask("GET", "/user/grace/api/contents/work/secret.txt").status_code == 404
    refused = grace.ask("GET", "/user/ada/api/contents/work/secret.txt")
    assert refused.status_code == 403
    anonymous = hub.ask("GET", "/user/ada/api/contents/work/secret.txt")
    assert anonymous.status_code == 403


def test_seats_reach_the_hub_but_not_one_another(engine, hub, learners):
    (network,) = (
        containers_of(engine, hub.mark)["ada"].attrs["NetworkSettings"]["Networks"].values()
    )
    code = (
        "import socket\n"
        "def reach(host, port):\n"
        "    try:\n"
        "        socket.create_connection((host, port), timeout=3).close()\n"
        "        return True\n"
        "    except OSError:\n"
        "        return False\n"
        f"print(reach({network['IPAddress']!r}, 8888), "
        f"reach({network['Gateway']!r}, {int(hub.url.rpartition(':')[2]) + 81}))"
    )
    assert learners["ada"].run(code) == "True True\n", "the seat's own server listens there"
    assert learners["grace"].run(code) == "False True\n"


def test_a_notebook_of_the_book_runs_in_a_seat_within_its_limits(learners):
    notebook = learners["ada"].ask("GET", "/user/ada/api/contents/notebooks/08-matmul.ipynb").json()
    assert notebook["writable"], "a learner can edit it"
    setup = next(c["source"] for c in notebook["content"]["cells"] if "import Page" in c["source"])
    parameters = next(
        c["source"]
        for c in notebook["content"]["cells"]
        if "parameters" in c["metadata"].get("tags", ())
    )
    code = (
        "import os; os.chdir('/book/notebooks')\n"
        f"{parameters}\n{setup}\n"
        "import torch; print('product', float((torch.ones(64, 64) @ torch.ones(64, 64)).sum()))\n"
        "from pathlib import Path\n"
        "limits = ('memory.max', 'memory/memory.limit_in_bytes')  # control groups 2 and 1\n"
        "found = [p for name in limits if (p := Path('/sys/fs/cgroup') / name).exists()]\n"
        "print('memory', found[0].read_text().strip())\n"
        "print('user', os.getuid())"
    )
    printed = learners["ada"].run(code)
    assert "product 262144.0" in printed
    limit = re.search(r"memory (\d+)", printed)
    assert limit, printed
    assert MEMORY - 4096 < int(limit[1]) <= MEMORY
    assert "user 1000" in printed


def test_a_seat_is_a_container_without_rights_or_the_engines_socket(engine, hub, image, learners):
    seats = containers_of(engine, hub.mark)
    assert sorted(seats) == sorted(PASSWORDS)
    for name, seat in seats.items():
        checked = seat.exec_run(["healthcheck"])
        assert (checked.exit_code, b"answers" in checked.output) == (0, True), checked.output
        rootless = seat.exec_run(["unshare", "--user", "true"])
        assert (rootless.exit_code, b"not permitted" in rootless.output) == (1, True), "no engine"
        config = seat.attrs["HostConfig"]
        assert config["Memory"] == MEMORY
        assert config["CpuQuota"] == 1.5 * config["CpuPeriod"]
        assert config["CapDrop"] == ["ALL"]
        assert config["SecurityOpt"] == ["no-new-privileges:true"]
        assert not config["PortBindings"], "only the Hub's proxy leads to it"
        assert config["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
        assert mounts_of(seat) == {
            "/book": f"{hub.mark}-{name}-book-{image_digits(engine, image)}-1",
            "/mnt": f"{hub.mark}-{name}-work",
        }


def mounts_of(seat) -> dict[str, str]:
    """Volumes by where they are."""
    return {m["Destination"]: m["Name"] for m in seat.attrs["Mounts"] if m["Type"] == "volume"}


def image_digits(engine, image: str) -> str:
    """The part of an image's id that is in the names of its books."""
    return engine.images.get(image).id.removeprefix("sha256:")[:12]


EXERCISE = """
import json, os, subprocess
os.chdir("/book/notebooks")
name = "03-what-a-container-is-made-of"
with open(name + ".ipynb") as file:
    cells = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "code"]
for cell in cells:
    text = "".join(cell["source"])
    if cell["id"] == "solution-2":
        text = text.partition("\\n")[0] + "\\n" + ANSWER
    get_ipython().run_cell(text).raise_error()
print("checked", subprocess.run(["gpubook", "check"], capture_output=True, text=True))
"""


def board_of(learner: Learner) -> list[list[str]]:
    """The rows of the board as this learner's browser shows them; fails where it does not."""
    page = learner.session.get(f"{learner.hub.url}/services/board/", timeout=30)
    assert page.status_code == 200, page.status_code
    rows = re.findall(r"<tr>(.*?)</tr>", page.text, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_a_learner_hears_what_is_right_and_the_teacher_alone_sees_who_is_where(hub, learners):
    ada, grace, lin = learners["ada"], learners["grace"], Learner(hub, "lin")
    page, board = "03-what-a-container-is-made-of", "/services/board/"
    told = grace.run(f"ANSWER = '0.4'\n{EXERCISE}")
    assert f"{page}  exercise 1: right\\n{page}  exercise 2: not so\\n" in told, told
    assert "exercise 3: not judged" in told, "no engine in there"
    assert "exercise 2: right" in ada.run(f"ANSWER = '1.6'\n{EXERCISE}")

    # A seat speaks for its own learner, whatever it says; who has no token says nothing.
    send = (
        "import os, urllib.request\n"
        "headers = {'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}\n"
        "def send(body, headers=headers):\n"
        "    request = urllib.request.Request(os.environ['GPUBOOK_BOARD'], body, headers)\n"
        "    try:\n"
        "        return urllib.request.urlopen(request, timeout=20).status\n"
        "    except urllib.error.HTTPError as error:\n"
        "        return error.code\n"
        """print(send(b'{"page": "09-roofline", "name": "grace"}'), end=' ')\n"""
        """print(send(b'{"page": "09-roofline"}', {}), end=' ')\n"""
        """bad = [b'{', b'[]', b'{"page": "<b>"}', b'{"page": "09-x", "checks": {"1": 1}}']\n"""
        "print(*(send(body) for body in [*bad, b' ' * 5000]))"
    )
    assert ada.run(send) == "204 403 400 400 400 400 400\n"

    assert lin.log_in(TEACHERS)
    head, of_ada, of_grace, of_lin = board_of(lin)
    assert head == ["learner", "page", "minutes ago", "03"]
    assert (of_ada[:2], of_ada[3]) == (["ada", "09-roofline"], "2/2")
    assert (of_grace[:2], of_grace[3]) == (["grace", page], "1/2 (not 2)")
    assert of_lin == ["lin", "–", "–", "–"]
    assert ada.session.get(f"{hub.url}{board}", timeout=30).status_code == 403
    assert ada.ask("GET", board).status_code == 403
    assert "/hub/login" in hub.ask("GET", board).url
    assert stat.S_IMODE((hub.folder / "board.json").stat().st_mode) == 0o600


@contextmanager
def chromium(hub: Hub, *flags: str, trusts: bool = True):
    """A real browser; skips without one. It may trust the Hub's key, and no other.

    So does one who has compared the certificate's fingerprint with the slip.
    """
    with hub.certificate.open("rb") as file:
        public = "openssl x509 -noout -pubkey | openssl pkey -pubin -outform der"
        der = subprocess.check_output(["sh", "-c", public], stdin=file)
    key = base64.b64encode(hashlib.sha256(der).digest()).decode()
    flags = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", *flags)
    if trusts:
        flags = (*flags, f"--ignore-certificate-errors-spki-list={key}")
    with started(flags) as browser:
        yield browser


def test_a_browser_logs_in_under_tls_and_works_in_its_seat(hub, learners):
    refused = pytest.raises(Exception, match="ERR_CERT_AUTHORITY_INVALID")
    with chromium(hub, trusts=False) as stranger, refused:
        stranger.new_page().goto(hub.url)
    pictures = ROOT / "_build" / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    with chromium(hub) as browser:
        seat = log_in_by_hand(browser, hub.url, "ada", PASSWORDS["ada"])
        seat.wait_for_url("**/user/ada/lab**", timeout=60_000)
        seat.locator(".jp-DirListing-item", has_text="01-first-container").wait_for(timeout=60_000)
        assert seat.evaluate("isSecureContext && location.protocol") == "https:"
        plain = {cookie["name"] for cookie in seat.context.cookies() if not cookie["secure"]}
        assert plain <= {"_xsrf"}, "who hears these is in"
        seat.screenshot(path=pictures / "class-seat.png")
        teacher = log_in_by_hand(browser, hub.url, "lin", TEACHERS)
        teacher.goto(f"{hub.url}/services/board/")
        assert teacher.locator("tbody th").all_inner_texts() == ["ada", "grace", "lin"]
        teacher.screenshot(path=pictures / "class-board.png")


def log_in_by_hand(browser, url: str, name: str, password: str, new: str = ""):
    """A tab of a new window, in which somebody has filled in the form."""
    tab = browser.new_context().new_page()
    tab.goto(url)
    tab.get_by_label("Username:").fill(name)
    tab.get_by_label("Password:", exact=True).fill(password)
    tab.get_by_label("New password").fill(new)
    tab.get_by_role("button", name="Sign in").click()
    return tab


# A page that opens another, to read in it and to press its buttons for whoever looks.
READ = """async address => {
  const other = window.open(address);
  for (;;) {
    await new Promise(done => setTimeout(done, 100));
    try {
      const here = other.location.href.startsWith(address);
      if (here && other.document.getElementById("jupyter-config-data")) return "read";
    } catch (error) {
      return error.name;
    }
  }
}"""


def test_with_subdomains_a_page_of_one_seat_cannot_act_for_who_opens_it(image, place):
    mark, folder = f"{place[0]}-origins", place[1] / "origins"
    folder.mkdir()
    names = {"HUB_NAME": "class.test", "HUB_SUBDOMAINS": "1", "HUB_TEACHERS": ""}
    with running(image, mark, folder, HUB_ADDRESS="127.0.0.1", **names) as hub:
        port = hub.url.rpartition(":")[2]
        own, other = (f"https://{name}.class.test:{port}/user/{name}/" for name in ("ada", "grace"))
        with chromium(hub, "--host-resolver-rules=MAP *.test 127.0.0.1") as browser:
            start = f"https://class.test:{port}"
            tab = log_in_by_hand(browser, start, "ada", hub.codes()["ada"], PASSWORDS["ada"])
            tab.wait_for_url(f"{own}lab**", timeout=60_000)
            assert tab.evaluate(READ, f"{own}lab") == "read", "of the same origin"
            # The neighbour, who can have anything answer at the own address.
            evil = {"body": "<title>evil</title>", "content_type": "text/html"}
            tab.route(f"{other}evil", lambda route: route.fulfill(**evil))
            tab.goto(f"{other}evil")
            assert tab.evaluate(READ, f"{own}lab") == "SecurityError"


def test_nothing_but_the_own_volumes_and_tmp_can_be_written(learners):
    code = (
        "import errno, pathlib\n"
        "for place in '/ /opt/venv /opt/gpubook /home/book /etc /tmp /mnt /book'.split():\n"
        "    try:\n"
        "        pathlib.Path(place, 'planted').write_text('x')\n"
        "        print(place)\n"
        "    except OSError as error:\n"
        "        assert error.errno in (errno.EROFS, errno.EACCES), error"
    )
    assert learners["ada"].run(code) == "/tmp\n/mnt\n/book\n"


def test_a_seat_that_fills_the_disk_is_ended_and_nothing_is_lost(engine, hub, learners):
    ada, grace, mark = learners["ada"], learners["grace"], hub.mark
    grace.run("open('/mnt/before.txt', 'w').write('kept')")
    with suppress(WebSocketException, requests.RequestException):
        grace.run(FULL_DISK)
    wait_until(engine, lambda: "grace" not in running_seats(engine, mark), "the seat is there")
    assert ada.run("open('/mnt/ours.txt', 'w').write('x'); print('works')") == "works\n"
    stop_seat(engine, grace)
    grace.take_seat()
    size = "import os; print(os.path.getsize('/mnt/full') > 300 * 2**20)"
    assert grace.run(size) == "True\n", "all of it is there, and the seat is, too"
    assert grace.run("import os; os.remove('/mnt/full'); print(open('/mnt/before.txt').read())")
    assert "disk: grace has" in hub.service.log.read_text()


def running_seats(engine, mark: str) -> set[str]:
    """Who has a container that runs."""
    return {name for name, seat in containers_of(engine, mark).items() if seat.status == "running"}


def test_a_fresh_book_and_a_rebuilt_image_reach_the_seat_and_nothing_is_lost(
    engine, hub, image, containers, learners
):
    grace, mark = learners["grace"], hub.mark
    grace.run("open('/book/notebooks/08-matmul.ipynb', 'w').write('edited')")
    grace.run("open('/mnt/own.txt', 'w').write('own')")
    environment = variables(image, mark, hub.folder, 1)
    command("renew grace", environment)
    assert grace.run("print(open('/book/notebooks/08-matmul.ipynb').read())") == "edited\n"
    stop_seat(engine, grace)
    grace.take_seat()
    show = (
        "import json, pathlib\n"
        "print(len(json.loads(pathlib.Path('/book/notebooks/08-matmul.ipynb').read_text())) > 1,"
        " pathlib.Path('/book/earlier/notebooks/08-matmul.ipynb').read_text(),"
        " pathlib.Path('/mnt/own.txt').read_text())"
    )
    assert grace.run(show) == "True edited own\n"
    with pytest.raises(pytest.fail.Exception, match="Read-only file system"):
        grace.run("open('/book/earlier/notebooks/08-matmul.ipynb', 'w')")
    # Another image under the same name: one file is new.
    grace.run("open('/book/notebooks/08-matmul.ipynb', 'w').write('edited again')")
    old = engine.images.get(image)
    name, _, tag = image.rpartition(":")
    changed = containers.start(image, ["touch", "/book/notebooks/new.txt"])
    changed.wait(timeout=60)
    try:
        changed.commit(name, tag, changes='CMD ["mat_mul"]')
        stop_seat(engine, grace)
        grace.take_seat()
        listed = grace.run("import os; print('new.txt' in os.listdir('/book/notebooks'))")
        assert (listed, grace.run(show)) == ("True\n", "True edited again own\n")
        stop_seat(engine, grace)
    finally:
        rebuilt = engine.images.get(image)
        old.tag(name, tag)
    grace.take_seat()
    assert mounts_of(containers_of(engine, mark)["grace"])["/book"].endswith("-2"), "as before it"
    assert rebuilt.id != engine.images.get(image).id


def test_devices_are_given_out_in_turn(devices, learners):
    if not devices:
        pytest.skip("this engine reads no CDI specifications")
    code = "import os; print(os.environ.get('SEAT_DEVICE'))"
    assert learners["ada"].run(code) == "0\n"
    assert learners["grace"].run(code) == "1\n"


def test_a_stopped_seat_leaves_its_files_where_a_teacher_finds_them(
    engine, hub, learners, containers, image
):
    ada = learners["ada"]
    ada.run("open('/mnt/kept.txt', 'w').write('kept')")
    stop_seat(engine, ada)
    volumes = {f"{hub.mark}-ada-work": {"bind": "/mnt", "mode": "ro"}}
    assert containers.run(image, ["cat", "/mnt/kept.txt"], volumes=volumes).stdout == "kept"


def test_ending_the_hub_ends_the_seats_and_the_next_one_stops_an_idle_seat(
    engine, hub, learners, image, place
):
    """Ends the Hub of the tests above."""
    mark, folder = place
    assert containers_of(engine, mark), "someone sits there"
    hub.end()
    assert containers_of(engine, mark) == {}
    with running(image, mark, folder, SEAT_IDLE_MINUTES="0.05") as again:
        grace = Learner(again, "grace")
        assert grace.log_in(PASSWORDS["grace"]), "passwords outlive the Hub"
        grace.take_seat()
        wait_until(engine, lambda: not containers_of(engine, mark), "an idle seat is there")
    assert containers_of(engine, mark) == {}


def test_who_is_no_longer_listed_has_no_access_and_who_was_a_teacher_is_none(image, place):
    """The same folder, other names: Grace has left, Lin learns now, Joan teaches."""
    mark, folder = f"{place[0]}-list", place[1] / "list"
    folder.mkdir()
    with running(image, mark, folder) as before:
        ada, grace, teacher = (Learner(before, name) for name in ("ada", "grace", "lin"))
        for learner in (ada, grace):
            assert learner.log_in(before.codes()[learner.name], PASSWORDS[learner.name])
        assert teacher.log_in(TEACHERS)
        assert teacher.ask("GET", "/hub/api/users/grace").status_code == 200
    with running(image, mark, folder, HUB_LEARNERS="ada lin", HUB_TEACHERS="joan") as after:
        for old in (teacher, grace):
            old.hub = after
        assert grace.ask("GET", "/hub/api/user").status_code == 403, "her token is dead"
        assert "/hub/login" in grace.session.get(f"{after.url}/hub/home", timeout=20).url
        assert not Learner(after, "grace").log_in(PASSWORDS["grace"], "compiler of A-1")
        assert teacher.ask("GET", "/hub/api/users").status_code == 403
        assert not teacher.ask("GET", "/hub/api/user").json()["admin"]
        assert Learner(after, "ada").log_in(PASSWORDS["ada"])


def test_as_a_service_it_outlives_its_shell_and_a_crash_and_no_kernel_is_lost(engine, image, place):
    mark, folder = f"{place[0]}-service", place[1] / "service"
    folder.mkdir()
    port = free_ports()
    environment = variables(image, mark, folder, port) | {
        "HUB_LEARNERS": "ada", "HUB_TEACHERS": "", "SEAT_CPUS": "1",
    }  # fmt: skip
    told = command("up", environment, start_new_session=True).stdout
    hub = Hub(re.search(r"https://\S+", told)[0], mark, folder, None)
    try:
        ada = Learner(hub, "ada")
        assert ada.log_in(hub.codes()["ada"], PASSWORDS["ada"])
        ada.take_seat()
        ada.run("open('/tmp/here', 'w').write('yes')")
        assert f"{mark}-ada" in command("status", environment).stdout
        twice = subprocess.run([HUB, "up"], env=environment, capture_output=True, timeout=60)
        assert (twice.returncode, b"runs already" in twice.stderr) == (1, True)
        pid = int(re.search(r"RUNNING   pid (\d+)", command("status", environment).stdout)[1])
        os.kill(pid, signal.SIGKILL)
        wait_for_health(hub, other_than=pid, environment=environment)
        assert ada.run("print(open('/tmp/here').read())") == "yes\n", "the same container"
    finally:
        command("down", environment)
    assert containers_of(engine, mark) == {}
    with pytest.raises(requests.ConnectionError):
        hub.ask("GET", "/hub/health")
    gone = subprocess.run([HUB, "status"], env=environment, capture_output=True, timeout=60)
    assert gone.returncode == 3


def wait_for_health(hub: Hub, *, other_than: int, environment: dict) -> None:
    """Wait until another process is the Hub and answers."""
    for _ in range(120):
        said = subprocess.run([HUB, "status"], env=environment, capture_output=True, text=True)
        pid = re.search(r"RUNNING   pid (\d+)", said.stdout)
        if pid and int(pid[1]) != other_than:
            with suppress(requests.RequestException):
                if hub.ask("GET", "/hub/health").ok:
                    return
        time.sleep(0.5)
    pytest.fail((hub.folder / "hub.log").read_text()[-3000:])


def test_a_network_on_which_seats_could_meet_is_refused(engine, image, place, tmp_path):
    mark = f"{place[0]}-open"
    engine.networks.create(mark)
    done = subprocess.run(
        [HUB, "run"], env=variables(image, mark, tmp_path, free_ports()) | {"HUB_TEACHERS": ""},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"docker network rm {mark}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HUB_LEARNERS": ""}, "name the learners"),
        ({"HUB_LEARNERS": "ada Grace"}, "not 'Grace'"),
        ({"HUB_TEACHERS": "lin"}, "no password yet: docker/jupyterhub/hub password lin"),
        ({"HUB_CERT": "/dev/null", "HUB_KEY": "/dev/null"}, "not a certificate and its key"),
        ({"SEAT_MEMORY": "a lot"}, "SEAT_MEMORY is a whole number"),
        ({"SEAT_DISK": "0G"}, "SEAT_DISK is a whole number"),
        ({"HUB_SUBDOMAINS": "1"}, "a name in HUB_NAME, not 127.0.0.1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_hub_cannot_start_with_is_one_line(engine, image, tmp_path, settings, said):
    mark = f"gpubook-test-hub-{secrets.token_hex(3)}"
    environment = {
        "HUB_LEARNERS": "ada", "HUB_IMAGE": image, "HUB_FOLDER": str(tmp_path), "HUB_NETWORK": mark,
    }  # fmt: skip
    done = subprocess.run(
        [HUB, "run"], env=os.environ | environment | settings, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not engine.networks.list(names=[mark]), "nothing was made"
