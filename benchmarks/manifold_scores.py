"""Times precision, recall, density and coverage, and their memory, against all distances at once.

    python benchmarks/manifold_scores.py            both contenders, about two minutes
    python benchmarks/manifold_scores.py --quick    a check, writes nothing

Each contender runs in a fresh process, and they take turns, so that each round is a paired
comparison under the same load.
"""

import statistics
import sys
import time

import numpy as np
import paired

CONTENDERS = {"ours": "this package, in chunks", "dense": "all distances at once"}
DIMENSIONS, K = 512, 5
ROWS, QUICK_ROWS = 10_000, 1_000
BAR = 1000  # MB that the whole process may hold, set before


def features(rows):
    """Returns real and synthetic features `(rows, DIMENSIONS)` that overlap in part."""
    draw = np.random.default_rng(0)
    basis = draw.standard_normal((8, DIMENSIONS))  # as of a network: far fewer directions than axes
    noise = 0.1 * draw.standard_normal((2, rows, DIMENSIONS))
    return draw.standard_normal((2, rows, 8)) @ basis * [[[1.0]], [[0.8]]] + noise


def dense(real, synthetic):
    """Returns the four scores from three whole matrices of distances."""
    from sklearn.metrics import pairwise_distances

    def radii(each):
        distances = pairwise_distances(each)
        np.fill_diagonal(distances, -1)  # a row is not its own neighbour
        return np.partition(distances, K, axis=1)[:, K]

    between = pairwise_distances(synthetic, real)
    inside, reached = between <= radii(real), between <= radii(synthetic)[:, None]
    return (
        inside.any(axis=1).mean(),
        reached.any(axis=0).mean(),
        inside.sum() / (K * len(synthetic)),
        inside.any(axis=0).mean(),
    )


def measure(args):
    """Times one contender in this process; returns what it did."""
    sys.path.insert(0, str(paired.ROOT))
    import sklearn

    from replicate.evaluation.manifold import manifold_scores

    score = manifold_scores if args.contender == "ours" else dense
    real, synthetic = features(args.rows)
    before, start = paired.peak_memory_mb(), time.perf_counter()
    found = score(real, synthetic)
    return {
        "contender": args.contender,
        "seconds": time.perf_counter() - start,
        "memory_before_mb": before,
        "peak_memory_mb": paired.peak_memory_mb(),
        "scores": [float(value) for value in found],
        "versions": paired.versions(sklearn),
    }


def compare(args):
    """Runs all rounds; returns the report as a dictionary."""
    machine_line, rows = paired.machine(), QUICK_ROWS if args.quick else args.rows

    def told(row):
        return f"{row['seconds']:.1f} s, {row['peak_memory_mb']:,.0f} MB"

    turns = paired.take_turns(__file__, CONTENDERS, args, [f"--rows={rows}"], told)
    return paired.report_of(machine_line, turns, rows_a_set=rows)


def table(report):
    """Returns the Markdown table."""
    by_name = paired.by_contender(report)
    lines = [
        "| contender | s, median | min | times faster | peak memory, MB | of it before the call "
        "| precision | recall | density | coverage |",
        f"|---|{'---:|' * 9}",
    ]
    for name, rows in by_name.items():
        seconds = [row["seconds"] for row in rows]
        scores = " | ".join(f"{value:.4f}" for value in rows[0]["scores"])
        faster = paired.ratio(rows, by_name["dense"], lambda row: row["seconds"])
        lines.append(
            f"| {CONTENDERS[name]} | {statistics.median(seconds):.1f} | {min(seconds):.1f} "
            f"| {faster} | {max(row['peak_memory_mb'] for row in rows):,.0f} "
            f"| {max(row['memory_before_mb'] for row in rows):,.0f} | {scores} |"
        )
    return "\n".join(lines)


def write(report):
    """Writes the JSON and the page."""
    rows, peaks = report["rows_a_set"], paired.by_contender(report)["ours"]
    peak = max(row["peak_memory_mb"] for row in peaks)
    page = f"""# Precision, recall, density and coverage

Written by `python benchmarks/manifold_scores.py --publish`; raw numbers in
`benchmarks/results/manifold_scores.json`.

Two sets of {rows:,} x {DIMENSIONS} features in float64, k = {K}. Contenders take turns in
{paired.rounds_of(report)} rounds, each in a fresh process, whose memory is that of all it holds,
libraries too; times faster than the lower row, within a round: median (least).

Bar that was set before, under {BAR:,} MB: {peak:,.0f} MB, {"met" if peak < BAR else "missed"}.

{table(report)}

{paired.footer(report)}
"""
    paired.save("manifold_scores", "manifold_benchmarks", report, page)


def main():
    """Measures, prints the table and, with --publish, writes the results."""
    parser = paired.parser_of(__doc__, CONTENDERS, rounds=3)
    parser.add_argument("--rows", type=int, default=ROWS, help="features of each set")
    paired.run(parser.parse_args(), measure, compare, table, write)


if __name__ == "__main__":
    main()
