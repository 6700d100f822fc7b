#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The formats are opened by the programs that they are for, and say what the JSON report says."""
import collections
import csv
import datetime
import functools
import glob
import io
import json
import os
import pty
import re
import shutil
import subprocess
import time
import urllib.parse

from lab import (BUILD, FAULTPROF, FAULTS, Faultprof, ROOT, Scratch, Skip, Target, cases_on_host, check,
                 end, equal, main, near, need, need_tool, read, refused, start, test_on_host, tool,
                 write)

VARIANTS = ("all", "no-stacks", "hits", "hits-no-stacks", "top", "untimed", "none")


@functools.lru_cache(None)
def render(variant, form):
    """A report of the synthetic profile of tests/unit/render.c, in bytes."""
    return subprocess.run([os.path.join(BUILD, "tests", "render"), variant, form], check=True,
                          stdout=subprocess.PIPE, timeout=30).stdout


def report(variant):
    return json.loads(render(variant, "json"))


def plain(name):
    """The formats replace different characters: what none of them replaces."""
    return re.sub(r"[;:?\x00-\x1f\x7f-\x9f\u202e\ufffd]", ":", name or "")


def sums(rows):
    """{key: total} of (key, number)."""
    total = collections.Counter()
    for key, number in rows:
        total[key] += number
    return {key: number for key, number in total.items() if number}


def folded(variant):
    """{path: faults}, outermost first, below the comm."""
    lines = [line.rpartition(" ") for line in render(variant, "folded").decode().splitlines()]
    return sums((tuple(map(plain, path.split(";"))), int(faults)) for path, _, faults in lines)


def stall_of(row):
    return row["stall_ns"]["total"] or 0


# ---- csv ----

@cases_on_host("csv", [(v,) for v in VARIANTS if "stacks" not in v])
def table(variant):
    """Every row and column is the JSON report's."""
    data = report(variant)
    seconds = "%.3f" % data["duration_s"]
    got = list(csv.DictReader(io.StringIO(render(variant, "csv").decode(), newline=""), strict=True))
    equal(len(got), len(data["symbols"]), "rows")
    for row, symbol in zip(got, data["symbols"]):
        objects = symbol.pop("objects")
        want = {key: symbol[key] for key in ("comm", "module", "symbol", "file", "line", "inlined",
                                             "mode", "via", "kind", "faults", "addressed")}
        want.update({"stall_%s_ns" % key: symbol["stall_ns"][key]
                     for key in ("total", "p50", "p90", "p99", "max")})
        want["timed"] = symbol["stall_ns"]["timed"] if data["stall_known"] else None
        for key in ("provider", "type", "faults"):
            want["object_" + key] = objects[0][key] if objects else None
        want.update(run_seconds=seconds, run_faults=data["totals"]["faults"],
                    run_lost=data["totals"]["lost"])
        equal({key: plain(value) for key, value in row.items()},
              {key: plain("" if value is None else str(value)) for key, value in want.items()},
              "a row")


# ---- pprof ----

def go_pprof():
    """go tool pprof, by itself where it is: Go's other tools take longer than it does."""
    found = glob.glob("/usr/lib/go-*/pkg/tool/linux_*/pprof")
    if found:
        return found[:1]
    need("go")
    return ["go", "tool", "pprof"]


def pprof(path, *args):
    done = subprocess.run([*go_pprof(), *args, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=60,
                          env=dict(os.environ, PPROF_TMPDIR=os.path.dirname(path)))
    equal(done.returncode, 0, "exit code of pprof (%s)" % done.stderr)
    return done.stdout


Sample = collections.namedtuple("Sample", "values path comm kind mode object")


class Raw:
    """What pprof -raw says is in the file."""

    def __init__(self, path):
        self.text = pprof(path, "-raw")
        self.comments = re.findall(r"^Comment: (.*)", self.text, re.M)
        body, _, rest = self.text.partition("\nLocations\n")
        places, _, mappings = rest.partition("\nMappings\n")
        self.types = body.partition("Samples:\n")[2].partition("\n")[0].split()
        self.locations = {}  # id: (mapping, [(function, file, line)], innermost first)
        for line in places.splitlines():
            found = re.match(r" *(\d+): 0x0 (?:M=(\d+) )?(.*)$", line)
            if found:
                at = self.locations[int(found[1])] = (int(found[2] or 0), [])
            function = re.match(r"(.*) (\S*):(\d+) s=0\(\)$", found[3] if found else line.strip())
            at[1].append((function[1], function[2], int(function[3])))
        self.mappings = [m.split() for m in re.findall(r"^\d+: 0x0/0x0/0x0 (.*)", mappings, re.M)]
        self.samples = []
        for values, path, labels in re.findall(r"^((?: +\d+)+): ([\d ]+)\n +(.*)", body, re.M):
            frames = [line[0] for i in map(int, path.split()) for line in self.locations[i][1]]
            words = re.fullmatch(r"comm:\[(.*)\] kind:\[(.*)\] mode:\[(.*?)\](?: object:\[(.*)\])?",
                                 labels)
            self.samples.append(Sample(list(map(int, values.split())),
                                       tuple(map(plain, reversed(frames))), plain(words[1]),
                                       words[2], words[3], words[4] and plain(words[4])))


@cases_on_host("pprof", [(v,) for v in VARIANTS])
def raw(variant):
    """Go's pprof finds the same sums by every path and label."""
    data = report(variant)
    timed = data["stall_known"]
    with Scratch() as place:
        path = os.path.join(place, "report.pb.gz")
        with open(path, "wb") as file:
            file.write(render(variant, "pprof"))
        if variant == "none":  # pprof refuses a profile without samples, and has read it by then
            check("Period: 1\n" in pprof(path, "-raw"), "not read")
            return
        got = Raw(path)
    faults = [(s, s.values[0]) for s in got.samples]
    stalls = [(s, s.values[1]) for s in got.samples if timed]
    equal(got.types, ["faults/count", "stall/nanoseconds[dflt]"] if timed else
          ["faults/count[dflt]"], "sample types")
    equal(sums(((s.comm,) + s.path, n) for s, n in faults), folded(variant), "faults by path")
    equal(sums((s.kind, n) for s, n in faults),
          sums((k["kind"], k["faults"]) for k in data["kinds"]), "faults by kind")
    equal(sums((s.kind, n) for s, n in stalls),
          sums((k["kind"], stall_of(k)) for k in data["kinds"]), "stall by kind")
    equal(sums((s.mode, n) for s, n in faults),
          {mode: data["totals"][mode] for mode in ("user", "kernel")}, "faults by mode")
    everything = json.loads(render(variant.replace("top", "all"), "json"))
    equal(sums((s.object, n) for s, n in faults if s.object),
          sums((plain(o["provider"] + ": " + o["type"]), o["faults"]) for o in everything["objects"]),
          "faults by object")
    equal(sums((s.object, n) for s, n in stalls if s.object),
          sums((plain(o["provider"] + ": " + o["type"]), stall_of(o)) for o in everything["objects"]
               if timed), "stall by object")
    for warning in data["warnings"]:
        check("could not observe: " + plain(warning) in map(plain, got.comments),
              "no comment says %r" % warning)
    check(any(" %s lost" % format(data["totals"]["lost"], ",") in c for c in got.comments),
          "no comment says what is lost")


@test_on_host
def test_pprof_places():
    """Inlined functions share a location; files, lines, build IDs and times are in their places."""
    with Scratch() as place:
        path = os.path.join(place, "report.pb.gz")
        with open(path, "wb") as file:
            file.write(render("all", "pprof"))
        got = Raw(path)
        top = pprof(path, "-top", "-tagfocus=mode=kernel", "-sample_index=faults")
    wake = [(got.mappings[m - 1], lines) for m, lines in got.locations.values()
            if lines[0][0] == "channel_is_empty"]
    equal(wake, [(["/usr/sbin/haproxy", "(deleted)", "0123456789abcdef", "[FN][FL][LN][IN]"],
                  [("channel_is_empty", "include/proto/channel.h", 91),
                   ("si_conn_wake_cb", "src/stream_interface.c", 561)])], "a location")
    equal(got.mappings[0][1], "deadbeef", "build ID of the first mapping, which is the program")
    equal([lines for _, lines in got.locations.values() if lines[0][0] == "si_conn_wake_cb"],
          [[("si_conn_wake_cb", "", 0)]], "the place of what something else is inlined in")
    check("Time: 2023-11-14 22:13:20.000000005 +0000 UTC\nDuration: 30s\n" in got.text, "no time")
    check("PeriodType: faults count\nPeriod: 1\n" in got.text, "no period")
    check(re.search(r"^ +3613 .* recv$", top, re.M), "pprof -top: %s" % top)
    check("channel_is_empty" not in top, "user mode in %s" % top)


@test_on_host
def test_pprof_run():
    """A run's own: exact counts, the program's build ID, the time of day."""
    need("readelf")
    notes = subprocess.run(["readelf", "-n", FAULTS], stdout=subprocess.PIPE, check=True,
                           universal_newlines=True, timeout=10).stdout
    with Scratch() as place:
        path = os.path.join(place, "report.pb.gz")
        with Target("zero", 500) as target, \
                Faultprof("-p", target.pid, "-o", path, form="pprof") as prof:
            target.go()
            equal(prof.stop().rc, 0, "exit code")
        got = Raw(path)
    equal(sum(s.values[0] for s in got.samples if "zero_faults" in s.path), 500, "faults")
    build_id = re.search(r"Build ID: (\w+)", notes)[1]
    equal(got.mappings[0], [os.path.realpath(FAULTS), build_id, "[FN][FL][LN][IN]"], "the program")
    files = [line[1] for _, lines in got.locations.values() for line in lines
             if line[0] == "zero_faults"]
    check(files and all(f.endswith("faults.c") for f in files), "files: %r" % files)
    when = re.search(r"^Time: (\S+ [^.\n]+)", got.text, re.M)[1][:19] + " +0000"
    begun = datetime.datetime.strptime(when, "%Y-%m-%d %H:%M:%S %z").timestamp()
    check(time.time() - 60 < begun <= time.time(), "it began at %s" % when)


# ---- speedscope ----

@cases_on_host("speedscope", [(v,) for v in VARIANTS])
def speedscope(variant):
    """As the schema wants it, and the same sums by every path."""
    data, got = report(variant), json.loads(render(variant, "speedscope"))
    timed = data["stall_known"]
    equal(got["$schema"], "https://www.speedscope.app/file-format-schema.json", "schema")
    equal(set(got), {"$schema", "exporter", "name", "shared", "profiles"}, "keys")
    equal(set(got["shared"]), {"frames"}, "keys of shared")
    names = [frame["name"] for frame in got["shared"]["frames"]]
    equal(len(set(names)), len(names), "names of frames")
    for frame in got["shared"]["frames"]:
        check(set(frame) <= {"name", "file"} and all(isinstance(v, str) for v in frame.values()),
              "a frame is %r" % frame)
    equal([p["unit"] for p in got["profiles"]], ["none", "nanoseconds"][:1 + timed], "units")
    for profile in got["profiles"]:
        equal(set(profile), {"type", "name", "unit", "startValue", "endValue", "samples", "weights"},
              "keys of a profile")
        equal((profile["type"], profile["startValue"]), ("sampled", 0), "type and start")
        equal(profile["endValue"], sum(profile["weights"]), "end")
        equal(len(profile["samples"]), len(profile["weights"]), "weights")
        check(all(0 <= i < len(names) for s in profile["samples"] for i in s), "no such frame")

    def by_path(profile):
        return sums((tuple(plain(names[i]) for i in s), w)
                    for s, w in zip(profile["samples"], profile["weights"]))

    equal(by_path(got["profiles"][0]), folded(variant), "faults by path")
    if timed:
        stalls = by_path(got["profiles"][1])
        want = sums((plain(s["comm"]), stall_of(s)) for s in report(variant.replace("top", "all"))
                    ["symbols"])
        equal(sums((path[0], n) for path, n in stalls.items()), want, "stall by comm")
        check(set(stalls) <= set(folded(variant)), "stall where no fault was")
    lost = data["totals"]["lost"]
    equal(got["profiles"][0]["name"], "faults, %s lost" % format(lost, ",") if lost else "faults",
          "name of the profile")


# ---- flame graph ----

STEPS = r"""
<script>
const seen = {}, id0 = name => document.getElementById(name);
document.addEventListener("securitypolicyviolation", () => seen.refused = true);
addEventListener("error", event => seen.error = String(event.message));
function look(step) {
	seen[step] = {
		frames: [...document.querySelectorAll(".frame")].map(e => ({
			level: +e.getAttribute("aria-level"), label: e.getAttribute("aria-label"),
			left: parseFloat(e.style.left), width: parseFloat(e.style.width), text: e.textContent,
			color: getComputedStyle(e).backgroundColor, classes: [...e.classList] })),
		legend: [...document.querySelectorAll("#legend button")].map(e => ({ text: e.textContent,
			color: getComputedStyle(e).backgroundColor, on: e.getAttribute("aria-pressed") })),
		matched: id0("matched").textContent, valid: id0("search").validity.valid,
		reset: !id0("reset").hidden, hash: location.hash,
		tip: id0("tip").hidden ? null : id0("tip").textContent,
		focus: document.activeElement.getAttribute("aria-label"), title: document.title,
		notes: id0("notes").textContent, toggle: !id0("by").hidden,
		by: document.querySelector("[name=by]:checked").value, scripts: document.scripts.length,
		images: document.images.length };
}
function frame(name) {
	return [...document.querySelectorAll(".frame")].find(e =>
		e.getAttribute("aria-label").startsWith(name + ": "));
}
function key(name) {
	document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
}
function type(text) {
	id0("search").value = text;
	id0("search").dispatchEvent(new Event("input", { bubbles: true }));
}
look("begin");
STEPS
addEventListener("load", () => {
	if (seen.begin.frames.length)
		new Image().src = "http://127.0.0.1:9/";
	setTimeout(() => {
		const out = document.createElement("pre");
		out.id = "seen";
		out.textContent = encodeURIComponent(JSON.stringify(seen));
		document.body.append(out);
	}, 50);
});
</script>
</body>"""


def browser():
    for name in ("chromium-headless-shell", "chromium", "chromium-browser"):
        if shutil.which(name):
            return [name] + ([] if "shell" in name else ["--headless"])
    raise Skip("no Chromium")


def browse(variant, steps="", state=""):
    """{step: what is to be seen} of the page after it was opened and each look()."""
    html = render(variant, "flamegraph").decode()
    with Scratch() as place:
        path = os.path.join(place, "report.html")
        write(path, html.replace("</body>", STEPS.replace("STEPS", steps)))
        done = subprocess.run(browser() + ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                           "--user-data-dir=" + os.path.join(place, "profile"),
                                           "--window-size=1280,1024", "--virtual-time-budget=2000",
                                           "--dump-dom", "file://" + path + state],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              env=dict(os.environ, HOME=place))
    dom = done.stdout.decode()
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom)
    check(found, "the page did not come so far: %s" % done.stderr.decode()[-200:])
    seen = json.loads(urllib.parse.unquote(found[1]))
    equal(seen.get("error"), None, "error of the page")
    check(seen.get("refused"), "the page may ask for more than it has")
    return seen


def drawn(view):
    """{path: (faults, frame)} of all frames, from what a screen reader would say."""
    paths, path = {}, []
    for frame in view["frames"]:
        words = re.fullmatch(r"(.*): ([\d,]+) faults? \(([\d.]+ %|-)\)(?:, stalled (.*?))?; (.*)",
                             frame["label"], re.S)
        path = path[:frame["level"] - 1] + [plain(words[1])]
        frame["kind"] = words[5].split(" ")[0]
        paths[tuple(path[1:])] = (int(words[2].replace(",", "")), frame)
    return paths


def prefixes(variant):
    return sums((path[:i], n) for path, n in folded(variant).items() for i in range(len(path) + 1))


@cases_on_host("flamegraph", [(v,) for v in VARIANTS])
def graph(variant):
    """Each frame has the faults that folded has below it, as wide as that, in its kind's colour."""
    data, view = report(variant), browse(variant)["begin"]
    total, frames = data["totals"]["faults"], drawn(view)
    if not total:
        equal(list(frames), [()], "frames")
        return
    equal({path: faults for path, (faults, _) in frames.items()}, prefixes(variant), "frames")
    colors = {b["text"].split()[0]: b["color"] for b in view["legend"]}
    equal({b["text"].split(",")[0].split()[0] for b in view["legend"]},
          {k["kind"] for k in data["kinds"] if k["faults"]}, "kinds in the legend")
    equal(len(set(colors.values())), len(colors), "colours")
    for path, (faults, frame) in frames.items():
        near(frame["width"], 100 * faults / total, 1e-3, "width of %r" % (path,))
        equal(frame["color"], colors[frame["kind"]], "colour of %r" % (path,))
        outer = frames[path[:-1]][1]
        check(outer["left"] - 1e-3 <= frame["left"] and
              frame["left"] + frame["width"] <= outer["left"] + outer["width"] + 1e-3,
              "%r is not above its caller" % (path,))
    equal((view["scripts"], view["images"]), (3, 0), "scripts and images")
    equal(view["toggle"], data["stall_known"], "the switch to stall time")
    check(plain(view["title"]).startswith("faultprof:"), "title %r" % view["title"])
    check(" %s lost" % format(data["totals"]["lost"], ",") in view["title"], "lost is not told")
    for text in data["warnings"]:
        check(plain(text) in plain(view["notes"].replace("\n", " ")), "%r is not told" % text)


@test_on_host
def test_flamegraph_use():
    """Search, zoom, switch, legend, tooltip, and all of it by keyboard."""
    seen = browse("all", r"""
type("RAW_SOCK"); look("upper");
type("raw_sock|^recv$"); look("search");
type("("); look("bad");
type("");
frame("si_conn_wake_cb").click(); look("zoom");
frame("channel_is_empty").dispatchEvent(new MouseEvent("mousemove", { bubbles: true })); look("tip");
id0("reset").click(); look("reset");
frame("all").focus();
key("ArrowUp"); look("up"); key("ArrowUp"); look("up2"); key("ArrowLeft"); look("left");
key("ArrowRight"); look("right"); key("ArrowDown"); look("down");
key("ArrowUp"); key("Enter"); look("enter");
key("/"); look("slash"); key("Escape"); look("escape");
id0("graph").focus(); frame("all").focus(); key("s"); look("stall"); key("s");
document.querySelector("#legend button").click(); look("hide");
""")
    data, frames = report("all"), drawn(seen["begin"])
    total = data["totals"]["faults"]
    symbols = data["symbols"]
    found = [s for s in symbols if "raw_sock" in s["symbol"]]
    faults = sum(s["faults"] for s in found)
    equal(seen["upper"]["matched"], "matched: 0 of %s faults (0.0 %%), 0ns of 7.34s (0.0 %%)" %
          format(total, ","), "search in upper case")
    check(seen["search"]["matched"].startswith("matched: %s of %s faults (%.1f %%), " % (
        format(faults, ","), format(total, ","), 100 * faults / total)),
          "search says %r" % seen["search"]["matched"])
    equal(sorted(f["label"].split(": ")[0] for f in seen["search"]["frames"]
                 if "match" in f["classes"]),
          sorted(path[-1] for path in frames if path and re.search("raw_sock|^recv$", path[-1])),
          "marked frames")
    equal((seen["bad"]["valid"], seen["bad"]["matched"]), (False, ""), "an expression that is none")

    zoomed = drawn(seen["zoom"])
    wake = next(path for path in zoomed if path[-1:] == ("si_conn_wake_cb",))
    for path, (n, frame) in zoomed.items():
        equal("caller" in frame["classes"], len(path) < len(wake), "is %r a caller" % (path,))
        near(frame["width"], 100 * min(1, n / zoomed[wake][0]), 1e-3, "width of %r" % (path,))
    equal((seen["zoom"]["reset"], seen["reset"]["reset"]), (True, False), "offers to reset")
    equal(drawn(seen["reset"]).keys(), frames.keys(), "frames after the reset")
    for text in ("channel_is_empty", "include/proto/channel.h", "980 faults, 16.1 % of all",
                 "stalled 6.02s (82.1 %), 6.1ms a fault", "swap-in: 980 faults, 6.02s"):
        check(text in seen["tip"]["tip"], "the tooltip %r lacks %r" % (seen["tip"]["tip"], text))

    def focus(step):
        return seen[step]["focus"] and seen[step]["focus"].split(":")[0]

    equal([focus(s) for s in ("up", "up2", "left", "right", "down", "enter")],
          ["haproxy", "main", "haproxy@0x21f40", "main", "haproxy", "main"], "focus")
    equal((focus("slash"), seen["enter"]["reset"], seen["escape"]["reset"]), ("search", True, False),
          "what / and Escape do")

    stall = {plain(s["comm"]): 0 for s in symbols}
    for s in symbols:
        stall[plain(s["comm"])] += stall_of(s)
    for path, (_, frame) in drawn(seen["stall"]).items():
        if len(path) == 1:
            near(frame["width"], 100 * stall[path[0]] / data["totals"]["stall_ns"], 1e-3,
                 "width of %s by stall time" % path)
    swapped = next(k["faults"] for k in data["kinds"] if k["kind"] == "swap-in")
    equal(drawn(seen["hide"])[()][0], total - swapped, "faults without swap-ins")
    equal([b["on"] for b in seen["hide"]["legend"]][:2], ["false", "true"], "the legend's switches")

    again = browse("all", state=seen["zoom"]["hash"] + "&search=main&by=stall")["begin"]
    equal([(path, f["classes"]) for path, (_, f) in drawn(again).items()],
          [(path, f["classes"] + ["match"] * (path[-1:] == ("main",)))
           for path, (_, f) in zoomed.items()], "frames by the address")
    equal((seen["zoom"]["by"], again["by"]), ("faults", "stall"), "the switch")
    check(again["matched"].startswith("matched: 980 of 980 faults (100.0 %), 6.02s of 6.02s"),
          "search by the address says %r" % again["matched"])


@test_on_host
def test_flamegraph_objects():
    """What was hit, in the tooltip; names that look like HTML."""
    view = browse("hits", r"""
frame("raw_sock_to_buf").click();
frame("b_peek").dispatchEvent(new MouseEvent("mousemove", { bubbles: true })); look("tip");
""")["tip"]
    tip = view["tip"]
    # At full width a frame shows its name, as text.
    equal([plain(f["text"]) for f in view["frames"]],
          ["all"] + [path[-1] for path in list(drawn(view))[1:]], "texts of frames")
    check(any("</script><b>" in f["text"] for f in view["frames"]), "no name as of HTML")
    equal((view["scripts"], view["images"]), (3, 0), "scripts and images")
    got = dict(re.findall(r"^  (haproxy: .*): (\d+) faults?$", tip, re.M))
    # Of 30 faults each third has no stack and each fifth no object; the others alternate.
    want = collections.Counter(("haproxy: stream", "haproxy: </script>")[i % 2] for i in range(30)
                               if i % 3 and i % 5)
    equal(got, {name: str(n) for name, n in want.items()}, "objects in %r" % tip)


# ---- the command line ----

@test_on_host
def test_format_help():
    """Each format has a line, and each is known by the name that stands there."""
    for args in (("--format", "help"), ("-p", "1", "--format=help")):
        text = tool(*args)
        equal((text.rc, text.err), (0, ""), "exit code and stderr")
        names = [line.split(None, 1)[0] for line in text.out.splitlines()]
        equal(names, ["text", "json", "csv", "folded", "pprof", "speedscope", "flamegraph"],
              "formats")
        check(all(len(line.split()) > 2 for line in text.out.splitlines()), "no help in it")
    readme = read(os.path.join(ROOT, "README.md"))
    equal([line for line in text.out.splitlines() if line not in readme], [], "not in README.md")
    refused(tool("--format", "xml"), 64, *names)


@test_on_host
def test_binary_terminal():
    """What is not for a terminal is refused before the run, not shown after it."""
    need_tool()
    master, slave = pty.openpty()
    process = start([FAULTPROF, "--format", "pprof", "--", "/bin/true"],
                    stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE)
    os.close(slave)
    with process.stderr:
        text = process.stderr.read().decode()
    equal(process.wait(10), 64, "exit code")
    end(process)
    os.close(master)
    check("pprof" in text and "-o FILE" in text, "it says %r" % text)


main()
