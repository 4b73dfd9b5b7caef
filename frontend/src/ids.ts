let count = 4096;

/**
 * A fresh UUIDv7: 48 bits of milliseconds, 12 of a counter that keeps the order within one, then random bits. Works on
 * pages without TLS, where randomUUID is missing.
 */
export function uuid7(): string {
  const random = new Uint8Array(36).map(() => Math.random() * 256);
  try {
    crypto.getRandomValues(random);
  } catch {
    // a page that took `crypto` away: good enough to tell two events apart
  }
  const time = Date.now().toString(16).padStart(12, "0").replace(/.{8}/, "$&-");
  const order = (count++).toString(16).slice(-3);
  return (time + "-7" + order + "-8xxx-xxxxxxxxxxxx").replace(/x/g, (_, at) => (random[at]! & 15).toString(16));
}

const IDLE = 30 * 60 * 1000; // a session ends after this many milliseconds without an event
const KEY = "_ml_session";
let inMemory = "";

/** The session's id, shared by the tabs of this browser; kept in memory where storage is refused, or not `allowed`. */
export function sessionId(allowed: boolean): string {
  const now = Date.now();
  let stored = inMemory;
  try {
    stored = (allowed && localStorage.getItem(KEY)) || stored;
  } catch {
    // storage is blocked: this page is its own session
  }
  const [id, last] = stored.split("|");
  const current = id && Math.abs(now - +last!) < IDLE ? id : uuid7();
  inMemory = current + "|" + now;
  try {
    if (allowed) localStorage.setItem(KEY, inMemory);
  } catch {
    // blocked or full, as above
  }
  return current;
}

/** Forget the session, here and in the browser. */
export function forgetSession(): void {
  inMemory = "";
  localStorage.removeItem(KEY);
}

/** The id the server gave this page view (`Server-Timing: ml;desc="..."`), else a fresh one. */
export function pageViewId(): string {
  try {
    const [entry] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
    return entry!.serverTiming.find((one) => one.name === "ml")!.description || uuid7();
  } catch {
    return uuid7(); // no such header, or no such interface
  }
}
