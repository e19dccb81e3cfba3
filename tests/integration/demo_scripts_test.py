# SPDX-License-Identifier: Apache-2.0
"""bin/demo-*: which cluster they touch, and what they say when something is missing. kubectl and helm are played here
by a program that writes down how it was called; tests/e2e runs the scripts on a real cluster."""

import json
import shutil

from lib import ROOT, contains, equal, main, test

SCRIPTS = ["demo-up", "demo-publish", "demo-watch", "demo-down"]
# What the played programs answer; what is not here succeeds without a word.
PLAYED = """#!/bin/sh
printf '%s' "${0##*/}" >> "$CALLS"
printf '\\t%s' "$@" >> "$CALLS"
echo >> "$CALLS"
case "$*" in
  "config current-context") [ -z "$NO_CONTEXT" ] && echo here || exit 1 ;;
  *"config view"*"--context nowhere"*) exit 1 ;;
  *"config view"*) echo https://cluster.test:6443 ;;
  *"get --raw /readyz"*) [ -z "$DOWN" ] || { echo "no route to host" >&2; exit 1; } ;;
  *"get namespace"*jsonpath*) echo "$MADE_BY" ;;
  *"get namespace"*) [ -z "$NO_NAMESPACE" ] || exit 1 ;;
  *"rollout status"*) [ -z "$NO_IMAGE" ] || exit 1 ;;
  *"get pods"*jsonpath*) echo "$NO_IMAGE" ;;
  *"get notes"*) printf 'NOTES:\\nwatch it\\n' ;;
  *"create job"*) echo '{"kind":"Job"}' ;;
  *"set env"*) cat >/dev/null; echo '{"kind":"Job"}' ;;
  *"create --filename -"*) cat >> "$CALLS.created" ;;
esac
"""


class Stage:
    def __init__(self, box, programs=("kubectl", "helm", "kind", "docker", "k3d", "minikube")):
        self.box = box
        self.bin = box.path("bin")
        for name in programs:
            box.write(f"bin/{name}", PLAYED, mode=0o755)
        self.calls_file = box.path("calls")

    def run(self, script, *args, exit=None, **env):
        self.calls_file.unlink(missing_ok=True)
        return self.box.run([self.box.path("tree/bin") / script, *args], exit=exit, env={
            "PATH": f"{self.bin}:{_tools(self.box)}", "CALLS": str(self.calls_file), **env})

    @property
    def calls(self):
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        return [line.split("\t") for line in text.splitlines()]

    def changes(self):
        """The calls that are no mere looks."""
        looks = ("config", "get", "rollout", "logs", "wait", "--raw")
        return [call for call in self.calls if not any(word in looks for word in call)]


def _tools(box):
    """A folder of what the scripts use besides, so that this machine's own kubectl is out of sight."""
    folder = box.path("programs")
    folder.mkdir(exist_ok=True)
    for name in ("bash", "env", "basename", "dirname", "date", "sed", "grep", "cat", "sleep", "tail", "sh"):
        if not (folder / name).exists():
            (folder / name).symlink_to(shutil.which(name))
    return folder


def tree(box, archives=1):
    """The scripts and charts in a folder of the box, with so many images of an earlier `make image`."""
    box.path("tree").mkdir()
    box.path("tree/deploy").symlink_to(ROOT / "deploy")
    for path in (ROOT / "bin").iterdir():
        box.write(f"tree/bin/{path.name}", path.read_text(), mode=path.stat().st_mode & 0o777)
    for number in range(archives):
        box.write(f"tree/build/image/sluice-0.{number}.0.tar", "")


@test("each script says with --help what it does and accepts, and refuses what it does not know")
def _(box):
    tree(box)
    stage = Stage(box)
    for script in SCRIPTS:
        done = stage.run(script, "--help", exit=0)
        contains(done.out, f"bin/{script}")
        for word in ("--context NAME", "--namespace NAME", "SLUICE_CONTEXT"):
            contains(done.out, word)
        contains(stage.run(script, "--bogus", exit=2).err, f"{script}: there is no option --bogus; {script} --help")
        contains(stage.run(script, "--context", exit=2).err, "--context wants a value")
        equal(stage.calls, [], "programs that were called")


@test("no cluster is touched before it is named, and none by a script that nobody can answer")
def _(box):
    tree(box)
    stage = Stage(box)
    for script in ("demo-up", "demo-publish", "demo-down"):
        done = stage.run(script, exit=1)
        contains(done.out, "cluster    context here, https://cluster.test:6443\nnamespace  sluice-demo\n")
        contains(done.err, "say --context here, or --yes")
        equal(stage.changes(), [], "changes")
    contains(stage.run("demo-up", "--context", "nowhere", exit=1).err, 'kubectl knows no context "nowhere"')
    contains(stage.run("demo-up", NO_CONTEXT="1", exit=1).err, "kubectl has no current context")
    contains(stage.run("demo-down", "--context", "there", DOWN="1", exit=1).err, "the cluster does not answer")
    equal(stage.changes(), [], "changes")


@test("every call names the context and the namespace, so that a switch half-way changes nothing")
def _(box):
    tree(box)
    stage = Stage(box)
    for script, args in (("demo-up", ["--image", "a.test/sluice:2"]), ("demo-publish", ["7"]), ("demo-watch", []),
                         ("demo-down", [])):
        stage.run(script, "--context", "kind-there", "--namespace", "mine", *args, exit=0)
        for call in stage.calls:
            if call[1] != "config":
                flag = "--kube-context" if call[0] == "helm" else "--context"
                equal(call[1:3], [flag, "kind-there"], " ".join(call))
                whole = {"--raw", "namespace", "customresourcedefinition", "--server-side"}  # of no namespace
                if not whole.intersection(call) and call[3:6] != ["create", "--filename", "-"]:
                    equal(call[3:5], ["--namespace", "mine"], " ".join(call))


@test("a missing program is named with what it is for")
def _(box):
    tree(box)
    stage = Stage(box, programs=["helm"])
    contains(stage.run("demo-watch", exit=1).err, "there is no kubectl in PATH, which talks to the cluster")
    other = box.path("bin/helm")
    other.rename(box.path("bin/kubectl"))
    for script in ("demo-up", "demo-down"):
        contains(stage.run(script, exit=1).err, "there is no helm in PATH")
    box.write("bin/helm", PLAYED, mode=0o755)
    for context, program in (("kind-a", "kind"), ("docker-desktop", "docker"), ("k3d-a", "k3d"),
                             ("minikube", "minikube")):
        contains(stage.run("demo-up", "--context", context, exit=1).err, f"there is no {program} in PATH, which gives")
        equal(stage.changes(), [], "changes")


@test("the image is given to clusters of this machine in their own way, and pulled by others")
def _(box):
    tree(box)
    stage = Stage(box)
    archive = str(box.path("tree/build/image/sluice-0.0.0.tar"))
    for context, call in (("kind-a", ["kind", "load", "image-archive", archive, "--name", "a"]),
                          ("docker-desktop", ["docker", "load", "--quiet", "--input", archive]),
                          ("k3d-a", ["k3d", "image", "import", archive, "--cluster", "a"]),
                          ("minikube", ["minikube", "--profile", "minikube", "image", "load", archive])):
        done = stage.run("demo-up", "--context", context, exit=0)
        assert call in stage.calls, stage.calls
        contains(done.out, "loading sluice-0.0.0.tar by ")
    done = stage.run("demo-up", "--context", "gke_a_b_c", exit=1)
    contains(done.err, "--image REGISTRY/sluice:TAG")
    equal(stage.changes(), [], "changes")
    stage.run("demo-up", "--context", "gke_a_b_c", "--image", "a.test:5/s:v2", exit=0)
    installs = [call for call in stage.calls if "upgrade" in call]
    equal(len(installs), 2, "charts")
    for call in installs:
        contains(" ".join(call), "--set image.repository=a.test:5/s --set-string image.tag=v2")
    digest = "sha256:" + "0" * 64
    stage.run("demo-up", "--context", "gke_a_b_c", "--image", f"a.test/s@{digest}", exit=0)
    equal(sum(f"image.digest={digest}" in call for call in stage.calls), 2, "charts")
    contains(stage.run("demo-up", "--context", "a", "--image", "s", exit=2).err, "accepted: NAME:TAG")


@test("without an image the next step is said, and nothing is installed")
def _(box):
    tree(box, archives=0)
    stage = Stage(box)
    contains(stage.run("demo-up", "--context", "kind-a", exit=1).err, "make image makes it")
    equal(stage.changes(), [], "changes")
    box.write("tree/build/image/sluice-1.tar", "")
    box.write("tree/build/image/sluice-2.tar", "")
    contains(stage.run("demo-up", "--context", "kind-a", exit=1).err, "more than one image")
    done = stage.run("demo-up", "--context", "a", "--no-load", NO_IMAGE="ErrImageNeverPull not present", exit=1)
    contains(done.err, "the cluster cannot get the image of the controller:\nErrImageNeverPull not present")


@test("values of one's own reach the chart they are for, after those of the script")
def _(box):
    tree(box)
    stage = Stage(box)
    stage.run("demo-up", "--context", "a", "--image", "a.test/s:1", "--rabbitmq-image", "r:1", "--no-persistence",
              "--messages", "5", "--work", "1s", "--sluice-set", "replicas=1", "--demo-set", "pool.max=3",
              "--sluice-values", "s.yaml", "--demo-values", "d.yaml", NO_NAMESPACE="1", exit=0)
    sluice, demo = [" ".join(call) for call in stage.calls if "upgrade" in call]
    contains(sluice, "--set credentials.read={demo-rabbitmq} ")
    assert sluice.endswith("--set replicas=1 --values s.yaml"), sluice
    for word in ("rabbitmq.image=r:1", "rabbitmq.persistence.enabled=false", "publisher.messages=5", "worker.work=1s",
                 "pool.max=3", "--values d.yaml"):
        contains(demo, word)
    created = json.loads(box.read("calls.created"))
    equal(created["metadata"]["name"], "sluice-demo")
    equal(created["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")


@test("a count to publish is a whole number, and without one it is the chart's")
def _(box):
    tree(box)
    stage = Stage(box)
    for word in ("many", "-3", "0", "1.5"):
        stage.run("demo-publish", "--context", "a", word, exit=2)
        equal(stage.calls, [], word)
    stage.run("demo-publish", "--context", "a", "50", exit=0)
    contains(str(stage.calls), "'MESSAGES=50'")
    stage.run("demo-publish", "--context", "a", exit=0)
    assert "MESSAGES" not in str(stage.calls), stage.calls


@test("the end removes workers whose broker goes, and a namespace only if the demo made it")
def _(box):
    tree(box)
    stage = Stage(box)
    stage.run("demo-down", "--context", "a", exit=0)
    text = "\n".join(" ".join(call) for call in stage.changes())
    contains(text, "delete jobs --selector app.kubernetes.io/managed-by=sluice,sluice.dev/pool")
    assert "namespace sluice-demo --wait" not in text and "customresourcedefinition" not in text, text
    stage.run("demo-down", "--context", "a", "--crd", MADE_BY="demo-up", exit=0)
    text = "\n".join(" ".join(call) for call in stage.changes())
    contains(text, "delete namespace sluice-demo --wait")
    contains(text, "delete customresourcedefinition workerpools.sluice.dev")


main()
