// Times, durations, sizes and reasons, as people say them.

const DAY = 86400;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** `text` in an element, with a class. Nothing is ever taken for markup. */
export function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** A moment in the browser's time zone, with UTC for whoever points at it. */
export function moment(text) {
  if (!text) return element("span", "never", "quiet");
  const at = new Date(text);
  const recent = Math.abs(Date.now() - at) < DAY * 1000 / 2;
  const made = element("time", recent ? clock.format(at) : `${date.format(at)} ${clock.format(at)}`);
  made.dateTime = text;
  made.title = at.toISOString().replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  return made;
}

/** Seconds until a moment; less than none when it has passed. */
export function left(text) { return (new Date(text) - Date.now()) / 1000; }

/** A duration: its two largest units at most. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 2 * DAY) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  if (s < 730 * DAY) return `${Math.floor(s / DAY)} days`;
  return `${Math.floor(s / DAY / 365)} years`;
}

/** How long until, or since when. */
export function until(text) {
  const seconds = left(text);
  return seconds >= 0 ? `in ${duration(seconds)}` : `${duration(-seconds)} ago`;
}

export function number(n) { return n === null || n === undefined ? "–" : n.toLocaleString(); }

/** A rate: as many digits as mean something. */
export function rate(n) {
  if (n === null || n === undefined) return "–";
  if (n === 0) return "0";
  return n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString();
}

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  for (const unit of ["B", "KB", "MB", "GB"]) {
    if (n < 1000) return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1000;
  }
  return `${n.toFixed(1)} TB`;
}

/** Microseconds. */
export function latency(us) {
  if (us === null || us === undefined) return "–";
  if (us === 0) return "0";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 10_000) return `${(us / 1000).toFixed(1)} ms`;
  if (us < 1_000_000) return `${Math.round(us / 1000)} ms`;
  return `${(us / 1_000_000).toFixed(1)} s`;
}

const REASONS = {
  // denials
  unknown_peer: "not one of the peers that are listed",
  not_listed: "listed among the peers, but not allowed on this listener",
  listing_expired: "the peer's entry has expired",
  certificate_expired: "its certificate has expired meanwhile",
  peer_changed: "its certificate stands for another peer by now",
  no_route: "no route allows this request",
  not_listed_for_route: "the route does not allow this peer",
  rule_expired: "the rule has expired",
  soap_mismatch: "the SOAP message is not what its headers claim",
  no_message_rule: "no rule allows this type of message",
  not_listed_for_message: "the rule for this message does not allow this peer",
  unknown_sender: "the message names a sender that this peer may not be",
  batch_too_large: "more messages in one batch than can be judged",
  no_association_rule: "no rule allows this association",
  not_listed_for_association: "the rule for this association does not allow this peer",
  sop_class: "a SOP class that is not allowed",
  sop_class_mismatch: "a command for another SOP class than was agreed on",
  rate_limit: "more than its rate limit allows",
  concurrency_limit: "more at once than its limit allows",
  rego: "the policy in Rego says no",
  malformed_request: "the request is malformed",
  not_audited: "its record could not be made durable, so it was not let in",
  unknown_destination: "no listener leads to where the workload wanted to go",
  permit_withdrawn: "its permit was withdrawn",
  // refusals
  no_certificate: "it presented no certificate",
  unknown_issuer: "its certificate is from an authority that is not in the trust bundle",
  expired: "its certificate has expired",
  not_yet_valid: "its certificate is not valid yet",
  revoked: "its certificate is revoked",
  revocation_unknown: "no revocation list says whether its certificate is revoked",
  crl_expired: "the revocation list is out of date",
  wrong_purpose: "its certificate is for another purpose",
  unfit_leaf: "its certificate may not be used as a peer's own",
  several_spiffe_ids: "its certificate has several SPIFFE IDs",
  malformed_name: "a name in its certificate is malformed",
  bad_certificate: "its certificate cannot be used",
  unexpected_server: "the server is not who was expected",
  not_tls: "it does not speak TLS",
  no_shared_version: "no version of TLS in common",
  no_shared_cipher: "no cipher suite in common",
  no_shared_protocol: "no application protocol in common",
  refused_by_peer: "the other side refused our certificate",
  too_slow: "the handshake took too long",
  too_many: "too many handshakes from there at once",
  lost: "the connection broke off during the handshake",
  protocol: "it broke the rules of TLS",
};

/** A reason's label in words, or the label where there are none. */
export function reason(label) { return REASONS[label] ?? label ?? "no reason is on record"; }

/** `text` as one word of a shell's command, whatever stands in it. */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
