"""Tables of medians, spread and ratios."""
import statistics

# Title, measure, and its columns: key, heading, whether a ratio is to be told.
TABLES = [
    ("Start-up and size of one sidecar", "start", [
        ("start_ms", "listens after ms", True), ("start_cpu_ms", "CPU ms", True), ("idle_rss_mib", "idle RSS MiB", True)]),
    ("L4 bulk, CPU seconds of the pair per GB", "bulk", [
        (f"{way}{n}_cpu_s_gb", f"{way} x{n}", True) for n in (1, 4) for way in ("up", "down")]),
    ("L4 bulk, GB/s", "bulk", [
        (f"{way}{n}_gb_s", f"{way} x{n}", True) for n in (1, 4) for way in ("up", "down")]),
    ("New connections, a full mutual handshake each", "conn", [
        ("conn_cpu_us", "CPU us each", True), ("conn_per_s", "a second", True), ("conn_errors", "errors", False)]),
    ("Small messages, L4", "l4", [
        ("l4_cpu_us", "CPU us each", True), ("l4_per_s", "a second", True), ("l4_errors", "errors", False)]),
    ("HTTP/1.1 requests, L7", "l7", [
        ("l7_cpu_us", "CPU us each", True), ("l7_per_s", "a second", True), ("l7_errors", "errors", False)]),
    ("Latency at a fixed rate, L4", "l4rate", [
        ("l4_p50_us", "p50 us", True), ("l4_p99_us", "p99 us", True), ("l4_rate_errors", "errors", False)]),
    ("Latency at a fixed rate, L7", "l7rate", [
        ("l7_p50_us", "p50 us", True), ("l7_p99_us", "p99 us", True), ("l7_rate_errors", "errors", False)]),
    ("Memory of idle connections, the pair", "memory", [
        ("conn_kib", "KiB each", True), ("used_conn_kib", "KiB each, used before", True),
        ("after_mib", "MiB kept once closed", True)]),
]


# The one table for who has no time for the others: measure, key, heading.
SUMMARY = [
    ("bulk", "up1_cpu_s_gb", "bulk x1 up, CPU"), ("bulk", "down1_cpu_s_gb", "x1 down"),
    ("bulk", "up4_cpu_s_gb", "x4 up"), ("bulk", "down4_cpu_s_gb", "x4 down"),
    ("conn", "conn_cpu_us", "new connection, CPU"), ("l4", "l4_cpu_us", "small message, CPU"),
    ("l7", "l7_cpu_us", "HTTP request, CPU"), ("l4rate", "l4_p50_us", "L4 p50"), ("l7rate", "l7_p50_us", "L7 p50"),
    ("memory", "conn_kib", "memory, idle connection"), ("start", "idle_rss_mib", "idle RSS"), ("start", "start_ms", "start-up"),
]


def tables(rows, order, baseline):
    """Markdown: the medians with the median of the ratios to `baseline` round by round, and its spread; then the ratios alone."""
    lines = []
    for title, measure, columns in TABLES:
        values = by_round(rows, order, measure)
        if not any(values.values()):
            continue
        lines += [f"\n### {title}\n", "| peer | n | " + " | ".join(heading for _, heading, _ in columns) + " |",
                  "|---" * (len(columns) + 2) + "|"]
        for peer in (peer for peer in order if values[peer]):
            cells = [cell(values[peer], values.get(baseline, {}) if ratio and peer != baseline else {}, key)
                     for key, _, ratio in columns]
            lines.append(f"| {peer} | {len(values[peer])} | " + " | ".join(cells) + " |")
    lines += summary(rows, order, baseline)
    noisy = sum(row.get("values", {}).get("noise", 0) > 5 for row in rows)
    lines.append(f"\n{len(rows)} measurements; in {noisy} something else used more than 5 % of the machine.")
    lines += [f"- failed: {row['peer']} {row['measure']} round {row['round']}: {row['error'][:300]}"
              for row in rows if "error" in row]
    return "\n".join(lines)


def summary(rows, order, baseline):
    lines = [f"\n### Ratios to {baseline}; lower is better\n", "| peer | " + " | ".join(heading for _, _, heading in SUMMARY) + " |",
             "|---" * (len(SUMMARY) + 1) + "|"]
    for peer in order:
        cells = []
        for measure, key, _ in SUMMARY:
            values = by_round(rows, (peer, baseline), measure)
            found = ratios(values[peer], values[baseline], key)
            cells.append(f"{statistics.median(found):.2f}" if found else "-")
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return lines


def by_round(rows, peers, measure):
    """What was measured of each peer, by the round."""
    return {peer: {row["round"]: row["values"] for row in rows
                   if row["peer"] == peer and row["measure"] == measure and "values" in row} for peer in peers}


def ratios(mine, theirs, key):
    """One for each round that has both."""
    return [mine[n][key] / theirs[n][key] for n in mine if key in mine[n] and theirs.get(n, {}).get(key)]


def cell(mine, theirs, key):
    found = [values[key] for values in mine.values() if key in values]
    if not found:
        return "-"
    text = number(statistics.median(found))
    found = ratios(mine, theirs, key)
    if found:
        text += f" **{statistics.median(found):.2f}x**"
        if len(found) > 1:
            text += f" ({min(found):.2f}–{max(found):.2f})"
    return text


def number(value):
    size = abs(value)
    return f"{value:.0f}" if size >= 100 or not size else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
