"""Holds a report against the lines of its trail, which are counted here anew: `report_peer.py page|json|csv TRAIL FROM TO < REPORT`.

Nothing of Myelin is used. The page is read by html5lib, its pictures by lxml, its style by tinycss2.
"""

import collections
import csv
import glob
import io
import json
import sys

UNIT = {"http": "request", "mllp": "message", "dicom": "association"}


def records(trail, begin, end):
    for path in sorted(glob.glob(trail + "/trail-*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if begin <= record["@timestamp"] < end:
                    yield record


def counted(trail, begin, end):
    """What a report on this time has to say, as numbers."""
    peers = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
    reasons, sessions, certificates = collections.Counter(), collections.Counter(), collections.Counter()
    all_records, loaded = 0, 0
    for record in records(trail, begin, end):
        all_records += 1
        event, own = record["event"], record["myelin"]
        about, _, how = event["action"].partition("-")
        flood = own.get("flood")
        times = flood["count"] if flood else 1
        network = record.get("network", {})
        unit = UNIT.get(network.get("protocol"), "connection")
        loaded += about == "config"
        if how in ("denied", "refused", "withdrawn"):
            for reason, count in (flood["reasons"] if flood else {event["reason"]: 1}).items():
                reasons[reason] += count
        if event["action"] == "connection-allowed":
            tls = record.get("tls", {})
            sessions[tls.get("version", ""), tls.get("cipher", ""), tls.get("curve", "")] += 1
        presented = record.get("tls", {}).get("server" if network.get("direction") == "egress" else "client", {})
        if own.get("identity") and presented.get("hash"):
            certificates[presented["hash"]["sha256"]] += event["action"] == "connection-allowed"
        if own.get("phi"):
            row = peers[own["listener"], own.get("identity", "")]
            row[0] += times if how == "allowed" and about == unit else 0
            row[1] += times if how in ("denied", "refused") else 0
            row[2] += event["action"] == "connection-allowed"
            if how in ("closed", "completed") and about == unit:
                row[3] += record["source"].get("bytes", 0)
                row[4] += record["destination"].get("bytes", 0)
    return {
        "records": all_records,
        "allowed": sum(row[0] for row in peers.values()),
        "denied": sum(row[1] for row in peers.values()),
        "peers": {key: tuple(row) for key, row in peers.items()},
        "reasons": dict(reasons),
        "sessions": dict(sessions),
        "certificates": dict(certificates),
        "loaded": loaded,
    }


def summed(rows, key, values):
    sums = collections.defaultdict(lambda: [0] * len(values))
    for row in rows:
        for place, value in enumerate(values):
            sums[tuple(row[name] or "" for name in key)][place] += int(row[value] or 0)
    return {key: tuple(sum_) for key, sum_ in sums.items()}


def of_tables(tables, total):
    """The same numbers out of a report's tables: lists of objects by part and table."""
    peers = tables["access", "peers"]
    values = ["allowed", "denied", "connections", "client_bytes", "server_bytes"]
    single = lambda sums: {key[0] if len(key) == 1 else key: value[0] for key, value in sums.items()}
    return {
        "records": total,
        "allowed": sum(int(row["allowed"]) for row in peers),
        "denied": sum(int(row["denied"]) for row in peers),
        "peers": summed(peers, ["listener", "identity"], values),
        "reasons": single(summed(tables["denials", "reasons"], ["reason"], ["count"])),
        "sessions": single(summed(tables["tls", "sessions"], ["version", "cipher", "group"], ["connections"])),
        "certificates": single(summed(tables["certificates", "inventory"], ["sha256"], ["connections"])),
        "loaded": len(tables["policy", "changes"]),
    }


def from_json(text):
    report = json.loads(text)
    tables = {
        (part, name): rows
        for part, told in report["parts"].items()
        for name, rows in told["tables"].items()
    }
    assert report["phi"] == {
        "allowed": sum(row["allowed"] for row in tables["access", "peers"]),
        "denied": sum(row["denied"] for row in tables["access", "peers"]),
    }
    return of_tables(tables, report["records"]["count"])


def from_csv(text):
    tables, heads, about = collections.defaultdict(list), {}, {}
    for part, table, *cells in csv.reader(io.StringIO(text)):
        if (part, table) not in heads:
            heads[part, table] = cells
            tables[part, table] = []
        else:
            assert len(cells) == len(heads[part, table]), cells
            tables[part, table].append(dict(zip(heads[part, table], cells)))
        assert not any(cell[:1] in "=+-@" for cell in cells if cell and not cell[1:2].isdigit()), cells
    about = {row["what"]: row["value"] for row in tables["report", "about"]}
    return of_tables(tables, int(about["records"]))


def from_page(text):
    import html5lib

    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    page = parser.parse(text)
    check_page(page, text)
    number = lambda cell: int("".join(c for c in cell if c.isdigit()) or 0)
    small = lambda cell: ["".join(each.itertext()).strip() for each in cell.findall("small")]

    def own(cell):
        """Its text without what stands below."""
        return "".join([cell.text or ""] + [each.tail or "" for each in cell if each.tag == "wbr"]).strip()

    def rows(name):
        table = page.find(f".//table[@aria-labelledby='{name}']")
        return [] if table is None else [row.findall("td") for row in table.findall("tbody/tr")]

    figures = [number(each.text) for each in page.findall(".//ul[@class='figures']/li/b")]
    peers = collections.defaultdict(lambda: [0, 0, 0])
    for cells in rows("access-peers"):
        row = peers[own(cells[0]), (small(cells[1]) or [""])[-1]]
        for place in range(3):
            row[place] += number(own(cells[2 + place]))
    reasons = collections.Counter()
    for cells in rows("denials-reasons"):
        reasons[own(cells[0])] += number(own(cells[2]))
    sessions = {tuple(own(cell) for cell in cells[:3]): number(own(cells[4])) for cells in rows("tls-sessions")}
    certificates = {small(cells[1])[-1]: number(own(cells[3])) for cells in rows("certificates-inventory")}
    drawn = collections.Counter()
    for bar in page.findall(".//svg/rect/title"):
        _, told = bar.text.split(": ")
        count, kind = told.rsplit(" ", 1)
        drawn[kind] += number(count)
    if page.find(".//svg/title[@id='over-time-name']") is not None:
        assert [drawn["allowed"], drawn["denied"]] == figures[:2], (drawn, figures)
    return {
        "records": figures[3],
        "allowed": figures[0],
        "denied": figures[1],
        "peers": {key: tuple(row) for key, row in peers.items()},
        "reasons": dict(reasons),
        "sessions": sessions,
        "certificates": certificates,
        "loaded": len(rows("policy-changes")),
    }


def check_page(page, text):
    """Nothing is fetched, nothing runs, and whoever cannot see is told."""
    import tinycss2

    tags = collections.Counter(each.tag for each in page.iter() if isinstance(each.tag, str))
    for tag in ("script", "link", "img", "iframe", "object", "embed", "form", "input", "base", "a0"):
        assert not tags[tag], tag
    ids = [each.get("id") for each in page.iter() if each.get("id")]
    assert len(ids) == len(set(ids)), "ids are unique"
    for each in page.iter():
        for name, value in each.attrib.items():
            assert not name.lower().startswith("on") and name != "style", (each.tag, name)
            if name in ("href", "src"):
                assert value.startswith("#") and value[1:] in ids, value
            if name in ("aria-labelledby",):
                assert all(one in ids for one in value.split()), value
    policy = page.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy, policy
    style = page.find(".//style").text
    rules = tinycss2.parse_stylesheet(style, skip_comments=True, skip_whitespace=True)
    assert rules and not [rule for rule in rules if rule.type == "error"], rules
    assert "url(" not in style and "@import" not in style
    for picture in page.iter("svg"):
        assert picture.get("role") == "img"
        assert picture.findtext("title") and picture.findtext("desc")
    for table in page.iter("table"):
        heads = table.findall("thead/tr/th")
        assert heads and all(head.get("scope") == "col" for head in heads)
        assert all(len(row.findall("td")) == len(heads) for row in table.findall("tbody/tr"))
    assert page.find("html") is None and page.get("lang") == "en" and "http://" not in text and "https://" not in text


def main():
    shape, trail, begin, end = sys.argv[1:]
    told = {"page": from_page, "json": from_json, "csv": from_csv}[shape](sys.stdin.buffer.read().decode())
    expected = counted(trail, begin, end)
    if shape == "page":  # shows bytes rounded
        expected["peers"] = {key: row[:3] for key, row in expected["peers"].items()}
    for name, value in expected.items():
        assert told[name] == value, f"{name}: the report has {told[name]}, the trail {value}"
    print(f"agree on {expected['records']} records, {expected['allowed']} allowed, {expected['denied']} denied")


main()
