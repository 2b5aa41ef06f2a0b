// The dashboard: what the sidecar tells, in order of who must act.

import { History, follow } from "./ask.js";
import { Plots } from "./plots.js";
import { duration, element, left, moment, number, until } from "./words.js";
import * as tables from "./tables.js";

const FEW = 10;
const at = (id) => document.getElementById(id);
const history = new History();
let pointed = null;
const plots = new Plots(at("plots"), history, (sample) => { pointed = sample; tables.legend(history, pointed); });
let facts = null, said = "", seenAt = null;
const whole = { denials: false, connections: false };

/** Said aloud only when it is news. */
function verdict(text, name) {
  at("state").className = `state ${name}`;
  if (said === text) return;
  said = text;
  at("verdict").textContent = text;
}

function fact(title, ...values) {
  const made = element("div");
  made.append(element("dt", title));
  for (const value of values.filter((one) => one !== null)) {
    const dd = element("dd");
    dd.append(...[value].flat());
    made.append(dd);
  }
  return made;
}

/** How long until an end; loud when that is less than `few` seconds. */
function countdown(text, few) {
  const seconds = left(text);
  return element("span", seconds < 0 ? `expired ${until(text)}` : until(text), seconds < 0 ? "bad-text" : seconds < few ? "warn-text" : "");
}

/** The last part of our own certificate's life in which a renewal is late. */
function late(certificate) {
  const life = (new Date(certificate.not_after) - new Date(certificate.not_before)) / 1000;
  return life / 5;
}

function glance(status) {
  const { certificate, audit } = status;
  const anchor = status.trust_bundle.map((one) => one.not_after).sort()[0];
  const own = fact("Own certificate ends", countdown(certificate.not_after, late(certificate)), [moment(certificate.not_after)],
    certificate.renew_at ? [`${certificate.source}, renews `, moment(certificate.renew_at)] : certificate.source);
  const made = [own];
  if (anchor) made.push(fact("Trust bundle ends", countdown(anchor, 90 * 86400), `${number(status.trust_bundle.length)} trusted`));
  if (status.crl_next_update) made.push(fact("Revocation list due", countdown(status.crl_next_update, 0), [moment(status.crl_next_update)]));
  if (audit.dir) {
    const sealed = audit.checkpoint ? `sealed up to ${number(audit.checkpoint.size)}` : "no checkpoint yet";
    const when = audit.sealed_at ? [", ", moment(audit.sealed_at)] : [];
    made.push(fact("Audit trail", audit.failing ? element("span", "fails", "bad-text") : `${number(audit.sequence)} records`, [sealed, ...when]));
  }
  const open = facts.connections.listeners.reduce((sum, one) => sum + one.open, 0);
  made.push(fact("Open connections", number(open), `on ${number(status.listeners.length)} ${status.listeners.length === 1 ? "listener" : "listeners"}`));
  made.push(fact("Running for", duration(-left(status.started)), [`version ${status.version}, configuration ${number(status.config.generation)}`]));
  at("facts").replaceChildren(...made);
}

function trail(audit) {
  if (!audit.dir) {
    at("trail-facts").replaceChildren(fact("Audit trail", "none is kept", "audit.dir is not set"));
    return;
  }
  const lost = element("span", number(audit.lost), audit.lost ? "bad-text" : "");
  const unrecorded = element("span", number(audit.passed_unrecorded), audit.passed_unrecorded ? "bad-text" : "");
  at("trail-facts").replaceChildren(
    fact("Records", number(audit.sequence), audit.segment ?? ""),
    fact("Sealed by checkpoints up to", audit.checkpoint ? number(audit.checkpoint.size) : "none yet", audit.sealed_at ? [moment(audit.sealed_at)] : "since this process started"),
    fact("Lost", lost, "records that were never written"),
    fact("Passed unrecorded", unrecorded, "accesses to PHI, since the start"),
    fact("Kept in", element("span", audit.dir, "mono"), "to check it: myelin audit verify"),
  );
}

/** What needs somebody: [is it bad, what, more]. */
function needs(status) {
  const { certificate, audit } = status;
  const found = [];
  const add = (bad, what, more) => found.push([bad, what, more]);
  if (audit.failing) add(true, "The audit trail cannot be written.", audit.failing);
  if (audit.lost) add(true, `${number(audit.lost)} audit records were lost.`, "They were never written: there is a gap in what can be proven.");
  if (audit.passed_unrecorded) add(true, `${number(audit.passed_unrecorded)} accesses to PHI passed unrecorded.`, "audit.on_failure is allow.");
  for (const key of status.fails_open) add(true, `${key} fails open.`, meaning(key));
  if (left(certificate.not_after) < late(certificate)) add(true, `Our own certificate ends ${until(certificate.not_after)}.`, "Its renewal is late.");
  if (certificate.rejected) add(true, "New key material was rejected.", `${certificate.rejected.problems} (since ${certificate.rejected.since})`);
  if (status.last_failure) add(true, "The last change was refused; what was before goes on.", status.last_failure);
  if (status.crl_next_update && left(status.crl_next_update) < 0) add(true, "A revocation list is out of date.", `Its next update was due ${until(status.crl_next_update)}.`);
  for (const one of audit.export ?? []) if (one.failing) add(true, `Export ${one.name} fails.`, one.failing.why);
  for (const listener of status.listeners) {
    const ends = listener.upstreams ?? [];
    const aside = ends.filter((end) => !end.healthy);
    if (aside.length) add(aside.length === ends.length, `${listener.name}: ${aside.length} of ${ends.length} endpoints set aside.`, aside.map((end) => end.endpoint).join(", "));
  }
  for (const anchor of status.trust_bundle) if (left(anchor.not_after) < 90 * 86400) add(left(anchor.not_after) < 0, `The authority ${anchor.subject} ends ${until(anchor.not_after)}.`, "");
  for (const peer of status.peers) {
    const last = peer.certificates[0];
    if (last && left(last.not_after) < 14 * 86400 && tables.isLasting(last)) add(false, `The certificate of ${peer.name} ends ${until(last.not_after)}.`, "");
  }
  for (const rule of status.policy.rules) if (rule.expired) add(false, `The rule ${rule.name} has expired.`, "It lets nobody in.");
  for (const peer of status.policy.peers) {
    if (peer.expired) add(false, `The entry of ${peer.name} has expired.`, "It lets nobody in.");
    if (peer.overdue) add(false, `The entry of ${peer.name} is due for review.`, "");
  }
  return found;
}

function meaning(key) {
  if (key.endsWith(".mode")) return "It takes plaintext, too.";
  if (key.endsWith(".enforce")) return "Policy is only observed there.";
  if (key.endsWith(".forward_anywhere")) return "What it lets in goes on to another machine in plaintext.";
  if (key.endsWith(".listen_anywhere")) return "It takes plaintext from the network.";
  if (key.startsWith("redirect.")) return "Such connections go past the sidecar, unprotected.";
  return "PHI passes even when its record cannot be made durable.";
}

function attention(status) {
  const found = needs(status);
  at("attention").hidden = found.length === 0;
  const shown = JSON.stringify(found);
  if (at("attention").shown === shown) return;
  at("attention").shown = shown;
  at("attention").replaceChildren(...found.map(([bad, what, more]) => {
    const li = element("li", null, bad ? "bad" : "");
    li.append(element("b", what), more ? ` ${more}` : "");
    return li;
  }));
}

/** A button that shows the rest of a list. */
function rest(name, count) {
  at(`${name}-all`).hidden = whole[name] || count <= FEW;
  at(`${name}-all`).textContent = `Show all ${number(count)}`;
  return whole[name] ? Infinity : FEW;
}

function shown(news) {
  facts = news;
  seenAt = Date.now();
  const { status, why, denials, connections } = news;
  document.body.classList.remove("stale");
  document.title = why ? `not ready: ${status.service}` : `${status.service} – Myelin`;
  at("service").textContent = status.service;
  at("identity").textContent = status.certificate.spiffe ?? status.certificate.alternative_names.join(", ");
  verdict(why ? `Not ready: ${why}` : "Ready: peers on the list are let in", why ? "bad" : "good");
  attention(status);
  glance(status);
  trail(status.audit);
  plots.draw();
  tables.legend(history, pointed);
  lists(denials, connections);
  tables.listeners(status.listeners, connections.listeners);
  tables.peers(status);
  tables.rules(status);
  tables.exporters(status.audit.export ?? []);
  tick();
}

function lists(denials, connections) {
  const { status } = facts;
  at("denials-note").textContent = denials.length ? `the last ${number(denials.length)}` : "";
  tables.denials(denials, status.config.path, rest("denials", denials.length));
  const open = connections.listeners.reduce((sum, one) => sum + one.open, 0);
  const listed = connections.connections.length;
  at("connections-note").textContent = open > listed ? `${number(open)}, the newest ${number(listed)} are listed` : number(open);
  tables.connections(connections, rest("connections", listed));
}

function silent(since) {
  seenAt = since;
  document.body.classList.add("stale");
  document.title = "no answer – Myelin";
  verdict(since === null ? "The sidecar does not answer" : "The sidecar does not answer. What follows is old", "bad");
  tick();
}

/** How old everything is, beside what is read aloud. */
function tick() {
  const age = seenAt === null ? null : Math.round((Date.now() - seenAt) / 1000);
  const stale = document.body.classList.contains("stale");
  at("seen").textContent = age === null ? "" : stale ? `last seen ${duration(age)} ago; asking again` : `as of ${age < 3 ? "now" : `${duration(age)} ago`}`;
}

for (const name of ["denials", "connections"]) {
  at(`${name}-all`).addEventListener("click", () => {
    whole[name] = true;
    lists(facts.denials, facts.connections);
    at(name).querySelector(".box").focus();
  });
}
setInterval(() => { if (!document.hidden) tick(); }, 1000);
follow(history, shown, silent);
