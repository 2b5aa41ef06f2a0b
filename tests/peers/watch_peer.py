"""What alert rules and a dashboard ask Prometheus: their PromQL, taken apart by a parser that nobody here wrote.

watch_peer.py rules FILE       the rules of a file, as JSON: each with the selectors of its expression, and the labels by which it groups and joins
watch_peer.py dashboard FILE   the same of a dashboard's panels and variables, after Grafana's own types have taken it, every key of it
"""

import json
import re
import sys

import promql_parser as promql


def asked(expr):
    """Every selector of an expression, and every label by which it groups or joins."""
    selectors, labels = [], set()

    def visit(node):
        if isinstance(node, promql.VectorSelector):
            matchers = [[m.name, str(m.op).removeprefix("MatchOp."), m.value] for m in node.matchers.matchers]
            selectors.append({"name": node.name, "matchers": matchers})
        elif isinstance(node, promql.AggregateExpr) and node.modifier:
            labels.update(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier:
            modifier = node.modifier
            labels.update(modifier.matching.labels if modifier.matching else [])
            labels.update(modifier.group_labels or [])

    promql.walk(promql.parse(expr), visit)
    return {"expr": expr, "selectors": selectors, "by": sorted(labels)}


def rules(path):
    from ruamel.yaml import YAML

    with open(path, encoding="utf-8") as file:
        groups = YAML(typ="safe").load(file)["groups"]
    return [rule | asked(rule["expr"]) for group in groups for rule in group["rules"]]


def lost(ours, theirs, path=""):
    """What `ours` has and `theirs` has not, or has otherwise."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs[key], f"{path}/{key}") if key in theirs else [f"{path}/{key}"]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (mine, other) in enumerate(zip(ours, theirs)):
            yield from lost(mine, other, f"{path}/{at}")
    elif ours != theirs:
        yield f"{path}: {ours!r} is {theirs!r}"


def dashboard(path):
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    with open(path, encoding="utf-8") as file:
        ours = json.load(file)
    register_default_plugins()
    theirs = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(ours)))
    gone = list(lost(ours, theirs))
    assert not gone, "Grafana's types do not take:\n" + "\n".join(gone)

    found = []
    for panel in ours["panels"]:
        found += [{"panel": panel["title"]} | asked(filled(target["expr"])) for target in panel.get("targets", [])]
    for variable in ours["templating"]["list"]:
        query = re.fullmatch(r"label_values\((.*), *(\w+)\)", str(variable.get("query")))
        if query:
            expr = f"count by ({query[2]}) ({filled(query[1])})"
            found.append({"panel": f"${variable['name']}"} | asked(expr))
    return found


def filled(expr):
    """The expression as Grafana sends it: every variable has a value."""
    expr = expr.replace("$__rate_interval", "5m").replace("$__range", "1h")
    return re.sub(r"\$\w+", ".*", expr)


print(json.dumps({"rules": rules, "dashboard": dashboard}[sys.argv[1]](sys.argv[2])))
