"""OpenTelemetry's own reading of `traceparent`: for each line of standard input the trace, the span and the flags in
hexadecimal, or "none"."""

import sys

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

for line in sys.stdin.read().split("\n"):
    found = TraceContextTextMapPropagator().extract({"traceparent": line})
    context = trace.get_current_span(found).get_span_context()
    told = f"{context.trace_id:032x} {context.span_id:016x} {context.trace_flags:02x}"
    print(told if context.is_valid else "none")
