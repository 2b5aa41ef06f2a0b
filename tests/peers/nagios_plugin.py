"""Runs a plugin as Nagios does, and tells what pynag's parser makes of it, as JSON: nagios_plugin.py PLUGIN ARGUMENT..."""

import json
import subprocess
import sys

from pynag.Utils import PluginOutput

ran = subprocess.run(sys.argv[1:], capture_output=True, text=True, timeout=30)
output = PluginOutput(ran.stdout)
metrics = output.parsed_perfdata.metrics
print(json.dumps({
    "code": ran.returncode,
    "lines": ran.stdout.count("\n"),
    "summary": output.summary,
    "valid": output.parsed_perfdata.is_valid() and ran.stderr == "",
    "metrics": [
        {key: getattr(metric, key) for key in ("label", "value", "uom", "warn", "crit", "min", "max")}
        for metric in metrics
    ],
}))
