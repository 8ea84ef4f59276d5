"""What benchmarks share: contenders in fresh processes by turns, and what is written of them."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIDE = 2048  # of the matrices whose product gives the machine's rate
WARM_UP_STEPS = 3


def in_process(python, script, *arguments):
    """Returns the JSON that a script prints when run with the arguments in a fresh process."""
    command = [python, str(pathlib.Path(script).resolve()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Expected {arguments} to succeed. Received:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def take_turns(script, names, args, arguments, told):
    """Runs every contender once a round, each in a fresh process; returns their rows.

    Contenders with "torch" in their name run in `args.torch_python`, and not at all if that has no
    PyTorch, which is said.

    Args:
        script: the benchmark, which prints a contender's row as JSON.
        names: the contenders.
        args: the command line: `quick`, `publish`, `rounds` and, if there are such contenders,
            `torch_python`.
        arguments: further arguments of every contender.
        told: row -> what is printed of it.

    Raises:
        SystemExit: if there is no PyTorch, and the results are to be published.
    """
    if any("torch" in name for name in names) and not _has_torch(args.torch_python):
        if args.publish:
            raise SystemExit("PyTorch not found: --publish needs its rows (see --torch_python)")
        print("PyTorch not found: its rows are left out (see --torch_python)", flush=True)
        names = [name for name in names if "torch" not in name]
    rows = []
    for turn in range(1 if args.quick else args.rounds):
        for name in names:
            python = args.torch_python if "torch" in name else sys.executable
            rows.append(
                {"round": turn, **in_process(python, script, f"--contender={name}", *arguments)}
            )
            print(f"round {turn}: {name} {told(rows[-1])}", flush=True)
    return rows


def run(args, measure, compare, table, write):
    """Prints what one contender does as JSON; else measures all, prints the table and, if they are
    to be published, writes the results.

    Args:
        args: the command line.
        measure: args -> the contender's row.
        compare: args -> the report as a dictionary.
        table: report -> Markdown.
        write: writes a report.
    """
    if args.contender:
        print(json.dumps(measure(args)))
        return
    report = compare(args)
    print(table(report))
    if args.publish:
        write(report)


def versions(*modules):
    """Returns the versions of Python, NumPy and some modules."""
    found = {"python": platform.python_version(), "numpy": np.__version__}
    return found | {each.__name__.split(".")[0]: each.__version__ for each in modules}


def step_row(script, args, run_steps):
    """Returns the row of a contender that takes steps, here or, if its name says so, side by side.

    Args:
        script: the benchmark.
        args: the command line: `contender`, `steps`.
        run_steps: contender, steps -> modules, sgemm rates, seconds of the first steps, of each.
    """
    sys.path.insert(0, str(ROOT))
    from replicate.runs.environment import CORES, take_cores

    if args.contender.endswith("side") and CORES not in os.environ:
        return side_by_side(script, args.contender, CORES, f"--steps={args.steps}")
    take_cores()
    modules, rates, first, seconds = run_steps(args.contender, args.steps)
    return {
        "contender": args.contender,
        "step_ms": [1e3 * value for value in seconds],
        "sgemm_gflops": rates,
        "first_steps_seconds": first,
        "peak_memory_mb": peak_memory_mb(),
        "versions": versions(*modules),
    }


def compare_steps(script, names, args, **more):
    """Returns the report of contenders whose rows are those of `step_row`."""
    machine_line = machine()
    rows = take_turns(
        script, names, args, [f"--steps={args.steps}"], lambda row: f"{median_ms(row):.1f} ms"
    )
    return report_of(machine_line, rows, **more)


def compare_repeats(script, names, args, told):
    """Returns the report of contenders that take `--repeats`: `args.repeats`, one if quick."""
    machine_line, repeats = machine(), 1 if args.quick else args.repeats
    return report_of(machine_line, take_turns(script, names, args, [f"--repeats={repeats}"], told))


def side_by_side(script, contender, variable, *arguments):
    """Returns what copies of a contender, one on each core, do together, as one row.

    A step's time is the wall time over the steps of all, the rate of matrix products the sum.
    A copy is told its core by an environment variable, as `--workers` tells it.
    """
    command = [sys.executable, str(pathlib.Path(script).resolve()), f"--contender={contender}"]
    copies = []
    for core in sorted(os.sched_getaffinity(0)):
        own = {**os.environ, variable: str(core)}
        copies.append(
            subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True, env=own)
        )
    rows = [json.loads(copy.communicate()[0].splitlines()[-1]) for copy in copies]
    rates = zip(*(row["sgemm_gflops"] for row in rows), strict=True)
    return {
        **rows[0],
        "step_ms": [ms / len(rows) for row in rows for ms in row["step_ms"]],
        "sgemm_gflops": [sum(together) for together in rates],
        "first_steps_seconds": max(row["first_steps_seconds"] for row in rows),
        "peak_memory_mb": sum(row["peak_memory_mb"] for row in rows),
    }


def peak_memory_mb():
    """Returns the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _has_torch(python):
    return not subprocess.run([python, "-c", "import torch"], capture_output=True).returncode


def machine():
    """Returns one line on the processor and its load, which should be near zero."""
    model = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":")[1].strip() if lines else model
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}; load at the start {load:.1f}"


def report_of(machine_line, rows, **more):
    """Returns the report as a dictionary; `machine_line` is from before the first round."""
    today = datetime.date.today().isoformat()
    return {"date": today, "machine": machine_line, **more, "rows": rows}


def by_contender(report):
    """Returns contender -> its rows, a round each."""
    found = {}
    for row in report["rows"]:
        found.setdefault(row["contender"], []).append(row)
    return found


def ratio(rows, base, value):
    """Returns median and least of `value(base) / value(row)`, round by round, as text."""
    if base is None:
        return "-"
    ratios = [value(b) / value(a) for a, b in zip(rows, base, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f})"


def median_ms(row):
    """Returns the median time of a row's steps."""
    return statistics.median(row["step_ms"])


def shares_of_sgemm(rows, gflop):
    """Returns each round's rate in GFLOP/s, the machine's, and the share that the one is."""
    rates = [1e3 * gflop / median_ms(row) for row in rows]
    sgemm = [statistics.mean(row["sgemm_gflops"]) for row in rows]
    return rates, sgemm, [rate / peak for rate, peak in zip(rates, sgemm, strict=True)]


def sgemm_rate(multiply, synchronise=lambda value: None):
    """Returns GFLOP/s of a product of two square matrices, the best of five."""
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        synchronise(multiply())
        seconds.append(time.perf_counter() - start)
    return 2e-9 * SIDE**3 / min(seconds[1:])


def timed(step, steps):
    """Returns seconds of the first steps together, and of each further one."""
    start = time.perf_counter()
    for _ in range(WARM_UP_STEPS):
        step()
    first = time.perf_counter() - start
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return first, seconds


def rounds_of(report):
    """Returns how many rounds were run."""
    return 1 + max(row["round"] for row in report["rows"])


def footer(report):
    """Returns the line on machine, versions and date that ends a page."""
    versions = {}
    for row in report["rows"]:
        versions |= row["versions"]
    named = ", ".join(f"{k} {v}" for k, v in versions.items())
    return f"{report['machine']}; {named}; {report['date']}."


def save(name, page_name, report, page):
    """Writes `benchmarks/results/<name>.json` and `docs/<page_name>.md`."""
    results = ROOT / "benchmarks" / "results" / f"{name}.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(report, indent=1) + "\n")
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / f"{page_name}.md").write_text(page)


def parser_of(description, contenders, rounds):
    """Returns a parser with the flags of every benchmark."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--quick", action="store_true", help="least that runs")
    text = "replace the page in docs/ and the numbers in benchmarks/results/"
    kind.add_argument("--publish", action="store_true", help=text)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--torch_python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--contender", choices=contenders, help="run this one here, print JSON")
    return parser
