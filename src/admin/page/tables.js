// Tables of facts. Every text goes in as text.

import { element, latency, moment, number, quoted, rate, bytes, reason, until, left, duration } from "./words.js";
import { key } from "./plots.js";

/** A cell's content: a text, an element, or several. */
function cell(tag, content, name) {
  const made = element(tag, null, name);
  for (const part of [content].flat()) made.append(part ?? "–");
  return made;
}

/** Fills a table, if there is something new to say: `columns` of [title, class], rows of cells, the first its head. */
function fill(id, columns, rows, none, shown) {
  const table = document.getElementById(id);
  if (table.shown === shown) return;
  table.shown = shown;
  const head = element("tr");
  for (const [title, name] of columns) {
    const th = element("th", title, name === "num" ? "num" : "");
    th.scope = "col";
    head.append(th);
  }
  table.tHead.replaceChildren(head);
  const made = rows.map((row) => {
    const tr = element("tr");
    row.forEach((content, at) => {
      const one = cell(at === 0 ? "th" : "td", content, columns[at][1]);
      if (at === 0) one.scope = "row";
      tr.append(one);
    });
    return tr;
  });
  if (made.length === 0) {
    const td = element("td", none, "none");
    td.colSpan = columns.length;
    made.push(element("tr"));
    made[0].append(td);
  }
  table.tBodies[0].replaceChildren(...made);
  if (id === "denials-table") roles(table);
}

/** A table that a narrow screen shows as blocks stays one for whoever has it read aloud. */
function roles(table) {
  const of = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };
  for (const one of [table, ...table.querySelectorAll("thead, tbody, tr, td, th")]) {
    one.setAttribute("role", of[one.tagName] ?? (one.scope === "row" ? "rowheader" : "columnheader"));
  }
}

/** What is said of the same facts is the same, but for the time that goes by: that counts by the minute. */
function version(...facts) { return JSON.stringify([Math.floor(Date.now() / 30000), ...facts]); }

/** Traffic by listener, at sample `at`, or now. */
export function legend(history, at) {
  const last = history.times.length - 1;
  const place = at ?? last;
  const rows = [...history.listeners.values()].map(({ name, direction, columns }, line) => {
    const one = (column) => columns[column]?.[place] ?? null;
    const each = (column) => (one(column) === null ? null : one(column) / history.every);
    return [
      [key(line), name], direction, number(one("open")), rate(each("opened")), rate(each("requests")),
      number(one("denied") === null ? null : one("denied") + one("refused")), bytes(each("up")), bytes(each("down")),
      latency(one("request_p50_us")), latency(one("request_p99_us")), latency(one("handshake_p99_us")),
    ];
  });
  const columns = [["Listener"], ["Direction", "quiet"], ["Open", "num"], ["Opened/s", "num"], ["Requests/s", "num"], ["Kept out", "num"],
    ["Up/s", "num"], ["Down/s", "num"], ["Latency, half", "num"], ["99 of 100", "num"], ["Handshake", "num"]];
  fill("legend", columns, rows, "No sample yet.", JSON.stringify([place, history.times[place], history.listeners.size, matchMedia("(prefers-color-scheme: dark)").matches]));
  const when = document.getElementById("legend-when");
  const text = at === null || at === undefined ? ["now"] : ["at ", moment(new Date(history.times[at] * 1000).toISOString())];
  when.replaceChildren(...text);
}

const ACTIONS = {
  "connection-refused": "handshake refused", "connection-denied": "connection denied", "request-denied": "request denied",
  "message-denied": "message denied", "association-denied": "association denied", "connection-withdrawn": "permit withdrawn",
};

/** Who it was, as far as it is known. */
function who(record) {
  const { myelin, tls } = record;
  const proven = myelin?.identity ?? null;
  const certificate = tls?.client ?? tls?.server;
  const shown = certificate?.subject || (certificate?.hash?.sha256 && `certificate ${certificate.hash.sha256.slice(0, 12).toLowerCase()}…`);
  const name = element("span", myelin?.peer ?? (proven || shown || record.source?.ip || "unknown"));
  const more = [myelin?.peer ? proven : null, record.source && `${record.source.ip}:${record.source.port}`];
  const below = more.filter(Boolean).map((text) => element("div", text, "quiet mono"));
  return [name, ...below];
}

/** What was asked for. */
function what(record) {
  const { http, url, myelin } = record;
  const asked = http?.request ? `${http.request.method ?? ""} ${url?.path ?? ""}`.trim()
    : myelin?.hl7?.type ?? (myelin?.dicom ? `${myelin.dicom.calling_ae} to ${myelin.dicom.called_ae}` : null);
  return asked ? [element("div", record.myelin.listener), element("div", asked, "mono quiet")] : record.myelin?.listener;
}

/** The command that tells more of it. */
function hint(record, config) {
  const peer = record.myelin?.peer, identity = record.myelin?.identity;
  if (!record.event.action.endsWith("-denied") || !record.myelin?.listener || !(peer || identity?.startsWith("spiffe://"))) return null;
  const parts = ["myelin", "explain", "-c", quoted(config), "--listener", quoted(record.myelin.listener)];
  parts.push(...(peer ? ["--peer", quoted(peer)] : ["--spiffe", quoted(identity)]));
  if (record.http?.request?.method) parts.push("--method", quoted(record.http.request.method));
  if (record.url?.path) parts.push("--path", quoted(record.url.path));
  if (record.myelin.hl7?.type) parts.push("--message", quoted(record.myelin.hl7.type));
  const { calling_ae: calling, called_ae: called } = record.myelin.dicom ?? {};
  if (calling && called) parts.push("--calling-ae", quoted(calling), "--called-ae", quoted(called));
  return element("code", parts.join(" "));
}

function why(record, config) {
  const parts = [element("p", reason(record.event.reason))];
  const more = record.myelin?.nearest ?? record.message;
  if (more) parts.push(element("p", more, "quiet"));
  const origin = record.rule?.reference;
  if (origin) parts.push(element("p", `rule ${record.rule.name}, ${origin}`, "quiet"));
  const command = hint(record, config);
  return command ? [...parts, command] : parts;
}

export function denials(records, config, most) {
  const rows = records.slice(0, most).map((record) => [
    moment(record["@timestamp"]), who(record), what(record), ACTIONS[record.event.action] ?? record.event.action, why(record, config),
  ]);
  fill("denials-table", [["When"], ["Who"], ["Wanted"], ["Outcome"], ["Why", "long"]], rows, "Nobody was kept out since the start.",
    JSON.stringify([most, records[0]?.["@timestamp"], records[0]?.event.sequence, records.length]));
}

export function connections(facts, most) {
  const rows = facts.connections.slice(0, most).map((one) => [
    one.peer ?? "not listed", one.listener, moment(one.since), until(one.since).replace(" ago", ""), one.source ?? "local", one.plaintext ? "plaintext" : "mutual TLS", one.id,
  ]);
  fill("connections-table", [["Peer"], ["Listener"], ["Since"], ["For", "num"], ["From", "mono"], ["By"], ["Id in the trail", "mono"]], rows,
    "No connection is open.", version(facts.connections.map((one) => one.id), most));
}

/** A way in which a listener fails open, and until when. */
function lenient(how, until) {
  const made = element("div", how, "bad-text");
  made.append(moment(until));
  return made;
}

export function listeners(facts, open) {
  const rows = facts.map((one) => {
    const count = open.find((other) => other.name === one.name && other.direction === one.direction);
    const modes = [];
    if (one.mode === "permissive") modes.push(lenient("takes plaintext, too, until ", one.plaintext.until));
    if (one.enforce === false) modes.push(lenient("only observes its policy until ", one.would_deny.until));
    const ends = (one.upstreams ?? []).map((end) =>
      element("div", end.healthy ? `${end.endpoint}, in use` : `${end.endpoint}, set aside`, end.healthy ? "" : "bad-text"));
    const behind = one.direction === "outbound" ? (ends.length ? ends : "–") : modes.length ? modes : "strict";
    return [one.name, one.direction, one.listen, `${one.protocol}${one.phi ? ", PHI" : ""}`, one.peers.join(", ") || "nobody", number(count?.open), behind];
  });
  fill("listeners-table", [["Listener"], ["Direction"], ["Address", "mono"], ["Carries"], ["Lets in, or expects"], ["Open", "num"], ["How, or where to"]], rows,
    "No listener is configured.", version(facts, open));
}

/** How long until an end; loud when days are few. */
function ends(text, few) {
  const seconds = left(text);
  const name = seconds < 0 ? "bad-text" : seconds < few * 86400 ? "warn-text" : "";
  return [element("span", seconds < 0 ? `expired ${until(text)}` : until(text), name), ", ", moment(text)];
}

/** Whether a certificate is of the kind that people renew. Others end every day, and programs renew them. */
export function isLasting(presented) {
  return new Date(presented.not_after) - new Date(presented.not_before) > 14 * 86_400_000;
}

export function peers(status) {
  const rows = status.peers.map((peer) => {
    const listed = status.policy.peers.find((one) => one.name === peer.name);
    const last = peer.certificates[0];
    const notes = [];
    if (listed?.expired) notes.push(element("div", `its entry expired ${until(listed.expires)}`, "bad-text"));
    if (listed?.overdue) notes.push(element("div", "due for review", "warn-text"));
    const name = [element("div", peer.name), ...notes];
    if (!last) return [name, moment(listed?.last_used), "–", "has not come since the start", "–", number(listed?.hits), "–"];
    const subject = last.spiffe ?? last.subject;
    return [name, moment(peer.last_seen), ends(last.not_after, isLasting(last) ? 14 : 0), [element("div", subject, "mono"), element("div", last.issuer, "quiet")],
      last.tls ? `TLS ${last.tls}` : "–", number(listed?.hits), number(last.connections)];
  });
  fill("peers-table", [["Peer"], ["Last seen"], ["Certificate ends"], ["Presented"], ["By"], ["Hits", "num"], ["Connections", "num"]], rows, "No peer is configured.",
    version(status.peers, status.policy.peers));
  const anchors = status.trust_bundle.map((one) => [one.subject, ends(one.not_after, 90), one.trust_domain ?? "any", number(one.peers), moment(one.last_seen), one.sha256.slice(0, 16)]);
  fill("anchors-table", [["Authority"], ["Ends"], ["Trust domain"], ["Peers seen", "num"], ["Last seen"], ["SHA-256 begins with", "mono"]], anchors, "Nobody is trusted.",
    version(status.trust_bundle));
}

export function rules(status) {
  const rows = status.policy.rules.map((rule) => [
    rule.name, number(rule.hits), rule.last_used ? [moment(rule.last_used), element("span", ` ${until(rule.last_used)}`, "quiet")] : element("span", "never used", "quiet"),
    rule.expires ? (rule.expired ? element("span", `expired ${until(rule.expires)}: lets nobody in`, "bad-text") : ends(rule.expires, 14)) : "–",
    `${status.config.path}:${rule.line}`,
  ]);
  fill("rules-table", [["Rule"], ["Hits", "num"], ["Last used"], ["Expires"], ["Where", "mono"]], rows, "Listeners have no rules beside whom they let in.",
    version(status.policy.rules, status.config.path));
}

export function exporters(all) {
  const rows = all.map((one) => [
    one.name, `${one.kind} to ${one.to}`, one.lag_records ? `${number(one.lag_records)} records, ${duration(one.lag_seconds)}` : "none", number(one.delivered),
    one.rejected ? element("span", number(one.rejected), "bad-text") : "0",
    one.failing ? [element("span", "fails since ", "bad-text"), moment(one.failing.since), element("p", one.failing.why)] : "delivers",
  ]);
  fill("exports-table", [["Export"], ["To"], ["Behind"], ["Delivered up to", "num"], ["Left out", "num"], ["State", "long"]], rows,
    "The trail goes out to nobody: audit.export is empty.", version(all));
}
