"""Makes the project's virtual environment and fetches data and model, where that is not done.

Run by `make` with whatever Python is there, so it uses the standard library alone and checks
the version before any newer syntax could be a problem. What is done is kept as a checksum in
the environment: the next run does nothing unless a file that matters has changed.
"""

import hashlib
import os
import subprocess
import sys

OLDEST = (3, 11)
NEWEST = (3, 14)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "gpubook-setup")
COMMANDS = ("gpubook", "mat_mul", "spam_classify", "spam_predict")
INPUTS = (
    "pyproject.toml",
    "requirements/setup.txt",
    "requirements/torch-cpu.txt",
    "requirements/torch-cuda.txt",
    "tools/bootstrap.py",
    "tools/install.py",
)


def stop(message):
    """End with one line that says what is wrong and what to do."""
    sys.stderr.write("set-up: " + message + "\n")
    sys.exit(1)


def say(message):
    """Print a line of progress at once."""
    sys.stdout.write("set-up: " + message + "\n")
    sys.stdout.flush()


def wanted():
    """A checksum of all that the environment depends on."""
    digest = hashlib.sha256(("%s %s" % (sys.version, VENV)).encode())
    for name in INPUTS:
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def is_done(checksum):
    """Whether the environment was made from just these inputs."""
    try:
        with open(STAMP) as file:
            return file.read() == checksum and os.path.exists(PYTHON)
    except OSError:
        return False


def is_ours():
    """Whether there is an environment of this very Python, to be brought up to date."""
    command = [PYTHON, "-c", "import sys; print(sys.version, sys.prefix)"]
    try:
        answer = subprocess.check_output(command, stderr=subprocess.STDOUT, text=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.strip() == "%s %s" % (sys.version, os.path.realpath(VENV))


def make_environment():
    """Make the virtual environment, new."""
    say("virtual environment in .venv (Python %s)" % sys.version.split()[0])
    try:
        import ensurepip  # noqa: F401 - Debian and Ubuntu package it apart
        import venv
    except ImportError:
        stop("this Python cannot make virtual environments: sudo apt-get install python3-venv")
    try:
        venv.EnvBuilder(clear=True, with_pip=True, symlinks=True).create(VENV)
    except (OSError, subprocess.CalledProcessError) as error:
        stop("the virtual environment could not be made in %s: %s" % (VENV, error))


def call(*command):
    """Run a command of the environment's Python; the set-up ends when it fails."""
    if subprocess.call([PYTHON] + list(command), cwd=ROOT) != 0:
        stop("the packages are not installed: fix what is said above and run it again")


def install():
    """Install all that the lock names, then the library by itself."""
    say("Python packages (a minute or several the first time; only what changed later)")
    if os.environ.get("TORCH_INDEX"):
        os.environ["PIP_EXTRA_INDEX_URL"] = " ".join(
            [os.environ.get("PIP_EXTRA_INDEX_URL", ""), os.environ["TORCH_INDEX"]]
        ).strip()
    call("tools/install.py", "--torch", "requirements/setup.txt")
    call("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--no-index", "--no-build-isolation", "-e", ".")  # fmt: skip


def link_commands():
    """Put the commands where the shell finds them; a line says what to type where that is nowhere.

    Only in ~/.local/bin, only if that is on the PATH, and never over somebody else's file.
    """
    folder = os.path.join(os.path.expanduser("~"), ".local", "bin")
    if folder not in os.environ.get("PATH", "").split(os.pathsep):
        say("`. .venv/bin/activate` puts gpubook on your path")
        return
    os.makedirs(folder, exist_ok=True)
    for name in COMMANDS:
        link, target = os.path.join(folder, name), os.path.join(VENV, "bin", name)
        if os.path.islink(link) and os.readlink(link).endswith("/.venv/bin/" + name):
            os.remove(link)
        if not os.path.lexists(link):
            os.symlink(target, link)


def main():
    """Set up what is not set up."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        stop("Python %d.%d to %d.%d is needed, this is %s: name another one with "
             "`make PYTHON=python3.12 …`"
             % (OLDEST + NEWEST + (sys.version.split()[0],)))  # fmt: skip
    checksum = wanted()
    if not is_done(checksum):
        if os.path.exists(STAMP):
            os.remove(STAMP)  # a set-up that stops half-way is not done
        if not is_ours():
            make_environment()
        install()
        link_commands()
        with open(STAMP, "w") as file:
            file.write(checksum)
    done = subprocess.call([PYTHON, "-m", "gpubook.cli", "fetch"], cwd=ROOT)
    if done != 0:
        sys.exit(done)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("stopped; run it again to go on")
