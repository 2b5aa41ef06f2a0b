// Asks the sidecar, every two seconds while somebody looks, and says whether it answers.

const EVERY = 2000;
const PATIENCE = 5000;

/** JSON of `path`. Throws when there is no answer in time, or none of use. */
async function json(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** The answer of /ready in words: an empty text when ready. */
async function unready() {
  const answer = await fetch("/ready", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  const text = (await answer.text()).trim();
  return answer.ok ? "" : text.replace(/^not ready: /, "");
}

/** What of the last quarter of an hour is known here: columns grow at the end and are cut at the start. */
export class History {
  constructor() { this.clear(); }

  clear() {
    this.started = 0; this.next = null; this.times = []; this.listeners = new Map(); this.every = 2;
  }

  /** Takes an answer of /history. What is new in it: so many connections opened or ended, or denials. */
  take(news) {
    if (this.started !== news.started || this.next !== news.from) this.clear();
    this.started = news.started;
    this.every = news.every;
    const before = this.times.length;
    const added = news.times.length;
    this.times.push(...news.times);
    for (const listener of news.listeners) {
      const key = `${listener.direction} ${listener.name}`;
      if (!this.listeners.has(key)) this.listeners.set(key, { name: listener.name, direction: listener.direction, columns: {} });
      const known = this.listeners.get(key).columns;
      for (const [column, figures] of Object.entries(listener)) {
        if (!Array.isArray(figures)) continue;
        known[column] ??= Array(before).fill(null);
        known[column].push(...figures);
      }
    }
    this.next = news.next;
    const surplus = Math.max(0, this.times.length - 450);
    this.times.splice(0, surplus);
    for (const [key, { columns }] of this.listeners) {
      for (const figures of Object.values(columns)) {
        while (figures.length < before + added) figures.push(null);
        figures.splice(0, surplus);
      }
      if (columns.open.every((figure) => figure === null)) this.listeners.delete(key);
    }
    return this.news(added);
  }

  news(added) {
    const of = (column) => [...this.listeners.values()].some(({ columns }) => columns[column].slice(-added).some((n) => n > 0));
    return { any: added > 0, denials: added > 0 && (of("denied") || of("refused")) };
  }

  path() { return this.next === null ? "/history" : `/history?since=${this.next}`; }
}

/**
 * Calls `shown(facts)` with every answer and `silent(since)` when there is none, until the end of the page.
 * Denials are asked for when the history has some, and once more: a record is written a moment after it is counted.
 */
export function follow(history, shown, silent) {
  let seen = null, denials = null, again = 2, timer = null, busy = false;
  const look = async () => {
    timer = null;
    if (document.hidden || busy) return;
    busy = true;
    let told = null;
    try {
      const [status, news, why] = await Promise.all([json("/status"), json(history.path()), unready()]);
      const fresh = history.take(news);
      if (fresh.denials || denials === null) again = 2;
      if (again > 0) { denials = await json("/denials"); again -= 1; }
      const connections = await json("/connections");
      seen = Date.now();
      told = { status, why, denials, connections };
    } catch (error) {
      silent(seen, error);
    }
    busy = false;
    timer ??= setTimeout(look, EVERY);
    if (told !== null) shown(told);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { clearTimeout(timer); timer = null; } else if (timer === null) look();
  });
  look();
}
